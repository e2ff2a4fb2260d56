//! The operator's tools, and amtool, before an Alertmanager.

use std::process::Command;

use hyper::Method;
use serde_json::{Value, json};

use super::Stage;
use crate::kit::alertmanager::{call, equal, silence};
use crate::kit::evidence;
use crate::kit::partywall::BINARY;

#[tokio::test]
async fn explain_shows_the_filter_and_what_has_to_be_asked() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let explain = async |body: Value| {
        let answer = call(&stage.proxy.admin, None, Method::POST, "/-/explain", &body).await;
        answer.json()
    };
    let claims = json!({"tenant_id": "acme"});
    let sent = explain(json!({"query": "alertname=\"X\"", "claims": claims})).await;
    assert_eq!(sent["result"], "sent", "{sent}");
    let text = sent.to_string();
    assert!(
        text.contains(r#"tenant_id=\"acme\""#) && text.contains("/api/v2/alerts"),
        "{text}"
    );
    // Of a post the query is the body.
    let post = |path: &str, body: &Value| {
        let request = format!("POST {path}");
        json!({"request": request, "query": body.to_string(), "claims": claims})
    };
    let own = equal("tenant_id", "acme");
    let posted = silence(&json!([equal("alertname", "X")]));
    let sent = explain(post("/api/v2/silences", &posted)).await;
    assert_eq!(sent["result"], "sent", "{sent}");
    let body = &sent["parameters"][0];
    assert_eq!(body["name"], "body", "{sent}");
    assert_eq!(body["original"], posted.to_string(), "{sent}");
    let forwarded: Value = serde_json::from_str(body["sent"].as_str().unwrap()).unwrap();
    assert_eq!(forwarded["matchers"][1], own, "{sent}");
    let alerts = |tenant: &str| json!([{"labels": {"alertname": "X", "tenant_id": tenant}}]);
    let sent = explain(post("/api/v2/alerts", &alerts("acme"))).await;
    assert_eq!(sent["result"], "sent", "{sent}");
    let refused = explain(post("/api/v2/alerts", &alerts("globex"))).await;
    assert_eq!(refused["result"], "refused", "{refused}");
    assert_eq!(refused["reason"], "foreign_alert", "{refused}");
    let mut changed = posted.clone();
    changed["id"] = json!("00000000-0000-4000-8000-000000000000");
    let undecided = explain(post("/api/v2/silences", &changed)).await;
    assert_eq!(undecided["result"], "undecided", "{undecided}");
    let delete = "DELETE /api/v2/silence/00000000-0000-4000-8000-000000000000";
    let undecided = explain(json!({"request": delete, "claims": claims})).await;
    assert_eq!(undecided["result"], "undecided", "{undecided}");
    let closed = explain(json!({"request": "GET /api/v2/swagger.json", "claims": claims})).await;
    assert_eq!(closed["result"], "refused", "{closed}");
}

#[tokio::test]
async fn doctor_finds_alerts_without_a_tenant() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let mut command = Command::new(BINARY);
    command
        .args(["doctor", "--config"])
        .arg(stage.proxy.config());
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("Alertmanager 0."), "{text}");
    assert!(text.contains("9 of 10 alerts have it"), "{text}");
    // The second of its rules has no tenant in `equal`.
    let rules = "fail  alerts: inhibit_rules and tenant_id: one tenant's alerts can suppress \
                 another's by 1 of 2: number 2";
    assert!(text.contains(rules), "{text}");
    assert!(
        text.contains("ok    alerts: routes and tenant_id: all 3 routes group by `tenant_id`"),
        "{text}"
    );
}

/// Reads are forwarded as they are; what would change the store is enforced.
#[tokio::test]
async fn shadow_mode_forwards_reads_and_enforces_writes() {
    let shadowed = |setup: &mut crate::kit::partywall::Setup| {
        let upstream = setup.more.first_mut().unwrap();
        let tomorrow = std::time::SystemTime::now() + std::time::Duration::from_hours(24);
        let until = humantime::format_rfc3339_seconds(tomorrow);
        *upstream = upstream.replace(
            '}',
            &format!(", shadow: {{until: {until}, tenants_see_each_other: true}}}}"),
        );
    };
    let Some(stage) = Stage::with(shadowed).await else {
        return;
    };
    let answer = stage.get(&stage.acme, "/api/v2/alerts").await;
    assert!(answer.text().contains("globex"), "{}", answer.text());
    assert_eq!(answer.header("x-partywall-shadow"), "rewritten");
    let [_, globex, _] = &stage.silences;
    let path = format!("/api/v2/silence/{globex}");
    let deleted = stage
        .send(&stage.acme, Method::DELETE, &path, &Value::Null)
        .await;
    assert_eq!(deleted.status, 404);
    let foreign = silence(&json!([equal("tenant_id", "globex")]));
    let posted = stage
        .send(&stage.acme, Method::POST, "/api/v2/silences", &foreign)
        .await;
    assert_eq!(posted.status, 403);
    assert_eq!(stage.shared.state_of(globex).await, "active");
}

#[tokio::test]
async fn amtool_works_through_partywall() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let Some(amtool) = evidence::in_path("amtool") else {
        return evidence::missing("amtool", "apt-get install -y prometheus-alertmanager");
    };
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("http.yml");
    let text = format!("authorization:\n  credentials: {}\n", stage.acme);
    std::fs::write(&config, text).unwrap();
    let run = async |args: &[&str]| {
        let mut command = Command::new(&amtool);
        command
            .arg(format!("--alertmanager.url={}", stage.proxy.url))
            .arg(format!("--http.config.file={}", config.display()))
            .args(args);
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {text}{error}");
        assert!(!text.contains("globex"), "{args:?}: {text}");
        text
    };
    let alerts = run(&["alert", "query"]).await;
    assert!(alerts.contains("Down"), "{alerts}");
    let silences = run(&["silence", "query"]).await;
    assert!(silences.contains("Full"), "{silences}");
    let id = run(&[
        "silence",
        "add",
        "alertname=Down",
        "--comment=c",
        "--author=a",
    ])
    .await;
    let id = id.trim();
    assert_eq!(stage.shared.state_of(id).await, "active");
    run(&["silence", "expire", id]).await;
    assert_eq!(stage.shared.state_of(id).await, "expired");
    run(&["alert", "add", "alertname=Own"]).await;
    let own = stage
        .shared
        .get("/api/v2/alerts?filter=alertname%3DOwn")
        .await;
    assert_eq!(
        own[0]["labels"],
        json!({"alertname": "Own", "tenant_id": "acme"})
    );
    run(&["config", "show"]).await;
}
