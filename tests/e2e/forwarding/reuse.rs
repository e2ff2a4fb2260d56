//! Connections to an upstream that end at the worst moment: when a request has been written to them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::Full;
use hyper::{HeaderMap, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::kit::client::{Answer, Client};
use crate::kit::grpc::{Call, call, frame};
use crate::kit::partywall::Setup;
use crate::kit::stage::{ELSEWHERE, QUERY, Stage, VECTOR};

const RULES: &str = r#"{"status":"success","data":{"groups":[]}}"#;
const REPEATS: &str = r#"partywall_upstream_repeats_total{upstream="metrics"}"#;

/// How a connection ends when a request has been read from it.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Fin,
    Reset,
    /// Within the answer's first line.
    FirstBytes,
    /// Not at all.
    Never,
}

/// What an upstream does with its connections.
#[derive(Clone, Copy, Debug)]
struct Habits {
    /// As many requests of each connection are answered.
    answers: usize,
    then: Ending,
    /// Further header lines of each answer.
    headers: &'static str,
}

struct Worst {
    url: String,
    /// The requests that were read, health checks aside: the connection's number, the target, the body.
    seen: Arc<Mutex<Vec<(usize, String, String)>>>,
    server: JoinHandle<()>,
}

impl Worst {
    async fn start(habits: Habits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let seen = Arc::default();
        let log = Arc::clone(&seen);
        let server = tokio::spawn(async move {
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                number += 1;
                tokio::spawn(serve(stream, number, habits, Arc::clone(&log)));
            }
        });
        Self { url, seen, server }
    }

    async fn stage(habits: Habits) -> Stage<Self> {
        let upstream = Self::start(habits).await;
        let setup = Setup::new(&upstream.url);
        Stage::of(upstream, setup).await
    }

    fn seen(&self) -> Vec<(usize, String, String)> {
        self.seen.lock().expect("no panic").clone()
    }
}

impl Drop for Worst {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    number: usize,
    habits: Habits,
    seen: Arc<Mutex<Vec<(usize, String, String)>>>,
) -> Option<()> {
    let mut answered = 0;
    loop {
        let (head, body) = read_request(&mut stream).await?;
        let target = head.split(' ').nth(1)?.to_owned();
        if !head.contains("partywall-health-check") {
            seen.lock()
                .expect("no panic")
                .push((number, target.clone(), body));
        }
        if answered == habits.answers {
            match habits.then {
                Ending::Fin => return Some(()),
                Ending::Reset => {
                    stream.set_zero_linger().ok()?;
                    return Some(());
                }
                Ending::FirstBytes => return stream.write_all(b"HTTP/1.1").await.ok(),
                Ending::Never => {}
            }
        }
        answered += 1;
        let text = if target.contains("/rules") {
            RULES
        } else {
            VECTOR
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{}Content-Length: {}\r\n\r\n{text}",
            habits.headers,
            text.len()
        );
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut all = Vec::new();
    let end = loop {
        if let Some(at) = all.windows(4).position(|four: &[u8]| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut all).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let lower = head.to_ascii_lowercase();
    let length = lower.split_once("content-length: ").map_or(0, |(_, rest)| {
        rest.split("\r\n").next().unwrap().parse().unwrap()
    });
    while all.len() < end + length {
        if stream.read_buf(&mut all).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, String::from_utf8_lossy(&all[end..]).into_owned()))
}

async fn ask(stage: &Stage<Worst>, client: &Client, request: (&str, &str, &str)) -> Answer {
    let (method, target, body) = request;
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{target}", stage.proxy.url))
        .header("authorization", &stage.bearer)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(body.to_owned()))
        .expect("a request");
    client.send(request).await
}

#[tokio::test]
async fn no_data_request_fails_when_each_reused_connection_ends_under_it() {
    const REQUESTS: usize = 1200;
    for then in [Ending::Fin, Ending::Reset] {
        let stage = Worst::stage(Habits {
            answers: 1,
            then,
            headers: "",
        })
        .await;
        let client = Client::default();
        for n in 0..REQUESTS / 4 {
            let form = format!("query=up%2B{n}");
            let requests = [
                ("GET", QUERY, ""),
                ("POST", "/api/v1/query", form.as_str()),
                ("GET", "/api/v1/rules", ""),
                // A plain proxy repeats these as well.
                ("GET", ELSEWHERE, ""),
            ];
            let asked = requests.map(|request| ask(&stage, &client, request));
            for answer in futures_util::future::join_all(asked).await {
                assert_eq!(answer.status, 200, "{then:?} {n}: {}", answer.text());
            }
        }
        let repeats = stage.metric(REPEATS).await;
        assert!(repeats > 100.0, "{then:?}: {repeats}");
        let failed = r#"partywall_upstream_requests_total{upstream="metrics",result="upstream_unreachable"}"#;
        assert!(stage.metric(failed).await < 0.5, "{then:?}");
    }
}

#[tokio::test]
async fn request_that_may_write_is_delivered_once_whatever_becomes_of_it() {
    const REQUESTS: usize = 400;
    let stage = Worst::stage(Habits {
        answers: 1,
        then: Ending::Fin,
        headers: "",
    })
    .await;
    let client = Client::default();
    let mut failed = 0;
    for n in 0..REQUESTS {
        let body = format!("n={n}");
        let (method, body) = match n % 3 {
            0 => ("POST", body.as_str()),
            1 => ("PUT", body.as_str()),
            _ => ("DELETE", ""),
        };
        let target = format!("/elsewhere/{n}");
        let answer = ask(&stage, &client, (method, &target, body)).await;
        failed += usize::from(answer.status == 502);
        assert!([200, 502].contains(&answer.status.as_u16()), "{answer:?}");
    }
    let mut targets: Vec<String> = stage
        .upstream
        .seen()
        .into_iter()
        .map(|(_, target, _)| target)
        .collect();
    assert_eq!(targets.len(), REQUESTS, "each is delivered");
    targets.sort_unstable();
    targets.dedup();
    assert_eq!(targets.len(), REQUESTS, "none is delivered twice");
    assert!(failed > 100, "{failed}");
    // Health checks may have been repeated.
    assert!(stage.metric(REPEATS).await < 20.0);
}

#[tokio::test]
async fn fresh_connection_that_ends_is_an_error_of_the_upstream() {
    let stage = Worst::stage(Habits {
        answers: 0,
        then: Ending::Fin,
        headers: "",
    })
    .await;
    let client = Client::default();
    for n in 0..5 {
        let answer = ask(&stage, &client, ("GET", QUERY, "")).await;
        assert_eq!(answer.status, 502);
        assert_eq!(stage.upstream.seen().len(), n + 1);
    }
    assert!(stage.metric(REPEATS).await < 0.5);
}

#[tokio::test]
async fn request_whose_answer_has_begun_is_not_repeated() {
    let stage = Worst::stage(Habits {
        answers: 1,
        then: Ending::FirstBytes,
        headers: "",
    })
    .await;
    let client = Client::default();
    let mut failed = 0;
    for n in 0..10 {
        let answer = ask(&stage, &client, ("GET", QUERY, "")).await;
        failed += usize::from(answer.status == 502);
        assert_eq!(stage.upstream.seen().len(), n + 1);
    }
    assert!(failed >= 3, "{failed}");
}

#[tokio::test]
async fn connection_is_not_reused_near_the_end_that_the_upstream_announces() {
    let stage = Worst::stage(Habits {
        answers: 0,
        then: Ending::Never,
        headers: "Keep-Alive: timeout=3, max=100\r\n",
    })
    .await;
    let client = Client::default();
    let mut last = 0;
    // The first answers are those by which it is learned.
    for pause in [0, 0, 0, 5000, 0] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let answer = ask(&stage, &client, ("GET", QUERY, "")).await;
        assert_eq!(answer.status, 200);
        let (number, ..) = *stage.upstream.seen().last().expect("it was asked");
        if pause > 0 {
            assert_ne!(number, last, "{:?}", stage.upstream.seen());
        }
        last = number;
    }
}

/// What an HTTP/2 upstream does with each second request of a connection.
#[derive(Clone, Copy, Debug)]
enum Refusing {
    Stream,
    GoAway,
    Break,
    /// It did process the request.
    Cancel,
}

async fn grpc_upstream(how: Refusing) -> (String, Arc<AtomicUsize>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(grpc_connection(stream, how, Arc::clone(&count)));
        }
    });
    (url, asked, server)
}

async fn grpc_connection(stream: TcpStream, how: Refusing, asked: Arc<AtomicUsize>) -> Option<()> {
    let mut connection = h2::server::handshake(stream).await.ok()?;
    let mut number = 0;
    while let Some(Ok((_request, mut respond))) = connection.accept().await {
        number += 1;
        asked.fetch_add(1, Ordering::SeqCst);
        if number % 2 == 0 {
            match how {
                Refusing::Stream => respond.send_reset(h2::Reason::REFUSED_STREAM),
                Refusing::Cancel => respond.send_reset(h2::Reason::INTERNAL_ERROR),
                Refusing::GoAway => connection.abrupt_shutdown(h2::Reason::NO_ERROR),
                Refusing::Break => return None,
            }
            continue;
        }
        let head = Response::builder()
            .header("content-type", "application/grpc")
            .body(())
            .expect("a response");
        let mut body = respond.send_response(head, false).ok()?;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("a value"));
        body.send_trailers(trailers).ok()?;
    }
    None
}

#[tokio::test]
async fn grpc_call_is_repeated_where_its_stream_or_connection_was_refused() {
    for how in [Refusing::Stream, Refusing::GoAway, Refusing::Break] {
        let (url, asked, server) = grpc_upstream(how).await;
        let stage = Stage::of((), Setup::tempo(&url)).await;
        let token = stage.bearer.trim_start_matches("Bearer ").to_owned();
        let tags = Call::framed(
            "/tempopb.StreamingQuerier/SearchTagsV2",
            frame(0, b"\x0a\x04span"),
        );
        for n in 0..50 {
            let answer = call(&stage.proxy.url, &tags, Some(&token)).await;
            assert_eq!(answer.code(), 0, "{how:?} {n}: {answer:?}");
        }
        assert!(asked.load(Ordering::SeqCst) > 60, "{how:?}");
        let repeats = stage.metric("partywall_upstream_repeats_total").await;
        assert!(repeats > 10.0, "{how:?}: {repeats}");
        server.abort();
    }
    let (url, asked, server) = grpc_upstream(Refusing::Cancel).await;
    let stage = Stage::of((), Setup::tempo(&url)).await;
    let token = stage.bearer.trim_start_matches("Bearer ").to_owned();
    let tags = Call::framed(
        "/tempopb.StreamingQuerier/SearchTagsV2",
        frame(0, b"\x0a\x04span"),
    );
    let mut failed = 0;
    for _ in 0..10 {
        let answer = call(&stage.proxy.url, &tags, Some(&token)).await;
        failed += usize::from(answer.code() != 0);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 10, "once each");
    assert_eq!(failed, 5);
    server.abort();
}
