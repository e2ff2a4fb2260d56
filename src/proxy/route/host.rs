//! The host that a request is for, parsed once.

use hyper::header::HOST;
use hyper::http::uri::Authority;
use hyper::{Request, Version};
use thiserror::Error;

/// A host name in lower case, without port; none if the request has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Host(Option<Box<str>>);

/// Why a request has no host, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(in crate::proxy) enum HostRefusal {
    #[error("the request has no Host header")]
    Missing,
    #[error("the request has several Host headers")]
    Several,
    #[error("the request's Host header differs from its :authority")]
    Differing,
    #[error("the request's host is not a name or an address")]
    Malformed,
}

/// Requires exactly one host (RFC 9112 §3.2; for HTTP/2, RFC 9113 §8.3.1).
pub(in crate::proxy) fn read<B>(request: &Request<B>) -> Result<Host, HostRefusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return Err(HostRefusal::Several);
    }
    // Nearly every request's: one header, spelled so that there is nothing to parse.
    if let (Version::HTTP_11, Some(header), None) =
        (request.version(), header, request.uri().authority())
        && let Some(name) = plain_name(header.as_bytes())
    {
        return Ok(Host(Some(name.into())));
    }
    let said = match (request.version(), header, request.uri().authority()) {
        (Version::HTTP_11, None, _) => return Err(HostRefusal::Missing),
        (Version::HTTP_2, Some(header), Some(target))
            if header.as_bytes() != target.as_str().as_bytes() =>
        {
            return Err(HostRefusal::Differing);
        }
        // RFC 9112 §3.2.2: an absolute target takes precedence over the header.
        (_, _, Some(target)) => target.clone(),
        (_, Some(header), None) if !header.is_empty() => {
            Authority::try_from(header.as_bytes()).map_err(|_| HostRefusal::Malformed)?
        }
        // RFC 9110 §7.2: an empty header means no host.
        (_, _, None) => return Ok(Host(None)),
    };
    if said.as_str().contains('@') {
        return Err(HostRefusal::Malformed);
    }
    let name = said.host();
    let name = name.strip_suffix('.').unwrap_or(name);
    Ok(Host(Some(name.to_ascii_lowercase().into())))
}

/// The name of a host that is written in lower case, with a port or without.
fn plain_name(host: &[u8]) -> Option<&str> {
    let is_plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    let length = host.iter().take_while(|byte| is_plain(byte)).count();
    let (name, port) = host.split_at_checked(length)?;
    let has_port = match port.split_first() {
        Some((b':', digits)) => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        Some(_) => return None,
        None => true,
    };
    let name = std::str::from_utf8(name).ok()?;
    (has_port && !name.is_empty() && !name.ends_with('.')).then_some(name)
}

impl Host {
    /// Whether it is one of these names, which are in lower case.
    pub(in crate::proxy) fn is_one_of(&self, names: &[Box<str>]) -> bool {
        self.0.as_ref().is_some_and(|host| names.contains(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(version: Version, uri: &str, hosts: &[&str]) -> Result<Host, HostRefusal> {
        let mut builder = Request::builder().version(version).uri(uri);
        for host in hosts {
            builder = builder.header(HOST, *host);
        }
        read(&builder.body(()).unwrap())
    }

    fn named(host: &str) -> Host {
        Host(Some(host.into()))
    }

    #[test]
    fn request_must_name_exactly_one_host() {
        let (h1, h2) = (Version::HTTP_11, Version::HTTP_2);
        assert_eq!(read_of(h1, "/x", &["a"]), Ok(named("a")));
        assert_eq!(read_of(h1, "/x", &[]), Err(HostRefusal::Missing));
        assert_eq!(read_of(h1, "/x", &["a", "a"]), Err(HostRefusal::Several));
        assert_eq!(read_of(h1, "http://a/x", &[]), Err(HostRefusal::Missing));
        assert_eq!(read_of(Version::HTTP_10, "/x", &[]), Ok(Host(None)));
        assert_eq!(read_of(h2, "http://a/x", &[]), Ok(named("a")));
        assert_eq!(read_of(h2, "http://a/x", &["a"]), Ok(named("a")));
        assert_eq!(
            read_of(h2, "http://a/x", &["b"]),
            Err(HostRefusal::Differing)
        );
        assert_eq!(read_of(h1, "http://a/x", &["b"]), Ok(named("a")));
    }

    #[test]
    fn host_is_compared_without_case_port_and_final_dot() {
        for spelling in [
            "EU.example.com",
            "eu.example.com:8443",
            "eu.example.com.",
            "eu.Example.COM.:1",
        ] {
            let host = read_of(Version::HTTP_11, "/x", &[spelling]);
            assert_eq!(host, Ok(named("eu.example.com")), "{spelling}");
        }
        assert_eq!(
            read_of(Version::HTTP_11, "/x", &["[::1]:80"]),
            Ok(named("[::1]"))
        );
        assert_eq!(read_of(Version::HTTP_11, "/x", &[""]), Ok(Host(None)));
    }

    /// The short way gives what parsing gives.
    #[test]
    fn plain_name_is_what_the_parser_reads() {
        for host in [
            "a",
            "eu.example.com",
            "a-b.c:80",
            "10.0.0.7:9090",
            "a:b",
            "a:",
            ".",
            "a.",
            "",
        ] {
            let parsed = Authority::try_from(host).ok();
            let name = parsed.as_ref().map(Authority::host);
            if let Some(plain) = plain_name(host.as_bytes()) {
                assert_eq!(Some(plain), name, "{host}");
            }
        }
        for host in [
            "a.", "A", "a@b", "a:b", "a:", "[::1]", "", "a/b", "a b", "\u{e9}",
        ] {
            assert_eq!(plain_name(host.as_bytes()), None, "{host}");
        }
        assert_eq!(plain_name(b"thanos.svc:80"), Some("thanos.svc"));
    }

    #[test]
    fn invalid_host_is_refused() {
        for spelling in ["eu@us", "a b", "a/b", "a?b", "[::1", "a:b:c"] {
            let host = read_of(Version::HTTP_11, "/x", &[spelling]);
            assert_eq!(host, Err(HostRefusal::Malformed), "{spelling}");
        }
    }
}
