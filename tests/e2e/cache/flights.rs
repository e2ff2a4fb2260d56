//! Those who ask the same at the same time.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;

const IN_FLIGHT: &str = "partywall_http_requests_in_flight";

impl Stage<Wire> {
    pub async fn until_in_flight(&self, number: usize) {
        let number = f64::from(u32::try_from(number).unwrap());
        eventually("all of them ask", async || {
            (self.metric(IN_FLIGHT).await - number).abs() < 0.1
        })
        .await;
        // From the count to the queue it is a few steps more.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    /// On a connection of its own, from which nothing is read yet.
    async fn ask_by_hand(&self) -> TcpStream {
        let mut stream = self.connect().await;
        let body = "query=rate(up[5m])&start=1735689600&end=1735693200&step=15";
        let form = [crate::kit::stage::FORM];
        let request = self.request("POST", "/api/v1/query_range", &form, body.as_bytes());
        stream.write_all(&request).await.unwrap();
        self.until_in_flight(1).await;
        stream
    }

    /// All who ask the same get the one answer.
    pub async fn assert_one_asks_for_all(&self) {
        let asking = self.ask_often(50);
        self.until_in_flight(50).await;
        self.upstream.open();
        for answer in asking.join_all().await {
            assert_eq!(
                (answer.status.as_u16(), answer.text()),
                (200, VECTOR.to_owned())
            );
        }
        assert_eq!(self.upstream.seen().len(), 1);
    }

    pub fn ask_often(&self, times: usize) -> JoinSet<Answer> {
        let mut asking = JoinSet::new();
        for _ in 0..times {
            let (url, token) = (self.proxy.url.clone(), self.proxy.signer.tenant("acme"));
            asking.spawn(async move { Client::default().ask(&url, &panel(), Some(&token)).await });
        }
        asking
    }
}

#[tokio::test]
async fn fifty_equal_requests_are_sent_once() {
    let stage = Stage::scripted(&[Step::Gate, json(VECTOR)], ON).await;
    stage.assert_one_asks_for_all().await;
    assert!((stage.lookups("miss").await - 1.0).abs() < 0.1);
    assert!((stage.lookups("collapsed").await - 49.0).abs() < 0.1);
}

#[tokio::test]
async fn tenants_do_not_wait_for_each_other() {
    let stage = Stage::scripted(&[Step::Gate, json(VECTOR)], ON).await;
    let asking = stage.ask_often(1);
    stage.until_in_flight(1).await;
    let (url, token) = (stage.proxy.url.clone(), stage.proxy.signer.tenant("beta"));
    let other =
        tokio::spawn(async move { Client::default().ask(&url, &panel(), Some(&token)).await });
    eventually("both are asked for", async || {
        stage.upstream.seen().len() == 2
    })
    .await;
    stage.upstream.open();
    assert_eq!(mark(&other.await.unwrap()), "miss");
    drop(asking.join_all().await);
}

#[tokio::test]
async fn first_client_may_disconnect() {
    let stage = Stage::scripted(&[Step::Gate, json(VECTOR)], ON).await;
    let first = stage.ask_by_hand().await;
    let asking = stage.ask_often(3);
    stage.until_in_flight(4).await;
    drop(first);
    stage.until_in_flight(3).await;
    stage.upstream.open();
    for answer in asking.join_all().await {
        assert_eq!((answer.status.as_u16(), said(&answer)), (200, "collapsed"));
    }
    assert_eq!(stage.upstream.seen().len(), 1);
    assert_eq!(stage.upstream.deserted(), 0);
}

#[tokio::test]
async fn when_all_have_left_the_upstream_is_left_too() {
    for script in [
        vec![Step::Hang],
        vec![
            Step::send(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n\
                 {\"status\":\"success\",\"data\":[",
            ),
            Step::Hang,
        ],
    ] {
        let stage = Stage::scripted(&script, ON).await;
        let mut asking = stage.ask_often(3);
        stage.until_in_flight(3).await;
        assert_eq!(stage.upstream.seen().len(), 1);
        asking.shutdown().await;
        eventually("it is told", async || stage.upstream.deserted() == 1).await;
        // And the next to ask waits for none of them.
        stage.upstream.script(&[json(VECTOR)]);
        assert_eq!(mark(&stage.ask(&panel()).await), "miss");
    }
}

#[tokio::test]
async fn first_client_may_read_slowly() {
    let whole = format!(
        r#"{{"status":"success","data":["{}"]}}"#,
        "x".repeat(3_500_000)
    );
    let stage = Stage::scripted(&[Step::Gate, json(&whole)], ON).await;
    let mut first = stage.ask_by_hand().await;
    let asking = stage.ask_often(2);
    stage.until_in_flight(3).await;
    stage.upstream.open();
    for answer in asking.join_all().await {
        assert_eq!(said(&answer), "collapsed");
        assert!(answer.body == whole, "{} bytes", answer.body.len());
    }
    // All of it is still there for the first.
    let (all, _) = crate::kit::stage::until_closed(&mut first).await;
    let all = String::from_utf8(all).unwrap();
    assert!(all.ends_with("\r\n0\r\n\r\n"), "{} bytes", all.len());
    assert!(all.matches('x').count() >= 3_500_000, "{} bytes", all.len());
}

#[tokio::test]
async fn when_the_first_fails_each_asks_for_itself() {
    let failure = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    let warning = json(r#"{"status":"success","data":[],"warnings":["a store is down"]}"#);
    for (step, status) in [
        (Step::send(failure), 503),
        (Step::Reset, 502),
        (warning, 200),
    ] {
        // On a connection that was used before, one that ends would be asked for again.
        let stage = Stage::scripted_with(&[Step::Gate, step], |setup| {
            setup.rest = ON.to_owned();
            setup.upstream_options = vec!["max_idle_connections: 0".to_owned()];
        })
        .await;
        let asking = stage.ask_often(4);
        stage.until_in_flight(4).await;
        assert_eq!(stage.upstream.seen().len(), 1);
        stage.upstream.open();
        for answer in asking.join_all().await {
            assert_eq!(
                (answer.status.as_u16(), said(&answer) == "collapsed"),
                (status, false)
            );
        }
        assert_eq!(stage.upstream.seen().len(), 4, "once each");
    }
}

/// An incomplete response is incomplete for the first client, and never cached.
#[tokio::test]
async fn incomplete_response_is_not_shared() {
    let begun = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 200000\r\n\r\n\
                 {\"status\":\"success\",\"data\":[";
    let script = [Step::send(begun), Step::Gate, Step::Close];
    let stage = Stage::scripted(&script, ON).await;
    let raw = stage.send("GET", QUERY, &[], b"");
    let opened = async {
        stage.until_in_flight(1).await;
        stage.upstream.open();
    };
    let (answer, ()) = tokio::join!(raw, opened);
    assert!(answer.body.len() < 200_000, "{answer:?}");
    stage.upstream.script(&[json(VECTOR)]);
    let again = stage.get(QUERY).await;
    assert_eq!(again.header("x-partywall-cache"), Some("miss"));
}

#[tokio::test]
async fn flush_applies_to_requests_in_flight() {
    let stage = Stage::scripted(&[Step::Gate, json(VECTOR)], ON).await;
    let asking = stage.ask_often(2);
    stage.until_in_flight(2).await;
    assert_eq!(stage.flush("?upstream=metrics").await.status, 200);
    // Later requests do not wait for earlier ones.
    let later = stage.ask_often(1);
    eventually("it is asked for again", async || {
        stage.upstream.seen().len() == 2
    })
    .await;
    assert_eq!(stage.flush("").await.status, 200);
    stage.upstream.open();
    for answer in asking
        .join_all()
        .await
        .into_iter()
        .chain(later.join_all().await)
    {
        assert_eq!(answer.status, 200);
    }
    let after = stage.ask(&panel()).await;
    assert_ne!(said(&after), "hit");
    assert_eq!(stage.upstream.seen().len(), 3);
}
