//! One line of the audit trail.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use super::text::shown;
use crate::telemetry::metrics::Decision;
use crate::telemetry::traceparent::TraceId;
use crate::tenancy::{Tenant, TenantSet};

/// The most bytes of tenants in a line; what is beyond is counted.
const MAX_TENANTS_BYTES: usize = 4096;

/// What happened to a request.
#[derive(Debug)]
pub struct Record<'a> {
    /// `None` where the client went away before there was one.
    pub decision: Option<Decision>,
    /// Of an error of our own: a word of a closed set.
    pub reason: Option<&'static str>,
    /// Of an error of our own: its text. Cut and masked here.
    pub error: Option<&'a str>,
    /// The status the client got; 499 where it went away before.
    pub status: u16,
    /// `iss`, as the config has it.
    pub issuer: Option<&'a str>,
    /// `sub` of the verified token.
    pub subject: Option<&'a str>,
    /// The caller's.
    pub tenants: Option<Tenants<'a>>,
    /// A name of a closed set.
    pub route: &'static str,
    /// A word of a closed set.
    pub method: &'static str,
    /// Its name in the config.
    pub upstream: Option<&'a str>,
    /// The caller's own, as [`Redaction`](super::Redaction) leaves them.
    pub queries: &'a [Box<str>],
    /// The same as they were sent on.
    pub rewritten: &'a [Box<str>],
    /// Of the caller's trace, or of our own.
    pub trace_id: Option<TraceId>,
    /// From the request's head to the end of its answer.
    pub duration: Duration,
    /// The other end of the connection.
    pub remote: Option<SocketAddr>,
}

/// Whose data a caller may see.
#[derive(Clone, Copy, Debug)]
pub enum Tenants<'a> {
    /// Everybody's.
    All,
    /// Of these.
    Some(&'a TenantSet),
}

/// As it is written: keys in this order, those without a value left out.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenants: Option<TenantList<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    more_tenants: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    all_tenants: bool,
    route: &'static str,
    method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    queries: &'a [Box<str>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    rewritten: &'a [Box<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, str>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The first of a caller's tenants.
struct TenantList<'a> {
    tenants: &'a TenantSet,
    shown: usize,
}

impl<'a> TenantList<'a> {
    fn of(tenants: &'a TenantSet) -> Self {
        let mut bytes = 0;
        let shown = tenants
            .iter()
            .take_while(|tenant| {
                bytes += tenant.as_str().len();
                bytes <= MAX_TENANTS_BYTES
            })
            .count();
        Self { tenants, shown }
    }

    fn shown(&self) -> impl Iterator<Item = &str> {
        self.tenants.iter().take(self.shown).map(Tenant::as_str)
    }

    fn more(&self) -> usize {
        self.tenants.iter().count() - self.shown
    }
}

impl Serialize for TenantList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.shown))?;
        for tenant in self.shown() {
            list.serialize_element(tenant)?;
        }
        list.end()
    }
}

impl<'a> Record<'a> {
    fn to_line(&'a self) -> Line<'a> {
        let tenants = match self.tenants {
            Some(Tenants::Some(tenants)) => Some(TenantList::of(tenants)),
            _ => None,
        };
        Line {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            decision: self.decision.map_or("none", Decision::name),
            reason: self.reason,
            status: self.status,
            subject: self.subject.map(shown),
            issuer: self.issuer,
            more_tenants: tenants.as_ref().map_or(0, TenantList::more),
            tenants,
            all_tenants: matches!(self.tenants, Some(Tenants::All)),
            route: self.route,
            method: self.method,
            upstream: self.upstream,
            queries: self.queries,
            rewritten: self.rewritten,
            trace_id: self.trace_id.as_ref().map(TraceId::as_str),
            duration_ms: milliseconds(self.duration),
            remote: self.remote,
            error: self.error.map(shown),
        }
    }

    /// One line of JSON, with its end.
    pub(super) fn line(&self) -> String {
        // Texts and numbers always make JSON.
        let mut line = serde_json::to_string(&self.to_line()).unwrap_or_default();
        line.push('\n');
        line
    }

    /// Writes it among the other log lines.
    pub(super) fn log(&self) {
        let line = self.to_line();
        let tenants = line.tenants.as_ref().map(|list| {
            let shown: Vec<&str> = list.shown().collect();
            shown.join(",")
        });
        let list = |texts: &[Box<str>]| (!texts.is_empty()).then(|| texts.join(" "));
        tracing::info!(
            target: "partywall::audit",
            decision = line.decision,
            reason = line.reason,
            status = line.status,
            subject = line.subject.as_deref(),
            issuer = line.issuer,
            tenants,
            more_tenants = (line.more_tenants > 0).then_some(line.more_tenants),
            all_tenants = line.all_tenants.then_some(true),
            route = line.route,
            method = line.method,
            upstream = line.upstream,
            queries = list(line.queries),
            rewritten = list(line.rewritten),
            trace_id = line.trace_id,
            duration_ms = line.duration_ms,
            remote = line.remote.map(tracing::field::display),
            error = line.error.as_deref(),
            "{}",
            self.headline()
        );
    }

    fn headline(&self) -> &'static str {
        match (self.error, self.tenants) {
            (Some(_), _) => "refused",
            (None, Some(Tenants::All)) => "a caller with all tenants was served",
            (None, _) => "served",
        }
    }
}

/// With microseconds, and no more digits.
fn milliseconds(duration: Duration) -> f64 {
    let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    f64::from(micros) / 1000.0
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn record() -> Record<'static> {
        Record {
            decision: Some(Decision::Passed),
            reason: None,
            error: None,
            status: 200,
            issuer: None,
            subject: None,
            tenants: None,
            route: "query",
            method: "GET",
            upstream: None,
            queries: &[],
            rewritten: &[],
            trace_id: None,
            duration: Duration::from_micros(1500),
            remote: None,
        }
    }

    fn read(record: &Record<'_>) -> Value {
        let line = record.line();
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let mut value: Value = serde_json::from_str(&line).unwrap();
        let time = value.as_object_mut().unwrap().remove("time").unwrap();
        assert!(humantime::parse_rfc3339(time.as_str().unwrap()).is_ok());
        value
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        assert_eq!(
            read(&record()),
            json!({
                "decision": "passed", "status": 200, "route": "query", "method": "GET",
                "duration_ms": 1.5,
            })
        );
    }

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        let texts = ["up\n\"}\u{2028}".into()];
        let record = Record {
            subject: Some("eve\n{\"decision\":\"passed\"}"),
            queries: &texts,
            error: Some("bad\r\nthing"),
            ..record()
        };
        let value = read(&record);
        assert_eq!(value["subject"], "eve\n{\"decision\":\"passed\"}");
        assert_eq!(value["queries"], json!(["up\n\"}\u{2028}"]));
    }

    #[test]
    fn all_tenants_is_no_tenants_name() {
        let all = read(&Record {
            tenants: Some(Tenants::All),
            ..record()
        });
        assert_eq!(all["all_tenants"], true);
        assert!(all.get("tenants").is_none());
        let named = TenantSet::new([Tenant::new("all").unwrap()]).unwrap();
        let one = read(&Record {
            tenants: Some(Tenants::Some(&named)),
            ..record()
        });
        assert_eq!(one["tenants"], json!(["all"]));
        assert!(one.get("all_tenants").is_none());
    }

    #[test]
    fn many_tenants_are_counted_beyond_the_bound() {
        let tenants = (0..1000).map(|i| Tenant::new(&format!("tenant-{i:03}")).unwrap());
        let tenants = TenantSet::new(tenants).unwrap();
        let line = read(&Record {
            tenants: Some(Tenants::Some(&tenants)),
            ..record()
        });
        let shown = line["tenants"].as_array().unwrap().len();
        assert_eq!(shown, MAX_TENANTS_BYTES / "tenant-000".len());
        assert_eq!(line["more_tenants"], 1000 - shown);
    }
}
