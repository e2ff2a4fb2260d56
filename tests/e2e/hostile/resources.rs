//! Q10, X3 and R1 as floods: more, larger or slower than anyone needs. Memory is bounded, others
//! are served meanwhile.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use prost::encoding::WireType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::kit::evidence;
use crate::kit::otlp;
use crate::kit::partywall::Setup;
use crate::kit::raw::exchange;
use crate::kit::stage::{
    ELSEWHERE, FILTERED, FORM, PATIENCE, QUERY, Stage, VECTOR, eventually, until_seen,
};
use crate::kit::tempo_data::ATTRIBUTE;
use crate::kit::upstream::Reply;
use crate::kit::wire::{Step, Wire};
use crate::kit::witness::{MIB, Neighbour, assert_memory_below, peak_memory};

const IN_FLIGHT: &str = "partywall_http_requests_in_flight";

/// Of the tenant `acme`, as many as make this many bytes.
fn rule_groups(bytes: usize) -> String {
    let group = r#"{"name":"g","file":"f","interval":60,"rules":[{"type":"recording","name":"a:b","query":"up{tenant_id=\"acme\"}","labels":{"tenant_id":"acme"},"health":"ok"}]}"#;
    let groups = vec![group; bytes / group.len()].join(",");
    format!(r#"{{"status":"success","data":{{"groups":[{groups}]}}}}"#)
}

#[tokio::test]
async fn x3_slow_readers_of_whole_answers_are_let_go() {
    let stage = Stage::recorded("timeouts: {body_idle: 1s}\n").await;
    // More than the kernel keeps for a connection.
    let answer = rule_groups(8 * MIB);
    stage.upstream.reply(Reply::json(&answer));
    let mut slow = Vec::new();
    for _ in 0..4 {
        // Room for next to nothing, so that an answer stays with the proxy.
        let mut stream = stage.connect_with_buffer(4096).await;
        stream.write_all(&stage.kept(FILTERED)).await.unwrap();
        slow.push(stream);
    }
    let answered = r#"partywall_upstream_requests_total{upstream="metrics",result="answered"}"#;
    eventually("all are answered", async || {
        stage.metric(answered).await > 3.5
    })
    .await;
    stage.upstream.reply(Reply::json(VECTOR));
    let neighbour = Neighbour::of(&stage.proxy, QUERY);
    eventually("they are let go", async || {
        stage.metric("partywall_connections ").await < 1.5
    })
    .await;
    drop(slow);
    neighbour.was_served().await;
    assert_memory_below("4 slow readers of 8 MiB each", &stage.proxy, 512 * MIB);
}

#[tokio::test]
async fn x3_heads_without_end_are_bounded() {
    let stage = Stage::recorded("timeouts: {first_request: 3s}\n").await;
    let neighbour = Neighbour::of(&stage.proxy, QUERY);
    let mut floods = JoinSet::new();
    for index in 0..100 {
        let authority = stage.proxy.authority().to_owned();
        // Many lines, one line, and no line end at all.
        let piece = [&b"X: y\r\n"[..], b"x", b"GET /x"][index % 3].repeat(1000);
        floods.spawn(async move {
            let mut stream = TcpStream::connect(authority).await.unwrap();
            let _ = stream
                .write_all(b"GET /api/v1/query HTTP/1.1\r\nX-A: ")
                .await;
            let mut sent = 0;
            while sent < 10 * MIB && stream.write_all(&piece).await.is_ok() {
                sent += piece.len();
            }
            sent
        });
    }
    while let Some(sent) = floods.join_next().await {
        assert!(sent.unwrap() < 10 * MIB, "a head of 10 MiB was taken");
    }
    neighbour.was_served().await;
    assert_memory_below("100 heads without end", &stage.proxy, 128 * MIB);
    assert!(
        stage
            .upstream
            .take()
            .iter()
            .all(|seen| seen.param("query") == [r#"up{tenant_id="beta"}"#])
    );
}

#[tokio::test]
async fn x3_bodies_without_end_are_bounded() {
    let stage = Stage::recorded("").await;
    let neighbour = Neighbour::of(&stage.proxy, QUERY);
    let mut floods = JoinSet::new();
    for chunked in [true, false].repeat(15) {
        let framing = if chunked {
            ("Transfer-Encoding", "chunked")
        } else {
            ("Content-Length", "9999999999999")
        };
        let head = stage.request("POST", "/api/v1/query", &[FORM, framing], b"");
        let authority = stage.proxy.authority().to_owned();
        floods.spawn(async move {
            let mut stream = TcpStream::connect(authority).await.unwrap();
            let _ = stream.write_all(&head).await;
            let data = "x".repeat(64 * 1024);
            let piece = if chunked {
                format!("10000\r\n{data}\r\n")
            } else {
                data
            };
            let mut sent = 0;
            while sent < 50 * MIB && stream.write_all(piece.as_bytes()).await.is_ok() {
                sent += piece.len();
            }
            sent
        });
    }
    while let Some(sent) = floods.join_next().await {
        assert!(sent.unwrap() < 50 * MIB, "a form of 50 MiB was taken");
    }
    neighbour.was_served().await;
    assert_memory_below("30 forms without end", &stage.proxy, 256 * MIB);
}

/// What claims to be small and becomes large. We never unpack an answer, and a request only as far
/// as it may be long.
#[tokio::test]
async fn q8_r1_bombs_are_not_unpacked() {
    let stage = Stage::recorded("").await;
    let before = peak_memory(&stage.proxy);
    // A block whose head claims 4 GiB - 1, and one that keeps a claim of 1 GiB by copies.
    let mut kept = vec![0x80, 0x80, 0x80, 0x80, 0x04, 0x00, b'x'];
    kept.extend([0xfe, 0x01, 0x00].repeat(600_000));
    for bomb in [vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, b'x'], kept] {
        let headers = [
            ("Content-Type", "application/x-protobuf"),
            ("Content-Encoding", "snappy"),
        ];
        let answer = stage.send("POST", "/api/v1/read", &headers, &bomb).await;
        assert!([400, 413].contains(&answer.status), "{answer:?}");
        assert!(stage.upstream.take().is_empty());
    }
    let gzip = vec![0x1f; 8 * MIB];
    for encoding in ["gzip", "deflate", "br", "zstd", "x-gzip", "identity, gzip"] {
        stage.upstream.reply(Reply {
            status: 200,
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("content-encoding", encoding.to_owned()),
            ],
            body: gzip.clone().into(),
        });
        for target in [QUERY, FILTERED, "/api/v1/labels", "/api/v1/metadata"] {
            let answer = stage.get(target).await;
            assert_eq!(answer.status, 502, "R1 {encoding} {target}");
            assert!(answer.body.len() < 1000, "R1 {encoding} {target}");
        }
        let answer = stage.get(ELSEWHERE).await;
        assert_eq!((answer.status, answer.body.len()), (200, gzip.len()));
    }
    let grown = peak_memory(&stage.proxy) - before;
    assert!(grown < 64 * MIB, "{} MiB more", grown / MIB);
}

/// How many files this process, and so one it starts, may have open.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    // `unlimited` is no number.
    soft.unwrap_or(usize::MAX)
}

#[tokio::test]
async fn x3_ten_thousand_idle_connections_are_carried() {
    // Some for the neighbour, the admin endpoint, the upstream, and the tests beside this one.
    let count = 10_000.min(open_files().saturating_sub(500));
    if count < 10_000 {
        let what = format!("{} of 10000 idle connections", 10_000 - count);
        evidence::missing(&what, "raise `ulimit -n`");
    }
    let stage = Stage::recorded(&format!(
        "timeouts: {{first_request: 5m}}\n\
         limits: {{connections: {}, requests: 100, unauthenticated_connections_per_address: 0}}\n",
        count + 100
    ))
    .await;
    let neighbour = Neighbour::of(&stage.proxy, QUERY);
    let request = stage.kept("/api/v1/query?query=idle");
    let mut idle = Vec::with_capacity(count);
    for index in 0..count {
        let mut stream = stage.connect().await;
        // No lingering ports when all are closed.
        stream.set_zero_linger().unwrap();
        if index % 4 == 0 {
            stream.write_all(&request).await.unwrap();
            until_seen(&mut stream, "}}").await;
        }
        idle.push(stream);
    }
    eventually("all are accepted", async || {
        stage.metric("partywall_connections ").await
            > f64::from(u32::try_from(count).unwrap()) - 0.5
    })
    .await;
    neighbour.was_served().await;
    assert_memory_below(
        &format!("{count} idle connections"),
        &stage.proxy,
        512 * MIB,
    );
    // The last that spoke is served still.
    let last = idle.iter_mut().step_by(4).next_back().unwrap();
    last.write_all(&request).await.unwrap();
    until_seen(last, "}}").await;
}

/// One `ResourceSpans`, in Tempo's JSON or as a field of a protobuf trace.
fn batch(tenant: &str, is_json: bool, bytes: usize) -> Vec<u8> {
    let filler = "x".repeat(bytes);
    if is_json {
        return format!(
            r#"{{"resource":{{"attributes":[{{"key":"{ATTRIBUTE}","value":{{"stringValue":"{tenant}"}}}}]}},"scopeSpans":[{{"spans":[{{"name":"{filler}"}}]}}]}}"#
        )
        .into_bytes();
    }
    let attribute = otlp::attribute(ATTRIBUTE, otlp::text(tenant));
    otlp::trace(attribute, &filler).encode_to_vec()
}

/// In front of a Tempo that follows a script, as the tenant `acme`.
async fn tempo(script: &[Step]) -> Stage<Wire> {
    let upstream = Wire::start(script).await;
    let setup = Setup::tempo(&upstream.url);
    Stage::of(upstream, setup).await
}

const TRACE: &str = "/api/traces/0abc0000000000000000000000000001";
const TRACE_V2: &str = "/api/v2/traces/0abc0000000000000000000000000001";

/// Reads a whole answer without keeping it: how many bytes, and how it begins.
async fn drain(stage: &Stage<Wire>, target: &str, accept: &str) -> (usize, String) {
    let mut stream = stage.connect().await;
    let request = stage.request("GET", target, &[("Accept", accept)], b"");
    stream.write_all(&request).await.unwrap();
    let (mut piece, mut total, mut first) = (vec![0; MIB], 0, String::new());
    loop {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut piece));
        let length = read.await.expect("it goes on").expect("readable");
        if length == 0 {
            return (total, first);
        }
        if total == 0 {
            first = String::from_utf8_lossy(&piece[..length.min(300)]).into_owned();
        }
        total += length;
    }
}

#[tokio::test]
async fn many_huge_traces_at_once() {
    let (size, clients) = (100 * MIB, 4);
    let [own, other] = ["acme", "beta"].map(|tenant| batch(tenant, true, 64 * 1024));
    let both = [&own[..], b",", &other, b","].concat();
    let times = size / both.len();
    let length = "{\"batches\":[".len() + both.len() * times + own.len() + "]}".len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{{\"batches\":["
    );
    let stage = tempo(&[
        Step::send(&head),
        Step::Repeat(both.into(), times),
        Step::Send([&own[..], b"]}"].concat()),
    ])
    .await;
    let neighbour = Neighbour::of(&stage.proxy, "/ready");
    let asked = (0..clients).map(|_| drain(&stage, TRACE, "application/json"));
    for (total, first) in futures_util::future::join_all(asked).await {
        assert!(first.starts_with("HTTP/1.1 200"), "{first}");
        assert!(
            total > size / 2 && total < size * 6 / 10,
            "{total} of {size}"
        );
    }
    stage
        .upstream
        .script(&[Step::send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]);
    neighbour.was_served().await;
    assert_memory_below("4 traces of 100 MiB of JSON", &stage.proxy, 128 * MIB);
}

/// Of a trace in the first version nothing is held; in the second all that is the caller's, whose
/// length stands before it.
#[tokio::test]
async fn huge_protobuf_traces_hold_at_most_what_is_the_callers() {
    let (clients, limit) = (4, 64 * MIB);
    let [own, other] = ["acme", "beta"].map(|tenant| batch(tenant, false, 64 * 1024));
    let both = [own, other].concat();
    for (target, own_bytes, status, memory) in [
        (TRACE, 100 * MIB, 200, 128 * MIB),
        (TRACE_V2, limit - MIB, 200, clients * limit * 5 / 2),
        (TRACE_V2, limit + MIB, 502, clients * limit * 5 / 2),
    ] {
        let times = 2 * own_bytes / both.len();
        let size = both.len() * times;
        let mut field = Vec::new();
        if target == TRACE_V2 {
            prost::encoding::encode_key(1, WireType::LengthDelimited, &mut field);
            prost::encoding::encode_varint(size as u64, &mut field);
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/protobuf\r\nContent-Length: {}\r\n\r\n",
            field.len() + size
        );
        let stage = tempo(&[
            Step::send(&head),
            Step::Send(field),
            Step::Repeat(both.clone().into(), times),
        ])
        .await;
        let asked = (0..clients).map(|_| drain(&stage, target, "application/protobuf"));
        for (total, first) in futures_util::future::join_all(asked).await {
            assert!(
                first.starts_with(&format!("HTTP/1.1 {status}")),
                "{target}: {first}"
            );
            let expected = if status == 200 {
                own_bytes - MIB..own_bytes + MIB
            } else {
                0..1000
            };
            assert!(expected.contains(&total), "{target}: {total} of {size}");
        }
        assert_memory_below("4 large traces of protobuf", &stage.proxy, memory);
    }
}

/// JSON that is deep, wide or has numbers beyond all bounds.
fn odd_values() -> Vec<(&'static str, String)> {
    let deep =
        |open: &str, close: &str| format!("{}1{}", open.repeat(200_000), close.repeat(200_000));
    vec![
        ("lists", deep("[", "]")),
        ("objects", deep("{\"a\":", "}")),
        ("lists without end", "[".repeat(1_000_000)),
        ("objects without end", "{\"a\":".repeat(300_000)),
        ("a huge exponent", "1e999999999".to_owned()),
        ("a tiny one", "-1e-999999999".to_owned()),
        ("many digits", "9".repeat(1_000_000)),
        ("many places", format!("0.{}", "1".repeat(1_000_000))),
        (
            "a key of a megabyte",
            format!("{{\"{}\":1}}", "k".repeat(MIB)),
        ),
        (
            "many keys",
            format!("{{{}\"z\":1}}", "\"k\":1,".repeat(100_000)),
        ),
        ("a lone surrogate", r#""\ud800""#.to_owned()),
        ("NaN", "NaN".to_owned()),
    ]
}

#[rustfmt::skip]
const PROMETHEUS_ANSWERS: &[(&str, &str)] = &[
    (
        QUERY,
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":$}]}}"#,
    ),
    (
        QUERY,
        r#"{"status":"success","warnings":$,"data":{"resultType":"vector","result":[]}}"#,
    ),
    (QUERY, r#"{"x":$,"status":"success","data":{}}"#),
    (FILTERED, r#"{"status":"success","data":{"groups":$}}"#),
    (
        FILTERED,
        r#"{"status":"success","data":{"groups":[{"name":"g","file":"f","rules":[{"type":"recording","name":"x","query":"1","labels":{"tenant_id":"acme"},"evaluationTime":$}]}]}}"#,
    ),
    (
        "/api/v1/alerts",
        r#"{"status":"success","data":{"groups":[{"rules":[{"type":"alerting","query":"up","labels":{},"alerts":[{"labels":{"tenant_id":"acme"},"value":$}]}]}]}}"#,
    ),
    (
        "/api/v1/targets",
        r#"{"status":"success","data":{"activeTargets":[{"labels":{"tenant_id":"acme"},"x":$}]}}"#,
    ),
    (
        "/api/v1/metadata",
        r#"{"status":"success","data":{"up":[$]}}"#,
    ),
];

#[rustfmt::skip]
const TEMPO_ANSWERS: &[(&str, &str)] = &[
    (TRACE, r#"{"batches":$}"#),
    (
        TRACE,
        r#"{"batches":[{"resource":{"attributes":[{"key":"tenant_id","value":{"stringValue":"acme"}}]},"scopeSpans":$}]}"#,
    ),
    (
        TRACE_V2,
        r#"{"trace":{"resourceSpans":[{"resource":{"attributes":$}}]}}"#,
    ),
    (
        "/api/search?q=%7B%7D",
        r#"{"traces":[{"traceID":"1","x":$}]}"#,
    ),
    ("/api/v2/search/tags", r#"{"scopes":$}"#),
    (
        "/api/metrics/query_range?q=%7B%7D%7Crate()&start=1&end=2",
        r#"{"series":[{"labels":[],"samples":$}]}"#,
    ),
];

/// Where answers are read, odd JSON is.
#[tokio::test]
async fn r1_odd_json_of_the_upstream_is_passed_or_refused() {
    let json = |body: &str| {
        Step::send(&format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let metrics = Stage::scripted(&[], "").await;
    let traces = tempo(&[]).await;
    let (mut passed, mut refused) = (0, 0);
    for (what, value) in &odd_values() {
        let of_metrics = PROMETHEUS_ANSWERS.iter().map(|row| (&metrics, row));
        let of_traces = TEMPO_ANSWERS.iter().map(|row| (&traces, row));
        for (stage, (target, shape)) in of_metrics.chain(of_traces) {
            stage.upstream.script(&[json(&shape.replace('$', value))]);
            let answer = stage.get(target).await;
            assert!(
                [200, 404, 502].contains(&answer.status),
                "{what} {target}: {}",
                answer.head
            );
            if answer.status == 200 {
                passed += 1;
            } else {
                refused += 1;
            }
        }
    }
    println!("odd JSON: {passed} passed, {refused} refused");
    assert!(
        passed > 10 && refused > 50,
        "{passed} passed, {refused} refused"
    );
    for stage in [&metrics, &traces] {
        assert!(stage.metric("partywall_panics").await < 0.5, "a panic");
        assert_memory_below("odd JSON", &stage.proxy, 200 * MIB);
    }
}

/// The window of one stream is shut, the others go on.
#[tokio::test]
async fn x3_streams_without_window_do_not_block_others() {
    let stage = Stage::recorded("timeouts: {body_idle: 1s}\n").await;
    stage.upstream.reply(Reply::json(&rule_groups(MIB)));
    let neighbour = Neighbour::of(&stage.proxy, ELSEWHERE);
    let stream = TokioIo::new(stage.connect().await);
    let (mut h2, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(1000)
        .handshake(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut unread = Vec::new();
    for _ in 0..50 {
        let answer = h2.send_request(stage.h2_request(FILTERED)).await.unwrap();
        unread.push(answer);
    }
    neighbour.was_served().await;
    eventually("they are let go", async || {
        stage.metric(IN_FLIGHT).await < 0.5
    })
    .await;
    for answer in unread {
        assert!(
            answer.into_body().collect().await.is_err(),
            "each was reset"
        );
    }
    assert_memory_below("50 unread streams", &stage.proxy, 400 * MIB);
    let good = stage.request("GET", QUERY, &[], b"");
    assert_eq!(exchange(stage.proxy.authority(), &good).await.status, 200);
}

/// A long answer goes through as a stream: what is held does not grow with it.
#[tokio::test]
async fn a_gigabyte_of_samples_needs_little_memory() {
    let series = r#"{"metric":{"__name__":"up","tenant_id":"acme"},"values":[[1700000000,"1"],[1700000015,"1"]]},"#;
    let piece: Arc<[u8]> = series.repeat(1000).into_bytes().into();
    let times = (1 << 30) / piece.len();
    let stage = Stage::scripted(
        &[
            Step::send(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n\
                 {\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[",
            ),
            Step::Repeat(piece, times),
            Step::send("{}]}}"),
            Step::Close,
        ],
        "",
    )
    .await;
    let before = peak_memory(&stage.proxy);
    let (total, first) = drain(
        &stage,
        "/api/v1/query_range?query=up&start=1&end=2&step=1",
        "*/*",
    )
    .await;
    assert!(first.starts_with("HTTP/1.1 200"), "{first}");
    assert!(total > 1_000_000_000, "{total}");
    let grown = peak_memory(&stage.proxy) - before;
    println!("a gigabyte: {} KiB more", grown / 1024);
    assert!(grown < 16 * MIB, "{} MiB more", grown / MIB);
}
