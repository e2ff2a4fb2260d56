//! A set of traces of several tenants, and its pusher.
//!
//! Four windows of time, so that a test can ask about one kind alone: in `Plain` every trace
//! belongs to one tenant or to none; in `Roots` the root of a trace is another's, or there is none or
//! more than one; in `Mixed` traces hold spans of several; in `Doubtful` a resource says more than
//! one thing about its tenant, or something that is no tenant.
//! All of it lies within the two minutes before the anchor: by default a Tempo dates older spans
//! anew. The ids begin with the anchor, so that pushes do not meet.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::client::{Ask, Client};
use super::token::now;

pub const ATTRIBUTE: &str = "tenant_id";
/// The traces of each tenant in the window `Plain`.
const PLAIN_TRACES: usize = 40;
const PATIENCE: Duration = Duration::from_mins(1);
/// How much later than its own, in seconds, the foreign part of a long trace begins.
const LATE: i64 = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    Plain,
    Mixed,
    Doubtful,
    Roots,
}

impl Window {
    /// In seconds before the anchor, the earlier first.
    const fn ago(self) -> (i64, i64) {
        match self {
            // Metrics round a range up to whole steps.
            Self::Plain => (115, 85),
            Self::Roots => (79, 76),
            Self::Mixed => (75, 50),
            Self::Doubtful => (45, 20),
        }
    }
}

/// What a resource says about its tenant.
#[derive(Clone, Debug, PartialEq)]
pub enum Owner {
    Tenant(&'static str),
    Nobody,
    /// The attribute twice, in this order.
    Twice(&'static str, &'static str),
    /// Anything but a string.
    Odd(Value),
}

#[derive(Clone, Debug)]
pub struct Group {
    pub owner: Owner,
    resource: Vec<Value>,
    scope: Value,
    spans: Vec<Value>,
}

#[derive(Clone, Debug)]
pub struct Trace {
    /// 32 hexadecimal digits.
    pub id: String,
    pub window: Window,
    pub groups: Vec<Group>,
}

impl Trace {
    /// Whether it holds spans of other owners than `tenant`.
    pub fn is_shared_by(&self, tenant: &str) -> bool {
        let is_own = |group: &Group| group.owner == Owner::Tenant(own_name(tenant));
        self.groups.iter().any(is_own) && !self.groups.iter().all(is_own)
    }

    pub fn has_spans_of(&self, tenant: &str) -> bool {
        let own = Owner::Tenant(own_name(tenant));
        self.groups.iter().any(|group| group.owner == own)
    }

    /// As searches write it.
    pub fn short_id(&self) -> &str {
        self.id.trim_start_matches('0')
    }

    fn spans(&self) -> usize {
        self.groups.iter().map(|group| group.spans.len()).sum()
    }
}

#[derive(Clone, Debug)]
pub struct Traces {
    /// Unix seconds: when the set was made.
    pub anchor: i64,
    pub traces: Vec<Trace>,
}

impl Traces {
    pub fn shared(anchor: i64) -> Self {
        let mut traces = plain(anchor);
        traces.extend(roots(anchor));
        traces.extend(mixed(anchor));
        traces.extend(doubtful(anchor));
        traces.push(marker(anchor));
        Self { anchor, traces }
    }

    /// What the private store of `tenant` holds: its resources as they are, nothing else.
    pub fn only(&self, tenant: &'static str) -> Self {
        let mut traces = self.traces.clone();
        for trace in &mut traces {
            trace
                .groups
                .retain(|group| group.owner == Owner::Tenant(tenant));
        }
        traces.retain(|trace| !trace.groups.is_empty());
        Self { traces, ..*self }
    }

    /// The resources that are said to be kept.
    pub fn keep(&self, is_kept: impl Fn(&Trace, &Group) -> bool) -> Self {
        let mut traces = self.traces.clone();
        for trace in &mut traces {
            let whole = trace.clone();
            trace.groups.retain(|group| is_kept(&whole, group));
        }
        traces.retain(|trace| !trace.groups.is_empty());
        Self { traces, ..*self }
    }

    pub fn of(&self, window: Window) -> impl Iterator<Item = &Trace> {
        self.traces
            .iter()
            .filter(move |trace| trace.window == window)
    }

    /// The id of a trace of the window `Roots`, as searches write it.
    pub fn rooted(&self, name: &str) -> &str {
        let place = ROOTS.iter().position(|(known, _)| *known == name);
        let trace = self.of(Window::Roots).nth(place.expect("a known name"));
        trace.expect("a trace of each name").short_id()
    }

    /// First and last second of a window.
    pub fn range(&self, window: Window) -> (i64, i64) {
        let (start, end) = window.ago();
        (self.anchor - start, self.anchor - end)
    }

    /// First and last second of a time in the window `Mixed` that only beta's spans of the trace
    /// "long" are in.
    pub fn late(&self) -> (i64, i64) {
        let (start, _) = self.range(Window::Mixed);
        (start + LATE + 1, start + LATE + 4)
    }

    pub fn spans(&self) -> usize {
        self.traces.iter().map(Trace::spans).sum()
    }

    /// Sends all to an OTLP/HTTP receiver. Every other trace goes in one request a resource, as
    /// a real trace of several services comes.
    pub async fn push(&self, otlp: &str) {
        self.push_as(otlp, "").await;
    }

    /// As [`Self::push`], to a tenant of a Tempo with multitenancy; none if empty.
    pub async fn push_as(&self, otlp: &str, tenant: &str) {
        let client = Client::default();
        let mut bodies = Vec::new();
        for (n, trace) in self.traces.iter().enumerate() {
            let size = if n.is_multiple_of(2) {
                trace.groups.len()
            } else {
                1
            };
            for groups in trace.groups.chunks(size) {
                let groups: Vec<Value> = groups.iter().map(Group::otlp).collect();
                bodies.push(json!({ "resourceSpans": groups }));
            }
        }
        for body in bodies {
            push_otlp(&client, otlp, tenant, &body).await;
        }
    }

    /// Waits until the Tempo at `url` has all of it.
    pub async fn wait_visible(&self, url: &str) {
        self.wait_visible_to(url, "").await;
    }

    /// As [`Self::wait_visible`], in a tenant of a Tempo with multitenancy; none if empty.
    pub async fn wait_visible_to(&self, url: &str, tenant: &str) {
        let (start, end) = (self.anchor - 130, self.anchor + 1);
        let query = format!(
            "/api/metrics/query_range?q=%7B%7D%7Ccount_over_time()&start={start}&end={end}&step=5s"
        );
        let query = Ask::get(&query, &[]).with_header("x-scope-orgid", tenant);
        let (client, started) = (Client::default(), std::time::Instant::now());
        loop {
            let answer = client.ask(url, &query, None).await;
            let found: f64 = samples(&answer.json()).sum();
            if found.to_string() == self.spans().to_string() {
                return;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{url} shows {found} spans of {}: {}",
                self.spans(),
                answer.text()
            );
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

/// The anchors of the sets of the last day that the Tempo at `url` holds, in order: values of the
/// marker's attribute.
pub async fn anchors(url: &str) -> Vec<i64> {
    let (start, end) = (now() - 86_400, now());
    let url = format!("{url}/api/v2/search/tag/span.dataset.anchor/values?start={start}&end={end}");
    let answer = Client::default().get(&url).await.json();
    let values = answer["tagValues"].as_array().cloned().unwrap_or_default();
    let mut anchors: Vec<i64> = values
        .iter()
        .filter_map(|value| value["value"].as_str()?.parse().ok())
        .collect();
    anchors.sort_unstable();
    anchors
}

fn samples(answer: &Value) -> impl Iterator<Item = f64> + '_ {
    let series = answer["series"].as_array().into_iter().flatten();
    let samples = series.flat_map(|one| one["samples"].as_array().into_iter().flatten());
    samples.filter_map(|sample| sample["value"].as_f64())
}

/// Sends OTLP to a Tempo. One without tenants of its own ignores the name.
pub async fn push_otlp(client: &Client, otlp: &str, tenant: &str, body: &Value) {
    for _ in 0..100 {
        let request = Request::post(format!("{otlp}/v1/traces"))
            .header(CONTENT_TYPE, "application/json")
            .header("x-scope-orgid", tenant)
            .body(Full::from(Bytes::from(body.to_string())))
            .expect("a request");
        let answer = client.send(request).await;
        if answer.status == 200 {
            assert_eq!(answer.json(), json!({"partialSuccess": {}}));
            return;
        }
        // A Tempo that just started is not ready to take spans for a moment.
        assert_eq!(answer.status, 503, "{}", answer.text());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{otlp} takes no spans");
}

impl Group {
    /// Whether its resource has this attribute as a text of this value.
    pub fn says(&self, name: &str, value: &str) -> bool {
        self.resource.contains(&attribute(name, text(value)))
    }

    fn otlp(&self) -> Value {
        let mut attributes = self.resource.clone();
        let tenant = |value: Value| attribute(ATTRIBUTE, value);
        match &self.owner {
            Owner::Tenant(name) => attributes.push(tenant(text(name))),
            Owner::Nobody => {}
            Owner::Twice(first, second) => {
                attributes.extend([tenant(text(first)), tenant(text(second))]);
            }
            Owner::Odd(value) => attributes.push(tenant(value.clone())),
        }
        json!({
            "resource": { "attributes": attributes },
            "scopeSpans": [{ "scope": self.scope, "spans": self.spans }],
        })
    }
}

fn own_name(tenant: &str) -> &'static str {
    match tenant {
        "acme" => "acme",
        "beta" => "beta",
        other => panic!("no tenant {other}"),
    }
}

#[allow(clippy::needless_pass_by_value)] // Called with fresh values everywhere.
fn attribute(key: &str, value: Value) -> Value {
    json!({ "key": key, "value": value })
}

fn text(value: &str) -> Value {
    json!({ "stringValue": value })
}

fn int(value: i64) -> Value {
    json!({ "intValue": value.to_string() })
}

fn float(value: f64) -> Value {
    json!({ "doubleValue": value })
}

fn flag(value: bool) -> Value {
    json!({ "boolValue": value })
}

fn list(values: &[Value]) -> Value {
    json!({ "arrayValue": { "values": values } })
}

/// One span, with what every span has.
struct Span<'a> {
    trace: &'a str,
    /// Within its trace, from 1; 0 is no parent.
    number: u32,
    parent: u32,
    name: String,
    /// Nanoseconds since 1970.
    start: i64,
    milliseconds: i64,
    attributes: Vec<Value>,
    rest: Value,
}

impl Span<'_> {
    fn otlp(self) -> Value {
        let end = self.start + self.milliseconds * 1_000_000;
        let mut span = json!({
            "traceId": self.trace,
            "spanId": span_id(self.trace, self.number),
            "name": self.name,
            "kind": 1 + self.number % 5,
            "startTimeUnixNano": self.start.to_string(),
            "endTimeUnixNano": end.to_string(),
            "attributes": self.attributes,
        });
        if self.parent != 0 {
            span["parentSpanId"] = json!(span_id(self.trace, self.parent));
        }
        if let Some(rest) = self.rest.as_object() {
            for (key, value) in rest {
                span[key] = value.clone();
            }
        }
        span
    }
}

fn span_id(trace: &str, number: u32) -> String {
    let (_, end) = trace.split_at(trace.len() - 10);
    format!("{end}{number:06x}")
}

fn trace_id(anchor: i64, window: Window, number: usize) -> String {
    let window = window as u8 + 1;
    format!("00{anchor:010x}{window:02x}{number:018x}")
}

/// The start of the `n`th of `all` traces of a window, in nanoseconds.
fn start_of(anchor: i64, window: Window, n: usize, all: usize) -> i64 {
    let (from, to) = window.ago();
    // The last seconds are for the trace itself.
    let last = if window == Window::Roots { 1 } else { 5 };
    let room = (from - to - last) * 1_000_000_000;
    let share = i64::try_from(n).expect("few") * room / i64::try_from(all).expect("few");
    (anchor - from) * 1_000_000_000 + share + 12_345
}

fn group(owner: Owner, service: &str, spans: Vec<Value>) -> Group {
    let resource = vec![
        attribute("service.name", text(service)),
        attribute("deployment.environment", text("production")),
        attribute("k8s.namespace.name", text(&format!("ns-{service}"))),
        attribute("res.replicas", int(3)),
    ];
    let scope = json!({
        "name": format!("lib.{service}"),
        "version": "1.2.3",
        "attributes": [attribute("scope.owner", text(service))],
    });
    Group {
        owner,
        resource,
        scope,
        spans,
    }
}

/// Traces of one tenant each, alike enough that a leak hides in the same names, and with names
/// of their own that betray it.
fn plain(anchor: i64) -> Vec<Trace> {
    let window = Window::Plain;
    let owners = [
        Owner::Tenant("acme"),
        Owner::Tenant("beta"),
        Owner::Tenant("acme.eu"),
        Owner::Tenant("ACME"),
        Owner::Nobody,
    ];
    let mut traces = Vec::new();
    for n in 0..PLAIN_TRACES {
        for (place, owner) in owners.iter().enumerate() {
            // Of the others a few are enough.
            if place > 1 && n % 8 != 0 {
                continue;
            }
            let id = trace_id(anchor, window, 16 * n + place);
            let start = start_of(anchor, window, n, PLAIN_TRACES);
            traces.push(Trace {
                groups: shop(&id, owner, n, start),
                id,
                window,
            });
        }
    }
    traces
}

/// A web shop's request: front end, two back ends, a database, with errors now and then.
#[allow(clippy::too_many_lines)] // One trace, as it is.
fn shop(trace: &str, owner: &Owner, n: usize, start: i64) -> Vec<Group> {
    let who = match owner {
        Owner::Tenant(name) => name,
        _ => "nobody",
    };
    let i = i64::try_from(n).expect("few");
    let slow = 3 + (i * 37) % 450;
    let at = |milliseconds: i64| start + milliseconds * 1_000_000;
    let method = ["GET", "POST", "DELETE"][n % 3];
    let code = [200, 204, 404, 500][n % 4];
    let failed = json!({ "status": { "code": 2, "message": format!("{who} failed") } });
    let fine = json!({ "status": { "code": 1 } });
    let unset = json!({});
    let span = |number, parent, name: &str, from, milliseconds, attributes, rest: &Value| {
        Span {
            trace,
            number,
            parent,
            name: name.to_owned(),
            start: at(from),
            milliseconds,
            attributes,
            rest: rest.clone(),
        }
        .otlp()
    };
    let web = vec![
        span(
            1,
            0,
            &format!("{method} /cart"),
            0,
            slow + 40,
            vec![
                attribute("http.method", text(method)),
                attribute("http.status_code", int(code)),
                attribute(
                    "http.url",
                    text(&format!("https://{who}.example.com/cart/{n}")),
                ),
                attribute("n", int(i)),
                attribute("user", text(&format!("{who}-user-{}", n % 7))),
            ],
            if code == 500 { &failed } else { &fine },
        ),
        span(2, 1, "render", slow + 5, 30, odd_attributes(who, i), &unset),
    ];
    let links = json!({
        "links": [{
            "traceId": "00000000000000000000000000abcdef",
            "spanId": "00000000000000aa",
            "attributes": [attribute("link.why", text(who))],
        }],
        "events": [{
            "name": "retry",
            "timeUnixNano": at(3).to_string(),
            "attributes": [
                attribute("attempt", int(i % 3)),
                // An event's attribute is not the resource's.
                attribute(ATTRIBUTE, text("acme")),
            ],
        }, {
            "name": format!("done by {who}"),
            "timeUnixNano": at(slow).to_string(),
        }],
    });
    let api = vec![
        span(
            3,
            1,
            "checkout",
            2,
            slow,
            vec![
                attribute("n", int(i)),
                attribute(
                    "ratio",
                    float(f64::from(i32::try_from(n).expect("few")) / 8.0),
                ),
                attribute("cached", flag(n.is_multiple_of(2))),
                // A span's attribute is not the resource's.
                attribute(ATTRIBUTE, text("acme")),
            ],
            &links,
        ),
        span(
            4,
            3,
            "price",
            3,
            1 + slow / 3,
            vec![attribute("n", int(i + 1000))],
            &unset,
        ),
    ];
    let database = vec![span(
        5,
        3,
        "SELECT",
        3,
        1 + slow / 2,
        vec![
            attribute("db.system", text("postgresql")),
            attribute("db.statement", text(&format!("SELECT * FROM {who}_orders"))),
            attribute("rows", int(i * 10)),
        ],
        if n.is_multiple_of(5) { &failed } else { &unset },
    )];
    let mut groups = vec![
        group(owner.clone(), "web", web),
        group(owner.clone(), "api", api),
        group(owner.clone(), &format!("{who}-database"), database),
    ];
    groups[2].resource.push(attribute(
        &format!("{who}.only"),
        text(&format!("{who} secret")),
    ));
    groups
}

/// Names and values that are hard to write in `TraceQL`.
fn odd_attributes(who: &str, n: i64) -> Vec<Value> {
    vec![
        attribute("with blank", text("a b")),
        attribute("quo\"ted", text("a \"b\" \\ c")),
        attribute("bra{ce}", text("} | { true")),
        attribute("ümlaut", text("é💥")),
        attribute("plus+minus-star*", int(n)),
        attribute("tags", list(&[text("one"), text(who)])),
        attribute("numbers", list(&[int(1), int(n)])),
        attribute("empty", text("")),
        attribute("name", text("no intrinsic")),
        attribute(&format!("{who}.span.only"), flag(true)),
    ]
}

/// Traces with spans of several owners.
fn mixed(anchor: i64) -> Vec<Trace> {
    const CHAINS: [(&str, &[(&str, u32)]); 8] = [
        // Owner and parent of each span, in order.
        ("root beta", &[("beta", 0), ("acme", 1), ("acme", 2)]),
        ("root acme", &[("acme", 0), ("beta", 1), ("acme", 1)]),
        (
            "through beta",
            &[
                ("acme", 0),
                ("beta", 1),
                ("acme", 2),
                ("beta", 3),
                ("acme", 4),
            ],
        ),
        (
            "siblings",
            &[("beta", 0), ("acme", 1), ("acme", 1), ("beta", 1)],
        ),
        ("root of nobody", &[("", 0), ("acme", 1), ("beta", 1)]),
        ("leaf of nobody", &[("acme", 0), ("", 1)]),
        ("two roots", &[("acme", 0), ("beta", 0)]),
        ("outlived", &[("acme", 0), ("acme", 1), ("beta", 1)]),
    ];
    const ROUNDS: usize = 3;
    let window = Window::Mixed;
    let all = CHAINS.len() * ROUNDS;
    let mut traces = Vec::new();
    for round in 0..ROUNDS {
        for (place, (_, chain)) in CHAINS.iter().enumerate() {
            let n = round * CHAINS.len() + place;
            let id = trace_id(anchor, window, n);
            let start = start_of(anchor, window, n, all);
            traces.push(Trace {
                groups: chained(&id, chain, start),
                id,
                window,
            });
        }
    }
    traces.push(long(anchor, all));
    traces
}

/// A trace of acme's that beta adds to much later.
fn long(anchor: i64, n: usize) -> Trace {
    let window = Window::Mixed;
    let id = trace_id(anchor, window, n);
    let start = start_of(anchor, window, 0, 1);
    let mut groups = chained(&id, &[("acme", 0)], start);
    let mut late = chained(
        &id,
        &[("beta", 1), ("beta", 1)],
        start + (LATE + 2) * 1_000_000_000,
    );
    // Span 1 is acme's.
    late[0].spans.remove(0);
    groups.append(&mut late);
    Trace { id, window, groups }
}

fn chained(trace: &str, chain: &[(&str, u32)], start: i64) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (number, &(who, parent)) in (1u32..).zip(chain) {
        let owner = match who {
            "" => Owner::Nobody,
            who => Owner::Tenant(own_name(who)),
        };
        // Foreign spans begin earlier and end later than their trace would without them.
        let (early, milliseconds) = match who {
            "acme" => (0, 20),
            _ => (7, 300),
        };
        let who = if who.is_empty() { "nobody" } else { who };
        let is_error = number % 3 == 0 || who == "beta";
        let span = Span {
            trace,
            number,
            parent,
            name: format!("{who} step {number}"),
            start: start + (i64::from(number) * 10 - early) * 1_000_000,
            milliseconds,
            attributes: vec![
                attribute("n", int(i64::from(number))),
                attribute("mixed", flag(true)),
                attribute("user", text(who)),
            ],
            rest: if is_error {
                json!({ "status": { "code": 2 } })
            } else {
                json!({})
            },
        };
        let span = span.otlp();
        match groups.iter_mut().find(|group| group.owner == owner) {
            Some(group) => group.spans.push(span),
            None => groups.push(group(owner, &format!("{who}-mixed"), vec![span])),
        }
    }
    groups
}

/// The trace of the window `Roots` with two roots of acme's. Tempo takes one of them.
pub const TWO_OWN_ROOTS: &str = "two own roots";

/// Traces whose root is acme's, another's, both or none.
const ROOTS: [(&str, &[RootedSpan]); 12] = [
    (
        "all own",
        &[
            ("acme", 0, "x", "web"),
            ("acme", 1, "y", "api"),
            ("acme", 2, "z", "db"),
        ],
    ),
    (
        "own root, foreign child",
        &[
            ("acme", 0, "x", "web"),
            ("beta", 1, "y", "api"),
            ("acme", 2, "z", "db"),
        ],
    ),
    (
        "foreign root",
        &[
            ("beta", 0, "x", "web"),
            ("acme", 1, "y", "api"),
            ("acme", 2, "z", "db"),
        ],
    ),
    (
        "another root",
        &[
            ("acme", 0, "r", "api"),
            ("acme", 1, "x", "web"),
            ("beta", 2, "z", "db"),
        ],
    ),
    (
        "root of empty name",
        &[
            ("acme", 0, "", "web"),
            ("acme", 1, "y", "api"),
            ("beta", 1, "x", "web"),
        ],
    ),
    (
        "root without service",
        &[
            ("acme", 0, "x", ""),
            ("acme", 1, "y", "api"),
            ("beta", 1, "x", "web"),
        ],
    ),
    (
        "own root, and spans whose parent is missing",
        &[
            ("acme", 0, "x", "web"),
            ("acme", 9, "y", "api"),
            ("beta", 9, "z", "db"),
            ("acme", 2, "z", "db"),
        ],
    ),
    (
        "another root, and spans whose parent is missing",
        &[
            ("acme", 0, "r", "api"),
            ("acme", 9, "x", "web"),
            ("beta", 9, "x", "web"),
            ("acme", 2, "z", "db"),
        ],
    ),
    (
        "no root",
        &[
            ("acme", 9, "x", "web"),
            ("acme", 1, "y", "api"),
            ("beta", 1, "x", "web"),
        ],
    ),
    (
        "foreign root first, own root",
        &[
            ("beta", 0, "x", "web"),
            ("acme", 0, "r", "api"),
            ("acme", 1, "y", "api"),
        ],
    ),
    (
        "own root first, foreign root",
        &[
            ("acme", 0, "x", "web"),
            ("beta", 0, "r", "api"),
            ("acme", 1, "y", "api"),
        ],
    ),
    (
        TWO_OWN_ROOTS,
        &[
            ("acme", 0, "x", "web"),
            ("acme", 0, "r", "api"),
            ("beta", 1, "x", "web"),
        ],
    ),
];

/// Owner, number of the parent, name, service; 0 is no parent, an empty service is none.
type RootedSpan = (&'static str, u32, &'static str, &'static str);

fn roots(anchor: i64) -> Vec<Trace> {
    let window = Window::Roots;
    let mut traces = Vec::new();
    for (n, (_, spans)) in ROOTS.into_iter().enumerate() {
        let id = trace_id(anchor, window, n);
        let start = start_of(anchor, window, n, ROOTS.len());
        let groups = (1u32..)
            .zip(spans)
            .map(|(number, &(who, parent, name, service))| {
                let span = Span {
                    trace: &id,
                    number,
                    parent,
                    name: name.to_owned(),
                    start: start + i64::from(number) * 1_000_000,
                    milliseconds: if who == "acme" { 20 } else { 300 },
                    attributes: vec![attribute("n", int(i64::from(number)))],
                    rest: json!({}),
                };
                let mut group = group(Owner::Tenant(own_name(who)), service, vec![span.otlp()]);
                if service.is_empty() {
                    group.resource.remove(0);
                }
                group
            });
        traces.push(Trace {
            groups: groups.collect(),
            id,
            window,
        });
    }
    traces
}

/// Resources that say something else about their tenant than one string once.
fn doubtful(anchor: i64) -> Vec<Trace> {
    let window = Window::Doubtful;
    let owners = [
        ("twice, acme first", Owner::Twice("acme", "beta")),
        ("twice, acme last", Owner::Twice("beta", "acme")),
        ("twice the same", Owner::Twice("acme", "acme")),
        ("a list", Owner::Odd(list(&[text("acme"), text("beta")]))),
        ("a list of one", Owner::Odd(list(&[text("acme")]))),
        ("a number", Owner::Odd(int(5))),
        ("empty", Owner::Odd(text(""))),
        ("a flag", Owner::Odd(flag(true))),
        ("nobody", Owner::Nobody),
    ];
    let all = owners.len();
    let mut traces = Vec::new();
    for (n, (name, owner)) in owners.into_iter().enumerate() {
        let id = trace_id(anchor, window, n);
        let span = Span {
            trace: &id,
            number: 1,
            parent: 0,
            name: format!("doubtful: {name}"),
            start: start_of(anchor, window, n, all),
            // As long as many others, so that nothing but its words tells it apart.
            milliseconds: 30,
            attributes: vec![attribute("doubtful", flag(true))],
            rest: json!({}),
        };
        let spans = vec![span.otlp()];
        traces.push(Trace {
            groups: vec![group(owner, "doubtful", spans)],
            id,
            window,
        });
    }
    traces
}

/// What a test finds the set by.
fn marker(anchor: i64) -> Trace {
    let window = Window::Plain;
    let mut id = String::new();
    // As a system with ids of 64 bits writes them.
    write!(id, "{:016}{anchor:016x}", 0).expect("a String");
    let span = Span {
        trace: &id,
        number: 1,
        parent: 0,
        name: "marker".to_owned(),
        start: start_of(anchor, window, 1, 2),
        milliseconds: 1,
        attributes: vec![attribute("dataset.anchor", int(anchor))],
        rest: json!({}),
    };
    let spans = vec![span.otlp()];
    Trace {
        groups: vec![group(Owner::Tenant("acme"), "marker", spans)],
        id,
        window,
    }
}
