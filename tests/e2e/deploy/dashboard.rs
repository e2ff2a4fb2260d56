//! `k8s/components/grafana`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::repository::{list, string, text, yaml};
use super::series::exposed;

fn dashboard() -> Value {
    serde_json::from_str(&text("k8s/components/grafana/dashboards/partywall.json")).unwrap()
}

fn expressions(dashboard: &Value) -> Vec<String> {
    list(&dashboard["panels"])
        .iter()
        .flat_map(|panel| list(&panel["targets"]))
        .map(|target| string(&target["expr"]).to_owned())
        .collect()
}

/// Grafana's variables as it would fill them in.
fn filled_in(expr: &str) -> String {
    expr.replace("$__rate_interval", "5m")
        .replace("$__range", "3h")
        .replace("$job", ".*")
        .replace("$instance", ".*")
}

#[tokio::test]
async fn panels_ask_for_series_that_there_are() {
    let exposed = exposed().await;
    let expressions = expressions(&dashboard());
    assert!(expressions.len() > 30);
    for expr in expressions {
        assert!(
            expr.contains(r#"job=~"$job", instance=~"$instance""#),
            "not chosen by the variables: {expr}"
        );
        let filled = filled_in(&expr);
        assert!(!filled.contains('$'), "an unknown variable: {expr}");
        exposed.has_all_of(&filled);
    }
}

/// What is exposed and in no panel is missed when it is needed.
#[tokio::test]
async fn every_series_is_in_a_panel() {
    let all = expressions(&dashboard()).concat();
    let exposed = exposed().await;
    let shown = |name: &str| {
        // Of a histogram the buckets say all.
        name.ends_with("_sum") || name.ends_with("_count") || all.contains(name)
    };
    let missing: Vec<_> = exposed
        .names()
        .filter(|name| name.starts_with("partywall_") && !shown(name))
        .collect();
    assert!(missing.is_empty(), "in no panel: {missing:?}");
}

#[test]
fn panels_have_ids_of_their_own_a_title_and_the_chosen_data_source() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut titles = BTreeSet::new();
    for panel in list(&dashboard["panels"]) {
        let title = string(&panel["title"]);
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id");
        assert!(titles.insert(title), "{title} is there twice");
        match string(&panel["type"]) {
            "row" => continue,
            "stat" | "timeseries" => {}
            other => panic!("{title} is a {other}"),
        }
        let source = serde_json::json!({"type": "prometheus", "uid": "${datasource}"});
        assert_eq!(panel["datasource"], source, "{title}");
        let targets = list(&panel["targets"]);
        assert!(!targets.is_empty(), "{title} asks nothing");
        let names: BTreeSet<_> = targets.iter().map(|t| string(&t["refId"])).collect();
        assert_eq!(names.len(), targets.len(), "{title}: refIds");
        for target in targets {
            assert_eq!(target["datasource"], source, "{title}");
        }
    }
}

#[test]
fn panels_lie_on_the_grid_and_not_on_each_other() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    for panel in list(&dashboard["panels"]) {
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{} is too wide", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{} covers another", panel["title"]);
            }
        }
    }
}

#[test]
fn the_data_sources_forward_the_user_to_partywall() {
    let sources = yaml("k8s/components/grafana/datasources.yaml");
    let sources = list(&sources["datasources"]);
    let uids: BTreeSet<_> = sources.iter().map(|s| string(&s["uid"])).collect();
    let types: BTreeSet<_> = sources.iter().map(|s| string(&s["type"])).collect();
    assert_eq!(types, ["alertmanager", "prometheus", "tempo"].into());
    for source in sources {
        assert_eq!(source["jsonData"]["oauthPassThru"], true, "{source}");
        assert_eq!(source["access"], "proxy", "{source}");
        assert_eq!(source["url"], "http://partywall:8080", "{source}");
        for (key, value) in source["jsonData"].as_object().unwrap() {
            let links = list(value)
                .iter()
                .chain([value])
                .filter_map(|link| link["datasourceUid"].as_str());
            for uid in links {
                assert!(uids.contains(uid), "{key} links to {uid}");
            }
        }
    }
    let metrics = sources.iter().find(|s| s["type"] == "prometheus").unwrap();
    assert_eq!(metrics["jsonData"]["httpMethod"], "POST");
    let alerts = sources
        .iter()
        .find(|s| s["type"] == "alertmanager")
        .unwrap();
    assert_eq!(alerts["jsonData"]["implementation"], "prometheus");
}
