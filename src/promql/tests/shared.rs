//! What tenants may see of a shared rule's expression.

use proptest::prelude::*;

use super::super::*;
use super::{acme, label_matcher};

fn shown(query: &str) -> SharedExpression {
    let matchers = Matchers::new(
        label_matcher("tenant_id", &["acme", "b.c"]),
        [label_matcher("env", &["prod"])],
    );
    analyze_shared(query, &matchers)
}

#[test]
fn expression_with_a_string_in_an_unknown_position_is_hidden() {
    for query in [
        // Matchers of tenant labels.
        r#"up{tenant_id="other"} > 1"#,
        r#"up{tenant_id!="other"} > 1"#,
        r#"sum(up{tenant_id=~"acme|other"})"#,
        r#"up{tenant_id=~"oth.*"}"#,
        r#"up{"env"="test"}"#,
        r#"up{tenant_id="acme"} or up{tenant_id="other"}"#,
        r#"up{exported_tenant_id="other"}"#,
        r#"up{"exported_exported_tenant_id"!="other"}"#,
        // Strings elsewhere.
        r#"label_replace(up, "peer", "other", "", "")"#,
        r#"label_replace(up, "peer", "$1", "instance", "(other).*")"#,
        r#"label_replace(up, "peer", "$1-other", "instance", "(.*)")"#,
        r#"label_replace(up, "other corp", "$1", "instance", "(.*)")"#,
        r#"label_replace(up, "peer", "${other}", "instance", "(?P<other>.*)")"#,
        r#"label_replace(up, "peer", ("other"), "", "")"#,
        r#"label_join(up, "peer", "other", "job", "instance")"#,
        r#"label_join(up, "peer", ",", "job", "ot-her")"#,
        r#"count_values by (tenant_id) ("other corp", up)"#,
        r#"count_values("4711x", up)"#,
        r#"up == on () group_left () label_replace(vector(1), "a", "other", "", "")"#,
        r#"topk(scalar(label_replace(up, "a", "other", "", "")), up)"#,
        r#"quantile(scalar(count(up{tenant_id="other"})), up)"#,
        r#"sort_by_label(up, "other corp")"#,
        r#"histogram_quantiles(up, "other corp", 0.5)"#,
        r#"some_function(up, "other")"#,
        r#""other""#,
        r#"up and "other""#,
        // Unreadable.
        "up{",
        "info(up)",
        "up # other",
        "",
    ] {
        assert!(!shown(query).shows_text, "{query}");
    }
}

#[test]
fn expression_without_foreign_values_is_shown() {
    for query in [
        "up > 1",
        r#"up{tenant_id="acme",env="prod"} > 1"#,
        r#"up{tenant_id=~"acme|b\\.c"} > 1"#,
        r#"sum by (tenant_id) (up{env=~".+",tenant_id!=""})"#,
        r#"up{job="other"}"#,
        r#"label_replace(up, "node", "$1", "instance", "([^:]+):[0-9]+") == 0"#,
        r#"label_replace(up, "node", "${1}", "instance", "(\\w+):\\d+")"#,
        r#"label_join(up, "where", "/", "job", "instance")"#,
        r#"count_values by (tenant_id) ("version", up)"#,
        "sum without (instance) (rate(a[5m])) / on (job) group_left (x) sum by (job) (b) > 0.5",
        "histogram_quantile(0.99, sum by (le) (rate(a_bucket[5m] offset 1m)))",
    ] {
        assert!(shown(query).shows_text, "{query}");
    }
}

#[test]
fn values_are_shown_only_if_each_comes_from_one_tenant() {
    for query in [
        "up > 1",
        "-up * 2 + time()",
        "rate(a[5m]) > 5 and b",
        "sum by (tenant_id, env, job) (rate(a[5m])) / sum by (tenant_id, env, job) (b)",
        "sum(rate(a[5m])) by (tenant_id, env)",
        "max without (instance) (a) > 3",
        "a * on (env, tenant_id, pod) group_left (node) b",
        "a * ignoring (pod) group_left () b",
        "a or vector(0)",
        "max_over_time(a[1h:5m]) unless on (\"tenant_id\", env) b",
        "topk by (tenant_id, env) (3, a)",
        r#"label_replace(a, "node", "$1", "instance", "(.*)")"#,
        r#"count_values by (tenant_id, env) ("x", a)"#,
        // All selected series are the caller's.
        r#"sum(a{tenant_id="acme",env="prod"})"#,
        r#"a{tenant_id=~"acme|b\\.c",env="prod"} / scalar(sum(b{env="prod","tenant_id"="acme"}))"#,
    ] {
        assert!(shown(query).shows_values, "{query}");
    }
    for query in [
        "sum(a)",
        "sum by (tenant_id) (a)",
        "sum(a) by (env)",
        "sum without (env) (a)",
        "max(a) without (tenant_id)",
        "a / on () group_left () sum by (tenant_id, env) (a)",
        "a * on (job) group_left () b",
        "a * ignoring (tenant_id) group_left () b",
        "a * on (tenant_id, env) group_left (tenant_id) b",
        "a > scalar(b)",
        "a and on () absent(b)",
        "a * absent_over_time(b[5m])",
        "topk(3, a)",
        "topk by (tenant_id, env) (scalar(b), a)",
        "a + fill(0) b",
        "some_function(a)",
        r#"label_replace(a, "tenant_id", "$1", "team", "(.*)")"#,
        r#"label_join(a, "env", "", "team")"#,
        r#"label_replace(a, ("tenant_id"), "$1", "team", "(.*)")"#,
        r#"count_values by (tenant_id, env) (("tenant_id"), a)"#,
        r#"count_values by (tenant_id, env) ("tenant_id", a)"#,
        r#"info(a, {job=~".+"})"#,
        r#"sum(a{tenant_id="acme"})"#,
        r#"sum(a{tenant_id="acme",tenant_id="b.c"})"#,
        r#"sum(a{tenant_id="acme",env="prod"}) + sum(b)"#,
        r#"sum(a{tenant_id!="acme",env="prod"})"#,
        r#"sum(a{tenant_id=~"acme|",env="prod"})"#,
        r#"sum(a{tenant_id=~"acme|other",env="prod"})"#,
        "a{",
    ] {
        assert!(!shown(query).shows_values, "{query}");
    }
}

#[test]
fn written_labels_are_told_apart_from_series_labels() {
    let except = |labels: &[&str]| {
        ResultLabels::OwnSeriesExcept(labels.iter().map(|label| (*label).to_owned()).collect())
    };
    for (query, labels) in [
        ("up > 1", ResultLabels::OwnSeries),
        (
            r#"up unless on (job) up{tenant_id="other"}"#,
            ResultLabels::OwnSeries,
        ),
        (
            r#"label_replace(up, "x", "$1", "y", "(.*)")"#,
            ResultLabels::OwnSeries,
        ),
        (r#"label_replace(up, "x", "other", "", "")"#, except(&["x"])),
        (
            r#"label_replace(label_replace(up, "x", "other", "", ""), "z", "$1", "x", "(.*)")"#,
            except(&["x", "z"]),
        ),
        ("a * on (job) group_left (x, y) b", except(&["x", "y"])),
        (
            "a * on (tenant_id, env, job) group_left (x) b",
            ResultLabels::OwnSeries,
        ),
        (
            r#"a * on () group_left (x) count_values("x", b)"#,
            except(&["x", "x"]),
        ),
        // Made from the samples of all tenants.
        (r#"count_values("x", b)"#, except(&["x"])),
        (
            r#"count_values by (tenant_id, env) ("x", b)"#,
            ResultLabels::OwnSeries,
        ),
        (
            r#"label_replace(up, "x", "$1", "y", "(.*)") > scalar(b)"#,
            ResultLabels::OwnSeries,
        ),
        (
            "a * on (job) group_left (tenant_id) b",
            ResultLabels::NotKnown,
        ),
        (
            r#"label_replace(up, "env", "$1", "y", "(.*)")"#,
            ResultLabels::NotKnown,
        ),
        ("some_function(up)", ResultLabels::NotKnown),
        (
            r#"label_replace((up), ("x"), ("other"), "", "")"#,
            ResultLabels::NotKnown,
        ),
        (
            r#"label_replace(up, ("x"), "other", "", "")"#,
            ResultLabels::NotKnown,
        ),
        (r#"info(a, {job=~".+"})"#, ResultLabels::NotKnown),
        ("up{", ResultLabels::NotKnown),
    ] {
        assert_eq!(shown(query).labels, labels, "{query}");
    }
}

/// Expressions with `SECRET` as a string somewhere.
fn planted() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("up".to_owned()),
        Just("vector(1)".to_owned()),
        Just(r#"rate(a{job="x"}[5m])"#.to_owned()),
        Just(r#"up{tenant_id="SECRET"}"#.to_owned()),
        Just(r#"up{job="x",tenant_id!~"SECRET"}"#.to_owned()),
        Just(r#"{"exported_tenant_id"=~"x|SECRET"}"#.to_owned()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let one = inner.clone();
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            one.clone()
                .prop_map(|a| format!(r#"label_replace({a}, "x", "SECRET", "", "")"#)),
            one.clone()
                .prop_map(|a| format!(r#"label_replace({a}, "x", "$1", "y", "SECRET(.*)")"#)),
            one.clone()
                .prop_map(|a| format!("label_join({a}, `x`, `SECRET`, `y`)")),
            one.clone()
                .prop_map(|a| format!("sum by (tenant_id) ({a})")),
            one.clone().prop_map(|a| format!("topk(scalar({a}), up)")),
            one.clone().prop_map(|a| format!(r#"({a} or "SECRET")"#)),
            one.prop_map(|a| format!("unheard_of({a}, 'SECRET')")),
            two.clone()
                .prop_map(|(a, b)| format!("({a} == on (job) group_left () {b})")),
            two.prop_map(|(a, b)| format!("({a} and {b})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_shown_expression_never_holds_a_planted_value(query in planted()) {
        for spelling in ["SECRET", r"\x53ECRET", "4711", "glöbex"] {
            let query = query.replace("SECRET", spelling);
            let is_planted = query.contains(spelling);
            prop_assert!(!is_planted || !analyze_shared(&query, &acme()).shows_text, "{}", query);
        }
    }
}
