//! `k8s/components/alerts`.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::repository::{documents, files, list, named, root, string, text, yaml};
use super::series::exposed;
use super::tools;
use crate::kit::process::find_tool;

const FOLDER: &str = "k8s/components/alerts";

/// The rules as Prometheus reads them, in a folder with their tests.
fn rules_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let spec = yaml(&format!("{FOLDER}/alerts.yaml"))["spec"].to_string();
    // JSON is YAML.
    std::fs::write(folder.path().join("alerts.rules.yaml"), spec).unwrap();
    std::fs::copy(
        root().join(FOLDER).join("tests.yaml"),
        folder.path().join("tests.yaml"),
    )
    .unwrap();
    folder
}

pub fn alerts() -> Vec<Value> {
    let groups = yaml(&format!("{FOLDER}/alerts.yaml"));
    let rules = &named(&groups["spec"]["groups"], "partywall")["rules"];
    list(rules).to_vec()
}

fn promtool(arguments: &[&str]) {
    let folder = rules_folder();
    let mut promtool = Command::new(find_tool("promtool"));
    tools::run(promtool.args(arguments).current_dir(folder.path()));
}

#[test]
fn promtool_reads_the_rules() {
    promtool(&["check", "rules", "alerts.rules.yaml"]);
}

#[test]
fn every_alert_fires_by_its_trouble_and_is_still_without() {
    promtool(&["test", "rules", "tests.yaml"]);
}

#[test]
fn every_alert_has_a_test_for_both() {
    let tests = documents("tests.yaml", &text(&format!("{FOLDER}/tests.yaml"))).remove(0);
    let fires = |alert: &str| {
        let label = format!("{{alertname=\"{alert}\"}}");
        let samples = list(&tests["tests"])
            .iter()
            .flat_map(|test| list(&test["promql_expr_test"]))
            .flat_map(|check| list(&check["exp_samples"]));
        samples.into_iter().any(|sample| sample["labels"] == label)
    };
    for alert in alerts() {
        let alert = string(&alert["alert"]);
        assert!(fires(alert), "no test shows {alert} fire");
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_where_to_read_on() {
    let mut names = BTreeSet::new();
    for rule in alerts() {
        let alert = string(&rule["alert"]);
        assert!(alert.starts_with("Partywall"), "{alert}");
        assert!(names.insert(alert.to_owned()), "{alert} is there twice");
        let severity = string(&rule["labels"]["severity"]);
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{alert}: {severity}"
        );
        for annotation in ["summary", "description", "runbook_url"] {
            assert!(
                !string(&rule["annotations"][annotation]).is_empty(),
                "{alert}: no {annotation}"
            );
        }
    }
}

#[tokio::test]
async fn alerts_ask_for_series_that_there_are() {
    let exposed = exposed().await;
    for rule in alerts() {
        exposed.has_all_of(string(&rule["expr"]));
    }
}

/// A reason that nothing is refused for would make an alert that never fires.
#[test]
fn reasons_that_alerts_name_are_in_the_source() {
    let sources: String = files("src")
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let mut seen = 0;
    for rule in alerts() {
        let expr = string(&rule["expr"]);
        for matcher in expr.split("reason").skip(1) {
            let Some(words) = matcher.split('"').nth(1).filter(|_| {
                matcher.starts_with("=\"") || matcher.starts_with("=~") || matcher.starts_with("!~")
            }) else {
                continue;
            };
            for word in words.split('|') {
                seen += 1;
                assert!(
                    sources.contains(&format!("\"{word}\"")),
                    "no reason {word}: {expr}"
                );
            }
        }
    }
    assert!(seen > 3, "only {seen} reasons were found");
}
