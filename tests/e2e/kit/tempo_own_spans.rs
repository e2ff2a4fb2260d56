//! The upstream's answers to the searches that describe traces by one tenant's spans, made of the
//! recorded traces as Tempo makes them.

use prost::Message as _;

use super::otlp::{
    Any, AnyValue, KeyValue, ResourceSpans, Span, StatusCode, TracesData, attribute, text,
};
use super::tempo_messages::{FoundSpan, FoundTrace, SearchResponse, SpanSet};
use super::tempo_upstream::{
    TRACES, TempoReply, fixture, is_ownership_query, is_side_search, trace_id,
};
use super::upstream::Seen;

/// Whether it is a search for the spans of one tenant in the traces of a page.
pub fn is_own_spans_query(seen: &Seen) -> bool {
    is_side_search(seen) && !is_ownership_query(seen)
}

/// The spans of the recorded traces that surely are the tenant's; an error for conditions that it
/// does not know.
pub fn own_spans_response(seen: &Seen) -> TempoReply {
    let query = seen.param("q").concat();
    let Some(tenant) = query
        .strip_prefix("{ (resource.tenant_id = \"")
        .and_then(|rest| Some(rest.split_once('"')?.0))
    else {
        return TempoReply::text(400, "a condition that is not known");
    };
    let ids = query.split("trace:id = \"").skip(1);
    let ids = ids.filter_map(|rest| Some(rest.split_once('"')?.0));
    let with_counts = query.contains("| by(nestedSetParent < 0)");
    let traces = ids.filter_map(|id| {
        let padded = format!("{id:0>32}");
        let (_, name, _) = TRACES.iter().find(|(end, ..)| trace_id(end) == padded)?;
        let trace = fixture(&format!("trace-v1-{name}-proto.pb"));
        let trace = TracesData::decode(&trace[..]).expect("a recorded trace");
        let mut span_sets: Vec<SpanSet> = Vec::new();
        let own = trace.resource_spans.iter();
        for all in own.filter(|all| attributes(all, "tenant_id") == [Some(text(tenant))]) {
            let spans = all.scope_spans.iter().flat_map(|scope| &scope.spans);
            for span in spans {
                let groups = if with_counts {
                    groups(all, span)
                } else {
                    Vec::new()
                };
                let same = span_sets.iter_mut().find(|set| set.attributes == groups);
                match same {
                    Some(set) => {
                        set.matched += 1;
                        set.spans.push(found(span));
                    }
                    None => span_sets.push(SpanSet {
                        spans: vec![found(span)],
                        matched: 1,
                        attributes: groups,
                    }),
                }
            }
        }
        let most = seen.param("spss").concat().parse().expect("a number");
        for set in &mut span_sets {
            set.spans.truncate(most);
        }
        (!span_sets.is_empty()).then(|| FoundTrace {
            id: id.to_owned(),
            span_sets,
            ..FoundTrace::default()
        })
    });
    let answer = SearchResponse {
        traces: traces.collect(),
        metrics: None,
    };
    TempoReply::new(200, "application/protobuf", answer.encode_to_vec())
}

fn attributes(all: &ResourceSpans, key: &str) -> Vec<Option<AnyValue>> {
    let attributes = all.resource.iter().flat_map(|of| &of.attributes);
    attributes
        .filter(|attribute| attribute.key == key)
        .map(|attribute| attribute.value.clone())
        .collect()
}

fn groups(all: &ResourceSpans, span: &Span) -> Vec<KeyValue> {
    let boolean = |value| AnyValue {
        value: Some(Any::BoolValue(value)),
    };
    let service = attributes(all, "service.name").remove(0);
    let status = span.status.as_ref().map_or(0, |status| status.code);
    let is_error = status == StatusCode::Error as i32;
    vec![
        attribute(
            "by(nestedSetParent < 0)",
            boolean(span.parent_span_id.is_empty()),
        ),
        attribute("by(resource.service.name)", service.unwrap_or_default()),
        attribute("by(status = error)", boolean(is_error)),
        attribute("by(link.opentracing.ref_type =~ `.*`)", boolean(false)),
    ]
}

fn found(span: &Span) -> FoundSpan {
    FoundSpan {
        name: span.name.clone(),
        start: span.start_time_unix_nano,
        duration: span.end_time_unix_nano - span.start_time_unix_nano,
        ..FoundSpan::default()
    }
}
