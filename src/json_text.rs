//! Where a JSON string ends (RFC 8259 §7). Pure.

/// How many bytes of a string's inside come before the first quote, backslash or control
/// character. Sixteen bytes at a time, which the compiler makes one comparison of: most strings are
/// short, and a call into a vectorised search costs more than it saves.
#[inline]
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((block, after)) = rest.split_first_chunk::<16>() {
        let ends = u128::from_le_bytes(block.map(|byte| if ends_run(byte) { 0xff } else { 0 }));
        if ends != 0 {
            return bytes.len() - rest.len() + (ends.trailing_zeros() / 8) as usize;
        }
        rest = after;
    }
    let plain = rest.iter().take_while(|byte| !ends_run(**byte)).count();
    bytes.len() - rest.len() + plain
}

#[inline]
#[expect(
    clippy::needless_bitwise_bool,
    reason = "without branches, many bytes are compared at once"
)]
fn ends_run(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
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
