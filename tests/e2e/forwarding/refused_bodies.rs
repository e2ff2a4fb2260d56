//! Refusals of requests whose body comes later, or never, on connections that carry more requests
//! (B2). What is asserted is that no other request is lost.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::raw::{RawAnswer, exchange, read_answer, request};
use crate::kit::stage::{FORM, PATIENCE, QUERY, Stage, eventually, json, until_closed, until_seen};
use crate::kit::upstream::Upstream;
use crate::kit::wire::Step;

type Body = BoxBody<Bytes, std::io::Error>;

/// Bytes that come after a pause, in two pieces.
fn late(length: usize, pause: Duration) -> Body {
    let pieces = [length / 2, length - length / 2];
    let pieces = stream::unfold(pieces.into_iter(), move |mut pieces| async move {
        let length = pieces.next()?;
        tokio::time::sleep(pause).await;
        Some((Ok(Frame::data(Bytes::from(vec![b'x'; length]))), pieces))
    });
    BodyExt::boxed(StreamBody::new(pieces))
}

fn empty() -> Body {
    Full::default().map_err(|never| match never {}).boxed()
}

/// A refused request number `n`: of a stranger, or to an endpoint that is closed, of a known or an
/// unknown length, of many sizes.
fn refused(stage: &Stage<Upstream>, n: usize) -> (u16, hyper::Request<Body>) {
    const SIZES: [usize; 7] = [1, 100, 4_000, 70_000, 250_000, 300_000, 3_000_000];
    let length = SIZES[n % SIZES.len()];
    let pause = Duration::from_millis([0, 5, 40][n % 3]);
    let url = |target: &str| format!("{}{target}", stage.proxy.url);
    let request = hyper::Request::post(match n % 2 {
        0 => url("/api/v1/query"),
        _ => url("/api/v1/write"),
    });
    let request = request.header(FORM.0, FORM.1);
    let (status, mut request) = match n % 2 {
        0 => (401, request),
        _ => (403, request.header("authorization", &stage.bearer)),
    };
    if n % 5 < 3 {
        request = request.header("content-length", length);
    }
    (
        status,
        request.body(late(length, pause)).expect("a request"),
    )
}

#[tokio::test]
async fn pooled_requests_after_refused_ones_all_succeed() {
    let stage = Stage::recorded("").await;
    let client: Client<_, Body> = Client::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .build_http();
    let (mut reused, mut answered) = (0, 0);
    for n in 0..500 {
        if n % 3 == 0 {
            let (status, request) = refused(&stage, n / 3);
            // A client that still sends while it is refused may find the connection closed.
            if let Ok(answer) = client.request(request).await {
                assert_eq!(answer.status(), status);
                let keeps = answer.headers().get("connection").is_none();
                if answer.into_body().collect().await.is_ok() {
                    reused += usize::from(keeps);
                    answered += 1;
                }
            }
            continue;
        }
        let request = hyper::Request::get(format!("{}{QUERY}", stage.proxy.url))
            .header("authorization", &stage.bearer)
            .body(empty())
            .expect("a request");
        let answer = client.request(request).await;
        let answer = answer.unwrap_or_else(|cause| panic!("good request {n}: {cause:?}"));
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.expect("all of it");
    }
    assert!(answered >= 160, "{answered} refusals were read");
    assert!(reused >= 80, "only {reused} refusals kept their connection");
}

/// One answer with a `Content-Length`, as bytes, from a connection that may go on.
async fn one_answer(stream: &mut TcpStream) -> RawAnswer {
    let reading = async {
        let mut all = Vec::new();
        while !all.ends_with(b"\r\n\r\n") {
            all.push(stream.read_u8().await.expect("the head of an answer"));
        }
        let head = String::from_utf8(all).expect("text");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut answer = RawAnswer {
            status: status.expect("a status"),
            head,
            body: Vec::new(),
        };
        let length = answer.header("content-length").map(str::parse);
        answer.body = vec![0; length.expect("a length").expect("a number")];
        stream.read_exact(&mut answer.body).await.expect("its body");
        answer
    };
    let read = tokio::time::timeout(PATIENCE, reading).await;
    read.expect("an answer")
}

fn says_close(answer: &RawAnswer) -> bool {
    answer
        .header("connection")
        .is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

/// Either the answer says that the connection is closed, or the connection carries another request.
#[tokio::test]
async fn connection_after_a_refusal_is_closed_only_if_the_answer_said_so() {
    let stage = Stage::recorded("").await;
    let good = stage.kept(QUERY);
    for (what, headers, declared, pauses) in [
        ("at once", vec![], 1000, 0),
        ("late", vec![], 1000, 50),
        ("later than is waited for", vec![], 1000, 900),
        ("large", vec![], 300_000, 50),
        (
            "in chunks",
            vec![("Transfer-Encoding", "chunked")],
            1000,
            50,
        ),
    ] {
        for (target, token, status) in [
            ("/api/v1/query", false, 401),
            ("/api/v1/write", true, 403),
            ("/api/v1/%2fquery", true, 400),
        ] {
            let length = declared.to_string();
            let mut all = vec![("Connection", "keep-alive"), FORM];
            all.extend(&headers);
            if headers.is_empty() {
                all.push(("Content-Length", &length));
            }
            if token {
                all.push(("Authorization", &stage.bearer));
            }
            let head = request("POST", target, &all, b"");
            let mut stream = stage.connect().await;
            stream.write_all(&head).await.unwrap();
            tokio::time::sleep(Duration::from_millis(pauses)).await;
            let body = vec![b'x'; declared];
            // Refused by then, it may be closed.
            if headers.is_empty() {
                let _ = stream.write_all(&body).await;
            } else {
                let chunk = format!("{declared:x}\r\n");
                let _ = stream.write_all(chunk.as_bytes()).await;
                let _ = stream.write_all(&body).await;
                let _ = stream.write_all(b"\r\n0\r\n\r\n").await;
            }
            let answer = one_answer(&mut stream).await;
            assert_eq!(answer.status, status, "{what} {target}: {answer:?}");
            if says_close(&answer) {
                let (rest, _) = until_closed(&mut stream).await;
                assert!(rest.is_empty(), "{what} {target}");
                assert!(declared > 200_000 || pauses > 500, "{what} {target}");
                continue;
            }
            assert!(declared < 200_000 && pauses < 500, "{what} {target}");
            stream.write_all(&good).await.unwrap();
            let answer = one_answer(&mut stream).await;
            assert_eq!(answer.status, 200, "{what} {target}: {answer:?}");
        }
    }
}

/// RFC 9112 §9.6: no reset overtakes the answer.
#[tokio::test]
async fn refusal_of_a_large_upload_arrives_whole() {
    let stage = Stage::recorded("").await;
    for _ in 0..20 {
        let head = request(
            "POST",
            "/api/v1/query",
            &[("Content-Length", "2000000")],
            b"",
        );
        let mut stream = stage.connect().await;
        stream.write_all(&head).await.unwrap();
        // All of it is written before the answer is looked at.
        let piece = vec![b'x'; 100_000];
        for _ in 0..20 {
            stream.write_all(&piece).await.unwrap();
        }
        let answer = read_answer(&mut stream).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(says_close(&answer), "{answer:?}");
        assert!(answer.json().is_some(), "{answer:?}");
    }
}

#[tokio::test]
async fn refused_client_that_awaits_100_continue_gets_none() {
    let stage = Stage::recorded("").await;
    let expect = ("Expect", "100-continue");
    let all = [
        ("Connection", "keep-alive"),
        FORM,
        ("Content-Length", "8"),
        expect,
    ];
    for sends_body in [false, true] {
        let body: &[u8] = if sends_body { b"query=up" } else { b"" };
        let mut bytes = request("POST", "/api/v1/query", &all, b"");
        bytes.extend_from_slice(body);
        let answer = exchange(stage.proxy.authority(), &bytes).await;
        assert_eq!((answer.status, answer.answers()), (401, 1), "{answer:?}");
        assert!(says_close(&answer), "{answer:?}");
    }
    // One who may send it is asked to, and its connection goes on.
    let mut stream = stage.connect().await;
    let head = stage.request("POST", "/api/v1/query", &all, b"");
    stream.write_all(&head).await.unwrap();
    until_seen(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
    stream.write_all(b"query=up").await.unwrap();
    assert_eq!(one_answer(&mut stream).await.status, 200);
    stream.write_all(&stage.kept(QUERY)).await.unwrap();
    assert_eq!(one_answer(&mut stream).await.status, 200);
}

/// A body that breaks off or that an upstream answers early is no different.
#[tokio::test]
async fn early_answer_of_an_upstream_says_close_while_the_body_still_comes() {
    let early = "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 4\r\n\r\nmuch";
    let stage = Stage::scripted(&[Step::send(early)], "").await;
    let headers = [
        ("Connection", "keep-alive"),
        ("Transfer-Encoding", "chunked"),
    ];
    let head = stage.request("POST", "/upload", &headers, b"");
    let mut stream = stage.connect().await;
    stream.write_all(&head).await.unwrap();
    stream.write_all(b"5\r\nhello\r\n0\r\n\r\n").await.unwrap();
    let answer = one_answer(&mut stream).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    if !says_close(&answer) {
        stage.upstream.script(&[json(crate::kit::stage::VECTOR)]);
        stream.write_all(&stage.kept(QUERY)).await.unwrap();
        assert_eq!(one_answer(&mut stream).await.status, 200);
    }
}

/// RFC 9113 §8.1: only the stream ends, without an error, and after the whole answer.
#[tokio::test]
async fn http2_refusal_resets_its_stream_alone() {
    let stage = Stage::recorded("").await;
    let stream = TokioIo::new(stage.connect().await);
    let (mut sender, connection) = http2::handshake::<_, _, Body>(TokioExecutor::new(), stream)
        .await
        .expect("HTTP/2");
    let connection = tokio::spawn(connection);
    for n in 0..300 {
        let request = if n % 3 == 0 {
            let (status, request) = refused(&stage, n / 3);
            (status, request)
        } else {
            let request = hyper::Request::get(format!("http://partywall{QUERY}"))
                .header("authorization", &stage.bearer)
                .body(empty());
            (200, request.expect("a request"))
        };
        let answer = sender.send_request(request.1).await.expect("an answer");
        assert_eq!(answer.status(), request.0, "request {n}");
        answer.into_body().collect().await.expect("all of it");
    }
    drop(sender);
    let ended = tokio::time::timeout(PATIENCE, connection).await;
    ended
        .expect("it ends")
        .expect("no panic")
        .expect("no error");
    eventually("no request is left", async || {
        stage.metric("partywall_http_requests_in_flight").await < 0.5
    })
    .await;
}
