//! Errors: each in Prometheus' own JSON, each telling what to do, none telling a secret.

use std::time::{Duration, Instant};

use crate::kit::door::{Door, FORM};
use crate::kit::raw::RawAnswer;
use crate::kit::upstream::{Behaviour, Reply};

const QUERY: &str = "/api/v1/query?query=up";

/// Checks the shape; gives the text.
fn assert_prometheus_error(answer: &RawAnswer, status: u16, kind: &[&str]) -> String {
    let what = format!("{}\n{}", answer.head, answer.text());
    assert_eq!(answer.status, status, "{what}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/json"),
        "{what}"
    );
    let json = answer.json().unwrap_or_else(|| panic!("not JSON: {what}"));
    assert_eq!(json["status"], "error", "{what}");
    assert!(
        kind.contains(&json["errorType"].as_str().unwrap_or_default()),
        "{what}"
    );
    let text = json["error"].as_str().unwrap_or_default().to_owned();
    assert!(text.len() > 10, "{what}");
    assert!(!text.contains("eyJ"), "a token in an error: {what}");
    text
}

#[tokio::test]
async fn refusals_are_prometheus_errors() {
    let door = Door::open().await;
    let stranger = b"GET /api/v1/query?query=up HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = door.send_raw(stranger).await;
    assert_prometheus_error(&answer, 401, &["unauthorized"]);
    assert!(
        answer
            .header("www-authenticate")
            .is_some_and(|value| value.starts_with("Bearer"))
    );
    let answer = door.get("/api/v1/status/config").await;
    let text = assert_prometheus_error(&answer, 403, &["forbidden"]);
    assert!(
        text.contains("open_to_admins"),
        "it names the key that opens it: {text}"
    );
    assert_prometheus_error(
        &door.get("/api/v1/query?query=up%7B").await,
        400,
        &["bad_data"],
    );
    assert_prometheus_error(
        &door.get("/api/v1/query?query=%zz").await,
        400,
        &["bad_data"],
    );
    let answer = door.send("DELETE", QUERY, &[], b"").await;
    assert_prometheus_error(&answer, 405, &["bad_data"]);
    assert_eq!(answer.header("allow"), Some("GET, POST"));
    let answer = door.send("POST", "/api/v1/query", &[], b"query=up").await;
    assert_prometheus_error(&answer, 415, &["bad_data"]);
    let long = format!("query={}", "x".repeat(3 << 20));
    let answer = door
        .send("POST", "/api/v1/query", &[FORM], long.as_bytes())
        .await;
    assert_prometheus_error(&answer, 413, &["bad_data"]);
    assert!(door.upstream.take().is_empty());
}

#[tokio::test]
async fn an_upstream_that_fails_is_a_502_or_504() {
    let door = Door::with(|setup| {
        let lines = ["timeouts:", "  response_head: 500ms"];
        setup.upstream_options = lines.map(str::to_owned).to_vec();
    })
    .await;
    door.upstream.behave(Behaviour::Silent);
    let started = Instant::now();
    let answer = door.get(QUERY).await;
    assert_prometheus_error(&answer, 504, &["timeout"]);
    assert!(started.elapsed() < Duration::from_secs(5));
    door.upstream.behave(Behaviour::HangUp);
    assert_prometheus_error(&door.get(QUERY).await, 502, &["unavailable"]);
    door.upstream.take();
    for status in [401, 403] {
        door.upstream.reply(Reply {
            status,
            headers: vec![],
            body: "secret".into(),
        });
        let answer = door.get(QUERY).await;
        let text = assert_prometheus_error(&answer, 502, &["unavailable"]);
        assert!(!text.contains("secret"), "{text}");
    }
    door.upstream.reply(Reply {
        status: 200,
        headers: vec![("content-type", "text/html".to_owned())],
        body: "<form>log in, secret</form>".into(),
    });
    let text = assert_prometheus_error(&door.get(QUERY).await, 502, &["unavailable"]);
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502() {
    let nobody = crate::kit::process::free_port();
    let door = Door::with(|setup| setup.upstream = format!("http://127.0.0.1:{nobody}")).await;
    for target in [
        QUERY,
        "/api/v1/rules",
        "/api/v1/labels",
        "/federate?match[]=up",
    ] {
        let text = assert_prometheus_error(&door.get(target).await, 502, &["unavailable"]);
        assert!(
            !text.contains(&nobody.to_string()),
            "an address in an error: {text}"
        );
    }
}
