//! The recordings are of two Tempos (3.1-dev): a shared one with all of some traces, a private one
//! with tenant A's part of them. Each trace has another kind of root, service or time.
//!
//! One of them cannot be described exactly: its resource names its service twice, and Tempo stores
//! only the last name, after it has taken the first one for the root's.

use std::collections::HashMap;

use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message as _;
use serde_json::Value;

use super::*;
use crate::tempo::testing::{self, SearchResponse, fixture};
use crate::tempo::trace::{ForeignSpans, ProtobufFilter, SummaryBuilder, TraceApi, TraceOwner};
use crate::tenancy::{Tenant, TenantSet};

/// The trace whose service is named twice, as `a-x` and `a-y`.
const NAMED_TWICE: &str = "6b0c2e20000000000000000000000009";

/// Of each recorded trace: what is computed from tenant A's spans.
fn summaries(piece: usize) -> HashMap<String, Arc<TraceSummary>> {
    let tenants = TenantSet::new([Tenant::new("A").unwrap()]).unwrap();
    let owner = Arc::new(TraceOwner::new(("tenant_id".into(), tenants.into()), []));
    let traces = testing::stream("exact-traces-v1.bin");
    assert_eq!(traces.len(), 17);
    let summary = |trace: Vec<u8>| {
        let all = TracesData::decode(&trace[..]).unwrap();
        let id = &all.resource_spans[0].scope_spans[0].spans[0].trace_id;
        let id = id
            .iter()
            .fold(String::new(), |id, byte| format!("{id}{byte:02x}"));
        let foreign = ForeignSpans::Redact;
        let mut filter = ProtobufFilter::new(TraceApi::V1, Arc::clone(&owner), &foreign, 1 << 20);
        let (mut own, mut builder) = (Vec::new(), SummaryBuilder::default());
        let trace = Bytes::from(trace);
        for chunk in trace.chunks(piece) {
            filter.push(&trace.slice_ref(chunk), &mut own).unwrap();
            for piece in own.drain(..) {
                builder.push(&piece).unwrap();
            }
        }
        filter.finish(&mut own).unwrap();
        (id, Arc::new(builder.finish().unwrap()))
    };
    traces.into_iter().map(summary).collect()
}

fn computed(listed: &[Listed<'_>]) -> Vec<Metadata> {
    let summaries = summaries(usize::MAX);
    let metadata = |listed: &Listed<'_>| Metadata::Computed(Arc::clone(&summaries[listed.id]));
    listed.iter().map(metadata).collect()
}

fn rules(reveal: Reveal<'_>) -> Rules<'_> {
    Rules {
        reveal,
        hide: &[],
        hide_names: false,
        traces_only: false,
    }
}

/// The traces of a page by id: pages are in the order of times, of which some are equal.
fn by_id(page: &Value) -> HashMap<&str, &Value> {
    let traces = page["traces"].as_array().unwrap().iter();
    traces
        .map(|trace| (trace["traceID"].as_str().unwrap(), trace))
        .collect()
}

/// The private store's page, with the last of two names of a service.
fn private() -> SearchResponse {
    let answer = fixture("exact-search-private-proto.pb");
    let mut page = SearchResponse::decode(&answer[..]).unwrap();
    let twice = page.traces.iter_mut().find(|trace| trace.id == NAMED_TWICE);
    twice.unwrap().root_service_name = "a-y".to_owned();
    page
}

#[test]
fn page_of_shared_traces_is_that_of_the_private_store() {
    let answer = fixture("exact-search-shared.json");
    assert!(String::from_utf8_lossy(&answer).contains("SECRET"));
    let page = JsonPage::parse(&answer).unwrap();
    let each = computed(&page.listed().unwrap());
    let page = testing::json(&page.filter(&rules(Reveal::Each(&each))).unwrap());
    let private = testing::json(&fixture("exact-search-private.json"));
    let (computed, expected) = (by_id(&page), by_id(&private));
    assert_eq!((computed.len(), expected.len()), (17, 17));
    for (id, expected) in &expected {
        let mut expected = (*expected).clone();
        if *id == NAMED_TWICE {
            assert_eq!(expected["rootServiceName"], "a-x");
            expected["rootServiceName"] = "a-y".into();
        }
        assert_eq!(*computed[id], expected, "{id}");
    }
    let starts = |page: &Value| -> Vec<String> {
        let traces = page["traces"].as_array().unwrap().iter();
        traces
            .map(|trace| trace["startTimeUnixNano"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(starts(&page), starts(&private));
}

#[test]
fn protobuf_page_of_shared_traces_is_that_of_the_private_store() {
    let answer = fixture("exact-search-shared-proto.pb");
    let page = ProtobufPage::parse(&answer).unwrap();
    let each = computed(&page.listed().unwrap());
    let page = page.filter(&rules(Reveal::Each(&each))).unwrap();
    assert!(!String::from_utf8_lossy(&page).contains("SECRET"));
    let sorted = |answer: &[u8]| {
        let mut traces = SearchResponse::decode(answer).unwrap().traces;
        traces.sort_by(|a, b| a.id.cmp(&b.id));
        traces
    };
    assert_eq!(sorted(&page), sorted(&private().encode_to_vec()));
}

#[test]
fn old_search_has_the_computed_times_and_names_alone() {
    let answer = fixture("exact-search-shared-proto.pb");
    let page = ProtobufPage::parse(&answer).unwrap();
    let each = computed(&page.listed().unwrap());
    let rules = Rules {
        traces_only: true,
        ..rules(Reveal::Each(&each))
    };
    let page = SearchResponse::decode(&page.filter(&rules).unwrap()[..]).unwrap();
    let private = private();
    for trace in page.traces {
        let expected = private.traces.iter().find(|other| other.id == trace.id);
        let expected = testing::Trace {
            span_set: None,
            span_sets: Vec::new(),
            service_stats: HashMap::new(),
            ..expected.unwrap().clone()
        };
        assert_eq!(trace, expected);
    }
}

#[test]
fn summary_does_not_depend_on_the_pieces_that_come() {
    let whole = summaries(usize::MAX);
    for piece in [1, 7, 100] {
        assert_eq!(summaries(piece), whole, "{piece}");
    }
}

#[test]
fn description_of_a_trace_is_the_same_only_if_all_of_it_is() {
    let answer = fixture("exact-search-shared.json");
    let json = |answer: &[u8]| {
        let page = JsonPage::parse(answer).unwrap();
        let listed = page.listed().unwrap().into_iter();
        listed.map(|listed| listed.metadata).collect::<Vec<_>>()
    };
    let text = String::from_utf8(answer.clone()).unwrap();
    let all = json(&answer);
    for (from, to) in [
        ("A-root", "A-toor"),
        ("\"b-web\"", "\"b-wab\""),
        ("\"durationMs\":777", "\"durationMs\":778"),
        ("\"errorCount\":1", "\"errorCount\":2"),
        ("\"spanCount\":2", "\"spanCount\":3"),
        ("\"startTimeUnixNano\":\"17", "\"startTimeUnixNano\":\"18"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed, "{from}");
        let changed = json(changed.as_bytes());
        let differing = all.iter().zip(&changed).filter(|(a, b)| a != b);
        assert_eq!(differing.count(), 1, "{from}");
    }
    let protobuf = |answer: &SearchResponse| {
        let answer = answer.encode_to_vec();
        let page = ProtobufPage::parse(&answer).unwrap();
        let listed = page.listed().unwrap().into_iter();
        listed.map(|listed| listed.metadata).collect::<Vec<_>>()
    };
    let page = SearchResponse::decode(&fixture("exact-search-shared-proto.pb")[..]).unwrap();
    let all = protobuf(&page);
    let edits: [fn(&mut testing::Trace); 6] = [
        |trace| trace.root_service_name.push('x'),
        |trace| trace.root_trace_name.push('x'),
        |trace| trace.start += 1,
        |trace| trace.duration_ms += 1,
        |trace| {
            let stats = testing::ServiceStats::default();
            trace.service_stats.insert("x".to_owned(), stats);
        },
        |trace| {
            for stats in trace.service_stats.values_mut() {
                stats.error_count += 1;
            }
        },
    ];
    for edit in edits {
        let mut changed = page.clone();
        edit(&mut changed.traces[0]);
        let changed = protobuf(&changed);
        assert_ne!(all[0], changed[0]);
        assert_eq!(all[1..], changed[1..]);
    }
    // Entries of a map have no order; prost's are in another one each time.
    let other_order = SearchResponse::decode(&page.encode_to_vec()[..]).unwrap();
    assert_eq!(all, protobuf(&other_order));
}

/// The searches do not say which of several roots Tempo takes, or what the links of a span without a
/// parent make of it.
const UNCERTAIN: [&str; 5] = [
    "6b0c2e20000000000000000000000003",
    "6b0c2e2000000000000000000000000f",
    "6b0c2e20000000000000000000000004",
    "6b0c2e20000000000000000000000005",
    "6b0c2e20000000000000000000000006",
];

/// The trace whose service is named twice, first by a number.
const NAMED_BY_A_NUMBER: &str = "6b0c2e2000000000000000000000000a";

#[test]
fn searches_for_own_spans_describe_traces_as_the_traces_do() {
    let counts = fixture("exact-own-counts.pb");
    let page = fixture("exact-search-shared.json");
    let page = JsonPage::parse(&page).unwrap();
    for times in ["exact-own-times.pb", "exact-own-times-split.pb"] {
        let own = OwnSpans::read(&counts, &fixture(times)).unwrap();
        let summaries = summaries(usize::MAX);
        for listed in page.listed().unwrap() {
            let found = own.of(&listed);
            if UNCERTAIN.contains(&listed.id) {
                assert_eq!(found, None, "{}", listed.id);
                continue;
            }
            let mut expected = TraceSummary::clone(&summaries[listed.id]);
            if listed.id == NAMED_BY_A_NUMBER {
                assert_eq!(&*expected.root_service, "");
                expected.root_service = "a-y".into();
            }
            assert_eq!(*found.unwrap(), expected, "{times} {}", listed.id);
        }
    }
}

#[test]
fn page_says_how_many_spans_its_traces_have() {
    let json = fixture("exact-search-shared.json");
    let protobuf = fixture("exact-search-shared-proto.pb");
    let json = JsonPage::parse(&json).unwrap();
    let protobuf = ProtobufPage::parse(&protobuf).unwrap();
    let traces = testing::stream("exact-traces-v1.bin").into_iter();
    let spans: HashMap<String, u64> = traces
        .map(|trace| {
            let trace = TracesData::decode(&trace[..]).unwrap();
            let all = trace.resource_spans.iter().flat_map(|all| &all.scope_spans);
            let all: Vec<_> = all.flat_map(|scope| &scope.spans).collect();
            let id = all[0].trace_id.iter();
            let id = id.fold(String::new(), |id, byte| format!("{id}{byte:02x}"));
            (id, all.len() as u64)
        })
        .collect();
    let listed = json.listed().unwrap().into_iter();
    for listed in listed.chain(protobuf.listed().unwrap()) {
        assert_eq!(listed.spans, Some(spans[listed.id]), "{}", listed.id);
    }
}
