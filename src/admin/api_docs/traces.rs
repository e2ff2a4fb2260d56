//! The API of Tempo.

use std::time::Duration;

use serde_json::json;

use super::operation::{About, Answer, Body, Operation, Parameter, Refused, Tag, Treatment};
use super::problems;
use crate::grpc::method::Method;
use crate::proxy::error::{Dialect, ErrorKind};
use crate::telemetry::metrics::Decision;
use crate::tempo::answer::Format;
use crate::tempo::endpoints::{Endpoint, Version};
use crate::tempo::params::table::{self, Policy};
use crate::tempo::window;

pub(super) fn operations() -> impl Iterator<Item = Operation> {
    Endpoint::all().map(|endpoint| Operation {
        tag: Tag::Traces,
        path: endpoint.template(),
        methods: methods(&endpoint),
        name: endpoint.name(),
        about: about(&endpoint),
        parameters: parameters(&endpoint),
        refused: refused(&endpoint),
        body: body(&endpoint),
        answers: answers(&endpoint),
        problems: errors(&endpoint),
        dialect: Dialect::Plain,
    })
}

pub(super) struct Call {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) decision: Decision,
    pub(super) rule: &'static str,
}

pub(super) fn calls() -> Vec<Call> {
    let call = |method: Method| Call {
        path: method.client_path(),
        name: method.name(),
        decision: match method {
            Method::HealthCheck => Decision::Passed,
            _ => Decision::Confined,
        },
        rule: match method {
            Method::Search => "As `/api/search`.",
            Method::SearchTags => "As `/api/search/tags`.",
            Method::SearchTagsV2 => "As `/api/v2/search/tags`.",
            Method::SearchTagValues => "As `/api/search/tag/{tag}/values`.",
            Method::SearchTagValuesV2 => "As `/api/v2/search/tag/{tag}/values`.",
            Method::MetricsQueryRange => "As `/api/metrics/query_range`.",
            Method::MetricsQueryInstant => "As `/api/metrics/query`.",
            Method::HealthCheck => "Whether the upstream is up; it has no tenant data.",
        },
    };
    Method::ALL.into_iter().map(call).collect()
}

fn methods(endpoint: &Endpoint) -> &'static [&'static str] {
    match endpoint {
        Endpoint::TraceDiff => &["POST"],
        _ => &["GET"],
    }
}

const PIPELINES: &str = "Every pipeline of the TraceQL query begins with the filter of the \
                         caller's tenants. What describes whole traces is refused in the query, \
                         and masked in the answer where others share a trace.";
const TAGS: &str = "Asked with the filter of the caller's tenants, of Tempo's second version.";

fn about(endpoint: &Endpoint) -> About {
    use Decision::{Confined, Filtered, Passed};
    let (summary, decision, rule) = match endpoint {
        Endpoint::Search => ("Search", Confined, PIPELINES),
        Endpoint::SearchTags => ("Names of tags", Confined, TAGS),
        Endpoint::SearchTagsV2 => ("Names of tags, by scope", Confined, TAGS),
        Endpoint::TagValues { .. } => ("Values of a tag", Confined, TAGS),
        Endpoint::TagValuesV2(_) => ("Values of a tag, with types", Confined, TAGS),
        Endpoint::MetricsQueryRange => ("Metrics of spans, over a range", Confined, PIPELINES),
        Endpoint::MetricsQuery => ("Metrics of spans, at once", Confined, PIPELINES),
        Endpoint::TraceById { version, .. } => {
            let rule = "Spans of others are left out; a trace without spans of the caller's \
                        does not exist. `traces.foreign_spans` can leave an outline of them, or \
                        refuse shared traces instead.";
            let summary = match version {
                Version::V1 => "Trace by id",
                Version::V2 => "Trace by id, second version",
            };
            (summary, Filtered, rule)
        }
        Endpoint::TraceDiff => {
            let rule = "Refused (403) unless all spans of both traces are the caller's.";
            ("Difference of two traces", Confined, rule)
        }
        Endpoint::Echo => ("Echo", Passed, "It has no tenant data."),
        Endpoint::BuildInfo => ("Version", Passed, "It has no tenant data."),
        Endpoint::Ready => ("Readiness of Tempo", Passed, "It has no tenant data."),
    };
    About {
        summary,
        decision: Some(decision),
        rule,
        docs: "https://grafana.com/docs/tempo/latest/api_docs/",
    }
}

fn parameters(endpoint: &Endpoint) -> Vec<Parameter> {
    let in_path = match endpoint {
        Endpoint::TraceById { .. } => Some(("id", "The trace: 1 to 32 hexadecimal digits.")),
        Endpoint::TagValues { .. } => {
            Some(("tag", "An attribute without its scope, or an intrinsic."))
        }
        Endpoint::TagValuesV2(_) => {
            let text = "An attribute with its scope (`resource.service.name`, `.x`), or an \
                        intrinsic. It may hold slashes.";
            Some(("tag", text))
        }
        _ => None,
    };
    let mut all = Vec::new();
    all.extend(in_path.map(|(name, text)| Parameter {
        name,
        is_in_path: true,
        is_list: false,
        is_required: true,
        treatment: Treatment::Checked,
        text,
    }));
    all.extend(
        table::for_endpoint(endpoint)
            .iter()
            .filter_map(|&(name, policy)| {
                Some(Parameter {
                    name,
                    is_in_path: false,
                    is_list: false,
                    is_required: false,
                    treatment: treatment(policy)?,
                    text: text(name),
                })
            }),
    );
    all
}

/// `None` if it is refused.
fn treatment(policy: Policy) -> Option<Treatment> {
    match policy {
        Policy::Query | Policy::OldForm => Some(Treatment::Confined),
        Policy::Pass => Some(Treatment::Passed),
        Policy::Internal(_) | Policy::Unsupported => None,
    }
}

fn refused(endpoint: &Endpoint) -> Vec<Refused> {
    let refused = |&(name, policy): &(&'static str, Policy)| {
        let why = match policy {
            Policy::Internal(_) => "Tempo's own components talk to each other with it",
            Policy::Unsupported => "its result has no tenant",
            Policy::Query | Policy::OldForm | Policy::Pass => return None,
        };
        Some(Refused { name, why })
    };
    table::for_endpoint(endpoint)
        .iter()
        .filter_map(refused)
        .collect()
}

fn text(name: &str) -> &'static str {
    match name {
        "q" => "TraceQL.",
        "query" => "Another name of `q`; metrics require one of the two.",
        "tags" => "Older form of a search: tags in logfmt.",
        "minDuration" => "Older form of a search: the shortest duration.",
        "maxDuration" => "Older form of a search: the longest duration.",
        "start" => "Where the range begins, in Unix seconds.",
        "end" => "Where the range ends, in Unix seconds.",
        "since" => "How long the range is, up to now; instead of start and end.",
        "step" => "The step between points, as a duration or in seconds.",
        "limit" => "The most entries in the response.",
        "spss" => "The most spans per span set.",
        "scope" => {
            "Tags of this scope: none, trace, resource, span, event, link, instrumentation or \
             intrinsic."
        }
        "maxStaleValues" => "When Tempo stops looking for new values.",
        "exemplars" => "The most exemplars.",
        "maxSeries" => "The most series.",
        "instant" => "Whether it is one point.",
        "mode" => "Where Tempo looks: all, ingesters, blocks or external.",
        _ => "",
    }
}

fn body(endpoint: &Endpoint) -> Body {
    let side = || {
        json!({
            "type": "object",
            "required": ["traceId"],
            "properties": {
                "traceId": {"type": "string", "pattern": "^[0-9a-fA-F]{1,32}$"},
                "start": {"type": "integer"},
                "end": {"type": "integer"},
            },
            "additionalProperties": false,
        })
    };
    match endpoint {
        Endpoint::TraceDiff => Body::Of {
            media_type: "application/json",
            schema: json!({
                "type": "object",
                "required": ["base", "compare"],
                "properties": {
                    "base": side(),
                    "compare": side(),
                    "format": {"type": "string"},
                },
                "additionalProperties": false,
            }),
            text: "Which two traces.",
        },
        _ => Body::None,
    }
}

fn answers(endpoint: &Endpoint) -> Vec<Answer> {
    let found = |media_types, schema, text| Answer {
        status: 200,
        media_types,
        schema,
        text,
    };
    match endpoint {
        Endpoint::Echo | Endpoint::Ready => {
            vec![found(
                vec!["text/plain"],
                None,
                "As the upstream writes it.",
            )]
        }
        Endpoint::BuildInfo | Endpoint::TraceDiff => {
            let text = "As the upstream writes it.";
            vec![found(vec!["application/json"], Some("TempoAnswer"), text)]
        }
        Endpoint::TraceById {
            version: Version::V1,
            ..
        } => vec![
            found(media_types(endpoint), Some("TempoAnswer"), OWN),
            Answer {
                status: 404,
                media_types: Vec::new(),
                schema: None,
                text: "No span of this trace is the caller's, or there is no such trace: the \
                       same answer.",
            },
        ],
        _ => vec![found(media_types(endpoint), Some("TempoAnswer"), OWN)],
    }
}

const OWN: &str = "The answer of a store that holds the caller's tenants alone.";

/// As [`Format`] selects.
fn media_types(endpoint: &Endpoint) -> Vec<&'static str> {
    let mut all = vec![Format::Json.media_type()];
    let protobuf = Format::Protobuf.media_type();
    if Format::choose(endpoint, Some(protobuf)) == Ok(Format::Protobuf) {
        all.push(protobuf);
    }
    all
}

fn errors(endpoint: &Endpoint) -> Vec<ErrorKind> {
    let mut all = problems::ANY.to_vec();
    if let Body::Of { .. } = body(endpoint) {
        all.push(ErrorKind::RequestTimeout);
    }
    let has_query = matches!(endpoint, Endpoint::Search);
    if has_query || window::of_http_call(endpoint, [].into_iter(), Duration::ZERO).is_some() {
        all.push(ErrorKind::Unprocessable);
    }
    if Format::choose(endpoint, Some("application/vnd.grafana.llm")).is_err() {
        all.push(ErrorKind::NotAcceptable);
    }
    all
}
