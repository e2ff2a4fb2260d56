//! `SearchResponse` as jsonpb writes it: 64-bit integers as strings, zeros left out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Extent, Listed, Metadata, Rules, put_part};
use crate::tempo::answer::{Jobs, NOT_WRITTEN, Unreadable, read_json, write_json};
use crate::tempo::trace::TraceSummary;

/// One page, parsed but not filtered.
#[derive(Deserialize, Serialize)]
pub struct JsonPage<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    traces: Option<Vec<Trace<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Jobs>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Trace<'a> {
    #[serde(rename = "traceID", borrow)]
    id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_service_name: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_trace_name: Option<Box<RawValue>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    start_time_unix_nano: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u32>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    span_set: Option<SpanSet<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    span_sets: Option<Vec<SpanSet<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_stats: Option<Box<RawValue>>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceStats {
    #[serde(default, skip_serializing_if = "is_zero")]
    span_count: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    error_count: u32,
}

#[derive(Deserialize, Serialize)]
struct SpanSet<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    spans: Option<Vec<Span<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<u32>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a RawValue>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    #[serde(rename = "spanID", borrow, skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    name: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    start_time_unix_nano: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    duration_nanos: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    attributes: Option<Vec<Attribute<'a>>>,
}

#[derive(Deserialize, Serialize)]
struct Attribute<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
}

/// Tempo's text for a trace whose root it has not seen (`pkg/search/util.go`), as escaped by jsonpb.
const NO_ROOT: &str = r#""\u003croot span not yet received\u003e""#;

impl<'a> JsonPage<'a> {
    /// Parses an answer of `/api/search`.
    pub fn parse(answer: &'a [u8]) -> Result<Self, Unreadable> {
        read_json(answer)
    }

    /// The traces of the page.
    pub fn listed(&self) -> Result<Vec<Listed<'_>>, Unreadable> {
        self.traces.iter().flatten().map(Trace::listed).collect()
    }

    /// The page, with only what the rules allow.
    pub fn filter(mut self, rules: &Rules<'_>) -> Result<Vec<u8>, Unreadable> {
        let mut changed = false;
        for (place, trace) in self.traces.iter_mut().flatten().enumerate() {
            match rules.reveal.of(place) {
                Metadata::Own => {}
                Metadata::Masked => trace.mask()?,
                Metadata::Computed(summary) => trace.describe(summary)?,
            }
            changed |= *rules.reveal.of(place) != Metadata::Own;
            if rules.traces_only {
                trace.leave_alone();
            } else if !rules.hide.is_empty() || rules.hide_names {
                trace.span_sets_mut().for_each(|set| set.hide(rules));
            }
        }
        if let Some(traces) = self.traces.as_mut().filter(|_| changed) {
            // Tempo sorted by the starts of the whole traces.
            let start = |trace: &Trace<'_>| integer(trace.start_time_unix_nano.as_ref());
            traces.sort_by_cached_key(|trace| std::cmp::Reverse(start(trace).unwrap_or(0)));
        }
        write_json(&self)
    }
}

impl Trace<'_> {
    fn listed(&self) -> Result<Listed<'_>, Unreadable> {
        let mut metadata = Vec::new();
        for raw in [
            &self.root_service_name,
            &self.root_trace_name,
            &self.service_stats,
        ] {
            let text = raw.as_ref().map_or("", |raw| raw.get());
            put_part(&mut metadata, text.as_bytes());
        }
        let start = integer(self.start_time_unix_nano.as_ref())?;
        let duration_ms = self.duration_ms.unwrap_or(0);
        put_part(&mut metadata, &start.to_be_bytes());
        put_part(&mut metadata, &duration_ms.to_be_bytes());
        Ok(Listed {
            id: &self.id,
            start,
            duration_ms,
            spans: self.spans(),
            metadata,
        })
    }

    /// The number of all spans.
    fn spans(&self) -> Option<u64> {
        let stats = self.service_stats.as_ref()?.get();
        let stats: BTreeMap<Cow<'_, str>, ServiceStats> = read_json(stats.as_bytes()).ok()?;
        Some(
            stats
                .values()
                .map(|stats| u64::from(stats.span_count))
                .sum(),
        )
    }

    fn mask(&mut self) -> Result<(), Unreadable> {
        let mut extent = Extent::default();
        for span in self
            .span_sets_mut()
            .flat_map(|set| set.spans.iter().flatten())
        {
            extent.cover(
                integer(span.start_time_unix_nano.as_ref())?,
                integer(span.duration_nanos.as_ref())?,
            );
        }
        self.describe(&TraceSummary {
            start: extent.start(),
            duration_ms: extent.duration_ms(),
            ..TraceSummary::default()
        })
    }

    /// Replaces all that describes the whole trace.
    fn describe(&mut self, summary: &TraceSummary) -> Result<(), Unreadable> {
        let TraceSummary {
            root_service,
            root_name,
            start,
            duration_ms,
            services,
        } = summary;
        self.root_service_name = Some(if root_service.is_empty() {
            read_json(NO_ROOT.as_bytes())?
        } else {
            raw(root_service)?
        });
        self.root_trace_name = (!root_name.is_empty())
            .then(|| raw(root_name))
            .transpose()?;
        self.start_time_unix_nano = (*start != 0).then(|| Cow::Owned(start.to_string()));
        self.duration_ms = Some(*duration_ms).filter(|duration| *duration != 0);
        let stats: BTreeMap<&str, ServiceStats> = services
            .iter()
            .map(|service| {
                let stats = ServiceStats {
                    span_count: service.spans,
                    error_count: service.errors,
                };
                (&*service.name, stats)
            })
            .collect();
        self.service_stats = (!stats.is_empty()).then(|| raw(&stats)).transpose()?;
        Ok(())
    }

    fn leave_alone(&mut self) {
        self.span_set = None;
        self.span_sets = None;
        self.service_stats = None;
    }
}

fn raw(value: &(impl Serialize + ?Sized)) -> Result<Box<RawValue>, Unreadable> {
    serde_json::value::to_raw_value(value).map_err(|_| NOT_WRITTEN)
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature.
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl<'a> Trace<'a> {
    fn span_sets_mut(&mut self) -> impl Iterator<Item = &mut SpanSet<'a>> {
        self.span_set
            .iter_mut()
            .chain(self.span_sets.iter_mut().flatten())
    }
}

impl SpanSet<'_> {
    fn hide(&mut self, rules: &Rules<'_>) {
        for span in self.spans.iter_mut().flatten() {
            if rules.hide_names {
                span.name = None;
            }
            if let Some(attributes) = &mut span.attributes {
                attributes.retain(|attribute| !rules.hides(&attribute.key));
                if attributes.is_empty() {
                    span.attributes = None;
                }
            }
        }
    }
}

const NOT_A_NUMBER: Unreadable = Unreadable("a time in it is not a number");

/// A `uint64` in jsonpb, which omits zeros.
fn integer(text: Option<&Cow<'_, str>>) -> Result<u64, Unreadable> {
    text.map_or(Ok(0), |text| text.parse().map_err(|_| NOT_A_NUMBER))
}
