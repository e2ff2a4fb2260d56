//! Which headers are forwarded, and which are returned.

use std::borrow::Cow;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The request headers that are forwarded with a data API call. The request is rebuilt, so this is
/// an allow-list: headers that negotiate the response format or trace the call.
fn is_of_data_request(name: &str) -> bool {
    matches!(
        name,
        "accept"
            | "user-agent"
            | "traceparent"
            | "tracestate"
            | "x-request-id"
            // Remote read negotiates its version with it (Prometheus, storage/remote/client.go).
            | "x-prometheus-remote-read-version"
    )
}

/// The response headers that are returned from a data API call. Others may identify what is behind
/// us.
fn is_of_data_response(name: &str) -> bool {
    matches!(
        name,
        "content-type"
            | "content-encoding"
            | "cache-control"
            | "date"
            | "etag"
            | "retry-after"
            | "vary"
    )
}

/// Hop-by-hop headers (RFC 9110 §7.6.1, and older ones still in use).
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// Headers that some server trusts to name the caller, the tenant or the path. They are compared
/// without case and with `_` as `-`, since some servers treat the two alike.
const TRUSTED_BY_SERVERS: [&str; 10] = [
    "forwarded",
    "thanos-tenant",
    "x-scope-orgid",
    "x-tenant",
    "x-tenant-id",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// Prefixes of such headers.
const TRUSTED_PREFIXES: [&str; 7] = [
    "x-forwarded-",
    "x-original-",
    "x-envoy-",
    "x-grafana-",
    "x-webauth-",
    "x-remote-",
    "impersonate-",
];

/// The first letters of all of them.
const TRUSTED_INITIALS: [char; 4] = ['f', 'i', 't', 'x'];

/// A data API message seldom has more headers. With less capacity, hyper would have to grow the
/// map, which it reuses for the next message.
const USUAL: usize = 10;

/// The headers of a rebuilt data API request.
pub(crate) fn for_data_request(client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(USUAL);
    for (name, value) in client {
        if is_of_data_request(name.as_str()) {
            headers.append(name, value.clone());
        }
    }
    // A compressed response has to be decompressed before it can be filtered or scrubbed.
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    headers
}

/// The headers of a data API response; of a repeated header only the first.
pub(crate) fn for_data_response(upstream: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(USUAL);
    for (name, value) in upstream {
        if is_of_data_response(name.as_str()) {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }
    headers
}

/// Says of an answer whose bytes were changed that its entity tag stands for the meaning alone
/// (RFC 9110 §8.8.1).
pub(crate) fn weaken_etag(headers: &mut HeaderMap) {
    let Some(strong) = headers.get(header::ETAG) else {
        return;
    };
    if strong.as_bytes().starts_with(b"W/") {
        return;
    }
    match HeaderValue::from_bytes(&[b"W/", strong.as_bytes()].concat()) {
        Ok(weak) => drop(headers.insert(header::ETAG, weak)),
        Err(_) => drop(headers.remove(header::ETAG)),
    }
}

/// Removes from a passed-through request what must not be forwarded: hop-by-hop headers, headers
/// that some server trusts, those that may contain the token, and `Host`, which the upstream sets.
pub(crate) fn strip_request(headers: &mut HeaderMap, token_headers: &[HeaderName]) {
    strip(headers, |name| {
        is_hop_by_hop(name.as_str())
            || is_trusted_by_servers(name.as_str())
            || matches!(name.as_str(), "host" | "expect")
            || token_headers.contains(name)
    });
}

/// Removes from a request's trailers what a server might merge into its headers (RFC 9110 §6.5.1)
/// and trust.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    strip(trailers, |name| {
        is_trusted_by_servers(name.as_str()) || matches!(name.as_str(), "authorization" | "host")
    });
}

/// Removes the hop-by-hop headers, and those that `Connection` names.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    strip(headers, |name| is_hop_by_hop(name.as_str()));
}

/// Removes these headers, and those that `Connection` names. It looks at the headers that are
/// there, which are fewer than the names that are looked for: removing one that is absent costs as
/// much as removing one that is there.
fn strip(headers: &mut HeaderMap, is_unwanted: impl Fn(&HeaderName) -> bool) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let unwanted: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_unwanted(name) || named.contains(name))
        .cloned()
        .collect();
    for name in &unwanted {
        headers.remove(name);
    }
}

/// Whether a request's content type is gRPC, with any message format.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn is_trusted_by_servers(name: &str) -> bool {
    // Most headers are none of these by their first letter.
    if !name.starts_with(TRUSTED_INITIALS) {
        return false;
    }
    let mut name = Cow::Borrowed(name);
    if name.contains('_') {
        name = name.replace('_', "-").into();
    }
    TRUSTED_BY_SERVERS.contains(&&*name)
        || TRUSTED_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    value.parse::<HeaderValue>().unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn headers_that_identify_the_caller_are_stripped() {
        let mut headers = map(&[
            ("X-Scope-OrgID", "b"),
            ("x_scope_orgid", "b"),
            ("THANOS-TENANT", "b"),
            ("X-Forwarded-User", "root"),
            ("Impersonate-User", "root"),
            ("X-WEBAUTH-USER", "root"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("X-Original-URL", "/api/v1/query"),
            ("Authorization", "Bearer t"),
            ("X-Id-Token", "t"),
            ("Connection", "close, X-Named"),
            ("X-Named", "1"),
            ("Cookie", "kept=1"),
            ("X-Other", "kept"),
        ]);
        let tokens = [header::AUTHORIZATION, HeaderName::from_static("x-id-token")];
        strip_request(&mut headers, &tokens);
        assert_eq!(headers, map(&[("Cookie", "kept=1"), ("X-Other", "kept")]));
    }

    #[test]
    fn trusted_names_are_found_by_their_initials() {
        for name in TRUSTED_BY_SERVERS.iter().chain(&TRUSTED_PREFIXES) {
            assert!(name.starts_with(TRUSTED_INITIALS), "{name}");
        }
    }

    #[test]
    fn data_request_has_only_negotiation_and_trace_headers() {
        let client = map(&[
            ("Accept", "application/json"),
            ("Accept-Encoding", "gzip"),
            ("Cookie", "session=1"),
            ("X-Scope-OrgID", "b"),
            ("traceparent", "00-1-1-01"),
        ]);
        let expected = map(&[
            ("Accept", "application/json"),
            ("traceparent", "00-1-1-01"),
            ("Accept-Encoding", "identity"),
        ]);
        assert_eq!(for_data_request(&client), expected);
    }
}
