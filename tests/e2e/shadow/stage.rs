//! The proxy in shadow mode.

use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::kit::client::{Answer, Ask, Client};
use crate::kit::partywall::{Partywall, Setup};

/// Longer than anything here takes on the slowest machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// `shadow`, in force for so long.
pub fn shadow_for(time: Duration, more: &str) -> String {
    shadow_until(SystemTime::now() + time, more)
}

pub fn shadow_until(until: SystemTime, more: &str) -> String {
    let until = humantime::format_rfc3339_millis(until);
    format!("shadow: {{until: {until}, tenants_see_each_other: true{more}}}")
}

/// An hour.
pub fn shadow() -> String {
    shadow_for(Duration::from_hours(1), "")
}

/// In front of `upstream`, which is in shadow mode.
pub async fn shadowed(upstream: &str, rest: &str) -> Partywall {
    let mut setup = Setup::new(upstream);
    setup.upstream_options = vec![shadow()];
    setup.rest = rest.to_owned();
    Partywall::start(setup).await
}

pub async fn ask(proxy: &Partywall, ask: &Ask, token: Option<&str>) -> Answer {
    Client::default().ask(&proxy.url, ask, token).await
}

pub fn verdict(answer: &Answer) -> &str {
    answer.header("x-partywall-shadow")
}

/// The sum of the samples whose line begins so, 0 where there is none.
pub async fn metric(proxy: &Partywall, series: &str) -> f64 {
    let metrics = format!("{}/metrics", proxy.admin);
    let text = Client::default().get(&metrics).await.text();
    text.lines()
        .filter(|line| line.starts_with(series))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Requests to the upstream `metrics` that came to a verdict.
pub async fn counted(proxy: &Partywall, route: &str, verdict: &str, reason: &str) -> f64 {
    let labels =
        format!("upstream=\"metrics\",route=\"{route}\",verdict=\"{verdict}\",reason=\"{reason}\"");
    metric(
        proxy,
        &format!("partywall_shadow_requests_total{{{labels}}}"),
    )
    .await
}

pub async fn ready(proxy: &Partywall) -> String {
    let answer = Client::default()
        .get(&format!("{}/-/ready", proxy.admin))
        .await;
    assert_eq!(answer.status, 200);
    answer.text()
}

/// The lines of an audit file.
pub fn records(file: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// Polls until it holds; fails the test when it never does.
pub async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
