//! In front of a real Prometheus: what is kept is what it said, to each tenant its own.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::kit::dataset::{Dataset, MAIN};
use crate::kit::prometheus::Prometheus;

/// As Grafana asks while a panel of one hour refreshes: it aligns the range to the step.
fn refreshed(now: i64, step: i64) -> Ask {
    let (start, end) = ((now - 3600) / step * step, now / step * step);
    let [start, end, step] = [start, end, step].map(|number| number.to_string());
    let params = [
        (
            "query",
            "sum by (job) (rate(http_requests_total[5m])) or up or vector(1)",
        ),
        ("start", &start),
        ("end", &end),
        ("step", &step),
    ];
    Ask::new(Sent::Post, "/api/v1/query_range", &params)
}

#[tokio::test]
async fn grafanas_refreshes_are_hits_of_the_tenants_own_answers() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap() / 60 * 60;
    let data = Dataset::shared(now * 1000);
    let prometheus = Prometheus::with_data("shared", &data).await;
    let mut setup = Setup::new(&prometheus.url);
    setup.rest = ON.to_owned();
    let stage = Stage::of((), setup).await;
    let mut bodies = Vec::new();
    for tenant in &MAIN[..2] {
        let first = stage.ask_as(tenant, &refreshed(now, 60)).await;
        assert_eq!(
            (first.status.as_u16(), mark(&first)),
            (200, "miss"),
            "{}",
            first.text()
        );
        for later in [5, 15, 59] {
            let answer = stage.ask_as(tenant, &refreshed(now + later, 60)).await;
            assert_eq!(mark(&answer), "hit", "{tenant} after {later} s");
            assert_eq!(answer.body, first.body);
        }
        assert_eq!(
            mark(&stage.ask_as(tenant, &refreshed(now + 60, 60)).await),
            "miss"
        );

        let names = Ask::get("/api/v1/series", &[("match[]", "{__name__=~\".+\"}")]);
        for expected in ["miss", "hit"] {
            let answer = stage.ask_as(tenant, &names).await;
            assert_eq!(mark(&answer), expected);
            let all = answer.json()["data"].as_array().unwrap().clone();
            assert!(!all.is_empty(), "{tenant} has series");
            for series in &all {
                assert_eq!(series[LABEL], **tenant, "{series}");
            }
        }
        // What it says when nothing is kept is what was kept.
        let fresh = names.clone().with_header("cache-control", "no-store");
        let (fresh, kept) = (
            stage.ask_as(tenant, &fresh).await,
            stage.ask_as(tenant, &names).await,
        );
        assert_eq!((mark(&fresh), mark(&kept)), ("bypass", "hit"));
        assert_eq!(fresh.body, kept.body);
        bodies.push(kept.body);
    }
    assert_ne!(bodies[0], bodies[1]);
}

/// Prometheus answers a wrong query with an error, and a dubious one with a note.
#[tokio::test]
async fn errors_of_a_real_store_are_not_cached() {
    let data = Dataset::shared(1_735_689_600_000);
    let prometheus = Prometheus::with_data("shared", &data).await;
    let mut setup = Setup::new(&prometheus.url);
    setup.rest = ON.to_owned();
    let stage = Stage::of((), setup).await;
    let params = [("query", "rate(up)"), ("time", "1735689600")];
    let ask = Ask::get("/api/v1/query", &params);
    for _ in 0..2 {
        let answer = stage.ask(&ask).await;
        assert_eq!(
            (answer.status.as_u16(), mark(&answer)),
            (400, "miss"),
            "{}",
            answer.text()
        );
    }
}
