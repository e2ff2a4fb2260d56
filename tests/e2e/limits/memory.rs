//! What all bodies together may take of the memory.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::refusals;
use crate::kit::client::{Ask, Client};
use crate::kit::grpc::{Call, call};
use crate::kit::partywall::Setup;
use crate::kit::stage::{
    FILTERED, FORM, QUERY, Stage, VECTOR, assert_error, eventually, until_seen,
};
use crate::kit::tempo_messages::SearchRequest;
use crate::kit::tempo_upstream::{TempoReply, TempoUpstream, fixture, trace_id};
use crate::kit::upstream::{Reply, Upstream};

const MIB: usize = 1024 * 1024;
const HELD: &str = "partywall_buffered_bytes";

/// A rules answer of about this length, all of it the tenant `acme`'s.
fn rules(bytes: usize) -> Bytes {
    let text = "x".repeat(bytes);
    let rule = format!(
        r#"{{"name":"r","query":"up","health":"ok","type":"recording","labels":{{"tenant_id":"acme","text":"{text}"}}}}"#
    );
    let group = format!(r#"{{"name":"g","file":"f","interval":60,"rules":[{rule}]}}"#);
    format!(r#"{{"status":"success","data":{{"groups":[{group}]}}}}"#).into()
}

fn with_rules(upstream: &Upstream, bytes: usize) {
    upstream.reply(Reply {
        body: rules(bytes),
        ..Reply::json("")
    });
}

/// What `/proc` calls `VmHWM`, in MiB: the most memory that the process ever had.
fn most_memory(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

#[tokio::test]
async fn unread_answers_keep_no_memory_from_small_ones() {
    let stage = Stage::recorded("limits: {buffered_bytes: 96MiB}\n").await;
    with_rules(&stage.upstream, 12 * MIB);
    let mut unread = Vec::new();
    let ask = async |stage: &Stage<Upstream>| -> TcpStream {
        // The kernel takes little for a client with so small a buffer.
        let mut stream = stage.connect_with_buffer(4096).await;
        stream.write_all(&stage.kept(FILTERED)).await.unwrap();
        stream
    };
    // Four fit into a share of the memory: each is held once until it is read, and twice while it is
    // filtered.
    for round in 1..=4 {
        let mut stream = ask(&stage).await;
        until_seen(&mut stream, "HTTP/1.1 200").await;
        unread.push(stream);
        let least = f64::from(round) * 12.4e6;
        assert!(stage.metric(HELD).await > least, "it is held, filtered");
    }
    let mut refused = 0;
    for _ in 0..4 {
        let answer = stage.get(FILTERED).await;
        if answer.status == 200 {
            continue;
        }
        refused += 1;
        let text = assert_error("no room", &answer, 429);
        assert!(
            text.contains("100663296 bytes") && text.contains("limits.buffered_bytes"),
            "{text}"
        );
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert!(refused > 0, "{} held", stage.metric(HELD).await);
    assert!(refusals(&stage, "rules", "buffered_bytes_share").await > 0.5);

    stage.upstream.reply(Reply::json(VECTOR));
    assert_eq!(
        stage.get(QUERY).await.status,
        200,
        "what is streamed needs none"
    );
    let form = stage
        .send("POST", "/api/v1/query", &[FORM], b"query=up")
        .await;
    assert_eq!(form.status, 200, "and a form little");
    with_rules(&stage.upstream, 10);
    assert_eq!(stage.get(FILTERED).await.status, 200, "and a small answer");

    drop(unread);
    eventually("all is given back", async || stage.metric(HELD).await < 0.5).await;
    with_rules(&stage.upstream, 12 * MIB);
    assert_eq!(stage.get(FILTERED).await.status, 200);
}

/// Many at once stay within the bound, and small requests are served all the while.
#[tokio::test]
async fn a_storm_of_big_answers_stays_within_the_bound() {
    const ANSWER: usize = 8 * MIB;
    const AT_ONCE: usize = 60;
    let stage = Stage::recorded("limits: {buffered_bytes: 64MiB}\n").await;
    let before = most_memory(stage.proxy.process.id());
    with_rules(&stage.upstream, ANSWER);
    let token = stage.proxy.signer.tenant("acme");
    let storm: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (url, token) = (stage.proxy.url.clone(), token.clone());
            tokio::spawn(async move {
                let answer = Client::default()
                    .ask(&url, &Ask::get(FILTERED, &[]), Some(&token))
                    .await;
                answer.status.as_u16()
            })
        })
        .collect();
    while !storm.iter().all(tokio::task::JoinHandle::is_finished) {
        let tags = stage.get("/api/v1/status/buildinfo").await;
        assert_eq!(tags.status, 200, "what is not held is not refused");
        assert!(stage.metric(HELD).await <= 64.0 * 1024.0 * 1024.0);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (mut served, mut refused) = (0, 0);
    for one in storm {
        match one.await.unwrap() {
            200 => served += 1,
            429 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(served > 0, "{served} served, {refused} refused");
    eventually("all is given back", async || stage.metric(HELD).await < 0.5).await;
    let grown = most_memory(stage.proxy.process.id()) - before;
    // As it comes in, it passes through buffers of sockets; what reads it makes a tree of it.
    let bound = 64 + 120;
    assert!(
        grown < bound,
        "{grown} MiB more, {served} served, {refused} refused"
    );
}

#[tokio::test]
async fn every_api_says_in_its_words_that_there_is_no_room() {
    const RESOURCE_EXHAUSTED: u8 = 8;
    let upstream = TempoUpstream::start().await;
    let mut setup = Setup::tempo(&upstream.url);
    setup.rest = "limits: {buffered_bytes: 100}\ntraces: {foreign_spans: deny}\n".to_owned();
    let stage = Stage::of(upstream, setup).await;
    let token = stage.proxy.signer.tenant("A");
    let client = Client::default();
    let trace = format!("/api/traces/{}", trace_id("1"));
    for (path, accept) in [
        ("/api/search", "application/json"),
        ("/api/v2/search/tags", "application/json"),
        (&trace, "application/protobuf"),
        (&trace, "application/json"),
    ] {
        let ask = Ask::get(path, &[]).with_header("accept", accept);
        let answer = client.ask(&stage.proxy.url, &ask, Some(&token)).await;
        assert_eq!(answer.status, 503, "{path} {accept}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.header("retry-after"), "1");
        assert!(
            answer.text().contains("limits.buffered_bytes"),
            "{}",
            answer.text()
        );
    }
    let search = Call::new(
        "/tempopb.StreamingQuerier/Search",
        &SearchRequest::default(),
    );
    let answer = call(&stage.proxy.url, &search, Some(&token)).await;
    assert_eq!(answer.code(), RESOURCE_EXHAUSTED, "{answer:?}");
    assert!(
        answer.message().contains("limits.buffered_bytes"),
        "{answer:?}"
    );
    eventually("all is given back", async || stage.metric(HELD).await < 0.5).await;
}

/// An answer that has begun cannot become an error: it breaks off, and is counted.
#[tokio::test]
async fn an_answer_that_finds_no_room_half_way_breaks_off() {
    let upstream = TempoUpstream::start().await;
    // Its own spans first, then a resource that is long in coming.
    let own = String::from_utf8(fixture("trace-v1-A-only.json")).unwrap();
    let own = own.trim_end().strip_suffix("]}").unwrap();
    let long = "y".repeat(400_000);
    let body = format!(
        r#"{own},{{"scopeSpans":[{{"spans":[{{"name":"{long}"}}]}}],"resource":{{"attributes":[]}}}}]}}"#
    );
    upstream.reply("/api/traces/1", TempoReply::json(body));
    upstream.pieces(20);
    let mut setup = Setup::tempo(&upstream.url);
    setup.rest = "limits: {buffered_bytes: 100KiB}\n".to_owned();
    let stage = Stage::of(upstream, setup).await;
    let token = stage.proxy.signer.tenant("A");
    let request = hyper::Request::get(format!("{}/api/traces/1", stage.proxy.url))
        .header("authorization", format!("Bearer {token}"))
        .body(http_body_util::Full::default())
        .unwrap();
    let answer = Client::default().try_send(request).await;
    assert!(answer.is_err(), "{answer:?}");
    eventually("it is counted", async || {
        refusals(&stage, "trace", "buffered_bytes_share").await > 0.5
    })
    .await;
    eventually("all is given back", async || stage.metric(HELD).await < 0.5).await;
}

#[tokio::test]
async fn a_form_finds_no_room_either() {
    let stage = Stage::recorded("limits: {buffered_bytes: 1KiB}\n").await;
    let form = format!("query={}", "x".repeat(2000));
    let answer = stage
        .send("POST", "/api/v1/query", &[FORM], form.as_bytes())
        .await;
    assert_error("a form", &answer, 503);
    assert!(stage.upstream.take().is_empty());
    let answer = stage
        .send("POST", "/api/v1/query", &[FORM], b"query=up")
        .await;
    assert_eq!(answer.status, 200);
    eventually("all is given back", async || stage.metric(HELD).await < 0.5).await;
}
