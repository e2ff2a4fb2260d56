//! Whether two answers of a Prometheus API say the same.
//!
//! The order of a vector's or matrix' elements is not part of an answer unless the query sorts
//! (see [`Order`]); of series, labels and values it never is. Numbers are equal as text, or else within 1e-12 of
//! each other. An error text or warning with a position in it is not compared: it quotes the
//! query, and the query sent upstream is longer than the client's.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

use super::client::Answer;

const TOLERANCE: f64 = 1e-12;
const MOST_REPORTED: usize = 4;

/// How closely answers are compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strictness {
    pub order: Order,
    /// Texts with positions count: the query is sent unmodified.
    pub verbatim: bool,
}

/// What of the order of results is part of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Unordered,
    /// `sort` and `sort_desc`: that of the values. Prometheus leaves series of equal values in the
    /// order in which its storage found them.
    ByValue,
    /// `sort_by_label` and its kind, which order all series.
    Total,
}

/// What differs, in words; empty when nothing does.
pub fn differences(expected: &Answer, got: &Answer, strictness: Strictness) -> Vec<String> {
    if expected.status == got.status && expected.body == got.body {
        return header_difference(expected, got).into_iter().collect();
    }
    if expected.status != got.status {
        let show = |answer: &Answer| format!("{} {}", answer.status, shorten(&answer.text()));
        return vec![format!(
            "expected {}\n      got {}",
            show(expected),
            show(got)
        )];
    }
    let mut found: Vec<String> = header_difference(expected, got).into_iter().collect();
    if is_json(expected) && is_json(got) {
        let (mut left, mut right) = (
            canonical(expected, strictness.order),
            canonical(got, strictness.order),
        );
        if !strictness.verbatim {
            forget_positions(&mut left, &mut right);
        }
        walk("", &left, &right, &mut found);
    } else {
        let (left, right) = (expected.text(), got.text());
        found.extend(first_line_difference(
            &sorted_lines(&left),
            &sorted_lines(&right),
        ));
    }
    found
}

/// The JSON with sets in one order, and without how long it took.
pub fn canonical(answer: &Answer, order: Order) -> Value {
    let mut json = answer.json();
    for key in ["warnings", "infos"] {
        if let Some(Value::Array(notes)) = json.get_mut(key) {
            notes.sort_by_cached_key(Value::to_string);
            forget_chosen(notes);
        }
    }
    if let Some(stats) = json
        .pointer_mut("/data/stats")
        .and_then(Value::as_object_mut)
    {
        stats.remove("timings");
    }
    if let Some(Value::Array(items)) = json.pointer_mut("/data") {
        items.sort_by_cached_key(identity);
    }
    let is_collection = is_collection(&json);
    if let Some(Value::Array(items)) = json.pointer_mut("/data/result")
        && is_collection
    {
        match order {
            Order::Unordered => items.sort_by_cached_key(identity),
            Order::ByValue => {
                for ties in items.chunk_by_mut(|one, next| value(one) == value(next)) {
                    ties.sort_by_cached_key(identity);
                }
            }
            Order::Total => {}
        }
    }
    json
}

/// Of very many notes Prometheus 3 shows ten, any ten: how many there are is what counts.
fn forget_chosen(notes: &mut Vec<Value>) {
    let is_rest = |note: &Value| {
        let text = note.as_str().unwrap_or_default();
        text.ends_with("annotations omitted")
    };
    if let Some(rest) = notes.iter().find(|note| is_rest(note)).cloned() {
        *notes = vec![json!(notes.len()), rest];
    }
}

/// Takes texts that tell a position out of both: the error, and positions out of notes.
fn forget_positions(left: &mut Value, right: &mut Value) {
    static POSITION: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r" ?\(\d+:\d+\)").expect("a regex"));
    let has_position = |json: &Value| {
        let error = json.get("error").and_then(Value::as_str);
        error.is_some_and(|text| text.contains("parse error: "))
    };
    let either = has_position(left) || has_position(right);
    for json in [left, right] {
        if let Some(error) = json.get_mut("error")
            && either
        {
            *error = json!("a parse error");
        }
        for key in ["warnings", "infos"] {
            if let Some(Value::Array(notes)) = json.get_mut(key) {
                for note in notes.iter_mut() {
                    let text = note.as_str().unwrap_or_default();
                    *note = json!(POSITION.replace_all(text, ""));
                }
            }
        }
    }
}

fn is_collection(json: &Value) -> bool {
    let kind = json.pointer("/data/resultType").and_then(Value::as_str);
    matches!(kind, Some("vector" | "matrix"))
}

/// What an element of a set is known by: its labels where it has any.
fn identity(item: &Value) -> String {
    let labels = item.get("metric").or_else(|| item.get("seriesLabels"));
    labels.unwrap_or(item).to_string()
}

/// The value of an element of a vector.
fn value(item: &Value) -> Option<&Value> {
    item.pointer("/value/1")
}

fn walk(at: &str, expected: &Value, got: &Value, found: &mut Vec<String>) {
    if found.len() >= MOST_REPORTED {
        return;
    }
    match (expected, got) {
        (Value::Object(left), Value::Object(right)) => {
            for (key, value) in left {
                let other = right.get(key).unwrap_or(&Value::Null);
                walk(&format!("{at}/{key}"), value, other, found);
            }
            for key in right.keys().filter(|key| !left.contains_key(*key)) {
                found.push(format!(
                    "{at}/{key}: unexpected {}",
                    shorten(&right[key].to_string())
                ));
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (i, (one, other)) in left.iter().zip(right).enumerate() {
                walk(&format!("{at}/{i}"), one, other, found);
            }
        }
        (Value::Array(left), Value::Array(right)) => found.push(length_difference(at, left, right)),
        (Value::String(left), Value::String(right)) if is_value(at) && close(left, right) => {}
        _ if expected == got => {}
        _ => found.push(format!(
            "{at}: expected {}, got {}",
            shorten(&expected.to_string()),
            shorten(&got.to_string())
        )),
    }
}

fn length_difference(at: &str, left: &[Value], right: &[Value]) -> String {
    let missing = left.iter().find(|item| !right.contains(item));
    let extra = right.iter().find(|item| !left.contains(item));
    let show = |item: Option<&Value>| item.map_or("-".to_owned(), |v| shorten(&v.to_string()));
    format!(
        "{at}: expected {} elements, got {}; missing e.g. {}; unexpected e.g. {}",
        left.len(),
        right.len(),
        show(missing),
        show(extra)
    )
}

/// Sample values are strings below `value`, `values` or `result` (a scalar's).
fn is_value(at: &str) -> bool {
    at.contains("/value") || at.contains("/histogram") || at.starts_with("/data/result/")
}

fn close(left: &str, right: &str) -> bool {
    let (Ok(left_number), Ok(right_number)) = (left.parse::<f64>(), right.parse::<f64>()) else {
        return left == right;
    };
    let size = left_number.abs().max(right_number.abs());
    left == right || (left_number - right_number).abs() <= TOLERANCE * size
}

fn header_difference(expected: &Answer, got: &Answer) -> Option<String> {
    let (left, right) = (expected.header("content-type"), got.header("content-type"));
    let same = left.eq_ignore_ascii_case(right);
    // An error's text is the proxy's own at times; that it is JSON is what counts.
    let both_json = is_json(expected) && is_json(got);
    (!same && !both_json).then(|| format!("Content-Type: expected {left:?}, got {right:?}"))
}

fn is_json(answer: &Answer) -> bool {
    answer
        .header("content-type")
        .starts_with("application/json")
}

fn sorted_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn first_line_difference(left: &[&str], right: &[&str]) -> Option<String> {
    let missing = left.iter().find(|line| !right.contains(line));
    let extra = right.iter().find(|line| !left.contains(line));
    (left != right).then(|| format!("text: missing e.g. {missing:?}; unexpected e.g. {extra:?}"))
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(400).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
