//! Decides from a resource's JSON whether it is ours.

use std::convert::Infallible;

use super::reader::{Reader, Seen};
use super::scalar::is_scalar;
use super::text::{string_equals, unescape};
use crate::tempo::trace::TraceOwner;
use crate::tenancy::AttributeValue;

/// Whether this resource belongs to our tenants.
pub(super) fn is_ours(resource: &[u8], owner: &TraceOwner) -> bool {
    let Ok(is_ours) = owner.admits(|name| Ok::<_, Infallible>(sole_value(resource, name)));
    is_ours
}

/// The value of the attribute with this name, if there is exactly one and it is a plain string,
/// boolean or number. `None` also if the resource or any of its attributes has a repeated or unknown
/// member, which may be another way to give the attribute.
fn sole_value<'a>(resource: &'a [u8], name: &str) -> Option<AttributeValue<'a>> {
    let mut reader = Reader::new(resource);
    let mut found = None;
    let mut members = Seen::default();
    reader.open(b'{')?;
    while reader.next_in(b'}')? {
        let member = reader.name(["attributes", "droppedAttributesCount", "entityRefs"])?;
        if !members.first(member) {
            return None;
        }
        if member > 0 {
            reader.skip()?;
            continue;
        }
        reader.open(b'[')?;
        while reader.next_in(b']')? {
            if let Some(value) = attribute(&mut reader, name)? {
                if found.is_some() {
                    return None;
                }
                found = Some(value);
            }
        }
    }
    found
}

/// Parses one attribute: `Some(None)` if it has another name, its value if it has this one.
#[expect(clippy::option_option, reason = "the outer one is a refusal")]
fn attribute<'a>(reader: &mut Reader<'a>, name: &str) -> Option<Option<AttributeValue<'a>>> {
    let mut named = false;
    let mut value = None;
    let mut members = Seen::default();
    reader.open(b'{')?;
    while reader.next_in(b'}')? {
        let member = reader.name(["key", "value"])?;
        if !members.first(member) {
            return None;
        }
        if member == 0 {
            named = string_equals(reader.string()?, name)?;
        } else {
            value = Some(Reader::new(reader.value()?));
        }
    }
    if !named {
        return Some(None);
    }
    only_value(value?).map(Some)
}

/// The value of `{"stringValue":"…"}`, `{"boolValue":true}`, `{"intValue":"7"}` or
/// `{"doubleValue":7.5}`. Protobuf's JSON has integers of 64 bits as strings.
fn only_value(mut value: Reader<'_>) -> Option<AttributeValue<'_>> {
    value.open(b'{')?;
    value.next_in(b'}')?.then_some(())?;
    let kind = value.name(["stringValue", "boolValue", "intValue", "doubleValue"])?;
    let found = if kind == 0 {
        AttributeValue::Text(unescape(value.string()?)?)
    } else {
        let text = value.value()?;
        match (kind, text) {
            (1, b"true") => AttributeValue::Bool(true),
            (1, b"false") => AttributeValue::Bool(false),
            (2, [b'"', digits @ .., b'"'] | digits) => AttributeValue::Int(number(digits)?),
            (3, text) => AttributeValue::Float(number(text)?),
            _ => return None,
        }
    };
    if value.next_in(b'}')? {
        return None;
    }
    Some(found)
}

fn number<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    if !is_scalar(text) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
