use serde_json::{Value, json};

use super::super::testing::{acme, matcher, text};
use super::*;

const RECORDED: &[u8] = include_bytes!("../../../../tests/fixtures/prometheus/rules-2.42.json");

fn filtered(answer: &[u8]) -> Result<Value, Unreadable> {
    filtered_with(answer, false)
}

fn filtered_with(answer: &[u8], exclude_alerts: bool) -> Result<Value, Unreadable> {
    let mentions_foreign = |query: &str| query.contains("globex");
    let options = RulesOptions {
        exclude_alerts,
        mentions_foreign: &mentions_foreign,
    };
    rules(answer, &acme(), options).map(|out| serde_json::from_str(&text(out)).unwrap())
}

fn names(answer: &Value) -> Vec<(String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let groups = answer["data"]["groups"].as_array().unwrap();
    groups
        .iter()
        .map(|group| {
            let rules = group["rules"].as_array().unwrap();
            (
                text(&group["name"]),
                rules.iter().map(|rule| text(&rule["name"])).collect(),
            )
        })
        .collect()
}

/// One group with one alerting rule that is like Thanos', changed by `patch`.
fn with_rule(patch: &Value) -> Vec<u8> {
    let mut rule = json!({
        "state": "firing", "name": "Shared", "query": "up == 0", "duration": 60.0, "labels": {},
        "annotations": {}, "alerts": [alert("acme", "pending"), alert("globex", "firing")],
        "health": "ok", "evaluationTime": 0.1, "lastEvaluation": "2026-11-21T08:08:13Z",
        "keepFiringFor": 0, "type": "alerting",
    });
    for (key, value) in patch.as_object().unwrap() {
        rule[key] = value.clone();
    }
    json!({"status": "success", "data": {"groups": [{
        "name": "g", "file": "f", "rules": [rule], "interval": 30.0, "evaluationTime": 0.2,
        "lastEvaluation": "2026-11-21T08:08:13Z", "limit": 0, "partialResponseStrategy": "ABORT",
        "totals": {"globex": 7},
    }], "groupNextToken": "abc"}})
    .to_string()
    .into_bytes()
}

fn alert(tenant: &str, state: &str) -> Value {
    json!({"labels": {"alertname": "Shared", "tenant_id": tenant}, "annotations": {},
        "state": state, "activeAt": "2026-11-21T08:08:13Z", "value": "1", "partialResponseStrategy": "WARN"})
}

fn rule_of(patch: &Value) -> Option<Value> {
    let answer = filtered(&with_rule(patch)).unwrap();
    answer["data"]["groups"]
        .as_array()
        .unwrap()
        .first()
        .map(|group| group["rules"][0].clone())
}

#[test]
fn a_recorded_answer_keeps_own_rules_and_own_alerts_of_shared_ones() {
    let out = filtered(RECORDED).unwrap();
    assert_eq!(
        names(&out),
        [
            (
                "acme".to_owned(),
                vec!["acme:up:sum".to_owned(), "AcmeUp".to_owned()]
            ),
            (
                "shared".to_owned(),
                vec!["AnyUp".to_owned(), "Pending".to_owned()]
            ),
        ]
    );
    assert!(!out.to_string().contains("globex"));
    let shared = &out["data"]["groups"][1]["rules"];
    assert_eq!(shared[0]["alerts"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&shared[0]["state"], &shared[1]["state"]),
        (&json!("firing"), &json!("pending"))
    );
}

#[test]
fn own_rules_stay_byte_for_byte() {
    let out = text(
        rules(
            RECORDED,
            &acme(),
            RulesOptions {
                exclude_alerts: false,
                mentions_foreign: &|_| false,
            },
        )
        .unwrap(),
    );
    let recorded = std::str::from_utf8(RECORDED).unwrap();
    let (own, _) = recorded.split_once(r#",{"name":"globex","#).unwrap();
    let (_, own) = own.split_once('[').unwrap();
    assert!(own.starts_with(r#"{"name":"acme","#) && out.contains(own));
}

#[test]
fn a_shared_rule_is_that_of_its_own_alerts() {
    let rule = rule_of(&json!({"lastError": "at globex", "secret": "globex"})).unwrap();
    assert_eq!(rule["state"], "pending");
    assert_eq!(rule["alerts"], json!([alert("acme", "pending")]));
    assert_eq!((rule.get("lastError"), rule.get("secret")), (None, None));
    assert_eq!(rule["duration"], 60.0);
    // A template for the tenant label does not make it anyone's own.
    let template = rule_of(&json!({"labels": {"tenant_id": "{{ $labels.tenant_id }}"}})).unwrap();
    assert_eq!(template["alerts"], json!([alert("acme", "pending")]));
}

#[test]
fn a_shared_rule_that_is_not_for_this_tenant_goes_with_its_group() {
    for patch in [
        json!({"alerts": [alert("globex", "firing")]}),
        json!({"alerts": []}),
        json!({"alerts": null}),
        json!({"query": "up{tenant_id=\"globex\"} or up"}),
        json!({"alerts": [{"labels": {"tenant_id": ""}, "state": "firing"}, {"state": "firing"}]}),
        json!({"type": "recording"}),
        json!({"type": "recording", "labels": {"tenant_id": "globex"}}),
        json!({"labels": {"tenant_id": "globex"}, "alerts": [alert("globex", "firing")]}),
    ] {
        assert_eq!(rule_of(&patch), None, "{patch}");
    }
}

#[test]
fn an_own_rule_loses_only_foreign_alerts() {
    let unlabelled = json!({"labels": {"alertname": "x"}, "state": "inactive"});
    let own = json!({"tenant_id": "acme"});
    let rule = rule_of(&json!({"labels": own, "alerts": [alert("globex", "firing"), unlabelled]}))
        .unwrap();
    assert_eq!(rule["alerts"], json!([unlabelled]));
    assert_eq!(rule["state"], "inactive");
    // Not even if its expression names others: its owner is who it is labelled for.
    let query = json!({"labels": own, "query": "up{tenant_id=\"globex\"}", "alerts": []});
    assert_eq!(rule_of(&query).unwrap()["state"], "firing");
    let failed =
        json!({"labels": own, "lastError": "found duplicate series: {tenant_id=\"globex\"}"});
    assert!(
        !rule_of(&failed).unwrap()["lastError"]
            .to_string()
            .contains("globex")
    );
    let harmless = "vector contains metrics with the same labelset after applying alert labels";
    let failed = json!({"labels": own, "lastError": harmless});
    assert_eq!(rule_of(&failed).unwrap()["lastError"], harmless);
}

#[test]
fn annotations_that_may_name_others_become_empty() {
    let shared = json!({"annotations": {
        "plain": "{{ $labels.tenant_id }} at {{ printf \"%.2f\" $value }}",
        "query": "{{ query \"up{tenant_id='globex'}\" }}",
        "branch": "{{ if eq $labels.tenant_id `globex` }}call Ann{{ end }}",
    }});
    assert_eq!(
        rule_of(&shared).unwrap()["annotations"],
        json!({"plain": "{{ $labels.tenant_id }} at {{ printf \"%.2f\" $value }}", "query": "", "branch": ""})
    );
}

#[test]
fn groups_show_only_what_is_known() {
    let out = filtered(&with_rule(&json!({}))).unwrap();
    let group = out["data"]["groups"][0].as_object().unwrap();
    assert_eq!(group.get("totals"), None);
    assert_eq!(group["partialResponseStrategy"], "ABORT");
    assert_eq!(out["data"].get("groupNextToken"), None);
}

#[test]
fn alerts_are_excluded_after_they_decided() {
    let out = filtered_with(&with_rule(&json!({})), true).unwrap();
    let rule = &out["data"]["groups"][0]["rules"][0];
    assert_eq!(
        (&rule["alerts"], &rule["state"]),
        (&Value::Null, &json!("pending"))
    );
}

#[test]
fn every_matcher_counts() {
    let both = Matchers::new(matcher("tenant_id", &["acme"]), [matcher("env", &["prod"])]);
    let options = RulesOptions {
        exclude_alerts: false,
        mentions_foreign: &|_| false,
    };
    let of = |labels: Value, alert: Value| {
        let alerts = json!([{"labels": alert, "state": "firing"}]);
        let answer = with_rule(&json!({"labels": labels, "alerts": alerts}));
        text(rules(&answer, &both, options).unwrap()).contains("Shared")
    };
    assert!(of(
        json!({"tenant_id": "acme"}),
        json!({"tenant_id": "acme", "env": "prod"})
    ));
    assert!(!of(
        json!({"tenant_id": "acme"}),
        json!({"tenant_id": "acme", "env": "test"})
    ));
    assert!(!of(
        json!({"tenant_id": "acme"}),
        json!({"tenant_id": "acme"})
    ));
}

#[test]
fn what_is_not_understood_is_not_passed_on() {
    for patch in [
        json!({"type": "metric"}),
        json!({"type": null}),
        json!({"labels": []}),
        json!({"alerts": {}}),
        json!({"alerts": [alert("acme", "exploded")]}),
        json!({"alerts": [{"labels": {"tenant_id": "acme"}}]}),
        json!({"query": 1}),
        json!({"annotations": {"a": 1}}),
    ] {
        assert!(filtered(&with_rule(&patch)).is_err(), "{patch}");
    }
    let good = String::from_utf8(with_rule(&json!({}))).unwrap();
    for (from, to) in [
        (
            r#""labels":{}"#,
            r#""labels":{},"labels":{"tenant_id":"acme"}"#,
        ),
        (
            r#""tenant_id":"globex""#,
            r#""tenant_id":"globex","tenant_id":"acme""#,
        ),
        (
            r#""type":"alerting""#,
            r#""type":"alerting","type":"recording""#,
        ),
        (r#""rules":["#, r#""rules":[],"rules":["#),
        (r#""groups":["#, r#""groups":[1,"#),
        (r#""success""#, r#""error""#),
    ] {
        assert!(good.contains(from));
        assert!(
            filtered(good.replacen(from, to, 1).as_bytes()).is_err(),
            "{to}"
        );
    }
    assert!(filtered(&good.as_bytes()[..good.len() - 1]).is_err());
}
