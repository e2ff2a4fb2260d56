//! A slow and simple outline of decoded messages, and the JSON of decoded messages.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde_json::{Map, Value, json};

use crate::tempo::testing::{Any, AnyValue, KeyValue};
use crate::tempo::trace::TraceOwner;
use crate::tempo::trace::testing::is_ours;

/// What a reader sees of the parts of a trace where foreign ones are outlined, and this is shown.
/// `None` if nothing is the owner's.
pub(super) fn seen(
    parts: &[ResourceSpans],
    owner: &TraceOwner,
    shown: &[&str],
) -> Option<Vec<ResourceSpans>> {
    if !parts.iter().any(|part| is_ours(part, owner)) {
        return None;
    }
    let mut shown = shown.to_vec();
    shown.retain(|item| {
        let key = item.split_once('.').map_or("", |(_, key)| key);
        owner.resources().names().iter().all(|name| *name != key)
    });
    Some(
        parts
            .iter()
            .filter_map(|part| {
                if is_ours(part, owner) {
                    Some(part.clone())
                } else {
                    outline(part, &shown)
                }
            })
            .collect(),
    )
}

/// The outline of one part; `None` if it has no spans.
pub(super) fn outline(part: &ResourceSpans, shown: &[&str]) -> Option<ResourceSpans> {
    let attributes = |place: &str, attributes: &[KeyValue]| -> Vec<KeyValue> {
        let is_scalar = |value: &AnyValue| {
            use Any::{BoolValue, DoubleValue, IntValue, StringValue};
            matches!(
                value.value,
                Some(StringValue(_) | BoolValue(_) | IntValue(_) | DoubleValue(_))
            )
        };
        let is_plain = |value: &AnyValue| match &value.value {
            Some(Any::ArrayValue(list)) => list.values.iter().all(is_scalar),
            _ => is_scalar(value),
        };
        let is_shown = |attribute: &&KeyValue| {
            shown.contains(&&*format!("{place}.{}", attribute.key))
                && attribute.value.as_ref().is_some_and(is_plain)
        };
        attributes.iter().filter(is_shown).cloned().collect()
    };
    let text = |intrinsic: &str, text: &str| {
        let is_shown = shown.contains(&intrinsic);
        if is_shown {
            text.to_owned()
        } else {
            String::new()
        }
    };
    let event = |event: &Event| {
        let attributes = attributes("event", &event.attributes);
        (!attributes.is_empty() || shown.contains(&"event:name")).then(|| Event {
            time_unix_nano: event.time_unix_nano,
            name: text("event:name", &event.name),
            attributes,
            ..Event::default()
        })
    };
    let span = |span: &Span| {
        let known = |value: i32, most: i32| {
            if (0..=most).contains(&value) {
                value
            } else {
                0
            }
        };
        (!span.span_id.is_empty()).then(|| Span {
            trace_id: span.trace_id.clone(),
            span_id: span.span_id.clone(),
            parent_span_id: span.parent_span_id.clone(),
            name: text("span:name", &span.name),
            kind: known(span.kind, 5),
            start_time_unix_nano: span.start_time_unix_nano,
            end_time_unix_nano: span.end_time_unix_nano,
            attributes: attributes("span", &span.attributes),
            events: span.events.iter().filter_map(event).collect(),
            status: Some(Status {
                message: span.status.as_ref().map_or_else(String::new, |status| {
                    text("span:statusMessage", &status.message)
                }),
                code: known(span.status.as_ref().map_or(0, |status| status.code), 2),
            }),
            ..Span::default()
        })
    };
    let scope_spans: Vec<_> = part
        .scope_spans
        .iter()
        .filter_map(|scope_spans| {
            let spans: Vec<_> = scope_spans.spans.iter().filter_map(span).collect();
            let scope = scope_spans
                .scope
                .as_ref()
                .map(|scope| InstrumentationScope {
                    name: text("scope:name", &scope.name),
                    version: text("scope:version", &scope.version),
                    attributes: attributes("scope", &scope.attributes),
                    ..InstrumentationScope::default()
                });
            (!spans.is_empty()).then(|| ScopeSpans {
                scope: scope.filter(|scope| *scope != InstrumentationScope::default()),
                spans,
                ..ScopeSpans::default()
            })
        })
        .collect();
    let resource = part.resource.iter();
    let resource: Vec<_> = resource.flat_map(|it| it.attributes.clone()).collect();
    (!scope_spans.is_empty()).then(|| ResourceSpans {
        resource: Some(Resource {
            attributes: attributes("resource", &resource),
            ..Resource::default()
        }),
        scope_spans,
        ..ResourceSpans::default()
    })
}

/// A message as jsonpb writes it: what is empty or zero is left out.
pub(super) fn to_json(part: &ResourceSpans) -> Value {
    let mut made = Map::new();
    if let Some(resource) = &part.resource {
        let more = [count(
            resource.dropped_attributes_count,
            "droppedAttributesCount",
        )];
        let resource = object([list("attributes", &resource.attributes, pair)], more);
        made.insert("resource".to_owned(), resource);
    }
    let scopes = list("scopeSpans", &part.scope_spans, |scope_spans| {
        let scope = scope_spans.scope.as_ref().map(|scope| {
            object(
                [list("attributes", &scope.attributes, pair)],
                [text("name", &scope.name), text("version", &scope.version)],
            )
        });
        object(
            [list("spans", &scope_spans.spans, span)],
            [
                scope.map(|scope| ("scope", scope)),
                text("schemaUrl", &scope_spans.schema_url),
            ],
        )
    });
    made.extend(scopes.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(made)
}

fn span(span: &Span) -> Value {
    let time = |name, value: u64| (value != 0).then(|| (name, json!(value.to_string())));
    let id = |name, id: &[u8]| (!id.is_empty()).then(|| (name, json!(BASE64_STANDARD.encode(id))));
    let named = |names: &[&str], value: i32| match usize::try_from(value).ok() {
        Some(index) if index < names.len() => json!(names[index]),
        _ => json!(value),
    };
    let kinds = ["", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
        .map(|kind| format!("SPAN_KIND_{kind}"));
    let kinds: Vec<_> = kinds.iter().map(|kind| &**kind).collect();
    let codes = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
    let status = span.status.as_ref().map(|status| {
        let code = (status.code != 0).then(|| ("code", named(&codes, status.code)));
        object([], [text("message", &status.message), code])
    });
    object(
        [
            list("attributes", &span.attributes, pair),
            list("events", &span.events, |event| {
                object(
                    [list("attributes", &event.attributes, pair)],
                    [
                        time("timeUnixNano", event.time_unix_nano),
                        text("name", &event.name),
                    ],
                )
            }),
            list("links", &span.links, |link| {
                object(
                    [list("attributes", &link.attributes, pair)],
                    [id("spanId", &link.span_id)],
                )
            }),
        ],
        [
            id("traceId", &span.trace_id),
            id("spanId", &span.span_id),
            text("traceState", &span.trace_state),
            id("parentSpanId", &span.parent_span_id),
            text("name", &span.name),
            (span.kind != 0).then(|| ("kind", named(&kinds, span.kind))),
            time("startTimeUnixNano", span.start_time_unix_nano),
            time("endTimeUnixNano", span.end_time_unix_nano),
            count(span.flags, "flags"),
            status.map(|status| ("status", status)),
        ],
    )
}

type Member = Option<(&'static str, Value)>;

fn object<const N: usize, const M: usize>(lists: [Member; N], others: [Member; M]) -> Value {
    let members = others.into_iter().chain(lists).flatten();
    Value::Object(
        members
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

fn text(name: &'static str, value: &str) -> Member {
    (!value.is_empty()).then(|| (name, json!(value)))
}

fn count(value: u32, name: &'static str) -> Member {
    (value != 0).then(|| (name, json!(value)))
}

fn list<T>(name: &'static str, items: &[T], write: impl Fn(&T) -> Value) -> Member {
    let written: Vec<_> = items.iter().map(write).collect();
    (!written.is_empty()).then(|| (name, json!(written)))
}

fn pair(attribute: &KeyValue) -> Value {
    let value = attribute.value.as_ref().map(any_json);
    object(
        [],
        [
            text("key", &attribute.key),
            value.map(|value| ("value", value)),
        ],
    )
}

fn any_json(value: &AnyValue) -> Value {
    match &value.value {
        None | Some(Any::StringValueStrindex(_)) => json!({}),
        Some(Any::StringValue(value)) => json!({ "stringValue": value }),
        Some(Any::BoolValue(value)) => json!({ "boolValue": value }),
        Some(Any::IntValue(value)) => json!({ "intValue": value.to_string() }),
        Some(Any::DoubleValue(value)) if value.is_nan() => json!({ "doubleValue": "NaN" }),
        Some(Any::DoubleValue(value)) => json!({ "doubleValue": value }),
        Some(Any::ArrayValue(values)) => {
            json!({ "arrayValue": object([list("values", &values.values, any_json)], []) })
        }
        Some(Any::KvlistValue(pairs)) => {
            json!({ "kvlistValue": object([list("values", &pairs.values, pair)], []) })
        }
        Some(Any::BytesValue(bytes)) => json!({ "bytesValue": BASE64_STANDARD.encode(bytes) }),
    }
}
