//! Characters of a request's target that Go, nginx and Envoy take as themselves and the HTTP library
//! does not: `"`, `<` and `>` (RFC 3986 has no place for them), `#`, at which it would cut the target
//! off, and bytes beyond ASCII. They are escaped before it reads them, which says the same.
//!
//! So a target is as long as its escaped form, wherever its length is bounded.

use bytes::{BufMut as _, Bytes, BytesMut};

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'#') || !byte.is_ascii()
}

/// Notes where such characters are in a part of a request line that begins `at` this place. What
/// stands before the first space is the method.
pub(super) fn note_escapes(line: &[u8], has_space: bool, at: usize, escapes: &mut Vec<usize>) {
    let has_none = memchr::memchr3(b'"', b'<', b'>', line).is_none()
        && memchr::memchr(b'#', line).is_none()
        && line.is_ascii();
    if has_none {
        return;
    }
    let begin = match memchr::memchr(b' ', line) {
        _ if has_space => 0,
        Some(space) => space,
        None => return,
    };
    let places = line.iter().enumerate().skip(begin);
    let places = places.filter(|(_, byte)| is_escaped(**byte));
    escapes.extend(places.map(|(place, _)| at + place));
}

/// The bytes with those at these places escaped.
pub(super) fn escaped(bytes: &[u8], places: &[usize]) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes.len() + 2 * places.len());
    let mut from = 0;
    for &place in places {
        let Some((&byte, before)) = bytes.get(from..=place).and_then(<[u8]>::split_last) else {
            break;
        };
        out.put_slice(before);
        let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or_default();
        out.put_slice(&[b'%', digit(byte >> 4), digit(byte & 0xF)]);
        from = place + 1;
    }
    out.put_slice(bytes.get(from..).unwrap_or_default());
    out.freeze()
}
