//! The outline of a foreign `ResourceSpans` as protobuf.
//!
//! It is written from the fields that are known here. Repeated fields count as they do for decoders:
//! the last one. A span that cannot be read, or whose ids are longer than ids are, is left out.

use crate::tempo::trace::outline::{Intrinsic, Outline, Place};
use crate::wire::{Field, Malformed, Message, Value, put_bytes, put_fixed64, put_uint};

/// Of a `ResourceSpans`.
const RESOURCE: u32 = 1;
const SCOPE_SPANS: u32 = 2;

/// Of a `ScopeSpans`.
const SCOPE: u32 = 1;
const SPANS: u32 = 2;

/// Of a `Span`.
const TRACE_ID: u32 = 1;
const SPAN_ID: u32 = 2;
const PARENT_SPAN_ID: u32 = 4;
const NAME: u32 = 5;
const KIND: u32 = 6;
const START: u32 = 7;
const END: u32 = 8;
const ATTRIBUTES: u32 = 9;
const EVENTS: u32 = 11;
const STATUS: u32 = 15;

/// Of a `Status`.
const MESSAGE: u32 = 2;
const CODE: u32 = 3;

/// Of an `Event`.
const TIME: u32 = 1;
const EVENT_NAME: u32 = 2;

/// Of an `InstrumentationScope`.
const SCOPE_NAME: u32 = 1;
const SCOPE_VERSION: u32 = 2;

/// The highest values of the enums.
const MAX_KIND: u64 = 5;
const MAX_CODE: u64 = 2;

/// In bytes.
const LONGEST_TRACE_ID: usize = 16;
const LONGEST_SPAN_ID: usize = 8;

/// The outline of a `ResourceSpans` that is not ours, as a field with this number. Empty if it has no
/// spans that can be shown.
pub(super) fn field(number: u32, spans: Message<'_>, outline: &Outline) -> Vec<u8> {
    let spans = resource_spans(spans, outline).unwrap_or_default();
    let mut field = Vec::with_capacity(spans.len() + 12);
    if !spans.is_empty() {
        put_bytes(&mut field, number, &spans);
    }
    field
}

fn resource_spans(spans: Message<'_>, outline: &Outline) -> Result<Vec<u8>, Malformed> {
    let (mut resource, mut scopes) = (Vec::new(), Vec::new());
    for field in spans.fields() {
        let field = field?;
        match (field.number, field.value) {
            (RESOURCE, Value::Bytes(message)) => {
                put_attributes(&mut resource, message, Place::Resource, outline)?;
            }
            (SCOPE_SPANS, Value::Bytes(message)) => {
                // What cannot be read does not hide the rest.
                if let Ok(spans) = scope_spans(message, outline)
                    && !spans.is_empty()
                {
                    put_bytes(&mut scopes, SCOPE_SPANS, &spans);
                }
            }
            _ => {}
        }
    }
    if scopes.is_empty() {
        return Ok(scopes);
    }
    let mut made = Vec::with_capacity(resource.len() + scopes.len() + 8);
    put_bytes(&mut made, RESOURCE, &resource);
    made.append(&mut scopes);
    Ok(made)
}

fn scope_spans(scope_spans: Message<'_>, outline: &Outline) -> Result<Vec<u8>, Malformed> {
    let (mut scope, mut spans) = (Vec::new(), Vec::new());
    for field in scope_spans.fields() {
        let field = field?;
        match (field.number, field.value) {
            (SCOPE, Value::Bytes(message)) => {
                for (number, intrinsic) in [
                    (SCOPE_NAME, Intrinsic::ScopeName),
                    (SCOPE_VERSION, Intrinsic::ScopeVersion),
                ] {
                    put_text(&mut scope, message, number, outline.has(intrinsic))?;
                }
                put_attributes(&mut scope, message, Place::Scope, outline)?;
            }
            (SPANS, Value::Bytes(message)) => {
                if let Ok(Some(span)) = span(message, outline) {
                    put_bytes(&mut spans, SPANS, &span);
                }
            }
            _ => {}
        }
    }
    if spans.is_empty() {
        return Ok(spans);
    }
    let mut made = Vec::with_capacity(scope.len() + spans.len() + 8);
    if !scope.is_empty() {
        put_bytes(&mut made, SCOPE, &scope);
    }
    made.append(&mut spans);
    Ok(made)
}

/// The outline of a span. `None` if it cannot be a node of the tree.
fn span(span: Message<'_>, outline: &Outline) -> Result<Option<Vec<u8>>, Malformed> {
    let (mut trace_id, mut span_id, mut parent) = (&b""[..], &b""[..], &b""[..]);
    let (mut kind, mut start, mut end, mut code) = (0, 0, 0, 0);
    let mut status = Vec::new();
    for field in span.fields() {
        let field = field?;
        match field.number {
            TRACE_ID => trace_id = field.bytes()?,
            SPAN_ID => span_id = field.bytes()?,
            PARENT_SPAN_ID => parent = field.bytes()?,
            KIND => kind = field.varint()?,
            START => start = field.fixed64()?,
            END => end = field.fixed64()?,
            STATUS => {
                let message = field.message()?;
                let shows_message = outline.has(Intrinsic::StatusMessage);
                put_text(&mut status, message, MESSAGE, shows_message)?;
                for field in message.fields() {
                    let field = field?;
                    if field.number == CODE {
                        code = field.varint()?;
                    }
                }
            }
            _ => {}
        }
    }
    if span_id.is_empty()
        || trace_id.len() > LONGEST_TRACE_ID
        || [span_id, parent]
            .iter()
            .any(|id| id.len() > LONGEST_SPAN_ID)
    {
        return Ok(None);
    }
    let mut made = Vec::with_capacity(96);
    for (number, id) in [
        (TRACE_ID, trace_id),
        (SPAN_ID, span_id),
        (PARENT_SPAN_ID, parent),
    ] {
        if !id.is_empty() {
            put_bytes(&mut made, number, id);
        }
    }
    put_text(&mut made, span, NAME, outline.has(Intrinsic::SpanName))?;
    put_uint(&mut made, KIND, if kind > MAX_KIND { 0 } else { kind });
    put_fixed64(&mut made, START, start);
    put_fixed64(&mut made, END, end);
    put_attributes(&mut made, span, Place::Span, outline)?;
    put_events(&mut made, span, outline)?;
    put_uint(&mut status, CODE, if code > MAX_CODE { 0 } else { code });
    put_bytes(&mut made, STATUS, &status);
    Ok(Some(made))
}

/// Appends the events of a span, if their names are shown, or else those with attributes that are.
fn put_events(out: &mut Vec<u8>, span: Message<'_>, outline: &Outline) -> Result<(), Malformed> {
    let shows_names = outline.has(Intrinsic::EventName);
    if !shows_names && !outline.shows_any(Place::Event) {
        return Ok(());
    }
    for field in span.fields() {
        let field = field?;
        if field.number != EVENTS {
            continue;
        }
        let event = field.message()?;
        let (mut made, mut time) = (Vec::new(), 0);
        for field in event.fields() {
            let field = field?;
            if field.number == TIME {
                time = field.fixed64()?;
            }
        }
        put_fixed64(&mut made, TIME, time);
        put_text(&mut made, event, EVENT_NAME, shows_names)?;
        let without = made.len();
        put_attributes(&mut made, event, Place::Event, outline)?;
        if shows_names || made.len() > without {
            put_bytes(out, EVENTS, &made);
        }
    }
    Ok(())
}

/// Appends a string of a message, if it is shown. Empty ones are left out, as encoders do.
fn put_text(
    out: &mut Vec<u8>,
    message: Message<'_>,
    number: u32,
    is_shown: bool,
) -> Result<(), Malformed> {
    if !is_shown {
        return Ok(());
    }
    let mut text = "";
    for field in message.fields() {
        let field = field?;
        if field.number == number {
            text = field.text()?;
        }
    }
    if !text.is_empty() {
        put_bytes(out, number, text.as_bytes());
    }
    Ok(())
}

/// Appends the attributes that are shown of a resource, scope, span or event.
fn put_attributes(
    out: &mut Vec<u8>,
    holder: Message<'_>,
    at: Place,
    outline: &Outline,
) -> Result<(), Malformed> {
    if !outline.shows_any(at) {
        return Ok(());
    }
    let number = match at {
        Place::Resource => 1,
        Place::Scope | Place::Event => 3,
        Place::Span => ATTRIBUTES,
    };
    for field in holder.fields() {
        let field = field?;
        if field.number == number {
            let attribute = field.message()?;
            if let Ok(Some(key)) = plain_key(attribute)
                && outline.shows(at, key)
            {
                put_bytes(out, number, attribute.bytes);
            }
        }
    }
    Ok(())
}

/// The key of an attribute that has nothing but one key and one value, which is a scalar or a list of
/// scalars. `None` for any other: its bytes must not be copied.
fn plain_key(attribute: Message<'_>) -> Result<Option<&str>, Malformed> {
    const KEY: u32 = 1;
    const VALUE: u32 = 2;
    let mut fields = attribute.fields();
    let (Some(key), Some(value), None) = (fields.next(), fields.next(), fields.next()) else {
        return Ok(None);
    };
    let (key, value) = (key?, value?);
    if key.number != KEY || value.number != VALUE || !is_plain(value.message()?)? {
        return Ok(None);
    }
    key.text().map(Some)
}

/// Whether an `AnyValue` is a scalar, or a list of scalars.
fn is_plain(value: Message<'_>) -> Result<bool, Malformed> {
    const ARRAY: u32 = 5;
    const VALUES: u32 = 1;
    let mut fields = value.fields();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return Ok(false);
    };
    let field = field?;
    if field.number != ARRAY {
        return is_scalar(&field);
    }
    for item in field.message()?.fields() {
        let item = item?;
        let mut fields = item.message()?.fields();
        let (VALUES, Some(scalar), None) = (item.number, fields.next(), fields.next()) else {
            return Ok(false);
        };
        if !is_scalar(&scalar?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether this field of an `AnyValue` is a string, a boolean, an integer or a float.
fn is_scalar(field: &Field<'_>) -> Result<bool, Malformed> {
    match field.number {
        1 => field.text().map(|_| true),
        2 | 3 => field.varint().map(|_| true),
        4 => field.fixed64().map(|_| true),
        _ => Ok(false),
    }
}
