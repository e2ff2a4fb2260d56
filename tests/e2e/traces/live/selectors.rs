//! Tenants with selectors, on a real Tempo: the stage, the redactor and the filters agree.
//!
//! ```text
//! TEMPO_SELECTORS_URL=http://127.0.0.1:3200 TEMPO_SELECTORS_OTLP_URL=http://127.0.0.1:4318 \
//!     cargo test --test e2e live_selectors -- --nocapture
//! ```
//!
//! The answers of a tenant by an expression that matches `acme` alone are compared with those of
//! `acme`, which the other tests compare with a private Tempo.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::ask::{As, Form, Question, Subject, ask};
use super::compare::{canonical, differences};
use super::{ANY_TENANT, ATTEMPTS, GENTLY, questions};
use crate::kit::client::{Ask, Client};
use crate::kit::evidence;
use crate::kit::hard_values::HARD_VALUES;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::random::{Random, seeds};
use crate::kit::tempo_data::{ATTRIBUTE, Traces, Window, push_otlp};
use crate::kit::token::now;

/// One in so many questions.
const SHARE: usize = 3;

const SAME_AS_ACME: &str = "
  selectors:
    expression: {match: '=~', value: 'acm[e]|none-.*'}
    all-others: {match: '!~', value: '[^a].*|acme[.]eu|acme2|ACME'}";

/// One after the other, since the first counts the spans of its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_selectors_select_what_the_expression_matches() {
    let what = "a running Tempo (see the head of tests/e2e/traces/live/selectors.rs)";
    let stores =
        evidence::running_stores(["TEMPO_SELECTORS_URL", "TEMPO_SELECTORS_OTLP_URL"], what);
    let Some([tempo, otlp]) = stores else {
        return;
    };
    answers_are_those_of_the_same_data_by_name(&tempo, &otlp).await;
    stage_and_filters_agree_on_every_value(&tempo, &otlp).await;
}

async fn answers_are_those_of_the_same_data_by_name(tempo: &str, otlp: &str) {
    let data = Traces::shared(now());
    data.push(otlp).await;
    data.wait_visible(tempo).await;
    let mut setup = Setup::tempo(tempo);
    setup.tenancy.push_str(SAME_AS_ACME);
    let proxy = Partywall::start(setup).await;
    let client = Client::default();
    let mut all = questions::searches(&data);
    all.extend(questions::metrics(&data));
    all.extend(questions::tags(&data));
    all.extend(questions::traces(&data));
    let acme = proxy.signer.tenant("acme");
    for (turn, tenant) in ["expression", "all-others"].into_iter().enumerate() {
        let token = proxy.signer.tenant(tenant);
        let is_asked = |(place, question): &(usize, &Question)| {
            // What is no text is no value of an expression; the redactor's own tests have it.
            place % SHARE == turn
                && question.window != Window::Doubtful
                // Tempo reads them from a filter with one value, without looking for spans.
                && !matches!(&question.subject, Subject::Values(_, tag) if tag.ends_with(ATTRIBUTE))
                // At which time it counts a list as missing is up to the order of Tempo's jobs.
                && !question.param("q").contains("compare(")
                // Of metrics of a query that fails on a span it returns what was read by then.
                && !(is_metrics(question) && question.param("q").contains("(1 / "))
        };
        let asked = all.iter().enumerate().filter(is_asked);
        let asked = asked.flat_map(|(_, question)| {
            let forms = question.forms().iter();
            forms.map(move |form| (question, *form))
        });
        let compared = asked
            .map(|(question, form)| compare(&client, &proxy.url, [&acme, &token], question, form));
        let compared: Vec<_> = futures_util::stream::iter(compared)
            .buffer_unordered(GENTLY)
            .collect()
            .await;
        let with_data = compared.iter().filter(|(has_data, _)| *has_data).count();
        let failures: Vec<&str> = compared
            .iter()
            .filter_map(|(_, found)| found.as_deref())
            .collect();
        println!(
            "{tenant}: {} answers compared, {with_data} with data",
            compared.len()
        );
        assert!(
            failures.is_empty(),
            "{tenant}: {}\n{}",
            failures.len(),
            failures.join("\n")
        );
        assert!(
            with_data * 2 > compared.len(),
            "too few answers mean anything"
        );
    }
}

fn is_metrics(question: &Question) -> bool {
    matches!(question.subject, Subject::Range | Subject::Instant)
}

/// Whether the answer has data, and how it differs.
async fn compare(
    client: &Client,
    url: &str,
    [by_name, selected]: [&str; 2],
    question: &Question,
    form: Form,
) -> (bool, Option<String>) {
    let mut found = Vec::new();
    let mut has_data = false;
    for _ in 0..ATTEMPTS {
        let (expected, got) = tokio::join!(
            ask(client, url, question, form, As::Bearer(by_name)),
            ask(client, url, question, form, As::Bearer(selected)),
        );
        has_data = got.status == 200 && got.text.len() > 60;
        found = if expected.status == got.status {
            let subject = &question.subject;
            differences(
                &canonical(subject, &expected.json),
                &canonical(subject, &got.json),
            )
        } else {
            vec![format!(
                "{} instead of {}: {}",
                got.status, expected.status, got.text
            )]
        };
        // Some resources have a list as their tenant: see the guarantees page.
        let is_of_lists = got.status == 500 && question.param("q").contains(ATTRIBUTE);
        if found.is_empty() || is_of_lists {
            return (has_data, None);
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    (
        has_data,
        Some(format!("{form:?} {question}\n    {}", found.join("\n    "))),
    )
}

fn texts() -> impl Iterator<Item = &'static str> {
    HARD_VALUES.into_iter().chain(["\"", ""])
}

/// Values of the attribute, as OTLP has them; `None` where it is missing. The last ones are no text:
/// they belong to no tenant.
fn values() -> Vec<Option<Value>> {
    let texts = texts().map(|text| Some(json!({ "stringValue": text })));
    let others = [
        None,
        Some(json!({ "intValue": "3" })),
        Some(json!({ "doubleValue": 3.5 })),
        Some(json!({ "boolValue": true })),
    ];
    texts.chain(others).collect()
}

/// Operator, expression or value, and the texts that are selected.
const SELECTED: [(&str, &str, &[&str]); 11] = [
    ("=~", "team-a-.*", &["team-a-x", "team-a-\n"]),
    ("=~", "team-a-.+|b", &["team-a-x", "team-a-\n", "b"]),
    ("=~", "a|b", &["a", "b"]),
    (
        "=~",
        "a.b",
        &[
            "a.b",
            "aab",
            "axb",
            "a\nb",
            "a b",
            "a|b",
            "a-b",
            "a\u{2028}b",
        ],
    ),
    ("=~", r"a\.b", &["a.b"]),
    ("=~", "[[:digit:]]", &["3"]),
    ("=~", "[a-z]b?", &["a", "b", "ab"]),
    (
        "=~",
        r"\\|\*|[^a-zA-Z0-9]",
        &["é", "٣", "ſ", "\\", "*", "\""],
    ),
    ("=~", "aé|é", &["é", "aé"]),
    ("!~", "a.*|b|t.+|[^a-z]", &[]),
    ("!~", "a.+|team.*|.", &[]),
];

/// The same, and all but one value.
fn selected() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    let all_but = texts().filter(|text| !matches!(*text, "a b" | ""));
    let listed = SELECTED.iter();
    listed
        .map(|(op, value, texts)| (*op, *value, texts.to_vec()))
        .chain([("!=", "a b", all_but.collect())])
        .collect()
}

async fn stage_and_filters_agree_on_every_value(tempo: &str, otlp: &str) {
    let client = Client::default();
    let anchor = now();
    let seed = seeds("trace ids")[1];
    let mut random = Random::of(seed);
    let values = values();
    let mut ids = Vec::new();
    for value in &values {
        let id: String = (0..32)
            .map(|_| random.word(&["1", "2", "3", "a", "f"]))
            .collect();
        push(&client, otlp, &id, seed, anchor, value.as_ref()).await;
        ids.push(id);
    }
    let (start, end) = ((anchor - 60).to_string(), (anchor + 5).to_string());
    let range = [("start", &*start), ("end", &*end)];
    let all = format!("{{ span.seed = {seed} }}");
    wait_for(&client, tempo, &all, values.len(), range).await;

    let all_selected = selected();
    let mut selectors = String::from("\n  selectors:");
    for (place, (op, value, _)) in all_selected.iter().enumerate() {
        let value = json!(value);
        write!(
            selectors,
            "\n    s{place}: {{match: '{op}', value: {value}}}"
        )
        .expect("a string");
    }
    let mut setup = Setup::tempo(tempo);
    let traces = setup.tempo.as_mut().expect("a Tempo");
    traces.tenancy = "attribute: resource.selected".to_owned();
    setup.tenancy.push_str(&selectors);
    setup.rest = "traces: {foreign_spans: redact}\n".to_owned();
    let proxy = Partywall::start(setup).await;
    for (place, (op, selector, selected)) in all_selected.iter().enumerate() {
        let token = proxy.signer.tenant(&format!("s{place}"));
        let is_own = |value: &Option<Value>| {
            let text = value
                .as_ref()
                .and_then(|value| value["stringValue"].as_str());
            text.is_some_and(|text| selected.contains(&text))
        };
        let own: BTreeSet<&str> = values
            .iter()
            .zip(&ids)
            .filter(|(value, _)| is_own(value))
            .map(|(_, id)| id.as_str())
            .collect();
        let case = format!("{op} {selector}");

        let found = search(&client, &proxy.url, &all, range, Some(&token)).await;
        let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, own, "search: {case}");
        for id in &ids {
            let ask = Ask::get(&format!("/api/v2/traces/{id}"), &range);
            let answer = client.ask(&proxy.url, &ask, Some(&token)).await;
            let is_shown = answer.text().contains("s-own-");
            assert_eq!(
                is_shown,
                own.contains(id.as_str()),
                "{case}: {}",
                answer.text()
            );
        }
        // The names that each span has of its own are told to nobody else.
        for path in [
            "/api/v2/search/tags",
            "/api/v2/search/tag/span.own/values",
            "/api/v2/search/tag/resource.selected/values",
        ] {
            let answer = client
                .ask(&proxy.url, &Ask::get(path, &range), Some(&token))
                .await;
            assert_eq!(answer.status, 200, "{case}: {}", answer.text());
            if path.ends_with("own/values") {
                let json = answer.json();
                let listed = json["tagValues"].as_array().into_iter().flatten();
                let listed: BTreeSet<String> = listed
                    .filter_map(|value| {
                        value["value"]
                            .as_str()?
                            .strip_prefix("s-own-")
                            .map(str::to_owned)
                    })
                    .filter(|id| ids.contains(id))
                    .collect();
                let listed: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
                assert_eq!(listed, own, "{path}: {case}");
            } else if path.ends_with("selected/values") {
                let json = answer.json();
                for value in json["tagValues"].as_array().into_iter().flatten() {
                    let value = value["value"].as_str().expect("a text");
                    // Tempo lists the name of an attribute among its values if the filter has it too.
                    let is_name = *op != "=~" && value == "selected";
                    assert!(is_name || selected.contains(&value), "{case}: {value}");
                }
            }
        }
    }
}

async fn push(
    client: &Client,
    otlp: &str,
    id: &str,
    seed: u64,
    anchor: i64,
    value: Option<&Value>,
) {
    let attribute = |key: &str, value: Value| json!({ "key": key, "value": value });
    let mut resource = vec![attribute("service.name", json!({ "stringValue": "s" }))];
    resource.extend(value.map(|value| attribute("selected", value.clone())));
    let span = json!({
        "traceId": id, "spanId": id.get(..16), "name": "one", "kind": 1,
        "startTimeUnixNano": format!("{}000000000", anchor - 20),
        "endTimeUnixNano": format!("{}500000000", anchor - 20),
        "attributes": [
            attribute("own", json!({ "stringValue": format!("s-own-{id}") })),
            attribute("seed", json!({ "intValue": seed.to_string() })),
        ],
    });
    let body = json!({ "resourceSpans": [{
        "resource": { "attributes": resource }, "scopeSpans": [{ "spans": [span] }],
    }] });
    push_otlp(client, otlp, ANY_TENANT, &body).await;
}

/// The ids of the traces that a search finds.
async fn search(
    client: &Client,
    url: &str,
    query: &str,
    range: [(&str, &str); 2],
    token: Option<&str>,
) -> Vec<String> {
    let mut params = vec![("q", query), ("limit", "100")];
    params.extend(range);
    let answer = client
        .ask(url, &Ask::get("/api/search", &params), token)
        .await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    let json = answer.json();
    let traces = json["traces"].as_array().into_iter().flatten();
    traces
        .filter_map(|trace| trace["traceID"].as_str().map(str::to_owned))
        .collect()
}

async fn wait_for(client: &Client, url: &str, query: &str, count: usize, range: [(&str, &str); 2]) {
    for _ in 0..100 {
        if search(client, url, query, range, None).await.len() == count {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    panic!("{url} does not show {count} traces");
}
