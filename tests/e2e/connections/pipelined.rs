//! HTTP/1.1 clients that send their next requests before they have their answer.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::kit::stage::{QUERY, Stage, VECTOR, eventually, json, until_closed};
use crate::kit::wire::Step;

/// An HTTP/1.1 client that has sent its next requests already, and then leaves.
#[tokio::test]
async fn client_that_sent_more_behind_its_request_is_noticed_when_it_leaves() {
    let stage = Stage::scripted(&[Step::Hang], "").await;
    let mut n = 0;
    for behind in [
        "",
        "GET /next HT",
        "\r\n",
        "GET /next HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        for is_reset in [false, true] {
            n += 1;
            let mut stream = stage.connect().await;
            let mut bytes = stage.kept(QUERY);
            bytes.extend_from_slice(behind.as_bytes());
            stream.write_all(&bytes).await.expect("sent");
            eventually("it is upstream", async || stage.upstream.seen().len() == n).await;
            // Some of it comes when the request is served already.
            let _ = stream.write_all(b"GET /a").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            if is_reset {
                stream.set_zero_linger().expect("a socket option");
            }
            drop(stream);
            eventually("it is let go", async || stage.upstream.deserted() == n).await;
        }
    }
}

/// What is held back is served when its turn comes.
#[tokio::test]
async fn pipelined_requests_are_all_answered_in_order() {
    let answer = json(VECTOR);
    let pause = Step::Pause(Duration::from_millis(30));
    let stage = Stage::scripted(&[pause, answer], "").await;
    let mut bytes = Vec::new();
    let form = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Connection", "keep-alive"),
    ];
    for n in 0..20 {
        bytes.extend(stage.kept(&format!("/api/v1/query?query=up%2B{n}")));
        let body = format!("query=down%2B{n}");
        bytes.extend(stage.request("POST", "/api/v1/query", &form, body.as_bytes()));
    }
    bytes.extend(stage.request("GET", QUERY, &[], b""));
    let mut stream = stage.connect().await;
    let (first, second) = bytes.split_at(bytes.len() / 3);
    stream.write_all(first).await.expect("sent");
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.write_all(second).await.expect("sent");
    let (all, _) = until_closed(&mut stream).await;
    let all = String::from_utf8_lossy(&all).into_owned();
    assert_eq!(all.matches("HTTP/1.1 200").count(), 41, "{all}");
    let seen = stage.upstream.seen();
    assert_eq!(seen.len(), 41);
    for (n, pair) in seen.chunks(2).take(20).enumerate() {
        for (seen, word) in pair.iter().zip(["up", "down"]) {
            let sent = format!("{}{}", seen.target(), String::from_utf8_lossy(&seen.body));
            assert!(
                sent.contains(word) && sent.contains(&format!("{n}")),
                "{n}: {sent}"
            );
        }
    }
}
