//! What a tenant posts, changes and expires.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::Stage;
use crate::kit::alertmanager::{Alertmanager, call, equal, id_of, silence};

const SILENCES: &str = "/api/v2/silences";

#[tokio::test]
async fn own_silence_is_confined_shown_changed_and_expired() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let posted = silence(&json!([equal("alertname", "Down")]));
    let id = id_of(
        &stage
            .send(&stage.acme, Method::POST, SILENCES, &posted)
            .await,
    );
    let path = format!("/api/v2/silence/{id}");
    let stored = stage.shared.get(&path).await;
    let confined = json!([equal("alertname", "Down"), equal("tenant_id", "acme")]);
    assert_eq!(stored["matchers"], confined);
    assert_eq!(stage.get(&stage.acme, &path).await.json(), stored);
    assert_eq!(
        stage.get(&stage.globex, &path).await.status,
        StatusCode::NOT_FOUND
    );
    // It silences none of the others' alerts.
    let alerts = stage
        .shared
        .get("/api/v2/alerts?filter=alertname%3DDown")
        .await;
    for alert in alerts.as_array().unwrap() {
        let is_silenced = alert["status"]["silencedBy"] == json!([id]);
        assert_eq!(
            is_silenced,
            alert["labels"]["tenant_id"] == "acme",
            "{alert}"
        );
    }
    // As a client that edits it: all of it is sent back.
    let mut changed = stored.clone();
    changed["comment"] = json!("longer");
    changed["endsAt"] = json!("2098-01-01T00:00:00.000Z");
    let same = id_of(
        &stage
            .send(&stage.acme, Method::POST, SILENCES, &changed)
            .await,
    );
    assert_eq!(same, id);
    assert_eq!(stage.shared.get(&path).await["comment"], "longer");
    // Other matchers make another silence of it.
    changed["matchers"] = json!([equal("alertname", "Slow")]);
    let other = id_of(
        &stage
            .send(&stage.acme, Method::POST, SILENCES, &changed)
            .await,
    );
    assert_ne!(other, id);
    assert_eq!(stage.shared.state_of(&id).await, "expired");
    let path = format!("/api/v2/silence/{other}");
    assert_eq!(
        stage.shared.get(&path).await["matchers"][1],
        equal("tenant_id", "acme")
    );
    let deleted = stage
        .send(&stage.acme, Method::DELETE, &path, &Value::Null)
        .await;
    assert_eq!(deleted.status, StatusCode::OK, "{}", deleted.text());
    assert!(deleted.body.is_empty());
    assert_eq!(stage.shared.state_of(&other).await, "expired");
}

#[tokio::test]
async fn silence_of_several_tenants_is_confined_by_an_expression() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let both = stage.proxy.signer.tenants(&["acme", "globex", "a.b"]);
    let posted = silence(&json!([equal("alertname", "Down")]));
    let id = id_of(&stage.send(&both, Method::POST, SILENCES, &posted).await);
    let path = format!("/api/v2/silence/{id}");
    let matcher = &stage.shared.get(&path).await["matchers"][1];
    assert_eq!(
        *matcher,
        json!({"name": "tenant_id", "value": "a\\.b|acme|globex", "isRegex": true, "isEqual": true})
    );
    assert_eq!(stage.get(&both, &path).await.status, 200);
    // To one of the tenants it is not wholly his.
    assert_eq!(stage.get(&stage.acme, &path).await.status, 404);
    let deleted = stage
        .send(&stage.acme, Method::DELETE, &path, &Value::Null)
        .await;
    assert_eq!(deleted.status, 404, "{}", deleted.text());
    assert_eq!(stage.shared.state_of(&id).await, "active");
    // The silences of each are shown to who has both.
    let listed = stage.get(&both, SILENCES).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn refused_silences_have_alertmanagers_words() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let mut ended = silence(&json!([equal("a", "b")]));
    ended["endsAt"] = json!("2026-01-02T00:00:00Z");
    let mut incomplete = silence(&json!([equal("a", "b")]));
    incomplete.as_object_mut().unwrap().remove("comment");
    let bad_name = silence(&json!([equal("", "c")]));
    for posted in [ended, incomplete, bad_name] {
        let expected = call(&stage.shared.url, None, Method::POST, SILENCES, &posted).await;
        let answer = stage
            .send(&stage.acme, Method::POST, SILENCES, &posted)
            .await;
        assert!(expected.status.is_client_error());
        assert_eq!(answer.status, expected.status, "{}", answer.text());
        assert_eq!(answer.json(), expected.json());
    }
}

#[tokio::test]
async fn posted_alerts_carry_the_tenant() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let post = async |token: &str, labels: Value| {
        let body = json!([{"labels": labels, "endsAt": "2099-01-01T00:00:00Z"}]);
        stage
            .send(token, Method::POST, "/api/v2/alerts", &body)
            .await
    };
    let named = async |name: &str| {
        let path = format!("/api/v2/alerts?filter=alertname%3D{name}");
        let alerts = stage.shared.get(&path).await;
        let all = alerts.as_array().unwrap().clone();
        all.into_iter()
            .map(|one| one["labels"].clone())
            .collect::<Vec<_>>()
    };
    for (name, labels) in [
        ("One", json!({"alertname": "One", "tenant_id": "acme"})),
        ("Two", json!({"alertname": "Two"})),
        ("Three", json!({"alertname": "Three", "tenant_id": ""})),
    ] {
        let answer = post(&stage.acme, labels).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert!(answer.body.is_empty());
        assert_eq!(
            named(name).await,
            [json!({"alertname": name, "tenant_id": "acme"})]
        );
    }
    let foreign = post(
        &stage.acme,
        json!({"alertname": "Four", "tenant_id": "globex"}),
    )
    .await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert!(!foreign.text().contains("globex"), "{}", foreign.text());
    let both = stage.proxy.signer.tenants(&["acme", "globex"]);
    let unclear = post(&both, json!({"alertname": "Four"})).await;
    assert_eq!(unclear.status, StatusCode::FORBIDDEN, "{}", unclear.text());
    assert_eq!(named("Four").await, [json!(null); 0]);
    let clear = post(&both, json!({"alertname": "Four", "tenant_id": "globex"})).await;
    assert_eq!(clear.status, StatusCode::OK, "{}", clear.text());
    // Nothing of a list with one that is refused.
    let body = json!([{"labels": {"alertname": "Five"}}, {"labels": {"alertname": "Five", "tenant_id": "globex"}}]);
    let mixed = stage
        .send(&stage.acme, Method::POST, "/api/v2/alerts", &body)
        .await;
    assert_eq!(mixed.status, StatusCode::FORBIDDEN);
    assert_eq!(named("Five").await, [json!(null); 0]);
}

/// The same writes to a private Alertmanager and through Partywall, one after the other.
#[tokio::test]
async fn writes_are_answered_as_by_a_private_alertmanager() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let Some(private) = Alertmanager::start("private").await else {
        return;
    };
    let with = |key: &str, value: Value| {
        let mut changed = silence(&json!([equal("alertname", "Slow")]));
        changed[key] = value;
        changed
    };
    let matcher = |value: &str, is_regex: bool, is_equal: bool| {
        let one = json!([{"name": "a", "value": value, "isRegex": is_regex, "isEqual": is_equal}]);
        with("matchers", one)
    };
    let unknown = "00000000-0000-4000-8000-000000000000";
    let alert = |labels: Value| json!([{"labels": labels, "endsAt": "2099-01-01T00:00:00Z"}]);
    let alerts = "/api/v2/alerts";
    let posts = [
        (SILENCES, with("comment", json!("a comment"))),
        (SILENCES, with("createdBy", json!("é \"quoted\""))),
        (SILENCES, with("endsAt", json!("2025-01-02T00:00:00Z"))),
        (SILENCES, with("endsAt", json!("tomorrow"))),
        (SILENCES, with("startsAt", json!("2098-01-01T00:00:00Z"))),
        (SILENCES, with("id", json!(unknown))),
        (SILENCES, with("id", json!(""))),
        (SILENCES, with("matchers", json!([]))),
        (SILENCES, matcher("", false, true)),
        (SILENCES, matcher(".*", true, true)),
        (SILENCES, matcher("(x|)", true, true)),
        (SILENCES, matcher("x?", true, true)),
        (SILENCES, matcher("x", true, true)),
        (SILENCES, matcher("x", false, false)),
        (SILENCES, matcher("", false, false)),
        (SILENCES, matcher(".*", true, false)),
        (SILENCES, matcher("(", true, true)),
        (alerts, json!([])),
        (alerts, alert(json!({"alertname": "New"}))),
        (alerts, alert(json!({"alertname": "New", "empty": ""}))),
        (alerts, alert(json!({}))),
        (alerts, alert(json!({"empty": ""}))),
        (alerts, alert(json!({"": "x"}))),
        (
            alerts,
            json!([{"labels": {"alertname": "New"}, "endsAt": "soon"}]),
        ),
        (
            alerts,
            json!([{"labels": {"alertname": "New"}, "annotations": {"a": "b"},
            "startsAt": "2026-01-01T00:00:00.123Z", "generatorURL": "http://x/y?z=%7B"}]),
        ),
    ];
    let mut ids = Vec::new();
    for (path, body) in posts {
        let expected = call(&private.url, None, Method::POST, path, &body).await;
        let answer = stage.send(&stage.acme, Method::POST, path, &body).await;
        let texts = format!("{body}: {} but {}", expected.text(), answer.text());
        assert_eq!(answer.status, expected.status, "{texts}");
        assert_eq!(answer.body.is_empty(), expected.body.is_empty(), "{texts}");
        if expected.status == StatusCode::OK && path == SILENCES {
            ids.push((id_of(&expected), id_of(&answer)));
        }
    }
    assert!(ids.len() > 6, "{}", ids.len());
    // What is stored is the same, but for the tenant's matcher.
    for (own, through) in &ids {
        let mut expected = private.get(&format!("/api/v2/silence/{own}")).await;
        let stored = stage
            .get(&stage.acme, &format!("/api/v2/silence/{through}"))
            .await;
        let mut stored = stored.json();
        let tenant = stored["matchers"].as_array_mut().unwrap().pop();
        assert_eq!(tenant, Some(equal("tenant_id", "acme")));
        for changing in ["id", "updatedAt", "startsAt"] {
            expected[changing] = Value::Null;
            stored[changing] = Value::Null;
        }
        assert_eq!(stored, expected);
    }
    // Expired once, and once more.
    for _ in 0..2 {
        let (own, through) = &ids[0];
        let path = |id: &str| format!("/api/v2/silence/{id}");
        let expected = call(&private.url, None, Method::DELETE, &path(own), &Value::Null).await;
        let answer = stage
            .send(&stage.acme, Method::DELETE, &path(through), &Value::Null)
            .await;
        assert_eq!(answer.status, expected.status, "{}", answer.text());
    }
    let named = "/api/v2/alerts?filter=alertname%3DNew";
    let stored = stage.get(&stage.acme, named).await.json();
    let expected = private.get(named).await;
    let count = |all: &Value| all.as_array().unwrap().len();
    assert_eq!(count(&stored), count(&expected));
    assert!(count(&stored) > 0);
}
