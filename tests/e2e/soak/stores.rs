//! A thousand clients of real stores, with faults, for as long as asked: each answer is that of a
//! private store, or an error that a fault explains.
//!
//! ```text
//! SOAK_SECONDS=3600 cargo test --locked --release --features otlp --test e2e soak -- --ignored --nocapture
//! ```
//!
//! All the while Prometheus hangs and restarts, signing keys rotate, and the config is reloaded.
//! With `TEMPO_URL` and `TEMPO_OTLP_URL` each client also asks for traces that two tenants share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{assert_memory_is_flat, report_process, soak_time, watch};
use crate::kit::client::{Answer, Ask, Client};
use crate::kit::compare::{Strictness, differences};
use crate::kit::dataset::Dataset;
use crate::kit::evidence;
use crate::kit::keys::Key;
use crate::kit::partywall::{Partywall, Setup, Tempo};
use crate::kit::prometheus::Prometheus;
use crate::kit::provider::Provider;
use crate::kit::random::{Random, seeds};
use crate::kit::tempo_data::{ATTRIBUTE, push_otlp};
use crate::kit::token::now;
use crate::law::queries;
use crate::law::requests::{Times, evaluations};

const TENANTS: [&str; 2] = ["acme", "beta"];
/// Each keeps one connection.
const CLIENTS: usize = 1000;
/// Milliseconds between an answer and the next request, at most: 200 requests a second in all.
const PAUSE: usize = 10_000;
/// Of a hundred requests, those for traces.
const FOR_TRACES: usize = 5;
const BETWEEN_FAULTS: Duration = Duration::from_secs(20);
const HANGS: Duration = Duration::from_secs(4);
/// After a fault, until Partywall has noticed that it is over.
const AFTERMATH: Duration = Duration::from_secs(5);
const REFRESH: Duration = Duration::from_secs(2);
const BETWEEN_KEYS: Duration = Duration::from_secs(30);
const MOST_SHOWN: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "SOAK_SECONDS=60 cargo test --release --test e2e soak_of_real_stores -- --ignored --nocapture"]
async fn soak_of_real_stores() {
    let data = Dataset::shared(now() - 30);
    let mut prometheus = Prometheus::with_data("shared", &data).await;
    let mut questions = BTreeMap::new();
    for tenant in TENANTS {
        let private = Prometheus::with_data("private", &data.only(&[tenant])).await;
        questions.insert(tenant, questions_about(&data, &private).await);
    }
    let key = Key::new("key 0");
    let provider = Provider::start(&[&key]).await;
    let tempo = evidence::running_stores(["TEMPO_URL", "TEMPO_OTLP_URL"], "a running Tempo");
    let soak = Arc::new(Soak {
        proxy: Partywall::start(setup(&prometheus, &provider, tempo.as_ref())).await,
        questions,
        traces: match tempo {
            Some([_, otlp]) => Some(push_traces(&otlp).await),
            None => None,
        },
        tokens: Mutex::new(tokens(&key, &provider)),
        faults: Mutex::default(),
        counts: Mutex::default(),
        wrong: Mutex::default(),
        stop: AtomicBool::new(false),
    });

    let seed = seeds("soak of real stores")[0];
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let random = Random::of(seed + u64::try_from(number).expect("small"));
        let tenant = TENANTS[number % TENANTS.len()];
        clients.spawn(Arc::clone(&soak).client(tenant, random));
    }
    let rotation = tokio::spawn(Arc::clone(&soak).rotate(key, provider));
    let faults = Arc::clone(&soak);
    let faults = tokio::spawn(async move {
        faults.break_down(&mut prometheus).await;
        prometheus
    });
    let memory = watch(&soak.proxy, soak_time(), |after, of, memory| {
        let (after, of, memory) = (after.as_secs(), of.as_secs(), memory >> 20);
        println!("{after} of {of} s: {memory} MiB, {}", soak.summary());
    })
    .await;
    soak.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("no client fails");
    }
    let rotations = rotation.await.expect("keys rotate");
    drop(faults.await.expect("faults end"));

    report_process(&soak.proxy, &memory).await;
    println!("{rotations} keys were replaced; {}", soak.summary());
    let wrong = soak.wrong.lock().expect("no panic");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_memory_is_flat(&memory);
    soak.assert_it_means_something();
}

fn setup(prometheus: &Prometheus, provider: &Provider, tempo: Option<&[String; 2]>) -> Setup {
    let mut setup = Setup::new(&prometheus.url);
    setup.issuer = provider.issuer();
    setup.algorithm = "ES256";
    let refresh = REFRESH.as_secs();
    setup.keys = format!(
        "jwks_url: {}\n      refresh_interval: {refresh}s",
        provider.key_set_url()
    );
    setup.tempo = tempo.map(|[url, _]| Tempo {
        url: url.clone(),
        tenancy: format!("attribute: resource.{ATTRIBUTE}"),
        options: Vec::new(),
    });
    setup
}

/// What a private store answers each time alike, and with data.
async fn questions_about(data: &Dataset, private: &Prometheus) -> Vec<Question> {
    let times = Times {
        start: data.start(),
        end: data.end,
    };
    let (client, mut questions) = (Client::default(), Vec::new());
    for (number, query) in queries::templates().iter().enumerate() {
        let case = evaluations(query, times)[number % 4].clone();
        let strictness = Strictness {
            order: case.order,
            verbatim: false,
        };
        let expected = client.ask(&private.url, &case.ask, None).await;
        let again = client.ask(&private.url, &case.ask, None).await;
        let has_data = expected.status == 200 && expected.text().contains("\"metric\":");
        if has_data && differences(&expected, &again, strictness).is_empty() {
            questions.push(Question {
                ask: case.ask,
                strictness,
                expected,
            });
        }
    }
    assert!(questions.len() > 100, "{} questions", questions.len());
    questions
}

/// Each of spans of both tenants, and all from one second.
struct Traces {
    ids: Vec<String>,
    /// Unix seconds.
    start: i64,
}

async fn push_traces(otlp: &str) -> Traces {
    let start = now() - 60;
    let ids: Vec<String> = (1..=20)
        .map(|n| format!("{:032x}", (start << 16) + n))
        .collect();
    let resource = |id: &String, place: usize, tenant: &str| {
        let span = |n: usize| {
            let at = start * 1_000_000_000;
            json!({
                "traceId": id, "spanId": format!("{:016x}", 100 * place + n + 1),
                "parentSpanId": if n == 0 { String::new() } else { format!("{:016x}", 100 * place + 1) },
                "name": span_of(tenant),
                "startTimeUnixNano": at.to_string(), "endTimeUnixNano": (at + 5_000_000).to_string(),
            })
        };
        let attribute =
            |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
        json!({
            "resource": { "attributes": [attribute(ATTRIBUTE, tenant), attribute("service.name", tenant)] },
            "scopeSpans": [{ "spans": (0..20).map(span).collect::<Vec<_>>() }],
        })
    };
    let all: Vec<Value> = ids
        .iter()
        .flat_map(|id| [resource(id, 1, TENANTS[0]), resource(id, 2, TENANTS[1])])
        .collect();
    let body = json!({ "resourceSpans": all });
    push_otlp(&Client::default(), otlp, "single-tenant", &body).await;
    // Until a Tempo finds what it was given.
    tokio::time::sleep(Duration::from_secs(15)).await;
    Traces { ids, start }
}

impl Traces {
    fn ask(&self, random: &mut Random) -> Ask {
        let id = &self.ids[random.below(self.ids.len())];
        let ask = if random.chance(50) {
            Ask::get(&format!("/api/v2/traces/{id}"), &[])
        } else {
            let [start, end] = [self.start, self.start + 1].map(|time| time.to_string());
            let params = [("q", "{} | select(name)"), ("start", &start), ("end", &end)];
            Ask::get("/api/search", &params)
        };
        ask.with_header("accept", "application/json")
    }
}

fn span_of(tenant: &str) -> String {
    format!("span of {tenant};")
}

fn tokens(key: &Key, provider: &Provider) -> BTreeMap<&'static str, String> {
    let token = |tenant| (tenant, key.token_of(tenant, &provider.issuer()));
    TENANTS.into_iter().map(token).collect()
}

struct Question {
    ask: Ask,
    strictness: Strictness,
    expected: Answer,
}

struct Soak {
    proxy: Partywall,
    questions: BTreeMap<&'static str, Vec<Question>>,
    traces: Option<Traces>,
    /// Of each tenant.
    tokens: Mutex<BTreeMap<&'static str, String>>,
    /// When each began and was over.
    faults: Mutex<Vec<(Instant, Option<Instant>)>>,
    counts: Mutex<BTreeMap<&'static str, usize>>,
    wrong: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Soak {
    async fn client(self: Arc<Self>, tenant: &'static str, mut random: Random) {
        let client = Client::default();
        while self.sleep(random.below(PAUSE)).await {
            let token = self.tokens.lock().expect("no panic")[tenant].clone();
            let asked = Instant::now();
            if let Some(traces) = &self.traces
                && random.chance(FOR_TRACES)
            {
                let ask = traces.ask(&mut random);
                let answer = client.try_send(ask.request(&self.proxy.url, Some(&token)));
                self.judge_traces(tenant, &ask, answer.await);
            } else {
                let questions = &self.questions[tenant];
                let question = &questions[random.below(questions.len())];
                let request = question.ask.request(&self.proxy.url, Some(&token));
                self.judge(question, asked, &client.try_send(request).await);
            }
        }
    }

    /// False when the soak ends.
    async fn sleep(&self, milliseconds: usize) -> bool {
        let time = Duration::from_millis(u64::try_from(milliseconds).expect("small"));
        let until = Instant::now() + time;
        while Instant::now() < until && !self.stop.load(Ordering::Relaxed) {
            let rest = until.saturating_duration_since(Instant::now());
            tokio::time::sleep(rest.min(Duration::from_secs(1))).await;
        }
        !self.stop.load(Ordering::Relaxed)
    }

    fn judge(&self, question: &Question, asked: Instant, answer: &Result<Answer, String>) {
        let failed = match answer {
            // A Prometheus that ends answers queries that it cuts off with 422.
            Ok(answer) => answer.status.is_server_error() || answer.status == 422,
            Err(_) => true,
        };
        if failed && self.has_fault_since(asked) {
            return self.count("failed in a fault");
        }
        let differences = match answer {
            Ok(answer) => differences(&question.expected, answer, question.strictness),
            Err(cause) => vec![cause.clone()],
        };
        if differences.is_empty() {
            self.count("as of a private Prometheus");
        } else {
            self.wrong(&format!("{}: {}", question.ask, differences.join("\n    ")));
        }
    }

    /// Faults of Prometheus explain nothing of Tempo's.
    fn judge_traces(&self, tenant: &str, ask: &Ask, answer: Result<Answer, String>) {
        let (own, foreign): (Vec<&str>, Vec<&str>) =
            TENANTS.into_iter().partition(|name| *name == tenant);
        let shows = |text: &str, of: &[&str]| of.iter().any(|name| text.contains(&span_of(name)));
        match answer {
            Ok(answer) if answer.status == 200 => {
                let text = answer.text();
                if shows(&text, &own) && !shows(&text, &foreign) {
                    self.count("own spans of shared traces");
                } else {
                    self.wrong(&format!("{tenant}: {ask}: {text}"));
                }
            }
            // A Tempo that is short of CPU says so, to everyone.
            Ok(answer) if answer.status == 429 => self.count("refused by a busy Tempo"),
            Ok(answer) => self.wrong(&format!("{ask}: {} {}", answer.status, answer.text())),
            Err(cause) => self.wrong(&format!("{ask}: {cause}")),
        }
    }

    fn has_fault_since(&self, asked: Instant) -> bool {
        let faults = self.faults.lock().expect("no panic");
        let is_over = |end: Option<Instant>| end.is_some_and(|end| end < asked);
        faults.iter().any(|(_, end)| !is_over(*end))
    }

    /// Signs with a new key, again and again; gives how often.
    async fn rotate(self: Arc<Self>, mut key: Key, provider: Provider) -> usize {
        let mut rotations = 0;
        let milliseconds = |time: Duration| usize::try_from(time.as_millis()).expect("small");
        while self.sleep(milliseconds(BETWEEN_KEYS)).await {
            rotations += 1;
            let next = Key::new(&format!("key {rotations}"));
            // As issuers do: published, then used, and the old one withdrawn in the end.
            provider.publish(&[&key, &next]);
            tokio::time::sleep(3 * REFRESH).await;
            let old = std::mem::replace(
                &mut *self.tokens.lock().expect("no panic"),
                tokens(&next, &provider),
            );
            tokio::time::sleep(3 * REFRESH).await;
            provider.publish(&[&next]);
            tokio::time::sleep(3 * REFRESH).await;
            let ask = Ask::get("/api/v1/query", &[("query", "up")]);
            let request = ask.request(&self.proxy.url, Some(&old[TENANTS[0]]));
            match Client::default().try_send(request).await {
                Ok(answer) if answer.status == 401 => self.count("withdrawn keys refused"),
                other => self.wrong(&format!("a token of a withdrawn key: {other:?}")),
            }
            key = next;
        }
        rotations
    }

    /// Prometheus hangs and restarts in turns.
    async fn break_down(&self, prometheus: &mut Prometheus) {
        let mut hangs = true;
        let between = usize::try_from(BETWEEN_FAULTS.as_millis()).expect("small");
        while self.sleep(between).await {
            let fault = (Instant::now(), None);
            self.faults.lock().expect("no panic").push(fault);
            if hangs {
                prometheus.hang(HANGS).await;
                self.count("hangs of Prometheus");
            } else {
                prometheus.restart().await;
                self.count("restarts of Prometheus");
            }
            tokio::time::sleep(AFTERMATH).await;
            let mut faults = self.faults.lock().expect("no panic");
            if let Some((_, end)) = faults.last_mut() {
                *end = Some(Instant::now());
            }
            hangs = !hangs;
        }
    }

    fn count(&self, what: &'static str) {
        *self
            .counts
            .lock()
            .expect("no panic")
            .entry(what)
            .or_default() += 1;
    }

    fn wrong(&self, what: &str) {
        let mut wrong = self.wrong.lock().expect("no panic");
        if wrong.len() < MOST_SHOWN {
            let what: String = what.chars().take(2000).collect();
            println!("!!! {what}");
            wrong.push(what);
        }
        drop(wrong);
        self.count("wrong");
    }

    fn summary(&self) -> String {
        format!("{:?}", self.counts.lock().expect("no panic"))
    }

    fn assert_it_means_something(&self) {
        let counts = self.counts.lock().expect("no panic");
        let count = |what| counts.get(what).copied().unwrap_or_default();
        assert!(
            count("as of a private Prometheus") > CLIENTS,
            "too little was served"
        );
        assert!(
            count("failed in a fault") > 0,
            "no fault was felt, so that none was one"
        );
        assert!(
            self.traces.is_none() || count("own spans of shared traces") > CLIENTS / 10,
            "too few traces were served"
        );
    }
}
