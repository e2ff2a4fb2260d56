//! Checks of Alertmanager: its version, whether alerts have tenants, and its configuration.

use serde_json::Value;

use super::alert_config;
use super::finding::{Finding, Section};
use super::probe::{Probe, at};
use super::reach;
use crate::config;
use crate::config::settings::Settings;

/// Every check of Alertmanager's API.
pub(super) async fn examine(report: &mut Section<'_>, probe: &Probe<'_>, settings: &Settings) {
    let status = probe.get("/api/v2/status", &[]);
    let status = report.waiting("reachable", status).await;
    let Ok(status) = reach::reachable(report, status) else {
        return;
    };
    let status = status.json().unwrap_or_default();
    let version = at(&status, "/versionInfo/version").as_str();
    report.add("version", reach::version("Alertmanager", version));
    let tenancy = &settings.tenancy;
    let further = tenancy.and.iter();
    let further = further.filter_map(|dimension| dimension.metrics_label.as_ref());
    for label in tenancy.metrics_label.iter().chain(further) {
        let check = format!("label {label}");
        report.check(&check, label_present(probe, label)).await;
        let config = of_status(&status);
        let judged = |judge: fn(&Value, &str) -> Finding| match &config {
            Ok(config) => judge(config, label),
            Err(error) => Finding::skip(error),
        };
        let inhibition = judged(alert_config::inhibition);
        report.add(&format!("inhibit_rules and {label}"), inhibition);
        let grouping = judged(alert_config::grouping);
        report.add(&format!("routes and {label}"), grouping);
    }
}

/// The configuration in Alertmanager's status.
fn of_status(status: &Value) -> Result<Value, String> {
    let text = at(status, "/config/original").as_str();
    let text = text.ok_or("its status has no configuration")?;
    config::yaml_as_json(text).map_err(|error| format!("its configuration cannot be read: {error}"))
}

/// How many alerts have the tenant label. The others belong to no tenant.
async fn label_present(probe: &Probe<'_>, label: &str) -> Result<Finding, String> {
    let alerts = probe.get("/api/v2/alerts", &[]).await?.json()?;
    Ok(finding(&alerts, label))
}

fn finding(alerts: &Value, label: &str) -> Finding {
    let alerts = alerts.as_array().map(Vec::as_slice).unwrap_or_default();
    let has_it = |alert: &&Value| {
        let value = alert.get("labels").and_then(|labels| labels.get(label));
        value
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
    };
    let (all, with) = (alerts.len(), alerts.iter().filter(has_it).count());
    let share = format!("{with} of {all} alerts have it");
    let fix = "let each rule set it, or give it to the series that alerts are made of";
    if all == 0 {
        Finding::skip("there are no alerts")
    } else if with == 0 {
        Finding::fail(format!("{share}: no tenant sees anything"), fix)
    } else if with < all {
        Finding::warn(format!("{share}: the others belong to no tenant"), fix)
    } else {
        Finding::ok(share)
    }
}
