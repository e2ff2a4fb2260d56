//! Answers that are compressed: for clients that take it, and by upstreams that were not asked to.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::kit::client::{Answer, Ask, Client, Sent};
use crate::kit::partywall::Setup;
use crate::kit::stage::Stage;
use crate::kit::upstream::{Reply, Upstream};

const ON: &str = "compression: {loopback: true}\n";

fn gzip(text: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap().into()
}

fn zstd(text: &[u8]) -> Bytes {
    zstd::encode_all(text, 1).unwrap().into()
}

/// What a client makes of an answer.
fn plain(answer: &Answer) -> Vec<u8> {
    match answer.header("content-encoding") {
        "" => answer.body.to_vec(),
        "gzip" => {
            let mut all = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&*answer.body);
            decoder.read_to_end(&mut all).unwrap();
            all
        }
        "zstd" => zstd::decode_all(&*answer.body).unwrap(),
        other => panic!("{other}"),
    }
}

/// An answer with this many series.
fn vector(series: usize) -> String {
    let one = |n| {
        format!(r#"{{"metric":{{"instance":"host-{n}","tenant_id":"acme"}},"value":[1,"{n}"]}}"#)
    };
    let all: Vec<String> = (0..series).map(one).collect();
    format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#,
        all.join(",")
    )
}

async fn ask(stage: &Stage<Upstream>, path: &str, accept: &str) -> Answer {
    let ask = match path.split_once('?') {
        Some((path, query)) => {
            let (name, value) = query.split_once('=').unwrap();
            Ask::get(path, &[(name, value)])
        }
        None => Ask::get(path, &[]),
    };
    let ask = match accept {
        "" => ask,
        accept => ask.with_header("accept-encoding", accept),
    };
    let token = stage.bearer.trim_start_matches("Bearer ");
    Client::default()
        .ask(&stage.proxy.url, &ask, Some(token))
        .await
}

fn reply(status: u16, body: Bytes, coding: &str) -> Reply {
    let mut reply = Reply::json("");
    reply.status = status;
    reply.body = body;
    if !coding.is_empty() {
        reply.headers.push(("content-encoding", coding.to_owned()));
    }
    reply
}

#[tokio::test]
async fn client_gets_the_coding_that_it_likes_best() {
    let stage = Stage::recorded(ON).await;
    let text = vector(2000);
    stage.upstream.reply(Reply::json(&text));
    for (accept, coding) in [
        ("", ""),
        ("identity", ""),
        ("gzip", "gzip"),
        ("gzip;q=0", ""),
        ("gzip, zstd", "zstd"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("br", ""),
    ] {
        let answer = ask(&stage, "/api/v1/query?query=up", accept).await;
        assert_eq!(answer.header("content-encoding"), coding, "{accept:?}");
        assert!(plain(&answer) == text.as_bytes(), "{accept:?}");
        assert_eq!(answer.header("vary"), "accept-encoding", "{accept:?}");
        assert_eq!(answer.header("cache-control"), "no-store", "{accept:?}");
        if coding.is_empty() {
            continue;
        }
        assert!(
            answer.body.len() * 5 < text.len(),
            "{} bytes",
            answer.body.len()
        );
        assert_eq!(answer.header("content-length"), "");
    }
    // What is compressed twice is of no use to anyone.
    for seen in stage.upstream.take() {
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
    }
    stage.upstream.reply(Reply::json(&vector(1)));
    let tiny = ask(&stage, "/api/v1/query?query=up", "gzip").await;
    assert_eq!(tiny.header("content-encoding"), "");
    let refused = ask(&stage, "/api/v1/query?query=up", "identity;q=0, gzip").await;
    assert_eq!(refused.header("content-encoding"), "gzip");
}

#[tokio::test]
async fn loopback_clients_get_no_coding_by_default() {
    let stage = Stage::recorded("").await;
    stage.upstream.reply(Reply::json(&vector(2000)));
    let answer = ask(&stage, "/api/v1/query?query=up", "gzip").await;
    assert_eq!(answer.header("content-encoding"), "");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn what_passes_through_keeps_its_bytes_and_its_headers() {
    let stage = Stage::recorded(ON).await;
    let text = vector(2000);
    let mut from_store = Reply::json(&text);
    from_store
        .headers
        .push(("cache-control", "max-age=60".to_owned()));
    stage.upstream.reply(from_store.clone());
    let answer = ask(&stage, "/static/app.json", "gzip").await;
    assert_eq!(answer.header("content-encoding"), "");
    assert_eq!(answer.header("cache-control"), "max-age=60");
    assert_eq!(answer.header("vary"), "");
    assert_eq!(answer.body, text);
    from_store.body = gzip(text.as_bytes());
    from_store
        .headers
        .push(("content-encoding", "gzip".to_owned()));
    stage.upstream.reply(from_store);
    let answer = ask(&stage, "/static/app.json", "gzip").await;
    assert_eq!(plain(&answer), text.as_bytes());
    let asked = stage.upstream.take();
    assert!(
        asked
            .iter()
            .all(|seen| seen.header("accept-encoding") == Some("gzip"))
    );
}

#[tokio::test]
async fn cached_answer_is_compressed_for_each_client_anew() {
    let stage = Stage::recorded("compression: {loopback: true}\ncache: {}\n").await;
    let text = vector(2000);
    stage.upstream.reply(Reply::json(&text));
    for accept in ["gzip", "", "zstd", "gzip"] {
        let answer = ask(&stage, "/api/v1/labels", accept).await;
        assert_eq!(answer.header("content-encoding"), accept);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(plain(&answer) == text.as_bytes(), "{accept:?}");
    }
    assert_eq!(
        stage.upstream.take().len(),
        1,
        "the others were answered from the cache"
    );
}

/// Today's answers of each kind, and an error.
fn answers() -> [(&'static str, u16, String); 6] {
    let rules = r#"{"status":"success","data":{"groups":[]}}"#.to_owned();
    let alerts = r#"{"status":"success","data":{"groups":[]}}"#.to_owned();
    let targets =
        r#"{"status":"success","data":{"activeTargets":[],"droppedTargets":[]}}"#.to_owned();
    let error = r#"{"status":"error","errorType":"bad_data","error":"no"}"#.to_owned();
    [
        ("/api/v1/query?query=up", 200, vector(3000)),
        ("/api/v1/labels", 200, vector(1)),
        ("/api/v1/rules", 200, rules),
        ("/api/v1/alerts", 200, alerts),
        ("/api/v1/targets", 200, targets),
        ("/api/v1/query?query=down", 422, error),
    ]
}

#[tokio::test]
async fn coding_that_nobody_asked_for_is_undone() {
    let stage = Stage::recorded("").await;
    for (path, status, text) in answers() {
        stage.upstream.reply(reply(status, text.clone().into(), ""));
        let expected = ask(&stage, path, "").await;
        assert_eq!(expected.status, status, "{path}: {}", expected.text());
        for (coding, body) in [
            ("gzip", gzip(text.as_bytes())),
            ("GZIP", gzip(text.as_bytes())),
            ("x-gzip", gzip(text.as_bytes())),
            ("zstd", zstd(text.as_bytes())),
        ] {
            stage.upstream.reply(reply(status, body, coding));
            let answer = ask(&stage, path, "").await;
            assert_eq!(answer.status, status, "{path} {coding}: {}", answer.text());
            assert_eq!(answer.header("content-encoding"), "");
            assert_eq!(answer.body, expected.body, "{path} {coding}");
        }
    }
}

/// Metadata has two side requests: for the names of the caller's metrics, and for the metadata of
/// its targets.
async fn metadata_upstream() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = |request: Request<Incoming>| async move {
        let (text, is_zstd) = match request.uri().path() {
            "/api/v1/label/__name__/values" => (r#"{"status":"success","data":["up"]}"#, true),
            "/api/v1/targets/metadata" => (
                r#"{"status":"success","data":[{"target":{"tenant_id":"acme"},"metric":"own","type":"gauge","help":"h","unit":""}]}"#,
                true,
            ),
            _ => (
                r#"{"status":"success","data":{"up":[{"type":"gauge","help":"u","unit":""}],"down":[]}}"#,
                false,
            ),
        };
        let answer = Response::builder()
            .header("content-type", "application/json")
            .header("content-encoding", if is_zstd { "zstd" } else { "gzip" });
        let body = if is_zstd {
            zstd(text.as_bytes())
        } else {
            gzip(text.as_bytes())
        };
        answer.body(Full::new(body))
    };
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let builder = hyper::server::conn::http1::Builder::new();
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    (url, server)
}

#[tokio::test]
async fn metadata_and_its_side_requests_are_read_whatever_their_codings_are() {
    let (url, server) = metadata_upstream().await;
    let stage = Stage::of((), Setup::new(&url)).await;
    let answer = stage.get("/api/v1/metadata").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let data = &answer.json().unwrap()["data"];
    assert_eq!(data["up"][0]["type"], "gauge", "{data}");
    assert_eq!(data["own"][0]["help"], "h", "{data}");
    assert!(data.get("down").is_none(), "{data}");
    server.abort();
}

#[tokio::test]
async fn coding_that_cannot_be_undone_is_an_error_of_the_upstream() {
    let stage = Stage::recorded("limits: {answer_bytes: 1MiB}\n").await;
    let text = r#"{"status":"success","data":{"groups":[]}}"#;
    let bomb = [text.as_bytes(), &vec![b' '; 100 << 20]].concat();
    // All of the text is there, but nothing says that it was all.
    let whole = gzip(text.as_bytes());
    let cut_off = whole.slice(..whole.len() - 8);
    for (what, body, coding) in [
        ("unknown", text.into(), "br"),
        ("twice", gzip(&gzip(text.as_bytes())), "gzip, gzip"),
        ("plain", text.into(), "gzip"),
        ("cut off", cut_off, "gzip"),
        ("a bomb", gzip(&bomb), "gzip"),
        ("a bomb", zstd(&bomb), "zstd"),
    ] {
        stage.upstream.reply(reply(200, body, coding));
        let answer = ask(&stage, "/api/v1/rules", "").await;
        assert_eq!(answer.status, 502, "{what} {coding}: {}", answer.text());
    }
    let peak = std::fs::read_to_string(format!("/proc/{}/status", stage.proxy.process.id()));
    let peak = peak.unwrap();
    let line = peak
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kilobytes < 90 << 10, "{line}");
}

#[tokio::test]
async fn remote_upstream_is_asked_for_compressed_answers() {
    let upstream = Upstream::start().await;
    let text = vector(3000);
    upstream.reply(reply(200, zstd(text.as_bytes()), "zstd"));
    let mut setup = Setup::new(&upstream.url);
    setup.upstream_options = vec!["compressed_answers: true".to_owned()];
    let stage = Stage::of(upstream, setup).await;
    let answer = ask(&stage, "/api/v1/query?query=up", "").await;
    assert!(answer.body == text);
    let seen = stage.upstream.take_one();
    assert_eq!(seen.header("accept-encoding"), Some("zstd, gzip"));
    // What passes through is the client's to ask for.
    ask(&stage, "/static/app.json", "").await;
    assert_eq!(stage.upstream.take_one().header("accept-encoding"), None);
}

#[tokio::test]
async fn answers_are_not_for_caches_in_front() {
    let stage = Stage::recorded("").await;
    for path in [
        "/api/v1/query?query=up",
        "/api/v1/rules",
        "/api/v1/status/flags",
        "/api/v1/x",
    ] {
        let answer = ask(&stage, path, "").await;
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    let nobody = Ask::new(Sent::Get, "/api/v1/query", &[("query", "up")]);
    let answer = Client::default().ask(&stage.proxy.url, &nobody, None).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("cache-control"), "no-store");
    // A cache in front reads what the store says of what passes through.
    let mut static_file = Reply::json("{}");
    static_file
        .headers
        .push(("cache-control", "public, max-age=9".to_owned()));
    stage.upstream.reply(static_file);
    let answer = ask(&stage, "/static/app.json", "").await;
    assert_eq!(answer.header("cache-control"), "public, max-age=9");
    let _: Value = answer.json();
}
