//! W3C Trace Context, level 1 (<https://www.w3.org/TR/trace-context-1/>): the trace that a request
//! belongs to.

use std::fmt;

use hyper::header::{HeaderMap, HeaderName};

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A trace's id: 32 lower-case hexadecimal digits, not all zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 32]);

/// A valid `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    pub trace_id: TraceId,
    /// The caller's span: 16 lower-case hexadecimal digits, not all zero.
    pub parent_id: [u8; 16],
    /// Whether the caller samples the trace.
    pub sampled: bool,
}

impl TraceId {
    /// Parses 32 lower-case hexadecimal digits.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (digits, rest) = hex(text)?;
        rest.is_empty().then_some(Self(*digits))
    }

    pub fn as_str(&self) -> &str {
        // Always ASCII, since only `parse` makes one.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The trace that the headers name. An invalid `traceparent` is removed, and `tracestate` with it
/// (§2.4: a receiver that cannot read the one must not use the other), so that the upstream cannot
/// read it differently.
pub fn accept(headers: &mut HeaderMap) -> Option<TraceParent> {
    let parent = sole(headers).and_then(parse);
    if parent.is_none() {
        headers.remove(&TRACEPARENT);
        headers.remove(&TRACESTATE);
    }
    parent
}

fn sole(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(&TRACEPARENT).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

/// §2.2: `version-trace_id-parent_id-flags`; later versions may have more behind it.
fn parse(value: &[u8]) -> Option<TraceParent> {
    let (version, rest) = any_hex::<2>(value)?;
    let (trace_id, rest) = hex(rest.strip_prefix(b"-")?)?;
    let (parent_id, rest) = hex(rest.strip_prefix(b"-")?)?;
    let (flags, more) = any_hex::<2>(rest.strip_prefix(b"-")?)?;
    let may_have_more = version != b"00" && more.starts_with(b"-");
    if version == b"ff" || !(more.is_empty() || may_have_more) {
        return None;
    }
    let lowest = char::from(*flags.get(1)?).to_digit(16)?;
    Some(TraceParent {
        trace_id: TraceId(*trace_id),
        parent_id: *parent_id,
        sampled: lowest & 1 == 1,
    })
}

/// An id, which is not all zero, and what follows it.
fn hex<const N: usize>(text: &[u8]) -> Option<(&[u8; N], &[u8])> {
    any_hex(text).filter(|(digits, _)| **digits != [b'0'; N])
}

/// As many lower-case hexadecimal digits, and what follows them.
fn any_hex<const N: usize>(text: &[u8]) -> Option<(&[u8; N], &[u8])> {
    let (digits, rest) = text.split_first_chunk::<N>()?;
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    digits.iter().all(is_hex).then_some((digits, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// The same in a version that is not known yet, with something behind it.
    fn later(more: &str) -> String {
        format!("{}{more}", GOOD.replacen("00", "cc", 1))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn valid_traceparent_is_unmodified() {
        let given = headers(&[("traceparent", GOOD), ("tracestate", "a=1,b=2")]);
        let mut kept = given.clone();
        let parent = accept(&mut kept).unwrap();
        assert_eq!(kept, given);
        assert_eq!(parent.trace_id.as_str(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(&parent.parent_id, b"00f067aa0ba902b7");
        assert!(parent.sampled);
        assert!(
            !parse(GOOD.replace("-01", "-00").as_bytes())
                .unwrap()
                .sampled
        );
        assert!(parse(later("-what-is-new").as_bytes()).is_some());
    }

    #[test]
    fn invalid_traceparent_is_removed_with_tracestate() {
        let upper = GOOD.to_uppercase();
        let short = GOOD.trim_end_matches('1');
        let long = format!("{GOOD}-00");
        for bad in [
            "",
            "00-1-1-01",
            &upper,
            short,
            &long,
            &later("what"),
            &GOOD.replace("00-4bf", "ff-4bf"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace("-01", "-0g"),
            &GOOD.replace("-00f0", "000f0"),
            &GOOD.replace("4bf9", "4-f9"),
        ] {
            let mut headers = headers(&[("traceparent", bad), ("tracestate", "a=1")]);
            assert_eq!(accept(&mut headers), None, "{bad}");
            assert!(headers.is_empty(), "{bad}");
        }
        let mut twice = headers(&[("traceparent", GOOD), ("traceparent", GOOD)]);
        assert_eq!(accept(&mut twice), None);
        assert!(twice.is_empty());
        let mut state_alone = headers(&[("tracestate", "a=1")]);
        assert_eq!(accept(&mut state_alone), None);
        assert!(state_alone.is_empty());
    }
}
