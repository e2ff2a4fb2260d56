//! What holds for plain connections holds for these, and for their handshakes.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::lay;
use crate::kit::stage::{PATIENCE, Stage, eventually, json, until_closed, until_seen};
use crate::kit::tls::{Authority, HTTP1, HTTP2, TlsClient};
use crate::kit::wire::{Step, Wire};

/// On a busy machine the handshake of a debug build alone takes most of a second.
const AT_LEAST: Duration = Duration::from_millis(1900);
const DEADLINES: &str = "timeouts: {first_request: 2s, header: 2s, body_idle: 2s, idle: 3s}\n\
     log: {level: partywall=debug}\n";
/// Handshakes may take for ever.
const PATIENT: &str = "timeouts: {first_request: 1h}\n";

/// A proxy with TLS in front of an upstream that follows a script.
struct Secure {
    stage: Stage<Wire>,
    authority: Authority,
    _dir: TempDir,
}

impl Secure {
    async fn start(script: &[Step], rest: &str) -> Self {
        let (authority, dir) = (Authority::new("ca"), TempDir::new().unwrap());
        lay(dir.path(), &authority.identity());
        let path = dir.path().display();
        let stage = Stage::scripted_with(script, |setup| {
            setup.listener =
                format!("tls: {{cert_file: {path}/tls.crt, key_file: {path}/tls.key}}");
            setup.rest = rest.to_owned();
        })
        .await;
        Self {
            stage,
            authority,
            _dir: dir,
        }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let client = TlsClient::new(&self.authority, None, HTTP1);
        client.connect(self.stage.proxy.authority()).await.unwrap()
    }

    async fn handshakes(&self, result: &str) -> f64 {
        let series = format!(r#"partywall_tls_handshakes_total{{result="{result}"}}"#);
        self.stage.metric(&series).await
    }

    fn log(&self) -> String {
        self.stage.proxy.process.log()
    }

    async fn exits_well(&mut self) {
        let status = self.stage.proxy.process.wait(PATIENCE).await;
        assert_eq!(status.expect("the process ends").code(), Some(0));
        assert!(!self.log().contains("drain.max"), "{}", self.log());
    }
}

#[tokio::test]
async fn a_slow_handshake_is_let_go() {
    let secure = Secure::start(&[], DEADLINES).await;
    let mut silent = secure.stage.connect().await;
    let (said, waited) = until_closed(&mut silent).await;
    assert!(said.is_empty(), "{said:?}");
    assert!(waited >= AT_LEAST, "closed after {waited:?}");

    // The head of a record, and then its bytes one by one.
    let (mut reads, mut writes) = secure.stage.connect().await.into_split();
    let started = Instant::now();
    let drip = tokio::spawn(async move {
        let hello = b"\x16\x03\x01\x10\x00\x01\x00\x0f\xfc\x03\x03";
        for byte in hello.iter().chain([0; 4000].iter()) {
            if writes.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, reads.read_to_end(&mut said)).await;
    drop(read.expect("the proxy closes"));
    assert!(started.elapsed() >= AT_LEAST);
    drip.abort();
    eventually("both are counted", async || {
        secure.handshakes("timeout").await > 1.5
    })
    .await;

    // The time for the first request has begun with the handshake.
    let started = Instant::now();
    let mut stream = secure.connect().await;
    let (said, _) = until_closed(&mut stream).await;
    assert!(said.is_empty(), "{said:?}");
    assert!(started.elapsed() >= AT_LEAST);
    assert!(secure.log().contains("expired=FirstRequest"));
}

#[tokio::test]
async fn silent_handshakes_count_as_connections_and_make_room_for_newcomers() {
    let rest = format!("{PATIENT}limits: {{connections: 21}}\n");
    let secure = Secure::start(&[json("{}"), json("{}")], &rest).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(secure.stage.connect().await);
    }
    let mut stream = secure.connect().await;
    stream.write_all(&secure.stage.kept("/page")).await.unwrap();
    until_seen(&mut stream, "{}").await;
    let mut newcomer = secure.connect().await;
    newcomer
        .write_all(&secure.stage.kept("/page"))
        .await
        .unwrap();
    until_seen(&mut newcomer, "{}").await;
    eventually("one of the silent made room", async || {
        (secure.handshakes("evicted").await - 1.0).abs() < 0.5
    })
    .await;
    assert!((secure.stage.metric("partywall_connections ").await - 21.0).abs() < 0.5);
    silent.clear();
    eventually("they are counted", async || {
        secure.handshakes("closed").await > 18.5
    })
    .await;
    assert!((secure.stage.metric("partywall_connections ").await - 2.0).abs() < 0.5);
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_good_order() {
    let secure = Secure::start(&[json("{}")], DEADLINES).await;
    let mut stream = secure.connect().await;
    stream.write_all(&secure.stage.kept("/page")).await.unwrap();
    until_seen(&mut stream, "{}").await;
    let started = Instant::now();
    // An end without `close_notify` would be an error.
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    assert!(started.elapsed() >= AT_LEAST);
    assert!(secure.log().contains("expired=Idle"), "{}", secure.log());
}

/// The deadline of a head counts the bytes on the wire: the client here never ends a record.
#[tokio::test]
async fn a_record_that_drips_is_let_go() {
    let rest = DEADLINES.replace("idle: 3s", "idle: 1h");
    let secure = Secure::start(&[json("{}")], &rest).await;
    let mut stream = secure.connect().await;
    stream.write_all(&secure.stage.kept("/page")).await.unwrap();
    until_seen(&mut stream, "{}").await;
    let started = Instant::now();
    let (mut reads, mut writes) = stream.into_inner().0.into_split();
    let drip = tokio::spawn(async move {
        let record = b"\x17\x03\x03\x40\x00";
        for byte in record.iter().chain([0; 16_000].iter()) {
            if writes.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, reads.read_to_end(&mut said)).await;
    drop(read.expect("the proxy closes"));
    assert!(started.elapsed() >= AT_LEAST);
    drip.abort();
    assert!(secure.log().contains("expired=Head"), "{}", secure.log());
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_let_go_and_fills_no_memory() {
    let total = 50 << 20;
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {total}\r\n\r\n");
    let secure = Secure::start(&[Step::send(&head), Step::Flood(total)], DEADLINES).await;
    let mut stream = secure.connect().await;
    stream.write_all(&secure.stage.kept("/big")).await.unwrap();
    let started = Instant::now();
    eventually("the upstream is left", async || {
        secure.stage.upstream.deserted() == 1
    })
    .await;
    assert!(started.elapsed() >= AT_LEAST);
    // What sockets hold on their way, and no more.
    let flooded = secure.stage.upstream.flooded();
    assert!(flooded < 24 << 20, "{flooded}");
    assert!(
        secure.log().contains("expired=TooSlow(Stalled)"),
        "{}",
        secure.log()
    );
}

#[tokio::test]
async fn a_drain_ends_connections_in_good_order() {
    let script = [Step::Gate, json("{}")];
    let mut secure = Secure::start(&script, PATIENT).await;
    let authority = secure.stage.proxy.authority().to_owned();
    secure.stage.upstream.open();
    let mut idle = secure.connect().await;
    idle.write_all(&secure.stage.kept("/idle")).await.unwrap();
    until_seen(&mut idle, "{}").await;
    secure.stage.upstream.shut();
    // Has not said anything yet.
    let _silent = secure.stage.connect().await;

    let mut http1 = secure.connect().await;
    http1.write_all(&secure.stage.kept("/slow")).await.unwrap();
    let client = TlsClient::new(&secure.authority, None, HTTP2);
    let mut h2 = client.http2(&authority).await.unwrap();
    let http2 = tokio::spawn(h2.send_request(secure.stage.h2_request("/slow")));
    eventually("all are upstream", async || {
        secure.stage.upstream.seen().len() == 3
    })
    .await;
    secure.stage.proxy.process.signal("TERM");
    eventually("no more are accepted", async || {
        TcpStream::connect(&authority).await.is_err()
    })
    .await;
    assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0, "it is told");
    assert!(secure.stage.proxy.process.try_wait().is_none());
    secure.stage.upstream.open();
    let mut answer = Vec::new();
    http1.read_to_end(&mut answer).await.expect("it is told");
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{}"), "{answer}");
    let answer = http2.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "{}");
    assert!(h2.ready().await.is_err(), "it may not be used again");
    secure.exits_well().await;
}
