//! TLS on listeners: protocols, clients' certificates, changes of files, deadlines, drain.

mod deadlines;
mod hostile;
mod reload;
mod upstreams;

use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::kit::grpc::{Call, call_by};
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::process::free_port;
use crate::kit::raw::exchange;
use crate::kit::rig::{ACME, Rig};
use crate::kit::stage::QUERY;
use crate::kit::tempo_messages::{SearchRequest, SearchResponse, decode};
use crate::kit::tempo_upstream::TempoUpstream;
use crate::kit::tls::{Authority, BoxError, HTTP1, HTTP2, Identity, TlsClient};

/// The `tls` of a listener, as YAML in braces, without `client_…`.
pub const PAIR: &str = "cert_file: tls.crt, key_file: tls.key";

/// Writes a server's files, as [`PAIR`] names them.
pub fn lay(dir: &Path, identity: &Identity) {
    std::fs::write(dir.join("tls.crt"), &identity.cert_pem).unwrap();
    std::fs::write(dir.join("tls.key"), &identity.key_pem).unwrap();
}

/// A proxy whose listener has TLS by a certificate of `authority`, with further options of `tls`
/// and further top-level YAML.
async fn rig(authority: &Authority, options: &str, rest: &str) -> Rig {
    Rig::start(|config, dir| {
        lay(dir, &authority.identity());
        config.listener = format!("tls: {{{PAIR}{options}}}");
        config.rest += rest;
    })
    .await
}

fn port(rig: &Rig) -> String {
    format!("127.0.0.1:{}", rig.config.port)
}

fn request(token: &str) -> Request<Full<Bytes>> {
    Request::get(QUERY)
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::default())
        .unwrap()
}

/// A query's status by a connection of its own, over HTTP/1.1.
async fn status(client: &TlsClient, authority: &str, token: &str) -> Result<u16, BoxError> {
    let mut sender = client.http1(authority).await?;
    let answer = sender.send_request(request(token)).await?;
    let status = answer.status().as_u16();
    answer.into_body().collect().await?;
    Ok(status)
}

async fn handshakes(rig: &Rig, result: &str) -> f64 {
    let series = format!(r#"partywall_tls_handshakes_total{{result="{result}"}}"#);
    rig.metric(&series).await
}

async fn counted(rig: &Rig, result: &str, times: f64) {
    crate::kit::stage::eventually("it is counted", async || {
        (handshakes(rig, result).await - times).abs() < 0.5
    })
    .await;
}

#[tokio::test]
async fn both_protocols_by_negotiation() {
    let authority = Authority::new("ca");
    let rig = rig(&authority, "", "").await;
    let client = TlsClient::new(&authority, None, HTTP1);
    assert_eq!(status(&client, &port(&rig), &ACME).await.unwrap(), 200);
    assert_eq!(status(&client, &port(&rig), "bad").await.unwrap(), 401);
    // Without ALPN it is HTTP/1.1.
    let client = TlsClient::new(&authority, None, &[]);
    assert_eq!(status(&client, &port(&rig), &ACME).await.unwrap(), 200);

    let client = TlsClient::new(&authority, None, HTTP2);
    let mut sender = client.http2(&port(&rig)).await.unwrap();
    let mut asked = request(&ACME);
    asked.headers_mut().remove("host");
    *asked.uri_mut() = format!("https://localhost{QUERY}").parse().unwrap();
    let answer = sender.send_request(asked).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, Version::HTTP_2)
    );
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(body.ends_with(b"}}"), "{body:?}");

    // Of both, HTTP/2.
    let client = TlsClient::new(&authority, None, &["http/1.1", "h2"]);
    let stream = client.connect(&port(&rig)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let client = TlsClient::new(&authority, None, &["spdy/3"]);
    assert!(client.connect(&port(&rig)).await.is_err());
    counted(&rig, "incompatible", 1.0).await;
    counted(&rig, "ok", 5.0).await;
}

#[tokio::test]
async fn negotiated_protocol_is_used() {
    let authority = Authority::new("ca");
    let rig = rig(&authority, "", "").await;
    let http1 = format!(
        "GET {QUERY} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        *ACME
    );
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for (agreed, said, understood) in [
        (HTTP1, http1.as_str(), true),
        (HTTP2, http1.as_str(), false),
        (HTTP1, preface, false),
        (&[], preface, false),
    ] {
        let client = TlsClient::new(&authority, None, agreed);
        let mut stream = client.connect(&port(&rig)).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // It ends, with or without ceremony.
        let _ = stream.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(
            text.starts_with("HTTP/1.1 200"),
            understood,
            "{agreed:?} {text}"
        );
        // Frames of HTTP/2 begin with a length below 16 MiB, and so below this letter.
        let is_http2 = answer.first().is_some_and(|first| *first == 0);
        assert_eq!(is_http2, agreed == HTTP2, "{agreed:?} {answer:?}");
    }
}

#[tokio::test]
async fn both_versions_of_tls() {
    let authority = Authority::new("ca");
    let rig = rig(&authority, "", "").await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = TlsClient::of_versions(&authority, None, HTTP1, &[version]);
        assert_eq!(status(&client, &port(&rig), &ACME).await.unwrap(), 200);
        let stream = client.connect(&port(&rig)).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
    }
}

#[tokio::test]
async fn certificates_of_clients_are_required() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let foreign = Authority::new("foreign");
    let rig = Rig::start(|config, dir| {
        lay(dir, &authority.identity());
        std::fs::write(dir.join("clients.pem"), clients.pem()).unwrap();
        config.listener = format!("tls: {{{PAIR}, client_ca_file: clients.pem}}");
    })
    .await;
    let ask = async |identity: Option<&Identity>, token: &str| {
        let mut answered = Vec::new();
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let client = TlsClient::of_versions(&authority, identity, HTTP1, &[version]);
            answered.push(status(&client, &port(&rig), token).await.ok());
        }
        answered
    };
    let known = clients.identity();
    assert_eq!(ask(Some(&known), &ACME).await, [Some(200), Some(200)]);
    assert_eq!(ask(Some(&known), "bad").await, [Some(401), Some(401)]);
    counted(&rig, "client_certificate", 0.0).await;
    rig.upstream.take();
    let (stranger, past) = (foreign.identity(), clients.expiring(1_000_000_000));
    for identity in [None, Some(&stranger), Some(&past)] {
        assert_eq!(ask(identity, &ACME).await, [None, None]);
    }
    counted(&rig, "client_certificate", 6.0).await;
    assert!(rig.upstream.take().is_empty());
    // The admin endpoint stays as it is, and the log silent.
    assert_eq!(rig.admin_status("/-/ready").await, 200);
    let log = rig.process.log();
    assert!(
        !log.contains("WARN") && !log.contains("TLS handshake failed"),
        "{log}"
    );
}

#[tokio::test]
async fn certificates_of_clients_are_optional() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let rig = Rig::start(|config, dir| {
        lay(dir, &authority.identity());
        std::fs::write(dir.join("clients.pem"), clients.pem()).unwrap();
        config.listener =
            format!("tls: {{{PAIR}, client_ca_file: clients.pem, client_certificates: optional}}");
    })
    .await;
    let (known, stranger) = (clients.identity(), Authority::new("foreign").identity());
    for (identity, expected) in [
        (None, Some(200)),
        (Some(&known), Some(200)),
        (Some(&stranger), None),
    ] {
        let client = TlsClient::new(&authority, identity, HTTP1);
        assert_eq!(status(&client, &port(&rig), &ACME).await.ok(), expected);
        // A certificate is no token.
        let answered = status(&client, &port(&rig), "bad").await.ok();
        assert_eq!(answered, expected.map(|_| 401));
    }
    counted(&rig, "client_certificate", 2.0).await;
}

#[tokio::test]
async fn a_client_that_does_not_trust_us_is_counted() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let rig = rig(&authority, "", "").await;
    let client = TlsClient::new(&other, None, HTTP1);
    assert!(client.connect(&port(&rig)).await.is_err());
    counted(&rig, "rejected", 1.0).await;
}

#[tokio::test]
async fn plain_http_on_a_tls_port_gets_an_explanation() {
    let authority = Authority::new("ca");
    let rig = rig(&authority, "", "").await;
    let answer = rig.ask(&ACME).await;
    assert_eq!(answer.status.as_u16(), 400);
    assert_eq!(answer.text(), "this port serves HTTPS only: use https://\n");
    counted(&rig, "plain", 1.0).await;
    // What is neither is closed.
    let answer = exchange(&port(&rig), b"\x16\x03nonsense, not a handshake").await;
    assert_eq!(answer.status, 0);
    let answer = exchange(&port(&rig), b"\0\0\0\0\0\0\0\0\0\0").await;
    assert_eq!(answer.status, 0);
    counted(&rig, "error", 2.0).await;
    assert!(rig.upstream.take().is_empty());
    let log = rig.process.log();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn plain_and_tls_side_by_side() {
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let (plain, second) = (free_port(), free_port());
    let rig = Rig::start(|config, dir| {
        lay(dir, &one.identity());
        let identity = two.identity();
        std::fs::write(dir.join("two.pem"), identity.cert_pem + &identity.key_pem).unwrap();
        config.listener = format!(
            "tls: {{{PAIR}}}\n  \
             - address: 127.0.0.1:{plain}\n  \
             - address: 127.0.0.1:{second}\n    \
               tls: {{cert_file: two.pem, key_file: two.pem}}"
        );
    })
    .await;
    let plain = format!("127.0.0.1:{plain}");
    let second = format!("127.0.0.1:{second}");
    let (of_one, of_two) = (
        TlsClient::new(&one, None, HTTP1),
        TlsClient::new(&two, None, HTTP1),
    );
    assert_eq!(status(&of_one, &port(&rig), &ACME).await.unwrap(), 200);
    assert_eq!(status(&of_two, &second, &ACME).await.unwrap(), 200);
    assert!(status(&of_one, &second, &ACME).await.is_err());
    assert!(status(&of_two, &port(&rig), &ACME).await.is_err());
    assert!(status(&of_one, &plain, &ACME).await.is_err());
    let asked = crate::kit::raw::request("GET", QUERY, &[], b"");
    assert_eq!(exchange(&plain, &asked).await.status, 401);
    assert_eq!(exchange(&second, &asked).await.status, 400);
}

#[tokio::test]
async fn grpc_streams_over_tls() {
    let authority = Authority::new("ca");
    let dir = tempfile::TempDir::new().unwrap();
    lay(dir.path(), &authority.identity());
    let upstream = TempoUpstream::start().await;
    let mut setup = Setup::tempo(&upstream.url);
    let path = dir.path().display();
    setup.listener = format!("tls: {{cert_file: {path}/tls.crt, key_file: {path}/tls.key}}");
    let proxy = Partywall::start(setup).await;
    let message = SearchRequest {
        query: "{}".to_owned(),
        limit: 20,
        start: 10,
        end: 20,
        ..SearchRequest::default()
    };
    let call = Call::new("/tempopb.StreamingQuerier/Search", &message);
    let client = TlsClient::new(&authority, None, HTTP2);
    for (token, code) in [(Some(proxy.signer.tenant("A")), 0), (None, 16)] {
        let stream = client.connect(proxy.authority()).await.unwrap();
        let url = format!("https://{}", proxy.authority());
        let answer = call_by(stream, &url, &call, token.as_deref()).await;
        assert_eq!(answer.code(), code, "{answer:?}");
        let found = answer.messages.iter().map(|message| decode(message));
        let found = found.flat_map(|message: SearchResponse| message.traces);
        assert_eq!(found.count() > 0, code == 0, "{answer:?}");
    }
}
