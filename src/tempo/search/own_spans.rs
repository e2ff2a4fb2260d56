//! Two confined searches that describe the traces of a page by the tenant's spans alone.
//!
//! Both are for `{ (tenant) && (trace:id = "…" || …) }`, so no other tenant's span is read:
//! - *counts* groups the spans by whether they are roots, by service, and by whether they failed. Of
//!   each group it returns the number of spans and one span with its name: the root's name and
//!   service, and the statistics of services.
//! - *times* returns all the spans, for the first start and the last end: `TraceQL` has no
//!   attribute for these.
//!
//! Two, because each attribute of a span that is returned costs Tempo about as much as the span; at
//! the same time they take half as long as one that returns all of it.
//!
//! Tempo combines what several blocks or ingesters have of a trace: of sets with the same groups it
//! takes the one with the most spans, and leaves out the others (`combineSpansets` in
//! `pkg/traceql/combine.go`). So a trace is described only if both searches have found the same
//! number of spans, and all of these are returned. Nearly all parts show by that; parts that are alike
//! in groups and numbers do not, and then one of them is described, as Tempo does itself. What else
//! cannot be answered for certain by these searches is left out too: which one of several roots Tempo
//! takes, spans with links that may make them none, spans without a start.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::side_query::{FoundTrace, TRACES_PER_SEARCH, any_of, searchable_ids};
use super::{Listed, SideQuery, canonical};
use crate::tempo::answer::{JobFields, Jobs, Unreadable};
use crate::tempo::trace::{MAX_NAME_BYTES, MAX_SERVICES, ServiceStats, TraceSummary, milliseconds};
use crate::wire::{self, Field};

/// The most spans of one set in an answer: Tempo's default for `max_spans_per_span_set`.
const SPANS_PER_SET: usize = 100;

/// Traces with more spans, of all tenants, are not searched for.
const MAX_SPANS: u64 = 1000;

/// Splits the spans of a longer trace into sets that are small enough, whatever they are like:
/// durations have more digits than this number.
const SPLIT: &str = "by(duration % 31)";

/// The groups of *counts*. Whether a span without a parent is a root depends on its links, if they have
/// an `opentracing.ref_type`: Tempo looks for a `child_of` to the same trace among all, and a group
/// has the type of the first one alone.
const GROUPS: [&str; 4] = [
    "by(nestedSetParent < 0)",
    "by(resource.service.name)",
    "by(status = error)",
    r#"by(link.opentracing.ref_type =~ ".*")"#,
];

/// The two searches for a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSpansQueries {
    pub counts: SideQuery,
    pub times: SideQuery,
}

impl OwnSpansQueries {
    /// The searches for the traces of a page that are small enough, confined by this condition;
    /// `None` if there are none.
    pub fn for_page<'a>(
        page: impl Iterator<Item = &'a Listed<'a>>,
        condition: &str,
    ) -> Option<Self> {
        let mut is_split = false;
        let small = page.filter(|listed| listed.has_at_most(MAX_SPANS, true));
        let small = small.take(TRACES_PER_SEARCH).map(|listed| {
            is_split |= !listed.has_at_most(SPANS_PER_SET as u64, false);
            listed.id
        });
        let ids = searchable_ids(small);
        if ids.is_empty() {
            return None;
        }
        let condition = format!("({condition}) && ({})", any_of(&ids));
        let groups = GROUPS.into_iter().chain(["select(name)"]);
        let split = is_split.then(|| SPLIT.to_owned());
        Some(Self {
            counts: SideQuery::new(ids.len(), &condition, groups.map(str::to_owned), 1),
            times: SideQuery::new(ids.len(), &condition, split, SPANS_PER_SET),
        })
    }
}

/// Traces as their spans of one tenant describe them.
#[derive(Debug, Default)]
pub struct OwnSpans(HashMap<Box<str>, Arc<TraceSummary>>);

impl OwnSpans {
    /// Reads the answers of both searches (`tempopb.SearchResponse`).
    ///
    /// # Errors
    /// If one of them is not in the shape of Tempo's messages.
    pub fn read(counts: &[u8], times: &[u8]) -> Result<Self, Unreadable> {
        let mut counted = HashMap::new();
        for FoundTrace { id, span_sets } in traces(counts)? {
            if let Some(counts) = Counts::read(&span_sets)? {
                counted.insert(canonical(id), counts);
            }
        }
        let mut described = HashMap::new();
        for FoundTrace { id, span_sets } in traces(times)? {
            let id = canonical(id);
            if let (Some(counts), Some(times)) = (counted.remove(&id), Times::read(&span_sets)?)
                && counts.spans == times.spans
            {
                let summary = Arc::new(counts.summary(&times));
                described.insert(id.into(), summary);
            }
        }
        Ok(Self(described))
    }

    /// `None` if the searches do not tell for certain.
    pub fn of(&self, listed: &Listed<'_>) -> Option<Arc<TraceSummary>> {
        self.0.get(&*canonical(listed.id)).map(Arc::clone)
    }
}

/// The traces of an answer, with their span sets; none if it is not complete.
fn traces(answer: &[u8]) -> Result<Vec<FoundTrace<'_>>, Unreadable> {
    let (mut traces, mut is_complete) = (Vec::new(), true);
    for field in wire::fields(answer) {
        let field = field?;
        match field.number {
            1 => traces.push(FoundTrace::read(field)?),
            2 => is_complete &= Jobs::read(field.bytes()?, JobFields::SEARCH)?.are_complete(),
            _ => {}
        }
    }
    if !is_complete {
        traces.clear();
    }
    Ok(traces)
}

/// What the first search says of one trace.
#[derive(Default)]
struct Counts<'a> {
    /// Service and name.
    root: Option<(&'a str, &'a str)>,
    /// Spans and errors.
    services: BTreeMap<&'a str, (u32, u32)>,
    spans: u64,
}

impl<'a> Counts<'a> {
    /// `None` if they are not certain, or too many.
    fn read(sets: &[&'a [u8]]) -> Result<Option<Self>, Unreadable> {
        let (mut counts, mut roots, mut name_bytes) = (Self::default(), 0u64, 0);
        for set in sets {
            let Some(group) = Group::read(set)? else {
                return Ok(None);
            };
            counts.spans += u64::from(group.spans);
            if !counts.services.contains_key(group.service) {
                name_bytes += group.service.len();
            }
            let (spans, errors) = counts.services.entry(group.service).or_default();
            *spans = spans.wrapping_add(group.spans);
            if group.is_error {
                *errors = errors.wrapping_add(group.spans);
            }
            if group.is_root {
                roots += u64::from(group.spans);
                name_bytes += group.service.len() + group.name.len();
                counts.root = Some((group.service, group.name));
            }
        }
        let is_bounded = counts.services.len() <= MAX_SERVICES && name_bytes <= MAX_NAME_BYTES;
        Ok((roots <= 1 && is_bounded).then_some(counts))
    }

    fn summary(self, times: &Times) -> TraceSummary {
        let (root_service, root_name) = self.root.unwrap_or_default();
        let services = self.services.into_iter();
        TraceSummary {
            root_service: root_service.into(),
            root_name: root_name.into(),
            start: times.start,
            duration_ms: milliseconds(times.end.wrapping_sub(times.start)),
            services: services
                .map(|(name, (spans, errors))| ServiceStats {
                    name: name.into(),
                    spans,
                    errors,
                })
                .collect(),
        }
    }
}

/// One group of the first search.
struct Group<'a> {
    is_root: bool,
    service: &'a str,
    is_error: bool,
    spans: u32,
    /// Of one of the spans.
    name: &'a str,
}

/// The value of a group, as far as groups have such values.
enum Value<'a> {
    Bool(bool),
    Text(&'a str),
}

impl<'a> Group<'a> {
    /// `None` if it is not one of the groups that were searched for, or may have a root or not.
    fn read(set: &'a [u8]) -> Result<Option<Self>, Unreadable> {
        let (mut values, mut spans, mut name) = (Vec::with_capacity(GROUPS.len()), 0, "");
        for field in wire::fields(set) {
            let field = field?;
            match field.number {
                1 => name = span_name(field)?,
                2 => spans = field.uint32()?,
                3 => values.extend(group_value(field)?),
                _ => {}
            }
        }
        let &[
            Value::Bool(is_parentless),
            Value::Text(service),
            Value::Bool(is_error),
            Value::Bool(is_linked),
        ] = &values[..]
        else {
            return Ok(None);
        };
        let is_certain = service != super::ownership::NIL && !(is_parentless && is_linked);
        Ok(is_certain.then_some(Self {
            is_root: is_parentless,
            service,
            is_error,
            spans,
            name,
        }))
    }
}

fn span_name(span: Field<'_>) -> Result<&str, Unreadable> {
    let mut name = "";
    for field in wire::fields(span.bytes()?) {
        let field = field?;
        if field.number == 2 {
            name = field.text()?;
        }
    }
    Ok(name)
}

/// The value of a `KeyValue` that is a group's.
fn group_value(attribute: Field<'_>) -> Result<Option<Value<'_>>, Unreadable> {
    let (mut is_group, mut value) = (false, None);
    for field in wire::fields(attribute.bytes()?) {
        let field = field?;
        match field.number {
            1 => is_group = field.text()?.starts_with("by("),
            2 => {
                for kind in wire::fields(field.bytes()?) {
                    let kind = kind?;
                    value = match kind.number {
                        1 => Some(Value::Text(kind.text()?)),
                        2 => Some(Value::Bool(kind.varint()? != 0)),
                        _ => None,
                    };
                }
            }
            _ => {}
        }
    }
    Ok(value.filter(|_| is_group))
}

/// What the second search says of one trace.
struct Times {
    /// Nanoseconds since 1970.
    start: u64,
    end: u64,
    spans: u64,
}

impl Times {
    /// `None` if there are no spans, if some are not in the answer, or have no start.
    fn read(sets: &[&[u8]]) -> Result<Option<Self>, Unreadable> {
        let (mut times, mut returned) = (None::<Self>, 0u64);
        let mut matched = 0;
        for set in sets {
            for field in wire::fields(set) {
                let field = field?;
                match field.number {
                    1 => {
                        let (start, end) = span_times(field)?;
                        if start == 0 {
                            return Ok(None);
                        }
                        returned += 1;
                        let before = times.map_or((start, end), |times| (times.start, times.end));
                        times = Some(Self {
                            start: before.0.min(start),
                            end: before.1.max(end),
                            spans: returned,
                        });
                    }
                    2 => matched += u64::from(field.uint32()?),
                    _ => {}
                }
            }
        }
        Ok(times.filter(|times| times.spans == matched))
    }
}

/// Start and end.
fn span_times(span: Field<'_>) -> Result<(u64, u64), Unreadable> {
    let (mut start, mut duration) = (0, 0);
    for field in wire::fields(span.bytes()?) {
        let field = field?;
        match field.number {
            3 => start = field.varint()?,
            4 => duration = field.varint()?,
            _ => {}
        }
    }
    // Of a span that ends before it starts, Tempo says a duration beyond 2⁶³.
    Ok((start, u64::wrapping_add(start, duration)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::tempo::testing::{
        Any, AnyValue, SearchMetrics, SearchResponse, Span, SpanSet, Trace, attribute, fixture,
        text,
    };

    fn listed(id: &str, spans: Option<u64>) -> Listed<'_> {
        Listed {
            id,
            start: 0,
            duration_ms: 0,
            spans,
            metadata: Vec::new(),
        }
    }

    fn queries(page: &[Listed<'_>]) -> Option<OwnSpansQueries> {
        OwnSpansQueries::for_page(page.iter(), r#"resource.tenant_id = "A""#)
    }

    #[test]
    fn both_searches_are_confined_to_the_tenants_spans() {
        let page = [
            listed("2", Some(100)),
            listed("1", Some(1)),
            listed("1", Some(1)),
            listed("\" || true", Some(1)),
        ];
        let queries = queries(&page).unwrap();
        let condition = r#"{ (resource.tenant_id = "A") && (trace:id = "1" || trace:id = "2") }"#;
        assert_eq!(
            queries.counts.query(),
            format!(
                "{condition} | by(nestedSetParent < 0) | by(resource.service.name) \
                 | by(status = error) | by(link.opentracing.ref_type =~ \".*\") \
                 | select(name)"
            )
        );
        assert_eq!(queries.times.query(), condition);
        let parameters = |query: &SideQuery| query.parameters().map(|(_, value)| value);
        assert_eq!(parameters(&queries.counts)[1..], ["3", "1"]);
        assert_eq!(parameters(&queries.times)[1..], ["3", "100"]);
    }

    #[test]
    fn spans_of_longer_traces_are_split() {
        let is_split = |spans| {
            let queries = queries(&[listed("1", Some(3)), listed("2", spans)]);
            queries
                .unwrap()
                .times
                .query()
                .ends_with(" | by(duration % 31)")
        };
        assert!(!is_split(Some(100)));
        assert!(is_split(Some(101)));
        assert!(is_split(Some(1000)));
        assert!(is_split(None));
    }

    #[test]
    fn searches_are_for_a_bounded_number_of_short_traces() {
        assert_eq!(queries(&[]), None);
        assert_eq!(queries(&[listed("1", Some(1001))]), None);
        let ids: Vec<String> = (0..5000).map(|n| format!("{n:x}")).collect();
        let page: Vec<_> = ids.iter().map(|id| listed(id, Some(1))).collect();
        let queries = queries(&page).unwrap();
        for query in [&queries.counts, &queries.times] {
            assert_eq!(query.query().matches("trace:id").count(), 99);
            assert_eq!(query.parameters()[1], ("limit", "100".to_owned()));
        }
    }

    fn boolean(value: bool) -> AnyValue {
        AnyValue {
            value: Some(Any::BoolValue(value)),
        }
    }

    /// A group of the first search.
    fn group(is_root: bool, service: AnyValue, is_error: bool, spans: u32) -> SpanSet {
        SpanSet {
            spans: vec![Span {
                name: "op".to_owned(),
                ..Span::default()
            }],
            matched: spans,
            attributes: vec![
                attribute("by(nestedSetParent < 0)", boolean(is_root)),
                attribute("by(resource.service.name)", service),
                attribute("by(status = error)", boolean(is_error)),
                attribute("by(link.opentracing.ref_type =~ `.*`)", boolean(false)),
            ],
        }
    }

    /// A set of the second search: spans of 5 ms, one after another.
    fn spans(count: u32, matched: u32) -> SpanSet {
        let span = |n| Span {
            start: 1_000_000_000 + u64::from(n) * 5_000_000,
            duration: 5_000_000,
            ..Span::default()
        };
        SpanSet {
            spans: (0..count).map(span).collect(),
            matched,
            ..SpanSet::default()
        }
    }

    fn answer(sets: Vec<SpanSet>, completed_jobs: u32) -> Vec<u8> {
        let trace = Trace {
            id: "1".to_owned(),
            span_sets: sets,
            ..Trace::default()
        };
        let metrics = SearchMetrics {
            completed_jobs,
            total_jobs: 2,
            ..SearchMetrics::default()
        };
        SearchResponse {
            traces: vec![trace],
            metrics: Some(metrics),
        }
        .encode_to_vec()
    }

    fn described(counts: Vec<SpanSet>, times: Vec<SpanSet>) -> Option<Arc<TraceSummary>> {
        let own = OwnSpans::read(&answer(counts, 2), &answer(times, 2)).unwrap();
        own.of(&listed("0001", None))
    }

    #[test]
    fn description_is_made_of_counts_and_times() {
        let counts = vec![
            group(true, text("a"), false, 1),
            group(false, text("a"), true, 2),
            group(false, text("b"), false, 1),
        ];
        let summary = described(counts, vec![spans(3, 3), spans(1, 1)]).unwrap();
        assert_eq!((&*summary.root_service, &*summary.root_name), ("a", "op"));
        assert_eq!((summary.start, summary.duration_ms), (1_000_000_000, 15));
        let services: Vec<_> = summary
            .services
            .iter()
            .map(|service| (&*service.name, service.spans, service.errors))
            .collect();
        assert_eq!(services, [("a", 3, 2), ("b", 1, 0)]);
    }

    /// Such a trace is in several blocks, or just got spans.
    #[test]
    fn trace_of_which_the_searches_find_different_spans_is_not_described() {
        let counts = || vec![group(false, text("a"), false, 2)];
        assert!(described(counts(), vec![spans(2, 2)]).is_some());
        assert_eq!(described(counts(), vec![spans(1, 1)]), None);
        assert_eq!(described(counts(), vec![spans(3, 3)]), None);
        assert_eq!(described(counts(), vec![]), None);
        assert_eq!(described(vec![], vec![spans(2, 2)]), None);
    }

    #[test]
    fn trace_of_which_some_spans_are_not_returned_is_not_described() {
        let counts = || vec![group(false, text("a"), false, 200)];
        assert!(described(counts(), vec![spans(100, 100), spans(100, 100)]).is_some());
        assert_eq!(described(counts(), vec![spans(100, 200)]), None);
        assert_eq!(
            described(counts(), vec![spans(100, 100), spans(99, 100)]),
            None
        );
    }

    #[test]
    fn what_is_not_certain_is_not_described() {
        let of = |group| described(vec![group], vec![spans(2, 2)]);
        assert!(of(group(false, text("a"), false, 2)).is_some());
        // Of several roots Tempo takes the last one.
        assert_eq!(of(group(true, text("a"), false, 2)), None);
        // A missing service, or one of this name.
        assert_eq!(of(group(false, text("nil"), false, 2)), None);
        assert_eq!(of(group(false, AnyValue::default(), false, 2)), None);
        let mut one_less = group(false, text("a"), false, 2);
        one_less.attributes.pop();
        assert_eq!(of(one_less), None);
        let mut other = group(false, text("a"), false, 2);
        other.attributes[3].key = "child_of".to_owned();
        assert_eq!(of(other), None);
        let mut no_start = spans(2, 2);
        no_start.spans[1].start = 0;
        assert_eq!(
            described(vec![group(false, text("a"), false, 2)], vec![no_start]),
            None
        );
    }

    #[test]
    fn incomplete_answer_describes_nothing() {
        let counts = |jobs| answer(vec![group(false, text("a"), false, 2)], jobs);
        let times = |jobs| answer(vec![spans(2, 2)], jobs);
        let is_described = |counts: &[u8], times: &[u8]| {
            let own = OwnSpans::read(counts, times).unwrap();
            own.of(&listed("1", None)).is_some()
        };
        assert!(is_described(&counts(2), &times(2)));
        assert!(!is_described(&counts(1), &times(2)));
        assert!(!is_described(&counts(2), &times(1)));
    }

    #[test]
    fn names_of_services_are_bounded() {
        let services = |count: u32, length: usize| -> Option<Arc<TraceSummary>> {
            let of_service = |n| group(false, text(&format!("{n:0>length$}")), false, 1);
            let counts = (0..count).map(of_service).collect();
            described(counts, vec![spans(count, count)])
        };
        assert_eq!(services(1000, 4).unwrap().services.len(), 1000);
        assert_eq!(services(1001, 4), None);
        assert_eq!(services(3, MAX_NAME_BYTES / 2), None);
    }

    proptest! {
        #[test]
        fn mutated_answers_do_not_panic(
            of_counts: bool,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut answers = ["exact-own-counts.pb", "exact-own-times.pb"].map(fixture);
            let changed = &mut answers[usize::from(of_counts)];
            for (index, byte) in &changes {
                let at = index.index(changed.len());
                changed[at] = *byte;
            }
            let _ = OwnSpans::read(&answers[0], &answers[1]);
        }
    }
}
