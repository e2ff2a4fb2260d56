//! Prometheus' own web interface, opened in a browser through Partywall by a tenant whose token is in
//! a header, as `oauth2-proxy` sets it: its page shows what is the tenant's, and none of its requests
//! fails.
//!
//! Debian's Prometheus has the older interface alone. Its page for queries works by the API; its other
//! pages are made by the server of all tenants' data, and are closed. The pages of later versions are
//! told by their requests ([`first_requests`](super::first_requests)).
//!
//! `CHROMIUM` names another browser than the one in `PATH`. Without one the test is left out, loudly;
//! with `CI=true` its absence is a failure.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::kit::client::{Ask, Client};
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::process::free_port;
use crate::kit::prometheus::{Extras, Prometheus};

/// Two tenants with a target each that is down, and an alert each for it.
fn extras() -> Extras {
    let (acme, beta) = (free_port(), free_port());
    let job = |name: &str, tenant: &str, port: u16| {
        format!(
            "  - job_name: {name}\n    static_configs: [{{targets: ['127.0.0.1:{port}'], labels: \
             {{tenant_id: {tenant}}}}}]\n"
        )
    };
    let alert = |name: &str, tenant: &str| {
        format!(
            "      - alert: {name}\n        expr: up{{tenant_id=\"{tenant}\"}} == 0\n        \
             labels: {{tenant_id: {tenant}}}\n"
        )
    };
    Extras {
        scrape_configs: format!(
            "scrape_configs:\n{}{}",
            job("acme-job", "acme", acme),
            job("beta-job", "beta", beta)
        ),
        rule_files: vec![(
            "rules.yml".to_owned(),
            format!(
                "groups:\n  - name: of-all\n    rules:\n{}{}",
                alert("AcmeDown", "acme"),
                alert("BetaDown", "beta")
            ),
        )],
        external_labels: String::new(),
    }
}

/// Path and query of a request, and the status of its answer.
type Exchanges = Arc<Mutex<Vec<(String, u16)>>>;

/// Stands before Partywall as an authenticating proxy does: sets the token, forwards all else.
async fn authenticating_proxy(behind: String, token: String) -> (String, Exchanges) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let exchanges = Exchanges::default();
    let (all, client) = (Arc::clone(&exchanges), Client::default());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (behind, token) = (behind.clone(), token.clone());
            let (all, client) = (Arc::clone(&all), client.clone());
            let service = service_fn(move |request| {
                let (behind, token) = (behind.clone(), token.clone());
                let (all, client) = (Arc::clone(&all), client.clone());
                async move {
                    let answer = forward(request, &behind, &token, &all, &client).await;
                    Ok::<_, Infallible>(answer)
                }
            });
            tokio::spawn(async move {
                let builder = hyper::server::conn::http1::Builder::new();
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (url, exchanges)
}

async fn forward(
    request: Request<Incoming>,
    behind: &str,
    token: &str,
    exchanges: &Exchanges,
    client: &Client,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let body = body.collect().await.expect("a body").to_bytes();
    let mut forwarded = Request::builder()
        .method(head.method)
        .uri(format!("{behind}{target}"))
        .header(AUTHORIZATION, format!("Bearer {token}"));
    for name in [ACCEPT, CONTENT_TYPE] {
        if let Some(value) = head.headers.get(&name) {
            forwarded = forwarded.header(name, value);
        }
    }
    let forwarded = forwarded.body(Full::from(body)).expect("a request");
    let answer = client.send(forwarded).await;
    let seen = (target.to_owned(), answer.status.as_u16());
    exchanges.lock().expect("no panic").push(seen);
    let mut response = Response::new(Full::from(answer.body.clone()));
    *response.status_mut() = answer.status;
    for name in [CONTENT_TYPE, LOCATION] {
        if let Some(value) = answer.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// The browser, if there is one.
fn browser() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("chromium"))
        .find(|file| file.is_file());
    if found.is_none() {
        let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(
            !in_ci,
            "chromium is not installed, and CI leaves nothing out"
        );
        println!("!!! NOT RUN: the web interfaces in a browser; install chromium");
    }
    found
}

/// What the page is after its scripts have run and its requests have ended.
async fn dom(browser: &Path, url: &str) -> String {
    let profile = TempDir::new().expect("a temporary directory");
    let child = Command::new(browser)
        .args([
            "--headless",
            // The tests of CI run as root, in a container.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--virtual-time-budget=10000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_mins(2), child)
        .await
        .unwrap_or_else(|_| panic!("{url} is not shown within two minutes"))
        .expect("the browser runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until the store has scraped and evaluated.
async fn until_alerts(store: &Prometheus) {
    let (client, start) = (Client::default(), Instant::now());
    loop {
        let alerts = client
            .ask(&store.url, &Ask::get("/api/v1/alerts", &[]), None)
            .await
            .text();
        if alerts.contains("AcmeDown") && alerts.contains("BetaDown") {
            return;
        }
        assert!(start.elapsed() < Duration::from_mins(1), "{alerts}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_prometheus_work_for_a_tenant() {
    let Some(browser) = browser() else {
        return;
    };
    let store = Prometheus::with_extras("interface", &extras()).await;
    until_alerts(&store).await;
    let proxy = Partywall::start(Setup::new(&store.url)).await;
    let token = proxy.signer.tenant("acme");
    let (url, exchanges) = authenticating_proxy(proxy.url.clone(), token).await;
    for (page, shown) in [
        ("/", "Execute"),
        ("/graph?g0.expr=up&g0.tab=1", "acme-job"),
        ("/graph?g0.expr=up&g0.tab=0", "acme-job"),
        ("/graph?g0.expr=ALERTS&g0.tab=1", "AcmeDown"),
    ] {
        let dom = dom(&browser, &format!("{url}{page}")).await;
        let seen = std::mem::take(&mut *exchanges.lock().expect("no panic"));
        assert!(
            dom.contains(shown),
            "{page} lacks {shown}: {seen:#?}\n{dom}"
        );
        let lower = dom.to_ascii_lowercase();
        for foreign in ["beta", "unexpected response", "error executing"] {
            assert!(
                !lower.contains(foreign),
                "{page} shows {foreign}: {seen:#?}\n{dom}"
            );
        }
        let failed: Vec<_> = seen.iter().filter(|(_, status)| *status >= 400).collect();
        assert!(failed.is_empty(), "{page}: {failed:#?}");
        let asked = seen
            .iter()
            .any(|(target, _)| target.starts_with("/api/v1/"));
        assert!(asked, "{page} asked for no data: {seen:#?}");
    }
}
