//! What the proxy knows of its upstreams' health, and what it makes of it.

use std::time::Duration;

use crate::kit::client::{Ask, Client};
use crate::kit::rig::{ACME, Rig, replace};
use crate::kit::stage::eventually;
use crate::kit::tempo_upstream::TempoUpstream;
use crate::kit::upstream::{Behaviour, Reply, Upstream};

const HEALTHY: &str = r#"partywall_upstream_healthy{upstream="metrics"}"#;
const GOOD: &str = r#"partywall_upstream_health_checks_total{upstream="metrics",result="ok"}"#;
const BAD: &str = r#"partywall_upstream_health_checks_total{upstream="metrics",result="error"}"#;

/// Checked often.
async fn rig(health: &str) -> Rig {
    Rig::start(|config, _| {
        let often = format!("health: {{interval: 50ms, timeout: 300ms{health}}}");
        config.upstream_options = vec![often];
    })
    .await
}

fn broken(status: u16) -> Behaviour {
    let mut reply = Reply::json("{}");
    reply.status = status;
    Behaviour::Reply(reply)
}

fn well() -> Behaviour {
    Behaviour::Reply(Reply::json("{}"))
}

async fn until(rig: &Rig, healthy: bool) {
    let what = format!("healthy: {healthy}");
    eventually(&what, async || (rig.metric(HEALTHY).await > 0.5) == healthy).await;
}

/// How often the log says so.
fn said(rig: &Rig, what: &str) -> usize {
    rig.process.log().matches(what).count()
}

const IS_HEALTHY: &str = "the upstream is healthy upstream=\"metrics\"";
const IS_NOT: &str = "the upstream is unhealthy";

#[tokio::test]
async fn it_is_asked_as_a_client_would() {
    let rig = Rig::start(|config, _| {
        config.upstream += "/base";
        config.credentials = "{bearer_token: own}".to_owned();
        config.upstream_options = vec!["health: {path: '/up?a=b', interval: 50ms}".to_owned()];
    })
    .await;
    eventually("it was asked again", async || rig.metric(GOOD).await > 2.5).await;
    let checks = rig.upstream.take_checks();
    assert!(checks.len() >= 3, "{checks:?}");
    for check in checks {
        assert_eq!(check.method, "GET");
        assert_eq!(check.target, "/base/up?a=b");
        assert_eq!(check.header("authorization"), Some("Bearer own"));
        let authority = rig.upstream.url.trim_start_matches("http://");
        assert_eq!(check.header("host"), Some(authority));
    }
    assert!(rig.upstream.take().is_empty());
    assert!(rig.metric("partywall_upstream_requests_total").await < 0.5);
    assert!(rig.metric(BAD).await < 0.5);
}

#[tokio::test]
async fn the_default_path_is_the_apis_own() {
    let tempo = Upstream::start().await;
    let rig = Rig::start(|config, _| {
        config.tenancy = "claim: tenant_id\n  traces: {attribute: resource.t}".to_owned();
        config.more = vec![format!(
            "{{name: traces, api: tempo, url: '{}'}}",
            tempo.url
        )];
    })
    .await;
    let both = "partywall_upstream_healthy";
    eventually("both were asked", async || rig.metric(both).await > 1.5).await;
    assert_eq!(rig.upstream.take_checks()[0].target, "/-/ready");
    assert_eq!(tempo.take_checks()[0].target, "/ready");
}

#[tokio::test]
async fn each_change_is_reported_once() {
    let rig = rig("").await;
    until(&rig, true).await;
    assert_eq!((said(&rig, IS_HEALTHY), said(&rig, IS_NOT)), (1, 0));
    for (turn, behaviour, why) in [
        (1, broken(503), "GET /-/ready: answered 503"),
        (2, broken(302), "GET /-/ready: answered 302"),
        (3, broken(401), "GET /-/ready: answered 401"),
        (4, Behaviour::HangUp, "client error"),
        (
            5,
            Behaviour::Silent,
            "no answer within 300ms (health.timeout)",
        ),
    ] {
        rig.upstream.be_healthy(behaviour);
        until(&rig, false).await;
        let failed = rig.metric(BAD).await;
        eventually("again", async || rig.metric(BAD).await > failed + 1.5).await;
        assert_eq!((said(&rig, IS_HEALTHY), said(&rig, IS_NOT)), (turn, turn));
        assert!(
            rig.process.log().contains(why),
            "{why}: {}",
            rig.process.log()
        );
        assert_eq!(rig.admin_status("/-/ready").await, 200, "it gates nothing");
        assert_eq!(rig.status(&ACME).await, 200, "requests are tried");
        rig.upstream.be_healthy(well());
        until(&rig, true).await;
        assert_eq!(
            (said(&rig, IS_HEALTHY), said(&rig, IS_NOT)),
            (turn + 1, turn)
        );
    }
}

#[tokio::test]
async fn readiness_can_depend_on_it() {
    let rig = Rig::launch(|config, _| {
        config.upstream_options =
            vec!["health: {interval: 50ms, gates_readiness: true}".to_owned()];
        // Nothing listens at first.
        config.upstream = "http://127.0.0.1:1".to_owned();
    })
    .await;
    eventually("it was asked", async || rig.metric(BAD).await > 0.5).await;
    let ready = rig.admin_get("/-/ready").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.text(), "not ready: upstream `metrics` is unhealthy\n");
    assert_eq!(rig.admin_status("/-/healthy").await, 200);

    let mut rig = rig;
    rig.config.upstream.clone_from(&rig.upstream.url);
    rig.replace();
    eventually("it is ready", async || {
        rig.admin_status("/-/ready").await == 200
    })
    .await;
    rig.upstream.be_healthy(broken(500));
    eventually("it is not", async || {
        rig.admin_status("/-/ready").await == 503
    })
    .await;
    assert_eq!(
        rig.status(&ACME).await,
        200,
        "requests in spite of it are served"
    );
    rig.upstream.be_healthy(well());
    eventually("it is ready", async || {
        rig.admin_status("/-/ready").await == 200
    })
    .await;
}

/// Until the first check is done, who is to be sure?
#[tokio::test]
async fn an_upstream_that_was_never_seen_is_not_ready() {
    let silent = Upstream::start().await;
    silent.be_healthy(Behaviour::Silent);
    let rig = Rig::launch(|config, _| {
        config.upstream_options = vec!["health: {timeout: 1h, gates_readiness: true}".to_owned()];
        config.upstream.clone_from(&silent.url);
    })
    .await;
    eventually("it is asked", async || !silent.take_checks().is_empty()).await;
    let ready = rig.admin_get("/-/ready").await;
    assert_eq!(ready.status, 503);
    assert_eq!(
        ready.text(),
        "not ready: upstream `metrics` has not been checked yet\n"
    );
    let metrics = rig.admin_get("/metrics").await.text();
    assert!(!metrics.contains(HEALTHY), "not known: {metrics}");
}

#[tokio::test]
async fn a_killed_upstream_is_seen() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(|config, _| {
        config.upstream.clone_from(&upstream.url);
        config.upstream_options =
            vec!["health: {interval: 50ms, gates_readiness: true}".to_owned()];
    })
    .await;
    until(&rig, true).await;
    let open = r#"partywall_upstream_connections{upstream="metrics"}"#;
    assert!(rig.metric(open).await > 0.5);
    drop(upstream);
    until(&rig, false).await;
    assert_eq!(rig.admin_status("/-/ready").await, 503);
    assert_eq!(rig.status(&ACME).await, 502);
    eventually("no connection is left", async || {
        rig.metric(open).await < 0.5
    })
    .await;
}

#[tokio::test]
async fn a_hanging_upstream_is_seen() {
    let rig = rig(", gates_readiness: true").await;
    until(&rig, true).await;
    rig.upstream.behave(Behaviour::Silent);
    rig.upstream.be_healthy(Behaviour::Silent);
    let started = std::time::Instant::now();
    until(&rig, false).await;
    assert!(
        started.elapsed() >= Duration::from_millis(250),
        "the timeout passes first"
    );
    assert_eq!(rig.admin_status("/-/ready").await, 503);
}

#[tokio::test]
async fn health_state_survives_reloads() {
    let mut rig = Rig::start(|config, dir| {
        std::fs::write(dir.join("token"), "first").unwrap();
        config.credentials = "{bearer_token_file: token}".to_owned();
        config.upstream_options =
            vec!["health: {interval: 1h, timeout: 1h, gates_readiness: true}".to_owned()];
        config.unwatched();
    })
    .await;
    assert_eq!(rig.upstream.take_checks().len(), 1);
    // One that concerns others: the same watch goes on.
    rig.config.rest += "limits: {requests: 7}\n";
    rig.rewrite();
    assert_eq!(rig.post_reload().await.status, 200);
    assert_eq!(rig.admin_status("/-/ready").await, 200);
    assert!(rig.upstream.take_checks().is_empty());
    assert!((rig.metric(GOOD).await - 1.0).abs() < 0.1);
    // One that makes a new client: asked again at once, and healthy until there is an answer.
    rig.upstream.be_healthy(Behaviour::Silent);
    replace(&rig.dir().join("token"), "second");
    assert_eq!(rig.post_reload().await.status, 200);
    assert_eq!(rig.admin_status("/-/ready").await, 200);
    assert!(rig.metric(HEALTHY).await > 0.5);
    eventually("it is asked with the new token", async || {
        let checks = rig.upstream.take_checks();
        checks
            .iter()
            .any(|check| check.header("authorization") == Some("Bearer second"))
    })
    .await;
    assert!(
        (rig.metric(GOOD).await - 1.0).abs() < 0.1,
        "it goes on counting"
    );
    assert_eq!(said(&rig, IS_HEALTHY), 1);
}

#[tokio::test]
async fn a_reload_waits_for_the_health_of_a_new_upstream() {
    let new = Upstream::start().await;
    let mut rig = Rig::start(|config, _| config.unwatched()).await;
    rig.config.more = vec![format!(
        "{{name: new, api: prometheus, url: '{}', path_prefix: /new, health: {{gates_readiness: true}}}}",
        new.url
    )];
    rig.rewrite();
    for _ in 0..10 {
        assert_eq!(rig.post_reload().await.status, 200);
        assert_eq!(rig.admin_status("/-/ready").await, 200, "at once");
    }
    assert_eq!(new.take_checks().len(), 1);
}

#[tokio::test]
async fn an_upstream_that_is_gone_is_neither_asked_nor_shown() {
    let gone = Upstream::start().await;
    let mut rig = Rig::start(|config, _| {
        config.more = vec![format!(
            "{{name: gone, api: prometheus, url: '{}', path_prefix: /gone, health: {{interval: 20ms}}}}",
            gone.url
        )];
    })
    .await;
    assert_eq!(rig.ask_below("/gone", &ACME).await.status, 200);
    let shown = async || {
        let text = rig.admin_get("/metrics").await.text();
        let lines = text
            .lines()
            .filter(|line| line.contains(r#"upstream="gone""#) && !line.contains("_bucket{"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("it is healthy", async || {
        shown()
            .await
            .iter()
            .any(|line| line.starts_with("partywall_upstream_healthy{"))
    })
    .await;
    // requests, sum and count of their durations, healthy, two results of checks, connections,
    // opened, repeats, insecure, shadow
    assert_eq!(shown().await.len(), 11, "{:#?}", shown().await);
    rig.config.more.clear();
    rig.replace();
    let shown = async || {
        rig.admin_get("/metrics")
            .await
            .text()
            .contains(r#"upstream="gone""#)
    };
    eventually("it is not shown any more", async || !shown().await).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    gone.take_checks();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(gone.take_checks().is_empty());
    assert_eq!(rig.ask_below("/gone", &ACME).await.status, 403);
}

const ORG_ID_IGNORED: &str = r#"partywall_upstream_org_id_ignored{upstream="tempo"}"#;

/// In front of a metrics upstream and this Tempo, of which `tenancy.traces.org_id` is asked.
async fn by_org_id(tempo: &TempoUpstream) -> Rig {
    let change = |config: &mut crate::kit::partywall::Setup, _: &std::path::Path| {
        config.more = vec![format!(
            "{{name: tempo, api: tempo, url: '{}', health: {{interval: 50ms}}}}",
            tempo.url
        )];
        config.tenancy += "\n  traces: {org_id: true}";
    };
    Rig::launch(change).await
}

async fn readiness(rig: &Rig) -> (u16, String) {
    let answer = rig.admin_get("/-/ready").await;
    (answer.status.as_u16(), answer.text())
}

async fn search(rig: &Rig) -> u16 {
    let ask = Ask::get("/api/search", &[("q", "{}")]);
    let answer = Client::default().ask(&rig.url(), &ask, Some(&ACME)).await;
    answer.status.as_u16()
}

#[tokio::test]
async fn tempo_that_ignores_org_ids_keeps_it_unready() {
    let tempo = TempoUpstream::start().await;
    tempo.without_org_id(200);
    let rig = by_org_id(&tempo).await;
    let ignored = async || rig.metric(ORG_ID_IGNORED).await > 0.5;
    eventually("it is found out", async || ignored().await).await;
    for _ in 0..5 {
        let (status, text) = readiness(&rig).await;
        assert_eq!(status, 503);
        assert!(
            text.contains("upstream `tempo`: tenancy.traces.org_id is set, but this Tempo ignores"),
            "{text}"
        );
    }
    assert_eq!(said(&rig, "ERROR"), 1, "{}", rig.process.log());
    assert_eq!(search(&rig).await, 502);
    assert!(tempo.take().is_empty());

    tempo.without_org_id(401);
    eventually("it is ready", async || readiness(&rig).await.0 == 200).await;
    assert!(!ignored().await);
    assert_eq!(search(&rig).await, 200);

    tempo.without_org_id(200);
    eventually("it is not any more", async || {
        readiness(&rig).await.0 == 503
    })
    .await;
    let mut rig = rig;
    rig.config.tenancy = rig
        .config
        .tenancy
        .replace("org_id: true", "attribute: resource.tenant_id");
    rig.replace();
    eventually("it is as the config says now", async || {
        readiness(&rig).await.0 == 200 && search(&rig).await == 200
    })
    .await;
    rig.config.tenancy = rig
        .config
        .tenancy
        .replace("attribute: resource.tenant_id", "org_id: true");
    rig.replace();
    eventually("it is not again", async || readiness(&rig).await.0 == 503).await;
    // What is known holds while Tempo cannot say.
    tempo.without_org_id(503);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(readiness(&rig).await.0, 503);
}

#[tokio::test]
async fn tempo_that_is_down_keeps_no_metrics_away() {
    let tempo = TempoUpstream::start().await;
    tempo.without_org_id(503);
    let rig = by_org_id(&tempo).await;
    eventually("it is ready", async || readiness(&rig).await.0 == 200).await;
    assert_eq!(rig.status(&ACME).await, 200);
}
