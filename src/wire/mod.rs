//! The protobuf wire format, walked and written without decoding: one message's fields, one level
//! deep. Pure. <https://protobuf.dev/programming-guides/encoding/>
//!
//! Stricter than a decoder has to be: groups, varints longer than they need to be and field
//! numbers beyond the 29 bits of the specification are errors. No encoder writes them, and
//! decoders need not agree on them.

use std::ops::Range;

/// What no encoder writes, or a field of another type than it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// What is wrong; repeats nothing of the message.
    pub(crate) what: &'static str,
    /// Where, counted from the start of the body.
    pub(crate) at: usize,
}

/// Bytes that may be a message, and where they begin, counted from the start of the body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Message<'a> {
    /// A whole body.
    pub(crate) fn body(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn fields(self) -> Fields<'a> {
        Fields {
            rest: self.bytes,
            at: self.at,
        }
    }
}

/// The fields of a body that is a message.
pub(crate) fn fields(body: &[u8]) -> Fields<'_> {
    Message::body(body).fields()
}

/// The fields of a message in the order they stand. After an error there are no more.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    /// Where `rest` begins, counted from the start of the body.
    at: usize,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) value: Value<'a>,
    /// Where it begins, counted from the start of the body.
    pub(crate) at: usize,
    /// The whole field as it was encoded, its tag included.
    pub(crate) encoded: &'a [u8],
}

/// A field's value, as far as its wire type tells.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Varint(u64),
    /// A string, bytes or a message.
    Bytes(Message<'a>),
    /// Four or eight bytes, not looked at.
    Fixed,
}

impl<'a> Field<'a> {
    /// All of it, its tag included, counted from the start of the body.
    pub(crate) fn whole(&self) -> Range<usize> {
        self.at..self.at + self.encoded.len()
    }

    pub(crate) fn bytes(&self) -> Result<&'a [u8], Malformed> {
        match self.value {
            Value::Bytes(message) => Ok(message.bytes),
            Value::Varint(_) | Value::Fixed => Err(self.of_wrong_type()),
        }
    }

    pub(crate) fn text(&self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?)
            .map_err(|_| malformed("a string that is not UTF-8", self.at))
    }

    pub(crate) fn varint(&self) -> Result<u64, Malformed> {
        match self.value {
            Value::Varint(value) => Ok(value),
            Value::Bytes(_) | Value::Fixed => Err(self.of_wrong_type()),
        }
    }

    /// A `uint32`; decoders take the low 32 bits of a longer one, here it is an error.
    pub(crate) fn uint32(&self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| self.of_wrong_type())
    }

    fn of_wrong_type(&self) -> Malformed {
        malformed("a field of another type than it should be", self.at)
    }
}

const MAX_FIELD_NUMBER: u32 = (1 << 29) - 1;

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    #[inline]
    fn field(&mut self) -> Result<Field<'a>, Malformed> {
        let (at, start) = (self.at, self.rest);
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).unwrap_or(0);
        if number == 0 || number > MAX_FIELD_NUMBER {
            return Err(malformed("an impossible field number", at));
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed
            }
            2 => {
                let length = self.varint()?;
                let at = self.at;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let bytes = self.take(length)?;
                Value::Bytes(Message { bytes, at })
            }
            5 => {
                self.take(4)?;
                Value::Fixed
            }
            3 | 4 => return Err(malformed("a group", at)),
            _ => return Err(malformed("an unknown wire type", at)),
        };
        Ok(Field {
            number,
            value,
            at,
            encoded: start.get(..self.at - at).unwrap_or_default(),
        })
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                self.at += 1;
                Ok(byte.into())
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (index, &byte) in self.rest.iter().enumerate().take(10) {
            if index == 9 && byte > 1 {
                return Err(malformed("a varint over 64 bits", self.at));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                if byte == 0 {
                    return Err(malformed("an overlong varint", self.at));
                }
                self.take(index + 1)?;
                return Ok(value);
            }
        }
        Err(malformed("an unfinished varint", self.at))
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(malformed("a field that ends after its message", self.at));
        };
        self.rest = rest;
        self.at += length;
        Ok(taken)
    }
}

/// Appends an integer field; zero is left out, as proto3 encoders do.
pub(crate) fn put_uint(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(number) << 3);
        put_varint(out, value);
    }
}

/// Appends a string, bytes or message field, empty or not.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_bytes_head(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends what comes before the bytes of such a field.
pub(crate) fn put_bytes_head(out: &mut Vec<u8>, number: u32, length: usize) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, length as u64);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn malformed(what: &'static str, at: usize) -> Malformed {
    Malformed { what, at }
}

#[cfg(test)]
mod tests;
