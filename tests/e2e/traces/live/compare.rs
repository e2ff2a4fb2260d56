//! Whether two answers say the same, with the order of what is a set taken out.

use serde_json::{Map, Value, json};

use super::ask::{Subject, Version, labels};

/// Sums over the same spans in another order.
const TOLERANCE: f64 = 1e-9;
const MOST_REPORTED: usize = 3;
/// The series of `compare()` for spans without an attribute that is a list. In which step Tempo counts
/// them depends on the order in which its jobs end: it differs between two stores of the same spans.
const WITHOUT_LIST: &str = r#"{"key":"span.numbers","value":{"stringValue":"nil"}}"#;

/// An answer by what its parts are known by.
pub fn canonical(subject: &Subject, json: &Value) -> Value {
    match subject {
        Subject::Search => {
            let traces = list(json, "traces").map(|trace| (text(&trace["traceID"]), found(trace)));
            traces.collect::<Map<_, _>>().into()
        }
        Subject::Tags(Version::V2) => {
            let scopes = list(json, "scopes")
                .map(|scope| (text(&scope["name"]), sorted(list(scope, "tags").cloned())));
            scopes.collect::<Map<_, _>>().into()
        }
        Subject::Tags(Version::V1) => sorted(list(json, "tagNames").cloned()),
        Subject::Values(..) => sorted(list(json, "tagValues").cloned()),
        Subject::Range => {
            let series = list(json, "series").map(|series| {
                let labels = labels(series);
                let samples = list(series, "samples");
                if labels.contains(WITHOUT_LIST) {
                    let values = samples.filter_map(|sample| number(&sample["value"]).as_f64());
                    return (labels, json!({ "sum": values.sum::<f64>() }));
                }
                let samples =
                    samples.map(|sample| (text(&sample["timestampMs"]), number(&sample["value"])));
                (labels, samples.collect::<Map<_, _>>().into())
            });
            series.collect::<Map<_, _>>().into()
        }
        Subject::Instant => {
            let series = list(json, "series").map(|s| (labels(s), number(&s["value"])));
            series.collect::<Map<_, _>>().into()
        }
        Subject::Trace(..) => {
            let batches = json
                .pointer("/trace/resourceSpans")
                .or_else(|| json.get("batches"))
                .and_then(Value::as_array);
            let mut others = json.clone();
            if let Some(others) = others.as_object_mut() {
                others.shift_remove("batches");
                others.shift_remove("trace");
            }
            json!({ "batches": sorted(batches.into_iter().flatten().cloned()), "rest": others })
        }
    }
}

/// Trace ids of the exemplars.
pub fn exemplars(json: &Value) -> Vec<String> {
    list(json, "series")
        .flat_map(|series| list(series, "exemplars"))
        .flat_map(|exemplar| list(exemplar, "labels"))
        .filter(|label| label["key"] == "trace:id")
        .map(|label| text(&label["value"]["stringValue"]))
        .collect()
}

/// Trace ids of a page, in its order.
pub fn page(json: &Value) -> Vec<String> {
    list(json, "traces")
        .map(|trace| text(&trace["traceID"]))
        .collect()
}

fn found(trace: &Value) -> Value {
    // The old form of the same: what it shows is among what the new one shows.
    let shown = list(trace, "spanSets").flat_map(|set| list(set, "spans"));
    let shown: Vec<&Value> = shown.collect();
    let old = trace.get("spanSet").cloned().unwrap_or_default();
    let strange = list(&old, "spans").find(|span| !shown.contains(span));
    assert_eq!(
        strange, None,
        "a span of spanSet is not in spanSets: {trace}"
    );
    let sets: Vec<Value> = list(trace, "spanSets").map(span_set).collect();
    let mut trace = trace.clone();
    let fields = trace.as_object_mut().expect("a trace is an object");
    for key in ["traceID", "spanSet"] {
        fields.shift_remove(key);
    }
    fields.insert("spanSets".to_owned(), sorted(sets.into_iter()));
    trace
}

fn span_set(set: &Value) -> Value {
    let spans = list(set, "spans").map(|span| {
        let mut span = span.clone();
        if let Some(attributes) = span.get_mut("attributes") {
            *attributes = sorted(attributes.as_array().into_iter().flatten().cloned());
        }
        span
    });
    let spans = sorted(spans);
    let shown = spans.as_array().map_or(0, Vec::len);
    // Which spans are shown when not all are is not guaranteed.
    let all_shown = set["matched"].as_u64() == u64::try_from(shown).ok();
    json!({
        "matched": set["matched"],
        "attributes": sorted(list(set, "attributes").cloned()),
        "spans": if all_shown { spans } else { json!(shown) },
    })
}

fn list<'a>(json: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    json.get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn sorted(items: impl Iterator<Item = Value>) -> Value {
    let mut items: Vec<Value> = items.collect();
    items.sort_by_cached_key(Value::to_string);
    Value::Array(items)
}

fn text(json: &Value) -> String {
    json.as_str()
        .map_or_else(|| json.to_string(), str::to_owned)
}

/// Zeros are left out of answers.
fn number(json: &Value) -> Value {
    if json.is_null() {
        json!(0)
    } else {
        json.clone()
    }
}

/// What differs, in words; empty when nothing does.
pub fn differences(expected: &Value, got: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk("", expected, got, &mut found);
    found
}

fn walk(at: &str, expected: &Value, got: &Value, found: &mut Vec<String>) {
    if found.len() >= MOST_REPORTED {
        return;
    }
    match (expected, got) {
        (Value::Object(left), Value::Object(right)) => {
            for (key, value) in left {
                if found.len() >= MOST_REPORTED {
                    return;
                }
                match right.get(key) {
                    Some(other) => walk(&format!("{at}/{key}"), value, other, found),
                    None => found.push(format!("{at}/{key}: missing {}", shorten(value))),
                }
            }
            for (key, value) in right
                .iter()
                .filter(|(key, _)| !left.contains_key(*key))
                .take(MOST_REPORTED)
            {
                found.push(format!("{at}/{key}: unexpected {}", shorten(value)));
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() != right.len() => {
            let missing: Vec<&Value> = left.iter().filter(|item| !right.contains(item)).collect();
            let extra: Vec<&Value> = right.iter().filter(|item| !left.contains(item)).collect();
            found.push(format!(
                "{at}: missing {}, unexpected {}",
                shorten(&json!(missing)),
                shorten(&json!(extra))
            ));
        }
        (Value::Array(left), Value::Array(right)) => {
            for (i, (one, other)) in left.iter().zip(right).enumerate() {
                walk(&format!("{at}/{i}"), one, other, found);
            }
        }
        (Value::Number(left), Value::Number(right)) if close(left, right) => {}
        _ if expected == got => {}
        _ => found.push(format!(
            "{at}: expected {}, got {}",
            shorten(expected),
            shorten(got)
        )),
    }
}

fn close(left: &serde_json::Number, right: &serde_json::Number) -> bool {
    let (Some(left), Some(right)) = (left.as_f64(), right.as_f64()) else {
        return false;
    };
    (left - right).abs() <= TOLERANCE * left.abs().max(right.abs())
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", text.split_at(at).0),
        None => text,
    }
}
