//! The trace that a request is part of, and, with the feature `otlp`, the proxy's own spans.

#[cfg(feature = "otlp")]
mod exported;

use crate::kit::client::{Ask, Client, Sent};
use crate::kit::partywall::{Partywall, Setup};
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
    // A page that is shown, but cannot be read as the answer to a search for the caller's spans.
    let group = r#"{"key":"by(x)","value":{"intValue":"many"}}"#;
    let sets = format!(r#"[{{"matched":1,"attributes":[{group}]}}]"#);
    let page = format!(r#"{{"traces":[{{"traceID":"1a","spanSets":{sets}}}],"metrics":{{}}}}"#);
    upstream.reply(Reply::json(&page));
    let mut setup = Setup::tempo(&upstream.url);
    setup.signer = Signer::hs256(SECRET);
    let proxy = Partywall::start(setup).await;
    let ask = Ask::get("/api/search", &[("q", "{}")]).with_header("traceparent", SAMPLED);
    let token = proxy.signer.tenant("acme");
    let answer = Client::default().ask(&proxy.url, &ask, Some(&token)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let log = proxy.process.log();
    let warning = log
        .lines()
        .find(|line| line.contains("search for the caller's spans"));
    let warning = warning.expect("a warning");
    assert!(warning.contains(TRACE), "{warning}");
}
