//! The time range that a call of the traces API asks for, parsed as Tempo does (`bounds`, `step`
//! and `ParseSearchRequest` in `pkg/api/http.go`). Times are in nanoseconds.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::endpoints::Endpoint;
use crate::grpc::method::Method;
use crate::promql::{parse_duration, parse_seconds, parse_unix_time};
use crate::tenancy::{Unreadable, Window};
use crate::traceql::go_duration;
use crate::wire;

const SECOND: i128 = 1_000_000_000;

/// The range of a metrics query that does not give one (`defaultSince`).
const DEFAULT_SINCE: i128 = 3600 * SECOND;

/// The range and step of an HTTP call that arrives at `now` (since 1970); `None` if the endpoint
/// has no range.
pub fn of_http_call<'a>(
    endpoint: &Endpoint,
    given: impl Iterator<Item = (&'a str, &'a str)>,
    now: Duration,
) -> Option<Window> {
    let is_metrics = match endpoint {
        Endpoint::MetricsQueryRange | Endpoint::MetricsQuery => true,
        Endpoint::Search
        | Endpoint::SearchTags
        | Endpoint::SearchTagsV2
        | Endpoint::TagValues { .. }
        | Endpoint::TagValuesV2(_) => false,
        Endpoint::TraceById { .. }
        | Endpoint::TraceDiff
        | Endpoint::Echo
        | Endpoint::BuildInfo
        | Endpoint::Ready => return None,
    };
    let times = match Times::read(given) {
        Ok(times) => times,
        Err(unreadable) => {
            return Some(Window {
                range: Err(unreadable.clone()),
                step: Err(unreadable),
            });
        }
    };
    let now = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX);
    Some(Window {
        range: if is_metrics {
            times.of_metrics(now)
        } else {
            times.of_search()
        },
        step: if *endpoint == Endpoint::MetricsQueryRange {
            step(times.step)
        } else {
            Ok(None)
        },
    })
}

/// The range and step of a gRPC call's message; `None` if the call has no range.
pub fn of_grpc_message(method: Method, message: &[u8]) -> Option<Window> {
    let (start, end, step) = match method {
        Method::Search => (5, 6, None),
        Method::SearchTags | Method::SearchTagsV2 => (3, 4, None),
        Method::SearchTagValues | Method::SearchTagValuesV2 => (4, 5, None),
        Method::MetricsQueryRange => (2, 3, Some(4)),
        Method::MetricsQueryInstant => (2, 3, None),
        Method::HealthCheck => return None,
    };
    let is_metrics = matches!(
        method,
        Method::MetricsQueryRange | Method::MetricsQueryInstant
    );
    let number = |wanted| number(message, wanted);
    let range = number(start).and_then(|start| {
        let end = number(end)?;
        match (start, end) {
            // A search of recent traces.
            (0, 0) if !is_metrics => Ok(0),
            (0, _) | (_, 0) => Err(give_both()),
            _ if is_metrics => Ok(end - start),
            _ => Ok((end - start).saturating_mul(SECOND)),
        }
    });
    let step = match step {
        // With zero, Tempo chooses the step.
        Some(step) => number(step).map(|step| (step != 0).then_some(step)),
        None => Ok(None),
    };
    Some(Window { range, step })
}

fn number(message: &[u8], wanted: u32) -> Result<i128, Unreadable> {
    let mut found = None;
    for field in wire::fields(message) {
        let number = field.and_then(|field| {
            let is_it = field.number == wanted;
            is_it.then(|| field.varint()).transpose()
        });
        match number {
            Ok(None) => {}
            Ok(Some(number)) if found.is_none() => found = Some(number),
            Ok(Some(_)) | Err(_) => {
                return Err(Unreadable {
                    problem: "the request's times cannot be read".to_owned(),
                    hint: "give each once",
                });
            }
        }
    }
    Ok(found.unwrap_or(0).into())
}

/// The parameters as given. Empty means not given.
#[derive(Default)]
struct Times<'a> {
    start: Option<&'a str>,
    end: Option<&'a str>,
    since: Option<&'a str>,
    step: Option<&'a str>,
}

impl<'a> Times<'a> {
    /// Of several Tempo takes the first.
    fn read(given: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, Unreadable> {
        let mut times = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in given {
            let place = match name {
                "start" => &mut times.start,
                "end" => &mut times.end,
                "since" => &mut times.since,
                "step" => &mut times.step,
                _ => continue,
            };
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            *place = Some(value).filter(|value| !value.is_empty());
        }
        if times.since.is_some() && (times.start.is_some() || times.end.is_some()) {
            return Err(Unreadable {
                problem: "`since` is given beside `start` or `end`".to_owned(),
                hint: "give start and end, or since alone",
            });
        }
        Ok(times)
    }

    /// A search without a range covers recent traces.
    fn of_search(&self) -> Result<i128, Unreadable> {
        match (self.start, self.end, self.since) {
            (None, None, None) => Ok(0),
            (None, None, Some(since)) => since_of(since),
            (Some(start), Some(end), _) => {
                let (start, end) = (unix_seconds("start", start)?, unix_seconds("end", end)?);
                match (start, end) {
                    (0, 0) => Ok(0),
                    (0, _) | (_, 0) => Err(give_both()),
                    _ => Ok((end - start) * SECOND),
                }
            }
            (Some(_), None, _) | (None, Some(_), _) => Err(give_both()),
        }
    }

    /// Computed as in Tempo's `determineBounds`.
    fn of_metrics(&self, now: i128) -> Result<i128, Unreadable> {
        let since = self.since.map_or(Ok(DEFAULT_SINCE), since_of)?;
        let end = self.end.map_or(Ok(now), |end| timestamp("end", end))?;
        let start = match self.start {
            Some(start) => timestamp("start", start)?,
            None => end.min(now).saturating_sub(since),
        };
        Ok(end.saturating_sub(start))
    }
}

fn give_both() -> Unreadable {
    Unreadable {
        problem: "one of `start` and `end` is not given".to_owned(),
        hint: "give both",
    }
}

fn since_of(text: &str) -> Result<i128, Unreadable> {
    parse_duration(text).ok_or_else(|| Unreadable {
        problem: "`since` is not a duration".to_owned(),
        hint: "give it like 1h",
    })
}

fn unix_seconds(name: &str, text: &str) -> Result<i128, Unreadable> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() <= 10;
    let number = digits.then(|| text.parse::<u32>().ok()).flatten();
    number.map(i128::from).ok_or_else(|| Unreadable {
        problem: format!("`{name}` is not a valid time"),
        hint: "give start and end in Unix seconds",
    })
}

/// Up to ten digits are seconds, more are nanoseconds; with a decimal point, always seconds.
fn timestamp(name: &str, text: &str) -> Result<i128, Unreadable> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let read = if is_number {
        let number = text.parse::<i64>().ok().map(i128::from);
        number.map(|number| number * if text.len() <= 10 { SECOND } else { 1 })
    } else {
        let fraction = text.contains('.').then(|| parse_unix_time(text)).flatten();
        let date = || OffsetDateTime::parse(text, &Rfc3339).ok();
        fraction.or_else(|| date().map(OffsetDateTime::unix_timestamp_nanos))
    };
    read.ok_or_else(|| Unreadable {
        problem: format!("`{name}` is not a valid time"),
        hint: "give start and end in Unix seconds or nanoseconds, or as RFC 3339",
    })
}

/// Without a step, Tempo chooses one by the range, for about 240 points.
fn step(text: Option<&str>) -> Result<Option<i128>, Unreadable> {
    let Some(text) = text else { return Ok(None) };
    let step = parse_seconds(text).or_else(|| go_duration(text));
    let positive = step.filter(|step| *step > 0);
    positive.map(Some).ok_or_else(|| Unreadable {
        problem: "`step` is not a duration longer than zero".to_owned(),
        hint: "give it like 15s, or in seconds",
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{put_bytes, put_uint};

    const NOW: Duration = Duration::from_hours(500_000);

    fn of(endpoint: &Endpoint, given: &[(&str, &str)]) -> Window {
        of_http_call(endpoint, given.iter().copied(), NOW).unwrap()
    }

    fn metrics(given: &[(&str, &str)]) -> Option<i128> {
        let range = of(&Endpoint::MetricsQueryRange, given).range.ok()?;
        Some(range / SECOND)
    }

    fn search(given: &[(&str, &str)]) -> Option<i128> {
        let range = of(&Endpoint::Search, given).range.ok()?;
        Some(range / SECOND)
    }

    #[test]
    fn metrics_ranges_are_those_of_tempo() {
        for (given, expected) in [
            (&[][..], Some(3600)),
            (&[("since", "5m")], Some(300)),
            (&[("since", "")], Some(3600)),
            (&[("start", "1700000000"), ("end", "1700000060")], Some(60)),
            (
                &[
                    ("start", "1700000000000000000"),
                    ("end", "1700000060000000000"),
                ],
                Some(60),
            ),
            (
                &[("start", "1700000000.5"), ("end", "2023-11-14T22:14:20Z")],
                Some(59),
            ),
            (&[("start", "1799999000")], Some(1000)),
            (&[("end", "1700000000")], Some(3600)),
            // An end in the future does not shift the default start.
            (&[("end", "1800000060")], Some(3660)),
            (&[("start", "0"), ("end", "60")], Some(60)),
            (&[("start", "now"), ("end", "60")], None),
            (&[("start", "1e9"), ("end", "60")], None),
            (&[("start", "99999999999999999999"), ("end", "60")], None),
            (&[("since", "1h"), ("start", "1")], None),
            (&[("since", "-1h")], None),
            (&[("start", "1"), ("start", "2"), ("end", "61")], Some(60)),
        ] {
            assert_eq!(metrics(given), expected, "{given:?}");
        }
    }

    #[test]
    fn search_without_a_range_covers_recent_traces() {
        for (given, expected) in [
            (&[][..], Some(0)),
            (&[("start", "0"), ("end", "0")], Some(0)),
            (&[("start", "1700000000"), ("end", "1700000060")], Some(60)),
            (&[("since", "2h")], Some(7200)),
            (&[("start", "1700000000")], None),
            (&[("end", "1700000000")], None),
            (&[("start", "0"), ("end", "1700000000")], None),
            (&[("start", "00000000001"), ("end", "2")], None),
            (&[("start", "1.5"), ("end", "2")], None),
        ] {
            assert_eq!(search(given), expected, "{given:?}");
        }
    }

    #[test]
    fn steps_are_seconds_or_go_durations() {
        for (text, expected) in [
            ("15", Ok(Some(15 * SECOND))),
            ("0.5", Ok(Some(SECOND / 2))),
            ("1m30s", Ok(Some(90 * SECOND))),
            ("1.5s", Ok(Some(3 * SECOND / 2))),
            ("100ms", Ok(Some(SECOND / 10))),
            ("", Ok(None)),
            ("0", Err(())),
            ("-1s", Err(())),
            ("1d", Err(())),
            ("NaN", Err(())),
            ("1e300", Err(())),
        ] {
            let step = of(&Endpoint::MetricsQueryRange, &[("step", text)]).step;
            assert_eq!(step.map_err(|_| ()), expected, "{text}");
        }
        assert_eq!(of(&Endpoint::MetricsQuery, &[("step", "x")]).step, Ok(None));
    }

    #[test]
    fn messages_have_the_same_ranges_as_parameters() {
        let message = |fields: &[(u32, u64)]| {
            let mut message = Vec::new();
            put_bytes(&mut message, 1, b"{}");
            for (number, value) in fields {
                put_uint(&mut message, *number, *value);
            }
            message
        };
        let window =
            |method, fields: &[(u32, u64)]| of_grpc_message(method, &message(fields)).unwrap();
        let hour = 3600 * SECOND;
        let found = window(
            Method::MetricsQueryRange,
            &[(2, 1), (3, 3_600_000_000_001), (4, 5)],
        );
        assert_eq!((found.range, found.step), (Ok(hour), Ok(Some(5))));
        let found = window(Method::SearchTagsV2, &[(3, 10), (4, 3610)]);
        assert_eq!((found.range, found.step), (Ok(hour), Ok(None)));
        assert_eq!(
            window(Method::SearchTagValues, &[(4, 10), (5, 3610)]).range,
            Ok(hour)
        );
        assert_eq!(window(Method::Search, &[]).range, Ok(0));
        assert!(window(Method::Search, &[(6, 5)]).range.is_err());
        assert!(window(Method::MetricsQueryRange, &[]).range.is_err());
        assert!(
            window(Method::MetricsQueryInstant, &[(3, 5)])
                .range
                .is_err()
        );
        assert!(
            window(Method::Search, &[(5, 1), (5, 2), (6, 3)])
                .range
                .is_err()
        );
        assert!(
            of_grpc_message(Method::Search, b"\xff")
                .unwrap()
                .range
                .is_err()
        );
        assert_eq!(of_grpc_message(Method::HealthCheck, b""), None);
    }

    proptest! {
        #[test]
        fn arbitrary_requests_do_not_panic(
            start in "[0-9.eE+-]{0,24}|\\PC{0,8}", end in "[0-9]{0,24}", since in "[0-9a-z.]{0,30}",
            step in "[0-9a-z.]{0,12}", message in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let given = [("start", start.as_str()), ("end", &end), ("since", &since), ("step", &step)];
            for given in [&given[..2], &given[..1], &given[1..2], &given[2..]] {
                let _ = (metrics(given), search(given));
            }
            let _ = of_grpc_message(Method::MetricsQueryRange, &message);
            let _ = of_grpc_message(Method::Search, &message);
        }
    }
}
