//! All traffic at once, with reloads and faults, for as long as asked. Every tenant's data names
//! its tenant, so an answer that names another is a leak; there must be none.
//!
//! ```text
//! SOAK_SECONDS=3600 cargo test --release --test e2e soak -- --ignored --nocapture
//! ```
//!
//! It reports requests by kind and status, errors by reason, and memory over time.

mod stores;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::kit::client::{Ask, Client, Sent};
use crate::kit::partywall::{Partywall, Setup, Tempo};
use crate::kit::random::{Random, seeds};
use crate::kit::raw::exchange;
use crate::kit::token::Signer;
use crate::kit::upstream::decode;

const TENANTS: [&str; 4] = ["acme", "beta", "gamma.io", "a|b"];
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Seconds from one line of progress to the next.
const PROGRESS: usize = 10;
/// Clients of each kind.
const CLIENTS: usize = 3;

/// What only this tenant may be shown.
fn secret_of(tenant: &str) -> String {
    format!("secret-of-<{tenant}>")
}

/// Whether an answer to this tenant holds what is another's.
fn leaks(tenant: &str, answer: &str) -> bool {
    let all = TENANTS.iter().filter(|other| **other != tenant);
    all.map(|other| secret_of(other))
        .any(|secret| answer.contains(&secret))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "SOAK_SECONDS=60 cargo test --release --test e2e soak -- --ignored --nocapture"]
async fn soak() {
    let seed = seeds("soak")[0];
    let store = Store::start(seed).await;
    let mut setup = Setup::new(&store.url);
    setup.signer = Signer::hs256(SECRET);
    setup.tempo = Some(Tempo {
        url: store.url.clone(),
        tenancy: "attribute: resource.tenant_id".to_owned(),
        options: vec!["timeouts: {response_head: 2s, body_idle: 2s}".to_owned()],
    });
    setup.upstream_options = vec!["timeouts: {response_head: 2s, body_idle: 2s}".to_owned()];
    setup.rest =
        "timeouts: {body_idle: 2s, header: 2s}\nreload: {poll_interval: 300ms}\n".to_owned();
    let proxy = Arc::new(Partywall::start(setup).await);

    let tally = Arc::new(Tally::default());
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for index in 0..CLIENTS {
        let seed = seed + 100 * u64::try_from(index).expect("small");
        for (kind, tenant) in (1..).zip(TENANTS) {
            let random = Random::of(seed + kind);
            let (proxy, tally, stop) = (Arc::clone(&proxy), Arc::clone(&tally), Arc::clone(&stop));
            clients.spawn(honest(tenant, random, proxy, tally, stop));
        }
        let random = Random::of(seed);
        let (proxy, tally, stop) = (Arc::clone(&proxy), Arc::clone(&tally), Arc::clone(&stop));
        clients.spawn(hostile(random, proxy, tally, stop));
    }
    let memory = watch(&proxy, soak_time(), |after, of, memory| {
        tally.progress(after, of, memory);
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("no client fails");
    }
    report(&proxy, &tally, &memory).await;

    assert!(tally.leaks.lock().expect("no panic").is_empty(), "it leaks");
    assert!(tally.served() > 100, "too little was served to mean much");
    store.is_well.store(true, Ordering::Relaxed);
    let ask = Ask::get("/api/v1/query", &[("query", "up")]);
    let token = proxy.signer.tenant("acme");
    let answer = Client::default().ask(&proxy.url, &ask, Some(&token)).await;
    assert_eq!(
        answer.status,
        200,
        "it serves in the end: {}",
        answer.text()
    );
    assert!(
        answer.text().contains(&secret_of("acme")),
        "{}",
        answer.text()
    );
    assert_memory_is_flat(&memory);
}

/// How long a soak lasts.
fn soak_time() -> Duration {
    let seconds = std::env::var("SOAK_SECONDS").ok();
    let seconds = seconds.map_or(60, |seconds| seconds.parse().expect("a number of seconds"));
    Duration::from_secs(seconds)
}

#[derive(Default)]
struct Tally {
    answers: Mutex<BTreeMap<(&'static str, u16), usize>>,
    /// What was asked, and the answer.
    leaks: Mutex<Vec<String>>,
}

impl Tally {
    fn count(&self, kind: &'static str, status: u16) {
        let mut answers = self.answers.lock().expect("no panic");
        *answers.entry((kind, status)).or_default() += 1;
    }

    fn check(&self, tenant: &str, what: &str, answer: &str) {
        if leaks(tenant, answer) {
            let leak = format!("{tenant} asked {what} and was answered {answer}");
            println!("!!! LEAK: {leak}");
            self.leaks.lock().expect("no panic").push(leak);
        }
    }

    /// One line, so that who waits for an hour sees it going on, and a leak at once.
    fn progress(&self, after: Duration, of: Duration, memory: usize) {
        let answers: usize = self.answers.lock().expect("no panic").values().sum();
        let leaks = self.leaks.lock().expect("no panic").len();
        let (after, of, memory) = (after.as_secs(), of.as_secs(), memory >> 20);
        println!("{after} of {of} s: {answers} answers, {leaks} leaks, {memory} MiB");
    }

    fn served(&self) -> usize {
        let answers = self.answers.lock().expect("no panic");
        let good = answers.iter().filter(|((_, status), _)| *status == 200);
        good.map(|(_, count)| count).sum()
    }
}

/// Reloads once a second, and gives the memory after each reload. `progress` is told the time, the
/// whole time, and the memory in bytes.
async fn watch(
    proxy: &Partywall,
    time: Duration,
    progress: impl Fn(Duration, Duration, usize),
) -> Vec<usize> {
    let started = Instant::now();
    let text = std::fs::read_to_string(proxy.config()).expect("the config");
    let (mut memory, mut round) = (Vec::new(), 0);
    while started.elapsed() < time || memory.len() < 4 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        round += 1;
        // A good file, the same with a remark, and one that is none.
        let next = match round % 3 {
            0 => text.clone(),
            1 => format!("{text}# round {round}\n"),
            _ => format!("{text}nonsense: {round}\n"),
        };
        std::fs::write(proxy.config(), next).expect("written");
        proxy.process.signal("HUP");
        memory.push(resident(proxy));
        if round % PROGRESS == 0 {
            progress(started.elapsed(), time, memory[memory.len() - 1]);
        }
    }
    std::fs::write(proxy.config(), text).expect("written");
    memory
}

fn resident(proxy: &Partywall) -> usize {
    let path = format!("/proc/{}/status", proxy.process.id());
    let status = std::fs::read_to_string(path).expect("the process lives");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kilobytes.expect("a number") * 1024
}

async fn report(proxy: &Partywall, tally: &Tally, memory: &[usize]) {
    for ((kind, status), count) in &*tally.answers.lock().expect("no panic") {
        println!("{kind:12} {status:3}: {count}");
    }
    report_process(proxy, memory).await;
    println!("leaks: {}", tally.leaks.lock().expect("no panic").len());
}

/// What the process says of itself, which must not be a panic.
async fn report_process(proxy: &Partywall, memory: &[usize]) {
    let metrics = Client::default()
        .get(&format!("{}/metrics", proxy.admin))
        .await;
    let metrics = metrics.text();
    for prefix in [
        "partywall_refusals_total",
        "partywall_panics",
        "partywall_config_reloads",
    ] {
        for line in metrics.lines().filter(|line| line.starts_with(prefix)) {
            println!("{line}");
        }
    }
    let panics = metrics
        .lines()
        .find(|line| line.starts_with("partywall_panics_total"));
    assert!(panics.is_none_or(|line| line.ends_with(" 0")), "{panics:?}");
    let steps = (memory.len() / 20).max(1);
    let shown: Vec<usize> = memory
        .iter()
        .step_by(steps)
        .map(|bytes| bytes >> 20)
        .collect();
    println!("memory over time, in MiB: {shown:?}");
}

fn assert_memory_is_flat(memory: &[usize]) {
    let (first, last) = (memory[memory.len() / 4], memory[memory.len() - 1]);
    assert!(
        last < first * 3 / 2 + (64 << 20),
        "memory grew from {first} to {last}"
    );
}

type Asked = (Sent, &'static str, &'static [(&'static str, &'static str)]);

#[rustfmt::skip]
const ASKED: [Asked; 16] = [
    (Sent::Get, "/api/v1/query", &[("query", "up")]),
    (Sent::Post, "/api/v1/query", &[("query", "sum by (job) (rate(up[5m])) + topk(scalar(b), a)")]),
    (Sent::Post, "/api/v1/query_range", &[("query", "up or {tenant_id=\"beta\"}"), ("start", "1"), ("end", "9"), ("step", "1")]),
    (Sent::Get, "/api/v1/query_exemplars", &[("query", "up"), ("start", "1"), ("end", "9")]),
    (Sent::Get, "/api/v1/series", &[("match[]", "up"), ("match[]", "{tenant_id=~\".*\"}")]),
    (Sent::Get, "/api/v1/labels", &[]),
    (Sent::Get, "/api/v1/label/job/values", &[]),
    (Sent::Get, "/federate", &[("match[]", "up")]),
    (Sent::Get, "/api/v1/rules", &[]),
    (Sent::Get, "/api/v1/alerts", &[]),
    (Sent::Get, "/api/traces/1", &[]),
    (Sent::Get, "/api/v2/traces/1", &[]),
    (Sent::Get, "/api/search", &[("q", "{ .a = 1 } || { .b = 2 }")]),
    (Sent::Get, "/api/metrics/query_range", &[("q", "{} | rate()"), ("start", "1"), ("end", "9")]),
    (Sent::Get, "/api/v1/status/config", &[]),
    (Sent::Get, "/api/v1/query", &[("query", "up{")]),
];

/// A tenant's Grafana.
async fn honest(
    tenant: &'static str,
    mut random: Random,
    proxy: Arc<Partywall>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
) {
    let (client, token) = (Client::default(), proxy.signer.tenant(tenant));
    while !stop.load(Ordering::Relaxed) {
        let (sent, path, params) = ASKED[random.below(ASKED.len())];
        let ask = Ask::new(sent, path, params);
        let asked = client.try_send(ask.request(&proxy.url, Some(&token)));
        if random.chance(3) {
            // Changes its mind.
            let _ = tokio::time::timeout(Duration::from_millis(2), asked).await;
            tally.count("left", 0);
            continue;
        }
        match asked.await {
            Ok(answer) => {
                tally.count("honest", answer.status.as_u16());
                tally.check(tenant, &ask.to_string(), &answer.text());
            }
            Err(_) => tally.count("broken off", 0),
        }
    }
}

/// A client that attacks.
async fn hostile(
    mut random: Random,
    proxy: Arc<Partywall>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
) {
    let token = proxy.signer.tenant("acme");
    let expired = proxy
        .signer
        .token(&serde_json::json!({"tenant_id": "acme", "exp": 1}));
    let head = |token: &str| format!("Host: x\r\nAuthorization: Bearer {token}\r\n");
    let second = format!(
        "GET /api/v1/query?query=up HTTP/1.1\r\n{}\r\n",
        head(&token)
    );
    let attacks = [
        format!(
            "GET /api/v1/query?query=up HTTP/1.1\r\nConnection: close\r\n{}\r\n",
            head(&expired)
        ),
        "GET /api/v1/query?query=up HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
        format!(
            "GET /api/v1/query?query=up HTTP/1.1\r\nConnection: close\r\nX-Scope-OrgID: beta\r\n{}\r\n",
            head(&token)
        ),
        format!(
            "GET //api/v1/query?query=up HTTP/1.1\r\nConnection: close\r\n{}\r\n",
            head(&token)
        ),
        format!(
            "POST /api/v1/query HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n{}\r\n0\r\n\r\n{second}",
            head(&token)
        ),
        format!(
            "GET /api/v1/query?query=up HTTP/1.1\nConnection: close\n{}\r\n",
            head(&token)
        ),
        format!(
            "GET /api/v1/series?match[]=up%20or%20secret HTTP/1.1\r\nConnection: close\r\n{}\r\n",
            head(&token)
        ),
        format!(
            "GET /api/v1/query?query={} HTTP/1.1\r\nConnection: close\r\n{}\r\n",
            "(".repeat(20_000),
            head(&token)
        ),
        "\u{16}\u{3}\u{1}\u{2}garbage\r\n\r\n".to_owned(),
    ];
    while !stop.load(Ordering::Relaxed) {
        if random.chance(10) {
            // Says half, and goes.
            let mut stream = TcpStream::connect(proxy.authority())
                .await
                .expect("it listens");
            let half = second.len() / (1 + random.below(3));
            let _ = stream.write_all(&second.as_bytes()[..half]).await;
            tally.count("half", 0);
            continue;
        }
        let attack = &attacks[random.below(attacks.len())];
        let answer = exchange(proxy.authority(), attack.as_bytes()).await;
        tally.count("hostile", answer.status);
        tally.check("acme", attack, &answer.text());
    }
}

/// One upstream for both APIs. What it is asked for without a tenant it answers with everything,
/// and now and then it fails.
struct Store {
    url: String,
    /// No faults from now on.
    is_well: Arc<AtomicBool>,
}

impl Store {
    async fn start(seed: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let is_well = Arc::new(AtomicBool::new(false));
        let (random, well) = (Arc::new(Mutex::new(Random::of(seed))), Arc::clone(&is_well));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (random, well) = (Arc::clone(&random), Arc::clone(&well));
                let service = service_fn(move |request| {
                    let dice = random.lock().expect("no panic").below(100);
                    let dice = if well.load(Ordering::Relaxed) {
                        99
                    } else {
                        dice
                    };
                    answer(request, dice)
                });
                let builder = hyper::server::conn::http1::Builder::new();
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, is_well }
    }
}

async fn answer(
    request: Request<Incoming>,
    dice: usize,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.uri().to_string();
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await;
    let body = body
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let asked = format!(
        "{} {}",
        decode(&target),
        decode(&String::from_utf8_lossy(&body))
    );
    let whole = answer_text(&path, &asked);
    let (status, body) = match dice {
        0 => (500, secret_of("gamma.io")),
        1 => (200, "<html>log in</html>".to_owned()),
        2 => (200, whole.chars().take(whole.len() / 2).collect()),
        3 => (302, String::new()),
        4 => {
            tokio::time::sleep(Duration::from_millis(2500)).await;
            (200, whole)
        }
        5 => (
            422,
            format!(
                r#"{{"status":"error","errorType":"execution","error":"{}"}}"#,
                secret_of("beta")
            ),
        ),
        _ => (200, whole),
    };
    let is_text = path == "/federate";
    let kind = if is_text {
        "text/plain; version=0.0.4"
    } else {
        "application/json"
    };
    let response = Response::builder()
        .status(status)
        .header("content-type", kind);
    Ok(response.body(Full::from(body)).expect("a response"))
}

/// Whose data a request is answered with: of each selector, and of the first stage of a TraceQL
/// query, the tenant that it names; everyone's, where one names none.
fn tenants_of(path: &str, asked: &str) -> Vec<&'static str> {
    let named = |text: &str, matcher: fn(&str) -> String| {
        let named = TENANTS
            .iter()
            .filter(|tenant| text.contains(&matcher(tenant)));
        named.copied().collect::<Vec<_>>()
    };
    let all = |tenants: Vec<&'static str>| {
        if tenants.is_empty() {
            TENANTS.to_vec()
        } else {
            tenants
        }
    };
    if path.starts_with("/api/search") || path.starts_with("/api/metrics") {
        // As TraceQL reads the escape in a string.
        let asked = &asked.replace("\\x7c", "|");
        return all(named(asked, |tenant| {
            format!("{{ resource.tenant_id = \"{tenant}\" }} | ")
        }));
    }
    let mut tenants = BTreeSet::new();
    let selectors: Vec<&str> = asked.split('{').skip(1).collect();
    for selector in &selectors {
        let inside = selector.split('}').next().unwrap_or_default();
        match named(inside, |tenant| format!("tenant_id=\"{tenant}\""))[..] {
            [] => tenants.extend(TENANTS),
            [tenant] => drop(tenants.insert(tenant)),
            // A trace of two tenants belongs to neither.
            _ => {}
        }
    }
    if selectors.is_empty() {
        return TENANTS.to_vec();
    }
    tenants.into_iter().collect()
}

fn answer_text(path: &str, asked: &str) -> String {
    let tenants = tenants_of(path, asked);
    let each = |shape: &dyn Fn(&str, &str) -> String| {
        let all: Vec<String> = tenants
            .iter()
            .map(|tenant| shape(tenant, &secret_of(tenant)))
            .collect();
        all.join(",")
    };
    match path {
        "/api/v1/rules" => {
            let groups = each(&|tenant, secret| {
                format!(
                    r#"{{"name":"{secret}","file":"f","interval":60,"rules":[{{"type":"alerting","state":"firing","name":"A","query":"up","labels":{{"tenant_id":"{tenant}","s":"{secret}"}},"annotations":{{}},"alerts":[{{"labels":{{"tenant_id":"{tenant}"}},"annotations":{{"s":"{secret}"}},"state":"firing","activeAt":"2026-01-01T00:00:00Z","value":"1"}}],"health":"ok"}}]}}"#
                )
            });
            format!(r#"{{"status":"success","data":{{"groups":[{groups}]}}}}"#)
        }
        "/api/v1/query" | "/api/v1/query_range" => {
            let series = each(&|tenant, secret| {
                format!(r#"{{"metric":{{"tenant_id":"{tenant}","s":"{secret}"}},"value":[1,"1"]}}"#)
            });
            format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#
            )
        }
        "/federate" => {
            let line = |tenant: &&str| format!("up{{s=\"{}\"}} 1\n", secret_of(tenant));
            tenants.iter().map(line).collect::<Vec<_>>().concat()
        }
        "/api/search" => {
            let traces =
                each(&|_, secret| format!(r#"{{"traceID":"1","rootServiceName":"{secret}"}}"#));
            format!(r#"{{"traces":[{traces}]}}"#)
        }
        "/api/metrics/query_range" => {
            let series = each(&|_, secret| {
                format!(
                    r#"{{"labels":[{{"key":"s","value":{{"stringValue":"{secret}"}}}}],"samples":[]}}"#
                )
            });
            format!(r#"{{"series":[{series}]}}"#)
        }
        path if path.contains("/traces/") => {
            let batches = each(&|tenant, secret| {
                format!(
                    r#"{{"resource":{{"attributes":[{{"key":"tenant_id","value":{{"stringValue":"{tenant}"}}}}]}},"scopeSpans":[{{"spans":[{{"name":"{secret}"}}]}}]}}"#
                )
            });
            if path.starts_with("/api/v2") {
                format!(r#"{{"trace":{{"resourceSpans":[{batches}]}}}}"#)
            } else {
                format!(r#"{{"batches":[{batches}]}}"#)
            }
        }
        _ => {
            let values = each(&|_, secret| format!(r#""{secret}""#));
            format!(r#"{{"status":"success","data":[{values}]}}"#)
        }
    }
}
