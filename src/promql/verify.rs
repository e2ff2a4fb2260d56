//! Verifies a spliced query independently: by a second scan, and by `promql-parser`'s tree where
//! that parser can read the query.

use std::borrow::Cow;
use std::panic::catch_unwind;

use promql_parser::label::{MatchOp as ParsedOp, Matcher as ParsedMatcher};
use promql_parser::parser::{self, Expr, VectorSelector};

use super::Refusal;
use super::agreements::{Agreements, Verdict};
use super::matcher::Op;
use super::scan::{Form, Kind, Scan, makes_labels_of_matchers, scan};
use super::splice::{Confined, inserted};
use crate::tenancy::{MatchOp, Matchers};

/// The largest query that is given to `promql-parser` 0.11, which is recursive in the depth of a
/// query and superlinear in its size. Measured (release build, one core):
///
/// - 400 nodes: 0.6 ms for `1^1^…`, 0.3 ms for `----1`, 2.5 ms for the worst, `sum by (a)(sum by
///   (a)(…`; 2000 chained `+` already take 40 ms. A tree 400 deep fits a stack of 64 KiB.
/// - 16 KiB: 0.3 ms for the worst, a string of escapes.
const MAX_NODES: usize = 400;
const MAX_BYTES: usize = 16 * 1024;

/// Checks that `confined` is `query` with all matchers in every selector, and that nothing else
/// has changed.
///
/// A query that `promql-parser` cannot read passes on the scan alone: the upstream's own parser
/// decides on syntax.
pub(super) fn verify(
    query: &str,
    kind: Kind,
    confined: &Confined,
    matchers: &Matchers,
    agreements: &Agreements,
) -> Result<(), Refusal> {
    let text = confined.text();
    let mut regexes = Vec::new();
    let rescan = scan(text, kind, confined.selectors(), |matcher| {
        regexes.extend(non_regex_operator(matcher.op).map(|op| (matcher.op_at, op)));
        Ok(())
    });
    let is_verified = rescan.is_ok_and(|scan| {
        let is_cheap = text.len() <= MAX_BYTES && scan.nodes <= MAX_NODES;
        is_only_insertions(query, confined)
            && scan.sites.len() == confined.selectors()
            && every_site_is_ours(text, &scan, matchers)
            && (!is_cheap
                || agreements.agree(text, &scan, matchers, || {
                    let text = with_operators(text, &regexes);
                    verdict_of_tree(&text, confined.selectors(), matchers)
                }))
    });
    is_verified.then_some(()).ok_or(Refusal::Disagreement)
}

/// Whether removing the insertions from the text gives the query.
fn is_only_insertions(query: &str, confined: &Confined) -> bool {
    let mut rest = Some(query);
    for part in confined.original_parts() {
        rest = rest.and_then(|rest| rest.strip_prefix(part));
    }
    rest == Some("")
}

/// Whether every selector's braces start with the matchers.
fn every_site_is_ours(text: &str, scan: &Scan, matchers: &Matchers) -> bool {
    scan.sites.iter().all(|site| {
        site.form == Form::Braced
            && text
                .get(site.at..)
                .and_then(|inside| inside.strip_prefix(inserted(*site, matchers)))
                .is_some_and(|after| after.starts_with([',', '}']))
    })
}

/// What replaces a regex operator in the text given to `promql-parser`. The parser compiles every
/// regex, which takes 12 µs for `a|b` and 34 ms for `\w{100}`; without regexes the tree has the
/// same shape and values. `every_site_is_ours` checks our own operators in the text itself.
fn non_regex_operator(op: Op) -> Option<&'static str> {
    match op {
        Op::Regex => Some("= "),
        Op::NotRegex => Some("!="),
        Op::Equal | Op::NotEqual => None,
    }
}

/// The text with these operators at their offsets. Each is as long as the one it replaces.
fn with_operators<'t>(text: &'t str, operators: &[(usize, &str)]) -> Cow<'t, str> {
    if operators.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut replaced = String::with_capacity(text.len());
    let mut rest_at = 0;
    for (at, operator) in operators {
        replaced.push_str(text.get(rest_at..*at).unwrap_or_default());
        replaced.push_str(operator);
        rest_at = at + operator.len();
    }
    replaced.push_str(text.get(rest_at..).unwrap_or_default());
    Cow::Owned(replaced)
}

/// Whether `promql-parser` finds this many selectors, each with the matchers, if it can read the
/// text at all. A panic in the parser counts as "cannot".
pub(super) fn verdict_of_tree(text: &str, selectors: usize, matchers: &Matchers) -> Verdict {
    match catch_unwind(|| parser::parse(text)) {
        Ok(Ok(tree)) if tree_agrees(&tree, selectors, matchers) => Verdict::Agrees,
        Ok(Ok(_)) => Verdict::Disagrees,
        Ok(Err(_)) | Err(_) => Verdict::CannotRead,
    }
}

fn tree_agrees(tree: &Expr, selectors: usize, matchers: &Matchers) -> bool {
    let mut found = 0;
    // Each with whether it is inside of a call that makes labels of matchers.
    let mut pending = vec![(tree, false)];
    while let Some((node, in_absent)) = pending.pop() {
        let selector = match node {
            Expr::VectorSelector(selector) => selector,
            Expr::MatrixSelector(range) => &range.vs,
            Expr::Aggregate(aggregate) => {
                pending.push((&aggregate.expr, in_absent));
                pending.extend(aggregate.param.as_deref().map(|param| (param, in_absent)));
                continue;
            }
            Expr::Binary(binary) => {
                pending.extend([(&*binary.lhs, in_absent), (&*binary.rhs, in_absent)]);
                continue;
            }
            Expr::Call(call) => {
                let in_absent = in_absent || makes_labels_of_matchers(call.func.name);
                let arguments = call.args.args.iter();
                pending.extend(arguments.map(|argument| (&**argument, in_absent)));
                continue;
            }
            Expr::Unary(unary) => {
                pending.push((&unary.expr, in_absent));
                continue;
            }
            Expr::Paren(paren) => {
                pending.push((&paren.expr, in_absent));
                continue;
            }
            Expr::Subquery(subquery) => {
                pending.push((&subquery.expr, in_absent));
                continue;
            }
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => continue,
            // Not made by the parser.
            Expr::Extension(_) => return false,
        };
        if !carries_all(selector, in_absent, matchers) {
            return false;
        }
        found += 1;
    }
    found == selectors
}

fn carries_all(selector: &VectorSelector, in_absent: bool, matchers: &Matchers) -> bool {
    let of_selector = &selector.matchers;
    of_selector.or_matchers.is_empty()
        && matchers.iter().all(|ours| {
            let (op, value) = if in_absent {
                ours.without_equality()
            } else {
                (ours.op(), ours.value().into())
            };
            let mut all = of_selector.matchers.iter();
            all.any(|parsed| is_same(parsed, ours.label(), op, &value))
        })
}

/// Whether a matcher is this one, after [`non_regex_operator`] has replaced its operator.
fn is_same(parsed: &ParsedMatcher, label: &str, op: MatchOp, value: &str) -> bool {
    let op = match op {
        MatchOp::Equal | MatchOp::Regex => ParsedOp::Equal,
        MatchOp::NotRegex => ParsedOp::NotEqual,
    };
    parsed.op == op && parsed.name == label && parsed.value == value
}

#[cfg(test)]
mod tests {
    use super::super::scan::Site;
    use super::super::splice::splice;
    use super::*;
    use crate::promql::tests::{acme, acme_and_globex, label_matcher};
    use crate::promql::{ForeignMatchers, confine};

    /// No agreement from before.
    fn none() -> Agreements {
        Agreements::new(0)
    }

    /// Verifies a query with matchers at these sites only.
    fn verify_spliced_at(query: &str, sites: &[(usize, Form)]) -> Result<(), Refusal> {
        let site = |&(at, form): &(usize, Form)| Site {
            at,
            form,
            in_absent: false,
        };
        let confined = splice_at(query, sites.iter().map(site).collect());
        verify(query, Kind::Expression, &confined, &acme(), &none())
    }

    fn splice_at(query: &str, sites: Vec<Site>) -> Confined {
        let scan = Scan {
            sites,
            contents: Vec::new(),
            nodes: 1,
            unselective: None,
        };
        splice(query, &scan, &acme()).unwrap()
    }

    #[test]
    fn wrong_splice_is_refused() {
        let disagreement = Err(Refusal::Disagreement);
        assert_eq!(
            verify_spliced_at("a + b", &[(1, Form::Bare), (5, Form::Bare)]),
            Ok(())
        );
        assert_eq!(verify_spliced_at("a + b", &[(1, Form::Bare)]), disagreement);
        assert_eq!(verify_spliced_at("a + b", &[]), disagreement);
        assert_eq!(
            verify_spliced_at("a + \"b\"", &[(1, Form::Bare), (6, Form::Bare)]),
            disagreement
        );
        assert_eq!(verify_spliced_at("a{}", &[(2, Form::Braced)]), Ok(()));
        assert_eq!(verify_spliced_at("a{}", &[(2, Form::Bare)]), disagreement);
        assert_eq!(
            verify_spliced_at("a{b=\"\"}", &[(5, Form::Braced)]),
            disagreement
        );
        assert_eq!(
            verify_spliced_at("topk(a, b)", &[(9, Form::Bare)]),
            disagreement
        );
    }

    #[test]
    fn text_changed_beyond_the_insertions_is_refused() {
        let site = Site {
            at: 1,
            form: Form::Bare,
            in_absent: false,
        };
        let confined = splice_at("a", vec![site]);
        let proof = verify("a", Kind::Selector, &confined, &acme(), &none());
        assert_eq!(proof, Ok(()));
        for other in ["b", "a ", "", "aa"] {
            let verdict = verify(other, Kind::Selector, &confined, &acme(), &none());
            assert_eq!(verdict, Err(Refusal::Disagreement));
        }
    }

    /// A matcher that would be a label of the answer, or a pattern where none is needed.
    #[test]
    fn matchers_of_the_other_kind_are_refused() {
        for (query, at, in_absent) in [
            ("absent(a)", 8, true),
            ("absent_over_time(a[5m])", 18, true),
            ("absent(sum(a))", 12, true),
            ("absent(b) + a", 13, false),
            ("abs(a)", 5, false),
            ("absent + a", 10, false),
            ("ABSENT(a)", 8, false),
        ] {
            for claimed in [in_absent, !in_absent] {
                let mut scan = scan(query, Kind::Expression, 10, |_| Ok(())).unwrap();
                let site = scan.sites.iter_mut().find(|site| site.at == at).unwrap();
                site.in_absent = claimed;
                let confined = splice(query, &scan, &acme()).unwrap();
                let verdict = verify(query, Kind::Expression, &confined, &acme(), &none());
                assert_eq!(verdict.is_ok(), claimed == in_absent, "{query} {claimed}");
            }
        }
    }

    #[test]
    fn tree_check_knows_which_matchers_belong_into_absent() {
        let text = |query: &str| {
            query
                .replace('≈', r#"{tenant_id= "b\\.c"}"#)
                .replace('§', r#"{tenant_id="b.c"}"#)
        };
        let matchers = Matchers::new(label_matcher("tenant_id", &["b.c"]), []);
        for (query, verdict) in [
            ("absent(a≈)", Verdict::Agrees),
            ("absent((a≈))", Verdict::Agrees),
            ("absent_over_time(a≈[5m])", Verdict::Agrees),
            ("absent(-sum(a≈))", Verdict::Agrees),
            ("absent(a§)", Verdict::Disagrees),
            ("absent(abs(a§))", Verdict::Disagrees),
            ("abs(a§)", Verdict::Agrees),
            ("abs(a≈)", Verdict::Disagrees),
        ] {
            assert_eq!(
                verdict_of_tree(&text(query), 1, &matchers),
                verdict,
                "{query}"
            );
        }
    }

    #[test]
    fn tree_check_finds_selectors_in_every_construct() {
        let ours = r#"{tenant_id="acme"}"#;
        for query in [
            "§",
            "§[5m]",
            "(-§)",
            "1 + §",
            "§ + 1",
            "sum(§)",
            "topk(scalar(§), vector(1))",
            "max_over_time((§)[5m:])",
            "label_replace(§, \"a\", \"\", \"b\", \"\")",
        ] {
            let confined = query.replace('§', &format!("a{ours}"));
            let verdict = |selectors| verdict_of_tree(&confined, selectors, &acme());
            assert_eq!(verdict(1), Verdict::Agrees, "{query}");
            assert_eq!(verdict(2), Verdict::Disagrees, "{query}");
            for foreign in [
                "a",
                "a{tenant_id=\"other\"}",
                "a{tenant_id!=\"acme\"}",
                "a{tenant_id=~\"acme\"}",
                "a{tenant=\"acme\"}",
                "a{tenant_id=\"acme\" or b=\"c\"}",
                "a{b=\"c\" or tenant_id=\"acme\"}",
            ] {
                let foreign = query.replace('§', foreign);
                let verdict = verdict_of_tree(&foreign, 1, &acme());
                assert_eq!(verdict, Verdict::Disagrees, "{foreign}");
            }
        }
    }

    #[test]
    fn query_that_the_parser_cannot_read_passes_the_tree_check() {
        let query = "a </ 5";
        assert!(parser::parse(query).is_err());
        let verdict = verdict_of_tree(query, 7, &acme());
        assert_eq!(verdict, Verdict::CannotRead);
    }

    /// Or a long list or range would be given to the parser.
    #[test]
    fn labels_of_a_list_and_parts_of_a_range_count_as_nodes() {
        let nodes = |query| {
            let scan = scan(query, Kind::Expression, 10, |_| Ok(()));
            scan.unwrap().nodes
        };
        for (long, short) in [
            ("sum by (a, b, c) (x)", "sum by (a) (x)"),
            ("sum(x) without (a, 'b', c)", "sum(x) without (a)"),
            ("x * on (a, b, c) y", "x * on (a) y"),
            (
                "x * on (a) group_left (b, c, d) y",
                "x * on (a) group_left (b) y",
            ),
            ("x[1h + 5m + 2m]", "x[1h]"),
            ("1 + x[5m]", "x[5m]"),
        ] {
            assert_eq!(nodes(long), nodes(short) + 2, "{long}");
        }
    }

    #[test]
    fn regexes_are_not_compiled() {
        let query = r#"a{b=~"(", c!~"\\w{1000}", d = "e"} + topk(1, {f =~ `x|y`})"#;
        let foreign = ForeignMatchers::Intersect;
        for matchers in [acme(), acme_and_globex()] {
            let confined = confine(query, &matchers, foreign, 10, &none()).unwrap();
            let mut regexes = Vec::new();
            scan(confined.text(), Kind::Expression, 10, |matcher| {
                regexes.extend(non_regex_operator(matcher.op).map(|op| (matcher.op_at, op)));
                Ok(())
            })
            .unwrap();
            let read = with_operators(confined.text(), &regexes);
            assert_eq!(read.len(), confined.text().len());
            assert!(!read.contains('~'), "{read}");
            assert!(parser::parse(&read).is_ok(), "{read}");
            let verdict = |selectors| verdict_of_tree(&read, selectors, &matchers);
            assert_eq!(verdict(2), Verdict::Agrees, "{read}");
            assert_eq!(verdict(1), Verdict::Disagrees, "{read}");
        }
    }
}
