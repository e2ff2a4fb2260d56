//! The law, tested on real Tempos: a tenant's answer through the proxy is the answer of a
//! private Tempo.
//!
//! Two Tempos get the dataset of `common/tempo_data.rs`: a shared one all of it, a private one
//! what belongs to the tenant `acme`. The proxy stands in front of the shared one; each question
//! goes to the proxy and to the private Tempo, over HTTP with JSON and with protobuf, and over
//! gRPC, and the answers must say the same. Differences that are meant are in `exceptions.rs`.
//!
//! ```text
//! TEMPO_URL=http://127.0.0.1:3200 TEMPO_OTLP_URL=http://127.0.0.1:4318 \
//! TEMPO_PRIVATE_URL=http://127.0.0.1:3201 TEMPO_PRIVATE_OTLP_URL=http://127.0.0.1:4319 \
//!     cargo test --test e2e live -- --nocapture
//! ```
//!
//! Both Tempos need `stream_over_http_enabled: true`, and `query_frontend.query_end_cutoff` of at
//! most 15 s. They should hold nothing but what this test pushed, both the same number of times:
//! tag names and values are not kept to a time. Without the OTLP URLs the newest set that both
//! hold is asked about. It takes two minutes.

mod ask;
mod compare;
mod cost;
mod exceptions;
mod generated;
mod lists;
mod modes;
mod outlines;
mod questions;
mod selectors;
mod syntax;
mod tags;
mod unions;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use self::ask::{As, Form, Outcome, Question, Subject, ask};
use self::compare::{canonical, differences, exemplars, page};
use self::exceptions::{Answers, EXCEPTIONS, Exception, NIL, Rule};
use crate::kit::client::Client;
use crate::kit::evidence;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::random::seeds;
use crate::kit::tempo_data::{ATTRIBUTE, Trace, Traces, anchors};
use crate::kit::token::now;

const TENANT: &str = "acme";
const STAGE: &str = r#"{ resource.tenant_id = "acme" }"#;
/// Whose spans are pushed, to a Tempo that does not ask.
const ANY_TENANT: &str = "any";
/// Questions in flight at once.
const GENTLY: usize = 4;
/// The two stores write their blocks at moments of their own: a difference counts when it stays.
const ATTEMPTS: usize = 4;
const MOST_SHOWN: usize = 200;
/// What nothing of acme's holds. Answers that hold it leak, unless the question names it.
const FOREIGN: [&str; 4] = ["beta", "nobody", "ACME", "acme.eu"];

struct Stores {
    shared: String,
    private: String,
    data: Traces,
}

impl Stores {
    /// The Tempos of the environment, with the dataset in them.
    async fn from_environment() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let what = "two running Tempos (see the head of tests/e2e/traces/live/mod.rs)";
        let urls = evidence::running_stores(["TEMPO_URL", "TEMPO_PRIVATE_URL"], what);
        let [shared, private] = urls?;
        let data = match (
            variable("TEMPO_OTLP_URL"),
            variable("TEMPO_PRIVATE_OTLP_URL"),
        ) {
            (Some(shared), Some(private)) => {
                let data = Traces::shared(now());
                data.push(&shared).await;
                data.only(TENANT).push(&private).await;
                data
            }
            _ => Traces::shared(newest_anchor(&shared, &private).await),
        };
        data.wait_visible(&shared).await;
        data.only(TENANT).wait_visible(&private).await;
        println!(
            "{} spans in {} traces in {shared}, {} in {} in {private}",
            data.spans(),
            data.traces.len(),
            data.only(TENANT).spans(),
            data.only(TENANT).traces.len()
        );
        Some(Self {
            shared,
            private,
            data,
        })
    }
}

async fn newest_anchor(shared: &str, private: &str) -> i64 {
    let (shared, private) = (anchors(shared).await, anchors(private).await);
    let in_both = private.iter().rev().find(|anchor| shared.contains(anchor));
    *in_both.expect(
        "the two Tempos hold no common set; set TEMPO_OTLP_URL and TEMPO_PRIVATE_OTLP_URL, and \
         the test pushes one",
    )
}

#[derive(Default)]
struct Tally {
    compared: usize,
    with_data: usize,
    /// Errors, alike on both sides.
    errors: usize,
    /// Alike only when asked again.
    repeated: usize,
    /// Asked of the shared Tempo without the proxy: how many, and how many differed.
    unconfined: usize,
    would_differ: usize,
    excepted: BTreeMap<&'static str, usize>,
    failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.with_data += other.with_data;
        self.errors += other.errors;
        self.repeated += other.repeated;
        self.unconfined += other.unconfined;
        self.would_differ += other.would_differ;
        for (name, count) in other.excepted {
            *self.excepted.entry(name).or_default() += count;
        }
        self.failures.extend(other.failures);
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: {} answers compared, {} failures; {} with data, {} errors alike, {} alike \
             when asked again; {} of {} would differ without the proxy; exceptions {:?}",
            self.compared,
            self.failures.len(),
            self.with_data,
            self.errors,
            self.repeated,
            self.would_differ,
            self.unconfined,
            self.excepted
        );
    }

    fn print_failures(&self) {
        for failure in self.failures.iter().take(MOST_SHOWN) {
            println!("  {failure}\n");
        }
    }
}

struct Suite<'a> {
    stores: &'a Stores,
    proxy: &'a str,
    token: &'a str,
    client: Client,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_answers_are_those_of_a_private_tempo() {
    let Some(stores) = Stores::from_environment().await else {
        return;
    };
    let mut setup = Setup::tempo(&stores.shared);
    "traces:\n  search_metadata: exact\n".clone_into(&mut setup.rest);
    let proxy = Partywall::start(setup).await;
    let suite = Suite {
        stores: &stores,
        proxy: &proxy.url,
        token: &proxy.signer.tenant(TENANT),
        client: Client::default(),
    };
    let data = &stores.data;
    let mut total = Tally::default();
    for (what, questions) in [
        ("searches", questions::searches(data)),
        ("metrics", questions::metrics(data)),
        ("tags", questions::tags(data)),
        ("traces by id", questions::traces(data)),
    ] {
        total.add(suite.run(what, questions).await);
    }
    for seed in seeds("TraceQL made up") {
        total.add(suite.run("made up", questions::made_up(data, seed)).await);
    }
    total.print("in all");
    for exception in EXCEPTIONS {
        println!("exception {:?}: {}", exception.name, exception.reason);
    }
    assert!(
        total.failures.is_empty(),
        "{} answers differ from the private Tempo's",
        total.failures.len()
    );
    // On a build of Tempo 3.1 no answer shows that one.
    let everywhere = |exception: &&Exception| exception.name != NIL.name;
    for exception in EXCEPTIONS.iter().filter(everywhere) {
        assert!(
            total.excepted.contains_key(exception.name),
            "no answer shows the exception {:?} any more: take it out",
            exception.name
        );
    }
    assert!(
        total.with_data * 2 > total.compared,
        "too few answers hold data to mean much"
    );
    assert!(
        total.would_differ * 3 > total.unconfined,
        "too few answers could have leaked"
    );
}

impl Suite<'_> {
    async fn run(&self, what: &str, questions: Vec<Question>) -> Tally {
        let started = Instant::now();
        let asked = questions.iter().flat_map(|question| {
            question
                .forms()
                .iter()
                .map(move |form| self.compare(question, *form))
        });
        let mut tally = Tally::default();
        let mut answers = futures_util::stream::iter(asked).buffer_unordered(GENTLY);
        while let Some(one) = answers.next().await {
            tally.add(one);
        }
        tally.print(&format!("[{:6.2?}] {what}", started.elapsed()));
        tally.print_failures();
        tally
    }

    async fn compare(&self, question: &Question, form: Form) -> Tally {
        let mut tally = Tally {
            compared: 1,
            ..Tally::default()
        };
        let mut attempt = 1;
        let verdict = loop {
            let verdict = self.compare_once(question, form).await;
            if verdict.found.is_empty() || attempt == ATTEMPTS {
                break verdict;
            }
            attempt += 1;
            tokio::time::sleep(Duration::from_millis(300)).await;
        };
        tally.repeated += usize::from(attempt > 1 && verdict.found.is_empty());
        tally.with_data += usize::from(verdict.has_data);
        tally.errors += usize::from(verdict.is_error);
        for name in verdict.exceptions {
            tally.excepted.insert(name, 1);
        }
        if !verdict.found.is_empty() {
            let found = verdict.found.join("\n    ");
            tally
                .failures
                .push(format!("{form:?} {question}\n    {found}"));
        }
        let unconfined = ask(
            &self.client,
            &self.stores.shared,
            question,
            form,
            As::Nobody,
        )
        .await;
        tally.unconfined += 1;
        let expected = canonical(&question.subject, &verdict.expected.json);
        let unconfined = canonical(&question.subject, &unconfined.json);
        tally.would_differ += usize::from(!differences(&expected, &unconfined).is_empty());
        tally
    }

    async fn compare_once(&self, question: &Question, form: Form) -> Verdict {
        let (expected, got) = tokio::join!(
            ask(
                &self.client,
                &self.stores.private,
                question,
                form,
                As::Nobody
            ),
            ask(
                &self.client,
                self.proxy,
                question,
                form,
                As::Bearer(self.token)
            ),
        );
        let mut found = self.beyond_the_answer(question, &expected, &got);
        let (differing, exceptions) = self.differences(question, form, &expected, &got).await;
        found.extend(differing);
        Verdict {
            has_data: got.status == 200 && !is_empty(&canonical(&question.subject, &got.json)),
            is_error: got.status != 200 && expected.status == got.status,
            found,
            exceptions,
            expected,
        }
    }

    /// What differs, and the exceptions without which more would.
    async fn differences(
        &self,
        question: &Question,
        form: Form,
        expected: &Outcome,
        got: &Outcome,
    ) -> (Vec<String>, Vec<&'static str>) {
        if expected.status == got.status && is_cut(question, expected) {
            return (self.cut_page_differences(expected, got), Vec::new());
        }
        let (differing, mut names, wanted) = self.plainly(question, expected, got);
        if differing.is_empty() {
            return (differing, names);
        }
        let data = &self.stores.data;
        let confined = EXCEPTIONS.iter().find(|exception| match exception.rule {
            Rule::AsConfined(applies) => applies(question),
            _ => false,
        });
        if let Some(exception) = confined {
            let confined = question.confined(STAGE);
            let mut twin = ask(
                &self.client,
                &self.stores.private,
                &confined,
                form,
                As::Nobody,
            )
            .await;
            as_asked(&mut twin, question, got);
            let (differing, mut names, _) = self.plainly(question, &twin, got);
            if differing.is_empty() {
                names.push(exception.name);
                return (differing, names);
            }
        }
        let answer = canonical(&question.subject, &got.json);
        let answers = Answers {
            expected: (expected, &wanted),
            got: (got, &answer),
        };
        let allowed = EXCEPTIONS.iter().find(|exception| match exception.rule {
            Rule::Allow(allows) => allows(question, data, answers),
            _ => false,
        });
        match allowed {
            Some(exception) => {
                names.push(exception.name);
                (Vec::new(), names)
            }
            None => (differing, names),
        }
    }

    /// What differs from an answer of the private store, after what is expected to.
    fn plainly(
        &self,
        question: &Question,
        expected: &Outcome,
        got: &Outcome,
    ) -> (Vec<String>, Vec<&'static str>, Value) {
        let mut wanted = canonical(&question.subject, &expected.json);
        let mut names = Vec::new();
        if expected.status != got.status {
            let show = |outcome: &Outcome| {
                let text: String = outcome.text.chars().take(300).collect();
                format!("{} {text}", outcome.status)
            };
            let differing = format!("expected {}\n    got {}", show(expected), show(got));
            return (vec![differing], names, wanted);
        }
        for exception in EXCEPTIONS {
            if let Rule::Expect(expect) = exception.rule
                && let Some(other) = expect(question, &self.stores.data, &wanted)
            {
                wanted = other;
                names.push(exception.name);
            }
        }
        let answer = canonical(&question.subject, &got.json);
        (differences(&wanted, &answer), names, wanted)
    }

    /// What must hold of every answer, whatever it is compared with.
    fn beyond_the_answer(
        &self,
        question: &Question,
        expected: &Outcome,
        got: &Outcome,
    ) -> Vec<String> {
        let mut found = Vec::new();
        let asked = format!("{question}");
        for word in FOREIGN {
            if got.text.contains(word) && !asked.contains(word) {
                found.push(format!(
                    "{word:?} is in the answer: {}",
                    around(&got.text, word)
                ));
            }
        }
        let progress = ["completedJobs", "totalJobs", "completed_jobs", "total_jobs"];
        for block in &got.metrics {
            let keys = block.as_object().into_iter().flat_map(|block| block.keys());
            let measures: Vec<&String> = keys
                .filter(|key| !progress.contains(&key.as_str()))
                .collect();
            if !measures.is_empty() {
                found.push(format!("the metrics block measures {measures:?}"));
            }
        }
        if expected.status == 200 && got.status == 200 && expected.content_type != got.content_type
        {
            found.push(format!(
                "content type {:?} for {:?}",
                got.content_type, expected.content_type
            ));
        }
        let own: Vec<&str> = self.own_traces().collect();
        for id in exemplars(&got.json) {
            if !own.contains(&id.as_str()) {
                found.push(format!("an exemplar names the trace {id}"));
            }
        }
        // A trace that is not there and one that is somebody else's are the same, byte for byte.
        if let Subject::Trace(..) = question.subject
            && expected.status == got.status
            && matches!(expected.status, 200 | 404)
            && is_empty(&canonical(&question.subject, &expected.json))
            && (expected.bytes, &expected.text) != (got.bytes, &got.text)
        {
            found.push(format!(
                "not Tempo's own not-found: {:?} {:?}",
                got.text, expected.text
            ));
        }
        found
    }

    fn own_traces(&self) -> impl Iterator<Item = &str> {
        let own = self
            .stores
            .data
            .traces
            .iter()
            .filter(|trace| trace.has_spans_of(TENANT));
        own.map(Trace::short_id)
    }

    /// At its limit a page may hold any of the tenant's traces, but as many.
    fn cut_page_differences(&self, expected: &Outcome, got: &Outcome) -> Vec<String> {
        let (wanted, shown) = (page(&expected.json), page(&got.json));
        let own: Vec<&str> = self.own_traces().collect();
        let foreign: Vec<&String> = shown
            .iter()
            .filter(|id| !own.contains(&id.as_str()))
            .collect();
        if wanted.len() == shown.len() && foreign.is_empty() {
            return Vec::new();
        }
        vec![format!(
            "{} traces for {}, foreign {foreign:?}",
            shown.len(),
            wanted.len()
        )]
    }
}

struct Verdict {
    expected: Outcome,
    found: Vec<String>,
    exceptions: Vec<&'static str>,
    has_data: bool,
    is_error: bool,
}

/// Whether the private store's page is at its limit.
fn is_cut(question: &Question, expected: &Outcome) -> bool {
    let limit = question.param("limit").parse().unwrap_or(20);
    question.subject == Subject::Search && page(&expected.json).len() == limit
}

fn is_empty(canonical: &Value) -> bool {
    match canonical {
        Value::Null => true,
        Value::Object(all) if all.contains_key("batches") => all["batches"] == json!([]),
        Value::Object(all) => all.is_empty(),
        Value::Array(all) => all.is_empty(),
        _ => false,
    }
}

/// The answer to the confined question, in the shape of the answer to the question itself.
fn as_asked(twin: &mut Outcome, question: &Question, got: &Outcome) {
    let is_first = got.json["tagValues"][0].is_string();
    if let Some(values) = twin.json["tagValues"].as_array_mut().filter(|_| is_first) {
        for value in values.iter_mut() {
            *value = value["value"].take();
        }
    }
    forget_unless_named(&mut twin.json, question, ATTRIBUTE);
}

/// Takes an attribute from all spans of a page, unless the query names it.
fn forget_unless_named(page: &mut Value, question: &Question, name: &str) {
    if question.param("q").contains(name) {
        return;
    }
    let attributes = |span: &mut Value| {
        let all = span.get_mut("attributes").and_then(Value::as_array_mut);
        if let Some(all) = all {
            all.retain(|attribute| attribute["key"] != name);
            if all.is_empty() {
                span.as_object_mut()
                    .map(|span| span.shift_remove("attributes"));
            }
        }
    };
    let in_set = |set: &mut Value| {
        let spans = set.get_mut("spans").and_then(Value::as_array_mut);
        spans.into_iter().flatten().for_each(attributes);
    };
    let traces = page.get_mut("traces").and_then(Value::as_array_mut);
    for trace in traces.into_iter().flatten() {
        trace.get_mut("spanSet").into_iter().for_each(in_set);
        let sets = trace.get_mut("spanSets").and_then(Value::as_array_mut);
        sets.into_iter().flatten().for_each(in_set);
    }
}

fn around(text: &str, word: &str) -> String {
    let at = text.find(word).unwrap_or(0);
    let from = text.floor_char_boundary(at.saturating_sub(120));
    let to = text.ceil_char_boundary((at + 80).min(text.len()));
    text.get(from..to).unwrap_or_default().to_owned()
}
