//! The values of JSON strings.

use std::borrow::Cow;

/// Whether the raw text between a string's quotes has this value. `None` where [`unescape`] returns
/// `None`.
#[inline]
pub(super) fn string_equals(raw: &[u8], text: &str) -> Option<bool> {
    if raw == text.as_bytes() || raw.contains(&b'\\') {
        return unescape(raw).map(|said| said == text);
    }
    Some(false)
}

/// The value of a string, from the raw text between its quotes. `None` if it is ambiguous: invalid
/// UTF-8, half a surrogate pair, or the replacement character, which Go writes for every byte that
/// is not UTF-8.
pub(super) fn unescape(raw: &[u8]) -> Option<Cow<'_, str>> {
    decode(raw).filter(|text| !text.contains(char::REPLACEMENT_CHARACTER))
}

/// The same for a string that is only shown; its replacement characters are its value.
pub(super) fn decode(raw: &[u8]) -> Option<Cow<'_, str>> {
    if raw.contains(&b'\\') {
        let quoted = [b"\"", raw, b"\""].concat();
        return Some(Cow::Owned(serde_json::from_slice(&quoted).ok()?));
    }
    std::str::from_utf8(raw).ok().map(Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unambiguous_strings_are_unescaped() {
        assert_eq!(unescape(b"plain").unwrap(), "plain");
        assert_eq!(unescape(br"tenant\u005fid\n").unwrap(), "tenant_id\n");
        assert_eq!(unescape(br"\ud83d\ude00").unwrap(), "\u{1f600}");
        for ambiguous in [
            &br"\ud83d"[..],
            br"a\ufffd",
            b"a\xff",
            "a\u{fffd}".as_bytes(),
        ] {
            assert_eq!(unescape(ambiguous), None);
        }
    }
}
