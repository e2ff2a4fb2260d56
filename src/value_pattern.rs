//! A regular expression for the values of a tenant's label or attribute.
//!
//! The operator writes it. The stores match it by Go's `regexp`, Partywall's filters by the crate
//! `regex`, and both must agree on every value. So only the syntax that both read alike is accepted:
//!
//! | accepted | refused, because |
//! |---|---|
//! | literals, and `\` before punctuation | `\x41`, `\u0041`, `\n`, `\Q…\E`: not in both, or control characters |
//! | `.`, which matches a newline too | |
//! | `[a-z]`, `[^a-z]`, `[[:alpha:]]` | `\d`, `\w`, `\s`, `\pL`: ASCII to Go, Unicode to the crate; `&&`, `--`, `~~` and nested brackets, which are plain characters to Go |
//! | `(…)`, `(?:…)`, `\|` | `(?i)` and other flags, named groups: folding follows the version of Unicode |
//! | `*`, `+`, `?`, `{n}`, `{n,}`, `{n,m}` and their lazy forms | `{,m}` and spaces in braces, which are plain text to Go; a repetition of a repetition without a group |
//! | | `^`, `$`, `\A`, `\z`, `\b`, `\B`: it is anchored at both ends already |
//!
//! Prometheus before 3.0 and Alertmanager do not let `.` match a newline, Prometheus 3 and Tempo do
//! (`^(?s:…)$`); so [`ValuePattern::re2`] says it in the expression.

use std::hash::{Hash, Hasher};

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::ast::{
    Ast, ClassSet, ClassSetItem, GroupKind, Literal, LiteralKind, Repetition, RepetitionKind,
    RepetitionRange,
};
use thiserror::Error;

use crate::query_size::repetitions;

/// The longest expression, in bytes.
pub const MAX_BYTES: usize = 1024;

/// The most memory of the compiled expression, in bytes.
const MAX_MEMORY: usize = 1024 * 1024;

/// The deepest nesting of groups; Go allows 1000.
const MAX_DEPTH: u32 = 100;

/// Go's limit for a counted repetition, those inside of it included (`repeatIsValid`).
const MAX_COUNT: u32 = 1000;

/// The highest cost of its repetitions, as [`repetitions`] measures it.
const MAX_REPETITIONS: usize = 1000;

/// A checked and compiled expression; compared by its source.
#[derive(Clone, Debug)]
pub struct ValuePattern {
    source: Box<str>,
    anchored: Regex,
}

/// Why an expression is refused. The texts say what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidPattern {
    #[error("is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("has a control character, U+FFFD or a backtick, which no tenant's value may have")]
    Character,
    #[error("is not a regular expression: {0}")]
    Syntax(String),
    #[error(
        "has `{0}`, which the stores and Partywall may read differently: {hint}",
        hint = hint(.0)
    )]
    Ambiguous(String),
    #[error("repeats too much to be matched fast, or more than 1000 times")]
    TooCostly,
    /// A series without the label has the empty value.
    #[error(
        "matches the empty value, and so all data without the label, which belong to no tenant: \
         write `.+` instead of `.*`, and no empty alternative"
    )]
    MatchesEmpty,
}

fn hint(part: &str) -> &'static str {
    match part {
        r"\d" => "write [0-9]",
        r"\w" => "write [0-9A-Za-z_]",
        r"\s" => "write a space",
        r"\D" | r"\W" | r"\S" => "write a class in brackets",
        "^" | "$" | r"\A" | r"\z" | r"\b" | r"\B" => {
            "leave it out, the expression has to match the whole value anyway"
        }
        part if part.starts_with(r"\x") || part.starts_with(r"\u") || part.starts_with(r"\U") => {
            "write the character itself"
        }
        part if part.starts_with("(?") => "write groups as (…) or (?:…), without flags",
        part if part.starts_with(r"\p") || part.starts_with(r"\P") => {
            "write the characters in brackets"
        }
        _ => "write it in a simpler way",
    }
}

impl ValuePattern {
    /// Checks and compiles an expression.
    ///
    /// # Errors
    /// If a store could read it differently, if it matches the empty value, or if it is too costly.
    pub fn new(source: &str) -> Result<Self, InvalidPattern> {
        if source.len() > MAX_BYTES {
            return Err(InvalidPattern::TooLong);
        }
        let is_refused = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER || c == '`';
        if source.contains(is_refused) {
            return Err(InvalidPattern::Character);
        }
        let mut parser = ParserBuilder::new().nest_limit(MAX_DEPTH).build();
        let syntax = parser
            .parse(source)
            .map_err(|error| InvalidPattern::Syntax(error.kind().to_string()))?;
        Dialect { source }.check(&syntax, MAX_COUNT)?;
        if repetitions(source.as_bytes()) > MAX_REPETITIONS {
            return Err(InvalidPattern::TooCostly);
        }
        let anchored = RegexBuilder::new(&format!(r"\A(?:{source})\z"))
            .dot_matches_new_line(true)
            .size_limit(MAX_MEMORY)
            .dfa_size_limit(MAX_MEMORY)
            .build()
            .map_err(|_| InvalidPattern::TooCostly)?;
        if anchored.is_match("") {
            return Err(InvalidPattern::MatchesEmpty);
        }
        let source = source.into();
        Ok(Self { source, anchored })
    }

    /// The expression as the operator wrote it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The expression for the stores, without anchors. It can be an alternative of a larger one.
    pub fn re2(&self) -> String {
        format!("(?s:{})", self.source)
    }

    /// Whether it matches a whole value. Never the empty one.
    pub fn matches(&self, value: &str) -> bool {
        self.anchored.is_match(value)
    }
}

impl PartialEq for ValuePattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for ValuePattern {}

impl Hash for ValuePattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
    }
}

/// The syntax that Go's `regexp` and the crate `regex` read alike.
struct Dialect<'s> {
    source: &'s str,
}

impl Dialect<'_> {
    /// Checks a part that repetitions around it may still repeat this many times.
    fn check(&self, part: &Ast, times: u32) -> Result<(), InvalidPattern> {
        match part {
            Ast::Empty(_) | Ast::Dot(_) => Ok(()),
            Ast::Literal(literal) => self.literal(literal),
            Ast::ClassBracketed(class) => match &class.kind {
                ClassSet::Item(item) => self.class_item(item),
                ClassSet::BinaryOp(_) => Err(self.ambiguous(part)),
            },
            Ast::Repetition(repetition) => self.repetition(repetition, times),
            Ast::Group(group) => match &group.kind {
                GroupKind::CaptureIndex(_) => self.check(&group.ast, times),
                GroupKind::NonCapturing(flags) if flags.items.is_empty() => {
                    self.check(&group.ast, times)
                }
                GroupKind::NonCapturing(_) | GroupKind::CaptureName { .. } => {
                    Err(self.ambiguous(part))
                }
            },
            Ast::Alternation(all) => all.asts.iter().try_for_each(|one| self.check(one, times)),
            Ast::Concat(all) => all.asts.iter().try_for_each(|one| self.check(one, times)),
            Ast::Flags(_) | Ast::Assertion(_) | Ast::ClassUnicode(_) | Ast::ClassPerl(_) => {
                Err(self.ambiguous(part))
            }
        }
    }

    fn literal(&self, literal: &Literal) -> Result<(), InvalidPattern> {
        match literal.kind {
            LiteralKind::Verbatim | LiteralKind::Meta | LiteralKind::Superfluous => Ok(()),
            _ => Err(self.ambiguous_at(literal.span)),
        }
    }

    fn class_item(&self, item: &ClassSetItem) -> Result<(), InvalidPattern> {
        match item {
            ClassSetItem::Literal(literal) => self.literal(literal),
            ClassSetItem::Range(range) => {
                self.literal(&range.start)?;
                self.literal(&range.end)
            }
            ClassSetItem::Ascii(_) => Ok(()),
            ClassSetItem::Union(all) => all.items.iter().try_for_each(|one| self.class_item(one)),
            ClassSetItem::Empty(_)
            | ClassSetItem::Unicode(_)
            | ClassSetItem::Perl(_)
            | ClassSetItem::Bracketed(_) => Err(self.ambiguous_at(*item.span())),
        }
    }

    fn repetition(&self, repetition: &Repetition, times: u32) -> Result<(), InvalidPattern> {
        if matches!(*repetition.ast, Ast::Repetition(_)) {
            return Err(self.ambiguous_at(repetition.span));
        }
        let count = match &repetition.op.kind {
            RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => 1,
            RepetitionKind::Range(range) => {
                let is_part = |byte: u8| byte.is_ascii_digit() || b"{,}?".contains(&byte);
                let span = repetition.op.span;
                let text = self.source.get(span.start.offset..span.end.offset);
                let is_in_go = text.is_some_and(|text| {
                    text.bytes().all(is_part)
                        && text.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
                });
                if !is_in_go {
                    return Err(self.ambiguous_at(span));
                }
                match range {
                    RepetitionRange::Exactly(count)
                    | RepetitionRange::AtLeast(count)
                    | RepetitionRange::Bounded(_, count) => *count,
                }
            }
        };
        if count > times {
            return Err(InvalidPattern::TooCostly);
        }
        self.check(&repetition.ast, times / count.max(1))
    }

    fn ambiguous(&self, part: &Ast) -> InvalidPattern {
        self.ambiguous_at(*part.span())
    }

    fn ambiguous_at(&self, span: regex_syntax::ast::Span) -> InvalidPattern {
        let text = self.source.get(span.start.offset..span.end.offset);
        InvalidPattern::Ambiguous(text.unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched<'v>(source: &str, values: &[&'v str]) -> Vec<&'v str> {
        let pattern = ValuePattern::new(source).unwrap();
        let values = values.iter().copied();
        values.filter(|value| pattern.matches(value)).collect()
    }

    #[test]
    fn pattern_matches_whole_values_alone() {
        let values = [
            "team-a",
            "team-a-x",
            "xteam-a-x",
            "team-a-\n",
            "TEAM-A-X",
            "",
            "b",
        ];
        assert_eq!(matched("team-a-.*", &values), ["team-a-x", "team-a-\n"]);
        assert_eq!(matched("team-a|b", &values), ["team-a", "b"]);
        assert_eq!(
            matched("b|team-a-.", &values),
            ["team-a-x", "team-a-\n", "b"]
        );
        assert_eq!(matched(".+", &values).len(), values.len() - 1);
    }

    #[test]
    fn escapes_are_refused_with_what_to_write_instead() {
        for (source, instead) in [
            (r"\x41", "write the character itself"),
            (r"\u0041", "write the character itself"),
            (r"\U00000041", "write the character itself"),
            (r"\d+", "write [0-9]"),
            (r"\pL", "write the characters in brackets"),
            (r"\PL", "write the characters in brackets"),
            ("(?i:a)", "write groups as (…) or (?:…), without flags"),
        ] {
            let refusal = ValuePattern::new(source).unwrap_err().to_string();
            assert!(refusal.ends_with(instead), "{source}: {refusal}");
        }
    }

    #[test]
    fn syntax_that_the_stores_read_alike_is_accepted() {
        for source in [
            "team-a-.*",
            "a|b",
            "(a|b)-(?:c|d)+",
            r"a\.b\-c\/d",
            "[a-z0-9_-]+",
            "[^-]+",
            "[]a]+",
            "[[:alnum:]_]+",
            "a{2}b{1,3}c{2,}",
            "a+?b*?c??d",
            "é+",
            "a b",
            "(?:a{5}){10}",
            "x}y]",
        ] {
            let pattern = ValuePattern::new(source);
            assert!(pattern.is_ok(), "{source}: {pattern:?}");
        }
    }

    #[test]
    fn syntax_that_could_be_read_differently_is_refused() {
        for (source, part) in [
            (r"team-\d+", r"\d"),
            (r"[\w.]+", r"\w"),
            (r"\pLx", r"\pL"),
            (r"\bx", r"\b"),
            ("^a", "^"),
            ("a$", "$"),
            (r"\Aa\z", r"\A"),
            ("(?i)a", "(?i)"),
            ("(?i:a)", "(?i:a)"),
            ("(?P<n>a)", "(?P<n>a)"),
            ("(?<n>a)", "(?<n>a)"),
            (r"\x41", r"\x41"),
            (r"\x{41}", r"\x{41}"),
            (r"\u0041", r"\u0041"),
            (r"a\n", r"\n"),
            ("[a&&b]", "[a&&b]"),
            ("[a--b]", "[a--b]"),
            ("[a~~b]", "[a~~b]"),
            ("[a[bc]]", "[bc]"),
            ("a{1, 5}b", "{1, 5}"),
            ("a**b", "a**"),
            ("a{2}{3}", "a{2}{3}"),
            (r"a\<b", r"\<"),
        ] {
            let refused = ValuePattern::new(source).unwrap_err();
            assert_eq!(refused, InvalidPattern::Ambiguous(part.into()), "{source}");
        }
    }

    #[test]
    fn pattern_that_matches_the_empty_value_is_refused() {
        for source in ["", ".*", "a|", "(a|b)?", "a{0}", "|b", "()", "[a-z]*"] {
            let refused = ValuePattern::new(source).unwrap_err();
            assert_eq!(refused, InvalidPattern::MatchesEmpty, "{source}");
        }
    }

    #[test]
    fn costly_long_or_broken_pattern_is_refused() {
        use InvalidPattern::{Character, TooCostly, TooLong};
        for (source, why) in [
            ("a{1001}", TooCostly),
            ("(?:a{100}){11}", TooCostly),
            ("(?:(?:){100}a){11}", TooCostly),
            ("[a-z]{999}[a-z]{999}", TooCostly),
            (&*"a?".repeat(200), TooCostly),
            (&*"a".repeat(MAX_BYTES + 1), TooLong),
            ("a\nb", Character),
            ("a`b", Character),
            ("a\u{fffd}", Character),
        ] {
            assert_eq!(ValuePattern::new(source).unwrap_err(), why, "{source}");
        }
        for broken in [
            "a{,5}b", "(", "a)|(b", "[", "*a", r"a\Q", "a{", "[b-a]", r"\C",
        ] {
            let refused = ValuePattern::new(broken).unwrap_err();
            assert!(
                matches!(refused, InvalidPattern::Syntax(_)),
                "{broken}: {refused}"
            );
        }
    }

    #[test]
    fn refusal_says_what_to_write_instead() {
        let text = |source| ValuePattern::new(source).unwrap_err().to_string();
        assert!(text(r"a\d").ends_with("write [0-9]"));
        assert!(text("(?i)a").ends_with("without flags"));
        assert!(text("^a").contains("leave it out"));
    }
}
