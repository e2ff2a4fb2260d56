//! Reads a JSON text that is there as a whole.
//!
//! The [`Scanner`](super::scan::Scanner) has validated the text as one complete JSON value. So this
//! reader need not check commas and colons, but must never misread a text that the scanner accepts.

use super::text::string_equals;
use crate::json_text::plain_run;

/// Which members of an object have been seen.
#[derive(Default)]
pub(super) struct Seen(u16);

impl Seen {
    pub(super) fn first(&mut self, member: usize) -> bool {
        let bit = 1 << member;
        let first = self.0 & bit == 0;
        self.0 |= bit;
        first
    }
}

/// Reads JSON from the front. Methods return `None` if the next token is not the expected one.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    fn advance(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }

    pub(super) fn open(&mut self, bracket: u8) -> Option<()> {
        (self.peek()? == bracket).then_some(())?;
        self.advance(1)
    }

    /// Moves to the next member or element; `false` after the closing bracket.
    pub(super) fn next_in(&mut self, close: u8) -> Option<bool> {
        let byte = self.peek()?;
        if byte == close || byte == b',' {
            self.advance(1)?;
        }
        Some(byte != close)
    }

    /// Reads a member's name and returns its index in `names`.
    pub(super) fn name<const N: usize>(&mut self, names: [&str; N]) -> Option<usize> {
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
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
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

    /// Reads a value of any kind and depth, and returns its text.
    pub(super) fn value(&mut self) -> Option<&'a [u8]> {
        self.peek()?;
        let value = self.rest;
        self.skip()?;
        value.get(..value.len() - self.rest.len())
    }

    /// Skips a value of any kind and depth.
    pub(super) fn skip(&mut self) -> Option<()> {
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

/// The texts of an object's members with these names; others are skipped. A member that is `null`
/// counts as absent, as decoders of protobuf's JSON have it. `None` if this is no object, a member of
/// these is repeated, or the value of a name is ambiguous.
pub(super) fn members<'a, const N: usize>(
    object: &'a [u8],
    names: [&str; N],
) -> Option<[Option<&'a [u8]>; N]> {
    let mut found = [None; N];
    let mut seen = Seen::default();
    let mut reader = Reader::new(object);
    reader.open(b'{')?;
    while reader.next_in(b'}')? {
        let name = reader.string()?;
        reader.open(b':')?;
        let value = reader.value()?;
        for (index, known) in names.into_iter().enumerate() {
            if string_equals(name, known)? {
                if !seen.first(index) {
                    return None;
                }
                *found.get_mut(index)? = (value != b"null").then_some(value);
            }
        }
    }
    Some(found)
}

/// The texts of an array's elements, one after the other: a list of them could take many times the
/// array's own length. `None` if this is no array.
pub(super) fn elements(array: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let mut reader = Reader::new(array);
    reader.open(b'[')?;
    Some(std::iter::from_fn(move || {
        if reader.next_in(b']')? {
            reader.value()
        } else {
            None
        }
    }))
}
