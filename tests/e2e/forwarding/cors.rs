//! Web pages of other sites: `listeners[].cors`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::kit::door::Door;
use crate::kit::prometheus::{Extras, Prometheus};
use crate::kit::raw::{RawAnswer, exchange, request};
use crate::kit::upstream::Reply;

const TARGET: &str = "/api/v1/query?query=up";
const PAGE: &str = "https://tools.example";
const OTHER: &str = "https://evil.example";
const HEADERS: [&str; 4] = [
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-expose-headers",
    "access-control-allow-credentials",
];

async fn door(cors: &str) -> Door {
    Door::with(|setup| setup.listener = format!("cors: {{{cors}}}")).await
}

fn preflight(origin: &str) -> Vec<u8> {
    let headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization"),
    ];
    request("OPTIONS", TARGET, &headers, b"")
}

/// Those of [`HEADERS`] that an answer has.
fn permissions(answer: &RawAnswer) -> Vec<(&'static str, String)> {
    let found = |name: &&'static str| Some((*name, answer.header(name)?.to_owned()));
    HEADERS.iter().filter_map(found).collect()
}

#[tokio::test]
async fn without_cors_preflight_is_a_request_like_any_other() {
    let door = Door::open().await;
    let answer = door.send_raw(&preflight(PAGE)).await;
    door.assert_refused("no token", &answer, &[401]);
    let page = [("Origin", PAGE)];
    let answer = door.send("GET", TARGET, &page, b"").await;
    door.assert_sent("with a token", &answer);
    assert_eq!(permissions(&answer), []);
    assert_eq!(answer.header("vary"), None);
}

#[tokio::test]
async fn preflight_of_a_listed_page_is_answered_without_a_token_as_prometheus_does() {
    let door = door(&format!("origins: [\"{PAGE}\"]")).await;
    let answer = door.send_raw(&preflight(PAGE)).await;
    assert_eq!(answer.status, 204, "{}", answer.head);
    assert!(door.upstream.take().is_empty());
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
    assert_eq!(answer.header("vary"), Some("Origin"));
    let allowed = answer.header("access-control-allow-headers").unwrap();

    let store = Prometheus::with_extras("cors", &Extras::default()).await;
    let authority = store.url.trim_start_matches("http://");
    let bare = exchange(authority, &preflight(PAGE)).await;
    assert_eq!(bare.status, answer.status);
    let (mut ours, mut theirs) = (permissions(&answer), permissions(&bare));
    // A Prometheus permits every page by default.
    assert_eq!(ours.remove(0).1, PAGE);
    assert_eq!(theirs.remove(0).1, "*");
    assert_eq!(ours, theirs);
    let bare = bare.header("access-control-allow-headers").unwrap();
    assert_eq!(allowed, format!("{bare}, x-id-token"));
}

#[tokio::test]
async fn answers_and_refusals_can_be_read_by_listed_pages_alone() {
    let door = door(&format!("origins: [\"{PAGE}\"], credentials: true")).await;
    let page = [("Origin", PAGE)];
    let answer = door.send("GET", TARGET, &page, b"").await;
    door.assert_sent("with a token", &answer);
    let permitted = permissions(&answer);
    let expected = [
        (HEADERS[0], PAGE),
        (HEADERS[2], "Date"),
        (HEADERS[3], "true"),
    ];
    let expected = expected.map(|(name, value)| (name, value.to_owned()));
    assert_eq!(permitted, expected);
    assert_eq!(answer.header("vary"), Some("Origin"));

    let answer = door.send_raw(&request("GET", TARGET, &page, b"")).await;
    door.assert_refused("without a token", &answer, &[401]);
    assert_eq!(permissions(&answer), expected);

    for origin in [
        OTHER,
        "null",
        "https://tools.example.evil.example",
        "HTTPS://TOOLS.EXAMPLE",
    ] {
        let answer = door.send_raw(&preflight(origin)).await;
        door.assert_refused(origin, &answer, &[403]);
        assert!(answer.text().contains("cors.origins"), "{}", answer.text());
        assert_eq!(permissions(&answer), [], "{origin}");
        let answer = door.send("GET", TARGET, &[("Origin", origin)], b"").await;
        door.assert_sent(origin, &answer);
        assert_eq!(permissions(&answer), [], "{origin}");
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
}

#[tokio::test]
async fn every_page_can_be_permitted_and_has_to_bring_its_own_token() {
    let door = door("origins: [\"*\"], max_age: 0s").await;
    let answer = door.send_raw(&preflight(OTHER)).await;
    assert_eq!(answer.status, 204, "{}", answer.head);
    assert_eq!(permissions(&answer)[0], (HEADERS[0], "*".to_owned()));
    assert_eq!(answer.header("access-control-max-age"), Some("0"));
    let page = [("Origin", OTHER)];
    let answer = door.send_raw(&request("GET", TARGET, &page, b"")).await;
    door.assert_refused("without a token", &answer, &[401]);
    // An OPTIONS that is no preflight is a request like any other.
    let answer = door.send_raw(&request("OPTIONS", TARGET, &page, b"")).await;
    door.assert_refused("no preflight", &answer, &[401]);
}

/// A Prometheus' pages permit every origin by default.
#[tokio::test]
async fn permission_of_an_upstream_is_replaced_by_ours() {
    let door = door(&format!("origins: [\"{PAGE}\"]")).await;
    let mut reply = Reply::json("{}");
    for name in [HEADERS[0], HEADERS[2]] {
        reply.headers.push((name, "*".to_owned()));
    }
    reply.headers.push((HEADERS[3], "true".to_owned()));
    door.upstream.reply(reply);
    let answer = door.send("GET", "/graph", &[("Origin", OTHER)], b"").await;
    door.assert_sent("another page", &answer);
    assert_eq!(permissions(&answer), []);
    let answer = door.send("GET", "/graph", &[("Origin", PAGE)], b"").await;
    door.assert_sent("a listed page", &answer);
    assert_eq!(permissions(&answer)[0].1, PAGE);
    assert_eq!(answer.header(HEADERS[3]), None);
}

#[tokio::test]
async fn preflight_over_http2_is_answered_in_the_same_way() {
    let door = door(&format!("origins: [\"{PAGE}\"]")).await;
    let stream = TcpStream::connect(door.proxy.authority()).await.unwrap();
    let connecting = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = connecting.await.unwrap();
    let connection = tokio::spawn(connection);
    for (origin, status) in [(PAGE, 204), (OTHER, 403)] {
        let request = Request::options(format!("{}{TARGET}", door.proxy.url))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .body(Full::<Bytes>::default())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), status, "{origin}");
        let permitted = answer.headers().get(HEADERS[0]);
        assert_eq!(permitted.is_some(), origin == PAGE);
    }
    assert!(door.upstream.take().is_empty());
    drop(sender);
    let _ = connection.await;
}
