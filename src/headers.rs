//! Which headers are forwarded, and which are returned.

use std::borrow::Cow;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The request headers that are forwarded with a data API call. The request is rebuilt, so this is
/// an allow-list: headers that negotiate the response format or trace the call.
const DATA_REQUEST: [HeaderName; 6] = [
    header::ACCEPT,
    header::USER_AGENT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-request-id"),
    // Remote read negotiates its version with it (Prometheus, storage/remote/client.go).
    HeaderName::from_static("x-prometheus-remote-read-version"),
];

/// The response headers that are returned from a data API call. Others may identify what is behind
/// us.
const DATA_RESPONSE: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CACHE_CONTROL,
    header::DATE,
    header::ETAG,
    header::RETRY_AFTER,
    header::VARY,
];

/// Hop-by-hop headers (RFC 9110 §7.6.1, and older ones still in use).
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

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

/// A data API message seldom has more headers. With less capacity, hyper would have to grow the
/// map, which it reuses for the next message.
const USUAL: usize = 10;

/// The headers of a rebuilt data API request.
pub(crate) fn for_data_request(client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(USUAL);
    for (name, value) in client {
        if DATA_REQUEST.contains(name) {
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
        if DATA_RESPONSE.contains(name) {
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
/// that some server trusts, and those that may contain the token.
pub(crate) fn strip_request(headers: &mut HeaderMap, token_headers: &[HeaderName]) {
    strip_hop_by_hop(headers);
    strip_trusted(headers);
    for name in token_headers.iter().chain([&header::HOST, &header::EXPECT]) {
        headers.remove(name);
    }
}

/// Removes from a request's trailers what a server might merge into its headers (RFC 9110 §6.5.1)
/// and trust.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    strip_trusted(trailers);
    trailers.remove(header::AUTHORIZATION);
    trailers.remove(header::HOST);
}

fn strip_trusted(headers: &mut HeaderMap) {
    let trusted: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_trusted_by_servers(name))
        .cloned()
        .collect();
    for name in &trusted {
        headers.remove(name);
    }
}

/// Removes the hop-by-hop headers, and those that `Connection` names.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Whether a request's content type is gRPC, with any message format.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn is_trusted_by_servers(name: &HeaderName) -> bool {
    let mut name = Cow::Borrowed(name.as_str());
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
