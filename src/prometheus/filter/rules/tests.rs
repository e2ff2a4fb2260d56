use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::testing::{acme, matcher, text};
use super::*;

const RECORDED: &[u8] = include_bytes!("../../../../tests/fixtures/prometheus/rules-2.42.json");

fn filtered(answer: &[u8]) -> Result<Value, Unreadable> {
    filtered_with(answer, false)
}

fn filtered_with(answer: &[u8], exclude_alerts: bool) -> Result<Value, Unreadable> {
    let options = RulesOptions {
        exclude_alerts,
        ..RulesOptions::default()
    };
    match rules(answer, &acme(), options) {
        Ok(out) => Ok(serde_json::from_str(&text(out)).unwrap()),
        Err(RulesError::Unreadable(error)) => Err(error),
        Err(RulesError::UnknownToken) => panic!("there is no page"),
    }
}

/// A page of groups that are the tenant's own (`o…`), shared and shown (`s…`), or not shown (`h…`).
fn page_of(
    groups: &[(&str, &str)],
    limit: usize,
    first: Option<&str>,
) -> Result<Value, RulesError> {
    let group = |(name, file): &(&str, &str)| {
        let with_rule = |patch: &Value| {
            let answer: Value = serde_json::from_slice(&with_rule(patch)).unwrap();
            answer["data"]["groups"][0].clone()
        };
        let mut group = match name.chars().next().unwrap() {
            'o' => with_rule(&json!({"labels": {"tenant_id": "acme"}})),
            's' => with_rule(&json!({})),
            _ => with_rule(&json!({"alerts": [alert("globex", "firing")]})),
        };
        group["name"] = (*name).into();
        group["file"] = (*file).into();
        group
    };
    let groups: Vec<Value> = groups.iter().map(group).collect();
    let answer = json!({"status": "success", "data": {"groups": groups}}).to_string();
    let options = RulesOptions {
        page: Some(GroupPage {
            limit: limit.try_into().unwrap(),
            first: first.map(str::to_owned),
        }),
        ..RulesOptions::default()
    };
    rules(answer.as_bytes(), &acme(), options).map(|out| serde_json::from_str(&text(out)).unwrap())
}

/// All groups, page by page.
fn all_pages(groups: &[(&str, &str)], limit: usize) -> Vec<Vec<String>> {
    let (mut pages, mut next) = (Vec::new(), None);
    loop {
        let page = page_of(groups, limit, next.as_deref()).unwrap();
        pages.push(names(&page).into_iter().map(|(name, _)| name).collect());
        next = page["data"]["groupNextToken"].as_str().map(str::to_owned);
        if next.is_none() || pages.len() > groups.len() {
            return pages;
        }
    }
}

const GROUPS: [(&str, &str); 7] = [
    ("h1", "/x/h.yml"),
    ("o1", "/x/o.yml"),
    ("h2", "/x/h.yml"),
    ("s", "/x/s.yml"),
    ("s", "/y/s.yml"),
    ("o2", "/x/o.yml"),
    ("h3", "/x/h.yml"),
];

#[test]
fn pages_are_cut_from_the_groups_that_are_shown() {
    assert_eq!(all_pages(&GROUPS, 1), [["o1"], ["s"], ["s"], ["o2"]]);
    assert_eq!(all_pages(&GROUPS, 2), [["o1", "s"], ["s", "o2"]]);
    assert_eq!(all_pages(&GROUPS, 3), [vec!["o1", "s", "s"], vec!["o2"]]);
    assert_eq!(all_pages(&GROUPS, 4), [["o1", "s", "s", "o2"]]);
    assert_eq!(all_pages(&GROUPS, 99), [["o1", "s", "s", "o2"]]);
    assert_eq!(all_pages(&GROUPS[..1], 1), [Vec::<&str>::new()]);
}

#[test]
fn page_tokens_are_those_of_prometheus_for_files_that_are_shown() {
    // From sha256sum.
    let of_o2 = "1a5a96d6909c3721ec94f3ae3819d18bba79cac300bda6e9fee307fba0103f50";
    let page = page_of(&GROUPS, 3, None).unwrap();
    assert_eq!(page["data"]["groupNextToken"], of_o2);
    let page = page_of(&GROUPS, 1, Some(of_o2)).unwrap();
    assert_eq!(names(&page)[0].0, "o2");
    // The folder is hidden, and not in the token.
    let of_s = "d29852783c9209c9d01228cb59048abe984cb2ea9ac2e07bec037289e8337eb9";
    let page = page_of(&GROUPS, 1, None).unwrap();
    assert_eq!(page["data"]["groupNextToken"], of_s);
}

#[test]
fn token_of_no_group_that_is_shown_is_an_error() {
    // sha256sum of `/x/h.yml;h2` is a token in the shared store.
    for token in [
        "dc1a7b30d65dda83ba81bcfe69b7432c7a70c0394bd7e4697d29e169fa96e7d1",
        "x",
        "",
    ] {
        assert_eq!(
            page_of(&GROUPS, 1, Some(token)),
            Err(RulesError::UnknownToken),
            "{token}"
        );
    }
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

/// One group with one alerting rule in Thanos' format, changed by `patch`.
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
fn recorded_response_keeps_own_rules_and_own_alerts_of_shared_ones() {
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
fn own_rules_are_unmodified() {
    let out = text(rules(RECORDED, &acme(), RulesOptions::default()).unwrap());
    let recorded = std::str::from_utf8(RECORDED).unwrap();
    let (own, _) = recorded.split_once(r#",{"name":"globex","#).unwrap();
    let (_, own) = own.split_once('[').unwrap();
    assert!(own.starts_with(r#"{"name":"acme","#) && out.contains(own));
}

#[test]
fn shared_rule_has_the_state_of_own_alerts() {
    let rule = rule_of(&json!({"lastError": "at globex", "secret": "globex"})).unwrap();
    assert_eq!(rule["state"], "pending");
    assert_eq!(rule["alerts"], json!([alert("acme", "pending")]));
    assert_eq!((rule.get("lastError"), rule.get("secret")), (None, None));
    assert_eq!(rule["duration"], 60.0);
    // A template for the tenant label makes no rule an own one.
    let template = rule_of(&json!({"labels": {"tenant_id": "{{ $labels.tenant_id }}"}})).unwrap();
    assert_eq!(template["alerts"], json!([alert("acme", "pending")]));
}

#[test]
fn group_without_visible_rules_is_removed() {
    for patch in [
        json!({"alerts": [alert("globex", "firing")]}),
        json!({"alerts": []}),
        json!({"alerts": null}),
        json!({"query": "up{tenant_id=\"globex\"} or up"}),
        json!({"query": "label_replace(up, \"peer\", \"globex\", \"\", \"\")"}),
        json!({"alerts": [{"labels": {"tenant_id": ""}, "state": "firing"}, {"state": "firing"}]}),
        json!({"type": "recording"}),
        json!({"type": "recording", "labels": {"tenant_id": "globex"}}),
        json!({"labels": {"tenant_id": "globex"}, "alerts": [alert("globex", "firing")]}),
    ] {
        assert_eq!(rule_of(&patch), None, "{patch}");
    }
}

#[test]
fn own_rule_loses_only_foreign_alerts() {
    let unlabelled = json!({"labels": {"alertname": "x"}, "state": "inactive"});
    let own = json!({"tenant_id": "acme"});
    let rule = rule_of(&json!({"labels": own, "alerts": [alert("globex", "firing"), unlabelled]}))
        .unwrap();
    assert_eq!(rule["alerts"], json!([unlabelled]));
    assert_eq!(rule["state"], "inactive");
    // Not even if its expression names other tenants: its labels determine its owner.
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

/// A shared rule's alert of acme, with a label, an annotation and a value.
fn acme_with(label: &str, annotation: &str) -> Value {
    json!({"labels": {"alertname": "Shared", "tenant_id": "acme", "job": "node", "l": label},
        "annotations": {"a": annotation}, "state": "firing", "activeAt": "2026-11-21T08:08:13Z",
        "value": "9e+00"})
}

/// What is shown of a rule with this template for a label and an annotation, and of its alert.
fn shown(template: &str, made: &str) -> Value {
    let rule = rule_of(
        &json!({"labels": {"l": template}, "annotations": {"a": template},
        "alerts": [acme_with(made, made)]}),
    )
    .unwrap();
    assert_eq!(rule["labels"]["l"], rule["annotations"]["a"]);
    let alert = &rule["alerts"][0];
    assert_eq!(alert["labels"]["l"], alert["annotations"]["a"]);
    assert_eq!(alert["labels"]["job"], "node");
    json!([rule["labels"]["l"], alert["labels"]["l"]])
}

#[test]
fn shared_rule_texts_are_shown_only_if_their_content_is_certain() {
    for (template, made) in [
        ("page the platform", "page the platform"),
        ("{{ $labels.tenant_id }}: {{ $value }}", "acme: 9"),
        (
            "{{ printf \"%.1f%%\" $value }} in {{ .Labels.job | toUpper }}",
            "9.0% in NODE",
        ),
    ] {
        assert_eq!(shown(template, made), json!([template, made]));
    }
    // Understood, but the text was not made by this template.
    assert_eq!(shown("page us", "globex"), json!(["page us", ""]));
    assert_eq!(
        shown("{{ $value }}", "globex 9"),
        json!(["{{ $value }}", ""])
    );
    // The metric's name is not a label of the alert.
    let name = "{{ $labels.__name__ }}";
    assert_eq!(shown(name, "globex_up"), json!([name, ""]));
    for template in [
        "{{ query \"up\" | first | value }}",
        "{{ $x := \"globex\" }}{{ $x }}",
        "{{ with $labels.tenant_id }}{{ . }}{{ end }}",
        "{{ range query \"up\" }}{{ .Labels.tenant_id }}{{ end }}",
        "{{ if eq $labels.tenant_id `globex` }}call Ann{{ end }}",
        "{{ $externalLabels.tenant_id }}",
    ] {
        assert_eq!(shown(template, "globex"), json!(["", ""]), "{template}");
        assert_eq!(shown(template, "acme"), json!(["", ""]), "{template}");
    }
}

#[test]
fn annotation_that_the_rule_lacks_is_hidden() {
    let alerts = json!([acme_with("x", "globex")]);
    let rule = rule_of(&json!({"annotations": {}, "alerts": alerts})).unwrap();
    assert_eq!(rule["alerts"][0]["annotations"], json!({"a": ""}));
    // A label that no template makes comes from the series.
    assert_eq!(rule["alerts"][0]["labels"]["l"], "x");
}

#[test]
fn shared_rule_never_shows_foreign_tenant_labels() {
    let both = Matchers::new(matcher("tenant_id", &["acme"]), [matcher("env", &["prod"])]);
    let alert = json!({"labels": {"tenant_id": "acme", "env": "prod"}, "state": "firing",
        "annotations": {}, "value": "9"});
    let of = |labels: Value| {
        let answer = with_rule(&json!({"labels": labels, "alerts": [alert]}));
        let out = rules(&answer, &both, RulesOptions::default()).unwrap();
        let out: Value = serde_json::from_slice(&out).unwrap();
        out["data"]["groups"][0]["rules"][0].clone()
    };
    let rule = of(json!({"env": "test"}));
    assert_eq!(rule["labels"]["env"], "");
    assert_eq!(rule["alerts"][0]["labels"], alert["labels"]);
    let rule = of(json!({"env": "prod"}));
    assert_eq!(rule["labels"]["env"], "prod");
    // The series may have been another tenant's.
    assert_eq!(rule["alerts"][0]["value"], "");
    let rule = of(json!({"env": "{{ query `up` }}"}));
    assert_eq!(
        (&rule["labels"]["env"], &rule["alerts"][0]["labels"]["env"]),
        (&json!(""), &json!("prod"))
    );
    let rule = of(json!({"env": "{{ $labels.env }}"}));
    assert_eq!(rule["alerts"][0]["value"], "9");
}

#[test]
fn numbers_are_shown_only_if_derived_from_own_series() {
    let of = |patch: Value| {
        let mut rule =
            json!({"annotations": {"a": "{{ $value }}"}, "alerts": [acme_with("", "9")]});
        for (key, value) in patch.as_object().unwrap() {
            rule[key] = value.clone();
        }
        let rule = rule_of(&rule).unwrap();
        let alert = &rule["alerts"][0];
        json!([alert["value"], alert["annotations"]["a"]])
    };
    assert_eq!(of(json!({})), json!(["9e+00", "9"]));
    for patch in [
        json!({"query": "up / on () group_left () sum(up)"}),
        json!({"query": "up > scalar(load)"}),
        // Its alerts are still those of the rule that it replaced.
        json!({"health": "unknown"}),
        json!({"health": "err"}),
        json!({"labels": {"tenant_id": "{{ $labels.team }}"}}),
    ] {
        assert_eq!(of(patch.clone()), json!(["", ""]), "{patch}");
    }
}

#[test]
fn hidden_label_cannot_be_guessed_by_match() {
    let answer = |template: &str| {
        with_rule(&json!({"labels": {"l": template}, "alerts": [acme_with("", "")]}))
    };
    let options = RulesOptions {
        by_labels: true,
        ..RulesOptions::default()
    };
    let shows = |template: &str| {
        text(rules(&answer(template), &acme(), options.clone()).unwrap()).contains("Shared")
    };
    assert!(shows("page") && shows("{{ $labels.job }}"));
    assert!(!shows("{{ if eq $labels.tenant_id \"globex\" }}x{{ end }}"));
}

#[test]
fn folder_of_shared_rules_is_hidden_and_cannot_be_guessed() {
    let in_folder = |patch: Value, by_files: bool| {
        let answer =
            text(with_rule(&patch)).replace(r#""file":"f""#, r#""file":"/etc/globex/f.yml""#);
        let options = RulesOptions {
            by_files,
            ..RulesOptions::default()
        };
        let out = rules(answer.as_bytes(), &acme(), options).unwrap();
        let out: Value = serde_json::from_slice(&out).unwrap();
        out["data"]["groups"][0]["file"].clone()
    };
    assert_eq!(in_folder(json!({}), false), "f.yml");
    assert_eq!(in_folder(json!({}), true), Value::Null);
    let own = json!({"labels": {"tenant_id": "acme"}});
    assert_eq!(in_folder(own.clone(), false), "/etc/globex/f.yml");
    assert_eq!(in_folder(own, true), "/etc/globex/f.yml");
}

const RECORDED_ALERTS: &[u8] =
    include_bytes!("../../../../tests/fixtures/prometheus/alerts-2.42.json");

fn alerts_of(rules: &[u8]) -> Value {
    serde_json::from_slice(&alerts(rules, &acme()).unwrap()).unwrap()
}

#[test]
fn alerts_derived_from_rules_equal_those_of_prometheus() {
    let out = alerts_of(RECORDED);
    let mut recorded: Value = serde_json::from_slice(RECORDED_ALERTS).unwrap();
    let list = recorded["data"]["alerts"].as_array_mut().unwrap();
    let all = list.len();
    list.retain(|alert| alert["labels"]["tenant_id"] == "acme");
    assert!(!list.is_empty() && list.len() < all);
    assert_eq!(out, recorded);
}

#[test]
fn alerts_of_a_hidden_rule_are_shown_without_its_texts() {
    let mut own = acme_with("globex", "globex");
    own["labels"]["peer"] = json!("globex");
    own["annotations"]["peer"] = json!("globex");
    let out = alerts_of(&with_rule(&json!({
        "query": "up == on () group_left (peer) label_replace(up, \"peer\", \"globex\", \"\", \"\")",
        "labels": {"l": "{{ query \"up\" }}"},
        "annotations": {"a": "{{ with query \"up\" }}{{ . }}{{ end }}", "peer": "{{ $labels.peer }}"},
        "alerts": [own, alert("globex", "firing")],
    })));
    assert_eq!(
        out["data"]["alerts"],
        json!([{"labels": {"alertname": "Shared", "tenant_id": "acme", "job": "node", "l": "",
                "peer": ""},
            "annotations": {"a": "", "peer": ""}, "state": "firing", "activeAt": "2026-11-21T08:08:13Z",
            "value": ""}])
    );
}

#[test]
fn alerts_of_own_rules_are_unmodified() {
    let own = json!({"labels": {"tenant_id": "acme"}, "query": "sum(up)",
        "annotations": {"a": "{{ query \"up\" | first | value }}"},
        "alerts": [acme_with("x", "9"), alert("globex", "firing"), {"labels": {}}]});
    let out = alerts_of(&with_rule(&own));
    assert_eq!(out["data"]["alerts"], json!([acme_with("x", "9")]));
    let none = alerts_of(&with_rule(&json!({"alerts": null})));
    assert_eq!(none["data"]["alerts"], json!([]));
}

#[test]
fn groups_show_only_known_keys() {
    let out = filtered(&with_rule(&json!({}))).unwrap();
    let group = out["data"]["groups"][0].as_object().unwrap();
    assert_eq!(group.get("totals"), None);
    assert_eq!(group["partialResponseStrategy"], "ABORT");
    assert_eq!(out["data"].get("groupNextToken"), None);
}

#[test]
fn alerts_are_excluded_after_determining_the_state() {
    let out = filtered_with(&with_rule(&json!({})), true).unwrap();
    let rule = &out["data"]["groups"][0]["rules"][0];
    assert_eq!(
        (&rule["alerts"], &rule["state"]),
        (&Value::Null, &json!("pending"))
    );
}

#[test]
fn every_matcher_must_match() {
    let both = Matchers::new(matcher("tenant_id", &["acme"]), [matcher("env", &["prod"])]);
    let options = RulesOptions::default();
    let of = |labels: Value, alert: Value| {
        let alerts = json!([{"labels": alert, "state": "firing"}]);
        let answer = with_rule(&json!({"labels": labels, "alerts": alerts}));
        text(rules(&answer, &both, options.clone()).unwrap()).contains("Shared")
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
fn unknown_format_is_refused() {
    for patch in [
        json!({"type": "metric"}),
        json!({"type": null}),
        json!({"labels": []}),
        json!({"alerts": {}}),
        json!({"alerts": [alert("acme", "exploded")]}),
        json!({"alerts": [{"labels": {"tenant_id": "acme"}}]}),
        json!({"query": 1}),
        json!({"health": 1}),
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

/// A shared rule, with `globex` in one of the positions where another tenant's name or data can
/// occur.
fn planted() -> impl Strategy<Value = Value> {
    const QUERIES: [&str; 6] = [
        "up == 0",
        "up{tenant_id!=\"globex\"}",
        "label_replace(up, \"x\", \"globex\", \"\", \"\")",
        "up == on () group_left () count_values(\"globex corp\", up)",
        "label_join(up, \"x\", \"globex\", \"y\")",
        "up and \"globex\"",
    ];
    const TEMPLATES: [&str; 12] = [
        "plain",
        "{{ $labels.job }}",
        "{{ $labels.peer }}",
        "{{ $value }}",
        "{{ humanize $value }} at {{ $labels.tenant_id }}",
        "{{ query \"up{tenant_id='globex'}\" | first | value }}",
        "{{ $x := \"globex\" }}{{ $x }}",
        "{{ with \"globex\" }}{{ . }}{{ end }}",
        "{{ range query \"up\" }}globex{{ end }}",
        "{{ if eq $labels.tenant_id \"globex\" }}a{{ end }}",
        "{{ printf \"globex %s\" $labels.job }}",
        "{{ $labels.job | reReplaceAll \".*\" \"globex\" }}",
    ];
    let template = || prop::sample::select(&TEMPLATES[..]);
    let made =
        || prop::sample::select(&["globex", "9", "node", "9 globex", "", "globex at acme"][..]);
    let extra = prop::sample::select(
        &[
            "lastError",
            "source_tenants",
            "duration_globex",
            "keep",
            "annotations_globex",
        ][..],
    );
    let query = prop::sample::select(&QUERIES[..]);
    let parts = (
        query,
        template(),
        template(),
        made(),
        made(),
        extra,
        any::<bool>(),
    );
    parts.prop_map(|(query, label, annotation, made_label, made_annotation, extra, ok)| {
        let mut alert = acme_with(made_label, made_annotation);
        alert["generatorURL"] = json!("globex");
        let mut rule = json!({"query": query, "labels": {"l": label}, "annotations": {"a": annotation},
            "alerts": [alert, self::alert("globex", "firing")],
            "health": if ok { "ok" } else { "err" }});
        rule[extra] = json!("globex");
        rule
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn foreign_data_in_a_shared_rule_is_never_shown(patch in planted()) {
        let answer = with_rule(&patch);
        for options in [false, true] {
            let out = filtered_with(&answer, options).unwrap().to_string();
            prop_assert!(!out.contains("globex"), "{}", out);
        }
        let out = alerts_of(&answer).to_string();
        prop_assert!(!out.contains("globex") && out.contains("acme"), "{}", out);
    }
}
