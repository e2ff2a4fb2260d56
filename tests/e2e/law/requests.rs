//! The requests a query becomes, and those of the endpoints that take selectors.

use crate::kit::client::{Ask, Sent, escape};
use crate::kit::compare::Order;

/// The moments the requests ask about, in unix seconds.
#[derive(Clone, Copy)]
pub struct Times {
    pub start: i64,
    pub end: i64,
}

/// A request and what of the order of its results counts.
#[derive(Clone)]
pub struct Case {
    pub ask: Ask,
    pub order: Order,
}

const BOTH: [Sent; 2] = [Sent::Get, Sent::Post];

/// Instant and range, as GET and as POST.
pub fn evaluations(query: &str, times: Times) -> [Case; 4] {
    let (time, from, to) = ((times.end - 600).to_string(), times.end - 2400, times.end);
    let instant = [("query", query), ("time", time.as_str())];
    let (from, to) = (from.to_string(), format!("{to}.5"));
    let range = [
        ("query", query),
        ("start", &from),
        ("end", &to),
        ("step", "120"),
    ];
    let order = order_of(query);
    let case = |sent: Sent, path: &str, params: &[(&str, &str)]| Case {
        ask: Ask::new(sent, path, params),
        order: if path == "/api/v1/query" {
            order
        } else {
            Order::Unordered
        },
    };
    [
        case(Sent::Get, "/api/v1/query", &instant),
        case(Sent::Post, "/api/v1/query_range", &range),
        case(Sent::Post, "/api/v1/query", &instant),
        case(Sent::Get, "/api/v1/query_range", &range),
    ]
}

/// The order of an instant query's results.
fn order_of(query: &str) -> Order {
    let query = query.trim_start();
    let calls = |function: &str| {
        let rest = query.strip_prefix(function);
        rest.is_some_and(|rest| rest.trim_start().starts_with('('))
    };
    if calls("sort") || calls("sort_desc") {
        Order::ByValue
    } else if query.starts_with("sort") {
        Order::Total
    } else {
        Order::Unordered
    }
}

/// Further parameters of queries, good and bad.
pub fn query_parameters(times: Times) -> Vec<Case> {
    let (end, start) = (times.end.to_string(), (times.end - 3600).to_string());
    let precise = format!("{end}.25");
    let instants: Vec<Vec<(&str, &str)>> = vec![
        // Without a time it is now, which is another for each: an empty answer does not show it.
        vec![("query", "nonexistent")],
        vec![],
        vec![("query", "")],
        vec![("time", &end)],
        vec![("query", "up"), ("time", &precise)],
        vec![("query", "up"), ("time", "2030-01-01T00:00:00Z")],
        vec![("query", "up"), ("time", "2030-01-01T00:00:00+05:00")],
        vec![("query", "up"), ("time", "yesterday")],
        vec![("query", "nonexistent"), ("time", "")],
        vec![("query", "up"), ("time", &end), ("timeout", "5s")],
        vec![("query", "up"), ("time", &end), ("timeout", "30")],
        vec![("query", "up"), ("time", &end), ("timeout", "soon")],
        vec![("query", "sum(up)"), ("time", &end), ("stats", "all")],
        vec![("query", "up"), ("time", &end), ("limit", "2")],
    ];
    let ranges: Vec<Vec<(&str, &str)>> = vec![
        vec![
            ("query", "up"),
            ("start", &start),
            ("end", &end),
            ("step", "5m"),
        ],
        vec![
            ("query", "up"),
            ("start", &start),
            ("end", &end),
            ("step", "60.5"),
        ],
        vec![
            ("query", "up"),
            ("start", &start),
            ("end", &end),
            ("step", "0"),
        ],
        vec![
            ("query", "up"),
            ("start", &start),
            ("end", &end),
            ("step", "-5"),
        ],
        vec![
            ("query", "up"),
            ("start", &start),
            ("end", &end),
            ("step", "often"),
        ],
        vec![("query", "up"), ("start", &start), ("end", &end)],
        vec![
            ("query", "up"),
            ("start", &end),
            ("end", &start),
            ("step", "60"),
        ],
        vec![("query", "up"), ("end", &end), ("step", "60")],
        vec![("query", "up"), ("start", &start), ("step", "60")],
        vec![("start", &start), ("end", &end), ("step", "60")],
        vec![
            ("query", "up"),
            ("start", "0"),
            ("end", &end),
            ("step", "1"),
        ],
        vec![
            ("query", "up[5m]"),
            ("start", &start),
            ("end", &end),
            ("step", "60"),
        ],
        vec![
            ("query", "\"text\""),
            ("start", &start),
            ("end", &end),
            ("step", "60"),
        ],
        vec![
            ("query", "up"),
            ("start", &start),
            ("end", &end),
            ("step", "60"),
            ("stats", "all"),
        ],
    ];
    let mut cases = on_both("/api/v1/query", &instants);
    cases.extend(on_both("/api/v1/query_range", &ranges));
    cases
}

/// Selectors for `match[]`: sets of them, of which a series matches any.
const MATCH_SETS: &[&[&str]] = &[
    &[],
    &["up"],
    &["up", "memory_bytes"],
    &["up", "up"],
    &["{job=\"api\"}"],
    &["{__name__=~\".+\"}"],
    &["{__name__=~\"http.*\",code=\"500\"}", "queue_depth"],
    &["{tenant_id=\"acme\"}"],
    &["{tenant_id=\"beta\"}"],
    &["up", "{tenant_id=\"beta\"}"],
    &["{tenant_id=~\".+\"}", "up{tenant_id=~\"acme|beta\"}"],
    &["{tenant_id!=\"acme\",__name__=~\".+\"}"],
    &["{tenant_id!=\"\"}"],
    &["up{tenant_id=\"\"}"],
    &["odd_labels{name=\"ünï ☃ {x}\"}"],
    &["nonexistent"],
    &["shard_load", "target_info"],
    &["{}"],
    &["{tenant_id=\"\"}"],
    &["{tenant_id=~\".*\"}"],
    &["up", "{}"],
    &["{}", "up"],
    &["{job=~\"a?|b*\",instance!=\"x\"}"],
    &["{job=\"\",__name__=~\".+\"}"],
    &["up{"],
    &["sum(up)"],
    &["up offset 5m"],
    &["up[5m]"],
    &["up or down"],
    &["up", "up{"],
    &[""],
    &["1"],
];

const LABEL_NAMES: &[&str] = &[
    "job",
    "instance",
    "tenant_id",
    "__name__",
    "queue",
    "le",
    "owner",
    "service",
    "path",
    "name",
    "tenant",
    "nonexistent",
    "not-a-name",
    "ünï",
    "1st",
    "_",
    "__not_a_label",
];

/// `series`, `labels` and label values.
pub fn metadata(times: Times) -> Vec<Case> {
    let (start, end) = (times.start.to_string(), times.end.to_string());
    let recent = (times.end - 1800).to_string();
    let windows: [&[(&str, &str)]; 4] = [
        &[],
        &[("start", &start), ("end", &end)],
        &[("start", &recent), ("end", &end)],
        &[("start", &end), ("end", &start)],
    ];
    let mut cases = Vec::new();
    for (n, matches) in MATCH_SETS.iter().enumerate() {
        let selectors = matches.iter().map(|selector| ("match[]", *selector));
        for window in windows {
            let params: Vec<_> = selectors.clone().chain(window.iter().copied()).collect();
            cases.extend(on_both("/api/v1/series", std::slice::from_ref(&params)));
            cases.extend(on_both("/api/v1/labels", std::slice::from_ref(&params)));
        }
        let window = windows[1 + n % 2];
        let params: Vec<_> = selectors.clone().chain(window.iter().copied()).collect();
        let limited: Vec<_> = params.iter().copied().chain([("limit", "3")]).collect();
        for name in LABEL_NAMES {
            cases.push(label_values(name, &params));
        }
        cases.push(label_values("job", &limited));
        cases.extend(on_both("/api/v1/series", std::slice::from_ref(&limited)));
        cases.extend(on_both("/api/v1/labels", &[limited]));
    }
    for bad in [
        ("start", "x"),
        ("end", "x"),
        ("limit", "-1"),
        ("limit", "many"),
    ] {
        let params = vec![("match[]", "up"), bad];
        cases.extend(on_both("/api/v1/series", std::slice::from_ref(&params)));
        cases.extend(on_both("/api/v1/labels", std::slice::from_ref(&params)));
        cases.push(label_values("job", &params));
    }
    cases
}

/// `query_exemplars`: its selectors count, its arithmetic does not.
pub fn exemplars(times: Times) -> Vec<Case> {
    let (start, end) = (times.start.to_string(), (times.end + 60).to_string());
    let queries = [
        "http_requests_total",
        "{__name__=~\".+_total\"}",
        "request_duration_seconds_bucket{le=\"1\"}",
        "sum(rate(http_requests_total[5m])) / sum(rate(node_cpu_seconds_total[5m]))",
        "topk(scalar(metric_total), http_requests_total)",
        "histogram_quantile(0.9, rate(request_duration_seconds_bucket[5m]))",
        "http_requests_total{tenant_id=\"beta\"}",
        "http_requests_total{tenant_id=~\".+\"} or metric_total{tenant_id!=\"acme\"}",
        "http_requests_total @ end()",
        "nonexistent",
        "absent(http_requests_total)",
        "{}",
        "http_requests_total + {job=~\".*\"}",
        "1+1",
        "up{",
        "",
    ];
    let mut cases = Vec::new();
    for query in queries {
        let params = vec![("query", query), ("start", &start), ("end", &end)];
        cases.extend(on_both("/api/v1/query_exemplars", &[params]));
    }
    let odd = [
        vec![("query", "http_requests_total")],
        vec![("start", start.as_str()), ("end", end.as_str())],
        vec![
            ("query", "http_requests_total"),
            ("start", &end),
            ("end", &start),
        ],
        vec![
            ("query", "http_requests_total"),
            ("start", "x"),
            ("end", &end),
        ],
    ];
    cases.extend(on_both("/api/v1/query_exemplars", &odd));
    cases
}

/// `/federate`, in each of its formats.
pub fn federation() -> Vec<Case> {
    let formats = [
        None,
        Some("text/plain;version=0.0.4"),
        Some("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
        Some(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3",
        ),
        Some("application/json"),
    ];
    let mut cases = Vec::new();
    for matches in MATCH_SETS {
        let params: Vec<_> = matches
            .iter()
            .map(|selector| ("match[]", *selector))
            .collect();
        for format in formats {
            let mut ask = Ask::get("/federate", &params);
            if let Some(format) = format {
                ask = ask.with_header("accept", format);
            }
            cases.push(unsorted(ask));
        }
    }
    cases
}

fn label_values(name: &str, params: &[(&str, &str)]) -> Case {
    unsorted(Ask::get(
        &format!("/api/v1/label/{}/values", escape(name)),
        params,
    ))
}

fn on_both(path: &str, params: &[Vec<(&str, &str)>]) -> Vec<Case> {
    let ask = |params: &Vec<(&str, &str)>, sent| unsorted(Ask::new(sent, path, params));
    params
        .iter()
        .flat_map(|params| BOTH.map(|sent| ask(params, sent)))
        .collect()
}

fn unsorted(ask: Ask) -> Case {
    Case {
        ask,
        order: Order::Unordered,
    }
}
