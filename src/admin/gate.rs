//! Which requests the admin address accepts.
//!
//! It requires no token, so that probes and scrapes need none: the network decides who reaches it.
//! A browser undermines that. It sends requests of any open page to whatever the user's machine can
//! reach, and `kubectl port-forward` puts this address on `localhost`. Three checks keep web pages
//! out:
//!
//! - **`Host`.** A page can make its own name resolve to this address, and then has the same origin
//!   for the browser (DNS rebinding): it may read the config and send any request. The browser
//!   still sends the page's name in `Host`, so names must be known: `localhost`, and those in
//!   `admin.hosts`. Every literal IP address is accepted, ours or not: rebinding needs a name that
//!   it can make resolve differently. The kubelet's probes and Prometheus's scrapes use the pod's
//!   address.
//! - **`Sec-Fetch-Site` and `Origin`.** Without rebinding, a page has another origin, and browsers
//!   send that in one of these headers (Fetch §3.1, Fetch Metadata §2.3). Programs send neither.
//! - **The content type**, of requests that change something or have a body: JSON, which no form
//!   can send, and no script without a preflight, which is never granted here (Fetch §2.2.2,
//!   "CORS-safelisted request-header").

use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{Request, StatusCode, Version};

use std::net::{Ipv4Addr, Ipv6Addr};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is refused, for the client and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No host, several, or an invalid one.
    UnclearHost,
    /// An unknown name.
    UnknownHost,
    /// It is sent by a web page of another site.
    OtherSite,
    /// It changes something, and is not sent as JSON.
    NotJson,
}

impl Refused {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::UnclearHost | Self::UnknownHost | Self::OtherSite => StatusCode::FORBIDDEN,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    /// What the client can do about it. It quotes nothing of the request.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::UnclearHost => {
                "the admin address answers requests with one Host header: an IP address or a known name\n"
            }
            Self::UnknownHost => {
                "the admin address does not accept this host name: use an IP address or localhost, \
                 or list the name in admin.hosts of Partywall's config\n"
            }
            Self::OtherSite => {
                "the admin address does not answer web pages of other sites: open it directly, or \
                 ask without the headers Origin and Sec-Fetch-Site\n"
            }
            Self::NotJson => {
                "send this request as application/json, so that no form of a web page can: \
                 curl -X POST -H 'Content-Type: application/json' ...\n"
            }
        }
    }
}

/// Whether a request is accepted, where these are our names.
pub(super) fn check<B>(request: &Request<B>, names: &[Box<str>]) -> Result<(), Refused> {
    let headers = request.headers();
    let host = host(request)?;
    // The target takes precedence over the header (RFC 9112 §3.2.2), but neither may be a foreign
    // name.
    for authority in [request.uri().authority(), host.as_ref()]
        .into_iter()
        .flatten()
    {
        if !is_ours(authority, names)? {
            return Err(Refused::UnknownHost);
        }
    }
    let target = request.uri().authority().or(host.as_ref());
    if is_of_this_site(headers, target) {
        Ok(())
    } else {
        Err(Refused::OtherSite)
    }
}

/// Whether a request's content type is JSON.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Refused> {
    let content_type = one(headers, &CONTENT_TYPE).map_err(|_| Refused::NotJson)?;
    let essence = content_type.and_then(|value| value.split(';').next());
    let is_json =
        essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"));
    if is_json {
        Ok(())
    } else {
        Err(Refused::NotJson)
    }
}

struct Unclear;

/// The value of a header that must not be repeated.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Unclear> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Unclear),
        (Some(_), Some(_)) => Err(Unclear),
    }
}

/// `Host`. HTTP/1.0 clients need not send it, such as some probes; browsers always do.
fn host<B>(request: &Request<B>) -> Result<Option<Authority>, Refused> {
    match one(request.headers(), &HOST) {
        Ok(None) if request.version() == Version::HTTP_10 => Ok(None),
        Ok(Some(host)) => host.parse().map(Some).map_err(|_| Refused::UnclearHost),
        Ok(None) | Err(Unclear) => Err(Refused::UnclearHost),
    }
}

fn is_ours(authority: &Authority, names: &[Box<str>]) -> Result<bool, Refused> {
    if authority.as_str().contains('@') {
        return Err(Refused::UnclearHost);
    }
    let host = authority.host();
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']');
        return Ok(address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()));
    }
    // Rust does not parse other spellings of IPv4 addresses. Browsers normalize them to this one.
    if host.parse::<Ipv4Addr>().is_ok() {
        return Ok(true);
    }
    // The trailing dot only marks the name as fully qualified.
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_known = |known: &str| name.eq_ignore_ascii_case(known);
    Ok(is_known("localhost") || names.iter().any(|known| is_known(known)))
}

/// Whether the request is not sent by a web page, or by one of ours.
fn is_of_this_site(headers: &HeaderMap, target: Option<&Authority>) -> bool {
    let site = one(headers, &SEC_FETCH_SITE);
    let is_near = |site| matches!(site, None | Some("same-origin" | "none"));
    if !site.is_ok_and(is_near) {
        return false;
    }
    match one(headers, &ORIGIN) {
        Ok(None) => true,
        Ok(Some(origin)) => target.is_some_and(|target| is_origin_of(origin, target)),
        Err(Unclear) => false,
    }
}

/// Whether pages of `origin` are at `target`. A proxy in between may terminate TLS.
fn is_origin_of(origin: &str, target: &Authority) -> bool {
    ["http", "https"].into_iter().any(|scheme| {
        let authority = origin
            .strip_prefix(scheme)
            .and_then(|rest| rest.strip_prefix("://"))
            .and_then(|rest| rest.parse::<Authority>().ok());
        let default = if scheme == "http" { 80 } else { 443 };
        authority.is_some_and(|authority| {
            let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
            authority.host().eq_ignore_ascii_case(target.host()) && port(&authority) == port(target)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_request(
        target: &str,
        version: Version,
        headers: &[(&str, &str)],
    ) -> Result<(), Refused> {
        let mut request = Request::get(target).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let names = ["partywall.monitoring.svc".into()];
        check(&request.body(()).unwrap(), &names)
    }

    fn by_host(host: &str) -> Result<(), Refused> {
        check_request("/-/config", Version::HTTP_11, &[("Host", host)])
    }

    #[test]
    fn addresses_and_known_names_are_accepted() {
        for host in [
            "localhost",
            "LOCALHOST:9999",
            "localhost.",
            "localhost.:8081",
            "127.0.0.1:8081",
            "10.1.2.3",
            "0.0.0.0:8081",
            "[::1]:8081",
            "[fd00::1]",
            "[::ffff:10.1.2.3]:1",
            "partywall.monitoring.svc:8081",
            "Partywall.Monitoring.SVC.",
        ] {
            assert_eq!(by_host(host), Ok(()), "{host}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for host in [
            "evil.test",
            "evil.test:8081",
            "localhost.evil.test",
            "evil.localhost",
            "127.0.0.1.evil.test",
            "127.0.0.1.",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "x.partywall.monitoring.svc",
            "partywall.monitoring.svc..",
            "localhost..",
            "partywall",
            "1::",
        ] {
            assert!(by_host(host).is_err(), "{host}");
        }
    }

    #[test]
    fn unclear_hosts_are_refused() {
        for host in [
            "",
            "a b",
            "user@localhost",
            "localhost@evil.test",
            "[::1",
            "[::1%25eth0]",
        ] {
            assert!(by_host(host).is_err(), "{host}");
        }
        let twice = [("Host", "localhost"), ("Host", "localhost")];
        let unclear = Err(Refused::UnclearHost);
        assert_eq!(check_request("/", Version::HTTP_11, &twice), unclear);
        assert_eq!(check_request("/", Version::HTTP_11, &[]), unclear);
        assert_eq!(check_request("/", Version::HTTP_10, &[]), Ok(()));
    }

    #[test]
    fn neither_target_nor_header_may_be_a_foreign_name() {
        let both = |target, host| check_request(target, Version::HTTP_11, &[("Host", host)]);
        assert_eq!(both("http://localhost/", "localhost"), Ok(()));
        let unknown = Err(Refused::UnknownHost);
        assert_eq!(both("http://evil.test/", "localhost"), unknown);
        assert_eq!(both("http://localhost/", "evil.test"), unknown);
        let old = check_request("http://evil.test/", Version::HTTP_10, &[]);
        assert_eq!(old, unknown);
    }

    #[test]
    fn web_pages_of_other_sites_are_refused() {
        let by = |headers: &[(&str, &str)]| {
            let all = [&[("Host", "localhost:8081")], headers].concat();
            check_request("/-/config", Version::HTTP_11, &all)
        };
        for (name, value) in [
            ("Sec-Fetch-Site", "none"),
            ("Sec-Fetch-Site", "same-origin"),
            ("Origin", "http://localhost:8081"),
            ("Origin", "https://localhost:8081"),
            ("Origin", "http://LOCALHOST:8081"),
        ] {
            assert_eq!(by(&[(name, value)]), Ok(()), "{name}: {value}");
        }
        for (name, value) in [
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
            ("Sec-Fetch-Site", "None"),
            ("Sec-Fetch-Site", ""),
            ("Origin", "null"),
            ("Origin", ""),
            ("Origin", "http://localhost"),
            ("Origin", "http://localhost:3000"),
            ("Origin", "http://evil.test"),
            ("Origin", "http://localhost:8081.evil.test"),
            ("Origin", "http://127.0.0.1:8081"),
            ("Origin", "chrome-extension://localhost:8081"),
        ] {
            assert_eq!(
                by(&[(name, value)]),
                Err(Refused::OtherSite),
                "{name}: {value}"
            );
        }
        let twice = [("Origin", "http://localhost:8081"), ("Origin", "null")];
        assert_eq!(by(&twice), Err(Refused::OtherSite));
        let twice = [("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")];
        assert_eq!(by(&twice), Err(Refused::OtherSite));
    }

    #[test]
    fn content_types_that_a_form_can_send_are_refused() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_TYPE, value.parse().unwrap());
            }
            check_json(&headers)
        };
        for value in ["application/json", "Application/JSON; charset=utf-8"] {
            assert_eq!(of(&[value]), Ok(()), "{value}");
        }
        for value in [
            "text/plain",
            "text/plain; application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=application/json",
            "application/jsonx",
            "",
        ] {
            assert_eq!(of(&[value]), Err(Refused::NotJson), "{value}");
        }
        assert_eq!(of(&[]), Err(Refused::NotJson));
        let twice = ["application/json", "text/plain"];
        assert_eq!(of(&twice), Err(Refused::NotJson));
    }
}
