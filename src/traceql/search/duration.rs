//! Go's `time.ParseDuration`, as far as a search can use it.

/// The duration in whole milliseconds, cut off; `None` if it is none, negative, or too long for
/// Tempo's 32 bits.
pub(super) fn milliseconds(text: &str) -> Option<u32> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Some(0);
    }
    let mut nanos = 0f64;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| !(c.is_ascii_digit() || c == '.'));
        let (unit, after) = split_where(after, |c| c.is_ascii_digit() || c == '.');
        rest = after;
        let unit = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        nanos += number.parse::<f64>().ok()? * unit;
    }
    let milliseconds = (nanos / 1e6).floor();
    let fits = !text.is_empty() && milliseconds <= f64::from(u32::MAX);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above"
    )]
    fits.then_some(milliseconds as u32)
}

fn split_where(text: &str, at: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(at).unwrap_or(text.len()))
}
