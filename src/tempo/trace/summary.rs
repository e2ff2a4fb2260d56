//! What a search says of a trace as a whole, computed from the trace itself.
//!
//! Tempo computes it when it writes a trace to a block, also to one that is not complete yet
//! (`traceToParquet` in `tempodb/encoding/vparquet*/schema.go`, service statistics in
//! `nested_set_model.go`), and a search copies it from there (`asTraceSearchMetadata` in
//! `pkg/traceql/engine.go`). The rules here are those of Tempo 2.4 to 3.1: of several roots the last
//! one counts, a span that links to its parent as `child_of` is no root, a time of zero is not
//! known, and milliseconds are rounded down.

use std::collections::BTreeMap;

use super::TraceError;
use crate::wire::{self, Message};

/// The most services of one trace.
pub(in crate::tempo) const MAX_SERVICES: usize = 1000;

/// The most bytes of the names in one summary.
pub(in crate::tempo) const MAX_NAME_BYTES: usize = 64 * 1024;

/// What a search says of a trace as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceSummary {
    /// Empty if there is no root, or if its resource has no name for its service.
    pub root_service: Box<str>,
    /// Empty if there is no root.
    pub root_name: Box<str>,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Milliseconds.
    pub duration_ms: u32,
    /// By name, in order.
    pub services: Box<[ServiceStats]>,
}

/// The spans of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceStats {
    pub name: Box<str>,
    pub spans: u32,
    pub errors: u32,
}

impl TraceSummary {
    /// The bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        let services = self.services.iter();
        let services: usize = services
            .map(|service| size_of::<ServiceStats>() + service.name.len())
            .sum();
        size_of::<Self>() + self.root_service.len() + self.root_name.len() + services
    }
}

/// Computes the summary of a trace, one piece of it after another.
#[derive(Default)]
pub struct SummaryBuilder {
    start: u64,
    end: u64,
    /// Service and name.
    root: Option<(Box<str>, Box<str>)>,
    /// Spans and errors.
    services: BTreeMap<Box<str>, (u32, u32)>,
    name_bytes: usize,
}

impl SummaryBuilder {
    /// Reads complete `ResourceSpans` fields of a `tempopb.Trace`, as
    /// [`ProtobufFilter`](super::ProtobufFilter) outputs them.
    ///
    /// # Errors
    /// [`TraceError::Protobuf`] if they are not in the shape of Tempo's messages, and
    /// [`TraceError::TooLarge`] if they have too many or too long names of services.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), TraceError> {
        const RESOURCE_SPANS: u32 = 1;
        for field in wire::fields(piece) {
            let field = field?;
            if field.number == RESOURCE_SPANS {
                self.resource_spans(field.message()?)?;
            }
        }
        Ok(())
    }

    /// The summary; `None` if there was nothing.
    pub fn finish(self) -> Option<TraceSummary> {
        if self.services.is_empty() {
            return None;
        }
        let (root_service, root_name) = self.root.unwrap_or_default();
        let services = self.services.into_iter();
        Some(TraceSummary {
            root_service,
            root_name,
            start: self.start,
            duration_ms: milliseconds(self.end.wrapping_sub(self.start)),
            services: services
                .map(|(name, (spans, errors))| ServiceStats {
                    name,
                    spans,
                    errors,
                })
                .collect(),
        })
    }

    fn resource_spans(&mut self, spans: Message<'_>) -> Result<(), TraceError> {
        const RESOURCE: u32 = 1;
        const SCOPE_SPANS: u32 = 2;
        let mut service = Service::default();
        for field in spans.fields() {
            let field = field?;
            if field.number == RESOURCE {
                service.read(field.message()?)?;
            }
        }
        let mut counted = (0u32, 0u32);
        for field in spans.fields() {
            let field = field?;
            if field.number == SCOPE_SPANS {
                self.scope_spans(field.message()?, &service, &mut counted)?;
            }
        }
        let name = service.of_stats.unwrap_or_default();
        if !self.services.contains_key(name) {
            self.name_bytes += name.len();
            if self.services.len() == MAX_SERVICES || self.name_bytes > MAX_NAME_BYTES {
                return Err(TraceError::TooLarge {
                    limit: MAX_NAME_BYTES,
                });
            }
        }
        let (spans, errors) = self.services.entry(name.into()).or_default();
        *spans = spans.wrapping_add(counted.0);
        *errors = errors.wrapping_add(counted.1);
        Ok(())
    }

    fn scope_spans(
        &mut self,
        scope: Message<'_>,
        service: &Service<'_>,
        counted: &mut (u32, u32),
    ) -> Result<(), TraceError> {
        const SPANS: u32 = 2;
        for field in scope.fields() {
            let field = field?;
            if field.number != SPANS {
                continue;
            }
            let span = Span::read(field.message()?)?;
            if self.start == 0 || span.start < self.start {
                self.start = span.start;
            }
            self.end = self.end.max(span.end);
            if span.is_root()? {
                let names = service.of_root.len() + span.name.len();
                if names > MAX_NAME_BYTES {
                    return Err(TraceError::TooLarge {
                        limit: MAX_NAME_BYTES,
                    });
                }
                self.root = Some((service.of_root.into(), span.name.into()));
            }
            counted.0 = counted.0.wrapping_add(1);
            counted.1 = counted.1.wrapping_add(u32::from(span.is_error));
        }
        Ok(())
    }
}

/// Whole milliseconds; Tempo keeps the low 32 bits.
pub(in crate::tempo) fn milliseconds(nanos: u64) -> u32 {
    let low = (nanos / 1_000_000) & u64::from(u32::MAX);
    u32::try_from(low).unwrap_or(u32::MAX)
}

/// `service.name` of a resource.
#[derive(Default)]
struct Service<'a> {
    /// For statistics: the last one that is a string.
    of_stats: Option<&'a str>,
    /// For the root: the first one, empty if it is no string.
    of_root: &'a str,
    is_named: bool,
}

impl<'a> Service<'a> {
    fn read(&mut self, resource: Message<'a>) -> Result<(), TraceError> {
        const ATTRIBUTES: u32 = 1;
        for field in resource.fields() {
            let field = field?;
            if field.number != ATTRIBUTES {
                continue;
            }
            let (key, value) = attribute(field.message()?)?;
            if key != b"service.name" {
                continue;
            }
            if !self.is_named {
                self.is_named = true;
                self.of_root = value.unwrap_or_default();
            }
            self.of_stats = value.or(self.of_stats);
        }
        Ok(())
    }
}

/// The parts of a span that count.
struct Span<'a> {
    trace_id: &'a [u8],
    has_parent: bool,
    name: &'a str,
    start: u64,
    end: u64,
    is_error: bool,
    fields: Message<'a>,
}

/// Of a `Span`.
const LINKS: u32 = 13;

impl<'a> Span<'a> {
    fn read(fields: Message<'a>) -> Result<Self, TraceError> {
        const TRACE_ID: u32 = 1;
        const PARENT: u32 = 4;
        const NAME: u32 = 5;
        const START: u32 = 7;
        const END: u32 = 8;
        const STATUS: u32 = 15;
        let mut span = Self {
            trace_id: &[],
            has_parent: false,
            name: "",
            start: 0,
            end: 0,
            is_error: false,
            fields,
        };
        for field in fields.fields() {
            let field = field?;
            match field.number {
                TRACE_ID => span.trace_id = field.bytes()?,
                PARENT => span.has_parent = !field.bytes()?.is_empty(),
                NAME => span.name = field.text()?,
                START => span.start = field.fixed64()?,
                END => span.end = field.fixed64()?,
                STATUS => span.is_error = is_error(field.message()?, span.is_error)?,
                _ => {}
            }
        }
        Ok(span)
    }

    fn is_root(&self) -> Result<bool, TraceError> {
        if self.has_parent {
            return Ok(false);
        }
        for field in self.fields.fields() {
            let field = field?;
            if field.number == LINKS && is_to_parent(field.message()?, self.trace_id)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether a status is an error; a later part of it that has no code changes nothing.
fn is_error(status: Message<'_>, before: bool) -> Result<bool, TraceError> {
    const CODE: u32 = 3;
    const ERROR: u64 = 2;
    let mut is_error = before;
    for field in status.fields() {
        let field = field?;
        if field.number == CODE {
            is_error = field.varint()? == ERROR;
        }
    }
    Ok(is_error)
}

/// Whether a link names a parent in the same trace, as references of `OpenTracing` do.
fn is_to_parent(link: Message<'_>, trace_id: &[u8]) -> Result<bool, TraceError> {
    const TRACE_ID: u32 = 1;
    const ATTRIBUTES: u32 = 4;
    let (mut linked, mut is_parent): (&[u8], bool) = (&[], false);
    for field in link.fields() {
        let field = field?;
        match field.number {
            TRACE_ID => linked = field.bytes()?,
            ATTRIBUTES => {
                let (key, value) = attribute(field.message()?)?;
                is_parent |= key == b"opentracing.ref_type" && value == Some("child_of");
            }
            _ => {}
        }
    }
    Ok(is_parent && linked == trace_id)
}

/// The key of a `KeyValue`, and its value if that is a string.
fn attribute(attribute: Message<'_>) -> Result<(&[u8], Option<&str>), TraceError> {
    const KEY: u32 = 1;
    const VALUE: u32 = 2;
    const STRING_VALUE: u32 = 1;
    let (mut key, mut value): (&[u8], Option<&str>) = (&[], None);
    for field in attribute.fields() {
        let field = field?;
        match field.number {
            KEY => key = field.bytes()?,
            VALUE => {
                for kind in field.message()?.fields() {
                    let kind = kind?;
                    value = (kind.number == STRING_VALUE)
                        .then(|| kind.text())
                        .transpose()?;
                }
            }
            _ => {}
        }
    }
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::tempo::testing::{attribute, text};
    use crate::tempo::trace::testing::recorded;

    fn summary_of(resource_spans: Vec<ResourceSpans>) -> Result<Option<TraceSummary>, TraceError> {
        let mut builder = SummaryBuilder::default();
        builder.push(&TracesData { resource_spans }.encode_to_vec())?;
        Ok(builder.finish())
    }

    fn spans_of(service: &str, spans: Vec<Span>) -> ResourceSpans {
        ResourceSpans {
            resource: Some(Resource {
                attributes: vec![attribute("service.name", text(service))],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }
    }

    #[test]
    fn trace_without_spans_has_no_summary() {
        assert_eq!(summary_of(Vec::new()), Ok(None));
    }

    /// Tempo takes zero for a time that is not known yet.
    #[test]
    fn start_of_zero_counts_only_if_it_is_the_only_one() {
        let span = |start, end| Span {
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            ..Span::default()
        };
        let times = |spans| {
            let summary = summary_of(vec![spans_of("a", spans)]).unwrap().unwrap();
            (summary.start, summary.duration_ms)
        };
        assert_eq!(times(vec![span(0, 5_000_000)]), (0, 5));
        let late = span(9_000_000, 19_000_000);
        assert_eq!(times(vec![span(0, 5), late.clone()]), (9_000_000, 10));
        assert_eq!(times(vec![late, span(0, 5)]), (0, 19));
    }

    #[test]
    fn names_of_services_are_bounded() {
        let many = |count: usize, length: usize| {
            let name = |n: usize| format!("{n:0>length$}");
            (0..count)
                .map(|n| spans_of(&name(n), vec![Span::default()]))
                .collect()
        };
        let services = summary_of(many(MAX_SERVICES, 4)).unwrap().unwrap().services;
        assert_eq!(services.len(), MAX_SERVICES);
        assert!(summary_of(many(MAX_SERVICES + 1, 4)).is_err());
        assert!(summary_of(many(3, MAX_NAME_BYTES / 2)).is_err());
        let root = Span {
            name: "x".repeat(MAX_NAME_BYTES),
            ..Span::default()
        };
        assert!(summary_of(vec![spans_of("a", vec![root])]).is_err());
    }

    proptest! {
        #[test]
        fn mutated_traces_do_not_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut trace = recorded("trace-v1-mixed-A-root-proto.pb").to_vec();
            for (index, byte) in &changes {
                let at = index.index(trace.len());
                trace[at] = *byte;
            }
            let mut builder = SummaryBuilder::default();
            if builder.push(&trace).is_ok() {
                let _ = builder.finish();
            }
        }
    }
}
