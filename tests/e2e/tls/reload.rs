//! Certificates, authorities and TLS itself change while connections come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::BodyExt;
use hyper::StatusCode;
use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use super::{PAIR, lay, port, request, rig, status};
use crate::kit::process::free_port;
use crate::kit::raw::{exchange, request as raw_request};
use crate::kit::rig::{ACME, Rig, replace};
use crate::kit::stage::{QUERY, eventually, until_seen};
use crate::kit::tls::{Authority, HTTP1, HTTP2, Identity, TlsClient};
use crate::kit::token;

const SUCCESSFUL: &str = "partywall_config_last_reload_successful ";

/// Replaces a server's files, one after the other.
fn renew(rig: &Rig, identity: &Identity) {
    replace(&rig.dir().join("tls.key"), &identity.key_pem);
    replace(&rig.dir().join("tls.crt"), &identity.cert_pem);
}

/// What a server shows to a new connection.
async fn shown(client: &TlsClient, rig: &Rig) -> Option<CertificateDer<'static>> {
    let stream = client.connect(&port(rig)).await.ok()?;
    let shown = stream.get_ref().1.peer_certificates()?;
    Some(shown[0].clone().into_owned())
}

async fn until_shown(client: &TlsClient, rig: &Rig, identity: &Identity) {
    eventually("the new certificate is shown", async || {
        shown(client, rig).await.as_ref() == Some(&identity.certificate)
    })
    .await;
}

/// One request on a connection that stays, after which it is known whether the session was taken
/// up again.
async fn exchanged(client: &TlsClient, rig: &Rig) -> Option<(TlsStream<TcpStream>, HandshakeKind)> {
    let mut stream = client.connect(&port(rig)).await.ok()?;
    ask_on(&mut stream).await?;
    let kind = stream.get_ref().1.handshake_kind()?;
    Some((stream, kind))
}

async fn ask_on(stream: &mut TlsStream<TcpStream>) -> Option<()> {
    let bearer = format!("Bearer {}", *ACME);
    let kept = [
        ("Authorization", bearer.as_str()),
        ("Connection", "keep-alive"),
    ];
    let asked = raw_request("GET", QUERY, &kept, b"");
    stream.write_all(&asked).await.ok()?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"}}") {
        if stream.read_buf(&mut answer).await.ok()? == 0 {
            return None;
        }
    }
    answer.starts_with(b"HTTP/1.1 200").then_some(())
}

/// Clients of every kind, none of which may see a request fail.
struct Load {
    over: Arc<AtomicBool>,
    workers: Vec<JoinHandle<usize>>,
}

impl Load {
    fn start(rig: &Rig, of: impl Fn(&[&str]) -> TlsClient) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut workers = Vec::new();
        for _ in 0..3 {
            let (client, to, over) = (of(HTTP1), port(rig), Arc::clone(&over));
            workers.push(tokio::spawn(async move {
                let mut asked = 0;
                while !over.load(Ordering::SeqCst) {
                    let answered = status(&client, &to, &ACME).await;
                    assert_eq!(answered.expect("an answer"), 200);
                    asked += 1;
                }
                asked
            }));
        }
        // Connections that stay.
        let (client, to, ended) = (of(HTTP1), port(rig), Arc::clone(&over));
        workers.push(tokio::spawn(async move {
            let mut sender = client.http1(&to).await.expect("HTTP/1.1");
            let mut asked = 0;
            while !ended.load(Ordering::SeqCst) {
                sender.ready().await.expect("the connection lives on");
                let answer = sender
                    .send_request(request(&ACME))
                    .await
                    .expect("an answer");
                assert_eq!(answer.status(), StatusCode::OK);
                answer.into_body().collect().await.expect("a body");
                asked += 1;
            }
            asked
        }));
        let (client, to, ended) = (of(HTTP2), port(rig), Arc::clone(&over));
        workers.push(tokio::spawn(async move {
            let mut sender = client.http2(&to).await.expect("HTTP/2");
            let mut asked = 0;
            while !ended.load(Ordering::SeqCst) {
                sender.ready().await.expect("the connection lives on");
                let mut request = request(&ACME);
                request.headers_mut().remove("host");
                *request.uri_mut() = format!("https://localhost{QUERY}").parse().expect("a URI");
                let answer = sender.send_request(request).await.expect("an answer");
                assert_eq!(answer.status(), StatusCode::OK);
                answer.into_body().collect().await.expect("a body");
                asked += 1;
            }
            asked
        }));
        Self { over, workers }
    }

    /// Fails when one of them has seen a failure.
    async fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        for worker in self.workers {
            assert!(worker.await.expect("every request is answered 200") > 0);
        }
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_under_load() {
    let authority = Authority::new("ca");
    let rig = rig(&authority, "", "").await;
    let load = Load::start(&rig, |protocols| {
        TlsClient::new(&authority, None, protocols)
    });
    let observer = TlsClient::new(&authority, None, HTTP1);
    for _ in 0..5 {
        let identity = authority.identity();
        renew(&rig, &identity);
        until_shown(&observer, &rig, &identity).await;
    }
    load.end().await;
    assert!(rig.metric(SUCCESSFUL).await > 0.5);
}

#[tokio::test]
async fn an_authority_of_clients_is_replaced_under_load() {
    let authority = Authority::new("ca");
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let rig = Rig::start(|config, dir| {
        lay(dir, &authority.identity());
        std::fs::write(dir.join("clients.pem"), old.pem()).unwrap();
        config.listener = format!("tls: {{{PAIR}, client_ca_file: clients.pem}}");
    })
    .await;
    let file = rig.dir().join("clients.pem");
    let (by_old, by_new) = (old.identity(), new.identity());
    let (by_old, by_new) = (
        TlsClient::new(&authority, Some(&by_old), HTTP1),
        TlsClient::new(&authority, Some(&by_new), HTTP1),
    );
    let (mut open, kind) = exchanged(&by_old, &rig).await.expect("known");
    assert_eq!(kind, HandshakeKind::Full);
    assert!(exchanged(&by_new, &rig).await.is_none(), "not known yet");

    replace(&file, &(old.pem() + &new.pem()));
    eventually("the new one is known", async || {
        exchanged(&by_new, &rig).await.is_some()
    })
    .await;
    assert!(exchanged(&by_old, &rig).await.is_some(), "both are");

    let identity = new.identity();
    let load = Load::start(&rig, |protocols| {
        TlsClient::new(&authority, Some(&identity), protocols)
    });
    replace(&file, &new.pem());
    eventually("the old one is not known any more", async || {
        exchanged(&by_old, &rig).await.is_none()
    })
    .await;
    for _ in 0..5 {
        // Not by a session of before either.
        assert!(exchanged(&by_old, &rig).await.is_none());
    }
    ask_on(&mut open).await.expect("who is in stays in");
    load.end().await;
}

#[tokio::test]
async fn sessions_end_with_their_certificates() {
    let authority = Authority::new("ca");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut rig = rig(&authority, "", "").await;
        let client = TlsClient::of_versions(&authority, None, HTTP1, &[version]);
        let kind = async |rig: &Rig| exchanged(&client, rig).await.expect("known").1;
        assert_eq!(kind(&rig).await, HandshakeKind::Full);
        assert_eq!(kind(&rig).await, HandshakeKind::Resumed);
        // A reload that does not concern them.
        rig.config.rest += "limits: {requests: 7}\n";
        rig.replace();
        assert_eq!(rig.post_reload().await.status, StatusCode::OK);
        assert_eq!(kind(&rig).await, HandshakeKind::Resumed);
        lay(rig.dir(), &authority.identity());
        assert_eq!(rig.post_reload().await.status, StatusCode::OK);
        assert_eq!(kind(&rig).await, HandshakeKind::Full);
    }
}

/// Else a client's certificate could expire and go on being of use.
#[tokio::test]
async fn sessions_of_clients_with_certificates_are_not_taken_up_again() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    for option in ["required", "optional"] {
        let rig = Rig::start(|config, dir| {
            lay(dir, &authority.identity());
            std::fs::write(dir.join("clients.pem"), clients.pem()).unwrap();
            config.listener = format!(
                "tls: {{{PAIR}, client_ca_file: clients.pem, client_certificates: {option}}}"
            );
        })
        .await;
        let identity = clients.identity();
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let client = TlsClient::of_versions(&authority, Some(&identity), HTTP1, &[version]);
            for _ in 0..3 {
                let (_, kind) = exchanged(&client, &rig).await.expect("known");
                assert_eq!(kind, HandshakeKind::Full, "{option} {version:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_bad_certificate_changes_nothing_and_says_so() {
    let authority = Authority::new("ca");
    let first = authority.identity();
    let rig = Rig::start(|config, dir| {
        lay(dir, &first);
        config.listener = format!("tls: {{{PAIR}}}");
    })
    .await;
    let client = TlsClient::new(&authority, None, HTTP1);
    let other = authority.identity();
    for (file, bad, expected) in [
        (
            "tls.key",
            other.key_pem.as_str(),
            ":3:41: listeners[0].tls.key_file: the key does not match the first certificate",
        ),
        ("tls.crt", "", "tls.crt holds no PEM certificate"),
        ("tls.key", "secret", "tls.key holds no PEM private key"),
    ] {
        let (_, before) = rig.reloads().await;
        replace(&rig.dir().join(file), bad);
        eventually("the failure is counted", async || {
            rig.reloads().await.1 > before
        })
        .await;
        assert!(rig.metric(SUCCESSFUL).await < 0.5);
        let log = rig.process.log();
        assert!(log.contains(expected), "{expected} is not in {log}");
        let answered = status(&client, &port(&rig), &ACME).await;
        assert_eq!(answered.unwrap(), 200, "the old one is shown");
        assert_eq!(
            shown(&client, &rig).await.as_ref(),
            Some(&first.certificate)
        );
        // No key is shown, whatever happens to it.
        assert!(
            !log.contains("secret") && !log.contains("PRIVATE KEY"),
            "{log}"
        );
        replace(&rig.dir().join("tls.key"), &first.key_pem);
        replace(&rig.dir().join("tls.crt"), &first.cert_pem);
        eventually("all is well again", async || {
            rig.metric(SUCCESSFUL).await > 0.5
        })
        .await;
    }
    renew(&rig, &other);
    until_shown(&client, &rig, &other).await;
}

#[tokio::test]
async fn tls_is_switched_off_and_on() {
    let authority = Authority::new("ca");
    let mut rig = rig(&authority, "", "").await;
    let client = TlsClient::new(&authority, None, HTTP1);
    let (mut open, _) = exchanged(&client, &rig).await.unwrap();
    let with = std::mem::take(&mut rig.config.listener);
    rig.replace();
    rig.until_status(&ACME, 200).await;
    assert!(client.connect(&port(&rig)).await.is_err());
    ask_on(&mut open).await.expect("what is open lives on");
    let expiry = "partywall_tls_certificate_expiry_timestamp_seconds{";
    assert!(!rig.admin_get("/metrics").await.text().contains(expiry));

    let mut plain = TcpStream::connect(port(&rig)).await.unwrap();
    let bearer = format!("Bearer {}", *ACME);
    let kept = [
        ("Authorization", bearer.as_str()),
        ("Connection", "keep-alive"),
    ];
    let asked = raw_request("GET", QUERY, &kept, b"");
    plain.write_all(&asked).await.unwrap();
    until_seen(&mut plain, "}}").await;
    rig.config.listener = with;
    rig.replace();
    eventually("it is TLS again", async || {
        exchanged(&client, &rig).await.is_some()
    })
    .await;
    plain.write_all(&asked).await.unwrap();
    until_seen(&mut plain, "}}").await;
    let log = rig.process.log();
    assert!(!log.contains("need a restart"), "{log}");
}

/// The old socket listens until the process ends. It must not become a plain one.
#[tokio::test]
async fn a_listener_that_moves_keeps_its_tls() {
    let authority = Authority::new("ca");
    let mut rig = rig(&authority, "", "").await;
    let client = TlsClient::new(&authority, None, HTTP1);
    let before = port(&rig);
    rig.config.port = free_port();
    rig.config.listener = String::new();
    for _ in 0..2 {
        rig.replace();
        assert_eq!(rig.post_reload().await.status, StatusCode::OK);
        assert!(rig.process.log().contains("need a restart"));
        assert_eq!(status(&client, &before, &ACME).await.unwrap(), 200);
        let asked = raw_request("GET", QUERY, &[], b"");
        assert_eq!(exchange(&before, &asked).await.status, 400);
    }
}

#[tokio::test]
async fn certificate_expiry_is_warned_about_ahead() {
    let authority = Authority::new("ca");
    let now = token::now();
    let (soon, late) = (now + 3 * 24 * 3600, now + 30 * 24 * 3600);
    let rig = Rig::start(|config, dir| {
        lay(dir, &authority.expiring(soon));
        config.listener = format!("tls: {{{PAIR}}}");
    })
    .await;
    let series = format!(
        r#"partywall_tls_certificate_expiry_timestamp_seconds{{listener="127.0.0.1:{}"}}"#,
        rig.config.port
    );
    let told = async |at: i64| {
        let text = rig.admin_get("/metrics").await.text();
        text.lines().any(|line| line == format!("{series} {at}"))
    };
    assert!(told(soon).await);
    let log = rig.process.log();
    assert!(log.contains("certificate expires in 72 hours"), "{log}");
    assert_eq!(log.matches("certificate").count(), 1, "{log}");

    renew(&rig, &authority.expiring(late));
    eventually("the new one is told", async || told(late).await).await;
    assert_eq!(rig.process.log().matches("TLS certificate").count(), 1);

    renew(&rig, &authority.expiring(now - 60));
    eventually("the new one is told", async || told(now - 60).await).await;
    assert!(rig.process.log().contains("certificate has expired"));
}
