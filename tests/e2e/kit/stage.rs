//! The proxy between a client and an upstream, both in the test's hands.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpSocket, TcpStream};

use super::wire::{Step, Wire};
use crate::kit::client::Client;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::raw::{RawAnswer, exchange, request};
use crate::kit::token::Signer;
use crate::kit::upstream::Upstream;

pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
pub const QUERY: &str = "/api/v1/query?query=up";
/// Filtered, outside the data API, and the answer to a query.
pub const FILTERED: &str = "/api/v1/rules";
pub const ELSEWHERE: &str = "/graph";
pub const VECTOR: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
/// Longer than anything here takes on the slowest machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Stage<U> {
    pub upstream: U,
    pub proxy: Partywall,
    pub bearer: String,
}

impl Stage<Upstream> {
    /// In front of an upstream that records; `rest` is further top-level YAML.
    pub async fn recorded(rest: &str) -> Self {
        let upstream = Upstream::start().await;
        let mut setup = Setup::new(&upstream.url);
        setup.rest = rest.to_owned();
        Self::of(upstream, setup).await
    }
}

impl Stage<Wire> {
    /// In front of an upstream that follows a script.
    pub async fn scripted(script: &[Step], rest: &str) -> Self {
        Self::scripted_with(script, |setup| setup.rest = rest.to_owned()).await
    }

    pub async fn scripted_with(script: &[Step], change: impl FnOnce(&mut Setup)) -> Self {
        let upstream = Wire::start(script).await;
        let mut setup = Setup::new(&upstream.url);
        change(&mut setup);
        Self::of(upstream, setup).await
    }
}

impl<U> Stage<U> {
    pub async fn of(upstream: U, mut setup: Setup) -> Self {
        setup.signer = Signer::hs256(SECRET);
        let proxy = Partywall::start(setup).await;
        let bearer = format!("Bearer {}", proxy.signer.tenant("acme"));
        Self {
            upstream,
            proxy,
            bearer,
        }
    }

    /// A request of the tenant `acme`, as bytes.
    pub fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut all = vec![("Authorization", self.bearer.as_str())];
        all.extend(headers);
        request(method, target, &all, body)
    }

    /// One that keeps its connection.
    pub fn kept(&self, target: &str) -> Vec<u8> {
        self.request("GET", target, &[("Connection", "keep-alive")], b"")
    }

    pub async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> RawAnswer {
        let bytes = self.request(method, target, headers, body);
        exchange(self.proxy.authority(), &bytes).await
    }

    /// A request with these headers and no others.
    pub async fn send_as(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> RawAnswer {
        let bytes = request(method, target, headers, body.as_bytes());
        exchange(self.proxy.authority(), &bytes).await
    }

    pub async fn get(&self, target: &str) -> RawAnswer {
        self.send("GET", target, &[], b"").await
    }

    /// The kernel would let the buffer of a client that does not read grow to tens of megabytes;
    /// this one is of a fixed size.
    pub async fn connect(&self) -> TcpStream {
        self.connect_with_buffer(128 * 1024).await
    }

    /// A client whose kernel holds this many bytes that it has not read.
    pub async fn connect_with_buffer(&self, bytes: u32) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(bytes).expect("an option");
        let address = self.proxy.authority().parse().expect("an address");
        socket.connect(address).await.expect("the proxy listens")
    }

    pub async fn connect_h2(&self) -> http2::SendRequest<Full<Bytes>> {
        let stream = TokioIo::new(self.connect().await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
            .await
            .expect("HTTP/2");
        tokio::spawn(connection);
        sender
    }

    pub fn h2_request(&self, target: &str) -> hyper::Request<Full<Bytes>> {
        hyper::Request::get(format!("http://partywall{target}"))
            .header("authorization", &self.bearer)
            .body(Full::default())
            .expect("a request")
    }

    /// The value of a metric, 0 where it is not there yet.
    pub async fn metric(&self, series: &str) -> f64 {
        metric(&self.proxy.admin, series).await
    }
}

/// The sum of the samples whose line begins so, 0 where there is none.
pub async fn metric(admin: &str, series: &str) -> f64 {
    let text = Client::default()
        .get(&format!("{admin}/metrics"))
        .await
        .text();
    text.lines()
        .filter(|line| line.starts_with(series))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Polls until it holds; fails the test when it never does.
pub async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads until the other side ends the connection: what came, and how long that took.
pub async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> (Vec<u8>, Duration) {
    let start = Instant::now();
    let mut all = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await;
    let read = read.expect("the other side closes");
    // A reset is an end as well.
    drop(read);
    (all, start.elapsed())
}

/// Reads until `wanted` has come.
pub async fn until_seen(stream: &mut (impl AsyncRead + Unpin), wanted: &str) -> String {
    let mut all = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&all).contains(wanted) {
            let length = stream.read_buf(&mut all).await.expect("readable");
            assert!(length > 0, "closed before {wanted:?} came");
        }
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .unwrap_or_else(|_| panic!("{wanted:?} never came"));
    String::from_utf8_lossy(&all).into_owned()
}

/// A whole JSON answer.
pub fn json(body: &str) -> Step {
    Step::send(&format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// With short deadlines for the upstream.
pub async fn impatient(script: &[Step]) -> Stage<Wire> {
    Stage::scripted_with(script, |setup| {
        let lines = ["timeouts:", "  response_head: 400ms", "  body_idle: 400ms"];
        setup.upstream_options = lines.map(str::to_owned).to_vec();
    })
    .await
}

/// A data API's error, in Prometheus' words; gives its text.
pub fn assert_error(what: &str, answer: &RawAnswer, status: u16) -> String {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    let json = answer
        .json()
        .unwrap_or_else(|| panic!("{what}: {answer:?}"));
    assert_eq!(json["status"], "error", "{what}");
    json["error"].as_str().unwrap_or_default().to_owned()
}
