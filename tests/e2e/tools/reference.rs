//! The API reference, held against what the real binary does: every operation of it is served as
//! it says, and what it does not name is not.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::Value;

use crate::kit::client::{Answer, Client, escape};
use crate::kit::grpc::{Call, call, frame};
use crate::kit::partywall::{Partywall, Setup, Tempo};
use crate::kit::tempo_data;
use crate::kit::tempo_upstream::TempoUpstream;
use crate::kit::upstream::Upstream;

/// A status of gRPC.
const UNIMPLEMENTED: u8 = 12;

struct Rig {
    _metrics: Upstream,
    _traces: TempoUpstream,
    proxy: Partywall,
    token: String,
}

impl Rig {
    async fn open() -> Self {
        let (metrics, traces) = (Upstream::start().await, TempoUpstream::start().await);
        let mut setup = Setup::new(&metrics.url);
        setup.tempo = Some(Tempo {
            url: traces.url.clone(),
            tenancy: format!("attribute: resource.{}", tempo_data::ATTRIBUTE),
            options: Vec::new(),
        });
        // What a stand-in of Prometheus answers is no answer of Alertmanager; it is asked.
        setup.more = vec![format!(
            "{{name: alerts, api: alertmanager, url: {}}}",
            metrics.url
        )];
        let proxy = Partywall::start(setup).await;
        let token = proxy.signer.tenant("acme");
        Self {
            _metrics: metrics,
            _traces: traces,
            proxy,
            token,
        }
    }

    async fn document(&self) -> Value {
        self.admin("GET", "/-/api/openapi.json").await.json()
    }

    async fn admin(&self, method: &str, path: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.proxy.admin))
            .body(Full::default())
            .expect("a request");
        Client::default().send(request).await
    }

    async fn send(&self, method: &str, target: &str, body: (&str, Bytes)) -> Answer {
        let (content_type, body) = body;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{target}", self.proxy.url))
            .header("authorization", format!("Bearer {}", self.token));
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Full::from(body)).expect("a request");
        Client::default().send(request).await
    }

    /// How often a route was decided on so.
    async fn decided(&self, route: &str, decision: &str) -> bool {
        let metrics = self.admin("GET", "/metrics").await.text();
        let series =
            format!("partywall_decisions_total{{route=\"{route}\",decision=\"{decision}\"}} ");
        let mut lines = metrics.lines();
        lines.any(|line| line.strip_prefix(&series).is_some_and(|count| count != "0"))
    }
}

/// An operation of the document.
struct Operation<'d> {
    method: String,
    path: &'d str,
    /// The route, as metrics name it.
    route: String,
    what: &'d Value,
}

impl Operation<'_> {
    fn is_of_admin(&self) -> bool {
        self.what["tags"][0] == "Admin"
    }

    /// The path with names in it, and what must be given.
    fn request(&self) -> (String, (&'static str, Bytes)) {
        let id = match self.route.as_str() {
            "silence" => "00000000-0000-4000-8000-000000000000",
            _ => "1",
        };
        let path = self.path.replace("{name}", "job").replace("{id}", id);
        let tag = if path.starts_with("/api/v2/") {
            ".x"
        } else {
            "x"
        };
        let path = path.replace("{tag}", tag);
        let (form, post) = ("application/x-www-form-urlencoded", self.method == "POST");
        match self.route.as_str() {
            // A `ReadRequest` without queries, in snappy.
            "read" => return (path, ("application/x-protobuf", Bytes::from_static(&[0]))),
            "trace_diff" => {
                let body = r#"{"base": {"traceId": "1"}, "compare": {"traceId": "2"}}"#;
                return (path, ("application/json", body.into()));
            }
            "alertmanager_alerts" if post => return (path, ("application/json", "[]".into())),
            "silences" if post => {
                let body = r#"{"matchers": [{"name": "a", "value": "b"}]}"#;
                return (path, ("application/json", body.into()));
            }
            _ => {}
        }
        let listed = self.what["parameters"].as_array();
        let mut required: Vec<&str> = listed
            .into_iter()
            .flatten()
            .filter(|one| one["in"] == "query" && one["required"] == true)
            .map(|one| one["name"].as_str().expect("a name"))
            .collect();
        let in_form = &self.what["requestBody"]["content"][form]["schema"]["required"];
        let in_form = in_form.as_array().into_iter().flatten();
        required.extend(in_form.map(|name| name.as_str().expect("a name")));
        if path.starts_with("/api/metrics/") {
            required.push("q");
        }
        let pairs = required.into_iter().map(|name| {
            let value = match name {
                "q" => "{} | rate()",
                "query" | "match[]" => "up",
                _ => "1",
            };
            format!("{}={}", escape(name), escape(value))
        });
        let pairs = pairs.collect::<Vec<_>>().join("&");
        match post {
            true => (path, (form, pairs.into())),
            false if pairs.is_empty() => (path, ("", Bytes::new())),
            false => (format!("{path}?{pairs}"), ("", Bytes::new())),
        }
    }
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    const METHODS: [&str; 5] = ["get", "head", "post", "put", "delete"];
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in METHODS {
            if let Some(what) = item.get(method) {
                let id = what["operationId"].as_str().expect("an id");
                let route = id.strip_suffix(&format!("_{method}")).unwrap_or(id);
                all.push(Operation {
                    method: method.to_uppercase(),
                    path,
                    route: route.to_owned(),
                    what,
                });
            }
        }
    }
    all
}

#[tokio::test]
async fn every_operation_is_served_and_decided_on_as_documented() {
    let rig = Rig::open().await;
    let document = rig.document().await;
    let all = operations(&document);
    assert!(all.len() > 40, "only {}", all.len());
    for operation in all.iter().filter(|one| !one.is_of_admin()) {
        let (target, body) = operation.request();
        let what = format!("{} {target}", operation.method);
        let answer = rig.send(&operation.method, &target, body).await;
        let (status, text) = (answer.status.as_u16(), answer.text());
        // What the stand-ins answer is not always right; what counts is that they were asked.
        let is_missing = status == 404 && !["trace", "silence"].contains(&&*operation.route);
        assert!(!is_missing && status != 405, "{what}: {status} {text}");
        assert!(!text.contains("endpoint"), "{what}: {status} {text}");
        let decision = operation.what["x-tenancy"].as_str().expect("a decision");
        let is_change = operation.route == "silence" && operation.method == "DELETE";
        if operation.route == "trace_diff" || is_change {
            // Neither trace is the caller's, nor is the silence.
            assert!(matches!(status, 403 | 404 | 502), "{what}: {status} {text}");
            continue;
        }
        assert!(
            rig.decided(&operation.route, decision).await,
            "{what} is not {decision}: {status} {text}"
        );
    }
}

#[tokio::test]
async fn methods_are_those_that_are_documented() {
    let rig = Rig::open().await;
    let document = rig.document().await;
    let mut methods: BTreeMap<(bool, String), Vec<String>> = BTreeMap::new();
    for operation in operations(&document) {
        let (target, _) = operation.request();
        let path = target.split('?').next().unwrap_or_default().to_owned();
        let all = methods.entry((operation.is_of_admin(), path)).or_default();
        all.push(operation.method);
    }
    for ((is_of_admin, path), expected) in methods {
        let answer = if is_of_admin {
            rig.admin("PATCH", &path).await
        } else {
            rig.send("PATCH", &path, ("", Bytes::new())).await
        };
        assert_eq!(answer.status, 405, "{path}: {}", answer.text());
        // The traces API takes HEAD and POST for GET, which its description says.
        let is_of_alerts = ["alerts", "silence", "receivers", "status"]
            .iter()
            .any(|call| path.starts_with(&format!("/api/v2/{call}")));
        let is_of_traces = !is_of_admin
            && !is_of_alerts
            && ((path.starts_with("/api/") && !path.starts_with("/api/v1/")) || path == "/ready");
        let expected = match expected.join(", ").as_str() {
            "GET" if is_of_traces => "GET, HEAD, POST".to_owned(),
            documented => documented.to_owned(),
        };
        assert_eq!(answer.header("allow"), expected, "{path}");
    }
}

#[tokio::test]
async fn undocumented_paths_are_not_served() {
    let rig = Rig::open().await;
    let document = rig.document().await;
    let groups = document["x-closed"].as_array().expect("groups");
    let closed = groups.iter().flat_map(|group| {
        let paths = group["paths"].as_array().expect("paths");
        paths.iter().map(|path| path.as_str().expect("a path"))
    });
    let others = [
        "/api/v1/nope",
        "/api/v1/nope/",
        "/api/nope",
        "/api/v3/search",
        "/-/api",
        "/-/api/openapi.json",
        "/-/explain",
    ];
    for path in closed.chain(others) {
        let answer = rig.send("GET", path, ("", Bytes::new())).await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
    let served = document["x-grpc"].as_array().expect("calls");
    assert_eq!(served.len(), 8);
    let code = async |path: &str| {
        let call_of = Call::framed(path, frame(0, &[]));
        call(&rig.proxy.url, &call_of, Some(&rig.token))
            .await
            .code()
    };
    for call in served {
        let path = call["path"].as_str().expect("a path");
        // Search and metrics want a query.
        assert_ne!(code(path).await, UNIMPLEMENTED, "{path}");
    }
    for path in [
        "/tempopb.Querier/FindTraceByID",
        "/grpc.health.v1.Health/Watch",
    ] {
        assert_eq!(code(path).await, UNIMPLEMENTED, "{path}");
    }
}

#[tokio::test]
async fn admin_address_serves_the_documented_endpoints() {
    let rig = Rig::open().await;
    let document = rig.document().await;
    let all = operations(&document);
    let of_admin: Vec<_> = all.iter().filter(|one| one.is_of_admin()).collect();
    assert!(of_admin.len() >= 15, "{}", of_admin.len());
    for operation in of_admin {
        let (path, method) = (operation.path, &operation.method);
        let answer = rig.admin(method, path).await;
        let status = answer.status.as_u16();
        // Without a `cache` there is nothing to flush, and that is documented too.
        let is_known = status != 404 || path == "/-/cache/flush";
        assert!(is_known && status != 405, "{method} {path}: {status}");
        let responses = operation.what["responses"].as_object().expect("responses");
        let documented = responses.get(&status.to_string());
        let documented = documented.unwrap_or_else(|| panic!("{method} {path}: {status}"));
        let content = documented["content"].as_object().expect("a content");
        let is = answer.header("content-type").split(';').next();
        assert!(
            content
                .keys()
                .any(|media_type| Some(media_type.as_str()) == is),
            "{method} {path}: {is:?}"
        );
    }
    let listed = rig.admin("GET", "/-/nope").await;
    assert_eq!(listed.status, 404);
    let listed = listed.text();
    for operation in all.iter().filter(|one| one.is_of_admin()) {
        assert!(
            listed.contains(operation.path),
            "{}: {listed}",
            operation.path
        );
    }
}

#[tokio::test]
async fn the_page_lists_every_operation_and_runs_and_loads_nothing() {
    let rig = Rig::open().await;
    let page = rig.admin("GET", "/-/api").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy").to_owned();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(
        !policy.contains("script") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    let html = page.text();
    let document = rig.document().await;
    for operation in operations(&document) {
        let section = format!("<section id=\"{}\">", operation.route);
        assert!(html.contains(&section), "{section}");
        let path = format!("<code>{}</code>", operation.path);
        assert!(html.contains(&path), "{path}");
    }
    for call in document["x-grpc"].as_array().expect("calls") {
        assert!(html.contains(call["path"].as_str().expect("a path")));
    }
    // Links lead away when somebody follows them; nothing else names another place.
    let parts: Vec<&str> = html.split("http").collect();
    let (_, before) = parts.split_last().expect("a page");
    for before in before {
        assert!(before.ends_with("<a href=\""), "{before}");
    }
    for loading in ["src=", "<script", "<link", "<iframe", "url(", "@import"] {
        assert!(!html.contains(loading), "{loading}");
    }
    let head = rig.admin("HEAD", "/-/api").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-security-policy"), policy);
}
