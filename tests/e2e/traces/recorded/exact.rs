//! What a page says of shared traces as a whole: what a store with the tenant's spans alone would.
//! `T9` and `T13` are rows of the list of attacks.

use std::time::{Duration, Instant};

use prost::Message as _;
use serde_json::{Value, json};

use super::{Door, assert_no_foreign, found};
use crate::kit::client::{Answer, Ask, Client};
use crate::kit::grpc::Call;
use crate::kit::tempo_messages::{FoundTrace, SearchRequest, SearchResponse, decode};
use crate::kit::tempo_own_spans::is_own_spans_query;
use crate::kit::tempo_upstream::{
    TempoReply, fixture, in_json, is_ownership_query, is_side_search, side_search_response,
    trace_id,
};
use crate::kit::upstream::Seen;

const NO_ROOT: &str = "<root span not yet received>";
const PROTOBUF: &str = "application/protobuf";
const SEARCH: &str = "/tempopb.StreamingQuerier/Search";

/// In front of a Tempo that does not know the groups of the searches for own spans.
async fn fetching() -> Door {
    let door = Door::open().await;
    door.upstream
        .rule(|seen| is_own_spans_query(seen).then(|| TempoReply::text(400, "invalid query")));
    door
}

/// Of traces 3 and 4, what tenant A's spans say.
fn of_child_spans() -> Value {
    json!({
        "rootServiceName": NO_ROOT,
        "startTimeUnixNano": "1795229745615554688",
        "durationMs": 80,
        "serviceStats": {"a-web": {"spanCount": 2}},
    })
}

fn of_own_root() -> Value {
    json!({
        "rootServiceName": "a-web",
        "rootTraceName": "A-root-of-mixed",
        "startTimeUnixNano": "1795229745605554688",
        "durationMs": 60,
        "serviceStats": {"a-web": {"spanCount": 3}},
    })
}

/// What a page says of a trace as a whole.
fn described(trace: &Value) -> Value {
    let mut described = trace.clone();
    let fields = described.as_object_mut().expect("a trace");
    for other in ["traceID", "spanSet", "spanSets"] {
        fields.shift_remove(other);
    }
    described
}

fn is_trace(seen: &Seen) -> bool {
    seen.path().starts_with("/api/traces/")
}

/// The side requests since the last call.
fn side_requests(door: &Door) -> Vec<Seen> {
    let mut seen = door.upstream.take();
    seen.retain(|seen| is_trace(seen) || is_side_search(seen));
    seen
}

async fn count(door: &Door, result: &str) -> u32 {
    let series = format!("partywall_search_traces_total{{result=\"{result}\"}}");
    let value = door.proxy.metric(&series).await;
    format!("{value:.0}").parse().expect("a count")
}

/// T9.
#[tokio::test]
async fn shared_traces_are_described_by_a_search_for_the_tenants_spans() {
    let door = Door::open().await;
    let range = [("q", "{}"), ("start", "10"), ("end", "20")];
    let page = door.search(&range).await.json();
    assert_no_foreign("a page", &page.to_string());
    assert_eq!(described(found(&page, "3")), of_child_spans());
    assert_eq!(described(found(&page, "4")), of_own_root());
    assert_eq!(found(&page, "1")["rootTraceName"], "A-root");
    assert_eq!(found(&page, "1")["serviceStats"]["a-db"]["spanCount"], 2);

    let side = side_requests(&door);
    let (own, others): (Vec<&Seen>, Vec<&Seen>) =
        side.iter().partition(|seen| is_own_spans_query(seen));
    let page_traces = ["1", "3", "4", "7", "8", "8a", "c"];
    for seen in &own {
        let query = seen.param("q").concat();
        assert!(
            query.starts_with(r#"{ (resource.tenant_id = "A") && (trace:id = "#),
            "{query}"
        );
        assert_eq!(query.matches("trace:id").count(), page_traces.len());
        assert_eq!(seen.header("accept"), Some(PROTOBUF));
        assert_eq!(seen.header("authorization"), None);
        for (name, expected) in [("start", "10"), ("end", "20"), ("limit", "8")] {
            assert_eq!(seen.param(name), [expected]);
        }
    }
    assert_eq!(own.len(), 2, "{side:#?}");
    // Of these the recordings have no span that is surely the tenant's.
    let mut fetched: Vec<&str> = Vec::new();
    for seen in others.iter().filter(|seen| is_trace(seen)) {
        fetched.push(seen.path().rsplit('0').next().unwrap_or_default());
    }
    fetched.sort_unstable();
    assert_eq!(fetched, ["7", "8", "8a"]);
    assert_eq!(others.len(), 4, "{side:#?}");
    assert_eq!(count(&door, "computed").await, 3);
    assert_eq!(count(&door, "verified").await, 1);
}

/// T9: Tempo before 2.10 answers searches in JSON, whatever it is asked for.
#[tokio::test]
async fn searches_that_are_answered_in_json_describe_traces_too() {
    let door = Door::open().await;
    let recorded = door.search(&[("q", "{}")]).await.json();
    let door = Door::open().await;
    door.upstream.rule(|seen| {
        is_side_search(seen).then(|| in_json::<SearchResponse>(&side_search_response(seen)))
    });
    let page = door.search(&[("q", "{}")]).await;
    assert_eq!(page.json(), recorded);
    assert_eq!(count(&door, "computed").await, 3);
    assert_eq!(count(&door, "verified").await, 1);

    door.upstream.rule(|seen| {
        let is_page = seen.path() == "/api/search" && !is_side_search(seen);
        is_page.then(|| TempoReply::json(fixture("search-tenantA.json")))
    });
    let page = door.get_as("/api/search?q=%7B%7D", PROTOBUF).await;
    assert_eq!(page.header("content-type"), "application/json");
    assert_eq!(page.json(), recorded);
}

/// Fetching has a time of its own.
#[tokio::test]
async fn page_does_not_wait_long_for_a_search_for_the_tenants_spans() {
    let door = Door::open().await;
    door.upstream.rule(|seen| {
        let mut slow = TempoReply::new(200, PROTOBUF, "");
        slow.after = Duration::from_mins(1);
        is_own_spans_query(seen).then_some(slow)
    });
    let started = Instant::now();
    let page = door.search(&[("q", "{}")]).await;
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_no_foreign("a page", &page.text());
    let page = page.json();
    assert_eq!(found(&page, "1")["rootTraceName"], "A-root");
    assert_eq!(described(found(&page, "3")), of_child_spans());
    assert_eq!(described(found(&page, "4")), of_own_root());
    assert_eq!(count(&door, "timed_out").await, 0);
}

/// Operators notice that `exact` costs more than two searches.
#[tokio::test]
async fn failed_searches_for_own_spans_are_logged_at_a_limited_rate() {
    const FALLBACK: &str = "verified and fetched instead";
    let door = Door::open().await;
    door.search(&[("q", "{}")]).await;
    assert!(!door.proxy.process.log().contains(FALLBACK));
    assert_eq!(count(&door, "fetched").await, 0);
    for reply in [
        TempoReply::text(400, "invalid query"),
        TempoReply::new(200, PROTOBUF, "garbage"),
    ] {
        let door = Door::open().await;
        door.upstream
            .rule(move |seen| is_own_spans_query(seen).then(|| reply.clone()));
        for query in ["{}", "{ true }", "{ name != nil }"] {
            door.search(&[("q", query)]).await;
        }
        let log = door.proxy.process.log();
        let mut warned = log.lines().filter(|line| line.contains(FALLBACK));
        assert!(
            warned.next().is_some_and(|line| line.contains("WARN")),
            "{log}"
        );
        assert_eq!(warned.count(), 0, "{log}");
        assert_eq!(count(&door, "fetched").await, 2);
    }
}

/// T9: such answers describe no trace.
#[tokio::test]
async fn trace_that_a_search_does_not_describe_for_certain_is_fetched() {
    for reply in [
        TempoReply::new(200, PROTOBUF, ""),
        TempoReply::new(200, PROTOBUF, "garbage"),
        TempoReply::json("{}"),
        TempoReply::text(500, "B-ROOT"),
        // Everything is incomplete.
        TempoReply::new(200, PROTOBUF, vec![0x12, 4, 0x20, 1, 0x28, 2]),
    ] {
        let door = Door::open().await;
        let of_counts = reply.clone();
        door.upstream.rule(move |seen| {
            let is_counts = seen.param("q").concat().contains("select(name)");
            (is_own_spans_query(seen) && is_counts).then(|| of_counts.clone())
        });
        let page = door.search(&[("q", "{}")]).await;
        assert_no_foreign("a page", &page.text());
        assert_eq!(described(found(&page.json(), "3")), of_child_spans());
        assert_eq!(described(found(&page.json(), "4")), of_own_root());
        let side = side_requests(&door);
        assert_eq!(side.iter().filter(|seen| is_trace(seen)).count(), 5);
    }
}

/// T9.
#[tokio::test]
async fn shared_traces_are_described_by_the_tenants_spans() {
    let door = fetching().await;
    let range = [("q", "{}"), ("start", "10"), ("end", "20")];
    let page = door.search(&range).await.json();
    assert_no_foreign("a page", &page.to_string());
    assert_eq!(described(found(&page, "3")), of_child_spans());
    assert_eq!(described(found(&page, "4")), of_own_root());
    assert_eq!(found(&page, "1")["rootTraceName"], "A-root");
    // Of these no span is surely the tenant's.
    for end in ["7", "8", "8a"] {
        assert_eq!(found(&page, end)["rootServiceName"], NO_ROOT, "{end}");
        assert_eq!(found(&page, end).get("serviceStats"), None, "{end}");
    }
    let starts = page["traces"].as_array().expect("traces").iter();
    let starts = starts.map(|trace| trace["startTimeUnixNano"].as_str());
    assert!(starts.is_sorted_by(|one, next| one >= next), "{page}");

    let fetched = side_requests(&door);
    let fetched = fetched.iter().filter(|seen| is_trace(seen));
    let mut ids: Vec<&str> = Vec::new();
    for seen in fetched {
        assert_eq!(seen.header("accept"), Some(PROTOBUF));
        assert_eq!(seen.header("authorization"), None);
        assert_eq!(seen.param("start"), ["10"]);
        assert_eq!(seen.param("end"), ["20"]);
        ids.push(seen.path().rsplit('0').next().unwrap_or_default());
    }
    ids.sort_unstable();
    assert_eq!(ids, ["3", "4", "7", "8", "8a"]);
    assert_eq!(count(&door, "fetched").await, 2);
    assert_eq!(count(&door, "computed").await, 0);
    assert_eq!(count(&door, "verified").await, 2);

    let ask = Ask::get("/api/search", &range).with_header("accept", PROTOBUF);
    let page: SearchResponse = decode(&door.ask(&ask).await.body);
    let trace = |end: &str| {
        let is_it = |trace: &&FoundTrace| trace_id(end).ends_with(&trace.id);
        page.traces.iter().find(is_it).expect("a trace")
    };
    assert_eq!(trace("3").duration_ms, 80);
    assert_eq!(trace("3").root_service_name, NO_ROOT);
    assert_eq!(trace("3").service_stats["a-web"].span_count, 2);
    assert_eq!(trace("4").root_trace_name, "A-root-of-mixed");
    assert_eq!(trace("4").service_stats["a-web"].span_count, 3);
}

/// A search without a range reads recent blocks alone, so its traces are not looked for in all.
#[tokio::test]
async fn trace_is_fetched_in_its_own_time_if_the_search_has_no_range() {
    let door = fetching().await;
    door.search(&[("q", "{}")]).await;
    let fetched = side_requests(&door);
    let three = fetched.iter().find(|seen| seen.path().ends_with("03"));
    let three = three.expect("trace 3 is fetched");
    assert_eq!(three.param("start"), ["1795229745"]);
    assert_eq!(three.param("end"), ["1795229747"]);
}

/// The same trace may come in several messages of a stream.
#[tokio::test]
async fn trace_that_comes_again_in_a_stream_is_described_alike() {
    let door = fetching().await;
    let recorded = decode::<SearchResponse>(&fixture("search-tenantA-proto.pb"));
    let shared = recorded
        .traces
        .iter()
        .find(|trace| trace.id.ends_with("03"));
    let shared = shared.expect("trace 3").clone();
    let mut partial = shared.clone();
    // Of another block: Tempo has not seen the root there.
    partial.root_service_name = NO_ROOT.to_owned();
    partial.root_trace_name.clear();
    partial.duration_ms = 20;
    let message = |trace: &FoundTrace| {
        let traces = vec![trace.clone()];
        SearchResponse {
            traces,
            metrics: None,
        }
        .encode_to_vec()
    };
    let messages = [message(&partial), message(&shared), message(&shared)];
    door.upstream
        .reply(SEARCH, TempoReply::grpc(&messages, 0, ""));
    let call = Call::new(
        SEARCH,
        &SearchRequest {
            query: "{}".to_owned(),
            start: 10,
            end: 20,
            ..SearchRequest::default()
        },
    );
    let answer = door.call(&call).await;
    assert_eq!((answer.code(), answer.messages.len()), (0, 3), "{answer:?}");
    for message in &answer.messages {
        let page: SearchResponse = decode(message);
        let [trace] = &page.traces[..] else {
            panic!("{page:?}");
        };
        assert_eq!(trace.root_service_name, NO_ROOT);
        assert_eq!(trace.root_trace_name, "");
        assert_eq!(
            (trace.start, trace.duration_ms),
            (1_795_229_745_615_554_688, 80)
        );
        assert_eq!(trace.service_stats["a-web"].span_count, 2);
        assert_eq!(trace.service_stats.len(), 1);
    }
    let side = side_requests(&door);
    assert_eq!(
        side.iter().filter(|seen| is_trace(seen)).count(),
        2,
        "{side:#?}"
    );
}

/// A page of this many shared traces, none of which is recorded.
fn page_of(traces: usize) -> TempoReply {
    let trace = |n: usize| {
        json!({
            "traceID": format!("{:x}", 0xd_0000 + n),
            "rootServiceName": "b-web",
            "rootTraceName": "B-ROOT",
            "startTimeUnixNano": "1795229745605554688",
            "durationMs": 777,
        })
    };
    let traces: Vec<Value> = (0..traces).map(trace).collect();
    TempoReply::json(json!({ "traces": traces }).to_string())
}

fn trace_3() -> TempoReply {
    TempoReply::new(200, PROTOBUF, fixture("trace-v1-mixed-B-root-proto.pb"))
}

fn services(page: &Answer) -> (usize, usize) {
    let page = page.json();
    let traces = page["traces"].as_array().expect("traces");
    let described = traces.iter().filter(|t| t.get("serviceStats").is_some());
    (described.count(), traces.len())
}

/// T13.
#[tokio::test]
async fn traces_of_a_response_beyond_the_limit_are_masked() {
    let door = fetching().await;
    door.upstream
        .rule(|seen| (seen.path() == "/api/search" && !is_side_search(seen)).then(|| page_of(150)));
    door.upstream.rule(|seen| is_trace(seen).then(trace_3));
    let page = door.search(&[("q", "{}"), ("limit", "150")]).await;
    assert_no_foreign("a page", &page.text());
    assert_eq!(services(&page), (100, 150));
    let fetched = side_requests(&door);
    assert_eq!(fetched.iter().filter(|seen| is_trace(seen)).count(), 100);
    assert_eq!(count(&door, "over_limit").await, 50);
}

/// T13.
#[tokio::test]
async fn trace_that_cannot_be_fetched_is_masked() {
    let door = fetching().await;
    // A trace like another, behind a field of 17 MiB that is not known.
    let mut huge = vec![0x1a, 0x80, 0x80, 0xc0, 0x08];
    huge.resize(huge.len() + 17 * 1024 * 1024, 0);
    huge.extend_from_slice(&fixture("trace-v1-mixed-B-root-proto.pb"));
    for (reply, expected) in [
        (TempoReply::new(404, "", ""), "failed"),
        (TempoReply::text(500, "B-ROOT"), "failed"),
        (TempoReply::new(200, PROTOBUF, "garbage"), "failed"),
        (TempoReply::json("{}"), "failed"),
        (TempoReply::new(200, PROTOBUF, huge), "failed"),
        // Nothing is the tenant's.
        (
            TempoReply::new(200, PROTOBUF, fixture("trace-v1-B-only-proto.pb")),
            "masked",
        ),
        (TempoReply::new(200, PROTOBUF, ""), "masked"),
    ] {
        let before = count(&door, expected).await;
        door.upstream
            .rule(move |seen| is_trace(seen).then(|| reply.clone()));
        let page = door.search(&[("q", "{}")]).await;
        assert_eq!(page.status, 200);
        assert_no_foreign("a page", &page.text());
        for end in ["3", "4", "7", "8", "8a"] {
            let page = page.json();
            let trace = found(&page, end);
            assert_eq!(trace["rootServiceName"], NO_ROOT);
            assert_eq!(trace.get("serviceStats"), None);
        }
        // Its own traces are not concerned.
        assert_eq!(found(&page.json(), "1")["rootTraceName"], "A-root");
        assert_eq!(count(&door, expected).await, before + 5, "{expected}");
    }
}

/// T13.
#[tokio::test]
async fn page_does_not_wait_long_for_slow_traces() {
    let door = fetching().await;
    door.upstream.rule(|seen| {
        let mut slow = trace_3();
        slow.after = Duration::from_mins(1);
        (is_trace(seen) && !seen.path().ends_with("04")).then_some(slow)
    });
    let started = Instant::now();
    let page = door.search(&[("q", "{}")]).await;
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_no_foreign("a page", &page.text());
    let page = page.json();
    assert_eq!(found(&page, "3")["rootServiceName"], NO_ROOT);
    assert_eq!(found(&page, "3").get("serviceStats"), None);
    assert_eq!(described(found(&page, "4")), of_own_root());
    assert_eq!(count(&door, "timed_out").await, 4);
}

#[tokio::test]
async fn trace_that_is_described_as_before_is_not_looked_up_again() {
    let door = Door::open().await;
    // Not known are only those that have no span that is surely the tenant's.
    door.upstream.rule(|seen| {
        let mut page: Value = serde_json::from_slice(&fixture("search-tenantA.json")).ok()?;
        page["traces"].as_array_mut()?.retain(|trace| {
            let id = trace["traceID"].as_str().unwrap_or_default();
            !["7", "8", "8a"]
                .iter()
                .any(|end| trace_id(end).ends_with(id))
        });
        let page = TempoReply::json(page.to_string());
        (seen.path() == "/api/search" && !is_side_search(seen)).then_some(page)
    });
    let first = door.search(&[("q", "{}")]).await;
    // Two searches describe three of the traces, a third one says that the fourth is the tenant's.
    assert_eq!(side_requests(&door).len(), 3);
    for range in ["30", "40"] {
        let again = door
            .search(&[("q", "{}"), ("start", "10"), ("end", range)])
            .await;
        assert_eq!(again.json(), first.json());
        assert_eq!(side_requests(&door).len(), 0);
    }
    assert_eq!(count(&door, "cached").await, 8);
    // Another caller's verdicts are of no use.
    let ask = Ask::get("/api/search", &[("q", "{}")]);
    let token = door.proxy.signer.tenant("B");
    let page = Client::default()
        .ask(&door.proxy.url, &ask, Some(&token))
        .await;
    assert!(!page.text().contains("A-root"), "{}", page.text());
    assert!(side_requests(&door).len() > 1);
}

/// T14: a trace is found to be the tenant's own, and then another tenant adds spans to it.
#[tokio::test]
async fn trace_that_becomes_shared_is_looked_up_again() {
    let door = fetching().await;
    let page = door.search(&[("q", "{}")]).await.json();
    assert_eq!(found(&page, "1")["rootTraceName"], "A-root");
    door.upstream.rule(|seen| {
        let page = String::from_utf8(fixture("search-tenantA.json")).ok()?;
        let page = page.replace("\"A-root\"", "\"B-ROOT\"");
        (seen.path() == "/api/search" && !is_side_search(seen)).then(|| TempoReply::json(page))
    });
    // Whatever the second search says of the others.
    door.upstream
        .rule(|seen| is_ownership_query(seen).then(|| TempoReply::new(200, PROTOBUF, "")));
    let page = door.search(&[("q", "{}")]).await.json();
    assert_no_foreign("a page", &page.to_string());
    assert_eq!(found(&page, "1")["rootTraceName"], "A-root");
    let side = side_requests(&door);
    let asked = side.iter().filter(|seen| is_ownership_query(seen));
    let asked: Vec<&Seen> = asked.collect();
    assert!(
        asked[asked.len() - 1].param("q").concat().contains("01\""),
        "{asked:#?}"
    );
}

/// Where shared traces are masked, it is known which ones are.
#[tokio::test]
async fn shared_trace_that_is_described_as_before_is_not_verified_again() {
    let door = Door::verifying().await;
    let first = door.search(&[("q", "{}")]).await;
    assert_eq!(side_requests(&door).len(), 1);
    let again = door.search(&[("q", "{}")]).await;
    assert_eq!(again.json(), first.json());
    assert_eq!(side_requests(&door).len(), 0);
    // Only what is not known is looked up.
    door.upstream.rule(|seen| {
        let page = String::from_utf8(fixture("search-tenantA.json")).ok()?;
        let page = page.replace("\"A-root\"", "\"B-ROOT\"");
        (seen.path() == "/api/search" && !is_side_search(seen)).then(|| TempoReply::json(page))
    });
    door.search(&[("q", "{}")]).await;
    let side = side_requests(&door);
    assert_eq!(side.len(), 1);
    assert_eq!(side[0].param("q").concat().matches("trace:id").count(), 1);
}

/// What the second search has not found is not known: it may be in a block that was not read.
#[tokio::test]
async fn trace_that_an_ownership_query_does_not_find_is_looked_up_again() {
    let door = Door::verifying().await;
    let empty = || TempoReply::new(200, PROTOBUF, "");
    door.upstream
        .rule(move |seen| is_ownership_query(seen).then(empty));
    for _ in 0..2 {
        let page = door.search(&[("q", "{}")]).await.json();
        assert_eq!(found(&page, "1")["rootServiceName"], NO_ROOT);
        assert_eq!(side_requests(&door).len(), 1);
    }
}

#[tokio::test]
async fn simultaneous_pages_fetch_a_trace_once() {
    let door = fetching().await;
    door.upstream.rule(|seen| {
        let mut slow = trace_3();
        slow.after = Duration::from_millis(300);
        seen.path().ends_with("03").then_some(slow)
    });
    let search = || door.search(&[("q", "{}")]);
    let pages = tokio::join!(search(), search(), search());
    for page in [&pages.0, &pages.1, &pages.2] {
        assert_eq!(described(found(&page.json(), "3")), of_child_spans());
    }
    let fetched = side_requests(&door);
    let of_3 = fetched.iter().filter(|seen| seen.path().ends_with("03"));
    assert_eq!(of_3.count(), 1);
}
