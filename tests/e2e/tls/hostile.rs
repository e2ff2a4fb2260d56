//! S: a listener with TLS. What is not TLS is not read as HTTP, and no certificate is a token.

use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::kit::raw::exchange;
use crate::kit::rig::{ACME, Rig};
use crate::kit::stage::{PATIENCE, QUERY, until_seen};
use crate::kit::tls::{Authority, HTTP1, HTTP2, TlsClient};

async fn rig(authority: &Authority, options: &str) -> Rig {
    Rig::start(|config, dir| {
        let identity = authority.identity();
        std::fs::write(dir.join("tls.crt"), &identity.cert_pem).unwrap();
        std::fs::write(dir.join("tls.key"), &identity.key_pem).unwrap();
        std::fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
        config.listener = format!("tls: {{cert_file: tls.crt, key_file: tls.key{options}}}");
    })
    .await
}

fn port(rig: &Rig) -> String {
    format!("127.0.0.1:{}", rig.config.port)
}

fn http1() -> String {
    format!(
        "GET {QUERY} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        *ACME
    )
}

/// A good token in plain text is a token that others on the way have read: it is not served.
#[tokio::test]
async fn s1_plain_requests_to_a_tls_port_are_not_served() {
    let authority = Authority::new("ca");
    let rig = rig(&authority, "").await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00".as_slice();
    let long = [b"\x16\x03\x01\xff\xff".to_vec(), vec![1; 70_000]].concat();
    let behind = [hello, http1().as_bytes()].concat();
    for (what, bytes) in [
        ("HTTP/1.1", http1().into_bytes()),
        ("two requests", http1().repeat(2).into_bytes()),
        ("HTTP/2", preface.as_bytes().to_vec()),
        ("HTTP/1.1 behind half a hello", behind),
        ("a record that is too long", long),
        ("an alert", b"\x15\x03\x03\x00\x02\x02\x28".to_vec()),
        (
            "data before the handshake",
            b"\x17\x03\x03\x00\x05hello".to_vec(),
        ),
        (
            "SSLv2",
            b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10".to_vec(),
        ),
        (
            "PROXY",
            format!("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n{}", http1()).into_bytes(),
        ),
        ("nothing", Vec::new()),
    ] {
        let mut stream = TcpStream::connect(port(&rig)).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        let text = String::from_utf8_lossy(&all);
        assert!(!text.contains("success"), "{what}: {text}");
        assert!(
            !text.contains(" 200 ") && !text.contains(" 401 "),
            "{what}: {text}"
        );
        assert!(rig.upstream.take().is_empty(), "{what}");
    }
    let client = TlsClient::new(&authority, None, HTTP1);
    let mut stream = client.connect(&port(&rig)).await.unwrap();
    stream.write_all(http1().as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Names of protocols: none, unknown, a great many, the longest; ours is chosen or nothing is.
#[tokio::test]
async fn s2_protocols_are_ours_or_none() {
    let authority = Authority::new("ca");
    let rig = rig(&authority, "").await;
    let long = "x".repeat(255);
    let many: Vec<String> = (0..200).map(|index| format!("protocol-{index}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let with_ours: Vec<&str> = many.iter().copied().chain(["http/1.1"]).collect();
    let offers: [(&[&str], Option<&str>); 8] = [
        (&[&long, "http/1.1"], Some("http/1.1")),
        (&with_ours, Some("http/1.1")),
        (&["H2", "http/1.1"], Some("http/1.1")),
        (&["h2c", "http/1.0", "HTTP/1.1"], None),
        (&["h2\0"], None),
        (&[&long], None),
        (&many, None),
        (&["h3"], None),
    ];
    for (offered, chosen) in offers {
        let stream = TlsClient::new(&authority, None, offered)
            .connect(&port(&rig))
            .await;
        let agreed = stream.ok().and_then(|stream| {
            let agreed = stream.get_ref().1.alpn_protocol()?;
            Some(String::from_utf8_lossy(agreed).into_owned())
        });
        assert_eq!(agreed.as_deref(), chosen, "{} names", offered.len());
    }
    // HTTP/2 it is: an upgrade of HTTP/1.1 has no way to it, nor has its preface.
    let client = TlsClient::new(&authority, None, HTTP2);
    let mut stream = client.connect(&port(&rig)).await.unwrap();
    stream.write_all(http1().as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("success"));
    assert!(rig.upstream.take().is_empty());
}

/// A client admitted without a certificate cannot send one later: there is no renegotiation.
/// OpenSSL alone asks for that (`R`); where there is none, nothing is tried.
#[tokio::test]
async fn s3_renegotiation_is_refused() {
    let authority = Authority::new("ca");
    let rig = rig(&authority, "").await;
    let found = std::env::var_os("PATH").is_some_and(|paths| {
        std::env::split_paths(&paths).any(|folder| folder.join("openssl").is_file())
    });
    if !found {
        println!("!!! no openssl here: renegotiation is not tried");
        return;
    }
    let mut client = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-connect", &port(&rig)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = client.stdout.take().unwrap();
    until_seen(&mut said, "Extended master secret").await;
    let mut typed = client.stdin.take().unwrap();
    typed.write_all(b"R\n").await.unwrap();
    let mut errors = String::new();
    let ended = client.stderr.take().unwrap();
    let mut ended = tokio::io::BufReader::new(ended);
    let reading = ended.read_to_string(&mut errors);
    let _ = tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("it gives up");
    assert!(
        errors.contains("RENEGOTIATING"),
        "it was asked for: {errors}"
    );
    assert!(errors.contains("no renegotiation"), "{errors}");
    assert!(rig.upstream.take().is_empty());
    let old = format!(
        "echo | timeout 15 openssl s_client -connect {} -tls1_1 -cipher ALL:@SECLEVEL=0 2>&1",
        port(&rig)
    );
    let run = Command::new("sh").args(["-c", &old]).output();
    let said = String::from_utf8_lossy(&run.await.unwrap().stdout).into_owned();
    assert!(!said.contains("Cipher is ECDHE"), "TLS 1.1: {said}");
    // Others are served.
    let client = TlsClient::new(&authority, None, HTTP1);
    assert!(client.connect(&port(&rig)).await.is_ok());
}

/// A certificate of the right authority opens the door, not a tenant's data; one of another
/// authority, or of none, is refused, with a resumed session or without.
#[tokio::test]
async fn s4_a_certificate_is_no_token() {
    let (authority, foreign) = (Authority::new("ca"), Authority::new("ca"));
    let rig = rig(&authority, ", client_ca_file: ca.pem").await;
    let (known, stranger) = (authority.identity(), foreign.identity());
    let plain = http1();
    let without_token = plain.split("Authorization").next().unwrap().to_owned() + "\r\n";
    for (identity, request, expected) in [
        (Some(&known), &plain, "HTTP/1.1 200"),
        (Some(&known), &without_token, "HTTP/1.1 401"),
        (Some(&stranger), &plain, ""),
        (None, &plain, ""),
    ] {
        let client = TlsClient::new(&authority, identity, HTTP1);
        // The second time with what is remembered of the first.
        for round in 0..2 {
            let mut answer = Vec::new();
            if let Ok(mut stream) = client.connect(&port(&rig)).await {
                let _ = stream.write_all(request.as_bytes()).await;
                let _ = stream.read_to_end(&mut answer).await;
            }
            let answer = String::from_utf8_lossy(&answer);
            let is_as_expected = if expected.is_empty() {
                answer.is_empty()
            } else {
                answer.starts_with(expected)
            };
            assert!(is_as_expected, "round {round}, {expected}: {answer}");
        }
    }
    let answer = exchange(&port(&rig), http1().as_bytes()).await;
    assert_eq!(answer.status, 400, "{answer:?}");
}
