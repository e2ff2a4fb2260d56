//! The proxy's own spans, as a collector gets them.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::messages::{AnyValue, Export, KeyValue, Span};
use super::*;
use crate::kit::stage::{PATIENCE, eventually};
use crate::kit::upstream::Behaviour;

/// The caller's span in [`SAMPLED`].
const PARENT: &str = "00f067aa0ba902b7";

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const ERROR: i32 = 2;

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<&str, String> {
    let text = |value: &AnyValue| match value {
        AnyValue {
            text: Some(text), ..
        } => text.clone(),
        AnyValue {
            number: Some(number),
            ..
        } => number.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = attributes.iter().map(|pair| {
        (
            pair.key.as_str(),
            pair.value.as_ref().map(text).unwrap_or_default(),
        )
    });
    pairs.collect()
}

/// A collector, and a proxy that exports to it.
struct Traced {
    collector: Upstream,
    rig: Rig,
    exports: std::sync::Mutex<Vec<Export>>,
}

impl Traced {
    async fn start(tracing: &str, rest: &str) -> Self {
        let collector = Upstream::start().await;
        collector.reply(accepted());
        let url = format!("{}/v1/traces", collector.url);
        let rig = launch(&url, tracing, rest).await;
        Self {
            collector,
            rig,
            exports: std::sync::Mutex::default(),
        }
    }

    fn exports(&self) -> Vec<Export> {
        let mut exports = self.exports.lock().unwrap();
        for seen in self.collector.take() {
            assert_eq!(seen.path(), "/v1/traces");
            assert_eq!(seen.header("content-type"), Some("application/x-protobuf"));
            exports.push(Export::decode(seen.body).expect("protobuf"));
        }
        exports.clone()
    }

    fn spans(&self) -> Vec<Span> {
        let resources = self
            .exports()
            .into_iter()
            .flat_map(|export| export.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    /// The spans of a request, once its own, which is the last to end, is there.
    async fn request(&self) -> Spans {
        let is_there = || self.spans().iter().any(|span| span.kind == SERVER);
        eventually("the span is there", async || is_there()).await;
        Spans(self.spans())
    }

    async fn ask(&self, ask: Ask, token: &str) -> u16 {
        let answer = Client::default()
            .ask(&self.rig.url(), &ask, Some(token))
            .await;
        answer.status.as_u16()
    }

    fn sent_parent(&self) -> String {
        let seen = self.rig.upstream.take_one();
        seen.header("traceparent").expect("a parent").to_owned()
    }
}

fn accepted() -> Reply {
    Reply {
        status: 200,
        headers: vec![("content-type", "application/x-protobuf".to_owned())],
        body: Bytes::new(),
    }
}

async fn launch(url: &str, tracing: &str, rest: &str) -> Rig {
    Rig::launch_as(
        |config, _| {
            config.tenancy = "claim: tenant_id".to_owned();
            config.rest = config.rest.clone()
                + &format!("tracing: {{otlp_endpoint: '{url}', {tracing}}}\n{rest}");
        },
        |dir, config| {
            let path = dir.join("partywall.yaml");
            std::fs::write(&path, config.to_string()).unwrap();
            path
        },
        binary,
    )
    .await
}

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_partywall"));
    // Batches leave soon.
    command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
    command
}

struct Spans(Vec<Span>);

impl Spans {
    fn only(&self, name: &str) -> &Span {
        let mut found = self.0.iter().filter(|span| span.name == name);
        let span = found
            .next()
            .unwrap_or_else(|| panic!("{name} in {:#?}", self.0));
        assert!(found.next().is_none(), "{name} twice");
        span
    }
}

fn query() -> Ask {
    Ask::get("/api/v1/query", &[("query", "very_private")])
}

#[tokio::test]
async fn a_sampled_request_has_its_spans() {
    let traced = Traced::start("service_name: pw", "").await;
    let ask = query()
        .with_header("traceparent", SAMPLED)
        .with_header("tracestate", "a=1");
    assert_eq!(traced.ask(ask, &ACME).await, 200);
    let spans = traced.request().await;
    let request = spans.only("GET query");
    assert_eq!(request.kind, SERVER);
    assert_eq!(hex(&request.trace_id), TRACE);
    assert_eq!(hex(&request.parent_span_id), PARENT);
    assert_eq!(
        texts(&request.attributes),
        BTreeMap::from([
            ("http.request.method", "GET".to_owned()),
            ("http.response.status_code", "200".to_owned()),
            ("http.route", "query".to_owned()),
            ("partywall.decision", "confined".to_owned()),
        ])
    );
    for (name, kind) in [
        ("authenticate", INTERNAL),
        ("enforce", INTERNAL),
        ("upstream", CLIENT),
    ] {
        let span = spans.only(name);
        assert_eq!(span.kind, kind, "{name}");
        assert_eq!(hex(&span.trace_id), TRACE, "{name}");
        assert_eq!(span.parent_span_id, request.span_id, "{name}");
        assert!(
            span.start >= request.start && span.end <= request.end,
            "{name}"
        );
        assert!(span.start <= span.end, "{name}");
    }
    let seen = traced.rig.upstream.take_one();
    let upstream = hex(&spans.only("upstream").span_id);
    let parent = format!("00-{TRACE}-{upstream}-01");
    assert_eq!(seen.header("traceparent"), Some(parent.as_str()));
    assert_eq!(seen.header("tracestate"), Some("a=1"));
    let exports = traced.exports();
    let resource = exports[0].resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(texts(&resource.attributes)["service.name"], "pw");
    let exported = r#"partywall_spans_total{result="exported"}"#;
    eventually("they are counted", async || {
        traced.rig.metric(exported).await > 3.5
    })
    .await;
}

#[tokio::test]
async fn an_unsampled_request_has_none_and_stays_in_its_trace() {
    let traced = Traced::start("sample_ratio: 1", "").await;
    let unsampled = SAMPLED.replace("-01", "-00");
    let ask = query().with_header("traceparent", &unsampled);
    assert_eq!(traced.ask(ask, &ACME).await, 200);
    let parent = traced.sent_parent();
    assert!(
        parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-00"),
        "{parent}"
    );
    // The next one begins a trace of its own, and is the only one exported.
    assert_eq!(traced.ask(query(), &ACME).await, 200);
    let spans = traced.request().await;
    let request = spans.only("GET query");
    assert!(request.parent_span_id.is_empty());
    let trace = hex(&request.trace_id);
    assert_ne!(trace, TRACE);
    assert!(traced.sent_parent().starts_with(&format!("00-{trace}-")));
}

#[tokio::test]
async fn a_ratio_of_none_begins_no_trace_but_propagates_one() {
    let traced = Traced::start("sample_ratio: 0", "").await;
    for _ in 0..5 {
        assert_eq!(traced.ask(query(), &ACME).await, 200);
        let parent = traced.sent_parent();
        assert!(parent.ends_with("-00"), "{parent}");
    }
    // Several batches' time.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(traced.spans().is_empty());
}

#[tokio::test]
async fn errors_are_errors_and_name_their_reason() {
    let traced = Traced::start("sample_ratio: 1", "").await;
    traced.rig.upstream.behave(Behaviour::HangUp);
    assert_eq!(traced.ask(query(), &ACME).await, 502);
    let spans = traced.request().await;
    let request = spans.only("GET query");
    assert_eq!(request.status.as_ref().unwrap().code, ERROR);
    assert_eq!(
        texts(&request.attributes)["error.type"],
        "upstream_unreachable"
    );
    assert_eq!(spans.only("upstream").status.as_ref().unwrap().code, ERROR);

    let traced = Traced::start("sample_ratio: 1", "").await;
    assert_eq!(traced.ask(query(), "no.such.token").await, 401);
    let spans = traced.request().await;
    let request = spans.only("GET query");
    assert_eq!(
        request.status.as_ref().map_or(0, |status| status.code),
        0,
        "the client's fault"
    );
    assert_eq!(texts(&request.attributes)["partywall.decision"], "refused");
    assert_eq!(
        spans.0.len(),
        2,
        "no stage but the first: {spans:#?}",
        spans = spans.0
    );
}

/// Neither a token nor, unless the audit trail may tell it too, a query.
#[tokio::test]
async fn spans_tell_no_more_than_they_may() {
    for (queries, is_told) in [("full", true), ("hash", false), ("none", false)] {
        let audit = format!("audit: {{queries: {queries}}}\n");
        let traced = Traced::start("sample_ratio: 1", &audit).await;
        assert_eq!(traced.ask(query(), &ACME).await, 200);
        traced.request().await;
        let all = format!("{:?}", traced.exports());
        assert_eq!(all.contains("very_private"), is_told, "{queries}");
        assert_eq!(all.contains("very_private{tenant_id"), is_told, "{queries}");
        assert!(!all.contains("sha256:"));
        for part in ACME.split('.') {
            assert!(!all.contains(part), "{queries}");
        }
        assert!(!all.contains("tester"), "nor a subject");
    }
}

#[tokio::test]
async fn the_trace_is_in_the_audit_record() {
    let traced = Traced::start("sample_ratio: 1", "log: {format: json}\n").await;
    assert_eq!(traced.ask(query(), "no.such.token").await, 401);
    let spans = traced.request().await;
    let trace = hex(&spans.only("GET query").trace_id);
    eventually("the record is there", async || {
        let log = traced.rig.process.log();
        log.contains(&format!("\"trace_id\":\"{trace}\""))
    })
    .await;
}

/// A collector that is unreachable, or never responds, does not affect requests.
#[tokio::test]
async fn requests_do_not_feel_the_collector() {
    let silent = Upstream::start().await;
    silent.behave(Behaviour::Silent);
    for url in ["http://127.0.0.1:1/v1/traces", &silent.url] {
        let mut rig = launch(url, "sample_ratio: 1", "drain: {max: 1s}\n").await;
        for _ in 0..300 {
            assert_eq!(rig.status(&ACME).await, 200, "{url}");
        }
        let failed = r#"partywall_spans_total{result="failed"}"#;
        eventually("they are counted", async || rig.metric(failed).await > 0.5).await;
        let complaints = rig.process.log().matches("cannot export spans").count();
        assert_eq!(complaints, 1, "{}", rig.process.log());
        rig.process.signal("TERM");
        let ended = rig.process.wait(PATIENCE).await.expect("it ends");
        assert_eq!(ended.code(), Some(0));
    }
}

#[tokio::test]
async fn queued_spans_are_sent_at_shutdown() {
    let collector = Upstream::start().await;
    collector.reply(accepted());
    let mut rig = Rig::start(|config, _| {
        config.rest = config.rest.clone()
            + &format!(
                "tracing: {{otlp_endpoint: '{}/v1/traces', sample_ratio: 1}}\n",
                collector.url
            );
    })
    .await;
    assert_eq!(rig.status(&ACME).await, 200);
    // A batch would leave after five seconds.
    assert!(collector.take().is_empty());
    rig.process.signal("TERM");
    rig.process.wait(PATIENCE).await.expect("it ends");
    assert_eq!(collector.take().len(), 1);
}

#[tokio::test]
async fn it_changes_with_the_config() {
    let token = Signer::hs256(SECRET).tenant("acme");
    let mut traced = Traced::start("sample_ratio: 1", "").await;
    assert_eq!(traced.ask(query(), &token).await, 200);
    traced.request().await;
    let with = traced.rig.config.rest.clone();
    traced.rig.config.rest = "reload: {poll_interval: 100ms}\n".to_owned();
    traced.rig.replace();
    eventually("nothing is added on the way", async || {
        traced.rig.upstream.take();
        traced.ask(query(), &token).await;
        traced
            .rig
            .upstream
            .take_one()
            .header("traceparent")
            .is_none()
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    traced.exports();
    traced.exports.lock().unwrap().clear();
    assert_eq!(traced.ask(query(), &token).await, 200);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(traced.spans().is_empty(), "it is off");
    traced.rig.config.rest = with;
    traced.rig.replace();
    eventually("spans come again", async || {
        traced.ask(query(), &token).await;
        !traced.spans().is_empty()
    })
    .await;
}
