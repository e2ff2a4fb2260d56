//! `info()`, which Prometheus 3 has as an experimental function: what is confined is answered as by a
//! private store, and what is refused would not be, were it confined by a matcher.
//!
//! Debian's Prometheus is older: `PROMETHEUS` names another one (`kit/prometheus.rs`).

use super::requests::{Times, evaluations};
use super::suite::{self, Scope};
use crate::kit::client::{Ask, Client};
use crate::kit::compare::{Strictness, differences};
use crate::kit::dataset::Dataset;
use crate::kit::evidence;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::prometheus::Prometheus;
use crate::kit::token::now;

/// In the dataset `target_info` has the label `owner`, of the targets of one job.
const CONFINED: &[&str] = &[
    "info(up, {owner=~\".+\"})",
    "info(up, {owner!=\"\"})",
    "info(up{job=\"api\"}, {owner=~\"owner-of-.*\"})",
    "info(up, {owner=\"owner-of-beta\"})",
    "info(up, {__name__=\"target_info\",owner=~\".+\"})",
    "info(up, {__name__=~\"target_info|build_info\",owner=~\".+\"})",
    "info(up, {__name__=\"build_info\",version=~\".+\"})",
    "info(up, {nonexistent=~\".+\"})",
    "info(nonexistent, {owner=~\".+\"})",
    "info(target_info, {owner=~\".+\"})",
    "info(up, {owner=~\".+\",tenant_id=\"beta\"})",
    "info(up, {owner=~\".+\",tenant_id=~\".+\"})",
    "info(up{tenant_id=\"beta\"}, {owner=~\".+\"})",
    "info(rate(http_requests_total[5m]), {owner=~\".+\"})",
    "info(up offset 5m, {owner=~\".+\"})",
    "info(up @ start(), {owner=~\".+\"})",
    "max_over_time(info(up, {owner=~\".+\"})[10m:1m])",
    "sum by (owner) (info(http_requests_total, {owner=~\".+\"}))",
    "count by (tenant_id, owner) (info({__name__=~\".+\"}, {owner=~\".+\"}))",
    "topk(2, info(memory_bytes, {owner=~\".+\"}))",
    "info(up, {owner=~\".+\"}) / on (instance, job) up",
];

/// With the matcher that they would be confined by.
const REFUSED: &[(&str, &str)] = &[
    ("info(up)", "info(up{$}, {$})"),
    (
        "info(up, {owner=~\".*\"})",
        "info(up{$}, {$,owner=~\".*\"})",
    ),
    (
        "info(sum by (job, instance) (up), {owner=~\".+\"})",
        "info(sum by (job, instance) (up{$}), {$,owner=~\".+\"})",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn info_answers_as_a_private_store() {
    let data = Dataset::shared(now() - 30);
    let times = Times {
        start: data.start(),
        end: data.end,
    };
    let (one, two) = (data.only(&["acme"]), data.only(&["acme", "beta"]));
    let (shared, one, two) = tokio::join!(
        Prometheus::with_data("shared", &data),
        Prometheus::with_data("private acme", &one),
        Prometheus::with_data("private acme and beta", &two),
    );
    let client = Client::default();
    let time = (data.end - 600).to_string();
    let ask = |query: &str| Ask::get("/api/v1/query", &[("query", query), ("time", &time)]);
    let known = client.ask(&one.url, &ask("info(up)"), None).await;
    if known.status != 200 {
        return evidence::report("a Prometheus 3, for info()", "set PROMETHEUS to one");
    }
    let proxy = Partywall::start(Setup::new(&shared.url)).await;
    let scope = |name, token, private: &Prometheus| Scope {
        name,
        proxy: proxy.url.clone(),
        token,
        private: private.url.clone(),
        shared: Some(shared.url.clone()),
        verbatim: false,
    };
    for scope in [
        scope("acme", proxy.signer.tenant("acme"), &one),
        scope("both", proxy.signer.tenants(&["acme", "beta"]), &two),
    ] {
        let cases = CONFINED.iter().flat_map(|query| evaluations(query, times));
        let tally = suite::run(&scope, "info()", cases.collect()).await;
        tally.assert_no_failure();
        println!("{}", tally.summary("info()"));
    }
    for (query, confined) in REFUSED {
        let refused = client
            .ask(&proxy.url, &ask(query), Some(&proxy.signer.tenant("acme")))
            .await;
        assert_eq!(refused.status, 422, "{query}: {}", refused.text());
        let confined = confined.replace('$', "tenant_id=\"acme\"");
        let expected = client.ask(&one.url, &ask(query), None).await;
        let confined = client.ask(&shared.url, &ask(&confined), None).await;
        let found = differences(&expected, &confined, Strictness::default());
        assert!(!found.is_empty(), "{query} could be confined");
    }
}
