//! Searches as they were before TraceQL: tags and durations, which a closure turns into TraceQL.

use thiserror::Error;

/// A search by tags and durations. With nothing set it is a search for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagSearch {
    /// Tag and value, in the order they came; no tag twice.
    pub tags: Vec<(String, String)>,
    /// In milliseconds; 0 is no bound.
    pub min_duration_ms: u32,
    /// In milliseconds; 0 is no bound.
    pub max_duration_ms: u32,
}

/// What is wrong with such a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TagSearchError {
    /// Not logfmt as far as it is read here.
    #[error("`tags` is not of the form key=value key=\"quoted value\"")]
    Logfmt,
    /// Tempo refuses this too.
    #[error("a tag is set twice")]
    TwiceSet,
    /// More than [`MAX_TAGS`].
    #[error("there are more than {MAX_TAGS} tags")]
    TooMany,
    /// Not a duration as Go writes them, or not one that fits.
    #[error("a duration is a number with a unit, like 100ms, 1.5s or 1h30m, of at most 49 days")]
    Duration,
    /// Tempo refuses this too.
    #[error("maxDuration must be greater than minDuration")]
    DurationsReversed,
}

/// The most tags in one search.
pub const MAX_TAGS: usize = 100;

impl TagSearch {
    pub(super) fn add_tag(&mut self, tag: &str, value: &str) -> Result<(), TagSearchError> {
        if self.tags.len() == MAX_TAGS {
            return Err(TagSearchError::TooMany);
        }
        if self.tags.iter().any(|(known, _)| known == tag) {
            return Err(TagSearchError::TwiceSet);
        }
        self.tags.push((tag.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Adds the tags of a `tags` parameter, which is logfmt (`go-logfmt`): pairs between blanks,
    /// values bare or quoted as in JSON. Keys without a value are refused, for what they mean
    /// depends on the reader.
    pub(super) fn add_logfmt(&mut self, text: &str) -> Result<(), TagSearchError> {
        let mut rest = text.trim_start_matches(is_blank);
        while !rest.is_empty() {
            let (key, after) = rest.split_once('=').ok_or(TagSearchError::Logfmt)?;
            if key.is_empty() || key.contains(|c| is_blank(c) || c == '"') {
                return Err(TagSearchError::Logfmt);
            }
            let (value, after) = split_value(after).ok_or(TagSearchError::Logfmt)?;
            self.add_tag(key, &value)?;
            rest = after.trim_start_matches(is_blank);
        }
        Ok(())
    }

    pub(super) fn check(&self) -> Result<(), TagSearchError> {
        let reversed = self.max_duration_ms != 0 && self.min_duration_ms > self.max_duration_ms;
        (!reversed)
            .then_some(())
            .ok_or(TagSearchError::DurationsReversed)
    }
}

/// What `go-logfmt` takes as the space between pairs.
fn is_blank(c: char) -> bool {
    c <= ' '
}

/// The value at the front, and what follows it.
fn split_value(text: &str) -> Option<(String, &str)> {
    if !text.starts_with('"') {
        let end = text.find(is_blank).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end)?;
        return (!value.contains(['"', '='])).then(|| (value.to_owned(), rest));
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let value = values.next()?.ok()?;
    let rest = text.get(values.byte_offset()..)?;
    (rest.is_empty() || rest.starts_with(is_blank)).then_some((value, rest))
}

/// A duration as Go's `time.ParseDuration` reads it, in whole milliseconds; no signs.
pub(super) fn duration_ms(text: &str) -> Result<u32, TagSearchError> {
    let mut rest = text;
    let mut nanos = 0u128;
    while !rest.is_empty() {
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or(TagSearchError::Duration)?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        nanos = part_nanos(number, unit)
            .and_then(|part| nanos.checked_add(part))
            .ok_or(TagSearchError::Duration)?;
        rest = after;
    }
    if text.is_empty() {
        return Err(TagSearchError::Duration);
    }
    u32::try_from(nanos / 1_000_000).map_err(|_| TagSearchError::Duration)
}

fn part_nanos(number: &str, unit: &str) -> Option<u128> {
    /// Digits behind the point that can make a difference of a nanosecond in an hour.
    const FRACTION_DIGITS: usize = 13;
    let unit: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() > 15 || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    if fraction.bytes().any(|byte| !byte.is_ascii_digit()) {
        return None;
    }
    let digits = |text: &str| {
        text.bytes()
            .fold(0u128, |sum, digit| sum * 10 + u128::from(digit - b'0'))
    };
    let fraction = fraction.get(..FRACTION_DIGITS).unwrap_or(fraction);
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    Some(digits(whole) * unit + digits(fraction) * unit / scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn logfmt(text: &str) -> Result<Vec<(String, String)>, TagSearchError> {
        let mut search = TagSearch::default();
        search.add_logfmt(text)?;
        Ok(search.tags)
    }

    #[test]
    fn tags_are_read_as_logfmt() {
        let pairs = logfmt(" a=1  service.name=b-web\tq=\"x \\\"y\\\" = z\" e= ").unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(
            pairs,
            [
                ("a", "1"),
                ("service.name", "b-web"),
                ("q", "x \"y\" = z"),
                ("e", "")
            ]
        );
        assert_eq!(logfmt(""), Ok(vec![]));
    }

    #[test]
    fn what_is_no_clear_logfmt_is_refused() {
        for text in [
            "a",
            "=1",
            "a b=1",
            "a=\"x",
            "a=\"x\"y=1",
            "a=b=c",
            "a=x\"y\"",
            "\"a\"=1",
            "a=\"\\q\"",
        ] {
            assert_eq!(logfmt(text), Err(TagSearchError::Logfmt), "{text}");
        }
        assert_eq!(logfmt("a=1 a=2"), Err(TagSearchError::TwiceSet));
        let many: Vec<String> = (0..=MAX_TAGS).map(|n| format!("t{n}=1")).collect();
        assert_eq!(logfmt(&many.join(" ")), Err(TagSearchError::TooMany));
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, ms) in [
            ("300ms", 300),
            ("1.5s", 1500),
            (".5s", 500),
            ("1h30m", 5_400_000),
            ("1500us", 1),
            ("1500µs", 1),
            ("999999ns", 0),
            ("1.0000000000000000001s", 1000),
        ] {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
        }
        for text in [
            "",
            "1",
            "s",
            "1.2.3s",
            "-1s",
            "+1s",
            "1d",
            "1 s",
            ".s",
            "1e3s",
            "50d",
            "2000h",
            "9999999999999999s",
        ] {
            assert_eq!(duration_ms(text), Err(TagSearchError::Duration), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r#"[a-z0-9= ."\\µsmh]{0,30}"#) {
            let _ = logfmt(&text);
            let _ = duration_ms(&text);
        }
    }
}
