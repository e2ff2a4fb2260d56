//! The law with several tenant labels: a private store holds the series that have a value of the caller's
//! for each.

use super::queries;
use super::requests::{Times, evaluations};
use super::suite::{self, Scope};
use crate::kit::dataset::Dataset;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::prometheus::Prometheus;
use crate::kit::token::now;
use serde_json::json;

/// `job` is the second tenant label: the queries name own values of it, other ones and unknown ones.
const BY_JOB: &[&str] = &[
    "absent(up)",
    "absent(nonexistent)",
    "absent(up{job=\"db\"})",
    "absent(up{job=\"api\"})",
    "absent(nonexistent{job=\"db\"})",
    "absent(nonexistent{job=\"api\",tenant_id=\"acme\"})",
    "absent(nonexistent{job=\"db\",tenant_id=\"beta\",instance=\"x\"})",
    "absent(nonexistent{job=~\"api\",tenant_id=\"beta\"})",
    "absent(nonexistent{job=\"api\",job!=\"db\",tenant_id=\"acme\"})",
    "absent(nonexistent{tenant_id=\"acme\",job=\"api\",tenant_id=\"acme\"})",
    "absent({job=\"db\",tenant_id=\"gamma.io\"})",
    "absent_over_time(nonexistent{job=\"db\",tenant_id=\"beta\"}[5m])",
    "absent_over_time(up{job=\"db\"}[5m] offset 1m)",
    "sum by (job, tenant_id) (absent(nonexistent{job=\"db\",tenant_id=\"beta\"}))",
    "absent(nonexistent{job=\"api\"}) * on (job) group_right up",
    "up unless on (job) absent(nonexistent{job=\"api\"})",
    "count by (job, tenant_id) ({__name__=~\".+\"})",
    "up{job=~\".*\",tenant_id=~\".*\"}",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absent_with_several_tenant_labels_answers_as_a_private_store() {
    let data = Dataset::shared(now() - 30);
    let times = Times {
        start: data.start(),
        end: data.end,
    };
    let own = |tenants: &[&str], jobs: &[&str]| {
        let mut own = data.only(tenants);
        own.series
            .retain(|series| series.label("job").is_some_and(|job| jobs.contains(&job)));
        own
    };
    let (one, several) = (
        own(&["acme"], &["api"]),
        own(&["acme", "gamma.io"], &["api", "api-server", "s"]),
    );
    let (shared, one, several) = tokio::join!(
        Prometheus::with_data("shared", &data),
        Prometheus::with_data("private, one value each", &one),
        Prometheus::with_data("private, several values", &several),
    );
    let proxy = Partywall::start(Setup {
        tenancy: "claim: tenant_id\n  and: [{claim: jobs, metrics: {label: job}}]".to_owned(),
        ..Setup::new(&shared.url)
    })
    .await;
    let token = |tenants: &[&str], jobs: &[&str]| {
        let claims = json!({ "tenant_id": tenants, "jobs": jobs });
        proxy.signer.token(&claims)
    };
    let scope = |name, token, private: &Prometheus| Scope {
        name,
        proxy: proxy.url.clone(),
        token,
        private: private.url.clone(),
        shared: Some(shared.url.clone()),
        verbatim: false,
    };
    let of_templates = queries::templates();
    let of_templates = of_templates.iter().filter(|query| query.contains("absent"));
    let queries: Vec<&str> = of_templates
        .map(String::as_str)
        .chain(BY_JOB.iter().copied())
        .collect();
    for scope in [
        scope("acme, api", token(&["acme"], &["api"]), &one),
        scope(
            "several of both",
            token(&["acme", "gamma.io"], &["api", "api-server", "s"]),
            &several,
        ),
    ] {
        let cases = queries
            .iter()
            .enumerate()
            // An instant query and one of a range, with both methods.
            .flat_map(|(n, query)| evaluations(query, times).into_iter().skip(n % 2).step_by(2));
        let tally = suite::run(&scope, "absent", cases.collect()).await;
        tally.assert_no_failure();
        assert!(tally.with_data * 4 > tally.compared);
        assert!(tally.would_differ > 10);
    }
}
