//! The end of the process: what was accepted is answered, what comes later is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::kit::client::Client;
use crate::kit::raw::read_answer;
use crate::kit::stage::{PATIENCE, QUERY, Stage, eventually, until_closed, until_seen};
use crate::kit::wire::Step;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

async fn refuses_connections<U>(stage: &Stage<U>) -> bool {
    TcpStream::connect(stage.proxy.authority()).await.is_err()
}

async fn exits_well<U>(stage: &mut Stage<U>) {
    let status = stage.proxy.process.wait(PATIENCE).await;
    let status = status.expect("the process ends");
    assert_eq!(status.code(), Some(0), "{}", stage.proxy.process.log());
}

#[tokio::test]
async fn requests_in_flight_are_answered() {
    for signal in ["TERM", "INT"] {
        let mut stage = Stage::scripted(&[Step::Gate, Step::send(ANSWER)], "").await;
        let mut idle = stage.connect().await;
        stage.upstream.open();
        idle.write_all(&stage.kept("/idle")).await.unwrap();
        until_seen(&mut idle, "ok").await;
        stage.upstream.shut();

        let mut http1 = stage.connect().await;
        http1.write_all(&stage.kept("/slow")).await.unwrap();
        let mut h2 = stage.connect_h2().await;
        let http2 = tokio::spawn(h2.send_request(stage.h2_request("/slow")));
        eventually("all are upstream", async || {
            stage.upstream.seen().len() == 3
        })
        .await;
        stage.proxy.process.signal(signal);
        eventually("no more are accepted", async || {
            refuses_connections(&stage).await
        })
        .await;
        assert!(
            stage.proxy.process.try_wait().is_none(),
            "two are in flight"
        );
        stage.upstream.open();
        let answer = read_answer(&mut http1).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        assert_eq!(answer.header("connection"), Some("close"));
        let answer = http2.await.unwrap().unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
        exits_well(&mut stage).await;
        assert!(until_closed(&mut idle).await.0.is_empty());
    }
}

#[tokio::test]
async fn bodies_under_way_arrive_whole() {
    let begun = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5\r\nfirst\r\n";
    let script = [
        Step::send(begun),
        Step::Gate,
        Step::send("4\r\nlast\r\n0\r\n\r\n"),
    ];
    let mut stage = Stage::scripted(&script, "").await;
    let mut stream = stage.connect().await;
    stream.write_all(&stage.kept("/slow")).await.unwrap();
    until_seen(&mut stream, "first").await;
    stage.proxy.process.signal("TERM");
    eventually("no more are accepted", async || {
        refuses_connections(&stage).await
    })
    .await;
    // Longer than a drain waits for idle connections.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    stage.upstream.open();
    let (rest, _) = until_closed(&mut stream).await;
    let rest = String::from_utf8_lossy(&rest).into_owned();
    assert!(
        rest.contains("last") && rest.ends_with("0\r\n\r\n"),
        "{rest}"
    );
    exits_well(&mut stage).await;
}

#[tokio::test]
async fn it_is_not_ready_first_and_still_serves() {
    let mut stage = Stage::recorded("drain: {min: 1500ms}\n").await;
    let (client, ready) = (Client::default(), format!("{}/-/ready", stage.proxy.admin));
    let started = Instant::now();
    stage.proxy.process.signal("TERM");
    eventually("it is not ready", async || {
        client.get(&ready).await.status == 503
    })
    .await;
    assert!(client.get(&ready).await.text().contains("draining"));
    let healthy = format!("{}/-/healthy", stage.proxy.admin);
    assert_eq!(client.get(&healthy).await.status, 200);
    assert_eq!(
        stage.get(QUERY).await.status,
        200,
        "until drain.min has passed"
    );
    exits_well(&mut stage).await;
    assert!(started.elapsed() >= Duration::from_millis(1500));
}

#[tokio::test]
async fn a_stuck_request_does_not_keep_the_process() {
    let mut stage = Stage::scripted(&[Step::Hang], "drain: {max: 500ms}\n").await;
    let mut stream = stage.connect().await;
    stream.write_all(&stage.kept("/stuck")).await.unwrap();
    eventually("it is upstream", async || stage.upstream.seen().len() == 1).await;
    let started = Instant::now();
    stage.proxy.process.signal("TERM");
    exits_well(&mut stage).await;
    assert!(started.elapsed() >= Duration::from_millis(500));
    assert!(
        until_closed(&mut stream).await.0.is_empty(),
        "no answer was made up"
    );
    let log = stage.proxy.process.log();
    assert!(log.contains("drain.max"), "{log}");
}

#[tokio::test]
async fn a_second_signal_ends_the_drain() {
    let mut stage = Stage::scripted(&[Step::Hang], "drain: {min: 1h, max: 1h}\n").await;
    let mut stream = stage.connect().await;
    stream.write_all(&stage.kept("/stuck")).await.unwrap();
    eventually("it is upstream", async || stage.upstream.seen().len() == 1).await;
    stage.proxy.process.signal("TERM");
    let (client, ready) = (Client::default(), format!("{}/-/ready", stage.proxy.admin));
    eventually("it drains", async || client.get(&ready).await.status == 503).await;
    assert!(stage.proxy.process.try_wait().is_none());
    stage.proxy.process.signal("TERM");
    exits_well(&mut stage).await;
    let log = stage.proxy.process.log();
    assert!(log.contains("second signal"), "{log}");
}

#[tokio::test]
async fn under_load_nothing_accepted_is_lost() {
    let mut stage = Stage::recorded("drain: {min: 300ms}\n").await;
    let answered = Arc::new(AtomicUsize::new(0));
    let lost = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let mut load = Vec::new();
    for worker in 0..8 {
        let (answered, lost, over) = (Arc::clone(&answered), Arc::clone(&lost), Arc::clone(&over));
        let authority = stage.proxy.authority().to_owned();
        let (closing, kept) = (stage.request("GET", QUERY, &[], b""), stage.kept(QUERY));
        load.push(tokio::spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let Ok(mut stream) = TcpStream::connect(&authority).await else {
                    return;
                };
                // Half of the clients keep their connections, as long as they may.
                if worker % 2 == 0 {
                    let _ = stream.write_all(&closing).await;
                    let answer = read_answer(&mut stream).await;
                    let complete = answer.status == 200 && answer.text().ends_with("}}");
                    let count = if complete { &answered } else { &lost };
                    count.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                loop {
                    let sent = stream.write_all(&kept).await;
                    let answer = one_answer(&mut stream).await;
                    let complete = answer.ends_with("}}");
                    let count = if complete { &answered } else { &lost };
                    count.fetch_add(1, Ordering::SeqCst);
                    if !complete || sent.is_err() || answer.contains("connection: close") {
                        break;
                    }
                }
            }
        }));
    }
    eventually("the load is on", async || {
        answered.load(Ordering::SeqCst) > 100
    })
    .await;
    stage.proxy.process.signal("TERM");
    exits_well(&mut stage).await;
    over.store(true, Ordering::SeqCst);
    for worker in load {
        worker.await.unwrap();
    }
    // A connection that the kernel completes between the last accept and the close of the
    // listening socket is beyond any server's reach.
    let lost = lost.load(Ordering::SeqCst);
    assert!(
        lost <= 1,
        "{lost} lost, {} answered",
        answered.load(Ordering::SeqCst)
    );
}

/// Reads one answer of the recording upstream.
async fn one_answer(stream: &mut TcpStream) -> String {
    use tokio::io::AsyncReadExt;
    let mut all = Vec::new();
    while !all.ends_with(b"}}") {
        match stream.read_buf(&mut all).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}
