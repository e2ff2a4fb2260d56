//! What comes back from the upstream: answers that cannot be passed on, that break off on the way,
//! or that lead elsewhere.

use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;

use crate::kit::partywall::Setup;
use crate::kit::stage::{
    ELSEWHERE, FILTERED, FORM, QUERY, Stage, VECTOR, assert_error, impatient, json, until_closed,
    until_seen,
};
use crate::kit::wire::{Step, Wire};

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
async fn invalid_json_is_refused_instead_of_filtered() {
    let alert = r#"{"labels":{"tenant_id":"acme"},"annotations":{},"state":"firing","activeAt":"2026-01-01T00:00:00Z","value":"1"}"#;
    let whole = [
        (
            "/api/v1/alerts",
            format!(
                r#"{{"status":"success","data":{{"groups":[{{"rules":[{{"type":"alerting","query":"up","health":"ok","labels":{{}},"alerts":[{alert}]}}]}}]}}}}"#
            ),
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
            // Not followed, not repeated (metadata has two side requests).
            assert!(
                stage.upstream.seen().len() <= before + 3,
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
