use super::*;
use crate::traceql::refusal::RefusalKind;

fn written(query: &str) -> Result<String, Refusal> {
    let outline = parse(query, TraceIntrinsics::Refuse)?;
    of_own_roots(query, &outline)
}

fn refused_for(query: &str) -> String {
    let refusal = written(query).expect_err(query);
    assert_eq!(refusal.kind(), RefusalKind::Denied, "{query}");
    refusal.to_string()
}

#[test]
fn a_condition_that_every_span_needs_is_a_stage_in_front() {
    for (query, expected) in [
        (
            r#"{ rootName = "x" }"#,
            r#"{ nestedSetParent < 0 && (name = "x") } && {} | { true }"#,
        ),
        (
            r#"{ .n > 1 && trace:rootService =~ "a|b" } | by(.n) | count() > 1"#,
            r#"{ nestedSetParent < 0 && (resource.service.name =~ "a|b") } && {} | { .n > 1 && true } | by(.n) | count() > 1"#,
        ),
        (
            r#"{ rootServiceName = "web" && rootName = "x" && .n = 1 } | rate() by(name)"#,
            r#"{ nestedSetParent < 0 && (resource.service.name = "web" && name = "x") } && {} | { true && .n = 1 } | rate() by(name)"#,
        ),
        (
            r#"{ ("x" = trace: /* } */ rootName) || rootName = `y` }"#,
            r#"{ nestedSetParent < 0 && (("x" = name) || name = `y`) } && {} | { true }"#,
        ),
        (
            r#"{ rootName = "x" } >> { .n } | { .m } with (most_recent = true) // end"#,
            r#"{ nestedSetParent < 0 && (name = "x") } && {} | { true } >> { .n } | { .m } with (most_recent = true) // end"#,
        ),
        (
            r#"{} !>> { rootName = "x" && .n }"#,
            r#"{ nestedSetParent < 0 && (name = "x") } && {} | {} !>> { true && .n }"#,
        ),
        (
            r#"{ rootName = "x" && .n } && { rootName = "x" && .m }"#,
            r#"{ nestedSetParent < 0 && (name = "x") } && {} | { true && .n } && { true && .m }"#,
        ),
        (
            r#"{ .n } | { rootName = "x" && .m && rootServiceName = "web" }"#,
            r#"{ nestedSetParent < 0 && (name = "x") && (resource.service.name = "web") } && {} | { .n } | { true && .m && true }"#,
        ),
        (
            r#"({ rootName = "x" } | rate()) / ({} | rate())"#,
            r#"({ nestedSetParent < 0 && (name = "x") } && {} | { true } | rate()) / ({} | rate())"#,
        ),
    ] {
        assert_eq!(written(query).unwrap(), expected);
    }
}

#[test]
fn a_condition_that_holds_without_a_root_is_also_tried_on_traces_without_one() {
    for (query, expected) in [
        (
            r#"{ rootName != "x" && .n }"#,
            r#"({ nestedSetParent < 0 && (name != "x") } && {} | { true && .n }) || (min(nestedSetParent) >= 0 | { true && .n })"#,
        ),
        (
            r#"({ rootServiceName = "" } | { .n }) && ({ .m } | { .n })"#,
            r#"(({ nestedSetParent < 0 && (resource.service.name = "") } && {} | { true } | { .n }) || (min(nestedSetParent) >= 0 | { true } | { .n })) && ({ .m } | { .n })"#,
        ),
    ] {
        assert_eq!(written(query).unwrap(), expected);
    }
}

#[test]
fn an_alternative_to_a_condition_is_a_pipeline_for_each_value() {
    assert_eq!(
        written(r#"{ .n || rootName = "x" } | select(.m)"#).unwrap(),
        "({ nestedSetParent < 0 && !(name = \"x\") } && {} | { .n || false } | select(.m)) || \
         (min(nestedSetParent) >= 0 | { .n || false } | select(.m)) || \
         ({ nestedSetParent < 0 && (name = \"x\") } && {} | { .n || true } | select(.m))"
    );
}

#[test]
fn what_cannot_match_is_left_to_the_filter() {
    let query = r#"{ rootName = "x" && false }"#;
    assert_eq!(written(query).unwrap(), "{ false && false }");
}

#[test]
fn unions_are_refused_in_metrics_and_with_groups() {
    for query in [
        r#"{ rootName != "x" } | rate()"#,
        r#"{ .n || rootName = "x" } | rate()"#,
        r#"{ rootName = "" } | by(.n)"#,
        r#"{ .n || rootName = "x" } | count() > 1"#,
        r#"{ rootName = "x" } !>> {} | count() > 1"#,
    ] {
        assert!(
            refused_for(query).contains("joined with the other conditions by &&"),
            "{query}"
        );
    }
}

#[test]
fn other_uses_of_roots_are_refused() {
    for query in [
        "{ rootName = name }",
        "{ rootName = .n }",
        r#"{ !(rootName = "x") }"#,
        r#"{ (rootName = "x") = true }"#,
        "{ rootName != nil }",
        "{ nil != rootServiceName }",
        "{ rootName = rootServiceName }",
        r#"{ rootName = ("x") && .n || (rootName = "x") = .n }"#,
    ] {
        assert!(
            refused_for(query).contains("describes the whole trace"),
            "{query}"
        );
    }
    for query in [
        "{} | by(rootName)",
        "{} | rate() by(trace:rootService)",
        r#"{} | compare({ rootName = "x" })"#,
        "{} | by(rootName) | count() > 1",
        "{} | select(rootName) | rate()",
        "{ traceDuration > 1s }",
        "{ span:childCount > 1 }",
    ] {
        refused_for(query);
    }
    let compared = r#"{ rootServiceName = "x" } | compare({ .n })"#;
    assert!(refused_for(compared).contains("line 1, col 3: rootServiceName"));
    assert!(written(&compared.replace("ServiceName", "Name")).is_ok());
    let four = r#"{ (.n && rootName = "a") || (.n && rootName = "b") || (.n && rootName = "c") || (.n && rootName = "d") }"#;
    assert!(refused_for(four).contains("three different conditions"));
}

#[test]
fn comparisons_of_the_empty_root_are_known() {
    for (op, literal, reversed, expected) in [
        (Op::Equal, r#""""#, false, Some(true)),
        (Op::Equal, "``", true, Some(true)),
        (Op::Equal, "`\r`", false, Some(true)),
        (Op::Equal, r#""a""#, false, Some(false)),
        (Op::NotEqual, r#""a""#, true, Some(true)),
        (Op::Less, r#""a""#, false, Some(true)),
        (Op::Less, r#""a""#, true, Some(false)),
        (Op::Less, r#""""#, false, Some(false)),
        (Op::LessEqual, r#""""#, true, Some(true)),
        (Op::GreaterEqual, r#""a""#, false, Some(false)),
        (Op::GreaterEqual, r#""a""#, true, Some(true)),
        (Op::Greater, r#""a""#, true, Some(true)),
        (Op::Greater, r#""""#, true, Some(false)),
        (Op::Regex, r#"".*""#, false, Some(true)),
        (Op::Regex, r#""GET.*|POST""#, false, Some(false)),
        (Op::Regex, "`a|`", false, Some(true)),
        (Op::NotRegex, r#""a\\.b.*""#, false, Some(true)),
        (Op::NotRegex, r#""(?i)A?""#, false, Some(false)),
        (Op::Regex, r#""a{,5}""#, false, None),
        (Op::Regex, r#""\x41""#, false, None),
        (Op::Regex, r#""(""#, false, None),
        (Op::Regex, "(", false, None),
    ] {
        assert_eq!(
            holds_for_empty(op, literal, reversed),
            expected,
            "{op:?} {literal}"
        );
    }
}

#[test]
fn what_is_added_to_spans_is_what_the_client_did_not_name() {
    let added = |names, parents, services| AddedFields {
        names,
        parents,
        services,
    };
    for (query, expected) in [
        (r#"{ rootName = "x" }"#, added(true, true, false)),
        (r#"{ trace:rootService = "x" }"#, added(false, true, true)),
        (
            r#"{ rootName = "x" && span:name = "y" && rootServiceName = "x" }"#,
            added(false, true, true),
        ),
        (
            r#"{ rootServiceName = "x" && nestedSetParent < 0 } | select(.service.name)"#,
            added(false, false, false),
        ),
        ("{ name = \"x\" }", added(false, false, false)),
        ("{", added(false, false, false)),
    ] {
        assert_eq!(added_fields(query), expected, "{query}");
    }
}
