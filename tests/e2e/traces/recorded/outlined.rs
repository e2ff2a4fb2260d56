//! Shared traces with `foreign_spans: outline`: other tenants' spans are nodes of the tree.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Door, assert_no_foreign};
use crate::kit::tempo_messages::{Trace, TraceByIdResponse, decode};
use crate::kit::tempo_upstream::{TempoReply, fixture, trace_id};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/protobuf";

async fn door(more: &str) -> Door {
    Door::with(|setup| setup.rest = format!("traces:\n  foreign_spans: outline\n{more}")).await
}

/// The `ResourceSpans` of an answer in JSON.
fn parts(answer: &Value) -> &[Value] {
    let list = answer.pointer("/batches");
    let list = list.or_else(|| answer.pointer("/trace/resourceSpans"));
    list.and_then(Value::as_array).expect("a list")
}

fn spans(parts: &[Value]) -> Vec<&Value> {
    let scopes = parts
        .iter()
        .filter_map(|part| part["scopeSpans"].as_array());
    let spans = scopes
        .flatten()
        .filter_map(|scope| scope["spans"].as_array());
    spans.flatten().collect()
}

fn is_own(part: &Value) -> bool {
    part.to_string().contains(r#""stringValue":"A"}}"#)
}

/// T15: in every form.
#[tokio::test]
async fn t15_foreign_spans_are_nodes_without_what_describes_them() {
    let door = door("").await;
    for (end, name) in [("3", "mixed-B-root"), ("4", "mixed-A-root")] {
        for (version, path) in [("v1", "/api/traces"), ("v2", "/api/v2/traces")] {
            let path = format!("{path}/{}", trace_id(end));
            let recorded = fixture(&format!("trace-{version}-{name}.json"));
            let recorded: Value = serde_json::from_slice(&recorded).expect("a recording");
            let answer = door.get_as(&path, JSON).await;
            assert_no_foreign(&path, &answer.text());
            let answer = answer.json();
            let (all, got) = (parts(&recorded), parts(&answer));
            assert_eq!(got.len(), all.len());
            let mut foreign = 0;
            for (before, after) in all.iter().zip(got) {
                if is_own(before) {
                    assert_eq!(before, after);
                    continue;
                }
                let (before, after) = (
                    spans(std::slice::from_ref(before)),
                    spans(std::slice::from_ref(after)),
                );
                assert_eq!(before.len(), after.len());
                for (before, after) in before.into_iter().zip(after) {
                    foreign += 1;
                    let mut expected = json!({"status": {}});
                    for key in [
                        "traceId",
                        "spanId",
                        "parentSpanId",
                        "kind",
                        "startTimeUnixNano",
                        "endTimeUnixNano",
                    ] {
                        if let Some(value) = before.get(key) {
                            expected[key] = value.clone();
                        }
                    }
                    if let Some(code) = before.pointer("/status/code") {
                        expected["status"]["code"] = code.clone();
                    }
                    assert_eq!(*after, expected, "{path}");
                }
            }
            assert!(foreign > 0);
            let all = spans(got);
            let ids: BTreeSet<_> = all.iter().map(|span| span["spanId"].to_string()).collect();
            let mut parents = all.iter().filter_map(|span| span.get("parentSpanId"));
            assert!(
                parents.all(|parent| ids.contains(&parent.to_string())),
                "a broken tree"
            );

            let answer = door.get_as(&path, PROTOBUF).await;
            assert_no_foreign(&path, &answer.text());
            let got = match version {
                "v1" => decode::<Trace>(&answer.body),
                _ => decode::<TraceByIdResponse>(&answer.body)
                    .trace
                    .unwrap_or_default(),
            };
            assert_eq!(got.resource_spans.len(), recorded_parts(&recorded));
        }
    }
}

fn recorded_parts(recorded: &Value) -> usize {
    parts(recorded).len()
}

/// T15: only what the operator lists is added.
#[tokio::test]
async fn t15_outline_shows_what_the_operator_lists() {
    let door = door("  outline_attributes: [\"span:name\", resource.service.name]\n").await;
    for (path, end) in [("/api/traces", "3"), ("/api/v2/traces", "4")] {
        let path = format!("{path}/{}", trace_id(end));
        for accept in [JSON, PROTOBUF] {
            let text = door.get_as(&path, accept).await.text();
            assert!(
                text.contains("b-web") && text.contains("service.name"),
                "{text}"
            );
            assert!(
                !text.contains("b.attr") && !text.contains("SECRET-"),
                "{text}"
            );
        }
        let answer = door.get_as(&path, JSON).await.json();
        for part in parts(&answer).iter().filter(|part| !is_own(part)) {
            let keys = part["resource"]["attributes"]
                .as_array()
                .expect("a service");
            assert!(
                keys.iter()
                    .all(|attribute| attribute["key"] == "service.name")
            );
        }
    }
}

/// T15: foreign spans alone do not make a trace visible.
#[tokio::test]
async fn t15_trace_without_own_spans_does_not_exist() {
    let door = door("  outline_attributes: [\"span:name\"]\n").await;
    for accept in [JSON, PROTOBUF] {
        for path in ["/api/traces", "/api/v2/traces"] {
            let nowhere = format!("{path}/deadbeefdeadbeefdeadbeefdeadbeef");
            let nowhere = door.get_as(&nowhere, accept).await;
            for end in ["2", "5", "7"] {
                let answer = door
                    .get_as(&format!("{path}/{}", trace_id(end)), accept)
                    .await;
                assert_eq!(
                    (answer.status, &answer.body, answer.header("content-type")),
                    (
                        nowhere.status,
                        &nowhere.body,
                        nowhere.header("content-type")
                    ),
                    "{path} {end} {accept}"
                );
            }
        }
    }
}

/// T15: the outline of a foreign span that comes before the caller's own, and of one with a tenant's
/// name in many places.
#[tokio::test]
async fn t15_tenants_of_others_are_not_named() {
    let door = door("  outline_attributes: [resource.service.name, span.x]\n").await;
    let pair = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let part = |tenant: &str| {
        json!({
            "resource": {"attributes": [pair("tenant_id", tenant), pair("service.name", "web")]},
            "scopeSpans": [{
                "scope": {"name": tenant, "attributes": [pair("tenant_id", tenant)]},
                "spans": [{"spanId": "AAAAAAAAAAE=", "name": tenant, "traceState": tenant,
                    "attributes": [pair("tenant_id", tenant), pair("x", "kept")]}],
            }],
        })
    };
    let path = format!("/api/traces/{}", trace_id("1"));
    let trace = json!({"batches": [part("TENANT-B"), part("A")]});
    door.upstream
        .reply(&path, TempoReply::json(trace.to_string()));
    let answer = door.get(&path).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains("TENANT-B"), "{}", answer.text());
    let answer = answer.json();
    assert_eq!(
        parts(&answer)[0],
        json!({
            "resource": {"attributes": [pair("service.name", "web")]},
            "scopeSpans": [{"spans": [{"spanId": "AAAAAAAAAAE=", "attributes": [pair("x", "kept")],
                "status": {}}]}],
        })
    );
    assert_eq!(parts(&answer)[1], part("A"));
}
