//! The parameters of each endpoint, from every `FormValue`, `Form[…]` and `URL.Query()` of the
//! handlers in `web/api/v1/api.go`, `web/api/v1/search.go`, `web/federate.go` (Prometheus) and `pkg/api/query/v1.go`,
//! `pkg/queryfrontend` (Thanos).

use super::super::clusters;
use super::super::endpoints::Endpoint;
use super::super::form::Weight;

/// What is done with a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Used once; confined as a query.
    Query,
    /// A list; each is confined as a selector.
    Selectors,
    /// Used once; confined as a selector. An empty one counts as missing.
    Selector,
    /// A list; each must be a selector, and is forwarded unmodified.
    CheckedSelectors,
    /// Used once; forwarded.
    Pass,
    /// Used once; forwarded if it is one of these, else dropped.
    OneOf(&'static [&'static str]),
    /// Used once; forwarded unmodified: a query that is printed, and selects nothing.
    PrintedQuery,
    /// A list; forwarded.
    PassList,
    /// A list of labels that are removed from the series; forwarded unless a tenant label is in it.
    Labels,
    /// Refused if present.
    Forbid(&'static str),
    /// Refused if it turns something on, otherwise dropped.
    ForbidIfOn(&'static str),
    /// Used once; applied to the response here.
    Local(LocalParameter),
}

impl Policy {
    /// Whether it is a query, of which there may not be two.
    pub fn is_query(self) -> bool {
        matches!(self, Self::Query | Self::Selector | Self::PrintedQuery)
    }

    /// What it means to a call that a parameter cannot be read.
    fn weight(self) -> Weight {
        match self {
            Self::Pass | Self::PassList | Self::OneOf(_) | Self::ForbidIfOn(_) | Self::Local(_) => {
                Weight::Read
            }
            Self::Query
            | Self::Selectors
            | Self::Selector
            | Self::CheckedSelectors
            | Self::PrintedQuery
            | Self::Labels
            | Self::Forbid(_) => Weight::Decisive,
        }
    }

    /// Whether the upstream reads one value of the parameter, not a list.
    pub fn is_used_once(self) -> bool {
        matches!(
            self,
            Self::Query
                | Self::Selector
                | Self::Pass
                | Self::OneOf(_)
                | Self::PrintedQuery
                | Self::Local(_)
        )
    }
}

/// What is applied to the filtered response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalParameter {
    /// Search results with the metadata of the tenant's own targets.
    IncludeMetadata,
    /// Rules without their alerts.
    ExcludeAlerts,
    /// At most this many rule groups.
    GroupLimit,
    /// The token of the first rule group.
    GroupNextToken,
    /// At most this many metrics.
    MetadataLimit,
    /// At most this many entries per metric.
    MetadataLimitPerMetric,
}

/// A parameter's name, and what is done with it.
pub type Row = (&'static str, Policy);

/// The parameters of an endpoint, in groups, some of which other endpoints have too.
#[derive(Clone, Copy)]
pub struct Table(&'static [&'static [Row]]);

impl Table {
    pub fn rows(self) -> impl Iterator<Item = &'static Row> {
        self.0.iter().copied().flatten()
    }

    /// The row of a parameter that the endpoint reads.
    pub fn find(self, name: &str) -> Option<&'static Row> {
        let in_group = |rows: &&'static [Row]| rows.iter().find(|(known, _)| *known == name);
        self.0.iter().find_map(in_group)
    }
}

/// The parameters that an endpoint reads, and what is done with each; others are dropped.
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
        Endpoint::TargetsMetadata => TARGETS_METADATA,
        Endpoint::Metadata => METADATA,
        Endpoint::SearchMetricNames => SEARCH_METRIC_NAMES,
        Endpoint::SearchLabelNames => SEARCH_LABEL_NAMES,
        Endpoint::SearchLabelValues => SEARCH_LABEL_VALUES,
        Endpoint::ParseQuery | Endpoint::FormatQuery => PURE_QUERY,
        Endpoint::OpenApi => OPEN_API,
        Endpoint::Alerts
        | Endpoint::RemoteRead
        | Endpoint::BuildInfo
        | Endpoint::StatusFlags
        | Endpoint::Stores
        | Endpoint::Notifications
        | Endpoint::NotificationsLive
        | Endpoint::ScrapePools
        | Endpoint::Alertmanagers
        | Endpoint::Features => Table(&[]),
    }
}

/// What a parameter means to a call.
pub fn weight(endpoint: &Endpoint, name: &str) -> Weight {
    if name == clusters::PARAMETER {
        return Weight::Decisive;
    }
    let listed = of(endpoint).find(name);
    listed.map_or(Weight::Ignored, |(_, policy)| policy.weight())
}

const STORE_MATCH: Row = (
    "storeMatch[]",
    Policy::Forbid("it selects stores, which are shared by all tenants"),
);
const DEDUP: Row = ("dedup", Policy::Pass);
const PARTIAL_RESPONSE: Row = ("partial_response", Policy::Pass);
const REPLICA_LABELS: Row = ("replicaLabels[]", Policy::Labels);
const SHARD_INFO: Row = (
    "shard_info",
    Policy::Forbid("it is for query frontends, which split queries themselves"),
);
const ANALYZE: Row = (
    "analyze",
    Policy::ForbidIfOn("its answer names the addresses of stores"),
);
/// Thanos' engines. Its web interface sends `undefined` where it was not told the flags, and Thanos
/// refuses what it does not know; without the parameter it takes its default.
const ENGINE: Row = ("engine", Policy::OneOf(&["prometheus", "thanos"]));
/// In earlier versions of Thanos; now an endpoint of its own.
const EXPLAIN: Row = (
    "explain",
    Policy::ForbidIfOn("its answer may name remote engines"),
);

const START: Row = ("start", Policy::Pass);
const END: Row = ("end", Policy::Pass);
const LIMIT: Row = ("limit", Policy::Pass);
const MATCH: Row = ("match[]", Policy::Selectors);
const CONFINED_QUERY: Row = ("query", Policy::Query);

/// What both kinds of query have, after what nearly each query has.
const EVALUATION: &[Row] = &[
    ("timeout", Policy::Pass),
    LIMIT,
    ("lookback_delta", Policy::Pass),
    ("stats", Policy::Pass),
    DEDUP,
    PARTIAL_RESPONSE,
    REPLICA_LABELS,
    ("max_source_resolution", Policy::Pass),
    ENGINE,
    STORE_MATCH,
    SHARD_INFO,
    ANALYZE,
    EXPLAIN,
];
const QUERY: Table = Table(&[&[CONFINED_QUERY, ("time", Policy::Pass)], EVALUATION]);
const QUERY_RANGE: Table = Table(&[
    &[CONFINED_QUERY, START, END, ("step", Policy::Pass)],
    EVALUATION,
]);
const QUERY_EXEMPLARS: Table = Table(&[&[CONFINED_QUERY, START, END]]);
const LABEL_ROWS: &[Row] = &[MATCH, START, END, LIMIT, PARTIAL_RESPONSE, STORE_MATCH];
const LABELS: Table = Table(&[LABEL_ROWS]);
const SERIES: Table = Table(&[LABEL_ROWS, &[DEDUP, REPLICA_LABELS]]);
const FEDERATE: Table = Table(&[&[MATCH]]);
/// `group_limit` and `group_next_token` are not forwarded: pages that are cut before filtering would
/// show how many groups other tenants have.
const RULES: Table = Table(&[&[
    ("type", Policy::Pass),
    ("rule_name[]", Policy::PassList),
    ("rule_group[]", Policy::PassList),
    ("file[]", Policy::PassList),
    ("match[]", Policy::CheckedSelectors),
    (
        "exclude_alerts",
        Policy::Local(LocalParameter::ExcludeAlerts),
    ),
    ("group_limit", Policy::Local(LocalParameter::GroupLimit)),
    (
        "group_next_token",
        Policy::Local(LocalParameter::GroupNextToken),
    ),
]]);
const TARGETS: Table = Table(&[&[("state", Policy::Pass), ("scrapePool", Policy::Pass)]]);
/// The limit counts what `match_target` selects, which are the tenant's targets alone.
const TARGETS_METADATA: Table = Table(&[&[
    ("match_target", Policy::Selector),
    ("metric", Policy::Pass),
    LIMIT,
]]);
const METADATA: Table = Table(&[&[
    ("metric", Policy::Pass),
    ("limit", Policy::Local(LocalParameter::MetadataLimit)),
    (
        "limit_per_metric",
        Policy::Local(LocalParameter::MetadataLimitPerMetric),
    ),
]]);
const SEARCH: &[Row] = &[
    MATCH,
    START,
    END,
    LIMIT,
    ("search[]", Policy::PassList),
    ("fuzz_threshold", Policy::Pass),
    ("fuzz_alg", Policy::Pass),
    ("case_sensitive", Policy::Pass),
    ("include_score", Policy::Pass),
    ("sort_by", Policy::Pass),
    ("sort_dir", Policy::Pass),
    ("batch_size", Policy::Pass),
];
const SEARCH_LABEL_NAMES: Table = Table(&[SEARCH]);
/// The upstream takes metadata from any target that has the metric, whoever that target's tenant is.
const SEARCH_METRIC_NAMES: Table = Table(&[
    SEARCH,
    &[(
        "include_metadata",
        Policy::Local(LocalParameter::IncludeMetadata),
    )],
]);
const SEARCH_LABEL_VALUES: Table = Table(&[SEARCH, &[("label", Policy::Pass)]]);
const PURE_QUERY: Table = Table(&[&[("query", Policy::PrintedQuery)]]);
const OPEN_API: Table = Table(&[&[("openapi_version", Policy::Pass)]]);
