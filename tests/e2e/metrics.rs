//! What is counted and measured, and that docs/operations.md lists all of it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::tls::{PAIR, lay};
use crate::kit::client::{Ask, Client, Sent};
use crate::kit::docs::page;
use crate::kit::process::free_port;
use crate::kit::rig::{ACME, Rig, token};
use crate::kit::stage::{SECRET, eventually};
use crate::kit::tempo_upstream::TempoUpstream;
use crate::kit::tls::Authority;
use crate::kit::token::Signer;

/// The names in an exposition, as they are queried: `_total` and `_info` with them, of a histogram
/// the name alone.
fn exposed(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| match line.split_once(' ').expect("a type") {
            (name, "counter") => format!("{name}_total"),
            (name, "info") => format!("{name}_info"),
            (name, _) => name.to_owned(),
        })
        .collect()
}

/// The names in the table of metrics in docs/operations.md.
fn documented() -> BTreeSet<String> {
    let operations = page("docs/operations.md");
    let rows = operations.lines().filter(|line| line.starts_with("| `p"));
    rows.flat_map(|row| {
        let cell = row.trim_start_matches("| ").split(" | ").next().unwrap();
        let names = cell.split('`').skip(1).step_by(2);
        names.map(|name| name.split('{').next().unwrap().to_owned())
    })
    .collect()
}

/// The exposition of a proxy with everything that can be counted, after some of it was.
async fn everything() -> String {
    let tls_port = free_port();
    let tempo = TempoUpstream::start().await;
    let rig = Rig::start(|config, dir| {
        lay(dir, &Authority::new("servers").identity());
        config.listener =
            format!("# By TLS:\n  - address: 127.0.0.1:{tls_port}\n    tls: {{{PAIR}}}");
        let until = humantime::format_rfc3339(SystemTime::now() + Duration::from_hours(1));
        config.more = vec![
            format!(
                "{{name: open, api: prometheus, url: {}, path_prefix: /open, \
                 shadow: {{until: {until}, tenants_see_each_other: true}}}}",
                config.upstream
            ),
            format!("{{name: tempo, api: tempo, url: '{}'}}", tempo.url),
        ];
        config.tenancy += "\n  traces: {org_id: true}";
        config.rest = "metrics: {per_tenant: {}}\n".to_owned();
    })
    .await;
    rig.ask(&ACME).await;
    rig.ask("bad").await;
    rig.ask_below("/open", "bad").await;
    let without_tls = format!("http://127.0.0.1:{tls_port}");
    let ask = Ask::new(Sent::Get, "/", &[]);
    Client::default().ask(&without_tls, &ask, None).await;
    // Counted when the client already has its answer.
    let handshakes = "partywall_tls_handshakes_total";
    eventually("the handshake is counted", async || {
        rig.admin_get("/metrics").await.text().contains(handshakes)
    })
    .await;
    rig.admin_get("/metrics").await.text()
}

#[tokio::test]
async fn docs_name_every_metric_and_no_other() {
    assert_eq!(documented(), exposed(&everything().await));
}

/// The labels that docs/operations.md names are those of the series.
#[tokio::test]
async fn docs_name_the_labels_of_every_metric() {
    let text = everything().await;
    let operations = page("docs/operations.md");
    let mut checked = 0;
    for name in documented() {
        let sample = text.lines().find(|line| {
            let name_of = line.split(['{', ' ']).next().unwrap_or_default();
            name_of == name || name_of == format!("{name}_count")
        });
        let Some(sample) = sample else { continue };
        let labels: BTreeSet<&str> = match sample.split_once('{') {
            None => BTreeSet::new(),
            Some((_, rest)) => {
                let labels = rest.split_once('}').unwrap().0;
                labels
                    .split("\",")
                    .filter_map(|pair| pair.split('=').next())
                    .collect()
            }
        };
        let row = operations
            .lines()
            .filter(|line| line.starts_with("| `p"))
            .find(|line| line.contains(&format!("`{name}")))
            .unwrap();
        let after = row.split_once(&name).unwrap().1;
        let named: BTreeSet<&str> = match after.strip_prefix('{') {
            None => BTreeSet::new(),
            Some(rest) => rest.split_once('}').unwrap().0.split(',').collect(),
        };
        assert_eq!(named, labels, "{name}");
        checked += 1;
    }
    assert!(checked > 25, "only {checked} have samples");
}

#[tokio::test]
async fn the_stages_of_a_request_are_measured() {
    let rig = Rig::start(|_, _| {}).await;
    for _ in 0..3 {
        assert_eq!(rig.status(&ACME).await, 200);
    }
    assert_eq!(rig.status("bad").await, 401);
    let count = async |stage: &str| {
        let series = format!("partywall_stage_duration_seconds_count{{stage=\"{stage}\"}}");
        rig.metric(&series).await
    };
    for (stage, expected) in [("authenticate", 4.0), ("enforce", 3.0), ("upstream", 3.0)] {
        let counted = count(stage).await;
        assert!((counted - expected).abs() < 0.1, "{stage}: {counted}");
    }
    let upstream = r#"partywall_upstream_request_duration_seconds_count{upstream="metrics"}"#;
    assert!((rig.metric(upstream).await - 3.0).abs() < 0.1);
    let hits = r#"partywall_rewrite_cache_lookups_total{result="hit"}"#;
    assert!((rig.metric(hits).await - 2.0).abs() < 0.1);
}

#[tokio::test]
async fn the_process_is_measured_as_everywhere() {
    let rig = Rig::start(|_, _| {}).await;
    let now = SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let started = rig.metric("process_start_time_seconds ").await;
    assert!((started - now).abs() < 60.0, "{started} and {now}");
    let memory = rig.metric("process_resident_memory_bytes ").await;
    assert!((1e6..1e9).contains(&memory), "{memory}");
    let open = rig.metric("process_open_fds ").await;
    let held = std::fs::read_dir(format!("/proc/{}/fd", rig.process.id()))
        .unwrap()
        .count();
    let difference = (open - f64::from(u32::try_from(held).unwrap())).abs();
    assert!(difference < 4.0, "{open} and {held}");
    assert!(rig.metric("process_max_fds ").await >= open);
    let cpu = rig.metric("process_cpu_seconds_total ").await;
    assert!((0.0..60.0).contains(&cpu), "{cpu}");
}

/// Off by default; bounded; the rest is counted under no tenant's name.
#[tokio::test]
async fn tenants_are_counted_where_the_config_says() {
    let mut rig = Rig::start(|_, _| {}).await;
    rig.ask(&ACME).await;
    assert!(!rig.admin_get("/metrics").await.text().contains("tenant=\""));
    let poll = rig.config.rest.clone();
    rig.config.rest = format!("{poll}metrics: {{per_tenant: {{max_tenants: 2}}}}\n");
    rig.replace();
    let of = |tenant: &str, code: u16| {
        format!("partywall_tenant_requests_total{{tenant=\"{tenant}\",code=\"{code}\"}}")
    };
    eventually("tenants are counted", async || {
        rig.ask(&ACME).await;
        rig.metric(&of("acme", 200)).await > 0.5
    })
    .await;
    let other = token("other");
    rig.ask(&other).await;
    let both = Signer::hs256(SECRET).tenants(&["acme", "late", "later"]);
    let before = rig.metric(&of("acme", 200)).await;
    rig.ask(&both).await;
    let closed = Ask::get("/api/v1/status/config", &[]);
    Client::default()
        .ask(&rig.url(), &closed, Some(&other))
        .await;
    rig.ask("bad").await;
    for (series, expected) in [
        (of("acme", 200), before + 1.0),
        (of("other", 200), 1.0),
        (of("other", 403), 1.0),
        (of("", 200), 1.0),
        (of("late", 200), 0.0),
    ] {
        let counted = rig.metric(&series).await;
        assert!((counted - expected).abs() < 0.1, "{series}: {counted}");
    }
    rig.config.rest = poll;
    rig.replace();
    eventually("they are gone", async || {
        !rig.admin_get("/metrics").await.text().contains("tenant=\"")
    })
    .await;
}
