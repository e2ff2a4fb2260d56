//! Upstreams that are broken or turned against us, and defects of our own.

use std::time::Duration;

use crate::kit::client::escape;
use crate::kit::stage::{
    ELSEWHERE, FILTERED, QUERY, Stage, VECTOR, assert_error, eventually, impatient, json,
};
use crate::kit::upstream::Reply;
use crate::kit::wire::{Step, Wire};
use crate::kit::witness::{MIB, Neighbour, assert_memory_below, peak_memory};

const SECRET_ANSWER: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"tenant_id":"secret"},"value":[1,"1"]}]}}"#;

/// What an upstream sends beyond an answer's end is no answer to the next request.
#[tokio::test]
async fn x1_bytes_after_an_upstream_response_are_discarded() {
    let more = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{SECRET_ANSWER}",
        SECRET_ANSWER.len()
    );
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let (length, chunk) = (VECTOR.len(), format!("{:x}", VECTOR.len()));
    let answers = [
        (
            "a length",
            format!("{head}Content-Length: {length}\r\n\r\n{VECTOR}{more}"),
        ),
        (
            "chunks",
            format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n{chunk}\r\n{VECTOR}\r\n0\r\n\r\n{more}"
            ),
        ),
        (
            "a body that 204 cannot have",
            format!("HTTP/1.1 204 No Content\r\nContent-Length: {length}\r\n\r\n{more}"),
        ),
        (
            "a body that 304 cannot have",
            format!("HTTP/1.1 304 Not Modified\r\nContent-Length: {length}\r\n\r\n{more}"),
        ),
    ];
    let stage = Stage::scripted(&[], "").await;
    for (what, answer) in answers {
        stage.upstream.script(&[Step::send(&answer)]);
        for target in [QUERY, ELSEWHERE].repeat(10) {
            let answer = stage.get(target).await;
            assert!(
                !answer.text().contains("secret"),
                "{what} {target}: {answer:?}"
            );
        }
        // Nor does it come later, on a connection that was kept.
        stage.upstream.script(&[json(VECTOR)]);
        for _ in 0..5 {
            assert_eq!(stage.get(QUERY).await.text(), VECTOR, "{what}");
        }
    }
}

#[tokio::test]
async fn r1_answers_framed_twice_are_read_once_or_refused() {
    let stage = Stage::scripted(&[], "").await;
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: identity",
        "Content-Length: +63",
        "Content-Length: 63, 64",
    ] {
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{framing}\r\n\r\n{:x}\r\n{VECTOR}\r\n0\r\n\r\n",
            VECTOR.len()
        );
        stage.upstream.script(&[Step::send(&text), Step::Close]);
        for target in [QUERY, FILTERED] {
            let answer = stage.get(target).await;
            let is_whole = answer.status == 200 && answer.text().contains(VECTOR);
            assert!(
                is_whole || answer.status == 502,
                "{framing} {target}: {answer:?}"
            );
        }
    }
}

/// Heads that do not end, and answers that are never the last.
#[tokio::test]
async fn floods_before_an_answer_are_bounded() {
    let interim: std::sync::Arc<[u8]> = b"HTTP/1.1 103 Early Hints\r\nLink: </secret>\r\n\r\n"
        .repeat(100)
        .into();
    let line: std::sync::Arc<[u8]> = b"X-Flood: secret\r\n".repeat(100).into();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    for (what, script) in [
        ("interim answers", vec![Step::Repeat(interim, 100_000)]),
        (
            "header lines",
            vec![Step::send(head), Step::Repeat(line, 100_000)],
        ),
        (
            "one header line",
            vec![Step::send(&format!("{head}X: ")), Step::Flood(100 * MIB)],
        ),
        (
            "a status line",
            vec![Step::send("HTTP/1.1 200 "), Step::Flood(100 * MIB)],
        ),
    ] {
        let stage = impatient(&script).await;
        let answer = stage.get(QUERY).await;
        assert!([502, 504].contains(&answer.status), "{what}: {answer:?}");
        assert!(!answer.text().contains("secret"), "{what}: {answer:?}");
        assert_memory_below(what, &stage.proxy, 128 * MIB);
        eventually("it is let go", async || {
            stage.metric("partywall_http_requests_in_flight").await < 0.5
        })
        .await;
    }
}

/// A head that drips is as late as one that never comes.
#[tokio::test]
async fn a_head_that_drips_is_a_504() {
    let drip = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let mut script = Vec::new();
    for byte in drip.bytes() {
        script.extend([
            Step::Send(vec![byte]),
            Step::Pause(Duration::from_millis(50)),
        ]);
    }
    let stage = impatient(&script).await;
    let text = assert_error("a head that drips", &stage.get(QUERY).await, 504);
    assert!(text.contains("timeouts.response_head"), "{text}");
}

/// Headers and trailers of a data answer are ours to choose.
#[tokio::test]
async fn r3_headers_and_trailers_of_the_upstream_stay_behind() {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Thanos-Stores: secret\r\n\
         Set-Cookie: secret=1\r\nServer: secret\r\nLink: </secret>\r\nWarning: 299 - \"secret\"\r\n\
         WWW-Authenticate: secret\r\nTrailer: X-Secret\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{VECTOR}\r\n0\r\nX-Secret: secret\r\n\r\n",
        VECTOR.len()
    );
    let stage = Stage::scripted(&[Step::send(&answer)], "").await;
    for target in [QUERY, FILTERED, "/api/v1/labels"] {
        let answer = stage.get(target).await;
        assert!(
            !answer.head.contains("secret"),
            "R3 {target}: {}",
            answer.head
        );
        assert!(!answer.text().contains("secret"), "R3 {target}: {answer:?}");
    }
}

/// The parser that gives the second opinion panics on these. It is asked all the same.
#[tokio::test]
async fn o3_library_panic_affects_no_request() {
    let stage = Stage::recorded("").await;
    let neighbour = Neighbour::of(&stage.proxy, QUERY);
    for query in [
        "foo[1e30]",
        "foo[1e30:5m]",
        "foo offset 1e30",
        "foo[5m] offset -1e30",
    ] {
        for _ in 0..20 {
            let target = format!("/api/v1/query?query={}", escape(query));
            let answer = stage.get(&target).await;
            assert!(
                [200, 400].contains(&answer.status),
                "O3 {query}: {answer:?}"
            );
        }
    }
    for seen in stage.upstream.take() {
        assert!(seen.param("query")[0].contains("tenant_id="), "O3 {seen:?}");
    }
    neighbour.was_served().await;
    assert!(stage.metric("partywall_panics").await < 0.5);
}

/// A filtered answer that is not what it should be is a 502 at every endpoint that filters, and a
/// neighbour's good answers come all the while.
#[tokio::test]
async fn r1_garbage_is_never_passed_on() {
    let stage = Stage::recorded("").await;
    let garbage: Vec<u8> = (0..50_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let before = peak_memory(&stage.proxy);
    for status in [200, 206, 301, 400, 404, 422, 500, 503] {
        stage.upstream.reply(Reply {
            status,
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("location", "http://secret/".to_owned()),
            ],
            body: garbage.clone().into(),
        });
        for target in [
            QUERY,
            FILTERED,
            "/api/v1/labels",
            "/api/v1/targets",
            "/api/v1/metadata",
            "/api/v1/alerts",
        ] {
            let answer = stage.get(target).await;
            assert!(answer.status >= 400, "R1 {status} {target}: {answer:?}");
            assert_eq!(answer.header("location"), None, "R1 {status} {target}");
            assert!(
                answer.body.len() < 2000,
                "R1 {status} {target}: it is as long as the garbage"
            );
            assert_eq!(
                answer.json().unwrap()["status"],
                "error",
                "R1 {status} {target}"
            );
        }
    }
    assert!(peak_memory(&stage.proxy) - before < 32 * MIB);
}

/// The same for Tempo.
#[tokio::test]
async fn r1_garbage_of_tempo_is_never_passed_on() {
    let upstream = Wire::start(&[]).await;
    let setup = crate::kit::partywall::Setup::tempo(&upstream.url);
    let stage = Stage::of(upstream, setup).await;
    let garbage = "secret\u{1}{[".repeat(1000);
    for kind in ["application/json", "application/protobuf", "text/html"] {
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{garbage}",
            garbage.len()
        );
        stage.upstream.script(&[Step::send(&text)]);
        for target in [
            "/api/traces/1",
            "/api/v2/traces/1",
            "/api/search?q=%7B%7D",
            "/api/search/tags",
            "/api/v2/search/tags",
            "/api/v2/search/tag/name/values",
            "/api/metrics/query_range?q=%7B%7D%7Crate()&start=1&end=2",
        ] {
            for accept in ["application/json", "application/protobuf"] {
                let answer = stage.send("GET", target, &[("Accept", accept)], b"").await;
                assert!(
                    answer.status >= 400,
                    "R1 {kind} {target} {accept}: {answer:?}"
                );
                assert!(
                    !answer.text().contains("secret"),
                    "R1 {kind} {target} {accept}"
                );
            }
        }
    }
}
