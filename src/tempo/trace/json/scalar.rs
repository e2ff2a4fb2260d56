//! JSON numbers and literals.

/// Whether this is a number, `true`, `false` or `null`. RFC 8259, sections 3 and 6.
pub(super) fn is_scalar(text: &[u8]) -> bool {
    if matches!(text, b"true" | b"false" | b"null") {
        return true;
    }
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, text) = digits(unsigned);
    if whole == 0 || (whole > 1 && unsigned.starts_with(b"0")) {
        return false;
    }
    let (fraction, text) = match text.strip_prefix(b".") {
        Some(fraction) => digits(fraction),
        None => (1, text),
    };
    let (exponent, text) = match text {
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            digits(exponent)
        }
        _ => (1, text),
    };
    fraction > 0 && exponent > 0 && text.is_empty()
}

/// How many digits come first, and what comes after them.
fn digits(text: &[u8]) -> (usize, &[u8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count, text.get(count..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_literals_are_those_of_json() {
        for text in [
            "0",
            "-0",
            "7",
            "10",
            "-1.5",
            "0.0",
            "1e9",
            "1E+9",
            "-12.50e-03",
            "true",
            "false",
            "null",
        ] {
            assert!(is_scalar(text.as_bytes()), "{text}");
        }
        for text in [
            "", "-", "01", "-01", "00", "+1", ".5", "1.", "1.e5", "1e", "1e+", "e5", "1e5.0", "1-",
            "--1", "1.5.5", "0x1", "1_0", "True", "nul", "nulll", "NaN", "Infinity",
        ] {
            assert!(!is_scalar(text.as_bytes()), "{text}");
        }
    }
}
