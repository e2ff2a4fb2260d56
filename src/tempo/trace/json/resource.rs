//! Decides from a resource's JSON whether it is ours.
//!
//! The [`Scanner`](super::scan::Scanner) has validated the text as one complete JSON value. So this
//! reader need not check commas and colons, but must never misread a text that the scanner accepts.

use std::borrow::Cow;

use super::text::{string_equals, unescape};
use crate::json_text::plain_run;
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
    let mut reader = Reader { rest: resource };
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
            value = Some(Reader { rest: reader.rest });
            reader.skip()?;
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

/// Which members of an object have been seen.
#[derive(Default)]
struct Seen(u8);

impl Seen {
    fn first(&mut self, member: usize) -> bool {
        let bit = 1 << member;
        let first = self.0 & bit == 0;
        self.0 |= bit;
        first
    }
}

/// Reads JSON from the front. Methods return `None` if the next token is not the expected one.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    fn advance(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }

    fn open(&mut self, bracket: u8) -> Option<()> {
        (self.peek()? == bracket).then_some(())?;
        self.advance(1)
    }

    /// Moves to the next member or element; `false` after the closing bracket.
    fn next_in(&mut self, close: u8) -> Option<bool> {
        let byte = self.peek()?;
        if byte == close || byte == b',' {
            self.advance(1)?;
        }
        Some(byte != close)
    }

    /// Reads a member's name and returns its index in `names`.
    fn name<const N: usize>(&mut self, names: [&str; N]) -> Option<usize> {
        let found = self.string()?;
        self.open(b':')?;
        for (index, name) in names.into_iter().enumerate() {
            if string_equals(found, name)? {
                return Some(index);
            }
        }
        None
    }

    /// Reads a string without interpreting its escapes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.open(b'"')?;
        let string = self.rest;
        let mut length = 0;
        loop {
            length += plain_run(string.get(length..)?);
            match string.get(length)? {
                b'"' => break,
                b'\\' => length += 2,
                _ => return None,
            }
        }
        self.advance(length + 1)?;
        string.get(..length)
    }

    /// Skips a value of any kind and depth.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    self.advance(1)?;
                    depth += 1;
                }
                b'}' | b']' => {
                    self.advance(1)?;
                    depth = depth.checked_sub(1)?;
                }
                b',' | b':' => {
                    self.advance(1)?;
                    continue;
                }
                _ => {
                    let end = |byte: &u8| b",:]}".contains(byte) || byte.is_ascii_whitespace();
                    let length = self.rest.iter().position(end).unwrap_or(self.rest.len());
                    self.advance(length)?;
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}
