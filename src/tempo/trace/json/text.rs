//! JSON strings: where they end, and their values.

use std::borrow::Cow;

/// The number of bytes before the first quote, backslash or control character in a string. Searches
/// eight bytes at a time: the strings of a trace are short, and calling a vectorized search costs
/// more than it saves.
#[inline]
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return index * 8 + (stops.trailing_zeros() / 8) as usize;
        }
    }
    let plain = rest
        .iter()
        .take_while(|&&byte| byte != b'"' && byte != b'\\' && byte >= 0x20)
        .count();
    words.len() * 8 + plain
}

/// The high bit of each byte that ends a run; exact up to and including the lowest one set.
/// Sean Anderson, "Bit Twiddling Hacks": determine if a word has a zero byte, or a byte less
/// than n.
#[inline]
fn stops(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word & HIGHS;
    let quotes = below(word ^ (ONES * 0x22), 1);
    let backslashes = below(word ^ (ONES * 0x5c), 1);
    quotes | backslashes | below(word, 0x20)
}

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
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn plain_run_ends_where_a_naive_search_finds(
            bytes in prop::collection::vec(
                prop_oneof![4 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\'), 9 => 0x1eu8..0x24],
                0..40,
            )
        ) {
            let naive = bytes
                .iter()
                .position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20)
                .unwrap_or(bytes.len());
            prop_assert_eq!(plain_run(&bytes), naive);
        }
    }
}
