//! Numbers, durations and dates as templates write them.

/// The longest number, date or duration that is recognised, in bytes.
const MAX_NUMBER: usize = 48;

/// Units of the `humanize…` functions.
const UNITS: [&str; 37] = [
    "", "%", "k", "M", "G", "T", "P", "E", "Z", "Y", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi",
    "Yi", "m", "u", "n", "p", "f", "a", "z", "y", "d", "h", "s", "ms", "us", "ns", "ps", "fs",
    "as", "zs", "ys",
];

/// The lengths of all numbers, durations and dates that the text starts with: `9`, `+Inf`,
/// `1.5k`, `1e+06`, `12.5%`, `1h 2m 3s`, `2026-11-28 22:40:00 +0000 UTC`.
pub(super) fn numbers_of(text: &str) -> impl Iterator<Item = usize> {
    let longest = text.len().min(MAX_NUMBER);
    (1..=longest).filter(|length| text.get(..*length).is_some_and(is_number))
}

fn is_number(text: &str) -> bool {
    let mut tokens = text.split(' ').filter(|token| !token.is_empty()).peekable();
    tokens.peek().is_some() && tokens.all(is_number_token)
}

fn is_number_token(token: &str) -> bool {
    let unsigned = token.strip_prefix(['+', '-']).unwrap_or(token);
    if matches!(unsigned, "NaN" | "Inf" | "UTC") {
        return true;
    }
    let is_digit = |c: char| c.is_ascii_digit();
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | ':' | '-');
    let mut unit = unsigned.trim_start_matches(is_part);
    for sign in ["e+", "e-", "E+", "E-"] {
        if let Some(exponent) = unit.strip_prefix(sign) {
            unit = exponent.trim_start_matches(is_digit);
        }
    }
    unsigned.starts_with(is_digit) && UNITS.contains(&unit)
}
