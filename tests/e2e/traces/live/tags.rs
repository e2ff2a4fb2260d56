//! Names and values of tags of a tenant with alternatives and typed values, and queries with `||`:
//! as a private Tempo answers, in every form of the API.
//!
//! ```text
//! TEMPO_TAGS_URL=http://127.0.0.1:3200 TEMPO_TAGS_OTLP_URL=http://127.0.0.1:4318 \
//! TEMPO_TAGS_PRIVATE_URL=http://127.0.0.1:3201 TEMPO_TAGS_PRIVATE_OTLP_URL=http://127.0.0.1:4319 \
//!     cargo test --test e2e live_tags -- --nocapture
//! ```
//!
//! The stores must be empty: tag names and values are not kept to a time. To compare names of dedicated
//! columns too, both have, under `storage.trace.block`:
//!
//! ```yaml
//! parquet_dedicated_columns:
//!   - {name: dedicated.own, type: string, scope: span}
//!   - {name: dedicated.foreign, type: string, scope: span}
//!   - {name: dedicated.resource, type: string, scope: resource}
//! ```

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::ask::{As, Form, Outcome, Question, Subject, Version, ask};
use super::compare::{canonical, differences};
use super::{ANY_TENANT, ATTEMPTS, GENTLY, is_empty};
use crate::kit::client::{Ask, Client};
use crate::kit::evidence;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::tempo_data::{Window, push_otlp};
use crate::kit::token::now;

const SELECTOR: &str = "
  selectors:
    t:
      traces:
        any:
          - [{attribute: resource.env, match: '=', value: prod}, {attribute: resource.team, match: '=~', value: 'front-.*'}]
          - [{attribute: resource.team, match: '=', value: checkout}]
          - [{attribute: resource.n, match: '=', value: 5}, {attribute: resource.b, match: '=', value: true}]
          - [{attribute: resource.env, match: '!=', value: prod}, {attribute: resource.n, match: '=', value: 6}]
    alone:
      traces: [{attribute: resource.lonely, match: '=', value: true}]";

const ENVIRONMENTS: [&str; 3] = ["prod", "dev", ""];
const TEAMS: [&str; 4] = ["front-a", "checkout", "other", ""];
/// As OTLP has them.
const NUMBERS: [&str; 5] = [
    r#"{"intValue":"5"}"#,
    r#"{"doubleValue":5.0}"#,
    r#"{"intValue":"6"}"#,
    r#"{"stringValue":"5"}"#,
    "",
];
const BOOLEANS: [&str; 4] = [
    r#"{"boolValue":true}"#,
    r#"{"boolValue":false}"#,
    r#"{"stringValue":"true"}"#,
    "",
];

/// The resource of a span, with one value of each list.
#[derive(Clone, Copy)]
struct Resource {
    place: usize,
    env: &'static str,
    team: &'static str,
    number: &'static str,
    boolean: &'static str,
}

impl Resource {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for env in ENVIRONMENTS {
            for team in TEAMS {
                for number in NUMBERS {
                    for boolean in BOOLEANS {
                        let place = all.len();
                        all.push(Self {
                            place,
                            env,
                            team,
                            number,
                            boolean,
                        });
                    }
                }
            }
        }
        all
    }

    fn is_own(&self) -> bool {
        let is_five = NUMBERS[..2].contains(&self.number);
        (self.env == "prod" && self.team.starts_with("front-"))
            || self.team == "checkout"
            || (is_five && self.boolean == BOOLEANS[0])
            || (self.env == "dev" && self.number == NUMBERS[2])
    }

    fn otlp(&self, anchor: i64) -> Value {
        let attribute = |key: &str, value: Value| json!({ "key": key, "value": value });
        let text = |key: &str, value: &str| attribute(key, json!({ "stringValue": value }));
        let place = self.place;
        let mut resource = vec![text("service.name", &format!("svc-{}", place % 7))];
        for (key, value) in [("env", self.env), ("team", self.team)] {
            if !value.is_empty() {
                resource.push(text(key, value));
            }
        }
        for (key, value) in [("n", self.number), ("b", self.boolean)] {
            if !value.is_empty() {
                let value = serde_json::from_str(value).expect("JSON");
                resource.push(attribute(key, value));
            }
        }
        let parity = if place.is_multiple_of(2) {
            "even"
        } else {
            "odd"
        };
        let mut attributes = vec![
            text(&format!("own.{place}"), &format!("v{place}")),
            attribute("x", json!({ "intValue": (place % 3).to_string() })),
            text("parity", parity),
            text("both", &format!("span-{place}")),
        ];
        resource.push(text("both", &format!("resource-{place}")));
        if place.is_multiple_of(5) {
            attributes.push(text("fifth", &format!("f{place}")));
        }
        let kind = 1 + place % 5;
        let mut span = json!({
            "traceId": format!("{:032x}", 1 + place), "spanId": format!("{:016x}", 1 + place),
            "name": format!("op-{}", place % 4), "kind": kind,
            "startTimeUnixNano": format!("{}000000000", anchor - 20),
            "endTimeUnixNano": format!("{}500000000", anchor - 20),
        });
        attributes.push(text("http.method", "GET"));
        attributes.push(text("dedicated.own", "x"));
        if !self.is_own() {
            // With a column of their own, Tempo lists them whatever the filter.
            attributes.push(text("http.url", "/secret"));
            attributes.push(text("dedicated.foreign", "x"));
            resource.push(text("k8s.pod.name", "secret"));
            resource.push(text("dedicated.resource", "x"));
        }
        if place % 7 < 4 {
            // With a filter and for all scopes, Tempo lists names of spans that have an event only if they
            // have a link too.
            let of_event = text(&format!("of-event.{}", place % 9), &format!("e{place}"));
            let of_link = text(&format!("of-link.{}", place % 12), &format!("l{place}"));
            let kinds = place % 7;
            attributes.push(text(&format!("of-kind.{kinds}"), "x"));
            let events = json!([{ "timeUnixNano": format!("{}100000000", anchor - 20),
                "name": format!("event-{}", place % 6), "attributes": [of_event] }]);
            let links = json!([{ "traceId": format!("{:032x}", 0xffff), "spanId": "00000000000000ff",
                "attributes": [of_link] }]);
            if kinds != 1 {
                span["events"] = events;
            }
            if kinds != 2 {
                span["links"] = links;
            }
        }
        span["attributes"] = attributes.into();
        let scope =
            json!({ "name": "lib", "attributes": [text(&format!("of-scope.{}", place % 7), "x")] });
        let spans = json!([{ "scope": scope, "spans": [span] }]);
        json!({ "resource": { "attributes": resource }, "scopeSpans": spans })
    }
}

const TAGS: [&str; 21] = [
    "span.x",
    ".x",
    "span.parity",
    "span.both",
    "resource.both",
    ".both",
    "span.fifth",
    "resource.service.name",
    ".service.name",
    "resource.env",
    "resource.team",
    ".team",
    "resource.n",
    "resource.b",
    ".b",
    "name",
    "status",
    "event:name",
    "span.own.0",
    "span.own.19",
    "span.http.url",
];

/// The attributes that select the tenant's data, and what can be own of each. What the filter compares
/// an attribute with is among its values, whatever there is, and so may be the attribute's name.
const DECIDING: [(&str, &[&str]); 4] = [
    ("env", &["prod", "dev"]),
    ("team", &["front-a", "checkout"]),
    ("n", &["5", "5.0", "6", "6.0"]),
    ("b", &["true"]),
];

/// Takes what the question's own filters add, and what the private store adds: the name of an
/// attribute that a filter compares, and values that it is compared with.
fn without_echo(question: &Question, mut answer: Value) -> Value {
    let Subject::Values(_, tag) = &question.subject else {
        return answer;
    };
    let name = tag.rsplit_once('.').map_or(&**tag, |(_, name)| name);
    let deciding = DECIDING.iter().find(|(known, _)| *known == name);
    let asked = question.param("q");
    let is_asked = !tag.starts_with("span.") && asked.contains(&format!(".{name} "));
    let all = answer.as_array_mut().into_iter();
    all.for_each(|all| {
        all.retain(|value| {
            let text = value["value"].as_str().or(value.as_str());
            let text = text.unwrap_or_default();
            let is_echo = text == name
                || deciding.is_some_and(|(_, own)| own.contains(&text))
                || (is_asked && asked.contains(&format!(".{name} = {text}")));
            !is_echo
        });
    });
    answer
}

/// With `||`, and how Tempo groups what is joined. No condition is on an attribute that selects the
/// tenant's data.
const QUERIES: [&str; 14] = [
    "",
    "{ span.x = 1 }",
    r#"{ span.x = 1 || span.parity = "even" }"#,
    r#"{ span.x = 1 && (span.parity = "even" || name = "op-1") }"#,
    r#"{ span.x = 1 && span.parity = "even" || name = "op-1" }"#,
    r#"{ span.x = 1 || span.parity = "even" && name = "op-1" }"#,
    r#"{ (span.x = 0 || span.x = 1) && (name = "op-0" || name = "op-3") }"#,
    r#"{ span.x = 1 || (name = "op-1" && (span.parity = "even" || span.x = 2)) }"#,
    r#"{ span.x = 9 || resource.service.name = "svc-3" } | rate()"#,
    r#"{ span.x = 1 } || { span.parity = "even" }"#,
    r#"{ span.x = 1 } && { span.parity = "even" }"#,
    r#"{ span.x = 9 || span.parity = "none" }"#,
    r#"({ span.x = 1 } | count() > 0) || ({ span.parity = "even" } | count() > 0)"#,
    "{ kind = server || duration > 1h }",
];

fn questions(range: (i64, i64)) -> Vec<Question> {
    let mut all = Vec::new();
    let mut add = |subject: Subject, params: &[(&'static str, &str)]| {
        let params = params.iter().filter(|(_, value)| !value.is_empty());
        let params = params.map(|(name, value)| (*name, (*value).to_owned()));
        all.push(Question {
            subject,
            params: params.collect(),
            window: Window::Plain,
            range: Some(range),
        });
    };
    for query in QUERIES {
        for scope in [
            "",
            "span",
            "resource",
            "event",
            "link",
            "instrumentation",
            "intrinsic",
        ] {
            let params = [("q", query), ("scope", scope)];
            add(Subject::Tags(Version::V2), &params);
        }
        for tag in TAGS {
            // Tempo leaves out some that it lists for an alternative alone: docs/guarantees.md.
            if tag == "event:name" && query.starts_with("{ kind = server ||") {
                continue;
            }
            let subject = Subject::Values(Version::V2, tag.to_owned());
            add(subject, &[("q", query)]);
        }
    }
    for scope in ["", "span", "intrinsic"] {
        add(Subject::Tags(Version::V1), &[("scope", scope)]);
    }
    for tag in ["x", "both", "service.name", "team", "name"] {
        add(Subject::Values(Version::V1, tag.to_owned()), &[]);
    }
    all
}

struct Stores {
    client: Client,
    shared: String,
    private: String,
    proxy: Partywall,
}

impl Stores {
    async fn ask(&self, url: &str, question: &Question, form: Form, tenant: &str) -> Outcome {
        let token = self.proxy.signer.tenant(tenant);
        let who = if url == self.proxy.url {
            As::Bearer(&token)
        } else {
            As::Nobody
        };
        ask(&self.client, url, question, form, who).await
    }

    /// What differs from the private store's answer, whether that has data, and whether the answer
    /// would differ without the proxy.
    async fn compare(&self, question: &Question, form: Form) -> (Vec<String>, bool, bool) {
        let of =
            |outcome: &Outcome| without_echo(question, canonical(&question.subject, &outcome.json));
        let mut found = Vec::new();
        let (mut has_data, mut would_differ) = (false, false);
        for _ in 0..ATTEMPTS {
            let (expected, got, unconfined) = tokio::join!(
                self.ask(&self.private, question, form, ""),
                self.ask(&self.proxy.url, question, form, "t"),
                self.ask(&self.shared, question, form, ""),
            );
            found = if expected.status == got.status {
                differences(&of(&expected), &of(&got))
            } else {
                vec![format!(
                    "{} for {}: {}",
                    got.status, expected.status, got.text
                )]
            };
            has_data = got.status == 200 && !is_empty(&of(&expected));
            would_differ = !differences(&of(&expected), &of(&unconfined)).is_empty();
            if found.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
        (found, has_data, would_differ)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_tags_of_alternatives_are_those_of_a_private_tempo() {
    let what = "two empty Tempos (see the head of tests/e2e/traces/live/tags.rs)";
    let stores = evidence::running_stores(
        [
            "TEMPO_TAGS_URL",
            "TEMPO_TAGS_OTLP_URL",
            "TEMPO_TAGS_PRIVATE_URL",
            "TEMPO_TAGS_PRIVATE_OTLP_URL",
        ],
        what,
    );
    let Some([shared, shared_otlp, private, private_otlp]) = stores else {
        return;
    };
    let (client, anchor) = (Client::default(), now());
    let all = Resource::all();
    let own: Vec<Resource> = all.iter().copied().filter(Resource::is_own).collect();
    let range = (anchor - 60, anchor + 5);
    for (url, otlp, resources) in [
        (&shared, &shared_otlp, &all),
        (&private, &private_otlp, &own),
    ] {
        let spans: Vec<Value> = resources.iter().map(|one| one.otlp(anchor)).collect();
        push_otlp(
            &client,
            otlp,
            ANY_TENANT,
            &json!({ "resourceSpans": spans }),
        )
        .await;
        wait_for(&client, url, resources.len(), range).await;
    }
    let mut setup = Setup::tempo(&shared);
    setup.tenancy.push_str(SELECTOR);
    let proxy = Partywall::start(setup).await;
    let stores = Stores {
        client,
        shared,
        private,
        proxy,
    };
    let questions = questions(range);
    let asked = questions.iter().flat_map(|question| {
        let forms = question.forms().iter();
        forms.map(move |form| (question, *form))
    });
    let compared = asked.map(|(question, form)| {
        let compared = stores.compare(question, form);
        async move { (question, form, compared.await) }
    });
    let compared: Vec<_> = futures_util::stream::iter(compared)
        .buffer_unordered(GENTLY)
        .collect()
        .await;
    let mut failures = Vec::new();
    let (mut with_data, mut different) = (0, 0);
    for (question, form, (found, has_data, would_differ)) in &compared {
        with_data += usize::from(*has_data);
        different += usize::from(*would_differ);
        if !found.is_empty() {
            failures.push(format!("{form:?} {question}\n    {}", found.join("\n    ")));
        }
    }
    println!(
        "{} answers compared, {with_data} with data, {different} would differ without the proxy, {} \
         failures\n{}",
        compared.len(),
        failures.len(),
        failures.join("\n")
    );
    assert!(failures.is_empty(), "{} differ", failures.len());
    assert!(with_data * 2 > compared.len(), "too few have data");
    assert!(different * 5 > compared.len(), "too few could have leaked");
    limits_hold(&stores, range).await;
}

/// Of more names and values than wanted, any are shown, but so many; and none of others. Names that are
/// taken out count for the limit (docs/guarantees.md).
async fn limits_hold(stores: &Stores, range: (i64, i64)) {
    for (path, key) in [
        ("/api/v2/search/tags?scope=span&limit=7", "/scopes/0/tags"),
        ("/api/search/tags?limit=7", "/tagNames"),
        ("/api/v2/search/tag/span.both/values?limit=7", "/tagValues"),
        ("/api/search/tag/both/values?limit=7", "/tagValues"),
    ] {
        let target = format!("{path}&start={}&end={}", range.0, range.1);
        let token = stores.proxy.signer.tenant("t");
        let ask = Ask::get(&target, &[]);
        let answer = stores
            .client
            .ask(&stores.proxy.url, &ask, Some(&token))
            .await;
        let json = answer.json();
        let all = json.pointer(key).and_then(Value::as_array);
        let least = if key == "/tagValues" { 7 } else { 1 };
        let shown = all.map_or(0, Vec::len);
        assert!((least..=7).contains(&shown), "{path}: {json}");
        let token = stores.proxy.signer.tenant("alone");
        let answer = stores
            .client
            .ask(&stores.proxy.url, &ask, Some(&token))
            .await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(!answer.text().contains("own."), "{path}: {}", answer.text());
    }
}

async fn wait_for(client: &Client, url: &str, count: usize, range: (i64, i64)) {
    let (start, end) = (range.0.to_string(), range.1.to_string());
    let params = [
        ("q", "{ span.both != \"\" }"),
        ("limit", "1000"),
        ("start", &*start),
        ("end", &*end),
    ];
    for _ in 0..100 {
        let answer = client
            .ask(url, &Ask::get("/api/search", &params), None)
            .await;
        let found = answer.json()["traces"].as_array().map_or(0, Vec::len);
        if found == count {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    panic!("{url} does not show {count} traces");
}
