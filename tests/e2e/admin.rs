//! The admin endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use http_body_util::Full;
use hyper::Request;

use crate::kit::client::{Ask, Client};
use crate::kit::prometheus::{Extras, Prometheus};
use crate::kit::rig::{ACME, Rig};
use crate::kit::stage::eventually;
use crate::kit::tool::run;

#[tokio::test]
async fn image_reports_its_health() {
    let rig = Rig::start(|_, _| {}).await;
    let answer = rig.admin_get("/-/healthy").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (200, "healthy\n")
    );
    let answer = rig.admin_get("/-/ready").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (200, "ready\n")
    );
    assert!(!rig.process.log().contains('\x1b'), "no colours in a file");
}

#[tokio::test]
async fn it_has_these_paths_and_methods_alone() {
    let rig = Rig::start(|_, _| {}).await;
    let client = Client::default();
    for (method, path, status, allow) in [
        ("HEAD", "/-/healthy", 200, ""),
        ("HEAD", "/metrics", 200, ""),
        ("POST", "/-/healthy", 405, "GET, HEAD"),
        ("DELETE", "/-/ready", 405, "GET, HEAD"),
        ("POST", "/metrics", 405, "GET, HEAD"),
        ("GET", "/-/reload", 405, "POST"),
        ("HEAD", "/-/config", 200, ""),
        ("POST", "/-/config", 405, "GET, HEAD"),
        ("PUT", "/-/reload", 405, "POST"),
        ("POST", "/-/reload", 415, ""),
        ("POST", "/-/cache/flush", 415, ""),
        ("GET", "/", 404, ""),
        ("GET", "/-/quit", 404, ""),
        ("GET", "/debug/pprof", 404, ""),
        ("GET", "/api/v1/query?query=up", 404, ""),
        ("GET", "/metrics/", 404, ""),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", rig.admin()))
            .body(Full::default())
            .unwrap();
        let answer = client.send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
    assert!(rig.upstream.take().is_empty());
    // Nor is it on the data port.
    for path in ["/metrics", "/-/reload", "/-/config"] {
        let ask = Ask::get(path, &[]);
        let answer = client.ask(&rig.url(), &ask, Some(&ACME)).await;
        assert_eq!(answer.status.as_u16(), 403, "{path}");
    }
}

#[tokio::test]
async fn traffic_moves_the_metrics() {
    let rig = Rig::start(|_, _| {}).await;
    for _ in 0..3 {
        assert_eq!(rig.status(&ACME).await, 200);
    }
    assert_eq!(rig.status("no.such.token").await, 401);
    let client = Client::default();
    let closed = Ask::get("/api/v1/status/config", &[]);
    assert_eq!(
        client.ask(&rig.url(), &closed, Some(&ACME)).await.status,
        403
    );
    for (series, at_least) in [
        (
            r#"partywall_http_requests_total{route="query",code="200"}"#,
            3.0,
        ),
        (
            r#"partywall_http_requests_total{route="query",code="401"}"#,
            1.0,
        ),
        (
            r#"partywall_http_requests_total{route="status",code="403"}"#,
            1.0,
        ),
        (
            r#"partywall_http_request_duration_seconds_count{route="query"}"#,
            4.0,
        ),
        (
            r#"partywall_refusals_total{route="status",reason="closed"}"#,
            1.0,
        ),
        (r#"partywall_token_verifications_total{result="ok"}"#, 4.0),
        (
            r#"partywall_upstream_requests_total{upstream="metrics",result="answered"}"#,
            3.0,
        ),
        (r#"partywall_config_reloads_total{result="ok"}"#, 1.0),
        (
            r#"partywall_issuer_keys{issuer="https://sso.test/realms/observability"}"#,
            1.0,
        ),
        ("partywall_config_last_reload_successful ", 1.0),
        (
            "partywall_config_last_reload_success_timestamp_seconds ",
            1.7e9,
        ),
        ("partywall_connections ", 1.0),
        ("partywall_build_info{", 1.0),
    ] {
        let value = rig.metric(series).await;
        assert!(value >= at_least, "{series} is {value}");
    }
    for refused in [
        "partywall_panics_total",
        "partywall_http_requests_in_flight",
    ] {
        assert!(rig.metric(refused).await < 0.5, "{refused}");
    }
}

/// One family of an exposition.
#[derive(Default)]
struct Family {
    kind: String,
    has_help: bool,
    series: BTreeSet<String>,
}

#[tokio::test]
async fn the_exposition_follows_open_metrics() {
    let rig = Rig::start(|_, _| {}).await;
    rig.ask(&ACME).await;
    rig.ask("bad").await;
    let answer = rig.admin_get("/metrics").await;
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text; version=1.0.0")
    );
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in text.trim_end_matches("# EOF\n").lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (what, name) = (words.next().unwrap(), words.next().unwrap().to_owned());
            if name != current {
                assert!(!families.contains_key(&name), "{name} is in two places");
                current.clone_from(&name);
            }
            let family = families.entry(name).or_default();
            match what {
                "TYPE" => words.next().unwrap().clone_into(&mut family.kind),
                "HELP" => family.has_help = words.next().is_some_and(|help| help.len() > 10),
                "UNIT" => {}
                other => panic!("{other} in {line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
        let name = series.split('{').next().unwrap();
        let family = families.get_mut(&current).unwrap();
        let suffixes: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        assert!(
            suffixes
                .iter()
                .any(|suffix| name == format!("{current}{suffix}")),
            "{name} is no {} named {current}",
            family.kind
        );
        assert!(family.series.insert(series.to_owned()), "{series} twice");
    }
    for (name, family) in &families {
        let is_ours = name.starts_with("partywall_");
        assert!(is_ours || name.starts_with("process_"), "{name}");
        assert!(family.has_help, "{name}");
        assert!(
            ["counter", "gauge", "histogram", "info"].contains(&family.kind.as_str()),
            "{name}"
        );
        let words = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.chars().all(words), "{name}");
        for bad in [
            "_total",
            "_count",
            "_ms",
            "_milliseconds",
            "_minutes",
            "_kb",
        ] {
            assert!(!name.ends_with(bad), "{name}");
        }
    }
    assert!(families.len() >= 12, "{:?}", families.keys());
}

#[tokio::test]
async fn a_real_prometheus_scrapes_it() {
    let rig = Rig::start(|_, _| {}).await;
    for _ in 0..5 {
        rig.ask(&ACME).await;
    }
    let target = rig.admin();
    let scrape = format!(
        "scrape_configs:\n  - job_name: partywall\n    static_configs: [{{targets: ['{}']}}]\n",
        target.trim_start_matches("http://")
    );
    let extras = Extras {
        scrape_configs: scrape,
        ..Extras::default()
    };
    let store = Prometheus::with_extras("prometheus", &extras).await;
    let client = Client::default();
    let ask = async |query: &str| {
        let ask = Ask::get("/api/v1/query", &[("query", query)]);
        let answer = client.ask(&store.url, &ask, None).await.json();
        let value = answer["data"]["result"][0]["value"][1].as_str();
        value.map(str::to_owned).unwrap_or_default()
    };
    eventually("it is scraped", async || ask("up").await == "1").await;
    let query = r#"sum(partywall_http_requests_total{route="query",code="200"})"#;
    eventually("the counter is there", async || ask(query).await == "5").await;
    let query =
        "histogram_quantile(0.5, sum by (le) (partywall_http_request_duration_seconds_bucket))";
    let median: f64 = ask(query).await.parse().unwrap();
    assert!(median > 0.0 && median < 10.0, "{median}");
    assert_eq!(ask("count(partywall_build_info)").await, "1");
}

#[tokio::test]
async fn the_effective_config_is_shown_without_secrets() {
    let mut rig = Rig::start(|config, _| {
        config.credentials = "{bearer_token: s3cr3t-bearer}".to_owned();
    })
    .await;
    let answer = rig.admin_get("/-/config").await;
    assert_eq!(answer.status, 200);
    let text = answer.text();
    for line in [
        "      bearer_token: \"***\"",
        "      hmac_secret: \"***\"",
        "  requests: 2000",
        "  poll_interval: 100ms",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
    }
    assert!(!text.contains("s3cr3t") && !text.contains(crate::kit::stage::SECRET));
    assert!(text.contains("# Loaded from "), "{text}");

    // With the secrets put back, it is a config file that says the same.
    let again = rig.dir().join("again.yaml");
    let config = text
        .replace("bearer_token: \"***\"", "bearer_token: s3cr3t-bearer")
        .replace("\"***\"", crate::kit::stage::SECRET);
    std::fs::write(&again, config).unwrap();
    let checked = run(
        &[OsStr::new("check"), "--config".as_ref(), again.as_ref()],
        "",
    );
    assert_eq!(checked.code, 0, "{checked:?}");

    assert!(!text.contains("restart"), "{text}");
    let rest = rig.config.rest.clone();
    rig.config.rest = format!("{rest}log: {{format: json}}\n");
    rig.replace();
    eventually("it is told what waits", async || {
        let text = rig.admin_get("/-/config").await.text();
        text.contains("waits for a restart")
    })
    .await;

    // A bad file is told, and what is in force stays what is shown.
    rig.config.rest = "limits: {requests: none}\n".to_owned();
    rig.replace();
    eventually("the failure is told", async || {
        let text = rig.admin_get("/-/config").await.text();
        text.contains("the last load failed") && text.contains("limits.requests")
    })
    .await;
    let text = rig.admin_get("/-/config").await.text();
    assert!(text.contains("  requests: 2000\n"), "{text}");
    let comments = text
        .lines()
        .take_while(|line| line.starts_with('#'))
        .count();
    assert!(
        text.lines().skip(comments).all(|line| !line.contains('#')),
        "{text}"
    );
}

/// Probes must not wait for a busy data port.
#[tokio::test]
async fn it_has_a_thread_of_its_own() {
    let rig = Rig::start(|_, _| {}).await;
    let threads = std::fs::read_dir(format!("/proc/{}/task", rig.process.id())).unwrap();
    let names = threads.map(|thread| {
        std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap_or_default()
    });
    let names: Vec<String> = names.collect();
    assert!(names.iter().any(|name| name == "admin\n"), "{names:?}");
    // What a reload begins goes on in the main runtime: keys of a new issuer are still fetched
    // when the connection that asked for the reload is long gone.
    assert_eq!(rig.post_reload().await.status, 200);
    assert_eq!(rig.status(&ACME).await, 200);
}

#[tokio::test]
async fn one_connection_too_many_closes_the_longest_quiet() {
    use crate::kit::stage::until_closed;
    use tokio::io::AsyncWriteExt;
    let rig = Rig::start(|_, _| {}).await;
    let address = rig.admin().trim_start_matches("http://").to_owned();
    let mut open = Vec::new();
    // More than the 64 that may be open.
    for _ in 0..70 {
        open.push(tokio::net::TcpStream::connect(&address).await.unwrap());
    }
    for mut first in open.drain(..3) {
        assert!(until_closed(&mut first).await.0.is_empty());
    }
    let mut last = open.pop().unwrap();
    let ask = "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    last.write_all(ask.as_bytes()).await.unwrap();
    let (answer, _) = until_closed(&mut last).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn configured_names_are_answered_after_a_reload() {
    let mut rig = Rig::start(|_, _| {}).await;
    let client = Client::default();
    let by_name = async |admin: &str| {
        let request = Request::get(format!("{admin}/metrics"))
            .header("host", "Partywall.monitoring.svc:8081")
            .body(Full::default())
            .unwrap();
        client.send(request).await
    };
    let answer = by_name(&rig.admin()).await;
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("admin.hosts"), "{}", answer.text());
    let log = rig.process.log();
    assert!(log.contains("Partywall.monitoring.svc"), "{log}");
    rig.config.admin_options = vec!["hosts: [partywall.monitoring.svc]".to_owned()];
    rig.replace();
    eventually("the name is known", async || {
        by_name(&rig.admin()).await.status == 200
    })
    .await;
    let shown = rig.admin_get("/-/config").await.text();
    assert!(shown.contains("partywall.monitoring.svc"), "{shown}");
    assert!(!shown.contains("waits for a restart"), "{shown}");
}
