//! Properties that hold for any text.

use std::panic::catch_unwind;

use promql_parser::parser;
use proptest::prelude::*;

use super::*;
use crate::promql::agreements::{self, Verdict};
use crate::promql::scan::{Kind, scan};
use crate::promql::verify;
use crate::testing::cpu_time_of;

/// Tokens of PromQL, and near misses.
const TOKENS: &[&str] = &[
    "up",
    "sum",
    "rate",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "and",
    "or",
    "unless",
    "atan2",
    "fill",
    "fill_left",
    "inf",
    "NaN",
    "info",
    "absent",
    "absent_over_time",
    "start",
    "end",
    "step",
    "anchored",
    "a:b",
    "tenant_id",
    "(",
    ")",
    "(",
    ")",
    "{",
    "}",
    "{",
    "}",
    "[",
    "]",
    "[5m]",
    "[5m:]",
    ",",
    ",",
    "=",
    "==",
    "!=",
    "=~",
    "!~",
    "<",
    ">",
    "</",
    ">/",
    "+",
    "-",
    "*",
    "^",
    "@",
    "1",
    "5m",
    "0xffe",
    "1e",
    ".5",
    ".",
    ":",
    "\"x\"",
    "'y\\''",
    "`z\\`",
    "\"",
    "'",
    "`",
    "\\",
    "#",
    "# {\n",
    "\n",
    "\r",
    " ",
    " ",
    " ",
    "a=\"b\"",
    "tenant_id=\"other\"",
    "\"c\"!~'d'",
    "é",
    "{a=\"b\"}",
    "(up)",
    "sum by (a)",
    "on (a)",
];

fn arbitrary_tokens() -> impl Strategy<Value = String> {
    let token = prop::sample::select(TOKENS);
    prop::collection::vec((token, any::<bool>()), 0..24).prop_map(|tokens| {
        let mut soup = String::new();
        for (token, is_apart) in tokens {
            soup.push_str(token);
            if is_apart {
                soup.push(' ');
            }
        }
        soup
    })
}

/// Queries, most of which Prometheus accepts.
fn query() -> impl Strategy<Value = String> {
    let matcher = prop::sample::select(&[
        "",
        "a=\"b\"",
        "a=~\"b|c\",",
        "\"up\"",
        "tenant_id=~\".*\"",
        "`d`!='e}'",
        "#{\n",
    ]);
    let selective = prop::sample::select(&[
        "a=\"b\"",
        "a=~\"b|c\",",
        "\"up\"",
        "tenant_id=~\".*\", a!=\"\"",
        "a='b',`d`!='e}'",
        "#{\na=`b`",
    ]);
    let name = prop::sample::select(&["up", "sum", "offset", "a:b", "fill", "by", "step"]);
    let selector = prop_oneof![
        name.clone().prop_map(str::to_owned),
        selective.prop_map(|matcher| format!("{{{matcher}}}")),
        (name, matcher).prop_map(|(name, matcher)| format!("{name} {{{matcher}}}")),
    ];
    let operator = prop::sample::select(&[
        "+",
        "-",
        "*on(a)group_left",
        "== bool",
        "or",
        "unless on(up)",
        "> ignoring (a, b)",
        "^ -",
        "/ fill(0)",
        "*on(a) group_left(b)",
        "</",
    ]);
    let wrapper = prop::sample::select(&[
        ("(", ")"),
        ("-", ""),
        ("sum(", ")"),
        ("absent(", ")"),
        ("absent_over_time((", ")[5m:])"),
        ("sum by (a) (", ")"),
        ("sum(", ") without (a)"),
        ("topk(scalar(", "), up)"),
        ("topk(1,", ")"),
        ("rate(", "[5m])"),
        ("max_over_time((", ")[5m:1m])"),
        ("", " offset 5m"),
        ("", " @ end()"),
        ("label_replace(", ",\"a\",\"{\",\"b\",`\\`)"),
        ("1 + ", ""),
    ]);
    let leaf = prop_oneof![4 => selector, 1 => Just("1e-5".to_owned()), 1 => Just("5m".to_owned())];
    leaf.prop_recursive(5, 32, 2, move |inner| {
        prop_oneof![
            (inner.clone(), operator.clone(), inner.clone())
                .prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
            (wrapper.clone(), inner)
                .prop_map(|((before, after), inner)| before.to_owned() + &inner + after),
        ]
    })
}

/// Checks the properties of a confined query without using the code under test.
fn check(query: &str) {
    let ours = acme();
    let Ok(confined) = confined(query) else {
        return;
    };
    let text = confined.text();

    let mut without = text.to_owned();
    for insertion in confined.insertions().iter().rev() {
        let removed = insertion.at..insertion.at + insertion.len;
        let shift: usize = confined
            .insertions()
            .iter()
            .take_while(|earlier| earlier.at < insertion.at)
            .map(|earlier| earlier.len)
            .sum();
        let removed = removed.start + shift..removed.end + shift;
        let inserted = text.get(removed.clone()).unwrap();
        let [plain, in_absent] = [ours.promql(), ours.promql_without_equality()];
        assert!(
            inserted.contains(plain) || inserted.contains(in_absent),
            "{text}"
        );
        without.replace_range(removed, "");
    }
    assert_eq!(without, query);

    // The printed tree shows each selector's matchers: every selector has ours.
    // As for the verdict, a panic in the parser counts as "cannot".
    if let Ok(Ok(tree)) = catch_unwind(|| parser::parse(text)) {
        let printed = tree.to_string();
        let braces = |matchers: &str| printed.matches(matchers).count();
        let all = braces(ours.promql()) + braces(ours.promql_without_equality());
        assert!(all >= confined.selectors(), "{text} is {printed}");
    }
    let again = super::confined(text).unwrap();
    assert_eq!(again.selectors(), confined.selectors(), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn arbitrary_text_never_panics_and_splices_are_minimal(text in ".{0,64}") {
        check(&text);
        let _ = (check_selector(&text), analyze_shared(&text, &acme()));
    }

    #[test]
    fn arbitrary_tokens_never_panic_and_splices_are_minimal(text in arbitrary_tokens()) {
        check(&text);
        let _ = (check_selector(&text), analyze_shared(&text, &acme()));
    }

    #[test]
    fn queries_are_confined(query in query()) {
        check(&query);
    }

    #[test]
    fn confined_selector_is_the_same_as_an_expression(text in arbitrary_tokens()) {
        check_as_expression(&text);
    }
}

/// What is a selector and confined as such, is confined alike as an expression. One of everything is
/// refused there; whether a `match[]` may be one, the store decides.
fn check_as_expression(text: &str) {
    let foreign = ForeignMatchers::Intersect;
    let Ok(selector) = confine_selector(text, &acme(), foreign, MAX_SELECTORS, &none()) else {
        return;
    };
    assert_eq!(selector.selectors(), 1);
    let expression = confined(text);
    if selector.was_unselective() {
        let problem = Problem::Unselective;
        let is_refused = |refusal| matches!(refusal, Refusal::Malformed { problem: found, .. } if found == problem);
        assert!(expression.is_err_and(is_refused), "{text}");
    } else {
        assert_eq!(expression, Ok(selector), "{text}");
    }
}

#[test]
fn selector_of_everything_is_none_of_an_expression() {
    for text in ["{}", "{ }", r#"{a=~".*"}"#, r#"{__name__!="b"}"#] {
        check_as_expression(text);
        assert!(confined(text).is_err(), "{text}");
    }
}

/// The text with some of its strings and numbers replaced, our own matchers' values too. Among the
/// new ones are some that another lexer could read otherwise.
fn with_other_contents(text: &str, chosen: &[usize]) -> Option<String> {
    const STRINGS: [&str; 12] = [
        r#""acme""#,
        r#""other""#,
        r#""x)}[5m] + up #{""#,
        "'acme'",
        "`acme`",
        r#""\"""#,
        r#""\\""#,
        r#"'"'"#,
        r"`\`",
        r#"`"'`"#,
        r#""\x61cme""#,
        "\"\u{e9}\"",
    ];
    const NUMBERS: [&str; 5] = ["1", "23", "0x1f", "1e3", "4.5"];
    let found = scan(text, Kind::Expression, MAX_SELECTORS, |_| Ok(())).ok()?;
    let mut other = String::new();
    let mut copied = 0;
    for (content, choice) in found.contents.iter().zip(chosen.iter().cycle()) {
        other.push_str(text.get(copied..content.start)?);
        copied = content.end;
        let content = text.get(content.clone())?;
        let replacements = if content.starts_with(['"', '\'', '`']) {
            &STRINGS[..]
        } else {
            &NUMBERS[..]
        };
        // Most stay as they are: else few pairs had the same shape.
        other.push_str(match choice % 4 {
            0 => replacements.get(choice / 4 % replacements.len())?,
            _ => content,
        });
    }
    other.push_str(text.get(copied..)?);
    Some(other)
}

/// The shape of a text, and whether `promql-parser` finds our matchers where its sites are.
fn shape_and_verdict(text: &str) -> Option<(Vec<u8>, Verdict)> {
    let found = scan(text, Kind::Expression, MAX_SELECTORS, |_| Ok(())).ok()?;
    let shape = agreements::shape(text, &found, &acme());
    let verdict = verify::verdict_of_tree(text, found.sites.len(), &acme());
    Some((shape, verdict))
}

/// Two texts made from a confined one: their shapes and verdicts, where both can be read.
fn verdicts_of_two(text: &str, chosen: [&[usize]; 2]) -> Option<[(Vec<u8>, Verdict); 2]> {
    let confined = confined(text).ok()?;
    let [one, other] = chosen.map(|chosen| {
        let other = with_other_contents(confined.text(), chosen)?;
        // That the parser cannot read one of them is no agreement, and not cached.
        shape_and_verdict(&other).filter(|(_, verdict)| *verdict != Verdict::CannotRead)
    });
    Some([one?, other?])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A verdict is taken over from a query of the same shape: that must never hide that the
    /// parser finds other selectors, or ours nowhere.
    #[test]
    fn equal_shapes_have_equal_verdicts(
        text in prop_oneof![query(), arbitrary_tokens()],
        one in prop::collection::vec(0..240_usize, 1..6),
        other in prop::collection::vec(0..240_usize, 1..6),
    ) {
        if let Some([one, other]) = verdicts_of_two(&text, [&one, &other])
            && one.0 == other.0
        {
            prop_assert_eq!(one.1, other.1, "{}", text);
        }
    }
}

/// The property above is about something: many pairs have one shape, many have different verdicts.
#[test]
fn many_made_up_queries_share_shapes_and_differ_in_verdicts() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut equal, mut different) = (0, 0);
    for number in 0..1000_usize {
        let text = query().new_tree(&mut runner).unwrap().current();
        let chosen = [
            &[number, number / 2, number / 5][..],
            &[number / 3, number / 7, number / 11],
        ];
        if let Some([one, other]) = verdicts_of_two(&text, chosen) {
            equal += usize::from(one.0 == other.0);
            different += usize::from(one.1 != other.1);
        }
    }
    assert!(equal > 50 && different > 50, "{equal} and {different}");
}

#[test]
fn most_generated_queries_are_accepted() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let understood = (0..500)
        .filter(|_| confined(&query().new_tree(&mut runner).unwrap().current()).is_ok())
        .count();
    assert!(understood > 400, "{understood} of 500");
}

/// The stack is so small that recursion over any of these texts would overflow it.
#[test]
fn long_queries_use_bounded_stack_and_time() {
    const BYTES: usize = 64 * 1024;
    let nested = |open: &str, close: &str| {
        let depth = BYTES / (open.len() + close.len() + 1);
        open.repeat(depth) + "1" + &close.repeat(depth)
    };
    let repeated = |part: &str| part.repeat(BYTES / part.len());
    let queries = [
        nested("(", ")"),
        nested("abs(", ")"),
        nested("sum by (a) (", ")"),
        nested("info(", ",{a=\"b\"})"),
        nested("max_over_time(", "[5m:])"),
        repeated("-") + "1",
        repeated("1+") + "1",
        repeated("1^") + "1",
        repeated("up+") + "1",
        repeated("(") + "1",
        repeated("# x\n") + "1",
        repeated("\n") + "1",
        repeated("info(") + "1",
        repeated("1 + on(") + "1",
        repeated("fill ") + "1",
        "1+".to_owned() + &repeated("x"),
        "up[".to_owned() + &repeated("(") + "]",
        "up[5m".to_owned() + &repeated("+1") + "]",
        "sum by (".to_owned() + &repeated("x,") + ") (up)",
        "{".to_owned() + &repeated("a=\"\\\\\",") + "}",
        "{".to_owned() + &repeated("a=~\"\\\\w{100}\",") + "}",
        "{a=~\"".to_owned() + &repeated("(") + "\"}",
        "{tenant_id=~\"".to_owned() + &repeated("a|") + "\"}",
        "\"".to_owned() + &repeated("\\x41") + "\"",
    ];
    let judge = move || {
        for query in &queries {
            let (verdict, took) =
                cpu_time_of(|| confine(query, &acme(), ForeignMatchers::Reject, BYTES, &none()));
            let start = query.get(..8).unwrap();
            let (_, measured) = cpu_time_of(|| measure(query));
            assert!(measured.as_millis() < 500, "{start} took {measured:?}");
            // 2 ms in a debug build is usual, 100 ms and more is quadratic.
            assert!(took.as_millis() < 500, "{start} took {took:?}");
            assert!(
                verdict.is_ok() || !verdict.unwrap_err().to_string().is_empty(),
                "{start}"
            );
        }
    };
    let thread = std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(judge);
    thread.unwrap().join().unwrap();
}

/// The largest queries that are given to `promql-parser`.
#[test]
fn largest_verified_queries_use_bounded_stack_and_time() {
    let nested = |open: &str, close: &str, nodes: usize| {
        open.repeat(398 / nodes) + "1" + &close.repeat(398 / nodes)
    };
    let queries = [
        "-".repeat(398) + "1",
        vec!["1"; 200].join("^"),
        nested("(", ")", 2),
        nested("abs(", ")", 2),
        nested("sum(", ")", 2),
        nested("sum by (a) (", ")", 4),
        nested("max_over_time(", "[5m:])", 3),
        "{".to_owned() + &"a=~\".+\",".repeat(40) + "}",
    ];
    let judge = move || {
        for query in &queries {
            let (verdict, took) = cpu_time_of(|| confined(query));
            assert!(verdict.is_ok(), "{query}");
            assert!(took.as_millis() < 500, "{query} took {took:?}");
        }
    };
    let thread = std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(judge);
    thread.unwrap().join().unwrap();
}
