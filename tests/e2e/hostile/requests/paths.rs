//! P: which endpoint a path is, however it is spelled.

use crate::kit::client::{Ask, Client};
use crate::kit::door::{Door, FORM};
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::raw::request;
use crate::kit::stage::SECRET;
use crate::kit::token::Signer;
use crate::kit::upstream::{Reply, Upstream};

#[tokio::test]
async fn p1_p3_p4_odd_spellings_of_data_paths_are_refused() {
    let door = Door::open().await;
    let table = [
        ("P1", "/x/../api/v1/query"),
        ("P1", "/api/v1/x/../query"),
        ("P1", "/static/../api/v1/query"),
        // They could leave the upstream's base path.
        ("P1", "/graph/.."),
        ("P1", "/graph/../x"),
        ("P1", "/graph/./x"),
        ("P1", "/graph/%2e%2e/x"),
        ("P1", "/graph/..;/x"),
        ("P3", "/api%2fv1%2fquery"),
        ("P3", "/api%2Fv1/query"),
        ("P3", "/api/v1%5cquery"),
        ("P3", "/api\\v1\\query"),
        ("P3", "/%2e%2e/api/v1/query"),
        ("P3", "/x/%2e%2e/api/v1/query"),
        ("P3", "/x/.%2e/api/v1/query"),
        ("P3", "/x/%252e%252e/api/v1/query"),
        ("P3", "/x/%25252e%25252e/api/v1/query"),
        ("P3", "/%2561pi/v1/query"),
        ("P3", "/static%2f..%2fapi/v1/query"),
        ("P4", "/api/v1/label/x%2f..%2f..%2fstatus%2fconfig/values"),
        ("P4", "/api/v1/label/../../status/config/values"),
        ("P4", "/api/v1/label/%2e%2e/values"),
        ("P4", "/api/v1/label/a/b/values"),
        ("P11", "/api/traces/../search?q={}"),
        ("P11", "/api/v2/traces/../search?q=%7B%7D"),
        ("P11", "/api/traces/%2e%2e%2fsearch"),
    ];
    for (id, path) in table {
        let target = if path.contains('?') {
            path.to_owned()
        } else {
            format!("{path}?query=up")
        };
        let what = format!("{id} GET {target}");
        let answer = door.get(&target).await;
        let refusals: &[u16] = if path.ends_with("a/b/values") {
            &[400, 403]
        } else {
            &[400]
        };
        door.assert_refused(&what, &answer, refusals);
        let answer = door.post(path.split('?').next().unwrap(), "query=up").await;
        door.assert_refused(&format!("{id} POST {path}"), &answer, refusals);
    }
}

/// The stores' routers redirect to the clean path. It is what is classified and what is sent.
#[tokio::test]
async fn p1_p5_empty_segments_are_cleaned_before_the_path_is_classified() {
    let door = Door::open().await;
    for path in [
        "//api/v1/query",
        "/api//v1/query",
        "/api/v1//query",
        "/./api/v1/query",
        "/api/v1/./query",
        "/api/v1/query/",
        "//api/v1/query//",
    ] {
        let answers = [
            door.get(&format!("{path}?query=up")).await,
            door.post(path, "query=up").await,
        ];
        for answer in answers {
            assert_eq!(answer.status, 200, "P1 {path}: {}", answer.text());
        }
        for seen in door.upstream.take() {
            assert_eq!(seen.path(), "/api/v1/query", "P1 {path}");
            assert_eq!(
                seen.param("query"),
                [r#"up{tenant_id="acme"}"#],
                "P1 {path}"
            );
        }
    }
    for path in [
        "//metrics",
        "/x//metrics",
        "//api/v1/admin/tsdb/snapshot",
        "//api//v1/status/config/",
        "/api/v1/unknown/",
        "/-//reload",
        "//-/quit",
        "/x//api/v1/query",
    ] {
        let answer = door.get(path).await;
        door.assert_refused(&format!("P1 {path}"), &answer, &[403]);
    }
}

#[tokio::test]
async fn p2_harmless_escapes_are_the_endpoint_they_spell() {
    let door = Door::open().await;
    for path in [
        "/api/v1/%71uery",
        "/%61pi/v1/query",
        "/api/v1/quer%79",
        "/api/%761/query",
    ] {
        let answer = door.get(&format!("{path}?query=up")).await;
        let seen = door.assert_sent(path, &answer);
        assert_eq!(seen.path(), "/api/v1/query", "{path}");
        assert_eq!(seen.param("query"), [r#"up{tenant_id="acme"}"#], "{path}");
    }
    door.upstream.reply(Reply::json(
        r#"{"status":"success","data":{"groups":[{"name":"g","file":"g.yml","interval":60,
            "limit":0,"rules":[{"state":"firing","name":"Down","query":"up == 0","duration":0,
            "labels":{},"annotations":{},"alerts":[{"labels":{"alertname":"Down",
            "tenant_id":"beta"},"annotations":{},"state":"firing",
            "activeAt":"2026-01-01T00:00:00Z","value":"0e+00"}],"health":"ok","type":"alerting",
            "evaluationTime":0.1,"lastEvaluation":"2026-01-01T00:00:00Z"}]}]}}"#,
    ));
    let answer = door.get("/api/v1/%61lerts").await;
    assert_eq!(
        door.assert_sent("P2 alerts", &answer).target,
        "/api/v1/rules?type=alert",
        "alerts are made from the rules, which have the templates"
    );
    assert!(!answer.text().contains("beta"), "{}", answer.text());
    let answer = door.get("/api/v1/%73tatus/config").await;
    door.assert_refused("P2 status", &answer, &[403]);

    door.upstream
        .reply(Reply::json(r#"{"status":"success","data":[]}"#));
    let answer = door.get("/api/v1/label/caf%C3%A9%20x/values").await;
    let seen = door.assert_sent("P2 label", &answer);
    assert_eq!(seen.path(), "/api/v1/label/caf%C3%A9%20x/values");
    assert_eq!(seen.param("match[]"), [r#"{tenant_id="acme"}"#]);
}

#[tokio::test]
async fn p5_p6_near_misses_are_not_the_endpoint() {
    let door = Door::open().await;
    // With a slash behind it a path is the same endpoint, under the same rule.
    for endpoint in ["query", "series", "labels", "label/job/values"] {
        let path = format!("/api/v1/{endpoint}/");
        let answer = door.get(&format!("{path}?query=up&match[]=up")).await;
        let seen = door.assert_sent(&format!("P5 {path}"), &answer);
        assert_eq!(seen.path(), path.trim_end_matches('/'), "P5");
        let params = seen.params();
        let is_confined = |(_, value): &(String, String)| value.contains(r#"tenant_id="acme""#);
        assert!(params.iter().all(is_confined), "P5 {path}: {params:?}");
    }
    let answer = door.get("/federate/?match[]=up").await;
    let seen = door.assert_sent("P5 /federate/", &answer);
    assert_eq!(seen.param("match[]"), [r#"up{tenant_id="acme"}"#]);
    let table: [&[u8]; 14] = [
        b"/api/v1/query;a=b?query=up",
        b"/api;x/v1/query?query=up",
        b"/api/v1/query%00?query=up",
        b"/api/v1/query\0?query=up",
        b"/api/v1/query%0a?query=up",
        b"/api/v1/query%20?query=up",
        b"/api/v1/query#x?query=up",
        b"/api/v1/query%23?query=up",
        b"/api/v1/query%3Fquery=up",
        b"/API/V1/query?query=up",
        b"/Api/v1/query?query=up",
        b"/FEDERATE?match[]=up",
        "/api/v1/qu\u{e9}ry?query=up".as_bytes(),
        b"/api/v1/\xff?query=up",
    ];
    for target in table {
        let text = format!(
            "GET {{}} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}\r\n",
            door.authorization()
        );
        let (before, after) = text.split_once("{}").unwrap();
        let bytes = [before.as_bytes(), target, after.as_bytes()].concat();
        let what = format!("P6 {}", String::from_utf8_lossy(target));
        let answer = door.send_raw(&bytes).await;
        door.assert_refused(&what, &answer, &[400, 403, 404]);
    }
}

#[tokio::test]
async fn p7_p9_the_route_is_by_path_alone() {
    let door = Door::open().await;
    for target in [
        "http://evil.test/api/v1/query?query=up",
        "http://partywall/api/v1/query?query=up",
    ] {
        let answer = door.get(target).await;
        let seen = door.assert_sent(target, &answer);
        assert_eq!(seen.path(), "/api/v1/query", "{target}");
        assert_eq!(seen.param("query"), [r#"up{tenant_id="acme"}"#]);
        let authority = door.upstream.url.trim_start_matches("http://");
        assert_eq!(seen.header("host"), Some(authority), "{target}");
    }
    let answer = door.get("http://evil.test//api/v1/query?query=up").await;
    let seen = door.assert_sent("P7 absolute form, odd path", &answer);
    assert_eq!(seen.path(), "/api/v1/query");
    for (method, target) in [
        ("OPTIONS", "*"),
        ("CONNECT", "partywall:80"),
        ("CONNECT", "/api/v1/query"),
        ("GET", "api/v1/query?query=up"),
        ("GET", "?query=up"),
    ] {
        let answer = door.send(method, target, &[], b"").await;
        door.assert_refused(&format!("P7 {method} {target}"), &answer, &[400, 405]);
    }
    let answer = door
        .get("/api/v1/query?query=up&x=/../../api/v1/status/config")
        .await;
    let seen = door.assert_sent("P9", &answer);
    assert_eq!(seen.path(), "/api/v1/query");
    assert_eq!(seen.params().len(), 1, "{}", seen.target);
}

#[tokio::test]
async fn p12_endpoints_without_confinement_are_closed() {
    let door = Door::with(|setup| {
        setup.upstream_options = vec!["open_to_admins: [status, stores]".to_owned()];
    })
    .await;
    let closed = [
        ("GET", "/api/v1/status/config"),
        ("GET", "/api/v1/status/runtimeinfo"),
        ("GET", "/api/v1/status/tsdb"),
        ("GET", "/api/v1/status/walreplay"),
        ("POST", "/api/v1/admin/tsdb/delete_series?match[]=up"),
        ("PUT", "/api/v1/admin/tsdb/snapshot"),
        ("POST", "/api/v1/write"),
        ("POST", "/api/v1/receive"),
        ("POST", "/api/v1/otlp/v1/metrics"),
        ("GET", "/api/v1/query_explain?query=up"),
        ("GET", "/api/v1/targets/metadata/x"),
        ("GET", "/api/v1/targets/relabel_steps"),
        ("GET", "/api/v1/scrape_pools/config"),
        ("GET", "/api/v1/alertmanagers/x"),
        ("GET", "/api/v1/search/metric_names/x"),
        ("GET", "/api/v1/status/self_metrics"),
        ("GET", "/api/v1/"),
        ("GET", "/api/v1"),
        ("GET", "/api"),
        ("GET", "/api/v2/query?query=up"),
        ("GET", "/api/overrides"),
        ("POST", "/api/mcp"),
        ("GET", "/api/traces/1234"),
        ("GET", "/api/search?q=%7B%7D"),
        ("POST", "/-/reload"),
        ("PUT", "/-/quit"),
        ("GET", "/metrics"),
        ("GET", "/debug/pprof/heap"),
        ("GET", "/consoles/prometheus.html"),
        ("GET", "/classic/alerts"),
        ("GET", "/classic/static/api/v1/query?query=up"),
        ("GET", "/prometheus/classic/graph"),
        ("GET", "/flush"),
        ("POST", "/shutdown"),
        ("GET", "/querier/api/search"),
        ("POST", "/tempopb.StreamingQuerier/Search"),
        ("GET", "/prometheus/api/v1/query?query=up"),
        ("GET", "/x/federate?match[]=up"),
        ("GET", "/prometheus/metrics"),
    ];
    for (method, target) in closed {
        let answer = door.send(method, target, &[], b"").await;
        door.assert_refused(&format!("P12 {method} {target}"), &answer, &[403, 404]);
    }

    let admin = format!("Bearer {}", door.proxy.signer.admin());
    let as_admin = [("Authorization", admin.as_str())];
    for target in ["/api/v1/status/config", "/api/v1/stores"] {
        let answer = door.send_raw(&request("GET", target, &as_admin, b"")).await;
        assert_eq!(door.assert_sent(target, &answer).target, target);
    }
    for target in [
        "/metrics",
        "/api/v1/admin/tsdb/snapshot",
        "/api/v1/unheard_of",
        "/-/reload",
    ] {
        let answer = door
            .send_raw(&request("POST", target, &as_admin, b""))
            .await;
        door.assert_refused(&format!("P12 admin {target}"), &answer, &[403, 404, 405]);
        assert!(
            answer.status != 403 || answer.text().contains("open_to_admins"),
            "an operator is told which key opens {target}: {}",
            answer.text()
        );
    }
}

/// L5: paths outside the data APIs are forwarded unmodified.
#[tokio::test]
async fn outside_the_data_apis_nothing_is_changed() {
    let door = Door::open().await;
    let body: Vec<u8> = (0..=255).collect();
    let target = "/some/page%20x/a+b?q=1&q=2;x=%zz&empty&=v#";
    let target = target.trim_end_matches('#');
    let headers = [("X-Custom", "kept"), ("Cookie", "a=b"), FORM];
    let answer = door.send("PATCH", target, &headers, &body).await;
    let seen = door.assert_sent("pass through", &answer);
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("PATCH", target)
    );
    assert_eq!(seen.body, body);
    assert_eq!(seen.header("x-custom"), Some("kept"));
    assert_eq!(seen.header("cookie"), Some("a=b"));

    door.upstream.reply(Reply {
        status: 418,
        headers: vec![
            ("x-odd", "1".to_owned()),
            ("content-type", "image/x".to_owned()),
        ],
        body: body.clone().into(),
    });
    let answer = door.get("/teapot").await;
    assert_eq!((answer.status, answer.header("x-odd")), (418, Some("1")));
    assert_eq!(answer.body, body);
    door.upstream.take();

    let stranger = door.send_raw(&request("GET", "/teapot", &[], b"")).await;
    door.assert_refused("pass through without a token", &stranger, &[401]);
}

/// One gateway serves both stores at one address. What the metrics API would let through must not
/// be a way into Tempo's internals.
#[tokio::test]
async fn internals_of_tempo_are_closed_behind_a_shared_gateway() {
    let gateway = Upstream::start().await;
    let url = &gateway.url;
    let mut setup = Setup::new(&format!(
        "{url}\n  - name: tempo\n    api: tempo\n    url: {url}"
    ));
    setup.signer = Signer::hs256(SECRET);
    setup.rest = "  traces:\n    attribute: resource.tenant_id\n".to_owned();
    let proxy = Partywall::start(setup).await;
    let token = proxy.signer.tenant("acme");
    let ask = async |path: &str| {
        let ask = Ask::get(path, &[]);
        Client::default().ask(&proxy.url, &ask, Some(&token)).await
    };
    for path in [
        "/usage_metrics",
        "/status/config",
        "/status/overrides",
        "/memberlist",
        "/partition-ring",
        "/live-store/ring",
        "/live-store/prepare-downscale",
        "/distributor/ring",
        "/ingester/ring",
        "/querier/api/search",
        "/flush",
        "/shutdown",
    ] {
        let answer = ask(path).await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
        assert!(gateway.take().is_empty(), "{path} reached the gateway");
    }
    // Pages of Prometheus still pass.
    for path in ["/status", "/graph"] {
        ask(path).await;
        assert_eq!(gateway.take().len(), 1, "{path}");
    }
}
