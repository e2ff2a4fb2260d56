//! A real Alertmanager: Debian's, in no cluster.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::{Answer, Client};
use super::evidence;
use super::process::{Guarded, free_port};

const CONFIG: &str = r#"
route:
  receiver: everybody
  group_by: [alertname, tenant_id]
  group_wait: 1s
  group_interval: 1s
  routes:
    - matchers: ['tenant_id="globex"']
      receiver: globex-pager
    - matchers: ['tenant_id="acme"', 'severity="critical"']
      receiver: acme-pager
receivers: [{name: everybody}, {name: globex-pager}, {name: acme-pager}]
inhibit_rules:
  - source_matchers: ['severity="critical"']
    target_matchers: ['severity="warning"']
    equal: [job, tenant_id]
  - source_matchers: ['alertname="Outage"']
    target_matchers: ['alertname="Dependent"']
"#;

pub struct Alertmanager {
    /// Without a trailing slash.
    pub url: String,
    _process: Guarded,
    _dir: TempDir,
}

impl Alertmanager {
    /// `None` where the program is missing, except in CI.
    pub async fn start(name: &str) -> Option<Self> {
        let program = evidence::program("prometheus-alertmanager")?;
        let dir = TempDir::new().expect("a temporary directory");
        let config = dir.path().join("alertmanager.yml");
        std::fs::write(&config, CONFIG).expect("a config file");
        let port = free_port();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=");
        let mut process = Guarded::spawn(name, command, &dir.path().join("log"));
        let url = format!("http://127.0.0.1:{port}");
        let (client, ready) = (Client::default(), format!("{url}/-/ready"));
        process
            .until(Duration::from_mins(1), || client.is_ok(&ready))
            .await;
        Some(Self {
            url,
            _process: process,
            _dir: dir,
        })
    }

    /// Posts alerts with these labels, which fire for a year.
    pub async fn fire(&self, alerts: &[Value]) {
        let alert = |labels: &Value| {
            json!({"labels": labels, "annotations": {"text": "t"},
                "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z",
                "generatorURL": "http://rules/graph"})
        };
        let body: Vec<Value> = alerts.iter().map(alert).collect();
        let answer = call(
            &self.url,
            None,
            Method::POST,
            "/api/v2/alerts",
            &json!(body),
        )
        .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }

    /// Posts a silence and returns its id.
    pub async fn silence(&self, matchers: &[Value]) -> String {
        let silence = silence(&json!(matchers));
        let answer = call(&self.url, None, Method::POST, "/api/v2/silences", &silence).await;
        id_of(&answer)
    }

    pub async fn get(&self, path: &str) -> Value {
        Client::default()
            .get(&format!("{}{path}", self.url))
            .await
            .json()
    }

    /// All silences, in the order of their ids.
    pub async fn silences(&self) -> Value {
        let mut all = self.get("/api/v2/silences").await;
        let list = all.as_array_mut().expect("a list");
        list.sort_by_key(|one| one["id"].to_string());
        all
    }

    /// `active`, `pending` or `expired`.
    pub async fn state_of(&self, id: &str) -> String {
        let silence = self.get(&format!("/api/v2/silence/{id}")).await;
        silence["status"]["state"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// The id in the answer to a posted silence.
pub fn id_of(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()["silenceID"]
        .as_str()
        .expect("an id")
        .to_owned()
}

pub fn equal(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value, "isRegex": false, "isEqual": true})
}

/// A silence to post.
pub fn silence(matchers: &Value) -> Value {
    json!({"matchers": matchers, "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2099-01-01T00:00:00Z", "createdBy": "me", "comment": "c"})
}

/// Sends a request with a JSON body; without one if it is null.
pub async fn call(
    base: &str,
    token: Option<&str>,
    method: Method,
    path: &str,
    body: &Value,
) -> Answer {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    call_with_text(base, token, method, path, &body).await
}

pub async fn call_with_text(
    base: &str,
    token: Option<&str>,
    method: Method,
    path: &str,
    body: &str,
) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{base}{path}"));
    if !body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = Full::from(Bytes::from(body.to_owned()));
    Client::default()
        .send(request.body(body).expect("a request"))
        .await
}
