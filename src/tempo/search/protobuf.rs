//! `tempopb.SearchResponse`.

use super::{Extent, Listed, Metadata, Rules, put_part};
use crate::tempo::answer::{JobFields, Jobs, Unreadable};
use crate::tempo::trace::TraceSummary;
use crate::wire::{self, Field};

/// Tempo's text for a trace whose root it has not seen (`pkg/search/util.go`).
const NO_ROOT: &str = "<root span not yet received>";

/// One page, parsed but not filtered.
pub struct ProtobufPage<'a> {
    traces: Vec<Trace<'a>>,
    metrics: Option<Jobs>,
}

struct Trace<'a> {
    id: &'a str,
    start: u64,
    duration_ms: u32,
    fields: &'a [u8],
}

impl<'a> ProtobufPage<'a> {
    /// Parses an answer of `/api/search` or a message of `StreamingQuerier/Search`.
    pub fn parse(answer: &'a [u8]) -> Result<Self, Unreadable> {
        let mut page = Self {
            traces: Vec::new(),
            metrics: None,
        };
        for field in wire::fields(answer) {
            let field = field?;
            match field.number {
                1 => page.traces.push(Trace::read(field.bytes()?)?),
                2 => page.metrics = Some(Jobs::read(field.bytes()?, JobFields::SEARCH)?),
                _ => {}
            }
        }
        Ok(page)
    }

    /// The traces of the page.
    pub fn listed(&self) -> Result<Vec<Listed<'a>>, Unreadable> {
        self.traces.iter().map(Trace::listed).collect()
    }

    /// The page, with only what the rules allow.
    pub fn filter(&self, rules: &Rules<'_>) -> Result<Vec<u8>, Unreadable> {
        let mut traces = Vec::with_capacity(self.traces.len());
        let mut changed = false;
        for (place, trace) in self.traces.iter().enumerate() {
            let metadata = rules.reveal.of(place);
            changed |= *metadata != Metadata::Own;
            traces.push(match metadata {
                Metadata::Own => (trace.start, trace.write_whole(rules)?),
                Metadata::Masked => trace.write_masked(rules)?,
                Metadata::Computed(summary) => {
                    let (span_sets, _) = trace.span_sets(rules)?;
                    (summary.start, trace.write(summary, &span_sets, rules))
                }
            });
        }
        if changed {
            // Tempo sorted by the starts of the whole traces.
            traces.sort_by_key(|&(start, _)| std::cmp::Reverse(start));
        }
        let mut out = Vec::new();
        for (_, trace) in traces {
            wire::put_bytes(&mut out, 1, &trace);
        }
        if let Some(jobs) = self.metrics {
            jobs.put(&mut out, 2, JobFields::SEARCH);
        }
        Ok(out)
    }
}

impl<'a> Trace<'a> {
    fn read(fields: &'a [u8]) -> Result<Self, Unreadable> {
        let (mut id, mut start, mut duration_ms) = (None, 0, 0);
        for field in wire::fields(fields) {
            let field = field?;
            match field.number {
                1 if id.is_some() => return Err(Unreadable("a trace in it has two ids")),
                1 => id = Some(field.text()?),
                4 => start = field.varint()?,
                5 => duration_ms = field.uint32()?,
                _ => {}
            }
        }
        Ok(Self {
            id: id.unwrap_or_default(),
            start,
            duration_ms,
            fields,
        })
    }

    fn listed(&self) -> Result<Listed<'a>, Unreadable> {
        let (mut parts, mut services, mut spans) = (Vec::new(), Vec::new(), None);
        for field in wire::fields(self.fields) {
            let field = field?;
            match field.number {
                2..=5 => parts.push(field.encoded),
                8 => {
                    services.push(field.encoded);
                    spans = Some(spans.unwrap_or(0) + service_spans(field)?);
                }
                _ => {}
            }
        }
        // The entries of a map come in any order.
        services.sort_unstable();
        let mut metadata = Vec::new();
        for part in parts.into_iter().chain(services) {
            put_part(&mut metadata, part);
        }
        Ok(Listed {
            id: self.id,
            start: self.start,
            duration_ms: self.duration_ms,
            spans,
            metadata,
        })
    }

    fn write_whole(&self, rules: &Rules<'_>) -> Result<Vec<u8>, Unreadable> {
        let mut out = Vec::with_capacity(self.fields.len());
        for field in wire::fields(self.fields) {
            let field = field?;
            match field.number {
                6..=8 if rules.traces_only => {}
                1..=5 | 8 => out.extend_from_slice(field.encoded),
                6 | 7 => write_span_set(&mut out, field, rules, &mut Extent::default())?,
                _ => {}
            }
        }
        Ok(out)
    }

    /// The trace and the start that it now shows.
    fn write_masked(&self, rules: &Rules<'_>) -> Result<(u64, Vec<u8>), Unreadable> {
        let (span_sets, extent) = self.span_sets(rules)?;
        let summary = TraceSummary {
            start: extent.start(),
            duration_ms: extent.duration_ms(),
            ..TraceSummary::default()
        };
        Ok((summary.start, self.write(&summary, &span_sets, rules)))
    }

    /// The trace with what this says of it as a whole.
    fn write(&self, summary: &TraceSummary, span_sets: &[u8], rules: &Rules<'_>) -> Vec<u8> {
        let TraceSummary {
            root_service,
            root_name,
            start,
            duration_ms,
            services,
        } = summary;
        let mut out = Vec::with_capacity(span_sets.len() + 80);
        wire::put_bytes(&mut out, 1, self.id.as_bytes());
        let root_service = if root_service.is_empty() {
            NO_ROOT
        } else {
            root_service
        };
        wire::put_bytes(&mut out, 2, root_service.as_bytes());
        if !root_name.is_empty() {
            wire::put_bytes(&mut out, 3, root_name.as_bytes());
        }
        wire::put_uint(&mut out, 4, *start);
        wire::put_uint(&mut out, 5, (*duration_ms).into());
        if rules.traces_only {
            return out;
        }
        out.extend_from_slice(span_sets);
        for service in services {
            let mut stats = Vec::new();
            wire::put_uint(&mut stats, 1, service.spans.into());
            wire::put_uint(&mut stats, 2, service.errors.into());
            let mut entry = Vec::new();
            wire::put_bytes(&mut entry, 1, service.name.as_bytes());
            wire::put_bytes(&mut entry, 2, &stats);
            wire::put_bytes(&mut out, 8, &entry);
        }
        out
    }

    /// The filtered span sets, and the times of their spans.
    fn span_sets(&self, rules: &Rules<'_>) -> Result<(Vec<u8>, Extent), Unreadable> {
        let mut span_sets = Vec::with_capacity(self.fields.len());
        let mut extent = Extent::default();
        for field in wire::fields(self.fields) {
            let field = field?;
            if matches!(field.number, 6 | 7) {
                write_span_set(&mut span_sets, field, rules, &mut extent)?;
            }
        }
        Ok((span_sets, extent))
    }
}

/// The number of spans in an entry of `serviceStats`.
fn service_spans(entry: Field<'_>) -> Result<u64, Unreadable> {
    let mut spans = 0;
    for field in wire::fields(entry.bytes()?) {
        let field = field?;
        if field.number != 2 {
            continue;
        }
        for field in wire::fields(field.bytes()?) {
            let field = field?;
            if field.number == 1 {
                spans = u64::from(field.uint32()?);
            }
        }
    }
    Ok(spans)
}

fn write_span_set(
    out: &mut Vec<u8>,
    set: Field<'_>,
    rules: &Rules<'_>,
    extent: &mut Extent,
) -> Result<(), Unreadable> {
    let message = set.bytes()?;
    let mut kept = Vec::with_capacity(message.len());
    for field in wire::fields(message) {
        let field = field?;
        match field.number {
            1 => write_span(&mut kept, field, rules, extent)?,
            2 | 3 => kept.extend_from_slice(field.encoded),
            _ => {}
        }
    }
    wire::put_bytes(out, set.number, &kept);
    Ok(())
}

fn write_span(
    out: &mut Vec<u8>,
    span: Field<'_>,
    rules: &Rules<'_>,
    extent: &mut Extent,
) -> Result<(), Unreadable> {
    let message = span.bytes()?;
    let (mut start, mut duration) = (0, 0);
    let mut kept = Vec::with_capacity(message.len());
    for field in wire::fields(message) {
        let field = field?;
        match field.number {
            3 => start = field.varint()?,
            4 => duration = field.varint()?,
            2 if rules.hide_names => continue,
            5 if rules.hides(key(field)?) => continue,
            1 | 2 | 5 => {}
            _ => continue,
        }
        kept.extend_from_slice(field.encoded);
    }
    extent.cover(start, duration);
    wire::put_bytes(out, span.number, &kept);
    Ok(())
}

/// The key of a `KeyValue`.
fn key(attribute: Field<'_>) -> Result<&str, Unreadable> {
    let mut key = "";
    for field in wire::fields(attribute.bytes()?) {
        let field = field?;
        if field.number == 1 {
            key = field.text()?;
        }
    }
    Ok(key)
}
