//! X: where one request ends and the next begins.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::kit::door::Door;
use crate::kit::raw::{RawAnswer, read_answer};

const SMUGGLED: &str = "GET /api/v1/query?query=smuggled HTTP/1.1\r\nHost: x\r\n";

async fn by_hand(door: &Door, lines: &str, body: &str) -> RawAnswer {
    let authorization = door.authorization();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let text =
        format!("POST /api/v1/query HTTP/1.1\r\nHost: x\r\n{authorization}{form}{lines}\r\n{body}");
    door.send_raw(text.as_bytes()).await
}

#[tokio::test]
async fn x1_ambiguous_lengths_are_refused_and_the_connection_closed() {
    let door = Door::open().await;
    let smuggled = format!("0\r\n\r\n{SMUGGLED}{}\r\n", door.authorization());
    let table = [
        (
            "two lengths",
            "Content-Length: 8\r\nContent-Length: 9\r\n",
            "query=up1".to_owned(),
        ),
        (
            "a list of lengths",
            "Content-Length: 8, 9\r\n",
            "query=up1".to_owned(),
        ),
        (
            "a signed length",
            "Content-Length: +8\r\n",
            "query=up".to_owned(),
        ),
        (
            "a negative length",
            "Content-Length: -1\r\n",
            "query=up".to_owned(),
        ),
        (
            "a hex length",
            "Content-Length: 0x8\r\n",
            "query=up".to_owned(),
        ),
        (
            "an empty length",
            "Content-Length: \r\n",
            "query=up".to_owned(),
        ),
        (
            "a huge length",
            "Content-Length: 99999999999999999999\r\n",
            "query=up".to_owned(),
        ),
        (
            "an unknown coding",
            "Transfer-Encoding: xchunked\r\n",
            "8\r\nquery=up\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "chunked not last",
            "Transfer-Encoding: chunked, gzip\r\n",
            smuggled.clone(),
        ),
        (
            "chunked and identity",
            "Transfer-Encoding: chunked, identity\r\n",
            smuggled.clone(),
        ),
        (
            "a bad chunk size",
            "Transfer-Encoding: chunked\r\n",
            "zz\r\nquery=up\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "a huge chunk size",
            "Transfer-Encoding: chunked\r\n",
            "fffffffffffffffff\r\nq".to_owned(),
        ),
        (
            "no end of a chunk",
            "Transfer-Encoding: chunked\r\n",
            "8\r\nquery=upXX0\r\n\r\n".to_owned(),
        ),
    ];
    for (what, lines, body) in table {
        let answer = by_hand(&door, lines, &body).await;
        door.assert_refused(&format!("X1 {what}"), &answer, &[0, 400, 411, 413, 501]);
        assert!(answer.answers() <= 1, "X1 {what}: {answer:?}");
    }
}

#[tokio::test]
async fn x1_other_oddities_of_framing_hide_no_request() {
    let door = Door::open().await;
    let smuggled = format!("0\r\n\r\n{SMUGGLED}{}\r\n", door.authorization());
    // Both, where the length would end the request before the smuggled one.
    for lines in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ] {
        let body = format!("8\r\nquery=up\r\n{smuggled}");
        let answer = by_hand(&door, lines, &body).await;
        door.assert_refused("X1 CL and TE", &answer, &[400]);
        assert_eq!(answer.answers(), 1, "X1 CL and TE: {answer:?}");
    }
    // Extensions of chunks are legal (RFC 9112 §7.1.1) and end here.
    let body = "8;x=\"y\"\r\nquery=up\r\n0\r\n\r\n";
    let answer = by_hand(
        &door,
        "Connection: close\r\nTransfer-Encoding: chunked\r\n",
        body,
    )
    .await;
    door.assert_refused_or_confined("X1 chunk extension", &answer, &["query"]);
    let bare = format!(
        "POST /api/v1/query HTTP/1.1\nHost: x\n{}Connection: close\nContent-Type: application/x-www-form-urlencoded\nContent-Length: 8\n\nquery=up",
        door.authorization()
    );
    let answer = door.send_raw(bare.replace("\r\n", "\n").as_bytes()).await;
    door.assert_refused("X1 bare LF", &answer, &[400]);
    assert_eq!(answer.answers(), 1, "X1 bare LF: {answer:?}");
    let old = format!(
        "POST /api/v1/query HTTP/1.0\r\nHost: x\r\n{}Transfer-Encoding: chunked\r\n\r\n{smuggled}",
        door.authorization()
    );
    let answer = door.send_raw(old.as_bytes()).await;
    door.assert_refused(
        "X1 chunked in HTTP/1.0",
        &answer,
        &[0, 400, 411, 415, 501, 505],
    );
    for (what, host) in [("no Host", ""), ("two Hosts", "Host: x\r\nHost: y\r\n")] {
        let text = format!(
            "GET /api/v1/query?query=up HTTP/1.1\r\n{host}{}Connection: close\r\n\r\n",
            door.authorization()
        );
        let answer = door.send_raw(text.as_bytes()).await;
        door.assert_refused(&format!("X1 {what}"), &answer, &[400]);
    }
}

#[tokio::test]
async fn x1_http2_requests_say_one_host_and_no_framing() {
    let door = Door::open().await;
    let bearer = door
        .authorization()
        .trim_start_matches("Authorization: ")
        .trim_end()
        .to_owned();
    let stream = TcpStream::connect(door.proxy.authority()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let driver = tokio::spawn(connection);
    let ask = |headers: &[(&str, &str)]| {
        let mut request =
            Request::get("http://partywall/api/v1/query?query=up").header("authorization", &bearer);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::<Bytes>::default()).unwrap()
    };
    let answer = sender.send_request(ask(&[])).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        door.upstream.take_one().param("query"),
        [r#"up{tenant_id="acme"}"#]
    );
    let answer = sender
        .send_request(ask(&[("host", "elsewhere")]))
        .await
        .unwrap();
    assert_eq!(answer.status(), 400, "X1 :authority and Host differ");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("Host"), "{body:?}");
    assert!(door.upstream.take().is_empty());
    driver.abort();
}

#[tokio::test]
async fn x2_the_body_of_a_refused_request_is_no_request() {
    let door = Door::open().await;
    let smuggled = format!("{SMUGGLED}{}\r\n", door.authorization());
    let authorization = door.authorization();
    let length = smuggled.len();
    let heads = [
        (
            "unread type",
            format!(
                "POST /api/v1/query HTTP/1.1\r\nHost: x\r\n{authorization}Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
            ),
        ),
        (
            "closed path",
            format!(
                "POST /api/v1/admin/x HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: {length}\r\n\r\n"
            ),
        ),
        (
            "no token",
            format!("POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"),
        ),
        (
            "no token, chunked",
            format!(
                "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n"
            ),
        ),
        (
            "bad path",
            format!(
                "POST //api/v1/query HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: {length}\r\n\r\n"
            ),
        ),
        (
            "bad length",
            format!(
                "POST /api/v1/query HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"
            ),
        ),
    ];
    for (what, head) in heads {
        let mut stream = TcpStream::connect(door.proxy.authority()).await.unwrap();
        stream
            .write_all(format!("{head}{smuggled}").as_bytes())
            .await
            .unwrap();
        // An honest end, so that a connection which is kept open ends as well.
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.shutdown().await.unwrap();
        let answer = read_answer(&mut stream).await;
        door.assert_refused(&format!("X2 {what}"), &answer, &[400, 401, 403, 415]);
        assert_eq!(answer.answers(), 1, "X2 {what}: {answer:?}");
    }
}

#[tokio::test]
async fn x2_unauthenticated_clients_get_no_100_continue() {
    let door = Door::open().await;
    let head = "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 8\r\n\r\n";
    let answer = door.send_raw(format!("{head}query=up").as_bytes()).await;
    door.assert_refused("X2 no 100 Continue", &answer, &[401]);
}

#[tokio::test]
async fn x3_silent_clients_are_let_go() {
    let door = Door::with(|setup| {
        setup.rest = "timeouts:\n  first_request: 1s\n  header: 1s\n  body_idle: 1s\n".to_owned();
    })
    .await;
    let authorization = door.authorization();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for (what, begun) in [
        ("nothing", String::new()),
        ("half a line", "GET /api".to_owned()),
        (
            "half a head",
            "GET /api/v1/query?query=up HTTP/1.1\r\nHost: x\r\n".to_owned(),
        ),
        ("half of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM".to_owned()),
        (
            "half a body",
            format!(
                "POST /api/v1/query HTTP/1.1\r\nHost: x\r\n{authorization}{form}Content-Length: 8\r\n\r\nque"
            ),
        ),
    ] {
        let started = Instant::now();
        let answer = door.send_raw(begun.as_bytes()).await;
        let waited = started.elapsed();
        assert!(
            waited < Duration::from_secs(6),
            "X3 {what}: let go after {waited:?}"
        );
        door.assert_refused(&format!("X3 {what}"), &answer, &[0, 400, 408]);
    }
}

#[tokio::test]
async fn x4_nothing_is_tunnelled() {
    let door = Door::open().await;
    for target in ["/api/v1/query?query=up", "/graph"] {
        for upgrade in ["websocket", "h2c", "TLS/1.0"] {
            let headers = [
                ("Connection", "close, Upgrade, HTTP2-Settings"),
                ("Upgrade", upgrade),
                ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ];
            let answer = door.send("GET", target, &headers, b"").await;
            assert_ne!(answer.status, 101, "X4 {upgrade} {target}");
            for seen in door.upstream.take() {
                assert_eq!(seen.header("upgrade"), None, "X4 {upgrade} {target}");
                assert_eq!(seen.header("http2-settings"), None, "X4 {upgrade} {target}");
            }
        }
    }
}
