//! What a page of shared traces costs beside the bare search. It prints times, and asserts none.
//!
//! ```text
//! TEMPO_URL=http://127.0.0.1:3200 TEMPO_OTLP_URL=http://127.0.0.1:4318 \
//!     cargo test --release --locked --features otlp --test e2e live_cost -- --ignored --nocapture
//! ```

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ANY_TENANT;
use crate::kit::client::{Ask, Client};
use crate::kit::evidence;
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::tempo_data::push_otlp;
use crate::kit::token::now;

/// Each page is seen first by each mode once.
const PAGES: i64 = 12;
/// Seconds between the traces of two pages.
const APART: i64 = 6;
const TRACES: i64 = 20;
/// Of each of two tenants in a trace.
const SPANS: i64 = 50;

/// The traces of a page that starts at this time, in OTLP.
fn traces(start: i64) -> Value {
    let service = |trace: i64, tenant: &str, first: i64| {
        let span = |n: i64| {
            let at = start * 1_000_000_000 + trace * 10_000_000 + n * 1_000_000;
            json!({
                "traceId": format!("{:032x}", (start << 16) + trace + 1),
                "spanId": format!("{:016x}", (trace << 16) + first + n),
                "parentSpanId": if first + n == 1 { String::new() } else { format!("{:016x}", (trace << 16) + 1) },
                "name": format!("op-{}", n % 10),
                "startTimeUnixNano": at.to_string(),
                "endTimeUnixNano": (at + 5_000_000).to_string(),
            })
        };
        let attribute =
            |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
        json!({
            "resource": { "attributes": [
                attribute("tenant_id", tenant),
                attribute("service.name", &format!("of-{tenant}")),
            ] },
            "scopeSpans": [{ "spans": (0..SPANS).map(span).collect::<Vec<_>>() }],
        })
    };
    let all = (0..TRACES).flat_map(|trace| {
        [
            service(trace, "cost-b", 1),
            service(trace, "cost-a", 1 + SPANS),
        ]
    });
    json!({ "resourceSpans": all.collect::<Vec<_>>() })
}

async fn proxy(tempo: &str, mode: &str) -> Partywall {
    let mut setup = Setup::tempo(tempo);
    setup.rest = format!("traces:\n  search_metadata: {mode}\n");
    Partywall::start(setup).await
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

#[tokio::test]
#[ignore = "on a quiet machine: TEMPO_URL=… TEMPO_OTLP_URL=… cargo test --release --test e2e live_cost -- --ignored --nocapture"]
async fn live_cost_of_search_metadata() {
    let what = "a running Tempo (see the head of tests/e2e/traces/live/cost.rs)";
    let Some([url, otlp]) = evidence::running_stores(["TEMPO_URL", "TEMPO_OTLP_URL"], what) else {
        return;
    };
    let client = Client::default();
    let first = now() - PAGES * APART - 5;
    for page in 0..PAGES {
        push_otlp(&client, &otlp, ANY_TENANT, &traces(first + page * APART)).await;
    }
    let (exact, verify) = (proxy(&url, "exact").await, proxy(&url, "verify").await);
    let token = |proxy: &Partywall| Some(proxy.signer.tenant("cost-a"));
    let ways = [
        ("bare", &url, None),
        ("verify", &verify.url, token(&verify)),
        ("exact", &exact.url, token(&exact)),
        ("exact, seen again", &exact.url, token(&exact)),
    ];
    let mut times: [Vec<Duration>; 4] = Default::default();
    for page in 0..PAGES {
        let start = first + page * APART;
        let range = [start, start + APART - 1].map(|time| time.to_string());
        for (place, (way, base, token)) in ways.iter().enumerate() {
            let query = if token.is_some() {
                "{}"
            } else {
                r#"{ resource.tenant_id = "cost-a" } | {}"#
            };
            let params = [("q", query), ("start", &range[0]), ("end", &range[1])];
            let ask = Ask::get("/api/search", &params);
            let mut attempts = 0..100;
            let (took, traces) = loop {
                let started = Instant::now();
                let answer = client.ask(base, &ask, token.as_deref()).await;
                let took = started.elapsed();
                assert_eq!(answer.status, 200, "{}", answer.text());
                let page = answer.json();
                let traces = page["traces"].as_array().cloned().unwrap_or_default();
                if traces.len() == 20 {
                    break (took, traces);
                }
                assert!(attempts.next().is_some(), "{way}: {} traces", traces.len());
                tokio::time::sleep(Duration::from_millis(300)).await;
            };
            if way.starts_with("exact") {
                let stats = json!({ "of-cost-a": { "spanCount": SPANS } });
                assert!(
                    traces.iter().all(|trace| trace["serviceStats"] == stats),
                    "{traces:#?}"
                );
            }
            // The first page opens connections.
            if page > 0 {
                times[place].push(took);
            }
        }
    }
    for ((way, ..), times) in ways.iter().zip(&mut times) {
        println!("{way}: {:.1} ms", median(times));
    }
}
