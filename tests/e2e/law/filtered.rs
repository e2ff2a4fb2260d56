//! Answers that no query confines (rules, alerts, targets, metadata) are filtered: what is left
//! is what a Prometheus with this tenant's rules and targets alone would answer.

use std::time::{Duration, Instant};

use crate::kit::client::{Answer, Ask, Client};
use crate::kit::partywall::{Partywall, Setup};
use crate::kit::prometheus::{Extras, Prometheus};
use crate::kit::upstream::{Behaviour, Exporter, Reply, Upstream};
use serde_json::{Value, json};

const FILTERED: [&str; 5] = [
    "/api/v1/rules",
    "/api/v1/alerts",
    "/api/v1/targets",
    "/api/v1/targets/metadata",
    "/api/v1/metadata",
];

const ACME_METRICS: &str = "\
# HELP load Load of a machine.
# TYPE load gauge
load 9
# HELP acme_jobs_total Jobs that were run.
# TYPE acme_jobs_total counter
acme_jobs_total 5
# HELP pets Pets in the office.
# TYPE pets gauge
pets 3
# HELP wait_seconds Time in the queue.
# TYPE wait_seconds histogram
wait_seconds_bucket{le=\"1\"} 2
wait_seconds_bucket{le=\"+Inf\"} 3
wait_seconds_sum 4
wait_seconds_count 3
";

const BETA_METRICS: &str = "\
# HELP load Load of a machine.
# TYPE load gauge
load 8
# HELP beta_secret_total What beta does in secret.
# TYPE beta_secret_total counter
beta_secret_total 7
# HELP pets What beta breeds.
# TYPE pets gauge
pets 30
# HELP hoard What beta has.
# TYPE hoard gauge
hoard{vault=\"beta-vault\",heir=\"acme\"} 70707
";

const IDLE_METRICS: &str = "\
# HELP load Load of a machine.
# TYPE load gauge
load 1
# HELP infra_disks Disks of the platform.
# TYPE infra_disks gauge
infra_disks 2
";

const ACME_RULES: &str = r#"
groups:
  - name: acme
    rules:
      - record: acme:load:sum
        expr: sum by (tenant_id) (load{tenant_id="acme"})
        labels: {tenant_id: acme}
      - alert: AcmeLoad
        expr: load{tenant_id="acme"} > 5
        labels: {tenant_id: acme, severity: page}
        annotations: {summary: 'load is {{ $value }} for {{ $labels.tenant_id }}'}
      - alert: AcmeQuiet
        expr: load{tenant_id="acme"} > 500
        labels: {tenant_id: acme}
"#;

/// A group of several tenants' rules; a private store holds the first alone.
const MIXED_OWN: &str = r"
groups:
  - name: mixed
    rules:
      - alert: AcmeJobs
        expr: acme_jobs_total > 1
        labels: {tenant_id: acme}
";

const MIXED_FOREIGN: &str = r"      - alert: BetaJobs
        expr: beta_secret_total > 1
        labels: {tenant_id: beta}
      - record: beta:secret
        expr: sum(beta_secret_total)
        labels: {tenant_id: beta}
";

/// One rule for all tenants, with an alert for each.
const SHARED_RULES: &str = r#"
groups:
  - name: shared
    rules:
      - alert: HighLoad
        expr: load > 5
        labels: {severity: warning}
        annotations: {summary: 'load is {{ $value }}'}
      - alert: SharedTexts
        expr: load > 5
        labels:
          where: '{{ $labels.instance | stripPort }}'
          whose: '{{ $labels.tenant_id | toUpper }}'
        annotations:
          plain: page the platform
          all: >-
            {{ $labels.job | title }} of {{ .Labels.tenant_id }}: {{ printf "%.1f%%" $value }},
            {{ $value | humanize }}, {{ humanizeDuration $value }}, {{ humanizeTimestamp $value }},
            {{ $value | humanizePercentage }}
          trimmed: |
            a
            {{- printf " (%s) " $labels.tenant_id -}}
            b
      - alert: SharedByTenant
        expr: sum by (tenant_id) (load) > 10
        annotations: {summary: 'load is {{ $value | humanize1024 }}'}
"#;

/// Shared rules with alerts of all tenants that tell of beta: by a name in the expression, by
/// values of its series, or in a template.
const LEAKS: &str = r#"
groups:
  - name: leaks
    rules:
      - alert: LeakReplaced
        expr: label_replace(load, "peer", "beta", "", "") > 5
        annotations: {peer: 'next to {{ $labels.peer }}'}
      - alert: LeakJoined
        expr: load > on () group_left (peer) label_replace(sum(load) * 0, "peer", "beta", "", "")
      - alert: LeakCounted
        expr: load > on () group_left (secret) count_values("secret", sum(hoard))
        annotations: {secret: '{{ $labels.secret }}'}
      - alert: LeakCompared
        expr: load > 5 unless on (job) label_replace(vector(1), "job", "beta", "", "")
      - alert: LeakParenthesised
        expr: label_replace((load), ("peer"), ("beta"), "", "") > 5
        annotations: {peer: '{{ $labels.peer }}'}
      - alert: LeakPattern
        expr: label_replace(load, "x", "$1", "tenant_id", "(beta|acme).*") > 5
      - alert: LeakValue
        expr: load * 0 + on () group_left () sum(hoard) > 5
        annotations: {value: 'it has {{ $value | humanize }} or {{ printf "%.0f" $value }}'}
      - alert: LeakRewritten
        expr: label_replace(hoard, "tenant_id", "acme", "", "") > 5
        annotations: {value: '{{ $value }} in {{ $labels.vault }}'}
      - alert: LeakRewrittenInParentheses
        expr: label_replace(hoard, ("tenant_id"), "$1", "heir", "(.*)") > 5
        annotations: {value: '{{ $value }} in {{ $labels.vault }}'}
      - alert: LeakLimit
        expr: topk(scalar(sum(hoard)), load) > 5
      - alert: LeakTemplates
        expr: load > 5
        labels:
          queried: '{{ with query "sum(hoard)" }}{{ . | first | value }}{{ end }}'
          compared: '{{ if eq $labels.tenant_id "beta" }}beta{{ else }}not beta{{ end }}'
          variable: '{{ $x := "beta" }}{{ $x }}'
        annotations:
          queried: '{{ with query "sum(hoard)" }}{{ . | first | value }}{{ end }}'
          first: '{{ first (query "sum(hoard)") | value }}'
          piped: '{{ query "hoard" | first | label "vault" }}'
          built: '{{ printf "%s{vault!=''x''}" "hoard" | query | first | value }}'
          ranged: '{{ range query "hoard" }}{{ .Labels.vault }}{{ end }}'
          sorted: '{{ range (query "hoard" | sortByLabel "vault") }}{{ .Labels.vault }}{{ end }}'
          compared: '{{ if eq $labels.tenant_id "beta" }}beta{{ else }}not beta{{ end }}'
          matched: '{{ if match "beta" $labels.tenant_id }}beta{{ else }}not beta{{ end }}'
          variable: '{{ $x := "beta" }}{{ $x }}'
          with: '{{ with "beta" }}{{ . }}{{ end }}'
          replaced: '{{ reReplaceAll "acme" "beta" $labels.tenant_id }}'
          external: '{{ $externalLabels.cluster }}'
          format: '{{ printf "beta and %s" $labels.tenant_id }}'
          escaped: '{{ "\\x62eta" }}'
          upper: '{{ "BETA" | toLower }}'
          link: '{{ graphLink "load{tenant_id=''beta''}" }}'
          defined: '{{ define "beta" }}beta{{ end }}{{ template "beta" }}'
          comment: '{{/* beta */}}'
          mixed: '{{ $value }}{{ with query "hoard" }} {{ . | first | label "vault" }}{{ end }}'
"#;

/// What a tenant's own store would not have.
const FOREIGN_RULES: &str = r#"
groups:
  - name: operators
    rules:
      - alert: HighLoadUnlessBeta
        expr: load > 5 unless on (job) load{tenant_id="beta",job="none"}
      - alert: BetaLoad
        expr: load{tenant_id="beta"} > 5
      - alert: NobodysLoad
        expr: sum(load) > 1
      - record: all:load:sum
        expr: sum(load)
      - record: tenant:load:sum
        expr: sum by (tenant_id) (load)
  - name: beta
    rules:
      - alert: BetaPets
        expr: pets{tenant_id="beta"} > 5
        labels: {tenant_id: beta}
        annotations: {summary: 'beta breeds {{ $value }}'}
"#;

/// Tenants that have what `acme` has.
const SELECTORS: &str = "
  selectors:
    expression: {match: '=~', value: 'acm[e]|beta-.*'}
    all-others: {match: '!~', value: 'beta|gamma.*'}";

struct Scene {
    shared: Prometheus,
    private: Prometheus,
    proxy: Partywall,
    client: Client,
    exporters: Vec<Exporter>,
}

impl Scene {
    async fn set() -> Self {
        let exporters = [
            Exporter::start(ACME_METRICS).await,
            Exporter::start(ACME_METRICS).await,
            Exporter::start(BETA_METRICS).await,
            Exporter::start(IDLE_METRICS).await,
            Exporter::start(IDLE_METRICS).await,
        ];
        let [one, two, beta, gamma, nobody] = exporters.each_ref().map(|exporter| exporter.address);
        let acme = format!("{{targets: ['{one}', '{two}'], labels: {{tenant_id: acme}}}}");
        let others = format!(
            "{{targets: ['{beta}'], labels: {{tenant_id: beta}}}}, \
             {{targets: ['{gamma}'], labels: {{tenant_id: gamma.io}}}}, \
             {{targets: ['{nobody}']}}, \
             {{targets: ['dropped:1'], labels: {{tenant_id: acme, drop: me}}}}"
        );
        let shared = Extras {
            scrape_configs: scrape(&format!("{acme}, {others}")),
            rule_files: files(&[
                ("acme.yml", ACME_RULES),
                ("mixed.yml", &format!("{MIXED_OWN}{MIXED_FOREIGN}")),
                ("shared.yml", SHARED_RULES),
                ("foreign.yml", FOREIGN_RULES),
                ("leaks.yml", LEAKS),
            ]),
            external_labels: "cluster: beta-one".to_owned(),
        };
        let private = Extras {
            scrape_configs: scrape(&acme),
            rule_files: files(&[
                ("acme.yml", ACME_RULES),
                ("mixed.yml", MIXED_OWN),
                ("shared.yml", SHARED_RULES),
            ]),
            ..Extras::default()
        };
        let (shared, private) = tokio::join!(
            Prometheus::with_extras("shared", &shared),
            Prometheus::with_extras("private", &private)
        );
        let mut setup = Setup::new(&shared.url);
        setup.tenancy.push_str(SELECTORS);
        let proxy = Partywall::start(setup).await;
        let scene = Self {
            shared,
            private,
            proxy,
            client: Client::default(),
            exporters: exporters.into(),
        };
        // HighLoad, HighLoadUnlessBeta, SharedTexts: 3 each; AcmeLoad, AcmeJobs: 2 each; BetaLoad,
        // BetaJobs, BetaPets, NobodysLoad, SharedByTenant. Leaks: LeakJoined, LeakValue 5 each,
        // LeakRewritten, LeakRewrittenInParentheses 1 each, the other seven 3 each.
        scene.until_firing(&scene.shared.url, 18 + 33).await;
        scene.until_firing(&scene.private.url, 9).await;
        scene
    }

    /// Until rules were evaluated over all targets.
    async fn until_firing(&self, store: &str, count: usize) {
        let started = Instant::now();
        loop {
            let alerts = self
                .client
                .ask(store, &Ask::get("/api/v1/alerts", &[]), None)
                .await;
            let alerts = alerts.json();
            if alerts["data"]["alerts"]
                .as_array()
                .is_some_and(|all| all.len() == count)
            {
                return;
            }
            let waited = started.elapsed();
            assert!(
                waited < Duration::from_secs(30),
                "not {count} alerts: {alerts:#}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn as_tenant(&self, tenant: &str, ask: &Ask) -> Answer {
        let token = self.proxy.signer.tenant(tenant);
        self.client.ask(&self.proxy.url, ask, Some(&token)).await
    }

    async fn privately(&self, ask: &Ask) -> Answer {
        self.client.ask(&self.private.url, ask, None).await
    }
}

fn scrape(static_configs: &str) -> String {
    format!(
        "\
scrape_configs:
  - job_name: machines
    static_configs: [{static_configs}]
    relabel_configs:
      - {{source_labels: [drop], regex: me, action: drop}}
"
    )
}

fn files(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

/// Without what depends on the moment or on where a store's files are.
fn lasting(answer: &Answer) -> Value {
    let mut json = answer.json();
    strip(&mut json);
    // A group without rules, as `type=record` leaves some, is no tenant's.
    if let Some(groups) = json
        .pointer_mut("/data/groups")
        .and_then(Value::as_array_mut)
    {
        groups.retain(|group| group["rules"] != json!([]));
    }
    // Lists of alerts, targets and groups, and the several texts of one metric: in any order.
    if let Some(items) = json["data"].as_array_mut() {
        items.sort_by_cached_key(Value::to_string);
    }
    if let Some(data) = json["data"].as_object_mut() {
        for entries in data.values_mut().filter_map(Value::as_array_mut) {
            entries.sort_by_cached_key(Value::to_string);
        }
    }
    json
}

fn strip(value: &mut Value) {
    const MOMENTARY: [&str; 7] = [
        "activeAt",
        "evaluationTime",
        "lastEvaluation",
        "lastScrape",
        "lastScrapeDuration",
        // What the proxy leaves out: how the operator finds targets.
        "discoveredLabels",
        "droppedTargets",
    ];
    match value {
        Value::Object(object) => {
            object.retain(|key, _| !MOMENTARY.contains(&key.as_str()));
            if let Some(Value::String(file)) = object.get_mut("file") {
                *file = file.rsplit('/').next().unwrap_or_default().to_owned();
            }
            object.values_mut().for_each(strip);
            if let Some(Value::Array(alerts)) = object.get_mut("alerts") {
                alerts.sort_by_cached_key(Value::to_string);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filtered_answers_are_those_of_a_private_store() {
    let scene = Scene::set().await;
    let asks = [
        Ask::get("/api/v1/rules", &[]),
        Ask::get("/api/v1/rules", &[("type", "alert")]),
        Ask::get("/api/v1/rules", &[("type", "record")]),
        Ask::get("/api/v1/rules", &[("type", "other")]),
        Ask::get("/api/v1/alerts", &[]),
        Ask::get("/api/v1/targets", &[]),
        Ask::get("/api/v1/targets", &[("state", "active")]),
        Ask::get("/api/v1/targets", &[("state", "dropped")]),
        Ask::get("/api/v1/metadata", &[]),
        Ask::get(
            "/api/v1/metadata",
            &[("limit", "-1"), ("limit_per_metric", "1")],
        ),
        Ask::get("/api/v1/metadata", &[("limit", "0")]),
        Ask::get("/api/v1/metadata", &[("metric", "pets")]),
        Ask::get("/api/v1/metadata", &[("metric", "hoard")]),
        Ask::get("/api/v1/metadata", &[("metric", "acme_jobs_total")]),
        Ask::get("/api/v1/metadata", &[("metric", "beta_secret_total")]),
        Ask::get("/api/v1/metadata", &[("metric", "wait_seconds")]),
        Ask::get("/api/v1/metadata", &[("metric", "load"), ("limit", "1")]),
        Ask::get("/api/v1/metadata", &[("limit", "x")]),
    ];
    for ask in asks {
        let (expected, got) = (
            scene.privately(&ask).await,
            scene.as_tenant("acme", &ask).await,
        );
        assert_eq!(got.status, expected.status, "{ask}: {}", got.text());
        let (expected, mut got) = (lasting(&expected), lasting(&got));
        // An alert that carries acme's label is acme's, whichever rule made it; that rule, which
        // names beta, stays hidden.
        if let Some(alerts) = got
            .pointer_mut("/data/alerts")
            .and_then(Value::as_array_mut)
        {
            alerts.retain(|alert| {
                let name = alert["labels"]["alertname"].as_str().unwrap();
                name != "HighLoadUnlessBeta" && !name.starts_with("Leak")
            });
        }
        if let Some(groups) = got
            .pointer_mut("/data/groups")
            .and_then(Value::as_array_mut)
        {
            groups.retain(|group| group["name"] != "leaks");
        }
        assert_eq!(
            got, expected,
            "{ask}:\n got {got:#}\n expected {expected:#}"
        );
    }
}

/// Debian's Prometheus answers all groups, whatever the limit: the pages are Partywall's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_rule_groups_together_are_all_that_the_tenant_sees() {
    let scene = Scene::set().await;
    let names = |answer: &Value| -> Vec<Value> {
        let groups = answer["data"]["groups"].as_array().unwrap();
        groups.iter().map(|group| group["name"].clone()).collect()
    };
    let whole = scene
        .as_tenant("acme", &Ask::get("/api/v1/rules", &[]))
        .await;
    let all = names(&whole.json());
    assert!(all.len() > 2, "{all:?}");
    let (mut paged, mut next) = (Vec::new(), String::new());
    for page in 1.. {
        let params = [("group_limit", "1"), ("group_next_token", &*next)];
        let answer = scene
            .as_tenant("acme", &Ask::get("/api/v1/rules", &params))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        let of_page = names(&answer);
        assert_eq!(of_page.len(), 1, "{answer:#}");
        paged.extend(of_page);
        match answer["data"]["groupNextToken"].as_str() {
            Some(token) => next = token.to_owned(),
            None => break,
        }
        assert!(page < all.len(), "the pages do not end: {paged:?}");
    }
    assert_eq!(paged, all);
    let params = [("group_limit", "1"), ("group_next_token", "x")];
    let answer = scene
        .as_tenant("beta", &Ask::get("/api/v1/rules", &params))
        .await;
    let error = json!({
        "status": "error",
        "errorType": "bad_data",
        "error": "invalid parameter \"group_next_token\": invalid group_next_token 'x'. were rule \
                  groups changed?",
    });
    assert_eq!((answer.status.as_u16(), answer.json()), (400, error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_another_tenant_is_in_a_filtered_answer() {
    let scene = Scene::set().await;
    for path in FILTERED {
        let ask = Ask::get(path, &[]);
        let shared = scene.client.ask(&scene.shared.url, &ask, None).await.text();
        assert!(
            shared.contains("beta"),
            "{path} has nothing to hide: {shared}"
        );
        let got = scene.as_tenant("acme", &ask).await.text();
        assert!(got.contains("acme"), "{path}: {got}");
        for foreign in [
            "beta",
            "gamma",
            "infra",
            "all:load",
            "tenant:load",
            "Nobody",
            "dropped:1",
        ] {
            assert!(!got.contains(foreign), "{path} tells of {foreign}: {got}");
        }
    }
}

/// R5: of a shared rule and its alerts, what tells of beta is hidden or empty, in both answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_texts_of_shared_rules_never_hold_another_tenants_name_or_data() {
    let scene = Scene::set().await;
    let ask = Ask::get("/api/v1/alerts", &[]);
    let all = scene.client.ask(&scene.shared.url, &ask, None).await.text();
    for secret in [
        "70707",
        "beta-vault",
        "not beta",
        "beta and acme",
        "beta-one",
        "next to beta",
    ] {
        assert!(all.contains(secret), "nothing to hide of {secret}: {all}");
    }
    let alerts = scene.as_tenant("acme", &ask).await;
    let ask = Ask::get("/api/v1/rules", &[]);
    let rules = scene.as_tenant("acme", &ask).await;
    for answer in [&alerts, &rules] {
        let text = answer.text();
        for secret in ["beta", "70707", "7.071", "70.71"] {
            assert!(!text.contains(secret), "{secret} is shown: {text}");
        }
    }
    // The alerts themselves stay, and so do the rules whose expressions name no one.
    let alerts = alerts.json();
    let names = |list: &Value, key: &str| {
        let of = |one: &Value| one.pointer(key).unwrap().as_str().unwrap().to_owned();
        let all = list.as_array().unwrap().iter().map(of);
        let mut leaks: Vec<String> = all.filter(|name| name.starts_with("Leak")).collect();
        leaks.sort();
        leaks.dedup();
        leaks.join(" ")
    };
    assert_eq!(
        names(&alerts["data"]["alerts"], "/labels/alertname"),
        "LeakCompared LeakCounted LeakJoined LeakLimit LeakParenthesised LeakPattern \
         LeakReplaced LeakRewritten LeakRewrittenInParentheses LeakTemplates LeakValue"
    );
    let groups = &rules.json()["data"]["groups"];
    let leaks = groups
        .as_array()
        .unwrap()
        .iter()
        .find(|group| group["name"] == "leaks");
    let leaks = &leaks.unwrap()["rules"];
    assert_eq!(
        names(leaks, "/name"),
        "LeakCounted LeakLimit LeakTemplates LeakValue"
    );
    for rule in leaks.as_array().unwrap() {
        for (name, text) in rule["labels"].as_object().unwrap() {
            assert_eq!(text, "", "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scopes_of_several_and_of_no_known_tenant() {
    let scene = Scene::set().await;
    let both = scene.proxy.signer.tenants(&["acme", "beta"]);
    let alerts = Ask::get("/api/v1/alerts", &[]);
    let got = scene
        .client
        .ask(&scene.proxy.url, &alerts, Some(&both))
        .await
        .text();
    assert!(
        got.contains("BetaPets") && got.contains("AcmeJobs"),
        "{got}"
    );
    assert!(
        !got.contains("gamma") && !got.contains("NobodysLoad"),
        "{got}"
    );
    let rules = Ask::get("/api/v1/rules", &[]);
    let got = scene
        .client
        .ask(&scene.proxy.url, &rules, Some(&both))
        .await
        .text();
    // Who has beta may see a rule that names beta.
    assert!(
        got.contains("HighLoadUnlessBeta") && got.contains("beta:secret"),
        "{got}"
    );
    assert!(!got.contains("all:load:sum"), "{got}");

    for path in FILTERED {
        let got = scene
            .as_tenant("nobody-has-this", &Ask::get(path, &[]))
            .await;
        assert_eq!(got.status, 200, "{path}: {}", got.text());
        for word in ["acme", "beta", "gamma", "load"] {
            assert!(
                !got.text().contains(word),
                "{path} tells of {word}: {}",
                got.text()
            );
        }
    }

    let admin = scene.proxy.signer.admin();
    for path in FILTERED {
        let ask = Ask::get(path, &[]);
        let expected = scene.client.ask(&scene.shared.url, &ask, None).await;
        let got = scene.client.ask(&scene.proxy.url, &ask, Some(&admin)).await;
        assert_eq!(lasting(&got), lasting(&expected), "{path} for all tenants");
        assert_eq!(
            got.text().contains("dropped:1"),
            path == "/api/v1/targets",
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_of_targets_is_that_of_a_private_store() {
    let scene = Scene::set().await;
    let one = scene.exporters[0].address;
    let instance = format!("{{instance=\"{one}\"}}");
    for (params, count) in [
        (vec![], 8),
        (vec![("match_target", "")], 8),
        (vec![("match_target", "{}")], 8),
        (vec![("match_target", "{job=~\".+\"}")], 8),
        (vec![("match_target", &*instance)], 4),
        (vec![("match_target", &*instance), ("metric", "pets")], 1),
        (vec![("match_target", "up")], 0),
        (vec![("match_target", "{job=\"none\"}")], 0),
        (vec![("metric", "pets")], 2),
        (vec![("metric", "hoard")], 0),
        (vec![("metric", "pets"), ("limit", "1")], 1),
        // The limit is looked at once per target.
        (vec![("limit", "1")], 4),
        (vec![("limit", "0")], 0),
        (vec![("limit", "-3")], 8),
    ] {
        let ask = Ask::get("/api/v1/targets/metadata", &params);
        let (expected, got) = (
            scene.privately(&ask).await.json(),
            scene.as_tenant("acme", &ask).await.json(),
        );
        // Of two targets that are alike, the store picks one by chance.
        let items = |answer: &Value| {
            let mut items: Vec<_> = answer["data"].as_array().unwrap().clone();
            if params.iter().any(|(name, _)| *name == "limit") {
                for item in &mut items {
                    item["target"]["instance"].take();
                }
            }
            items.sort_by_cached_key(Value::to_string);
            items
        };
        assert_eq!(items(&got), items(&expected), "{ask}");
        assert_eq!(items(&got).len(), count, "{ask}: {got:#}");
    }
    for params in [
        ("limit", "x"),
        ("match_target", "{"),
        ("match_target", "sum(up)"),
    ] {
        let ask = Ask::get("/api/v1/targets/metadata", &[params]);
        let got = scene.as_tenant("acme", &ask).await;
        let expected = scene.privately(&ask).await;
        assert_eq!(got.status, expected.status, "{ask}: {}", got.text());
        assert_eq!(got.json()["errorType"], "bad_data", "{ask}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_text_of_another_tenants_target_is_never_shown() {
    let scene = Scene::set().await;
    let ask = Ask::get("/api/v1/metadata", &[]);
    let got = scene.as_tenant("acme", &ask).await.json();
    assert_eq!(
        got["data"]["pets"],
        json!([{ "type": "gauge", "help": "Pets in the office.", "unit": "" }]),
        "{got:#}"
    );
    let limited = Ask::get("/api/v1/metadata", &[("limit", "2")]);
    let got = scene.as_tenant("acme", &limited).await.json();
    assert_eq!(got["data"].as_object().unwrap().len(), 2, "{got:#}");
}

const MERGED_METADATA: &str = r#"{"status":"success","data":{"pets":[{"type":"gauge","help":"What beta breeds.","unit":"beta"}]}}"#;
const PETS: &str = r#"{"status":"success","data":["pets"]}"#;

/// As Thanos, which merges the metadata of all targets and does not say whose they are.
#[tokio::test]
async fn upstream_without_metadata_of_targets_gives_types_alone() {
    for (status, expected) in [
        (404, 200),
        (400, 200),
        (405, 200),
        (501, 200),
        (500, 502),
        (503, 502),
    ] {
        let upstream = Upstream::start().await;
        let proxy = Partywall::start(Setup::new(&upstream.url)).await;
        let token = proxy.signer.tenant("acme");
        let missing = Reply {
            status,
            headers: vec![("content-type", "text/plain".to_owned())],
            body: "404 page not found\n".into(),
        };
        upstream.reply_at("/api/v1/targets/metadata", missing);
        upstream.reply_at("/api/v1/label/__name__/values", Reply::json(PETS));
        upstream.reply_at("/api/v1/metadata", Reply::json(MERGED_METADATA));
        let ask = Ask::get("/api/v1/metadata", &[]);
        let got = Client::default().ask(&proxy.url, &ask, Some(&token)).await;
        assert_eq!(got.status, expected, "{status}: {}", got.text());
        assert!(!got.text().contains("beta"), "{status}: {}", got.text());
        if expected == 200 {
            assert_eq!(
                got.json()["data"]["pets"],
                json!([{ "type": "gauge", "help": "", "unit": "" }]),
                "{status}"
            );
        }
    }
}

/// R1: what cannot be read is not passed on.
#[tokio::test]
async fn unreadable_answers_are_a_502_and_never_passed_on() {
    let upstream = Upstream::start().await;
    let proxy = Partywall::start(Setup::new(&upstream.url)).await;
    let client = Client::default();
    let token = proxy.signer.tenant("acme");
    let secret = r#"{"status":"success","data":{"secret-of-beta":1}}"#;
    let json = |status, headers: &[(&'static str, &str)], body: &str| Reply {
        status,
        headers: std::iter::once(("content-type", "application/json"))
            .chain(headers.iter().copied())
            .map(|(name, value)| (name, value.to_owned()))
            .collect(),
        body: body.to_owned().into(),
    };
    let replies = [
        (
            "truncated",
            json(200, &[], r#"{"status":"success","data":{"secret-of-beta"#),
        ),
        ("two values", json(200, &[], &format!("{secret}{secret}"))),
        ("gzip", json(200, &[("content-encoding", "gzip")], secret)),
        ("br", json(200, &[("content-encoding", "br")], secret)),
        ("empty", json(200, &[], "")),
        ("no object", json(200, &[], r#"["secret-of-beta"]"#)),
        (
            "an error that is none",
            json(200, &[], r#"{"status":"error","data":{"secret":1}}"#),
        ),
        (
            "206",
            json(206, &[("content-range", "bytes 0-5/10")], secret),
        ),
        ("204", json(204, &[], "")),
        (
            "301",
            json(301, &[("location", "http://secret-of-beta/")], secret),
        ),
        ("304", json(304, &[], "")),
        (
            "html",
            Reply {
                status: 200,
                headers: vec![("content-type", "text/html".to_owned())],
                body: "<p>secret-of-beta</p>".into(),
            },
        ),
    ];
    for (what, reply) in replies {
        for path in FILTERED {
            upstream.reply(reply.clone());
            let got = client
                .ask(&proxy.url, &Ask::get(path, &[]), Some(&token))
                .await;
            let text = format!("{what}, {path}: {} {}", got.status, got.text());
            assert_eq!(got.status, 502, "{text}");
            assert_eq!(got.json()["status"], "error", "{text}");
            assert!(
                !text.contains("secret") && got.header("location").is_empty(),
                "{text}"
            );
            for seen in upstream.take() {
                assert_eq!(
                    seen.header("accept-encoding").unwrap_or("identity"),
                    "identity"
                );
            }
        }
    }
    // Its JSON would be read as it is, but the client would unpack it first.
    for coding in ["gzip", "br", "identity, gzip"] {
        upstream.reply(json(200, &[("content-encoding", coding)], secret));
        let ask = Ask::get("/api/v1/query", &[("query", "up")]);
        let got = client.ask(&proxy.url, &ask, Some(&token)).await;
        let text = format!("{coding}: {} {}", got.status, got.text());
        assert_eq!(got.status, 502, "{text}");
        assert!(!text.contains("secret"), "{text}");
        upstream.take();
    }
    // R3: an upstream's 5xx may name others.
    for status in [500, 503] {
        for path in FILTERED
            .iter()
            .chain(&["/api/v1/query?query=up", "/api/v1/labels"])
        {
            let body = r#"{"status":"error","errorType":"internal","error":"secret-of-beta"}"#;
            upstream.reply(json(status, &[("x-thanos-store", "secret-of-beta")], body));
            let got = client
                .ask(&proxy.url, &Ask::get(path, &[]), Some(&token))
                .await;
            let text = format!("{path}: {} {:?} {}", got.status, got.headers, got.text());
            assert!(got.status.is_server_error(), "{text}");
            assert_eq!(got.json()["status"], "error", "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
    upstream.behave(Behaviour::HangUp);
    let got = client
        .ask(&proxy.url, &Ask::get("/api/v1/rules", &[]), Some(&token))
        .await;
    assert_eq!(
        (got.status.as_u16(), &got.json()["status"]),
        (502, &json!("error"))
    );
}

/// P8: with a base path in the upstream's URL, the same endpoints are filtered.
#[tokio::test]
async fn a_base_path_upstream_changes_nothing() {
    let upstream = Upstream::start().await;
    let proxy = Partywall::start(Setup::new(&format!("{}/prom/x", upstream.url))).await;
    let client = Client::default();
    let token = proxy.signer.tenant("acme");
    let alert = |tenant: &str| json!({"labels": {"tenant_id": tenant}, "state": "firing"});
    let rule = json!({"type": "alerting", "name": "x", "query": "up", "health": "ok", "labels": {},
        "annotations": {}, "alerts": [alert("acme"), alert("beta")]});
    let all = json!({"status": "success", "data": {"groups": [{"rules": [rule]}]}});
    upstream.reply(Reply::json(&all.to_string()));
    let got = client
        .ask(&proxy.url, &Ask::get("/api/v1/alerts", &[]), Some(&token))
        .await;
    assert_eq!(got.json()["data"]["alerts"], json!([alert("acme")]));
    assert_eq!(
        upstream.take_one().target,
        "/prom/x/api/v1/rules?type=alert"
    );
    let ask = Ask::get("/api/v1/query", &[("query", "up")]);
    upstream.reply(Reply::json(
        r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
    ));
    client.ask(&proxy.url, &ask, Some(&token)).await;
    let seen = upstream.take_one();
    assert_eq!(seen.path(), "/prom/x/api/v1/query");
    assert_eq!(seen.param("query"), [r#"up{tenant_id="acme"}"#]);
}

/// Rules, alerts, targets and metadata are the same for each way to say whose data they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selector_of_the_same_data_has_the_same_filtered_answers() {
    let scene = Scene::set().await;
    for path in FILTERED {
        let ask = Ask::get(path, &[]);
        let expected = lasting(&scene.as_tenant("acme", &ask).await);
        assert!(expected.to_string().contains("acme"), "{path}: {expected}");
        for tenant in ["expression", "all-others"] {
            let got = scene.as_tenant(tenant, &ask).await;
            assert_eq!(lasting(&got), expected, "{path} {tenant}");
        }
    }
}
