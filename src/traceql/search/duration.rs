//! Go's `time.ParseDuration`, as far as Tempo's parameters can use it.

/// The duration in milliseconds, rounded down; `None` if the text is not a duration, negative, or
/// too long for Tempo's 32 bits.
pub(super) fn milliseconds(text: &str) -> Option<u32> {
    let milliseconds = go_duration(text)? / 1_000_000;
    u32::try_from(milliseconds).ok()
}

/// In nanoseconds: what fits Go's 63 bits.
const LONGEST: f64 = 9.2e18;

/// The nanoseconds of `1h30m`, `1.5s` or `100us`; `None` if the text is not a duration, negative, or
/// longer than Go's durations can be.
pub fn go_duration(text: &str) -> Option<i128> {
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
    let fits = !text.is_empty() && nanos <= LONGEST;
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    fits.then_some(nanos as i128)
}

fn split_where(text: &str, at: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(at).unwrap_or(text.len()))
}
