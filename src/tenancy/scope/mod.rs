//! What a caller may see: some tenants or, if a rule says so, all.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::rules::{self, Granted};
use super::{
    Attribute, LabelMatcher, Matchers, Resources, ScopeRefusal, Tenant, TenantSet, Values,
};
use crate::config::settings::Tenancy;

/// What a caller may see; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantScope {
    /// The data of these tenants alone.
    Tenants(Tenants),
    /// No restriction. Only a rule that says `all_tenants: true` yields it.
    AllTenants,
}

/// One or more tenants, in one or more dimensions that must all match. Only [`resolve`] makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenants {
    first_dimension: TenantSet,
    metrics: Option<Result<Matchers, ScopeRefusal>>,
    traces: Option<Result<Arc<Resources>, ScopeRefusal>>,
    clusters: Clusters,
}

/// Why the metrics or the traces of a caller with tenants cannot be selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unselectable {
    /// `tenancy` names no metrics label, or no traces attribute.
    NotConfigured,
    /// No single selector of PromQL selects the metrics of all tenants, or too many alternatives of
    /// `TraceQL` their traces.
    Refused(ScopeRefusal),
}

/// The named clusters that a caller may use.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Clusters {
    All,
    /// Empty if the caller may use none of them.
    These(Option<TenantSet>),
}

impl TenantScope {
    /// Whether a named cluster may be used.
    pub fn may_use(&self, cluster: &str) -> bool {
        match self {
            Self::AllTenants => true,
            Self::Tenants(tenants) => match &tenants.clusters {
                Clusters::All => true,
                Clusters::These(some) => some.as_ref().is_some_and(|some| some.contains(cluster)),
            },
        }
    }
}

impl Tenants {
    /// The tenants of the first dimension (that of `tenancy` itself), for logs and the audit trail.
    pub fn tenants(&self) -> &TenantSet {
        &self.first_dimension
    }

    /// The matchers that every metrics query must have, in all dimensions.
    ///
    /// # Errors
    /// If there are none: then no metrics query can be confined.
    pub fn metrics(&self) -> Result<&Matchers, Unselectable> {
        selectable(self.metrics.as_ref())
    }

    /// What every span's resource must fulfil, in all dimensions.
    ///
    /// # Errors
    /// If there is nothing: then no trace can be confined.
    pub fn traces(&self) -> Result<&Arc<Resources>, Unselectable> {
        selectable(self.traces.as_ref())
    }
}

fn selectable<T>(selected: Option<&Result<T, ScopeRefusal>>) -> Result<&T, Unselectable> {
    match selected {
        Some(Ok(selected)) => Ok(selected),
        Some(Err(refusal)) => Err(Unselectable::Refused(refusal.clone())),
        None => Err(Unselectable::NotConfigured),
    }
}

/// Turns verified claims into a scope.
///
/// In each dimension the first rule whose `when` holds decides alone. Every dimension must give
/// tenants, even if it has no label for the API of the request. Which data a tenant has is decided by
/// its name alone, exactly as the claim or the rule gives it: it is the value of the label, or the key
/// of a selector that the operator wrote. So no claim is ever read as an expression. A caller with all
/// tenants in the first dimension is not restricted at all, and further dimensions are not evaluated.
///
/// Clusters are not a dimension: a caller to whom their rules grant none may use no named cluster,
/// and everything else as usual.
///
/// # Errors
/// [`ScopeRefusal`] if no rule applies or a claim is not exactly what its rule requires: a claim that
/// is missing, empty or of another type never means "no restriction".
pub fn resolve(
    tenancy: &Tenancy,
    issuer: &str,
    claims: &Map<String, Value>,
) -> Result<TenantScope, ScopeRefusal> {
    let grant = |rules| rules::decide(rules, issuer, claims, tenancy.max_tenants);
    let tenants = match grant(&tenancy.rules)? {
        Granted::AllTenants => return Ok(TenantScope::AllTenants),
        Granted::Tenants(tenants) => tenants,
    };
    let mut further_labels = Vec::new();
    let mut further_attributes = Vec::new();
    for dimension in &tenancy.and {
        let Granted::Tenants(tenants) = grant(&dimension.rules)? else {
            return Err(ScopeRefusal::AllTenantsInFurtherDimension);
        };
        let values = Values::of(&tenants, &dimension.selectors)?;
        if let Some(label) = &dimension.metrics_label {
            further_labels.push(LabelMatcher::new(label.clone(), values.clone()));
        }
        if let Some(name) = &dimension.traces_attribute {
            further_attributes.push(Attribute::text(name.clone(), values));
        }
    }
    let names = tenants.iter().map(Tenant::as_str);
    let (metrics, traces) = if tenancy.selectors.have_conditions(names) {
        let metrics = tenancy.metrics_label.as_ref();
        let metrics = metrics.map(|own| matchers_of(tenancy, &tenants, own, further_labels));
        let traces = tenancy.traces_attribute.as_ref().map(|own| {
            let any = tenancy.selectors.of_traces(tenants.iter(), own);
            Resources::any_of(&any, &further_attributes)
        });
        (metrics, traces)
    } else {
        let values = Values::of(&tenants, &tenancy.selectors)?;
        let metrics = tenancy.metrics_label.as_ref().map(|label| {
            let first = LabelMatcher::new(label.clone(), values.clone());
            Ok(Matchers::new(first, further_labels))
        });
        let traces = tenancy.traces_attribute.as_ref().map(|name| {
            let first = Attribute::text(name.clone(), values);
            Ok(Resources::all_of(first, further_attributes))
        });
        (metrics, traces)
    };
    let clusters = match &tenancy.clusters {
        None => Clusters::All,
        Some(rules) => match grant(rules) {
            Ok(Granted::AllTenants) => Clusters::All,
            Ok(Granted::Tenants(names)) => Clusters::These(Some(names)),
            Err(_refusal) => Clusters::These(None),
        },
    };
    Ok(TenantScope::Tenants(Tenants {
        first_dimension: tenants,
        clusters,
        metrics,
        traces: traces.map(|traces| traces.map(Arc::new)),
    }))
}

/// The matchers of tenants some of which have conditions on several labels.
fn matchers_of(
    tenancy: &Tenancy,
    tenants: &TenantSet,
    own: &Arc<str>,
    further: Vec<LabelMatcher>,
) -> Result<Matchers, ScopeRefusal> {
    let any = tenancy.selectors.of_metrics(tenants.iter(), own);
    let [only] = &any[..] else {
        return Err(ScopeRefusal::NotOneConjunction);
    };
    let matchers = only.iter().map(|(label, union)| {
        let values = Values::of_union(union)?;
        Ok(LabelMatcher::new(label.clone(), values))
    });
    let matchers = matchers.collect::<Result<Vec<_>, _>>()?;
    let mut matchers = matchers.into_iter().chain(further);
    // The config's checks leave none empty.
    let first = matchers.next().ok_or(ScopeRefusal::FixedTenants)?;
    Ok(Matchers::new(first, matchers))
}

#[cfg(test)]
mod tests;
