//! The API of Prometheus and Thanos.

use serde_json::json;

use super::operation::{About, Answer, Body, Operation, Parameter, Refused, Tag, Treatment};
use super::problems;
use crate::prometheus::endpoints::Endpoint;
use crate::prometheus::params::table::{self, Policy};
use crate::prometheus::window;
use crate::proxy::error::{Dialect, ErrorKind};
use crate::telemetry::metrics::Decision;

pub(super) fn operations() -> impl Iterator<Item = Operation> {
    Endpoint::all().map(|endpoint| Operation {
        tag: Tag::Metrics,
        path: endpoint.template(),
        methods: endpoint.methods(),
        name: endpoint.name(),
        about: about(&endpoint),
        parameters: parameters(&endpoint),
        refused: refused(&endpoint),
        body: body(&endpoint),
        answers: vec![answer(&endpoint)],
        problems: errors(&endpoint),
        dialect: Dialect::Prometheus,
    })
}

const SELECTORS: &str = "The matcher of the caller's tenants is written into every `match[]`; one \
                         is added where there is none.";
const QUERY: &str = "The matcher of the caller's tenants is written into every selector of the \
                     query, those in aggregation parameters included.";
const SEARCH: &str = "The matcher of the caller's tenants is written into every `match[]`; one is \
    added where there is none. Metadata are those of the tenants' own targets.";
const NO_ALERTMANAGER: &str = "No Alertmanager; the upstream's own to callers with all tenants where \
    `unknown` is open.";
const TARGETS_METADATA: &str = "The matcher of the caller's tenants is written into `match_target`; metadata \
    of other targets is left out.";
const METADATA: &str = "Metrics that the caller's tenants do not have are left out. Help texts and \
    units are those of the tenants' own targets, else empty.";
const SCRAPE_POOLS: &str = "Pools without a target of the caller's tenants are left out.";

fn about(endpoint: &Endpoint) -> About {
    use Decision::{Confined, Filtered, Passed};
    let (summary, decision, rule) = match endpoint {
        Endpoint::Query => ("Instant query", Confined, QUERY),
        Endpoint::QueryRange => ("Range query", Confined, QUERY),
        Endpoint::QueryExemplars => {
            let rule = "The matcher of the caller's tenants is written into every selector; \
                        exemplars are those of the series that it finds.";
            ("Exemplars", Confined, rule)
        }
        Endpoint::Series => {
            let rule = "The matcher of the caller's tenants is written into every `match[]`.";
            ("Series", Confined, rule)
        }
        Endpoint::Labels => ("Label names", Confined, SELECTORS),
        Endpoint::LabelValues(_) => ("Label values", Confined, SELECTORS),
        Endpoint::Federate => {
            let rule = "The matcher of the caller's tenants is written into every `match[]`; \
                        without any, nothing is answered.";
            ("Federation", Confined, rule)
        }
        Endpoint::Rules => {
            let rule = "Rules of others are left out. A \
                        shared alerting rule shows the caller's alerts alone, with its state \
                        made of those; it is hidden where its expression names another tenant. \
                        Groups are not paged.";
            ("Rules", Filtered, rule)
        }
        Endpoint::Alerts => (
            "Alerts",
            Filtered,
            "Alerts without the caller's tenant among their labels are left out. Texts and values \
             of shared rules' alerts that could hold other tenants' data are empty.",
        ),
        Endpoint::Targets => {
            let rule = "Targets without the caller's tenant among their labels are left out; \
                        discovered labels and dropped targets always are.";
            ("Targets", Filtered, rule)
        }
        Endpoint::TargetsMetadata => ("Metadata of targets", Filtered, TARGETS_METADATA),
        Endpoint::Metadata => ("Metadata of metrics", Filtered, METADATA),
        Endpoint::SearchMetricNames => ("Search for metric names", Filtered, SEARCH),
        Endpoint::SearchLabelNames => ("Search for label names", Filtered, SELECTORS),
        Endpoint::SearchLabelValues => ("Search for label values", Filtered, SELECTORS),
        Endpoint::RemoteRead => {
            let rule = "The matcher of the caller's tenants is added to every query.";
            ("Remote read", Confined, rule)
        }
        Endpoint::BuildInfo => ("Version", Passed, "It has no tenant data."),
        Endpoint::ParseQuery => ("Parse a query", Passed, "No data is selected with it."),
        Endpoint::FormatQuery => ("Format a query", Passed, "No data is selected with it."),
        Endpoint::StatusFlags => {
            let rule = "Flags that shape queries and say how long data is kept are shown, no \
                        others; all of them to callers with all tenants where `status` is open.";
            ("Flags of the upstream", Filtered, rule)
        }
        Endpoint::Stores => {
            let rule = "An empty object; the stores themselves to callers with all tenants where \
                        `stores` is open.";
            ("Stores of Thanos", Filtered, rule)
        }
        Endpoint::Notifications => {
            let rule = "An empty list; the upstream's own to callers with all tenants where \
                        `unknown` is open.";
            ("Notifications of the upstream", Filtered, rule)
        }
        Endpoint::NotificationsLive => {
            let rule = "204: there is no stream of events, so clients poll `notifications`; the \
                        upstream's own to callers with all tenants where `unknown` is open.";
            ("Stream of notifications", Filtered, rule)
        }
        Endpoint::ScrapePools => ("Scrape pools", Filtered, SCRAPE_POOLS),
        Endpoint::Alertmanagers => ("Alertmanagers of the upstream", Filtered, NO_ALERTMANAGER),
        Endpoint::Features => ("Features", Passed, "It knows no tenant."),
        Endpoint::OpenApi => ("OpenAPI of the upstream", Passed, "It knows no tenant."),
    };
    About {
        summary,
        decision: Some(decision),
        rule,
        docs: match endpoint {
            Endpoint::Federate => "https://prometheus.io/docs/prometheus/latest/federation/",
            _ => "https://prometheus.io/docs/prometheus/latest/querying/api/",
        },
    }
}

fn parameters(endpoint: &Endpoint) -> Vec<Parameter> {
    let mut all = Vec::new();
    if let Endpoint::LabelValues(_) = endpoint {
        all.push(Parameter {
            name: "name",
            is_in_path: true,
            is_list: false,
            is_required: true,
            treatment: Treatment::Passed,
            text: "The label.",
        });
    }
    all.extend(table::of(endpoint).rows().filter_map(|&(name, policy)| {
        Some(Parameter {
            name,
            is_in_path: false,
            is_list: !policy.is_used_once(),
            is_required: is_required(endpoint, name),
            treatment: treatment(policy)?,
            text: text(endpoint, name),
        })
    }));
    all
}

/// `None` if it is refused.
fn treatment(policy: Policy) -> Option<Treatment> {
    match policy {
        Policy::Query | Policy::Selectors | Policy::Selector => Some(Treatment::Confined),
        Policy::CheckedSelectors | Policy::Labels | Policy::OneOf(_) => Some(Treatment::Checked),
        Policy::Pass | Policy::PrintedQuery | Policy::PassList => Some(Treatment::Passed),
        Policy::Local(_) => Some(Treatment::Local),
        Policy::Forbid(_) | Policy::ForbidIfOn(_) => None,
    }
}

fn refused(endpoint: &Endpoint) -> Vec<Refused> {
    let refused = |&(name, policy): &(&'static str, Policy)| match policy {
        Policy::Forbid(why) | Policy::ForbidIfOn(why) => Some(Refused { name, why }),
        _ => None,
    };
    table::of(endpoint).rows().filter_map(refused).collect()
}

/// Whether Prometheus requires the parameter.
fn is_required(endpoint: &Endpoint, name: &str) -> bool {
    match name {
        "query" | "label" => true,
        "start" | "end" | "step" => *endpoint == Endpoint::QueryRange,
        "match[]" => matches!(endpoint, Endpoint::Series | Endpoint::Federate),
        _ => false,
    }
}

fn text(endpoint: &Endpoint, name: &str) -> &'static str {
    match name {
        "query" => "PromQL.",
        "time" => "The evaluation time, in Unix seconds or as RFC 3339; default now.",
        "start" => "Where the range begins, in Unix seconds or as RFC 3339.",
        "end" => "Where the range ends, in Unix seconds or as RFC 3339.",
        "step" => "The step between points, as a duration or in seconds.",
        "timeout" => "The evaluation timeout, as a duration.",
        "limit" if *endpoint == Endpoint::Metadata => "The most metrics.",
        "limit" => "The most entries in the response.",
        "limit_per_metric" => "The most entries per metric; 0 is no limit.",
        "lookback_delta" => "How far back a sample counts, as a duration.",
        "stats" => "Whether the response has statistics.",
        "dedup" => "Thanos: whether replicas are merged.",
        "partial_response" => "Thanos: whether a response may be partial.",
        "replicaLabels[]" => {
            "Thanos: labels by which replicas differ; the tenant label is refused (403)."
        }
        "max_source_resolution" => "Thanos: the coarsest downsampling.",
        "engine" => {
            "Thanos: which engine evaluates it, `prometheus` or `thanos`; others are dropped."
        }
        "openapi_version" => "Which version of OpenAPI it is written in: `3.1` or `3.2`.",
        "match[]" => "A series selector.",
        "match_target" => "A selector of targets, by their labels.",
        "type" => "Which rules: `alert` or `record`.",
        "rule_name[]" => "Rules of this name.",
        "rule_group[]" => "Groups of this name.",
        "file[]" => "Groups of this file.",
        "exclude_alerts" => "Whether to leave out the alerts of rules.",
        "group_limit" => "The most groups in the response, of those that are shown.",
        "group_next_token" => "Where the page begins: `groupNextToken` of the page before.",
        "state" => "Which targets: `active`, `dropped` or `any`.",
        "scrapePool" => "Targets of this scrape job.",
        "metric" => "The metric; default all.",
        "search[]" => "A term that names match; several are alternatives. At most 32.",
        "fuzz_threshold" => "How alike a name must be to a term, from 0 to 100.",
        "fuzz_alg" => "How likeness is measured: `subsequence` or `jarowinkler`.",
        "case_sensitive" => "Whether upper and lower case differ; default true.",
        "include_score" => "Whether results say how well they match.",
        "include_metadata" => "Whether results have type, help text and unit.",
        "sort_by" => "The order: `alpha` or `score`.",
        "sort_dir" => "The direction of `alpha`: `asc` or `dsc`.",
        "batch_size" => "How many results are in a line.",
        "label" => "The label whose values are searched.",
        _ => "",
    }
}

fn body(endpoint: &Endpoint) -> Body {
    match endpoint {
        Endpoint::RemoteRead => Body::Of {
            media_type: "application/x-protobuf",
            schema: json!({}),
            text: "A `prometheus.ReadRequest`, compressed with snappy (`Content-Encoding: \
                   snappy`).",
        },
        endpoint if endpoint.allows("POST") => Body::Form,
        _ => Body::None,
    }
}

fn answer(endpoint: &Endpoint) -> Answer {
    let (media_types, schema, text) = match endpoint {
        Endpoint::Federate => (
            vec!["text/plain"],
            None,
            "Series in the text format, as the upstream writes them.",
        ),
        Endpoint::OpenApi => (
            vec!["application/yaml"],
            None,
            "The document, as the upstream gives it.",
        ),
        Endpoint::NotificationsLive => {
            return Answer {
                status: 204,
                media_types: Vec::new(),
                schema: None,
                text: "There is no stream of events.",
            };
        }
        Endpoint::RemoteRead => (
            vec!["application/x-protobuf", "application/x-streamed-protobuf"],
            None,
            "A `prometheus.ReadResponse`, or frames of `prometheus.ChunkedReadResponse`.",
        ),
        endpoint if endpoint.is_search() => (
            vec!["application/x-ndjson"],
            None,
            "Lines of JSON, as the upstream writes them: batches of results, and a last line that \
             says whether all went well.",
        ),
        _ => (
            vec!["application/json"],
            Some("PrometheusSuccess"),
            "The response of a store that has only the caller's tenants. Warnings that could \
             name others are replaced.",
        ),
    };
    Answer {
        status: 200,
        media_types,
        schema,
        text,
    }
}

fn errors(endpoint: &Endpoint) -> Vec<ErrorKind> {
    let mut all = problems::ANY.to_vec();
    if endpoint.allows("POST") {
        all.extend(problems::OF_BODY);
    }
    let has_window = window::window(endpoint, |_| None).is_some();
    let has_text = !matches!(body(endpoint), Body::None)
        || matches!(endpoint, Endpoint::LabelValues(_) | Endpoint::Federate);
    if has_window || has_text {
        all.push(ErrorKind::Unprocessable);
    }
    all
}
