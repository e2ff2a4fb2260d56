//! What is given to the calls.

use std::error::Error;
use std::sync::Arc;

use partywall::config::settings::{
    ClaimGrant, ClaimPath, Grant, Selectors, Tenancy, TenantRule, When,
};
use partywall::prometheus::form::Form;
use partywall::tenancy::{LabelMatcher, Matchers, Tenant, TenantSet};
use partywall::traceql::TenantPredicate;
use serde_json::{Map, Value, json};

/// Recorded from a Prometheus; its tenants are `acme` and `globex`.
pub(crate) const RULES: &[u8] = include_bytes!("../../tests/fixtures/prometheus/rules-2.42.json");

const ATTRIBUTE: &str = "tenant_id";
const CLAIM: &str = "tenants";

/// `acme`, and as many more as it takes.
fn tenant_names(count: usize) -> impl Iterator<Item = String> {
    let more = (1..count).map(|index| format!("customer-{index:04}"));
    std::iter::once("acme".to_owned()).chain(more)
}

fn tenants(count: usize) -> Result<TenantSet, Box<dyn Error>> {
    let tenants: Vec<Tenant> = tenant_names(count)
        .map(|name| Tenant::new(&name))
        .collect::<Result<_, _>>()?;
    Ok(TenantSet::new(tenants).ok_or("no tenant")?)
}

pub(crate) fn matchers(count: usize) -> Result<Matchers, Box<dyn Error>> {
    let matcher = LabelMatcher::new(ATTRIBUTE.into(), tenants(count)?);
    Ok(Matchers::new(matcher, []))
}

pub(crate) fn predicate(count: usize) -> Result<TenantPredicate, Box<dyn Error>> {
    Ok(TenantPredicate::new([(
        ATTRIBUTE,
        &tenants(count)?.into(),
    )])?)
}

/// What a token of this many tenants says of them.
pub(crate) fn claims(count: usize) -> Map<String, Value> {
    let names: Vec<String> = tenant_names(count).collect();
    Map::from_iter([(CLAIM.to_owned(), json!(names))])
}

/// Tenants are those of one claim.
pub(crate) fn tenancy() -> Arc<Tenancy> {
    Arc::new(Tenancy {
        rules: vec![TenantRule {
            when: When::default(),
            grant: Grant::Claim(ClaimGrant {
                claim: ClaimPath(vec![CLAIM.to_owned()]),
                separator: None,
                pattern: None,
                map: None,
            }),
        }],
        metrics_label: Some(ATTRIBUTE.into()),
        traces_attribute: Some(ATTRIBUTE.into()),
        traces_org_id: false,
        selectors: Selectors::default(),
        and: Vec::new(),
        clusters: None,
        max_tenants: 1000,
    })
}

/// The body of the `query_range` that Grafana sends.
pub(crate) fn form(query: &str) -> String {
    let mut form = Form::default();
    form.push("query", query);
    form.push("start", "1795229745.605");
    form.push("end", "1795233345.605");
    form.push("step", "15");
    form.encode()
}

/// A `PromQL` expression of about this many bytes.
pub(crate) fn promql(bytes: usize) -> String {
    const TERM: &str = "sum by (job) (rate(http_requests_total{namespace=\"shop\",\
        code=~\"5..\",pod!=\"\"}[5m]))";
    repeated(TERM, " + ", bytes)
}

/// A `TraceQL` search of about this many bytes.
pub(crate) fn traceql(bytes: usize) -> String {
    const TERM: &str = "{ resource.service.name = \"checkout\" && \
        span.http.response.status_code >= 500 && duration > 200ms }";
    repeated(TERM, " || ", bytes)
}

/// As many as fit, at least one.
fn repeated(term: &str, separator: &str, bytes: usize) -> String {
    let terms = (bytes + separator.len()) / (term.len() + separator.len());
    vec![term; terms.max(1)].join(separator)
}

/// The recorded answer, with its groups so many times over.
pub(crate) fn rules(times: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut answer: Value = serde_json::from_slice(RULES)?;
    let groups = answer
        .pointer_mut("/data/groups")
        .and_then(Value::as_array_mut)
        .ok_or("no groups")?;
    *groups = vec![std::mem::take(groups); times].concat();
    Ok(serde_json::to_vec(&answer)?)
}
