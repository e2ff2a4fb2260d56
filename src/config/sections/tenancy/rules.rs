//! `rules`, and their short form.

use std::sync::Arc;

use super::claims;
use super::grants::{ClaimGrant, ClaimPath, Grant, TenantRule, When};
use super::pattern::{Pattern, pattern};
use crate::config::reader::{Alternative, Field, Read, Reader, Section};
use crate::config::sections::upstreams::api::Api;
use crate::config::values::{expanded, flag, text};
use crate::config::warning::WarningCode;
use crate::config::yaml::Value;
use crate::tenant::Tenant;

/// What the rules may refer to, and must cover.
pub(in crate::config::sections) struct Known {
    /// The issuers' names; if one has an error, unknown names are not reported.
    pub(in crate::config::sections) issuers: Read<Vec<Arc<str>>>,
    pub(in crate::config::sections) apis: Vec<Api>,
    /// The names of the clusters; if one has an error, unknown names are not reported.
    pub(in crate::config::sections) clusters: Read<Vec<Arc<str>>>,
}

/// What the rules grant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dimension {
    Tenants,
    /// A further label, which can only restrict.
    Further,
    /// Named clusters.
    Clusters,
}

impl Dimension {
    /// The possible grants of a rule.
    fn grants(self) -> [(&'static str, Alternative<Grant>); 3] {
        let claim: Alternative<Grant> =
            |r, field| granting_claim(r, field).map(bare).map(Grant::Claim);
        let some: Alternative<Grant> = |r, field| r.some_of(field, tenant).map(Grant::Tenants);
        let all: Alternative<Grant> = |r, field| flag(r, field).map(|()| Grant::AllTenants);
        match self {
            Self::Tenants | Self::Further => {
                [("claim", claim), ("tenants", some), ("all_tenants", all)]
            }
            Self::Clusters => [("claim", claim), ("clusters", some), ("all_clusters", all)],
        }
    }
}

/// `rules`, followed by the short form next to them.
pub(super) fn rules(
    r: &mut Reader<'_>,
    section: &mut Section<'_>,
    dimension: Dimension,
    known: &Known,
) -> Read<Vec<TenantRule>> {
    let listed = section.optional(r, "rules", |r, field| {
        r.some_of(field, |r, field| rule(r, field, dimension, known))
    });
    let short = section.optional(r, "claim", granting_claim);
    let has_claim = !matches!(short, Ok(None));
    let refinement = refinement(r, section, has_claim);

    let (listed, short) = (listed?, short?);
    if listed.is_none() && short.is_none() {
        refinement?;
        let message = "one of `claim` and `rules` is required";
        return Err(r.error(section.field(), message));
    }
    let listed = listed.unwrap_or_default();
    all_reachable(r, &listed, short.is_some())?;
    if dimension == Dimension::Tenants {
        all_tenants_of_some(r, &listed, known)?;
    }
    if let Some(claim) = &short {
        check_subject(r, section, claim, &When::default(), known);
    }
    let refinement = refinement?;
    let short = short.map(|claim| TenantRule {
        when: When::default(),
        grant: refinement.apply(Grant::Claim(bare(claim))),
    });
    Ok(listed
        .into_iter()
        .map(|(_, rule)| rule)
        .chain(short)
        .collect())
}

/// A rule without `when` always decides, so it must be the last.
fn all_reachable(
    r: &mut Reader<'_>,
    listed: &[(Field<'_>, TenantRule)],
    short_follows: bool,
) -> Read<()> {
    let unconditional = listed
        .iter()
        .position(|(_, rule)| rule.when == When::default());
    match unconditional.and_then(|index| Some((index, listed.get(index)?))) {
        Some((index, (field, _))) if short_follows || index + 1 < listed.len() => {
            let message = "has no `when` and so always decides: what comes after it is never \
                           reached";
            Err(r.error(field, message))
        }
        _ => Ok(()),
    }
}

/// `all_tenants` is for some callers: if all had it, nothing would be separated.
fn all_tenants_of_some(
    r: &mut Reader<'_>,
    listed: &[(Field<'_>, TenantRule)],
    known: &Known,
) -> Read<()> {
    let Ok(issuers) = &known.issuers else {
        return Ok(());
    };
    let mut last = None;
    let has_all = |issuer: &Arc<str>| {
        let decides = |rule: &TenantRule| {
            let of_this = rule.when.issuer.as_ref().is_none_or(|one| one == issuer);
            rule.when.claim.is_none() && of_this
        };
        let decides = listed.iter().find(|(_, rule)| decides(rule));
        let all = decides.filter(|(_, rule)| rule.grant == Grant::AllTenants);
        last = all.map(|(field, _)| field).or(last);
        all.is_some()
    };
    if !issuers.is_empty()
        && issuers.iter().all(has_all)
        && let Some(field) = last
    {
        let message = "`all_tenants` would hold for every caller: each issuer of tokens.issuers \
                       has such a rule that asks for no claim. Ask for `claim` and `values`";
        return Err(r.error(field, message));
    }
    if issuers.len() > 1 {
        for (field, rule) in listed {
            if rule.grant == Grant::AllTenants && rule.when.issuer.is_none() {
                let message = "`all_tenants` is granted by a claim of any issuer: the operator of any one \
                               of them can write it. Add `issuer` to `when`";
                r.warn(field, WarningCode::AllTenantsOfAnyIssuer, message);
            }
        }
    }
    Ok(())
}

/// Warns if the same `sub` of two issuers, which are two users, would be one tenant.
fn check_subject(
    r: &mut Reader<'_>,
    section: &mut Section<'_>,
    claim: &ClaimPath,
    when: &When,
    known: &Known,
) {
    let several = known
        .issuers
        .as_ref()
        .is_ok_and(|issuers| issuers.len() > 1);
    if several
        && when.issuer.is_none()
        && claim.0 == [claims::SUBJECT]
        && let Some(field) = section.get("claim")
    {
        let message = "`sub` is unique within one issuer only, and there are several: users of two \
                       issuers can share a tenant. Write a rule with `when: {issuer}` for each";
        r.warn(&field, WarningCode::SubjectOfAnyIssuer, message);
    }
}

fn rule<'n>(
    r: &mut Reader<'_>,
    field: &Field<'n>,
    dimension: Dimension,
    known: &Known,
) -> Read<(Field<'n>, TenantRule)> {
    let mut section = r.section(field)?;
    let when = section.optional(r, "when", |r, field| when(r, field, known));
    let grant = section.exactly_one(r, &dimension.grants());
    let has_claim = matches!(grant, Err(_) | Ok(Grant::Claim(_)));
    let refinement = refinement(r, &mut section, has_claim);
    let allowed = match (&grant, &when) {
        (Ok(Grant::AllTenants), _) if dimension == Dimension::Further => {
            let message = "`all_tenants` is not for the rules under `and`: they restrict further";
            Err(r.error(field, message))
        }
        (Ok(Grant::AllTenants), Ok(None)) if dimension == Dimension::Tenants => {
            let message = "`all_tenants` needs a `when`: without one it is for everybody";
            Err(r.error(field, message))
        }
        _ => Ok(()),
    };
    if let (Ok(Grant::Claim(grant)), Ok(when)) = (&grant, &when) {
        let when = when.clone().unwrap_or_default();
        check_subject(r, &mut section, &grant.claim, &when, known);
    }
    section.finish(r)?;
    allowed?;
    let rule = TenantRule {
        when: when?.unwrap_or_default(),
        grant: refinement?.apply(grant?),
    };
    Ok((field.clone(), rule))
}

fn when(r: &mut Reader<'_>, field: &Field<'_>, known: &Known) -> Read<When> {
    let mut section = r.section(field)?;
    let issuer = section.optional(r, "issuer", |r, field| {
        let issuer: Arc<str> = expanded(r, field)?.into();
        match &known.issuers {
            Ok(issuers) if !issuers.contains(&issuer) => {
                let message = "is not one of tokens.issuers";
                Err(r.error(field, message))
            }
            _ => Ok(issuer),
        }
    });
    let claim = section.optional(r, "claim", |r, field| {
        let claim = claim_path(r, field)?;
        claims::decides(r, field, &claim)?;
        Ok(claim)
    });
    let values = section.optional(r, "values", |r, field| r.some_of(field, text));
    section.finish(r)?;
    let (issuer, claim, values) = (issuer?, claim?, values?);
    let claim = match (claim, values) {
        (Some(claim), Some(values)) => Some((claim, values)),
        (None, None) if issuer.is_some() => None,
        (None, None) => return Err(r.error(field, "must hold `issuer`, or `claim` and `values`")),
        _ => return Err(r.error(field, "`claim` and `values` go together")),
    };
    Ok(When { issuer, claim })
}

fn granting_claim(r: &mut Reader<'_>, field: &Field<'_>) -> Read<ClaimPath> {
    let claim = claim_path(r, field)?;
    claims::grants(r, field, &claim)?;
    Ok(claim)
}

/// `a.b.c`, or a list of keys if one contains dots.
fn claim_path(r: &mut Reader<'_>, field: &Field<'_>) -> Read<ClaimPath> {
    if let Value::List(_) = field.node.value {
        return r.some_of(field, text).map(ClaimPath);
    }
    let path = text(r, field)?;
    if path.contains("://") {
        let message = "a claim whose name holds dots is written as a list: [\"https://…\"]";
        return Err(r.error(field, message));
    }
    let keys: Vec<String> = path.split('.').map(str::to_owned).collect();
    if keys.iter().any(String::is_empty) {
        let message = "is not a dotted path: a key is empty";
        return Err(r.error(field, message));
    }
    Ok(ClaimPath(keys))
}

fn bare(claim: ClaimPath) -> ClaimGrant {
    ClaimGrant {
        claim,
        separator: None,
        pattern: None,
        map: None,
    }
}

/// The keys that may accompany `claim`.
struct Refinement {
    separator: Option<String>,
    pattern: Option<Pattern>,
    map: Option<Vec<(String, Vec<String>)>>,
}

impl Refinement {
    fn apply(self, grant: Grant) -> Grant {
        match grant {
            Grant::Claim(ClaimGrant { claim, .. }) => Grant::Claim(ClaimGrant {
                claim,
                separator: self.separator,
                pattern: self.pattern,
                map: self.map,
            }),
            other => other,
        }
    }
}

fn refinement(r: &mut Reader<'_>, section: &mut Section<'_>, has_claim: bool) -> Read<Refinement> {
    let beside_claim = |r: &mut Reader<'_>, field: &Field<'_>| {
        if has_claim {
            Ok(())
        } else {
            Err(r.error(field, "requires `claim`"))
        }
    };
    let separator = section.optional(r, "separator", |r, field| {
        beside_claim(r, field)?;
        text(r, field)
    });
    let pattern = section.optional(r, "pattern", |r, field| {
        beside_claim(r, field)?;
        pattern(r, field)
    });
    let map = section.optional(r, "map", |r, field| {
        beside_claim(r, field)?;
        map(r, field)
    });
    Ok(Refinement {
        separator: separator?,
        pattern: pattern?,
        map: map?,
    })
}

/// From a claim's value to one tenant or a list of tenants.
fn map(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Vec<(String, Vec<String>)>> {
    let entries = r.entries(field)?;
    if entries.is_empty() {
        return Err(r.error(field, "must not be empty: no value would have a tenant"));
    }
    let mapped: Vec<Read<(String, Vec<String>)>> = entries
        .iter()
        .map(|entry| {
            let value = field.child(entry);
            let tenants = match value.node.value {
                Value::List(_) => r.some_of(&value, tenant),
                _ => tenant(r, &value).map(|tenant| vec![tenant]),
            };
            Ok((entry.key.clone(), tenants?))
        })
        .collect();
    mapped.into_iter().collect()
}

fn tenant(r: &mut Reader<'_>, field: &Field<'_>) -> Read<String> {
    let tenant = text(r, field)?;
    match Tenant::new(&tenant) {
        Ok(_) => Ok(tenant),
        Err(invalid) => Err(r.error(field, invalid.to_string())),
    }
}
