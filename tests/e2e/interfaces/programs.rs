//! Requests of web interfaces and programs, as their sources make them, answered as by a private
//! Prometheus. What their answers may leave out is compared by what is there.

use serde_json::{Map, Value};

use crate::kit::client::{Ask, Client, Sent};
use crate::kit::compare::{Strictness, differences};
use crate::kit::dataset::Dataset;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::prometheus::Prometheus;
use crate::kit::token::now;

/// The program, with the file of its source, and what it sends.
fn requests(time: i64) -> Vec<(&'static str, Ask)> {
    let (at, from) = (time.to_string(), (time - 3600).to_string());
    let (at, from) = (at.as_str(), from.as_str());
    let thanos_ui = [
        ("query", "sum by (job) (up)"),
        ("dedup", "true"),
        ("partial_response", "true"),
        ("engine", "undefined"),
        ("analyze", "false"),
        ("tenant", ""),
    ];
    let range = [("start", from), ("end", at), ("step", "60")];
    vec![
        // pkg/ui/react-app/src/pages/graph/Panel.tsx
        (
            "Thanos' web interface",
            Ask::new(
                Sent::Post,
                "/api/v1/query",
                &[&thanos_ui[..], &[("time", at)]].concat(),
            ),
        ),
        (
            "Thanos' web interface",
            Ask::new(
                Sent::Post,
                "/api/v1/query_range",
                &[&thanos_ui[..], &range].concat(),
            ),
        ),
        // pkg/promclient/promclient.go
        (
            "Thanos Ruler",
            Ask::get(
                "/api/v1/query",
                &[
                    ("query", "up == 0"),
                    ("time", at),
                    ("dedup", "true"),
                    ("engine", ""),
                    ("explain", "false"),
                    ("analyze", "false"),
                ],
            ),
        ),
        // web/ui/mantine-ui/src
        (
            "Prometheus' web interface",
            Ask::get("/api/v1/scrape_pools", &[]),
        ),
        (
            "Prometheus' web interface",
            Ask::get("/api/v1/targets", &[("state", "active")]),
        ),
        ("Prometheus' web interface", Ask::get("/api/v1/rules", &[])),
        (
            "Prometheus' web interface",
            Ask::get("/api/v1/format_query", &[("query", "sum(up)by(job)")]),
        ),
        (
            "Prometheus' web interface",
            Ask::get(
                "/api/v1/series",
                &[("match[]", "up"), ("start", from), ("end", at)],
            ),
        ),
        // cmd/promtool/main.go, by client_golang
        (
            "promtool query instant",
            Ask::new(
                Sent::Post,
                "/api/v1/query",
                &[("query", "up"), ("time", at)],
            ),
        ),
        (
            "promtool query range",
            Ask::new(
                Sent::Post,
                "/api/v1/query_range",
                &[&[("query", "up")][..], &range].concat(),
            ),
        ),
        (
            "promtool query labels",
            Ask::get("/api/v1/label/job/values", &[("start", from), ("end", at)]),
        ),
        // Version 3.14 has it; an older store says so itself.
        (
            "Prometheus' web interface",
            Ask::get("/api/v1/features", &[]),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_are_answered_as_by_their_private_store() {
    let data = Dataset::shared(now() - 30);
    let acme = data.only(&["acme"]);
    let (shared, private) = tokio::join!(
        Prometheus::with_data("shared", &data),
        Prometheus::with_data("private acme", &acme),
    );
    let proxy = Partywall::start(Setup::new(&shared.url)).await;
    let (token, client) = (proxy.signer.tenant("acme"), Client::default());
    let mut failures = Vec::new();
    for (program, ask) in requests(data.end - 600) {
        let expected = client.ask(&private.url, &ask, None).await;
        let got = client.ask(&proxy.url, &ask, Some(&token)).await;
        if !expected.status.is_success() && expected.status == got.status {
            continue;
        }
        let found = differences(&expected, &got, Strictness::default());
        failures.extend(found.iter().map(|why| format!("{program}: {ask}: {why}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));

    // prometrix, and so KRR and Robusta, and codemirror-promql ask for the flags first.
    let ask = Ask::get("/api/v1/status/flags", &[]);
    let data_of = |answer: Value| -> Map<String, Value> {
        answer["data"].as_object().cloned().unwrap_or_default()
    };
    let expected = data_of(client.ask(&private.url, &ask, None).await.json());
    let got = data_of(client.ask(&proxy.url, &ask, Some(&token)).await.json());
    for name in [
        "query.lookback-delta",
        "query.timeout",
        "storage.tsdb.retention.time",
    ] {
        assert!(got.contains_key(name), "{name} is missing: {got:?}");
    }
    for (name, value) in &got {
        assert_eq!(expected.get(name), Some(value), "{name}");
        assert!(
            !name.starts_with("web.") && !name.contains("path"),
            "{name}"
        );
    }
}
