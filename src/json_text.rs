//! Where a JSON string ends (RFC 8259 §7). Pure.

use wide::u8x16;

/// How many bytes of a string's inside come before the first quote, backslash or control
/// character. Sixteen bytes at a time: most strings are short, and a call into a vectorised search
/// costs more than it saves.
#[inline]
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    const LAST_CONTROL: u8 = 0x1f;
    let mut rest = bytes;
    while let Some((block, after)) = rest.split_first_chunk::<16>() {
        let block = u8x16::new(*block);
        let ends = block.simd_eq(u8x16::splat(b'"'))
            | block.simd_eq(u8x16::splat(b'\\'))
            | block.simd_eq(block.min(u8x16::splat(LAST_CONTROL)));
        let ends = ends.to_bitmask();
        if ends != 0 {
            return bytes.len() - rest.len() + ends.trailing_zeros() as usize;
        }
        rest = after;
    }
    let ends_run = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte <= LAST_CONTROL;
    let plain = rest.iter().take_while(|byte| !ends_run(byte)).count();
    bytes.len() - rest.len() + plain
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
