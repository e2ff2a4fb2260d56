//! Normalizes parameters, so that calls that Prometheus and Thanos treat alike can share a cached
//! response. Where equality is uncertain, they stay different.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::form::Form;

/// The longest text that is parsed as a date.
const LONGEST_DATE: usize = 35;

/// A parameter's value, normalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value<'a> {
    /// A number of seconds, as the bits of the one `f64` that both Go and Rust parse.
    Seconds(u64),
    /// Anything else, byte by byte.
    Text(&'a str),
}

/// The parameters sorted by name; those with equal names in their original order, as they may be a
/// list.
pub fn canonical<'f>(form: &'f Form<'_>) -> Vec<(&'f str, Value<'f>)> {
    let mut all: Vec<_> = form
        .iter()
        .map(|(name, text)| (name, value(name, text)))
        .collect();
    all.sort_by_key(|(name, _)| *name);
    all
}

/// `parseTime` and `parseDuration` (`web/api/v1/api.go`; the same in Thanos' `pkg/api/query`) try a
/// number first, so two spellings of one number are one value. A date in whole seconds is the same
/// instant as that number; a date with a fraction may not be, since the number is rounded.
fn value<'f>(name: &str, text: &'f str) -> Value<'f> {
    let seconds = match name {
        "time" | "start" | "end" => number(text).or_else(|| whole_seconds(text)),
        "step" => number(text),
        _ => None,
    };
    seconds.map_or(Value::Text(text), |seconds| {
        Value::Seconds(seconds.to_bits())
    })
}

/// Only plain ones of Go's many spellings.
fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain(whole) || !is_plain(fraction) {
        return None;
    }
    // A number out of range is an error in Go, and infinite here.
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn whole_seconds(text: &str) -> Option<f64> {
    // Go accepts neither lower-case letters nor leap seconds.
    let is_gos = |byte: u8| byte.is_ascii_digit() || b"-:.+TZ".contains(&byte);
    if text.len() > LONGEST_DATE || !text.bytes().all(is_gos) || text.contains(":60") {
        return None;
    }
    let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    #[allow(
        clippy::cast_precision_loss,
        reason = "a date has a few decimal digits"
    )]
    let seconds = date.unix_timestamp() as f64;
    (date.nanosecond() == 0).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Vec<(String, String)> {
        let form = Form::parse(text.as_bytes()).unwrap();
        let canonical = canonical(&form);
        canonical
            .iter()
            .map(|(name, value)| ((*name).to_owned(), format!("{value:?}")))
            .collect()
    }

    #[test]
    fn spellings_of_one_request_are_equal() {
        for (one, other) in [
            ("a=1&b=2", "b=2&a=1"),
            ("time=1", "time=1.0"),
            ("time=1", "time=001.000"),
            ("step=15", "step=15.0"),
            ("start=1735689600", "start=2025-01-01T00:00:00Z"),
            ("start=1735689600.0", "start=2025-01-01T01:00:00%2B01:00"),
            ("end=1735689600", "end=2025-01-01T00:00:00.000Z"),
            ("query=up", "query=%75p"),
        ] {
            assert_eq!(of(one), of(other), "{one} and {other}");
        }
    }

    #[test]
    fn uncertain_spellings_stay_different() {
        for (one, other) in [
            ("match[]=a&match[]=b", "match[]=b&match[]=a"),
            ("match[]=a", "match[]=a&match[]=a"),
            ("query=1", "query=1.0"),
            ("limit=1", "limit=1.0"),
            ("limit=1", "limit=01"),
            ("time=1", "time="),
            ("time=1", "time=1e0"),
            ("time=1", "time=1s"),
            ("time=1", "time=+1"),
            ("time=1", "time=1.0000001"),
            ("time=1735689600.5", "time=2025-01-01T00:00:00.5Z"),
            ("time=1735689600", "time=2025-01-01t00:00:00z"),
            ("time=1483228799", "time=2016-12-31T23:59:60Z"),
            ("step=1735689600", "step=2025-01-01T00:00:00Z"),
            ("step=60", "step=1m"),
            ("start=1&end=2", "start=2&end=1"),
            ("time=1", "start=1"),
            ("a=b&c=d", "a=b%26c=d"),
        ] {
            assert_ne!(of(one), of(other), "{one} and {other}");
        }
        assert_eq!(number(&"9".repeat(400)), None);
    }

    proptest! {
        #[test]
        fn order_of_names_does_not_matter(
            mut given in prop::collection::btree_map("[a-z]{1,6}", "[ -~]{0,8}", 1..6)
                .prop_map(|map| map.into_iter().collect::<Vec<_>>()),
            turn in 0usize..6,
        ) {
            let form = |given: &[(String, String)]| {
                let mut form = Form::default();
                for (name, value) in given {
                    form.push(name.clone(), value.clone());
                }
                form
            };
            let before = form(&given);
            let length = given.len();
            given.rotate_left(turn % length);
            let after = form(&given);
            prop_assert_eq!(canonical(&before), canonical(&after));
        }

        #[test]
        fn zeros_do_not_change_a_number(
            whole in 0u64..4_000_000_000, thousandths in 0u32..1000, zeros in 0usize..4,
        ) {
            let plain = format!("start={whole}.{thousandths:03}");
            let zeros = "0".repeat(zeros);
            let longer = format!("start={zeros}{whole}.{thousandths:03}{zeros}");
            prop_assert_eq!(of(&plain), of(&longer));
        }

        #[test]
        fn different_values_stay_different(one in "[ -~]{0,12}", other in "[ -~]{0,12}") {
            prop_assume!(one != other);
            for name in ["query", "match[]", "limit", "timeout"] {
                let form = |value: &str| {
                    let mut form = Form::default();
                    form.push(name, value.to_owned());
                    form
                };
                let (one, other) = (form(&one), form(&other));
                prop_assert_ne!(canonical(&one), canonical(&other));
            }
        }

        /// What both parse as numbers is one value only if the numbers are equal.
        #[test]
        fn different_instants_stay_different(one in 0u64..4_000_000_000_000, other in 0u64..4_000_000_000_000) {
            prop_assume!(one != other);
            let text = |ms: u64| format!("start={}.{:03}", ms / 1000, ms % 1000);
            prop_assert_ne!(of(&text(one)), of(&text(other)));
        }
    }
}
