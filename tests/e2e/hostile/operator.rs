//! A: what is the operator's. The admin address, the config that it shows, the audit trail and the
//! log: clients of the data port cannot inject anything into them, and clients that
//! reach the admin address see no secret there.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::kit::client::{Answer, Client, escape};
use crate::kit::partywall::Partywall;
use crate::kit::raw::{RawAnswer, exchange, request};
use crate::kit::rig::{ACME, Rig, token};
use crate::kit::stage::{QUERY, SECRET, Stage, eventually, until_closed};
use crate::kit::token::Signer;
use crate::kit::witness::{MIB, peak_memory};

/// Whether a line of the log is a record, whatever its texts say.
fn is_of_trail(line: &str) -> bool {
    let before_texts = line.split("subject").next().unwrap_or_default();
    before_texts.contains(" partywall::audit: ") || line.contains(r#""target":"partywall::audit""#)
}

const EXPLAIN: &str = "/-/explain";

async fn explain(admin: &str, headers: &[(&str, &str)], question: &[u8]) -> RawAnswer {
    let headers = [&[("Host", "localhost")], headers].concat();
    let bytes = request("POST", EXPLAIN, &headers, question);
    exchange(admin.trim_start_matches("http://"), &bytes).await
}

/// A page in an operator's browser may send forms and plain text to any address unasked, and read
/// no answer that does not allow it. For all else it has to ask first, and is not allowed.
#[tokio::test]
async fn a1_a_web_page_asks_nothing_of_the_admin_address() {
    let rig = Rig::start(|_, _| {}).await;
    let question = json!({"claims": {"tenant_id": "acme"}, "query": "up"}).to_string();
    let json = ("Content-Type", "application/json");
    for content_type in [
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "",
    ] {
        let headers = [("Content-Type", content_type)];
        let answer = explain(&rig.admin(), &headers, question.as_bytes()).await;
        assert_eq!(answer.status, 415, "{content_type}: {answer:?}");
    }
    let answer = explain(&rig.admin(), &[], question.as_bytes()).await;
    assert_eq!(answer.status, 415, "{answer:?}");
    let answer = explain(&rig.admin(), &[json], question.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let origin = ("Origin", "https://evil.test");
    let answer = explain(&rig.admin(), &[json, origin], question.as_bytes()).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    // Its question whether it may.
    for path in [EXPLAIN, "/-/reload", "/-/config", "/metrics"] {
        let ask = ("Access-Control-Request-Method", "POST");
        let headers = [("Host", "localhost"), origin, ask];
        let bytes = request("OPTIONS", path, &headers, b"");
        let answer = exchange(rig.admin().trim_start_matches("http://"), &bytes).await;
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
        assert!(!answer.head.to_lowercase().contains("access-control"));
    }
    assert!(rig.upstream.take().is_empty(), "explaining sends nothing");
}

/// Of every endpoint, whatever a browser can be made to send: by a name that was rebound to the
/// admin address, or from a page of another site.
#[tokio::test]
async fn b3_requests_that_a_web_page_caused_are_refused_by_every_endpoint() {
    let rig = Rig::start(|_, _| {}).await;
    let admin = rig.admin().trim_start_matches("http://").to_owned();
    let endpoints = [
        ("GET", "/-/healthy"),
        ("GET", "/-/ready"),
        ("GET", "/metrics"),
        ("GET", "/-/config"),
        ("GET", "/-/api"),
        ("GET", "/-/api/openapi.json"),
        ("GET", "/-/nope"),
        ("HEAD", "/-/config"),
        ("POST", "/-/reload"),
        ("POST", "/-/cache/flush"),
        ("POST", EXPLAIN),
    ];
    let reloads = rig.reloads().await;
    let json = ("Content-Type", "application/json");
    for (method, path) in endpoints {
        let ask = async |headers: &[(&str, &str)]| {
            let headers = [&[json], headers].concat();
            let bytes = request(method, path, &headers, b"{}");
            exchange(&admin, &bytes).await
        };
        for headers in [
            [("Host", "evil.test"), ("X", "")].as_slice(),
            &[
                ("Host", "evil.test:8081"),
                ("Origin", "http://evil.test:8081"),
            ],
            &[("Host", "evil.test."), ("Sec-Fetch-Site", "same-origin")],
            &[("Host", "localhost"), ("Sec-Fetch-Site", "cross-site")],
            &[("Host", "localhost"), ("Sec-Fetch-Site", "same-site")],
            &[("Host", &admin), ("Origin", "null")],
            &[("Host", &admin), ("Origin", "http://localhost:3000")],
            &[("Host", "localhost"), ("Host", "localhost")],
            &[("Host", "")],
        ] {
            let answer = ask(headers).await;
            assert_eq!(
                answer.status, 403,
                "{method} {path} {headers:?}: {answer:?}"
            );
            let says_what_to_do = method == "HEAD" || answer.text().contains("admin address");
            assert!(says_what_to_do && answer.body.len() < 300, "{answer:?}");
            assert!(!answer.text().contains("evil"), "{answer:?}");
        }
        // An absolute target counts before the header.
        let target = format!("http://evil.test{path}");
        let bytes = request(method, &target, &[("Host", "localhost"), json], b"");
        assert_eq!(
            exchange(&admin, &bytes).await.status,
            403,
            "{method} {target}"
        );
        if method != "GET" || path == "/-/nope" {
            continue;
        }
        // By what probes, scrapes, port-forwards and the operator's own browser send.
        let none = ("Sec-Fetch-Site", "none");
        for headers in [
            [("Host", admin.as_str())].as_slice(),
            &[("Host", "localhost:9999"), none],
            &[("Host", "LOCALHOST.")],
            &[("Host", "10.4.5.6:8081"), ("User-Agent", "kube-probe/1.34")],
            &[("Host", "[fd00::7]:8081")],
            &[("Host", "localhost:1"), ("Origin", "http://localhost:1")],
        ] {
            let answer = ask(headers).await;
            assert_eq!(answer.status, 200, "{path} {headers:?}: {answer:?}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        }
        let old = format!("GET {path} HTTP/1.0\r\n\r\n");
        let answer = exchange(&admin, old.as_bytes()).await;
        assert_eq!(answer.status, 200, "{path} without a host: {answer:?}");
    }
    assert_eq!(rig.reloads().await, reloads, "nothing was reloaded");
    let log = rig.process.log();
    let refused = log
        .lines()
        .filter(|line| line.contains("refused by the admin address"));
    assert_eq!(refused.count(), 1, "{log}");
}

#[tokio::test]
async fn b3_state_changes_by_form_content_types_are_refused() {
    let rig = Rig::start(|config, _| config.rest = "cache: {}\n".to_owned()).await;
    let admin = rig.admin().trim_start_matches("http://").to_owned();
    let reloads = rig.reloads().await;
    for path in ["/-/reload", "/-/cache/flush"] {
        for content_type in ["text/plain", "application/x-www-form-urlencoded", ""] {
            let headers = [("Host", "localhost"), ("Content-Type", content_type)];
            let bytes = request("POST", path, &headers, b"x");
            let answer = exchange(&admin, &bytes).await;
            assert_eq!(answer.status, 415, "{path} {content_type}");
            assert!(answer.text().contains("curl -X POST -H"), "{answer:?}");
        }
        let bytes = request("POST", path, &[("Host", "localhost")], b"");
        assert_eq!(exchange(&admin, &bytes).await.status, 415, "{path}");
    }
    assert_eq!(rig.reloads().await, reloads);
    for path in ["/-/reload", "/-/cache/flush"] {
        let headers = [("Host", "localhost"), ("Content-Type", "application/json")];
        let bytes = request("POST", path, &headers, b"");
        assert_eq!(exchange(&admin, &bytes).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a2_questions_of_the_admin_address_are_bounded() {
    let rig = Rig::start(|_, _| {}).await;
    let json = [("Content-Type", "application/json")];
    let of_memory = |rig: &Rig| {
        let path = format!("/proc/{}/status", rig.process.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.unwrap().parse::<usize>().unwrap() * 1024
    };
    let before = of_memory(&rig);
    let deep = |open: &str, close: &str| {
        let value = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        format!(r#"{{"query":"up","claims":{{"a":{value}}}}}"#)
    };
    let long = |text: &str| json!({"query": text, "claims": {"tenant_id": "acme"}}).to_string();
    for (what, question) in [
        ("two megabytes", long(&"x".repeat(2 * MIB))),
        ("deep lists", deep("[", "]")),
        ("deep objects", deep(r#"{"a":"#, "}")),
        (
            "another key",
            r#"{"query":"up","tenant":"acme"}"#.to_owned(),
        ),
        ("a list", "[]".to_owned()),
        ("nothing", String::new()),
        ("half", r#"{"query":"#.to_owned()),
        ("no text", "\u{0}".to_owned()),
    ] {
        let answer = explain(&rig.admin(), &json, question.as_bytes()).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.head);
        assert!(answer.body.len() < 1000, "{what}: {}", answer.text());
    }
    // What is a question, and is refused as the request would be.
    for query in [
        "(".repeat(500_000),
        "up ".repeat(100_000),
        "x".repeat(900_000),
    ] {
        let answer = explain(&rig.admin(), &json, long(&query).as_bytes()).await;
        let answered = answer.json().unwrap();
        let is_refused = answer.status == 400 || answered["result"] == "refused";
        assert!(is_refused, "{}: {answered}", answer.head);
    }
    let mut endless = TcpStream::connect(rig.admin().trim_start_matches("http://"))
        .await
        .unwrap();
    let head = "POST /-/explain HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    endless.write_all(head.as_bytes()).await.unwrap();
    let piece = format!("10000\r\n{}\r\n", " ".repeat(64 * 1024));
    let mut sent = 0;
    while sent < 50 * MIB && endless.write_all(piece.as_bytes()).await.is_ok() {
        sent += piece.len();
    }
    assert!(sent < 50 * MIB, "50 MiB were taken");
    let grown = of_memory(&rig) - before;
    assert!(grown < 64 * MIB, "{} MiB more", grown / MIB);
    assert_eq!(rig.admin_status("/-/ready").await, 200);
    assert!(rig.metric("partywall_panics_total").await < 0.5);
}

/// A slow request body gets an error after ten seconds; probes are answered meanwhile.
#[tokio::test]
async fn a2_slow_request_does_not_block_others() {
    let rig = Rig::start(|_, _| {}).await;
    let start = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..20 {
        let admin = rig.admin().trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(admin).await.unwrap();
        let head = "POST /-/explain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                    Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    assert_eq!(rig.admin_status("/-/healthy").await, 200);
    assert_eq!(rig.status(&ACME).await, 200);
    for mut stream in slow {
        let (answer, _) = until_closed(&mut stream).await;
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    }
    assert!(start.elapsed() > Duration::from_secs(9), "it waits for it");
}

/// The trail as JSON lines, and the log as text and as JSON: no client can inject a line.
#[tokio::test]
async fn a3_request_data_cannot_inject_log_or_audit_lines() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("audit.jsonl");
    let forged = "x\n{\"decision\":\"confined\",\"subject\":\"forged\"}\r\n\u{1b}[31m\u{0}\u{7f}\
                  \u{85}\u{2028}\u{202e}2026-01-01T00:00:00Z  INFO partywall::audit: forged";
    let subject =
        |signer: &Signer, tenant: &str| signer.token(&json!({"sub": forged, "tenant_id": tenant}));
    for (output, format) in [
        (file.display().to_string(), "text"),
        ("log".to_owned(), "text"),
        ("log".to_owned(), "json"),
    ] {
        let rest = format!(
            "audit: {{output: {output}, sampling: 1, queries: full}}\n\
             log: {{format: {format}, level: 'info,partywall::access=debug'}}\n"
        );
        let stage = Stage::recorded(&rest).await;
        let signer = &stage.proxy.signer;
        let bearer = format!("Bearer {}", subject(signer, "acme"));
        let nobody = format!("Bearer {}", subject(signer, ""));
        let query = format!(
            "up{{a={}}}",
            json!(forged).to_string().replace("\\u0000", "")
        );
        let target = format!("/api/v1/query?query={}", escape(&query));
        let unread = format!("/api/v1/query?query={}", escape(&format!("up {forged}")));
        let path = format!("/{}", escape(forged));
        for (bearer, target) in [
            (&bearer, target.as_str()),
            (&bearer, &unread),
            (&bearer, &path),
            (&bearer, "/api/v1/admin/%0aforged"),
            (&nobody, QUERY),
        ] {
            let headers = [
                ("Authorization", bearer.as_str()),
                ("X-Request-Id", "forged\tforged"),
                ("User-Agent", "forged"),
                ("traceparent", "00-forged"),
            ];
            let bytes = request("GET", target, &headers, b"");
            exchange(stage.proxy.authority(), &bytes).await;
        }
        let shown = || match output.as_str() {
            "log" => stage.proxy.process.log(),
            _ => std::fs::read_to_string(&file).unwrap_or_default(),
        };
        let trail = |text: &str| {
            let lines = text.split('\n').filter(|line| !line.is_empty());
            let of_trail = |line: &&str| output != "log" || is_of_trail(line);
            lines.filter(of_trail).count()
        };
        eventually("five records", async || trail(&shown()) >= 5).await;
        for text in [shown(), stage.proxy.process.log()] {
            for control in ['\u{0}', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{202e}'] {
                assert!(!text.contains(control), "{control:?} in {output}: {text}");
            }
            let begins = |line: &str| {
                let at = line.find("forged").unwrap_or(usize::MAX);
                at < 40 && !line.starts_with("{\"time")
            };
            let own = text.lines().find(|line| begins(line));
            assert!(own.is_none(), "{output} {format}: {own:?}");
        }
        assert_eq!(trail(&shown()), 5, "{output} {format}: {}", shown());
        if output != "log" || format == "json" {
            for line in shown().split('\n').filter(|line| !line.is_empty()) {
                let line: Value = serde_json::from_str(line).expect(line);
                assert_ne!(line["subject"], "forged");
            }
        }
        let _ = std::fs::remove_file(&file);
    }
}

/// A subject, a query or a path of a megabyte is cut, and what is said is told to be cut.
#[tokio::test]
async fn a3_records_are_bounded() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("audit.jsonl");
    let rest = format!(
        "audit: {{output: {}, sampling: 1, queries: full}}\n",
        file.display()
    );
    let stage = Stage::recorded(&rest).await;
    let many: Vec<String> = (0..500)
        .map(|index| format!("tenant-{index:0>200}"))
        .collect();
    let claims = json!({"sub": "s".repeat(2000), "tenant_id": ["acme", "beta"]});
    let of_many = stage.proxy.signer.token(&json!({"tenant_id": &many[..30]}));
    let of_long = stage.proxy.signer.token(&claims);
    let query = format!(
        "query={}",
        escape(&format!("up{{a=\"{}\"}}", "q".repeat(60_000)))
    );
    for token in [of_long, of_many] {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), crate::kit::stage::FORM];
        let bytes = request("POST", "/api/v1/query", &headers, query.as_bytes());
        let answer = exchange(stage.proxy.authority(), &bytes).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let lines = || std::fs::read_to_string(&file).unwrap_or_default();
    eventually("both are there", async || lines().lines().count() == 2).await;
    for line in lines().lines() {
        assert!(line.len() < 20_000, "{} bytes", line.len());
        assert!(line.contains("(cut, "), "{line}");
    }
}

/// A caller's trace context is logged and forwarded only if it is valid.
#[tokio::test]
async fn a4_a_trace_context_says_nothing_else() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("audit.jsonl");
    let rest = format!("audit: {{output: {}, sampling: 1}}\n", file.display());
    let stage = Stage::recorded(&rest).await;
    let (id, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let good = format!("00-{id}-{parent}-01");
    let odd = [
        format!("00-{id}-{parent}-01, 00-{id}-{parent}-01"),
        format!("00-{id}-{parent}-01\",\"forged\":\""),
        format!("00-{}-{parent}-01", id.to_uppercase()),
        format!("00-{}-{parent}-01", "'; drop table--".repeat(3)),
        format!("ff-{id}-{parent}-01-forged"),
        format!("00-{id}-{parent}-01-forged"),
        "forged".repeat(1000),
        "\u{e9}".repeat(28),
    ];
    for value in &odd {
        let vendor = ("tracestate", "forged=1");
        let headers = [("traceparent", value.as_str()), vendor];
        for target in [QUERY, "/graph"] {
            let answer = stage.send("GET", target, &headers, b"").await;
            assert_eq!(answer.status, 200, "{value}: {answer:?}");
            let seen = stage.upstream.take_one();
            assert_eq!(seen.header("traceparent"), None, "{value}");
            assert!(!format!("{:?}", seen.headers).contains("forged"), "{value}");
        }
    }
    let twice = [("traceparent", good.as_str()), ("traceparent", &good)];
    stage.send("GET", QUERY, &twice, b"").await;
    assert_eq!(stage.upstream.take_one().header("traceparent"), None);
    let lines = || std::fs::read_to_string(&file).unwrap_or_default();
    let count = 2 * odd.len() + 1;
    eventually("all are there", async || lines().lines().count() == count).await;
    assert!(
        !lines().contains("forged") && !lines().contains(id),
        "{}",
        lines()
    );
}

/// A secret, and a part of it that is no secret of another test.
const MARK: &str = "s3cr3t-Mark-0123456789abcdefghij";
const PART: &str = "s3cr3t-Mark-";

type Change = Box<dyn Fn(&mut crate::kit::rig::Config)>;

/// Secrets in every place where there may be one: shown nowhere, not even by the errors of a file
/// that has them in the wrong place or form.
#[tokio::test]
async fn a5_config_errors_never_show_a_secret() {
    let mut rig = Rig::start(|config, _| config.unwatched()).await;
    let good = rig.config.clone();
    let url = &good.upstream;
    let credentials =
        |text: String| -> Change { Box::new(move |config| config.credentials = text.clone()) };
    let keys = |text: String| -> Change { Box::new(move |config| config.keys = text.clone()) };
    let upstream =
        |text: String| -> Change { Box::new(move |config| config.upstream = text.clone()) };
    let with_user = url.replace("http://", &format!("http://user:{MARK}@"));
    let changes: Vec<(&str, Change)> = vec![
        (
            "a token with a line end",
            credentials(format!("{{bearer_token: \"{MARK}\\n\"}}")),
        ),
        (
            "a list of tokens",
            credentials(format!("{{bearer_token: [{MARK}]}}")),
        ),
        (
            "a map",
            credentials(format!("{{bearer_token: {{{MARK}: 1}}}}")),
        ),
        (
            "both",
            credentials(format!(
                "{{bearer_token: {MARK}, basic: {{username: u, password: {MARK}}}}}"
            )),
        ),
        (
            "no user",
            credentials(format!("{{basic: {{password: {MARK}}}}}")),
        ),
        (
            "a password that is a list",
            credentials(format!("{{basic: {{username: u, password: [{MARK}]}}}}")),
        ),
        ("a value for a section", credentials(MARK.to_owned())),
        ("a short secret", keys(format!("hmac_secret: {PART}"))),
        ("a list of secrets", keys(format!("hmac_secret: [{MARK}]"))),
        ("a tag", keys(format!("hmac_secret: !x {MARK}"))),
        ("an alias", keys(format!("hmac_secret: *{MARK}"))),
        ("a reference", keys(format!("hmac_secret: ${{{MARK}}}"))),
        (
            "a secret twice",
            keys(format!("hmac_secret: {MARK}\n      hmac_secret: {MARK}")),
        ),
        ("half a quote", keys(format!("hmac_secret: \"{MARK}"))),
        ("a url with a user", upstream(with_user.clone())),
        (
            "a url with a query",
            upstream(format!("{url}/?token={MARK}")),
        ),
    ];
    let mut refused = 0;
    for (what, change) in changes {
        rig.config = good.clone();
        change(&mut rig.config);
        rig.rewrite();
        let answer = rig.post_reload().await;
        refused += usize::from(answer.status == 422);
        for (place, text) in [
            ("the answer", answer.text()),
            ("the config", rig.admin_get("/-/config").await.text()),
            ("the log", rig.process.log()),
        ] {
            assert!(!text.contains(PART), "{what}: {place} tells it: {text}");
        }
    }
    assert!(refused > 10, "{refused} were refused");
    rig.config = good;
    rig.rewrite();
    assert_eq!(rig.post_reload().await.status, 200);
    assert_eq!(rig.status(&token("acme")).await, 200);
}

/// Everything secret that a good file may have.
#[tokio::test]
async fn a5_the_shown_config_has_no_secret() {
    let rig = Rig::start(|config, dir| {
        std::fs::write(dir.join("token"), MARK).unwrap();
        let url = config.upstream.clone();
        config.credentials = format!("{{basic: {{username: u, password: {MARK}}}}}");
        config.keys = format!("hmac_secret: {MARK}");
        config.more = vec![
            format!(
                "{{name: b, api: prometheus, url: '{url}', path_prefix: /b, \
                 credentials: {{bearer_token: {MARK}}}}}"
            ),
            format!(
                "{{name: c, api: prometheus, url: '{url}', path_prefix: /c, \
                 credentials: {{bearer_token_file: token}}}}"
            ),
        ];
    })
    .await;
    let good = Signer::hs256(MARK).tenant("acme");
    assert_eq!(rig.status(&good).await, 200);
    for path in ["/-/config", "/metrics", "/-/ready", "/-/healthy"] {
        let text = rig.admin_get(path).await.text();
        assert!(
            !text.contains(MARK) && !text.contains(SECRET),
            "{path}: {text}"
        );
    }
    let question = json!({"token": good, "query": "up", "request": "GET /b/api/v1/query"});
    let asked = Request::post(format!("{}{EXPLAIN}", rig.admin()))
        .header("content-type", "application/json")
        .body(Full::from(Bytes::from(question.to_string())))
        .unwrap();
    let answer: Answer = Client::default().send(asked).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!answer.text().contains(MARK), "{}", answer.text());
    assert!(!rig.process.log().contains(MARK));
}

/// The admin endpoints do not exist on the data port, however they are spelled; nor does the data
/// port's API answer on the admin address.
#[tokio::test]
async fn o4_the_two_ports_share_nothing() {
    let stage = Stage::recorded("").await;
    let before = peak_memory(&stage.proxy);
    for path in [
        "/-/explain",
        "/-/reload",
        "/-/config",
        "/metrics",
        "/%2d/config",
        "/-/config/",
        "//-/config",
        "/x/-/config",
        "/-//config",
        "/METRICS",
        "/./metrics",
        "/metrics;x",
        "/-/config?x",
    ] {
        for method in ["GET", "POST", "PUT"] {
            let answer = stage.send(method, path, &[], b"").await;
            assert!(
                [400, 403, 404, 405].contains(&answer.status),
                "{path}: {answer:?}"
            );
            assert!(!answer.text().contains("partywall_"), "{path}");
        }
    }
    assert!(stage.upstream.take().is_empty());
    let proxy: &Partywall = &stage.proxy;
    let bytes = stage.request("GET", QUERY, &[("Host", "localhost")], b"");
    let answer = exchange(proxy.admin.trim_start_matches("http://"), &bytes).await;
    assert_eq!(answer.status, 404);
    assert!(stage.upstream.take().is_empty());
    assert!(peak_memory(proxy) - before < 32 * MIB);
}
