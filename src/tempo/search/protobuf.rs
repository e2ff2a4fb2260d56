//! `tempopb.SearchResponse`.

use super::{Extent, Rules};
use crate::tempo::answer::{JobFields, Jobs, Unreadable};
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
    pub fn trace_ids(&self) -> impl Iterator<Item = &'a str> {
        self.traces.iter().map(|trace| trace.id)
    }

    /// The page, with only what the rules allow.
    pub fn filter(&self, rules: &Rules<'_>) -> Result<Vec<u8>, Unreadable> {
        let mut traces = Vec::with_capacity(self.traces.len());
        let mut masked = false;
        for trace in &self.traces {
            let shown = rules.reveal.shows(trace.id);
            masked |= !shown;
            traces.push(if shown {
                (trace.start, trace.write_whole(rules)?)
            } else {
                trace.write_masked(rules)?
            });
        }
        if masked {
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
        let (mut id, mut start) = (None, 0);
        for field in wire::fields(fields) {
            let field = field?;
            match field.number {
                1 if id.is_some() => return Err(Unreadable("a trace in it has two ids")),
                1 => id = Some(field.text()?),
                4 => start = field.varint()?,
                _ => {}
            }
        }
        Ok(Self {
            id: id.unwrap_or_default(),
            start,
            fields,
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
        let mut span_sets = Vec::with_capacity(self.fields.len());
        let mut extent = Extent::default();
        for field in wire::fields(self.fields) {
            let field = field?;
            if matches!(field.number, 6 | 7) {
                write_span_set(&mut span_sets, field, rules, &mut extent)?;
            }
        }
        let mut out = Vec::with_capacity(span_sets.len() + 80);
        wire::put_bytes(&mut out, 1, self.id.as_bytes());
        wire::put_bytes(&mut out, 2, NO_ROOT.as_bytes());
        wire::put_uint(&mut out, 4, extent.start());
        wire::put_uint(&mut out, 5, extent.duration_ms().into());
        if !rules.traces_only {
            out.extend_from_slice(&span_sets);
        }
        Ok((extent.start(), out))
    }
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
