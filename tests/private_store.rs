//! x
#![cfg(test)]
mod common;
use common::client::*;
use common::compare::*;
use common::dataset::*;
use common::prometheus::*;
#[tokio::test]
async fn the_comparer_tells_stores_apart() {
    let t = std::time::Instant::now();
    let data = Dataset::shared(common::token::now() - 30);
    println!(
        "series {} samples {} {:?}",
        data.series.len(),
        data.samples(),
        t.elapsed()
    );
    let own = data.only(&["acme"]);
    println!("acme {} samples {}", own.series.len(), own.samples());
    let (shared, private) = tokio::join!(
        Prometheus::with_data("shared", &data),
        Prometheus::with_data("private", &own)
    );
    println!("started {:?}", t.elapsed());
    let c = Client::default();
    for q in [
        "up",
        "http_requests_total",
        "{__name__=~\".+\"}",
        "sum(rate(http_requests_total[5m])) by (code)",
    ] {
        let a = c
            .ask(
                &private.url,
                &Ask::get("/api/v1/query", &[("query", q)]),
                None,
            )
            .await;
        let b = c
            .ask(
                &shared.url,
                &Ask::get("/api/v1/query", &[("query", q)]),
                None,
            )
            .await;
        println!("{q}: {:?} {}", differences(&a, &b, false), a.body.len());
    }
}
