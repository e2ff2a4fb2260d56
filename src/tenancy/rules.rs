//! One dimension's rules: the first whose `when` holds decides alone.

use std::collections::HashSet;
use std::fmt;

use serde_json::{Map, Value};
use thiserror::Error;

use super::{InvalidTenant, Tenant, TenantSet};
use crate::config::settings::{ClaimGrant, ClaimPath, Grant, TenantRule, When};

/// What a rule granted.
#[derive(Debug)]
pub(super) enum Granted {
    AllTenants,
    Tenants(TenantSet),
}

/// Why a believed caller gets no tenants: a 403. The texts name the claim and the type of what
/// was found there, never a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScopeRefusal {
    /// No rule's `when` holds.
    #[error(
        "no rule under `tenancy` applies to this token: its issuer and claims meet no `when`. \
         Add a rule for such callers, or give them the claim that a rule asks for"
    )]
    NoRule,
    /// The claim is not there.
    #[error(
        "the token has no claim `{claim}`: let the identity provider add it, or name another \
         claim under `tenancy`"
    )]
    ClaimMissing {
        /// The claim's path.
        claim: String,
    },
    /// The claim, or a step on the way to it, has another type.
    #[error(
        "the token's claim `{claim}` is {found} where {expected} is needed: change what the \
         identity provider puts there, or name another claim under `tenancy`"
    )]
    ClaimType {
        /// The claim's path, up to where the odd type is.
        claim: String,
        /// What is there, in words.
        found: &'static str,
        /// What would do.
        expected: &'static str,
    },
    /// The claim holds no value.
    #[error(
        "the token's claim `{claim}` is {found}: the caller has no tenant there. Let the identity \
         provider assign one"
    )]
    ClaimEmpty {
        /// The claim's path.
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
        /// The claim's path.
        claim: String,
        /// How many values there were.
        values: usize,
    },
    /// A value can be no tenant.
    #[error("a value of the token's claim `{claim}` is refused: {why}")]
    NoTenant {
        /// The claim's path.
        claim: String,
        /// What is wrong with it.
        why: InvalidTenant,
    },
    /// More tenants than `max_tenants`.
    #[error(
        "the token's claim `{claim}` names {found} tenants and at most {max} are allowed: give the \
         caller fewer, narrow the rule by `pattern` or `map`, or raise `tenancy.max_tenants`"
    )]
    TooMany {
        /// The claim's path.
        claim: String,
        /// How many there are.
        found: usize,
        /// `tenancy.max_tenants`.
        max: usize,
    },
    /// A rule's own `tenants` are empty, invalid or too many; a checked config has none such.
    #[error(
        "the `tenants` of the rule that applies to this token are not usable: correct the rule"
    )]
    FixedTenants,
    /// `all_tenants` below `and`; a checked config has none such.
    #[error(
        "a rule below `tenancy.and` grants all tenants: only the rules of `tenancy` itself can"
    )]
    AllTenantsInFurtherDimension,
}

impl ScopeRefusal {
    /// A word for metrics, of a closed set.
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

/// What the first rule that applies grants.
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

/// The first rule that applies, and its place among the rules.
pub(super) fn deciding<'r>(
    rules: &'r [TenantRule],
    issuer: &str,
    claims: &Map<String, Value>,
) -> Result<Option<(usize, &'r TenantRule)>, ScopeRefusal> {
    for (place, rule) in rules.iter().enumerate() {
        if applies(&rule.when, issuer, claims)? {
            return Ok(Some((place, rule)));
        }
    }
    Ok(None)
}

/// A condition's claim that is missing, null or an empty list does not hold. One of another type
/// refuses the token: passing on to the next rule could grant more than was meant.
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

/// The claim's values, none of them empty, at least one. `separator` splits a string; a list's
/// items are each one value. Pieces that are blank (`a,,b`, a separator at the end) hold no value
/// and are no values; an empty item of a list is a mistake at the provider and refused.
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

/// What the pattern makes of a value: its first group, or all of it; `None` if it does not match
/// the value as a whole.
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

/// The claim at the end of the path; `None` if a step to it is missing or null.
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

/// A path as the config file spells it.
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
