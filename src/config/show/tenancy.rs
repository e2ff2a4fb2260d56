//! `tenancy`.

use std::sync::Arc;

use super::tree::{Tree, list, map};
use crate::config::settings::{
    ClaimGrant, ClaimPath, FurtherDimension, Grant, Pattern, Tenancy, TenantRule, When,
};

pub(super) fn tenancy(tenancy: &Tenancy) -> Tree {
    let Tenancy {
        rules,
        metrics_label,
        traces_attribute,
        traces_org_id,
        and,
        clusters,
        max_tenants,
    } = tenancy;
    let traces = if *traces_org_id {
        map([("org_id", Tree::plain(true))])
    } else {
        attribute(traces_attribute.as_ref())
    };
    map([
        ("rules", list(rules, rule)),
        ("metrics", label(metrics_label.as_ref())),
        ("traces", traces),
        ("and", list(and, further)),
        (
            "clusters",
            clusters.as_ref().map_or(Tree::Absent, |rules| {
                map([("rules", list(rules, cluster_rule))])
            }),
        ),
        ("max_tenants", Tree::plain(max_tenants)),
    ])
}

fn further(dimension: &FurtherDimension) -> Tree {
    let FurtherDimension {
        rules,
        metrics_label,
        traces_attribute,
    } = dimension;
    map([
        ("rules", list(rules, rule)),
        ("metrics", label(metrics_label.as_ref())),
        ("traces", attribute(traces_attribute.as_ref())),
    ])
}

fn label(label: Option<&Arc<str>>) -> Tree {
    map([("label", label.map_or(Tree::Absent, Tree::text))])
}

fn attribute(name: Option<&Arc<str>>) -> Tree {
    let attribute = |name| Tree::text(format_args!("resource.{name}"));
    map([("attribute", name.map_or(Tree::Absent, attribute))])
}

fn rule(rule: &TenantRule) -> Tree {
    rule_tree(rule, ("tenants", "all_tenants"))
}

fn cluster_rule(rule: &TenantRule) -> Tree {
    rule_tree(rule, ("clusters", "all_clusters"))
}

/// `names` are those of its fixed grants.
fn rule_tree(rule: &TenantRule, names: (&'static str, &'static str)) -> Tree {
    let TenantRule {
        when: When { issuer, claim },
        grant,
    } = rule;
    let (claim, values) = match claim {
        Some((claim, values)) => (claim_path(claim), list(values, text)),
        None => (Tree::Absent, Tree::Absent),
    };
    let when = map([
        ("issuer", issuer.as_ref().map_or(Tree::Absent, Tree::text)),
        ("claim", claim),
        ("values", values),
    ]);
    map([("when", when)]
        .into_iter()
        .chain(grant_entries(grant, names)))
}

fn grant_entries(
    grant: &Grant,
    (some, all): (&'static str, &'static str),
) -> Vec<(&'static str, Tree)> {
    match grant {
        Grant::Claim(ClaimGrant {
            claim,
            separator,
            pattern,
            map: mapping,
        }) => {
            let pattern = pattern.as_ref().map(Pattern::written);
            let mapping = mapping.as_ref().map(|mapping| {
                let entry = |(from, to): &(String, Vec<String>)| (from.clone(), list(to, text));
                Tree::Map(mapping.iter().map(entry).collect())
            });
            vec![
                ("claim", claim_path(claim)),
                (
                    "separator",
                    separator.as_ref().map_or(Tree::Absent, Tree::text),
                ),
                ("pattern", pattern.map_or(Tree::Absent, Tree::text)),
                ("map", mapping.unwrap_or(Tree::Absent)),
            ]
        }
        Grant::Tenants(tenants) => vec![(some, list(tenants, text))],
        Grant::AllTenants => vec![(all, Tree::plain(true))],
    }
}

/// As a list, which is right for keys with dots too.
fn claim_path(ClaimPath(keys): &ClaimPath) -> Tree {
    list(keys, text)
}

fn text(text: &String) -> Tree {
    Tree::text(text)
}
