//! An upstream that is away or slow, what it is shown, and clients that leave it.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use crate::kit::partywall::Setup;
use crate::kit::process::free_port;
use crate::kit::stage::{
    ELSEWHERE, FILTERED, PATIENCE, QUERY, Stage, VECTOR, assert_error, eventually, impatient, json,
    until_closed, until_seen,
};
use crate::kit::wire::{Step, Wire};

#[tokio::test]
async fn unreachable_upstream_is_a_502() {
    let setup = Setup::new(&format!("http://127.0.0.1:{}", free_port()));
    let stage = Stage::of((), setup).await;
    let text = assert_error("query", &stage.get(QUERY).await, 502);
    assert!(text.contains("cannot be reached"), "{text}");
    assert_eq!(stage.get(ELSEWHERE).await.status, 502);
    let counted =
        r#"partywall_upstream_requests_total{upstream="metrics",result="upstream_unreachable"}"#;
    assert!((stage.metric(counted).await - 2.0).abs() < 0.1);
}

#[tokio::test]
async fn no_head_in_time_is_a_504() {
    for begun in ["", "HTTP/1.1 200 OK\r\nContent-Ty"] {
        let stage = impatient(&[Step::send(begun), Step::Hang]).await;
        let started = Instant::now();
        let text = assert_error("query", &stage.get(QUERY).await, 504);
        assert!(text.contains("timeouts.response_head"), "{text}");
        assert!(started.elapsed() >= Duration::from_millis(400));
        assert_eq!(stage.get(ELSEWHERE).await.status, 504);
        eventually("the upstream is let go", async || {
            stage.upstream.deserted() == 2
        })
        .await;
    }
}

#[tokio::test]
async fn an_upload_longer_than_response_head_is_not_cut() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
    let stage = impatient(&[Step::send(ok)]).await;
    let mut stream = stage.connect().await;
    let head = stage.request("PUT", "/upload", &[("Content-Length", "8")], b"");
    stream.write_all(&head).await.unwrap();
    for byte in b"8 pieces" {
        tokio::time::sleep(Duration::from_millis(150)).await;
        stream.write_all(&[*byte]).await.unwrap();
    }
    let (answer, _) = until_closed(&mut stream).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(stage.upstream.seen()[0].body, b"8 pieces");
}

#[tokio::test]
async fn upload_that_the_upstream_does_not_read_is_a_504() {
    // It reads the head alone.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut setup = Setup::new(&format!("http://{}", listener.local_addr().unwrap()));
    let lines = ["timeouts:", "  response_head: 400ms"];
    setup.upstream_options = lines.map(str::to_owned).to_vec();
    let stage = Stage::of(listener, setup).await;
    let (mut reads, mut writes) = stage.connect().await.into_split();
    let head = stage.request("PUT", "/upload", &[("Content-Length", "500000000")], b"");
    let upload = tokio::spawn(async move {
        let _ = writes.write_all(&head).await;
        let piece = vec![b'x'; 65536];
        while writes.write_all(&piece).await.is_ok() {}
    });
    let mut answer = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut reads, &mut answer);
    let _ = tokio::time::timeout(PATIENCE, read).await.expect("an end");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    upload.await.unwrap();
}

#[tokio::test]
async fn refused_proxy_credentials_are_a_502() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let script = format!(
            "HTTP/1.1 {status}\r\nWWW-Authenticate: Basic realm=internal\r\nContent-Length: 6\r\n\r\nsecret"
        );
        let stage = Stage::scripted(&[Step::send(&script)], "").await;
        for target in [QUERY, FILTERED, "/api/v1/metadata", "/federate?match[]=up"] {
            let answer = stage.get(target).await;
            let text = assert_error(target, &answer, 502);
            if target != "/api/v1/metadata" {
                assert!(
                    text.contains("refused the proxy's own credentials"),
                    "{target}: {text}"
                );
            }
            assert!(!text.contains("secret"), "{target}: {text}");
            assert_eq!(answer.header("www-authenticate"), None, "{target}");
        }
    }
}

#[tokio::test]
async fn the_base_path_goes_before_every_path() {
    let upstream = Wire::start(&[json(VECTOR)]).await;
    let setup = Setup::new(&format!("{}/team/prom", upstream.url));
    let stage = Stage::of(upstream, setup).await;
    for (target, expected) in [
        (QUERY, "/team/prom/api/v1/query?"),
        (FILTERED, "/team/prom/api/v1/rules"),
        (ELSEWHERE, "/team/prom/graph"),
        ("/graph?g0=a%2Fb&x", "/team/prom/graph?g0=a%2Fb&x"),
        ("/", "/team/prom/"),
    ] {
        stage.get(target).await;
        let seen = stage.upstream.seen();
        let sent = seen.last().unwrap().target();
        assert!(sent.starts_with(expected), "{target}: {sent}");
    }
}

#[tokio::test]
async fn our_credentials_are_forwarded_and_the_clients_are_not() {
    let basic = "Authorization: Basic cGFydHl3YWxsOmxldCBtZSBpbg==";
    let bearer = "Authorization: Bearer our-own-token";
    let table: [(&[&str], Option<&str>); 4] = [
        (&[], None),
        (
            &["credentials: {bearer_token: our-own-token}"],
            Some(bearer),
        ),
        (
            &["credentials: {basic: {username: partywall, password: let me in}}"],
            Some(basic),
        ),
        (
            &["credentials: {forward_token: true}"],
            Some("Authorization: Bearer the client's"),
        ),
    ];
    for (options, expected) in table {
        let stage = Stage::scripted_with(&[json(VECTOR)], |setup| {
            setup.upstream_options = options.iter().map(|line| (*line).to_owned()).collect();
        })
        .await;
        let token = stage.bearer.trim_start_matches("Bearer ").to_owned();
        let expected = expected.map(|line| line.replace("the client's", &token));
        for target in [QUERY, FILTERED, "/api/v1/metadata", ELSEWHERE] {
            stage.get(target).await;
            // The same token by the other way that Grafana knows.
            let by_id_token = format!(
                "GET {target} HTTP/1.1\r\nHost: x\r\nX-Id-Token: {token}\r\nConnection: close\r\n\r\n"
            );
            let answer =
                crate::kit::raw::exchange(stage.proxy.authority(), by_id_token.as_bytes()).await;
            assert_ne!(answer.status, 401, "{answer:?}");
        }
        let seen = stage.upstream.seen();
        assert!(seen.len() >= 8);
        for seen in seen {
            let lines: Vec<&str> = seen
                .head
                .lines()
                .filter(|line| line.to_ascii_lowercase().starts_with("authorization:"))
                .collect();
            let shown = lines
                .first()
                .map(|line| line.replacen("authorization", "Authorization", 1));
            assert_eq!(shown, expected, "{}", seen.head);
            assert!(lines.len() <= 1, "{}", seen.head);
            let tokens = seen.head.matches(&token).count();
            let forwarded = expected.as_ref().is_some_and(|line| line.contains(&token));
            assert_eq!(tokens, usize::from(forwarded), "{}", seen.head);
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_upstream_request_along() {
    let begun = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    for target in [QUERY, FILTERED, ELSEWHERE] {
        let stage = Stage::scripted(&[Step::Hang], "").await;
        let mut http1 = stage.connect().await;
        http1.write_all(&stage.kept(target)).await.unwrap();
        eventually("it is upstream", async || stage.upstream.seen().len() == 1).await;
        drop(http1);
        eventually("it is let go", async || stage.upstream.deserted() == 1).await;
        let mut h2 = stage.connect_h2().await;
        let http2 = tokio::spawn(h2.send_request(stage.h2_request(target)));
        eventually("it is upstream", async || stage.upstream.seen().len() == 2).await;
        http2.abort();
        eventually("it is let go", async || stage.upstream.deserted() == 2).await;
        assert!(stage.metric("partywall_http_requests_total{").await > 1.5);
        assert!(
            stage.metric("partywall_http_requests_in_flight").await < 0.5,
            "their permits are free"
        );
    }
    let stage = Stage::scripted(&[Step::send(begun), Step::Hang], "").await;
    let mut stream = stage.connect().await;
    stream.write_all(&stage.kept(ELSEWHERE)).await.unwrap();
    until_seen(&mut stream, "first").await;
    drop(stream);
    eventually("it is let go", async || stage.upstream.deserted() == 1).await;
}

#[tokio::test]
async fn an_upload_that_the_client_breaks_is_its_own_fault() {
    let stage = Stage::scripted(&[], "").await;
    let headers = [("Transfer-Encoding", "chunked")];
    let answer = stage
        .send("PUT", "/upload", &headers, b"5\r\nhello\r\nno length\r\n")
        .await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(stage.upstream.seen().is_empty());
    let reached =
        r#"partywall_upstream_requests_total{upstream="metrics",result="upstream_unreachable"}"#;
    assert!(
        stage.metric(reached).await < 0.5,
        "the upstream is not to blame for it"
    );
}

#[tokio::test]
async fn an_overloaded_upstream_says_when_to_come_back() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let script = Step::send(&format!(
            "HTTP/1.1 {status}\r\nRetry-After: 7\r\nX-Internal: secret\r\nContent-Length: 4\r\n\r\nbusy"
        ));
        let stage = Stage::scripted(&[script], "").await;
        let answer = stage.get(QUERY).await;
        assert!(status.starts_with(&answer.status.to_string()), "{answer:?}");
        assert_eq!(answer.json().unwrap()["status"], "error");
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(answer.header("x-internal"), None);
    }
}
