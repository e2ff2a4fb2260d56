//! Several upstreams of one API: by path prefix, by host, and with the law of the root.

use crate::kit::client::Answer;
use crate::kit::grpc::{Call, call};
use crate::kit::raw::{RawAnswer, exchange, request};
use crate::kit::rig::{ACME, Rig};
use crate::kit::stage::VECTOR;
use crate::kit::tempo_upstream::{TempoReply, TempoUpstream};
use crate::kit::upstream::{Reply, Upstream};

/// Defaults of both APIs, a cluster of both below `/clusters/eu`, one of metrics for the host
/// `us.test`.
struct Clusters {
    rig: Rig,
    tempo: TempoUpstream,
    eu: Upstream,
    tempo_eu: TempoUpstream,
    us: Upstream,
}

impl Clusters {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Further keys of the Tempo of `/clusters/eu`.
    async fn with(tempo_eu_options: &[&str]) -> Self {
        let (eu, us) = (Upstream::start().await, Upstream::start().await);
        let (tempo, tempo_eu) = (TempoUpstream::start().await, TempoUpstream::start().await);
        let rig = Rig::start(|config, _| {
            config.tenancy =
                "claim: tenant_id\n  traces: {attribute: resource.tenant_id}".to_owned();
            let prefix = "path_prefix: /clusters/eu";
            let further = tempo_eu_options
                .iter()
                .fold(String::new(), |all, key| all + ", " + key);
            config.more = vec![
                format!("{{name: tempo, api: tempo, url: '{}'}}", tempo.url),
                format!(
                    "{{name: eu, api: prometheus, url: '{}/base', {prefix}, \
                     credentials: {{bearer_token: of-eu}}}}",
                    eu.url
                ),
                format!(
                    "{{name: tempo-eu, api: tempo, url: '{}', {prefix}{further}, \
                     credentials: {{basic: {{username: u, password: p}}}}}}",
                    tempo_eu.url
                ),
                format!(
                    "{{name: us, api: prometheus, url: '{}', hosts: [us.test]}}",
                    us.url
                ),
            ];
        })
        .await;
        Self {
            rig,
            tempo,
            eu,
            tempo_eu,
            us,
        }
    }

    async fn get(&self, host: &str, target: &str) -> RawAnswer {
        self.send("GET", host, target, &[], b"").await
    }

    async fn send(
        &self,
        method: &str,
        host: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> RawAnswer {
        let bearer = format!("Bearer {}", *ACME);
        let mut all = vec![("Authorization", bearer.as_str())];
        all.extend(headers);
        let bytes = request(method, target, &all, body);
        let text = String::from_utf8(bytes).unwrap();
        let (before, after) = text.split_once("Host: ").unwrap();
        let (_, after) = after.split_once("\r\n").unwrap();
        let text = format!("{before}Host: {host}\r\n{after}");
        exchange(
            self.rig.url().trim_start_matches("http://"),
            text.as_bytes(),
        )
        .await
    }

    /// Names of those that were asked since the last call, as often as they were.
    fn asked(&self) -> Vec<&'static str> {
        let mut asked = Vec::new();
        for (name, upstream) in [
            ("default", &self.rig.upstream),
            ("eu", &self.eu),
            ("us", &self.us),
        ] {
            asked.extend(upstream.take().iter().map(|_| name));
        }
        for (name, upstream) in [("tempo", &self.tempo), ("tempo-eu", &self.tempo_eu)] {
            asked.extend(upstream.take().iter().map(|_| name));
        }
        asked
    }
}

const QUERY: &str = "/api/v1/query?query=up";

#[tokio::test]
async fn requests_go_to_their_cluster_confined() {
    let clusters = Clusters::start().await;
    for (host, target, path, upstream, credentials) in [
        (
            "x",
            QUERY.to_owned(),
            "/api/v1/query",
            &clusters.rig.upstream,
            None,
        ),
        (
            "x",
            format!("/clusters/eu{QUERY}"),
            "/base/api/v1/query",
            &clusters.eu,
            Some("Bearer of-eu"),
        ),
        (
            "US.test:8080",
            QUERY.to_owned(),
            "/api/v1/query",
            &clusters.us,
            None,
        ),
        (
            "us.test",
            format!("/clusters/eu{QUERY}"),
            "/base/api/v1/query",
            &clusters.eu,
            Some("Bearer of-eu"),
        ),
    ] {
        let answer = clusters.get(host, &target).await;
        assert_eq!(answer.status, 200, "{host} {target}: {answer:?}");
        let seen = upstream.take_one();
        assert_eq!(seen.path(), path, "{host} {target}");
        assert_eq!(seen.param("query"), [r#"up{tenant_id="acme"}"#]);
        assert_eq!(seen.header("authorization"), credentials);
        assert!(clusters.asked().is_empty(), "no other is asked");
    }
    // The remembered query of one cluster is good for the other: both were confined alike.
    let hits = r#"partywall_rewrite_cache_lookups_total{result="hit"}"#;
    assert!(clusters.rig.metric(hits).await > 2.5);
    let answered = r#"partywall_upstream_requests_total{upstream="eu",result="answered"}"#;
    assert!((clusters.rig.metric(answered).await - 2.0).abs() < 0.1);
}

#[tokio::test]
async fn the_table_is_as_closed_below_a_prefix() {
    let clusters = Clusters::start().await;
    for target in [
        "/clusters/eu/api/v1/status/config",
        "/clusters/eu/api/v1/admin/tsdb/delete_series",
        "/clusters/eu/api/v1/unknown",
        "/clusters/eu/api/v1/query%2f",
        "/clusters/eu/metrics",
        "/clusters/eu/debug/pprof",
        "/clusters/eu/-/reload",
        "/clusters/eu/API/v1/query?query=up",
        "/clusters/eu/x/api/v1/query?query=up",
        "/clusters/eu/clusters/eu/api/v1/query?query=up",
        "/clusters/eu/api/overrides",
        "/clusters/eu/querier/api/search",
        "/clusters/eu/flush",
        "/clusters/us/api/v1/query?query=up",
        "/clusters/eu/../../api/v1/query?query=up",
        "/clusters/eu/%2e%2e/%2e%2e/api/v1/query?query=up",
        "/clusters/%65u/api/v1/query?query=up",
        "/clusters%2feu/api/v1/query?query=up",
        "/clusters/EU/api/v1/query?query=up",
        "/clusters/EU/graph",
        "//clusters/eu/graph",
        "/clusters/eu;x/graph",
        "/clusters/eu/api/v1/query?query=up{",
        "/clusters/eu/api/v1/query?query=up&storeMatch[]={}",
        "/clusters/eu/api/v1/labels?match[]={",
    ] {
        let answer = clusters.get("x", target).await;
        assert!(matches!(answer.status, 400 | 403), "{target}: {answer:?}");
        assert!(clusters.asked().is_empty(), "{target}");
    }
    // Errors speak the language of the API that was asked.
    let json = clusters.get("x", "/clusters/eu/api/v1/unknown").await;
    assert!(json.json().is_some(), "{json:?}");
    let plain = clusters.get("x", "/clusters/eu/api/overrides").await;
    assert!(
        plain.json().is_none() && !plain.text().is_empty(),
        "{plain:?}"
    );
    let no_token = request("GET", "/clusters/eu/api/v1/query?query=up", &[], b"");
    let answer = exchange(clusters.rig.url().trim_start_matches("http://"), &no_token).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn answers_are_filtered_below_a_prefix_too() {
    let clusters = Clusters::start().await;
    let alerts = |tenant: &str| {
        format!(
            r#"{{"labels":{{"alertname":"a","tenant_id":"{tenant}"}},"annotations":{{}},"state":"firing","activeAt":"2026-01-01T00:00:00Z","value":"1"}}"#
        )
    };
    clusters.eu.reply(Reply::json(&format!(
        r#"{{"status":"success","data":{{"groups":[{{"rules":[{{"type":"alerting","query":"up","health":"ok","labels":{{}},"alerts":[{},{}]}}]}}]}}}}"#,
        alerts("acme"),
        alerts("globex")
    )));
    let answer = clusters.get("x", "/clusters/eu/api/v1/alerts").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer.text().contains("acme") && !answer.text().contains("globex"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_form_goes_the_same_way() {
    let clusters = Clusters::start().await;
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let target = "/clusters/eu/api/v1/query";
    let answer = clusters.send("POST", "x", target, &form, b"query=up").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = clusters.eu.take_one();
    assert_eq!(seen.param("query"), [r#"up{tenant_id="acme"}"#]);
}

#[tokio::test]
async fn searches_and_their_side_requests_go_to_one_tempo() {
    let clusters = Clusters::start().await;
    let answer = clusters
        .get("x", "/clusters/eu/api/search?q=%7B%7D&start=1&end=2")
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = clusters.tempo_eu.take();
    let searches = seen.iter().filter(|seen| seen.path() == "/api/search");
    // The search, two for the caller's own spans, one for the owners of what is left.
    assert_eq!(searches.count(), 4, "{seen:#?}");
    for seen in seen {
        assert_eq!(seen.header("authorization"), Some("Basic dTpw"));
        let is_trace = seen.path().starts_with("/api/traces/");
        assert!(
            is_trace || seen.param("q")[0].contains("tenant_id"),
            "{seen:?}"
        );
    }
    assert!(clusters.asked().is_empty());
    let trace = "/api/v2/traces/0abc0000000000000000000000000001";
    let answer = clusters.get("x", &format!("/clusters/eu{trace}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(clusters.asked(), ["tempo-eu"]);
}

#[tokio::test]
async fn pages_go_to_the_metrics_and_redirects_come_back_below_the_prefix() {
    let clusters = Clusters::start().await;
    let redirect = |to: &str| {
        let mut reply = Reply::json("");
        reply.status = 302;
        reply.headers = vec![("location", to.to_owned())];
        reply
    };
    let eu = clusters.eu.url.clone();
    for (location, expected) in [
        ("/base/graph?a=b", "/clusters/eu/graph?a=b"),
        (&format!("{eu}/base/graph"), "/clusters/eu/graph"),
        ("/base", "/clusters/eu/"),
    ] {
        clusters.eu.reply(redirect(location));
        let answer = clusters.get("x", "/clusters/eu").await;
        assert_eq!(answer.status, 302, "{answer:?}");
        assert_eq!(answer.header("location"), Some(expected));
        assert_eq!(clusters.eu.take_one().target, "/base/");
    }
    for elsewhere in ["/graph", "http://127.0.0.1:1/base/graph", "//evil/base"] {
        clusters.eu.reply(redirect(elsewhere));
        let answer = clusters.get("x", "/clusters/eu/graph").await;
        assert_eq!(answer.status, 502, "{elsewhere}: {answer:?}");
        clusters.eu.take();
    }
    clusters.eu.reply(Reply::json(VECTOR));
    let answer = clusters.get("x", "/clusters/eu/static/a%2Fb?c=d").await;
    assert_eq!(answer.status, 200);
    assert_eq!(clusters.eu.take_one().target, "/base/static/a%2Fb?c=d");
    assert_eq!(clusters.get("us.test", "/graph").await.status, 200);
    assert_eq!(clusters.asked(), ["us"]);
}

const SEARCH_TAGS: &str = "/tempopb.StreamingQuerier/SearchTagsV2";

/// For one scope, which takes one request.
fn tags() -> Call {
    Call::framed(SEARCH_TAGS, b"\0\0\0\0\x06\x0a\x04span".to_vec().into())
}

/// Data sources drop the prefix from gRPC. A stream that two clusters might be meant by gets no
/// answer rather than a wrong one.
#[tokio::test]
async fn grpc_without_a_host_of_its_own_is_refused() {
    let clusters = Clusters::start().await;
    let answer = call(&clusters.rig.url(), &tags(), Some(&ACME)).await;
    assert_eq!(answer.code(), 7, "{answer:?}");
    assert!(answer.message().contains("hosts"), "{}", answer.message());
    assert!(clusters.asked().is_empty());
    // A client that keeps the prefix is unambiguous.
    let mut kept = tags();
    kept.path = format!("/clusters/eu{SEARCH_TAGS}");
    clusters
        .tempo_eu
        .reply(SEARCH_TAGS, TempoReply::grpc(&[Vec::new()], 0, ""));
    let answer = call(&clusters.rig.url(), &kept, Some(&ACME)).await;
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert_eq!(clusters.asked(), ["tempo-eu"]);
}

#[tokio::test]
async fn grpc_goes_by_host() {
    // What the client of this test calls itself is `127.0.0.1`.
    let clusters = Clusters::with(&["hosts: [127.0.0.1]"]).await;
    for upstream in [&clusters.tempo, &clusters.tempo_eu] {
        upstream.reply(SEARCH_TAGS, TempoReply::grpc(&[Vec::new()], 0, ""));
    }
    let answer = call(&clusters.rig.url(), &tags(), Some(&ACME)).await;
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert_eq!(clusters.asked(), ["tempo-eu"]);
    let localhost = clusters.rig.url().replace("127.0.0.1", "localhost");
    let answer = call(&localhost, &tags(), Some(&ACME)).await;
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert_eq!(clusters.asked(), ["tempo"]);
}

#[tokio::test]
async fn without_a_default_unknown_hosts_are_refused() {
    let rig = Rig::start(|config, _| {
        config.upstream_options = vec!["hosts: [eu.test]".to_owned()];
    })
    .await;
    let no_upstream = |answer: &Answer| {
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.text().contains("host"), "{}", answer.text());
    };
    no_upstream(&rig.ask(&ACME).await);
    no_upstream(&rig.ask_below("/clusters/eu", &ACME).await);
    assert!(rig.upstream.take().is_empty());
    let refused = r#"partywall_refusals_total{route="none",reason="no_upstream"}"#;
    assert!((rig.metric(refused).await - 2.0).abs() < 0.1);
}

/// Both are moved at once; each answer is of the one or of the other.
#[tokio::test]
async fn a_reload_moves_a_cluster() {
    let other = Upstream::start().await;
    let mut rig = Rig::start(|config, _| {
        config.upstream_options = vec!["path_prefix: /a".to_owned()];
        config.more = vec![format!(
            "{{name: other, api: prometheus, url: '{}', path_prefix: /b}}",
            other.url
        )];
        config.unwatched();
    })
    .await;
    assert_eq!(rig.ask_below("/a", &ACME).await.status, 200);
    assert_eq!((rig.upstream.take().len(), other.take().len()), (1, 0));
    rig.config.upstream_options = vec!["path_prefix: /b".to_owned()];
    rig.config.more[0] = rig.config.more[0].replace("/b", "/a");
    rig.rewrite();
    assert_eq!(rig.post_reload().await.status, 200);
    assert_eq!(rig.ask_below("/a", &ACME).await.status, 200);
    assert_eq!((rig.upstream.take().len(), other.take().len()), (0, 1));
}
