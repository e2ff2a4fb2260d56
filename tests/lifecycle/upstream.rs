//! An upstream that is away, slow, broken or hostile.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;

use super::common::partywall::Setup;
use super::common::process::free_port;
use super::common::raw::RawAnswer;
use super::stage::{FORM, QUERY, Stage, eventually, until_closed, until_seen};
use super::wire::{Step, Wire};

const FILTERED: &str = "/api/v1/rules";
const ELSEWHERE: &str = "/graph";
const VECTOR: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;

fn json(body: &str) -> Step {
    Step::send(&format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

async fn impatient(script: &[Step]) -> Stage<Wire> {
    Stage::scripted_with(script, |setup| {
        let lines = ["timeouts:", "  response_head: 400ms", "  body_idle: 400ms"];
        setup.upstream_options = lines.map(str::to_owned).to_vec();
    })
    .await
}

/// A data API's error, in Prometheus' words; gives its text.
fn assert_error(what: &str, answer: &RawAnswer, status: u16) -> String {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    let json = answer
        .json()
        .unwrap_or_else(|| panic!("{what}: {answer:?}"));
    assert_eq!(json["status"], "error", "{what}");
    json["error"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn nobody_there_is_a_502() {
    let setup = Setup::new(&format!("http://127.0.0.1:{}", free_port()));
    let stage = Stage::of((), setup).await;
    let text = assert_error("query", &stage.get(QUERY).await, 502);
    assert!(text.contains("cannot be reached"), "{text}");
    assert_eq!(stage.get(ELSEWHERE).await.status, 502);
    let counted =
        r#"partywall_upstream_requests_total{upstream="metrics",result="upstream_unreachable"}"#;
    assert!((stage.metric(counted).await - 2.0).abs() < 0.1);
}

#[tokio::test]
async fn no_head_in_time_is_a_504() {
    for begun in ["", "HTTP/1.1 200 OK\r\nContent-Ty"] {
        let stage = impatient(&[Step::send(begun), Step::Hang]).await;
        let started = Instant::now();
        let text = assert_error("query", &stage.get(QUERY).await, 504);
        assert!(text.contains("timeouts.response_head"), "{text}");
        assert!(started.elapsed() >= Duration::from_millis(400));
        assert_eq!(stage.get(ELSEWHERE).await.status, 504);
        eventually("the upstream is let go", async || {
            stage.upstream.deserted() == 2
        })
        .await;
    }
}

#[tokio::test]
async fn an_upload_longer_than_response_head_is_not_cut() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
    let stage = impatient(&[Step::send(ok)]).await;
    let mut stream = stage.connect().await;
    let head = stage.request("PUT", "/upload", &[("Content-Length", "8")], b"");
    stream.write_all(&head).await.unwrap();
    for byte in b"8 pieces" {
        tokio::time::sleep(Duration::from_millis(150)).await;
        stream.write_all(&[*byte]).await.unwrap();
    }
    let (answer, _) = until_closed(&mut stream).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(stage.upstream.seen()[0].body, b"8 pieces");
}

#[tokio::test]
async fn an_upload_that_nobody_takes_is_a_504() {
    // It reads the head alone.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut setup = Setup::new(&format!("http://{}", listener.local_addr().unwrap()));
    let lines = ["timeouts:", "  response_head: 400ms"];
    setup.upstream_options = lines.map(str::to_owned).to_vec();
    let stage = Stage::of(listener, setup).await;
    let (mut reads, mut writes) = stage.connect().await.into_split();
    let head = stage.request("PUT", "/upload", &[("Content-Length", "500000000")], b"");
    let upload = tokio::spawn(async move {
        let _ = writes.write_all(&head).await;
        let piece = vec![b'x'; 65536];
        while writes.write_all(&piece).await.is_ok() {}
    });
    let mut answer = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut reads, &mut answer);
    let _ = tokio::time::timeout(super::stage::PATIENCE, read)
        .await
        .expect("an end");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    upload.await.unwrap();
}

#[tokio::test]
async fn a_query_answer_that_breaks_off_is_never_a_whole_one() {
    breaks_off(QUERY).await;
}

#[tokio::test]
async fn a_page_that_breaks_off_is_never_a_whole_one() {
    breaks_off(ELSEWHERE).await;
}

/// Every way in which a body can break off after its beginning went to the client.
async fn breaks_off(target: &str) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let begun = format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[{}"#,
        r#"{"metric":{"a":"b"},"value":[1,"1"]},"#.repeat(3000)
    );
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{begun}\r\n",
        begun.len()
    );
    let declared = format!("{head}Content-Length: 500000\r\n\r\n{begun}");
    let stage = impatient(&[]).await;
    for (framing, sent) in [("chunked", &chunked), ("declared", &declared)] {
        for end in [Step::Hang, Step::Close, Step::Reset] {
            let what = format!("{framing} and {end:?}");
            stage.upstream.script(&[Step::send(sent), Step::Gate, end]);
            stage.upstream.shut();
            let mut http1 = stage.connect().await;
            http1.write_all(&stage.kept(target)).await.unwrap();
            let first = until_seen(&mut http1, "resultType").await;
            assert!(first.starts_with("HTTP/1.1 200"), "{what}: {first}");
            let mut h2 = stage.connect_h2().await;
            let http2 = h2.send_request(stage.h2_request(target)).await.unwrap();
            assert_eq!(http2.status(), 200, "{what}");

            stage.upstream.open();
            let (rest, _) = until_closed(&mut http1).await;
            let all = first + &String::from_utf8_lossy(&rest);
            let (head, body) = all.split_once("\r\n\r\n").unwrap();
            let head = head.to_ascii_lowercase();
            if head.contains("transfer-encoding: chunked") {
                assert!(!body.ends_with("0\r\n\r\n"), "{what}: a clean end");
            } else {
                assert!(head.contains("content-length: 500000"), "{what}: {head}");
                assert!(body.len() < 500_000, "{what}: a clean end");
            }
            let body = http2.into_body().collect().await;
            assert!(body.is_err(), "{what}: a clean end on HTTP/2");
        }
    }
}

#[tokio::test]
async fn what_is_not_one_json_text_is_not_filtered_but_refused() {
    let alert = r#"{"labels":{"tenant_id":"acme"},"annotations":{},"state":"firing","activeAt":"2026-01-01T00:00:00Z","value":"1"}"#;
    let whole = [
        (
            "/api/v1/alerts",
            format!(r#"{{"status":"success","data":{{"alerts":[{alert}]}}}}"#),
        ),
        (
            "/api/v1/rules",
            r#"{"status":"success","data":{"groups":[]}}"#.to_owned(),
        ),
        (
            "/api/v1/targets",
            r#"{"status":"success","data":{"activeTargets":[],"droppedTargets":[]}}"#.to_owned(),
        ),
    ];
    let stage = Stage::scripted(&[], "").await;
    for (target, answer) in whole {
        stage.upstream.script(&[json(&answer)]);
        assert_eq!(stage.get(target).await.status, 200, "{target}");
        stage.upstream.script(&[bodiless("204 No Content")]);
        assert_error(&format!("{target}, 204"), &stage.get(target).await, 502);
        stage.upstream.script(&[json(&format!("{answer}{answer}"))]);
        assert_error(&format!("{target} twice"), &stage.get(target).await, 502);
        for cut in [1, 2, 3, 20, answer.len() - 1] {
            stage
                .upstream
                .script(&[json(answer.split_at(answer.len() - cut).0)]);
            assert_error(
                &format!("{target} without the last {cut}"),
                &stage.get(target).await,
                502,
            );
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_read_whole_and_breaks_off_is_a_502() {
    let begun = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"status\":";
    for end in [Step::Hang, Step::Close, Step::Reset] {
        let stage = impatient(&[Step::send(begun), end.clone()]).await;
        for target in [QUERY, FILTERED] {
            assert_error(&format!("{target} {end:?}"), &stage.get(target).await, 502);
        }
    }
}

#[tokio::test]
async fn what_the_upstream_refuses_us_is_not_the_clients_fault() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let script = format!(
            "HTTP/1.1 {status}\r\nWWW-Authenticate: Basic realm=internal\r\nContent-Length: 6\r\n\r\nsecret"
        );
        let stage = Stage::scripted(&[Step::send(&script)], "").await;
        for target in [QUERY, FILTERED, "/api/v1/metadata", "/federate?match[]=up"] {
            let answer = stage.get(target).await;
            let text = assert_error(target, &answer, 502);
            if target != "/api/v1/metadata" {
                assert!(
                    text.contains("refused the proxy's own credentials"),
                    "{target}: {text}"
                );
            }
            assert!(!text.contains("secret"), "{target}: {text}");
            assert_eq!(answer.header("www-authenticate"), None, "{target}");
        }
    }
}

/// A whole answer with these headers.
fn typed(kind: &str, headers: &str, body: &str) -> Step {
    Step::send(&format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

fn bodiless(line: &str) -> Step {
    Step::send(&format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n"))
}

type Row = (&'static str, Vec<Step>);

fn no_http() -> Vec<Row> {
    vec![
        (
            "garbage",
            vec![Step::send("secret nonsense\r\n\r\n"), Step::Close],
        ),
        (
            "half a head",
            vec![Step::send("HTTP/1.1 200 OK\r\nsecr"), Step::Close],
        ),
        ("nothing", vec![Step::Close]),
        ("a reset", vec![Step::Reset]),
        (
            "HTTP/0.9",
            vec![Step::send("<html>secret</html>"), Step::Close],
        ),
        (
            "two lengths",
            vec![
                Step::send(&format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 63\r\nContent-Length: 1\r\n\r\n{VECTOR}"
                )),
                Step::Close,
            ],
        ),
    ]
}

fn no_json() -> Vec<Row> {
    vec![
        (
            "gzip in spite of identity",
            vec![typed(
                "application/json",
                "Content-Encoding: gzip\r\n",
                "\x1f\u{8}",
            )],
        ),
        (
            "br",
            vec![typed(
                "application/json",
                "Content-Encoding: br\r\n",
                VECTOR,
            )],
        ),
        (
            "HTML",
            vec![typed("text/html", "", "<form>log in, secret</form>")],
        ),
        ("JSON as text", vec![typed("text/plain", "", VECTOR)]),
        (
            "no type",
            vec![Step::send(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 63\r\n\r\n{VECTOR}"
            ))],
        ),
        ("cut JSON", vec![json(VECTOR.split_at(20).0)]),
        ("no JSON", vec![json("secret")]),
        ("a list", vec![json("[]")]),
        ("nothing at all", vec![json("")]),
    ]
}

fn no_success() -> Vec<Row> {
    vec![
        (
            "206",
            vec![Step::send(
                "HTTP/1.1 206 Partial Content\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            )],
        ),
        (
            "301",
            vec![bodiless(
                "301 Moved Permanently\r\nLocation: http://elsewhere/secret",
            )],
        ),
        (
            "302 to itself",
            vec![bodiless(
                "302 Found\r\nLocation: /api/v1/query?query=secret",
            )],
        ),
        (
            "307",
            vec![bodiless(
                "307 Temporary Redirect\r\nLocation: /api/v1/query",
            )],
        ),
        ("304", vec![bodiless("304 Not Modified")]),
        (
            "101",
            vec![bodiless(
                "101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: secret",
            )],
        ),
        ("999", vec![bodiless("999 Secret")]),
    ]
}

#[tokio::test]
async fn data_answers_that_cannot_be_checked_are_502() {
    let stage = Stage::scripted(&[], "").await;
    for (what, script) in [no_http(), no_json(), no_success()].concat() {
        stage.upstream.script(&script);
        for target in [
            QUERY,
            "/api/v1/labels",
            FILTERED,
            "/api/v1/alerts",
            "/api/v1/metadata",
        ] {
            let before = stage.upstream.seen().len();
            let answer = stage.get(target).await;
            let text = assert_error(&format!("{what}, {target}"), &answer, 502);
            assert!(!text.contains("secret"), "{what}: {text}");
            assert_eq!(answer.header("location"), None, "{what}, {target}");
            // Not followed, not repeated (metadata asks two questions).
            assert!(
                stage.upstream.seen().len() <= before + 2,
                "{what}, {target}"
            );
        }
    }
    // Every one left the proxy as well as it was.
    stage.upstream.script(&[json(VECTOR)]);
    assert_eq!(stage.get(QUERY).await.status, 200);
}

#[tokio::test]
async fn elsewhere_broken_answers_are_502_too() {
    let stage = Stage::scripted(&[], "").await;
    for (what, script) in [
        (
            "garbage",
            vec![Step::send("secret nonsense\r\n\r\n"), Step::Close],
        ),
        ("nothing", vec![Step::Close]),
        ("a reset", vec![Step::Reset]),
        (
            "101",
            vec![Step::send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: secret\r\n\r\n",
            )],
        ),
    ] {
        stage.upstream.script(&script);
        let answer = stage.get(ELSEWHERE).await;
        assert_eq!(answer.status, 502, "{what}: {answer:?}");
        assert!(!answer.text().contains("secret"), "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </secret>\r\n\r\n\
                   HTTP/1.1 102 Processing\r\n\r\n";
    let stage = Stage::scripted(&[Step::send(interim), json(VECTOR)], "").await;
    for target in [QUERY, ELSEWHERE] {
        let answer = stage.get(target).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.text(), VECTOR);
        assert_eq!(answer.header("link"), None);
    }
    let answer = stage
        .send("POST", "/api/v1/query", &[FORM], b"query=up")
        .await;
    assert_eq!(answer.text(), VECTOR);
}

#[tokio::test]
async fn redirects_elsewhere_stay_with_us() {
    let upstream = Wire::start(&[]).await;
    let authority = upstream.url.trim_start_matches("http://").to_owned();
    let setup = Setup::new(&format!("{}/prom", upstream.url));
    let stage = Stage::of(upstream, setup).await;
    let table = [
        (
            format!("http://{authority}/prom/graph?a=b"),
            Some("/graph?a=b"),
        ),
        ("/prom/graph".to_owned(), Some("/graph")),
        ("/prom".to_owned(), Some("/")),
        ("/other/graph".to_owned(), None),
        ("http://internal:9090/prom/graph".to_owned(), None),
        ("//evil/prom/".to_owned(), None),
    ];
    for (location, expected) in table {
        for status in [
            "301 Moved Permanently",
            "302 Found",
            "307 Temporary Redirect",
            "308 Permanent Redirect",
        ] {
            stage.upstream.script(&[Step::send(&format!(
                "HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            ))]);
            let answer = stage.get("/").await;
            assert_eq!(answer.header("location"), expected, "{location}");
            let code: u16 = status.split(' ').next().unwrap().parse().unwrap();
            let wanted = if expected.is_some() { code } else { 502 };
            assert_eq!(answer.status, wanted, "{location}");
        }
    }
}

#[tokio::test]
async fn the_base_path_goes_before_every_path() {
    let upstream = Wire::start(&[json(VECTOR)]).await;
    let setup = Setup::new(&format!("{}/team/prom", upstream.url));
    let stage = Stage::of(upstream, setup).await;
    for (target, expected) in [
        (QUERY, "/team/prom/api/v1/query?"),
        (FILTERED, "/team/prom/api/v1/rules"),
        (ELSEWHERE, "/team/prom/graph"),
        ("/graph?g0=a%2Fb&x", "/team/prom/graph?g0=a%2Fb&x"),
        ("/", "/team/prom/"),
    ] {
        stage.get(target).await;
        let seen = stage.upstream.seen();
        let sent = seen.last().unwrap().target();
        assert!(sent.starts_with(expected), "{target}: {sent}");
    }
}

#[tokio::test]
async fn our_credentials_go_up_and_the_clients_do_not() {
    let basic = "Authorization: Basic cGFydHl3YWxsOmxldCBtZSBpbg==";
    let bearer = "Authorization: Bearer our-own-token";
    let table: [(&[&str], Option<&str>); 4] = [
        (&[], None),
        (
            &["credentials: {bearer_token: our-own-token}"],
            Some(bearer),
        ),
        (
            &["credentials: {basic: {username: partywall, password: let me in}}"],
            Some(basic),
        ),
        (
            &["credentials: {forward_token: true}"],
            Some("Authorization: Bearer the client's"),
        ),
    ];
    for (options, expected) in table {
        let stage = Stage::scripted_with(&[json(VECTOR)], |setup| {
            setup.upstream_options = options.iter().map(|line| (*line).to_owned()).collect();
        })
        .await;
        let token = stage.bearer.trim_start_matches("Bearer ").to_owned();
        let expected = expected.map(|line| line.replace("the client's", &token));
        for target in [QUERY, FILTERED, "/api/v1/metadata", ELSEWHERE] {
            stage.get(target).await;
            // The same token by the other way that Grafana knows.
            let by_id_token = format!(
                "GET {target} HTTP/1.1\r\nHost: x\r\nX-Id-Token: {token}\r\nConnection: close\r\n\r\n"
            );
            let answer =
                super::common::raw::exchange(stage.proxy.authority(), by_id_token.as_bytes()).await;
            assert_ne!(answer.status, 401, "{answer:?}");
        }
        let seen = stage.upstream.seen();
        assert!(seen.len() >= 8);
        for seen in seen {
            let lines: Vec<&str> = seen
                .head
                .lines()
                .filter(|line| line.to_ascii_lowercase().starts_with("authorization:"))
                .collect();
            let shown = lines
                .first()
                .map(|line| line.replacen("authorization", "Authorization", 1));
            assert_eq!(shown, expected, "{}", seen.head);
            assert!(lines.len() <= 1, "{}", seen.head);
            let tokens = seen.head.matches(&token).count();
            let forwarded = expected.as_ref().is_some_and(|line| line.contains(&token));
            assert_eq!(tokens, usize::from(forwarded), "{}", seen.head);
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_upstream_request_along() {
    let begun = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    for target in [QUERY, FILTERED, ELSEWHERE] {
        let stage = Stage::scripted(&[Step::Hang], "").await;
        let mut http1 = stage.connect().await;
        http1.write_all(&stage.kept(target)).await.unwrap();
        eventually("it is upstream", async || stage.upstream.seen().len() == 1).await;
        drop(http1);
        eventually("it is let go", async || stage.upstream.deserted() == 1).await;
        let mut h2 = stage.connect_h2().await;
        let http2 = tokio::spawn(h2.send_request(stage.h2_request(target)));
        eventually("it is upstream", async || stage.upstream.seen().len() == 2).await;
        http2.abort();
        eventually("it is let go", async || stage.upstream.deserted() == 2).await;
        assert!(stage.metric("partywall_http_requests_total{").await > 1.5);
        assert!(
            stage.metric("partywall_http_requests_in_flight").await < 0.5,
            "their permits are free"
        );
    }
    let stage = Stage::scripted(&[Step::send(begun), Step::Hang], "").await;
    let mut stream = stage.connect().await;
    stream.write_all(&stage.kept(ELSEWHERE)).await.unwrap();
    until_seen(&mut stream, "first").await;
    drop(stream);
    eventually("it is let go", async || stage.upstream.deserted() == 1).await;
}

#[tokio::test]
async fn an_upload_that_the_client_breaks_is_its_own_fault() {
    let stage = Stage::scripted(&[], "").await;
    let headers = [("Transfer-Encoding", "chunked")];
    let answer = stage
        .send("PUT", "/upload", &headers, b"5\r\nhello\r\nno length\r\n")
        .await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(stage.upstream.seen().is_empty());
    let reached =
        r#"partywall_upstream_requests_total{upstream="metrics",result="upstream_unreachable"}"#;
    assert!(
        stage.metric(reached).await < 0.5,
        "nobody is to look at the upstream for it"
    );
}

#[tokio::test]
async fn an_answer_too_long_to_be_filtered_is_a_502() {
    let answer = format!(
        r#"{{"status":"success","data":{{"groups":[],"x":"{}"}}}}"#,
        "x".repeat(2000)
    );
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{answer}\r\n0\r\n\r\n",
        answer.len()
    );
    for script in [json(&answer), Step::send(&chunked)] {
        let stage = Stage::scripted(&[script], "limits: {answer_bytes: 1KiB}\n").await;
        assert_error("rules", &stage.get(FILTERED).await, 502);
        let log = stage.proxy.process.log();
        assert!(
            log.contains("limits.answer_bytes"),
            "the operator is told: {log}"
        );
    }
}

#[tokio::test]
async fn an_overloaded_upstream_says_when_to_come_back() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let script = Step::send(&format!(
            "HTTP/1.1 {status}\r\nRetry-After: 7\r\nX-Internal: secret\r\nContent-Length: 4\r\n\r\nbusy"
        ));
        let stage = Stage::scripted(&[script], "").await;
        let answer = stage.get(QUERY).await;
        assert!(status.starts_with(&answer.status.to_string()), "{answer:?}");
        assert_eq!(answer.json().unwrap()["status"], "error");
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(answer.header("x-internal"), None);
    }
}
