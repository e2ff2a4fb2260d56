//! A tenant that wants to see, change or silence what is others'.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Stage, setup_of};
use crate::kit::alertmanager::{Alertmanager, call, call_with_text, equal, silence};
use crate::kit::partywall::Partywall;
use crate::kit::raw::{exchange, request};
use crate::kit::upstream::Upstream;

const SILENCES: &str = "/api/v2/silences";

/// By no call and no parameter: neither names nor ids.
#[tokio::test]
async fn m1_other_tenants_names_and_ids_are_in_no_answer() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let [_, globex, everybodys] = &stage.silences;
    let fingerprints: Vec<String> = stage
        .shared
        .get("/api/v2/alerts?filter=tenant_id!%3Dacme")
        .await
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| alert["fingerprint"].as_str().unwrap().to_owned())
        .collect();
    assert!(fingerprints.len() >= 5);
    let paths = [
        "/api/v2/alerts",
        "/api/v2/alerts/groups",
        "/api/v2/silences",
        "/api/v2/receivers",
        "/api/v2/status",
    ];
    let queries = [
        "",
        "?filter=tenant_id%3D~.%2B",
        "?filter=tenant_id!%3D%22acme%22",
        "?filter=tenant_id%3D%22globe%78%22&filter=tenant_id%3D~%22.*%22",
        "?filter=tenant_id%3D~%22acme|globe.%22",
        "?filter=tenant_id%3D%22%22",
        "?filter=tenant_id%3D%22acme%22%2Ctenant_id%3D~%22.*%22",
        "?filter=%7Btenant_id%3D~%22.*%22%7D",
        "?filter%5B%5D=x&FILTER=tenant_id%3D~.*&filter=a%3D%22%22",
        "?filter=a%3D~%22)%7C(.*%22",
        "?filter=tenant_id%3D%22acme%22%20or%20tenant_id%3D%22x%22",
        "?receiver=.*",
        "?receiver=globe.-pager&silenced=false",
        "?active=false&inhibited=false&silenced=true&unprocessed=true&muted=true",
        "?expired=true&pending=true",
    ];
    for path in paths {
        for query in queries {
            let answer = stage.get(&stage.acme, &format!("{path}{query}")).await;
            let text = answer.text();
            let ids = fingerprints.iter().chain([globex, everybodys]);
            for secret in ids.map(String::as_str).chain(["lobex", "Nobodys"]) {
                let is_echo = answer.status == StatusCode::BAD_REQUEST;
                assert!(
                    is_echo || !text.contains(secret),
                    "{path}{query}: {secret}: {text}"
                );
            }
        }
    }
}

/// However its path is written, a silence that is not the caller's does not exist, and stays.
#[tokio::test]
async fn m2_foreign_silence_is_neither_shown_nor_expired() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let [_, globex, everybodys] = &stage.silences;
    let nothing = "/api/v2/silence/00000000-0000-4000-8000-000000000000";
    let missing = |method| stage.send(&stage.acme, method, nothing, &Value::Null);
    let unread = missing(Method::GET).await;
    let undeleted = missing(Method::DELETE).await;
    assert_eq!(undeleted.status, 404);
    for id in [globex, everybodys] {
        let path = format!("/api/v2/silence/{id}");
        for (method, expected) in [(Method::GET, &unread), (Method::DELETE, &undeleted)] {
            let answer = stage.send(&stage.acme, method, &path, &Value::Null).await;
            assert_eq!(answer.status, expected.status);
            assert_eq!(answer.body, expected.body, "{}", answer.text());
        }
        let escaped = id.replace('a', "%61").replace('0', "%30");
        let bearer = format!("Bearer {}", stage.acme);
        for path in [
            format!("/api/v2/silence/{escaped}"),
            format!("/api/v2/silence/{}", id.to_uppercase()),
            format!("/api/v2/silence/{}", id.replace('-', "")),
            format!("/api/v2/silence/{id}/"),
            format!("/api/v2//silence/{id}"),
            format!("/api/v2/silence//{id}"),
            format!("/api/v2/silence/./{id}"),
            format!("/api/v2/silence/x/../{id}"),
            format!("/api/v2/silence/x%2f..%2f{id}"),
            format!("/api/v2/silence/{id}%00"),
            format!("/api/v2/silence/{id};x"),
            format!("/api/v2/silence/{id}?x=1"),
            format!("/api/v2/silence/{id}%3fx"),
            format!("/api/v2/silence/%20{id}"),
            format!("/API/v2/silence/{id}"),
            format!("/api/v2/Silence/{id}"),
            format!("/api/v1/silence/{id}"),
            format!("/x/api/v2/silence/{id}"),
            format!("/%61pi/v2/silence/{id}"),
        ] {
            for method in ["GET", "DELETE", "HEAD", "POST", "PUT", "PATCH", "OPTIONS"] {
                let bytes = request(method, &path, &[("Authorization", &bearer)], b"");
                let answer = exchange(stage.proxy.authority(), &bytes).await;
                assert!(answer.status >= 400, "{method} {path}: {answer:?}");
                let text = answer.text();
                assert!(
                    !text.contains("createdBy") && !text.contains("globex"),
                    "{text}"
                );
            }
        }
        assert_eq!(stage.shared.state_of(id).await, "active");
    }
}

/// A change of a silence by its id needs one that is the caller's: before and after.
#[tokio::test]
async fn m3_foreign_silence_is_not_changed() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let [own, globex, everybodys] = &stage.silences;
    let before = stage.shared.silences().await;
    let post = async |id: &str, matchers: Value| {
        let mut posted = silence(&matchers);
        posted["id"] = json!(id);
        stage
            .send(&stage.acme, Method::POST, SILENCES, &posted)
            .await
    };
    let mut refused = Vec::new();
    for id in [
        globex,
        everybodys,
        "00000000-0000-4000-8000-000000000000",
        "x",
        "../silences",
    ] {
        let answer = post(id, json!([equal("alertname", "X")])).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{id}");
        refused.push(answer.body);
    }
    // Whether there is such a silence cannot be told.
    assert!(
        refused.iter().all(|body| body == &refused[0]),
        "{refused:?}"
    );
    let stolen = post(
        own,
        json!([equal("alertname", "X"), equal("tenant_id", "globex")]),
    )
    .await;
    assert_eq!(stolen.status, StatusCode::FORBIDDEN, "{}", stolen.text());
    assert_eq!(stage.shared.silences().await, before);
}

#[tokio::test]
async fn m4_silence_that_may_match_others_is_refused() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let before = stage.shared.silences().await;
    let x = equal("alertname", "X");
    let named = |value: &str, is_regex: bool, is_equal: bool| json!({"name": "tenant_id", "value": value, "isRegex": is_regex, "isEqual": is_equal});
    for matcher in [
        named("globex", false, true),
        named("", false, true),
        named("globex", false, false),
        named(".*", true, true),
        named("acme|globex", true, true),
        named("acme|", true, true),
        named("acme)|(globex", true, true),
        named("ac[m]e", true, true),
        named("globex", true, false),
    ] {
        let posted = silence(&json!([x, matcher]));
        let answer = stage
            .send(&stage.acme, Method::POST, SILENCES, &posted)
            .await;
        assert_eq!(
            answer.status,
            StatusCode::FORBIDDEN,
            "{matcher}: {}",
            answer.text()
        );
        assert!(!answer.text().contains("globex"), "{}", answer.text());
    }
    assert_eq!(stage.shared.silences().await, before);
}

/// What two readers could read differently is stored by none.
#[tokio::test]
async fn m5_ambiguous_bodies_are_refused() {
    let Some(stage) =
        Stage::with(|setup| setup.rest = "limits: {body_bytes: 65536}\n".to_owned()).await
    else {
        return;
    };
    let before = (
        stage.shared.silences().await,
        stage.shared.get("/api/v2/receivers").await,
    );
    let times = r#""startsAt":"2026-01-01T00:00:00Z","endsAt":"2099-01-01T00:00:00Z","createdBy":"m","comment":"c""#;
    let own = r#"[{"name":"tenant_id","value":"acme","isRegex":false}]"#;
    let all = r#"[{"name":"alertname","value":".+","isRegex":true}]"#;
    let deep = "[".repeat(5000);
    let long = format!(
        r#"{{"matchers":{own},{times},"comment2":"{}"}}"#,
        "x".repeat(70_000)
    );
    for (body, status) in [
        (
            format!(r#"{{"matchers":{own},"matchers":{all},{times}}}"#),
            400,
        ),
        (
            format!(r#"{{"matchers":{own},"m\u0061tchers":{all},{times}}}"#),
            400,
        ),
        (
            format!(r#"{{"matchers":{own},"Matchers":{all},{times}}}"#),
            400,
        ),
        (
            format!(r#"{{"matchers":{own},"MATCHERS":{all},{times}}}"#),
            400,
        ),
        (
            format!(r#"{{"matchers":{own},"matcherSets":[{all}],{times}}}"#),
            400,
        ),
        (
            r#"{"matchers":[{"name":"tenant_id","Name":"x","value":"acme"}]}"#.to_owned(),
            400,
        ),
        (
            format!(r#"{{"matchers":{own},{times}}}{{"matchers":{all},{times}}}"#),
            400,
        ),
        (deep, 400),
        (long, 413),
        ("null".to_owned(), 400),
        ("{}".to_owned(), 422),
    ] {
        let token = Some(&*stage.acme);
        let answer = call_with_text(&stage.proxy.url, token, Method::POST, SILENCES, &body).await;
        let shown: String = body.chars().take(100).collect();
        assert_eq!(answer.status, status, "{shown}: {}", answer.text());
    }
    for body in [
        r#"[{"labels":{"alertname":"Stolen","tenant_id":"acme","tenant_id":"globex"}}]"#,
        r#"[{"labels":{"alertname":"Stolen"},"Labels":{"alertname":"Stolen","tenant_id":"globex"}}]"#,
        r#"[{"labels":{"alertname":"Stolen","tenant\u005fid":"globex","tenant_id":"acme"}}]"#,
    ] {
        let token = Some(&*stage.acme);
        let answer = call_with_text(
            &stage.proxy.url,
            token,
            Method::POST,
            "/api/v2/alerts",
            body,
        )
        .await;
        assert_eq!(answer.status, 400, "{body}");
    }
    let types = [
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/json\r\nContent-Type: text/plain",
        "application/json\r\nContent-Encoding: gzip",
    ];
    for content_type in types {
        let bearer = format!("Bearer {}", stage.acme);
        let headers = [("Authorization", &*bearer), ("Content-Type", content_type)];
        let body = format!(r#"{{"matchers":{own},{times}}}"#);
        let bytes = request("POST", SILENCES, &headers, body.as_bytes());
        let answer = exchange(stage.proxy.authority(), &bytes).await;
        assert!(
            [400, 415].contains(&answer.status),
            "{content_type}: {answer:?}"
        );
    }
    let after = (
        stage.shared.silences().await,
        stage.shared.get("/api/v2/receivers").await,
    );
    assert_eq!(after, before);
    let alerts = stage
        .shared
        .get("/api/v2/alerts?filter=alertname%3DStolen")
        .await;
    assert_eq!(alerts, json!([]));
}

/// What silences and inhibits the caller's alerts may be others': it shows, but not by its id.
#[tokio::test]
async fn m6_foreign_silences_and_alerts_are_not_named() {
    let Some(shared) = Alertmanager::start("shared").await else {
        return;
    };
    shared
        .fire(&[
            json!({"alertname": "Outage", "tenant_id": "globex"}),
            json!({"alertname": "Dependent", "tenant_id": "acme"}),
        ])
        .await;
    let maintenance = shared.silence(&[equal("alertname", "Dependent")]).await;
    let proxy = Partywall::start(setup_of(&shared.url)).await;
    let token = proxy.signer.tenant("acme");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let raw = shared.get("/api/v2/alerts?filter=tenant_id%3Dacme").await;
    assert_eq!(raw[0]["status"]["silencedBy"], json!([maintenance]));
    assert_eq!(raw[0]["status"]["inhibitedBy"].as_array().unwrap().len(), 1);
    let inhibiting = raw[0]["status"]["inhibitedBy"][0].as_str().unwrap();
    for path in ["/api/v2/alerts", "/api/v2/alerts/groups"] {
        let answer = call(&proxy.url, Some(&token), Method::GET, path, &Value::Null).await;
        let text = answer.text();
        assert!(
            !text.contains(&maintenance) && !text.contains(inhibiting),
            "{text}"
        );
        let all = answer.json();
        let alert = match path {
            "/api/v2/alerts" => &all[0],
            _ => &all[0]["alerts"][0],
        };
        assert_eq!(alert["labels"]["alertname"], "Dependent", "{text}");
        let status = &alert["status"];
        assert_eq!(status["state"], "suppressed");
        assert_eq!(
            (&status["silencedBy"], &status["inhibitedBy"]),
            (&json!([]), &json!([]))
        );
    }
}

#[tokio::test]
async fn m7_all_other_paths_are_closed_and_data_needs_a_token() {
    // Alertmanager's own 404 would hide that something was forwarded.
    let recorder = Upstream::start().await;
    let proxy = Partywall::start(setup_of(&recorder.url)).await;
    let acme = proxy.signer.tenant("acme");
    for path in [
        "/api/v2/swagger.json",
        "/api/v2/alerts/groups/x",
        "/api/v2/silences/x",
        "/api/v2/status/x",
        "/api/v1/alerts",
        "/api/v1/silences",
        "/api/v2/",
        "/metrics",
        "/-/reload",
        "/debug/pprof/heap",
        "/api/v1/query?query=up",
    ] {
        for method in [Method::GET, Method::POST] {
            let answer = call(&proxy.url, Some(&acme), method.clone(), path, &Value::Null).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
            let seen = recorder.take();
            assert!(seen.is_empty(), "{method} {path} was forwarded: {seen:#?}");
        }
    }
    let Some(stage) = Stage::new().await else {
        return;
    };
    for path in [
        "/api/v2/alerts",
        SILENCES,
        "/api/v2/status",
        "/api/v2/receivers",
    ] {
        let answer = call(&stage.proxy.url, None, Method::GET, path, &Value::Null).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD] {
        let answer = stage
            .send(&stage.acme, method.clone(), SILENCES, &Value::Null)
            .await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    for path in ["/", "/-/healthy", "/-/ready"] {
        let answer = stage.get(&stage.acme, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    }
    let refused = stage
        .get(&stage.acme, "/api/v2/receivers?receiver_matchers=a%3Db")
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.json().is_string(), "{}", refused.text());
}

/// What is read of a body takes more memory than the body, and is charged too.
#[tokio::test]
async fn m9_posts_are_read_within_the_byte_budget() {
    let recorder = Upstream::start().await;
    let mut setup = setup_of(&recorder.url);
    setup.rest = "limits: {buffered_bytes: 1MiB}\n".to_owned();
    let proxy = Partywall::start(setup).await;
    let acme = proxy.signer.tenant("acme");
    let own = [equal("alertname", "X")];
    for (length, is_sent) in [(1_000, true), (100_000, false), (1_000, true)] {
        let mut posted = silence(&json!(own));
        posted["comment"] = json!("x".repeat(length));
        let alerts = json!([{"labels": {"alertname": "x".repeat(length)}}]);
        for (path, body) in [(SILENCES, &posted), ("/api/v2/alerts", &alerts)] {
            let answer = call(&proxy.url, Some(&acme), Method::POST, path, body).await;
            let refusals = [
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::SERVICE_UNAVAILABLE,
            ];
            let is_refused = refusals.contains(&answer.status);
            assert_eq!(is_refused, !is_sent, "{path}: {}", answer.text());
            assert_eq!(recorder.take().len(), usize::from(is_sent), "{path}");
        }
    }
}
