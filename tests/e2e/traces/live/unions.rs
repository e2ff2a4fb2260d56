//! Tenants with alternatives and typed values, on a real Tempo: the stage, the redactor, the
//! ownership query and the searches for own spans agree on every combination of values of two
//! attributes.
//!
//! The private stores are tenants of a Tempo with multitenancy, as in `modes.rs`.
//!
//! ```text
//! TEMPO_UNIONS_URL=http://127.0.0.1:3200 TEMPO_UNIONS_OTLP_URL=http://127.0.0.1:4318 \
//! TEMPO_MULTITENANT_URL=http://127.0.0.1:3202 TEMPO_MULTITENANT_OTLP_URL=http://127.0.0.1:4320 \
//!     cargo test --test e2e live_unions -- --nocapture
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::ask::Subject;
use super::compare::{canonical, differences};
use super::{ANY_TENANT, ATTEMPTS};
use crate::kit::client::{Ask, Client};
use crate::kit::evidence;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::random::seeds;
use crate::kit::tempo_data::push_otlp;
use crate::kit::token::now;

/// Values of an attribute, as OTLP has them; none where it is missing.
const VALUES: [&str; 10] = [
    r#"{"stringValue":"a"}"#,
    r#"{"stringValue":"ab"}"#,
    r#"{"stringValue":"5"}"#,
    r#"{"stringValue":"true"}"#,
    r#"{"intValue":"5"}"#,
    r#"{"intValue":"6"}"#,
    r#"{"doubleValue":5.0}"#,
    r#"{"doubleValue":5.5}"#,
    r#"{"boolValue":true}"#,
    r#"{"boolValue":false}"#,
];

/// Whether a value of the first and one of the second attribute are the tenant's.
type IsOwn = fn(&str, &str) -> bool;

fn text(value: &str) -> Option<&str> {
    value
        .strip_prefix(r#"{"stringValue":""#)?
        .strip_suffix(r#""}"#)
}

fn is(value: &str, wanted: &str) -> bool {
    text(value) == Some(wanted)
}

fn is_five(value: &str) -> bool {
    [r#"{"intValue":"5"}"#, r#"{"doubleValue":5.0}"#].contains(&value)
}

fn is_bool(value: &str, wanted: bool) -> bool {
    value == format!(r#"{{"boolValue":{wanted}}}"#)
}

/// What selects a tenant's traces, and what that is meant to be. `$x` and `$y` stand for the two
/// attributes.
const SELECTED: [(&str, IsOwn); 9] = [
    (
        "{any: [[{attribute: $x, match: '=', value: a}, {attribute: $y, match: '=', value: '5'}], \
         [{attribute: $y, match: '=', value: ab}]]}",
        |x, y| (is(x, "a") && is(y, "5")) || is(y, "ab"),
    ),
    ("[{attribute: $x, match: '=', value: true}]", |x, _| {
        is_bool(x, true)
    }),
    ("[{attribute: $x, match: '=', value: 'true'}]", |x, _| {
        is(x, "true")
    }),
    ("[{attribute: $x, match: '=', value: 5}]", |x, _| is_five(x)),
    (
        "[{attribute: $x, match: '=', value: '5'}, {attribute: $y, match: '!~', value: 'a.+'}]",
        |x, y| is(x, "5") && text(y).is_some_and(|y| y != "ab"),
    ),
    (
        "{any: [[{attribute: $x, match: '=', value: true}], \
         [{attribute: $x, match: '=', value: false}]]}",
        |x, _| is_bool(x, true) || is_bool(x, false),
    ),
    (
        "{any: [[{attribute: $x, match: '=', value: 5}], [{attribute: $x, match: '=', value: 6}], \
         [{attribute: $x, match: '=', value: a}], [{attribute: $x, match: '=', value: ab}]]}",
        |x, _| is_five(x) || x == r#"{"intValue":"6"}"# || is(x, "a") || is(x, "ab"),
    ),
    (
        "{any: [[{attribute: $x, match: '!=', value: a}, {attribute: $y, match: '=', value: 5}], \
         [{attribute: $x, match: '=~', value: 'a.*'}, {attribute: $y, match: '=', value: true}], \
         [{attribute: $y, match: '!=', value: 'true'}]]}",
        |x, y| {
            (text(x).is_some_and(|x| x != "a") && is_five(y))
                || (text(x).is_some_and(|x| x.starts_with('a')) && is_bool(y, true))
                || text(y).is_some_and(|y| y != "true")
        },
    ),
    (
        "{any: [[{attribute: $x, match: '!~', value: 'a.*'}], \
         [{attribute: $y, match: '=', value: false}]]}",
        |x, y| text(x).is_some_and(|x| !x.starts_with('a')) || is_bool(y, false),
    ),
];

/// The values of the two attributes of a span's resource.
type Values = (&'static str, &'static str);

/// A trace: its id, and the number of each of its spans with the values of its resource.
struct Trace {
    id: String,
    spans: Vec<(usize, Values)>,
}

fn own(value: (&str, &str)) -> String {
    format!("s-{}-{}", value.0, value.1).replace(['"', '{', '}'], "")
}

/// Each combination in a trace of its own, and traces with one value of the first attribute and all
/// of the second.
fn traces(seed: u64) -> Vec<Trace> {
    let all = || VALUES.into_iter().chain([""]);
    let alone = all().flat_map(|x| all().map(move |y| vec![(x, y)]));
    let shared = all().map(|x| all().map(|y| (x, y)).collect::<Vec<Values>>());
    let id = |place: usize| format!("{:032x}", (u128::from(seed) << 32) | (1 + place as u128));
    let all = alone.chain(shared).enumerate();
    all.map(|(place, spans)| Trace {
        id: id(place),
        spans: spans.into_iter().enumerate().collect(),
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_unions_select_what_the_conditions_say() {
    let what = "running Tempos (see the head of tests/e2e/traces/live/unions.rs)";
    let stores = evidence::running_stores(
        [
            "TEMPO_UNIONS_URL",
            "TEMPO_UNIONS_OTLP_URL",
            "TEMPO_MULTITENANT_URL",
            "TEMPO_MULTITENANT_OTLP_URL",
        ],
        what,
    );
    let Some([tempo, otlp, multitenant, multitenant_otlp]) = stores else {
        return;
    };
    let client = Client::default();
    let (anchor, seed) = (now(), seeds("trace ids")[1] >> 1);
    // Attributes of this run alone, so that runs do not meet.
    let (x, y) = (format!("x{seed}"), format!("y{seed}"));
    let traces = traces(seed);
    push(&client, [&otlp, ANY_TENANT], &traces, [&x, &y], anchor).await;
    let (start, end) = ((anchor - 60).to_string(), (anchor + 5).to_string());
    let range = [("start", &*start), ("end", &*end)];
    let all = format!("{{ span.seed = {seed} }}");
    let mut granted: Vec<(Vec<String>, Vec<IsOwn>)> = SELECTED
        .iter()
        .enumerate()
        .map(|(place, (_, is_own))| (vec![format!("s{place}")], vec![*is_own]))
        .collect();
    // Several tenants have the data of each.
    granted.push((
        vec!["s1".to_owned(), "s4".to_owned(), "nobody".to_owned()],
        vec![SELECTED[1].1, SELECTED[4].1],
    ));
    // All is sent before anything is waited for: spans that come late are dated anew.
    for (tenants, selected) in &granted {
        let store = private_store(tenants, seed);
        let own = own_traces(&traces, selected);
        push(&client, [&multitenant_otlp, &store], &own, [&x, &y], anchor).await;
    }
    wait_for(&client, [&tempo, ANY_TENANT], &all, traces.len(), range).await;

    let mut selectors = String::from("\n  selectors:");
    for (place, (selector, _)) in SELECTED.iter().enumerate() {
        let selector = selector
            .replace("$x", &format!("resource.{x}"))
            .replace("$y", &format!("resource.{y}"));
        write!(selectors, "\n    s{place}: {{traces: {selector}}}").expect("a string");
    }
    let partywall = async |search_metadata: &str| {
        let mut setup = Setup::tempo(&tempo);
        setup.tenancy.push_str(&selectors);
        setup.rest =
            format!("traces: {{foreign_spans: redact, search_metadata: {search_metadata}}}\n");
        Partywall::start(setup).await
    };
    let (proxy, exact) = (partywall("verify").await, partywall("exact").await);
    for (tenants, selected) in &granted {
        let names: Vec<&str> = tenants.iter().map(String::as_str).collect();
        let caller = Caller {
            client: &client,
            url: &proxy.url,
            token: proxy.signer.tenants(&names),
            case: tenants.join(" and "),
            range,
            selected,
        };
        let found = caller.finds_its_traces(&traces, &all).await;
        for trace in &traces {
            caller.sees_its_spans(trace).await;
            caller.is_told_of_whole_traces_of_its_own(trace, &found);
        }
        caller.counts_its_spans(&traces, &all).await;
        caller.lists_its_tags(&traces).await;

        let store = private_store(tenants, seed);
        let count = own_traces(&traces, selected).len();
        wait_for(&client, [&multitenant, &store], &all, count, range).await;
        let caller = Caller {
            url: &exact.url,
            token: exact.signer.tenants(&names),
            ..caller
        };
        caller
            .finds_what_its_private_store_finds([&multitenant, &store], &all)
            .await;
    }
}

/// The tenant of the Tempo with multitenancy that has what these tenants may see.
fn private_store(tenants: &[String], seed: u64) -> String {
    format!("{}-{seed}", tenants.join("-"))
}

/// What a store with the selected spans alone has.
fn own_traces(traces: &[Trace], selected: &[IsOwn]) -> Vec<Trace> {
    let own = |trace: &Trace| {
        let spans = trace.spans.iter().copied();
        Trace {
            id: trace.id.clone(),
            spans: spans
                .filter(|(_, span)| is_selected(selected, *span))
                .collect(),
        }
    };
    let mut all: Vec<Trace> = traces.iter().map(own).collect();
    all.retain(|trace| !trace.spans.is_empty());
    all
}

fn is_selected(selected: &[IsOwn], (x, y): Values) -> bool {
    selected.iter().any(|is_own| is_own(x, y))
}

struct Caller<'a> {
    client: &'a Client,
    url: &'a str,
    token: String,
    case: String,
    range: [(&'a str, &'a str); 2],
    selected: &'a [IsOwn],
}

fn short(id: &str) -> &str {
    id.trim_start_matches('0')
}

fn short_id(found: &Value) -> &str {
    short(found["traceID"].as_str().unwrap_or_default())
}

impl Caller<'_> {
    fn is_own(&self, span: Values) -> bool {
        is_selected(self.selected, span)
    }

    fn own_spans(&self, trace: &Trace) -> BTreeSet<String> {
        let spans = trace.spans.iter().map(|(_, values)| *values);
        spans.filter(|span| self.is_own(*span)).map(own).collect()
    }

    async fn finds_its_traces(&self, traces: &[Trace], all: &str) -> Vec<Value> {
        let found = search(self.client, self.url, all, self.range, &self.token).await;
        let found = found.as_array().cloned().unwrap_or_default();
        let ids: BTreeSet<&str> = found.iter().map(short_id).collect();
        let expected = traces
            .iter()
            .filter(|trace| !self.own_spans(trace).is_empty());
        let expected: BTreeSet<&str> = expected.map(|trace| short(&trace.id)).collect();
        assert_eq!(ids, expected, "{}", self.case);
        assert!(!expected.is_empty() && expected.len() < traces.len());
        found
    }

    async fn sees_its_spans(&self, trace: &Trace) {
        for accept in ["application/json", "application/protobuf"] {
            let ask = Ask::get(&format!("/api/v2/traces/{}", trace.id), &self.range);
            let ask = ask.with_header("accept", accept);
            let answer = self.client.ask(self.url, &ask, Some(&self.token)).await;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            for (_, span) in &trace.spans {
                let name = format!("{};", own(*span));
                let is_shown = text.contains(&name);
                assert_eq!(
                    is_shown,
                    self.is_own(*span),
                    "{} {accept}: {name}",
                    self.case
                );
            }
        }
    }

    /// With `search_metadata: exact`, in what it says of whole traces too.
    async fn finds_what_its_private_store_finds(&self, store: [&str; 2], all: &str) {
        let subject = Subject::Search;
        let expected = search_as(self.client, store, all, self.range).await;
        let expected = canonical(&subject, &json!({ "traces": expected }));
        let mut found = Vec::new();
        // What is described is cached: on a slow machine the next attempt describes the rest.
        for _ in 0..ATTEMPTS {
            let got = search(self.client, self.url, all, self.range, &self.token).await;
            let got = canonical(&subject, &json!({ "traces": got }));
            found = differences(&expected, &got);
            if found.is_empty() {
                return;
            }
        }
        panic!("{}: {}", self.case, found.join("\n"));
    }

    /// The whole trace is described only if all of it is the caller's.
    fn is_told_of_whole_traces_of_its_own(&self, trace: &Trace, found: &[Value]) {
        let listed = found.iter().find(|one| short_id(one) == short(&trace.id));
        if let Some(listed) = listed {
            let is_described = listed["rootServiceName"] == "svc-0";
            let is_whole = trace.spans.iter().all(|(_, span)| self.is_own(*span));
            assert_eq!(is_described, is_whole, "{}: {listed}", self.case);
        }
    }

    async fn counts_its_spans(&self, traces: &[Trace], all: &str) {
        let query = format!("{all} | count_over_time() by(span.own)");
        let mut params = vec![("q", &*query)];
        params.extend(self.range);
        let ask = Ask::get("/api/metrics/query", &params);
        let answer = self.client.ask(self.url, &ask, Some(&self.token)).await;
        assert_eq!(answer.status, 200, "{}: {}", self.case, answer.text());
        let json = answer.json();
        let series = json["series"].as_array().into_iter().flatten();
        let names = series.filter_map(|one| one["labels"][0]["value"]["stringValue"].as_str());
        let names: BTreeSet<String> = names
            .map(|name| name.trim_end_matches(';').to_owned())
            .collect();
        let expected = traces.iter().flat_map(|trace| self.own_spans(trace));
        assert_eq!(names, expected.collect(), "{}", self.case);
    }

    async fn lists_its_tags(&self, traces: &[Trace]) {
        let path = "/api/v2/search/tag/span.own/values";
        let ask = Ask::get(path, &self.range);
        let answer = self.client.ask(self.url, &ask, Some(&self.token)).await;
        assert_eq!(answer.status, 200, "{}: {}", self.case, answer.text());
        let json = answer.json();
        let values = json["tagValues"].as_array().into_iter().flatten();
        let values = values.filter_map(|value| value["value"].as_str());
        let values: BTreeSet<String> = values
            .map(|value| value.trim_end_matches(';').to_owned())
            .collect();
        let expected = traces.iter().flat_map(|trace| self.own_spans(trace));
        assert_eq!(values, expected.collect(), "{}", self.case);
    }
}

/// Sends the traces to a tenant of a Tempo.
async fn push(
    client: &Client,
    [otlp, tenant]: [&str; 2],
    traces: &[Trace],
    [x, y]: [&str; 2],
    anchor: i64,
) {
    let attribute = |key: &str, value: Value| json!({ "key": key, "value": value });
    let seed = x.trim_start_matches('x');
    let spans = traces.iter().flat_map(|trace| {
        trace.spans.iter().map(|&(number, span)| {
            // Which spans are there shows in all that is said of the trace.
            let service = format!("svc-{}", number % 3);
            let mut resource = vec![attribute("service.name", json!({ "stringValue": service }))];
            for (name, value) in [(x, span.0), (y, span.1)] {
                if !value.is_empty() {
                    let value = serde_json::from_str(value).expect("JSON");
                    resource.push(attribute(name, value));
                }
            }
            let start = anchor - 20;
            let mut made = json!({
                "traceId": trace.id,
                "spanId": format!("{:016x}", number + 1),
                "name": format!("op-{number}"),
                "kind": 1,
                "startTimeUnixNano": format!("{start}{:03}000000", number * 5),
                "endTimeUnixNano": format!("{start}{:03}000000", 500 + number * 7),
                "status": { "code": if number % 4 == 1 { 2 } else { 0 } },
                "attributes": [
                    attribute("own", json!({ "stringValue": format!("{};", own(span)) })),
                    attribute("seed", json!({ "intValue": seed })),
                ],
            });
            if number > 0 {
                made["parentSpanId"] = format!("{:016x}", 1).into();
            }
            json!({ "resource": { "attributes": resource }, "scopeSpans": [{ "spans": [made] }] })
        })
    });
    let body = json!({ "resourceSpans": spans.collect::<Vec<_>>() });
    push_otlp(client, otlp, tenant, &body).await;
}

async fn wait_for(
    client: &Client,
    store: [&str; 2],
    query: &str,
    count: usize,
    range: [(&str, &str); 2],
) {
    for _ in 0..100 {
        let found = search_as(client, store, query, range).await;
        if found.as_array().map_or(0, Vec::len) == count {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    panic!("{store:?} does not show {count} traces");
}

fn page(query: &str, range: [(&str, &str); 2]) -> Ask {
    let mut params = vec![("q", query), ("limit", "400"), ("spss", "20")];
    params.extend(range);
    Ask::get("/api/search", &params)
}

/// As a tenant of a Tempo.
async fn search_as(
    client: &Client,
    [url, tenant]: [&str; 2],
    query: &str,
    range: [(&str, &str); 2],
) -> Value {
    let ask = page(query, range).with_header("x-scope-orgid", tenant);
    let answer = client.ask(url, &ask, None).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()["traces"].clone()
}

async fn search(
    client: &Client,
    url: &str,
    query: &str,
    range: [(&str, &str); 2],
    token: &str,
) -> Value {
    let answer = client.ask(url, &page(query, range), Some(token)).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()["traces"].clone()
}
