//! What one query of a tenant may ask for.

use std::collections::HashMap;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use crate::kit::client::{Answer, Ask, Client, Sent};
use crate::kit::grpc::{Call, call};
use crate::kit::partywall::Setup;
use crate::kit::protobuf::{LabelMatcher, Query, ReadRequest, pack};
use crate::kit::rig::{Rig, token};
use crate::kit::stage::{SECRET, Stage, eventually};
use crate::kit::tempo_messages::{QueryRangeRequest, SearchRequest};
use crate::kit::tempo_upstream::TempoUpstream;
use crate::kit::token::Signer;
use crate::kit::upstream::Upstream;

const LIMITS: &str = "\
tenant_limits:
  default: {max_range: 31d, max_points: 100, min_step: 15s}
  tenants: {wide: {max_range: 90d}, slow: {min_step: 5m}}
";

async fn ask<U>(stage: &Stage<U>, tenants: &[&str], ask: &Ask) -> Answer {
    let token = stage.proxy.signer.tenants(tenants);
    Client::default()
        .ask(&stage.proxy.url, ask, Some(&token))
        .await
}

const DAY: u32 = 86_400;

fn days(days: u32) -> String {
    (1_700_000_000 + days * DAY).to_string()
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "one line a case")]
async fn queries_over_a_limit_are_refused_with_the_limit() {
    let stage = Stage::recorded(LIMITS).await;
    let range = "the range of this request is 40d, longer than tenant_limits max_range 31d of \
                 tenant `acme`; ask for a shorter one";
    let within = "the longest range within this query is 40d, longer than tenant_limits max_range";
    let nested = "the longest range within this query is 50d, longer than tenant_limits max_range";
    let (start, far, near) = (days(0), days(40), days(1));
    let far = [("start", start.as_str()), ("end", far.as_str())];
    let near = [("start", start.as_str()), ("end", near.as_str())];
    for (path, window, more, reason, told) in [
        (
            "query_range",
            &far,
            &[("query", "up"), ("step", "1d")][..],
            "max_range",
            range,
        ),
        ("series", &far, &[("match[]", "up")], "max_range", range),
        ("labels", &far, &[], "max_range", range),
        ("label/job/values", &far, &[], "max_range", range),
        (
            "query_exemplars",
            &far,
            &[("query", "up")],
            "max_range",
            range,
        ),
        (
            "query",
            &near,
            &[("query", "rate(up[40d])")],
            "max_range",
            within,
        ),
        (
            "query",
            &near,
            &[("query", "max_over_time(rate(up[20d])[30d:1d])")],
            "max_range",
            nested,
        ),
        (
            "query_range",
            &near,
            &[("query", "rate(up[40d])"), ("step", "1d")],
            "max_range",
            within,
        ),
        (
            "query",
            &near,
            &[("query", "rate(up[2*20d])")],
            "max_range",
            "a range in square brackets is not a plain duration, and tenant_limits max_range of \
             tenant `acme` needs it: write it like [5m] or [1h:1m]",
        ),
        (
            "query",
            &near,
            &[("query", "up"), ("lookback_delta", "40d")],
            "max_range",
            "`lookback_delta` of this query is 40d, longer than tenant_limits max_range",
        ),
        (
            "query_range",
            &near,
            &[("query", "up"), ("step", "60")],
            "max_points",
            "this query has 1441 points, more than tenant_limits max_points 100",
        ),
        (
            "query",
            &near,
            &[("query", "max_over_time(up[1d:1m])")],
            "max_points",
            "a subquery has 1441 points",
        ),
        (
            "query_range",
            &near,
            &[("query", "up"), ("step", "1s")],
            "min_step",
            "the step of this query is 1s, shorter than tenant_limits min_step 15s",
        ),
        (
            "query_range",
            &near,
            &[("query", "up")],
            "min_step",
            "`step` is not given, and tenant_limits min_step of tenant `acme` needs it",
        ),
        (
            "query_range",
            &near,
            &[("query", "up"), ("step", "NaN")],
            "min_step",
            "`step` is not a duration longer than zero",
        ),
        (
            "series",
            &[("start", ""), ("end", start.as_str())],
            &[("match[]", "up")],
            "max_range",
            "`start` is not given, and tenant_limits max_range of tenant `acme` needs it: give \
             start and end",
        ),
        (
            "labels",
            &[("start", "-Inf"), ("end", "+Inf")],
            &[],
            "max_range",
            "`start` is not a valid time",
        ),
        (
            "labels",
            &[("start", "1e308"), ("end", start.as_str())],
            &[],
            "max_range",
            "`start` is not a valid time",
        ),
    ] {
        let params: Vec<_> = window.iter().chain(more).copied().collect();
        let path = format!("/api/v1/{path}");
        let sent = [Sent::Get, Sent::Post];
        let forms = if path.ends_with("/values") {
            &sent[..1]
        } else {
            &sent[..]
        };
        for form in forms {
            let answer = ask(&stage, &["acme"], &Ask::new(*form, &path, &params)).await;
            let json = answer.json();
            let what = format!("{path} {params:?}: {json}");
            assert_eq!(answer.status, 422, "{what}");
            assert_eq!(json["errorType"], "execution", "{what}");
            assert!(json["error"].as_str().unwrap().contains(told), "{what}");
        }
        assert_eq!(stage.upstream.take().len(), 0, "{path} {params:?}");
        let series = format!("reason=\"{reason}\"");
        let metrics = Client::default()
            .get(&format!("{}/metrics", stage.proxy.admin))
            .await;
        assert!(metrics.text().contains(&series), "{reason}");
    }
}

#[tokio::test]
async fn requests_within_the_limits_are_unmodified() {
    let stage = Stage::recorded(LIMITS).await;
    let (start, end) = (days(0), days(31));
    let day = days(1);
    for (path, params) in [
        (
            "/api/v1/query_range",
            &[
                ("query", "rate(up[31d])"),
                ("start", &start),
                ("end", &end),
                ("step", "1d"),
            ][..],
        ),
        (
            "/api/v1/query_range",
            &[
                ("query", "up offset 90d"),
                ("start", &start),
                ("end", &day),
                ("step", "15m"),
            ],
        ),
        (
            "/api/v1/query_range",
            &[
                ("query", "up"),
                ("start", "2025-01-01T00:00:00Z"),
                ("end", "2025-01-01T00:10:00.000Z"),
                ("step", "15s"),
            ],
        ),
        (
            "/api/v1/query",
            &[("query", "sum(rate(up[31d])) / sum(rate(up[31d]))")],
        ),
        (
            "/api/v1/query",
            &[("query", "max_over_time(rate(up[1d])[30d:12h])")],
        ),
        (
            "/api/v1/query",
            &[("query", "up @ 0"), ("lookback_delta", "5m")],
        ),
        (
            "/api/v1/series",
            &[("match[]", "up"), ("start", &start), ("end", &end)],
        ),
        ("/api/v1/status/buildinfo", &[]),
    ] {
        let answer = ask(&stage, &["acme"], &Ask::get(path, params)).await;
        assert_eq!(answer.status, 200, "{path} {params:?}: {}", answer.text());
        let seen = stage.upstream.take_one();
        for name in ["start", "end", "step", "lookback_delta"] {
            let given = params.iter().filter(|(key, _)| *key == name);
            let given: Vec<&str> = given.map(|(_, value)| *value).collect();
            assert_eq!(seen.param(name), given, "{path}");
        }
    }
}

#[tokio::test]
async fn strictest_tenant_limit_applies_and_all_tenants_have_none() {
    let stage = Stage::recorded(LIMITS).await;
    let (start, end) = (days(0), days(60));
    let long = [
        ("query", "up"),
        ("start", &*start),
        ("end", &*end),
        ("step", "1d"),
    ];
    let long = Ask::get("/api/v1/query_range", &long);
    assert_eq!(ask(&stage, &["wide"], &long).await.status, 200);
    let answer = ask(&stage, &["wide", "acme"], &long).await;
    assert_eq!(answer.status, 422);
    assert!(
        answer.text().contains("31d of tenant `acme`"),
        "{}",
        answer.text()
    );
    let (start, end) = ("0", "600");
    let fine = [
        ("query", "up"),
        ("start", start),
        ("end", end),
        ("step", "1m"),
    ];
    let fine = Ask::get("/api/v1/query_range", &fine);
    assert_eq!(ask(&stage, &["acme"], &fine).await.status, 200);
    let answer = ask(&stage, &["acme", "slow"], &fine).await;
    assert_eq!(answer.status, 422);
    assert!(
        answer.text().contains("min_step 5m of tenant `slow`"),
        "{}",
        answer.text()
    );
    let admin = stage.proxy.signer.admin();
    for ask in [&long, &Ask::get("/api/v1/labels", &[])] {
        let answer = Client::default()
            .ask(&stage.proxy.url, ask, Some(&admin))
            .await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn remote_reads_are_guarded_too() {
    let stage = Stage::recorded(LIMITS).await;
    let read = async |start: i64, end: i64| {
        let request = ReadRequest {
            queries: vec![Query {
                start,
                end,
                matchers: vec![LabelMatcher {
                    kind: 0,
                    name: "__name__".to_owned(),
                    value: "up".to_owned(),
                }],
            }],
            accepted_response_types: vec![],
        };
        let token = stage.proxy.signer.tenant("acme");
        let request = Request::post(format!("{}/api/v1/read", stage.proxy.url))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .body(Full::<Bytes>::from(pack(&request)));
        Client::default().send(request.unwrap()).await
    };
    let day = i64::from(DAY) * 1000;
    let answer = read(day, 33 * day).await;
    assert_eq!(answer.status, 422);
    assert!(
        answer
            .text()
            .contains("the range of this remote read is 32d"),
        "{}",
        answer.text()
    );
    assert_eq!(read(i64::MIN, i64::MAX).await.status, 422);
    assert!(stage.upstream.take().is_empty());
    assert_eq!(read(day, 32 * day).await.status, 200);
}

async fn tempo(tenancy: &str) -> Stage<TempoUpstream> {
    let upstream = TempoUpstream::start().await;
    let mut setup = Setup::tempo(&upstream.url);
    tenancy.clone_into(&mut setup.tempo.as_mut().unwrap().tenancy);
    setup.rest = LIMITS.to_owned();
    Stage::of(upstream, setup).await
}

/// The guards are the same, whether Tempo or Partywall separates tenants.
#[tokio::test]
async fn traces_are_guarded_in_plain_words() {
    for tenancy in ["attribute: resource.tenant_id", "org_id: true"] {
        let stage = tempo(tenancy).await;
        let (start, far, near) = (days(0), days(40), days(30));
        let far = [("start", start.as_str()), ("end", far.as_str())];
        let near = [("start", start.as_str()), ("end", near.as_str())];
        let range = "the range of this request is 40d, longer than tenant_limits max_range 31d \
                     of tenant `A`";
        let rate = ("q", "{} | rate()");
        for (path, window, more, told) in [
            ("/api/search", &far[..], &[("q", "{}")][..], range),
            ("/api/search/tags", &far, &[], range),
            ("/api/v2/search/tags", &far, &[], range),
            ("/api/v2/search/tag/.a/values", &far, &[], range),
            ("/api/search/tag/a/values", &far, &[], range),
            ("/api/metrics/query", &far, &[rate], range),
            ("/api/metrics/query_range", &far, &[rate], range),
            (
                "/api/metrics/query_range",
                &[("since", "40d")],
                &[rate],
                range,
            ),
            (
                "/api/metrics/query_range",
                &near,
                &[rate, ("step", "1h")],
                "this query has 721 points",
            ),
            (
                "/api/metrics/query_range",
                &near,
                &[rate, ("step", "10s")],
                "the step of this query is 10s",
            ),
            (
                "/api/search",
                &near[..1],
                &[],
                "one of `start` and `end` is not given",
            ),
            (
                "/api/metrics/query_range",
                &[("start", "now"), ("end", "now")],
                &[rate],
                "`end` is not a valid time",
            ),
        ] {
            let params: Vec<_> = window.iter().chain(more).copied().collect();
            let answer = ask(&stage, &["A"], &Ask::get(path, &params)).await;
            let what = format!("{tenancy}: {path} {params:?}: {}", answer.text());
            assert_eq!(answer.status, 422, "{what}");
            assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
            assert!(answer.text().contains(told), "{what}");
            assert!(stage.upstream.take().is_empty(), "{what}");
        }
        for (path, params) in [
            ("/api/search", &[("q", "{}")][..]),
            ("/api/search", &near),
            ("/api/metrics/query_range", &[rate]),
            (
                "/api/metrics/query_range",
                &[rate, ("since", "1h"), ("step", "1m")],
            ),
            ("/api/v2/search/tags", &[]),
            ("/api/traces/1", &[]),
            ("/api/echo", &[]),
        ] {
            let answer = ask(&stage, &["A"], &Ask::get(path, params)).await;
            let status = answer.status.as_u16();
            assert!(
                status == 200 || status == 404,
                "{tenancy}: {path} {params:?} {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn calls_are_guarded_by_a_status() {
    const INVALID_ARGUMENT: u8 = 3;
    for tenancy in ["attribute: resource.tenant_id", "org_id: true"] {
        let stage = tempo(tenancy).await;
        let token = stage.proxy.signer.tenant("A");
        let search = |days: u32| {
            let message = SearchRequest {
                query: "{}".to_owned(),
                start: 10,
                end: 10 + days * DAY,
                tags: HashMap::new(),
                ..SearchRequest::default()
            };
            Call::new("/tempopb.StreamingQuerier/Search", &message)
        };
        let metrics = |step: u64| {
            let message = QueryRangeRequest {
                query: "{} | rate()".to_owned(),
                start: 1_000_000_000,
                end: 3_601_000_000_000,
                step: step * 1_000_000_000,
                exemplars: 0,
            };
            Call::new("/tempopb.StreamingQuerier/MetricsQueryRange", &message)
        };
        for (asked, told) in [
            (search(40), "the range of this request is 40d"),
            (metrics(10), "the step of this query is 10s"),
            (metrics(30), "this query has 121 points"),
        ] {
            let answer = call(&stage.proxy.url, &asked, Some(&token)).await;
            assert_eq!(answer.code(), INVALID_ARGUMENT, "{answer:?}");
            assert!(answer.message().contains(told), "{answer:?}");
        }
        assert!(stage.upstream.take().is_empty());
        for asked in [search(31), metrics(60), metrics(0)] {
            let answer = call(&stage.proxy.url, &asked, Some(&token)).await;
            assert_eq!(answer.code(), 0, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn tenant_permits_are_counted_over_grpc() {
    const RESOURCE_EXHAUSTED: u8 = 8;
    let upstream = TempoUpstream::start().await;
    let mut setup = Setup::tempo(&upstream.url);
    setup.rest = "tenant_limits: {default: {requests_per_second: 1, burst: 1}}\n".to_owned();
    let stage = Stage::of(upstream, setup).await;
    let token = stage.proxy.signer.tenant("A");
    let message = SearchRequest::default();
    let search = Call::new("/tempopb.StreamingQuerier/Search", &message);
    let mut refused = None;
    for _ in 0..5 {
        let answer = call(&stage.proxy.url, &search, Some(&token)).await;
        refused = (answer.code() != 0).then_some(answer).or(refused);
    }
    let refused = refused.expect("one came too soon");
    assert_eq!(refused.code(), RESOURCE_EXHAUSTED);
    assert!(
        refused.message().contains("requests_per_second"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_changed_guard_holds_for_the_next_query() {
    let mut rig = Rig::start(|config, _| {
        config.rest += "tenant_limits: {default: {max_range: 1h}}\n";
    })
    .await;
    let token = token("other");
    let (url, client) = (rig.url(), Client::default());
    let long = Ask::get("/api/v1/query", &[("query", "rate(up[2h])")]);
    let status = async || client.ask(&url, &long, Some(&token)).await.status.as_u16();
    assert_eq!(status().await, 422);
    rig.config.rest = rig.config.rest.replace("1h", "1d");
    rig.replace();
    eventually("it is allowed", async || status().await == 200).await;
    rig.config.rest = rig.config.rest.replace("1d", "1h59m");
    rig.replace();
    eventually("it is not, though it is known", async || {
        status().await == 422
    })
    .await;
}

#[tokio::test]
async fn the_limits_of_every_query_name_themselves() {
    let upstream = Upstream::start().await;
    let mut setup = Setup::new(&upstream.url);
    setup.rest = "limits: {query_bytes: 20, query_selectors: 2}\n".to_owned();
    setup.signer = Signer::hs256(SECRET);
    let stage = Stage::of(upstream, setup).await;
    for (query, told) in [
        (
            "up + up + up",
            "more than 2 selectors (limits.query_selectors)",
        ),
        (
            "up + up + up + up + up",
            "22 bytes long, more than 20 (limits.query_bytes)",
        ),
    ] {
        let answer = ask(
            &stage,
            &["acme"],
            &Ask::get("/api/v1/query", &[("query", query)]),
        )
        .await;
        assert_eq!(answer.status, 422);
        assert!(answer.text().contains(told), "{}", answer.text());
    }
}
