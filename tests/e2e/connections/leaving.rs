//! Clients that go away take their upstream requests along, at once (W4); clients that only end
//! their side of the connection do not.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::kit::grpc::{Call, call_by, frame};
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::stage::{
    ELSEWHERE, FILTERED, FORM, PATIENCE, QUERY, Stage, VECTOR, eventually, json, until_closed,
    until_seen,
};
use crate::kit::tempo_upstream::fixture;
use crate::kit::wire::{Step, Wire};

/// Long after "at once", and well before the two seconds that a half-closed client once got. A busy
/// machine may take as long now and then, so the best of several tries counts.
const AT_ONCE: Duration = Duration::from_secs(1);
const TRIES: usize = 6;

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    /// Closes its socket: a FIN.
    Close,
    /// Resets the connection.
    Reset,
}

impl Leaving {
    fn leave(self, stream: TcpStream) {
        if matches!(self, Self::Reset) {
            stream.set_zero_linger().expect("a socket option");
        }
        drop(stream);
    }
}

/// The shortest time from a client's leave until the upstream is left.
async fn until_deserted(stage: &Stage<Wire>, request: &[u8], leaving: Leaving) -> Duration {
    let mut best = PATIENCE;
    for _ in 0..TRIES {
        let (seen, deserted) = (stage.upstream.seen().len(), stage.upstream.deserted());
        let mut stream = stage.connect().await;
        stream.write_all(request).await.unwrap();
        eventually("it is upstream", async || {
            stage.upstream.seen().len() > seen
        })
        .await;
        // Whatever was sent of an answer is on its way.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let left = Instant::now();
        leaving.leave(stream);
        eventually("it is let go", async || {
            stage.upstream.deserted() > deserted
        })
        .await;
        best = best.min(left.elapsed());
        if best < AT_ONCE {
            break;
        }
    }
    best
}

#[tokio::test]
async fn upstream_request_ends_at_once_when_its_http1_client_leaves() {
    let form = [("Connection", "keep-alive"), FORM];
    let begun =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let more = "1a\r\n{\"status\":\"success\",\"data\"\r\n";
    for (what, script, rest) in [
        ("silent", vec![Step::Hang], ""),
        ("silent, cached", vec![Step::Hang], "cache: {ttl: 1h}\n"),
        (
            "begun",
            vec![Step::send(&format!("{begun}{more}")), Step::Hang],
            "",
        ),
        (
            "begun, cached",
            vec![Step::send(&format!("{begun}{more}")), Step::Hang],
            "cache: {ttl: 1h}\n",
        ),
    ] {
        let stage = Stage::scripted(&script, rest).await;
        let requests = [
            ("query", stage.kept(QUERY)),
            (
                "form",
                stage.request("POST", "/api/v1/query", &form, b"query=up"),
            ),
            ("rules", stage.kept(FILTERED)),
            ("pass-through", stage.kept(ELSEWHERE)),
        ];
        for (which, request) in requests {
            for leaving in [Leaving::Close, Leaving::Reset] {
                let took = until_deserted(&stage, &request, leaving).await;
                assert!(took < AT_ONCE, "{what} {which} {leaving:?}: {took:?}");
            }
        }
        eventually("no permit is held", async || {
            stage.metric("partywall_http_requests_in_flight").await < 0.5
        })
        .await;
    }
}

/// A connection to the proxy through a task that holds its socket.
async fn relayed(stage: &Stage<Wire>) -> (TcpStream, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(near, listener.accept());
    let (mut far, _) = far.unwrap();
    let mut proxy = stage.connect().await;
    let relay = tokio::spawn(async move {
        let _ = tokio::io::copy_bidirectional(&mut far, &mut proxy).await;
    });
    (near.unwrap(), relay)
}

#[tokio::test]
async fn upstream_request_ends_at_once_when_its_http2_client_leaves() {
    let stage = Stage::scripted(&[Step::Hang], "").await;
    for ends_connection in [false, true] {
        let mut best = PATIENCE;
        for _ in 0..TRIES {
            let (seen, deserted) = (stage.upstream.seen().len(), stage.upstream.deserted());
            let (stream, relay) = relayed(&stage).await;
            let stream = TokioIo::new(stream);
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
            let (mut sender, connection) = handshake.await.unwrap();
            tokio::spawn(connection);
            let request = stage.h2_request(QUERY);
            let asking = tokio::spawn(async move {
                let _ = sender.send_request(request).await;
                drop(sender);
            });
            eventually("it is upstream", async || {
                stage.upstream.seen().len() > seen
            })
            .await;
            let left = Instant::now();
            if ends_connection {
                // The socket is closed without a word.
                relay.abort();
            } else {
                asking.abort();
            }
            eventually("it is let go", async || {
                stage.upstream.deserted() > deserted
            })
            .await;
            best = best.min(left.elapsed());
            if best < AT_ONCE {
                break;
            }
        }
        assert!(best < AT_ONCE, "connection: {ends_connection}, {best:?}");
    }
}

/// The answer behind interim ones, which every client passes over (RFC 9110 §15.2).
fn final_answer(all: &[u8]) -> String {
    let text = String::from_utf8_lossy(all).into_owned();
    text.replace("HTTP/1.1 100 Continue\r\n\r\n", "")
}

#[tokio::test]
async fn half_closed_client_is_served_however_long_the_upstream_takes() {
    let stage = Stage::scripted(&[Step::Gate, json(VECTOR)], "").await;
    for target in [QUERY, ELSEWHERE] {
        stage.upstream.shut();
        let seen = stage.upstream.seen().len();
        let mut stream = stage.connect().await;
        stream.write_all(&stage.kept(target)).await.unwrap();
        stream.shutdown().await.unwrap();
        eventually("it is upstream", async || {
            stage.upstream.seen().len() > seen
        })
        .await;
        tokio::time::sleep(Duration::from_millis(3500)).await;
        stage.upstream.open();
        let (all, _) = until_closed(&mut stream).await;
        let answer = final_answer(&all);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with(VECTOR), "{answer}");
    }
    assert_eq!(stage.upstream.deserted(), 0);
}

/// Having been found to listen, it leaves after all.
#[tokio::test]
async fn half_closed_client_that_leaves_later_is_noticed() {
    let stage = Stage::scripted(&[Step::Hang], "").await;
    let mut stream = stage.connect().await;
    stream.write_all(&stage.kept(QUERY)).await.unwrap();
    stream.shutdown().await.unwrap();
    until_seen(&mut stream, "100 Continue").await;
    drop(stream);
    eventually("it is let go", async || stage.upstream.deserted() == 1).await;
}

/// HTTP/1.0 has no interim answers.
#[tokio::test]
async fn half_closed_http10_client_gets_no_interim_answer() {
    let stage = Stage::scripted(&[Step::Pause(Duration::from_millis(500)), json(VECTOR)], "").await;
    let request = format!(
        "GET {QUERY} HTTP/1.0\r\nAuthorization: {}\r\n\r\n",
        stage.bearer
    );
    let mut stream = stage.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let (all, _) = until_closed(&mut stream).await;
    let answer = String::from_utf8_lossy(&all);
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(VECTOR), "{answer}");
}

/// A large answer that flows is read to its end by a client that ended its side within it.
#[tokio::test]
async fn client_that_ends_its_side_within_a_flowing_answer_gets_all_of_it() {
    let total = 30_000_000;
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {total}\r\n\r\n");
    let script = [Step::send(&head), Step::Flood(total)];
    let stage = Stage::scripted(&script, "").await;
    let mut stream = stage.connect().await;
    stream.write_all(&stage.kept("/big")).await.unwrap();
    let begun = until_seen(&mut stream, "xxxx").await;
    stream.shutdown().await.unwrap();
    // Longer than a silence, with bytes waiting.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let (rest, _) = until_closed(&mut stream).await;
    let length = begun.len() + rest.len();
    assert!(length > total, "{length} bytes");
}

/// Counts requests, and those whose stream or connection the proxy has ended.
struct GrpcStub {
    url: String,
    asked: Arc<AtomicUsize>,
    left: Arc<AtomicUsize>,
}

struct CountsDrop(Arc<AtomicUsize>);

impl Drop for CountsDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl GrpcStub {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, left) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counters = (Arc::clone(&asked), Arc::clone(&left));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, left) = counters.clone();
                let service = service_fn(move |_: Request<Incoming>| {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let guard = CountsDrop(Arc::clone(&left));
                    async move {
                        std::future::pending::<()>().await;
                        drop(guard);
                        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                    }
                });
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, asked, left }
    }
}

#[tokio::test]
async fn grpc_call_ends_upstream_at_once_when_its_client_leaves() {
    let stub = GrpcStub::start().await;
    let proxy = Partywall::start(Setup::tempo(&stub.url)).await;
    let token = proxy.signer.tenant("acme");
    let mut best = PATIENCE;
    for n in 1..=TRIES {
        let stream = TcpStream::connect(proxy.authority()).await.unwrap();
        let call = Call::framed("/tempopb.StreamingQuerier/SearchTagsV2", frame(0, b""));
        let (url, token) = (proxy.url.clone(), token.clone());
        let calling = tokio::spawn(async move { call_by(stream, &url, &call, Some(&token)).await });
        eventually("it is upstream", async || {
            stub.asked.load(Ordering::SeqCst) == n
        })
        .await;
        let left = Instant::now();
        calling.abort();
        eventually("it is let go", async || {
            stub.left.load(Ordering::SeqCst) == n
        })
        .await;
        best = best.min(left.elapsed());
    }
    assert!(best < AT_ONCE, "{best:?}");
}

/// The second search, for whom a page's traces belong to.
#[tokio::test]
async fn ownership_query_ends_at_once_when_the_client_leaves() {
    let page = fixture("search-tenantA.json");
    let page = String::from_utf8(page).unwrap();
    let mut best = PATIENCE;
    for _ in 0..TRIES {
        let tempo = Wire::start(&[Step::Gate, json(&page)]).await;
        let mut setup = Setup::tempo(&tempo.url);
        "traces:\n  search_metadata: verify\n".clone_into(&mut setup.rest);
        let stage = Stage::of(tempo, setup).await;
        let mut stream = stage.connect().await;
        let request = stage.kept("/api/search?q=%7B%7D&start=10&end=20");
        stream.write_all(&request).await.unwrap();
        eventually("the search is upstream", async || {
            stage.upstream.seen().len() == 1
        })
        .await;
        stage.upstream.script(&[Step::Hang]);
        stage.upstream.open();
        eventually("the ownership query is", async || {
            stage.upstream.seen().len() == 2
        })
        .await;
        let left = Instant::now();
        drop(stream);
        eventually("it is let go", async || stage.upstream.deserted() == 1).await;
        best = best.min(left.elapsed());
        if best < AT_ONCE {
            break;
        }
    }
    assert!(best < AT_ONCE, "{best:?}");
}

/// Nothing is compared with an unread response.
#[tokio::test]
async fn shadow_mode_leaves_the_upstream_with_the_client_and_compares_nothing() {
    let begun =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{";
    let stage = Stage::scripted_with(&[Step::send(begun), Step::Hang], |setup| {
        let until = SystemTime::now() + Duration::from_hours(24);
        let until = format!("  until: {}", humantime::format_rfc3339_seconds(until));
        let lines = [
            "shadow:",
            &until,
            "  tenants_see_each_other: true",
            "  compare: 1",
        ];
        setup.upstream_options = lines.map(str::to_owned).to_vec();
    })
    .await;
    let took = until_deserted(&stage, &stage.kept(QUERY), Leaving::Close).await;
    assert!(took < AT_ONCE, "{took:?}");
    let seen = stage.upstream.seen().len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(stage.upstream.seen().len(), seen);
    assert_eq!(stage.upstream.deserted(), seen);
}
