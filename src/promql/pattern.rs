//! Whether a regular expression matches the empty value.

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{AssertionKind, Ast, Repetition, RepetitionKind, RepetitionRange};

/// Whether the anchored pattern matches the empty string; `None` where Go's `regexp/syntax` refuses
/// the pattern or could read it otherwise.
///
/// This takes the pattern's syntax alone: compiling it could take milliseconds. The parser bounds how
/// deep patterns nest.
pub fn matches_empty(pattern: &str) -> Option<bool> {
    let syntax = Parser::new().parse(pattern).ok()?;
    Syntax { pattern }.matches_empty(&syntax)
}

struct Syntax<'p> {
    pattern: &'p str,
}

impl Syntax<'_> {
    fn matches_empty(&self, part: &Ast) -> Option<bool> {
        match part {
            Ast::Empty(_) | Ast::Flags(_) => Some(true),
            Ast::Literal(_)
            | Ast::Dot(_)
            | Ast::ClassUnicode(_)
            | Ast::ClassPerl(_)
            | Ast::ClassBracketed(_) => Some(false),
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText
                | AssertionKind::NotWordBoundary => Some(true),
                AssertionKind::WordBoundary => Some(false),
                // Go does not have the others.
                _ => None,
            },
            Ast::Repetition(repetition) => self.repetition_matches_empty(repetition),
            Ast::Group(group) => self.matches_empty(&group.ast),
            Ast::Alternation(all) => self.is_any(&all.asts, true),
            Ast::Concat(all) => self.is_any(&all.asts, false).map(|is_any| !is_any),
        }
    }

    /// Whether for one of the parts the answer is `wanted`.
    fn is_any(&self, parts: &[Ast], wanted: bool) -> Option<bool> {
        let mut is_certain = true;
        for part in parts {
            match self.matches_empty(part) {
                Some(answer) if answer == wanted => return Some(true),
                Some(_) => {}
                None => is_certain = false,
            }
        }
        is_certain.then_some(false)
    }

    fn repetition_matches_empty(&self, repetition: &Repetition) -> Option<bool> {
        let least = match &repetition.op.kind {
            RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore => 0,
            RepetitionKind::OneOrMore => 1,
            // To Go, `{,5}` and `{0, 5}` are plain text.
            RepetitionKind::Range(range) if self.is_range_in_go(repetition) => match range {
                RepetitionRange::Exactly(least)
                | RepetitionRange::AtLeast(least)
                | RepetitionRange::Bounded(least, _) => *least,
            },
            RepetitionKind::Range(_) => return None,
        };
        if least == 0 {
            return Some(true);
        }
        self.matches_empty(&repetition.ast)
    }

    fn is_range_in_go(&self, repetition: &Repetition) -> bool {
        let span = repetition.op.span;
        let text = self.pattern.get(span.start.offset..span.end.offset);
        text.and_then(|text| text.strip_prefix('{'))
            .is_some_and(|range| {
                let is_part = |byte: u8| byte.is_ascii_digit() || b",}?".contains(&byte);
                range.starts_with(|first: char| first.is_ascii_digit())
                    && range.bytes().all(is_part)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_value_is_matched_as_in_go() {
        for (pattern, matches) in [
            ("", Some(true)),
            (".*", Some(true)),
            (".+", Some(false)),
            ("a", Some(false)),
            ("a|", Some(true)),
            ("a|b", Some(false)),
            ("(a|b)?", Some(true)),
            ("a*b*", Some(true)),
            ("a*b", Some(false)),
            ("(?:)", Some(true)),
            ("(?i)", Some(true)),
            ("(?i)x", Some(false)),
            ("^$", Some(true)),
            (r"\A\z", Some(true)),
            (r"\b", Some(false)),
            (r"\B", Some(true)),
            ("a{0}", Some(true)),
            ("a{0,}?", Some(true)),
            ("a{0,3}", Some(true)),
            ("a{2,3}", Some(false)),
            ("(a?){2}", Some(true)),
            (r"[\w]?", Some(true)),
            (r"\d", Some(false)),
            (r"\pL*", Some(true)),
            // Plain text to Go, or unknown to one of the two.
            ("a{,5}", None),
            ("a{0, 5}", None),
            ("a{ 0 }", None),
            ("|a{0, 5}", Some(true)),
            ("b|a{0, 5}", None),
            ("ba{0, 5}", Some(false)),
            (r"\b{start}", None),
            (r"\Qx\E", None),
            ("(", None),
            ("a)|(b", None),
        ] {
            assert_eq!(matches_empty(pattern), matches, "{pattern}");
        }
    }

    #[test]
    fn deep_and_long_patterns_are_decided_on_a_small_stack() {
        let decide = || {
            let deep = "(".repeat(100) + &")?".repeat(100);
            assert_eq!(matches_empty(&deep), Some(true));
            let deeper = "(".repeat(100_000) + &")".repeat(100_000);
            assert_eq!(matches_empty(&deeper), None);
            assert_eq!(matches_empty(&r"\w*".repeat(20_000)), Some(true));
        };
        let thread = std::thread::Builder::new()
            .stack_size(256 * 1024)
            .spawn(decide);
        thread.unwrap().join().unwrap();
    }
}
