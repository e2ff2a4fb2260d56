//! The document, as <https://spec.openapis.org/oas/v3.1.1> defines it. What is specific to
//! Partywall is in extensions: `x-tenancy` and `x-rule` of an operation, `x-treatment` of a
//! parameter, `x-refused`, `x-grpc` and `x-closed`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::operation::{Answer, Body, Operation, Parameter, Tag};
use super::{closed, problems, traces};
use crate::config::settings::ClosedGroup;
use crate::proxy::error::{Dialect, ErrorKind};

const DESCRIPTION: &str = "\
Partywall keeps tenants apart in front of one shared Prometheus or Thanos, one shared Tempo and one shared \
Alertmanager. A tenant's answer is the answer of a private store that holds that tenant's data alone.

`x-tenancy` of an operation says how: `confined`, the request is rewritten before it is sent; \
`filtered`, other tenants' data is removed from the response; `passed`, there is no tenant data in \
it. Callers with all tenants get unmodified responses. Groups of other paths are refused (403, \
`x-closed`) unless `open_to_admins` opens them to those callers. What lies outside these APIs is \
forwarded untouched.

Errors are Partywall's own; those of the upstream come with its status, in the same form, and \
without texts that could name others.

Below an upstream's `path_prefix` everything is as at the root.";

pub(super) fn document(operations: &[Operation]) -> Value {
    let tags = Tag::ALL.map(|tag| json!({"name": tag.name(), "description": tag.about()}));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Partywall",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [server("http://127.0.0.1:8080", "`listeners[].address`; https where it has `tls`.")],
        "security": [{"token": []}],
        "tags": tags,
        "paths": paths(operations),
        "components": {
            "securitySchemes": {"token": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "A token of one of `tokens.issuers`; other headers may carry it, \
                                as `tokens.sources` says. Which tenants it has, `tenancy` says.",
            }},
            "schemas": schemas(),
            "responses": responses(operations),
        },
        "x-grpc": grpc(),
        "x-closed": closed(),
    })
}

fn server(url: &str, description: &str) -> Value {
    json!({
        "url": "{address}",
        "description": description,
        "variables": {"address": {"default": url}},
    })
}

fn paths(operations: &[Operation]) -> Value {
    let mut paths = Map::new();
    for operation in operations {
        let mut item = Map::new();
        if operation.tag == Tag::Admin {
            let admin = server("http://127.0.0.1:8081", "`admin.address`.");
            item.insert("servers".to_owned(), json!([admin]));
        }
        for method in operation.methods {
            item.insert(method.to_lowercase(), of_method(operation, method));
        }
        paths.insert(operation.path.to_owned(), item.into());
    }
    paths.into()
}

fn of_method(operation: &Operation, method: &str) -> Value {
    let about = &operation.about;
    let decision = operation.decision(method);
    let decision = decision.map_or("none", |decision| decision.name());
    let mut out = json!({
        "operationId": operation.id(method),
        "tags": [operation.tag.name()],
        "summary": about.summary,
        "description": about.rule,
        "x-tenancy": decision,
    });
    let mut put = |name, value| put(&mut out, name, value);
    if !about.docs.is_empty() {
        put("externalDocs", json!({"url": about.docs}));
    }
    if operation.tag == Tag::Admin {
        put("security", json!([]));
    }
    let in_form = method == "POST" && matches!(operation.body, Body::Form);
    let parameters = operation.parameters.iter();
    let has_query = operation.has_query(method) && !in_form;
    let listed = parameters.filter(|parameter| parameter.is_in_path || has_query);
    let listed: Vec<Value> = listed.map(parameter).collect();
    if !listed.is_empty() {
        put("parameters", listed.into());
    }
    let takes_body = matches!(method, "POST" | "PUT");
    match &operation.body {
        Body::Form if takes_body => put("requestBody", form(&operation.parameters)),
        Body::Of {
            media_type,
            schema,
            text,
        } if takes_body => put(
            "requestBody",
            json!({
                "description": text,
                "required": true,
                "content": {*media_type: {"schema": schema}},
            }),
        ),
        Body::None | Body::Form | Body::Of { .. } => {}
    }
    if !operation.refused.is_empty() && operation.has_query(method) {
        let refused = operation.refused.iter();
        let refused = refused.map(|one| json!({"name": one.name, "why": one.why}));
        put("x-refused", refused.collect());
    }
    put("responses", of_answers(operation));
    out
}

/// Adds a field to an object.
fn put(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.insert(name.to_owned(), value);
    }
}

fn parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": if parameter.is_in_path { "path" } else { "query" },
        "required": parameter.is_required,
        "description": described(parameter),
        "schema": schema_of(parameter),
        "x-treatment": parameter.treatment.name(),
    })
}

fn described(parameter: &Parameter) -> String {
    format!("{} {}", parameter.text, parameter.treatment.about())
}

/// Repeated parameters are exploded, the default of `query` and of forms.
fn schema_of(parameter: &Parameter) -> Value {
    if parameter.is_list {
        json!({"type": "array", "items": {"type": "string"}})
    } else {
        json!({"type": "string"})
    }
}

fn form(parameters: &[Parameter]) -> Value {
    let in_form = || parameters.iter().filter(|parameter| !parameter.is_in_path);
    let property = |parameter: &Parameter| {
        let mut schema = schema_of(parameter);
        put(&mut schema, "description", described(parameter).into());
        let treatment = parameter.treatment.name();
        put(&mut schema, "x-treatment", treatment.into());
        (parameter.name.to_owned(), schema)
    };
    let properties: Map<String, Value> = in_form().map(property).collect();
    let required = in_form().filter(|parameter| parameter.is_required);
    let required: Vec<&str> = required.map(|parameter| parameter.name).collect();
    json!({
        "description": "Parameters may also be in the URL.",
        "content": {"application/x-www-form-urlencoded": {"schema": {
            "type": "object",
            "properties": properties,
            "required": required,
        }}},
    })
}

fn of_answers(operation: &Operation) -> Value {
    let mut all = BTreeMap::new();
    for kind in &operation.problems {
        let status = kind.status().as_u16();
        let name = response_name(status, operation);
        let reference = json!({"$ref": format!("#/components/responses/{name}")});
        all.insert(status.to_string(), reference);
    }
    for answer in &operation.answers {
        all.insert(answer.status.to_string(), of_answer(answer));
    }
    all.into_iter().collect::<Map<String, Value>>().into()
}

fn of_answer(answer: &Answer) -> Value {
    let mut out = json!({"description": answer.text});
    let of_type = |media_type: &&'static str| {
        let schema = match answer.schema {
            Some(name) if *media_type == "application/json" => {
                json!({"schema": {"$ref": format!("#/components/schemas/{name}")}})
            }
            _ => json!({}),
        };
        ((*media_type).to_owned(), schema)
    };
    if !answer.media_types.is_empty() {
        let content: Map<String, Value> = answer.media_types.iter().map(of_type).collect();
        put(&mut out, "content", content.into());
    }
    out
}

/// One response per status and dialect, for all operations.
fn response_name(status: u16, operation: &Operation) -> String {
    let dialect = match (operation.tag, operation.dialect) {
        (Tag::Admin, _) => "admin",
        (_, Dialect::Prometheus) => "json",
        (_, Dialect::Alertmanager) => "string",
        (_, Dialect::Plain | Dialect::Grpc) => "text",
    };
    format!("{dialect}-{status}")
}

fn responses(operations: &[Operation]) -> Value {
    let mut kinds: BTreeMap<String, (Dialect, BTreeSet<ErrorKind>)> = BTreeMap::new();
    for operation in operations {
        for kind in &operation.problems {
            let name = response_name(kind.status().as_u16(), operation);
            let (_, all) = kinds
                .entry(name)
                .or_insert_with(|| (operation.dialect, BTreeSet::new()));
            all.insert(*kind);
        }
    }
    let rendered = kinds
        .into_iter()
        .map(|(name, (dialect, kinds))| (name, response(dialect, &kinds)));
    rendered.collect::<Map<String, Value>>().into()
}

fn response(dialect: Dialect, kinds: &BTreeSet<ErrorKind>) -> Value {
    let meanings: Vec<&str> = kinds.iter().map(|kind| problems::meaning(*kind)).collect();
    let content = match dialect {
        Dialect::Prometheus => json!({
            "application/json": {"schema": {"$ref": "#/components/schemas/PrometheusError"}}
        }),
        Dialect::Alertmanager => json!({"application/json": {"schema": {"type": "string"}}}),
        Dialect::Plain | Dialect::Grpc => json!({"text/plain": {"schema": {"type": "string"}}}),
    };
    let mut out = json!({"description": meanings.join(" "), "content": content});
    let header = kinds.iter().find_map(|kind| match kind {
        ErrorKind::Unauthenticated => Some(("WWW-Authenticate", "RFC 6750: what is wrong.")),
        ErrorKind::MethodNotAllowed => Some(("Allow", "The methods there are.")),
        ErrorKind::TooManyRequests | ErrorKind::Overloaded => {
            Some(("Retry-After", "In seconds; not on every such response."))
        }
        _ => None,
    });
    if let Some((name, text)) = header {
        let header = json!({"description": text, "schema": {"type": "string"}});
        put(&mut out, "headers", json!({name: header}));
    }
    out
}

fn schemas() -> Value {
    let warnings = json!({"type": "array", "items": {"type": "string"}});
    json!({
        "PrometheusSuccess": {
            "type": "object",
            "description": "`data` is documented by Prometheus for each endpoint.",
            "required": ["status"],
            "properties": {
                "status": {"const": "success"},
                "data": {},
                "warnings": warnings,
                "infos": warnings,
            },
        },
        "PrometheusError": {
            "type": "object",
            "required": ["status", "errorType", "error"],
            "properties": {
                "status": {"const": "error"},
                "errorType": {"type": "string"},
                "error": {"type": "string", "description": "What is wrong, and what to do."},
            },
        },
        "TempoAnswer": {
            "type": "object",
            "description": "Documented by Tempo for each endpoint.",
        },
        "AlertmanagerAnswer": {
            "description": "Documented by Alertmanager for each endpoint.",
        },
        "Explanation": {
            "type": "object",
            "description": "As `partywall explain --json` writes it.",
            "required": ["request", "result"],
            "properties": {
                "request": {"type": "string"},
                "result": {"enum": ["sent", "refused", "answered", "undecided"]},
            },
        },
        "Problem": {
            "type": "object",
            "required": ["error"],
            "properties": {"error": {"type": "string"}},
        },
    })
}

/// gRPC calls cannot be `OpenAPI` paths: they use HTTP/2 and protobuf, and their errors are
/// trailers.
fn grpc() -> Value {
    let calls = traces::calls();
    let of_call = calls.iter().map(|call| {
        json!({
            "path": call.path,
            "name": call.name,
            "x-tenancy": call.decision.name(),
            "description": call.rule,
        })
    });
    of_call.collect()
}

fn closed() -> Value {
    let of_group = ClosedGroup::ALL.into_iter().map(|group| {
        let (text, paths) = closed::about(group);
        json!({"group": group.name(), "description": text, "paths": paths})
    });
    of_group.collect()
}
