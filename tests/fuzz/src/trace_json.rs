//! The JSON form of a trace: what comes out is what a reference keeps that parses all of it.

use arbitrary::{Result, Unstructured};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use partywall::tempo::trace::{ForeignSpans, JsonFilter, Outcome, TraceApi, TraceFilter};
use serde_json::{Map, Value, json};

use crate::scopes::{self, Scope};
use crate::trace::{LIMIT, Setup, damage, filter_both_ways, made_up, mark};

/// The first three bytes choose how the filter is called.
pub fn check(data: &[u8]) {
    let Some((choices, rest)) = crate::split::<3>(data) else {
        return;
    };
    let setup = Setup::new(*choices);
    if !setup.is_made_up {
        check_body(&setup, rest, false);
        return;
    }
    let mut u = Unstructured::new(rest);
    let Ok(trace) = made_up(&mut u) else { return };
    let list: Vec<Value> = trace.resource_spans.iter().map(spans_as_json).collect();
    let Ok(mut body) = written(&mut u, setup.api, &list) else {
        return;
    };
    let Ok(is_damaged) = damage(&mut u, &mut body) else {
        return;
    };
    let out = check_body(&setup, &body, !is_damaged);
    if is_damaged {
        return;
    }
    let (_, out) = out.expect("a trace of Tempo's");
    let out = String::from_utf8(out).expect("JSON");
    assert!(!out.contains("MARK of the whole"));
    for (number, spans) in list.iter().enumerate() {
        let mark = mark(number);
        if !is_ours(spans, setup.scope) && !setup.shows_names() {
            assert!(!out.contains(&mark), "{mark} of another tenant");
        }
    }
}

/// An answer around these `ResourceSpans`, pretty or not.
fn written(u: &mut Unstructured<'_>, api: TraceApi, list: &[Value]) -> Result<Vec<u8>> {
    let name = if u.arbitrary()? {
        "batches"
    } else {
        "resourceSpans"
    };
    let trace = json!({ name: list });
    let answer = match api {
        TraceApi::V1 => trace,
        TraceApi::V2 => {
            let metrics = json!({ "inspectedBytes": "77777" });
            let status = *u.choose(&["COMPLETE", "PARTIAL"])?;
            if u.arbitrary()? {
                json!({ "trace": trace, "metrics": metrics, "status": status, "message": "MARK of the whole" })
            } else {
                json!({ "message": "MARK of the whole", "metrics": metrics, "trace": trace })
            }
        }
    };
    let body = if u.arbitrary()? {
        serde_json::to_vec(&answer)
    } else {
        serde_json::to_vec_pretty(&answer)
    };
    Ok(body.expect("can be written"))
}

/// `is_exact` says that the body is as Tempo writes it: then nothing of ours may be missing.
fn check_body(setup: &Setup, body: &[u8], is_exact: bool) -> Option<(Outcome, Vec<u8>)> {
    let new = || {
        TraceFilter::Json(JsonFilter::new(
            setup.api,
            setup.owner.clone().into(),
            &setup.foreign,
            LIMIT,
        ))
    };
    let (outcome, out) = filter_both_ways(new, body, setup.piece)?;
    // Numbers that it cannot hold, strings that are no Unicode, and deep nesting are beyond it.
    let Some(reference) = serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|answer| list(setup.api, answer))
    else {
        return Some((outcome, out));
    };
    let ours: Vec<_> = reference
        .iter()
        .filter(|it| is_ours(it, setup.scope))
        .collect();
    let has_foreign = ours.len() < reference.len();
    if outcome == Outcome::Nothing {
        let is_denied = setup.foreign == ForeignSpans::Deny && has_foreign;
        assert!(
            !is_exact || ours.is_empty() || is_denied,
            "our spans are missing"
        );
        return Some((outcome, out));
    }
    let kept = serde_json::from_slice::<Value>(&out).expect("what is kept of JSON is JSON");
    let kept = list(setup.api, kept).expect("in the shape of a trace");
    let is_outlined = matches!(setup.foreign, ForeignSpans::Outline(_));
    let mut originals = reference.iter();
    let mut kept_of_ours = 0;
    for spans in &kept {
        if is_ours(spans, setup.scope) {
            kept_of_ours += 1;
            assert!(
                originals.any(|original| original == spans),
                "changed, or in another order"
            );
        } else {
            assert!(is_outlined, "of another tenant: {spans}");
            assert_outline(spans, setup.shows_names());
        }
    }
    assert!(kept_of_ours > 0);
    assert!(
        outcome != Outcome::Kept { all: true } || !has_foreign,
        "not all"
    );
    if is_exact {
        assert_eq!(kept_of_ours, ours.len(), "our spans are missing");
        assert_eq!(outcome, Outcome::Kept { all: !has_foreign });
    }
    Some((outcome, out))
}

/// The `ResourceSpans` of an answer.
fn list(api: TraceApi, answer: Value) -> Option<Vec<Value>> {
    let trace = match api {
        TraceApi::V1 => answer,
        TraceApi::V2 => answer.get("trace")?.clone(),
    };
    let list = trace
        .get("batches")
        .or_else(|| trace.get("resourceSpans"))?;
    Some(list.as_array()?.clone())
}

fn is_ours(spans: &Value, scope: &Scope) -> bool {
    scope.has(|name| {
        let attributes = spans["resource"]["attributes"].as_array();
        let named: Vec<_> = attributes
            .into_iter()
            .flatten()
            .filter(|it| it["key"] == *name)
            .collect();
        let [attribute] = named[..] else { return None };
        let value = attribute["value"]
            .as_object()
            .filter(|value| value.len() == 1)?;
        let (kind, value) = value.iter().next()?;
        Some(match (&**kind, value) {
            ("stringValue", Value::String(text)) => scopes::Value::Text(text),
            ("boolValue", Value::Bool(value)) => scopes::Value::Bool(*value),
            ("intValue", Value::String(digits)) => scopes::Value::Int(digits.parse().ok()?),
            ("intValue", Value::Number(number)) => scopes::Value::Int(number.as_i64()?),
            ("doubleValue", Value::Number(number)) => scopes::Value::Float(number.as_f64()?),
            _ => return None,
        })
    })
}

/// An outline has no other members than these, and texts only where it shows names.
fn assert_outline(spans: &Value, shows_names: bool) {
    let has_only = |value: &Value, known: &[&str]| {
        value
            .as_object()
            .is_none_or(|members| members.keys().all(|name| known.contains(&&**name)))
    };
    assert!(has_only(spans, &["resource", "scopeSpans"]), "{spans}");
    assert!(has_only(&spans["resource"], &["attributes"]), "{spans}");
    assert!(
        shows_names || spans["resource"]["attributes"].is_null(),
        "{spans}"
    );
    for scope in spans["scopeSpans"].as_array().into_iter().flatten() {
        assert!(has_only(scope, &["spans"]), "{spans}");
        for span in scope["spans"].as_array().into_iter().flatten() {
            let mut known = vec![
                "traceId",
                "spanId",
                "parentSpanId",
                "kind",
                "startTimeUnixNano",
                "endTimeUnixNano",
                "status",
            ];
            if shows_names {
                known.extend(["name", "attributes", "events"]);
            }
            assert!(has_only(span, &known), "{spans}");
            assert!(has_only(&span["status"], &["code"]), "{spans}");
        }
    }
}

fn spans_as_json(spans: &ResourceSpans) -> Value {
    let mut made = Map::new();
    if let Some(resource) = &spans.resource {
        let attributes: Vec<_> = resource.attributes.iter().map(attribute).collect();
        made.insert(
            "resource".into(),
            json!({ "attributes": attributes, "droppedAttributesCount": 1 }),
        );
    }
    let scopes: Vec<Value> = spans
        .scope_spans
        .iter()
        .map(|scope| {
            let spans: Vec<_> = scope.spans.iter().map(span).collect();
            match &scope.scope {
                Some(scope) => json!({ "scope": { "name": scope.name }, "spans": spans }),
                None => json!({ "spans": spans }),
            }
        })
        .collect();
    made.insert("scopeSpans".into(), scopes.into());
    if !spans.schema_url.is_empty() {
        made.insert("schemaUrl".into(), spans.schema_url.clone().into());
    }
    Value::Object(made)
}

fn span(span: &Span) -> Value {
    use base64::Engine as _;
    let id = |id: &[u8]| base64::engine::general_purpose::STANDARD.encode(id);
    let attributes: Vec<_> = span.attributes.iter().map(attribute).collect();
    let events: Vec<_> = span
        .events
        .iter()
        .map(|event| json!({ "timeUnixNano": "5", "name": event.name }))
        .collect();
    json!({
        "traceId": id(&span.trace_id),
        "spanId": id(&span.span_id),
        "parentSpanId": id(&span.parent_span_id),
        "traceState": span.trace_state,
        "name": span.name,
        "kind": if span.kind == 2 { json!("SPAN_KIND_SERVER") } else { json!(span.kind) },
        "startTimeUnixNano": span.start_time_unix_nano.to_string(),
        "endTimeUnixNano": span.end_time_unix_nano.to_string(),
        "attributes": attributes,
        "events": events,
        "status": span.status.as_ref().map(|status| json!({ "message": status.message, "code": "STATUS_CODE_ERROR" })),
    })
}

fn attribute(attribute: &KeyValue) -> Value {
    let value = attribute.value.as_ref().map(|value| match &value.value {
        Some(Any::StringValue(text)) => json!({ "stringValue": text }),
        Some(Any::IntValue(number)) => json!({ "intValue": number.to_string() }),
        // Go writes a whole float like an integer.
        Some(Any::DoubleValue(value)) if value.fract() == 0.0 => {
            json!({ "doubleValue": *value as i64 })
        }
        Some(Any::DoubleValue(value)) => json!({ "doubleValue": value }),
        Some(Any::BoolValue(value)) => json!({ "boolValue": value }),
        Some(Any::BytesValue(_)) => json!({ "bytesValue": "QQ==" }),
        Some(Any::ArrayValue(_)) => json!({ "arrayValue": { "values": [{ "stringValue": "A" }] } }),
        _ => json!({}),
    });
    json!({ "key": attribute.key, "value": value })
}
