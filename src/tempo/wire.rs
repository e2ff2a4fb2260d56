//! The protobuf wire format, one message's fields at a time
//! (<https://protobuf.dev/programming-guides/encoding/>).
//!
//! Messages are walked and rebuilt without decoding what is passed on. Groups are not read:
//! Tempo's messages have none.

use super::answer::Unreadable;

/// One field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    pub(super) value: Value<'a>,
    /// The whole field as it was encoded, its tag included.
    pub(super) encoded: &'a [u8],
}

/// A field's value as far as its wire type tells.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Varint(u64),
    /// A string, bytes or a message.
    Bytes(&'a [u8]),
    /// Four or eight bytes that nothing here needs to read.
    Fixed,
}

/// The fields of a message in order; after an error there are no more.
pub(super) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

#[derive(Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or(MALFORMED))
    }
}

const MALFORMED: Unreadable = Unreadable("it is not a protobuf message");
const WRONG_TYPE: Unreadable = Unreadable("a protobuf field has another type than it should");
const MAX_FIELD_NUMBER: u64 = (1 << 29) - 1;

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<Field<'a>> {
        let start = self.rest;
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        let number = tag >> 3;
        (number != 0 && number <= MAX_FIELD_NUMBER).then_some(())?;
        Some(Field {
            number,
            value,
            encoded: start.get(..start.len() - self.rest.len())?,
        })
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (index, &byte) in self.rest.iter().enumerate().take(10) {
            if index == 9 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.take(index + 1)?;
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Field<'a> {
    pub(super) fn bytes(&self) -> Result<&'a [u8], Unreadable> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Varint(_) | Value::Fixed => Err(WRONG_TYPE),
        }
    }

    pub(super) fn text(&self) -> Result<&'a str, Unreadable> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Unreadable("a protobuf string is not UTF-8"))
    }

    pub(super) fn varint(&self) -> Result<u64, Unreadable> {
        match self.value {
            Value::Varint(value) => Ok(value),
            Value::Bytes(_) | Value::Fixed => Err(WRONG_TYPE),
        }
    }

    /// A `uint32`; decoders take the low 32 bits of a longer one, here it is an error.
    pub(super) fn uint32(&self) -> Result<u32, Unreadable> {
        u32::try_from(self.varint()?).map_err(|_| WRONG_TYPE)
    }
}

/// Appends an integer field; zero is left out, as proto3 encoders do.
pub(super) fn put_uint(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(number) << 3);
        put_varint(out, value);
    }
}

/// Appends a string, bytes or message field, empty or not.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_wire_type_but_groups_is_walked() {
        let message = b"\x08\x96\x01\x11abcdefgh\x1a\x02hi\x25abcd";
        let read: Vec<_> = fields(message).map(Result::unwrap).collect();
        assert_eq!(
            read.iter().map(|f| f.number).collect::<Vec<_>>(),
            [1, 2, 3, 4]
        );
        assert_eq!(read[0].varint().unwrap(), 150);
        assert_eq!(read[2].text().unwrap(), "hi");
        assert!(read[0].bytes().is_err() && read[2].varint().is_err());
        let encoded: Vec<u8> = read.iter().flat_map(|f| f.encoded).copied().collect();
        assert_eq!(encoded, message);
    }

    #[test]
    fn what_no_encoder_writes_is_an_error() {
        for message in [
            &b"\x0b\x0c"[..],
            b"\x00\x00",
            b"\x80\x80\x80\x80\x10\x00",
            b"\x08\xff",
            b"\x08",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"\x0a\x02x",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x09abcdefg",
            b"\x0dabc",
        ] {
            let last = fields(message).last().unwrap();
            assert_eq!(last.unwrap_err(), MALFORMED, "{message:x?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_put_reads_back(number in 1u32..1000, value in 1u64.., text in ".{0,300}") {
            let mut out = Vec::new();
            put_uint(&mut out, number, value);
            put_uint(&mut out, number, 0);
            put_bytes(&mut out, number, text.as_bytes());
            let read: Vec<_> = fields(&out).map(Result::unwrap).collect();
            prop_assert_eq!(read.len(), 2);
            prop_assert_eq!(read[0].varint().unwrap(), value);
            prop_assert_eq!(read[1].text().unwrap(), text);
        }

        #[test]
        fn any_bytes_are_walked_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let walked: usize = fields(&bytes).map_while(Result::ok).map(|f| f.encoded.len()).sum();
            prop_assert!(walked <= bytes.len());
        }
    }
}
