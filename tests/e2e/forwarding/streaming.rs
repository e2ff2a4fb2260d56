//! What lies outside the data API passes untouched, piece by piece, in little memory.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::kit::raw::exchange;
use crate::kit::stage::{PATIENCE, QUERY, Stage, eventually, until_closed, until_seen};
use crate::kit::wire::{Step, Wire};

const SIZE: usize = 100 << 20;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

/// The most memory the proxy ever had, in bytes.
fn peak_memory(stage: &Stage<Wire>) -> usize {
    let path = format!("/proc/{}/status", stage.proxy.process.id());
    let status = std::fs::read_to_string(path).expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kilobytes.expect("a number") * 1024
}

#[tokio::test]
async fn pieces_arrive_one_by_one() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
                3\r\none\r\n";
    let script = [
        Step::send(head),
        Step::Gate,
        Step::send("3\r\ntwo\r\n0\r\n\r\n"),
    ];
    let stage = Stage::scripted(&script, "").await;
    let mut stream = stage.connect().await;
    let request = stage.request("GET", "/events", &[], b"");
    stream.write_all(&request).await.unwrap();
    // It came although the upstream waits.
    until_seen(&mut stream, "one").await;
    stage.upstream.open();
    let (rest, _) = until_closed(&mut stream).await;
    assert_eq!(
        String::from_utf8_lossy(&rest).replace("\r\n", " ").trim(),
        "3 two 0"
    );
}

#[tokio::test]
async fn a_query_answer_streams_too() {
    let item = r#"{"metric":{"a":"b"},"values":[[1,"1"]]},"#;
    let begun = format!(
        r#"{{"status":"success","data":{{"resultType":"matrix","result":[{}"#,
        item.repeat(5000)
    );
    let end = r#"{"metric":{},"values":[]}]}}"#;
    let script = [
        Step::send(&format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{begun}\r\n",
            begun.len()
        )),
        Step::Gate,
        Step::send(&format!("{:x}\r\n{end}\r\n0\r\n\r\n", end.len())),
    ];
    let stage = Stage::scripted(&script, "").await;
    let mut stream = stage.connect().await;
    let request = stage.request(
        "GET",
        "/api/v1/query_range?query=up&start=0&end=9&step=1",
        &[],
        b"",
    );
    stream.write_all(&request).await.unwrap();
    until_seen(&mut stream, "matrix").await;
    stage.upstream.open();
    let (rest, _) = until_closed(&mut stream).await;
    assert!(String::from_utf8_lossy(&rest).ends_with("}]}}\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn a_large_page_needs_little_memory() {
    download("/big", "", "").await;
}

#[tokio::test]
async fn a_large_query_answer_needs_little_memory() {
    download(QUERY, r#"{"status":"success","data":""#, r#""}"#).await;
}

async fn download(target: &str, begin: &str, end: &str) {
    let length = begin.len() + SIZE + end.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{begin}"
    );
    let script = [Step::send(&head), Step::Flood(SIZE), Step::send(end)];
    let stage = Stage::scripted(&script, "").await;
    stage.get("/warm-up/../refused").await;
    let before = peak_memory(&stage);
    let mut stream = stage.connect().await;
    let request = stage.request("GET", target, &[], b"");
    stream.write_all(&request).await.unwrap();
    let mut piece = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        let read = stream.read(&mut piece);
        let length = tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        if length == 0 {
            break;
        }
        total += length;
    }
    assert!(total > length, "{total}");
    let grown = peak_memory(&stage) - before;
    assert!(grown < 16 << 20, "{grown} bytes more for {SIZE}");
}

#[tokio::test]
async fn a_large_upload_needs_little_memory() {
    let stage = Stage::scripted(&[Step::send(OK)], "").await;
    stage.get("/warm-up").await;
    let before = peak_memory(&stage);
    let mut stream = stage.connect().await;
    let length = SIZE.to_string();
    let head = stage.request("PUT", "/big", &[("Content-Length", &length)], b"");
    stream.write_all(&head).await.unwrap();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..SIZE / piece.len() {
        stream.write_all(&piece).await.unwrap();
    }
    until_seen(&mut stream, "ok").await;
    assert_eq!(stage.upstream.seen().last().unwrap().body_length, SIZE);
    let grown = peak_memory(&stage) - before;
    assert!(grown < 16 << 20, "{grown} bytes more for {SIZE}");
}

#[tokio::test]
async fn an_upload_begins_before_it_is_whole() {
    let stage = Stage::scripted(&[Step::send(OK)], "").await;
    let mut stream = stage.connect().await;
    let head = stage.request("POST", "/slow", &[("Content-Length", "6")], b"one");
    stream.write_all(&head).await.unwrap();
    eventually("the head is upstream before the body ends", async || {
        stage.metric("partywall_http_requests_in_flight").await > 0.5
    })
    .await;
    stream.write_all(b"two").await.unwrap();
    until_seen(&mut stream, "ok").await;
    assert_eq!(stage.upstream.seen()[0].body, b"onetwo");
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let script = [Step::send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nok\r\n0\r\nX-Sum: 42\r\n\r\n",
    )];
    let stage = Stage::scripted(&script, "").await;
    let headers = [
        ("TE", "trailers"),
        ("Trailer", "X-Sum"),
        ("Transfer-Encoding", "chunked"),
    ];
    let body = b"2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n";
    let answer = stage.send("PUT", "/sums", &headers, body).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .text()
            .to_ascii_lowercase()
            .ends_with("0\r\nx-sum: 42\r\n\r\n"),
        "{answer:?}"
    );
    let seen = stage.upstream.seen().remove(0);
    let sent = String::from_utf8_lossy(&seen.body).to_ascii_lowercase();
    assert!(sent.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{sent}");
}

#[tokio::test]
async fn every_method_passes() {
    let stage = Stage::scripted(&[Step::send(OK)], "").await;
    for method in [
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY",
    ] {
        let target = "/some/path?b=2&a=1&a=%2F+x";
        let headers = [
            ("Content-Type", "application/x-custom"),
            ("X-Own", "kept"),
            ("Cookie", "a=b"),
        ];
        let answer = stage
            .send(method, target, &headers, b"\x00\xff bytes")
            .await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "ok"),
            "{method}"
        );
        let seen = stage.upstream.seen().pop().unwrap();
        assert!(
            seen.head
                .starts_with(&format!("{method} {target} HTTP/1.1\r\n")),
            "{}",
            seen.head
        );
        assert_eq!(seen.body, b"\x00\xff bytes", "{method}");
        let head = seen.head.to_ascii_lowercase();
        for line in [
            "content-type: application/x-custom\r\n",
            "x-own: kept\r\n",
            "cookie: a=b\r\n",
        ] {
            assert!(head.contains(line), "{method}: {head}");
        }
    }
}

#[tokio::test]
async fn head_is_answered_with_a_head() {
    let script = [Step::send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1234\r\nETag: \"x\"\r\n\r\n",
    )];
    let stage = Stage::scripted(&script, "").await;
    for _ in 0..2 {
        let answer = stage.send("HEAD", "/file", &[], b"").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-length"), Some("1234"));
        assert_eq!(answer.header("etag"), Some("\"x\""));
        assert!(answer.body.is_empty(), "{answer:?}");
    }
    assert!(stage.upstream.seen()[0].head.starts_with("HEAD /file "));
}

#[tokio::test]
async fn statuses_headers_and_bytes_come_back_as_they_are() {
    for (status, headers, body) in [
        (
            "201 Created",
            "X-Own: a\r\nX-Own: b\r\nSet-Cookie: s=1\r\n",
            "made",
        ),
        (
            "404 Not Found",
            "Content-Type: text/html\r\n",
            "<p>gone</p>",
        ),
        (
            "401 Unauthorized",
            "WWW-Authenticate: Basic realm=x\r\n",
            "who are you",
        ),
        ("500 Internal Server Error", "", "oops"),
        (
            "200 OK",
            "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n",
            "\x1f\x08 raw",
        ),
        (
            "206 Partial Content",
            "Content-Range: bytes 0-3/9\r\n",
            "part",
        ),
    ] {
        let script = Step::send(&format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let stage = Stage::scripted(&[script], "").await;
        let answer = stage
            .send("GET", "/page", &[("Accept-Encoding", "gzip")], b"")
            .await;
        assert!(status.starts_with(&answer.status.to_string()), "{answer:?}");
        assert_eq!(answer.text(), body);
        let head = answer.head.to_ascii_lowercase();
        for line in headers.lines() {
            assert!(head.contains(&line.to_ascii_lowercase()), "{line}: {head}");
        }
        let seen = stage.upstream.seen().remove(0);
        assert!(
            seen.head
                .to_ascii_lowercase()
                .contains("accept-encoding: gzip"),
            "{}",
            seen.head
        );
    }
}

#[tokio::test]
async fn an_answer_without_length_ends_with_its_connection() {
    let script = [
        Step::send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end"),
        Step::Close,
    ];
    let stage = Stage::scripted(&script, "").await;
    for _ in 0..2 {
        let bytes = stage.request("GET", "/old", &[], b"");
        let answer = exchange(stage.proxy.authority(), &bytes).await;
        assert!(answer.text().contains("until the end"), "{answer:?}");
        assert!(answer.text().ends_with("0\r\n\r\n"), "{answer:?}");
    }
}
