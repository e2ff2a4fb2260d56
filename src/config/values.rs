//! The values of single keys: strings, numbers, durations, sizes, addresses, names.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Field, Read, Reader, listed, nearest};
use super::secret::Secret;
use super::yaml::Value;

pub(super) const KIB: u64 = 1024;
pub(super) const MIB: u64 = 1024 * KIB;
pub(super) const GIB: u64 = 1024 * MIB;

const DAY: Duration = Duration::from_hours(24);

/// A longer wait is a mistake, and would overflow the clock's arithmetic at some point.
const MAX_DURATION: Duration = Duration::from_hours(365 * 24);

/// No store keeps data for longer.
const MAX_SPAN: Duration = Duration::from_hours(100 * 365 * 24);

/// A non-empty string. Unquoted numbers are read as they are written.
pub(super) fn text(r: &mut Reader<'_>, field: &Field<'_>) -> Read<String> {
    let text = any_text(r, field)?;
    if text.is_empty() {
        return Err(r.error(field, "must not be empty"));
    }
    Ok(text.to_owned())
}

/// A word that is valid in a path, a label and a key: lower-case letters, digits and hyphens.
pub(super) fn short_name(r: &mut Reader<'_>, field: &Field<'_>) -> Read<String> {
    let name = text(r, field)?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.len() > 63 || !name.bytes().all(allowed) {
        let message = "must be made of a-z, 0-9 and -, at most 63 characters";
        return Err(r.error(field, message));
    }
    Ok(name)
}

fn any_text<'a>(r: &mut Reader<'_>, field: &Field<'a>) -> Read<&'a str> {
    if field.node.as_bool().is_some() {
        let message = "must be a text: put the word into quotes if it is meant as one";
        return Err(r.error(field, message));
    }
    match &field.node.value {
        Value::Scalar { text, .. } if !field.node.is_null() => Ok(text),
        _ => Err(r.wrong_kind(field, "a text")),
    }
}

/// A string in which `${NAME}` stands for an environment variable and `$${` for `${`. Not empty.
/// Errors must not show its value, as it may be a secret.
pub(super) fn expanded(r: &mut Reader<'_>, field: &Field<'_>) -> Read<String> {
    let source = any_text(r, field)?;
    let mut result = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(literal) = before.strip_suffix('$') {
            result.push_str(literal);
            result.push_str("${");
            rest = after;
            continue;
        }
        result.push_str(before);
        let Some((name, after)) = after.split_once('}').filter(|(name, _)| is_name(name)) else {
            let message = "`${` must be followed by a variable's name and `}`; write `$${` for \
                           a literal `${`";
            return Err(r.error(field, message));
        };
        match r.variable(name) {
            Ok(value) => result.push_str(&value),
            Err(std::env::VarError::NotPresent) => {
                let message = format!("the environment variable {name} is not set");
                return Err(r.error(field, message));
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                let message = format!("the environment variable {name} is not UTF-8");
                return Err(r.error(field, message));
            }
        }
        rest = after;
    }
    result.push_str(rest);
    if result.is_empty() {
        return Err(r.error(field, "must not be empty"));
    }
    Ok(result)
}

/// Whether it is `[a-zA-Z_][a-zA-Z0-9_]*`: a variable or, in Prometheus' data model, a label.
pub(super) fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A secret written in the config, or by reference to the environment.
pub(super) fn secret(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Secret> {
    expanded(r, field).map(Secret::new)
}

/// `true` or `false`.
pub(super) fn boolean(r: &mut Reader<'_>, field: &Field<'_>) -> Read<bool> {
    field
        .node
        .as_bool()
        .ok_or_else(|| r.wrong_kind(field, "true or false"))
}

/// A key that is present or not; its only value is `true`.
pub(super) fn flag(r: &mut Reader<'_>, field: &Field<'_>) -> Read<()> {
    if boolean(r, field)? {
        Ok(())
    } else {
        Err(r.error(field, "can only be true: leave out the key instead"))
    }
}

/// An integer within bounds.
pub(super) fn count(
    r: &mut Reader<'_>,
    field: &Field<'_>,
    range: RangeInclusive<u64>,
) -> Read<usize> {
    let number = match &field.node.value {
        Value::Scalar { text, plain: true } => parse_digits(text),
        _ => None,
    };
    let Some(number) = number else {
        return Err(r.wrong_kind(field, "a whole number"));
    };
    in_range(number, &range).ok_or_else(|| r.error(field, between(range.start(), range.end())))
}

/// A share: a decimal number from 0 to 1.
pub(super) fn share(r: &mut Reader<'_>, field: &Field<'_>) -> Read<f64> {
    let number = match &field.node.value {
        Value::Scalar { text, plain: true } => parse_share(text),
        _ => None,
    };
    number.ok_or_else(|| r.error(field, "must be a number from 0 to 1, like 0.01"))
}

/// Digits with at most one point: none of Rust's other spellings (`1e-3`, `inf`).
fn parse_share(source: &str) -> Option<f64> {
    let is_decimal = source
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
        && source.starts_with(|c: char| c.is_ascii_digit());
    let number: f64 = is_decimal.then(|| source.parse().ok())??;
    (0.0..=1.0).contains(&number).then_some(number)
}

/// Bytes within bounds: `65536`, `64KiB`, `2MiB`, `1GiB`.
pub(super) fn size(
    r: &mut Reader<'_>,
    field: &Field<'_>,
    range: RangeInclusive<u64>,
) -> Read<usize> {
    let source = any_text(r, field)?;
    let Some(bytes) = parse_size(source) else {
        let message = format!(
            "{} is not a size: write bytes as a number, or a number with KiB, MiB or GiB like 64KiB",
            shown(source)
        );
        return Err(r.error(field, message));
    };
    in_range(bytes, &range).ok_or_else(|| {
        let message = between(&SizeText(*range.start()), &SizeText(*range.end()));
        r.error(field, message)
    })
}

fn parse_size(source: &str) -> Option<u64> {
    let split = source
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(source.len());
    let (digits, unit) = source.split_at_checked(split)?;
    let factor = match unit {
        "" => 1,
        "KiB" => KIB,
        "MiB" => MIB,
        "GiB" => GIB,
        _ => return None,
    };
    parse_digits(digits)?.checked_mul(factor)
}

fn parse_digits(digits: &str) -> Option<u64> {
    let only_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    only_digits.then(|| digits.parse().ok())?
}

fn in_range(number: u64, range: &RangeInclusive<u64>) -> Option<usize> {
    range
        .contains(&number)
        .then(|| usize::try_from(number).ok())?
}

fn between(low: &impl std::fmt::Display, high: &impl std::fmt::Display) -> String {
    format!("must be between {low} and {high}")
}

struct SizeText(u64);

impl std::fmt::Display for SizeText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes if bytes > 0 && bytes % GIB == 0 => write!(f, "{}GiB", bytes / GIB),
            bytes if bytes > 0 && bytes % MIB == 0 => write!(f, "{}MiB", bytes / MIB),
            bytes if bytes > 0 && bytes % KIB == 0 => write!(f, "{}KiB", bytes / KIB),
            bytes => write!(f, "{bytes}"),
        }
    }
}

/// A duration that may be zero: `0s`, `30s`, `1h30m`.
pub(super) fn duration(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Duration> {
    let duration = any_duration(r, field)?;
    if duration > MAX_DURATION {
        return Err(r.error(field, "must be at most a year (365d)"));
    }
    Ok(duration)
}

fn any_duration(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Duration> {
    let source = any_text(r, field)?;
    parse_duration(source).ok_or_else(|| {
        let message = format!(
            "{} is not a duration: write numbers with d, h, m, s or ms like 30s or 1h30m",
            shown(source)
        );
        r.error(field, message)
    })
}

/// A duration of data: longer than zero, possibly years.
pub(super) fn span(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Duration> {
    let span = any_duration(r, field)?;
    if span.is_zero() {
        return Err(r.error(field, "must be longer than zero"));
    }
    if span > MAX_SPAN {
        return Err(r.error(field, "must be at most a hundred years (36500d)"));
    }
    Ok(span)
}

/// A duration longer than zero.
pub(super) fn positive_duration(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Duration> {
    let duration = duration(r, field)?;
    if duration.is_zero() {
        return Err(r.error(field, "must be longer than zero"));
    }
    Ok(duration)
}

/// Numbers with units, the longer unit first, each unit once.
fn parse_duration(source: &str) -> Option<Duration> {
    const UNITS: [(&str, Duration); 5] = [
        ("d", DAY),
        ("h", Duration::from_hours(1)),
        ("m", Duration::from_mins(1)),
        ("s", Duration::from_secs(1)),
        ("ms", Duration::from_millis(1)),
    ];
    let mut units = UNITS.iter();
    let mut total = Duration::ZERO;
    let mut rest = source;
    while !rest.is_empty() {
        let split = rest.find(|c: char| !c.is_ascii_digit())?;
        let (digits, after) = rest.split_at_checked(split)?;
        let end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (name, after) = after.split_at_checked(end)?;
        let (_, unit) = units.find(|(unit, _)| *unit == name)?;
        let number = u32::try_from(parse_digits(digits)?).ok()?;
        total = total.checked_add(unit.checked_mul(number)?)?;
        rest = after;
    }
    (!source.is_empty()).then_some(total)
}

/// An IP address and a port.
pub(super) fn address(r: &mut Reader<'_>, field: &Field<'_>) -> Read<SocketAddr> {
    let source = any_text(r, field)?;
    source.parse().map_err(|_| {
        let message = format!(
            "{} is no IP address with a port, like 127.0.0.1:8080, 0.0.0.0:8080 or \"[::]:8080\"",
            shown(source)
        );
        r.error(field, message)
    })
}

/// One of a few keywords.
pub(super) fn choice<T: Copy>(
    r: &mut Reader<'_>,
    field: &Field<'_>,
    choices: &[(&str, T)],
) -> Read<T> {
    let source = any_text(r, field)?;
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == source) {
        return Ok(*value);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let message = match nearest(source, names.iter().copied()) {
        Some(near) => format!("{} is unknown; did you mean `{near}`?", shown(source)),
        None => format!("{} is unknown; known are {}", shown(source), listed(&names)),
    };
    Err(r.error(field, message))
}

/// The path of a file, relative to the config file's folder.
pub(super) fn path(r: &mut Reader<'_>, field: &Field<'_>) -> Read<PathBuf> {
    let path = text(r, field)?;
    Ok(r.resolve(&path))
}

/// A value in an error: quoted, escaped, and truncated if it is long. Not for secrets.
pub(super) fn shown(value: &str) -> String {
    const MAX: usize = 60;
    let cut: String = value.chars().take(MAX).collect();
    let more = if cut.len() < value.len() { "…" } else { "" };
    format!("{:?}", cut + more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (source, milliseconds) in [
            ("0s", 0),
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("1h1m1s1ms", 3_661_001),
            ("250ms", 250),
            ("90m", 5_400_000),
            ("31d12h", 2_721_600_000),
        ] {
            let expected = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(source), Some(expected), "{source}");
        }
        for source in [
            "",
            "30",
            "0",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "1 s",
            "1S",
            "1w",
            "1m1h",
            "1s1s",
            "1s ",
            "s1",
            "99999999999999999999s",
            "1é",
            "4294967295h4294967295h",
        ] {
            assert_eq!(parse_duration(source), None, "{source}");
        }
    }

    #[test]
    fn shares() {
        for (source, number) in [("0", 0.0), ("0.01", 0.01), ("1", 1.0), ("1.0", 1.0)] {
            let parsed = parse_share(source).unwrap();
            assert!((parsed - number).abs() < 1e-12, "{source}");
        }
        for source in [
            "", "-0.1", "1.01", "2", ".5", "1e-3", "inf", "NaN", "0.5.5", "+1", "10%",
        ] {
            assert_eq!(parse_share(source), None, "{source}");
        }
    }

    #[test]
    fn sizes() {
        for (source, bytes) in [
            ("0", 0),
            ("65536", 65_536),
            ("64KiB", 65_536),
            ("2MiB", 2_097_152),
            ("1GiB", 1_073_741_824),
        ] {
            assert_eq!(parse_size(source), Some(bytes), "{source}");
            assert_eq!(parse_size(&SizeText(bytes).to_string()), Some(bytes));
        }
        for source in [
            "",
            "KiB",
            "64kb",
            "64KB",
            "64 KiB",
            "-1",
            "+1",
            "1.5MiB",
            "0x10",
            "99999999999GiB",
        ] {
            assert_eq!(parse_size(source), None, "{source}");
        }
    }
}
