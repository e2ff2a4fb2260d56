//! What is refused: with Tempo's own kind of error, a text and nothing else, and without asking
//! Tempo.

use serde_json::{Value, json};

use super::{Door, assert_plain};
use crate::kit::client::{Ask, Client, Sent};
use crate::kit::tempo_upstream::{TempoReply, trace_id};

#[tokio::test]
async fn ids_that_are_none() {
    let door = Door::open().await;
    let long = "a".repeat(33);
    for id in [
        "zzz",
        "",
        "%20",
        "0x1",
        "diff",
        "a%2Fb",
        &long,
        "deadbeef-dead-beef",
        "%C3%A9",
    ] {
        for path in ["/api/traces", "/api/v2/traces"] {
            let path = format!("{path}/{id}");
            let answer = door.get(&path).await;
            let status = if path.ends_with("v2/traces/diff") {
                405
            } else {
                400
            };
            assert_plain(&path, &answer, status);
            door.assert_nothing_forwarded(&path);
        }
    }
}

/// T3.
#[tokio::test]
async fn the_format_for_language_models() {
    let door = Door::open().await;
    let llm = "application/vnd.grafana.llm";
    for path in [
        format!("/api/v2/traces/{}", trace_id("3")),
        "/api/v2/search/tag/resource.service.name/values".to_owned(),
    ] {
        assert_plain(&path, &door.get_as(&path, llm).await, 406);
        door.assert_nothing_forwarded(&path);
    }
    // Where Tempo has no such form it answers JSON.
    let answer = door
        .get_as(&format!("/api/traces/{}", trace_id("1")), llm)
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "application/json")
    );
}

/// T11.
#[tokio::test]
async fn everything_else_of_tempo() {
    let door = Door::open().await;
    for path in [
        "/querier/api/search",
        "/querier/api/traces/0abc0000000000000000000000000002",
        "/querier/api/v2/traces/0abc0000000000000000000000000002",
        "/querier/api/v2/search/tags",
        "/status",
        "/status/config",
        "/status/overrides",
        "/status/overrides/single-tenant",
        "/status/usage-stats",
        "/status/backendscheduler",
        "/api/status/config",
        "/api/overrides",
        "/api/mcp",
        "/api/metrics/summary",
        "/api/v2/search",
        "/api/v3/traces/1",
        "/api/nope",
        "/api",
        "/api/",
        "/api/v2/traces",
        "/flush",
        "/shutdown",
        "/metrics",
        "/usage_metrics",
        "/debug/pprof/",
        "/debug/pprof/heap",
        "/memberlist",
        "/partition-ring",
        "/live-store/ring",
        "/live-store/prepare-downscale",
        "/live-store/prepare-partition-downscale",
        "/distributor/ring",
        "/ingester/ring",
        "/backend-worker/ring",
        "/compactor/ring",
        "/metrics-generator/ring",
        "/static/x.js",
        "/tempo/api/search",
        "/jaeger",
        "/log_level",
        "/v1/traces",
        "/",
        "/nothing",
    ] {
        for sent in [Sent::Get, Sent::Post] {
            let answer = door.ask(&Ask::new(sent, path, &[("q", "{}")])).await;
            assert_plain(path, &answer, 403);
            door.assert_nothing_forwarded(path);
        }
    }
}

/// A difference of two traces cannot be filtered: both must be wholly the tenant's.
#[tokio::test]
async fn differences_of_traces_that_are_not_wholly_the_tenants() {
    let door = Door::open().await;
    let difference = |base: &str, compare: &str| {
        let (base, compare) = (trace_id(base), trace_id(compare));
        json!({ "base": { "traceId": base }, "compare": { "traceId": compare, "start": 1 } })
    };
    let ask = |body: String| {
        let request = hyper::Request::post(format!("{}/api/v2/traces/diff", door.proxy.url))
            .header("authorization", format!("Bearer {}", door.token))
            .header("content-type", "application/json")
            .body(http_body_util::Full::from(body))
            .expect("a request");
        door.client.send(request)
    };
    let reply = TempoReply::json(r#"{"difference":1}"#);
    door.upstream.reply("/api/v2/traces/diff", reply);
    let mut texts = Vec::new();
    for (base, compare) in [
        ("1", "3"),
        ("3", "1"),
        ("4", "4"),
        ("1", "2"),
        ("5", "1"),
        ("7", "1"),
        ("9", "1"),
    ] {
        let answer = ask(difference(base, compare).to_string()).await;
        assert_plain(&format!("{base} {compare}"), &answer, 403);
        texts.push(answer.text());
        for seen in door.upstream.take() {
            assert!(seen.path().ends_with(char::is_numeric), "{seen:?}");
        }
    }
    // Which of the reasons it is does not show.
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");

    let answer = ask(difference("1", "1").to_string()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (200, r#"{"difference":1}"#)
    );
    let seen = door.upstream.take();
    let paths: Vec<&str> = seen.iter().map(crate::kit::upstream::Seen::path).collect();
    let one = format!("/api/v2/traces/{}", trace_id("1"));
    assert_eq!(paths, [one.as_str(), one.as_str(), "/api/v2/traces/diff"]);
    let sent: Value = serde_json::from_slice(&seen[2].body).expect("JSON");
    assert_eq!(sent, difference("1", "1"));
    assert_eq!(seen[1].param("start"), ["1"]);

    for body in [
        "",
        "{}",
        "[]",
        r#"{"base":{"traceId":"x"},"compare":{"traceId":"1"}}"#,
        r#"{"base":{"traceId":"1"},"compare":{"traceId":"1"},"more":1}"#,
    ] {
        assert_plain(body, &ask(body.to_owned()).await, 400);
        door.assert_nothing_forwarded(body);
    }
}

#[tokio::test]
async fn request_without_token() {
    let door = Door::open().await;
    let client = Client::default();
    for path in [
        "/api/search",
        "/api/traces/1",
        "/api/v2/search/tags",
        "/api/echo",
        "/ready",
        "/x",
    ] {
        for token in [None, Some("a.b.c")] {
            let answer = client
                .ask(&door.proxy.url, &Ask::get(path, &[]), token)
                .await;
            assert_plain(path, &answer, 401);
            assert!(
                answer.header("www-authenticate").starts_with("Bearer"),
                "{path}"
            );
            door.assert_nothing_forwarded(path);
        }
    }
}

/// T5, T9: what describes whole traces, and what Tempo would refuse as well.
#[tokio::test]
async fn queries() {
    let door = Door::open().await;
    for (query, status, word) in [
        ("{ rootName = name }", 403, "rootName"),
        ("{ !(rootServiceName =~ \"B.*\") }", 403, "rootServiceName"),
        (
            "{ rootName != \"x\" } | count() > 1",
            403,
            "joined with the other conditions by &&",
        ),
        ("{ traceDuration > 1s }", 403, "traceDuration"),
        ("{ trace:rootName = .n }", 403, "trace:rootName"),
        ("{ trace:rootService != nil }", 403, "trace:rootService"),
        ("{ trace:duration > 1s }", 403, "trace:duration"),
        ("{} | by(rootName)", 403, "rootName"),
        ("{} | avg(traceDuration) > 0", 403, "traceDuration"),
        (
            "({} | count() > 1) && ({ rootName != \"x\" } | count() > 1)",
            403,
            "rootName",
        ),
        ("{} with (debug_return_in=\"5s\")", 422, "debug_return_in"),
        (
            "{} with (skip_ast_transformations=\"all\")",
            422,
            "skip_ast_transformations",
        ),
        ("{ parent.n = 1 }", 400, "parent"),
        ("{ nope }", 400, "line 1, col 3"),
        ("{", 400, "line 1"),
        ("{} } | { true", 400, "line 1, col 4"),
        ("{ 1 = \"a\" }", 400, "line 1"),
        ("{} | count() > count()", 400, "line 1"),
    ] {
        let answer = door.search(&[("q", query)]).await;
        assert_plain(query, &answer, status);
        assert!(answer.text().contains(word), "{query}: {}", answer.text());
        assert!(
            !answer.text().contains("tenant_id"),
            "{query}: {}",
            answer.text()
        );
        door.assert_nothing_forwarded(query);
    }
    for (query, status) in [
        ("{}", 400),
        ("", 400),
        ("{} | rate() by(rootName)", 403),
        ("{} | max_over_time(traceDuration)", 403),
        ("({} | rate()) + ({ rootName != \"x\" } | rate())", 403),
        ("{} | compare({ rootName = \"x\" })", 403),
    ] {
        for path in ["/api/metrics/query_range", "/api/metrics/query"] {
            let answer = door.ask(&Ask::get(path, &[("q", query)])).await;
            assert_plain(query, &answer, status);
            door.assert_nothing_forwarded(query);
        }
    }
    let nested = |depth: usize| format!("{{ {}true{} }}", "(".repeat(depth), ")".repeat(depth));
    // The braces are a level too.
    for (depth, status) in [(99, 200), (100, 422), (3_000, 422)] {
        let query = nested(depth);
        let answer = door.search(&[("q", query.as_str())]).await;
        assert_eq!(answer.status, status, "{depth}: {}", answer.text());
    }
}

#[tokio::test]
async fn tags_and_parameters() {
    let door = Door::open().await;
    let id = trace_id("3");
    for (target, status) in [
        ("/api/v2/search/tag/trace:duration/values".to_owned(), 403),
        ("/api/v2/search/tag/trace%3Aduration/values".to_owned(), 403),
        ("/api/v2/search/tag/span:childCount/values".to_owned(), 403),
        ("/api/v2/search/tag/nope/values".to_owned(), 400),
        ("/api/v2/search/tag/(.x)/values".to_owned(), 400),
        ("/api/v2/search/tag/.x%20%7C%7C%20.y/values".to_owned(), 400),
        ("/api/v2/search/tag/parent.x/values".to_owned(), 400),
        ("/api/v2/search/tags?scope=bogus".to_owned(), 400),
        ("/api/search?q=%7B%7D&start=x".to_owned(), 400),
        (
            "/api/metrics/query_range?q=%7B%7D%7Crate()&mode=recent".to_owned(),
            403,
        ),
        (
            "/api/metrics/query_range?q=%7B%7D%7Crate()&blockID=1".to_owned(),
            403,
        ),
        (format!("/api/v2/traces/{id}?q=%7B%7D"), 403),
        (format!("/api/v2/traces/{id}?span_pruning=true"), 403),
        (format!("/api/traces/{id}?blockStart=0"), 403),
        (format!("/api/traces/{id}?mode=bogus"), 400),
        (format!("/api/traces/{id}?start=x"), 400),
        (format!("/api/traces/{id}?start=x&start=2"), 400),
    ] {
        assert_plain(&target, &door.get(&target).await, status);
        door.assert_nothing_forwarded(&target);
    }
}
