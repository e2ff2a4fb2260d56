//! What web interfaces, exporters' libraries and command-line clients ask before anything else, and
//! would not work without: answered for a tenant without another tenant's data.

use serde_json::{Value, json};

use crate::kit::door::Door;
use crate::kit::raw::request;
use crate::kit::upstream::Reply;

/// Of Thanos 0.42 and Prometheus 3.14, shortened.
const FLAGS: &str = r#"{"status":"success","data":{"alertmanagers.url":"http://globex-am:9093","endpoint":"globex:10901","query.default-step":"1s","query.lookback-delta":"5m","query.promql-engine":"thanos","query.replica-label":"replica","storage.tsdb.retention.time":"15d","web.external-url":"https://globex.example.com"}}"#;

#[tokio::test]
async fn flags_that_shape_queries_are_shown_and_no_others() {
    let door = Door::open().await;
    door.upstream.reply(Reply::json(FLAGS));
    let answer = door.get("/api/v1/status/flags?x=y").await;
    let seen = door.assert_sent("flags", &answer);
    assert_eq!(seen.target, "/api/v1/status/flags");
    let expected = json!({"status": "success", "data": {
        "query.default-step": "1s",
        "query.lookback-delta": "5m",
        "query.promql-engine": "thanos",
        "storage.tsdb.retention.time": "15d",
    }});
    assert_eq!(answer.json(), Some(expected));
}

#[tokio::test]
async fn endpoints_about_the_upstream_are_empty_and_nothing_is_sent() {
    let door = Door::open().await;
    for (target, data) in [
        ("/api/v1/stores", json!({})),
        (
            "/api/v1/alertmanagers",
            json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}),
        ),
        ("/api/v1/notifications", json!([])),
    ] {
        let answer = door.get(target).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let expected = json!({"status": "success", "data": data});
        assert_eq!(answer.json(), Some(expected), "{target}");
        assert!(door.upstream.take().is_empty(), "{target}");
    }
    let live = door.get("/api/v1/notifications/live").await;
    assert_eq!((live.status, live.text()), (204, String::new()));
    assert!(door.upstream.take().is_empty());
    for target in [
        "/api/v1/stores",
        "/api/v1/alertmanagers",
        "/api/v1/notifications",
        "/api/v1/notifications/live",
        "/api/v1/status/flags",
        "/api/v1/scrape_pools",
    ] {
        let stranger = door.send_raw(&request("GET", target, &[], b"")).await;
        door.assert_refused(target, &stranger, &[401]);
        let post = door.post(target, "a=b").await;
        door.assert_refused(target, &post, &[405]);
    }
}

#[tokio::test]
async fn endpoints_about_the_upstream_are_whole_only_where_they_are_open() {
    let open = Door::with(|setup| {
        setup.upstream_options = vec!["open_to_admins: [status, stores, unknown]".to_owned()];
    })
    .await;
    let closed = Door::open().await;
    for door in [&open, &closed] {
        let admin = format!("Bearer {}", door.proxy.signer.admin());
        let as_admin = [("Authorization", admin.as_str())];
        let whole = std::ptr::eq(door, &raw const open);
        door.upstream.reply(Reply::json(FLAGS));
        for target in [
            "/api/v1/status/flags",
            "/api/v1/stores",
            "/api/v1/alertmanagers",
            "/api/v1/notifications",
            "/api/v1/notifications/live",
        ] {
            let answer = door.send_raw(&request("GET", target, &as_admin, b"")).await;
            assert!([200, 204].contains(&answer.status), "{target}");
            let shows = answer.text().contains("globex");
            assert_eq!(shows, whole, "{target}: {}", answer.text());
            let sent = door.upstream.take().len();
            let is_sent = whole || target.ends_with("flags");
            assert_eq!(sent, usize::from(is_sent), "{target}");
        }
        // A tenant sees no more where they are open.
        let answer = door.get("/api/v1/status/flags").await;
        assert!(!answer.text().contains("globex"), "{}", answer.text());
        let answer = door.get("/api/v1/stores").await;
        assert!(!answer.text().contains("globex"), "{}", answer.text());
        door.upstream.take();
    }
}

#[tokio::test]
async fn scrape_pools_are_those_of_own_targets() {
    let door = Door::open().await;
    let target = |tenant: &str, pool: &str| json!({"discoveredLabels": {}, "labels": {"tenant_id": tenant}, "scrapePool": pool});
    let targets = json!({"status": "success", "data": {
        "activeTargets": [target("acme", "b"), target("globex", "g"), target("acme", "a")],
        "droppedTargets": [],
    }});
    door.upstream.reply(Reply::json(&targets.to_string()));
    let answer = door.get("/api/v1/scrape_pools").await;
    let seen = door.assert_sent("scrape pools", &answer);
    assert_eq!(seen.target, "/api/v1/targets?state=active");
    let expected = json!({"status": "success", "data": {"scrapePools": ["a", "b"]}});
    assert_eq!(answer.json(), Some(expected));
    // The configuration of a pool is the operator's.
    let config = door.get("/api/v1/scrape_pools/config?scrapePool=a").await;
    door.assert_refused("config", &config, &[403]);
}

#[tokio::test]
async fn what_knows_no_tenant_is_forwarded() {
    let door = Door::open().await;
    let features = r#"{"status":"success","data":{"api":{"query_stats":true}}}"#;
    door.upstream.reply(Reply::json(features));
    let answer = door.get("/api/v1/features?a=b").await;
    let seen = door.assert_sent("features", &answer);
    assert_eq!(seen.target, "/api/v1/features");
    assert_eq!(answer.text(), features);
    door.upstream.reply(Reply {
        status: 200,
        headers: vec![("content-type", "application/yaml; charset=utf-8".to_owned())],
        body: "openapi: 3.2.0\n".into(),
    });
    let answer = door
        .get("/api/v1/openapi.yaml?openapi_version=3.2&a=b")
        .await;
    let seen = door.assert_sent("openapi", &answer);
    assert_eq!(seen.target, "/api/v1/openapi.yaml?openapi_version=3.2");
    assert_eq!(answer.text(), "openapi: 3.2.0\n");
    assert_eq!(
        answer.header("content-type"),
        Some("application/yaml; charset=utf-8")
    );
}

/// Prometheus before 3.5 has no `/features`, Thanos no `/format_query`.
#[tokio::test]
async fn endpoint_that_the_upstream_lacks_is_said_to_be_missing() {
    let door = Door::open().await;
    door.upstream.reply(Reply {
        status: 404,
        headers: vec![("content-type", "text/plain; charset=utf-8".to_owned())],
        body: "404 page not found\n".into(),
    });
    for target in [
        "/api/v1/features",
        "/api/v1/format_query?query=up",
        "/api/v1/status/flags",
        "/api/v1/scrape_pools",
        "/federate?match[]=up",
    ] {
        let answer = door.get(target).await;
        assert_eq!(answer.status, 404, "{target}");
        let json = answer.json().unwrap_or(Value::Null);
        assert_eq!(json["errorType"], "not_found", "{target}");
        let text = json["error"].as_str().unwrap_or_default();
        assert!(text.contains("has no such endpoint"), "{target}: {text}");
        assert!(!text.contains("withheld"), "{target}: {text}");
        door.upstream.take();
    }
}

/// Thanos' web interface where it was not told the flags.
#[tokio::test]
async fn engine_that_is_none_is_dropped() {
    let door = Door::open().await;
    let form = "query=up&dedup=true&partial_response=true&engine=undefined&analyze=false&tenant=";
    let answer = door.post("/api/v1/query", form).await;
    let seen = door.assert_sent("undefined", &answer);
    assert_eq!(
        seen.params(),
        [
            ("query".to_owned(), r#"up{tenant_id="acme"}"#.to_owned()),
            ("dedup".to_owned(), "true".to_owned()),
            ("partial_response".to_owned(), "true".to_owned()),
        ]
    );
    let answer = door.get("/api/v1/query?query=up&engine=thanos").await;
    let seen = door.assert_sent("thanos", &answer);
    assert_eq!(seen.param("engine"), ["thanos"]);
}

/// Grafana shows the text of 400, 422 and 503 alone, and repeats a 400 as another request.
#[tokio::test]
async fn refusal_of_a_query_is_422_and_of_a_caller_401_or_403() {
    let door = Door::with(|setup| {
        setup.rest = "promql:\n  foreign_matchers: reject\nlimits:\n  query_selectors: 3\n".into();
    })
    .await;
    let long = "1".repeat(5000);
    for (query, reason) in [
        ("info(up)".to_owned(), "info() selects"),
        ("a-b-c-d".to_owned(), "limits.query_selectors"),
        (format!("up&time={long}"), "`time` is longer"),
    ] {
        let answer = door.get(&format!("/api/v1/query?query={query}")).await;
        door.assert_refused(&query, &answer, &[422]);
        let json = answer.json().unwrap_or(Value::Null);
        assert_eq!(json["errorType"], "execution", "{query}");
        let text = json["error"].as_str().unwrap_or_default();
        assert!(text.contains(reason), "{query}: {text}");
    }
    let foreign = door
        .get("/api/v1/query?query=up%7Btenant_id%3D%22globex%22%7D")
        .await;
    door.assert_refused("foreign", &foreign, &[403]);
    let nobody = format!("Bearer {}", door.proxy.signer.token(&json!({})));
    let as_nobody = [("Authorization", nobody.as_str())];
    let refused = door
        .send_raw(&request(
            "GET",
            "/api/v1/query?query=info(up)",
            &as_nobody,
            b"",
        ))
        .await;
    door.assert_refused("no tenants", &refused, &[403]);
    let refused = door
        .send_raw(&request("GET", "/api/v1/query?query=info(up)", &[], b""))
        .await;
    door.assert_refused("no token", &refused, &[401]);
}
