//! One query of several clusters.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{NOWHERE, Named, SRE, STAFF, US_ONLY};
use crate::kit::raw::{RawAnswer, request};
use crate::kit::stage::{VECTOR, eventually};
use crate::kit::upstream::{Behaviour, Reply};
use crate::kit::wire::{Step, Wire};

const BOTH: &str = "/api/v1/query?cluster=us&query=up&cluster=eu";

fn scalar(value: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"scalar","result":[1,"{value}"]}}}}"#)
}

/// The part of a cluster in a good whole.
#[track_caller]
fn part(answer: &RawAnswer, cluster: &str) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json().unwrap();
    assert_eq!(json["status"], "success");
    assert_eq!(json["data"]["resultType"], "clusters");
    json["data"]["result"][cluster].clone()
}

#[track_caller]
fn assert_failed(part: &Value, error_type: &str, text: &str) {
    assert_eq!(part["status"], "error", "{part}");
    assert_eq!(part["errorType"], error_type, "{part}");
    assert!(part["error"].as_str().unwrap().contains(text), "{part}");
}

/// Callers with all tenants too.
#[tokio::test]
async fn query_over_a_limit_is_sent_to_no_cluster() {
    let named = Named::with(|config| {
        config.rest += "limits: {query_depth: 3}\n";
    })
    .await;
    for token in [&STAFF, &SRE] {
        for (method, target, body) in [
            (
                "GET",
                "/api/v1/query?cluster=us&cluster=eu&query=((((up))))",
                "",
            ),
            ("POST", "/api/v1/query?cluster=us", "query=((((up))))"),
            ("GET", "/clusters/eu/api/v1/query?query=((((up))))", ""),
            ("GET", "/api/v1/query?query=((((up))))", ""),
        ] {
            let answer = named.send(method, target, token, body).await;
            assert_eq!(answer.status, 422, "{target}: {answer:?}");
            assert!(named.asked().is_empty(), "{target}");
        }
    }
}

#[tokio::test]
async fn each_cluster_is_asked_once_confined_and_answers_for_itself() {
    let named = Named::start().await;
    named.eu.reply(Reply::json(&scalar("1")));
    named.us.reply(Reply::json(&scalar("2")));
    let expected = format!(
        r#"{{"status":"success","data":{{"resultType":"clusters","result":{{"eu":{},"us":{}}}}}}}"#,
        scalar("1"),
        scalar("2")
    );
    let range = "start=1&end=2&step=1";
    for (method, target, body) in [
        ("GET", BOTH.to_owned(), String::new()),
        (
            "POST",
            "/api/v1/query".to_owned(),
            "query=up&cluster=eu&cluster=us".to_owned(),
        ),
        (
            "POST",
            "/api/v1/query?cluster=us".to_owned(),
            "query=up&cluster=eu".to_owned(),
        ),
        // The same again is as good as once.
        (
            "GET",
            format!("{BOTH}&cluster=eu&cluster=us"),
            String::new(),
        ),
        (
            "GET",
            format!("/api/v1/query_range?query=up&cluster=eu&cluster=us&{range}"),
            String::new(),
        ),
        (
            "POST",
            "/api/v1/query_range".to_owned(),
            format!("query=up&cluster=eu&cluster=us&{range}"),
        ),
    ] {
        let answer = named.send(method, &target, &STAFF, &body).await;
        assert_eq!(answer.status, 200, "{method} {target}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.text(), expected, "{method} {target}");
        for (upstream, base, credentials) in [
            (&named.eu, "/base", Some("Bearer of-eu")),
            (&named.us, "", None),
        ] {
            let seen = upstream.take_one();
            assert_eq!(seen.method, method);
            let path = target.split('?').next().unwrap();
            assert_eq!(seen.path(), format!("{base}{path}"));
            assert_eq!(seen.param("query"), [r#"up{tenant_id="acme"}"#]);
            assert!(seen.param("cluster").is_empty());
            assert_eq!(seen.header("authorization"), credentials);
        }
        assert!(named.asked().is_empty());
    }
    // One alone is answered in the same shape.
    let one = named
        .get("/api/v1/query?query=up&cluster=us", &US_ONLY)
        .await;
    assert_eq!(part(&one, "us")["data"]["result"], json!([1, "2"]));
    assert_eq!(part(&one, "eu"), Value::Null);
    // A caller with all tenants asks for everything.
    named.asked();
    let all = named.get(BOTH, &SRE).await;
    assert_eq!(all.text(), expected);
    let seen = named.eu.take_one();
    assert_eq!(seen.param("query"), ["up"]);
    assert!(seen.param("cluster").is_empty());
}

#[tokio::test]
async fn without_a_name_the_root_answers_as_ever() {
    let named = Named::start().await;
    for (method, body) in [("GET", ""), ("POST", "query=up")] {
        let target = if body.is_empty() {
            "/api/v1/query?query=up"
        } else {
            "/api/v1/query"
        };
        let answer = named.send(method, target, &NOWHERE, body).await;
        assert_eq!((answer.status, answer.text()), (200, VECTOR.to_owned()));
        let seen = named.rig.upstream.take_one();
        assert_eq!(seen.param("query"), [r#"up{tenant_id="acme"}"#]);
    }
    let warned = r#"{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["store 10.0.0.1 of globex"]}"#;
    named.rig.upstream.reply(Reply::json(warned));
    let answer = named.get("/api/v1/query?query=up", &NOWHERE).await;
    assert!(!answer.text().contains("globex"), "{answer:?}");
    named.asked();
}

const JSON: &str = "application/json";
const ESCAPE: &str =
    r#"{"status":"success","data":{"resultType":"scalar","result":[]}},"us":{"status":"success"}"#;
const BAD: &str = r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:1: parse error: no"}"#;
const LEAK: &str = r#"{"status":"error","errorType":"internal","error":"store of globex"}"#;

fn reply(status: u16, kind: &str, body: &str) -> Behaviour {
    let mut reply = Reply::json(body);
    reply.status = status;
    reply.headers = vec![("content-type", kind.to_owned())];
    Behaviour::Reply(reply)
}

/// Whatever one upstream does, the other's part is what it always is.
#[tokio::test]
async fn error_of_one_cluster_is_reported_in_its_part() {
    let named = Named::with(|config| config.rest += "limits: {answer_bytes: 2KiB}\n").await;
    named.us.reply(Reply::json(&scalar("2")));
    let long = scalar(&"9".repeat(4096));
    let cut = r#"{"status":"success","data":{"resultType":"vector","result":["#;
    let mut zipped = Reply::json(VECTOR);
    zipped.headers.push(("content-encoding", "gzip".to_owned()));
    for (what, behaviour, error_type, text) in [
        (
            "gone",
            Behaviour::HangUp,
            "unavailable",
            "cannot be reached",
        ),
        ("silent", Behaviour::Silent, "timeout", "response_head"),
        (
            "html",
            reply(200, "text/html", "<html>"),
            "unavailable",
            "cannot be checked",
        ),
        (
            "garbage",
            reply(200, JSON, "garbage"),
            "unavailable",
            "cannot be checked",
        ),
        (
            "an error in disguise",
            reply(200, JSON, BAD),
            "unavailable",
            "cannot be checked",
        ),
        (
            "cut",
            reply(200, JSON, cut),
            "unavailable",
            "cannot be checked",
        ),
        (
            "out of bounds",
            reply(200, JSON, ESCAPE),
            "unavailable",
            "cannot be checked",
        ),
        (
            "too large",
            reply(200, JSON, &long),
            "unavailable",
            "cannot be checked",
        ),
        (
            "compressed",
            Behaviour::Reply(zipped),
            "unavailable",
            "cannot be checked",
        ),
        (
            "a query that it does not take",
            reply(400, JSON, BAD),
            "bad_data",
            "parse error",
        ),
        (
            "a text that may not be shown",
            reply(500, JSON, LEAK),
            "internal",
            "withheld",
        ),
        (
            "a gateway's page",
            reply(503, "text/html", "<html>globex"),
            "unavailable",
            "withheld",
        ),
        (
            "our credentials",
            reply(401, JSON, LEAK),
            "unavailable",
            "credentials",
        ),
        (
            "elsewhere",
            reply(302, JSON, ""),
            "unavailable",
            "cannot be checked",
        ),
    ] {
        named.eu.behave(behaviour);
        let answer = named.get(BOTH, &STAFF).await;
        let failed = part(&answer, "eu");
        assert_failed(&failed, error_type, text);
        assert_eq!(
            part(&answer, "us"),
            serde_json::from_str::<Value>(&scalar("2")).unwrap(),
            "{what}"
        );
        assert!(!answer.text().contains("globex"), "{what}: {answer:?}");
    }
    let refused = r#"partywall_refusals_total{route="query",reason="upstream_timeout"}"#;
    assert!((named.rig.metric(refused).await - 1.0).abs() < 0.1);
}

/// Texts are shown to callers with all tenants; the shape is kept all the same.
#[tokio::test]
async fn no_cluster_breaks_the_document_of_a_caller_with_all_tenants() {
    let named = Named::start().await;
    for (what, behaviour, error_type, text) in [
        (
            "garbage",
            reply(200, JSON, "garbage"),
            "unavailable",
            "cannot be checked",
        ),
        (
            "out of bounds",
            reply(200, JSON, ESCAPE),
            "unavailable",
            "cannot be checked",
        ),
        (
            "a gateway's page",
            reply(503, "text/html", "<html>"),
            "unavailable",
            "answered 503",
        ),
        (
            "an error",
            reply(500, JSON, LEAK),
            "internal",
            "store of globex",
        ),
    ] {
        named.eu.behave(behaviour);
        let answer = named.get(BOTH, &SRE).await;
        assert_failed(&part(&answer, "eu"), error_type, text);
        assert_eq!(part(&answer, "us")["status"], "success", "{what}");
    }
}

/// One that sends a byte now and then would never be idle for long.
#[tokio::test]
async fn one_that_only_drips_is_not_waited_for_past_its_time() {
    let drops = (0..600).flat_map(|_| [Step::send(" "), Step::Pause(Duration::from_millis(100))]);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n";
    let script: Vec<Step> = [Step::send(head)].into_iter().chain(drops).collect();
    let wire = Wire::start(&script).await;
    let named = Named::with(|config| {
        config.more.push(format!(
            "{{name: slow, api: prometheus, cluster: slow, url: '{}', \
             timeouts: {{response_head: 400ms, body_idle: 400ms}}}}",
            wire.url
        ));
    })
    .await;
    let begun = Instant::now();
    let answer = named
        .get("/api/v1/query?query=up&cluster=slow&cluster=us", &STAFF)
        .await;
    assert!(begun.elapsed() >= Duration::from_millis(800), "{answer:?}");
    assert_failed(&part(&answer, "slow"), "timeout", "not whole within 800ms");
    assert_eq!(part(&answer, "us")["status"], "success");
}

#[tokio::test]
async fn where_none_answers_the_whole_is_an_error() {
    let named = Named::start().await;
    let mut bad = Reply::json(
        r#"{"status":"error","errorType":"bad_data","error":"no match[] parameter provided"}"#,
    );
    bad.status = 400;
    named.eu.reply(bad.clone());
    named.us.reply(bad);
    let answer = named.get(BOTH, &STAFF).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let json = answer.json().unwrap();
    assert_eq!(
        (&json["status"], &json["errorType"]),
        (&json!("error"), &json!("bad_data"))
    );
    assert!(
        json["error"].as_str().unwrap().contains("eu: no match[]"),
        "{json}"
    );
    assert_failed(&json["data"]["result"]["us"], "bad_data", "no match[]");
    named.us.behave(Behaviour::Silent);
    let answer = named.get(BOTH, &STAFF).await;
    assert_eq!(answer.status, 502, "{answer:?}");
}

/// All or nothing: no cluster is queried, and a forbidden one looks like a missing one.
#[tokio::test]
async fn a_name_that_may_not_be_used_stops_the_request() {
    let named = Named::start().await;
    let told = |answer: &RawAnswer| (answer.status, answer.text());
    let absent = named
        .get("/api/v1/query?query=up&cluster=us&cluster=xx", &US_ONLY)
        .await;
    assert_eq!(absent.status, 403, "{absent:?}");
    assert!(absent.text().contains("no such cluster"), "{absent:?}");
    for names in [
        "cluster=eu",
        "cluster=us&cluster=eu",
        "cluster=eu&cluster=xx",
        "cluster=",
        "cluster=EU",
        "cluster=us%00",
        "cluster=traces",
    ] {
        let answer = named
            .get(&format!("/api/v1/query?query=up&{names}"), &US_ONLY)
            .await;
        if names.contains("%00") {
            assert_eq!(answer.status, 400, "{answer:?}");
        } else {
            assert_eq!(told(&answer), told(&absent), "{names}");
        }
    }
    let form = named
        .send("POST", "/api/v1/query", &US_ONLY, "query=up&cluster=eu")
        .await;
    assert_eq!(told(&form), told(&absent));
    // It may be used, but has no metrics.
    let traces = named
        .get("/api/v1/query?query=up&cluster=us&cluster=traces", &STAFF)
        .await;
    assert_eq!(traces.status, 403, "{traces:?}");
    let many = (0..33).fold(String::new(), |all, n| format!("{all}&cluster=c{n}"));
    let many = named
        .get(&format!("/api/v1/query?query=up{many}"), &STAFF)
        .await;
    assert_eq!(many.status, 400, "{many:?}");
    assert!(many.text().contains("32"), "{many:?}");
    // What is refused alone is refused here.
    for target in [
        "/api/v1/query?query=up%7B&cluster=us",
        "/api/v1/query?query=up&storeMatch[]=x&cluster=us",
    ] {
        let answer = named.get(target, &STAFF).await;
        assert!(matches!(answer.status, 400 | 403), "{answer:?}");
    }
    assert_eq!(named.get(BOTH, "").await.status, 401);
    assert!(named.asked().is_empty());
}

/// Elsewhere one cluster's answer would be given for another's.
#[tokio::test]
async fn a_name_where_none_is_read_is_refused() {
    let named = Named::start().await;
    for target in [
        "/api/v1/series?match[]=up&cluster=eu",
        "/api/v1/labels?cluster=eu",
        "/api/v1/rules?cluster=eu",
        "/clusters/eu/api/v1/query?query=up&cluster=us",
        "/clusters/eu/api/v1/query?query=up&cluster=eu",
    ] {
        for token in [STAFF.as_str(), SRE.as_str()] {
            let answer = named.get(target, token).await;
            assert_eq!(answer.status, 403, "{target}: {answer:?}");
            assert!(answer.text().contains("`cluster`"), "{answer:?}");
        }
    }
    assert!(named.asked().is_empty());
}

#[tokio::test]
async fn it_counts_once_among_the_requests_of_its_tenant() {
    let named = Named::with(|config| {
        config.rest +=
            "tenant_limits: {default: {requests: 1, requests_per_second: 1, burst: 1}}\n";
    })
    .await;
    assert_eq!(named.get(BOTH, &STAFF).await.status, 200);
    assert_eq!(named.asked(), ["eu", "us"]);
}

#[tokio::test]
async fn disconnected_client_cancels_all_cluster_requests() {
    let scripts = [
        Wire::start(&[Step::Hang]).await,
        Wire::start(&[Step::Hang]).await,
    ];
    let named = Named::with(|config| {
        for (wire, name) in scripts.iter().zip(["h1", "h2"]) {
            config.more.push(format!(
                "{{name: {name}, api: prometheus, cluster: {name}, url: '{}'}}",
                wire.url
            ));
        }
    })
    .await;
    let bearer = format!("Bearer {}", *STAFF);
    let target = "/api/v1/query?query=up&cluster=h1&cluster=h2";
    let bytes = request("GET", target, &[("Authorization", &bearer)], b"");
    // The best of several: a busy machine may take a second now and then.
    let mut best = Duration::MAX;
    for times in 1..=5 {
        let mut stream = TcpStream::connect(named.authority()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        eventually("both are asked", async || {
            scripts.iter().all(|wire| wire.seen().len() == times)
        })
        .await;
        let left = Instant::now();
        drop(stream);
        eventually("both are left", async || {
            scripts.iter().all(|wire| wire.deserted() == times)
        })
        .await;
        best = best.min(left.elapsed());
    }
    assert!(best < Duration::from_secs(1), "{best:?}");
    eventually("the request is over", async || {
        named.rig.metric("partywall_http_requests_in_flight").await < 0.5
    })
    .await;
}

#[tokio::test]
async fn the_audit_record_names_the_clusters() {
    let named = Named::with(|config| {
        config.rest += "audit: {output: log, sampling: 1, queries: full}\n";
    })
    .await;
    assert_eq!(named.get(BOTH, &STAFF).await.status, 200);
    assert_eq!(
        named.get("/clusters/us/api/v1/labels", &STAFF).await.status,
        200
    );
    assert_eq!(
        named
            .get("/clusters/eu/api/v1/labels", &US_ONLY)
            .await
            .status,
        403
    );
    let line = |wanted: &str| {
        let log = named.rig.process.log();
        let found = log.lines().find(|line| line.contains(wanted));
        found.map(str::to_owned).unwrap_or_default()
    };
    let refused = || line("reason=\"no_cluster\"");
    eventually("the last is there", async || !refused().is_empty()).await;
    assert!(refused().contains("clusters=\"eu\""), "{}", refused());
    let several = line("route=\"query\"");
    assert!(several.contains("clusters=\"eu,us\""), "{several}");
    let queries = r#"queries="up" rewritten="up{tenant_id=\"acme\"}""#;
    assert!(several.contains(queries), "noted once: {several}");
    let one = line("route=\"labels\"");
    assert!(one.contains("clusters=\"us\""), "{one}");
}
