//! Tenants whose data an expression of the operator selects: the answers are those of a private store
//! with the data whose label the expression matches, by another engine's reading of it.

use std::sync::Arc;

use partywall::config::settings::{Selector, Selectors};
use partywall::tenancy::{LabelMatcher, Matchers, Tenant, TenantSet, Values};
use partywall::value_pattern::ValuePattern;

use super::requests::{Times, exemplars, federation, metadata, query_parameters};
use super::suite::{self, Scope, Tally};
use super::{assert_it_could_fail, generated, in_turn, queries, remote_read};
use crate::kit::client::{Ask, Client};
use crate::kit::dataset::{Dataset, LABEL, LOOKALIKES, MAIN, Series};
use crate::kit::hard_values::HARD_VALUES;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::prometheus::Prometheus;
use crate::kit::random::{Random, seeds};
use crate::kit::token::now;

/// Queries made up for each seed.
const GENERATED: usize = 200;

/// As YAML.
const SELECTORS: &str = "
  selectors:
    prefix: {match: '=~', value: 'acme.*|gamma[.]io'}
    dots: {match: '=~', value: 'a.b'}
    not-acme: {match: '!=', value: acme}
    rest: {match: '!~', value: 'acme.*|beta|gamma.+'}";

fn tenants(is_own: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let all = MAIN.iter().chain(&LOOKALIKES).copied();
    all.filter(|tenant| is_own(tenant)).collect()
}

async fn with_selectors(shared: &Prometheus, selectors: &str) -> Partywall {
    let mut setup = Setup::new(&shared.url);
    setup.tenancy.push_str(selectors);
    Partywall::start(setup).await
}

/// A caller who is granted these tenants.
fn scope(
    name: &'static str,
    granted: &[&str],
    proxy: &Partywall,
    shared: &Prometheus,
    private: &Prometheus,
) -> Scope {
    Scope {
        name,
        proxy: proxy.url.clone(),
        token: proxy.signer.tenants(granted),
        private: private.url.clone(),
        shared: Some(shared.url.clone()),
        verbatim: false,
    }
}

/// Every kind of question, for each of the scopes.
async fn compare(scopes: &[Scope], times: Times, made_up: &str) -> Tally {
    let mut total = Tally::default();
    // First, while the newest samples are within the lookback: it asks about now.
    for scope in scopes {
        total.add(suite::run(scope, "federate", federation()).await);
    }
    let templates = queries::templates();
    for scope in scopes {
        total.add(suite::run(scope, "templates", in_turn(&templates, times)).await);
        let mut cases = metadata(times);
        cases.extend(exemplars(times));
        cases.extend(query_parameters(times));
        total.add(suite::run(scope, "metadata and parameters", cases).await);
        let (compared, with_series) = remote_read::compare(scope, times).await;
        assert!(
            with_series * 3 > compared,
            "too few remote reads found anything"
        );
    }
    for seed in seeds(made_up) {
        let made_up = generated::queries(seed, GENERATED);
        for scope in scopes {
            total.add(suite::run(scope, "made up", in_turn(&made_up, times)).await);
        }
    }
    total
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_a_selector_are_those_of_a_private_store() {
    let data = Dataset::shared(now() - 30);
    let times = Times {
        start: data.start(),
        end: data.end,
    };
    let is_prefix = |tenant: &str| tenant.starts_with("acme") || tenant == "gamma.io";
    let is_dots = |tenant: &str| ["a.b", "a|b", "axb", "b"].contains(&tenant);
    let prefix = data.only(&tenants(is_prefix));
    let beside = data.only(&tenants(is_dots));
    let not_acme = data.only(&tenants(|tenant| tenant != "acme"));
    let rest = data.only(&tenants(|tenant| {
        !tenant.starts_with("acme") && tenant != "beta" && !tenant.starts_with("gamma")
    }));
    let (shared, prefix, beside, not_acme, rest) = tokio::join!(
        Prometheus::with_data("shared", &data),
        Prometheus::with_data("private prefix", &prefix),
        Prometheus::with_data("private a.b and b", &beside),
        Prometheus::with_data("private not acme", &not_acme),
        Prometheus::with_data("private rest", &rest),
    );
    let proxy = with_selectors(&shared, SELECTORS).await;
    let scope = |name, granted: &[&str], private| scope(name, granted, &proxy, &shared, private);
    let scopes = [
        scope("prefix", &["prefix"], &prefix),
        scope("a.b beside b", &["dots", "b"], &beside),
        scope("not acme", &["not-acme"], &not_acme),
        scope("rest", &["rest"], &rest),
    ];
    let total = compare(&scopes, times, "queries of selectors made up").await;
    println!("{}", total.summary("selectors, in all"));
    total.assert_no_failure();
    assert_it_could_fail(&total);
}

/// As YAML: conditions on several labels. Those of the first two differ in the values of one label.
const CONDITIONS: &str = "
  selectors:
    acme-api:
      metrics:
        - {label: tenant_id, match: '=', value: acme}
        - {label: job, match: '=~', value: 'api.*'}
    beta-api:
      metrics:
        - {label: tenant_id, match: '=~', value: 'be.+|a[.]b'}
        - {label: job, match: '=~', value: 'api.*'}
    first-hosts:
      metrics:
        - {label: instance, match: '!=', value: 'h2:9090'}
        - {label: tenant_id, match: '!~', value: 'acme|gamma.*'}
    no-db:
      metrics:
        - {label: job, match: '!~', value: 'db|app.+'}
        - {label: instance, match: '=~', value: 'h.*|[01]'}";

/// Series without one of the labels belong to nobody, also by `!=` and `!~`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_conditions_on_several_labels_are_those_of_a_private_store() {
    let data = Dataset::shared(now() - 30);
    let times = Times {
        start: data.start(),
        end: data.end,
    };
    let only = |is_own: &dyn Fn(&str, &str, &str) -> bool| {
        let is_own = |series: &&Series| {
            let label = |name| series.label(name).unwrap_or_default();
            is_own(label(LABEL), label("job"), label("instance"))
        };
        Dataset {
            end: data.end,
            series: data.series.iter().filter(is_own).cloned().collect(),
        }
    };
    let acme_api = only(&|tenant, job, _| tenant == "acme" && job.starts_with("api"));
    let both_api =
        only(&|tenant, job, _| ["acme", "beta", "a.b"].contains(&tenant) && job.starts_with("api"));
    let first_hosts = only(&|tenant, _, instance| {
        !["", "h2:9090"].contains(&instance)
            && !["", "acme", "gamma.io", "gammaXio"].contains(&tenant)
    });
    let no_db = only(&|_, job, instance| {
        !["", "db", "app-server"].contains(&job)
            && (instance.starts_with('h') || ["0", "1"].contains(&instance))
    });
    let (shared, acme_api, both_api, first_hosts, no_db) = tokio::join!(
        Prometheus::with_data("shared", &data),
        Prometheus::with_data("private acme's api", &acme_api),
        Prometheus::with_data("private api", &both_api),
        Prometheus::with_data("private first hosts", &first_hosts),
        Prometheus::with_data("private no db", &no_db),
    );
    let proxy = with_selectors(&shared, CONDITIONS).await;
    let scope = |name, granted: &[&str], private| scope(name, granted, &proxy, &shared, private);
    let scopes = [
        scope("acme's api", &["acme-api"], &acme_api),
        scope("api of several", &["acme-api", "beta-api"], &both_api),
        scope("first hosts", &["first-hosts"], &first_hosts),
        scope("no db", &["no-db"], &no_db),
    ];
    let total = compare(&scopes, times, "queries of conditions made up").await;
    println!("{}", total.summary("conditions, in all"));
    total.assert_no_failure();
    assert!(
        total.would_differ * 3 > total.unconfined,
        "too few answers could have leaked"
    );

    // PromQL has no "or" between labels.
    for granted in [
        ["acme-api", "first-hosts"],
        ["acme-api", "beta"],
        ["no-db", "first-hosts"],
    ] {
        let ask = Ask::get("/api/v1/query", &[("query", "up")]);
        let token = proxy.signer.tenants(&granted);
        let answer = Client::default().ask(&proxy.url, &ask, Some(&token)).await;
        assert_eq!(answer.status, 403, "{granted:?}: {}", answer.text());
        let text = answer.text();
        assert!(
            text.contains("cannot be selected by one PromQL selector"),
            "{text}"
        );
    }
}

/// Parts of expressions. Many of the texts that they make are refused.
const PARTS: [&str; 30] = [
    "a",
    "b",
    "team-",
    "-",
    ".",
    ".*",
    ".+",
    "a?",
    "[ab]",
    "[^a]",
    "[^a]+",
    "(a|b)",
    "(?:a|)",
    "|",
    "a{2}",
    "{1,2}",
    "*",
    "+",
    "?",
    r"\.",
    r"\|",
    r"\\",
    r"\*",
    "é",
    "[[:alpha:]]+",
    "[0-9]",
    "[a-z]*",
    "3",
    "[K-a]",
    "[^[:space:]]+",
];

/// The property that everything else rests on: our filter and the store agree on each value, and on
/// series without the label.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filter_and_prometheus_agree_on_every_value() {
    let end = now() - 30;
    let end = end - end.rem_euclid(30);
    let series = |value: Option<&str>| {
        let mut labels = vec![("__name__".to_owned(), "v".to_owned())];
        labels.extend(value.map(|value| (LABEL.to_owned(), value.to_owned())));
        labels.push(("z".to_owned(), "z".to_owned()));
        let samples = vec![(end, 1.0)];
        Series { labels, samples }
    };
    let all = std::iter::once(None).chain(HARD_VALUES.into_iter().map(Some));
    let data = Dataset {
        end,
        series: all.map(series).collect(),
    };
    let store = Prometheus::with_data("values", &data).await;
    let (client, time) = (Client::default(), end.to_string());
    let (mut asked, mut found, mut refused) = (0, 0, 0);
    for seed in seeds("expressions made up") {
        let mut random = Random::of(seed);
        for _ in 0..1500 {
            let parts = 1 + random.below(5);
            let source: String = (0..parts)
                .map(|_| PARTS[random.below(PARTS.len())])
                .collect();
            let Ok(pattern) = ValuePattern::new(&source) else {
                refused += 1;
                continue;
            };
            let pattern = Arc::new(pattern);
            let kind = random.below(3);
            let beside = HARD_VALUES.iter().filter(|_| random.below(12) == 0);
            let beside: Vec<Tenant> = beside.filter_map(|value| Tenant::new(value).ok()).collect();
            let (selector, others): (_, Vec<Tenant>) = match kind {
                0 => (Selector::Matches(pattern), beside),
                1 => (Selector::MatchesNot(pattern), Vec::new()),
                _ => {
                    let value = HARD_VALUES[random.below(HARD_VALUES.len())];
                    let Ok(value) = Tenant::new(value) else {
                        continue;
                    };
                    (Selector::Not(value), Vec::new())
                }
            };
            let selectors: Selectors = [("selected".into(), selector)].into_iter().collect();
            let selected = Tenant::new("selected").expect("a tenant");
            let tenants = TenantSet::new(others.into_iter().chain([selected])).expect("tenants");
            let values = Values::of(&tenants, &selectors).expect("values");
            let matcher = LabelMatcher::new(LABEL.into(), values.clone());
            let matchers = Matchers::new(matcher, []);
            for query in [
                format!("v{{{}}}", matchers.promql()),
                format!("v{{{}}}", matchers.promql_without_equality()),
            ] {
                let ask = Ask::get("/api/v1/query", &[("query", &query), ("time", &time)]);
                let answer = client.ask(&store.url, &ask, None).await;
                assert_eq!(answer.status, 200, "{query}: {}", answer.text());
                let answer = answer.json();
                let series = answer["data"]["result"].as_array().expect("a vector");
                let value =
                    |one: &serde_json::Value| one["metric"][LABEL].as_str().map(str::to_owned);
                let mut got: Vec<Option<String>> = series.iter().map(value).collect();
                let own = HARD_VALUES.iter().filter(|value| values.contains(value));
                let mut expected: Vec<_> = own.map(|value| Some((*value).to_owned())).collect();
                got.sort();
                expected.sort();
                assert_eq!(got, expected, "{query}");
                (asked, found) = (asked + 1, found + got.len());
            }
        }
    }
    println!("{asked} queries found {found} series; {refused} expressions were refused");
    assert!(
        asked > 500 && found > asked,
        "{asked} queries found {found} series"
    );
}
