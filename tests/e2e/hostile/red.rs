//! What someone in the wrong place could do to the others: unread answers, and an upstream that is
//! not where it seems to be.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::kit::client::{Ask, Client};
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::token::Signer;
use crate::kit::upstream::Upstream;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A 401 that is never read stays on its stream. It must not hold what callers with a token need.
#[tokio::test]
async fn unread_refusals_do_not_block_others() {
    let upstream = Upstream::start().await;
    let mut setup = Setup::new(&upstream.url);
    setup.signer = Signer::hs256(SECRET);
    setup.rest = "limits: {requests: 2}\n".to_owned();
    let proxy = Partywall::start(setup).await;

    let stream = TcpStream::connect(proxy.authority()).await.unwrap();
    // Streams with no window at all: not one byte of a body can be sent on them.
    let (mut h2, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(0)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut unread = Vec::new();
    for _ in 0..4 {
        let request = hyper::Request::get("http://partywall/api/v1/query?query=up")
            .body(Full::default())
            .unwrap();
        let answer = h2.send_request(request);
        let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
        unread.push(answer.unwrap().unwrap());
    }
    for answer in &unread {
        assert_eq!(answer.status(), 401, "each is refused for what it is");
    }

    let ask = Ask::get("/api/v1/query", &[("query", "up")]);
    let token = proxy.signer.tenant("acme");
    let answer = Client::default().ask(&proxy.url, &ask, Some(&token)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// One gateway serves both stores at one address. What the metrics API would let through must not
/// be a way into Tempo's internals.
#[tokio::test]
async fn internals_of_tempo_are_closed_behind_a_shared_gateway() {
    let gateway = Upstream::start().await;
    let url = &gateway.url;
    let mut setup = Setup::new(&format!(
        "{url}\n  - name: tempo\n    api: tempo\n    url: {url}"
    ));
    setup.signer = Signer::hs256(SECRET);
    setup.rest = "  traces:\n    attribute: resource.tenant_id\n".to_owned();
    let proxy = Partywall::start(setup).await;
    let token = proxy.signer.tenant("acme");
    let ask = async |path: &str| {
        let ask = Ask::get(path, &[]);
        Client::default().ask(&proxy.url, &ask, Some(&token)).await
    };
    for path in [
        "/usage_metrics",
        "/status/config",
        "/status/overrides",
        "/memberlist",
        "/partition-ring",
        "/live-store/ring",
        "/live-store/prepare-downscale",
        "/distributor/ring",
        "/ingester/ring",
        "/querier/api/search",
        "/flush",
        "/shutdown",
    ] {
        let answer = ask(path).await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
        assert!(gateway.take().is_empty(), "{path} reached the gateway");
    }
    // Pages of Prometheus still pass.
    for path in ["/status", "/graph"] {
        ask(path).await;
        assert_eq!(gateway.take().len(), 1, "{path}");
    }
}
