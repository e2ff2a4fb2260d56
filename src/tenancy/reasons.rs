//! Explains to the operator why a caller has its tenants.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::claim_values::{ClaimValues, Path};
use super::rules::{self, Granted};
use crate::config::settings::{
    AttributeSelector, ClaimGrant, Conjunction, Grant, Selector, Selectors, Tenancy, TenantRule,
    TenantSelector, When,
};

/// What the rules of one dimension derive from a caller's claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Its label in the metrics.
    pub label: Option<Arc<str>>,
    /// Its attribute in the traces, without `resource.`.
    pub attribute: Option<Arc<str>>,
    /// Whether the rules are about named clusters instead of tenants.
    pub of_clusters: bool,
    /// The number of rules. The short form `claim` counts as the last one.
    pub rules: usize,
    /// The conditions of the rules before the deciding one, none of which held.
    pub passed_over: Vec<String>,
    /// What the deciding rule grants, in words; `None` if no rule applies.
    pub grant: Option<String>,
    /// The values of the rule's claim.
    pub values: Vec<String>,
    /// How the claim was read to have these values, in words; `None` if it is a plain value or list.
    pub read_as: Option<String>,
    /// The tenants; `None` for all.
    pub tenants: Option<Vec<String>>,
    /// The selectors of those that have one on the dimension's own label: tenant, operator and value.
    pub selectors: Vec<(String, &'static str, String)>,
    /// Those that have conditions on several labels or attributes: tenant and conditions.
    pub conditions: Vec<(String, String)>,
}

impl Reason {
    /// The number of the deciding rule among all rules of its dimension, from 1.
    pub fn rule(&self) -> Option<usize> {
        self.grant.is_some().then(|| self.passed_over.len() + 1)
    }

    fn with_selectors(self, all: &Selectors) -> Self {
        let (mut selectors, mut conditions) = (Vec::new(), Vec::new());
        for tenant in self.tenants.iter().flatten() {
            match all.of(tenant) {
                None => {}
                Some(TenantSelector::Values(selector)) => {
                    let (op, value) = selector.written();
                    selectors.push((tenant.clone(), op, value.to_owned()));
                }
                Some(TenantSelector::Conditions(all)) => {
                    let metrics = all.metrics.iter().map(of_metrics);
                    let traces = all.traces.iter().map(|any| of_traces(any));
                    for text in metrics.chain(traces) {
                        conditions.push((tenant.clone(), text));
                    }
                }
            }
        }
        Self {
            selectors,
            conditions,
            ..self
        }
    }
}

/// Conditions on labels, as PromQL writes them.
fn of_metrics(all: &Conjunction<Selector>) -> String {
    let all = all.iter().map(|(label, selector)| {
        let (op, value) = selector.written();
        format!("{label}{op}{value:?}")
    });
    format!("{{{}}}", all.collect::<Vec<_>>().join(","))
}

/// Alternatives of conditions on attributes, as `TraceQL` writes them.
fn of_traces(any: &[Conjunction<AttributeSelector>]) -> String {
    let all = any.iter().map(|all| {
        let all = all.iter().map(|(name, selector)| {
            let (op, value) = selector.written();
            format!("resource.{name} {op} {value}")
        });
        all.collect::<Vec<_>>().join(" && ")
    });
    format!("{{ {} }}", all.collect::<Vec<_>>().join(" || "))
}

/// One reason for each dimension, in the order of the config, and one for the clusters if there are
/// rules for them. A caller with all tenants has only the first. Callers that
/// [`resolve`](super::resolve) refuses have reasons as well, some of them with tenants.
pub fn reasons(tenancy: &Tenancy, issuer: &str, claims: &Map<String, Value>) -> Vec<Reason> {
    let reason = |rules, what| of_rules(rules, issuer, claims, tenancy.max_tenants, what);
    let first = Reason {
        label: tenancy.metrics_label.clone(),
        attribute: tenancy.traces_attribute.clone(),
        ..reason(&tenancy.rules, "tenants").with_selectors(&tenancy.selectors)
    };
    let has_all = first.tenants.is_none();
    let further = tenancy.and.iter().map(|dimension| Reason {
        label: dimension.metrics_label.clone(),
        attribute: dimension.traces_attribute.clone(),
        ..reason(&dimension.rules, "tenants").with_selectors(&dimension.selectors)
    });
    let clusters = tenancy.clusters.iter().map(|rules| Reason {
        of_clusters: true,
        ..reason(rules, "clusters")
    });
    let further = further.chain(clusters).filter(|_| !has_all);
    std::iter::once(first).chain(further).collect()
}

fn of_rules(
    rules: &[TenantRule],
    issuer: &str,
    claims: &Map<String, Value>,
    max_tenants: usize,
    what: &str,
) -> Reason {
    let deciding = rules::deciding(rules, issuer, claims).ok().flatten();
    let tenants = match rules::decide(rules, issuer, claims, max_tenants) {
        Ok(Granted::AllTenants) => None,
        Ok(Granted::Tenants(tenants)) => {
            Some(tenants.iter().map(|t| t.as_str().to_owned()).collect())
        }
        Err(_) => Some(Vec::new()),
    };
    let found = match deciding.map(|(_, rule)| &rule.grant) {
        Some(Grant::Claim(grant)) => rules::claim_values(grant, claims).ok(),
        _ => None,
    };
    let read_as = found.as_ref().and_then(|found| found.form.in_words());
    let values = found.map_or_else(Vec::new, |ClaimValues { values, .. }| values);
    let passed_over = rules
        .iter()
        .take(deciding.map_or(rules.len(), |(place, _)| place));
    Reason {
        label: None,
        attribute: None,
        of_clusters: false,
        rules: rules.len(),
        passed_over: passed_over.map(|rule| condition(&rule.when)).collect(),
        grant: deciding.map(|(_, rule)| grant(rule, what)),
        values: values.into_iter().map(Cow::into_owned).collect(),
        read_as,
        tenants,
        selectors: Vec::new(),
        conditions: Vec::new(),
    }
}

/// Describes what a rule grants; `what` is "tenants" or "clusters".
fn grant(rule: &TenantRule, what: &str) -> String {
    let granted = match &rule.grant {
        Grant::AllTenants => format!("all {what}"),
        Grant::Tenants(_) => format!("fixed {what}"),
        Grant::Claim(ClaimGrant {
            claim,
            separator: _,
            pattern,
            map,
        }) => {
            let claim = Path(claim);
            let pattern = pattern
                .as_ref()
                .map(|pattern| format!(", pattern `{}`", as_written(pattern.0.as_str())));
            let map = map.as_ref().map(|_| ", by its map");
            format!(
                "the claim `{claim}`{}{}",
                pattern.unwrap_or_default(),
                map.unwrap_or_default()
            )
        }
    };
    if rule.when == When::default() {
        granted
    } else {
        format!("{granted}, because {}", condition(&rule.when))
    }
}

/// A pattern without the anchors that it was compiled with.
fn as_written(pattern: &str) -> &str {
    pattern
        .strip_prefix(r"\A(?:")
        .and_then(|rest| rest.strip_suffix(r")\z"))
        .unwrap_or(pattern)
}

fn condition(when: &When) -> String {
    let issuer = when
        .issuer
        .as_ref()
        .map(|issuer| format!("the issuer is {issuer}"));
    let claim = when.claim.as_ref().map(|(path, values)| {
        let values = values.join("`, `");
        format!("the claim `{}` has one of `{values}`", Path(path))
    });
    let parts: Vec<String> = issuer.into_iter().chain(claim).collect();
    parts.join(" and ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::settings::{ClaimPath, Pattern};

    fn rule(when: Option<(&str, &str)>, grant: Grant) -> TenantRule {
        let path = |name: &str| ClaimPath(name.split('.').map(str::to_owned).collect());
        let claim = when.map(|(claim, value)| (path(claim), vec![value.to_owned()]));
        TenantRule {
            when: When {
                issuer: None,
                claim,
            },
            grant,
        }
    }

    fn tenancy() -> Tenancy {
        let groups = ClaimGrant {
            claim: ClaimPath(vec!["groups".to_owned()]),
            separator: None,
            pattern: Some(Pattern(r"\A(?:team-(.+))\z".parse().unwrap())),
            map: None,
        };
        Tenancy {
            rules: vec![
                rule(Some(("realm.roles", "sre")), Grant::AllTenants),
                rule(None, Grant::Claim(groups)),
            ],
            metrics_label: Some("tenant_id".into()),
            traces_attribute: None,
            traces_org_id: false,
            selectors: Selectors::default(),
            and: Vec::new(),
            clusters: None,
            max_tenants: 10,
        }
    }

    fn only(claims: &Value) -> Reason {
        let mut all = reasons(&tenancy(), "i", claims.as_object().unwrap());
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn deciding_rule_is_named_with_the_claims_values() {
        let reason = only(&json!({"groups": ["team-a", "staff"], "realm": {"roles": ["dev"]}}));
        assert_eq!(reason.rule(), Some(2));
        assert_eq!(
            reason.passed_over,
            ["the claim `realm.roles` has one of `sre`"]
        );
        let grant = "the claim `groups`, pattern `team-(.+)`";
        assert_eq!(reason.grant.as_deref(), Some(grant));
        assert_eq!(reason.values, ["team-a", "staff"]);
        assert_eq!(reason.tenants, Some(vec!["a".to_owned()]));
    }

    #[test]
    fn reading_of_the_claim_is_explained() {
        let reason = only(&json!({"groups": r#"["team-a"]"#}));
        assert_eq!(reason.values, ["team-a"]);
        assert_eq!(reason.read_as.as_deref(), Some("JSON text in a string"));
        assert_eq!(only(&json!({"groups": ["team-a"]})).read_as, None);
    }

    #[test]
    fn caller_with_all_tenants_is_explained_by_the_rule() {
        let reason = only(&json!({"realm": {"roles": "sre"}}));
        assert_eq!((reason.rule(), reason.tenants), (Some(1), None));
    }

    #[test]
    fn caller_without_tenants_is_explained_too() {
        let reason = only(&json!({"groups": ["staff"]}));
        assert_eq!((reason.rule(), reason.tenants), (Some(2), Some(Vec::new())));
    }
}
