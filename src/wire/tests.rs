use proptest::prelude::*;

use super::*;

#[test]
fn every_wire_type_but_groups_is_walked() {
    let message = b"\x08\x96\x01\x11abcdefgh\x1a\x02hi\x25abcd";
    let read: Vec<_> = Message {
        bytes: message,
        at: 100,
    }
    .fields()
    .map(Result::unwrap)
    .collect();
    assert_eq!(
        read.iter().map(|f| f.number).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    assert_eq!(
        read.iter().map(|f| f.at).collect::<Vec<_>>(),
        [100, 103, 112, 116]
    );
    assert_eq!(read[0].varint().unwrap(), 150);
    assert_eq!(read[2].text().unwrap(), "hi");
    assert!(read[0].bytes().is_err() && read[2].varint().is_err());
    let encoded: Vec<u8> = read.iter().flat_map(|f| f.encoded).copied().collect();
    assert_eq!(encoded, message);
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
        let found = fields(message).last().unwrap().unwrap_err();
        assert_eq!(found.what, what, "{message:x?}");
    }
}

#[test]
fn nothing_follows_an_error() {
    let mut fields = fields(b"\x0e\x08\x01");
    assert!(fields.next().unwrap().is_err());
    assert!(fields.next().is_none());
}

/// Every wire type, of which `text` and `inner` are told apart by their schema alone.
#[derive(Clone, PartialEq, prost::Message)]
struct Everything {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(bytes = "vec", tag = "3")]
    bytes: Vec<u8>,
    #[prost(fixed64, tag = "4")]
    fixed64: u64,
    #[prost(fixed32, tag = "536870911")]
    fixed32: u32,
    #[prost(message, repeated, tag = "1000")]
    inner: Vec<Everything>,
}

fn everything() -> impl Strategy<Value = Everything> {
    let leaf = (
        any::<u64>(),
        ".{0,20}",
        prop::collection::vec(any::<u8>(), 0..200),
        any::<u64>(),
        any::<u32>(),
    )
        .prop_map(|(number, text, bytes, fixed64, fixed32)| Everything {
            number,
            text,
            bytes,
            fixed64,
            fixed32,
            inner: Vec::new(),
        });
    leaf.prop_recursive(3, 12, 4, |inner| {
        (inner.clone(), prop::collection::vec(inner, 0..4))
            .prop_map(|(outer, inner)| Everything { inner, ..outer })
    })
}

/// The message as the walker reads it.
fn walked(message: Message<'_>) -> Result<Everything, Malformed> {
    let mut read = Everything::default();
    for field in message.fields() {
        let field = field?;
        // A field of another type may be shorter.
        let fixed = |length: usize| {
            let at = field.encoded.len().checked_sub(length);
            at.map(|at| field.encoded.split_at(at).1)
                .ok_or_else(|| field.of_wrong_type())
        };
        match field.number {
            1 => read.number = field.varint()?,
            2 => read.text = field.text()?.to_owned(),
            3 => read.bytes = field.bytes()?.to_vec(),
            4 => read.fixed64 = u64::from_le_bytes(fixed(8)?.try_into().unwrap()),
            536_870_911 => read.fixed32 = u32::from_le_bytes(fixed(4)?.try_into().unwrap()),
            1000 => match field.value {
                Value::Bytes(inner) => read.inner.push(walked(inner)?),
                Value::Varint(_) | Value::Fixed => return Err(field.of_wrong_type()),
            },
            _ => {}
        }
    }
    Ok(read)
}

proptest! {
    #[test]
    fn what_a_decoder_reads_is_what_is_walked(message in everything()) {
        let encoded = prost::Message::encode_to_vec(&message);
        prop_assert_eq!(walked(Message::body(&encoded)), Ok(message));
    }

    /// Whatever we can walk, a decoder reads too, and to the same fields: there is no message
    /// that it takes for another than we did.
    #[test]
    fn what_is_walked_is_what_a_decoder_reads(
        message in everything(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut encoded = prost::Message::encode_to_vec(&message);
        prop_assume!(!encoded.is_empty());
        let at = at.index(encoded.len());
        encoded[at] = byte;
        let ends = fields(&encoded).all(|field| field.is_ok());
        let decoded = <Everything as prost::Message>::decode(&*encoded);
        if let (true, Ok(walked), Ok(decoded)) = (ends, walked(Message::body(&encoded)), decoded) {
            // A decoder merges nothing here: all but `inner` are scalars, of which the last counts.
            prop_assert_eq!(walked, decoded);
        }
    }

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

proptest! {
    /// A head is that of the field, however much of it is there yet.
    #[test]
    fn head_is_that_of_the_field_it_begins(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0_u8..0x30], 0..24),
    ) {
        let field = fields(&bytes).next();
        for length in 0..=bytes.len() {
            match (head(&bytes[..length], 0), &field) {
                (Ok(Some(head)), Some(Ok(field))) => {
                    prop_assert_eq!(head.number, field.number);
                    prop_assert_eq!(head.whole(), field.encoded.len());
                    prop_assert!(head.length <= length);
                }
                // What is not there yet.
                (Ok(Some(head)), _) => prop_assert!(head.whole() > bytes.len()),
                (Ok(None), _) => prop_assert!(length < 20),
                (Err(_), field) => prop_assert!(!matches!(field, Some(Ok(_)))),
            }
        }
    }
}
