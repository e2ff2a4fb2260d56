//! PromQL: what comes out has our matchers in every selector of another parser's tree, and is
//! otherwise what went in; what that parser reads is not refused without a reason.

use std::panic::catch_unwind;
use std::sync::LazyLock;

use partywall::config::settings::Limits;
use partywall::promql::{
    Agreements, Confined, ForeignMatchers, Problem, Refusal, analyze_shared, check_selector,
    confine, confine_selector, lookback, measure,
};
use partywall::tenancy::{LabelMatcher, MatchOp, Matchers};
use promql_parser::label::MatchOp as ParsedOp;
use promql_parser::parser::{self, Expr, VectorSelector};

/// More is slow in `promql-parser`, and its tree is as deep as the text has nodes.
const MAX_PARSED_BYTES: usize = 1024;
const MAX_PARSED_NODES: usize = 200;

const MAX_SELECTORS: usize = 1000;

static NONE: LazyLock<Agreements> = LazyLock::new(|| Agreements::new(0));
static CACHED: LazyLock<Agreements> = LazyLock::new(|| Agreements::new(1 << 20));

/// The first byte chooses the scope and what is done about matchers that name other tenants.
pub fn check(data: &[u8]) {
    let Some(([choice], text)) = crate::split(data) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let matchers = crate::scopes::matchers(choice & 3);
    let foreign = match (choice >> 2) % 3 {
        0 => ForeignMatchers::Intersect,
        1 => ForeignMatchers::Reject,
        _ => ForeignMatchers::RejectDisjoint,
    };
    let size = measure(text);
    let limits = Limits::default();
    let _ = (
        lookback(text),
        check_selector(text),
        analyze_shared(text, &matchers),
    );
    let is_parsed = text.len() <= MAX_PARSED_BYTES && size.nodes <= MAX_PARSED_NODES;
    if size.depth > limits.query_depth || size.nodes > limits.query_nodes {
        return;
    }
    let confined = confine(text, &matchers, foreign, MAX_SELECTORS, &NONE);
    let cached = confine(text, &matchers, foreign, MAX_SELECTORS, &CACHED);
    assert_eq!(confined, cached, "a verdict that was cached is another");
    let selector = confine_selector(text, &matchers, foreign, MAX_SELECTORS, &NONE);
    if let Ok(selector) = &selector {
        assert_eq!(selector.selectors(), 1);
        assert_only_insertions(text, selector);
    }
    match &confined {
        Ok(confined) => assert_confined(text, confined, &matchers, is_parsed),
        Err(refusal) if is_parsed => assert_refused_for_a_reason(text, refusal),
        Err(_) => {}
    }
}

fn assert_confined(text: &str, confined: &Confined, matchers: &Matchers, is_parsed: bool) {
    assert_only_insertions(text, confined);
    let foreign = ForeignMatchers::Intersect;
    let again = confine(confined.text(), matchers, foreign, MAX_SELECTORS, &NONE);
    let again = again.expect("what is confined can be confined again");
    assert_eq!(again.selectors(), confined.selectors());
    if !is_parsed {
        return;
    }
    let Some(tree) = parse(confined.text()) else {
        assert!(
            parse(text).is_none(),
            "confining made it unreadable: {}",
            confined.text()
        );
        return;
    };
    let mut selectors = Vec::new();
    collect(&tree, &mut selectors);
    assert_eq!(selectors.len(), confined.selectors(), "{}", confined.text());
    for selector in selectors {
        assert!(selector.matchers.or_matchers.is_empty(), "{selector}");
        for matcher in matchers.iter() {
            assert!(
                carries(selector, matcher),
                "{selector} in {}",
                confined.text()
            );
        }
    }
}

fn assert_only_insertions(text: &str, confined: &Confined) {
    let mut original = text;
    let mut rest = confined.text();
    let mut at = 0;
    for insertion in confined.insertions() {
        let (before, after) = original.split_at(insertion.at - at);
        rest = rest.strip_prefix(before).expect("the query's own text");
        rest = rest.get(insertion.len..).expect("the insertion");
        original = after;
        at = insertion.at;
    }
    assert_eq!(rest, original);
}

/// What the documentation says is refused although it is PromQL; and not what `promql-parser` reads and
/// Prometheus does not: spaces other than its own four (`isSpace` in `promql/parser/lex.go`).
fn assert_refused_for_a_reason(text: &str, refusal: &Refusal) {
    let is_documented = match refusal {
        Refusal::UnconfinedInfo { .. }
        | Refusal::ForeignTenant { .. }
        | Refusal::DisjointTenants { .. } => true,
        Refusal::Malformed { problem, .. } => {
            matches!(problem, Problem::Unselective | Problem::Forbidden)
        }
        Refusal::Disagreement
        | Refusal::ConfinedTooLong { .. }
        | Refusal::TooManySelectors { .. } => false,
    };
    let has_other_spaces = text.contains(|c: char| c.is_whitespace() && !" \t\n\r".contains(c));
    assert!(
        is_documented || has_other_spaces || parse(text).is_none(),
        "refused, though promql-parser reads it: {refusal}: {text}"
    );
}

fn parse(text: &str) -> Option<Expr> {
    catch_unwind(|| parser::parse(text)).ok()?.ok()
}

fn collect<'t>(tree: &'t Expr, selectors: &mut Vec<&'t VectorSelector>) {
    match tree {
        Expr::VectorSelector(selector) => selectors.push(selector),
        Expr::MatrixSelector(range) => selectors.push(&range.vs),
        Expr::Aggregate(aggregate) => {
            collect(&aggregate.expr, selectors);
            if let Some(parameter) = &aggregate.param {
                collect(parameter, selectors);
            }
        }
        Expr::Binary(binary) => {
            collect(&binary.lhs, selectors);
            collect(&binary.rhs, selectors);
        }
        Expr::Call(call) => {
            for argument in &call.args.args {
                collect(argument, selectors);
            }
        }
        Expr::Unary(unary) => collect(&unary.expr, selectors),
        Expr::Paren(paren) => collect(&paren.expr, selectors),
        Expr::Subquery(subquery) => collect(&subquery.expr, selectors),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
        Expr::Extension(_) => unreachable!("not made by the parser"),
    }
}

/// Whether a selector has a matcher, or the same as a regular expression (inside of `absent`).
fn carries(selector: &VectorSelector, ours: &LabelMatcher) -> bool {
    selector.matchers.matchers.iter().any(|parsed| {
        let is_same = match (&parsed.op, ours.op()) {
            (ParsedOp::Equal, MatchOp::Equal) => parsed.value == ours.value(),
            (ParsedOp::Re(_), MatchOp::Regex) => parsed.value == ours.value(),
            (ParsedOp::NotRe(_), MatchOp::NotRegex) => parsed.value == ours.value(),
            (ParsedOp::Re(_), MatchOp::Equal) => parsed.value == ours.without_equality().1,
            _ => false,
        };
        parsed.name == ours.label() && is_same
    })
}
