//! The operators' pages: README.md and docs/.

use std::collections::BTreeSet;

use super::alerts::alerts;
use super::repository::{documents, root, string, yaml};
use crate::kit::docs::{page, pages};
use partywall::reason::Reason;

/// The headings of the runbook.
fn runbook() -> BTreeSet<String> {
    page("docs/runbook.md")
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_alert_links_to_its_entry_in_the_runbook() {
    let mut named = BTreeSet::new();
    for rule in alerts() {
        let alert = string(&rule["alert"]);
        let url = string(&rule["annotations"]["runbook_url"]);
        let (page, anchor) = url.split_once('#').expect("an anchor");
        assert!(page.ends_with("/docs/runbook.md"), "{url}");
        // A heading of one word is its own anchor, in small letters.
        assert_eq!(anchor, alert.to_lowercase());
        named.insert(alert.to_owned());
    }
    assert_eq!(named, runbook());
}

/// The anchors that a page's headings get: small letters, hyphens for spaces, nothing else.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let title = heading.trim_start_matches('#').trim().to_lowercase();
            title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

/// Every relative link leads to a file of the repository, and to a heading of it where it names one.
#[test]
fn links_lead_to_files_and_headings_that_exist() {
    let mut checked = 0;
    for page in pages() {
        let file = root().join(&page.path);
        for link in page.text.split("](").skip(1) {
            let target = link.split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            checked += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let linked = if path.is_empty() {
                file.clone()
            } else {
                file.parent().unwrap().join(path)
            };
            assert!(linked.exists(), "{} links to {target}", page.path);
            if !anchor.is_empty() {
                let text = std::fs::read_to_string(&linked).unwrap();
                assert!(
                    anchors(&text).contains(anchor),
                    "{} links to {target}, which has no such heading",
                    page.path
                );
            }
        }
    }
    assert!(checked > 30, "only {checked} links");
}

/// No page is left that README.md does not lead to.
#[test]
fn readme_links_to_every_page() {
    let readme = page("README.md");
    for page in pages().iter().filter(|page| page.path != "README.md") {
        assert!(
            readme.contains(&format!("]({}", page.path)),
            "README.md does not link to {}",
            page.path
        );
    }
}

#[test]
fn minimal_configuration_in_readme_is_the_sample() {
    let readme = page("README.md");
    let block = readme.split("```yaml\n").nth(1).expect("a YAML block");
    let block = block.split("```").next().unwrap();
    assert_eq!(documents("README.md", block), [yaml("config/minimal.yaml")]);
}

const UPDATE: &str = "PARTYWALL_UPDATE_DOCS";

/// The list of reasons as `docs/refusals.md` shows it, sorted by label.
fn reasons() -> String {
    let sentence = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rows: Vec<(&str, String)> = Reason::ALL
        .iter()
        .map(|reason| {
            let to_allow = reason.to_allow().map(sentence).unwrap_or_default();
            let about = sentence(reason.about());
            let label = reason.label();
            (label, format!("| `{label}` | {about} | {to_allow} |\n"))
        })
        .collect();
    rows.sort();
    rows.into_iter().map(|(_, row)| row).collect()
}

/// With `PARTYWALL_UPDATE_DOCS=1` the page is written instead.
#[test]
fn refusals_page_lists_every_reason() {
    let text = page("docs/refusals.md");
    let head = "| reason | meaning | what would permit the request |\n|---|---|---|\n";
    let (before, _) = text.split_once(head).expect("the table");
    let expected = format!("{before}{head}{}", reasons());
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(root().join("docs/refusals.md"), expected).unwrap();
        return;
    }
    assert_eq!(
        text, expected,
        "run the test with {UPDATE}=1 to update the page"
    );
}
