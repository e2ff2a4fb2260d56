//! What shadow mode and explain predict of a request is what serving does with it: for the hostile
//! tests' framings, for the requests of the clients' tests, and for endpoints, methods, bodies and
//! tokens in every combination.
//!
//! Each request is sent to a proxy that enforces and to one in shadow mode. Both write it to their
//! audit trails, by the trace id that it is sent with; the records must say the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::framing;
use crate::kit::client::{Client, Sent, encode_form};
use crate::kit::partywall::{Partywall, Setup, Tempo};
use crate::kit::raw;
use crate::kit::stage::eventually;
use crate::kit::token::{Signer, now};
use crate::kit::upstream::Upstream;
use crate::law::requests::{self, Times};

/// A request, but for its token and its trace.
#[derive(Clone)]
struct Sample {
    method: String,
    target: String,
    /// Whole lines, each with its end.
    headers: String,
    body: String,
    bearer: Option<String>,
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

const METHODS: [&str; 6] = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"];

/// Targets of both APIs, of neither, and odd ones.
const TARGETS: [&str; 53] = [
    "/api/v1/query?query=up",
    "/api/v1/query?query=up%7Btenant_id%3D%22beta%22%7D",
    "/api/v1/query?query=up%7B",
    "/api/v1/query?query=info(up)",
    "/api/v1/query?query=up&query=down",
    "/api/v1/query?query=up&extra=1",
    "/api/v1/query?query=%FF",
    "/api/v1/query",
    "/api/v1/query_range?query=up&start=1&end=2&step=1",
    "/api/v1/series?match[]=up",
    "/api/v1/series",
    "/api/v1/labels",
    "/api/v1/label/job/values",
    "/api/v1/rules",
    "/api/v1/alerts",
    "/api/v1/targets",
    "/api/v1/metadata?limit=1",
    "/api/v1/query_exemplars?query=up&start=1&end=2",
    "/api/v1/format_query?query=up",
    "/api/v1/parse_query?query=up",
    "/api/v1/status/buildinfo",
    "/api/v1/status/flags",
    "/api/v1/status/config",
    "/api/v1/stores",
    "/api/v1/notifications",
    "/api/v1/notifications/live",
    "/api/v1/scrape_pools",
    "/api/v1/features",
    "/api/v1/openapi.yaml?openapi_version=3.2",
    "/api/v1/admin/tsdb/snapshot",
    "/api/v1/write",
    "/api/v1/read",
    "/api/v1/nonsense",
    "/federate?match[]=up",
    "/metrics",
    "/-/reload",
    "/-/healthy",
    "/graph",
    "/prefix/api/v1/query?query=up",
    "//api/v1/query?query=up",
    "/api/v1/%71uery?query=up",
    "/api/v1/x/../query?query=up",
    "/api/v1/query;a=b?query=up",
    "/api/search?q=%7B%7D",
    "/api/search?q=%7B%20rootName%20%3D%20%22a%22%20%7D",
    "/api/search?tags=a%3Db",
    "/api/v2/search/tags",
    "/api/v2/search/tag/resource.service.name/values",
    "/api/traces/0abc",
    "/api/v2/traces/0abc",
    "/api/traces/nonsense",
    "/api/metrics/query_range?q=%7B%7D%20%7C%20rate()",
    "/api/v2/traces/diff",
];

/// Bodies by their headers.
#[rustfmt::skip]
const BODIES: [(&str, &str); 12] = [
    ("", ""),
    ("Content-Length: 0\r\n", ""),
    ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 8\r\n", "query=up"),
    ("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 6\r\n", "time=1"),
    ("Content-Type: application/json\r\nContent-Length: 2\r\n", "{}"),
    ("Content-Length: 8\r\n", "query=up"),
    ("Content-Type: application/x-www-form-urlencoded\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n", "query=up"),
    ("Content-Type: application/x-www-form-urlencoded\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n", "query=up"),
    ("Content-Type: multipart/form-data; boundary=a\r\nContent-Length: 8\r\n", "query=up"),
    ("Content-Encoding: snappy\r\nContent-Length: 4\r\n", "\0\0\0\0"),
];

fn sample(method: &str, target: &str, headers: &str, body: &str, bearer: Option<&str>) -> Sample {
    Sample {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers.to_owned(),
        body: body.to_owned(),
        bearer: bearer.map(str::to_owned),
    }
}

/// Every request that is asked.
fn samples(signer: &Signer) -> Vec<Sample> {
    let tenant = signer.tenant("acme");
    let tokens = [
        None,
        Some("no.token".to_owned()),
        Some(Signer::rs256().tenant("acme")),
        Some(signer.token(&json!({"exp": 1}))),
        Some(signer.token(&json!({}))),
        Some(signer.admin()),
        Some(signer.tenants(&["acme", "gamma"])),
        Some(tenant.clone()),
    ];
    let own = Some(tenant.as_str());
    let mut all = Vec::new();
    for target in TARGETS {
        for method in METHODS {
            all.push(sample(method, target, "", "", own));
        }
        for token in &tokens {
            all.push(sample("GET", target, "", "", token.as_deref()));
        }
        for (headers, body) in BODIES {
            for method in ["GET", "POST"] {
                all.push(sample(method, target, headers, body, own));
            }
        }
    }
    let large = format!("query=up&x={}", "a".repeat(9000));
    let length = format!("{FORM}Content-Length: {}\r\n", large.len());
    all.push(sample("POST", "/api/v1/query", &length, &large, own));
    let wrong = format!("{JSON}Content-Length: {}\r\n", large.len());
    all.push(sample("POST", "/api/v1/query", &wrong, &large, own));
    for (framing, body) in framing::rows() {
        let headers = format!("{FORM}{framing}");
        for target in ["/api/v1/query", "/api/v1/labels", "/graph"] {
            all.push(sample("POST", target, &headers, body, own));
            all.push(sample("GET", target, &headers, body, own));
        }
    }
    for case in cases() {
        let (method, target, headers, body) = case;
        all.push(sample(&method, &target, &headers, &body, own));
    }
    all
}

/// The requests of the clients' tests.
fn cases() -> Vec<(String, String, String, String)> {
    let end = now() - 30;
    let times = Times {
        start: end - 3600,
        end,
    };
    let all = requests::query_parameters(times)
        .into_iter()
        .chain(requests::metadata(times))
        .chain(requests::exemplars(times))
        .chain(requests::federation());
    let spelled = |case: requests::Case| {
        let form = encode_form(&case.ask.params);
        let path = case.ask.path;
        match case.ask.sent {
            Sent::Get if form.is_empty() => ("GET".to_owned(), path, String::new(), form),
            Sent::Get => (
                "GET".to_owned(),
                format!("{path}?{form}"),
                String::new(),
                String::new(),
            ),
            Sent::Post => {
                let headers = format!("{FORM}Content-Length: {}\r\n", form.len());
                ("POST".to_owned(), path, headers, form)
            }
        }
    };
    all.map(spelled).collect()
}

/// A number as a trace id.
fn trace_id(number: usize) -> String {
    format!("{:032x}", number + 1)
}

impl Sample {
    fn bytes(&self, number: usize) -> Vec<u8> {
        let Self {
            method,
            target,
            headers,
            body,
            bearer,
        } = self;
        let trace = trace_id(number);
        let bearer = bearer.as_ref().map_or_else(String::new, |token| {
            format!("Authorization: Bearer {token}\r\n")
        });
        format!(
            "{method} {target} HTTP/1.1\r\nHost: partywall\r\nConnection: close\r\n\
             traceparent: 00-{trace}-00000000000000a1-01\r\n{bearer}{headers}\r\n{body}"
        )
        .into_bytes()
    }

    /// As explain is asked; `None` where it cannot be.
    fn question(&self) -> Option<Value> {
        if !self.body.is_empty() || !self.headers.is_empty() {
            return None;
        }
        let bearer = self.bearer.as_ref();
        let headers: Vec<String> = bearer
            .map(|token| format!("Authorization: Bearer {token}"))
            .into_iter()
            .collect();
        Some(json!({
            "request": format!("{} {}", self.method, self.target),
            "headers": headers,
        }))
    }
}

/// A proxy and where its audit records are.
struct Audited {
    proxy: Partywall,
    file: PathBuf,
}

impl Audited {
    async fn start(
        upstream: &Upstream,
        signer: Signer,
        dir: &Path,
        name: &str,
        shadow: &str,
    ) -> Self {
        let file = dir.join(name);
        let options: Vec<String> = Some(shadow.to_owned())
            .into_iter()
            .filter(|shadow| !shadow.is_empty())
            .collect();
        let mut setup = Setup::tempo(&upstream.url);
        setup.tempo = setup.tempo.map(|tempo| Tempo {
            options: options.clone(),
            ..tempo
        });
        setup.upstream.clone_from(&upstream.url);
        setup.upstream_options = options;
        setup.signer = signer;
        setup.rest = format!(
            "promql: {{foreign_matchers: reject}}\n\
             limits: {{body_bytes: 8KiB}}\n\
             timeouts: {{first_request: 1s, header: 1s, body_idle: 1s, body_total: 2s, idle: 1s}}\n\
             audit: {{output: {}, sampling: 1, queries: full}}\n",
            file.display()
        );
        let proxy = Partywall::start(setup).await;
        Self { proxy, file }
    }

    /// The records so far, by trace id.
    fn records(&self) -> BTreeMap<String, Value> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let records = whole
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        records
            .filter_map(|record| Some((record["trace_id"].as_str()?.to_owned(), record)))
            .collect()
    }
}

/// What shadow mode is to have said of a request that was served so.
fn expected(served: &Value) -> Value {
    let verdict = match served["decision"].as_str() {
        Some("refused") if served["status"].as_u64() >= Some(500) => "unknown",
        Some("refused") => "denied",
        Some("confined") => "rewritten",
        Some("filtered") => "filtered",
        Some("passed" | "unrestricted") => "unchanged",
        other => panic!("{other:?}: {served}"),
    };
    // What the upstream answered is another matter.
    let refused = |field: &str| match served["decision"].as_str() {
        Some("refused") => served[field].clone(),
        _ => Value::Null,
    };
    json!({
        "shadow": verdict,
        "would_answer": refused("status"),
        "reason": refused("reason"),
        "error": refused("error"),
        "queries": served["queries"],
        "rewritten": served["rewritten"],
    })
}

/// What it has said. Where it predicts no refusal, an error is one of the request that it forwarded.
fn predicted(record: &Value) -> Value {
    let is_refusal = matches!(record["shadow"].as_str(), Some("denied" | "unknown"));
    let refused = |field: &str| {
        if is_refusal {
            record[field].clone()
        } else {
            Value::Null
        }
    };
    json!({
        "shadow": record["shadow"],
        "would_answer": refused("would_answer"),
        "reason": refused("reason"),
        "error": refused("error"),
        "queries": record["queries"],
        "rewritten": record["rewritten"],
    })
}

/// Sends every sample to each of these, a few at a time.
async fn send_all(samples: &[Sample], to: [&Audited; 2]) {
    let mut running = JoinSet::new();
    for (number, sample) in samples.iter().enumerate() {
        if running.len() >= 12 {
            running.join_next().await.unwrap().unwrap();
        }
        let bytes = sample.bytes(number);
        let to = to.map(|audited| audited.proxy.authority().to_owned());
        running.spawn(async move {
            for authority in to {
                raw::exchange(&authority, &bytes).await;
            }
        });
    }
    running.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shadow_and_explain_predict_what_serving_does() {
    let dir = tempfile::TempDir::new().unwrap();
    let upstream = Upstream::start().await;
    let secret = "0123456789abcdef0123456789abcdef";
    let signer = || Signer::hs256(secret);
    let until = humantime::format_rfc3339_seconds(
        std::time::SystemTime::now() + std::time::Duration::from_hours(1),
    );
    let shadow = format!("shadow: {{until: {until}, tenants_see_each_other: true}}");
    let serving = Audited::start(&upstream, signer(), dir.path(), "serving", "").await;
    let shadowed = Audited::start(&upstream, signer(), dir.path(), "shadowed", &shadow).await;

    let samples = samples(&signer());
    send_all(&samples, [&serving, &shadowed]).await;

    let is_quiet = async || {
        let count = || (serving.records().len(), shadowed.records().len());
        let before = count();
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        before == count()
    };
    eventually("all records are written", is_quiet).await;
    let (served, seen) = (serving.records(), shadowed.records());
    let client = Client::default();
    let (mut wrong, mut verdicts, mut explained) = (Vec::new(), BTreeMap::new(), 0);
    for (number, sample) in samples.iter().enumerate() {
        let trace = trace_id(number);
        let (served, seen) = (served.get(&trace), seen.get(&trace));
        let what = String::from_utf8_lossy(&sample.bytes(number)).into_owned();
        let (served, seen) = match (served, seen) {
            // Both were refused before they were requests.
            (None, None) => continue,
            (Some(served), Some(seen)) => (served, seen),
            (served, seen) => {
                wrong.push(format!("{what}\nserved {served:?}\nshadow {seen:?}"));
                continue;
            }
        };
        // Only the store knows whether the traces are the caller's, and whether it accepts a selector
        // of everything.
        let asks_first = seen["shadow"] == "unknown" && seen["reason"].is_null();
        let (prediction, came) = match seen["decision"].as_str() {
            Some("shadow") => (predicted(seen), expected(served)),
            // It is not for shadow mode, which treats it as serving does.
            _ => (seen["reason"].clone(), served["reason"].clone()),
        };
        if prediction != came && !asks_first {
            wrong.push(format!("{what}\nserved {came}\nshadow {prediction}"));
        }
        *verdicts.entry(came["shadow"].to_string()).or_insert(0) += 1;
        let Some(question) = sample.question() else {
            continue;
        };
        let request = Request::post(format!("{}/-/explain", serving.proxy.admin))
            .header("content-type", "application/json")
            .body(Full::new(question.to_string().into()))
            .unwrap();
        let explanation = client.send(request).await;
        if explanation.status != 200 {
            wrong.push(format!("{what}\nexplain {}", explanation.text()));
            continue;
        }
        explained += 1;
        let explanation = explanation.json();
        let error = served["error"].as_str().unwrap_or_default();
        let agrees = match explanation["result"].as_str() {
            Some("undecided") => asks_first,
            _ if asks_first => false,
            Some("sent" | "answered") => served["decision"] != "refused",
            Some("refused") => {
                served["decision"] == "refused"
                    && explanation["reason"] == served["reason"]
                    && explanation["status"] == served["status"]
                    && error.starts_with(explanation["text"].as_str().unwrap())
            }
            _ => false,
        };
        if !agrees {
            wrong.push(format!("{what}\nserved {served}\nexplain {explanation}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    for verdict in ["denied", "rewritten", "filtered", "unchanged"] {
        assert!(
            verdicts.contains_key(&format!("\"{verdict}\"")),
            "{verdicts:?}"
        );
    }
    assert!(explained > 500, "{explained}");
}
