//! The same questions to a private Alertmanager and through Partywall: the answers are equal, but for
//! ids that are random and times that are the store's own.

use hyper::Method;
use serde_json::{Value, json};

use super::{Stage, acme_alerts, acme_silence};
use crate::kit::alertmanager::{Alertmanager, equal, silence};
use crate::kit::client::{Ask, Client};

/// Without what differs between two stores that got the same.
fn comparable(value: &Value) -> Value {
    match value {
        Value::Array(all) => all.iter().map(comparable).collect(),
        Value::Object(all) => {
            let is_silence = all.contains_key("createdBy");
            let kept = all.iter().filter_map(|(key, value)| {
                let value = match key.as_str() {
                    "updatedAt" | "id" => return None,
                    "startsAt" if is_silence => return None,
                    "silencedBy" => json!(value.as_array().map(Vec::len)),
                    _ => comparable(value),
                };
                Some((key.clone(), value))
            });
            Value::Object(kept.collect())
        }
        other => other.clone(),
    }
}

fn questions() -> Vec<Ask> {
    let filters: &[&[&str]] = &[
        &[],
        &["alertname=\"Down\""],
        &["alertname=Down"],
        &["alertname=~\"Down|Full\""],
        &["severity!=\"warning\""],
        &["severity!~\"w.*\"", "job=\"db\""],
        &["tenant_id=\"acme\""],
        &["tenant_id=\"globex\""],
        &["tenant_id!=\"acme\""],
        &["tenant_id=~\".*\""],
        &["tenant_id=\"\""],
        &["nothing=\"\""],
        &["job=\"globex-db\""],
        &["alertname=\"GlobexOnly\""],
        &["alertname=\"Odd \\\"name\\\" {é}\\\\\""],
        &["alertname = Slow "],
        &["foo"],
        &["="],
        &[""],
        &["alertname=~\"[\""],
        &["alertname=\"Down\",job=\"api\""],
        &["{alertname=\"Down\"}"],
    ];
    let more: &[&[(&str, &str)]] = &[
        &[],
        &[("active", "false")],
        &[("silenced", "false")],
        &[("inhibited", "false")],
        &[("unprocessed", "false")],
        &[("expired", "false"), ("pending", "false")],
        &[("muted", "false")],
        &[("receiver", "every.*")],
        &[("receiver", "acme-pager")],
        &[("receiver", "globex-pager")],
        &[("receiver", "[")],
        &[("active", "false"), ("active", "true")],
        &[("unknown", "1"), ("Filter", "x")],
    ];
    let mut all = Vec::new();
    for path in [
        "/api/v2/alerts",
        "/api/v2/alerts/groups",
        "/api/v2/silences",
    ] {
        for filters in filters {
            for more in more {
                let filters = filters.iter().map(|filter| ("filter", *filter));
                let params: Vec<_> = filters.chain(more.iter().copied()).collect();
                all.push(Ask::get(path, &params));
            }
        }
    }
    all.push(Ask::get(
        "/api/v2/silence/00000000-0000-4000-8000-000000000000",
        &[],
    ));
    all
}

#[tokio::test]
async fn answers_are_those_of_a_private_alertmanager() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let Some(private) = Alertmanager::start("private").await else {
        return;
    };
    private.fire(&acme_alerts()).await;
    let own = private.silence(&acme_silence()).await;
    // Both have dispatched their alerts to groups.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let client = Client::default();
    let (mut found, mut asked) = (0, 0);
    for ask in questions() {
        let expected = client.ask(&private.url, &ask, None).await;
        let answer = client.ask(&stage.proxy.url, &ask, Some(&stage.acme)).await;
        assert_eq!(answer.status, expected.status, "{ask}: {}", answer.text());
        assert_eq!(
            answer.header("content-type"),
            expected.header("content-type"),
            "{ask}"
        );
        if expected.body.is_empty() {
            assert!(answer.body.is_empty(), "{ask}: {}", answer.text());
            continue;
        }
        assert_eq!(
            comparable(&answer.json()),
            comparable(&expected.json()),
            "{ask}"
        );
        found += usize::from(
            expected
                .json()
                .as_array()
                .is_some_and(|all| !all.is_empty()),
        );
        asked += 1;
    }
    assert!(asked > 800 && found > 150, "{found} of {asked}");
    // By its id, which is another in each.
    let expected = private.get(&format!("/api/v2/silence/{own}")).await;
    let [id, ..] = &stage.silences;
    let answer = stage
        .get(&stage.acme, &format!("/api/v2/silence/{id}"))
        .await;
    assert_eq!(comparable(&answer.json()), comparable(&expected));
    // The own silence is named by an alert, and so is the own alert that inhibits another.
    let alerts = stage.get(&stage.acme, "/api/v2/alerts").await.json();
    let of = |name: &str, job: &str| {
        let all = alerts.as_array().unwrap();
        let mut all = all.iter().filter(|one| one["labels"]["alertname"] == name);
        all.find(|one| one["labels"]["job"] == job).unwrap().clone()
    };
    assert_eq!(of("Full", "db")["status"]["silencedBy"], json!([id]));
    let source = of("Down", "api")["fingerprint"].clone();
    assert_eq!(of("Slow", "api")["status"]["inhibitedBy"], json!([source]));
}

#[tokio::test]
async fn status_withholds_configuration_and_receivers_are_those_of_own_alerts() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let status = stage.get(&stage.acme, "/api/v2/status").await;
    let own = stage.shared.get("/api/v2/status").await;
    assert_eq!(status.json()["versionInfo"], own["versionInfo"]);
    assert_eq!(
        status.json()["cluster"],
        json!({"status": "disabled", "peers": []})
    );
    assert!(!status.text().contains("pager"), "{}", status.text());
    let config = status.json()["config"]["original"].clone();
    assert!(config.as_str().unwrap().starts_with("route:"), "{config}");
    let receivers = async |token: &str| stage.get(token, "/api/v2/receivers").await.json();
    assert_eq!(
        receivers(&stage.acme).await,
        json!([{"name": "acme-pager"}, {"name": "everybody"}])
    );
    assert_eq!(
        receivers(&stage.globex).await,
        json!([{"name": "globex-pager"}])
    );
    let nobody = stage.proxy.signer.tenant("nobody");
    assert_eq!(receivers(&nobody).await, json!([]));
}

#[tokio::test]
async fn caller_with_all_tenants_gets_what_the_upstream_answers() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let admin = stage.proxy.signer.admin();
    for path in [
        "/api/v2/alerts",
        "/api/v2/alerts?filter=job%3D%22api%22",
        "/api/v2/silences?filter=tenant_id%3Dglobex",
        "/api/v2/receivers",
        "/api/v2/status",
    ] {
        let answer = stage.get(&admin, path).await;
        assert_eq!(answer.json(), stage.shared.get(path).await, "{path}");
    }
    let [_, globex, _] = &stage.silences;
    let path = format!("/api/v2/silence/{globex}");
    let delete = stage
        .send(&admin, Method::DELETE, &path, &Value::Null)
        .await;
    assert_eq!(delete.status, 200, "{}", delete.text());
    assert_eq!(stage.shared.state_of(globex).await, "expired");
}

/// Several tenants make an expression, several labels several filters.
#[tokio::test]
async fn several_tenants_and_labels_confine_alerts() {
    let further = "\n  and:\n    - claim: jobs\n      metrics:\n        label: job";
    let Some(stage) = Stage::with(|setup| setup.tenancy.push_str(further)).await else {
        return;
    };
    let labels = async |tenants: Value, jobs: Value| {
        let claims = json!({"tenant_id": tenants, "jobs": jobs});
        let token = stage.proxy.signer.token(&claims);
        let alerts = stage.get(&token, "/api/v2/alerts").await.json();
        let alerts = alerts.as_array().unwrap();
        let mut labels: Vec<String> = alerts
            .iter()
            .map(|alert| {
                let text = |name: &str| alert["labels"][name].as_str().unwrap_or("").to_owned();
                format!(
                    "{} {} {}",
                    text("tenant_id"),
                    text("job"),
                    text("alertname")
                )
            })
            .collect();
        labels.sort();
        labels
    };
    assert_eq!(
        labels(json!(["acme", "globex"]), json!(["api"])).await,
        [
            "acme api Down",
            "acme api Slow",
            "globex api Down",
            "globex api Slow"
        ]
    );
    assert_eq!(
        labels(json!(["acme"]), json!(["db", "globex-db"])).await,
        ["acme db Full", "acme db Slow"]
    );
    assert_eq!(labels(json!("acme"), json!("nothing")).await, [""; 0]);
    // A silence has to be confined by both.
    let token = stage
        .proxy
        .signer
        .token(&json!({"tenant_id": "acme", "jobs": "db"}));
    let silences = stage.get(&token, "/api/v2/silences").await;
    assert_eq!(silences.json(), json!([]));
}

/// What is read and what may be written is the same for each way to say whose data it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selector_of_the_same_alerts_has_the_same_answers() {
    let selectors = "
  selectors:
    expression: {match: '=~', value: 'acm[e]|beta-.*'}
    all-others: {match: '!~', value: '(acme-)?globex'}";
    let stage = Stage::with(|setup| setup.tenancy.push_str(selectors)).await;
    let Some(stage) = stage else { return };
    let client = Client::default();
    for tenant in ["expression", "all-others"] {
        let token = stage.proxy.signer.tenant(tenant);
        let mut with_data = 0;
        for ask in questions() {
            let expected = client.ask(&stage.proxy.url, &ask, Some(&stage.acme)).await;
            let got = client.ask(&stage.proxy.url, &ask, Some(&token)).await;
            assert_eq!(
                got.status,
                expected.status,
                "{tenant} {ask}: {}",
                got.text()
            );
            if got.status.is_success() {
                let (expected, got) = (comparable(&expected.json()), comparable(&got.json()));
                assert_eq!(got, expected, "{tenant} {ask}");
                with_data += usize::from(got.to_string().contains("acme"));
            }
        }
        assert!(with_data > 100, "{with_data} answers have data");

        // A silence gets the selector as a matcher, and is the tenant's from then on.
        let posted = silence(&json!([equal("alertname", "Down")]));
        let path = "/api/v2/silences";
        let answer = stage.send(&token, Method::POST, path, &posted).await;
        assert_eq!(answer.status, 200, "{tenant}: {}", answer.text());
        let id = answer.json()["silenceID"]
            .as_str()
            .expect("an id")
            .to_owned();
        let one = format!("/api/v2/silence/{id}");
        let mut own = stage.get(&token, &one).await.json();
        assert_eq!(
            own["matchers"].as_array().expect("matchers").len(),
            2,
            "{own}"
        );
        assert_eq!(stage.get(&stage.globex, &one).await.status, 404, "{tenant}");
        let alerts = stage.shared.get("/api/v2/alerts").await;
        let silenced = alerts.as_array().expect("alerts").iter();
        let silenced: Vec<&str> = silenced
            .filter(|alert| alert["status"]["silencedBy"].to_string().contains(&id))
            .map(|alert| alert["labels"]["tenant_id"].as_str().unwrap_or("none"))
            .collect();
        assert_eq!(silenced, ["acme"], "{tenant}");
        // Sent back as it was read, it is changed; with another tenant in it, it is not.
        own["comment"] = json!("changed");
        let answer = stage.send(&token, Method::POST, path, &own).await;
        assert_eq!(answer.status, 200, "{tenant}: {}", answer.text());
        own["matchers"][1]["value"] = json!(".*");
        let answer = stage.send(&token, Method::POST, path, &own).await;
        assert_eq!(answer.status, 403, "{tenant}: {}", answer.text());
    }
}
