//! The conditions and grants of a rule.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::pattern::Pattern;

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantRule {
    /// `when`: the conditions under which the rule decides; all of them must hold.
    pub when: When,
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
    /// `claim`: the claim with the values.
    pub claim: ClaimPath,
    /// `separator`: splits a string into several values; whitespace around each is removed. Without
    /// it a string is one value.
    pub separator: Option<String>,
    /// `pattern`: a regex that must match a whole value; its first group, or the whole match, is
    /// the tenant. Other values are ignored.
    pub pattern: Option<Pattern>,
    /// `map`: from value (after `pattern`) to tenants; values not in it are ignored.
    pub map: Option<Vec<(String, Vec<String>)>>,
}

/// The keys of a claim's path: `realm_access.roles`, or `["https://example.com/tenants"]` if a key
/// contains dots. Never empty, without empty keys.
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
