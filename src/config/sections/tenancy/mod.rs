//! `tenancy`: which tenants a caller has, and how stores name them.

mod claims;
mod conditions;
mod grants;
mod names;
mod pattern;
mod rules;
mod selector;
mod selectors;
mod united;

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use self::conditions::OwnNames;
pub use self::conditions::{AttributeSelector, Conditions, Conjunction};
pub use self::grants::{ClaimGrant, ClaimPath, Grant, TenantRule, When};
use self::names::{Names, complete, distinct, names};
pub use self::pattern::Pattern;
pub(super) use self::rules::Known;
use self::rules::{Dimension, rules};
pub use self::selector::Selector;
use self::selectors::selectors;
pub use self::selectors::{Selectors, TenantSelector};
pub use self::united::{AttributeUnion, ValueUnion};
use crate::config::reader::{Field, Read, Reader};
use crate::config::values::{count, shown};
use crate::tenant::Tenant;

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

impl Tenancy {
    /// All attributes by which tenants are told apart, some of them several times.
    pub fn attributes(&self) -> impl Iterator<Item = &Arc<str>> {
        let further = self
            .and
            .iter()
            .filter_map(|and| and.traces_attribute.as_ref());
        let selectors = self.selectors.conditions();
        let selectors = selectors.flat_map(|all| all.traces.iter().flatten().flatten());
        let own = self.traces_attribute.iter().chain(further);
        own.chain(selectors.map(|(name, _)| name))
    }
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
    let and = section.or(r, "and", Vec::new(), |r, field| {
        r.list(field, |r, field| further(r, field, known))
    });
    let further = and.iter().flatten().map(|(_, names, _)| names);
    let own = OwnNames::of(&names, further);
    let selectors = selectors(r, &mut section, by_org_id, Some(&own));
    let clusters = section.optional(r, "clusters", |r, field| clusters(r, field, known));
    let max_tenants = section.or(r, "max_tenants", 1000, |r, field| {
        count(r, field, 1..=1_000_000)
    });
    let within = match (&rules, &max_tenants) {
        (Ok(rules), Ok(max)) => rules_within(r, field, rules, *max),
        _ => Ok(()),
    };
    let selectable = match (&rules, &selectors, &names) {
        (Ok(rules), Ok(selectors), Ok(names)) => selectable(r, field, rules, selectors, names),
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
    selectable?;
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
    let selectors = selectors(r, &mut section, false, None);
    section.finish(r)?;
    Ok((rules?, names?, selectors?))
}

/// Tenants that a rule always grants together must have metrics that one PromQL selector can select.
fn selectable(
    r: &mut Reader<'_>,
    field: &Field<'_>,
    rules: &[TenantRule],
    selectors: &Selectors,
    names: &Names<'_>,
) -> Read<()> {
    let Some((_, own)) = &names.metrics_label else {
        return Ok(());
    };
    let granted = rules.iter().flat_map(|rule| match &rule.grant {
        Grant::Tenants(tenants) => vec![tenants],
        Grant::Claim(grant) => grant.map.iter().flatten().map(|(_, to)| to).collect(),
        Grant::AllTenants => Vec::new(),
    });
    for tenants in granted {
        if !selectors.have_conditions(tenants.iter().map(String::as_str)) {
            continue;
        }
        let tenants: Vec<Tenant> = tenants
            .iter()
            .filter_map(|tenant| Tenant::new(tenant).ok())
            .collect();
        if selectors.of_metrics(tenants.iter(), own).len() > 1 {
            let names: Vec<String> = tenants.iter().map(|one| shown(one.as_str())).collect();
            let message = format!(
                "a rule grants {} together, whose metrics no single PromQL selector can select: \
                 their selectors must be the same but for the values of one label",
                names.join(", ")
            );
            return Err(r.error(field, message));
        }
    }
    Ok(())
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
