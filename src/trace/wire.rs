//! The protobuf wire format, walked without decoding: one message's fields, one level deep.
//! <https://protobuf.dev/programming-guides/encoding/>

use std::ops::Range;

use super::TraceError;

/// The fields of a message in the order they stand. After an error there are no more.
///
/// Stricter than a decoder has to be: groups, varints longer than they need to be and field
/// numbers beyond the 29 bits of the specification are errors. Tempo writes none.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    /// Where `rest` begins, counted from the start of the body.
    at: usize,
}

/// One field.
pub(super) struct Field<'a> {
    pub(super) number: u64,
    pub(super) value: Value<'a>,
    /// All of the field, its tag included, counted from the start of the body.
    pub(super) whole: Range<usize>,
}

/// A field's value, as far as its wire type tells.
pub(super) enum Value<'a> {
    Varint(u64),
    /// A string, bytes or a message, and what is left of the field's length before it.
    Bytes(Message<'a>),
    /// Four or eight bytes, not looked at.
    Fixed,
}

/// Bytes that may be a message, and where they begin, counted from the start of the body.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Message<'a> {
    pub(super) fn fields(self) -> Fields<'a> {
        Fields {
            rest: self.bytes,
            at: self.at,
        }
    }
}

const MAX_FIELD_NUMBER: u64 = (1 << 29) - 1;

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, TraceError>;

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
    fn field(&mut self) -> Result<Field<'a>, TraceError> {
        let start = self.at;
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > MAX_FIELD_NUMBER {
            return Err(malformed("an impossible field number", start));
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
            3 | 4 => return Err(malformed("a group", start)),
            _ => return Err(malformed("an unknown wire type", start)),
        };
        Ok(Field {
            number,
            value,
            whole: start..self.at,
        })
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, TraceError> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                self.at += 1;
                Ok(byte.into())
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, TraceError> {
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
    fn take(&mut self, length: usize) -> Result<&'a [u8], TraceError> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(malformed("a field that ends after its message", self.at));
        };
        self.rest = rest;
        self.at += length;
        Ok(taken)
    }
}

/// Appends a varint, as short as it can be.
pub(super) fn put_varint(mut value: usize, out: &mut Vec<u8>) {
    while let Some(low) = u8::try_from(value & 0x7f).ok().filter(|_| value > 0x7f) {
        out.push(low | 0x80);
        value >>= 7;
    }
    out.extend(u8::try_from(value));
}

fn malformed(what: &'static str, at: usize) -> TraceError {
    TraceError::Protobuf { what, at }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<u64>, TraceError> {
        Message { bytes, at: 0 }
            .fields()
            .map(|field| field.map(|field| field.number))
            .collect()
    }

    #[test]
    fn every_wire_type_but_groups_is_walked() {
        let message = b"\x08\x96\x01\x11abcdefgh\x1a\x02hi\x25abcd";
        assert_eq!(fields(message), Ok(vec![1, 2, 3, 4]));
        let whole: Vec<_> = Message {
            bytes: message,
            at: 100,
        }
        .fields()
        .map(|field| field.unwrap().whole)
        .collect();
        assert_eq!(whole, [100..103, 103..112, 112..116, 116..121]);
    }

    #[test]
    fn what_no_encoder_writes_is_an_error() {
        for (message, what) in [
            (&b"\x0b\x0c"[..], "a group"),
            (b"\x0c", "a group"),
            (b"\x0e\x00", "an unknown wire type"),
            (b"\x00\x00", "an impossible field number"),
            (b"\x80\x80\x80\x80\x10\x00", "an impossible field number"),
            (b"\x08\x80\x00", "an overlong varint"),
            (b"\x8a\x00\x00", "an overlong varint"),
            (b"\x08\xff", "an unfinished varint"),
            (b"\x08", "an unfinished varint"),
            (
                b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
                "a varint over 64 bits",
            ),
            (b"\x0a\x02x", "a field that ends after its message"),
            (
                b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                "a field that ends after its message",
            ),
            (b"\x09abcdefg", "a field that ends after its message"),
            (b"\x0dabc", "a field that ends after its message"),
        ] {
            match fields(message) {
                Err(TraceError::Protobuf { what: found, .. }) => assert_eq!(found, what),
                other => panic!("{message:x?}: {other:?}"),
            }
        }
    }

    #[test]
    fn nothing_follows_an_error() {
        let mut fields = Message {
            bytes: b"\x0e\x08\x01",
            at: 0,
        }
        .fields();
        assert!(fields.next().unwrap().is_err());
        assert!(fields.next().is_none());
    }

    #[test]
    fn a_written_varint_reads_back() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, usize::MAX] {
            let mut message = vec![0x08];
            put_varint(value, &mut message);
            let field = Message {
                bytes: &message,
                at: 0,
            }
            .fields()
            .next()
            .unwrap()
            .unwrap();
            assert!(matches!(field.value, Value::Varint(read) if read == value as u64));
        }
    }
}
