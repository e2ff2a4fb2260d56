//! Limits and fairness: places, rates, the length of a URL; in `guards` what a query may ask for,
//! in `queries` what its text may be, in `memory` what all bodies together may take.

mod guards;
mod memory;
mod queries;

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::kit::client::{Ask, Client};
use crate::kit::keys::Key;
use crate::kit::partywall::Setup;
use crate::kit::provider::Provider;
use crate::kit::rig::{Rig, token};
use crate::kit::stage::{
    ELSEWHERE, FORM, QUERY, Stage, VECTOR, assert_error, eventually, json, metric, until_seen,
};
use crate::kit::tempo_upstream::{TempoReply, TempoUpstream};
use crate::kit::wire::{Step, Wire};

async fn refusals<U>(stage: &Stage<U>, route: &str, reason: &str) -> f64 {
    let series = format!("partywall_refusals_total{{route=\"{route}\",reason=\"{reason}\"}}");
    stage.metric(&series).await
}

impl<U> Stage<U> {
    /// The status of an instant query with this token, its `Retry-After`, and its text.
    async fn query(&self, token: &str) -> (u16, String, String) {
        let ask = Ask::get("/api/v1/query", &[("query", "up")]);
        let answer = Client::default()
            .ask(&self.proxy.url, &ask, Some(token))
            .await;
        let after = answer.header("retry-after").to_owned();
        (answer.status.as_u16(), after, answer.text())
    }

    fn token(&self, tenants: &[&str]) -> String {
        self.proxy.signer.tenants(tenants)
    }
}

#[tokio::test]
async fn too_long_url_is_refused_in_the_apis_dialect() {
    let stage = Stage::recorded("limits: {uri_bytes: 100}\n").await;
    let long = "x".repeat(100);
    let answer = stage.get(&format!("/api/v1/query?query={long}")).await;
    let text = assert_error("a long query", &answer, 414);
    assert!(
        text.contains("120 bytes, more than 100 (limits.uri_bytes)"),
        "{text}"
    );
    let answer = stage.get(&format!("/api/search?q={long}")).await;
    assert_eq!(answer.status, 414);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let fits = "x".repeat(79);
    let answer = stage.get(&format!("/api/v1/query?query={fits}")).await;
    assert_ne!(answer.status, 414);
    let form = format!("query={long}");
    let answer = stage
        .send("POST", "/api/v1/query", &[FORM], form.as_bytes())
        .await;
    assert_eq!(answer.status, 200, "a form is no URL");
    assert!(refusals(&stage, "none", "uri_too_long").await > 1.5);
}

#[tokio::test]
async fn tenant_has_its_permits_and_no_more() {
    let script = [Step::Gate, json(VECTOR)];
    let rest = "tenant_limits: {default: {requests: 2}, tenants: {big: {requests: 3}}}\n";
    let stage = Stage::scripted(&script, rest).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = stage.connect().await;
        stream.write_all(&stage.kept(QUERY)).await.unwrap();
        open.push(stream);
    }
    eventually("both are upstream", async || {
        stage.upstream.seen().len() == 2
    })
    .await;
    let answer = stage.get(QUERY).await;
    let text = assert_error("a third", &answer, 429);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.json().unwrap()["errorType"], "too_many_requests");
    assert!(
        text.contains("`acme` already has 2 requests in flight"),
        "{text}"
    );
    assert!(text.contains("tenant_limits requests"), "{text}");
    // Wherever the third goes.
    let elsewhere = stage.get(ELSEWHERE).await;
    assert_eq!(
        (elsewhere.status, elsewhere.header("retry-after")),
        (429, Some("1"))
    );

    // Someone who has that tenant too is refused, and nothing is counted for the other one.
    let both = stage.token(&["acme", "other"]);
    let (status, _, text) = stage.query(&both).await;
    assert_eq!(status, 429);
    assert!(
        text.contains("`acme`") && !text.contains("`other`"),
        "{text}"
    );
    for _ in 0..2 {
        let other = stage.token(&["other"]);
        let (url, client) = (stage.proxy.url.clone(), Client::default());
        let ask = Ask::get("/api/v1/query", &[("query", "up")]);
        tokio::spawn(async move { client.ask(&url, &ask, Some(&other)).await });
    }
    eventually("the other tenant is upstream", async || {
        stage.upstream.seen().len() == 4
    })
    .await;
    let admin = stage.proxy.signer.admin();
    let (url, client) = (stage.proxy.url.clone(), Client::default());
    let ask = Ask::get("/api/v1/query", &[("query", "up")]);
    let admin = tokio::spawn(async move { client.ask(&url, &ask, Some(&admin)).await });
    eventually("so is who has all", async || {
        stage.upstream.seen().len() == 5
    })
    .await;

    assert!(refusals(&stage, "query", "tenant_requests").await > 1.5);
    stage.upstream.open();
    for stream in &mut open {
        until_seen(stream, "vector").await;
    }
    assert_eq!(admin.await.unwrap().status, 200);
    eventually("there is room again", async || {
        stage.get(QUERY).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn permit_is_held_to_the_end_of_the_response() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nsl";
    let script = [Step::send(head), Step::Gate, Step::send("ow")];
    let stage = Stage::scripted(&script, "tenant_limits: {default: {requests: 1}}\n").await;
    let mut first = stage.connect().await;
    first.write_all(&stage.kept(ELSEWHERE)).await.unwrap();
    until_seen(&mut first, "\r\n\r\nsl").await;
    assert_eq!(
        stage.get(ELSEWHERE).await.status,
        429,
        "its answer has begun"
    );
    stage.upstream.open();
    until_seen(&mut first, "ow").await;
    eventually("it has ended", async || {
        stage.get(ELSEWHERE).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn unread_refusal_holds_no_permit() {
    let stage = Stage::recorded("tenant_limits: {default: {requests: 1}}\n").await;
    let mut h2 = stage.connect_h2().await;
    let mut refused = Vec::new();
    for _ in 0..3 {
        let answer = h2.send_request(stage.h2_request("/api/v1/admin/tsdb/snapshot"));
        refused.push(answer.await.unwrap());
    }
    assert!(refused.iter().all(|answer| answer.status() == 403));
    assert_eq!(stage.get(QUERY).await.status, 200);
}

#[tokio::test]
async fn a_tenant_that_asks_too_often_waits_and_others_do_not() {
    // So slow that the test's own pace fills no bucket.
    let rest = "\
tenant_limits:
  default: {requests_per_second: 1, burst: 2}
  tenants: {big: {burst: 4}}
";
    let stage = Stage::recorded(rest).await;
    let acme = stage.token(&["acme"]);
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(stage.query(&acme).await);
    }
    let served = answers.iter().filter(|(status, ..)| *status == 200).count();
    assert!(served >= 2, "{answers:?}");
    let (_, after, text) = answers.iter().find(|(status, ..)| *status == 429).unwrap();
    assert_eq!(after, "1");
    assert!(
        text.contains("`acme` makes more than 1 requests a second"),
        "{text}"
    );
    assert!(text.contains("(burst 2)"), "{text}");
    assert!(refusals(&stage, "query", "tenant_rate").await > 0.5);

    // A caller with several tenants is charged for each, all or none.
    let quiet = stage.token(&["quiet"]);
    let (status, ..) = stage.query(&stage.token(&["acme", "quiet"])).await;
    if status == 429 {
        assert_eq!(stage.query(&quiet).await.0, 200);
        assert_eq!(
            stage.query(&quiet).await.0,
            200,
            "nothing was taken from it"
        );
    }
    let big = stage.token(&["big"]);
    for _ in 0..4 {
        assert_eq!(stage.query(&big).await.0, 200);
    }
    let admin = stage.proxy.signer.admin();
    for _ in 0..10 {
        assert_eq!(stage.query(&admin).await.0, 200);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        stage.query(&acme).await.0,
        200,
        "after as long as it was told"
    );
}

#[tokio::test]
async fn a_noisy_tenant_does_not_slow_another() {
    let upstream = TempoUpstream::start().await;
    upstream.rule(|seen| {
        let query = seen.param("query").concat();
        let mut reply = TempoReply::json(VECTOR);
        reply.after = Duration::from_millis(if query.contains("noisy") { 500 } else { 0 });
        Some(reply)
    });
    let mut setup = Setup::new(&upstream.url);
    setup.rest = "\
limits: {requests: 20}
tenant_limits: {default: {requests: 10}}
"
    .to_owned();
    let stage = Stage::of(upstream, setup).await;
    let noisy = stage.token(&["noisy"]);
    let storm: Vec<_> = (0..100)
        .map(|_| {
            let (url, token) = (stage.proxy.url.clone(), noisy.clone());
            tokio::spawn(async move {
                let ask = Ask::get("/api/v1/query", &[("query", "up")]);
                let client = Client::default();
                let mut counts = [0, 0];
                for _ in 0..5 {
                    let answer = client.ask(&url, &ask, Some(&token)).await;
                    match answer.status.as_u16() {
                        200 => counts[0] += 1,
                        429 => counts[1] += 1,
                        other => panic!("{other}"),
                    }
                }
                counts
            })
        })
        .collect();
    let quiet = stage.token(&["quiet"]);
    for _ in 0..30 {
        // Without places of its own it would be refused: there are twenty for a hundred.
        let (status, _, text) = stage.query(&quiet).await;
        assert_eq!(status, 200, "{text}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut counts = [0, 0];
    for one in storm {
        let [served, refused] = one.await.unwrap();
        counts = [counts[0] + served, counts[1] + refused];
    }
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
}

/// Those who show tokens of unknown keys wait for the keys; who has a known one must not.
#[tokio::test]
async fn waiting_unauthenticated_clients_take_no_permit() {
    let (known, stranger) = (Key::new("known"), Key::new("stranger"));
    let mut provider = Provider::start(&[&known]).await;
    let issuer = provider.issuer();
    let rig = Rig::launch(
        |config, _| {
            config.algorithm = "ES256";
            config.issuer.clone_from(&issuer);
            let url = provider.key_set_url();
            config.keys = format!("jwks_url: {url}\n      refresh_interval: 200ms");
            config.rest += "limits: {requests: 2}\n";
        },
        |dir, config| {
            let path = dir.join("partywall.yaml");
            std::fs::write(&path, config.to_string()).unwrap();
            path
        },
    )
    .await;
    let good = known.token(&issuer);
    rig.until_status(&good, 200).await;
    provider.hang().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let bad = stranger.token(&issuer);
    let mut strangers = Vec::new();
    for _ in 0..10 {
        let (url, bad) = (rig.url(), bad.clone());
        strangers.push(tokio::spawn(async move {
            let ask = Ask::get("/api/v1/query", &[("query", "up")]);
            Client::default().ask(&url, &ask, Some(&bad)).await.status
        }));
    }
    eventually("they wait", async || {
        rig.metric("partywall_http_requests_in_flight").await > 9.5
    })
    .await;
    assert_eq!(rig.status(&good).await, 200);
    let waiting = strangers.iter().filter(|one| !one.is_finished()).count();
    assert!(waiting > 2, "more wait than there are places");
    for one in strangers {
        assert_eq!(one.await.unwrap(), 401);
    }
}

/// Paths that require no token can be used by any client, but not up to their whole capacity.
#[tokio::test]
async fn clients_without_a_token_take_no_permits() {
    let script = [Step::Gate, json(VECTOR)];
    let rest = "limits: {requests: 4}\npassthrough: {authentication: none}\n";
    let stage = Stage::scripted(&script, rest).await;
    let anonymous = crate::kit::raw::request("GET", ELSEWHERE, &[], b"");
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = stage.connect().await;
        stream.write_all(&anonymous).await.unwrap();
        open.push(stream);
    }
    eventually("two are upstream", async || {
        stage.upstream.seen().len() == 2
    })
    .await;
    let refused = crate::kit::raw::exchange(stage.proxy.authority(), &anonymous).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    let mut caller = stage.connect().await;
    caller.write_all(&stage.kept(QUERY)).await.unwrap();
    eventually("a caller is too", async || stage.upstream.seen().len() == 3).await;
    stage.upstream.open();
    until_seen(&mut caller, "vector").await;
}

#[tokio::test]
async fn changed_limits_hold_at_once_and_state_outlives_other_changes() {
    let mut rig = Rig::start(|config, _| {
        config.rest += "tenant_limits: {default: {requests_per_second: 1, burst: 3}}\n";
    })
    .await;
    let other = token("other");
    while rig.status(&other).await == 200 {}
    let before = rig.config.rest.clone();
    // An unrelated change resets no rate limit.
    rig.config.rest = format!("{before}limits: {{query_selectors: 7}}\n");
    rig.replace();
    eventually("it is reloaded", async || rig.reloads().await.0 > 1.5).await;
    let mut served = 0;
    for _ in 0..3 {
        served += usize::from(rig.status(&other).await == 200);
    }
    assert!(served < 3, "it was not forgotten");
    // A raised limit holds for the next request.
    rig.config.rest = before.replace("burst: 3", "burst: 30");
    rig.replace();
    eventually("it is reloaded", async || rig.reloads().await.0 > 2.5).await;
    for _ in 0..20 {
        assert_eq!(rig.status(&other).await, 200);
    }
    // And so does none at all.
    rig.config.rest = "reload: {poll_interval: 100ms}\n".to_owned();
    rig.replace();
    eventually("it is reloaded", async || rig.reloads().await.0 > 3.5).await;
    for _ in 0..40 {
        assert_eq!(rig.status(&other).await, 200);
    }
}

/// Requests that are in flight while the limit changes count under the new one.
#[tokio::test]
async fn requests_in_flight_count_under_a_new_limit() {
    let wire = Wire::start(&[Step::Gate, json(VECTOR)]).await;
    let url = wire.url.clone();
    let mut rig = Rig::start(|config, _| {
        config.upstream = url;
        config.rest += "tenant_limits: {default: {requests: 5}}\n";
    })
    .await;
    let other = token("other");
    let ask = || {
        let (url, token) = (rig.url(), other.clone());
        tokio::spawn(async move {
            let ask = Ask::get("/api/v1/query", &[("query", "up")]);
            Client::default().ask(&url, &ask, Some(&token)).await.status
        })
    };
    let first = [ask(), ask()];
    eventually("both are upstream", async || wire.seen().len() == 2).await;
    rig.config.rest = rig.config.rest.replace("requests: 5", "requests: 2");
    rig.replace();
    eventually("it is reloaded", async || rig.reloads().await.0 > 1.5).await;
    assert_eq!(rig.status(&other).await, 429);
    wire.open();
    for one in first {
        assert_eq!(one.await.unwrap(), 200);
    }
    rig.until_status(&other, 200).await;
    let refused = r#"partywall_refusals_total{route="query",reason="tenant_requests"}"#;
    assert!(metric(&rig.admin(), refused).await > 0.5);
}

#[tokio::test]
async fn invalid_limits_are_reported_with_their_position() {
    let rig = Rig::start(|_, _| {}).await;
    let good = rig.config.to_string();
    for (section, told) in [
        (
            "tenant_limits: {default: {burst: 3}}",
            "`burst` needs `requests_per_second`",
        ),
        (
            "tenant_limits: {default: {max_range: 0s}}",
            "tenant_limits.default.max_range: ",
        ),
        ("tenant_limits: {tenants: {\"\": {}}}", "a tenant is empty"),
        (
            "tenant_limits: {tenants: {a: {requests: 0}}}",
            "tenant_limits.tenants.a.requests: ",
        ),
        (
            "limits: {header_bytes: 8KiB, uri_bytes: 9KiB}",
            "must not be more than header_bytes",
        ),
    ] {
        std::fs::write(&rig.path, format!("{good}{section}\n")).unwrap();
        let answer = rig.post_reload().await;
        assert_eq!(answer.status, 422, "{section}");
        assert!(answer.text().contains(told), "{section}: {}", answer.text());
    }
}
