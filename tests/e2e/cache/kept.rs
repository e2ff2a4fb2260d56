//! In memory: which answers are kept, and for whom.

use std::time::{Duration, Instant};

use serde_json::json as value;

use super::*;

#[tokio::test]
async fn repeated_request_is_served_from_the_cache() {
    let stage = stage(ON).await;
    let first = stage.ask(&panel()).await;
    assert_eq!((first.status.as_u16(), mark(&first)), (200, "miss"));
    assert_eq!(first.header("age"), "");
    stage.upstream.take_one();
    // As another client would write it.
    let again = Ask::get(
        "/api/v1/query_range",
        &[
            ("step", "15.0"),
            ("unknown", "dropped"),
            ("end", "2025-01-01T01:00:00Z"),
            ("start", "1735689600.000"),
            ("query", "rate(up[5m])"),
        ],
    );
    for ask in [again, panel()] {
        let answer = stage.ask(&ask).await;
        assert_eq!(
            (answer.status.as_u16(), mark(&answer)),
            (200, "hit"),
            "{ask}"
        );
        assert_eq!(answer.body, first.body);
        for name in ["content-type", "date"] {
            assert_eq!(answer.header(name), first.header(name));
        }
        if said(&answer) == "hit" {
            let age: u64 = answer.header("age").parse().unwrap();
            assert!(age < 3600, "{age}");
        }
    }
    assert!(stage.upstream.take().is_empty());
    let found = stage.lookups("hit").await + stage.lookups("collapsed").await;
    assert!((found - 2.0).abs() < 0.1, "{found}");
    assert!((stage.lookups("miss").await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn only_responses_that_depend_on_data_alone_are_cached() {
    let stage = stage(ON).await;
    let time = ("time", "1735689600");
    for (path, params, is_kept) in [
        ("/api/v1/query", vec![("query", "up"), time], true),
        ("/api/v1/query", vec![("query", "up")], true),
        ("/api/v1/series", vec![("match[]", "up")], true),
        ("/api/v1/labels", vec![], true),
        ("/api/v1/label/job/values", vec![], true),
        ("/api/v1/label/instance/values", vec![], true),
        ("/api/v1/query_exemplars", vec![("query", "up")], false),
        ("/api/v1/format_query", vec![("query", "up")], false),
        ("/federate", vec![("match[]", "up")], false),
    ] {
        let ask = Ask::get(path, &params);
        for mark_of in ["miss", "hit"] {
            let answer = stage.ask(&ask).await;
            let expected = if is_kept { mark_of } else { "" };
            assert_eq!(mark(&answer), expected, "{ask}: {}", answer.text());
        }
        let asked = stage.upstream.take().len();
        assert_eq!(asked, if is_kept { 1 } else { 2 }, "{ask}");
    }
}

#[tokio::test]
async fn nothing_is_cached_by_default() {
    let stage = stage("").await;
    for _ in 0..2 {
        let answer = stage.ask(&panel()).await;
        assert_eq!((answer.status.as_u16(), mark(&answer)), (200, ""));
    }
    assert_eq!(stage.upstream.take().len(), 2);
    let answer = stage.flush("").await;
    assert_eq!(answer.status, 404, "{}", answer.text());
}

/// The law: what a caller gets is of its own scope.
#[tokio::test]
async fn callers_of_another_scope_ask_for_themselves() {
    let stage = stage(ON).await;
    let signer = &stage.proxy.signer;
    let callers = [
        value!({"tenant_id": "acme"}),
        value!({"tenant_id": "beta"}),
        value!({"tenant_id": ["acme", "beta"]}),
        value!({"groups": ["platform-admins"]}),
    ]
    .map(|claims| signer.token(&claims));
    for (number, token) in callers.iter().enumerate() {
        let own = format!(r#"{{"status":"success","data":["{number}"]}}"#);
        stage.upstream.reply(Reply::json(&own));
        let answer = stage.ask_with(token, &panel()).await;
        assert_eq!((mark(&answer), answer.text()), ("miss", own));
    }
    assert_eq!(stage.upstream.take().len(), callers.len());
    for (number, token) in callers.iter().enumerate() {
        let answer = stage.ask_with(token, &panel()).await;
        let own = format!(r#"{{"status":"success","data":["{number}"]}}"#);
        assert_eq!((mark(&answer), answer.text()), ("hit", own));
    }
    // The same tenants in another order, in another's token, are the same scope.
    let claims = value!({"tenant_id": ["beta", "acme"], "sub": "another"});
    let answer = stage.ask_with(&signer.token(&claims), &panel()).await;
    assert_eq!(mark(&answer), "hit");
    assert!(stage.upstream.take().is_empty());
}

/// A tenant that names the other's in its query still has its own matcher in it.
#[tokio::test]
async fn a_query_cannot_be_written_so_as_to_be_anothers() {
    let stage = stage(ON).await;
    let query = |text: &str| Ask::get("/api/v1/query", &[("query", text), ("time", "1")]);
    let own = stage.ask_as("beta", &query("up")).await;
    assert_eq!(mark(&own), "miss");
    for text in [
        format!("up{{{LABEL}=\"beta\"}}"),
        format!("up{{{LABEL}=\"beta\",{LABEL}=\"acme\"}}"),
        "up".to_owned(),
    ] {
        assert_eq!(
            mark(&stage.ask_as("acme", &query(&text)).await),
            "miss",
            "{text}"
        );
    }
}

#[tokio::test]
async fn denied_request_is_not_served_from_the_cache() {
    let stage = stage(ON).await;
    assert_eq!(mark(&stage.ask(&panel()).await), "miss");
    stage.upstream.take_one();
    let signer = &stage.proxy.signer;
    let none = signer.token(&value!({"other": "acme"}));
    let forged = crate::kit::token::Signer::hs256("another secret, long enough for it");
    for (token, status) in [(none, 403), (forged.tenant("acme"), 401)] {
        let answer = stage.ask_with(&token, &panel()).await;
        assert_eq!((answer.status.as_u16(), mark(&answer)), (status, ""));
    }
    let answer = Client::default()
        .ask(&stage.proxy.url, &panel(), None)
        .await;
    assert_eq!((answer.status.as_u16(), mark(&answer)), (401, ""));
    let mut refused = panel();
    refused.params.push(("storeMatch[]".into(), "{}".into()));
    let answer = stage.ask(&refused).await;
    assert_eq!((answer.status.as_u16(), mark(&answer)), (403, ""));
    assert!(stage.upstream.take().is_empty());
}

#[tokio::test]
async fn an_answer_from_here_is_counted_and_audited_as_any() {
    let limits = "tenant_limits: {default: {requests_per_second: 1, burst: 3}}\n";
    let audit = "audit: {sampling: 1}\nmetrics: {per_tenant: {}}\n";
    let stage = stage(&format!("{ON}{limits}{audit}")).await;
    for expected in ["miss", "hit", "hit"] {
        assert_eq!(mark(&stage.ask(&panel()).await), expected);
    }
    assert_eq!(stage.ask(&panel()).await.status, 429);
    let confined = r#"partywall_decisions_total{route="query_range",decision="confined"}"#;
    assert!((stage.metric(confined).await - 3.0).abs() < 0.1);
    let sent = "partywall_upstream_request_duration_seconds_count";
    assert!((stage.metric(sent).await - 1.0).abs() < 0.1);
    let log = stage.proxy.process.log();
    let records = log.lines().filter(|line| line.contains("\"confined\""));
    assert_eq!(records.count(), 3, "{log}");
}

#[tokio::test]
async fn an_answer_is_given_no_longer_than_it_may_be() {
    let stage = stage("cache: {ttl: 1500ms}\n").await;
    let begun = Instant::now();
    assert_eq!(mark(&stage.ask(&panel()).await), "miss");
    while mark(&stage.ask(&panel()).await) == "hit" {
        assert!(begun.elapsed() < PATIENCE, "it is given forever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(1500), "too early");
    assert_eq!(stage.upstream.take().len(), 2);
}

#[tokio::test]
async fn partial_failed_or_uncacheable_responses_are_not_cached() {
    let stage = stage(ON).await;
    let with = |name, text: &str| {
        let mut reply = Reply::json(VECTOR);
        reply.headers.push((name, text.to_owned()));
        reply
    };
    let of_status = |status, body: &str| Reply {
        status,
        ..Reply::json(body)
    };
    for (what, reply) in [
        (
            "warnings",
            Reply::json(r#"{"status":"success","data":[],"warnings":["no store"]}"#),
        ),
        (
            "infos",
            Reply::json(r#"{"status":"success","data":[],"infos":["no counter"]}"#),
        ),
        ("status", Reply::json(r#"{"status":"partial","data":[]}"#)),
        ("no data", Reply::json(r#"{"status":"success"}"#)),
        (
            "an error",
            of_status(422, r#"{"status":"error","errorType":"e","error":"e"}"#),
        ),
        ("an outage", of_status(503, "")),
        ("a 206", of_status(206, VECTOR)),
        ("no-store", with("cache-control", "no-store")),
        (
            "private",
            with("cache-control", "max-age=60, private=\"x\""),
        ),
        ("vary", with("vary", "Origin, Cookie")),
        ("vary by all", with("vary", "*")),
    ] {
        stage.upstream.reply(reply);
        for _ in 0..2 {
            let answer = stage.ask(&panel()).await;
            assert_ne!(mark(&answer), "hit", "{what}");
        }
        assert_eq!(stage.upstream.take().len(), 2, "{what}");
    }
    // With what is known, it is.
    stage
        .upstream
        .reply(with("vary", "Origin, accept-encoding"));
    for expected in ["miss", "hit"] {
        let answer = stage.ask(&panel()).await;
        assert_eq!(
            (mark(&answer), answer.header("vary")),
            (expected, "Origin, accept-encoding")
        );
    }
}

/// A caller with all tenants gets answers as they come, which may be no whole JSON.
#[tokio::test]
async fn truncated_or_non_json_response_is_not_cached_for_admins() {
    let stage = stage(ON).await;
    let admin = stage
        .proxy
        .signer
        .token(&value!({"groups": ["platform-admins"]}));
    let mut html = Reply::json("<html>");
    html.headers = vec![("content-type", "text/html".to_owned())];
    let mut compressed = Reply::json(VECTOR);
    compressed
        .headers
        .push(("content-encoding", "br".to_owned()));
    for reply in [
        Reply::json(r#"{"status":"success","data":["#),
        html,
        compressed,
    ] {
        stage.upstream.reply(reply);
        for _ in 0..2 {
            assert_eq!(mark(&stage.ask_with(&admin, &panel()).await), "miss");
        }
        assert_eq!(stage.upstream.take().len(), 2);
    }
}

/// What is forwarded is the same to the byte, but a tenant's response is scrubbed.
#[tokio::test]
async fn response_cached_for_an_admin_is_not_served_to_a_tenant() {
    let stage = stage(ON).await;
    let signer = &stage.proxy.signer;
    let admin = signer.token(&value!({"groups": ["platform-admins"]}));
    let acme = signer.tenant("acme");
    let confined = format!("up{{{LABEL}=\"acme\"}}");
    let time = ("time", "1735689600");
    let asks = [
        (
            &admin,
            Ask::get("/api/v1/query", &[("query", &confined), time]),
        ),
        (&acme, Ask::get("/api/v1/query", &[("query", "up"), time])),
    ];
    for expected in ["miss", "hit"] {
        for (token, ask) in &asks {
            assert_eq!(mark(&stage.ask_with(token, ask).await), expected, "{ask}");
        }
    }
    let [one, other] = &*stage.upstream.take() else {
        panic!("each was asked for once");
    };
    assert_eq!((&one.target, &one.body), (&other.target, &other.body));
}

#[tokio::test]
async fn too_large_response_is_passed_on_and_not_cached() {
    let whole = format!(
        r#"{{"status":"success","data":["{}"]}}"#,
        "x".repeat(300_000)
    );
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{whole}\r\n0\r\n\r\n",
        whole.len()
    );
    for script in [json(&whole), Step::send(&chunked)] {
        let rest = "cache: {max_answer_bytes: 100000}\n";
        let stage = Stage::scripted(&[script], rest).await;
        for _ in 0..2 {
            let answer = stage.ask(&panel()).await;
            assert_eq!((mark(&answer), answer.text()), ("miss", whole.clone()));
        }
        assert_eq!(stage.upstream.seen().len(), 2);
        assert!(stage.metric("partywall_answer_cache_bytes").await < 0.5);
        eventually("its bytes go back", async || {
            stage.metric("partywall_buffered_bytes").await < 0.5
        })
        .await;
    }
}

#[tokio::test]
async fn cached_bytes_are_counted_and_returned() {
    let stage = stage(ON).await;
    stage.ask(&panel()).await;
    let size = f64::from(u32::try_from(VECTOR.len()).unwrap());
    eventually("it is kept", async || {
        stage.metric("partywall_answer_cache_bytes").await >= size
    })
    .await;
    assert!((stage.metric("partywall_buffered_bytes").await - size).abs() < 0.1);
    assert_eq!(stage.flush("").await.status, 200);
    assert!(stage.metric("partywall_answer_cache_bytes").await < 0.5);
    eventually("its bytes go back", async || {
        stage.metric("partywall_buffered_bytes").await < 0.5
    })
    .await;
}

#[tokio::test]
async fn a_caller_may_ask_for_a_fresh_answer() {
    let stage = stage(ON).await;
    assert_eq!(mark(&stage.ask(&panel()).await), "miss");
    for directive in ["no-store", "no-cache", "foo, No-Store", "max-age=0"] {
        let ask = panel().with_header("cache-control", directive);
        assert_eq!(mark(&stage.ask(&ask).await), "bypass", "{directive}");
    }
    assert_eq!(stage.upstream.take().len(), 5);
    let ask = panel().with_header("cache-control", "max-age=10");
    assert_eq!(mark(&stage.ask(&ask).await), "hit");
}

/// An upstream that is shown who asks may answer each in another way.
#[tokio::test]
async fn nothing_is_cached_if_the_token_is_forwarded() {
    let upstream = Upstream::start().await;
    let mut setup = Setup::new(&upstream.url);
    setup.upstream_options = vec!["credentials: {forward_token: true}".to_owned()];
    setup.rest = ON.to_owned();
    let stage = Stage::of(upstream, setup).await;
    for _ in 0..2 {
        assert_eq!(mark(&stage.ask(&panel()).await), "bypass");
    }
    assert_eq!(stage.upstream.take().len(), 2);
}

#[tokio::test]
async fn another_accept_is_another_question() {
    let stage = stage(ON).await;
    for (accept, expected) in [
        ("application/json", "miss"),
        ("*/*", "miss"),
        ("*/*", "hit"),
    ] {
        let ask = panel().with_header("accept", accept);
        assert_eq!(mark(&stage.ask(&ask).await), expected, "{accept}");
    }
}

#[tokio::test]
async fn reload_that_changes_the_upstream_invalidates_the_cache() {
    let mut rig = Rig::start(|config, _| {
        config.unwatched();
        config.rest += "cache: {ttl: 1h}\n";
    })
    .await;
    let token = crate::kit::rig::token("acme");
    assert_eq!(mark(&rig.ask(&token).await), "miss");
    assert_eq!(mark(&rig.ask(&token).await), "hit");
    // What does not concern it leaves it alone.
    rig.config.rest += "limits: {requests: 77}\n";
    rig.rewrite();
    assert_eq!(rig.post_reload().await.status, 200);
    assert_eq!(mark(&rig.ask(&token).await), "hit");
    for credentials in [
        "{bearer_token: one}",
        "{bearer_token: two}",
        "{basic: {username: a, password: b}}",
    ] {
        rig.config.credentials = credentials.to_owned();
        rig.rewrite();
        assert_eq!(rig.post_reload().await.status, 200);
        assert_eq!(mark(&rig.ask(&token).await), "miss", "{credentials}");
    }
    let other = Upstream::start().await;
    rig.config.upstream.clone_from(&other.url);
    rig.rewrite();
    assert_eq!(rig.post_reload().await.status, 200);
    assert_eq!(mark(&rig.ask(&token).await), "miss");
    other.take_one();
    // Off, and on again.
    let rest = rig.config.rest.clone();
    rig.config.rest = rest.replace("cache: {ttl: 1h}\n", "");
    rig.rewrite();
    assert_eq!(rig.post_reload().await.status, 200);
    assert_eq!(mark(&rig.ask(&token).await), "");
    rig.config.rest = rest;
    rig.rewrite();
    assert_eq!(rig.post_reload().await.status, 200);
    assert_eq!(mark(&rig.ask(&token).await), "miss");
}

#[tokio::test]
async fn a_flush_takes_an_upstreams_answers_or_all() {
    let eu = Upstream::start().await;
    let rig = Rig::start(|config, _| {
        config.unwatched();
        config.rest += "cache: {ttl: 1h}\n";
        let url = &eu.url;
        config.more = vec![format!(
            "{{name: eu, api: prometheus, url: {url}, path_prefix: /eu}}"
        )];
    })
    .await;
    let token = crate::kit::rig::token("acme");
    let marks = async || {
        let (here, there) = (rig.ask(&token).await, rig.ask_below("/eu", &token).await);
        [mark(&here).to_owned(), mark(&there).to_owned()]
    };
    assert_eq!(marks().await, ["miss", "miss"], "upstreams do not share");
    assert_eq!(marks().await, ["hit", "hit"]);
    let admin = rig.admin();
    for (query, status, expected) in [
        ("?upstream=metrics", 200, ["miss", "hit"]),
        ("?upstream=eu", 200, ["hit", "miss"]),
        ("", 200, ["miss", "miss"]),
        ("?upstream=other", 404, ["hit", "hit"]),
        ("?upstream=", 400, ["hit", "hit"]),
        ("?name=eu", 400, ["hit", "hit"]),
    ] {
        let answer = flush(&admin, query).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        assert_eq!(marks().await, expected, "{query}");
    }
    let answer = Client::default()
        .get(&format!("{admin}/-/cache/flush"))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("allow")),
        (405, "POST")
    );
    // Not where tenants are.
    let answer = flush(&rig.url(), "").await;
    assert_ne!(answer.status, 200);
    assert_eq!(marks().await, ["hit", "hit"]);
}
