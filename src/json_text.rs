//! Where a JSON string ends (RFC 8259 §7). Pure.

/// How many bytes of a string's inside come before the first quote, backslash or control
/// character. Eight bytes at a time: most strings are short, and a call into a vectorised search
/// costs more than it saves.
#[inline]
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn run_ends_where_a_naive_search_says(
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
