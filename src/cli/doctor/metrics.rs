//! Checks of Prometheus and Thanos: whether they apply matchers, and whether the data has tenants.

use serde_json::Value;

use super::finding::{Finding, Section};
use super::probe::{Answer, Probe, at};
use super::reach;
use crate::config::settings::Settings;

/// A tenant that no series has.
const UNUSED_TENANT: &str = "partywall-doctor-nobody";

/// The most recording rules whose series are checked.
const MOST_RULES: usize = 200;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Product {
    Prometheus,
    Thanos,
}

/// Every check of the metrics API.
pub(super) async fn examine(report: &mut Section<'_>, probe: &Probe<'_>, settings: &Settings) {
    let buildinfo = probe.get("/api/v1/status/buildinfo", &[]);
    let buildinfo = report.waiting("reachable", buildinfo).await;
    let Ok(buildinfo) = reach::reachable(report, buildinfo) else {
        return;
    };
    // A cache has the second answer from the first.
    let again = probe.get("/api/v1/status/buildinfo", &[]);
    let again = report.waiting("cache", again).await;
    if let Some(finding) = again.ok().and_then(|answer| cache_between(probe, &answer)) {
        report.add("cache", finding);
    }
    let product = report.waiting("version", product(probe)).await;
    let name = match product {
        Product::Prometheus => "Prometheus",
        Product::Thanos => "Thanos",
    };
    let buildinfo = buildinfo.json().unwrap_or_default();
    let version = at(&buildinfo, "/data/version").as_str();
    report.add("version", reach::version(name, version));
    let Some(label) = settings.tenancy.metrics_label.as_deref() else {
        return;
    };
    let store = Store { probe, label };
    report
        .check("match[] on labels", store.labels_filtered())
        .await;
    report
        .check("match[] on rules", store.rules_filtered())
        .await;
    report.check("tenant label", store.label_present()).await;
    report
        .check("recording rules", store.recording_rules())
        .await;
    report
        .check("replica label", store.replica_label(product))
        .await;
    match product {
        Product::Prometheus => {
            report
                .check("external labels", store.external_labels())
                .await;
        }
        Product::Thanos => {
            report
                .check("Ruler's external labels", store.labels_of_rulers())
                .await;
        }
    }
    for dimension in &settings.tenancy.and {
        if let Some(label) = dimension.metrics_label.as_deref() {
            let store = Store { probe, label };
            let check = format!("label {label}");
            report.check(&check, store.label_present()).await;
        }
    }
}

/// A cache between Partywall and the store, if one shows itself. Requests that it sees are confined,
/// so only answers that depend on the caller's own token could be mixed up.
fn cache_between(probe: &Probe<'_>, answer: &Answer) -> Option<Finding> {
    let shown = answer.cache.as_ref()?;
    let found = format!("a cache answers in the place of the store (`{shown}`)");
    Some(if probe.forwards_token() {
        Finding::warn(
            format!("{found}, and the store may answer each caller's token differently"),
            "let the cache store nothing, or see that it keeps answers to different tokens apart",
        )
    } else {
        Finding::warn(
            found,
            "let nobody but Partywall reach it; answers may be as old as it keeps them",
        )
    })
}

/// Only Thanos lists its stores.
async fn product(probe: &Probe<'_>) -> Product {
    let stores = probe.get("/api/v1/stores", &[]).await;
    match stores.and_then(|answer| answer.json()) {
        Ok(json) if at(&json, "/data").is_object() => Product::Thanos,
        _ => Product::Prometheus,
    }
}

struct Store<'a> {
    probe: &'a Probe<'a>,
    label: &'a str,
}

impl Store<'_> {
    async fn get_json(&self, path: &str, params: &[(&str, &str)]) -> Result<Value, String> {
        self.probe.get(path, params).await?.json()
    }

    /// The labels and value of each series of an instant query.
    async fn query(&self, query: &str, dedup: &str) -> Result<Vec<(Value, f64)>, String> {
        let params = [("query", query), ("dedup", dedup)];
        let answer = self.get_json("/api/v1/query", &params).await?;
        let series = at(&answer, "/data/result").as_array();
        let series = series.ok_or("the answer is not a vector")?;
        let labels_and_value = |one: &Value| {
            let value = at(one, "/value/1").as_str()?.parse().ok()?;
            Some((at(one, "/metric").clone(), value))
        };
        Ok(series.iter().filter_map(labels_and_value).collect())
    }

    /// Counts series without deduplication, which may remove the label.
    async fn count(&self, selector: &str) -> Result<f64, String> {
        let query = format!("count({selector})");
        let series = self.query(&query, "false").await?;
        Ok(series.first().map_or(0.0, |(_, count)| *count))
    }

    /// A selector that matches no series.
    fn unused_selector(&self) -> String {
        format!("{{{}=\"{UNUSED_TENANT}\"}}", self.label)
    }

    /// Whether `match[]` restricts label names and values. If not, every tenant sees all of them.
    async fn labels_filtered(&self) -> Result<Finding, String> {
        let unused = self.unused_selector();
        let mut any = false;
        for path in ["/api/v1/label/__name__/values", "/api/v1/labels"] {
            let all = self.get_json(path, &[]).await?;
            any |= !is_empty(at(&all, "/data"));
            let confined = self.get_json(path, &[("match[]", &unused)]).await?;
            if !is_empty(at(&confined, "/data")) {
                return Ok(Finding::fail(
                    format!("{path} answers for all tenants, whatever `match[]` says"),
                    "upgrade Prometheus or Thanos (Thanos' stores support it since 0.21), or the \
                     proxy in front of them",
                ));
            }
        }
        Ok(if any {
            Finding::ok("is applied")
        } else {
            Finding::skip("there are no series to check it with")
        })
    }

    /// Whether `match[]` restricts rules. If not, a caller's own `match[]` has no effect; tenants are
    /// still kept apart.
    async fn rules_filtered(&self) -> Result<Finding, String> {
        let groups = |answer: &Value| !is_empty(at(answer, "/data/groups"));
        if !groups(&self.get_json("/api/v1/rules", &[]).await?) {
            return Ok(Finding::skip("there are no rules to check it with"));
        }
        let unused = self.unused_selector();
        let answer = self
            .get_json("/api/v1/rules", &[("match[]", &unused)])
            .await?;
        Ok(if groups(&answer) {
            Finding::warn(
                "is ignored: a request for rules with `match[]` returns all rules of the caller",
                "upgrade, if that matters: Prometheus supports it since 2.54; Partywall leaves \
                 out other tenants' rules either way",
            )
        } else {
            Finding::ok("is applied")
        })
    }

    /// How many series have the tenant label. Those without it belong to no tenant.
    async fn label_present(&self) -> Result<Finding, String> {
        let label = self.label;
        let all = self.count("{__name__!=\"\"}").await?;
        if all == 0.0 {
            return Ok(Finding::skip("there are no series now"));
        }
        let have = self.count(&format!("{{{label}!=\"\"}}")).await?;
        let share = format!("{have} of {all} series have `{label}`");
        if have == 0.0 {
            return Ok(Finding::fail(
                format!("{share}: no tenant sees anything"),
                "let ingestion set it (relabel_configs, or the collector), or correct `label` \
                 below `tenancy`",
            ));
        }
        if have >= all {
            let groups = format!("count by ({label}) ({{{label}!=\"\"}})");
            let values = self.count(&groups).await?;
            return Ok(Finding::ok(format!("{share}; values: {values}")));
        }
        let lacking = format!("{{__name__!=\"\",{label}=\"\"}}");
        let top = format!("topk(5, count by (__name__) ({lacking}))");
        let top = self.query(&top, "false").await?;
        Ok(Finding::warn(
            format!("{share}; most without it: {}", names(&top)),
            "series without it are seen only by callers with all tenants; let ingestion set it",
        ))
    }

    /// Whether recording rules keep the label. Series without it are seen by no tenant.
    async fn recording_rules(&self) -> Result<Finding, String> {
        let label = self.label;
        let answer = self
            .get_json("/api/v1/rules", &[("type", "record")])
            .await?;
        let groups = at(&answer, "/data/groups").as_array();
        let rules = groups
            .into_iter()
            .flatten()
            .filter_map(|group| at(group, "/rules").as_array())
            .flatten()
            .filter(|rule| at(rule, "/type") == "recording");
        let all = rules.filter_map(|rule| at(rule, "/name").as_str());
        // Others would need quoting; they are few.
        let is_plain = |name: &&str| {
            name.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b))
        };
        let mut recorded: Vec<&str> = all.filter(is_plain).collect();
        recorded.sort_unstable();
        recorded.dedup();
        if recorded.is_empty() {
            return Ok(Finding::skip("there are none"));
        }
        recorded.truncate(MOST_RULES);
        let named = recorded.join("|");
        let lacking = format!("count by (__name__) ({{__name__=~\"{named}\",{label}=\"\"}})");
        let lacking = self.query(&lacking, "false").await?;
        Ok(if lacking.is_empty() {
            Finding::ok(format!(
                "the series of all {} have `{label}`, or there are none now",
                recorded.len()
            ))
        } else {
            Finding::warn(
                format!("these record series without `{label}`: {}", names(&lacking)),
                format!("aggregate by it: sum by ({label}, …)"),
            )
        })
    }

    /// Whether the tenant label is a replica label, which deduplication removes.
    async fn replica_label(&self, product: Product) -> Result<Finding, String> {
        let label = self.label;
        let count = format!("count({{{label}!=\"\"}}) by ({label})");
        let apart = self.query(&count, "false").await?;
        let merged = self.query(&count, "true").await?;
        let has = |series: &[(Value, f64)]| series.iter().any(|(metric, _)| is_set(metric, label));
        let by_flag = match product {
            Product::Prometheus => None,
            Product::Thanos => self.named_by_flag().await,
        };
        Ok(if by_flag == Some(true) || (has(&apart) && !has(&merged)) {
            Finding::fail(
                format!("`{label}` is a replica label: deduplication merges tenants"),
                format!("remove `{label}` from --query.replica-label"),
            )
        } else if has(&merged) {
            Finding::ok(format!("`{label}` is not one"))
        } else {
            Finding::skip(format!("no series has `{label}` now"))
        })
    }

    async fn named_by_flag(&self) -> Option<bool> {
        let flags = self.get_json("/api/v1/status/flags", &[]).await.ok()?;
        let flag = at(&flags, "/data").get("query.replica-label")?.as_str()?;
        let mut labels = flag.split([',', ' ', '[', ']', '"']);
        Some(labels.any(|name| name == self.label))
    }

    /// Whether the tenant label is an external label, which `/federate` and remote read put on every
    /// series.
    async fn external_labels(&self) -> Result<Finding, String> {
        let label = self.label;
        let config = match self.get_json("/api/v1/status/config", &[]).await {
            Ok(config) => config,
            Err(error) => {
                return Ok(Finding::skip(format!(
                    "its config cannot be read ({error}): check that `{label}` is not in its \
                     external_labels"
                )));
            }
        };
        let yaml = at(&config, "/data/yaml").as_str().unwrap_or_default();
        Ok(if has_external_label(yaml, label) {
            Finding::fail(
                format!(
                    "`{label}` is one: /federate and remote read put it on every tenant's series"
                ),
                format!("remove `{label}` from global.external_labels"),
            )
        } else {
            Finding::ok(format!("`{label}` is not one"))
        })
    }

    /// Whether the tenant label is an external label of a Thanos Ruler, which the Ruler writes onto
    /// every alert and recorded series, over what is there (Thanos, `pkg/rules/manager.go`).
    async fn labels_of_rulers(&self) -> Result<Finding, String> {
        let label = self.label;
        let stores = self.get_json("/api/v1/stores", &[]).await?;
        if is_empty(at(&stores, "/data/rule")) {
            return Ok(Finding::skip("there is no Ruler"));
        }
        let rulers = rulers_with(&stores, label);
        Ok(if rulers.is_empty() {
            Finding::ok(format!("`{label}` is not one"))
        } else {
            Finding::warn(
                format!(
                    "`{label}` is one of {}: it replaces the tenant on every alert and recorded \
                     series, so one tenant is shown alerts that are about another",
                    rulers.join(", ")
                ),
                format!(
                    "remove `{label}` from the Ruler's --label, unless all its rules select that \
                     one tenant's series alone"
                ),
            )
        })
    }
}

/// The names of the Rulers with this external label, of the answer to `/api/v1/stores`.
fn rulers_with<'a>(stores: &'a Value, label: &str) -> Vec<&'a str> {
    let rulers = at(stores, "/data/rule").as_array().into_iter().flatten();
    let has_label = |ruler: &&Value| {
        let mut sets = at(ruler, "/labelSets").as_array().into_iter().flatten();
        sets.any(|labels| is_set(labels, label))
    };
    let name = |ruler: &'a Value| at(ruler, "/name").as_str().unwrap_or("?");
    rulers.filter(has_label).map(name).collect()
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_none_or(Vec::is_empty)
}

fn is_set(metric: &Value, label: &str) -> bool {
    metric[label]
        .as_str()
        .is_some_and(|value| !value.is_empty())
}

/// `up (3), errors_total (1)`
fn names(series: &[(Value, f64)]) -> String {
    let mut names: Vec<String> = series
        .iter()
        .map(|(metric, count)| {
            format!(
                "{} ({count})",
                at(metric, "/__name__").as_str().unwrap_or("?")
            )
        })
        .collect();
    let more = names.len().saturating_sub(5);
    names.truncate(5);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// Searches the config as Prometheus prints it: block style, two spaces a level.
fn has_external_label(yaml: &str, label: &str) -> bool {
    let mut lines = yaml
        .lines()
        .skip_while(|line| line.trim_end() != "  external_labels:")
        .skip(1)
        .take_while(|line| line.starts_with("    "));
    lines.any(|line| {
        let name = line.split(':').next().unwrap_or_default();
        name.trim().trim_matches(['"', '\'']) == label
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rulers_with_the_label_are_found_and_other_stores_are_not() {
        let stores = serde_json::json!({"data": {
            "sidecar": [{"name": "s:10901", "labelSets": [{"tenant_id": "acme"}]}],
            "rule": [
                {"name": "a:10901", "labelSets": [{"replica": "0"}, {"tenant_id": "acme"}]},
                {"name": "b:10901", "labelSets": [{"replica": "0", "tenant_id": ""}]},
                {"name": "c:10901", "labelSets": null},
            ],
        }});
        assert_eq!(rulers_with(&stores, "tenant_id"), ["a:10901"]);
        assert_eq!(rulers_with(&stores, "replica"), ["a:10901", "b:10901"]);
        assert!(rulers_with(&serde_json::json!({"data": {}}), "replica").is_empty());
    }

    #[test]
    fn external_labels_are_found_and_other_labels_are_not() {
        let yaml = "global:\n  scrape_interval: 1s\n  external_labels:\n    a: x\n    b: y\n  \
                    c: z\nrule_files:\n- x\n";
        for (label, expected) in [("a", true), ("b", true), ("c", false), ("x", false)] {
            assert_eq!(has_external_label(yaml, label), expected, "{label}");
        }
        assert!(!has_external_label("global: {}\n", "a"));
    }
}
