//! `shadow`: nothing is enforced for a while. It needs two keys, one of which is its end.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::reader::{Field, Read, Reader};
use crate::config::values::{flag, share, shown, text};

/// Until when nothing is enforced at an upstream. Only the reader of a config file makes one, from
/// a file with both keys: without it no request is forwarded unenforced.
#[derive(Clone, Debug, PartialEq)]
pub struct Shadow {
    until: SystemTime,
    compare: f64,
}

impl Shadow {
    /// `until` must be no further ahead when the file is read: 90 days.
    pub const LONGEST: Duration = Duration::from_hours(90 * 24);

    /// For the reader only, which has seen `tenants_see_each_other: true`.
    fn new(until: SystemTime, compare: f64) -> Self {
        Self { until, compare }
    }

    /// `until`: from then on everything is enforced.
    pub fn until(&self) -> SystemTime {
        self.until
    }

    /// `compare`: the share of requests whose confined copy is sent too, to compare sizes; 0 to 1,
    /// default 0.
    pub fn compare(&self) -> f64 {
        self.compare
    }

    /// Whether it is in force at this moment.
    pub fn is_in_force(&self, now: SystemTime) -> bool {
        now < self.until
    }
}

/// The state of one upstream's `shadow`; its text is for logs, terminals and readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadowed {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// `shadow.until`.
    pub until: SystemTime,
    /// Whether `until` has not passed yet.
    pub is_in_force: bool,
}

impl Shadowed {
    pub(in crate::config) fn of(upstream: Arc<str>, shadow: &Shadow, now: SystemTime) -> Self {
        Self {
            upstream,
            until: shadow.until(),
            is_in_force: shadow.is_in_force(now),
        }
    }
}

impl fmt::Display for Shadowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            upstream,
            until,
            is_in_force,
        } = self;
        let until = humantime::format_rfc3339_seconds(*until);
        if *is_in_force {
            write!(
                f,
                "upstream {upstream} is in shadow mode until {until}: nothing is enforced there"
            )
        } else {
            write!(
                f,
                "upstream {upstream}: its shadow mode ended at {until}, all is enforced; take \
                 `shadow` out of the config"
            )
        }
    }
}

impl Serialize for Shadow {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { until, compare } = self;
        json!({
            "until": humantime::format_rfc3339(*until).to_string(),
            "tenants_see_each_other": true,
            "compare": compare,
        })
        .serialize(to)
    }
}

pub(super) fn shadow(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Shadow> {
    let mut section = r.section(field)?;
    let until = section.required(r, "until", until);
    let is_meant = section.required(r, "tenants_see_each_other", flag);
    let compare = section.or(r, "compare", 0.0, share);
    section.finish(r)?;
    is_meant?;
    Ok(Shadow::new(until?, compare?))
}

/// A time that may have passed, but is not far ahead: long exceptions are forgotten.
fn until(r: &mut Reader<'_>, field: &Field<'_>) -> Read<SystemTime> {
    let source = text(r, field)?;
    let Some(until) = parse(&source) else {
        let message = format!(
            "{} is not a date or time: write it like 2026-01-31 or 2026-01-31T18:00:00Z",
            shown(&source)
        );
        return Err(r.error(field, message));
    };
    if until > SystemTime::now() + Shadow::LONGEST {
        return Err(r.error(field, "must be at most 90 days from now"));
    }
    Ok(until)
}

/// RFC 3339; a date alone is its start, in UTC.
fn parse(source: &str) -> Option<SystemTime> {
    let is_date = source.len() == "2026-01-31".len();
    let midnight = is_date.then(|| format!("{source}T00:00:00Z"));
    let time = OffsetDateTime::parse(midnight.as_deref().unwrap_or(source), &Rfc3339).ok()?;
    let seconds = u64::try_from(time.unix_timestamp()).ok()?;
    UNIX_EPOCH.checked_add(Duration::new(seconds, time.nanosecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_a_date_or_has_an_offset() {
        let seconds = |source: &str| {
            let time = parse(source)?.duration_since(UNIX_EPOCH).unwrap();
            Some(time.as_secs())
        };
        for (source, expected) in [
            ("2026-01-31", 1_769_817_600),
            ("2026-01-31T00:00:00Z", 1_769_817_600),
            ("2026-01-31T01:00:00+01:00", 1_769_817_600),
            ("2026-01-31T00:00:00.5Z", 1_769_817_600),
        ] {
            assert_eq!(seconds(source), Some(expected), "{source}");
        }
        for source in [
            "",
            "2026",
            "2026-1-31",
            "2026-02-30",
            "2026-01-31T00:00:00",
            "31.01.2026",
            "1769817600",
            "1950-01-01",
            "90d",
            "2026-01-31 00:00",
        ] {
            assert_eq!(parse(source), None, "{source}");
        }
    }
}
