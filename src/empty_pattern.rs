//! Whether a regular expression matches the empty value.

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{
    AssertionKind, Ast, ClassSet, ClassSetItem, Flag, Flags, FlagsItemKind, GroupKind, Repetition,
    RepetitionKind, RepetitionRange,
};

/// Whether the anchored pattern matches the empty string; `None` where Go's `regexp/syntax` refuses
/// the pattern or could read it otherwise.
///
/// This takes the pattern's syntax alone: compiling it could take milliseconds. The parser bounds how
/// deep patterns nest.
pub(crate) fn matches_empty(pattern: &str) -> Option<bool> {
    if let Some(matches) = list_has_empty(pattern) {
        return Some(matches);
    }
    let syntax = Parser::new().parse(pattern).ok()?;
    Syntax { pattern }.matches_empty(&syntax)
}

/// Whether a list of values (`a|b`, also with escaped punctuation) has the empty one; `None` if the
/// pattern is no list. That of a thousand tenants takes the parser a millisecond.
fn list_has_empty(pattern: &str) -> Option<bool> {
    let (mut has_empty, mut is_empty) = (false, true);
    let mut bytes = pattern.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'|' => {
                has_empty |= is_empty;
                is_empty = true;
                continue;
            }
            b'\\' if bytes.next()?.is_ascii_punctuation() => {}
            b'\\' | b'.' | b'+' | b'*' | b'?' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'^'
            | b'$' => {
                return None;
            }
            _ => {}
        }
        is_empty = false;
    }
    Some(has_empty || is_empty)
}

struct Syntax<'p> {
    pattern: &'p str,
}

impl Syntax<'_> {
    fn matches_empty(&self, part: &Ast) -> Option<bool> {
        match part {
            Ast::Empty(_) => Some(true),
            Ast::Flags(set) => are_in_go(&set.flags).then_some(true),
            Ast::Literal(_) | Ast::Dot(_) | Ast::ClassUnicode(_) | Ast::ClassPerl(_) => Some(false),
            // To Go, brackets in a class are characters, and so are `&&` and the like.
            Ast::ClassBracketed(class) => match &class.kind {
                ClassSet::Item(item) if is_flat(item) => Some(false),
                _ => None,
            },
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
            Ast::Group(group) => match &group.kind {
                GroupKind::NonCapturing(flags) if !are_in_go(flags) => None,
                _ => self.matches_empty(&group.ast),
            },
            // A part that is read otherwise may end elsewhere: then nothing is certain.
            Ast::Alternation(all) => all.asts.iter().try_fold(false, |matches, one| {
                Some(self.matches_empty(one)? || matches)
            }),
            Ast::Concat(all) => all.asts.iter().try_fold(true, |matches, one| {
                Some(self.matches_empty(one)? && matches)
            }),
        }
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
        Some(self.matches_empty(&repetition.ast)? || least == 0)
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

/// Whether a class has no class in it.
fn is_flat(item: &ClassSetItem) -> bool {
    match item {
        ClassSetItem::Bracketed(_) => false,
        ClassSetItem::Union(all) => all.items.iter().all(is_flat),
        _ => true,
    }
}

/// Whether Go has these flags too. None of its own decides about the empty value.
fn are_in_go(flags: &Flags) -> bool {
    flags.items.iter().all(|item| {
        matches!(
            item.kind,
            FlagsItemKind::Negation
                | FlagsItemKind::Flag(
                    Flag::CaseInsensitive
                        | Flag::MultiLine
                        | Flag::DotMatchesNewLine
                        | Flag::SwapGreed
                )
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

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
            ("a||b", Some(true)),
            ("|a", Some(true)),
            (r"a\.b|\|", Some(false)),
            (r"a\.b|", Some(true)),
            (r"a\", None),
            ("[ab]|c", Some(false)),
            ("[[:alpha:]]?", Some(true)),
            ("(?s-i:a)|", Some(true)),
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
            // Read otherwise by Go, or unknown to one of the two.
            ("[[a]*|]", None),
            ("[a&&b]*", None),
            ("(?x) ", None),
            ("(?x:) ", None),
            ("a{,5}", None),
            ("a{0, 5}", None),
            ("a{ 0 }", None),
            ("|a{0, 5}", None),
            ("ba{0, 5}", None),
            // To Go, the alternatives are `b[[a]` and `]?`.
            ("b[[a]|]?", None),
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn empty_text_is_decided_as_the_engine_decides(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "a", ".", "*", "+", "?", "|", "(", ")", "(?:", "(?i)", "(?s:", "[ab]", "[^a]", "{0,2}",
                    "{2}", "^", "$", r"\d", r"\pL", r"\.", "||",
                ]),
                0..8,
            ),
        ) {
            let source = parts.concat();
            if let Some(matches) = matches_empty(&source) {
                let engine = Regex::new(&format!(r"\A(?:{source})\z"));
                // Such as of a repetition that is too large.
                let Ok(engine) = engine else { return Ok(()) };
                prop_assert_eq!(engine.is_match(""), matches, "{}", source);
            }
        }
    }
}
