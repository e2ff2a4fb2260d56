//! The parameters of each endpoint, read from every `FormValue`, `Form[…]` and `URL.Query()` of
//! the handlers in `web/api/v1/api.go`, `web/federate.go` (Prometheus) and `pkg/api/query/v1.go`,
//! `pkg/queryfrontend` (Thanos).

use super::super::clusters;
use super::super::endpoints::Endpoint;
use super::super::form::Weight;

/// What happens to a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Counts once; confined as a query.
    Query,
    /// A list; each is confined as a selector.
    Selectors,
    /// A list; each must be a selector, and goes up as it is.
    CheckedSelectors,
    /// Counts once; goes up.
    Pass,
    /// Counts once; forwarded unmodified: a query that is printed, and selects nothing.
    PrintedQuery,
    /// A list; goes up.
    PassList,
    /// A list of labels that are taken off the series; goes up unless a tenant label is in it.
    Labels,
    /// Refused if it is there at all.
    Forbid(&'static str),
    /// Refused if it switches something on, else dropped.
    ForbidIfOn(&'static str),
    /// Counts once; is done here.
    Local(LocalParameter),
}

impl Policy {
    /// Whether it is a query, of which there may not be two.
    pub fn is_query(self) -> bool {
        matches!(self, Self::Query | Self::PrintedQuery)
    }

    /// What it means to a call that a parameter cannot be read.
    fn weight(self) -> Weight {
        match self {
            Self::Pass | Self::PassList | Self::ForbidIfOn(_) | Self::Local(_) => Weight::Read,
            Self::Query
            | Self::Selectors
            | Self::CheckedSelectors
            | Self::PrintedQuery
            | Self::Labels
            | Self::Forbid(_) => Weight::Decisive,
        }
    }

    /// Whether the upstream reads one value of the parameter, not a list.
    pub fn counts_once(self) -> bool {
        matches!(
            self,
            Self::Query | Self::Pass | Self::PrintedQuery | Self::Local(_)
        )
    }
}

/// What is done here with the filtered answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalParameter {
    /// Rules lose their alerts.
    ExcludeAlerts,
    /// There are no more metrics than this.
    MetadataLimit,
    /// Merged metadata has one entry a metric, so any limit holds; only its form is checked.
    MetadataLimitPerMetric,
}

/// Parameters of a call.
pub type Table = &'static [(&'static str, Policy)];

/// The parameters an endpoint reads, and what happens to each; others are dropped.
pub fn of(endpoint: &Endpoint) -> Table {
    match endpoint {
        Endpoint::Query => QUERY,
        Endpoint::QueryRange => QUERY_RANGE,
        Endpoint::QueryExemplars => QUERY_EXEMPLARS,
        Endpoint::Series => SERIES,
        Endpoint::Labels | Endpoint::LabelValues(_) => LABELS,
        Endpoint::Federate => FEDERATE,
        Endpoint::Rules => RULES,
        Endpoint::Targets => TARGETS,
        Endpoint::Metadata => METADATA,
        Endpoint::ParseQuery | Endpoint::FormatQuery => PURE_QUERY,
        Endpoint::Alerts | Endpoint::RemoteRead | Endpoint::BuildInfo => &[],
    }
}

/// What a parameter means to a call.
pub fn weight(endpoint: &Endpoint, name: &str) -> Weight {
    if name == clusters::PARAMETER {
        return Weight::Decisive;
    }
    let mut listed = of(endpoint).iter();
    let listed = listed.find(|(known, _)| *known == name);
    listed.map_or(Weight::Ignored, |(_, policy)| policy.weight())
}

const STORE_MATCH: (&str, Policy) = (
    "storeMatch[]",
    Policy::Forbid("it selects stores, which are shared by all tenants"),
);
const PARTIAL_RESPONSE: (&str, Policy) = ("partial_response", Policy::Pass);
const REPLICA_LABELS: (&str, Policy) = ("replicaLabels[]", Policy::Labels);
const SHARD_INFO: (&str, Policy) = (
    "shard_info",
    Policy::Forbid("it is for query frontends, which split queries themselves"),
);
const ANALYZE: (&str, Policy) = (
    "analyze",
    Policy::ForbidIfOn("its answer names the addresses of stores"),
);
/// Of earlier Thanos; now an endpoint of its own.
const EXPLAIN: (&str, Policy) = (
    "explain",
    Policy::ForbidIfOn("its answer may name remote engines"),
);

const QUERY: Table = &[
    ("query", Policy::Query),
    ("time", Policy::Pass),
    ("timeout", Policy::Pass),
    ("limit", Policy::Pass),
    ("lookback_delta", Policy::Pass),
    ("stats", Policy::Pass),
    ("dedup", Policy::Pass),
    PARTIAL_RESPONSE,
    REPLICA_LABELS,
    ("max_source_resolution", Policy::Pass),
    ("engine", Policy::Pass),
    STORE_MATCH,
    SHARD_INFO,
    ANALYZE,
    EXPLAIN,
];
const QUERY_RANGE: Table = &[
    ("query", Policy::Query),
    ("start", Policy::Pass),
    ("end", Policy::Pass),
    ("step", Policy::Pass),
    ("timeout", Policy::Pass),
    ("limit", Policy::Pass),
    ("lookback_delta", Policy::Pass),
    ("stats", Policy::Pass),
    ("dedup", Policy::Pass),
    PARTIAL_RESPONSE,
    REPLICA_LABELS,
    ("max_source_resolution", Policy::Pass),
    ("engine", Policy::Pass),
    STORE_MATCH,
    SHARD_INFO,
    ANALYZE,
    EXPLAIN,
];
const QUERY_EXEMPLARS: Table = &[
    ("query", Policy::Query),
    ("start", Policy::Pass),
    ("end", Policy::Pass),
];
const SERIES: Table = &[
    ("match[]", Policy::Selectors),
    ("start", Policy::Pass),
    ("end", Policy::Pass),
    ("limit", Policy::Pass),
    ("dedup", Policy::Pass),
    PARTIAL_RESPONSE,
    REPLICA_LABELS,
    STORE_MATCH,
];
const LABELS: Table = &[
    ("match[]", Policy::Selectors),
    ("start", Policy::Pass),
    ("end", Policy::Pass),
    ("limit", Policy::Pass),
    PARTIAL_RESPONSE,
    STORE_MATCH,
];
const FEDERATE: Table = &[("match[]", Policy::Selectors)];
/// `group_limit` and `group_next_token` are dropped: pages cut before filtering would show how
/// many groups others have. The answer is whole.
const RULES: Table = &[
    ("type", Policy::Pass),
    ("rule_name[]", Policy::PassList),
    ("rule_group[]", Policy::PassList),
    ("file[]", Policy::PassList),
    ("match[]", Policy::CheckedSelectors),
    (
        "exclude_alerts",
        Policy::Local(LocalParameter::ExcludeAlerts),
    ),
];
const TARGETS: Table = &[("state", Policy::Pass), ("scrapePool", Policy::Pass)];
const METADATA: Table = &[
    ("metric", Policy::Pass),
    ("limit", Policy::Local(LocalParameter::MetadataLimit)),
    (
        "limit_per_metric",
        Policy::Local(LocalParameter::MetadataLimitPerMetric),
    ),
];
const PURE_QUERY: Table = &[("query", Policy::PrintedQuery)];
