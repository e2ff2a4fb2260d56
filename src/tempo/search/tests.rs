use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Value, json};

use super::*;
use crate::tempo::tag_name::TagName;
use crate::tempo::testing::{self, Any, AnyValue, SearchResponse, attribute, fixture};
use crate::tenancy::AttributeValue;

/// Recorded traces with only the tenant's spans, except 7 (the tenant attribute twice) and 8 (a
/// list).
const OWN: [&str; 2] = [
    "abc0000000000000000000000000001",
    "abc000000000000000000000000000c",
];
/// One whose root is another tenant's, with that tenant's names in the recording.
const SHARED: &str = "abc0000000000000000000000000003";

fn own() -> TraceIds {
    let mut ids = TraceIds::default();
    for id in OWN {
        ids.insert(id);
    }
    ids
}

/// What is shown of the traces with these ids, if all of the tenant's own are known.
fn each<'a>(listed: impl IntoIterator<Item = Listed<'a>>) -> Vec<Metadata> {
    let own = own();
    let metadata = |listed: Listed<'_>| {
        if own.contains(listed.id) {
            Metadata::Own
        } else {
            Metadata::Masked
        }
    };
    listed.into_iter().map(metadata).collect()
}

fn each_of_json(answer: &[u8]) -> Vec<Metadata> {
    each(JsonPage::parse(answer).unwrap().listed().unwrap())
}

fn each_of_protobuf(answer: &[u8]) -> Vec<Metadata> {
    each(ProtobufPage::parse(answer).unwrap().listed().unwrap())
}

fn rules<'a>(reveal: Reveal<'a>, hide: &'a [&'a str]) -> Rules<'a> {
    Rules {
        reveal,
        hide,
        hide_names: false,
        traces_only: false,
    }
}

fn filter_json(answer: &[u8], rules: &Rules<'_>) -> Value {
    testing::json(&JsonPage::parse(answer).unwrap().filter(rules).unwrap())
}

fn filter_protobuf(answer: &[u8], rules: &Rules<'_>) -> SearchResponse {
    let filtered = ProtobufPage::parse(answer).unwrap().filter(rules).unwrap();
    SearchResponse::decode(&filtered[..]).unwrap()
}

fn trace<'a>(page: &'a Value, id: &str) -> &'a Value {
    let traces = page["traces"].as_array().unwrap();
    traces.iter().find(|t| t["traceID"] == id).unwrap()
}

#[test]
fn shared_trace_is_masked_as_one_without_root() {
    let answer = fixture("search-tenantA.json");
    let each = each_of_json(&answer);
    let page = filter_json(&answer, &rules(Reveal::Each(&each), &[]));
    let shared = trace(&page, SHARED);
    assert_eq!(shared["rootServiceName"], "<root span not yet received>");
    assert_eq!(shared.get("rootTraceName"), None);
    assert_eq!(shared.get("serviceStats"), None);
    // Its first span is the longer one, 80 ms; the whole trace takes 777 ms from 10 ms earlier.
    assert_eq!(shared["startTimeUnixNano"], "1795229745615554688");
    assert_eq!(shared["durationMs"], 80);
    assert_eq!(shared["spanSets"][0]["spans"].as_array().unwrap().len(), 2);
    assert!(!page.to_string().contains("B-ROOT"));
    assert!(!page.to_string().contains("b-web"));

    let whole = trace(&page, OWN[0]);
    assert_eq!(whole["rootTraceName"], "A-root");
    assert_eq!(whole["durationMs"], 100);
    assert_eq!(whole["serviceStats"]["a-db"]["spanCount"], 2);
    assert_eq!(page["metrics"], json!({"completedJobs": 3, "totalJobs": 3}));
}

#[test]
fn old_search_is_answered_without_spans() {
    let answer = fixture("search-tenantA.json");
    let each = each_of_json(&answer);
    let only_traces = |each| Rules {
        traces_only: true,
        ..rules(Reveal::Each(each), &[])
    };
    let page = filter_json(&answer, &only_traces(&each));
    let whole = json!({
        "traceID": OWN[0], "rootServiceName": "a-web", "rootTraceName": "A-root",
        "startTimeUnixNano": "1795229745605554688", "durationMs": 100,
    });
    assert_eq!(*trace(&page, OWN[0]), whole);
    // Its times are still those of its spans.
    let masked = json!({
        "traceID": SHARED, "rootServiceName": "<root span not yet received>",
        "startTimeUnixNano": "1795229745615554688", "durationMs": 80,
    });
    assert_eq!(*trace(&page, SHARED), masked);

    let answer = fixture("search-tenantA-proto.pb");
    let each = each_of_protobuf(&answer);
    let page = filter_protobuf(&answer, &only_traces(&each));
    assert_eq!(page.traces.len(), 7);
    for trace in &page.traces {
        assert_eq!(trace.span_set, None);
        assert!(trace.span_sets.is_empty() && trace.service_stats.is_empty());
        assert_ne!(trace.duration_ms, 0);
    }
}

#[test]
fn only_measures_are_removed_if_traces_are_never_shared() {
    let answer = fixture("search-tenantA.json");
    let mut expected = testing::json(&answer);
    expected["metrics"] = json!({"completedJobs": 3, "totalJobs": 3});
    assert_eq!(filter_json(&answer, &rules(Reveal::All, &[])), expected);

    let answer = fixture("search-tenantA-proto.pb");
    let mut expected = SearchResponse::decode(&answer[..]).unwrap();
    let metrics = expected.metrics.as_mut().unwrap();
    assert_ne!(metrics.inspected_bytes, 0);
    metrics.inspected_bytes = 0;
    assert_eq!(filter_protobuf(&answer, &rules(Reveal::All, &[])), expected);
}

#[test]
fn protobuf_and_stream_are_filtered_like_json() {
    for answer in [fixture("search-tenantA-proto.pb")]
        .into_iter()
        .chain(testing::stream("grpc-http-port-Search-tenantA.bin"))
    {
        let each = each_of_protobuf(&answer);
        let page = filter_protobuf(&answer, &rules(Reveal::Each(&each), &["tenant_id"]));
        assert_eq!(page.metrics.unwrap().inspected_bytes, 0);
        let original = SearchResponse::decode(&answer[..]).unwrap();
        assert_eq!(page.traces.len(), original.traces.len());
        for trace in &page.traces {
            let before = original.traces.iter().find(|t| t.id == trace.id).unwrap();
            assert_eq!(trace.span_sets.len(), before.span_sets.len());
            for span in trace.span_sets.iter().flat_map(|set| &set.spans) {
                assert_eq!(span.attributes, []);
            }
            if OWN.contains(&&*trace.id) {
                assert_eq!(trace.root_trace_name, before.root_trace_name);
                assert_eq!(trace.service_stats, before.service_stats);
            } else {
                assert_eq!(trace.root_service_name, "<root span not yet received>");
                assert_eq!(trace.root_trace_name, "");
                assert!(trace.service_stats.is_empty());
            }
        }
        if let Some(shared) = page.traces.iter().find(|t| t.id == SHARED) {
            assert_eq!(shared.duration_ms, 80);
            assert_eq!(shared.start, 1_795_229_745_615_554_688);
        }
    }
}

#[test]
fn masked_page_is_sorted_by_its_visible_starts() {
    let sorted = |starts: Vec<u64>| starts.is_sorted_by(|a, b| a >= b);
    let rules = rules(Reveal::Nothing, &[]);
    let page = filter_protobuf(&fixture("search-tenantA-proto.pb"), &rules);
    assert!(sorted(page.traces.iter().map(|t| t.start).collect()));
    let page = filter_json(&fixture("search-tenantA.json"), &rules);
    let starts = page["traces"].as_array().unwrap().iter();
    assert!(sorted(
        starts
            .map(|t| t["startTimeUnixNano"].as_str().unwrap().parse().unwrap())
            .collect()
    ));
}

#[test]
fn only_hidden_attributes_are_removed() {
    let answer = br#"{"traces":[{"traceID":"1","spanSets":[{"spans":[
        {"spanID":"a","attributes":[{"key":"tenant_id","value":{"stringValue":"A"}},{"key":"n","value":{"intValue":"1"}}]},
        {"spanID":"b","attributes":[{"key":"tenant_id","value":{"stringValue":"A"}}]}]}]}]}"#;
    let page = filter_json(answer, &rules(Reveal::All, &["tenant_id"]));
    assert_eq!(
        page["traces"][0]["spanSets"][0]["spans"],
        json!([
            {"spanID": "a", "attributes": [{"key": "n", "value": {"intValue": "1"}}]},
            {"spanID": "b"}
        ])
    );
}

#[test]
fn hidden_names_are_removed_from_spans_alone() {
    let hiding = Rules {
        hide_names: true,
        ..rules(Reveal::All, &[])
    };
    let answer = br#"{"traces":[{"traceID":"1","rootTraceName":"r","spanSets":[{"spans":[
        {"spanID":"a","name":"r","attributes":[{"key":"name","value":{"stringValue":"n"}}]}]}]}]}"#;
    let page = filter_json(answer, &hiding);
    assert_eq!(
        page["traces"][0],
        json!({"traceID": "1", "rootTraceName": "r", "spanSets": [{"spans": [
            {"spanID": "a", "attributes": [{"key": "name", "value": {"stringValue": "n"}}]}
        ]}]})
    );
    let mut answer = SearchResponse::decode(&fixture("search-tenantA-proto.pb")[..]).unwrap();
    answer.traces[0].span_sets[0].spans[0].name = "r".to_owned();
    let answer = answer.encode_to_vec();
    let named = |rules: &Rules<'_>| -> usize {
        let page = filter_protobuf(&answer, rules);
        let sets = page.traces.iter().flat_map(|trace| &trace.span_sets);
        let spans = sets.flat_map(|set| &set.spans);
        spans.filter(|span| span.name == "r").count()
    };
    assert_eq!(named(&rules(Reveal::All, &[])), 1);
    assert_eq!(named(&hiding), 0);
}

#[test]
fn unknown_fields_are_dropped() {
    let answer = br#"{"new":1,"traces":[{"traceID":"1","rootSecret":"B","spanSets":[{"x":1,"spans":[{"y":2}]}]}]}"#;
    assert_eq!(
        filter_json(answer, &rules(Reveal::All, &[])),
        json!({"traces": [{"traceID": "1", "spanSets": [{"spans": [{}]}]}]})
    );
    let mut answer = SearchResponse::decode(&fixture("search-tenantA-proto.pb")[..]).unwrap();
    answer.traces[0].unknown = "secret".to_owned();
    answer.traces[0].span_sets[0].spans[0].unknown = "secret".to_owned();
    let filtered = ProtobufPage::parse(&answer.encode_to_vec())
        .unwrap()
        .filter(&rules(Reveal::All, &[]))
        .unwrap();
    assert!(!String::from_utf8_lossy(&filtered).contains("secret"));
}

#[test]
fn ambiguous_answers_are_refused() {
    for answer in [
        r#"{"traces":[{"traceID":"1","traceID":"2"}]}"#,
        r#"{"traces":[{"rootTraceName":"x"}]}"#,
        r#"{"traces":[{"traceID":"1"}],"traces":[]}"#,
        r#"{"traces":[{"traceID":"1","spanSets":[{"spans":[{"startTimeUnixNano":5}]}]}]}"#,
        r#"{"traces":{}}"#,
        "[]",
        "",
        "{}x",
    ] {
        let page = JsonPage::parse(answer.as_bytes());
        assert!(page.is_err(), "{answer}");
    }
    let odd_time =
        br#"{"traces":[{"traceID":"1","spanSet":{"spans":[{"startTimeUnixNano":"x"}]}}]}"#;
    let page = JsonPage::parse(odd_time).unwrap();
    assert!(page.filter(&rules(Reveal::Nothing, &[])).is_err());
    assert!(ProtobufPage::parse(b"\x0a\x06\x0a\x01a\x0a\x01b").is_err());
}

#[test]
fn trace_ids_are_compared_ignoring_leading_zeros_and_case() {
    let mut ids = TraceIds::default();
    ids.insert("0ABC");
    assert!(ids.contains("abc") && ids.contains("000abc") && ids.contains("ABC"));
    assert!(!ids.contains("abc0") && !ids.contains(""));
}

mod companions {
    use super::*;

    fn attributes(names: &[&str]) -> Vec<TagName> {
        names
            .iter()
            .map(|name| TagName::resource(name).unwrap())
            .collect()
    }

    fn group(values: &[(&str, Any)]) -> testing::SpanSet {
        let attribute = |(key, value): &(&str, Any)| {
            let value = Some(value.clone());
            attribute(key, AnyValue { value })
        };
        testing::SpanSet {
            matched: 1,
            attributes: values.iter().map(attribute).collect(),
            ..Default::default()
        }
    }

    fn text(value: &str) -> Any {
        Any::StringValue(value.to_owned())
    }

    fn text_value(value: &str) -> AttributeValue<'_> {
        AttributeValue::Text(value.into())
    }

    /// Whether a trace with these groups counts as tenant A's alone.
    fn is_own(groups: Vec<testing::SpanSet>) -> bool {
        let answer = SearchResponse {
            traces: vec![testing::Trace {
                id: "1".to_owned(),
                span_sets: groups,
                ..Default::default()
            }],
            metrics: None,
        };
        owners(
            &answer.encode_to_vec(),
            &attributes(&["tenant_id"]),
            |values| ["A", "nil"].map(text_value).map(Some).contains(&values[0]),
        )
        .unwrap()
        .own
        .contains("1")
    }

    #[test]
    fn query_groups_every_span_of_the_traces() {
        let ids = ["2", "1", "1", "no id", "\" || true"];
        let searches = ownership_queries(ids.into_iter(), &attributes(&["a", "b"]));
        assert_eq!(searches.len(), 1);
        assert_eq!(
            searches[0].query(),
            r#"{ trace:id = "1" || trace:id = "2" } | by(resource.a) | by(resource.b)"#
        );
        let parameters = searches[0].parameters();
        assert_eq!(parameters[1], ("limit", "3".to_owned()));
        assert_eq!(parameters[2], ("spss", "1".to_owned()));
        assert_eq!(
            ownership_queries([].into_iter(), &attributes(&["tenant_id"])),
            []
        );
    }

    #[test]
    fn large_pages_take_a_bounded_number_of_queries() {
        let ids: Vec<String> = (0..5000).map(|n| format!("{n:x}")).collect();
        let searches =
            ownership_queries(ids.iter().map(String::as_str), &attributes(&["tenant_id"]));
        assert_eq!(searches.len(), 10);
        for search in &searches {
            assert_eq!(search.query().matches("trace:id").count(), 99);
            assert_eq!(search.parameters()[1], ("limit", "100".to_owned()));
        }
    }

    #[test]
    fn trace_is_own_only_if_every_group_is() {
        let key = "by(resource.tenant_id)";
        let own = || group(&[(key, text("A"))]);
        assert!(is_own(vec![own()]));
        assert!(!is_own(vec![]));
        let mut no_value = own();
        no_value.attributes[0].value = None;
        for other in [
            group(&[(key, text("B"))]),
            group(&[(key, text(""))]),
            group(&[(key, text("nil"))]),
            group(&[(key, Any::IntValue(5))]),
            group(&[(key, Any::BoolValue(true))]),
            no_value,
            group(&[("by(resource.other)", text("A"))]),
            group(&[("resource.tenant_id", text("A"))]),
            group(&[(key, text("A")), (key, text("B"))]),
            group(&[]),
        ] {
            assert!(!is_own(vec![own(), other.clone()]), "{other:?}");
            assert!(!is_own(vec![other, own()]));
        }
    }

    #[test]
    fn trace_listed_twice_must_be_own_both_times() {
        let key = "by(resource.tenant_id)";
        let trace = |value| testing::Trace {
            id: "1".to_owned(),
            span_sets: vec![group(&[(key, text(value))])],
            ..Default::default()
        };
        for traces in [["A", "B"], ["B", "A"]] {
            let answer = SearchResponse {
                traces: traces.map(trace).into(),
                metrics: None,
            };
            let answer = answer.encode_to_vec();
            let found = owners(&answer, &attributes(&["tenant_id"]), |values| {
                values == [Some(text_value("A"))]
            });
            let found = found.unwrap();
            assert_eq!(found.own, TraceIds::default());
            assert!(found.shared.contains("1"));
        }
    }

    #[test]
    fn incomplete_answer_proves_no_ownership() {
        let answer = |completed_jobs| SearchResponse {
            traces: vec![testing::Trace {
                id: "1".to_owned(),
                span_sets: vec![group(&[("by(resource.tenant_id)", text("A"))])],
                ..Default::default()
            }],
            metrics: Some(testing::SearchMetrics {
                completed_jobs,
                total_jobs: 4,
                ..Default::default()
            }),
        };
        let own = |completed| {
            let answer = answer(completed).encode_to_vec();
            owners(&answer, &attributes(&["tenant_id"]), |_| true).unwrap()
        };
        assert!(own(4).own.contains("1"));
        assert_eq!(own(3), Owners::default());
    }

    #[test]
    fn every_attribute_must_be_the_tenants() {
        let attributes = attributes(&["a", "b"]);
        let is_own = |a: &str, b: &str| {
            let groups = group(&[("by(resource.a)", text(a)), ("by(resource.b)", text(b))]);
            let answer = SearchResponse {
                traces: vec![testing::Trace {
                    id: "1".to_owned(),
                    span_sets: vec![groups],
                    ..Default::default()
                }],
                metrics: None,
            };
            owners(&answer.encode_to_vec(), &attributes, |values| {
                values == ["A", "prod"].map(text_value).map(Some)
            })
            .unwrap()
            .own
            .contains("1")
        };
        assert!(is_own("A", "prod"));
        assert!(!is_own("A", "test") && !is_own("prod", "A"));
    }

    /// The recording has one trace for each kind of foreign span, named after it.
    #[test]
    fn every_kind_of_foreign_span_in_a_recorded_answer_is_found() {
        let answer = fixture("search-ownership-proto.pb");
        let page = SearchResponse::decode(&answer[..]).unwrap();
        assert_eq!(page.traces.len(), 18);
        let found = owners(&answer, &attributes(&["tenant_id"]), |values| {
            values == [Some(text_value("A"))]
        })
        .unwrap();
        for trace in page.traces {
            // Only the tenant's spans; its value twice, first; a list of only its value; its
            // value, then a number.
            let expected = ["A-root", "A7", "A10", "A18"].contains(&&*trace.root_trace_name);
            assert_ne!(found.shared.contains(&trace.id), expected);
            assert_eq!(
                found.own.contains(&trace.id),
                expected,
                "{}",
                trace.root_trace_name
            );
        }
    }
}

proptest! {
    #[test]
    fn mutated_answers_do_not_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        reveal in any::<bool>(),
    ) {
        let rules = rules(if reveal { Reveal::All } else { Reveal::Nothing }, &["tenant_id"]);
        let mut answer = fixture("search-tenantA.json");
        for (index, byte) in &changes {
            let at = index.index(answer.len());
            answer[at] = *byte;
        }
        if let Ok(page) = JsonPage::parse(&answer) {
            let _ = page.filter(&rules);
        }
        let mut answer = fixture("search-tenantA-proto.pb");
        for (index, byte) in &changes {
            let at = index.index(answer.len());
            answer[at] = *byte;
        }
        if let Ok(page) = ProtobufPage::parse(&answer) {
            let _ = page.filter(&rules);
        }
        let _ = owners(&answer, &[TagName::resource("tenant_id").unwrap()], |values| values[0].is_some());
    }

    /// However an answer is mutated, a masked page has no root name and no statistics.
    #[test]
    fn mutated_answers_stay_masked(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut answer = fixture("search-tenantA-proto.pb");
        for (index, byte) in &changes {
            let at = index.index(answer.len());
            answer[at] = *byte;
        }
        let rules = rules(Reveal::Nothing, &[]);
        if let Some(page) = ProtobufPage::parse(&answer).ok().and_then(|page| page.filter(&rules).ok())
            && let Ok(page) = SearchResponse::decode(&page[..])
        {
            for trace in page.traces {
                prop_assert_eq!(trace.root_trace_name, "");
                prop_assert_eq!(trace.root_service_name, "<root span not yet received>");
                prop_assert!(trace.service_stats.is_empty());
            }
        }
    }
}
