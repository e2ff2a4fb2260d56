//! `partywall explain` and `POST /-/explain`: what they say is what the proxy does.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

use crate::kit::client::{Answer, Client, escape};
use crate::kit::partywall::{Partywall, Setup, Tempo};
use crate::kit::tempo_data;
use crate::kit::tool::{Said, run};
use crate::kit::upstream::{Seen, Upstream};

/// A proxy in front of two upstreams that record.
struct Rig {
    metrics: Upstream,
    traces: Upstream,
    proxy: Partywall,
}

impl Rig {
    async fn open(rest: &str) -> Self {
        Self::with(|setup| setup.rest = rest.to_owned()).await
    }

    async fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let (metrics, traces) = (Upstream::start().await, Upstream::start().await);
        let mut setup = Setup::new(&metrics.url);
        setup.tempo = Some(Tempo {
            url: traces.url.clone(),
            tenancy: format!("attribute: resource.{}", tempo_data::ATTRIBUTE),
            options: Vec::new(),
        });
        change(&mut setup);
        let proxy = Partywall::start(setup).await;
        Self {
            metrics,
            traces,
            proxy,
        }
    }

    fn config(&self) -> String {
        self.proxy.config().display().to_string()
    }

    /// `explain` with a token of these tenants.
    fn explain(&self, tenants: &[&str], args: &[&str]) -> Said {
        let config = self.config();
        let token = self.proxy.signer.tenants(tenants);
        let mut all = vec!["explain", "--config", &config, "--token-file", "-"];
        all.extend(args);
        let said = run(&all, &token);
        assert!(!said.out.contains(&token) && !said.err.contains(&token));
        said
    }

    fn claimed(&self, claims: &Value, args: &[&str]) -> Said {
        let config = self.config();
        let mut all = vec!["explain", "--config", &config, "--claims", "-"];
        all.extend(args);
        run(&all, &claims.to_string())
    }

    /// The same request, really sent.
    async fn send(&self, tenants: &[&str], method: &str, target: &str) -> Answer {
        let token = self.proxy.signer.tenants(tenants);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{target}", self.proxy.url))
            .header("authorization", format!("Bearer {token}"))
            .body(Full::default())
            .expect("a request");
        Client::default().send(request).await
    }

    fn took(&self) -> Vec<Seen> {
        let mut all = self.metrics.take();
        all.extend(self.traces.take());
        all
    }
}

fn pairs(explained: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let all = explained["parameters"].as_array().expect("parameters");
    all.iter()
        .map(|one| (text(&one["name"]), text(&one["sent"])))
        .collect()
}

#[tokio::test]
async fn a_verified_token_is_explained_from_key_to_query() {
    let rig = Rig::open("").await;
    let query = "sum(rate(http_requests_total[5m]))\n  / up{job=\"x\"}";
    let said = rig.explain(&["acme", "globex"], &[query]);
    assert_eq!(said.code, 0, "{said:#?}");
    let matcher = r#"tenant_id=~"acme|globex""#;
    let lines = [
        "request   GET /api/v1/query\n".to_owned(),
        "caller    `tester` of https://sso.test/realms/observability\n".to_owned(),
        "token verified: RS256, key `test`, keys from jwks_file; expires in ".to_owned(),
        "tenants   acme, globex\n".to_owned(),
        "by rule 2 of 2: the claim `tenant_id`, with the values `acme`, `globex`\n".to_owned(),
        "not by rule 1, which requires that the claim `groups` has one of `platform-admins`"
            .to_owned(),
        "route     query, to the upstream `metrics`\n".to_owned(),
        format!(
            "\
  query   sum(rate(http_requests_total[5m]))
            / up{{job=\"x\"}}
      is  sum(rate(http_requests_total{{{matcher}}}[5m]))
                                      {}
            / up{{{matcher},job=\"x\"}}
                 {}
",
            "^".repeat(matcher.len() + 2),
            "^".repeat(matcher.len() + 1)
        ),
    ];
    said.assert_says(&lines.each_ref().map(String::as_str));
    assert!(!said.out.contains('\u{1b}'), "no colours in a pipe");
}

#[tokio::test]
async fn each_leaf_pipeline_of_a_traceql_query_is_marked() {
    let rig = Rig::open("").await;
    let said = rig.explain(
        &["acme"],
        &["--api", "tempo", "({ .a = 1 } | count() > 2) && ({ .b })"],
    );
    let stage = format!("{{ resource.{} = \"acme\" }} | ", tempo_data::ATTRIBUTE);
    let (sent, marks) = (
        format!("({stage}{{ .a = 1 }} | count() > 2) && ({stage}{{ .b }})"),
        format!(
            " {}{}{}",
            "^".repeat(stage.len()),
            " ".repeat("{ .a = 1 } | count() > 2) && (".len()),
            "^".repeat(stage.len())
        ),
    );
    said.assert_says(&[
        "route     search, to the upstream `traces`\n",
        &format!("      is  {sent}\n          {marks}\n"),
    ]);
    let said = rig.explain(&["acme"], &["--api", "tempo", "{ .a } | rate()"]);
    said.assert_says(&["request   GET /api/metrics/query_range\n"]);
}

/// What is explained is compared with what the upstream sees of the same request.
#[tokio::test]
async fn explained_request_equals_the_forwarded_one() {
    let rig = Rig::open("").await;
    let trace = "0123456789abcdef0123456789abcdef";
    let up = escape("up{a=\"b\"} + sum by (x) (c)");
    let spans = escape("{ span.a = 1 && name = \"x\" } | select(.b)");
    let requests = [
        format!("GET /api/v1/query?query={up}&time=1&nonsense=2"),
        format!("POST /api/v1/query_range?query={up}&start=1&end=2&step=1"),
        "GET /api/v1/series?match[]=a&match[]=b".to_owned(),
        "GET /api/v1/labels".to_owned(),
        "GET /api/v1/label/job/values?match[]=up".to_owned(),
        "GET /federate?match[]=up".to_owned(),
        "GET /api/v1/rules?type=alert".to_owned(),
        "GET /api/v1/alerts".to_owned(),
        "GET /api/v1/targets".to_owned(),
        format!("GET /api/v1/format_query?query={up}"),
        "GET /api/v1/status/buildinfo".to_owned(),
        "GET /graph?x=1".to_owned(),
        format!("GET /api/search?q={spans}&limit=5"),
        "GET /api/search?tags=a%3Db&minDuration=1s".to_owned(),
        format!("GET /api/search/tags?q={spans}"),
        "GET /api/v2/search/tag/span.a/values".to_owned(),
        format!(
            "GET /api/metrics/query_range?q={}",
            escape("{ .a } | rate()")
        ),
        format!("GET /api/traces/{trace}"),
        "GET /api/echo".to_owned(),
    ];
    for line in requests {
        let (method, target) = line.split_once(' ').expect("two words");
        for tenants in [&["acme"][..], &["acme", "globex"]] {
            let said = rig.explain(tenants, &["--json", "--request", &line]);
            assert_eq!(rig.took().len(), 0, "{line}: explaining sends nothing");
            let explained = said.json();
            assert_eq!(explained["result"], "sent", "{line}: {explained:#}");
            // The recorded answer fits few endpoints; what was forwarded is what counts.
            rig.send(tenants, method, target).await;
            let seen = rig.took();
            let seen = seen
                .first()
                .unwrap_or_else(|| panic!("{line} was not sent"));
            assert_eq!(explained["method"], seen.method.as_str(), "{line}");
            assert_eq!(explained["path"], seen.path(), "{line}");
            assert_eq!(pairs(&explained), seen.params(), "{line}");
        }
    }
}

/// A metadata call has a side request; it is neither counted nor sent.
#[tokio::test]
async fn side_requests_are_not_sent() {
    let rig = Rig::open("").await;
    for line in ["GET /api/v1/metadata", "GET /api/search?q={}"] {
        let explained = rig
            .explain(&["acme"], &["--json", "--request", line])
            .json();
        assert_eq!(explained["result"], "sent", "{line}");
    }
    let config = rig.config();
    let claims = r#"{"tenant_id": "acme"}"#;
    let line = "POST /api/v2/traces/diff";
    let args = [
        "explain",
        "--config",
        &config,
        "--claims",
        "-",
        "--request",
        line,
    ];
    let said = run(&args, claims);
    // There is no way to give it a body, and without one it is refused.
    said.assert_says(&["the body is no trace difference"]);
    assert_eq!(rig.took().len(), 0);
}

#[tokio::test]
async fn explained_refusals_equal_the_proxys_and_name_the_key() {
    let rig = Rig::open(
        "promql:\n  foreign_matchers: reject\nlimits:\n  query_bytes: 50\n  query_depth: 3\n  query_nodes: 12\n  format_bytes: 60\n  query_selectors: 2\n",
    )
    .await;
    let cases = [
        ("/api/v1/status/config", "closed", "open_to_admins"),
        ("/prefix/api/v1/query", "misplaced", "the upstream's url"),
        (
            "/api/v1/query?query=up{tenant_id='b'}",
            "foreign_tenant",
            "promql.foreign_matchers",
        ),
        ("/api/v1/query?query=up{", "malformed", ""),
        (
            "/api/v1/query?query=a-b-c",
            "too_many_selectors",
            "limits.query_selectors",
        ),
        (
            "/api/v1/query?query=((((1))))",
            "too_deep",
            "limits.query_depth",
        ),
        ("/api/search?q=(((({}))))", "too_deep", "limits.query_depth"),
        (
            "/api/v1/query?query=1*1*1*1*1*1*1",
            "too_many_nodes",
            "limits.query_nodes",
        ),
        (
            "/api/v1/format_query?query=1*1*1*1*1*1111111",
            "too_much_to_print",
            "limits.format_bytes",
        ),
        ("/api/v1/query?query=up&storeMatch[]=a", "parameter", ""),
        ("/api/v1;x/query", "path", ""),
        (
            "/api/search?q={ rootName = name }",
            "traceql",
            "traces.search_metadata",
        ),
        (
            "/api/v2/search/tag/trace:duration/values",
            "trace_intrinsic",
            "traces.search_metadata",
        ),
        ("/api/traces/xyz", "path", ""),
    ];
    let long = format!("/api/v1/query?query={}", "a".repeat(51));
    let long = [(long.as_str(), "too_long", "limits.query_bytes")];
    for (target, reason, key) in cases.into_iter().chain(long) {
        let said = rig.explain(&["acme"], &["--json", "--request", target]);
        let explained = said.json();
        assert_eq!(explained["result"], "refused", "{target}: {explained:#}");
        assert_eq!(explained["reason"], reason, "{target}: {explained:#}");
        let text = format!("{} {}", explained["text"], explained["to_allow"]);
        assert!(text.contains(key), "{target}: {text}");
        let path = target
            .replace('{', "%7B")
            .replace('}', "%7D")
            .replace('`', "%60");
        let answer = rig.send(&["acme"], "GET", &path.replace(' ', "%20")).await;
        assert_eq!(explained["status"], answer.status.as_u16(), "{target}");
        let text = explained["text"].as_str().expect("a text");
        let told = match serde_json::from_slice::<Value>(&answer.body) {
            Ok(json) => json["error"].as_str().expect("an error").to_owned(),
            Err(_) => answer.text(),
        };
        assert_eq!(told.trim_end(), text, "{target}");
    }
    assert_eq!(rig.took().len(), 0);
}

/// Without a `Host` the request is for none of the hosts that upstreams name, `localhost` neither.
#[tokio::test]
async fn a_request_is_for_the_host_that_is_said() {
    let metrics = Upstream::start().await;
    let mut setup = Setup::new(&metrics.url);
    setup.upstream_options = vec!["hosts: [localhost]".to_owned()];
    let proxy = Partywall::start(setup).await;
    let (config, token) = (
        proxy.config().display().to_string(),
        proxy.signer.tenant("acme"),
    );
    let explain = |more: &[&str]| {
        let mut all = vec!["explain", "--config", &config, "--token-file", "-"];
        all.extend(["--json", "up"]);
        all.extend(more);
        run(&all, &token).json()
    };
    assert_eq!(explain(&[])["result"], "refused");
    let said = explain(&["--header", "Host: localhost:8080"]);
    assert_eq!(said["route"]["upstream"], "metrics", "{said:#}");
}

#[tokio::test]
async fn a_token_is_really_verified() {
    let rig = Rig::open("").await;
    let signer = &rig.proxy.signer;
    let expired = signer.token(&json!({"tenant_id": "acme", "exp": 1_000_000}));
    let other = signer.token(&json!({"tenant_id": "acme", "aud": "other"}));
    let nobody = signer.token(&json!({"tenant_id": null}));
    let mut forged = signer.tenant("acme");
    forged.truncate(forged.len() - 20);
    forged.push_str("AAAAAAAAAAAAAAAAAAAA");
    for (token, status, reason, key) in [
        (expired, 401, "expired", "leeway"),
        (other, 401, "audience", "`audiences`"),
        (forged, 401, "signature", ""),
        (nobody, 403, "no_tenants", "`tenancy`"),
        ("x".to_owned(), 401, "malformed", ""),
    ] {
        let config = rig.config();
        let args = [
            "explain", "--config", &config, "--json", "--token", &token, "up",
        ];
        let said = run(&args, "");
        assert!(token.len() < 10 || !said.out.contains(&token), "{said:#?}");
        let explained = said.json();
        assert_eq!(explained["status"], status, "{explained:#}");
        assert_eq!(explained["reason"], reason, "{explained:#}");
        assert!(
            explained["to_allow"].to_string().contains(key),
            "{explained:#}"
        );
    }
}

#[tokio::test]
async fn claims_are_taken_as_given_and_it_says_so() {
    let rig = Rig::open("").await;
    let said = rig.claimed(
        &json!({"tenant_id": "acme", "sub": "a\u{1b}[31mb"}),
        &["up"],
    );
    said.assert_says(&["NOT VERIFIED", r#"up{tenant_id="acme"}"#]);
    assert!(!said.out.contains('\u{1b}'), "{said:#?}");
    let admin = rig.claimed(&json!({"groups": ["platform-admins"]}), &["up"]);
    admin.assert_says(&[
        "tenants   all: no restriction",
        "by rule 1 of 2: all tenants",
    ]);
    let as_text = rig.claimed(&json!({"tenant_id": r#"["acme"]"#}), &["up"]);
    as_text.assert_says(&["with the values `acme` (read as JSON text in a string)"]);
    let as_keys = rig.claimed(&json!({"tenant_id": {"acme": {}}}), &["up"]);
    as_keys.assert_says(&["with the values `acme` (read as the keys of an object)"]);
    let nobody = rig.claimed(&json!({}), &["up"]);
    nobody.assert_says(&["refused   403 no_tenants\n", "no claim `tenant_id`"]);

    let stranger = rig.claimed(&json!({"iss": "https://other"}), &["up"]);
    assert_eq!(stranger.code, 1);
    assert!(
        stranger.err.contains("not in tokens.issuers"),
        "{stranger:#?}"
    );
    let config = rig.config();
    let said = run(
        &["explain", "--config", &config, "--claims", "-", "up"],
        "[1,\n2",
    );
    assert_eq!(said.code, 1);
    assert!(
        said.err.starts_with("-:1:0: the claims are not a JSON"),
        "{said:#?}"
    );
}

#[tokio::test]
async fn the_admin_endpoint_says_the_same_and_logs_no_token() {
    let rig = Rig::open("log:\n  level: trace\n").await;
    let token = rig.proxy.signer.tenant("acme");
    let ask = async |question: String, content_type: &'static str| {
        let request = Request::post(format!("{}/-/explain", rig.proxy.admin))
            .header("content-type", content_type)
            .body(Full::from(Bytes::from(question)))
            .expect("a request");
        Client::default().send(request).await
    };
    let question = json!({"token": token, "query": "up", "request": "POST /api/v1/query"});
    let answer = ask(question.to_string(), "application/json").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let said = rig.explain(
        &["acme"],
        &["--json", "--request", "POST /api/v1/query", "up"],
    );
    let (mut told, mut shown) = (answer.json(), said.json());
    for explained in [&mut told, &mut shown] {
        // The two tokens are not of the same second.
        let caller = explained["caller"].as_object_mut().expect("a caller");
        assert!(caller.remove("expires_at").is_some());
    }
    assert_eq!(told, shown);
    let claims = json!({"claims": {"tenant_id": "acme"}, "query": "{ }", "api": "tempo"});
    let answer = ask(claims.to_string(), "application/json").await.json();
    assert_eq!(answer["caller"]["verified"], false);
    assert_eq!(answer["route"]["name"], "search");

    let wrong = ask(format!("{{\"tokn\": \"{token}\"}}"), "application/json").await;
    assert_eq!(wrong.status, 400);
    assert!(!wrong.text().contains(&token), "{}", wrong.text());
    let simple = ask(question.to_string(), "text/plain").await;
    assert_eq!(
        simple.status, 415,
        "a page in a browser can send this unasked"
    );
    assert_eq!(rig.took().len(), 0);
    let log = rig.proxy.process.log();
    assert!(!log.contains(&token), "no token in a log");
    let signature = token.rsplit('.').next().expect("three parts");
    assert!(!log.contains(signature), "nor a part of it");
}

/// Clusters in the sample: what `explain` says of them sends nothing.
#[test]
fn clusters_are_explained() {
    let explain = |claims: &Value, args: &[&str]| {
        let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/config/clusters.yaml");
        let mut all = vec!["explain", "--config", sample, "--claims", "-"];
        all.extend(args);
        run(&all, &claims.to_string())
    };
    let contractor = json!({"tenant_id": "acme", "groups": ["contractors"]});
    let below = |name: &str| format!("GET /clusters/{name}/api/v1/query");
    let said = explain(&contractor, &["--request", &below("us"), "up"]);
    said.assert_says(&[
        "clusters  us\n",
        "by rule 1 of 2: fixed clusters, because the claim `groups`",
        "query, to the upstream `prometheus-us`",
        r#"up{tenant_id="acme"}"#,
    ]);
    for name in ["eu", "none"] {
        let said = explain(&contractor, &["--request", &below(name), "up"]);
        said.assert_says(&["refused   403 no_cluster", "tenancy.clusters"]);
    }
    let said = explain(&contractor, &["--request", "GET /clusters"]);
    said.assert_says(&[r#"answered  {"status":"success","data":[{"name":"us""#]);
    let both = "GET /api/v1/query?cluster=us&cluster=eu&x=1";
    let said = explain(&json!({"tenant_id": "acme"}), &["--request", both, "up"]);
    said.assert_says(&[
        "clusters  all",
        "to each of the clusters `eu`, `us`",
        "dropped   x\n",
    ]);
    let said = explain(
        &json!({"tenant_id": "acme"}),
        &["--json", "--request", both, "up"],
    );
    assert_eq!(said.json()["route"]["clusters"], json!(["eu", "us"]));
    assert_eq!(said.json()["dimensions"][1]["of_clusters"], json!(true));
}

/// And what is explained is what is forwarded.
#[tokio::test]
async fn selectors_of_the_caller_are_explained() {
    let selectors = "
  selectors:
    team-a: {match: '=~', value: 'team-a-.+'}
    rest: {match: '!=', value: 'vault'}";
    let rig = Rig::with(|setup| setup.tenancy.push_str(selectors)).await;
    let said = rig.explain(&["team-a", "x.y"], &["up"]);
    assert_eq!(said.code, 0, "{said:#?}");
    for part in [
        "tenants   team-a, x.y\n",
        "team-a has the data whose tenant_id =~ \"team-a-.+\"\n",
        r#"up{tenant_id=~"x\\.y|(?s:team-a-.+)"}"#,
    ] {
        assert!(said.out.contains(part), "{part:?}\n{}", said.out);
    }
    let json = rig.explain(&["rest"], &["--json", "up"]);
    let json: Value = serde_json::from_str(&json.out).expect("JSON");
    let selector = json!([{ "tenant": "rest", "match": "!=", "value": "vault" }]);
    assert_eq!(json["dimensions"][0]["selectors"], selector);
    let sent = r#"up{tenant_id!~"vault|"}"#;
    assert!(pairs(&json).contains(&("query".to_owned(), sent.to_owned())));

    rig.took();
    rig.send(&["rest"], "GET", "/api/v1/query?query=up").await;
    rig.send(&["rest"], "GET", "/api/search?q=%7B%7D&limit=1")
        .await;
    let taken: Vec<String> = rig.took().iter().map(|seen| format!("{seen:?}")).collect();
    assert!(taken.iter().any(|seen| seen.contains("vault")), "{taken:?}");
    // No store could select both in one matcher.
    let refused = rig
        .send(&["rest", "x"], "GET", "/api/v1/query?query=up")
        .await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.text().contains("negative selector"),
        "{}",
        refused.text()
    );
    assert!(rig.took().is_empty());
    // What looks like an expression or a key of another kind in a claim is a name.
    for claimed in [".*", "team-a-.+", "=~team-a", "TEAM-A"] {
        let said = rig.explain(&[claimed], &["up"]);
        let literal = format!("up{{tenant_id=\"{claimed}\"}}");
        assert!(said.out.contains(&literal), "{literal}\n{}", said.out);
    }
}
