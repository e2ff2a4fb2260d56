//! What Grafana's Alertmanager data source sends, with the implementation *Prometheus*: its test of the
//! connection (`public/app/plugins/datasource/alertmanager/DataSource.ts`), and the calls of its pages
//! (`public/app/features/alerting/unified/api/alertmanagerApi.ts`, `alertSilencesApi.ts`).

use hyper::Method;
use serde_json::{Value, json};

use super::Stage;
use crate::kit::alertmanager::{equal, id_of, silence};

#[tokio::test]
async fn grafanas_test_of_the_connection_succeeds() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    // Whether it is a Mimir: whatever the answer, it is no 200.
    for path in ["/api/v1/status/buildinfo", "/alertmanager/api/v2/status"] {
        let answer = stage.get(&stage.acme, path).await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
    }
    let status = stage.get(&stage.acme, "/api/v2/status").await;
    assert_eq!(status.status, 200, "{}", status.text());
    // Its page of the configuration reads this.
    assert!(status.json()["config"]["original"].is_string());
    assert!(status.json()["versionInfo"]["version"].is_string());
}

#[tokio::test]
async fn calls_of_grafanas_pages_are_answered_with_own_data() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let get = async |path: &str| {
        let answer = stage.get(&stage.acme, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(!answer.text().contains("globex"), "{path}");
        answer.json()
    };
    let groups = "/api/v2/alerts/groups?silenced=true&inhibited=true&active=true";
    assert!(!get(groups).await.as_array().unwrap().is_empty());
    let alerts = "/api/v2/alerts?filter=alertname%3D%22Slow%22&silenced=false&active=true";
    assert!(!get(alerts).await.as_array().unwrap().is_empty());
    assert!(
        !get("/api/v2/receivers")
            .await
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(get("/api/v2/silences").await.as_array().unwrap().len(), 1);
    // A silence is made, shown, edited with all that was shown of it, and expired.
    let body = silence(&json!([equal("alertname", "Slow")]));
    let post = async |body: &Value| {
        let sent = stage.send(&stage.acme, Method::POST, "/api/v2/silences", body);
        id_of(&sent.await)
    };
    let id = post(&body).await;
    let mut edited = get(&format!("/api/v2/silence/{id}")).await;
    assert_eq!(edited["matchers"].as_array().unwrap().len(), 2);
    edited["comment"] = json!("edited");
    let id = post(&edited).await;
    let path = format!("/api/v2/silence/{id}");
    assert_eq!(get(&path).await["comment"], "edited");
    let expire = stage.send(&stage.acme, Method::DELETE, &path, &Value::Null);
    let expire = expire.await;
    assert_eq!(expire.status, 200, "{}", expire.text());
    assert_eq!(stage.shared.state_of(&id).await, "expired");
}
