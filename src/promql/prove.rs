//! A second opinion on a spliced query: a new scan, and `promql-parser`'s tree where it can read
//! the query.

use std::panic::catch_unwind;

use promql_parser::label::{MatchOp as ParsedOp, Matcher as ParsedMatcher};
use promql_parser::parser::{self, Expr, VectorSelector};

use super::Refusal;
use super::literal::unquote;
use super::matcher::Matcher;
use super::scan::{Form, Kind, Scan, scan};
use super::splice::Confined;
use crate::tenancy::{LabelMatcher, MatchOp, Matchers};

/// What `promql-parser` 0.11 is asked to read. It is recursive in the depth of a query and
/// superlinear in its size, and it compiles every regex. Measured (release build, one core):
///
/// - 400 nodes: 0.6 ms for `1^1^…`, 0.3 ms for `----1`, 2.5 ms for the worst, `sum by (a)(sum by
///   (a)(…`; 2000 chained `+` already take 40 ms. A tree 400 deep fits a stack of 64 KiB.
/// - 16 KiB: 0.3 ms for the worst, a string of escapes.
/// - Regexes: see [`regex_cost`].
const MAX_NODES: usize = 400;
const MAX_BYTES: usize = 16 * 1024;
const MAX_REGEX_NANOS: usize = 2_000_000;

/// Checks that `confined` is `query` with all matchers in every selector, and nothing else
/// changed.
///
/// What only the scanner can read passes: the upstream's parser is the judge of syntax.
pub(super) fn prove(
    query: &str,
    kind: Kind,
    confined: &Confined,
    matchers: &Matchers,
) -> Result<(), Refusal> {
    let text = confined.text();
    let mut regex_nanos = 0_usize;
    let rescan = scan(text, kind, confined.selectors(), |matcher| {
        regex_nanos = regex_nanos.saturating_add(regex_cost(matcher));
        Ok(())
    });
    let is_proven = rescan.is_ok_and(|scan| {
        let is_cheap =
            text.len() <= MAX_BYTES && scan.nodes <= MAX_NODES && regex_nanos <= MAX_REGEX_NANOS;
        is_only_insertions(query, confined)
            && scan.sites.len() == confined.selectors()
            && every_site_is_ours(text, &scan, matchers)
            && (!is_cheap || tree_agrees(text, confined.selectors(), matchers))
    });
    is_proven.then_some(()).ok_or(Refusal::Disagreement)
}

/// Whether the text without the insertions is the query.
fn is_only_insertions(query: &str, confined: &Confined) -> bool {
    let mut rest = Some(query);
    for part in confined.original_parts() {
        rest = rest.and_then(|rest| rest.strip_prefix(part));
    }
    rest == Some("")
}

/// Whether every selector has braces that start with the matchers.
fn every_site_is_ours(text: &str, scan: &Scan, matchers: &Matchers) -> bool {
    scan.sites.iter().all(|site| {
        site.form == Form::Braced
            && text
                .get(site.at..)
                .and_then(|inside| inside.strip_prefix(matchers.promql()))
                .is_some_and(|after| after.starts_with([',', '}']))
    })
}

/// Whether `promql-parser` finds as many selectors and the matchers in each, if it can read the
/// text at all. A panic of it is taken for "cannot".
fn tree_agrees(text: &str, selectors: usize, matchers: &Matchers) -> bool {
    let Ok(Ok(tree)) = catch_unwind(|| parser::parse(text)) else {
        return true;
    };
    let mut found = 0;
    let mut pending = vec![&tree];
    while let Some(node) = pending.pop() {
        let selector = match node {
            Expr::VectorSelector(selector) => selector,
            Expr::MatrixSelector(range) => &range.vs,
            Expr::Aggregate(aggregate) => {
                pending.push(&aggregate.expr);
                pending.extend(aggregate.param.as_deref());
                continue;
            }
            Expr::Binary(binary) => {
                pending.extend([&*binary.lhs, &*binary.rhs]);
                continue;
            }
            Expr::Call(call) => {
                pending.extend(call.args.args.iter().map(|argument| &**argument));
                continue;
            }
            Expr::Unary(unary) => {
                pending.push(&unary.expr);
                continue;
            }
            Expr::Paren(paren) => {
                pending.push(&paren.expr);
                continue;
            }
            Expr::Subquery(subquery) => {
                pending.push(&subquery.expr);
                continue;
            }
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => continue,
            // The parser makes none.
            Expr::Extension(_) => return false,
        };
        if !carries_all(selector, matchers) {
            return false;
        }
        found += 1;
    }
    found == selectors
}

fn carries_all(selector: &VectorSelector, matchers: &Matchers) -> bool {
    let of_selector = &selector.matchers;
    of_selector.or_matchers.is_empty()
        && matchers
            .iter()
            .all(|ours| of_selector.matchers.iter().any(|m| is_same(m, ours)))
}

fn is_same(parsed: &ParsedMatcher, ours: &LabelMatcher) -> bool {
    let is_same_op = matches!(
        (&parsed.op, ours.op()),
        (ParsedOp::Equal, MatchOp::Equal) | (ParsedOp::Re(_), MatchOp::Regex)
    );
    is_same_op && parsed.name == ours.label() && parsed.value == ours.value()
}

/// About how long it takes to compile a matcher's regex, in nanoseconds, and rather too long.
///
/// Measured: 12 µs for any; 0.2 µs a literal byte (1.7 µs under `(?i)`), 5 µs a `.` or `[^x]`,
/// 100 to 350 µs a Unicode class such as `\w`. Repetition in braces multiplies (`\w{100}` takes
/// 34 ms), so it is never worth its while.
fn regex_cost(matcher: &Matcher<'_>) -> usize {
    if !matcher.op.is_regex() {
        return 0;
    }
    let Some(regex) = unquote(matcher.value) else {
        return 0;
    };
    let byte_cost = if memchr::memmem::find(&regex, b"(?").is_some() {
        2_000
    } else {
        250
    };
    let mut cost = 12_000_usize;
    let mut is_escaped = false;
    for byte in &*regex {
        cost = cost.saturating_add(match byte {
            b'{' => usize::MAX,
            b'.' | b'[' => 6_000,
            byte if is_escaped && byte.is_ascii_alphanumeric() => 400_000,
            byte if !byte.is_ascii() => 50_000,
            _ => byte_cost,
        });
        is_escaped = *byte == b'\\' && !is_escaped;
    }
    cost
}

#[cfg(test)]
mod tests {
    use super::super::matcher::Op;
    use super::super::scan::Site;
    use super::super::splice::splice;
    use super::*;
    use crate::promql::tests::acme;

    /// Proves a query with matchers at these sites only.
    fn proof_of(query: &str, sites: &[(usize, Form)]) -> Result<(), Refusal> {
        let sites: Vec<Site> = sites.iter().map(|&(at, form)| Site { at, form }).collect();
        let confined = splice(query, &sites, &acme()).unwrap();
        prove(query, Kind::Expression, &confined, &acme())
    }

    #[test]
    fn a_wrong_splice_is_found() {
        let disagreement = Err(Refusal::Disagreement);
        assert_eq!(
            proof_of("a + b", &[(1, Form::Bare), (5, Form::Bare)]),
            Ok(())
        );
        assert_eq!(proof_of("a + b", &[(1, Form::Bare)]), disagreement);
        assert_eq!(proof_of("a + b", &[]), disagreement);
        assert_eq!(
            proof_of("a + \"b\"", &[(1, Form::Bare), (6, Form::Bare)]),
            disagreement
        );
        assert_eq!(proof_of("a{}", &[(2, Form::Braced)]), Ok(()));
        assert_eq!(proof_of("a{}", &[(2, Form::Bare)]), disagreement);
        assert_eq!(proof_of("a{b=\"\"}", &[(5, Form::Braced)]), disagreement);
        assert_eq!(proof_of("topk(a, b)", &[(9, Form::Bare)]), disagreement);
    }

    #[test]
    fn only_insertions_are_accepted() {
        let confined = splice(
            "a",
            &[Site {
                at: 1,
                form: Form::Bare,
            }],
            &acme(),
        )
        .unwrap();
        assert_eq!(prove("a", Kind::Selector, &confined, &acme()), Ok(()));
        for other in ["b", "a ", "", "aa"] {
            let proof = prove(other, Kind::Selector, &confined, &acme());
            assert_eq!(proof, Err(Refusal::Disagreement));
        }
    }

    #[test]
    fn a_tree_is_walked_wherever_selectors_are() {
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
            assert!(tree_agrees(&confined, 1, &acme()), "{query}");
            assert!(!tree_agrees(&confined, 2, &acme()), "{query}");
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
                assert!(!tree_agrees(&foreign, 1, &acme()), "{foreign}");
            }
        }
    }

    #[test]
    fn what_the_parser_cannot_read_is_left_to_the_upstream() {
        assert!(parser::parse("a </ 5").is_err());
        assert!(catch_unwind(|| parser::parse("a[1e30]")).is_err());
        for query in ["a </ 5", "a[1e30]"] {
            assert!(tree_agrees(query, 7, &acme()), "{query}");
        }
    }

    #[test]
    fn dear_regexes_are_known() {
        let is_dear = |value| {
            let matcher = Matcher {
                at: 0,
                label: "a",
                op: Op::Regex,
                value,
            };
            regex_cost(&matcher) > MAX_REGEX_NANOS
        };
        for value in [
            r"`a{1000}`",
            r#""a\x7b1000}""#,
            r#""a\173""#,
            r#""\\w\\w\\w\\w\\w\\w""#,
            r#""(?i)\\pL\\pL\\pL\\pL\\pL""#,
        ] {
            assert!(is_dear(value), "{value}");
        }
        for value in [
            r#""5..""#,
            r#""node|kubelet""#,
            r#"".*\\.example\\.com.*""#,
            r"`\d+`",
        ] {
            assert!(!is_dear(value), "{value}");
        }
    }
}
