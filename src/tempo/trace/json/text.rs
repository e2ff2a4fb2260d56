//! What JSON strings say.

use std::borrow::Cow;

/// Whether a string says this, from its text between the quotes. `None` where [`unescape`] has
/// no reading.
#[inline]
pub(super) fn says(raw: &[u8], text: &str) -> Option<bool> {
    if raw == text.as_bytes() || raw.contains(&b'\\') {
        return unescape(raw).map(|said| said == text);
    }
    Some(false)
}

/// What a string says, from its text between the quotes. `None` if it cannot be read in just
/// one way: invalid UTF-8, half a surrogate pair, or the replacement character, which Go writes
/// for every byte that was not UTF-8.
pub(super) fn unescape(raw: &[u8]) -> Option<Cow<'_, str>> {
    let text = if raw.contains(&b'\\') {
        let quoted = [b"\"", raw, b"\""].concat();
        Cow::Owned(serde_json::from_slice::<String>(&quoted).ok()?)
    } else {
        Cow::Borrowed(std::str::from_utf8(raw).ok()?)
    };
    (!text.contains(char::REPLACEMENT_CHARACTER)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_reads_in_one_way_is_read() {
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
