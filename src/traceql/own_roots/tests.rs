use proptest::prelude::*;

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

/// A filter that has conditions on roots.
#[derive(Clone, Debug)]
enum Filter {
    Attribute,
    Constant(bool),
    Root(&'static str, &'static str),
    Joined(Box<Filter>, &'static str, Box<Filter>),
}

#[derive(Clone, Copy, Debug)]
struct OwnSpan {
    is_root: bool,
    name: &'static str,
    attribute: bool,
}

fn compares(value: &str, op: &str, with: &str) -> bool {
    match op {
        "=" => value == with,
        "!=" => value != with,
        "<" => value < with,
        ">=" => value >= with,
        // No other patterns are made.
        "=~" => with == ".*" || value == with,
        op => panic!("{op}"),
    }
}

impl Filter {
    fn text(&self) -> String {
        match self {
            Self::Attribute => ".a".to_owned(),
            Self::Constant(value) => value.to_string(),
            Self::Root(op, value) => format!("rootName {op} \"{value}\""),
            Self::Joined(left, op, right) => format!("({}){op}({})", left.text(), right.text()),
        }
    }

    fn holds(&self, span: OwnSpan, root: &str) -> bool {
        match self {
            Self::Attribute => span.attribute,
            Self::Constant(value) => *value,
            Self::Root(op, value) => compares(root, op, value),
            Self::Joined(left, "&&", right) => left.holds(span, root) && right.holds(span, root),
            Self::Joined(left, _, right) => left.holds(span, root) || right.holds(span, root),
        }
    }
}

/// Whether a filter without conditions on roots lets the span through.
fn passes(filter: &str, span: OwnSpan) -> bool {
    let mut spaced = filter.replace("!(", " not (");
    for sign in ["(", ")", "&&", "||"] {
        spaced = spaced.replace(sign, &format!(" {sign} "));
    }
    passes_words(&mut spaced.split_whitespace(), span)
}

fn passes_words<'t>(words: &mut impl Iterator<Item = &'t str>, span: OwnSpan) -> bool {
    let (mut value, mut join, mut negated) = (true, "&&", false);
    while let Some(word) = words.next() {
        let operand = match word {
            ")" => break,
            "&&" | "||" => {
                join = word;
                continue;
            }
            "not" => {
                negated = true;
                continue;
            }
            "(" => passes_words(&mut *words, span) != std::mem::take(&mut negated),
            ".a" => span.attribute,
            "true" => true,
            "false" => false,
            "name" => {
                let (op, literal) = (words.next().unwrap(), words.next().unwrap());
                compares(span.name, op, literal.trim_matches('"'))
            }
            word => panic!("{word} in a filter"),
        };
        value = match join {
            "&&" => value && operand,
            _ => value || operand,
        };
    }
    value
}

/// Which spans a query finds that has been written again, with `passes` for Tempo.
fn found(query: &str, trace: &[OwnSpan]) -> Vec<bool> {
    let united = query
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    let pipelines = united.unwrap_or(query).split(") || (");
    let mut found = vec![false; trace.len()];
    for pipeline in pipelines {
        let has_root = trace.iter().any(|span| span.is_root);
        let (is_open, filter) =
            if let Some(rest) = pipeline.strip_prefix("min(nestedSetParent) >= 0 | ") {
                (!has_root, rest)
            } else if let Some(rest) = pipeline.strip_prefix("{ nestedSetParent < 0 && ") {
                let (stage, rest) = rest.split_once(" } && {} | ").unwrap();
                let mut roots = trace.iter().filter(|span| span.is_root);
                (roots.any(|root| passes(stage, *root)), rest)
            } else {
                (true, pipeline)
            };
        let filter = filter.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
        for (found, span) in found.iter_mut().zip(trace) {
            *found |= is_open && passes(filter, *span);
        }
    }
    found
}

const NAMES: [&str; 3] = ["", "x", "y"];

fn filters() -> impl Strategy<Value = Filter> {
    let ops = prop::sample::select(&["=", "!=", "<", ">=", "=~"][..]);
    let root =
        (ops, prop::sample::select(&["", "x", "y", "z"][..])).prop_map(|(op, value)| {
            match (op, value) {
                ("=~", "z") => Filter::Root("=~", ".*"),
                (op, value) => Filter::Root(op, value),
            }
        });
    let leaf = prop_oneof![
        3 => root,
        2 => Just(Filter::Attribute),
        1 => any::<bool>().prop_map(Filter::Constant),
    ];
    leaf.prop_recursive(4, 8, 2, |inner| {
        let op = prop::sample::select(&["&&", "||"][..]);
        (inner.clone(), op, inner)
            .prop_map(|(left, op, right)| Filter::Joined(Box::new(left), op, Box::new(right)))
    })
}

fn traces() -> impl Strategy<Value = Vec<OwnSpan>> {
    let span = (prop::sample::select(&NAMES[..]), any::<bool>());
    (prop::collection::vec(span, 1..4), any::<bool>()).prop_map(|(spans, has_root)| {
        let spans = spans.into_iter().enumerate();
        let span = |(place, (name, attribute))| OwnSpan {
            is_root: has_root && place == 0,
            name,
            attribute,
        };
        spans.map(span).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn query_written_again_finds_what_the_query_finds_in_a_private_store(
        filter in filters(),
        trace in traces(),
    ) {
        let query = format!("{{ {} }}", filter.text());
        let written = match written(&query) {
            Ok(written) => written,
            Err(refusal) => {
                let text = refusal.to_string();
                prop_assert!(text.contains("three different conditions"), "{text}");
                return Ok(());
            }
        };
        let root = trace.iter().find(|span| span.is_root).map_or("", |root| root.name);
        let expected: Vec<bool> = trace.iter().map(|span| filter.holds(*span, root)).collect();
        prop_assert_eq!(found(&written, &trace), expected, "{}", written);
    }
}
