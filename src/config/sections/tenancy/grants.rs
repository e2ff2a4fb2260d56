//! What a rule asks for and grants.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::pattern::Pattern;

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantRule {
    /// `when`: what must hold for the rule to decide; all given parts must.
    pub when: When,
    /// What it grants.
    pub grant: Grant,
}

/// `when`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    /// `issuer`: one of `tokens.issuers`.
    pub issuer: Option<Arc<str>>,
    /// `claim` and `values`: the claim (string or list) has at least one of the values.
    pub claim: Option<(ClaimPath, Vec<String>)>,
}

/// What a rule grants; exactly one of these keys is given.
#[derive(Clone, Debug, PartialEq)]
pub enum Grant {
    /// `claim`, with `separator`, `pattern` and `map`.
    Claim(ClaimGrant),
    /// `tenants`: fixed ones, for service accounts.
    Tenants(Vec<String>),
    /// `all_tenants: true`: no restriction. Audited.
    AllTenants,
}

/// Tenants from a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimGrant {
    /// `claim`: where the values are.
    pub claim: ClaimPath,
    /// `separator`: splits a string into several values; blanks around each are dropped. Without
    /// it a string is one value.
    pub separator: Option<String>,
    /// `pattern`: a regex that must match a value as a whole; its first group, or the whole, is
    /// the tenant. Values that do not match are left out.
    pub pattern: Option<Pattern>,
    /// `map`: from value (after `pattern`) to tenants; when given, values not in it are left out.
    pub map: Option<Vec<(String, Vec<String>)>>,
}

/// The keys that lead to a claim: `realm_access.roles`, or `["https://example.com/tenants"]`
/// where a key holds dots. Never empty, no key empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimPath(pub Vec<String>);

impl Serialize for TenantRule {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.shown("tenants", "all_tenants").serialize(to)
    }
}

impl TenantRule {
    /// As a rule of `tenancy.clusters`.
    pub(super) fn of_clusters(&self) -> Value {
        self.shown("clusters", "all_clusters")
    }

    /// `some` and `all` are the keys of fixed grants.
    fn shown(&self, some: &str, all: &str) -> Value {
        let Self {
            when: When { issuer, claim },
            grant,
        } = self;
        let (claim, values) = claim.clone().unzip();
        let mut rule = Map::new();
        let when = json!({"issuer": issuer, "claim": claim, "values": values});
        rule.insert("when".to_owned(), when);
        match grant {
            Grant::Claim(ClaimGrant {
                claim,
                separator,
                pattern,
                map,
            }) => {
                let map = map.as_ref().map(|map| {
                    let entries = map.iter().map(|(from, to)| (from.clone(), json!(to)));
                    entries.collect::<Map<String, Value>>()
                });
                rule.insert("claim".to_owned(), json!(claim));
                rule.insert("separator".to_owned(), json!(separator));
                rule.insert(
                    "pattern".to_owned(),
                    json!(pattern.as_ref().map(Pattern::written)),
                );
                rule.insert("map".to_owned(), json!(map));
            }
            Grant::Tenants(tenants) => drop(rule.insert(some.to_owned(), json!(tenants))),
            Grant::AllTenants => drop(rule.insert(all.to_owned(), json!(true))),
        }
        Value::Object(rule)
    }
}
