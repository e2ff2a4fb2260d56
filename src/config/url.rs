//! URLs of upstreams and key sets. Errors do not show them, as they may contain a secret.

use std::net::Ipv6Addr;

use serde::{Serialize, Serializer};

use super::reader::{Field, Read, Reader};
use super::values::{expanded, text};

/// An upstream's `url`, in parts: `http://host:port/base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// `http` or `https`.
    pub https: bool,
    /// Host, and port if one was given: `thanos.monitoring.svc:10902`, `[::1]:9090`.
    pub authority: String,
    /// The base path without a trailing slash: empty or `/prometheus`.
    pub path: String,
}

impl Serialize for BaseUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self {
            https,
            authority,
            path,
        } = self;
        let scheme = if *https { "https" } else { "http" };
        to.collect_str(&format_args!("{scheme}://{authority}{path}"))
    }
}

/// `http://host:port/base`, from a text with `${NAME}` references.
pub(super) fn base(r: &mut Reader<'_>, field: &Field<'_>) -> Read<BaseUrl> {
    let url = expanded(r, field)?;
    parse_base(&url).map_err(|message| r.error(field, message))
}

/// A host name in the form that requests are compared with: lower case, no port, no trailing dot.
pub(super) fn host<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<(Field<'n>, Box<str>)> {
    let host = text(r, field)?.to_ascii_lowercase();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !host.bytes().all(allowed) || host.ends_with('.') {
        let message = "must be a host name or an IPv4 address, without port: eu.example.com";
        return Err(r.error(field, message));
    }
    Ok((field.clone(), host.into()))
}

/// Any absolute `http` or `https` URL without a fragment, from a text with `${NAME}` references.
pub(super) fn absolute(r: &mut Reader<'_>, field: &Field<'_>) -> Read<String> {
    let url = expanded(r, field)?;
    match parse(&url) {
        Ok(_) => Ok(url),
        Err(message) => Err(r.error(field, message)),
    }
}

/// Whether an issuer's metadata can be fetched: an `http` or `https` URL with neither query nor
/// fragment (OpenID Connect Discovery 1.0 §3, "issuer").
pub(super) fn is_discoverable(issuer: &str) -> bool {
    parse(issuer).is_ok_and(|url| url.query.is_none())
}

/// Whether a URL is encrypted.
pub(super) fn is_https(url: &str) -> bool {
    parse(url).is_ok_and(|url| url.https)
}

struct Parts<'a> {
    https: bool,
    authority: &'a str,
    path: &'a str,
    query: Option<&'a str>,
}

fn parse_base(url: &str) -> Result<BaseUrl, &'static str> {
    let url = parse(url)?;
    if url.query.is_some() {
        return Err("the URL must not have a query");
    }
    let path = url.path.strip_suffix('/').unwrap_or(url.path);
    let clean = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte))
    };
    if !path.split('/').skip(1).all(clean) {
        return Err(
            "the URL's path must be plain: no empty or dot segments, no `%`, `;` or spaces",
        );
    }
    if leads_into_an_api(path) {
        return Err("the URL's path leads into the API: paths outside of it would reach it");
    }
    Ok(BaseUrl {
        https: url.https,
        authority: url.authority.to_owned(),
        path: path.to_owned(),
    })
}

/// Whether this base path turns a path outside the data APIs into one inside: `/v1/query` below
/// `/api`. `/api/prom` and the like are prefixes of their own.
fn leads_into_an_api(path: &str) -> bool {
    let mut segments = path.rsplit('/');
    match (segments.next(), segments.next()) {
        (Some("api"), _) => true,
        (Some(last), Some("api")) => {
            matches!(
                last,
                "v1" | "v2" | "search" | "traces" | "metrics" | "status"
            )
        }
        _ => false,
    }
}

/// The parts of RFC 3986 §3 that an absolute HTTP URL has.
fn parse(url: &str) -> Result<Parts<'_>, &'static str> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or("must be an absolute URL: http://… or https://…")?;
    let https = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return Err("the URL's scheme must be http or https"),
    };
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the URL must be ASCII without spaces");
    }
    if rest.contains('#') {
        return Err("the URL must not have a fragment (`#…`)");
    }
    let (before_query, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = match before_query.find('/') {
        Some(slash) => before_query
            .split_at_checked(slash)
            .unwrap_or((before_query, "")),
        None => (before_query, ""),
    };
    check_authority(authority)?;
    Ok(Parts {
        https,
        authority,
        path,
        query,
    })
}

fn check_authority(authority: &str) -> Result<(), &'static str> {
    if authority.contains('@') {
        return Err("the URL must not hold a user name or password: use `credentials`");
    }
    let (host_is_valid, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest
            .split_once(']')
            .ok_or("the URL's IPv6 address lacks its `]`")?;
        (address.parse::<Ipv6Addr>().is_ok(), port)
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        let (host, port) = authority.split_at_checked(end).unwrap_or((authority, ""));
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        (!host.is_empty() && host.bytes().all(allowed), port)
    };
    if !host_is_valid {
        return Err("the URL has no valid host");
    }
    let port_is_valid = match port.strip_prefix(':') {
        Some(digits) => {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && digits.parse::<u16>().is_ok_and(|port| port > 0)
        }
        None => port.is_empty(),
    };
    if port_is_valid {
        Ok(())
    } else {
        Err("the URL's port must be a number from 1 to 65535")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_url_is_split_into_parts() {
        for (url, https, authority, path) in [
            ("http://127.0.0.1:10902", false, "127.0.0.1:10902", ""),
            (
                "http://thanos.monitoring.svc:10902/",
                false,
                "thanos.monitoring.svc:10902",
                "",
            ),
            ("HTTPS://example.com/a/b/", true, "example.com", "/a/b"),
            (
                "https://[::1]:9090/prometheus",
                true,
                "[::1]:9090",
                "/prometheus",
            ),
            ("http://[::1]", false, "[::1]", ""),
        ] {
            let expected = BaseUrl {
                https,
                authority: authority.into(),
                path: path.into(),
            };
            assert_eq!(parse_base(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn invalid_base_urls_are_refused() {
        for url in [
            "127.0.0.1:10902",
            "thanos:10902",
            "//thanos",
            "ftp://thanos",
            "http://",
            "http:///path",
            "http://:9090",
            "http://user:pass@host",
            "http://user@host",
            "http://ho st",
            "http://host\n",
            "http://hö",
            "http://host:",
            "http://host:0",
            "http://host:65536",
            "http://host:+80",
            "http://host:80:80",
            "http://[::1",
            "http://[::1]x",
            "http://[1.2.3.4]",
            "http://host\\evil",
            "http://host/api",
            "http://host/x/api/",
            "http://host/api/v1",
            "http://host/a//b",
            "http://host/a/../b",
            "http://host/./b",
            "http://host/a%2fb",
            "http://host/a;b",
            "http://host//",
            "http://host/?q",
            "http://host?q",
            "http://host/#f",
        ] {
            assert!(parse_base(url).is_err(), "{url}");
        }
    }

    #[test]
    fn discovery_requires_an_issuer_without_query() {
        assert!(is_discoverable("https://sso.example.com/realms/x"));
        assert!(is_discoverable("https://example.auth0.com/"));
        assert!(!is_discoverable("accounts.example.com"));
        assert!(!is_discoverable("https://sso.example.com/?a=b"));
        assert!(!is_discoverable("https://sso.example.com/#a"));
    }
}
