//! W5: unauthenticated connections. Clients without a token may open any number: those who have
//! one get in, and the admin address answers.

use std::process::Command;

use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::kit::frames::{End, Frames, GOAWAY, get};
use crate::kit::partywall::{BINARY, Setup};
use crate::kit::raw::{RawAnswer, exchange, request};
use crate::kit::rig::{ACME, Rig};
use crate::kit::stage::{QUERY, Stage, eventually, until_closed, until_seen};
use crate::kit::tls::{Authority, HTTP1, TlsClient};
use crate::kit::upstream::Upstream;

const NO_TOKEN: &str = "GET /api/v1/query?query=up HTTP/1.1\r\nHost: x\r\n\r\n";

async fn stage(open_files: (u32, u32), rest: &str) -> Stage<Upstream> {
    let upstream = Upstream::start().await;
    let mut setup = Setup::new(&upstream.url);
    let (soft, hard) = open_files;
    setup.shell = format!("ulimit -Sn {soft}; ulimit -Hn {hard}");
    setup.rest = rest.to_owned();
    Stage::of(upstream, setup).await
}

/// What must go on, each on a connection of its own.
async fn assert_service_goes_on(stage: &Stage<Upstream>) {
    let answer = stage.get(QUERY).await;
    assert_eq!(answer.status, 200, "a newcomer with a token: {answer:?}");
    for path in ["/-/ready", "/metrics"] {
        assert_eq!(admin(stage, path).await.status, 200, "{path}");
    }
}

async fn admin(stage: &Stage<Upstream>, path: &str) -> RawAnswer {
    let authority = stage.proxy.admin.trim_start_matches("http://");
    let bytes = request("GET", path, &[("Host", "localhost")], b"");
    exchange(authority, &bytes).await
}

/// An unauthenticated connection that has been refused once, and stays open.
async fn refused_and_idle(stage: &Stage<Upstream>) -> TcpStream {
    let mut stream = stage.connect().await;
    stream.write_all(NO_TOKEN.as_bytes()).await.unwrap();
    until_seen(&mut stream, "HTTP/1.1 401").await;
    stream
}

#[tokio::test]
async fn w5_idle_unauthenticated_connections_do_not_block_others_with_few_descriptors() {
    let stage = stage((64, 400), "").await;
    let mut known = stage.connect().await;
    known.write_all(&stage.kept(QUERY)).await.unwrap();
    until_seen(&mut known, "}}").await;
    let mut strangers = Vec::new();
    for index in 0..600 {
        strangers.push(refused_and_idle(&stage).await);
        if index % 50 == 49 {
            assert_service_goes_on(&stage).await;
        }
    }
    // The one that showed a token is older than all of them, and still there.
    known.write_all(&stage.kept(QUERY)).await.unwrap();
    until_seen(&mut known, "}}").await;
    let limit = stage.metric("partywall_connections_limit ").await;
    assert!(limit > 64.0 && limit < 400.0, "{limit}");
    let configured = "partywall_connections_limit_configured ";
    assert!(stage.metric(configured).await > 9999.0);
    assert!(stage.metric("partywall_connections ").await <= limit);
    let evicted = r#"partywall_connections_evicted_total{reason="limit"}"#;
    assert!(stage.metric(evicted).await > 400.0);
    assert!(stage.metric("partywall_connections_unauthenticated ").await > 50.0);
    assert!(stage.metric("process_open_fds ").await < 400.0);
    let log = stage.proxy.process.log();
    for said in ["are lowered to what", "limits.connections is reached"] {
        assert_eq!(log.matches(said).count(), 1, "{said} in\n{log}");
    }
}

#[tokio::test]
async fn w5_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let stage = stage((64, 6000), "limits: {connections: 1000}").await;
    assert!((stage.metric("process_max_fds ").await - 6000.0).abs() < 0.5);
    assert!((stage.metric("partywall_connections_limit ").await - 1000.0).abs() < 0.5);
    assert!(!stage.proxy.process.log().contains("lowered"));
}

/// Each of these holds a connection without ever showing a token.
#[tokio::test]
async fn w5_no_way_to_hold_a_connection_without_a_token_keeps_others_out() {
    let stage = stage((1000, 1000), "limits: {connections: 20}").await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".as_slice();
    let answered = "HTTP/1.1 200";
    for bytes in [
        b"".as_slice(),
        b"G",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ",
        NO_TOKEN.as_bytes(),
        b"GET /api/v1/query HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nquery=",
        preface,
    ] {
        let mut held = Vec::new();
        for _ in 0..60 {
            let mut stream = stage.connect().await;
            stream.write_all(bytes).await.unwrap();
            held.push(stream);
        }
        let mut newcomer = stage.connect().await;
        newcomer.write_all(&stage.kept(QUERY)).await.unwrap();
        let answer = until_seen(&mut newcomer, "}}").await;
        assert!(answer.starts_with(answered), "{}", bytes.escape_ascii());
        for _ in 0..60 {
            let mut stream = stage.connect().await;
            stream.write_all(bytes).await.unwrap();
            held.push(stream);
        }
        newcomer.write_all(&stage.kept(QUERY)).await.unwrap();
        let answer = until_seen(&mut newcomer, "}}").await;
        assert!(answer.starts_with(answered), "{}", bytes.escape_ascii());
    }
    assert!(stage.metric("partywall_connections_refused_total ").await < 0.5);
    assert!(stage.metric("partywall_panics_total ").await < 0.5);
}

/// Answers that a client leaves no window for are never at their end.
#[tokio::test]
async fn w5_unauthenticated_clients_with_unread_refusals_are_closed_too() {
    let stage = stage((1000, 1000), "limits: {connections: 10}").await;
    let mut held = Vec::new();
    for _ in 0..30 {
        let stream = TokioIo::new(stage.connect().await);
        let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(0)
            .handshake::<_, Empty<bytes::Bytes>>(stream)
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let request = hyper::Request::get("http://x/api/v1/query?query=up");
        let answer = sender
            .send_request(request.body(Empty::new()).unwrap())
            .await;
        assert_eq!(answer.as_ref().unwrap().status(), 401);
        held.push((sender, answer, connection));
    }
    assert_eq!(stage.get(QUERY).await.status, 200);
    let open = held
        .iter()
        .filter(|(_, _, task)| !task.is_finished())
        .count();
    assert!(open <= 10, "{open}");
}

#[tokio::test]
async fn w5_handshakes_in_progress_make_room_too() {
    let authority = Authority::new("ca");
    let rig = Rig::start(|config, dir| {
        let identity = authority.identity();
        std::fs::write(dir.join("tls.crt"), &identity.cert_pem).unwrap();
        std::fs::write(dir.join("tls.key"), &identity.key_pem).unwrap();
        config.listener = "tls: {cert_file: tls.crt, key_file: tls.key}".to_owned();
        config.rest = "limits: {connections: 10}\n".to_owned();
    })
    .await;
    let address = format!("127.0.0.1:{}", rig.config.port);
    let mut held = Vec::new();
    for bytes in [b"".as_slice(), b"\x16\x03\x01\x02\x00\x01\x00"] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            held.push(stream);
        }
        let client = TlsClient::new(&authority, None, HTTP1);
        let mut stream = client.connect(&address).await.unwrap();
        let ask = format!(
            "GET {QUERY} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\n\r\n",
            *ACME
        );
        stream.write_all(ask.as_bytes()).await.unwrap();
        let (answer, _) = until_closed(&mut stream).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    }
    let evicted = rig.metric(r#"partywall_tls_handshakes_total{result="evicted"}"#);
    assert!(evicted.await > 20.0);
}

#[tokio::test]
async fn w5_one_address_holds_few_connections_without_a_token() {
    let rest = "limits: {unauthenticated_connections_per_address: 5}";
    let stage = stage((1000, 1000), rest).await;
    let mut known = Vec::new();
    for _ in 0..10 {
        let mut stream = stage.connect().await;
        stream.write_all(&stage.kept(QUERY)).await.unwrap();
        until_seen(&mut stream, "}}").await;
        known.push(stream);
    }
    let mut strangers = Vec::new();
    for _ in 0..20 {
        strangers.push(refused_and_idle(&stage).await);
    }
    for mut closed in strangers.drain(..15) {
        until_closed(&mut closed).await;
    }
    for open in strangers.iter_mut().chain(&mut known) {
        open.write_all(&stage.kept(QUERY)).await.unwrap();
        until_seen(open, "}}").await;
    }
    let evicted = r#"partywall_connections_evicted_total{reason="address"}"#;
    assert!((stage.metric(evicted).await - 15.0).abs() < 0.5);
}

/// A token that was valid once does not block others for ever: without unauthenticated connections, the
/// idle connections of others make room.
#[tokio::test]
async fn w5_idle_authenticated_connections_are_closed_for_new_requests() {
    let stage = stage((1000, 1000), "limits: {connections: 10}").await;
    let mut idle = Vec::new();
    for _ in 0..30 {
        let mut stream = stage.connect().await;
        stream.write_all(&stage.kept(QUERY)).await.unwrap();
        until_seen(&mut stream, "}}").await;
        idle.push(stream);
    }
    assert_eq!(stage.get(QUERY).await.status, 200);
    // The last of them is left alone.
    let last = idle.last_mut().unwrap();
    last.write_all(&stage.kept(QUERY)).await.unwrap();
    until_seen(last, "}}").await;
}

fn limit_open_files(id: u32, count: usize) {
    let status = Command::new("prlimit")
        .arg(format!("--pid={id}"))
        .arg(format!("--nofile={count}:"))
        .status()
        .unwrap();
    assert!(status.success());
}

/// Where descriptors run out all the same, as by a limit that is lowered from outside.
#[tokio::test]
async fn w5_without_a_descriptor_left_the_admin_address_answers_and_says_so() {
    let stage = stage((2000, 2000), "").await;
    assert_service_goes_on(&stage).await;
    let id = stage.proxy.process.id();
    let open = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count();
    limit_open_files(id, open + 10);
    let mut waiting = Vec::new();
    for _ in 0..40 {
        let mut stream = stage.connect().await;
        stream.write_all(NO_TOKEN.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let errors = format!(
        r#"partywall_accept_errors_total{{listener="{}",reason="process_descriptors"}}"#,
        stage.proxy.authority()
    );
    eventually("it is counted", async || {
        let metrics = admin(&stage, "/metrics").await.text();
        let line = metrics.lines().find_map(|line| line.strip_prefix(&errors));
        line.is_some_and(|count| count.trim() != "0")
    })
    .await;
    for _ in 0..20 {
        assert_eq!(admin(&stage, "/-/ready").await.status, 200);
    }
    let log = stage.proxy.process.log();
    let said = "this process is out of file descriptors";
    let lines = log.lines().filter(|line| line.contains(said));
    let lines = lines.filter(|line| line.contains(stage.proxy.authority()));
    assert_eq!(lines.count(), 1, "{log}");
    limit_open_files(id, 2000);
    for mut stream in waiting {
        until_seen(&mut stream, "HTTP/1.1 401").await;
    }
    assert_service_goes_on(&stage).await;
}

#[tokio::test]
async fn w5_idle_connections_to_the_admin_address_do_not_keep_probes_out() {
    let stage = stage((1000, 1000), "").await;
    let authority = stage.proxy.admin.trim_start_matches("http://").to_owned();
    let mut held = Vec::new();
    for index in 0..200 {
        let mut stream = TcpStream::connect(&authority).await.unwrap();
        let bytes: &[u8] = [b"", b"GET /-/re".as_slice()][index % 2];
        stream.write_all(bytes).await.unwrap();
        held.push(stream);
        if index % 50 == 49 {
            assert_eq!(admin(&stage, "/-/ready").await.status, 200);
        }
    }
}

#[tokio::test]
async fn w5_process_with_too_few_open_files_says_how_many_it_needs() {
    let dir = tempfile::TempDir::new().unwrap();
    let config = dir.path().join("partywall.yaml");
    std::fs::copy("config/minimal.yaml", &config).unwrap();
    let output = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 100; exec timeout 20 \"$0\" serve --config \"$1\"",
        ])
        .arg(BINARY)
        .arg(&config)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("the hard limit of open files is 100, and Partywall needs"),
        "{said}"
    );
}

/// A goodbye of HTTP/2 waits for an answer. A peer that gives none is let go for a newcomer.
#[tokio::test]
async fn w5_unauthenticated_clients_ignoring_goaway_are_closed_too() {
    let rest = "limits: {connections: 10}\ntimeouts: {unauthenticated_idle: 100ms, header: 1m}\n";
    let stage = stage((1000, 1000), rest).await;
    let ask = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", QUERY),
    ];
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut frames = Frames::connect(stage.proxy.authority()).await;
        frames.send(&get(1, &ask)).await;
        assert_eq!(frames.end_of(1).await, End::Answered { is_200: false });
        held.push(frames);
    }
    for frames in &mut held {
        while frames.next().await.expect("a goodbye").kind != GOAWAY {}
    }
    for _ in 0..5 {
        assert_eq!(stage.get(QUERY).await.status, 200);
    }
}
