//! Asks the proxy and the private store the same, many times at once, and keeps count.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::exceptions::EXCEPTIONS;
use super::requests::Case;
use crate::kit::client::{Answer, Client};
use crate::kit::compare::{Strictness, differences};

/// Requests in flight at once.
const GENTLY: usize = 6;
/// Prometheus names some of several matching series in some errors, not always the same ones: a
/// difference counts when no answer of the one store was ever given by the other.
const ATTEMPTS: usize = 24;
const MOST_SHOWN: usize = 40;

/// Who asks, and what their answers are to equal.
#[derive(Clone)]
pub struct Scope {
    pub name: &'static str,
    pub proxy: String,
    pub token: String,
    /// The store that holds this scope's series alone.
    pub private: String,
    /// Where the same requests would go without the proxy; asked to show what it prevents.
    pub shared: Option<String>,
    /// The query is sent as it comes, so errors must be the store's to the letter.
    pub verbatim: bool,
}

#[derive(Default)]
pub struct Tally {
    pub compared: usize,
    /// Answers that were alike only after asking again.
    pub repeated: usize,
    /// Answers that hold something.
    pub with_data: usize,
    /// Answers that are errors, alike on both sides.
    pub errors: usize,
    /// Requests that were also sent unconfined to the shared store, and how many of the answers
    /// were other than the private store's.
    pub unconfined: usize,
    pub would_differ: usize,
    /// Answers that cannot be compared: the private store's own differ from one time to the next.
    pub at_random: usize,
    pub excepted: BTreeMap<&'static str, usize>,
    failures: Vec<String>,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.repeated += other.repeated;
        self.with_data += other.with_data;
        self.errors += other.errors;
        self.unconfined += other.unconfined;
        self.would_differ += other.would_differ;
        self.at_random += other.at_random;
        for (name, count) in other.excepted {
            *self.excepted.entry(name).or_default() += count;
        }
        self.failures.extend(other.failures);
    }

    pub fn summary(&self, name: &str) -> String {
        let exceptions: usize = self.excepted.values().sum();
        format!(
            "{name}: compared {} answers, {exceptions} exceptions {:?}; {} with data, {} errors \
             alike, {} alike when asked again, {} at random; {} of {} would differ unconfined; {} \
             failures",
            self.compared,
            self.excepted,
            self.with_data,
            self.errors,
            self.repeated,
            self.at_random,
            self.would_differ,
            self.unconfined,
            self.failures.len()
        )
    }

    pub fn assert_no_failure(&self) {
        let shown = self
            .failures
            .iter()
            .take(MOST_SHOWN)
            .cloned()
            .collect::<Vec<_>>();
        assert!(
            self.failures.is_empty(),
            "{} answers differ from the private store's:\n\n{}",
            self.failures.len(),
            shown.join("\n\n")
        );
    }
}

/// Runs all cases and prints a summary.
pub async fn run(scope: &Scope, what: &str, cases: Vec<Case>) -> Tally {
    let started = std::time::Instant::now();
    let (cases, next) = (Arc::new(cases), Arc::new(AtomicUsize::new(0)));
    let tally = Arc::new(Mutex::new(Tally::default()));
    let workers = (0..GENTLY).map(|_| {
        let (cases, next, tally) = (Arc::clone(&cases), Arc::clone(&next), Arc::clone(&tally));
        let (scope, client) = (scope.clone(), Client::default());
        tokio::spawn(async move {
            while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                compare(&scope, &client, case, &tally).await;
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.expect("a worker does not panic");
    }
    let tally = std::mem::take(&mut *tally.lock().expect("no panic"));
    let name = format!("[{:6.2?}] {}, {what}", started.elapsed(), scope.name);
    println!("{}", tally.summary(&name));
    tally
}

async fn compare(scope: &Scope, client: &Client, case: &Case, tally: &Mutex<Tally>) {
    let strictness = Strictness {
        order: case.order,
        verbatim: scope.verbatim,
    };
    let (mut expected, mut got) = ask_both(scope, client, case).await;
    let mut found = differences(&expected, &got, strictness);
    let (mut all_expected, mut all_got) = (vec![expected.clone()], vec![got.clone()]);
    let exception = |expected: &Answer, got: &Answer| {
        let exceptions = if scope.verbatim { &[] } else { EXCEPTIONS };
        exceptions
            .iter()
            .find(|e| (e.allows)(&case.ask, expected, got))
    };
    let mut attempts = 1;
    while !found.is_empty() && exception(&expected, &got).is_none() && attempts < ATTEMPTS {
        (expected, got) = ask_both(scope, client, case).await;
        all_expected.push(expected.clone());
        all_got.push(got.clone());
        found = least_differences(&all_expected, &all_got, strictness);
        attempts += 1;
    }
    let exception = exception(&expected, &got);
    let unconfined = match &scope.shared {
        Some(shared) => Some(client.ask(shared, &case.ask, None).await),
        None => None,
    };
    let mut tally = tally.lock().expect("no panic");
    tally.compared += 1;
    tally.repeated += usize::from(found.is_empty() && attempts > 1);
    tally.with_data += usize::from(has_data(&got));
    tally.errors += usize::from(expected.status.is_client_error() && found.is_empty());
    if let Some(unconfined) = unconfined {
        tally.unconfined += 1;
        let differs = !differences(&expected, &unconfined, strictness).is_empty();
        tally.would_differ += usize::from(differs);
    }
    match exception {
        _ if found.is_empty() => {}
        None if is_at_random(case, &all_expected, strictness) => tally.at_random += 1,
        Some(exception) => *tally.excepted.entry(exception.name).or_default() += 1,
        None => tally.failures.push(format!(
            "{}: {}\n  private: {} bytes, proxy: {} bytes\n    {}",
            scope.name,
            case.ask,
            expected.body.len(),
            got.body.len(),
            found.join("\n    ")
        )),
    }
}

/// Whether the store itself breaks ties in another way from one time to the next: Prometheus walks a
/// map, and of series with equal values `topk` and its kind take those that come first. Some ways come
/// more often than others, and other ones in another store, so that none need be common to both.
fn is_at_random(case: &Case, expected: &[Answer], strictness: Strictness) -> bool {
    let breaks_ties = ["topk", "bottomk", "limitk"];
    let query = case.ask.params.iter().find(|(name, _)| name == "query");
    let differs = |pair: &[Answer]| match pair {
        [one, next] => !differences(one, next, strictness).is_empty(),
        _ => false,
    };
    query.is_some_and(|(_, query)| breaks_ties.iter().any(|name| query.contains(name)))
        && expected.iter().all(|answer| answer.status.is_success())
        && expected.windows(2).any(differs)
}

/// None when some answer of the one store equals some answer of the other.
fn least_differences(expected: &[Answer], got: &[Answer], strictness: Strictness) -> Vec<String> {
    let pairs = expected
        .iter()
        .flat_map(|e| got.iter().map(move |g| (e, g)));
    pairs
        .map(|(expected, got)| differences(expected, got, strictness))
        .min_by_key(Vec::len)
        .unwrap_or_default()
}

async fn ask_both(scope: &Scope, client: &Client, case: &Case) -> (Answer, Answer) {
    tokio::join!(
        client.ask(&scope.private, &case.ask, None),
        client.ask(&scope.proxy, &case.ask, Some(&scope.token))
    )
}

fn has_data(answer: &Answer) -> bool {
    let text = answer.text();
    let empty = [r#""result":[]"#, r#""data":[]"#, r#""result":null"#];
    answer.status.is_success() && !text.is_empty() && !empty.iter().any(|e| text.contains(e))
}
