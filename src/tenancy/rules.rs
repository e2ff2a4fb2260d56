//! The rules of one dimension: the first rule whose `when` holds decides alone.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::claim_values::{self, ClaimValues, Path};
use super::refusal::ScopeRefusal;
use super::{InvalidTenant, Tenant, TenantSet};
use crate::config::settings::{ClaimGrant, Grant, TenantRule, When};

#[derive(Debug)]
pub(super) enum Granted {
    AllTenants,
    Tenants(TenantSet),
}

/// What the first applicable rule grants.
pub(super) fn decide(
    rules: &[TenantRule],
    issuer: &str,
    claims: &Map<String, Value>,
    max_tenants: usize,
) -> Result<Granted, ScopeRefusal> {
    let (_, rule) = deciding(rules, issuer, claims)?.ok_or(ScopeRefusal::NoRule)?;
    match &rule.grant {
        Grant::AllTenants => Ok(Granted::AllTenants),
        Grant::Tenants(fixed) => fixed_tenants(fixed, max_tenants).map(Granted::Tenants),
        Grant::Claim(grant) => from_claim(grant, claims, max_tenants).map(Granted::Tenants),
    }
}

/// The first applicable rule, and its index among the rules.
pub(super) fn deciding<'r>(
    rules: &'r [TenantRule],
    issuer: &str,
    claims: &Map<String, Value>,
) -> Result<Option<(usize, &'r TenantRule)>, ScopeRefusal> {
    for (index, rule) in rules.iter().enumerate() {
        if applies(&rule.when, issuer, claims)? {
            return Ok(Some((index, rule)));
        }
    }
    Ok(None)
}

/// A condition does not hold if its claim is missing, null or empty. A claim that cannot be read
/// refuses the token, because going on to the next rule could grant more than was meant.
fn applies(when: &When, issuer: &str, claims: &Map<String, Value>) -> Result<bool, ScopeRefusal> {
    if when.issuer.as_deref().is_some_and(|only| only != issuer) {
        return Ok(false);
    }
    let Some((path, wanted)) = &when.claim else {
        return Ok(true);
    };
    let found = claim_values::of_condition(path, claims)?;
    Ok(found.iter().any(|value| wanted.iter().any(|w| w == value)))
}

fn fixed_tenants(fixed: &[String], max_tenants: usize) -> Result<TenantSet, ScopeRefusal> {
    let tenants: Result<Vec<Tenant>, InvalidTenant> =
        fixed.iter().map(|value| Tenant::new(value)).collect();
    tenants
        .ok()
        .and_then(TenantSet::new)
        .filter(|set| set.iter().count() <= max_tenants)
        .ok_or(ScopeRefusal::FixedTenants)
}

fn from_claim(
    grant: &ClaimGrant,
    claims: &Map<String, Value>,
    max_tenants: usize,
) -> Result<TenantSet, ScopeRefusal> {
    let path = &grant.claim;
    let ClaimValues { values, .. } = claim_values(grant, claims)?;
    let mut granted: HashSet<&str> = values
        .iter()
        .filter_map(|value| match &grant.pattern {
            None => Some(&**value),
            Some(pattern) => captured(&pattern.0, value),
        })
        .collect();
    if let Some(map) = &grant.map {
        granted = map
            .iter()
            .filter(|(from, _)| granted.contains(from.as_str()))
            .flat_map(|(_, to)| to.iter().map(String::as_str))
            .collect();
    }
    if granted.len() > max_tenants {
        return Err(ScopeRefusal::TooMany {
            claim: Path(path).to_string(),
            found: granted.len(),
            max: max_tenants,
        });
    }
    let tenants: Result<Vec<Tenant>, InvalidTenant> =
        granted.into_iter().map(Tenant::new).collect();
    let tenants = tenants.map_err(|why| ScopeRefusal::NoTenant {
        claim: Path(path).to_string(),
        why,
    })?;
    TenantSet::new(tenants).ok_or_else(|| ScopeRefusal::NoValueLeft {
        claim: Path(path).to_string(),
        values: values.len(),
    })
}

/// The values of the grant's claim.
pub(super) fn claim_values<'a>(
    grant: &ClaimGrant,
    claims: &'a Map<String, Value>,
) -> Result<ClaimValues<'a>, ScopeRefusal> {
    claim_values::read(&grant.claim, grant.separator.as_deref(), claims)
}

/// The tenant that the pattern finds in a value: the first group, or the whole value; `None` if the
/// pattern does not match the whole value.
fn captured<'a>(pattern: &regex::Regex, value: &'a str) -> Option<&'a str> {
    let captures = pattern.captures(value)?;
    let whole = captures.get(0)?;
    if whole.as_str().len() != value.len() {
        return None;
    }
    if captures.len() > 1 {
        return captures.get(1).map(|group| group.as_str());
    }
    Some(value)
}
