//! The law, tested: a tenant's answer through the proxy is the answer of a private store.
//!
//! One dataset of many tenants is loaded into a shared Prometheus, and its parts into private
//! ones: `acme` alone, `acme` and `beta`, and some tenants with difficult names. The proxy stands
//! in front of the shared store; each request goes to the proxy and to the private store, and
//! the answers must say the same (`kit/compare.rs`). Differences that are meant are listed in
//! `exceptions.rs`.
//!
//! Some queries are generated from the grammar each time (`generated.rs`). The seed is printed;
//! `PARTYWALL_SEED` repeats it.
//!
//! Prometheus and promtool are those in `PATH` (`PROMETHEUS` and `PROMTOOL` name others). The
//! queries of Prometheus' own tests are `promql.jsonl` of the corpora (`kit/evidence.rs`).
//!
//! Against a real Thanos:
//!
//! ```text
//! export PARTYWALL_DATASET_DIR=/tmp/dataset
//! cargo test --test e2e -- --ignored write_dataset    # shared/ and acme/: TSDB blocks
//! … serve both directories, for example with a Prometheus, a sidecar and a query each …
//! THANOS_URL=http://127.0.0.1:19192 THANOS_PRIVATE_URL=http://127.0.0.1:19193 \
//!     cargo test --test e2e thanos -- --nocapture
//! ```

mod everything;
mod exceptions;
mod filtered;
mod generated;
mod info;
mod labels;
pub mod queries;
mod remote_read;
pub mod requests;
mod selectors;
mod suite;
mod syntax;

use std::path::PathBuf;

use crate::kit::client::{Ask, Client};
use crate::kit::compare::{Strictness, differences};
use crate::kit::dataset::Dataset;
use crate::kit::docs::Page;
use crate::kit::evidence;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::prometheus::{Prometheus, make_blocks};
use crate::kit::random::seeds;
use crate::kit::token::now;
use exceptions::{EXCEPTIONS, Store};
use requests::{Case, Times, evaluations, exemplars, federation, metadata, query_parameters};
use suite::{Scope, Tally};

/// Queries made up for each seed.
const GENERATED: usize = 600;

/// Tenants whose names are hard on a matcher.
const DIFFICULT: [&str; 4] = ["a.b", "a|b", "gamma.io", " "];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_a_private_store() {
    let data = Dataset::shared(now() - 30);
    let times = Times {
        start: data.start(),
        end: data.end,
    };
    let (acme, union, difficult) = (
        data.only(&["acme"]),
        data.only(&["acme", "beta"]),
        data.only(&DIFFICULT),
    );
    let (shared, acme, union, difficult) = tokio::join!(
        Prometheus::with_data("shared", &data),
        Prometheus::with_data("private acme", &acme),
        Prometheus::with_data("private acme and beta", &union),
        Prometheus::with_data("private difficult", &difficult),
    );
    let proxy = Partywall::start(Setup::new(&shared.url)).await;
    let scope = |name, token: String, private: &Prometheus| Scope {
        name,
        proxy: proxy.url.clone(),
        token,
        private: private.url.clone(),
        shared: None,
        verbatim: false,
    };
    let mut one = scope("acme", proxy.signer.tenant("acme"), &acme);
    one.shared = Some(shared.url.clone());
    let two = scope(
        "acme and beta",
        proxy.signer.tenants(&["acme", "beta"]),
        &union,
    );
    let odd = scope(
        "difficult names",
        proxy.signer.tenants(&DIFFICULT),
        &difficult,
    );
    let mut all = scope("all tenants", proxy.signer.admin(), &shared);
    all.verbatim = true;

    let mut total = Tally::default();
    // First, while the newest samples are within the lookback: it asks about now.
    for scope in [&one, &two, &odd, &all] {
        total.add(suite::run(scope, "federate", federation()).await);
    }
    let templates = queries::templates();
    for scope in [&one, &two] {
        let cases = templates
            .iter()
            .flat_map(|query| evaluations(query, times))
            .collect();
        total.add(suite::run(scope, "templates", cases).await);
    }
    for scope in [&odd, &all] {
        total.add(suite::run(scope, "templates", in_turn(&templates, times)).await);
    }
    for scope in [&one, &two, &odd, &all] {
        let mut cases = metadata(times);
        cases.extend(exemplars(times));
        cases.extend(query_parameters(times));
        total.add(suite::run(scope, "metadata and parameters", cases).await);
    }
    for scope in [&one, &two, &odd, &all] {
        let (compared, with_series) = remote_read::compare(scope, times).await;
        assert!(
            with_series * 3 > compared,
            "too few remote reads found anything"
        );
    }
    if let Some(corpus) = queries::corpus() {
        let cases = corpus
            .iter()
            .flat_map(|query| evaluations(query, times))
            .collect();
        total.add(suite::run(&one, "corpus", cases).await);
        for scope in [&two, &all] {
            total.add(suite::run(scope, "corpus", in_turn(&corpus, times)).await);
        }
    }
    for seed in seeds("queries made up") {
        let made_up = generated::queries(seed, GENERATED);
        for scope in [&one, &two, &odd] {
            total.add(suite::run(scope, "made up", in_turn(&made_up, times)).await);
        }
    }
    println!("{}", total.summary("in all"));
    total.assert_no_failure();
    assert_exceptions_are_needed(&total, Store::Prometheus);
    assert_it_could_fail(&total);
}

/// Each query in one of its four forms, so that all four are used alike.
fn in_turn(queries: &[String], times: Times) -> Vec<Case> {
    let pick = |(n, query): (usize, &String)| evaluations(query, times)[n % 4].clone();
    queries.iter().enumerate().map(pick).collect()
}

fn assert_exceptions_are_needed(total: &Tally, store: Store) {
    for exception in EXCEPTIONS.iter().filter(|e| e.shown_by.contains(&store)) {
        println!("exception {:?}: {}", exception.name, exception.reason);
        assert!(
            total.excepted.contains_key(exception.name),
            "no answer shows the exception {:?} any more: take it out of exceptions.rs and docs/guarantees.md",
            exception.name
        );
    }
    let pages = crate::kit::docs::pages();
    for exception in EXCEPTIONS {
        // However the lines are wrapped.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let says_so = |page: &Page| words(&page.text).contains(exception.in_docs);
        assert!(
            pages.iter().any(says_so),
            "no page of docs/ says {:?}, which is the exception {:?}",
            exception.in_docs,
            exception.name
        );
    }
}

/// Most answers must hold something, and a proxy that confines nothing must be found out.
fn assert_it_could_fail(total: &Tally) {
    assert!(
        total.with_data * 3 > total.compared,
        "too few answers hold data to mean much"
    );
    assert!(
        total.at_random * 500 < total.compared,
        "too many answers could not be compared"
    );
    assert!(
        total.would_differ * 3 > total.unconfined,
        "too few answers could have leaked"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thanos_answers_are_those_of_a_private_store() {
    let what = "a running Thanos (see the head of tests/e2e/law/mod.rs)";
    let urls = evidence::running_stores(["THANOS_URL", "THANOS_PRIVATE_URL"], what);
    let Some([shared, private]) = urls else {
        return;
    };
    let end = end_of_data(&private).await;
    let times = Times {
        start: end - 6 * 3600,
        end,
    };
    let proxy = Partywall::start(Setup::new(&shared)).await;
    let token = proxy.signer.tenant("acme");
    let one = Scope {
        name: "Thanos, acme",
        proxy: proxy.url.clone(),
        token,
        private,
        shared: Some(shared),
        verbatim: false,
    };
    let mut total = Tally::default();
    let templates = queries::templates();
    let cases = templates
        .iter()
        .flat_map(|query| evaluations(query, times))
        .collect();
    total.add(suite::run(&one, "templates", cases).await);
    let mut cases = metadata(times);
    cases.extend(query_parameters(times));
    total.add(suite::run(&one, "metadata and parameters", cases).await);
    if let Some(corpus) = queries::corpus() {
        total.add(suite::run(&one, "corpus", in_turn(&corpus, times)).await);
    }
    println!("{}", total.summary("Thanos, in all"));
    total.assert_no_failure();
    assert_exceptions_are_needed(&total, Store::Thanos);
    assert_it_could_fail(&total);
}

/// When the private store's last sample is from, in unix seconds.
async fn end_of_data(private: &str) -> i64 {
    let query = "max(max_over_time(timestamp(up)[2d:30s]))";
    let ask = Ask::get("/api/v1/query", &[("query", query)]);
    let answer = Client::default().ask(private, &ask, None).await.json();
    let value = answer
        .pointer("/data/result/0/value/1")
        .and_then(serde_json::Value::as_str);
    let value = value.unwrap_or_else(|| {
        panic!("{private} has no sample of `up` of the last two days; run write_dataset: {answer}")
    });
    value
        .parse()
        .unwrap_or_else(|cause| panic!("{value}: {cause}"))
}

#[test]
#[ignore = "PARTYWALL_DATASET_DIR=/tmp/dataset cargo test --test e2e write_dataset -- --ignored: for a live Thanos"]
fn write_dataset() {
    let dir = std::env::var_os("PARTYWALL_DATASET_DIR").expect("PARTYWALL_DATASET_DIR is set");
    let dir = PathBuf::from(dir);
    let data = Dataset::shared(now() - 30);
    make_blocks(&data, &dir.join("shared"));
    make_blocks(&data.only(&["acme"]), &dir.join("acme"));
    println!(
        "{} series, {} samples in {}",
        data.series.len(),
        data.samples(),
        dir.display()
    );
}

/// With the matcher written by hand the stores agree, without it they do not.
#[tokio::test]
async fn comparison_detects_different_stores() {
    let data = Dataset::shared(now() - 30);
    let own = data.only(&["acme"]);
    let (shared, private) = tokio::join!(
        Prometheus::with_data("shared", &data),
        Prometheus::with_data("private", &own)
    );
    let (client, time) = (Client::default(), data.end.to_string());
    let any_order = Strictness::default();
    for query in [
        "up{$}",
        "sum by (code) (rate(http_requests_total{$}[5m]))",
        "{$ __name__!=\"\"}",
    ] {
        let ask = |matcher: &str| {
            let query = query.replace('$', matcher);
            Ask::get(
                "/api/v1/query",
                &[("query", query.as_str()), ("time", time.as_str())],
            )
        };
        let expected = client.ask(&private.url, &ask(""), None).await;
        assert!(
            expected.text().contains("\"value\""),
            "{query}: {}",
            expected.text()
        );
        let confined = client
            .ask(&shared.url, &ask("tenant_id=\"acme\","), None)
            .await;
        assert_eq!(
            differences(&expected, &confined, any_order),
            Vec::<String>::new(),
            "{query}"
        );
        let foreign = client
            .ask(&shared.url, &ask("tenant_id=\"beta\","), None)
            .await;
        assert_ne!(
            differences(&expected, &foreign, any_order),
            Vec::<String>::new(),
            "{query}"
        );
        let all = client.ask(&shared.url, &ask(""), None).await;
        assert_ne!(
            differences(&expected, &all, any_order),
            Vec::<String>::new(),
            "{query}"
        );
    }
}
