//! The trace that a request is part of, and, with the feature `otlp`, the proxy's own spans.

#[cfg(feature = "otlp")]
mod exported;
#[cfg(feature = "otlp")]
mod messages;

use crate::kit::client::{Ask, Client, Sent};
use crate::kit::partywall::{Partywall, Setup};
#[cfg(not(feature = "otlp"))]
use crate::kit::rig::Config;
use crate::kit::rig::{ACME, Rig};
use crate::kit::stage::{SECRET, Stage};
use crate::kit::token::Signer;
use crate::kit::upstream::{Reply, Upstream};

pub const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Two endpoints of the data API, and one outside of it.
fn asks() -> [Ask; 3] {
    [
        Ask::get("/api/v1/query", &[("query", "up")]),
        Ask::new(Sent::Post, "/api/v1/query", &[("query", "up")]),
        Ask::get("/graph", &[]),
    ]
}

#[tokio::test]
async fn valid_trace_context_is_forwarded_unmodified() {
    let stage = Stage::recorded("").await;
    let token = stage.proxy.signer.tenant("acme");
    for ask in asks() {
        let ask = ask
            .with_header("traceparent", SAMPLED)
            .with_header("tracestate", "vendor=1,other=2");
        Client::default()
            .ask(&stage.proxy.url, &ask, Some(&token))
            .await;
        let seen = stage.upstream.take_one();
        assert_eq!(seen.header("traceparent"), Some(SAMPLED), "{ask}");
        assert_eq!(seen.header("tracestate"), Some("vendor=1,other=2"), "{ask}");
    }
}

#[tokio::test]
async fn an_invalid_one_goes_nowhere() {
    let stage = Stage::recorded("").await;
    let token = stage.proxy.signer.tenant("acme");
    let zero = SAMPLED.replace(TRACE, &"0".repeat(32));
    for bad in ["00-1-1-01", &zero, &SAMPLED.to_uppercase()] {
        for ask in asks() {
            let ask = ask
                .with_header("traceparent", bad)
                .with_header("tracestate", "vendor=1");
            let answer = Client::default()
                .ask(&stage.proxy.url, &ask, Some(&token))
                .await;
            assert_eq!(answer.status, 200, "{ask}");
            let seen = stage.upstream.take_one();
            assert_eq!(seen.header("traceparent"), None, "{ask}");
            assert_eq!(seen.header("tracestate"), None, "{ask}");
        }
    }
}

#[tokio::test]
async fn the_access_log_names_the_trace() {
    let stage =
        Stage::recorded("log: {format: json, level: 'info,partywall::access=debug'}\n").await;
    let token = stage.proxy.signer.tenant("acme");
    let [ask, ..] = asks();
    let ask = ask.with_header("traceparent", SAMPLED);
    Client::default()
        .ask(&stage.proxy.url, &ask, Some(&token))
        .await;
    let line = || {
        let log = stage.proxy.process.log();
        let mut lines = log
            .lines()
            .filter(|line| line.contains("partywall::access"));
        let line: Option<serde_json::Value> =
            lines.next().map(|line| serde_json::from_str(line).unwrap());
        line
    };
    crate::kit::stage::eventually("the line is there", async || line().is_some()).await;
    let fields = line().unwrap()["fields"].clone();
    assert_eq!(fields["trace_id"], TRACE);
    assert_eq!(
        (&fields["route"], &fields["code"]),
        (&"query".into(), &200.into())
    );
    assert!(fields["duration_ms"].as_f64().unwrap() > 0.0);
}

/// What goes wrong on the way is told with the trace, not only the end.
#[tokio::test]
async fn a_warning_names_the_trace() {
    let upstream = Upstream::start().await;
    // As an answer to the ownership query too, which has to be protobuf.
    upstream.reply(Reply::json(r#"{"traces":[{"traceID":"1a"}],"metrics":{}}"#));
    let mut setup = Setup::tempo(&upstream.url);
    setup.signer = Signer::hs256(SECRET);
    let proxy = Partywall::start(setup).await;
    let ask = Ask::get("/api/search", &[("q", "{}")]).with_header("traceparent", SAMPLED);
    let token = proxy.signer.tenant("acme");
    let answer = Client::default().ask(&proxy.url, &ask, Some(&token)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let log = proxy.process.log();
    let warning = log.lines().find(|line| line.contains("ownership query"));
    let warning = warning.expect("a warning");
    assert!(warning.contains(TRACE), "{warning}");
}

#[cfg(not(feature = "otlp"))]
#[tokio::test]
async fn a_build_without_spans_says_so() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("partywall.yaml");
    let mut config = Config::new("http://127.0.0.1:1");
    config.rest = "tracing: {otlp_endpoint: 'http://otel:4318/v1/traces'}\n".to_owned();
    std::fs::write(&path, config.to_string()).unwrap();
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_partywall"));
    let checked = check
        .arg("check")
        .arg("--config")
        .arg(&path)
        .output()
        .unwrap();
    assert!(!checked.status.success());
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(
        said.contains("tracing: this build") && said.contains("--features otlp"),
        "{said}"
    );
    // Nor does a reload take it.
    let mut rig = Rig::start(|_, _| {}).await;
    rig.config.rest += &config.rest;
    rig.replace();
    crate::kit::stage::eventually("it is refused", async || rig.reloads().await.1 > 0.5).await;
    assert_eq!(rig.status(&ACME).await, 200);
}
