//! W1, W2, W6: clients with a good token that hold on to bodies, permits and memory. The attack goes
//! on for the whole of its test; another tenant, or another of the tenant's subjects, asks all the
//! while, is never refused, and does not wait.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::kit::client::{Ask, Client, Sent};
use crate::kit::frames::{DATA, END_HEADERS, Frames, HEADERS, block, frame};
use crate::kit::raw::request;
use crate::kit::stage::{ELSEWHERE, FORM, Stage};
use crate::kit::upstream::{Reply, Upstream};

/// How long an attack is kept up.
const ATTACK: Duration = Duration::from_secs(6);
/// Just below `timeouts.body_idle`.
const DRIP: Duration = Duration::from_millis(700);
/// Few permits, so that few attackers are enough.
const SCARCE: &str = "timeouts: {body_idle: 1s}\nlimits: {requests: 40, buffered_bytes: 24MiB}\n";
/// Drip is fast enough here: bodies are incomplete for as long as the attack goes on.
const PATIENT: &str = "\
timeouts: {body_idle: 1s}
limits: {requests: 40, incomplete_bodies: 40, body_bytes_per_second: 1, buffered_bytes: 24MiB}
";
/// What a busy machine may add to any time that is measured.
const ALLOWANCE: Duration = Duration::from_secs(1);

/// The client that must be served meanwhile.
struct Bystander {
    url: String,
    token: String,
    client: Client,
}

impl Bystander {
    fn of(stage: &Stage<Upstream>, tenant: &str, subject: &str) -> Self {
        Self {
            url: stage.proxy.url.clone(),
            token: token(stage, tenant, subject),
            client: Client::default(),
        }
    }

    /// Asks one thing after the other for so long: how long the answers took, sorted.
    async fn asks_for(&self, length: Duration) -> Vec<Duration> {
        let asks = [
            Ask::get("/api/v1/query", &[("query", "up")]),
            Ask::new(Sent::Post, "/api/v1/query", &[("query", "up")]),
            Ask::get("/api/v1/rules", &[]),
            Ask::get(ELSEWHERE, &[]),
        ];
        let (begun, mut took) = (Instant::now(), Vec::new());
        for ask in asks.iter().cycle() {
            if begun.elapsed() > length {
                break;
            }
            let asked = Instant::now();
            let answer = self.client.ask(&self.url, ask, Some(&self.token)).await;
            assert_eq!(answer.status, 200, "{ask}: {}", answer.text());
            took.push(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        took.sort_unstable();
        took
    }
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted[(sorted.len() - 1) * 99 / 100]
}

fn token(stage: &Stage<Upstream>, tenant: &str, subject: &str) -> String {
    let claims = json!({ "tenant_id": tenant, "sub": subject });
    stage.proxy.signer.token(&claims)
}

/// In front of an upstream that has an answer to all that is asked.
async fn stage(rest: &str) -> Stage<Upstream> {
    let stage = Stage::recorded(rest).await;
    // As good for a query as for rules.
    let both = r#"{"status":"success","data":{"resultType":"vector","result":[],"groups":[]}}"#;
    stage.upstream.reply(Reply::json(both));
    stage
}

/// The bystander asks without and then under the attack, of which `attacker` is one, time and again.
async fn endure<F>(
    what: &str,
    bystander: &Bystander,
    attackers: usize,
    attacker: impl Fn(usize) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let before = p99(&bystander.asks_for(Duration::from_secs(1)).await);
    let mut attack = JoinSet::new();
    for index in 0..attackers {
        attack.spawn(attacker(index));
    }
    // Until they are all there.
    tokio::time::sleep(DRIP).await;
    let under = bystander.asks_for(ATTACK).await;
    attack.abort_all();
    let (count, under) = (under.len(), p99(&under));
    println!("{what}: p99 {before:?} before, {under:?} under attack, of {count}");
    assert!(
        under <= 2 * before + ALLOWANCE,
        "{what}: {under:?}, {before:?} before"
    );
}

/// Sends a form of so many bytes at once, and drips the rest; then once more.
async fn drip(authority: String, bearer: String, at_once: usize, length: usize) {
    let length = length.to_string();
    let headers = [
        ("Authorization", bearer.as_str()),
        FORM,
        ("Content-Length", &length),
    ];
    let mut body = b"query=up&x=".to_vec();
    body.resize(at_once, b'x');
    let head = request("POST", "/api/v1/query", &headers, &body);
    loop {
        let Ok(mut stream) = TcpStream::connect(&authority).await else {
            continue;
        };
        let mut sent = stream.write_all(&head).await.is_ok();
        while sent {
            let mut answer = [0; 1024];
            sent = match tokio::time::timeout(DRIP, stream.read(&mut answer)).await {
                // It was answered, or cut off.
                Ok(_) => false,
                Err(_nothing_yet) => stream.write_all(b"x").await.is_ok(),
            };
        }
        // A moment, so that the machine can do something else.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Drips on many streams of one connection.
async fn drip_streams(authority: String, bearer: String) {
    const STREAMS: u32 = 100;
    let head = block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "partywall"),
        (":path", "/api/v1/query"),
        ("authorization", &bearer),
        ("content-type", FORM.1),
        ("content-length", "1000"),
    ]);
    let mut next = 1;
    loop {
        let Frames { stream, .. } = Frames::connect(&authority).await;
        let (mut read, mut write) = stream.into_split();
        let answers = async { tokio::io::copy(&mut read, &mut tokio::io::sink()).await };
        let drips = async {
            for round in 0.. {
                let mut bytes = Vec::new();
                // Those that were answered start again after a while.
                if round % 3 == 0 {
                    next = if round == 0 { 1 } else { next + 2 * STREAMS };
                }
                for stream in (0..STREAMS).map(|index| next + 2 * index) {
                    if round % 3 == 0 {
                        bytes.extend(frame(HEADERS, END_HEADERS, stream, &head));
                    }
                    bytes.extend(frame(DATA, 0, stream, b"x"));
                }
                if write.write_all(&bytes).await.is_err() {
                    return;
                }
                tokio::time::sleep(DRIP).await;
            }
        };
        tokio::select! {
            _ = answers => {}
            () = drips => {}
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

fn bearer(stage: &Stage<Upstream>) -> String {
    format!("Bearer {}", token(stage, "acme", "hog"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_dripped_bodies_keep_no_other_tenant_out() {
    for rest in [SCARCE, PATIENT] {
        let stage = stage(rest).await;
        let other = Bystander::of(&stage, "beta", "hog");
        let (authority, bearer) = (stage.proxy.authority().to_owned(), bearer(&stage));
        endure("HTTP/1.1 drip", &other, 120, |_| {
            drip(authority.clone(), bearer.clone(), 12, 1000)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_dripped_streams_of_four_connections_keep_no_other_tenant_out() {
    for rest in [SCARCE, PATIENT] {
        let stage = stage(rest).await;
        let other = Bystander::of(&stage, "beta", "hog");
        let (authority, bearer) = (stage.proxy.authority().to_owned(), bearer(&stage));
        endure("HTTP/2 drip", &other, 4, |_| {
            drip_streams(authority.clone(), bearer.clone())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w2_unfinished_forms_leave_memory_to_other_tenants() {
    const LARGE: usize = 2 << 20;
    for rest in [SCARCE, PATIENT] {
        let stage = stage(rest).await;
        let other = Bystander::of(&stage, "beta", "hog");
        let (authority, bearer) = (stage.proxy.authority().to_owned(), bearer(&stage));
        endure("unfinished forms", &other, 25, |_| {
            drip(authority.clone(), bearer.clone(), LARGE - 1000, LARGE)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w6_subject_that_takes_all_leaves_a_share_to_the_others_of_its_tenant() {
    let stage = stage(PATIENT).await;
    let other = Bystander::of(&stage, "acme", "another");
    let (authority, bearer) = (stage.proxy.authority().to_owned(), bearer(&stage));
    endure("a hog of the same tenant", &other, 80, |index| {
        let at_once = if index % 4 == 0 { 1 << 20 } else { 12 };
        drip(authority.clone(), bearer.clone(), at_once, 2 << 20)
    })
    .await;
    let shares = "partywall_refusals_total{route=\"query\",reason=\"incomplete_bodies_share\"}";
    assert!(
        stage.metric(shares).await > 0.5,
        "the hog reached its share"
    );
}
