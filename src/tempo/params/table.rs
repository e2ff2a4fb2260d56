//! The parameters that each call uses (`pkg/api/http.go`), and what happens to each.

use super::super::endpoints::{Endpoint, Version};
use crate::prometheus::form::Weight;

/// What happens to a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// TraceQL; forwarded confined.
    Query,
    /// Part of a search in the form from before TraceQL; forwarded in the confined query.
    OldForm,
    /// Forwarded.
    Pass,
    /// Tempo's own components talk to each other with it: dropped where it is empty or has this value,
    /// which asks for nothing, and else refused.
    Internal(&'static str),
    /// Refused if it switches something on.
    Unsupported,
}

impl Policy {
    /// Whether it decides what is searched for, so that two of it are refused.
    pub fn is_query(self, name: &str) -> bool {
        self == Self::Query || name == "tags"
    }
}

/// What a parameter means to a call.
pub fn weight(endpoint: &Endpoint, name: &str) -> Weight {
    let mut listed = for_endpoint(endpoint).iter();
    match listed.find(|listed| listed.0 == name) {
        Some((_, Policy::Query | Policy::Internal(_) | Policy::Unsupported)) => Weight::Decisive,
        Some((name, policy)) if policy.is_query(name) => Weight::Decisive,
        Some((_, Policy::OldForm | Policy::Pass)) => Weight::Read,
        // It may be a tag.
        None if *endpoint == Endpoint::Search => Weight::Read,
        None => Weight::Ignored,
    }
}

/// Parameters, of each of which the first counts.
pub type Table = &'static [(&'static str, Policy)];

/// The parameters that a call uses, and what happens to each; others are dropped.
pub fn for_endpoint(endpoint: &Endpoint) -> Table {
    match endpoint {
        Endpoint::Search => SEARCH,
        Endpoint::SearchTags | Endpoint::SearchTagsV2 => TAG_NAMES,
        Endpoint::TagValues { .. } | Endpoint::TagValuesV2(_) => TAG_VALUES,
        Endpoint::MetricsQueryRange => METRICS_QUERY_RANGE,
        Endpoint::MetricsQuery => METRICS_QUERY,
        Endpoint::TraceById { version, .. } => trace_by_id(*version),
        Endpoint::TraceDiff | Endpoint::Echo | Endpoint::BuildInfo | Endpoint::Ready => &[],
    }
}

/// `/api/search`. If none of `q`, `tags`, `start` and `end` is given, every other parameter is a tag.
pub const SEARCH: Table = &[
    ("q", Policy::Query),
    ("tags", Policy::OldForm),
    ("minDuration", Policy::OldForm),
    ("maxDuration", Policy::OldForm),
    ("start", Policy::Pass),
    ("end", Policy::Pass),
    ("limit", Policy::Pass),
    ("spss", Policy::Pass),
];

pub(super) const TAG_NAMES: Table = &[
    ("q", Policy::Query),
    ("scope", Policy::Pass),
    ("start", Policy::Pass),
    ("end", Policy::Pass),
    ("limit", Policy::Pass),
    ("maxStaleValues", Policy::Pass),
];

pub(super) const TAG_VALUES: Table = &[
    ("q", Policy::Query),
    ("start", Policy::Pass),
    ("end", Policy::Pass),
    ("limit", Policy::Pass),
    ("maxStaleValues", Policy::Pass),
];

/// The internal parameters select a block of the shared store, or a part of the work. Tempo's own
/// client sends all of them, without values (`BuildQueryRangeRequest` in `pkg/api/http.go`).
pub(super) const METRICS_QUERY_RANGE: Table = &[
    ("q", Policy::Query),
    ("query", Policy::Query),
    ("start", Policy::Pass),
    ("end", Policy::Pass),
    ("since", Policy::Pass),
    ("step", Policy::Pass),
    ("exemplars", Policy::Pass),
    ("maxSeries", Policy::Pass),
    ("instant", Policy::Pass),
    ("mode", Policy::Internal("")),
    ("blockID", Policy::Internal("")),
    ("startPage", Policy::Internal("0")),
    ("pagesToSearch", Policy::Internal("0")),
    ("version", Policy::Internal("")),
    ("encoding", Policy::Internal("none")),
    ("dataEncoding", Policy::Internal("")),
    ("size", Policy::Internal("0")),
    ("footerSize", Policy::Internal("0")),
    ("indexPageSize", Policy::Internal("0")),
    ("totalRecords", Policy::Internal("0")),
    ("dc", Policy::Internal("")),
];

pub(super) const METRICS_QUERY: Table = &[
    ("q", Policy::Query),
    ("query", Policy::Query),
    ("start", Policy::Pass),
    ("end", Policy::Pass),
    ("since", Policy::Pass),
    ("mode", Policy::Internal("")),
    ("blockID", Policy::Internal("")),
    ("startPage", Policy::Internal("0")),
    ("pagesToSearch", Policy::Internal("0")),
    ("version", Policy::Internal("")),
    ("encoding", Policy::Internal("none")),
    ("dataEncoding", Policy::Internal("")),
    ("size", Policy::Internal("0")),
    ("footerSize", Policy::Internal("0")),
    ("indexPageSize", Policy::Internal("0")),
    ("totalRecords", Policy::Internal("0")),
    ("dc", Policy::Internal("")),
];

/// The second version can filter spans and merge similar ones, both without regard to tenants.
pub(super) fn trace_by_id(version: Version) -> Table {
    match version {
        Version::V1 => &[
            ("start", Policy::Pass),
            ("end", Policy::Pass),
            ("mode", Policy::Pass),
            ("blockStart", Policy::Internal("")),
            ("blockEnd", Policy::Internal("")),
        ],
        Version::V2 => &[
            ("start", Policy::Pass),
            ("end", Policy::Pass),
            ("mode", Policy::Pass),
            ("blockStart", Policy::Internal("")),
            ("blockEnd", Policy::Internal("")),
            ("q", Policy::Unsupported),
            ("span_pruning", Policy::Unsupported),
        ],
    }
}
