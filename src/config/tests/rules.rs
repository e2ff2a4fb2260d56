//! `tenancy.rules` and the short form.

use super::cross_checks::message;
use super::{minimal_but, settings_of};
use crate::config::settings::TenantSelector;

const CLAIM: &str = "  claim: tenant_id\n";

#[test]
fn rules() {
    for (rules, error) in [
        ("", "tenancy: one of `claim` and `rules` is required"),
        ("  rules: []\n", "tenancy.rules: must not be empty"),
        ("  separator: x\n", "tenancy.separator: requires `claim`"),
        (
            "  rules: [{tenants: [a]}]\n  pattern: x\n",
            "tenancy.pattern: requires `claim`",
        ),
        (
            "  rules: [{tenants: [a], map: {a: b}}]\n",
            "tenancy.rules[0].map: requires `claim`",
        ),
        (
            "  rules: [{when: {claim: a, values: [b]}}]\n",
            "tenancy.rules[0]: one of `claim`, `tenants` and `all_tenants` is required",
        ),
        (
            "  rules: [{tenants: [a], claim: a}]\n",
            "tenancy.rules[0].tenants: only one of `claim`, `tenants` and `all_tenants` may be given",
        ),
        (
            "  rules: [{tenants: []}]\n",
            "tenancy.rules[0].tenants: must not be empty",
        ),
        (
            "  rules: [{tenants: ['']}]\n",
            "tenancy.rules[0].tenants[0]: must not be empty",
        ),
        (
            "  rules: [{tenants: [true]}]\n",
            "tenancy.rules[0].tenants[0]: must be a text: put the word into quotes if it is meant as one",
        ),
        (
            "  rules: [{tenants: [\"a\\0\"]}]\n",
            "tenancy.rules[0].tenants[0]: a tenant contains a control character",
        ),
        (
            "  rules: [{all_tenants: true}]\n",
            "tenancy.rules[0]: `all_tenants` needs a `when`: without one it is for everybody",
        ),
        (
            "  rules: [{when: {}, all_tenants: true}]\n",
            "tenancy.rules[0].when: must hold `issuer`, or `claim` and `values`",
        ),
        (
            "  rules: [{when: {claim: a}, all_tenants: true}]\n",
            "tenancy.rules[0].when: `claim` and `values` go together",
        ),
        (
            "  rules: [{when: {issuer: 'https://sso.example.com/realms/observability', values: [a]}, all_tenants: true}]\n",
            "tenancy.rules[0].when: `claim` and `values` go together",
        ),
        (
            "  rules: [{when: {claim: a, values: []}, all_tenants: true}]\n",
            "tenancy.rules[0].when.values: must not be empty",
        ),
        (
            "  rules: [{when: {issuer: x}, tenants: [a]}]\n",
            "tenancy.rules[0].when.issuer: is not one of tokens.issuers",
        ),
        (
            "  rules: [{tenants: [a]}, {tenants: [b]}]\n",
            "tenancy.rules[0]: has no `when` and so always decides: what comes after it is never reached",
        ),
        (
            "  rules: [{tenants: [a]}]\n  claim: b\n",
            "tenancy.rules[0]: has no `when` and so always decides: what comes after it is never reached",
        ),
        (
            "  rules: [{tenants: [a, b]}]\n  max_tenants: 1\n",
            "tenancy: a rule grants 2 tenants, more than max_tenants (1)",
        ),
    ] {
        assert_eq!(message(CLAIM, rules), error, "{rules}");
    }
}

#[test]
fn claims() {
    for (rules, error) in [
        (
            "  claim: c\n  and: [{rules: [{when: {claim: a, values: [b]}, all_tenants: true}], metrics: {label: x}}]\n",
            "tenancy.and[0].rules[0]: `all_tenants` is not for the rules under `and`: they restrict further",
        ),
        (
            "  claim: c\n  max_tenants: 0\n",
            "tenancy.max_tenants: must be between 1 and 1000000",
        ),
        ("  claim: []\n", "tenancy.claim: must not be empty"),
        ("  claim: [a, '']\n", "tenancy.claim[1]: must not be empty"),
        (
            "  claim: .a\n",
            "tenancy.claim: is not a dotted path: a key is empty",
        ),
        (
            "  claim: https://example.com/tenants\n",
            "tenancy.claim: a claim whose name holds dots is written as a list: [\"https://…\"]",
        ),
        (
            "  claim: c\n  separator: ''\n",
            "tenancy.separator: must not be empty",
        ),
        (
            "  claim: c\n  map: {}\n",
            "tenancy.map: must not be empty: no value would have a tenant",
        ),
        (
            "  claim: c\n  map: {a: []}\n",
            "tenancy.map.a: must not be empty",
        ),
        (
            "  claim: c\n  map: {a: }\n",
            "tenancy.map.a: has no value: write a text, or leave out the key",
        ),
        (
            "  claim: c\n  map: {a: b, a: c}\n",
            "tenancy.map.a: is given twice, first in line 16",
        ),
        (
            "  claim: c\n  pattern: '('\n",
            "tenancy.pattern: is not a regular expression: unclosed group",
        ),
        (
            "  claim: c\n  pattern: 'a)|(b'\n",
            "tenancy.pattern: is not a regular expression: unopened group",
        ),
        (
            "  claim: c\n  pattern: '(?x)a #'\n",
            "tenancy.pattern: is not a regular expression: unclosed group",
        ),
        (
            "  claim: c\n  pattern: '(((a{100}){100}){100}){100}'\n",
            "tenancy.pattern: the regular expression is too big",
        ),
    ] {
        assert_eq!(message(CLAIM, rules), error, "{rules}");
    }
    let long = message(
        CLAIM,
        &format!("  claim: c\n  pattern: {}\n", "a".repeat(1025)),
    );
    assert_eq!(long, "tenancy.pattern: is longer than 1024 bytes");
}

#[test]
fn selectors_are_read_by_tenant() {
    let text = minimal_but(
        CLAIM,
        "  claim: c\n  selectors:\n    team-a: {match: '=~', value: 'team-a-.*'}\n    \
         rest: {match: '!=', value: platform}\n",
    );
    let selectors = settings_of(&text).tenancy.selectors;
    let written = |tenant| match selectors.of(tenant)? {
        TenantSelector::Values(selector) => Some(selector.written()),
        TenantSelector::Conditions(_) => None,
    };
    assert_eq!(written("team-a"), Some(("=~", "team-a-.*")));
    assert_eq!(written("rest"), Some(("!=", "platform")));
    assert_eq!(written("team-a-.*"), None);
}

#[test]
fn selector_that_stores_and_filters_could_read_differently_is_refused() {
    for (selector, error) in [
        (
            "{match: '=', value: x}",
            "match: must be `=~`, `!~` or `!=`. A tenant that is not listed has the value that is its \
             name, and `map` makes several tenants of one",
        ),
        ("{value: x}", "match: is required"),
        ("{match: '=~'}", "value: is required"),
        ("{match: '=~', value: ''}", "value: must not be empty"),
        (
            "{match: '=~', value: '('}",
            "value: is not a regular expression: unclosed group",
        ),
        (
            "{match: '=~', value: 'a-.*|.*'}",
            "value: matches the empty value, and so all data without the label, which belong to no \
             tenant: write `.+` instead of `.*`, and no empty alternative",
        ),
        (
            "{match: '!~', value: 'a\\d'}",
            "value: has `\\d`, which the stores and Partywall may read differently: write [0-9]",
        ),
        (
            "{match: '=~', value: '(?i)a'}",
            "value: has `(?i)`, which the stores and Partywall may read differently: write groups \
             as (…) or (?:…), without flags",
        ),
        (
            "{match: '=~', value: 'a{1001}'}",
            "value: repeats too much to be matched fast, or more than 1000 times",
        ),
        (
            "{match: '!=', value: \"a\\n\"}",
            "value: a tenant contains a control character",
        ),
        (
            "{match: '=~', value: 'a', and: b}",
            "and: unknown key; known here are `match`, `metrics`, `traces` and `value`",
        ),
    ] {
        let rules = format!("  claim: c\n  selectors: {{t: {selector}}}\n");
        assert_eq!(
            message(CLAIM, &rules),
            format!("tenancy.selectors.t.{error}"),
            "{rules}"
        );
    }
    let empty = message(
        CLAIM,
        "  claim: c\n  selectors: {'': {match: '=~', value: a}}\n",
    );
    assert!(empty.ends_with("a tenant is empty"), "{empty}");
}

#[test]
fn selectors_do_not_go_with_org_ids_or_clusters() {
    let org_id =
        "  claim: c\n  traces: {org_id: true}\n  selectors: {t: {match: '=~', value: a}}\n";
    assert_eq!(
        message(CLAIM, org_id),
        "tenancy.selectors: does not go with `traces.org_id`: X-Scope-OrgID has the names of tenants"
    );
    let clusters = "  claim: c\n  clusters: {claim: s, selectors: {}}\n";
    assert!(message(CLAIM, clusters).contains("clusters.selectors: unknown key"));
}

const BOTH: &str = "  claim: c\n  traces: {attribute: resource.tenant}\n";
const METRICS: &str = "metrics: [{label: env, match: '=', value: prod}]";
const TRACES: &str = "traces: [{attribute: resource.env, match: '=', value: prod}]";

/// The error of a selector, without the path to it.
fn of_selector(tenancy: &str, selector: &str) -> String {
    let rules = format!("{tenancy}  selectors: {{t: {{{selector}}}}}\n");
    message(CLAIM, &rules).replace("tenancy.selectors.t", "t")
}

#[test]
fn conditions_on_several_labels_are_read() {
    let any = "traces: {any: [[{attribute: resource.b, match: '=', value: true}, \
               {attribute: resource.a, match: '!~', value: 'x.*'}], \
               [{attribute: resource.a, match: '=', value: 5}], \
               [{attribute: resource.a, match: '=', value: '5'}]]}";
    let text = minimal_but(
        CLAIM,
        &format!("{BOTH}  selectors: {{t: {{{METRICS}, {any}}}}}\n"),
    );
    let selectors = settings_of(&text).tenancy.selectors;
    let Some(TenantSelector::Conditions(all)) = selectors.of("t") else {
        panic!("{selectors:?}");
    };
    let metrics = all.metrics.as_ref().unwrap();
    assert_eq!(metrics.len(), 1);
    assert_eq!(
        (&*metrics[0].0, metrics[0].1.written()),
        ("env", ("=", "prod"))
    );
    let traces = all.traces.as_ref().unwrap();
    let written: Vec<Vec<_>> = traces
        .iter()
        .map(|all| {
            all.iter()
                .map(|(name, one)| (&**name, one.written()))
                .collect()
        })
        .collect();
    assert_eq!(
        written,
        [
            vec![("a", ("!~", "x.*".into())), ("b", ("=", true.into()))],
            vec![("a", ("=", 5.into()))],
            vec![("a", ("=", "5".into()))],
        ]
    );
}

#[test]
fn conditions_that_would_not_confine_are_refused() {
    let of = |what: &str| format!("{METRICS}, traces: {what}");
    for (selector, error) in [
        (
            METRICS.to_owned(),
            "t: `traces` is required, since `tenancy` has `traces.attribute`: say which data the tenant has there",
        ),
        (
            TRACES.to_owned(),
            "t: `metrics` is required, since `tenancy` has `metrics.label`: say which data the tenant has there",
        ),
        (of("[]"), "t.traces: must not be empty"),
        (of("{any: []}"), "t.traces.any: must not be empty"),
        (of("{any: [[]]}"), "t.traces.any[0]: must not be empty"),
        (of("{}"), "t.traces.any: is required"),
        (
            format!("metrics: {{any: []}}, {TRACES}"),
            "t.metrics: must be a list, not a mapping",
        ),
        (
            format!("metrics: [{{label: __name__, match: '=', value: a}}], {TRACES}"),
            "t.metrics[0].label: __name__ is the metric's name and tells no tenants apart",
        ),
        (
            format!("metrics: [{{label: a, match: '=', value: true}}], {TRACES}"),
            "t.metrics[0].value: must be a text: put the word into quotes if it is meant as one",
        ),
        (
            of("[{attribute: span.a, match: '=', value: a}]"),
            "t.traces[0].attribute: must be an attribute of the resource: resource.tenant_id",
        ),
        (
            of("[{attribute: resource.a, match: '>', value: a}]"),
            "t.traces[0].match: must be `=`, `!=`, `=~` or `!~`",
        ),
        (
            of("[{attribute: resource.a, match: '!=', value: true}]"),
            "t.traces[0].match: must be `=` with a boolean or a number. Put the value into quotes if it is meant as a text",
        ),
        (
            of("[{attribute: resource.a, match: '=', value: -1}]"),
            "t.traces[0]: must be a whole number from 0 to 9007199254740992, or in quotes if it is meant as a text",
        ),
        (
            of("[{attribute: resource.a, match: '=', value: 9007199254740993}]"),
            "t.traces[0]: must be a whole number from 0 to 9007199254740992, or in quotes if it is meant as a text",
        ),
        (
            of("[{attribute: resource.a, match: '=', value: 1.5}]"),
            "t.traces[0]: must be a whole number from 0 to 9007199254740992, or in quotes if it is meant as a text",
        ),
        (
            of("[{attribute: resource.a, match: '=~', value: 'a|'}]"),
            "t.traces[0].value: matches the empty value, and so all data without the label, which belong to no tenant: write `.+` instead of `.*`, and no empty alternative",
        ),
        (
            of(
                "[{attribute: resource.a, match: '=', value: x}, {attribute: resource.a, match: '!=', value: y}]",
            ),
            "t.traces[1].attribute: each of the conditions that must hold together needs its own label or attribute; the first is in line 17",
        ),
        (
            format!("{METRICS}, {TRACES}, match: '=~', value: a"),
            "t.match: unknown key; known here are `metrics` and `traces`",
        ),
    ] {
        assert_eq!(of_selector(BOTH, &selector), error, "{selector}");
    }
    let without = "  claim: c\n";
    assert_eq!(
        of_selector(without, &format!("{METRICS}, {TRACES}")),
        "t: `traces` needs `traces.attribute` of `tenancy`"
    );
}

#[test]
fn conditions_and_further_dimensions_name_different_labels() {
    let and = format!("{BOTH}  and: [{{claim: e, metrics: {{label: env}}}}]\n");
    assert_eq!(
        of_selector(&and, &format!("{METRICS}, {TRACES}")),
        "t.metrics[0].label: `tenancy.and` decides which values of it a caller has"
    );
    let and = format!(
        "{BOTH}  and: [{{claim: e, metrics: {{label: zone}}, selectors: {{t: {{{METRICS}}}}}}}]\n"
    );
    let errors = super::Fake::config(&minimal_but(CLAIM, &and))
        .load()
        .unwrap_err();
    assert!(
        errors[0].ends_with("tenancy.and[0].selectors.t.match: is required"),
        "{errors:?}"
    );
}

#[test]
fn fixed_tenants_without_a_common_selector_are_refused() {
    let with = |tenants: &str| {
        let tenancy = format!(
            "  rules: [{{tenants: {tenants}}}]\n  selectors:\n    \
             a: {{metrics: [{{label: env, match: '=', value: p}}, {{label: team, match: '=', value: a}}]}}\n    \
             b: {{metrics: [{{label: env, match: '=', value: p}}, {{label: team, match: '=~', value: 'b.*'}}]}}\n"
        );
        tenancy
    };
    settings_of(&minimal_but(CLAIM, &with("[a, b]")));
    settings_of(&minimal_but(CLAIM, &with("[c, d]")));
    assert_eq!(
        message(CLAIM, &with("[a, c]")),
        "tenancy: a rule grants \"a\", \"c\" together, whose metrics no single PromQL selector can \
         select: their selectors must be the same but for the values of one label"
    );
}
