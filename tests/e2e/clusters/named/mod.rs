//! Clusters by name: who may use which, the list of them, and one query of several.

mod several;

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::kit::grpc::{Call, call};
use crate::kit::partywall::Setup;
use crate::kit::raw::{RawAnswer, exchange, request};
use crate::kit::rig::Rig;
use crate::kit::stage::{FORM, QUERY, SECRET};
use crate::kit::tempo_upstream::TempoUpstream;
use crate::kit::token::Signer;
use crate::kit::upstream::Upstream;

/// May use all clusters.
static STAFF: LazyLock<String> = LazyLock::new(|| of(&json!({"groups": ["staff"]})));
/// May use `us` alone, and one that there is not.
static US_ONLY: LazyLock<String> = LazyLock::new(|| of(&json!({"sites": ["us", "xx"]})));
/// The claim that names clusters is not there.
static NOWHERE: LazyLock<String> = LazyLock::new(|| of(&json!({})));
/// Has all tenants, and so all clusters.
static SRE: LazyLock<String> = LazyLock::new(|| of(&json!({"groups": ["sre"]})));
/// May use all clusters, but has no tenant.
static TENANTLESS: LazyLock<String> =
    LazyLock::new(|| of(&json!({"groups": ["staff"], "tenant_id": null})));

const TENANCY: &str = "claim: tenant_id
  rules: [{when: {claim: groups, values: [sre]}, all_tenants: true}]
  traces: {attribute: resource.tenant_id}";

const CLUSTERS: &str = "
  clusters:
    claim: sites
    rules: [{when: {claim: groups, values: [staff]}, all_clusters: true}]";

/// A token of the tenant `acme`, with further claims.
fn of(claims: &Value) -> String {
    let mut all = json!({"tenant_id": "acme"});
    for (name, value) in claims.as_object().expect("an object") {
        all[name] = value.clone();
    }
    Signer::hs256(SECRET).token(&all)
}

/// A metrics upstream at the root, and the clusters `eu` (both APIs), `us` (metrics) and `traces`.
struct Named {
    rig: Rig,
    eu: Upstream,
    tempo_eu: TempoUpstream,
    us: Upstream,
    tempo: TempoUpstream,
}

impl Named {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let (eu, us) = (Upstream::start().await, Upstream::start().await);
        let (tempo_eu, tempo) = (TempoUpstream::start().await, TempoUpstream::start().await);
        let rig = Rig::start(|config, _| {
            config.tenancy = format!("{TENANCY}{CLUSTERS}");
            let quick = "timeouts: {response_head: 500ms, body_idle: 500ms}";
            config.more = vec![
                format!(
                    "{{name: eu-metrics, api: prometheus, cluster: eu, url: '{}/base', {quick}, \
                     credentials: {{bearer_token: of-eu}}}}",
                    eu.url
                ),
                format!(
                    "{{name: eu-traces, api: tempo, cluster: eu, url: '{}'}}",
                    tempo_eu.url
                ),
                format!(
                    "{{name: us-metrics, api: prometheus, cluster: us, url: '{}', {quick}}}",
                    us.url
                ),
                format!(
                    "{{name: just-traces, api: tempo, cluster: traces, url: '{}', \
                     hosts: [x, partywall, 127.0.0.1]}}",
                    tempo.url
                ),
            ];
            change(config);
        })
        .await;
        Self {
            rig,
            eu,
            tempo_eu,
            us,
            tempo,
        }
    }

    fn authority(&self) -> String {
        self.rig.url().trim_start_matches("http://").to_owned()
    }

    async fn send(&self, method: &str, target: &str, token: &str, body: &str) -> RawAnswer {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("Authorization", bearer.as_str()), FORM];
        headers.retain(|header| !token.is_empty() || *header == FORM);
        headers.retain(|header| !body.is_empty() || *header != FORM);
        let request = request(method, target, &headers, body.as_bytes());
        exchange(&self.authority(), &request).await
    }

    async fn get(&self, target: &str, token: &str) -> RawAnswer {
        self.send("GET", target, token, "").await
    }

    /// Names of those that were asked since the last call, as often as they were.
    fn asked(&self) -> Vec<&'static str> {
        let mut asked = Vec::new();
        for (name, upstream) in [
            ("root", &self.rig.upstream),
            ("eu", &self.eu),
            ("us", &self.us),
        ] {
            asked.extend(upstream.take().iter().map(|_| name));
        }
        for (name, upstream) in [("tempo-eu", &self.tempo_eu), ("tempo", &self.tempo)] {
            asked.extend(upstream.take().iter().map(|_| name));
        }
        asked
    }

    async fn list(&self, token: &str) -> Value {
        let answer = self.get("/clusters", token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let json = answer.json().expect("JSON");
        assert_eq!(json["status"], "success");
        json["data"].clone()
    }
}

#[tokio::test]
async fn a_cluster_is_found_by_its_name_and_confined() {
    let named = Named::start().await;
    let answer = named.get(&format!("/clusters/eu{QUERY}"), &STAFF).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = named.eu.take_one();
    assert_eq!(seen.path(), "/base/api/v1/query");
    assert_eq!(seen.param("query"), [r#"up{tenant_id="acme"}"#]);
    assert_eq!(seen.header("authorization"), Some("Bearer of-eu"));
    let target = "/clusters/eu/api/search?q=%7B%7D&start=1&end=2";
    assert_eq!(named.get(target, &STAFF).await.status, 200);
    assert!(named.tempo_eu.take()[0].param("q")[0].contains("tenant_id"));
    assert_eq!(named.get("/clusters/us/graph", &US_ONLY).await.status, 200);
    assert_eq!(named.get(QUERY, &NOWHERE).await.status, 200);
    assert_eq!(named.asked(), ["root", "us"]);
    let all = named.get(&format!("/clusters/us{QUERY}"), &SRE).await;
    assert_eq!(all.status, 200, "{all:?}");
    assert_eq!(named.us.take_one().param("query"), ["up"]);
}

/// Whatever is asked, and however: the answers are alike in every byte but the date.
#[tokio::test]
async fn forbidden_cluster_looks_like_a_missing_one() {
    let named = Named::start().await;
    let told = |answer: &RawAnswer| {
        let lines = answer.head.lines();
        let head: Vec<_> = lines
            .filter(|line| !line.to_ascii_lowercase().starts_with("date:"))
            .map(str::to_owned)
            .collect();
        (head, answer.text())
    };
    let (us_only, tenantless) = (US_ONLY.as_str(), TENANTLESS.as_str());
    for suffix in [
        "",
        "/",
        QUERY,
        "/api/v1/query",
        "/api/v1/series",
        "/api/v1/status/config",
        "/api/v1/admin/tsdb/snapshot",
        "/api/search?q=%7B%7D",
        "/api/traces/1",
        "/api/traces/zz",
        "/api/overrides",
        "/graph",
        "/-/ready",
        "/-/healthy",
        "/metrics",
        "/x/api/v1/query",
        "/tempopb.StreamingQuerier/Search",
        "/tempopb.Pusher/PushBytes",
        "/api/v1/query%2f",
        "/../us/api/v1/query",
        "//api/v1/query",
        "%2fapi",
        ";x/api",
    ] {
        for (method, body) in [("GET", ""), ("POST", "query=up"), ("DELETE", "")] {
            for token in [us_only, tenantless, &NOWHERE, "", "no.good.token"] {
                let hidden = format!("/clusters/eu{suffix}");
                let hidden = named.send(method, &hidden, token, body).await;
                // The token says that it may use this one.
                let absent = format!("/clusters/xx{suffix}");
                let absent = named.send(method, &absent, token, body).await;
                let what = format!("{method} …{suffix}, {token}");
                assert_eq!(told(&hidden), told(&absent), "{what}");
                assert!(
                    matches!(hidden.status, 400 | 401 | 403),
                    "{what}: {hidden:?}"
                );
                assert_eq!(hidden.status, absent.status, "{what}");
            }
        }
    }
    for odd in ["EU", "%65u", "eu%20", "e", "euu", "eu.", "..", "."] {
        let target = format!("/clusters/{odd}{QUERY}");
        let odd = named.get(&target, us_only).await;
        let absent = named.get(&format!("/clusters/xx{QUERY}"), us_only).await;
        assert_eq!(told(&odd), told(&absent), "{target}");
    }
    assert!(named.asked().is_empty());
    let refused = r#"partywall_refusals_total{route="query",reason="no_cluster"}"#;
    assert!(
        named.rig.metric(refused).await > 0.5,
        "the operator sees it"
    );
}

#[tokio::test]
async fn a_path_that_only_seems_to_be_below_is_refused_whatever_clusters_there_are() {
    let named = Named::start().await;
    for target in [
        "/Clusters",
        "/CLUSTERS/eu/api/v1/query?query=up",
        "/CLUSTERS/xx/api/v1/query?query=up",
        "//clusters/eu/graph",
        "//clusters/xx/graph",
        "/%63lusters",
        "/clusters%2feu/graph",
        "/x/../clusters/eu/graph",
        "/clusters;x/eu/graph",
    ] {
        let answer = named.get(target, &STAFF).await;
        assert_eq!(answer.status, 400, "{target}: {answer:?}");
    }
    assert_eq!(named.get("/clustersx", &STAFF).await.status, 200);
    assert_eq!(named.asked(), ["root"]);
}

#[tokio::test]
async fn the_list_is_of_those_that_the_token_may_use() {
    let named = Named::start().await;
    let cluster = |name: &str, apis: &[&str]| json!({"name": name, "apis": apis, "prefix": format!("/clusters/{name}")});
    let all = json!([
        cluster("eu", &["prometheus", "tempo"]),
        cluster("traces", &["tempo"]),
        cluster("us", &["prometheus"]),
    ]);
    assert_eq!(named.list(&STAFF).await, all);
    assert_eq!(named.list(&SRE).await, all);
    assert_eq!(
        named.list(&US_ONLY).await,
        json!([cluster("us", &["prometheus"])])
    );
    assert_eq!(named.list(&NOWHERE).await, json!([]));
    // A claim of another type is no list of clusters.
    assert_eq!(
        named.list(&of(&json!({"sites": {"eu": true}}))).await,
        json!([])
    );
    for (method, token, status) in [
        ("GET", "", 401),
        ("POST", STAFF.as_str(), 405),
        ("GET", TENANTLESS.as_str(), 403),
    ] {
        let answer = named.send(method, "/clusters", token, "").await;
        assert_eq!(answer.status, status, "{method} {answer:?}");
        assert!(!answer.text().contains("eu"), "{answer:?}");
    }
    assert!(named.asked().is_empty());
}

#[tokio::test]
async fn without_rules_every_token_may_use_every_cluster() {
    let named = Named::with(|config| config.tenancy = TENANCY.to_owned()).await;
    assert_eq!(named.list(&NOWHERE).await.as_array().unwrap().len(), 3);
    let answer = named.get(&format!("/clusters/eu{QUERY}"), &NOWHERE).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(named.asked(), ["eu"]);
}

/// Streams come by host; a name that they do not say still decides.
#[tokio::test]
async fn grpc_by_host_is_authorized_for_the_cluster() {
    let named = Named::start().await;
    let tags = Call::framed("/tempopb.StreamingQuerier/SearchTagsV2", vec![0; 5].into());
    let answer = call(&named.rig.url(), &tags, Some(&US_ONLY)).await;
    assert_eq!(answer.code(), 7, "{answer:?}");
    assert!(
        answer.message().contains("no such cluster"),
        "{}",
        answer.message()
    );
    assert!(named.asked().is_empty());
    call(&named.rig.url(), &tags, Some(&STAFF)).await;
    let asked = named.asked();
    assert!(
        !asked.is_empty() && asked.iter().all(|one| *one == "tempo"),
        "{asked:?}"
    );
}

/// Even where pages require no token: a client without one may use no cluster.
#[tokio::test]
async fn pages_of_a_cluster_always_need_a_token() {
    let named = Named::with(|config| config.rest += "passthrough: {authentication: none}\n").await;
    assert_eq!(named.get("/graph", "").await.status, 200);
    for page in [
        "/clusters/eu/graph",
        "/clusters/xx/graph",
        "/clusters/eu",
        "/clusters",
    ] {
        assert_eq!(named.get(page, "").await.status, 401, "{page}");
    }
    assert_eq!(named.asked(), ["root"]);
}

/// Names that are not configured mean nothing.
#[tokio::test]
async fn clusters_path_is_reserved_only_if_clusters_have_names() {
    let rig = Rig::start(|_, _| {}).await;
    let bearer = format!("Bearer {}", *STAFF);
    for (target, sent) in [
        ("/clusters", "/clusters"),
        ("/clusters/eu/graph", "/clusters/eu/graph"),
        ("/api/v1/query?cluster=eu&query=1", "/api/v1/query?query=1"),
    ] {
        let request = request("GET", target, &[("Authorization", &bearer)], b"");
        let answer = exchange(rig.url().trim_start_matches("http://"), &request).await;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        assert_eq!(rig.upstream.take_one().target, sent);
    }
}
