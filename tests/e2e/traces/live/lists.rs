//! Resources whose tenant attribute is a list fail no query of a caller with several tenants.
//!
//! ```text
//! TEMPO_URL=http://127.0.0.1:3200 TEMPO_OTLP_URL=http://127.0.0.1:4318 \
//!     cargo test --test e2e live_lists -- --nocapture
//! ```

use std::collections::BTreeSet;

use serde_json::Value;

use crate::kit::client::{Ask, Client};
use crate::kit::evidence;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::tempo_data::{Traces, Window};
use crate::kit::token::now;

/// A path, its query, and what of the answer is compared.
type Question = (&'static str, &'static str, fn(&Value) -> BTreeSet<String>);

const QUESTIONS: [Question; 7] = [
    ("/api/search", "{}", traces),
    ("/api/search", "{ name != nil } | count() > 0", traces),
    ("/api/search", "{} >> {} || {}", traces),
    ("/api/metrics/query_range", "{} | rate() by(name)", series),
    (
        "/api/metrics/query",
        "{} | count_over_time() by(name)",
        series,
    ),
    ("/api/v2/search/tag/name/values", "", values),
    (
        "/api/v2/search/tag/resource.service.name/values",
        "{}",
        values,
    ),
];

fn texts(list: &Value, pointer: &str) -> BTreeSet<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|item| item.pointer(pointer).map(Value::to_string))
        .collect()
}

fn traces(answer: &Value) -> BTreeSet<String> {
    texts(&answer["traces"], "/traceID")
}

fn series(answer: &Value) -> BTreeSet<String> {
    texts(&answer["series"], "/labels")
}

fn values(answer: &Value) -> BTreeSet<String> {
    texts(&answer["tagValues"], "/value")
}

#[tokio::test]
async fn live_lists_of_tenants_fail_no_query_of_several_tenants() {
    let what = "a running Tempo (see the head of tests/e2e/traces/live/lists.rs)";
    let Some([url, otlp]) = evidence::running_stores(["TEMPO_URL", "TEMPO_OTLP_URL"], what) else {
        return;
    };
    let data = Traces::shared(now());
    data.push(&otlp).await;
    data.wait_visible(&url).await;
    let proxy = Partywall::start(Setup::tempo(&url)).await;
    let client = Client::default();
    wait_until_tempo_fails(&client, &url).await;
    let (from, _) = data.range(Window::Plain);
    let (_, to) = data.range(Window::Doubtful);
    let range = [from.to_string(), to.to_string()];
    for (path, query, found) in QUESTIONS {
        let params = [
            ("q", query),
            ("start", &range[0]),
            ("end", &range[1]),
            ("limit", "500"),
            ("step", "1m"),
        ];
        let ask = Ask::get(path, &params);
        let answer = async |tenants: &[&str]| {
            let token = proxy.signer.tenants(tenants);
            let answer = client.ask(&proxy.url, &ask, Some(&token)).await;
            assert_eq!(answer.status, 200, "{ask}: {}", answer.text());
            found(&answer.json())
        };
        let (acme, beta) = (answer(&["acme"]).await, answer(&["beta"]).await);
        let both = answer(&["acme", "beta"]).await;
        assert!(acme.len() > 1 && beta.len() > 1, "{ask}");
        assert_eq!(both, &acme | &beta, "{ask}");
    }
}

/// Once Tempo has put the data into a block, it fails the query that this is about; a later Tempo may
/// answer it.
async fn wait_until_tempo_fails(client: &Client, url: &str) {
    let query = r#"{ resource.tenant_id = "acme" || resource.tenant_id = "beta" }"#;
    let ask = Ask::get("/api/search", &[("q", query), ("limit", "500")]);
    for _ in 0..60 {
        let answer = client.ask(url, &ask, None).await;
        if answer.status != 200 {
            println!("with ||, Tempo itself answers {}", answer.status);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    println!("this Tempo answers a query with || in spite of lists");
}
