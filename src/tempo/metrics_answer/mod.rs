//! The answers of TraceQL metrics: series with labels, samples and exemplars.
//!
//! The query is confined, so the numbers are the tenant's own. Removed are measures of how much
//! was read, and the series and exemplar labels about whole traces that `compare()` adds by itself.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::answer::{Format, JobFields, Jobs, Unreadable, read_json, write_json};
use crate::wire::{self, Field};

/// How an answer is filtered.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Whether the operator asserts that no trace is shared. Then series and labels about whole
    /// traces are not removed.
    pub trust: bool,
    /// Exemplar labels that are in the answer only because the confined query names them:
    /// `resource.tenant_id`. Empty if the client's own query does.
    pub hide: &'a [&'a str],
}

/// Attributes that describe whole traces, other tenants' spans included.
const TRACE_ATTRIBUTES: [&str; 6] = [
    "rootName",
    "rootServiceName",
    "traceDuration",
    "trace:rootName",
    "trace:rootService",
    "trace:duration",
];

/// The label that marks the series of `compare()`.
const COMPARE: &str = "__meta_type";

/// Removed from `compare()`, which counts it over every tenant's spans. A client's own `by()` of it
/// reveals only the structure of a trace.
const CHILD_COUNT: &str = "span:childCount";

impl Rules<'_> {
    fn drops_series(&self, labels: &[&str]) -> bool {
        let of_trace = labels.iter().any(|label| TRACE_ATTRIBUTES.contains(label));
        let counts_children = labels.contains(&COMPARE) && labels.contains(&CHILD_COUNT);
        !self.trust && (of_trace || counts_children)
    }

    fn drops_exemplar_label(&self, label: &str) -> bool {
        self.hide.contains(&label)
            || !self.trust && (TRACE_ATTRIBUTES.contains(&label) || label == CHILD_COUNT)
    }
}

/// Filters an answer of `/api/metrics/query_range` or `/api/metrics/query`, or a message of the gRPC
/// calls for them. Unknown fields are dropped.
pub fn filter(answer: &[u8], format: Format, rules: &Rules<'_>) -> Result<Vec<u8>, Unreadable> {
    match format {
        Format::Json => filter_json(answer, rules),
        Format::Protobuf => filter_protobuf(answer, rules),
    }
}

#[derive(Deserialize, Serialize)]
struct Answer<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    series: Option<Vec<Series<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Jobs>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    status: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    message: Option<&'a RawValue>,
}

/// A `TimeSeries`, or an `InstantSeries` with its one `value`.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Series<'a> {
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<Label<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    samples: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
    /// The labels in Prometheus' form; only in Tempo 2.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    prom_labels: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    exemplars: Vec<Exemplar<'a>>,
}

#[derive(Deserialize, Serialize)]
struct Label<'a> {
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    key: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Exemplar<'a> {
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<Label<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    timestamp_ms: Option<&'a RawValue>,
}

fn filter_json(answer: &[u8], rules: &Rules<'_>) -> Result<Vec<u8>, Unreadable> {
    let mut answer: Answer<'_> = read_json(answer)?;
    if let Some(series) = &mut answer.series {
        series.retain(|series| {
            let keys: Vec<&str> = series.labels.iter().map(|label| &*label.key).collect();
            !rules.drops_series(&keys)
        });
        for exemplar in series.iter_mut().flat_map(|series| &mut series.exemplars) {
            exemplar
                .labels
                .retain(|label| !rules.drops_exemplar_label(&label.key));
        }
    }
    write_json(&answer)
}

fn filter_protobuf(answer: &[u8], rules: &Rules<'_>) -> Result<Vec<u8>, Unreadable> {
    let mut out = Vec::with_capacity(answer.len());
    for field in wire::fields(answer) {
        let field = field?;
        match field.number {
            1 => write_series(&mut out, field.bytes()?, rules)?,
            2 => Jobs::read(field.bytes()?, JobFields::SEARCH)?.put(&mut out, 2, JobFields::SEARCH),
            3 | 4 => out.extend_from_slice(field.encoded),
            _ => {}
        }
    }
    Ok(out)
}

fn write_series(out: &mut Vec<u8>, message: &[u8], rules: &Rules<'_>) -> Result<(), Unreadable> {
    let mut labels = Vec::new();
    let mut kept = Vec::with_capacity(message.len());
    for field in wire::fields(message) {
        let field = field?;
        match field.number {
            1 => {
                labels.push(key(field)?);
                kept.extend_from_slice(field.encoded);
            }
            2 | 3 => kept.extend_from_slice(field.encoded),
            4 => write_exemplar(&mut kept, field.bytes()?, rules)?,
            _ => {}
        }
    }
    if !rules.drops_series(&labels) {
        wire::put_bytes(out, 1, &kept);
    }
    Ok(())
}

fn write_exemplar(out: &mut Vec<u8>, message: &[u8], rules: &Rules<'_>) -> Result<(), Unreadable> {
    let mut kept = Vec::with_capacity(message.len());
    for field in wire::fields(message) {
        let field = field?;
        let keeps = match field.number {
            1 => !rules.drops_exemplar_label(key(field)?),
            2 | 3 => true,
            _ => false,
        };
        if keeps {
            kept.extend_from_slice(field.encoded);
        }
    }
    wire::put_bytes(out, 4, &kept);
    Ok(())
}

/// The key of a `KeyValue`.
fn key(label: Field<'_>) -> Result<&str, Unreadable> {
    let mut key = "";
    for field in wire::fields(label.bytes()?) {
        let field = field?;
        if field.number == 1 {
            key = field.text()?;
        }
    }
    Ok(key)
}

#[cfg(test)]
mod tests;
