//! The admin address.

use serde_json::{Value, json};

use super::operation::{About, Answer, Body, Operation, Tag};
use crate::admin::endpoints::Endpoint;
use crate::proxy::error::{Dialect, ErrorKind};

pub(super) fn operations() -> impl Iterator<Item = Operation> {
    Endpoint::ALL.into_iter().map(|endpoint| Operation {
        tag: Tag::Admin,
        path: endpoint.path(),
        methods: endpoint.methods(),
        name: name(endpoint),
        about: about(endpoint),
        parameters: Vec::new(),
        refused: Vec::new(),
        body: body(endpoint),
        answers: answers(endpoint),
        problems: vec![ErrorKind::MethodNotAllowed],
        dialect: Dialect::Plain,
    })
}

fn name(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Healthy => "admin_healthy",
        Endpoint::Ready => "admin_ready",
        Endpoint::Metrics => "admin_metrics",
        Endpoint::Config => "admin_config",
        Endpoint::Reload => "admin_reload",
        Endpoint::Explain => "admin_explain",
        Endpoint::Flush => "admin_cache_flush",
        Endpoint::Reference => "admin_api",
        Endpoint::OpenApi => "admin_openapi",
    }
}

fn about(endpoint: Endpoint) -> About {
    let (summary, rule) = match endpoint {
        Endpoint::Healthy => ("Whether the process is up", "For a liveness probe."),
        Endpoint::Ready => (
            "Whether this instance is ready",
            "For a readiness probe: 503 while draining, while an issuer's keys are missing and, \
             with `health.gates_readiness`, while an upstream is down.",
        ),
        Endpoint::Metrics => ("Metrics", "For a Prometheus to scrape."),
        Endpoint::Config => (
            "The config in force",
            "With secrets as `***`, and how the last reload went.",
        ),
        Endpoint::Reload => (
            "Reload the config",
            "A config with an error changes nothing. Send it as `application/json`; a body is not \
             needed.",
        ),
        Endpoint::Explain => (
            "What would happen to a request",
            "By the rules in force, as `partywall explain` shows it. Nothing is sent, and nothing \
             is logged.",
        ),
        Endpoint::Flush => (
            "Flush the response cache",
            "Of the upstream that `?upstream=NAME` names, or, without it, of all. Send it as \
             `application/json`; a body is not needed.",
        ),
        Endpoint::Reference => ("This reference, for a browser", "It runs no script."),
        Endpoint::OpenApi => ("This reference, as OpenAPI 3.1", "For tools."),
    };
    About {
        summary,
        decision: None,
        rule,
        docs: "",
    }
}

fn body(endpoint: Endpoint) -> Body {
    match endpoint {
        Endpoint::Explain => Body::Of {
            media_type: "application/json",
            schema: schema_of_explain(),
            text: "At least one of `query` and `request` is required.",
        },
        _ => Body::None,
    }
}

fn schema_of_explain() -> Value {
    json!({
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "PromQL or TraceQL."},
            "request": {"type": "string", "description": "As `GET /api/v1/labels`."},
            "api": {"enum": ["prometheus", "tempo"]},
            "headers": {"type": "array", "items": {"type": "string"}},
            "token": {"type": "string", "description": "It is verified."},
            "claims": {"type": "object", "description": "Nothing is verified."},
            "issuer": {"type": "string", "description": "The issuer of the claims."},
        },
        "additionalProperties": false,
    })
}

fn answers(endpoint: Endpoint) -> Vec<Answer> {
    const TEXT: &str = "text/plain";
    const JSON: &str = "application/json";
    let one = |status, media_type, text| Answer {
        status,
        media_types: vec![media_type],
        schema: None,
        text,
    };
    let mut answers = match endpoint {
        Endpoint::Healthy => vec![one(200, TEXT, "It is.")],
        Endpoint::Ready => vec![
            one(200, TEXT, "It is ready."),
            one(503, TEXT, "It is not ready; the text says why."),
        ],
        Endpoint::Metrics => vec![one(200, "application/openmetrics-text", "OpenMetrics 1.0.")],
        Endpoint::Config => vec![one(200, TEXT, "YAML, below comments.")],
        Endpoint::Reload => vec![
            one(200, TEXT, "The new config is in force."),
            one(
                422,
                TEXT,
                "The old one stays in force; every error with its line.",
            ),
        ],
        Endpoint::Explain => {
            let explained = Answer {
                schema: Some("Explanation"),
                ..one(200, JSON, "What would be sent, or why it is refused.")
            };
            let wrong = |status, text| Answer {
                schema: Some("Problem"),
                ..one(status, JSON, text)
            };
            vec![
                explained,
                wrong(400, "The body is not a valid request to explain."),
            ]
        }
        Endpoint::Flush => vec![
            one(200, TEXT, "The cached responses were removed."),
            one(400, TEXT, "There is a parameter other than `upstream`."),
            one(
                404,
                TEXT,
                "The config has no `cache`, or there is no such upstream.",
            ),
            one(503, TEXT, "Redis did not answer."),
        ],
        Endpoint::Reference => vec![one(200, "text/html", "A page.")],
        Endpoint::OpenApi => vec![one(200, JSON, "The document.")],
    };
    answers.push(one(
        403,
        TEXT,
        "The request names a host that is neither an IP address nor `localhost` nor in \
         `admin.hosts`, or it comes from a web page of another site.",
    ));
    if !endpoint.methods().contains(&"GET") {
        answers.push(one(
            415,
            TEXT,
            "The content type is not `application/json`.",
        ));
    }
    answers
}
