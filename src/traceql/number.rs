//! Numbers and durations, as Tempo reads them.
//!
//! Source: `scanNumber` of Go's `text/scanner`, `tryScanDuration` of `pkg/traceql/lexer.go`,
//! `ParseDuration` of `prometheus/common/model` and of Go's `time`.

use super::token::Type;

/// Reads the number that `text` starts with. Returns its length and type, or what is wrong with it.
pub(super) fn scan(text: &str) -> Result<(usize, Type), &'static str> {
    let (length, is_float) = go_number(text)?;
    let more = text
        .get(length..)
        .unwrap_or("")
        .chars()
        .take_while(|c| c.is_ascii_digit() || ".nsumhdwyµ".contains(*c))
        .map(char::len_utf8)
        .sum::<usize>();
    if more > 0 && text.get(..length + more).is_some_and(is_duration) {
        return Ok((length + more, Type::Duration));
    }
    let number = text.get(..length).unwrap_or("");
    if is_float {
        let finite = number.parse::<f64>().is_ok_and(f64::is_finite);
        return if finite {
            Ok((length, Type::Float))
        } else {
            Err("number out of range")
        };
    }
    match number.parse::<i64>() {
        Ok(_) => Ok((length, Type::Int)),
        Err(_) => Err("number out of range"),
    }
}

/// The length of a Go number literal, and whether it is a float. Other bases and `_` are refused:
/// Tempo cannot read them as integers, and reads them as floats in ways that are hard to predict.
fn go_number(text: &str) -> Result<(usize, bool), &'static str> {
    const DECIMAL: &str = "only decimal numbers without _ are supported";
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        from + bytes
            .iter()
            .skip(from)
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let is = |at: usize, these: &[u8]| bytes.get(at).is_some_and(|byte| these.contains(byte));

    if is(0, b"0") && is(1, b"xXoObB") {
        return Err(DECIMAL);
    }
    let whole = digits(0);
    let mut end = whole;
    let mut is_float = false;
    if is(end, b".") {
        is_float = true;
        end = digits(end + 1);
    }
    if is(end, b"eE") {
        is_float = true;
        let exponent = end + 1 + usize::from(is(end + 1, b"+-"));
        end = digits(exponent);
        if end == exponent {
            return Err("the exponent has no digits");
        }
    } else if is(end, b"pP") {
        return Err(DECIMAL);
    }
    if is(end, b"_") {
        return Err(DECIMAL);
    }
    let octal = !is_float && is(0, b"0");
    if octal
        && bytes
            .iter()
            .take(whole)
            .any(|byte| matches!(byte, b'8' | b'9'))
    {
        return Err("invalid digit in an octal number");
    }
    Ok((end, is_float))
}

fn is_duration(text: &str) -> bool {
    is_prometheus_duration(text) || is_go_duration(text)
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const LARGEST: u64 = i64::MAX as u64;

/// Whole numbers with units, from the largest unit to the smallest, each at most once.
fn is_prometheus_duration(text: &str) -> bool {
    const DAY: u64 = 24 * 3600 * NANOS_PER_SECOND;
    let units: [(&str, u64); 7] = [
        ("y", 365 * DAY),
        ("w", 7 * DAY),
        ("d", DAY),
        ("h", 3600 * NANOS_PER_SECOND),
        ("m", 60 * NANOS_PER_SECOND),
        ("s", NANOS_PER_SECOND),
        ("ms", 1_000_000),
    ];
    let mut total = 0u64;
    let mut next_unit = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| !c.is_ascii_digit());
        let (unit, after) = split_where(after, |c| c.is_ascii_digit());
        rest = after;
        let Some(index) = units
            .iter()
            .skip(next_unit)
            .position(|(name, _)| *name == unit)
        else {
            return false;
        };
        let Some((_, nanos)) = units.get(next_unit + index) else {
            return false;
        };
        next_unit += index + 1;
        let sum = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*nanos))
            .and_then(|part| total.checked_add(part));
        match sum {
            Some(sum) if sum <= LARGEST => total = sum,
            _ => return false,
        }
    }
    true
}

/// Numbers, possibly with fractions, and units in any order.
fn is_go_duration(text: &str) -> bool {
    let mut total = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| !(c.is_ascii_digit() || c == '.'));
        let (unit, after) = split_where(after, |c| c.is_ascii_digit() || c == '.');
        rest = after;
        let nanos = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => NANOS_PER_SECOND,
            "m" => 60 * NANOS_PER_SECOND,
            "h" => 3600 * NANOS_PER_SECOND,
            _ => return false,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return false;
        }
        let whole = if whole.is_empty() {
            Ok(0)
        } else {
            whole.parse::<u64>()
        };
        // A fraction adds less than one unit. Counting it as a whole one can only refuse too much.
        let sum = whole
            .ok()
            .and_then(|whole| whole.checked_add(u64::from(!fraction.is_empty())))
            .and_then(|whole| whole.checked_mul(nanos))
            .and_then(|part| total.checked_add(part));
        match sum {
            Some(sum) if sum <= LARGEST => total = sum,
            _ => return false,
        }
    }
    true
}

fn split_where(text: &str, at: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(at).unwrap_or(text.len()))
}
