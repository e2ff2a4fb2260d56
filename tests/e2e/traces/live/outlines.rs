//! Traces by id with `foreign_spans: outline`, in front of the shared Tempo of the law: the caller's
//! spans are as the private Tempo has them, all others are nodes of the tree, and JSON and protobuf,
//! v1 and v2 say the same.
//!
//! ```text
//! TEMPO_URL=http://127.0.0.1:3200 TEMPO_OTLP_URL=http://127.0.0.1:4318 \
//! TEMPO_PRIVATE_URL=http://127.0.0.1:3201 TEMPO_PRIVATE_OTLP_URL=http://127.0.0.1:4319 \
//!     cargo test --test e2e live_outlines -- --nocapture
//! ```

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde_json::{Value, json};

use super::ask::{As, Form, Outcome, Question, Subject, Version, ask};
use super::compare::canonical;
use super::{FOREIGN, Stores, TENANT};
use crate::kit::client::Client;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::tempo_data::Trace;
use crate::kit::tempo_messages::decode;

const SERVICE: &str = "service.name";

/// A mode of outlines: what is configured, and whether names of spans and services stay.
struct Mode {
    config: &'static str,
    has_names: bool,
}

const MODES: [Mode; 2] = [
    Mode {
        config: "",
        has_names: false,
    },
    Mode {
        config: "  outline_attributes: [\"span:name\", resource.service.name]\n",
        has_names: true,
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_outlines_are_own_spans_of_a_private_tempo_and_nodes_for_all_others() {
    let Some(stores) = Stores::from_environment().await else {
        return;
    };
    for mode in &MODES {
        let mut setup = Setup::tempo(&stores.shared);
        setup.rest = format!("traces:\n  foreign_spans: outline\n{}", mode.config);
        let proxy = Partywall::start(setup).await;
        let caller = Caller {
            client: Client::default(),
            stores: &stores,
            proxy: &proxy.url,
            token: proxy.signer.tenant(TENANT),
            mode,
        };
        let (mut nodes, mut hidden) = (0, 0);
        for trace in &stores.data.traces {
            match caller.nodes_of(trace).await {
                Some(found) => nodes += found,
                None => hidden += 1,
            }
        }
        println!("{nodes} spans of others are nodes; {hidden} traces have no own span");
        assert!(nodes > 30 && hidden > 30, "too few to mean much");
    }
}

struct Caller<'a> {
    client: Client,
    stores: &'a Stores,
    proxy: &'a str,
    token: String,
    mode: &'a Mode,
}

impl Caller<'_> {
    /// How many spans of others are nodes of the trace, after checking it in all forms; `None` if the
    /// trace does not exist for the caller.
    async fn nodes_of(&self, trace: &Trace) -> Option<usize> {
        let mut said: Vec<(String, Vec<String>)> = Vec::new();
        for version in [Version::V1, Version::V2] {
            for form in [Form::Json, Form::Protobuf] {
                let case = format!("{} {version:?} {form:?} {:?}", trace.id, self.mode.config);
                let question = Question {
                    subject: Subject::Trace(version, trace.id.clone()),
                    params: Vec::new(),
                    window: trace.window,
                    range: None,
                };
                let (whole, private, got) = tokio::join!(
                    self.ask(&self.stores.shared, &question, form, As::Nobody),
                    self.ask(&self.stores.private, &question, form, As::Nobody),
                    self.ask(self.proxy, &question, form, As::Bearer(&self.token)),
                );
                assert_eq!(whole.status, 200, "{case}: {}", whole.text);
                if !trace.has_spans_of(TENANT) {
                    let answer = |one: &Outcome| (one.status, one.text.clone());
                    assert_eq!(answer(&got), answer(&private), "{case}");
                    // Of a trace that it does not have, Tempo says so in the first version, and has an
                    // empty one in the second.
                    let parts = canonical(&question.subject, &got.json);
                    let is_empty = parts["batches"].as_array().is_none_or(Vec::is_empty);
                    assert!(
                        got.status == 404 || (version == Version::V2 && is_empty),
                        "{case}"
                    );
                    continue;
                }
                assert_eq!((private.status, got.status), (200, 200), "{case}");
                said.push((case, self.foreign(&question.subject, whole, private, got)));
            }
        }
        let (_, first) = said.first()?;
        for (case, foreign) in &said {
            assert_eq!(foreign, first, "{case} differs from the first form");
        }
        let count = |part: &String| {
            let part: Value = serde_json::from_str(part).expect("JSON");
            spans(&part).count()
        };
        Some(first.iter().map(count).sum())
    }

    async fn ask(&self, url: &str, question: &Question, form: Form, who: As<'_>) -> Outcome {
        ask(&self.client, url, question, form, who).await
    }

    /// What the answer has of others, in one shape for all forms and sorted.
    fn foreign(
        &self,
        subject: &Subject,
        whole: Outcome,
        private: Outcome,
        got: Outcome,
    ) -> Vec<String> {
        if !self.mode.has_names {
            for word in FOREIGN {
                assert!(
                    !got.text.contains(word),
                    "{subject:?}: {word}: {}",
                    got.text
                );
            }
        }
        let [whole, private, got] = [whole, private, got].map(|one| {
            let parts = canonical(subject, &one.json);
            parts["batches"].as_array().cloned().unwrap_or_default()
        });
        assert_same_parents(&whole, &got, subject);
        // The private store says which parts of the shared one are the caller's, to the letter.
        let (own, others): (Vec<_>, Vec<_>) = whole.iter().partition(|part| private.contains(part));
        assert_eq!(own, private.iter().collect::<Vec<_>>(), "{subject:?}");
        let (unchanged, outlined): (Vec<_>, Vec<_>) =
            got.iter().partition(|part| private.contains(part));
        assert_eq!(unchanged, own, "{subject:?}");
        let text = |part: &Value| part.to_string();
        let mut expected: Vec<String> = others
            .iter()
            .map(|part| text(&self.outline(part)))
            .collect();
        // In the one shape, and with nothing beyond it.
        let mut shown: Vec<String> = outlined.iter().map(|part| text(&readable(part))).collect();
        expected.sort();
        shown.sort();
        assert_eq!(shown, expected, "{subject:?}");
        shown
    }

    /// What an outline is to have of a part.
    fn outline(&self, part: &Value) -> Value {
        match message(part) {
            Some(message) => message_json(&self.outlined(message)),
            None => self.outlined_json(part),
        }
    }

    fn outlined(&self, part: ResourceSpans) -> ResourceSpans {
        let span = |span: Span| Span {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            name: if self.mode.has_names {
                span.name
            } else {
                String::new()
            },
            kind: span.kind,
            start_time_unix_nano: span.start_time_unix_nano,
            end_time_unix_nano: span.end_time_unix_nano,
            status: span.status.map(|status| Status {
                code: status.code,
                ..Status::default()
            }),
            ..Span::default()
        };
        let mut attributes = part.resource.unwrap_or_default().attributes;
        attributes.retain(|attribute| self.mode.has_names && attribute.key == SERVICE);
        ResourceSpans {
            resource: Some(Resource {
                attributes,
                ..Resource::default()
            }),
            scope_spans: part
                .scope_spans
                .into_iter()
                .map(|scope| ScopeSpans {
                    spans: scope.spans.into_iter().map(span).collect(),
                    ..ScopeSpans::default()
                })
                .collect(),
            ..ResourceSpans::default()
        }
    }

    fn outlined_json(&self, part: &Value) -> Value {
        let outlined = |span: &Value| {
            let mut node = json!({ "status": {} });
            for key in [
                "traceId",
                "spanId",
                "parentSpanId",
                "kind",
                "startTimeUnixNano",
                "endTimeUnixNano",
                "name",
            ] {
                let value = span
                    .get(key)
                    .filter(|_| key != "name" || self.mode.has_names);
                if let Some(value) = value {
                    node[key] = value.clone();
                }
            }
            if let Some(code) = span.pointer("/status/code") {
                node["status"]["code"] = code.clone();
            }
            node
        };
        let scopes = list(part, "scopeSpans").map(|scope| {
            let spans: Vec<Value> = list(scope, "spans").map(outlined).collect();
            json!({ "spans": spans })
        });
        let mut outline = json!({ "resource": {}, "scopeSpans": scopes.collect::<Vec<_>>() });
        let is_kept = |attribute: &&Value| self.mode.has_names && attribute["key"] == SERVICE;
        let kept: Vec<&Value> = list(&part["resource"], "attributes")
            .filter(is_kept)
            .collect();
        if !kept.is_empty() {
            outline["resource"]["attributes"] = json!(kept);
        }
        sorted_keys(&outline)
    }
}

/// A part in the one shape of all forms.
fn readable(part: &Value) -> Value {
    match message(part) {
        Some(message) => message_json(&message),
        None => sorted_keys(part),
    }
}

/// Of a protobuf answer, whose parts are bytes in hexadecimal digits.
fn message(part: &Value) -> Option<ResourceSpans> {
    let digits = part.as_str()?.as_bytes();
    let byte = |two: &[u8]| {
        let two = std::str::from_utf8(two).expect("digits");
        u8::from_str_radix(two, 16).expect("two digits")
    };
    let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
    Some(decode(&bytes))
}

/// An outline as JSON. Fields that an outline never has fail here.
fn message_json(part: &ResourceSpans) -> Value {
    let ResourceSpans {
        resource,
        scope_spans,
        schema_url,
    } = part;
    assert_eq!(schema_url, "");
    let resource = resource.clone().unwrap_or_default();
    let attributes: Vec<Value> = resource.attributes.iter().map(attribute_json).collect();
    assert_eq!(
        resource,
        Resource {
            attributes: resource.attributes.clone(),
            ..Resource::default()
        }
    );
    let mut json = json!({ "resource": {}, "scopeSpans": [] });
    if !attributes.is_empty() {
        json["resource"]["attributes"] = json!(attributes);
    }
    let scopes = scope_spans.iter().map(|scope| {
        let ScopeSpans {
            scope,
            spans,
            schema_url,
        } = scope;
        assert_eq!(schema_url, "");
        let scope = scope.clone().unwrap_or_default();
        assert_eq!(scope, InstrumentationScope::default());
        json!({ "spans": spans.iter().map(span_json).collect::<Vec<_>>() })
    });
    json["scopeSpans"] = scopes.collect();
    sorted_keys(&json)
}

fn attribute_json(attribute: &KeyValue) -> Value {
    let value = attribute.value.clone().and_then(|value| value.value);
    let Some(AnyValue::StringValue(text)) = value else {
        panic!("no text: {attribute:?}");
    };
    json!({ "key": attribute.key, "value": { "stringValue": text } })
}

fn span_json(span: &Span) -> Value {
    let known = Span {
        trace_id: span.trace_id.clone(),
        span_id: span.span_id.clone(),
        parent_span_id: span.parent_span_id.clone(),
        name: span.name.clone(),
        kind: span.kind,
        start_time_unix_nano: span.start_time_unix_nano,
        end_time_unix_nano: span.end_time_unix_nano,
        status: span.status.clone(),
        ..Span::default()
    };
    assert_eq!(*span, known, "it has more than an outline");
    let status = span.status.clone().unwrap_or_default();
    assert_eq!(status.message, "");
    let mut json = json!({
        "traceId": STANDARD.encode(&span.trace_id),
        "spanId": STANDARD.encode(&span.span_id),
        "startTimeUnixNano": span.start_time_unix_nano.to_string(),
        "endTimeUnixNano": span.end_time_unix_nano.to_string(),
        "status": {},
    });
    if !span.parent_span_id.is_empty() {
        json["parentSpanId"] = STANDARD.encode(&span.parent_span_id).into();
    }
    if !span.name.is_empty() {
        json["name"] = span.name.clone().into();
    }
    if span.kind != 0 {
        let kind = SpanKind::try_from(span.kind).expect("a kind");
        json["kind"] = kind.as_str_name().into();
    }
    if status.code != 0 {
        let code = StatusCode::try_from(status.code).expect("a code");
        json["status"]["code"] = code.as_str_name().into();
    }
    json
}

/// A tree as clients build it, as Grafana's back end does: a parent that is in Tempo's own answer is
/// in this one too, and no other span is.
fn assert_same_parents(whole: &[Value], got: &[Value], subject: &Subject) {
    let tree = |parts: &[Value]| -> BTreeSet<(String, String, bool)> {
        let all: Vec<(String, String)> = parts.iter().flat_map(nodes).collect();
        let ids: BTreeSet<&String> = all.iter().map(|(id, _)| id).collect();
        let found = all.iter().map(|(id, parent)| {
            let has_parent = ids.contains(parent);
            (id.clone(), parent.clone(), has_parent)
        });
        found.collect()
    };
    assert_eq!(tree(got), tree(whole), "{subject:?}");
}

/// The ids of spans and of their parents.
fn nodes(part: &Value) -> Vec<(String, String)> {
    if let Some(message) = message(part) {
        let spans = message.scope_spans.iter().flat_map(|scope| &scope.spans);
        let id = |bytes: &Vec<u8>| STANDARD.encode(bytes);
        return spans
            .map(|span| (id(&span.span_id), id(&span.parent_span_id)))
            .collect();
    }
    let text = |id: &Value| id.as_str().unwrap_or_default().to_owned();
    spans(part)
        .map(|span| (text(&span["spanId"]), text(&span["parentSpanId"])))
        .collect()
}

fn spans(part: &Value) -> impl Iterator<Item = &Value> {
    list(part, "scopeSpans").flat_map(|scope| list(scope, "spans"))
}

fn list<'a>(json: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    json[key].as_array().into_iter().flatten()
}

/// The same, whatever the order in which members were written.
fn sorted_keys(json: &Value) -> Value {
    match json {
        Value::Object(members) => {
            let sorted: std::collections::BTreeMap<&String, Value> = members
                .iter()
                .map(|(key, value)| (key, sorted_keys(value)))
                .collect();
            json!(sorted)
        }
        Value::Array(items) => items.iter().map(sorted_keys).collect(),
        other => other.clone(),
    }
}
