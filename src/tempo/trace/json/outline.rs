//! The outline of a foreign `ResourceSpans` as JSON, as gogo's jsonpb writes it.
//!
//! Every value is read and written anew, from the members that are known here. A span that cannot be
//! read, whose members are repeated, or whose ids are none, is left out.

use super::reader::{elements, members};
use super::scalar::is_scalar;
use super::text::{decode, unescape};
use crate::tempo::trace::outline::{Intrinsic, Outline, Place};

const KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

const CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

/// In characters: of 16 bytes in base64 or hexadecimal.
const LONGEST_ID: usize = 32;

/// The outline of a `ResourceSpans` that is not ours. `None` if it has no spans that can be shown.
pub(super) fn resource_spans(text: &[u8], outline: &Outline) -> Option<Vec<u8>> {
    let [resource, scope_spans] = members(text, ["resource", "scopeSpans"])?;
    let scopes = elements(scope_spans?)?;
    let scopes = list(scopes.filter_map(|text| scope(text, outline)))?;
    let mut made = Object::default();
    let mut shown = Object::default();
    if let Some(resource) = resource {
        let [attributes] = members(resource, ["attributes"])?;
        shown.put_some(
            "attributes",
            attributes.and_then(|list| shown_attributes(list, Place::Resource, outline)),
        );
    }
    made.put("resource", &shown.end());
    made.put("scopeSpans", &scopes);
    Some(made.end())
}

fn scope(scope_spans: &[u8], outline: &Outline) -> Option<Vec<u8>> {
    let [scope, spans] = members(scope_spans, ["scope", "spans"])?;
    let spans = elements(spans?)?;
    let spans = list(spans.filter_map(|text| span(text, outline)))?;
    let mut made = Object::default();
    if let Some(scope) = scope {
        let [name, version, attributes] = members(scope, ["name", "version", "attributes"])?;
        let mut shown = Object::default();
        shown.put_text("name", name, outline.has(Intrinsic::ScopeName));
        shown.put_text("version", version, outline.has(Intrinsic::ScopeVersion));
        shown.put_some(
            "attributes",
            attributes.and_then(|list| shown_attributes(list, Place::Scope, outline)),
        );
        if !shown.is_empty() {
            made.put("scope", &shown.end());
        }
    }
    made.put("spans", &spans);
    Some(made.end())
}

/// The outline of a span. `None` if it cannot be a node of the tree.
fn span(text: &[u8], outline: &Outline) -> Option<Vec<u8>> {
    let [
        trace_id,
        span_id,
        parent,
        name,
        kind,
        start,
        end,
        attributes,
        events,
        status,
    ] = members(
        text,
        [
            "traceId",
            "spanId",
            "parentSpanId",
            "name",
            "kind",
            "startTimeUnixNano",
            "endTimeUnixNano",
            "attributes",
            "events",
            "status",
        ],
    )?;
    let mut made = Object::default();
    for (name, value) in [
        ("traceId", trace_id),
        ("spanId", Some(span_id?)),
        ("parentSpanId", parent),
    ] {
        let value = value.map_or(Some(Vec::new()), id)?;
        if !value.is_empty() {
            made.put(name, &value);
        } else if name == "spanId" {
            return None;
        }
    }
    made.put_text("name", name, outline.has(Intrinsic::SpanName));
    made.put_some("kind", kind.and_then(|kind| enumerated(kind, &KINDS)));
    for (name, time) in [("startTimeUnixNano", start), ("endTimeUnixNano", end)] {
        made.put_some(name, time.map_or(Some(None), time_of)?);
    }
    made.put_some(
        "attributes",
        attributes.and_then(|list| shown_attributes(list, Place::Span, outline)),
    );
    made.put_some(
        "events",
        events.and_then(|list| shown_events(list, outline)),
    );
    let mut shown = Object::default();
    if let Some(status) = status {
        let [message, code] = members(status, ["message", "code"])?;
        shown.put_text("message", message, outline.has(Intrinsic::StatusMessage));
        shown.put_some("code", code.and_then(|code| enumerated(code, &CODES)));
    }
    made.put("status", &shown.end());
    Some(made.end())
}

/// The events of a span, if their names are shown, or else those with attributes that are.
fn shown_events(events: &[u8], outline: &Outline) -> Option<Vec<u8>> {
    let shows_names = outline.has(Intrinsic::EventName);
    if !shows_names && !outline.shows_any(Place::Event) {
        return None;
    }
    list(elements(events)?.filter_map(|event| {
        let [time, name, attributes] = members(event, ["timeUnixNano", "name", "attributes"])?;
        let attributes = attributes.and_then(|list| shown_attributes(list, Place::Event, outline));
        if !shows_names && attributes.is_none() {
            return None;
        }
        let mut made = Object::default();
        made.put_some("timeUnixNano", time.map_or(Some(None), time_of)?);
        made.put_text("name", name, shows_names);
        made.put_some("attributes", attributes);
        Some(made.end())
    }))
}

/// The attributes of a list that are shown; `None` if none is.
fn shown_attributes(attributes: &[u8], at: Place, outline: &Outline) -> Option<Vec<u8>> {
    if !outline.shows_any(at) {
        return None;
    }
    list(elements(attributes)?.filter_map(|attribute| {
        let [key, value] = members(attribute, ["key", "value"])?;
        let key = unescape(unquoted(key?)?)?;
        if !outline.shows(at, &key) {
            return None;
        }
        let mut made = Object::default();
        made.put("key", &serde_json::to_vec(&*key).ok()?);
        made.put("value", &plain(value?)?);
        Some(made.end())
    }))
}

/// An `AnyValue` that is a scalar or a list of scalars.
fn plain(value: &[u8]) -> Option<Vec<u8>> {
    let [array] = members(value, ["arrayValue"])?;
    let Some(array) = array else {
        return scalar(value);
    };
    let [values] = members(array, ["values"])?;
    let mut items = Object::default();
    if let Some(values) = values {
        let mut scalars = Vec::new();
        for value in elements(values)? {
            scalars.push(scalar(value)?);
        }
        items.put_some("values", list(scalars.into_iter()));
    }
    let mut made = Object::default();
    // Of several values in one, the list would be shown, and nothing else.
    made.put("arrayValue", &items.end());
    Some(made.end())
}

/// An `AnyValue` that is one string, boolean, integer or float.
fn scalar(value: &[u8]) -> Option<Vec<u8>> {
    let [text, boolean, integer, float] = members(
        value,
        ["stringValue", "boolValue", "intValue", "doubleValue"],
    )?;
    let mut made = Object::default();
    match (text, boolean, integer, float) {
        (Some(text), None, None, None) => made.put("stringValue", &string(text)?),
        (None, Some(boolean @ (b"true" | b"false")), None, None) => made.put("boolValue", boolean),
        (None, None, Some(integer), None) => {
            let integer: i64 = number(integer)?;
            made.put("intValue", format!("\"{integer}\"").as_bytes());
        }
        (None, None, None, Some(float)) => {
            let is_number = float
                .first()
                .is_some_and(|byte| b"-0123456789".contains(byte));
            let is_other = [&br#""NaN""#[..], br#""Infinity""#, br#""-Infinity""#].contains(&float);
            if !(is_number && is_scalar(float) || is_other) {
                return None;
            }
            made.put("doubleValue", float);
        }
        _ => return None,
    }
    Some(made.end())
}

/// An id in base64 or hexadecimal, written anew.
fn id(text: &[u8]) -> Option<Vec<u8>> {
    let id = unescape(unquoted(text)?)?;
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
    if id.len() > LONGEST_ID || !id.bytes().all(is_digit) {
        return None;
    }
    if id.is_empty() {
        return Some(Vec::new());
    }
    Some(format!("\"{id}\"").into_bytes())
}

/// A time in nanoseconds, written anew; `Some(None)` if it is zero, which is left out.
#[expect(clippy::option_option, reason = "the outer one is a refusal")]
fn time_of(text: &[u8]) -> Option<Option<Vec<u8>>> {
    let time: u64 = number(text)?;
    Some((time != 0).then(|| format!("\"{time}\"").into_bytes()))
}

/// An integer, as a number or in a string.
fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let digits = unquoted(text).unwrap_or(text);
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A value of an enum that is known and not the default, by its name or number; written by its name.
fn enumerated(text: &[u8], names: &[&str]) -> Option<Vec<u8>> {
    let name = match unquoted(text) {
        Some(name) => {
            let name = unescape(name)?;
            *names.iter().skip(1).find(|known| **known == name)?
        }
        None => names.get(number::<usize>(text).filter(|number| *number > 0)?)?,
    };
    Some(format!("\"{name}\"").into_bytes())
}

/// A string, written anew. `None` if it is not Unicode.
fn string(text: &[u8]) -> Option<Vec<u8>> {
    serde_json::to_vec(&*decode(unquoted(text)?)?).ok()
}

/// The text between the quotes of a string; `None` if it is none.
fn unquoted(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// An array; `None` if it is empty.
fn list(items: impl Iterator<Item = Vec<u8>>) -> Option<Vec<u8>> {
    let mut made = Vec::new();
    for item in items {
        made.push(if made.is_empty() { b'[' } else { b',' });
        made.extend_from_slice(&item);
    }
    if made.is_empty() {
        return None;
    }
    made.push(b']');
    Some(made)
}

/// An object that is being written.
#[derive(Default)]
struct Object(Vec<u8>);

impl Object {
    fn put(&mut self, name: &str, value: &[u8]) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        self.0.extend_from_slice(value);
    }

    /// Puts a string, if it is shown and neither empty nor something else than Unicode.
    fn put_text(&mut self, name: &str, text: Option<&[u8]>, is_shown: bool) {
        if is_shown
            && let Some(text) = text.and_then(string)
            && text != b"\"\""
        {
            self.put(name, &text);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn put_some(&mut self, name: &str, value: Option<Vec<u8>>) {
        if let Some(value) = value {
            self.put(name, &value);
        }
    }

    fn end(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        self.0
    }
}
