//! What comes back: answers without what is not the tenant's, in the upstream's own forms.

use std::time::Duration;

use prost::Message as _;
use serde_json::{Value, json};

use super::{Door, assert_no_foreign, assert_plain, found};
use crate::kit::client::{Answer, Ask};
use crate::kit::tempo_messages::{
    Scopes, SearchResponse, Strings, TagValues, Trace, TraceByIdResponse, decode,
};
use crate::kit::tempo_upstream::{TempoReply, fixture, is_ownership_query, trace_id};

const NO_ROOT: &str = "<root span not yet received>";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/protobuf";
/// In no recording.
const NOWHERE: &str = "deadbeefdeadbeefdeadbeefdeadbeef";

fn fixture_json(name: &str) -> Value {
    serde_json::from_slice(&fixture(name)).expect("a recording")
}

/// All that a client can tell two answers apart by.
fn face(answer: &Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "date");
    let headers = headers.map(|(name, value)| {
        (
            name.to_string(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    });
    (
        answer.status.as_u16(),
        headers.collect(),
        answer.body.to_vec(),
    )
}

#[tokio::test]
async fn an_own_trace_comes_whole() {
    let door = Door::open().await;
    for (version, path) in [("v1", "/api/traces"), ("v2", "/api/v2/traces")] {
        let path = format!("{path}/{}", trace_id("1"));
        let mut expected = fixture_json(&format!("trace-{version}-A-only.json"));
        if version == "v2" {
            expected["metrics"] = json!({});
        }
        for accept in [
            "*/*",
            JSON,
            "application/json, text/plain, */*",
            "text/html",
        ] {
            let answer = door.get_as(&path, accept).await;
            assert_eq!(answer.header("content-type"), JSON);
            assert_eq!(answer.json(), expected, "{version} {accept}");
        }
        let answer = door
            .get_as(&path, "application/json, application/protobuf")
            .await;
        assert_eq!(answer.header("content-type"), PROTOBUF);
        let recorded = fixture(&format!("trace-{version}-A-only-proto.pb"));
        if version == "v1" {
            assert_eq!(answer.body, recorded);
        } else {
            let mut expected: TraceByIdResponse = decode(&recorded);
            expected.metrics = Some(Vec::new());
            assert_eq!(decode::<TraceByIdResponse>(&answer.body), expected);
        }
    }
}

/// T1, T3: of a mixed trace the tenant's resources, to the letter, in every form.
#[tokio::test]
async fn a_mixed_trace_comes_without_the_others_resources() {
    let door = Door::open().await;
    for (end, name) in [("3", "mixed-B-root"), ("4", "mixed-A-root")] {
        let own = |batch: &&Value| batch.to_string().contains(r#""stringValue":"A"}}"#);
        for (version, list) in [("v1", "/batches"), ("v2", "/trace/resourceSpans")] {
            let path = match version {
                "v1" => format!("/api/traces/{}", trace_id(end)),
                _ => format!("/api/v2/traces/{}", trace_id(end)),
            };
            let recorded = fixture_json(&format!("trace-{version}-{name}.json"));
            let recorded = recorded
                .pointer(list)
                .and_then(Value::as_array)
                .expect("a list");
            let answer = door.get_as(&path, JSON).await;
            assert_no_foreign(&path, &answer.text());
            let answer = answer.json();
            let got = answer
                .pointer(list)
                .and_then(Value::as_array)
                .expect("a list");
            let expected: Vec<&Value> = recorded.iter().filter(own).collect();
            assert!(expected.len() < recorded.len() && !expected.is_empty());
            assert_eq!(got.iter().collect::<Vec<_>>(), expected, "{path}");

            let answer = door.get_as(&path, PROTOBUF).await;
            assert_no_foreign(&path, &answer.text());
            let recorded = fixture(&format!("trace-{version}-{name}-proto.pb"));
            let resources = |bytes: &[u8]| match version {
                "v1" => decode::<Trace>(bytes).resource_spans,
                _ => {
                    decode::<TraceByIdResponse>(bytes)
                        .trace
                        .unwrap_or_default()
                        .resource_spans
                }
            };
            let (all, got) = (resources(&recorded), resources(&answer.body));
            assert!(!got.is_empty() && got.len() < all.len());
            assert!(got.iter().all(|resource| all.contains(resource)));
        }
    }
}

/// T1, T2: another tenant's, no tenant's, one of two tenants, a missing one: the same answer,
/// byte for byte, and it is Tempo's own.
#[tokio::test]
async fn foreign_traces_look_like_missing_ones() {
    let door = Door::open().await;
    for (path, accept, recorded) in [
        ("/api/traces", JSON, None),
        ("/api/traces", PROTOBUF, None),
        ("/api/v2/traces", JSON, Some("trace-v2-notfound.json")),
        (
            "/api/v2/traces",
            PROTOBUF,
            Some("trace-v2-notfound-proto.pb"),
        ),
    ] {
        let nowhere = door.get_as(&format!("{path}/{NOWHERE}"), accept).await;
        match recorded {
            None => {
                assert_eq!(nowhere.status, 404);
                assert!(nowhere.body.is_empty());
                assert_eq!(nowhere.header("content-type"), "");
            }
            Some(name) => {
                assert_eq!(nowhere.status, 200);
                assert_eq!(nowhere.body, fixture(name));
                assert_eq!(nowhere.header("content-type"), accept);
            }
        }
        for end in ["2", "5", "7"] {
            let answer = door
                .get_as(&format!("{path}/{}", trace_id(end)), accept)
                .await;
            assert_eq!(face(&answer), face(&nowhere), "{path} {end} {accept}");
        }
    }
}

/// T1: resources that say something else than the tenant, once, in a string.
#[tokio::test]
async fn a_resource_must_name_the_tenant_once_in_a_string() {
    let door = Door::open().await;
    let text = |value: &str| json!({"stringValue": value});
    let key = |value: Value| json!({"key": "tenant_id", "value": value});
    let list = json!({"arrayValue": {"values": [text("A")]}});
    for attributes in [
        json!([]),
        json!([key(text("B"))]),
        json!([key(text("a"))]),
        json!([key(text("A ")), {"key": "x", "value": text("A")}]),
        json!([key(text("A")), key(text("A"))]),
        json!([key(text("A")), key(text("B"))]),
        json!([key(list)]),
        json!([key(json!({"intValue": "5"}))]),
        json!([key(json!({"bytesValue": "QQ=="}))]),
        json!([{"key": "tenant_id"}]),
        json!([{"key": "Tenant_id", "value": text("A")}]),
    ] {
        let spans = json!([{
            "name": "SECRET",
            // The span's own attribute is not the resource's.
            "attributes": [key(text("A"))],
        }]);
        let trace = json!({"batches": [{
            "resource": {"attributes": attributes},
            "scopeSpans": [{"scope": {"attributes": [key(text("A"))]}, "spans": spans}],
        }]});
        let path = format!("/api/traces/{}", trace_id("1"));
        door.upstream
            .reply(&path, TempoReply::json(trace.to_string()));
        let answer = door.get(&path).await;
        assert_eq!(answer.status, 404, "{attributes}: {}", answer.text());
        assert!(answer.body.is_empty());
    }
}

#[tokio::test]
async fn a_mixed_trace_is_not_there_where_foreign_spans_deny_it() {
    let door = Door::with(|setup| setup.rest = "traces:\n  foreign_spans: deny\n".to_owned()).await;
    for accept in [JSON, PROTOBUF] {
        for path in ["/api/traces", "/api/v2/traces"] {
            let nowhere = door.get_as(&format!("{path}/{NOWHERE}"), accept).await;
            for end in ["2", "3", "4", "5", "7"] {
                let answer = door
                    .get_as(&format!("{path}/{}", trace_id(end)), accept)
                    .await;
                assert_eq!(face(&answer), face(&nowhere), "{path} {end}");
            }
            let own = door
                .get_as(&format!("{path}/{}", trace_id("1")), accept)
                .await;
            assert_eq!(own.status, 200);
            assert!(own.text().contains("a-web"));
        }
    }
}

/// T9: in both forms.
#[tokio::test]
async fn page_shows_metadata_only_of_the_tenants_whole_traces() {
    let door = Door::verifying().await;
    let page = door.search(&[("q", "{}")]).await;
    let page = page.json();
    for end in ["3", "4", "7", "8", "8a"] {
        let trace = found(&page, end);
        assert_eq!(trace["rootServiceName"], NO_ROOT, "{end}");
        assert_eq!(
            (trace.get("rootTraceName"), trace.get("serviceStats")),
            (None, None),
            "{end}"
        );
        assert!(
            !trace["spanSets"][0]["spans"]
                .as_array()
                .expect("spans")
                .is_empty()
        );
    }
    assert_eq!(found(&page, "3")["durationMs"], 80);
    assert_eq!(found(&page, "1")["rootTraceName"], "A-root");
    assert_eq!(found(&page, "1")["durationMs"], 100);
    assert_eq!(found(&page, "1")["serviceStats"]["a-db"]["spanCount"], 2);
    assert_no_foreign("a page", &page.to_string());

    let ask = Ask::get("/api/search", &[("q", "{}")]).with_header("accept", PROTOBUF);
    let answer = door.ask(&ask).await;
    assert_eq!(answer.header("content-type"), PROTOBUF);
    assert_no_foreign("a page", &answer.text());
    let page: SearchResponse = decode(&answer.body);
    for trace in &page.traces {
        let is_own = ["1", "c"]
            .iter()
            .any(|end| trace_id(end).ends_with(&trace.id));
        assert_eq!(trace.service_stats.is_empty(), !is_own, "{}", trace.id);
        assert_eq!(
            trace.root_trace_name.is_empty(),
            !trace.id.ends_with('1'),
            "{}",
            trace.id
        );
    }
}

#[tokio::test]
async fn where_it_cannot_be_found_out_no_trace_is_wholly_the_tenants() {
    let door = Door::verifying().await;
    for reply in [
        TempoReply::text(500, "SECRET"),
        TempoReply::new(200, PROTOBUF, "garbage"),
        TempoReply::json(r#"{"traces":[]}"#),
        TempoReply::new(200, PROTOBUF, ""),
        TempoReply::new(302, "", ""),
    ] {
        let why = format!("{reply:?}");
        door.upstream
            .rule(move |seen| is_ownership_query(seen).then(|| reply.clone()));
        let answer = door.search(&[("q", "{}")]).await;
        assert_eq!(answer.status, 200, "{why}: {}", answer.text());
        assert_no_foreign(&why, &answer.text());
        for end in ["1", "3", "4", "c"] {
            let page = answer.json();
            let trace = found(&page, end);
            assert_eq!(trace["rootServiceName"], NO_ROOT, "{why}");
            assert_eq!(
                (trace.get("rootTraceName"), trace.get("serviceStats")),
                (None, None)
            );
        }
    }
}

#[tokio::test]
async fn masked_metadata_is_shown_of_no_trace() {
    let setup = "traces:\n  search_metadata: mask\n";
    let door = Door::with(|config| config.rest = setup.to_owned()).await;
    let answer = door.search(&[("q", "{}")]).await;
    door.upstream.take_one();
    assert_no_foreign("a page", &answer.text());
    assert_eq!(found(&answer.json(), "1")["rootServiceName"], NO_ROOT);
    assert_eq!(
        door.search(&[("q", "{ traceDuration > 1s }")]).await.status,
        403
    );
}

/// Tempo shows what a query names, and a condition on roots names more when it is written again.
#[tokio::test]
async fn names_that_only_the_forwarded_query_reads_are_not_shown() {
    let door = Door::open().await;
    let attribute = |key: &str| json!({ "key": key, "value": { "stringValue": "x" } });
    let keys = ["tenant_id", "nestedSetParent", "service.name", "n"];
    let page = json!({ "traces": [{ "traceID": "1", "spanSets": [{ "matched": 1, "spans": [{
        "spanID": "a", "name": "x", "attributes": keys.map(attribute),
    }]}]}]});
    door.upstream
        .reply("/api/search", TempoReply::json(page.to_string()));
    for (query, name, shown) in [
        (r#"{ rootName = "x" }"#, false, &["service.name", "n"][..]),
        (r#"{ rootServiceName = "x" }"#, true, &["n"]),
        (
            r#"{ rootName = "x" && nestedSetParent < 0 } | select(name)"#,
            true,
            &["nestedSetParent", "service.name", "n"],
        ),
    ] {
        let answer = door.search(&[("q", query)]).await.json();
        let span = &answer["traces"][0]["spanSets"][0]["spans"][0];
        assert_eq!(span.get("name").is_some(), name, "{query}");
        let attributes: Vec<Value> = shown.iter().map(|key| attribute(key)).collect();
        assert_eq!(span["attributes"], json!(attributes), "{query}");
    }
}

#[tokio::test]
async fn trusted_metadata_comes_as_it_is() {
    let setup = "traces:\n  search_metadata: trust\n";
    let door = Door::with(|config| config.rest = setup.to_owned()).await;
    let answer = door.search(&[("q", "{ rootName = \"x\" }")]).await;
    door.upstream.take_one();
    let recorded = fixture_json("search-tenantA.json");
    assert_eq!(
        found(&answer.json(), "3")["rootTraceName"],
        found(&recorded, "3")["rootTraceName"]
    );
    assert_eq!(
        answer.json()["metrics"],
        json!({"completedJobs": 3, "totalJobs": 3})
    );
    let answer = door.get("/api/v2/search/tag/rootName/values").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn tenant_attribute_is_shown_if_the_query_names_it() {
    let door = Door::open().await;
    for (query, shown) in [
        ("{}", false),
        ("{ resource.tenant_id = \"A\" }", true),
        ("{} | select(resource.tenant_id)", true),
    ] {
        for accept in [JSON, PROTOBUF] {
            let ask = Ask::get("/api/search", &[("q", query)]).with_header("accept", accept);
            let answer = door.ask(&ask).await;
            assert_eq!(
                answer.text().contains("tenant_id"),
                shown,
                "{accept} {query}"
            );
        }
        let query = format!("{query} | rate()");
        let ask = Ask::get("/api/metrics/query_range", &[("q", query.as_str())]);
        let answer = door.ask(&ask).await;
        assert!(answer.text().contains("exemplars"), "{query}");
        assert_eq!(answer.text().contains("tenant_id"), shown, "{query}");
    }
}

/// T7.
#[tokio::test]
async fn the_first_versions_of_tag_calls_are_made_of_the_second() {
    let door = Door::open().await;
    let names = door.get("/api/search/tags").await.json();
    let scopes = fixture_json("tags-v2-tenantA.json");
    let mut expected: Vec<&str> = scopes["scopes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|scope| scope["name"] != "intrinsic")
        .flat_map(|scope| scope["tags"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    expected.sort_unstable();
    assert_eq!(names, json!({"tagNames": expected, "metrics": {}}));
    let protobuf = door.get_as("/api/search/tags", PROTOBUF).await;
    assert_eq!(decode::<Strings>(&protobuf.body).strings, expected);

    let values = door.get("/api/search/tag/service.name/values").await.json();
    let expected = ["a-db", "a-web", "arr", "arr1", "dup-ab", "dup-ba"];
    assert_eq!(values, json!({"tagValues": expected, "metrics": {}}));
    let protobuf = door
        .get_as("/api/search/tag/service.name/values", PROTOBUF)
        .await;
    assert_eq!(decode::<Strings>(&protobuf.body).strings, expected);

    let second = door.get("/api/v2/search/tags").await.json();
    assert_eq!(second["scopes"], scopes["scopes"]);
    let protobuf = door.get_as("/api/v2/search/tags", PROTOBUF).await;
    assert_eq!(decode::<Scopes>(&protobuf.body).scopes.len(), 6);
    let path = "/api/v2/search/tag/resource.service.name/values";
    let recorded = fixture_json("tagvalues-v2-tenantA.json");
    assert_eq!(
        door.get(path).await.json()["tagValues"],
        recorded["tagValues"]
    );
    let protobuf = door.get_as(path, PROTOBUF).await;
    assert_eq!(decode::<TagValues>(&protobuf.body).values.len(), 6);
}

#[tokio::test]
async fn values_of_the_tenant_attribute_are_the_callers() {
    let door = Door::open().await;
    let values = json!({"tagValues": [
        {"type": "string", "value": "A"}, {"type": "string", "value": "B"},
        {"type": "string", "value": "tenant_id"},
    ]});
    door.upstream.rule(move |seen| {
        seen.path()
            .ends_with("/values")
            .then(|| TempoReply::json(values.to_string()))
    });
    for tag in ["resource.tenant_id", "resource.%22tenant_id%22"] {
        let answer = door.get(&format!("/api/v2/search/tag/{tag}/values")).await;
        assert_eq!(
            answer.json()["tagValues"],
            json!([{"type": "string", "value": "A"}]),
            "{tag}"
        );
    }
    let answer = door.get("/api/v2/search/tag/span.tenant_id/values").await;
    assert_eq!(answer.json()["tagValues"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn of_the_metrics_block_only_the_progress_is_shown() {
    let door = Door::open().await;
    let id = trace_id("1");
    for target in [
        "/api/search?q=%7B%7D".to_owned(),
        "/api/search/tags".to_owned(),
        "/api/v2/search/tags".to_owned(),
        "/api/search/tag/n/values".to_owned(),
        "/api/v2/search/tag/span.n/values".to_owned(),
        "/api/metrics/query_range?q=%7B%7D%7Crate()".to_owned(),
        "/api/metrics/query?q=%7B%7D%7Crate()".to_owned(),
        format!("/api/v2/traces/{id}"),
    ] {
        let answer = door.get(&target).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let block = answer.json()["metrics"].clone();
        let keys = block.as_object().expect("a block").keys().cloned();
        let keys: Vec<String> = keys.collect();
        let progress = ["completedJobs", "totalJobs"];
        assert!(
            keys.iter().all(|key| progress.contains(&key.as_str())),
            "{target}: {block}"
        );
    }
}

/// T8.
#[tokio::test]
async fn series_of_whole_traces_are_left_out_of_comparisons() {
    let door = Door::open().await;
    let recorded = fixture("metrics-compare-tenantA-cut.json");
    door.upstream.reply(
        "/api/metrics/query_range",
        TempoReply::json(recorded.clone()),
    );
    let query = "{} | compare({ status = error })";
    let answer = door
        .ask(&Ask::get("/api/metrics/query_range", &[("q", query)]))
        .await;
    let series = answer.json()["series"].as_array().cloned().expect("series");
    let recorded: Value = serde_json::from_slice(&recorded).expect("JSON");
    let keys = ["rootName", "rootServiceName", "span:childCount"];
    let of_trace = |series: &&Value| {
        let labels = series["labels"].as_array().into_iter().flatten();
        labels
            .filter_map(|label| label["key"].as_str())
            .any(|key| keys.contains(&key))
    };
    let all: Vec<&Value> = recorded["series"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let expected = all.iter().filter(|series| !of_trace(series)).count();
    assert!(expected > 0 && expected < all.len());
    assert_eq!(series.len(), expected);
    assert_eq!(series.iter().find(of_trace), None);
}

#[tokio::test]
async fn an_answer_in_many_pieces_is_whole() {
    let door = Door::open().await;
    for (path, name) in [("/api/search", "search-tenantA.json"), ("/api/traces", "")] {
        let path = match name {
            "" => format!("{path}/{}", trace_id("1")),
            _ => path.to_owned(),
        };
        let expected = door.get(&path).await.body;
        door.upstream.pieces(7);
        assert_eq!(door.get(&path).await.body, expected, "{path}");
        let protobuf = door.get_as(&path, PROTOBUF).await.body;
        door.upstream.pieces(1);
        assert_eq!(door.get_as(&path, PROTOBUF).await.body, protobuf, "{path}");
    }
}

#[tokio::test]
async fn errors_are_plain_text_without_other_tenants_data() {
    let door = Door::open().await;
    let ask = |reply: TempoReply| {
        door.upstream.reply("/api/search", reply);
        door.search(&[("q", "{}")])
    };
    let harmless = "limit 10000000 exceeds max limit 262144";
    let answer = ask(TempoReply::text(400, harmless)).await;
    assert_plain("a limit", &answer, 400);
    assert_eq!(answer.text(), harmless);
    for (status, text) in [
        (
            400,
            "binary operations must operate on the same type: resource.tenant_id = `A`",
        ),
        (
            400,
            "invalid TraceQL query: parse error at line 1, col 33: SECRET",
        ),
        (422, "trace SECRET exceeds max size"),
        (429, "job queue full: SECRET"),
        (
            500,
            "expression (-.n) expected a numeric, but got TypeNil: SECRET",
        ),
        (503, "SECRET"),
    ] {
        let answer = ask(TempoReply::text(status, text)).await;
        assert_plain(text, &answer, status);
        assert!(!answer.text().contains("SECRET"), "{}", answer.text());
        assert!(!answer.text().contains("tenant_id"), "{}", answer.text());
    }
    // The caller cannot fix our own credentials.
    for status in [401, 403] {
        assert_plain(
            "credentials",
            &ask(TempoReply::text(status, "no org id")).await,
            502,
        );
    }
}

#[tokio::test]
async fn answers_that_cannot_be_read_are_not_passed_on() {
    let door = Door::open().await;
    // Though it was asked not to compress.
    let mut compressed = TempoReply::json(&b"\x1f\x8b\x08\x00SECRET"[..]);
    compressed
        .headers
        .push(("content-encoding", "gzip".to_owned()));
    let search = fixture("search-tenantA.json");
    for reply in [
        compressed,
        TempoReply::json("SECRET"),
        TempoReply::json(search[..search.len() - 2].to_vec()),
        TempoReply::json(r#"{"traces":[{"traceID":5,"rootTraceName":"SECRET"}]}"#),
        TempoReply::new(200, "text/html", "<html>SECRET"),
        TempoReply::new(200, PROTOBUF, fixture("search-tenantA-proto.pb")),
        TempoReply::new(206, JSON, search.clone()),
        TempoReply::new(204, "", ""),
        TempoReply::new(302, JSON, search),
    ] {
        let what: String = format!("{reply:?}").chars().take(200).collect();
        door.upstream.reply("/api/search", reply);
        let answer = door.search(&[("q", "{}")]).await;
        assert_plain(&what, &answer, 502);
        assert_no_foreign(&what, &answer.text());
    }
    // What says that it is JSON, for who asked for protobuf.
    let page = fixture("search-tenantA-proto.pb");
    door.upstream.reply("/api/search", TempoReply::json(page));
    let answer = door.get_as("/api/search", PROTOBUF).await;
    assert_plain("protobuf that is named JSON", &answer, 502);
}

#[tokio::test]
async fn an_unreadable_trace_is_not_passed_on() {
    let door = Door::open().await;
    let path = format!("/api/v2/traces/{}", trace_id("3"));
    let json = fixture("trace-v2-mixed-B-root.json");
    let protobuf = fixture("trace-v2-mixed-B-root-proto.pb");
    for (accept, reply) in [
        (JSON, TempoReply::json("SECRET")),
        (
            JSON,
            TempoReply::json(r#"{"trace":{"resourceSpans":"SECRET"}}"#),
        ),
        (
            JSON,
            TempoReply::new(200, "application/vnd.grafana.llm+json", json.clone()),
        ),
        (
            PROTOBUF,
            TempoReply::new(200, PROTOBUF, protobuf[..protobuf.len() - 40].to_vec()),
        ),
        (PROTOBUF, TempoReply::new(200, PROTOBUF, "SECRET")),
        (PROTOBUF, TempoReply::json(json)),
    ] {
        let what: String = format!("{accept} {reply:?}").chars().take(200).collect();
        door.upstream.reply(&path, reply);
        let answer = door.get_as(&path, accept).await;
        assert_plain(&what, &answer, 502);
        assert_no_foreign(&what, &answer.text());
    }
    door.upstream.reply(&path, TempoReply::text(500, "SECRET"));
    assert_plain("an error", &door.get(&path).await, 500);
}

/// What is cut off after its tenant's part was shown is not made whole.
#[tokio::test]
async fn a_trace_that_breaks_off_is_no_whole_trace() {
    let door = Door::open().await;
    let path = format!("/api/traces/{}", trace_id("4"));
    let json = fixture("trace-v1-mixed-A-root.json");
    door.upstream
        .reply(&path, TempoReply::json(json[..json.len() - 5].to_vec()));
    let answer = crate::kit::client::Client::default();
    let request = hyper::Request::get(format!("{}{path}", door.proxy.url))
        .header(
            "authorization",
            format!("Bearer {}", door.proxy.signer.tenant("A")),
        )
        .body(http_body_util::Full::default())
        .expect("a request");
    match answer.try_send(request).await {
        Ok(answer) => assert_plain("cut off", &answer, 502),
        Err(_broken) => {}
    }
}

/// T2: the ownership query is for pages only; not-found responses need none.
#[tokio::test]
async fn one_answer_takes_one_request_unless_it_is_a_page() {
    let door = Door::open().await;
    for end in ["1", "2", "9"] {
        door.get(&format!("/api/traces/{}", trace_id(end))).await;
        door.upstream.take_one();
    }
    door.upstream.reply(
        "/api/search",
        TempoReply::json(r#"{"traces":[],"metrics":{}}"#),
    );
    door.search(&[("q", "{}")]).await;
    door.upstream.take_one();
}

#[tokio::test]
async fn slow_ownership_query_counts_as_failed() {
    let door = Door::with(|setup| {
        "traces:\n  search_metadata: verify\n".clone_into(&mut setup.rest);
        setup.tempo.as_mut().expect("a Tempo").options =
            vec!["timeouts:".to_owned(), "  response_head: 300ms".to_owned()];
    })
    .await;
    let mut slow = TempoReply::new(200, PROTOBUF, "");
    slow.after = Duration::from_secs(5);
    door.upstream
        .rule(move |seen| is_ownership_query(seen).then(|| slow.clone()));
    let answer = door.search(&[("q", "{}")]).await;
    assert_eq!(found(&answer.json(), "1")["rootServiceName"], NO_ROOT);
    // And a page that is late is none.
    let mut slow = TempoReply::json("{}");
    slow.after = Duration::from_secs(5);
    door.upstream.reply("/api/search", slow);
    assert_plain("late", &door.search(&[("q", "{}")]).await, 504);
}

/// The messages that tests build themselves are as the recordings have them.
#[test]
fn the_recordings_are_read_in_full() {
    let recorded = fixture("search-tenantA-proto.pb");
    let page: SearchResponse = decode(&recorded);
    assert_eq!(page.encode_to_vec().len(), recorded.len());
}
