//! The API of Alertmanager.

use serde_json::{Value, json};

use super::operation::{About, Answer, Body, Operation, Parameter, Refused, Tag, Treatment};
use super::problems;
use crate::alertmanager::endpoints::Endpoint;
use crate::alertmanager::params::{self, Policy};
use crate::proxy::error::{Dialect, ErrorKind};
use crate::telemetry::metrics::Decision;

pub(super) fn operations() -> impl Iterator<Item = Operation> {
    Endpoint::all().map(|endpoint| Operation {
        tag: Tag::Alerts,
        path: endpoint.template(),
        methods: endpoint.methods(),
        name: endpoint.name(),
        about: about(&endpoint),
        parameters: parameters(&endpoint),
        refused: refused(&endpoint),
        body: body(&endpoint),
        answers: answers(&endpoint),
        problems: errors(&endpoint),
        dialect: Dialect::Alertmanager,
    })
}

fn about(endpoint: &Endpoint) -> About {
    use Decision::{Confined, Filtered};
    let (summary, decision, rule) = match endpoint {
        Endpoint::Alerts => (
            "Alerts",
            Confined,
            "Listed are the alerts that carry the caller's tenants; ids of silences and alerts that \
             are not the caller's are left out. Each alert that is posted must carry them; where \
             the caller has one tenant, a missing label is added.",
        ),
        Endpoint::AlertGroups => (
            "Alerts in groups",
            Confined,
            "As `/api/v2/alerts`; groups without an alert of the caller's are left out.",
        ),
        Endpoint::Silences => (
            "Silences",
            Filtered,
            "Listed are silences that can match the caller's alerts alone. To one that is posted the \
             matchers of the caller's tenants are added; one that names other tenants is refused \
             (403), and one that changes a silence which is not the caller's too (404).",
        ),
        Endpoint::Silence(_) => (
            "Silence by id",
            Filtered,
            "A silence that can match others' alerts does not exist: it is neither shown nor \
             expired.",
        ),
        Endpoint::Receivers => (
            "Receivers",
            Filtered,
            "Listed are the receivers that the caller's alerts go to now.",
        ),
        Endpoint::Status => (
            "Status",
            Filtered,
            "The version is shown; the configuration and the cluster are withheld, since they are \
             all tenants'.",
        ),
    };
    About {
        summary,
        decision: Some(decision),
        rule,
        docs: "https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml",
    }
}

fn parameters(endpoint: &Endpoint) -> Vec<Parameter> {
    let in_path = match endpoint {
        Endpoint::Silence(_) => Some("id"),
        _ => None,
    };
    let in_path = in_path.map(|name| Parameter {
        name,
        is_in_path: true,
        is_list: false,
        is_required: true,
        treatment: Treatment::Checked,
        text: "The silence: a UUID.",
    });
    let listed = params::table(endpoint)
        .iter()
        .filter_map(|&(name, policy)| {
            Some(Parameter {
                name,
                is_in_path: false,
                is_list: matches!(name, "filter" | "receiver_matchers"),
                is_required: false,
                treatment: match policy {
                    Policy::Filter => Treatment::Confined,
                    Policy::Pass => Treatment::Passed,
                    Policy::Refused => return None,
                },
                text: text(name),
            })
        });
    in_path.into_iter().chain(listed).collect()
}

fn text(name: &str) -> &'static str {
    match name {
        "filter" => "A matcher such as `alertname=\"X\"`; all must match.",
        "receiver" => "An expression that one of the receivers matches.",
        "receiver_matchers" => "A matcher of the labels of receivers.",
        "active" => "Whether active ones are listed.",
        "silenced" => "Whether silenced ones are listed.",
        "inhibited" => "Whether inhibited ones are listed.",
        "unprocessed" => "Whether unprocessed ones are listed.",
        "muted" => "Whether muted groups are listed.",
        "pending" => "Whether pending ones are listed.",
        "expired" => "Whether expired ones are listed.",
        _ => "",
    }
}

fn refused(endpoint: &Endpoint) -> Vec<Refused> {
    let refused = |&(name, policy): &(&'static str, Policy)| {
        let why = "the answer is made of alerts, which do not tell the labels of receivers";
        (policy == Policy::Refused).then_some(Refused { name, why })
    };
    params::table(endpoint).iter().filter_map(refused).collect()
}

fn body(endpoint: &Endpoint) -> Body {
    let labels = || json!({"type": "object", "additionalProperties": {"type": "string"}});
    let text = || json!({"type": "string"});
    let of = |schema: Value, text| Body::Of {
        media_type: "application/json",
        schema,
        text,
    };
    match endpoint {
        Endpoint::Alerts => of(
            json!({"type": "array", "items": {
                "type": "object",
                "required": ["labels"],
                "properties": {
                    "labels": labels(),
                    "annotations": labels(),
                    "startsAt": text(),
                    "endsAt": text(),
                    "generatorURL": text(),
                },
                "additionalProperties": false,
            }}),
            "The alerts.",
        ),
        Endpoint::Silences => of(
            json!({
                "type": "object",
                "required": ["matchers", "startsAt", "endsAt", "createdBy", "comment"],
                "properties": {
                    "id": text(),
                    "matchers": {"type": "array", "minItems": 1, "items": {
                        "type": "object",
                        "required": ["name", "value", "isRegex"],
                        "properties": {
                            "name": text(),
                            "value": text(),
                            "isRegex": {"type": "boolean"},
                            "isEqual": {"type": "boolean"},
                        },
                        "additionalProperties": false,
                    }},
                    "startsAt": text(),
                    "endsAt": text(),
                    "createdBy": text(),
                    "comment": text(),
                    "annotations": labels(),
                    "status": {"description": "Ignored."},
                    "updatedAt": {"description": "Ignored."},
                },
                "additionalProperties": false,
            }),
            "The silence; with an `id`, it changes that one.",
        ),
        _ => Body::None,
    }
}

fn answers(endpoint: &Endpoint) -> Vec<Answer> {
    let found = Answer {
        status: 200,
        media_types: vec!["application/json"],
        schema: Some("AlertmanagerAnswer"),
        text: "The answer of a store that holds the caller's tenants alone.",
    };
    let mut all = vec![found];
    if let Endpoint::Silence(_) = endpoint {
        all.push(Answer {
            status: 404,
            media_types: Vec::new(),
            schema: None,
            text: "There is no such silence, or it is not the caller's alone: the same answer.",
        });
    }
    all
}

fn errors(endpoint: &Endpoint) -> Vec<ErrorKind> {
    let mut all = problems::ANY.to_vec();
    if let Body::Of { .. } = body(endpoint) {
        all.extend(problems::OF_BODY);
    }
    match endpoint {
        Endpoint::Silence(_) => all.push(ErrorKind::Unprocessable),
        Endpoint::Silences => all.push(ErrorKind::NotFound),
        _ => {}
    }
    all
}
