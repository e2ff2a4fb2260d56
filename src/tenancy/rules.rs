//! The rules of one dimension: the first rule whose `when` holds decides alone.

use std::collections::HashSet;
use std::fmt;

use serde_json::{Map, Value};
use thiserror::Error;

use super::{InvalidTenant, Tenant, TenantSet};
use crate::config::settings::{ClaimGrant, ClaimPath, Grant, TenantRule, When};

#[derive(Debug)]
pub(super) enum Granted {
    AllTenants,
    Tenants(TenantSet),
}

/// Why a caller with a valid token has no tenants, which is a 403. The texts name the claim and the
/// type of its content, never a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScopeRefusal {
    /// No rule's `when` holds.
    #[error(
        "no rule under `tenancy` applies to this token: its issuer and claims meet no `when`. \
         Add a rule for such callers, or give them the claim that a rule requires"
    )]
    NoRule,
    #[error(
        "the token has no claim `{claim}`: let the identity provider add it, or name another \
         claim under `tenancy`"
    )]
    ClaimMissing { claim: String },
    /// The claim, or a part of the path to it, has another type.
    #[error(
        "the token's claim `{claim}` is {found} where {expected} is needed: change what the \
         identity provider puts there, or name another claim under `tenancy`"
    )]
    ClaimType {
        /// The claim's path, up to the part with the unexpected type.
        claim: String,
        /// The type that was found, in words.
        found: &'static str,
        /// The types that are accepted, in words.
        expected: &'static str,
    },
    /// The claim holds no value.
    #[error(
        "the token's claim `{claim}` is {found}: the caller has no tenant there. Let the identity \
         provider assign one"
    )]
    ClaimEmpty {
        claim: String,
        /// What is empty, in words.
        found: &'static str,
    },
    /// `pattern` and `map` left no value.
    #[error(
        "none of the {values} values of the token's claim `{claim}` is a tenant by the rule's \
         `pattern` and `map`: let the identity provider assign one that is, or extend the rule"
    )]
    NoValueLeft {
        claim: String,
        /// How many values the claim has.
        values: usize,
    },
    /// A value is not a valid tenant.
    #[error("a value of the token's claim `{claim}` is refused: {why}")]
    NoTenant {
        claim: String,
        /// Why it is not valid.
        why: InvalidTenant,
    },
    #[error(
        "the token's claim `{claim}` names {found} tenants and at most {max} are permitted: give the \
         caller fewer, narrow the rule by `pattern` or `map`, or raise `tenancy.max_tenants`"
    )]
    TooMany {
        claim: String,
        found: usize,
        max: usize,
    },
    /// A rule's `tenants` are empty, invalid or too many. A checked config has no such rule.
    #[error(
        "the `tenants` of the rule that applies to this token are not usable: correct the rule"
    )]
    FixedTenants,
    /// `all_tenants` below `and`. A checked config has no such rule.
    #[error(
        "a rule below `tenancy.and` grants all tenants: only the rules of `tenancy` itself can"
    )]
    AllTenantsInFurtherDimension,
}

impl ScopeRefusal {
    /// The reason as a label value, of a closed set.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoRule => "no_rule",
            Self::ClaimMissing { .. } => "claim_missing",
            Self::ClaimType { .. } => "claim_type",
            Self::ClaimEmpty { .. } => "claim_empty",
            Self::NoValueLeft { .. } => "no_value_left",
            Self::NoTenant { .. } => "invalid_tenant",
            Self::TooMany { .. } => "too_many_tenants",
            Self::FixedTenants | Self::AllTenantsInFurtherDimension => "config",
        }
    }
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

/// A condition does not hold if its claim is missing, null or an empty list. A claim of another type
/// refuses the token, because going on to the next rule could grant more than was meant.
fn applies(when: &When, issuer: &str, claims: &Map<String, Value>) -> Result<bool, ScopeRefusal> {
    if when.issuer.as_deref().is_some_and(|only| only != issuer) {
        return Ok(false);
    }
    let Some((path, wanted)) = &when.claim else {
        return Ok(true);
    };
    let found = match look_up(path, claims)? {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(items)) => strings(path, items)?,
        Some(other) => return Err(odd_type(path, other)),
    };
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
    let values = claim_values(grant, claims)?;
    let mut granted: HashSet<&str> = values
        .iter()
        .filter_map(|value| match &grant.pattern {
            None => Some(*value),
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

/// The claim's values: at least one, and none of them empty. `separator` splits a string; each item
/// of a list is one value. Empty pieces (`a,,b`, a separator at the end) are ignored. An empty item
/// of a list is a mistake at the provider and refused.
pub(super) fn claim_values<'a>(
    grant: &ClaimGrant,
    claims: &'a Map<String, Value>,
) -> Result<Vec<&'a str>, ScopeRefusal> {
    let path = &grant.claim;
    let empty = |found| ScopeRefusal::ClaimEmpty {
        claim: Path(path).to_string(),
        found,
    };
    let (values, if_none) = match look_up(path, claims)? {
        None => {
            return Err(ScopeRefusal::ClaimMissing {
                claim: Path(path).to_string(),
            });
        }
        Some(Value::String(text)) => (pieces(text, grant.separator.as_deref()), "an empty string"),
        Some(Value::Array(items)) => (strings(path, items)?, "an empty list"),
        Some(other) => return Err(odd_type(path, other)),
    };
    if values.is_empty() {
        return Err(empty(if_none));
    }
    if values.contains(&"") {
        return Err(empty("a list with an empty string"));
    }
    Ok(values)
}

fn pieces<'a>(text: &'a str, separator: Option<&str>) -> Vec<&'a str> {
    match separator {
        Some(separator) => text
            .split(separator)
            .map(str::trim)
            .filter(|piece| !piece.is_empty())
            .collect(),
        None if text.is_empty() => Vec::new(),
        None => vec![text],
    }
}

/// The items of a list, if all are strings.
fn strings<'a>(path: &ClaimPath, items: &'a [Value]) -> Result<Vec<&'a str>, ScopeRefusal> {
    items
        .iter()
        .map(|item| {
            item.as_str().ok_or_else(|| ScopeRefusal::ClaimType {
                claim: Path(path).to_string(),
                found: match item {
                    Value::Null => "a list that holds a null",
                    Value::Bool(_) => "a list that holds a boolean",
                    Value::Number(_) => "a list that holds a number",
                    _ => "a list that holds a list or an object",
                },
                expected: "a string or a list of strings",
            })
        })
        .collect()
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

/// The claim at the end of the path; `None` if a part of the path is missing or null.
fn look_up<'a>(
    path: &ClaimPath,
    claims: &'a Map<String, Value>,
) -> Result<Option<&'a Value>, ScopeRefusal> {
    let Some((first, rest)) = path.0.split_first() else {
        return Ok(None);
    };
    let mut found = claims.get(first);
    for (walked, key) in (1..).zip(rest) {
        found = match found {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(object)) => object.get(key),
            Some(other) => {
                return Err(ScopeRefusal::ClaimType {
                    claim: join(path.0.iter().take(walked)),
                    found: type_of(other),
                    expected: "an object",
                });
            }
        };
    }
    Ok(found)
}

fn odd_type(path: &ClaimPath, value: &Value) -> ScopeRefusal {
    ScopeRefusal::ClaimType {
        claim: Path(path).to_string(),
        found: type_of(value),
        expected: "a string or a list of strings",
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A path as written in the config.
pub(super) struct Path<'a>(pub(super) &'a ClaimPath);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&join(self.0.0.iter()))
    }
}

/// `realm_access.roles`; a list where a key holds dots: `["https://example.com/tenants"]`.
fn join<'a>(keys: impl Iterator<Item = &'a String> + Clone) -> String {
    if keys.clone().any(|key| key.contains('.')) {
        format!("{:?}", keys.collect::<Vec<_>>())
    } else {
        keys.map(String::as_str).collect::<Vec<_>>().join(".")
    }
}
