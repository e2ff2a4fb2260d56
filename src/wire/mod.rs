//! The protobuf wire format, walked and written without decoding: one message's fields, one level
//! deep. Pure. <https://protobuf.dev/programming-guides/encoding/>
//!
//! Stricter than a decoder has to be: groups, varints longer than they need to be and field
//! numbers beyond the 29 bits of the specification are errors. No encoder writes them, and
//! decoders need not agree on them.

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
    pub(crate) fn message(&self) -> Result<Message<'a>, Malformed> {
        match self.value {
            Value::Bytes(message) => Ok(message),
            Value::Varint(_) | Value::Fixed => Err(self.of_wrong_type()),
        }
    }

    pub(crate) fn bytes(&self) -> Result<&'a [u8], Malformed> {
        self.message().map(|message| message.bytes)
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

    /// A `fixed64`, or the bits of a `double`.
    pub(crate) fn fixed64(&self) -> Result<u64, Malformed> {
        const WIRE_TYPE: u8 = 1;
        let is_64 = self.encoded.first().is_some_and(|tag| tag & 7 == WIRE_TYPE);
        let bytes = self.encoded.last_chunk().filter(|_| is_64);
        bytes
            .map(|bytes| u64::from_le_bytes(*bytes))
            .ok_or_else(|| self.of_wrong_type())
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
        let (number, wire_type) = self.tag()?;
        let value = match wire_type {
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
            _ => return Err(unreadable_type(wire_type, at)),
        };
        Ok(Field {
            number,
            value,
            at,
            encoded: start.get(..self.at - at).unwrap_or_default(),
        })
    }

    /// A field's number and its wire type.
    #[inline]
    fn tag(&mut self) -> Result<(u32, u64), Malformed> {
        let at = self.at;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).unwrap_or(0);
        if number == 0 || number > MAX_FIELD_NUMBER {
            return Err(malformed("an impossible field number", at));
        }
        Ok((number, tag & 7))
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

/// What stands before a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    /// Its own bytes; with those of the number, where that is what the value is.
    pub(crate) length: usize,
}

/// A field's value, as far as its head tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Varint(u64),
    /// So many bytes follow: a string, bytes or a message.
    Bytes(usize),
    /// So many follow.
    Fixed(usize),
}

impl Head {
    /// The bytes of the whole field.
    pub(crate) fn whole(&self) -> usize {
        match self.kind {
            Kind::Varint(_) => self.length,
            Kind::Bytes(length) | Kind::Fixed(length) => self.length.saturating_add(length),
        }
    }
}

/// Reads the head of the field that begins with these bytes, of which there may be more to come:
/// `None` where the head does. `at` is where they begin, counted from the start of the body.
pub(crate) fn head(bytes: &[u8], at: usize) -> Result<Option<Head>, Malformed> {
    /// No varint is longer, so one that has not ended by then is malformed.
    const LONGEST: usize = 10;
    let has_varint = |rest: &[u8]| rest.len() >= LONGEST || rest.iter().any(|byte| *byte < 0x80);
    let mut fields = Fields { rest: bytes, at };
    if !has_varint(fields.rest) {
        return Ok(None);
    }
    let (number, wire_type) = fields.tag()?;
    let kind = match wire_type {
        0 | 2 if !has_varint(fields.rest) => return Ok(None),
        0 => Kind::Varint(fields.varint()?),
        1 => Kind::Fixed(8),
        2 => Kind::Bytes(usize::try_from(fields.varint()?).unwrap_or(usize::MAX)),
        5 => Kind::Fixed(4),
        _ => return Err(unreadable_type(wire_type, at)),
    };
    let length = fields.at - at;
    Ok(Some(Head {
        number,
        kind,
        length,
    }))
}

fn unreadable_type(wire_type: u64, at: usize) -> Malformed {
    match wire_type {
        3 | 4 => malformed("a group", at),
        _ => malformed("an unknown wire type", at),
    }
}

/// Appends an integer field; zero is left out, as proto3 encoders do.
pub(crate) fn put_uint(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_uint_or_zero(out, number, value);
    }
}

/// Appends an integer field, zero or not: in a `oneof` zeros are written.
pub(crate) fn put_uint_or_zero(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

/// Appends a `fixed64` field; zero is left out, as proto3 encoders do.
pub(crate) fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_fixed64_or_zero(out, number, value);
    }
}

/// Appends a `fixed64` or `double` field, zero or not.
pub(crate) fn put_fixed64_or_zero(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
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

pub(crate) fn malformed(what: &'static str, at: usize) -> Malformed {
    Malformed { what, at }
}

#[cfg(test)]
mod tests;
