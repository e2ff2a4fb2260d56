//! `partywall doctor`: what is well is said to be, and what is not is found.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::client::{Ask, Client};
use crate::kit::process::free_port;
use crate::kit::prometheus::{Extras, Prometheus};
use crate::kit::tempo_upstream::{TempoReply, TempoUpstream};
use crate::kit::token::{AUDIENCE, ISSUER, Signer};
use crate::kit::tool::{Said, run};
use crate::kit::upstream::{Behaviour, Reply, Upstream};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const PASSWORD: &str = "pass-word-of-the-upstream";

/// A config in front of one upstream.
struct Config {
    dir: TempDir,
}

impl Config {
    /// `upstream` and `issuer` are the inside of flow mappings.
    fn new(upstream: &str, issuer: &str, tenancy: &str) -> Self {
        let dir = TempDir::new().expect("a directory");
        let text = format!(
            "\
listeners: [{{address: 127.0.0.1:8080}}]
upstreams: [{{name: store, {upstream}}}]
tokens:
  issuers: [{{issuer: {ISSUER}, audiences: [{AUDIENCE}], algorithms: [HS256], max_lifetime: 24h, {issuer}}}]
tenancy:
  claim: tenant_id
{tenancy}"
        );
        std::fs::write(dir.path().join("p.yaml"), text).expect("a file");
        Self { dir }
    }

    fn metrics(url: &str, rest: &str) -> Self {
        let upstream = format!("api: prometheus, url: {url}{rest}");
        let tenancy = "  metrics: {label: tenant_id}\n";
        Self::new(&upstream, &format!("hmac_secret: {SECRET}"), tenancy)
    }

    fn traces(url: &str, tenancy: &str) -> Self {
        let upstream = format!("api: tempo, url: {url}");
        let tenancy = format!("  traces: {{{tenancy}}}\n");
        Self::new(&upstream, &format!("hmac_secret: {SECRET}"), &tenancy)
    }

    async fn doctor(&self, args: &[&str]) -> Said {
        self.doctor_reads(args, "").await
    }

    /// Off the runtime that the stubs run on.
    async fn doctor_reads(&self, args: &[&str], input: &str) -> Said {
        let path = self.dir.path().join("p.yaml").display().to_string();
        let mut all = vec!["doctor".to_owned(), "--config".to_owned(), path];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        let input = input.to_owned();
        let said = tokio::task::spawn_blocking(move || run(&all, &input))
            .await
            .expect("an end");
        for secret in [SECRET, PASSWORD] {
            assert!(!said.out.contains(secret) && !said.err.contains(secret));
        }
        said
    }
}

/// The verdict on a check, as `ok`, and its text.
#[track_caller]
fn verdict<'s>(said: &'s Said, check: &str) -> (&'s str, &'s str) {
    let middle = format!(": {check}: ");
    let line = said.out.lines().find(|line| line.contains(&middle));
    let line = line.unwrap_or_else(|| panic!("nothing about {check}: {said:#?}"));
    let (head, text) = line.split_once(&middle).expect("found above");
    let word = head.split_whitespace().next().expect("a word");
    (word, text)
}

/// A Prometheus that scrapes itself, once with the label and, if told so, once without.
async fn prometheus(rules: &str, bad: bool) -> Prometheus {
    let other = Prometheus::with_extras("scraped", &Extras::default()).await;
    let target = other.url.trim_start_matches("http://").to_owned();
    let mut scrape = format!(
        "scrape_configs:\n- job_name: good\n  static_configs: [{{targets: ['{target}'], labels: \
         {{tenant_id: acme}}}}]\n"
    );
    let mut external = "cluster: eu".to_owned();
    if bad {
        let bad = format!("- job_name: bad\n  static_configs: [{{targets: ['{target}']}}]\n");
        scrape.push_str(&bad);
        external += ", tenant_id: x";
    }
    let extras = Extras {
        scrape_configs: scrape,
        rule_files: vec![("rules.yml".to_owned(), rules.to_owned())],
        external_labels: external,
    };
    let store = Prometheus::with_extras("store", &extras).await;
    until_there(&store, "{job=\"good\"}").await;
    if bad {
        until_there(&store, "{job=\"bad\"}").await;
    }
    let recorded = if bad {
        "count(recorded) == 2"
    } else {
        "recorded"
    };
    until_there(&store, recorded).await;
    store
}

async fn until_there(store: &Prometheus, query: &str) {
    let began = Instant::now();
    let ask = Ask::get("/api/v1/query", &[("query", query)]);
    loop {
        let answer = Client::default().ask(&store.url, &ask, None).await.json();
        if answer["data"]["result"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
        {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "{query}: {answer}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn rules(expression: &str) -> String {
    format!("groups: [{{name: g, rules: [{{record: recorded, expr: '{expression}'}}]}}]\n")
}

#[tokio::test]
async fn a_good_prometheus_is_well() {
    let store = prometheus(&rules("sum by (tenant_id) (up)"), false).await;
    let said = Config::metrics(&store.url, "").doctor(&[]).await;
    assert_eq!(said.code, 0, "{said:#?}");
    for check in [
        "keys",
        "reachable",
        "clock",
        "version",
        "match[] on labels",
        "tenant label",
        "recording rules",
        "replica label",
        "external labels",
        "exposure",
    ] {
        assert_eq!(verdict(&said, check).0, "ok", "{check}: {said:#?}");
    }
    let (_, label) = verdict(&said, "tenant label");
    let (have, rest) = label.split_once(" of ").expect("a share");
    assert!(
        rest.starts_with(&format!("{have} series have `tenant_id`; values: 1")),
        "{label}"
    );
    assert!(
        verdict(&said, "version").1.starts_with("Prometheus "),
        "{said:#?}"
    );
    assert!(said.out.ends_with(" 0 fail, 0 skip\n"), "{said:#?}");
}

#[tokio::test]
async fn data_without_tenants_is_found() {
    let store = prometheus(&rules("sum by (job) (up)"), true).await;
    let said = Config::metrics(&store.url, "").doctor(&[]).await;
    assert_eq!(said.code, 1, "{said:#?}");
    let (word, text) = verdict(&said, "tenant label");
    assert_eq!(word, "warn", "{said:#?}");
    assert!(text.contains("most without it: "), "{text}");
    let recording = (
        "warn",
        "these record series without `tenant_id`: recorded (2)",
    );
    assert_eq!(verdict(&said, "recording rules"), recording, "{said:#?}");
    assert_eq!(verdict(&said, "external labels").0, "fail", "{said:#?}");
    said.assert_says(&["fix: aggregate by it: sum by (tenant_id, …)"]);

    let text = "  metrics: {label: no_such_label}\n";
    let upstream = format!("api: prometheus, url: {}", store.url);
    let config = Config::new(&upstream, &format!("hmac_secret: {SECRET}"), text);
    let said = config.doctor(&[]).await;
    let (word, text) = verdict(&said, "tenant label");
    assert_eq!(word, "fail", "{said:#?}");
    assert!(text.ends_with("no tenant sees anything"), "{text}");
}

/// Thanos writes a Ruler's external labels onto alerts, over what is there.
#[tokio::test]
async fn ruler_with_the_tenant_label_is_found() {
    let store = Upstream::start().await;
    let ruler = |labels: &str| {
        let rule = format!(r#"[{{"name":"ruler:10901","labelSets":[{labels}]}}]"#);
        store.reply(Reply::json(&format!(
            r#"{{"status":"success","data":{{"rule":{rule}}}}}"#
        )));
    };
    let check = "Ruler's external labels";
    for (labels, expected) in [
        (r#"{"replica":"0"}"#, "ok"),
        (r#"{"replica":"0","tenant_id":"acme"}"#, "warn"),
    ] {
        ruler(labels);
        let said = Config::metrics(&store.url, "").doctor(&[]).await;
        assert_eq!(verdict(&said, check).0, expected, "{said:#?}");
    }
}

/// As an old Prometheus, or one behind a cache that drops what it does not know.
#[tokio::test]
async fn a_store_that_ignores_match_is_found() {
    let store = Upstream::start().await;
    store.reply(Reply::json(r#"{"status":"success","data":["up"]}"#));
    let said = Config::metrics(&store.url, "").doctor(&[]).await;
    assert_eq!(said.code, 1, "{said:#?}");
    assert_eq!(verdict(&said, "match[] on labels").0, "fail", "{said:#?}");
    let asked = store.take();
    let nobody = asked.iter().flat_map(|seen| seen.param("match[]"));
    assert!(nobody.count() > 0, "{asked:#?}");
    assert!(
        asked.iter().all(|seen| seen.method == "GET"),
        "it changes nothing: {asked:#?}"
    );
}

#[tokio::test]
async fn unresponsive_upstream_fails_within_its_timeout() {
    let gone = format!("http://127.0.0.1:{}", free_port());
    let said = Config::metrics(&gone, "").doctor(&[]).await;
    assert_eq!(said.code, 1);
    assert_eq!(verdict(&said, "reachable").0, "fail", "{said:#?}");
    assert!(
        verdict(&said, "reachable").1.contains("refused"),
        "{said:#?}"
    );
    assert!(
        !said.out.contains("tenant label"),
        "nothing further is asked: {said:#?}"
    );

    let silent = Upstream::start().await;
    silent.behave(Behaviour::Silent);
    let said = Config::metrics(&silent.url, "")
        .doctor(&["--timeout", "1"])
        .await;
    assert_eq!(
        verdict(&said, "reachable"),
        ("fail", "no answer within 1s"),
        "{said:#?}"
    );
}

#[tokio::test]
async fn credentials_are_shown_where_they_belong_and_nowhere_else() {
    let store = Upstream::start().await;
    let basic = format!(", credentials: {{basic: {{username: u, password: {PASSWORD}}}}}");
    store.reply(Reply {
        status: 401,
        headers: Vec::new(),
        body: "no".into(),
    });
    let said = Config::metrics(&store.url, &basic).doctor(&[]).await;
    let (word, text) = verdict(&said, "reachable");
    assert_eq!((word, said.code), ("fail", 1), "{said:#?}");
    assert!(text.contains("refuses our credentials"), "{text}");
    assert!(
        store
            .take_one()
            .header("authorization")
            .is_some_and(|v| v.starts_with("Basic "))
    );

    let forward = Config::metrics(&store.url, ", credentials: {forward_token: true}");
    let said = forward.doctor(&[]).await;
    assert_eq!(verdict(&said, "reachable").0, "skip", "{said:#?}");
    assert_eq!(store.take().len(), 0);
    let token = Signer::hs256(SECRET).tenant("acme");
    let said = forward.doctor_reads(&["--token-file", "-"], &token).await;
    let shown = store.take_one();
    assert_eq!(
        shown.header("authorization"),
        Some(&*format!("Bearer {token}"))
    );
    assert!(!said.out.contains(&token), "{said:#?}");
    let plain = Config::metrics(&store.url, "");
    plain.doctor_reads(&["--token-file", "-"], &token).await;
    assert_eq!(store.take_one().header("authorization"), None);
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_found() {
    let store = Upstream::start().await;
    let mut reply = Reply::json(r#"{"status":"success","data":[]}"#);
    let date = "Sun, 06 Nov 1994 08:49:37 GMT".to_owned();
    reply.headers.push(("date", date));
    store.reply(reply);
    let said = Config::metrics(&store.url, "").doctor(&[]).await;
    let (word, text) = verdict(&said, "clock");
    assert_eq!(word, "warn", "{said:#?}");
    assert!(text.ends_with(" s behind ours"), "{text}");
}

#[tokio::test]
async fn a_cache_in_between_is_found() {
    let store = Upstream::start().await;
    let plain = Reply::json(r#"{"status":"success","data":[]}"#);
    store.reply(plain.clone());
    let said = Config::metrics(&store.url, "").doctor(&[]).await;
    assert!(!said.out.contains(": cache: "), "{said:#?}");
    for (name, value) in [("age", "7"), ("x-cache", "HIT from squid")] {
        let mut reply = plain.clone();
        reply.headers.push((name, value.to_owned()));
        store.reply(reply);
        for (rest, what) in [
            ("", "in the place of the store"),
            (
                ", credentials: {forward_token: true}",
                "each caller's token differently",
            ),
        ] {
            let token = Signer::hs256(SECRET).tenant("acme");
            let config = Config::metrics(&store.url, rest);
            let said = config.doctor_reads(&["--token-file", "-"], &token).await;
            let (word, text) = verdict(&said, "cache");
            assert_eq!(word, "warn", "{said:#?}");
            assert!(text.contains(&format!("{name}: {value}")), "{text}");
            assert!(text.contains(what), "{text}");
        }
    }
}

#[tokio::test]
async fn keys_and_tokens_are_looked_at() {
    let store = Upstream::start().await;
    let good = Config::metrics(&store.url, "");
    let signer = Signer::hs256(SECRET);
    let said = good
        .doctor_reads(&["--token-file", "-"], &signer.tenant("acme"))
        .await;
    assert_eq!(verdict(&said, "keys"), ("ok", "1 from hmac_secret"));
    assert_eq!(
        verdict(&said, "valid"),
        ("ok", &*format!("`tester` of {ISSUER}"))
    );
    assert_eq!(verdict(&said, "tenants"), ("ok", "acme"));
    let issued = verdict(&said, "issued");
    assert!(
        issued.0 == "ok" && issued.1.ends_with(" s ago"),
        "{said:#?}"
    );

    let early = signer.token(&json!({"tenant_id": "acme", "iat": crate::kit::token::now() + 20}));
    let said = good.doctor_reads(&["--token-file", "-"], &early).await;
    let (word, text) = verdict(&said, "issued");
    assert!(
        word == "warn" && text.contains(" s ahead of ours"),
        "{said:#?}"
    );
    let nobody = signer.token(&json!({}));
    let said = good.doctor_reads(&["--token-file", "-"], &nobody).await;
    assert_eq!(verdict(&said, "tenants").0, "fail", "{said:#?}");
    let foreign = Signer::hs256("another secret of thirty-two bytes").tenant("acme");
    let said = good.doctor_reads(&["--token-file", "-"], &foreign).await;
    let (word, text) = verdict(&said, "valid");
    assert!(word == "fail" && text.starts_with("401 "), "{said:#?}");
    assert!(!said.out.contains(&foreign), "{said:#?}");

    let gone = format!("jwks_url: http://127.0.0.1:{}/keys", free_port());
    let upstream = format!("api: prometheus, url: {}", store.url);
    let config = Config::new(&upstream, &gone, "  metrics: {label: tenant_id}\n");
    let path = config.dir.path().join("p.yaml");
    let text = std::fs::read_to_string(&path)
        .expect("written")
        .replace("HS256", "RS256");
    std::fs::write(&path, text).expect("a file");
    let said = config.doctor(&["--timeout", "5"]).await;
    let (word, text) = verdict(&said, "keys");
    assert!(
        word == "fail" && text.contains("none from jwks_url: GET http://127"),
        "{said:#?}"
    );
}

/// A span of a page of search results.
fn span(attribute: &Value) -> Value {
    json!({"spanID": "a1", "attributes": [{"key": "tenant_id", "value": attribute}]})
}

/// A Tempo with these spans, that keeps to `q` or does not.
async fn tempo(spans: &[Value], keeps_to_q: bool) -> TempoUpstream {
    let store = TempoUpstream::start().await;
    let page = json!({"traces": [{"traceID": "1", "spanSets": [{"spans": spans}]}]});
    store.reply("/api/search", TempoReply::json(page.to_string()));
    let version = json!({"version": "3.0.3"}).to_string();
    store.reply("/api/status/buildinfo", TempoReply::json(version));
    store.rule(move |seen| {
        let is_values = seen.path() == "/api/v2/search/tag/resource.service.name/values";
        is_values.then(|| {
            let values = if keeps_to_q && !seen.param("q").is_empty() {
                json!({"tagValues": []})
            } else {
                json!({"tagValues": [{"type": "string", "value": "web"}]})
            };
            TempoReply::json(values.to_string())
        })
    });
    let streamed = "/tempopb.StreamingQuerier/SearchTagsV2";
    store.reply(streamed, TempoReply::grpc(&[Vec::new()], 0, ""));
    store
}

#[tokio::test]
async fn a_good_tempo_is_well() {
    let text = json!({"stringValue": "acme"});
    let store = tempo(&[span(&text), span(&text)], true).await;
    let said = Config::traces(&store.url, "attribute: resource.tenant_id")
        .doctor(&[])
        .await;
    assert_eq!(said.code, 0, "{said:#?}");
    assert_eq!(verdict(&said, "version"), ("ok", "Tempo 3.0.3"));
    assert_eq!(verdict(&said, "streaming"), ("ok", "gRPC is served"));
    assert_eq!(verdict(&said, "tag values by q").0, "ok", "{said:#?}");
    let attribute = verdict(&said, "attribute resource.tenant_id");
    assert_eq!(
        attribute,
        ("ok", "2 of 2 sampled spans have it as a string")
    );
    assert!(said.out.ends_with(" 0 warn, 0 fail, 0 skip\n"), "{said:#?}");
}

#[tokio::test]
async fn problems_of_a_tempo_are_found() {
    let text = json!({"stringValue": "acme"});
    let store = tempo(&[span(&text), json!({"spanID": "a2"})], false).await;
    let unimplemented = TempoReply::grpc(&[], 12, "unknown service");
    store.reply("/tempopb.StreamingQuerier/SearchTagsV2", unimplemented);
    let said = Config::traces(&store.url, "attribute: resource.tenant_id")
        .doctor(&[])
        .await;
    assert_eq!(said.code, 1, "{said:#?}");
    assert_eq!(verdict(&said, "tag values by q").0, "fail", "{said:#?}");
    assert_eq!(verdict(&said, "streaming").0, "warn", "{said:#?}");
    let (word, text) = verdict(&said, "attribute resource.tenant_id");
    assert!(word == "warn" && text.starts_with("1 of 2 "), "{said:#?}");

    let number = tempo(&[span(&json!({"intValue": "7"}))], true).await;
    let said = Config::traces(&number.url, "attribute: resource.tenant_id")
        .doctor(&[])
        .await;
    assert_eq!(
        verdict(&said, "attribute resource.tenant_id").0,
        "fail",
        "{said:#?}"
    );
}

/// The worst of all: a config that leaves it to a Tempo that does not do it.
#[tokio::test]
async fn a_tempo_without_multitenancy_behind_org_ids_is_found() {
    let store = tempo(&[], true).await;
    let said = Config::traces(&store.url, "org_id: true").doctor(&[]).await;
    assert_eq!(
        (verdict(&said, "multitenancy").0, said.code),
        ("fail", 1),
        "{said:#?}"
    );

    let multi = tempo(&[], true).await;
    let without = TempoReply::text(401, "no org id");
    multi.rule(move |seen| {
        seen.header("x-scope-orgid")
            .is_none()
            .then(|| without.clone())
    });
    let said = Config::traces(&multi.url, "org_id: true").doctor(&[]).await;
    assert_eq!(verdict(&said, "multitenancy").0, "ok", "{said:#?}");
    let said = Config::traces(&multi.url, "attribute: resource.tenant_id")
        .doctor(&[])
        .await;
    assert_eq!(
        (verdict(&said, "multitenancy").0, said.code),
        ("fail", 1),
        "{said:#?}"
    );
}

#[test]
fn a_config_with_errors_is_not_examined() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("p.yaml");
    std::fs::write(&path, "listeners: 1\n").expect("a file");
    let said = run(&["doctor", "--config", &path.display().to_string()], "");
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(
        said.err.contains("p.yaml:1:12: listeners: must be a list"),
        "{said:#?}"
    );
}

#[tokio::test]
async fn issuer_without_a_longest_lifetime_is_found() {
    let upstream = Upstream::start().await;
    let config = Config::metrics(&upstream.url, "");
    let bounded = config.doctor(&[]).await;
    assert_eq!(verdict(&bounded, "lifetime").0, "ok", "{bounded:#?}");
    let file = config.dir.path().join("p.yaml");
    let text = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(&file, text.replace("max_lifetime: 24h, ", "")).expect("a file");
    let unbounded = config.doctor(&[]).await;
    assert_eq!(verdict(&unbounded, "lifetime").0, "warn", "{unbounded:#?}");
    assert!(
        unbounded.out.contains("set `max_lifetime`"),
        "{unbounded:#?}"
    );
}
