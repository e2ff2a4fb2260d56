//! Checks of Tempo: whether it applies filters and streams, and whether spans have tenants.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::finding::{Finding, Section};
use super::probe::{Answer, Probe, at};
use super::reach;
use crate::config::settings::Settings;
use crate::grpc::method::Method;
use crate::grpc::status::Code;

/// A tenant that no span has.
const UNUSED_TENANT: &str = "partywall-doctor-nobody";

/// How far back spans are searched.
const WINDOW: Duration = Duration::from_hours(1);

/// How many traces are checked.
const SAMPLE: &str = "50";

/// Every check of the traces API.
pub(super) async fn examine(report: &mut Section<'_>, probe: &Probe<'_>, settings: &Settings) {
    let buildinfo = probe.get("/api/status/buildinfo", &[]);
    let buildinfo = report.waiting("reachable", buildinfo).await;
    let Ok(buildinfo) = reach::reachable(report, buildinfo) else {
        return;
    };
    let buildinfo = buildinfo.json().unwrap_or_default();
    let version = at(&buildinfo, "/version").as_str();
    report.add("version", reach::version("Tempo", version));
    let by_org_id = settings.tenancy.traces_org_id;
    let store = Store::new(probe, by_org_id);
    let multitenancy = store.multitenancy(by_org_id);
    let multitenancy = report.waiting("multitenancy", multitenancy).await;
    let is_as_configured = multitenancy.is_ok();
    let (Ok(finding) | Err(finding)) = multitenancy;
    report.add("multitenancy", finding);
    if !is_as_configured {
        return;
    }
    let streaming = report.waiting("streaming", store.streaming()).await;
    report.add("streaming", streaming);
    let attributes = settings.tenancy.traces_attribute.iter().chain(
        settings
            .tenancy
            .and
            .iter()
            .filter_map(|dimension| dimension.traces_attribute.as_ref()),
    );
    for attribute in attributes {
        let filtered = store.values_filtered(attribute);
        report.check("tag values by q", filtered).await;
        let check = format!("attribute resource.{attribute}");
        let present = store.attribute_present(attribute);
        report.check(&check, present).await;
    }
    // Resources need not have the attributes of selectors.
    let selectors = settings.tenancy.selectors.conditions();
    let conditions = selectors.flat_map(|all| all.traces.iter().flatten().flatten());
    let names: BTreeSet<&Arc<str>> = conditions.map(|(name, _)| name).collect();
    for attribute in names {
        let filtered = store.values_filtered(attribute);
        let check = format!("tag values by q of resource.{attribute}");
        report.check(&check, filtered).await;
    }
}

struct Store<'a> {
    probe: &'a Probe<'a>,
    /// `X-Scope-OrgID`, where Tempo itself keeps tenants apart.
    headers: HeaderMap,
    start: String,
    end: String,
}

impl<'a> Store<'a> {
    fn new(probe: &'a Probe<'a>, by_org_id: bool) -> Self {
        let mut headers = HeaderMap::new();
        if by_org_id {
            headers.insert("x-scope-orgid", HeaderValue::from_static(UNUSED_TENANT));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        Self {
            probe,
            headers,
            start: now.saturating_sub(WINDOW).as_secs().to_string(),
            end: now.as_secs().to_string(),
        }
    }

    async fn get(&self, path: &str, params: &[(&str, &str)]) -> Result<Value, String> {
        let mut all = vec![("start", &*self.start), ("end", &*self.end)];
        all.extend(params);
        let answer = self.probe.get_with(path, &all, self.headers.clone()).await;
        answer?.json()
    }

    /// Whether Tempo's multitenancy is on exactly if the config says so. `Err` if not: no further
    /// check is possible then.
    async fn multitenancy(&self, by_org_id: bool) -> Result<Finding, Finding> {
        let asked = |answer: &Answer| {
            answer.status == StatusCode::UNAUTHORIZED && answer.contains("no org id")
        };
        let path = "/api/v2/search/tags";
        let answer = match self.probe.get(path, &[]).await {
            Ok(answer) => answer,
            Err(error) => {
                return Ok(Finding::skip(format!("could not be checked: {error}")));
            }
        };
        match (by_org_id, asked(&answer)) {
            (true, true) => Ok(Finding::ok("it is on, as tenancy.traces.org_id says")),
            (false, false) => Ok(Finding::ok(
                "it is off, as tenancy.traces.attribute needs it",
            )),
            (true, false) => Err(Finding::fail(
                "it is off: X-Scope-OrgID has no effect, and every tenant sees all spans",
                "set multitenancy_enabled: true in Tempo, or tenancy.traces.attribute here",
            )),
            (false, true) => Err(Finding::fail(
                "it is on: Tempo answers nothing without X-Scope-OrgID",
                "set tenancy.traces.org_id: true instead of `attribute`",
            )),
        }
    }

    /// Whether gRPC is served, which Grafana uses for streaming.
    async fn streaming(&self) -> Finding {
        let method = Method::SearchTagsV2.upstream_path();
        let fix = "set stream_over_http_enabled: true in Tempo and let the proxies in front of it \
                   pass HTTP/2, or switch streaming off in Grafana's data source";
        match self.probe.call(method, self.headers.clone()).await {
            Err(error) => {
                Finding::warn(format!("gRPC is not served at this address: {error}"), fix)
            }
            Ok(answer) => match answer.grpc_status() {
                Some(code) if code == Code::Ok as u8 => Finding::ok("gRPC is served"),
                Some(code) if code != Code::Unimplemented as u8 => {
                    Finding::ok(format!("gRPC is served; the call ended with status {code}"))
                }
                Some(_) => Finding::warn("the streaming calls are not served", fix),
                None => Finding::warn(
                    format!("answered {} without a gRPC status", answer.status),
                    fix,
                ),
            },
        }
    }

    /// Whether `q` restricts the values of tags. If not, every tenant sees all of them.
    async fn values_filtered(&self, attribute: &str) -> Result<Finding, String> {
        let path = "/api/v2/search/tag/resource.service.name/values";
        let has_values = |answer: &Value| {
            at(answer, "/tagValues")
                .as_array()
                .is_some_and(|all| !all.is_empty())
        };
        if !has_values(&self.get(path, &[]).await?) {
            return Ok(Finding::skip(
                "there are no spans of the last hour to check it with",
            ));
        }
        let unused = format!("{{ resource.{attribute} = \"{UNUSED_TENANT}\" }}");
        Ok(if has_values(&self.get(path, &[("q", &unused)]).await?) {
            Finding::fail(
                "the values of tags are answered for all tenants, whatever `q` says",
                "upgrade Tempo: it does so since 2.4 by default, and always since 2.6",
            )
        } else {
            Finding::ok("is applied")
        })
    }

    /// How many spans have the tenant attribute as a string. The others belong to no tenant.
    async fn attribute_present(&self, attribute: &str) -> Result<Finding, String> {
        let query = format!("{{ }} | select(resource.{attribute})");
        let params = [("q", query.as_str()), ("limit", SAMPLE), ("spss", "10")];
        let answer = self.get("/api/search", &params).await?;
        let spans = Sample::from_page(&answer, attribute);
        let Sample { all, text, other } = spans;
        if all == 0 {
            return Ok(Finding::skip("there are no spans of the last hour"));
        }
        let share = format!("{text} of {all} sampled spans have it as a string");
        let fix = "let the collector set it on every resource, once, as a string";
        Ok(if text == 0 {
            Finding::fail(format!("{share}: no tenant sees anything"), fix)
        } else if other > 0 {
            Finding::warn(format!("{share}, and {other} as another type"), fix)
        } else if text < all {
            Finding::warn(format!("{share}: the others belong to no tenant"), fix)
        } else {
            Finding::ok(share)
        })
    }
}

/// Spans of a page of search results.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sample {
    all: usize,
    /// With the attribute, as a string.
    text: usize,
    /// With it, of another type.
    other: usize,
}

impl Sample {
    fn from_page(page: &Value, attribute: &str) -> Self {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let mut sample = Self::default();
        let traces = list(at(page, "/traces"));
        let sets = traces.iter().flat_map(|trace| list(at(trace, "/spanSets")));
        for span in sets.flat_map(|set| list(at(&set, "/spans"))) {
            sample.all += 1;
            let attributes = list(at(&span, "/attributes"));
            let named = |one: &&Value| {
                let key = at(one, "/key").as_str().unwrap_or_default();
                key.strip_prefix("resource.").unwrap_or(key) == attribute
            };
            match attributes.iter().find(named) {
                Some(one) if at(one, "/value/stringValue").is_string() => sample.text += 1,
                Some(_) => sample.other += 1,
                None => {}
            }
        }
        sample
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spans_are_counted_by_the_type_of_their_tenant_attribute() {
        let span = |value: Value| json!({"attributes": [{"key": "t", "value": value}]});
        let page = json!({"traces": [
            {"spanSets": [{"spans": [span(json!({"stringValue": "a"})), {}]}]},
            {"spanSets": [{"spans": [span(json!({"intValue": "1"}))]}]},
            {},
        ]});
        let expected = Sample {
            all: 3,
            text: 1,
            other: 1,
        };
        assert_eq!(Sample::from_page(&page, "t"), expected);
    }
}
