//! Parses PromQL's durations and the APIs' numbers of seconds.

/// Units from the longest to the shortest, in milliseconds (`model.ParseDuration` of
/// `prometheus/common`).
const UNITS: [(&str, u128); 7] = [
    ("y", 365 * DAY),
    ("w", 7 * DAY),
    ("d", DAY),
    ("h", 60 * MINUTE),
    ("m", MINUTE),
    ("s", 1000),
    ("ms", 1),
];
const MINUTE: u128 = 60 * 1000;
const DAY: u128 = 24 * 60 * MINUTE;

/// The nanoseconds of `1h30m`, `5d` or `90s`: at least one unit, each at most once, from the
/// longest to the shortest. Saturates. `None` if the text is anything else, also if it is a number
/// without a unit.
pub fn parse_duration(text: &str) -> Option<i128> {
    let mut units = UNITS.iter();
    let mut total: u128 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.bytes().take_while(u8::is_ascii_lowercase).count();
        let (name, after) = after.split_at_checked(letters)?;
        let (_, unit) = units.find(|(unit, _)| *unit == name)?;
        if number.is_empty() {
            return None;
        }
        let number = number.parse::<u128>().unwrap_or(u128::MAX);
        total = total.saturating_add(unit.saturating_mul(number));
        rest = after;
    }
    if text.is_empty() {
        return None;
    }
    let nanoseconds = total.saturating_mul(1_000_000);
    Some(i128::try_from(nanoseconds).unwrap_or(i128::MAX))
}

/// The nanoseconds of a number of seconds: decimal digits, a fraction, an exponent. `None` if the
/// text is anything else, or the number is beyond any date.
pub fn parse_seconds(text: &str) -> Option<i128> {
    /// About thirty thousand years.
    const MAX_SECONDS: f64 = 1e12;
    let is_part = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if !text.bytes().all(is_part) {
        return None;
    }
    let seconds: f64 = text.parse().ok()?;
    if seconds.abs() > MAX_SECONDS {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "it is bounded")]
    Some((seconds * 1e9) as i128)
}

/// The nanoseconds since 1970 of a number of seconds, rounded to milliseconds as both APIs do.
pub fn parse_unix_time(text: &str) -> Option<i128> {
    const MILLISECOND: i128 = 1_000_000;
    let nanoseconds = parse_seconds(text)?;
    Some((nanoseconds + MILLISECOND / 2).div_euclid(MILLISECOND) * MILLISECOND)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i128 = 1_000_000_000;

    #[test]
    fn durations_parse_as_in_prometheus() {
        for (text, seconds) in [
            ("0s", 0),
            ("5m", 300),
            ("1h30m", 5400),
            ("1d", 86_400),
            ("2w", 1_209_600),
            ("1y", 31_536_000),
            ("1y2w3d4h5m6s", 31_536_000 + 1_209_600 + 259_200 + 14_706),
            ("90m", 5400),
            ("007s", 7),
        ] {
            assert_eq!(parse_duration(text), Some(seconds * SECOND), "{text}");
        }
        assert_eq!(parse_duration("1500ms"), Some(1_500_000_000));
        for text in [
            "", "5", "s", "1.5h", "-5m", "+5m", "5M", "5m5m", "5m1h", "1h 5m", "5µs", "5us", "1h5",
            "٣s", "5é",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn overlong_durations_saturate() {
        for text in [
            "99999999999999999999999999999999999999999999y",
            "340282366920938463463374607431768211455ms",
        ] {
            assert_eq!(parse_duration(text), Some(i128::MAX), "{text}");
        }
    }

    #[test]
    fn seconds_are_decimal_and_bounded() {
        assert_eq!(parse_seconds("1.5"), Some(1_500_000_000));
        assert_eq!(parse_seconds("-1"), Some(-SECOND));
        assert_eq!(parse_seconds("1e3"), Some(1000 * SECOND));
        assert_eq!(
            parse_unix_time("1735689600.123"),
            Some(1_735_689_600_123_000_000)
        );
        assert_eq!(parse_unix_time("-0.0009"), Some(-1_000_000));
        for text in [
            "", "nan", "NaN", "inf", "-Inf", "1e308", "1e999", "1e13", "0x10", "1_000", "1s", " 1",
            "infinity", ".", "e", "+",
        ] {
            assert_eq!(parse_seconds(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "[0-9a-z.+-]{0,40}|\\PC{0,12}") {
            let _ = (parse_duration(&text), parse_unix_time(&text));
        }
    }
}
