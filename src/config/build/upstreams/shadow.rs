//! `shadow`: nothing is enforced for a while. Two keys say so, and one of them ends it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::read::{Field, Read, Reader};
use crate::config::settings::Shadow;
use crate::config::values::{flag, share, shown, text};

pub(super) fn shadow(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Shadow> {
    let mut section = r.section(field)?;
    let until = section.required(r, "until", until);
    let is_meant = section.required(r, "tenants_see_each_other", flag);
    let compare = section.or(r, "compare", 0.0, share);
    section.finish(r)?;
    is_meant?;
    Ok(Shadow::new(until?, compare?))
}

/// A time that may have passed, but is not far ahead: nobody looks at what holds for years.
fn until(r: &mut Reader<'_>, field: &Field<'_>) -> Read<SystemTime> {
    let source = text(r, field)?;
    let Some(until) = parse(&source) else {
        let message = format!(
            "{} is no date or time: write it like 2026-01-31 or 2026-01-31T18:00:00Z",
            shown(&source)
        );
        return Err(r.error(field, message));
    };
    if until > SystemTime::now() + Shadow::LONGEST {
        return Err(r.error(field, "must be at most 90 days from now"));
    }
    Ok(until)
}

/// RFC 3339; a date alone is its first moment, in UTC.
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
    fn a_time_is_a_date_or_has_an_offset() {
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
