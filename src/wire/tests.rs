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
        read.iter().map(Field::whole).collect::<Vec<_>>(),
        [100..103, 103..112, 112..116, 116..121]
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
