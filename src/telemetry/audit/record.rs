//! One line of the audit trail.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use super::text::shown;
use crate::telemetry::metrics::{Decision, Verdict};
use crate::telemetry::traceparent::TraceId;
use crate::tenancy::{Tenant, TenantSet};

/// The most bytes of tenants in a line; further tenants are counted.
const MAX_TENANTS_BYTES: usize = 4096;

/// What happened to a request.
#[derive(Debug)]
pub struct Record<'a> {
    /// `None` if the client disconnected before there was a decision.
    pub decision: Option<Decision>,
    /// With shadow mode: what would have happened to the request.
    pub shadow: Option<Shadowed>,
    /// The reason of our own error, or of the one that shadow mode withheld; of a closed set.
    pub reason: Option<&'static str>,
    /// The text of the same error. It is cut and masked here.
    pub error: Option<&'a str>,
    /// The status that the client got; 499 if it disconnected first.
    pub status: u16,
    /// `iss` as in the config.
    pub issuer: Option<&'a str>,
    /// `sub` of the verified token.
    pub subject: Option<&'a str>,
    pub tenants: Option<Tenants<'a>>,
    /// The route's name, of a closed set.
    pub route: &'static str,
    /// The method, of a closed set.
    pub method: &'static str,
    /// The upstream's name in the config.
    pub upstream: Option<&'a str>,
    /// The clusters that the request was sent to, by their names in the config.
    pub clusters: &'a [Arc<str>],
    /// The caller's queries, as [`Redaction`](super::Redaction) leaves them.
    pub queries: &'a [Box<str>],
    /// The queries as forwarded.
    pub rewritten: &'a [Box<str>],
    /// The id of the caller's trace, or of our own.
    pub trace_id: Option<TraceId>,
    /// From the request's headers to the end of its answer.
    pub duration: Duration,
    /// The client's address.
    pub remote: Option<SocketAddr>,
}

/// What shadow mode found out about a request.
#[derive(Clone, Copy, Debug)]
pub struct Shadowed {
    /// What would have happened to it.
    pub verdict: Verdict,
    /// The status that it would have got, if it would have been refused.
    pub would_answer: Option<u16>,
    /// The sizes of both answers, in a separate record after the request's.
    pub compared: Option<Compared>,
}

/// Sizes of the answer as returned, and as it would be with enforcement.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    /// Bytes of the two bodies.
    pub bytes: [u64; 2],
    /// Series in the two answers, if it is a query.
    pub series: Option<[u64; 2]>,
}

/// The tenants whose data a caller may see.
#[derive(Clone, Copy, Debug)]
pub enum Tenants<'a> {
    /// All tenants.
    All,
    /// These tenants.
    Some(&'a TenantSet),
}

/// The line as written: keys in this order, without those that have no value.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_answer: Option<u16>,
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
    clusters: Vec<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    queries: &'a [Box<str>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    rewritten: &'a [Box<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    open_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enforced_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_series: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enforced_series: Option<u64>,
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
    fn from_set(tenants: &'a TenantSet) -> Self {
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
            Some(Tenants::Some(tenants)) => Some(TenantList::from_set(tenants)),
            _ => None,
        };
        let compared = self.shadow.and_then(|shadow| shadow.compared);
        let [open_bytes, enforced_bytes] = each(compared.map(|compared| compared.bytes));
        let [open_series, enforced_series] = each(compared.and_then(|compared| compared.series));
        Line {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            decision: self.decision.map_or("none", Decision::name),
            shadow: self.shadow.map(|shadow| shadow.verdict.name()),
            would_answer: self.shadow.and_then(|shadow| shadow.would_answer),
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
            clusters: self.clusters.iter().map(|name| &**name).collect(),
            queries: self.queries,
            rewritten: self.rewritten,
            open_bytes,
            enforced_bytes,
            open_series,
            enforced_series,
            trace_id: self.trace_id.as_ref().map(TraceId::as_str),
            duration_ms: milliseconds(self.duration),
            remote: self.remote,
            error: self.error.map(shown),
        }
    }

    /// One line of JSON, with its line end.
    pub(super) fn line(&self) -> String {
        // Strings and numbers can always be serialized.
        let mut line = serde_json::to_string(&self.to_line()).unwrap_or_default();
        line.push('\n');
        line
    }

    /// Writes it to the log.
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
            shadow = line.shadow,
            would_answer = line.would_answer,
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
            clusters = (!line.clusters.is_empty()).then(|| line.clusters.join(",")),
            queries = list(line.queries),
            rewritten = list(line.rewritten),
            open_bytes = line.open_bytes,
            enforced_bytes = line.enforced_bytes,
            open_series = line.open_series,
            enforced_series = line.enforced_series,
            trace_id = line.trace_id,
            duration_ms = line.duration_ms,
            remote = line.remote.map(tracing::field::display),
            error = line.error.as_deref(),
            "{}",
            self.headline()
        );
    }

    fn headline(&self) -> &'static str {
        if self.decision == Some(Decision::Shadow) {
            return match self.shadow.and_then(|shadow| shadow.compared) {
                Some(_) => "answers compared, nothing enforced",
                None => "served, nothing enforced",
            };
        }
        match (self.error, self.tenants) {
            (Some(_), _) => "refused",
            (None, Some(Tenants::All)) => "a caller with all tenants was served",
            (None, _) => "served",
        }
    }
}

fn each(pair: Option<[u64; 2]>) -> [Option<u64>; 2] {
    pair.map_or([None; 2], |pair| pair.map(Some))
}

/// Milliseconds, rounded to microseconds.
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
            shadow: None,
            reason: None,
            error: None,
            status: 200,
            issuer: None,
            subject: None,
            tenants: None,
            route: "query",
            method: "GET",
            upstream: None,
            clusters: &[],
            queries: &[],
            rewritten: &[],
            trace_id: None,
            duration: Duration::from_micros(1500),
            remote: None,
        }
    }

    fn parsed(record: &Record<'_>) -> Value {
        let line = record.line();
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let mut value: Value = serde_json::from_str(&line).unwrap();
        let time = value.as_object_mut().unwrap().remove("time").unwrap();
        assert!(humantime::parse_rfc3339(time.as_str().unwrap()).is_ok());
        value
    }

    #[test]
    fn unknown_values_are_left_out() {
        assert_eq!(
            parsed(&record()),
            json!({
                "decision": "passed", "status": 200, "route": "query", "method": "GET",
                "duration_ms": 1.5,
            })
        );
    }

    #[test]
    fn shadow_mode_says_what_would_have_been() {
        let shadow = |would_answer, compared| Record {
            decision: Some(Decision::Shadow),
            shadow: Some(Shadowed {
                verdict: Verdict::Denied,
                would_answer,
                compared,
            }),
            ..record()
        };
        assert_eq!(
            parsed(&shadow(Some(401), None)),
            json!({
                "decision": "shadow", "shadow": "denied", "would_answer": 401, "status": 200,
                "route": "query", "method": "GET", "duration_ms": 1.5,
            })
        );
        let compared = Compared {
            bytes: [20, 10],
            series: Some([2, 1]),
        };
        let value = parsed(&shadow(None, Some(compared)));
        for (key, size) in [
            ("open_bytes", 20),
            ("enforced_bytes", 10),
            ("open_series", 2),
            ("enforced_series", 1),
        ] {
            assert_eq!(value[key], size, "{key}");
        }
    }

    #[test]
    fn record_is_one_line_whatever_it_contains() {
        let texts = ["up\n\"}\u{2028}".into()];
        let record = Record {
            subject: Some("eve\n{\"decision\":\"passed\"}"),
            queries: &texts,
            error: Some("bad\r\nthing"),
            ..record()
        };
        let value = parsed(&record);
        assert_eq!(value["subject"], "eve\n{\"decision\":\"passed\"}");
        assert_eq!(value["queries"], json!(["up\n\"}\u{2028}"]));
    }

    #[test]
    fn all_tenants_cannot_be_a_tenants_name() {
        let all = parsed(&Record {
            tenants: Some(Tenants::All),
            ..record()
        });
        assert_eq!(all["all_tenants"], true);
        assert!(all.get("tenants").is_none());
        let named = TenantSet::new([Tenant::new("all").unwrap()]).unwrap();
        let one = parsed(&Record {
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
        let line = parsed(&Record {
            tenants: Some(Tenants::Some(&tenants)),
            ..record()
        });
        let shown = line["tenants"].as_array().unwrap().len();
        assert_eq!(shown, MAX_TENANTS_BYTES / "tenant-000".len());
        assert_eq!(line["more_tenants"], 1000 - shown);
    }
}
