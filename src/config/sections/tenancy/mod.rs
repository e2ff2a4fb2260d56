//! `tenancy`: which tenants a caller has, and how stores name them.

mod claims;
mod grants;
mod pattern;
mod rules;
mod selectors;

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

pub use self::grants::{ClaimGrant, ClaimPath, Grant, TenantRule, When};
pub use self::pattern::Pattern;
pub(super) use self::rules::Known;
use self::rules::{Dimension, rules};
use self::selectors::selectors;
pub use self::selectors::{Selector, Selectors};
use super::upstreams::Api;
use crate::config::reader::{Field, Read, Reader, Section};
use crate::config::values::{count, flag, is_name, shown, text};
use crate::config::warning::WarningCode;

/// `tenancy`: maps claims to tenants.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenancy {
    /// `rules`, and last the short form `claim` (with `separator`, `pattern`, `map`) next to them.
    /// The first rule whose `when` holds decides alone. At least one.
    pub rules: Vec<TenantRule>,
    /// `metrics.label`: the label with a series' tenant. Present if an upstream has `api:
    /// prometheus`.
    pub metrics_label: Option<Arc<str>>,
    /// `traces.attribute`: `resource.tenant_id`, without `resource.`. Present if an upstream has
    /// `api: tempo` and `traces_org_id` is not set.
    pub traces_attribute: Option<Arc<str>>,
    /// `traces.org_id: true`: Tempo itself separates tenants by `X-Scope-OrgID` (multitenancy).
    pub traces_org_id: bool,
    /// `selectors`: of tenants that have other values of the label than their name.
    pub selectors: Selectors,
    /// `and`: further labels that must match too.
    pub and: Vec<FurtherDimension>,
    /// `clusters`: which named clusters a caller may use; `None`, the default, for all of them.
    /// [`Grant::Tenants`] and [`Grant::AllTenants`] are `clusters` and `all_clusters` there.
    pub clusters: Option<Vec<TenantRule>>,
    /// `max_tenants`: the most tenants one token may have, default 1000.
    pub max_tenants: usize,
}

/// One entry of `tenancy.and`.
#[derive(Clone, Debug, PartialEq)]
pub struct FurtherDimension {
    /// `rules` or the short form, as in [`Tenancy`]; none of them grants all tenants.
    pub rules: Vec<TenantRule>,
    /// `metrics.label`
    pub metrics_label: Option<Arc<str>>,
    /// `traces.attribute`
    pub traces_attribute: Option<Arc<str>>,
    /// `selectors`, as in [`Tenancy`].
    pub selectors: Selectors,
}

impl Serialize for Tenancy {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self {
            rules,
            metrics_label,
            traces_attribute,
            traces_org_id,
            selectors,
            and,
            clusters,
            max_tenants,
        } = self;
        let traces = if *traces_org_id {
            json!({"org_id": true})
        } else {
            attribute_shown(traces_attribute.as_ref())
        };
        let clusters = clusters.as_ref().map(|rules| {
            let rules: Vec<Value> = rules.iter().map(TenantRule::of_clusters).collect();
            json!({"rules": rules})
        });
        json!({
            "rules": rules,
            "metrics": {"label": metrics_label},
            "traces": traces,
            "selectors": selectors,
            "and": and,
            "clusters": clusters,
            "max_tenants": max_tenants,
        })
        .serialize(to)
    }
}

impl Serialize for FurtherDimension {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self {
            rules,
            metrics_label,
            traces_attribute,
            selectors,
        } = self;
        json!({
            "rules": rules,
            "metrics": {"label": metrics_label},
            "traces": attribute_shown(traces_attribute.as_ref()),
            "selectors": selectors,
        })
        .serialize(to)
    }
}

fn attribute_shown(name: Option<&Arc<str>>) -> Value {
    json!({"attribute": name.map(|name| format!("resource.{name}"))})
}

pub(super) fn tenancy(r: &mut Reader<'_>, field: &Field<'_>, known: &Known) -> Read<Tenancy> {
    let mut section = r.section(field)?;
    let rules = rules(r, &mut section, Dimension::Tenants, known);
    let names = names(r, &mut section, Dimension::Tenants);
    let complete = complete(r, &section, &names, &known.apis);
    let by_org_id = names.as_ref().is_ok_and(|names| names.traces_org_id);
    let selectors = selectors(r, &mut section, by_org_id);
    let and = section.or(r, "and", Vec::new(), |r, field| {
        r.list(field, |r, field| further(r, field, known))
    });
    let clusters = section.optional(r, "clusters", |r, field| clusters(r, field, known));
    let max_tenants = section.or(r, "max_tenants", 1000, |r, field| {
        count(r, field, 1..=1_000_000)
    });
    let within = match (&rules, &max_tenants) {
        (Ok(rules), Ok(max)) => rules_within(r, field, rules, *max),
        _ => Ok(()),
    };
    let distinct = match (&names, &and) {
        (Ok(names), Ok(and)) => distinct(
            r,
            std::iter::once(names).chain(and.iter().map(|(_, names, _)| names)),
        ),
        _ => Ok(()),
    };
    section.finish(r)?;
    complete?;
    distinct?;
    within?;
    let names = names?;
    let traces_org_id = names.traces_org_id;
    let (metrics_label, traces_attribute) = names.into_values();
    Ok(Tenancy {
        rules: rules?,
        metrics_label,
        traces_attribute,
        traces_org_id,
        selectors: selectors?,
        and: and?
            .into_iter()
            .map(|(rules, names, selectors)| {
                let (metrics_label, traces_attribute) = names.into_values();
                FurtherDimension {
                    rules,
                    metrics_label,
                    traces_attribute,
                    selectors,
                }
            })
            .collect(),
        clusters: clusters?,
        max_tenants: max_tenants?,
    })
}

/// How stores name a dimension, and the position of that in the config.
struct Names<'n> {
    metrics_label: Option<(Field<'n>, Arc<str>)>,
    traces_attribute: Option<(Field<'n>, Arc<str>)>,
    traces_org_id: bool,
}

impl Names<'_> {
    fn into_values(self) -> (Option<Arc<str>>, Option<Arc<str>>) {
        (
            self.metrics_label.map(|(_, label)| label),
            self.traces_attribute.map(|(_, attribute)| attribute),
        )
    }
}

/// `metrics: { label }` and `traces: { attribute }`; for the tenants themselves also `traces: {
/// org_id: true }`.
fn names<'n>(
    r: &mut Reader<'_>,
    section: &mut Section<'n>,
    dimension: Dimension,
) -> Read<Names<'n>> {
    let metrics = section.optional(r, "metrics", |r, field| {
        let mut metrics = r.section(field)?;
        let label = metrics.required(r, "label", label);
        metrics.finish(r)?;
        label
    });
    let traces = section.optional(r, "traces", |r, field| {
        let mut traces = r.section(field)?;
        let org_id = match dimension {
            Dimension::Tenants => traces.optional(r, "org_id", flag),
            Dimension::Further | Dimension::Clusters => Ok(None),
        };
        let attribute = match &org_id {
            Ok(Some(())) => traces.optional(r, "attribute", attribute),
            _ => traces.required(r, "attribute", attribute).map(Some),
        };
        traces.finish(r)?;
        match (org_id?.is_some(), attribute?) {
            (true, Some(_)) => Err(r.error(field, "give one of `attribute` and `org_id`")),
            (org_id, attribute) => Ok((attribute, org_id)),
        }
    });
    let (traces_attribute, traces_org_id) = traces?.unwrap_or((None, false));
    Ok(Names {
        metrics_label: metrics?,
        traces_attribute,
        traces_org_id,
    })
}

fn label<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<(Field<'n>, Arc<str>)> {
    let label = text(r, field)?;
    if !is_name(&label) {
        return Err(r.error(
            field,
            "must be a label name: letters, digits and _, no digit first",
        ));
    }
    let why = match &*label {
        "__name__" => "__name__ is the metric's name and tells no tenants apart",
        _ if label.starts_with("__") => {
            "labels that begin with __ are Prometheus' own: series have none when they are stored"
        }
        "le" | "quantile" => {
            "tells the parts of a histogram or summary apart, and functions of PromQL drop and set \
             it: choose another label"
        }
        "alertname" | "alertstate" => {
            "is set by alerting rules, to the alert's name and state: choose another label"
        }
        "job" | "instance" => {
            let message = "Prometheus sets this label by its scrape config, or, with honor_labels, \
                           each target does: a tenant whose targets name another one writes into \
                           that one's series. Let ingestion set a label of its own";
            r.warn(field, WarningCode::ScrapeLabel, message);
            return Ok((field.clone(), label.into()));
        }
        _ => return Ok((field.clone(), label.into())),
    };
    Err(r.error(field, why))
}

/// `resource.tenant_id`: tenants are identified by the resource, never by a single span.
fn attribute<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<(Field<'n>, Arc<str>)> {
    let attribute = text(r, field)?;
    let Some(name) = attribute.strip_prefix("resource.") else {
        return Err(r.error(
            field,
            "must be an attribute of the resource: resource.tenant_id",
        ));
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        || !name.chars().all(allowed)
    {
        let message = "the attribute's name must be letters, digits, `_`, `.` and `-`, with a \
                       letter or `_` first";
        return Err(r.error(field, message));
    }
    Ok((field.clone(), name.into()))
}

/// Requires a label or attribute for the API of every upstream.
fn complete(
    r: &mut Reader<'_>,
    section: &Section<'_>,
    names: &Read<Names<'_>>,
    apis: &[Api],
) -> Read<()> {
    let Ok(names) = names else { return Ok(()) };
    let mut result = Ok(());
    let needs_label = |api: &Api| matches!(api, Api::Prometheus | Api::Alertmanager);
    if names.metrics_label.is_none() && apis.iter().any(needs_label) {
        result = Err(section.missing(r, "metrics.label"));
    }
    let tells_traces_apart = names.traces_attribute.is_some() || names.traces_org_id;
    if !tells_traces_apart && apis.contains(&Api::Tempo) {
        result = Err(section.missing(r, "traces.attribute"));
    }
    result
}

/// A rule that grants more tenants than a token may have would refuse every caller.
fn rules_within(
    r: &mut Reader<'_>,
    field: &Field<'_>,
    rules: &[TenantRule],
    max_tenants: usize,
) -> Read<()> {
    let most = rules.iter().map(|rule| match &rule.grant {
        Grant::Tenants(tenants) => tenants.len(),
        _ => 0,
    });
    match most.max() {
        Some(most) if most > max_tenants => {
            let message =
                format!("a rule grants {most} tenants, more than max_tenants ({max_tenants})");
            Err(r.error(field, message))
        }
        _ => Ok(()),
    }
}

/// One entry of `and`.
fn further<'n>(
    r: &mut Reader<'_>,
    field: &Field<'n>,
    known: &Known,
) -> Read<(Vec<TenantRule>, Names<'n>, Selectors)> {
    let mut section = r.section(field)?;
    let rules = rules(r, &mut section, Dimension::Further, known);
    let names = names(r, &mut section, Dimension::Further).and_then(|names| {
        if names.metrics_label.is_none() && names.traces_attribute.is_none() {
            return Err(r.error(field, "one of `metrics` and `traces` is required"));
        }
        Ok(names)
    });
    let selectors = selectors(r, &mut section, false);
    section.finish(r)?;
    Ok((rules?, names?, selectors?))
}

/// Which clusters a caller may use.
fn clusters(r: &mut Reader<'_>, field: &Field<'_>, known: &Known) -> Read<Vec<TenantRule>> {
    let mut section = r.section(field)?;
    let rules = rules(r, &mut section, Dimension::Clusters, known);
    section.finish(r)?;
    let rules = rules?;
    let clusters = known.clusters.as_ref().map_err(|reported| *reported)?;
    if clusters.is_empty() {
        return Err(r.error(field, "no upstream has a `cluster`"));
    }
    let mut named = rules.iter().flat_map(|rule| match &rule.grant {
        Grant::Tenants(names) => names.iter().collect(),
        Grant::Claim(grant) => grant.map.iter().flatten().flat_map(|(_, to)| to).collect(),
        Grant::AllTenants => Vec::new(),
    });
    let unknown = named.find(|name: &&String| clusters.iter().all(|known| **known != ***name));
    match unknown {
        Some(name) => {
            let message = format!("{} is not the `cluster` of an upstream", shown(name));
            Err(r.error(field, message))
        }
        None => Ok(rules),
    }
}

/// Two dimensions on one label would contradict each other.
fn distinct<'i, 'n: 'i>(
    r: &mut Reader<'_>,
    all: impl Iterator<Item = &'i Names<'n>> + Clone,
) -> Read<()> {
    let labels = r.distinct(
        "each dimension needs its own label",
        all.clone().filter_map(|names| names.metrics_label.clone()),
    );
    let attributes = r.distinct(
        "each dimension needs its own attribute",
        all.filter_map(|names| names.traces_attribute.clone()),
    );
    labels.and(attributes)
}
