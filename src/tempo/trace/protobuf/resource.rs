//! Whose a `ResourceSpans` is. Spans are skipped by their length, so the time does not grow with
//! them.

use crate::tempo::any_value::plain_value;
use crate::tempo::trace::owner::Verdicts;
use crate::tempo::trace::{TraceError, TraceOwner};
use crate::tenancy::AttributeValue;
use crate::wire::{Message, Value};

/// Whether a `ResourceSpans` is ours.
pub(super) fn is_of_ours(
    spans: Message<'_>,
    owner: &TraceOwner,
    verdicts: &mut Verdicts,
) -> Result<bool, TraceError> {
    match resource(spans)? {
        Some(resource) => verdicts.is_ours(resource.bytes, || is_ours(resource, owner)),
        None => Ok(false),
    }
}

/// The resource of a `ResourceSpans`; `None` if it has several, which decoders would merge.
fn resource(spans: Message<'_>) -> Result<Option<Message<'_>>, TraceError> {
    const RESOURCE: u32 = 1;
    let mut resource = None;
    for field in spans.fields() {
        let field = field?;
        match (field.number, field.value) {
            (RESOURCE, Value::Bytes(message)) if resource.is_none() => resource = Some(message),
            (RESOURCE, _) => return Ok(None),
            _ => {}
        }
    }
    Ok(resource)
}

/// Whether a resource belongs to our tenants.
fn is_ours(resource: Message<'_>, owner: &TraceOwner) -> Result<bool, TraceError> {
    owner.admits(|name| sole_value(resource, name))
}

/// The value of the attribute with this name, if there is exactly one and it is a plain string,
/// boolean or number. `None` also for a resource with an unknown field, which may contain attributes
/// too.
fn sole_value<'a>(
    resource: Message<'a>,
    name: &str,
) -> Result<Option<AttributeValue<'a>>, TraceError> {
    const ATTRIBUTES: u32 = 1;
    const DROPPED_ATTRIBUTES_COUNT: u32 = 2;
    const ENTITY_REFS: u32 = 3;
    let mut found = None;
    for field in resource.fields() {
        let field = field?;
        let attribute = match (field.number, field.value) {
            (ATTRIBUTES, Value::Bytes(attribute)) => attribute,
            (DROPPED_ATTRIBUTES_COUNT, Value::Varint(_)) | (ENTITY_REFS, Value::Bytes(_)) => {
                continue;
            }
            _ => return Ok(None),
        };
        let Some(attribute) = key_value(attribute)? else {
            return Ok(None);
        };
        if attribute.key == name.as_bytes() {
            let (None, Some(value)) = (found, attribute.value) else {
                return Ok(None);
            };
            found = plain_value(value)?;
            if found.is_none() {
                return Ok(None);
            }
        }
    }
    Ok(found)
}

struct KeyValue<'a> {
    key: &'a [u8],
    value: Option<Message<'a>>,
}

/// Parses an attribute. `None` if it has two keys or values (decoders take the last key and merge
/// the values) or any other field: `key_strindex` is another way to give the key.
fn key_value(attribute: Message<'_>) -> Result<Option<KeyValue<'_>>, TraceError> {
    const KEY: u32 = 1;
    const VALUE: u32 = 2;
    let mut key = None;
    let mut value = None;
    for field in attribute.fields() {
        let field = field?;
        match (field.number, field.value) {
            (KEY, Value::Bytes(text)) if key.is_none() => key = Some(text.bytes),
            (VALUE, Value::Bytes(message)) if value.is_none() => value = Some(message),
            _ => return Ok(None),
        }
    }
    let key = key.unwrap_or_default();
    Ok(Some(KeyValue { key, value }))
}
