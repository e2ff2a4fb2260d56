//! Maps paths to the calls of Tempo's API. The table is closed: a path that is not listed here is
//! not sent to the upstream.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

use super::tag_name::{TagName, TagNameError};
use crate::closed_group::ClosedGroup;

/// A call that this proxy can confine to a tenant, or that has nothing to confine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/api/search`
    Search,
    /// `/api/search/tags`; forwarded as [`Self::SearchTagsV2`]
    SearchTags,
    /// `/api/v2/search/tags`
    SearchTagsV2,
    /// `/api/search/tag/{tag}/values`; forwarded as [`Self::TagValuesV2`]
    TagValues {
        tag: TagName,
        /// As the client wrote it: a name without a scope, which the first version looks up by
        /// rules of its own.
        written: Box<str>,
    },
    /// `/api/v2/search/tag/{tag}/values`
    TagValuesV2(TagName),
    /// `/api/metrics/query_range`
    MetricsQueryRange,
    /// `/api/metrics/query`
    MetricsQuery,
    /// `/api/traces/{id}` and `/api/v2/traces/{id}`
    TraceById {
        version: Version,
        /// As the client wrote it: 1 to 32 hexadecimal digits.
        id: Box<str>,
    },
    /// `/api/v2/traces/diff`
    TraceDiff,
    /// `/api/echo`
    Echo,
    /// `/api/status/buildinfo`
    BuildInfo,
    /// `/ready`
    Ready,
}

/// The two forms of a trace's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `/api/traces/{id}`: a `Trace`.
    V1,
    /// `/api/v2/traces/{id}`: a `TraceByIDResponse`.
    V2,
}

/// What a path means in Tempo's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// A call with its own enforcement.
    Known(Endpoint),
    /// Refused unless the config opens its group, and then only for callers with all tenants.
    Closed(ClosedGroup),
    /// A known call with an invalid trace id or tag: a 400.
    Malformed(PathError),
    /// Not a path of Tempo, internal ones included. Routing may send it elsewhere, but not to a
    /// Tempo.
    Other,
}

/// Why a trace id or tag in a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// Not 1 to 32 hexadecimal digits.
    #[error("a trace id has 1 to 32 hexadecimal digits")]
    TraceId,
    #[error(transparent)]
    Tag(#[from] TagNameError),
}

/// The first path segments that Tempo 2.0 to 3.1 serves outside `/api`
/// (`cmd/tempo/app/modules.go` and `docs/sources/tempo/api_docs`).
const INTERNAL_SEGMENTS: [&str; 16] = [
    "metrics",
    "usage_metrics",
    "debug",
    "memberlist",
    "partition-ring",
    "live-store",
    "distributor",
    "ingester",
    "compactor",
    "metrics-generator",
    "store-gateway",
    "backend-worker",
    "backend-scheduler",
    "block-builder",
    "flush",
    "shutdown",
];

/// The route table of calls without an id or a tag in their path. A path that is not here, nor one
/// of the named calls, is not served.
static FIXED: [Endpoint; 9] = [
    Endpoint::Search,
    Endpoint::SearchTags,
    Endpoint::SearchTagsV2,
    Endpoint::MetricsQueryRange,
    Endpoint::MetricsQuery,
    Endpoint::TraceDiff,
    Endpoint::Echo,
    Endpoint::BuildInfo,
    Endpoint::Ready,
];

/// An example path of each call with an id or a tag in it.
const NAMED: [&str; 4] = [
    "/api/search/tag/service.name/values",
    "/api/v2/search/tag/resource.service.name/values",
    "/api/traces/1",
    "/api/v2/traces/1",
];

/// Classifies a decoded, canonical path (one leading slash, no dot segments, no empty segments
/// except a trailing one). A tag in it may contain slashes. A data endpoint with a trailing slash
/// is an unknown path, as it is in Tempo.
pub fn classify(path: &str) -> Class {
    if let Some(known) = FIXED.iter().find(|known| known.template() == path) {
        return Class::Known(known.clone());
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    let first = path.split('/').next().unwrap_or(path);
    match first {
        "api" => classify_api(path).unwrap_or_else(Class::Malformed),
        "querier" => Class::Closed(ClosedGroup::Querier),
        "status" => Class::Closed(ClosedGroup::Status),
        _ if INTERNAL_SEGMENTS.contains(&first) => Class::Closed(ClosedGroup::Internals),
        // Not a path for Go's router, but possibly for another server in front of Tempo.
        _ if first.eq_ignore_ascii_case("api") => Class::Closed(ClosedGroup::Unknown),
        _ => Class::Other,
    }
}

/// `path` starts with `api`, without a leading slash, and is not in [`FIXED`].
fn classify_api(path: &str) -> Result<Class, PathError> {
    let Some(call) = path.strip_prefix("api/") else {
        return Ok(Class::Closed(ClosedGroup::Unknown));
    };
    Ok(match classify_named(call)? {
        Some(endpoint) => Class::Known(endpoint),
        None => Class::Closed(match call.split('/').next() {
            Some("overrides") => ClosedGroup::Overrides,
            Some("mcp") => ClosedGroup::Mcp,
            Some("status") => ClosedGroup::Status,
            _ => ClosedGroup::Unknown,
        }),
    })
}

/// The calls with a trace id or a tag in their path.
fn classify_named(call: &str) -> Result<Option<Endpoint>, PathError> {
    let trace = |version, id: &str| {
        check_trace_id(id)?;
        let id = id.into();
        Ok(Some(Endpoint::TraceById { version, id }))
    };
    if let Some(id) = call.strip_prefix("v2/traces/") {
        return trace(Version::V2, id);
    }
    if let Some(id) = call.strip_prefix("traces/") {
        return trace(Version::V1, id);
    }
    if let Some(tag) = tag_of(call, "v2/search/tag/") {
        return Ok(Some(Endpoint::TagValuesV2(TagName::parse(tag)?)));
    }
    if let Some(tag) = tag_of(call, "search/tag/") {
        return Ok(Some(Endpoint::TagValues {
            tag: TagName::parse_v1(tag)?,
            written: tag.into(),
        }));
    }
    Ok(None)
}

fn tag_of<'a>(call: &'a str, prefix: &str) -> Option<&'a str> {
    call.strip_prefix(prefix)?.strip_suffix("/values")
}

/// Tempo accepts 1 to 32 hexadecimal digits of either case.
pub fn check_trace_id(id: &str) -> Result<(), PathError> {
    let good = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit());
    good.then_some(()).ok_or(PathError::TraceId)
}

impl Endpoint {
    /// The methods that are taken, as `Allow` lists them, the usual one first. Tempo itself answers
    /// any method as if it were GET, without reading the body; those that real clients use are
    /// taken so.
    pub fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::TraceDiff => &["POST"],
            _ => &["GET", "HEAD", "POST"],
        }
    }

    /// A short name for logs and metrics. Contains nothing from the request.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::SearchTags => "search_tags",
            Self::SearchTagsV2 => "search_tags_v2",
            Self::TagValues { .. } => "tag_values",
            Self::TagValuesV2(_) => "tag_values_v2",
            Self::MetricsQueryRange => "traces_query_range",
            Self::MetricsQuery => "traces_query",
            Self::TraceById {
                version: Version::V1,
                ..
            } => "trace",
            Self::TraceById {
                version: Version::V2,
                ..
            } => "trace_v2",
            Self::TraceDiff => "trace_diff",
            Self::Echo => "echo",
            Self::BuildInfo => "traces_buildinfo",
            Self::Ready => "ready",
        }
    }

    /// All calls; those with an id or a tag in their path with an example of it.
    pub fn all() -> impl Iterator<Item = Self> {
        let named = NAMED.iter().filter_map(|path| match classify(path) {
            Class::Known(endpoint) => Some(endpoint),
            _ => None,
        });
        FIXED.iter().cloned().chain(named)
    }

    /// The canonical path of this call, relative to the upstream's base path.
    pub fn client_path(&self) -> Cow<'static, str> {
        match self {
            Self::TagValues { written, .. } => {
                let tag = utf8_percent_encode(written, SEGMENT);
                Cow::Owned(format!("/api/search/tag/{tag}/values"))
            }
            Self::TagValuesV2(_) | Self::TraceById { .. } => self.upstream_path(),
            fixed => Cow::Borrowed(fixed.template()),
        }
    }

    /// The path that is forwarded, relative to the upstream's base path. Calls of the first version
    /// that Tempo does not filter are forwarded as those of the second.
    pub fn upstream_path(&self) -> Cow<'static, str> {
        match self {
            Self::SearchTags => Cow::Borrowed(Self::SearchTagsV2.template()),
            Self::TagValues { tag, .. } | Self::TagValuesV2(tag) => {
                let tag = tag.to_string();
                let tag = utf8_percent_encode(&tag, SEGMENT);
                Cow::Owned(format!("/api/v2/search/tag/{tag}/values"))
            }
            Self::TraceById { version, id } => {
                let base = match version {
                    Version::V1 => "/api/traces",
                    Version::V2 => "/api/v2/traces",
                };
                Cow::Owned(format!("{base}/{id}"))
            }
            fixed => Cow::Borrowed(fixed.template()),
        }
    }

    /// The call's own path, with `{tag}` and `{id}` as placeholders.
    pub fn template(&self) -> &'static str {
        match self {
            Self::Search => "/api/search",
            Self::SearchTags => "/api/search/tags",
            Self::SearchTagsV2 => "/api/v2/search/tags",
            Self::TagValues { .. } => "/api/search/tag/{tag}/values",
            Self::TagValuesV2(_) => "/api/v2/search/tag/{tag}/values",
            Self::MetricsQueryRange => "/api/metrics/query_range",
            Self::MetricsQuery => "/api/metrics/query",
            Self::TraceById {
                version: Version::V1,
                ..
            } => "/api/traces/{id}",
            Self::TraceById {
                version: Version::V2,
                ..
            } => "/api/v2/traces/{id}",
            Self::TraceDiff => "/api/v2/traces/diff",
            Self::Echo => "/api/echo",
            Self::BuildInfo => "/api/status/buildinfo",
            Self::Ready => "/ready",
        }
    }
}

/// The characters to encode in a path segment: all but RFC 3986's unreserved ones.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn known(path: &str) -> Endpoint {
        match classify(path) {
            Class::Known(endpoint) => endpoint,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn data_endpoints_are_forwarded_to_their_own_path() {
        for path in [
            "/api/search",
            "/api/v2/search/tags",
            "/api/v2/search/tag/resource.service.name/values",
            "/api/v2/search/tag/.x/values",
            "/api/metrics/query_range",
            "/api/metrics/query",
            "/api/traces/0ABC",
            "/api/v2/traces/0abc0000000000000000000000000001",
            "/api/v2/traces/diff",
            "/api/echo",
            "/api/status/buildinfo",
            "/ready",
        ] {
            assert_eq!(known(path).upstream_path(), path);
        }
    }

    #[test]
    fn every_call_is_recognized_by_its_own_path() {
        let mut names = BTreeSet::new();
        for endpoint in Endpoint::all() {
            assert_eq!(known(&endpoint.client_path()), endpoint);
            names.insert(endpoint.name());
        }
        assert_eq!(names.len(), FIXED.len() + NAMED.len());
    }

    #[test]
    fn calls_that_tempo_does_not_filter_are_forwarded_as_v2() {
        let up = |path| known(path).upstream_path();
        assert_eq!(up("/api/search/tags"), "/api/v2/search/tags");
        assert_eq!(
            up("/api/search/tag/service.name/values"),
            "/api/v2/search/tag/resource.service.name/values"
        );
    }

    #[test]
    fn first_version_tag_keeps_its_spelling_in_its_own_path() {
        for path in [
            "/api/search/tag/http.method/values",
            "/api/search/tag/service.name/values",
            "/api/search/tag/status.code/values",
            "/api/search/tag/root.name/values",
            "/api/search/tag/rootName/values",
            "/api/search/tag/resource.service.name/values",
            "/api/search/tag/x/values",
        ] {
            assert_eq!(known(path).client_path(), path);
        }
        assert_eq!(
            known("/api/search/tag/a b?q=%/x/values").client_path(),
            "/api/search/tag/a%20b%3Fq%3D%25%2Fx/values"
        );
    }

    #[test]
    fn tags_are_encoded_as_one_segment() {
        let up = |path| known(path).upstream_path();
        assert_eq!(
            up("/api/search/tag/a b?q=%/x/values"),
            "/api/v2/search/tag/.%22a%20b%3Fq%3D%25%2Fx%22/values"
        );
        assert_eq!(
            up("/api/v2/search/tag/.a/b/values/values"),
            "/api/v2/search/tag/.a%2Fb%2Fvalues/values"
        );
    }

    #[test]
    fn invalid_ids_and_tags_are_malformed() {
        let id = |id: &str| classify(&format!("/api/v2/traces/{id}"));
        for bad in [
            "",
            "zzz",
            "a".repeat(33).as_str(),
            "search?q={}",
            "../search",
            "0abc/",
            "0abc/x",
            "é",
            " 1",
            "diff2",
        ] {
            assert_eq!(id(bad), Class::Malformed(PathError::TraceId), "{bad}");
        }
        assert!(matches!(id(&"a".repeat(32)), Class::Known(_)));
        assert!(matches!(
            classify("/api/traces/diff"),
            Class::Malformed(PathError::TraceId)
        ));
        assert!(matches!(
            classify("/api/v2/search/tag/(rootName)/values"),
            Class::Malformed(PathError::Tag(_))
        ));
    }

    #[test]
    fn other_paths_of_tempo_are_closed() {
        for (path, group) in [
            ("/api/overrides", ClosedGroup::Overrides),
            ("/api/overrides/x", ClosedGroup::Overrides),
            ("/api/mcp", ClosedGroup::Mcp),
            ("/api/metrics/summary", ClosedGroup::Unknown),
            ("/api/nope", ClosedGroup::Unknown),
            ("/api", ClosedGroup::Unknown),
            ("/api/search/", ClosedGroup::Unknown),
            ("/api/search/tags/", ClosedGroup::Unknown),
            ("/api/v2/search/tag/.x/values/", ClosedGroup::Unknown),
            ("/api/v2/traces", ClosedGroup::Unknown),
            ("/API/search", ClosedGroup::Unknown),
            ("/api/status/config", ClosedGroup::Status),
            ("/status", ClosedGroup::Status),
            ("/status/overrides/a", ClosedGroup::Status),
            ("/querier/api/search", ClosedGroup::Querier),
            ("/metrics", ClosedGroup::Internals),
            ("/debug/pprof/heap", ClosedGroup::Internals),
            ("/flush", ClosedGroup::Internals),
            ("/shutdown", ClosedGroup::Internals),
            ("/live-store/prepare-downscale", ClosedGroup::Internals),
            ("/partition-ring", ClosedGroup::Internals),
            ("/ingester/ring", ClosedGroup::Internals),
        ] {
            assert_eq!(classify(path), Class::Closed(group), "{path}");
        }
        assert_eq!(classify("/"), Class::Other);
        assert_eq!(classify("/graph"), Class::Other);
        assert_eq!(classify("/ready/"), Class::Other);
    }
}
