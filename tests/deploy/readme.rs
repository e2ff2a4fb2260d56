//! README's operator sections.

use std::collections::BTreeSet;

use super::alerts::alerts;
use super::repository::{root, string, text};

/// Headings below `## Runbook`.
fn runbook() -> BTreeSet<String> {
    let readme = text("README.md");
    let after = readme.split("\n## Runbook\n").nth(1).expect("a runbook");
    let section = after.split("\n## ").next().unwrap();
    section
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_alert_has_an_entry_in_the_runbook_and_leads_there() {
    let mut named = BTreeSet::new();
    for rule in alerts() {
        let alert = string(&rule["alert"]);
        let url = string(&rule["annotations"]["runbook_url"]);
        let anchor = url.split_once('#').expect("an anchor").1;
        // A heading of one word is its own anchor, in small letters.
        assert_eq!(anchor, alert.to_lowercase());
        named.insert(alert.to_owned());
    }
    assert_eq!(named, runbook());
}

#[test]
fn what_readme_links_to_is_there() {
    let readme = text("README.md");
    let mut seen = 0;
    for link in readme.split("](").skip(1) {
        let target = link.split(')').next().unwrap();
        if target.starts_with("http") || target.starts_with('#') {
            continue;
        }
        seen += 1;
        let path = target.split('#').next().unwrap();
        assert!(root().join(path).exists(), "README links to {target}");
    }
    assert!(seen > 5);
}
