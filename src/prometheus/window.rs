//! The time range of a call, parsed as Prometheus and Thanos do (`parseTime`, `parseDuration` in
//! `web/api/v1/api.go`, and the same in Thanos' `pkg/query`). Times are in nanoseconds.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::endpoints::Endpoint;
use crate::promql::{parse_duration, parse_seconds, parse_unix_time};
use crate::tenancy::{Unreadable, Window};

/// The parameter that extends how far an instant query looks back.
pub const LOOKBACK: &str = "lookback_delta";

/// The range of a search without start and end, in nanoseconds (`parseSearchParams` in
/// `web/api/v1/search.go`).
const SEARCH_DEFAULT: i128 = 3600 * 1_000_000_000;

/// The range of a call, and its step; `None` if the endpoint has no range. `value` returns
/// parameters; an empty one counts as missing.
pub fn window<'a>(
    endpoint: &Endpoint,
    value: impl Fn(&'static str) -> Option<&'a str>,
) -> Option<Window> {
    let step = match endpoint {
        Endpoint::QueryRange => step(value("step")).map(Some),
        Endpoint::QueryExemplars
        | Endpoint::Series
        | Endpoint::Labels
        | Endpoint::LabelValues(_) => Ok(None),
        endpoint if endpoint.is_search() => {
            let is_default = ["start", "end"].map(|name| given(value(name)).is_none());
            if is_default == [true, true] {
                return Some(Window {
                    range: Ok(SEARCH_DEFAULT),
                    step: Ok(None),
                });
            }
            Ok(None)
        }
        _ => return None,
    };
    let start = time_of("start", value("start"));
    let range = start.and_then(|start| Ok(time_of("end", value("end"))? - start));
    Some(Window { range, step })
}

/// How far back a call looks from each of its points, if it sets that.
pub fn lookback(value: Option<&str>) -> Result<Option<i128>, Unreadable> {
    let Some(text) = given(value) else {
        return Ok(None);
    };
    length(text).map(Some).ok_or_else(|| Unreadable {
        problem: format!("`{LOOKBACK}` is not a duration"),
        hint: "give it like 5m, or in seconds",
    })
}

/// If missing, most endpoints use the whole range, and the others return an error.
fn time_of(name: &'static str, value: Option<&str>) -> Result<i128, Unreadable> {
    let Some(text) = given(value) else {
        return Err(Unreadable {
            problem: format!("`{name}` is not given"),
            hint: "give start and end",
        });
    };
    instant(text).ok_or_else(|| Unreadable {
        problem: format!("`{name}` is not a valid time"),
        hint: "give start and end in Unix seconds or as RFC 3339",
    })
}

fn step(value: Option<&str>) -> Result<i128, Unreadable> {
    let Some(text) = given(value) else {
        return Err(Unreadable {
            problem: "`step` is not given".to_owned(),
            hint: "give it like 15s, or in seconds",
        });
    };
    let positive = length(text).filter(|step| *step > 0);
    positive.ok_or_else(|| Unreadable {
        problem: "`step` is not a duration longer than zero".to_owned(),
        hint: "give it like 15s, or in seconds",
    })
}

fn given(value: Option<&str>) -> Option<&str> {
    value.filter(|text| !text.is_empty())
}

/// Unix seconds, or RFC 3339.
fn instant(text: &str) -> Option<i128> {
    parse_unix_time(text).or_else(|| {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        Some(time.unix_timestamp_nanos())
    })
}

/// Seconds, or a duration with units.
fn length(text: &str) -> Option<i128> {
    parse_seconds(text).or_else(|| parse_duration(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i128 = 1_000_000_000;

    fn of(endpoint: &Endpoint, given: &[(&'static str, &str)]) -> Option<Window> {
        window(endpoint, |wanted| {
            let found = given.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| *value)
        })
    }

    #[test]
    fn times_are_seconds_or_dates_and_steps_seconds_or_durations() {
        for (start, end, step, range, every) in [
            ("0", "60", "15", 60, 15 * SECOND),
            ("1e3", "2000.0", "0.5", 1000, SECOND / 2),
            ("1735689600", "2025-01-01T00:01:00Z", "1m", 60, 60 * SECOND),
            (
                "2025-01-01T01:00:00+01:00",
                "2025-01-02T00:00:00.000Z",
                "1h30m",
                86_400,
                5400 * SECOND,
            ),
            ("60", "0", "1d", -60, 86_400 * SECOND),
        ] {
            let given = [("start", start), ("end", end), ("step", step)];
            let window = of(&Endpoint::QueryRange, &given).unwrap();
            assert_eq!(window.range, Ok(range * SECOND), "{given:?}");
            assert_eq!(window.step, Ok(Some(every)), "{given:?}");
        }
    }

    #[test]
    fn missing_or_invalid_times_are_refused() {
        for bad in [
            "",
            "now",
            "NaN",
            "Inf",
            "-inf",
            "1e308",
            "-1e308",
            "9223372036854775807",
            "0x1p10",
            "1_000",
            "2025-01-01",
            "2025-13-01T00:00:00Z",
            "-292273086-05-16T16:47:06Z",
            "1 ",
        ] {
            let window = of(&Endpoint::Series, &[("start", bad), ("end", "1")]).unwrap();
            assert!(window.range.is_err(), "{bad}");
            let window = of(&Endpoint::Series, &[("start", "1"), ("end", bad)]).unwrap();
            assert!(window.range.is_err(), "{bad}");
        }
        for bad in ["", "0", "-1", "0s", "nan", "1e308", "1e-10", "5x"] {
            let given = [("start", "0"), ("end", "1"), ("step", bad)];
            let window = of(&Endpoint::QueryRange, &given).unwrap();
            assert!(window.step.is_err(), "{bad}");
        }
    }

    #[test]
    fn endpoints_without_a_range_have_no_window() {
        for endpoint in [Endpoint::Query, Endpoint::Rules, Endpoint::Federate] {
            assert_eq!(of(&endpoint, &[]), None);
        }
        assert_eq!(lookback(None), Ok(None));
        assert_eq!(lookback(Some("5m")), Ok(Some(300 * SECOND)));
        assert!(lookback(Some("Inf")).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_texts_never_panic(start in "\\PC{0,12}", end in "[0-9eE.+-]{0,25}", step in "[0-9a-z.]{0,12}") {
            let given = [("start", start.as_str()), ("end", &end), ("step", &step)];
            let _ = of(&Endpoint::QueryRange, &given);
        }
    }
}
