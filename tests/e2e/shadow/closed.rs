//! What shadow mode does not open, and what it does not loosen.

use super::stage::{ask, counted, metric, shadow, shadowed, verdict};
use crate::kit::client::{Ask, Sent};
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::raw::{exchange, request};
use crate::kit::upstream::Upstream;

#[tokio::test]
async fn writes_and_administration_stay_closed() {
    let upstream = Upstream::start().await;
    let proxy = shadowed(&upstream.url, "").await;
    let token = proxy.signer.tenant("acme");
    for (method, path) in [
        ("POST", "/api/v1/admin/tsdb/delete_series?match[]=up"),
        ("PUT", "/api/v1/admin/tsdb/snapshot"),
        ("GET", "/api/v1/admin/tsdb/snapshot"),
        ("POST", "/api/v1/write"),
        ("POST", "/api/v1/otlp/v1/metrics"),
        ("POST", "/-/reload"),
        ("GET", "/-/quit"),
        ("GET", "/debug/pprof/heap"),
        ("GET", "/metrics"),
        ("DELETE", "/api/v1/series?match[]=up"),
        ("POST", "/api/v1/status/config"),
        ("POST", "/api/v1/status/flags"),
        ("POST", "/api/v1/something/new"),
        ("POST", "/x/api/v1/admin/tsdb/delete_series"),
        ("GET", "/x/debug/pprof/heap"),
        // Read in two ways.
        ("GET", "/api/v1;//query?query=up"),
        ("GET", "/api/v1/label/x%2f..%2f..%2fadmin/values"),
        ("GET", "/x/../api/v1/query?query=up"),
    ] {
        let bearer = format!("Bearer {token}");
        for headers in [&[][..], &[("Authorization", bearer.as_str())]] {
            let answer = exchange(proxy.authority(), &request(method, path, headers, b"")).await;
            let refused = [400, 401, 403, 405].contains(&answer.status);
            assert!(refused, "{method} {path}: {}", answer.head);
            let seen = upstream.take();
            assert!(seen.is_empty(), "{method} {path} was forwarded: {seen:#?}");
        }
    }
    assert!(counted(&proxy, "tsdb_admin", "closed", "").await >= 6.0);
    assert!(counted(&proxy, "write", "closed", "").await >= 4.0);
    assert!(metric(&proxy, "partywall_refusals_total").await >= 34.0);
}

/// For callers that the config opens it to, it is open as usual.
#[tokio::test]
async fn endpoints_open_to_admins_are_closed_to_tenants() {
    let upstream = Upstream::start().await;
    let mut setup = Setup::new(&upstream.url);
    setup.upstream_options = vec![shadow(), "open_to_admins: [tsdb_admin]".to_owned()];
    let proxy = Partywall::start(setup).await;
    let delete = Ask::new(Sent::Post, "/api/v1/admin/tsdb/clean_tombstones", &[]);
    for token in [None, Some(proxy.signer.tenant("acme"))] {
        let answer = ask(&proxy, &delete, token.as_deref()).await;
        assert!([401, 403].contains(&answer.status.as_u16()));
        assert!(upstream.take().is_empty());
    }
    let answer = ask(&proxy, &delete, Some(&proxy.signer.admin())).await;
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.take().len(), 1);
}

#[tokio::test]
async fn other_upstreams_are_enforced() {
    let (open, other) = (Upstream::start().await, Upstream::start().await);
    let mut setup = Setup::new(&open.url);
    setup.upstream_options = vec![
        shadow(),
        format!(
            "path_prefix: /open\n  - {{name: other, api: prometheus, url: {}}}",
            other.url
        ),
    ];
    let proxy = Partywall::start(setup).await;
    let token = proxy.signer.tenant("acme");
    let question = |prefix: &str| Ask::get(&format!("{prefix}/api/v1/query"), &[("query", "up")]);
    assert_eq!(ask(&proxy, &question("/open"), None).await.status, 200);
    assert_eq!(open.take_one().target, "/api/v1/query?query=up");
    let answer = ask(&proxy, &question(""), None).await;
    assert_eq!(answer.status, 401);
    assert_eq!(verdict(&answer), "");
    assert!(other.take().is_empty());
    let answer = ask(&proxy, &question(""), Some(&token)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(other.take_one().param("query"), [r#"up{tenant_id="acme"}"#]);
    assert_eq!(verdict(&answer), "");
    let in_force = |upstream: &str| format!("partywall_shadow{{upstream=\"{upstream}\"}}");
    assert!((metric(&proxy, &in_force("metrics")).await - 1.0).abs() < 1e-9);
    assert!(metric(&proxy, &in_force("other")).await.abs() < 1e-9);
}

/// Bounds that protect the process hold for everybody.
#[tokio::test]
async fn bounds_of_the_process_hold() {
    let upstream = Upstream::start().await;
    let limits = "limits: {uri_bytes: 1000, header_bytes: 8KiB}\n";
    let proxy = shadowed(&upstream.url, limits).await;
    let long = "x".repeat(2000);
    let question = Ask::get("/api/v1/query", &[("query", long.as_str())]);
    assert_eq!(ask(&proxy, &question, None).await.status, 414);
    let smuggled = "POST /api/v1/query HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\
                    Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = exchange(proxy.authority(), smuggled.as_bytes()).await;
    assert_eq!(answer.status, 400, "{}", answer.head);
    assert!(upstream.take().is_empty());
}
