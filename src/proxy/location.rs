//! Redirects of passed-through responses: never followed, and never leading the client around us.

use hyper::Uri;

use crate::config::settings::{BaseUrl, Upstream};

/// The `Location` for the client, relative to us and with the upstream's `path_prefix`; `None` if
/// it leads anywhere else. `location` is a URI reference (RFC 9110 §10.2.2), absolute or an
/// absolute path.
pub(super) fn for_client(location: &str, upstream: &Upstream) -> Option<String> {
    let below = below_base(location, &upstream.url)?;
    Some(match &upstream.path_prefix {
        Some(prefix) => format!("{prefix}{below}"),
        None => below,
    })
}

fn below_base(location: &str, upstream: &BaseUrl) -> Option<String> {
    // A path that servers and browsers might read as a host, or as leaving the base path.
    if location.starts_with("//") || location.contains(['\\', '\r', '\n']) {
        return None;
    }
    let target: Uri = location.parse().ok()?;
    if let Some(authority) = target.authority()
        && *authority != *upstream.authority
    {
        return None;
    }
    let path_and_query = target.path_and_query()?.as_str();
    let below = path_and_query.strip_prefix(upstream.path.as_str())?;
    match below.as_bytes().first() {
        None => Some("/".to_owned()),
        Some(b'/') if !below.starts_with("//") => Some(below.to_owned()),
        Some(b'?') => Some(format!("/{below}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(path: &str) -> BaseUrl {
        BaseUrl {
            https: false,
            authority: "thanos:10902".to_owned(),
            path: path.to_owned(),
        }
    }

    #[test]
    fn redirect_within_the_upstream_is_relative_to_us() {
        let root = upstream("");
        assert_eq!(
            below_base("/graph?a=b", &root).as_deref(),
            Some("/graph?a=b")
        );
        assert_eq!(
            below_base("http://thanos:10902/graph", &root).as_deref(),
            Some("/graph")
        );
        let below = upstream("/prom");
        assert_eq!(below_base("/prom/graph", &below).as_deref(), Some("/graph"));
        assert_eq!(below_base("/prom", &below).as_deref(), Some("/"));
    }

    #[test]
    fn redirect_elsewhere_is_refused() {
        let root = upstream("");
        for location in [
            "http://evil/graph",
            "//evil/graph",
            "http://thanos:1/graph",
            "/\\evil",
            "",
        ] {
            assert_eq!(below_base(location, &root), None, "{location}");
        }
        for location in ["/promo", "/other", "/prom//evil"] {
            assert_eq!(below_base(location, &upstream("/prom")), None, "{location}");
        }
    }
}
