//! `tenancy`.

use std::sync::Arc;

/// `tenancy`: how claims become tenants.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenancy {
    /// `rules`, and as the last one the short form `claim` (with `separator`, `pattern`, `map`)
    /// beside them. The first rule whose `when` holds decides alone. At least one.
    pub rules: Vec<TenantRule>,
    /// `metrics.label`: the label that names a series' tenant. There when an upstream with
    /// `api: prometheus` is.
    pub metrics_label: Option<Arc<str>>,
    /// `traces.attribute`: `resource.tenant_id`; the name without `resource.`. There when an
    /// upstream with `api: tempo` is, and `traces_org_id` is not set.
    pub traces_attribute: Option<Arc<str>>,
    /// `traces.org_id: true`: a Tempo with multitenancy keeps tenants apart by `X-Scope-OrgID`.
    pub traces_org_id: bool,
    /// `and`: further labels that must match as well.
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
}

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

/// A compiled, anchored `pattern` that compares by its source.
#[derive(Clone, Debug)]
pub struct Pattern(pub regex::Regex);

impl Pattern {
    /// What anchors the written pattern.
    pub const ANCHORS: (&str, &str) = (r"\A(?:", r")\z");

    /// The pattern as the config has it.
    pub fn written(&self) -> &str {
        let (before, after) = Self::ANCHORS;
        let anchored = self.0.as_str();
        anchored
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .unwrap_or(anchored)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// The keys that lead to a claim: `realm_access.roles`, or `["https://example.com/tenants"]`
/// where a key holds dots. Never empty, no key empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(pub Vec<String>);
