//! Decides from a resource's JSON whether it is ours.

use std::borrow::Cow;

use super::reader::{Reader, Seen};
use super::text::{string_equals, unescape};
use crate::tempo::trace::TraceOwner;

/// Whether this resource belongs to our tenants.
pub(super) fn is_ours(resource: &[u8], owner: &TraceOwner) -> bool {
    owner.iter().all(|(name, values)| {
        sole_string(resource, name).is_some_and(|value| values.contains(&value))
    })
}

/// The value of the attribute with this name, if there is exactly one and it is a plain string.
/// `None` also if the resource or any of its attributes has a repeated or unknown member, which may
/// be another way to give the attribute.
fn sole_string<'a>(resource: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
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

/// Parses one attribute: `Some(None)` if it has another name, its string if it has this one.
#[expect(clippy::option_option, reason = "the outer one is a refusal")]
fn attribute<'a>(reader: &mut Reader<'a>, name: &str) -> Option<Option<Cow<'a, str>>> {
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
    only_string(value?).map(Some)
}

/// The string of `{"stringValue":"…"}`.
fn only_string(mut value: Reader<'_>) -> Option<Cow<'_, str>> {
    value.open(b'{')?;
    value.next_in(b'}')?.then_some(())?;
    value.name(["stringValue"])?;
    let string = value.string()?;
    if value.next_in(b'}')? {
        return None;
    }
    unescape(string)
}
