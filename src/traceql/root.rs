//! What a query says of the roots of traces, by `rootName` and `rootServiceName` in its filters.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::token::{Lexeme, Op};
use crate::empty_pattern::matches_empty;

/// A part of a filter that depends on nothing but the root of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RootCondition {
    /// In bytes.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether it is true of a trace that has no root: its name and service are empty.
    pub(super) holds_without_root: bool,
    /// The first intrinsic in it.
    pub(super) intrinsic: Lexeme,
}

/// `rootName` or `rootServiceName` in a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RootField {
    /// In bytes.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) is_name: bool,
}

/// What a query has to do with the roots of traces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Roots {
    /// In order.
    pub(super) conditions: Vec<RootCondition>,
    /// In order.
    pub(super) fields: Vec<RootField>,
    /// Whether the query selects no span of any trace, with any data. Never true in doubt: pipelines
    /// that are empty are left out of a rewritten query.
    pub(super) is_empty: bool,
    /// Whether results have more attributes than those of spans: by `by()` or an aggregate.
    pub(super) is_grouped: bool,
    /// Whether it reads the names of spans.
    pub(super) reads_names: bool,
}

impl RootField {
    /// The same of the root span itself.
    pub(super) fn of_span(self) -> &'static str {
        if self.is_name {
            "name"
        } else {
            "resource.service.name"
        }
    }
}

/// Whether `root op literal` is true of the empty root; `literal op root` if reversed. `None` if it
/// is not known: the literal is a regular expression that Go may read differently.
pub(super) fn holds_for_empty(op: Op, literal: &str, is_reversed: bool) -> Option<bool> {
    if matches!(op, Op::Regex | Op::NotRegex) {
        let pattern = pattern(literal).filter(|_| !is_reversed)?;
        return Some(matches_empty(&pattern)? == (op == Op::Regex));
    }
    // Go drops carriage returns from raw strings.
    let inside = literal.get(1..literal.len().checked_sub(1)?)?;
    let is_empty = inside
        .bytes()
        .all(|byte| byte == b'\r' && literal.starts_with('`'));
    let order = match (is_empty, is_reversed) {
        (true, _) => Ordering::Equal,
        (false, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    };
    Some(match op {
        Op::Equal => order.is_eq(),
        Op::NotEqual => order.is_ne(),
        Op::Less => order.is_lt(),
        Op::LessEqual => order.is_le(),
        Op::Greater => order.is_gt(),
        Op::GreaterEqual => order.is_ge(),
        _ => return None,
    })
}

/// The value of a string literal; `None` if it has escapes that regular expressions rarely need.
fn pattern(literal: &str) -> Option<Cow<'_, str>> {
    let raw = |quote| literal.strip_prefix(quote)?.strip_suffix(quote);
    Some(match (raw('`'), raw('"')) {
        (Some(inside), _) => Cow::Owned(inside.replace('\r', "")),
        (None, Some(inside)) if inside.contains('\\') => {
            let mut value = String::with_capacity(inside.len());
            let mut chars = inside.chars();
            while let Some(c) = chars.next() {
                value.push(match c {
                    '\\' => chars.next().filter(|c| matches!(c, '\\' | '"'))?,
                    c => c,
                });
            }
            Cow::Owned(value)
        }
        (None, inside) => Cow::Borrowed(inside?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (Op::Regex, r#""a{0,5}""#, false, Some(true)),
            // Brackets in a class are characters to Go, and a class to Rust.
            (Op::Regex, "`[[a]*|]`", false, None),
            (Op::Regex, r"`\b{start-half}`", false, None),
            (Op::Regex, r"`\w+\d*`", false, Some(false)),
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
}
