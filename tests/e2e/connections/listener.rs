//! Connections: both protocols on one port, each deadline, each limit.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::kit::raw::{RawAnswer, exchange, read_answer};
use crate::kit::stage::{
    ELSEWHERE, FORM, PATIENCE, QUERY, Stage, VECTOR, eventually, json, until_closed, until_seen,
};
use crate::kit::wire::{Step, Wire};

const DEADLINES: &str =
    "timeouts: {first_request: 400ms, header: 400ms, body_idle: 400ms, idle: 2s}\n";
const AT_LEAST: Duration = Duration::from_millis(350);
const BIG_ANSWER: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 50000000\r\n\r\n";

#[tokio::test]
async fn one_port_serves_http1_and_http2() {
    let stage = Stage::recorded("").await;
    assert_eq!(stage.get(QUERY).await.status, 200);
    let mut h2 = stage.connect_h2().await;
    let answer = h2.send_request(stage.h2_request(QUERY)).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.version(), hyper::Version::HTTP_2);
    let targets: Vec<_> = stage
        .upstream
        .take()
        .into_iter()
        .map(|seen| seen.target)
        .collect();
    assert_eq!(targets.len(), 2);
    assert_eq!(targets[0], targets[1], "both mean the same");
}

#[tokio::test]
async fn an_http2_connection_carries_many_requests_at_once() {
    let stage = Stage::recorded("").await;
    let h2 = stage.connect_h2().await;
    let mut asked = JoinSet::new();
    for index in 0..600 {
        let mut h2 = h2.clone();
        let request = stage.h2_request(&format!("/api/v1/query?query=m{index}"));
        asked.spawn(async move {
            h2.ready().await.unwrap();
            let answer = h2.send_request(request).await.unwrap();
            let status = answer.status();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            (status, body)
        });
    }
    while let Some(answered) = asked.join_next().await {
        let (status, body) = answered.unwrap();
        assert_eq!(status, 200, "{body:?}");
        assert!(body.ends_with(b"}}"), "{body:?}");
    }
    assert_eq!(stage.upstream.take().len(), 600);
    assert!((stage.metric("partywall_http_requests_in_flight").await).abs() < 0.5);
}

#[tokio::test]
async fn a_silent_peer_is_let_go() {
    let stage = Stage::recorded(DEADLINES).await;
    let (said, waited) = until_closed(&mut stage.connect().await).await;
    assert!(said.is_empty(), "{said:?}");
    assert!(waited >= AT_LEAST, "closed after {waited:?}");
}

#[tokio::test]
async fn a_peer_that_only_greets_is_let_go() {
    let stage = Stage::recorded(DEADLINES).await;
    let mut stream = stage.connect().await;
    // The preface and empty settings of HTTP/2 (RFC 9113 §3.4), and no request.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    stream.write_all(preface).await.unwrap();
    let (_, waited) = until_closed(&mut stream).await;
    assert!(waited >= AT_LEAST, "closed after {waited:?}");
}

#[tokio::test]
async fn a_head_that_drips_is_let_go() {
    let stage = Stage::recorded(DEADLINES).await;
    for after_a_request in [false, true] {
        let (mut reads, mut writes) = {
            let mut stream = stage.connect().await;
            if after_a_request {
                stream.write_all(&stage.kept(QUERY)).await.unwrap();
                until_seen(&mut stream, "}}").await;
            }
            stream.into_split()
        };
        let started = Instant::now();
        // Each byte comes in time; the whole never does.
        let drip = tokio::spawn(async move {
            for byte in b"GET /api/v1/query?query=up HTTP/1.1\r\nX-Long: "
                .iter()
                .chain([b'x'; 10_000].iter())
            {
                if writes.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let mut said = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, reads.read_to_end(&mut said))
            .await
            .expect("the proxy closes");
        assert!(started.elapsed() >= AT_LEAST, "{:?}", started.elapsed());
        let said = String::from_utf8_lossy(&said);
        assert!(!said.contains("200 OK"), "{said}");
        drip.abort();
    }
    assert_eq!(stage.upstream.take().len(), 1);
}

#[tokio::test]
async fn a_body_that_stalls_is_a_408() {
    let stage = Stage::recorded(DEADLINES).await;
    let headers = [FORM, ("Content-Length", "8")];
    for target in ["/api/v1/query", "/somewhere/else"] {
        let started = Instant::now();
        let head = stage.request("POST", target, &headers, b"que");
        let answer = exchange(stage.proxy.authority(), &head).await;
        assert_eq!(answer.status, 408, "{target}: {answer:?}");
        assert!(answer.text().contains("timeouts.body_idle"), "{answer:?}");
        assert!(started.elapsed() >= AT_LEAST);
    }
    assert!(stage.upstream.take().is_empty());
}

#[tokio::test]
async fn a_body_that_comes_slowly_but_steadily_is_served() {
    let stage = Stage::recorded(&format!(
        "{DEADLINES}limits: {{body_bytes_per_second: 1}}\n"
    ))
    .await;
    let headers = [FORM, ("Content-Length", "8")];
    for target in ["/api/v1/query", "/somewhere/else"] {
        let mut stream = stage.connect().await;
        stream
            .write_all(&stage.request("POST", target, &headers, b""))
            .await
            .unwrap();
        for byte in b"query=up" {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.write_all(&[*byte]).await.unwrap();
        }
        let answer = read_answer(&mut stream).await;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        stage.upstream.take_one();
    }
}

/// Sends a body of so many bytes, most of them one each 100 ms, until it is answered.
async fn drip<U>(stage: &Stage<U>, target: &str, length: usize) -> RawAnswer {
    const FIRST: &[u8] = b"query=up&x=";
    let text = length.to_string();
    let head = stage.request("POST", target, &[FORM, ("Content-Length", &text)], FIRST);
    let mut stream = stage.connect().await;
    stream.write_all(&head).await.unwrap();
    for _ in FIRST.len()..length {
        let mut first = [0];
        let answered = stream.peek(&mut first);
        let answered = tokio::time::timeout(Duration::from_millis(100), answered);
        if answered.await.is_ok() {
            break;
        }
        stream.write_all(b"x").await.unwrap();
    }
    read_answer(&mut stream).await
}

#[tokio::test]
async fn drip_below_the_minimum_rate_is_a_408() {
    let stage = Stage::recorded(DEADLINES).await;
    for target in ["/api/v1/query", "/somewhere/else"] {
        let answer = drip(&stage, target, 1000).await;
        assert_eq!(answer.status, 408, "{target}: {answer:?}");
        let text = answer.text();
        assert!(text.contains("less than 1024 bytes a second"), "{text}");
        assert!(text.contains("limits.body_bytes_per_second"), "{text}");
    }
    assert!(stage.upstream.take().is_empty());
}

#[tokio::test]
async fn form_that_is_not_complete_in_time_is_a_408_and_an_upload_is_not() {
    let rest = "timeouts: {body_total: 500ms}\nlimits: {body_bytes_per_second: 1}\n";
    let stage = Stage::recorded(rest).await;
    let started = Instant::now();
    let answer = drip(&stage, "/api/v1/query", 1000).await;
    assert_eq!(answer.status, 408, "{answer:?}");
    let text = answer.text();
    assert!(
        text.contains("within 500ms (timeouts.body_total)"),
        "{text}"
    );
    assert!(started.elapsed() < PATIENCE);
    assert!(stage.upstream.take().is_empty());
    // One that lasts twice as long.
    let answer = drip(&stage, ELSEWHERE, 21).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// On HTTP/2 only the stream ends.
#[tokio::test]
async fn stream_with_an_incomplete_form_is_reset_alone() {
    let stage = Stage::recorded("timeouts: {body_total: 500ms}\n").await;
    let io = TokioIo::new(stage.connect().await);
    let (mut h2, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let begun = Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"query=up&")));
    let unfinished = stream::iter([begun]).chain(stream::pending());
    let body = StreamBody::new(unfinished).boxed_unsync();
    let slow = hyper::Request::post("http://partywall/api/v1/query")
        .header("authorization", &stage.bearer)
        .header(FORM.0, FORM.1)
        .body(body)
        .unwrap();
    let answer = h2.send_request(slow).await.unwrap();
    assert_eq!(answer.status(), 408);
    let next = hyper::Request::get(format!("http://partywall{QUERY}"))
        .header("authorization", &stage.bearer)
        .body(Empty::new().boxed_unsync())
        .unwrap();
    let answer = h2.send_request(next).await.expect("the connection lives");
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn form_that_is_not_complete_holds_no_permit() {
    let stage = Stage::recorded("limits: {requests: 1}\n").await;
    let mut stream = stage.connect().await;
    let headers = [FORM, ("Content-Length", "8")];
    let head = stage.request("POST", "/api/v1/query", &headers, b"query=");
    stream.write_all(&head).await.unwrap();
    eventually("it is being received", async || {
        stage.metric("partywall_incomplete_bodies").await > 0.5
    })
    .await;
    assert_eq!(stage.get(QUERY).await.status, 200);
    stream.write_all(b"up").await.unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 200);
    eventually("it is complete", async || {
        stage.metric("partywall_incomplete_bodies").await < 0.5
    })
    .await;
}

/// Clients that leave, whatever they were doing, leave nothing taken.
#[tokio::test]
async fn clients_that_leave_give_all_back() {
    let stage = Stage::scripted(&[Step::Gate, json(VECTOR)], "").await;
    let headers = [FORM, ("Content-Length", "100000")];
    let incomplete = stage.request("POST", "/api/v1/query", &headers, &vec![b'x'; 50_000]);
    let waiting = stage.kept(QUERY);
    let taken = async || {
        let mut all = [0.0; 3];
        let series = ["admitted_requests", "incomplete_bodies", "buffered_bytes"];
        for (value, name) in all.iter_mut().zip(series) {
            *value = stage.metric(&format!("partywall_{name} ")).await;
        }
        all
    };
    let mut clients = Vec::new();
    for bytes in [&incomplete, &waiting].repeat(5) {
        let mut stream = stage.connect().await;
        stream.write_all(bytes).await.unwrap();
        clients.push(stream);
    }
    let mut frames = Vec::new();
    for _ in 0..5 {
        let mut h2 = stage.connect_h2().await;
        let request = stage.h2_request(QUERY);
        frames.push(tokio::spawn(async move { h2.send_request(request).await }));
    }
    eventually("all of it is taken", async || {
        let [requests, bodies, bytes] = taken().await;
        requests > 9.5 && bodies > 4.5 && bytes > 200_000.0
    })
    .await;
    drop(clients);
    for stream in frames {
        stream.abort();
    }
    eventually("nothing is taken", async || {
        taken().await.iter().all(|taken| *taken < 0.5)
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_got_stuck_is_let_go() {
    let script = [Step::send(BIG_ANSWER), Step::Flood(50_000_000)];
    let stage = Stage::scripted(&script, DEADLINES).await;
    let mut stream = stage.connect().await;
    stream.write_all(&stage.kept("/big")).await.unwrap();
    eventually("the request is upstream", async || {
        stage.upstream.seen().len() == 1
    })
    .await;
    eventually("the upstream is let go as well", async || {
        stage.upstream.deserted() == 1
    })
    .await;
    eventually("nothing is in flight", async || {
        stage.metric("partywall_http_requests_in_flight").await < 0.5
    })
    .await;
    let (said, _) = until_closed(&mut stream).await;
    assert!(said.len() < 50_000_000);
    assert!(
        stage.upstream.flooded() < 40_000_000,
        "what the client did not take was not taken from the upstream"
    );
}

#[tokio::test]
async fn a_stream_that_got_stuck_is_let_go_alone() {
    let script = [Step::send(BIG_ANSWER), Step::Flood(50_000_000)];
    let stage = Stage::scripted(&script, DEADLINES).await;
    // Large windows for the connection, so that one stream does not hold up the other.
    let stream = TokioIo::new(stage.connect().await);
    let (mut h2, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_connection_window_size(1 << 24)
        .initial_stream_window_size(1 << 16)
        .handshake::<_, Full<Bytes>>(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let unread = h2.send_request(stage.h2_request("/big")).await.unwrap();
    assert_eq!(unread.status(), 200);
    eventually("the upstream is let go as well", async || {
        stage.upstream.deserted() == 1
    })
    .await;
    eventually("nothing is in flight", async || {
        stage.metric("partywall_http_requests_in_flight").await < 0.5
    })
    .await;
    assert!(
        unread.into_body().collect().await.is_err(),
        "a broken answer is not taken for a whole one"
    );
    // The connection itself is fine.
    stage.upstream.script(&[Step::send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok",
    )]);
    let answer = h2.send_request(stage.h2_request("/small")).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "ok");
}

/// Far below the rate of any reader that the tests have else.
const READING: &str = "limits: {answer_bytes_per_second: 10MiB}\ntimeouts: {body_idle: 2s}\n";

async fn until_let_go(stage: &Stage<Wire>) {
    eventually("the upstream is let go", async || {
        stage.upstream.deserted() == 1
    })
    .await;
    eventually("nothing is in flight", async || {
        stage.metric("partywall_http_requests_in_flight").await < 0.5
    })
    .await;
    let cut = r#"partywall_slow_readers_total{result="too_slow"}"#;
    assert!((stage.metric(cut).await - 1.0).abs() < 0.1);
}

/// W3: a client that takes a little before each deadline holds its permit for no longer.
#[tokio::test]
async fn reader_that_drips_is_cut_off_though_it_never_stalls() {
    let script = [Step::send(BIG_ANSWER), Step::Flood(50_000_000)];
    let stage = Stage::scripted(&script, READING).await;
    let mut stream = stage.connect().await;
    stream.write_all(&stage.kept("/big")).await.unwrap();
    let dripping = async {
        let mut piece = vec![0; 1_000_000];
        // Enough for the kernel to take more, again and again.
        while stream.read_exact(&mut piece).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let (started, ()) = tokio::join!(async { Instant::now() }, dripping);
    assert!(started.elapsed() > Duration::from_secs(2), "not at once");
    until_let_go(&stage).await;
    assert!(stage.upstream.flooded() < 45_000_000);
}

/// The same on a stream of HTTP/2, whose connection is well.
#[tokio::test]
async fn stream_that_drips_is_cut_off_alone_though_it_never_stalls() {
    let script = [Step::send(BIG_ANSWER), Step::Flood(50_000_000)];
    let stage = Stage::scripted(&script, READING).await;
    let stream = TokioIo::new(stage.connect().await);
    let (mut h2, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_connection_window_size(1 << 24)
        .initial_stream_window_size(1 << 16)
        .handshake::<_, Full<Bytes>>(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let answer = h2.send_request(stage.h2_request("/big")).await.unwrap();
    let mut body = answer.into_body();
    let mut drips = 0;
    while let Some(Ok(_)) = body.frame().await {
        drips += 1;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(drips > 4, "{drips}");
    until_let_go(&stage).await;
    stage.upstream.script(&[Step::send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok",
    )]);
    let answer = h2.send_request(stage.h2_request("/small")).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "ok");
}

/// A live tail: a few bytes now and then, which are read at once.
#[tokio::test]
async fn stream_of_few_bytes_is_not_cut_off_while_nothing_waits() {
    let event = Step::send("5\r\nevent\r\n");
    let mut script = vec![Step::send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )];
    for _ in 0..14 {
        script.extend([event.clone(), Step::Pause(Duration::from_millis(500))]);
    }
    script.push(Step::send("0\r\n\r\n"));
    let stage = Stage::scripted(&script, READING).await;
    let http1 = stage.get("/tail");
    let http2 = async {
        let mut h2 = stage.connect_h2().await;
        let answer = h2.send_request(stage.h2_request("/tail")).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes()
    };
    let (http1, http2) = tokio::join!(http1, http2);
    assert_eq!(http1.text().matches("event").count(), 14, "{http1:?}");
    assert_eq!(http2.len(), 14 * 5);
}

#[tokio::test]
async fn a_slow_reader_is_served_whole() {
    let script = [Step::send(BIG_ANSWER), Step::Flood(50_000_000)];
    let stage = Stage::scripted_with(&script, |setup| {
        setup.rest = DEADLINES.to_owned();
        setup.upstream_options = ["timeouts:", "  body_idle: 400ms"]
            .map(str::to_owned)
            .to_vec();
    })
    .await;
    let mut stream = stage.connect().await;
    stream
        .write_all(&stage.request("GET", "/big", &[], b""))
        .await
        .unwrap();
    let mut piece = vec![0; 8_000_000];
    let mut total = 0;
    loop {
        // Longer in all than any deadline, and never silent for that long.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut got = 0;
        while got < piece.len() {
            let length = stream.read(&mut piece[got..]).await.unwrap();
            if length == 0 {
                break;
            }
            got += length;
        }
        total += got;
        if got < piece.len() {
            break;
        }
    }
    assert!(total > 50_000_000, "{total}");
}

/// While the client does not read, the upstream is not polled, so its silence does not count.
#[tokio::test]
async fn a_clients_pause_is_not_the_upstreams() {
    const WINDOW: usize = 65_535;
    let first = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5\r\nfirst\r\n";
    let fill = WINDOW - 5;
    let more = format!("{fill:x}\r\n{}\r\n5\r\nagain\r\n", "x".repeat(fill));
    let script = [
        Step::send(first),
        Step::Gate,
        Step::send(&more),
        Step::Gate,
        Step::send("4\r\nlast\r\n0\r\n\r\n"),
    ];
    let stage = Stage::scripted_with(&script, |setup| {
        let lines = ["timeouts:", "  body_idle: 2s"];
        setup.upstream_options = lines.map(str::to_owned).to_vec();
    })
    .await;
    let stream = TokioIo::new(stage.connect().await);
    let (mut h2, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(u32::try_from(WINDOW).unwrap())
        .handshake::<_, Full<Bytes>>(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let answer = h2.send_request(stage.h2_request("/slow")).await.unwrap();
    let mut body = answer.into_body();
    // The proxy waits for the upstream once, so that its clock is there.
    tokio::time::sleep(Duration::from_millis(100)).await;
    stage.upstream.open();
    tokio::time::sleep(Duration::from_millis(2400)).await;
    let mut read = Vec::new();
    while !read.ends_with(b"again") {
        let frame = body.frame().await.expect("more").expect("a whole body");
        read.extend_from_slice(frame.data_ref().unwrap());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    stage.upstream.open();
    let rest = body.collect().await.expect("a whole body").to_bytes();
    assert!(rest.ends_with(b"last"), "{rest:?}");
}

#[tokio::test]
async fn an_idle_connection_lives_until_idle_passes() {
    let stage = Stage::recorded(DEADLINES).await;
    let mut stream = stage.connect().await;
    for _ in 0..2 {
        stream.write_all(&stage.kept(QUERY)).await.unwrap();
        until_seen(&mut stream, "}}").await;
        // Longer than `first_request`, `header` and `body_idle`.
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    let (said, _) = until_closed(&mut stream).await;
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
    assert_eq!(stage.upstream.take().len(), 2);
}

#[tokio::test]
async fn an_idle_http2_connection_lives_until_idle_passes() {
    let stage = Stage::recorded(DEADLINES).await;
    let mut h2 = stage.connect_h2().await;
    for _ in 0..2 {
        let answer = h2.send_request(stage.h2_request(QUERY)).await.unwrap();
        answer.into_body().collect().await.unwrap();
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert!(!h2.is_closed());
    }
    eventually("it ends", async || h2.is_closed()).await;
}

#[tokio::test]
async fn connection_beyond_the_limit_is_closed_at_once_while_all_others_are_busy() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
    let script = [Step::Gate, Step::send(ok)];
    let stage = Stage::scripted(&script, "limits: {connections: 2}\n").await;
    let mut held = Vec::new();
    for path in ["/a", "/b"] {
        let mut stream = stage.connect().await;
        stream.write_all(&stage.kept(path)).await.unwrap();
        held.push(stream);
    }
    eventually("both are upstream", async || {
        stage.upstream.seen().len() == 2
    })
    .await;
    let (said, _) = until_closed(&mut stage.connect().await).await;
    assert!(said.is_empty(), "{said:?}");
    assert!((stage.metric("partywall_connections_refused_total").await - 1.0).abs() < 0.5);
    assert!((stage.metric("partywall_connections ").await - 2.0).abs() < 0.5);
    held.pop();
    eventually("there is room again", async || {
        (stage.metric("partywall_connections ").await - 1.0).abs() < 0.5
    })
    .await;
}

#[tokio::test]
async fn requests_beyond_the_limit_are_asked_to_come_back() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
    let script = [Step::Gate, Step::send(ok)];
    let stage = Stage::scripted(&script, "limits: {requests: 2}\n").await;
    // Of another tenant, or it would have less than both.
    let other = format!("Bearer {}", stage.proxy.signer.tenant("beta"));
    let mut first = stage.connect().await;
    first.write_all(&stage.kept("/a")).await.unwrap();
    let mut h2 = stage.connect_h2().await;
    let mut request = stage.h2_request("/b");
    let other = other.parse().unwrap();
    request.headers_mut().insert("authorization", other);
    let second = tokio::spawn(h2.send_request(request));
    eventually("both are upstream", async || {
        stage.upstream.seen().len() == 2
    })
    .await;
    let answer = stage.get(QUERY).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.json().unwrap()["status"], "error");
    stage.upstream.open();
    until_seen(&mut first, "ok").await;
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
    eventually("there is room again", async || {
        stage.get("/c").await.status == 200
    })
    .await;
    assert!(
        stage
            .metric("partywall_refusals_total{route=\"query\",reason=\"overloaded\"}")
            .await
            > 0.5
    );
}
