use proptest::prelude::*;

use super::*;
use crate::tenancy::{Tenant, TenantSet};
use crate::traceql::MAX_BYTES;
use crate::traceql::RefusalKind;

fn predicate(tenants: &[&str]) -> TenantPredicate {
    let tenants = TenantSet::new(tenants.iter().map(|t| Tenant::new(t).unwrap()));
    let tenants = tenants.unwrap().into();
    TenantPredicate::new([("t", &tenants)]).unwrap()
}

fn search(query: &str) -> Result<String, Refusal> {
    confine_search(
        query,
        &predicate(&["a"]),
        TraceIntrinsics::Refuse,
        MAX_BYTES,
    )
}

fn metrics(query: &str) -> Result<ConfinedMetrics, Refusal> {
    confine_metrics(
        query,
        &predicate(&["a"]),
        TraceIntrinsics::Refuse,
        MAX_BYTES,
    )
}

#[test]
fn every_leaf_pipeline_starts_with_the_stage() {
    for (query, expected) in [
        ("", r#"{ resource.t = "a" }"#),
        (" \n", r#"{ resource.t = "a" }"#),
        ("{}", r#"{ resource.t = "a" } | {}"#),
        ("by(name)", r#"{ resource.t = "a" } | by(name)"#),
        ("{.x} || {.y}", r#"{ resource.t = "a" } | {.x} || {.y}"#),
        (
            "/* { */({.x}|{})&&({.y}) // end",
            r#"/* { */({ resource.t = "a" } | {.x}|{})&&({ resource.t = "a" } | {.y}) // end"#,
        ),
        ("\u{feff}{}//", "\u{feff}{ resource.t = \"a\" } | {}//"),
        (
            r#"{ .s = "} | {" || .t = `}` } with(most_recent=true)"#,
            r#"{ resource.t = "a" } | { .s = "} | {" || .t = `}` } with(most_recent=true)"#,
        ),
    ] {
        assert_eq!(search(query).unwrap(), expected);
    }
}

#[test]
fn every_operand_of_metrics_arithmetic_starts_with_the_stage() {
    let confined = metrics("({.x} | rate()) / (2 * ( {} | rate() by (.y))) | topk(3)").unwrap();
    assert_eq!(
        confined.query,
        r#"({ resource.t = "a" } | {.x} | rate()) / (2 * ( { resource.t = "a" } | {} | rate() by (.y))) | topk(3)"#
    );
    assert!(!confined.compares);
    assert!(metrics("({} | compare({.x}))").unwrap().compares);
}

#[test]
fn several_tenants_are_one_pattern_within_the_stage() {
    let both = predicate(&["a", "b"]);
    let confined = confine_search("{}", &both, TraceIntrinsics::Refuse, MAX_BYTES);
    assert_eq!(
        confined.unwrap(),
        r#"{ resource.t =~ "^(?:a\x7cb)$" } | {}"#
    );
}

#[test]
fn metrics_endpoints_require_a_metrics_query() {
    for query in ["{}", "by(.a)", "({} | by(.a)) && ({})"] {
        assert_eq!(metrics(query), Err(Refusal::NotMetrics));
    }
    assert_eq!(Refusal::NotMetrics.to_string(), "not a metrics query");
    assert_eq!(metrics("").unwrap_err().kind(), RefusalKind::Malformed);
    // Tempo gives a metrics query an empty answer there.
    assert!(search("{} | rate()").is_ok());
}

#[test]
fn confined_query_may_be_as_long_as_the_limit() {
    let within = |limit| {
        let refuse = TraceIntrinsics::Refuse;
        confine_search("{ .a } | { .b }", &predicate(&["a"]), refuse, limit)
    };
    let bytes = within(MAX_BYTES).unwrap().len();
    assert!(within(bytes).is_ok());
    let limit = bytes - 1;
    assert_eq!(
        within(limit),
        Err(Refusal::ConfinedTooLong { bytes, limit })
    );
}

#[test]
fn confined_query_length_is_bounded() {
    let leaf = "({}|rate())+";
    let many = format!("{}({{}}|rate())", leaf.repeat(5000));
    assert!(many.len() < MAX_BYTES / 2);
    assert_eq!(
        metrics(&many),
        Err(Refusal::ConfinedTooLong {
            bytes: 175_034,
            limit: MAX_BYTES
        })
    );
}

#[test]
fn missing_or_foreign_stage_fails_verification() {
    let (query, insertion) = ("({} | {}) && ({})", r#"{ resource.t = "a" } | "#);
    let outline = parse(query, TraceIntrinsics::Refuse).unwrap();
    let check = |confined: &str| verify(query, &outline, confined, insertion);
    let good = format!("({insertion}{{}} | {{}}) && ({insertion}{{}})");
    assert_eq!(check(&good), Ok(()));
    for bad in [
        format!("({insertion}{{}} | {{}}) && ({{}})"),
        format!("({insertion}{{}} | {{}}) && ({insertion}{{ }})"),
        good.replacen("\"a\"", "\"b\"", 1),
        format!("{good} || ({insertion}{{}})"),
        format!("{good} //"),
        "({}".to_owned(),
    ] {
        assert_eq!(check(&bad), Err(Refusal::Unverified), "{bad}");
    }
}

/// Pieces that often make valid queries, and odd ones.
fn arbitrary_pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => prop::sample::select(&[
            "{", "}", "(", ")", "{}", "{ .a }", "({} | {})", "({.a}|rate())", " | ", " && ", " || ",
            " >> ", " !~ ", ">", "=", "!=", "=~", "+", "-", "*", "/", "^", "!", ".a", "span.b",
            "resource.\"x y\"", "name", "status", "error", "duration", "nil", "true", "1", "1.5",
            "2h", "\"s\"", "`}`", "count()", "max(.a)", "by(.a)", "select(name)", "coalesce()",
            "rate()", "compare({})", "topk(1)", " with(sample=1)", "/* { */", "// x\n", "rootName",
            "trace:id", "parent.a", ",", " ",
        ][..]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Valid queries, with a `§` where the stage belongs.
fn marked_query() -> impl Strategy<Value = String> {
    let filter = prop::sample::select(
        &[
            "{}",
            "{ .a }",
            "{/*}*/.a=\"}\"}",
            "{ span.b > 1 && (nil != .c || name = `(`) }",
        ][..],
    )
    .prop_map(str::to_owned);
    let spansets = filter.prop_recursive(3, 8, 2, |inner| {
        let op = prop::sample::select(&["&&", "||", ">", "!~", "&>>", "~ // )\n"][..]);
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.prop_map(|a| format!("({a})")),
        ]
    });
    let stage = prop_oneof![
        spansets.clone(),
        prop::sample::select(
            &[
                "by(.a)",
                "count() > 1",
                "select(.a, name)",
                "(max(.a)) < 2h"
            ][..]
        )
        .prop_map(str::to_owned),
    ];
    let pipeline = prop::collection::vec(stage, 1..4).prop_map(|stages| stages.join(" | "));
    let first = pipeline
        .clone()
        .prop_map(|p| format!("(/* ( */§{p} | coalesce())"));
    // With a pipeline on its left, a span set in parentheses is a pipeline too.
    let further = prop_oneof![
        first.clone(),
        spansets.prop_map(|spansets| format!("(§{spansets})")),
        first.clone().prop_map(|pipeline| format!("(({pipeline}))")),
    ];
    let op = prop::sample::select(&["&&", ">>", "||", " ~\n"][..]);
    let several = (first, prop::collection::vec((op, further), 0..3)).prop_map(|(first, more)| {
        more.into_iter()
            .fold(first, |all, (op, operand)| format!("{all}{op}{operand}"))
    });
    let metrics = pipeline
        .clone()
        .prop_map(|p| format!("( §{p} | rate() by (.x) > 1)"))
        .prop_recursive(3, 8, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} / {b})")),
                inner.prop_map(|a| format!("(2 * {a} - 1)")),
            ]
        });
    prop_oneof![
        pipeline.prop_map(|pipeline| format!("// (\n§{pipeline}")),
        several,
        metrics
    ]
}

proptest! {
    #[test]
    fn arbitrary_text_does_not_panic(text in any::<String>(), pieces in arbitrary_pieces()) {
        for text in [text, pieces] {
            let _ = search(&text);
            let _ = metrics(&text);
        }
    }

    #[test]
    fn stage_is_inserted_where_the_grammar_requires_it(
        tenant in "[^\\p{C}`\u{fffd}]{1,20}",
        marked in marked_query(),
    ) {
        let tenants = TenantSet::new([Tenant::new(&tenant).unwrap()]).unwrap().into();
        let predicate = TenantPredicate::new([("t", &tenants)]).unwrap();
        let query = marked.replace('§', "");
        let confined =
            confine_search(&query, &predicate, TraceIntrinsics::Refuse, MAX_BYTES);
        prop_assert_eq!(confined.unwrap(), marked.replace('§', &format!("{} | ", predicate.stage())));
    }

    #[test]
    fn confining_twice_inserts_at_the_same_positions(
        marked in marked_query(),
        pieces in arbitrary_pieces(),
    ) {
        for query in [marked.replace('§', ""), pieces] {
            if query.trim_ascii().is_empty() {
                continue;
            }
            if let Ok(once) = search(&query) {
                let insertion = r#"{ resource.t = "a" } | "#;
                let twice = once.replace(insertion, &insertion.repeat(2));
                prop_assert_eq!(search(&once).unwrap(), twice);
                prop_assert_eq!(once.replace(insertion, ""), query);
            }
        }
    }
}
