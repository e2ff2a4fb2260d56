//! The audit trail: each kind of decision has its line, wherever it is written, and nothing that
//! goes wrong with it is felt by a request.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::kit::client::{Answer, Ask, Client, Sent};
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::process::free_port;
use crate::kit::rig::{ACME, Config, Rig};
use crate::kit::stage::{PATIENCE, SECRET, Stage, eventually, until_closed};
use crate::kit::token::{ISSUER, Signer};
use crate::kit::upstream::{Behaviour, Reply, Upstream};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A file for the trail, and the config that names it.
struct Trail {
    dir: TempDir,
}

impl Trail {
    fn new() -> Self {
        Self {
            dir: TempDir::new().expect("a temporary directory"),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("audit.jsonl")
    }

    /// `rest` is what `audit` has besides its output.
    fn section(&self, rest: &str) -> String {
        format!("audit: {{output: {}, {rest}}}\n", self.path().display())
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap_or_default()
    }

    fn lines(&self) -> Vec<Value> {
        lines_of(&self.text())
    }

    /// The last line, once there are this many.
    async fn last_of(&self, count: usize) -> Value {
        eventually("the line is there", async || self.lines().len() >= count).await;
        let lines = self.lines();
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines[count - 1].clone()
    }
}

fn lines_of(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

/// The values of these keys.
fn some(line: &Value, keys: &[&str]) -> Value {
    let pairs = keys
        .iter()
        .map(|key| ((*key).to_owned(), line[*key].clone()));
    Value::Object(pairs.collect())
}

async fn ask(url: &str, ask: Ask, token: Option<&str>) -> Answer {
    let ask = ask.with_header("traceparent", TRACEPARENT);
    Client::default().ask(url, &ask, token).await
}

#[tokio::test]
#[allow(clippy::too_many_lines)] // One entry a kind.
async fn each_kind_of_decision_has_its_line_and_is_counted() {
    let trail = Trail::new();
    let stage = Stage::recorded(&trail.section("sampling: 1, queries: full")).await;
    let (tenant, admin) = (
        stage.proxy.signer.tenant("acme"),
        stage.proxy.signer.admin(),
    );
    let query = |sent| Ask::new(sent, "/api/v1/query", &[("query", "up{a=\"b\"}")]);
    let series = [("match[]", "up"), ("match[]", "down"), ("start", "1")];
    let rules = r#"{"status":"success","data":{"groups":[]}}"#;
    let vector = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    for (number, (what, token, request, decision, expected)) in [
        (
            "a query",
            Some(&tenant),
            query(Sent::Get),
            "confined",
            json!({
                "status": 200, "route": "query", "method": "GET", "upstream": "metrics",
                "queries": ["up{a=\"b\"}"], "rewritten": ["up{tenant_id=\"acme\",a=\"b\"}"],
                "subject": "tester", "issuer": ISSUER, "tenants": ["acme"],
                "all_tenants": null, "reason": null, "error": null, "trace_id": TRACE,
            }),
        ),
        (
            "selectors",
            Some(&tenant),
            Ask::new(Sent::Post, "/api/v1/series", &series),
            "confined",
            json!({
                "method": "POST", "queries": ["up", "down"],
                "rewritten": ["up{tenant_id=\"acme\"}", "down{tenant_id=\"acme\"}"],
            }),
        ),
        (
            "a filtered answer",
            Some(&tenant),
            Ask::get("/api/v1/rules", &[]),
            "filtered",
            json!({"route": "rules", "status": 200, "queries": null, "rewritten": null}),
        ),
        (
            "what knows no tenant",
            Some(&tenant),
            Ask::get("/api/v1/status/buildinfo", &[]),
            "passed",
            json!({"route": "buildinfo"}),
        ),
        (
            "a page",
            Some(&tenant),
            Ask::get("/graph", &[("g0.expr", "up")]),
            "passed",
            json!({"route": "passthrough", "queries": null}),
        ),
        (
            "a caller with all tenants",
            Some(&admin),
            query(Sent::Post),
            "unrestricted",
            json!({
                "queries": ["up{a=\"b\"}"], "rewritten": null,
                "tenants": null, "all_tenants": true,
            }),
        ),
        (
            "a closed endpoint",
            Some(&tenant),
            Ask::get("/api/v1/status/config", &[]),
            "refused",
            json!({
                "route": "status", "status": 403, "reason": "closed", "subject": "tester",
                "tenants": ["acme"],
            }),
        ),
        (
            "a query that is none",
            Some(&tenant),
            Ask::get("/api/v1/query", &[("query", "up{")]),
            "refused",
            json!({"status": 400, "reason": "malformed", "queries": ["up{"], "rewritten": null}),
        ),
        (
            "no token",
            None,
            query(Sent::Get),
            "refused",
            json!({
                "status": 401, "reason": "missing", "subject": null, "issuer": null,
                "tenants": null, "queries": null, "upstream": "metrics",
            }),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let body = if what == "a filtered answer" {
            rules
        } else {
            vector
        };
        stage.upstream.reply(Reply::json(body));
        ask(&stage.proxy.url, request, token.map(String::as_str)).await;
        let line = trail.last_of(number + 1).await;
        assert_eq!(line["decision"], decision, "{what}: {line:#}");
        let keys: Vec<&str> = expected
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(some(&line, &keys), expected, "{what}: {line:#}");
        assert!(line["duration_ms"].as_f64().unwrap() > 0.0, "{what}");
        let remote = line["remote"].as_str().unwrap();
        assert!(remote.starts_with("127.0.0.1:"), "{what}: {remote}");
        assert!(line["time"].as_str().unwrap().ends_with('Z'), "{what}");
        let has_error = line["error"]
            .as_str()
            .is_some_and(|error| !error.is_empty());
        assert_eq!(has_error, decision == "refused", "{what}: {line:#}");
    }
    for (series, count) in [
        (r#"{route="query",decision="confined"}"#, 1.0),
        (r#"{route="series",decision="confined"}"#, 1.0),
        (r#"{route="rules",decision="filtered"}"#, 1.0),
        (r#"{route="buildinfo",decision="passed"}"#, 1.0),
        (r#"{route="passthrough",decision="passed"}"#, 1.0),
        (r#"{route="query",decision="unrestricted"}"#, 1.0),
        (r#"{route="status",decision="refused"}"#, 1.0),
        (r#"{route="query",decision="refused"}"#, 2.0),
    ] {
        let counted = stage
            .metric(&format!("partywall_decisions_total{series}"))
            .await;
        assert!((counted - count).abs() < 0.1, "{series}: {counted}");
    }
    let written = r#"partywall_audit_records_total{result="written"}"#;
    assert!((stage.metric(written).await - 9.0).abs() < 0.1);
}

/// As it was before there was `audit`: refusals and callers with all tenants, among the log lines,
/// and no text of a query.
#[tokio::test]
async fn the_default_logs_refusals_and_callers_with_all_tenants() {
    let stage = Stage::recorded("log: {format: json}\n").await;
    let (tenant, admin) = (
        stage.proxy.signer.tenant("acme"),
        stage.proxy.signer.admin(),
    );
    let query = || Ask::get("/api/v1/query", &[("query", "very_private")]);
    ask(&stage.proxy.url, query(), Some(&tenant)).await;
    ask(&stage.proxy.url, query(), Some(&admin)).await;
    ask(
        &stage.proxy.url,
        Ask::get("/api/v1/status/config", &[]),
        Some(&tenant),
    )
    .await;
    let audit = || {
        let log = stage.proxy.process.log();
        let lines = log.lines().filter(|line| line.contains("partywall::audit"));
        let lines: Vec<Value> = lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        lines
    };
    eventually("both lines are there", async || audit().len() >= 2).await;
    let lines = audit();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    let keys = [
        "decision",
        "route",
        "status",
        "subject",
        "issuer",
        "trace_id",
        "all_tenants",
    ];
    assert_eq!(
        some(&lines[0]["fields"], &keys),
        json!({
            "decision": "unrestricted", "route": "query", "status": 200, "subject": "tester",
            "issuer": ISSUER, "trace_id": TRACE, "all_tenants": true,
        })
    );
    assert_eq!(
        some(
            &lines[1]["fields"],
            &["decision", "reason", "tenants", "message"]
        ),
        json!({"decision": "refused", "reason": "closed", "tenants": "acme", "message": "refused"})
    );
    assert!(!stage.proxy.process.log().contains("very_private"));
}

#[tokio::test]
async fn queries_are_recorded_as_configured() {
    for (queries, shows_query) in [("full", true), ("hash", false), ("none", false)] {
        let trail = Trail::new();
        let stage =
            Stage::recorded(&trail.section(&format!("sampling: 1, queries: {queries}"))).await;
        let token = stage.proxy.signer.tenant("acme");
        let query = Ask::get("/api/v1/query", &[("query", "very_private")]);
        ask(&stage.proxy.url, query, Some(&token)).await;
        let line = trail.last_of(1).await;
        assert_eq!(
            trail.text().contains("very_private"),
            shows_query,
            "{line:#}"
        );
        let hash = line["queries"][0].as_str().unwrap_or_default();
        assert_eq!(hash.starts_with("sha256:"), queries == "hash", "{line:#}");
        assert_eq!(line.get("queries").is_some(), queries != "none", "{line:#}");
    }
}

#[tokio::test]
async fn the_sampled_share_of_allowed_requests_is_written() {
    let trail = Trail::new();
    let stage = Stage::recorded(&trail.section("sampling: 0.25")).await;
    let (tenant, admin) = (
        stage.proxy.signer.tenant("acme"),
        stage.proxy.signer.admin(),
    );
    let query = || Ask::get("/api/v1/query", &[("query", "up")]);
    for _ in 0..100 {
        ask(&stage.proxy.url, query(), Some(&tenant)).await;
    }
    for _ in 0..10 {
        ask(&stage.proxy.url, query(), Some(&admin)).await;
        ask(&stage.proxy.url, query(), Some("no.such.token")).await;
    }
    let count = |decision: &str| {
        let lines = trail.lines();
        lines
            .iter()
            .filter(|line| line["decision"] == decision)
            .count()
    };
    eventually("the last are there", async || {
        count("refused") == 10 && count("unrestricted") == 10
    })
    .await;
    assert!(
        (23..=27).contains(&count("confined")),
        "{}",
        count("confined")
    );
}

/// A rotation by rename, then one by copy and truncate, while requests come.
#[tokio::test]
async fn rotation_under_load_loses_no_line() {
    let trail = Trail::new();
    let stage = Stage::recorded(&trail.section("sampling: 1")).await;
    let over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
            let (url, token) = (stage.proxy.url.clone(), stage.proxy.signer.tenant("acme"));
            tokio::spawn(async move {
                let client = Client::default();
                let query = Ask::get("/api/v1/query", &[("query", "up")]);
                while !over.load(Ordering::SeqCst) {
                    let answer = client.ask(&url, &query, Some(&token)).await;
                    assert_eq!(answer.status, 200);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let more = async |what: &str| {
        let before = answered.load(Ordering::SeqCst);
        eventually(what, async || answered.load(Ordering::SeqCst) > before + 50).await;
    };
    let rotated = |number: usize| trail.dir.path().join(format!("audit.jsonl.{number}"));
    for number in 0..4 {
        more("requests are answered before").await;
        std::fs::rename(trail.path(), rotated(number)).unwrap();
        more("requests are answered while the file has its old name no more").await;
        stage.proxy.process.signal("HUP");
        eventually("there is a new file", async || trail.path().exists()).await;
    }
    over.store(true, Ordering::SeqCst);
    for worker in load {
        worker.await.unwrap();
    }
    let answered = answered.load(Ordering::SeqCst);
    let written = || -> usize {
        let old = (0..4).map(|number| std::fs::read_to_string(rotated(number)).unwrap());
        old.map(|text| lines_of(&text).len()).sum::<usize>() + trail.lines().len()
    };
    eventually("every line is somewhere", async || written() >= answered).await;
    assert_eq!(written(), answered);
    // Copied and truncated: what comes next starts the file, without a hole before it.
    std::fs::write(trail.path(), "").unwrap();
    let query = Ask::get("/api/v1/query", &[("query", "up")]);
    let token = stage.proxy.signer.tenant("acme");
    ask(&stage.proxy.url, query, Some(&token)).await;
    trail.last_of(1).await;
}

/// A file that may not grow stands for a full disk; the process's own log may not either.
#[tokio::test]
async fn a_full_disk_fails_no_request() {
    let trail = Trail::new();
    let rig = Rig::launch_as(
        |config, _| config.rest = trail.section("sampling: 1"),
        |dir, config| {
            let path = dir.join("partywall.yaml");
            std::fs::write(&path, config.to_string()).unwrap();
            path
        },
        || {
            let mut command = Command::new("sh");
            let limited = "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"";
            command.args(["-c", limited, env!("CARGO_BIN_EXE_partywall")]);
            command
        },
    )
    .await;
    let failed = r#"partywall_audit_records_total{result="failed"}"#;
    for round in 0..100 {
        for _ in 0..10 {
            assert_eq!(rig.status(&ACME).await, 200, "in round {round}");
        }
        if rig.metric(failed).await > 20.0 {
            break;
        }
    }
    assert!(rig.metric(failed).await > 20.0, "the disk was not full");
    let log = rig.process.log();
    let complaints = log.matches("cannot write audit records").count();
    assert_eq!(complaints, 1, "once a minute:\n{log}");
    // What is there is whole lines, but for the last.
    let text = trail.text();
    let whole = text.rsplit_once('\n').unwrap().0;
    assert!(lines_of(whole).len() > 10);
    let size = std::fs::metadata(trail.path()).unwrap().len();
    assert!(size <= 16 * 1024, "{size}");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_line() {
    let trail = Trail::new();
    let stage = Stage::recorded(&trail.section("queries: full")).await;
    stage.upstream.behave(Behaviour::Silent);
    let admin = format!("Bearer {}", stage.proxy.signer.admin());
    let mut stream = stage.connect().await;
    let request = crate::kit::raw::request(
        "GET",
        "/api/v1/query?query=up",
        &[("Authorization", &admin)],
        b"",
    );
    stream.write_all(&request).await.unwrap();
    eventually("it is upstream", async || !stage.upstream.take().is_empty()).await;
    assert!(trail.text().is_empty(), "it is not over yet");
    drop(stream);
    let line = trail.last_of(1).await;
    assert_eq!(
        some(&line, &["decision", "status", "all_tenants", "queries"]),
        json!({"decision": "unrestricted", "status": 499, "all_tenants": true, "queries": ["up"]})
    );
}

/// What is in flight when the drain is over has its line too.
#[tokio::test]
async fn shutdown_writes_the_remaining_records() {
    let trail = Trail::new();
    let rest = format!("{}drain: {{max: 300ms}}\n", trail.section("sampling: 1"));
    let mut stage = Stage::recorded(&rest).await;
    stage.upstream.behave(Behaviour::Silent);
    let mut stream = stage.connect().await;
    stream
        .write_all(&stage.kept("/api/v1/query?query=up"))
        .await
        .unwrap();
    eventually("it is upstream", async || !stage.upstream.take().is_empty()).await;
    stage.proxy.process.signal("TERM");
    let status = stage.proxy.process.wait(PATIENCE).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    until_closed(&mut stream).await;
    let line = trail.last_of(1).await;
    assert_eq!(
        some(&line, &["decision", "status", "tenants"]),
        json!({"decision": "confined", "status": 499, "tenants": ["acme"]})
    );
}

#[tokio::test]
async fn standard_output_takes_it_too() {
    let stage = Stage::recorded("audit: {output: stdout, sampling: 1}\n").await;
    let token = stage.proxy.signer.tenant("acme");
    let query = Ask::get("/api/v1/query", &[("query", "up")]);
    ask(&stage.proxy.url, query, Some(&token)).await;
    // The log of a test holds both streams; only this line is JSON.
    let line = || {
        let log = stage.proxy.process.log();
        log.lines()
            .find_map(|line| serde_json::from_str::<Value>(line).ok())
    };
    eventually("the line is there", async || line().is_some()).await;
    assert_eq!(line().unwrap()["decision"], "confined");
}

#[tokio::test]
async fn it_changes_with_the_config() {
    let trail = Trail::new();
    let mut rig = Rig::start(|_, _| {}).await;
    assert_eq!(rig.status(&ACME).await, 200);
    assert!(trail.text().is_empty());
    let poll = rig.config.rest.clone();
    rig.config.rest = format!("{poll}{}", trail.section("sampling: 1"));
    rig.replace();
    eventually("a line is in the file", async || {
        rig.status(&ACME).await == 200 && !trail.text().is_empty()
    })
    .await;
    assert!(trail.lines()[0].get("queries").is_none());

    // Another setting, the same file.
    let before = trail.text();
    rig.config.rest = format!("{poll}{}", trail.section("sampling: 1, queries: full"));
    rig.replace();
    eventually("queries are in the lines", async || {
        rig.status(&ACME).await == 200 && trail.lines().last().unwrap()["queries"] == json!(["up"])
    })
    .await;
    assert!(trail.text().starts_with(&before));

    // A file that cannot be: the whole config stays as it is.
    rig.config.rest = format!("{poll}audit: {{output: /no/such/folder/audit, sampling: 1}}\n");
    rig.replace();
    eventually("it is refused", async || rig.reloads().await.1 > 0.5).await;
    assert!(
        rig.process
            .log()
            .contains("audit.output: /no/such/folder/audit")
    );
    let before = trail.lines().len();
    assert_eq!(rig.status(&ACME).await, 200);
    eventually("lines still come", async || trail.lines().len() > before).await;

    rig.config.rest = format!("{poll}audit: {{output: none, sampling: 1}}\n");
    rig.replace();
    eventually("no more lines come", async || {
        let before = trail.lines().len();
        rig.status(&ACME).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        trail.lines().len() == before
    })
    .await;
}

#[tokio::test]
async fn unusable_output_is_an_error_at_startup() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("partywall.yaml");
    for output in ["/dev/full", "/no/such/folder/audit"] {
        let mut config = Config::new("http://127.0.0.1:1");
        config.port = free_port();
        config.rest = format!("audit: {{output: {output}}}\n");
        std::fs::write(&path, config.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_partywall"));
        let ended = command
            .arg("serve")
            .arg("--config")
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("audit.output: {output}")), "{said}");
    }
}

/// With every library's own log on, tokens in every place where one may stand, and every query
/// told: no token is anywhere.
#[tokio::test]
async fn no_token_is_written_anywhere() {
    let trail = Trail::new();
    let rest = format!(
        "{}log: {{level: trace}}\nreload: {{poll_interval: 100ms}}\n",
        trail.section("sampling: 1, queries: full")
    );
    let upstream = Upstream::start().await;
    let mut setup = Setup::new(&upstream.url);
    setup.rest = rest;
    setup.signer = Signer::hs256(SECRET);
    let bearer = "b3arerT0kenOfTheUpstream";
    setup.upstream_options = vec![format!("credentials: {{bearer_token: {bearer}}}")];
    let stage = Stage {
        bearer: String::new(),
        proxy: Partywall::start(setup).await,
        upstream,
    };
    let token = stage.proxy.signer.tenant("acme");
    let other = stage.proxy.signer.tenant("beta");
    let forged = format!("{}x", stage.proxy.signer.tenant("gamma"));
    let url = &stage.proxy.url;
    let in_query = format!("up{{a=\"{other}\"}}");
    for (request, token) in [
        (Ask::get("/api/v1/query", &[("query", "up")]), Some(&token)),
        (
            Ask::get("/api/v1/query", &[("query", &in_query)]),
            Some(&token),
        ),
        (
            Ask::get("/api/v1/query", &[("query", &other)]),
            Some(&token),
        ),
        (
            Ask::new(
                Sent::Post,
                "/api/v1/query",
                &[("query", "up"), ("token", &other)],
            ),
            Some(&token),
        ),
        (Ask::get("/api/v1/query", &[("query", "up")]), Some(&forged)),
        (
            Ask::get("/api/v1/query", &[("query", "up")]).with_header("x-id-token", &other),
            None,
        ),
    ] {
        ask(url, request, token.map(String::as_str)).await;
    }
    let mut h2 = stage.connect_h2().await;
    for value in [&token, &forged] {
        let request = hyper::Request::get(format!("http://partywall/api/v1/query?query={other}"))
            .header("authorization", format!("Bearer {value}"))
            .header("x-id-token", other.as_str())
            .body(http_body_util::Full::default())
            .unwrap();
        h2.send_request(request).await.unwrap();
    }
    trail.last_of(8).await;
    let lines = trail.lines();
    let forged_ones = lines.iter().filter(|line| line["status"] == 401).count();
    assert_eq!(forged_ones, 2, "{lines:#?}");
    let client = Client::default();
    let admin = &stage.proxy.admin;
    let told = [
        ("the log", stage.proxy.process.log()),
        ("the trail", trail.text()),
        (
            "metrics",
            client.get(&format!("{admin}/metrics")).await.text(),
        ),
        (
            "config",
            client.get(&format!("{admin}/-/config")).await.text(),
        ),
    ];
    assert!(told[0].1.contains("TRACE hyper"), "libraries tell all");
    for (place, text) in told {
        for secret in [&token, &other, &forged] {
            for part in secret.split('.').skip(1).chain([secret.as_str()]) {
                assert_absent(place, &text, part);
            }
        }
        assert_absent(place, &text, bearer);
        assert_absent(place, &text, SECRET);
    }
}

fn assert_absent(place: &str, text: &str, secret: &str) {
    let line = text.lines().find(|line| line.contains(secret));
    assert!(line.is_none(), "{secret} is in {place}: {}", line.unwrap());
}

/// Only the owner and the group may read the file.
#[tokio::test]
async fn the_file_is_for_the_owner_and_the_group() {
    use std::os::unix::fs::PermissionsExt;
    let trail = Trail::new();
    let _stage = Stage::recorded(&trail.section("sampling: 1")).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&trail.path()) & 0o7, 0);
}
