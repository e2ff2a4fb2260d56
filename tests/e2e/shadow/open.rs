//! Every client gets the store's own response.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::json;

use super::stage::{ask, counted, eventually, metric, records, shadow, shadowed, verdict};
use crate::kit::client::{Ask, Client, Sent};
use crate::kit::dataset::Dataset;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::prometheus::{Extras, Prometheus};
use crate::kit::raw;
use crate::kit::token::{Signer, now};
use crate::kit::upstream::Upstream;

/// Each endpoint of the data API, and what enforcement would do to a tenant's call.
fn questions(data: &Dataset) -> Vec<(Ask, &'static str)> {
    let (start, end) = (data.start().to_string(), data.end.to_string());
    let range = [
        ("query", "up"),
        ("start", start.as_str()),
        ("end", end.as_str()),
        ("step", "60"),
    ];
    let span = [("start", start.as_str()), ("end", end.as_str())];
    let at = ("time", end.as_str());
    vec![
        (
            Ask::get("/api/v1/query", &[("query", "up"), at]),
            "rewritten",
        ),
        (
            Ask::new(Sent::Post, "/api/v1/query", &[("query", "up"), at]),
            "rewritten",
        ),
        (
            Ask::new(Sent::Post, "/api/v1/query_range", &range),
            "rewritten",
        ),
        (Ask::get("/api/v1/query_range", &range), "rewritten"),
        // What no tenant may ask.
        (
            Ask::get("/api/v1/query", &[("query", "up{"), at]),
            "denied; reason=malformed",
        ),
        (
            Ask::get("/api/v1/series", &[("match[]", "up"), span[0], span[1]]),
            "rewritten",
        ),
        (Ask::get("/api/v1/labels", &span), "rewritten"),
        (
            Ask::get("/api/v1/label/tenant_id/values", &span),
            "rewritten",
        ),
        (Ask::get("/federate", &[("match[]", "up")]), "rewritten"),
        (Ask::get("/api/v1/rules", &[]), "filtered"),
        (Ask::get("/api/v1/alerts", &[]), "filtered"),
        (Ask::get("/api/v1/metadata", &[]), "filtered"),
        (Ask::get("/api/v1/status/buildinfo", &[]), "unchanged"),
        (Ask::get("/api/v1/status/flags", &[]), "filtered"),
        (
            Ask::get("/api/v1/status/config", &[]),
            "denied; reason=closed",
        ),
        (Ask::get("/graph", &[]), "unchanged"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_responses_equal_the_stores_for_every_caller() {
    let data = Dataset::shared(now() - 30).only(&["acme", "beta"]);
    let store = Prometheus::with_data("shadowed", &data).await;
    let proxy = shadowed(&store.url, "").await;
    let client = Client::default();
    let signer = &proxy.signer;
    let (acme, nobody) = (signer.tenant("acme"), signer.token(&json!({})));
    let (admin, strangers) = (signer.admin(), Signer::rs256().tenant("acme"));
    let mut asked = 0;
    for (question, of_a_tenant) in questions(&data) {
        let direct = client.ask(&store.url, &question, None).await;
        let callers = [
            (None, "denied; reason=missing"),
            (Some("no.token"), "denied; reason=malformed"),
            (Some(strangers.as_str()), "denied; reason=signature"),
            (Some(nobody.as_str()), "denied; reason=no_tenants"),
            (Some(acme.as_str()), of_a_tenant),
            (Some(admin.as_str()), ""),
        ];
        for (token, expected) in callers {
            let answer = ask(&proxy, &question, token).await;
            let what = format!("{question} by {expected}");
            assert_eq!(answer.status, direct.status, "{what}: {}", answer.text());
            assert_eq!(answer.body, direct.body, "{what}");
            assert_eq!(
                answer.header("content-type"),
                direct.header("content-type"),
                "{what}"
            );
            // What passes through asks for a token, but for no tenants.
            let needs_no_tenants = question.path == "/graph" && expected.ends_with("no_tenants");
            if !expected.is_empty() && !needs_no_tenants {
                assert_eq!(verdict(&answer), expected, "{what}");
            }
            asked += 1;
        }
    }
    assert_eq!(asked, 96);
    assert!(data.only(&["beta"]).samples() > 0);
    let all = ask(
        &proxy,
        &Ask::get(
            "/api/v1/query",
            &[("query", "up"), ("time", &data.end.to_string())],
        ),
        Some(&acme),
    )
    .await;
    assert!(all.text().contains("\"beta\""), "{}", all.text());
    assert!(counted(&proxy, "query", "denied", "missing").await >= 3.0);
    assert!(counted(&proxy, "query", "denied", "no_tenants").await >= 3.0);
    assert!(counted(&proxy, "query", "rewritten", "").await >= 3.0);
    assert!(counted(&proxy, "rules", "filtered", "").await >= 1.0);
    assert!(counted(&proxy, "query", "unchanged", "").await >= 2.0);
    // Nothing was refused.
    assert!(metric(&proxy, "partywall_refusals_total").await < 1.0);
    let decided = "partywall_decisions_total{route=\"query\",decision=\"shadow\"}";
    assert!(metric(&proxy, decided).await >= 18.0);
}

#[tokio::test]
async fn compressed_answers_stay_so_and_preflights_pass() {
    let store = Prometheus::with_extras("shadowed", &Extras::default()).await;
    let proxy = shadowed(&store.url, "").await;
    let client = Client::default();
    let flags = Ask::get("/api/v1/status/flags", &[]).with_header("accept-encoding", "gzip");
    let direct = client.ask(&store.url, &flags, None).await;
    let answer = ask(&proxy, &flags, None).await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert_eq!(answer.body, direct.body);
    let preflight = |base: &str| {
        Request::builder()
            .method(Method::OPTIONS)
            .uri(format!("{base}/api/v1/query"))
            .header("origin", "https://grafana.example.com")
            .body(Full::<Bytes>::default())
            .expect("a request")
    };
    let direct = client.send(preflight(&store.url)).await;
    let answer = client.send(preflight(&proxy.url)).await;
    assert_eq!(answer.status, direct.status);
    for name in [
        "access-control-allow-origin",
        "access-control-allow-methods",
    ] {
        assert_eq!(answer.header(name), direct.header(name), "{name}");
    }
}

/// A plain proxy would forward headers that name a tenant; headers that are trusted on the proxy's
/// account are still removed, and a token is not sent to a store that does not ask for it.
#[tokio::test]
async fn headers_are_those_of_a_plain_proxy() {
    let upstream = Upstream::start().await;
    let mut setup = Setup::new(&upstream.url);
    setup.upstream_options = vec![
        shadow(),
        "credentials: {bearer_token: the-proxys-own}".to_owned(),
    ];
    let proxy = Partywall::start(setup).await;
    let question = Ask::get("/api/v1/query", &[("query", "up"), ("x", "kept")])
        .with_header("x-scope-orgid", "one|two")
        .with_header("thanos-tenant", "one")
        .with_header("impersonate-user", "root")
        .with_header("x-forwarded-user", "root")
        .with_header("x-id-token", "secret")
        .with_header("cookie", "a=b");
    ask(&proxy, &question, Some("clients-own")).await;
    let seen = upstream.take_one();
    assert_eq!(seen.target, "/api/v1/query?query=up&x=kept");
    for (name, expected) in [
        ("x-scope-orgid", Some("one|two")),
        ("thanos-tenant", Some("one")),
        ("cookie", Some("a=b")),
        ("authorization", Some("Bearer the-proxys-own")),
        ("impersonate-user", None),
        ("x-forwarded-user", None),
        ("x-id-token", None),
    ] {
        assert_eq!(seen.header(name), expected, "{name}");
    }
}

#[tokio::test]
async fn token_is_forwarded_if_the_store_checks_tokens_itself() {
    let upstream = Upstream::start().await;
    let mut setup = Setup::new(&upstream.url);
    setup.upstream_options = vec![shadow(), "credentials: {forward_token: true}".to_owned()];
    let proxy = Partywall::start(setup).await;
    let question = Ask::get("/api/v1/query", &[("query", "up")]);
    let known = proxy.signer.tenant("acme");
    for token in [known.as_str(), "not-believed-here"] {
        ask(&proxy, &question, Some(token)).await;
        let seen = upstream.take_one();
        let expected = format!("Bearer {token}");
        assert_eq!(seen.header("authorization"), Some(expected.as_str()));
    }
    ask(&proxy, &question, None).await;
    assert_eq!(upstream.take_one().header("authorization"), None);
}

/// A body that is too large to be buffered is forwarded all the same.
#[tokio::test]
async fn a_body_over_the_bound_is_sent_on() {
    let upstream = Upstream::start().await;
    let proxy = shadowed(&upstream.url, "limits: {body_bytes: 1KiB}\n").await;
    let token = proxy.signer.tenant("acme");
    for length in [100, 1000, 1024, 5000, 300_000] {
        let query = "x".repeat(length);
        let question = Ask::new(Sent::Post, "/api/v1/query", &[("query", query.as_str())]);
        let answer = ask(&proxy, &question, Some(&token)).await;
        assert_eq!(answer.status, 200, "{length}");
        let seen = upstream.take_one();
        assert_eq!(seen.body, Bytes::from(format!("query={query}")), "{length}");
        let is_over = length + "query=".len() > 1024;
        let expected = if is_over {
            "denied; reason=too_large"
        } else {
            "rewritten"
        };
        assert_eq!(verdict(&answer), expected, "{length}");
    }
    assert!(metric(&proxy, "partywall_buffered_bytes").await < 1.0);
}

/// The same where its length is not said: what was buffered of it is forwarded first, in order.
#[tokio::test]
async fn a_body_that_turns_out_too_large_is_sent_on_whole() {
    let upstream = Upstream::start().await;
    let proxy = shadowed(&upstream.url, "limits: {body_bytes: 1KiB}\n").await;
    let bearer = format!("Bearer {}", proxy.signer.tenant("acme"));
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Transfer-Encoding", "chunked"),
    ];
    let authority = proxy.url.strip_prefix("http://").expect("it is plain");
    for pieces in [2, 3, 40] {
        let body: String = std::iter::once("query=".to_owned())
            .chain((0..pieces).map(|piece| format!("{piece:0>700}")))
            .collect();
        let chunks = body.as_bytes().chunks(706).map(|chunk| {
            let chunk = std::str::from_utf8(chunk).expect("it is ASCII");
            format!("{:x}\r\n{chunk}\r\n", chunk.len())
        });
        let chunked = chunks.collect::<String>() + "0\r\n\r\n";
        let request = raw::request("POST", "/api/v1/query", &headers, chunked.as_bytes());
        let answer = raw::exchange(authority, &request).await;
        assert_eq!(answer.status, 200, "{pieces}: {}", answer.text());
        let told = answer.header("x-partywall-shadow");
        assert_eq!(told, Some("denied; reason=too_large"), "{pieces}");
        assert_eq!(upstream.take_one().body, Bytes::from(body), "{pieces}");
    }
}

#[tokio::test]
async fn shadow_mode_counts_tenant_limits_without_enforcing_them() {
    let upstream = Upstream::start().await;
    let limits = "tenant_limits: {default: {requests_per_second: 1, burst: 1, max_range: 1h}}\n";
    let proxy = shadowed(&upstream.url, limits).await;
    let (acme, beta) = (proxy.signer.tenant("acme"), proxy.signer.tenant("beta"));
    let question = Ask::get("/api/v1/query", &[("query", "up")]);
    let mut verdicts = Vec::new();
    for _ in 0..5 {
        let answer = ask(&proxy, &question, Some(&acme)).await;
        assert_eq!(answer.status, 200);
        verdicts.push(verdict(&answer).to_owned());
    }
    assert_eq!(verdicts.first().map(String::as_str), Some("rewritten"));
    let over = "denied; reason=tenant_rate".to_owned();
    assert!(verdicts.contains(&over), "{verdicts:?}");
    let long = Ask::get("/api/v1/query", &[("query", "rate(up[2h])")]);
    let answer = ask(&proxy, &long, Some(&beta)).await;
    assert_eq!(answer.status, 200);
    assert!(
        verdict(&answer).starts_with("denied; reason="),
        "{answer:?}"
    );
    assert_eq!(upstream.take().len(), 6);
}

/// One record a minute of a caller's denials of a kind, with who, what and why.
#[tokio::test]
async fn audit_trail_names_callers_that_enforcement_would_refuse() {
    let upstream = Upstream::start().await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("audit");
    let rest = format!("audit: {{output: {}, queries: full}}\n", file.display());
    let proxy = shadowed(&upstream.url, &rest).await;
    let question = Ask::get("/api/v1/query", &[("query", "up")]);
    let nobody = proxy.signer.token(&json!({"sub": "nobody"}));
    for _ in 0..4 {
        ask(&proxy, &question, None).await;
        ask(&proxy, &question, Some(&nobody)).await;
    }
    let rules = Ask::get("/api/v1/rules", &[]);
    ask(&proxy, &rules, Some(&nobody)).await;
    eventually("three records", async || records(&file).len() >= 3).await;
    // The last comes after all the others.
    let records = records(&file);
    assert_eq!(records.len(), 3, "{records:#?}");
    let told = |record: &serde_json::Value| {
        let keys = [
            "decision",
            "shadow",
            "reason",
            "subject",
            "route",
            "status",
            "would_answer",
        ];
        json!(keys.map(|key| record[key].clone()))
    };
    assert_eq!(
        records.iter().map(told).collect::<Vec<_>>(),
        [
            json!(["shadow", "denied", "missing", null, "query", 200, 401]),
            json!([
                "shadow",
                "denied",
                "no_tenants",
                "nobody",
                "query",
                200,
                403
            ]),
            json!([
                "shadow",
                "denied",
                "no_tenants",
                "nobody",
                "rules",
                200,
                403
            ]),
        ]
    );
    assert!(
        records[0]["error"]
            .as_str()
            .unwrap_or_default()
            .contains("no token")
    );
    assert!(records[0]["remote"].as_str().is_some());
}

#[tokio::test]
async fn query_over_a_limit_is_reported() {
    let upstream = Upstream::start().await;
    let proxy = shadowed(&upstream.url, "limits: {query_depth: 3, format_bytes: 5}\n").await;
    for token in [proxy.signer.tenant("acme"), proxy.signer.admin()] {
        for (path, query, expected) in [
            ("query", "((((up))))", "denied; reason=too_deep"),
            ("format_query", "1+1+1", "denied; reason=too_much_to_print"),
        ] {
            let asked = Ask::get(&format!("/api/v1/{path}"), &[("query", query)]);
            let answer = ask(&proxy, &asked, Some(&token)).await;
            assert_eq!(answer.status, 200);
            assert_eq!(verdict(&answer), expected);
            assert_eq!(upstream.take_one().param("query"), [query]);
        }
    }
}
