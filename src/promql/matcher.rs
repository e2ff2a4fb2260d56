//! One matcher of a query, and what it says about tenants.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

use super::cursor::{Cursor, is_label_start};
use super::refusal::{Problem, Refusal};
use crate::empty_pattern;
use crate::query_size::unquote;
use crate::tenancy::LabelMatcher;

/// The most memory that a compiled pattern of a query may take, in bytes.
const MAX_PATTERN_MEMORY: usize = 256 * 1024;

/// `label op "value"` between braces, as the query spells it.
pub(super) struct Matcher<'q> {
    /// The offset of the label.
    pub(super) at: usize,
    /// The label, with its quotes if it has any.
    pub(super) label: &'q str,
    pub(super) op: Op,
    /// The offset of the operator.
    pub(super) op_at: usize,
    /// The value, with its quotes.
    pub(super) value: &'q str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl Op {
    pub(super) fn is_regex(self) -> bool {
        matches!(self, Self::Regex | Self::NotRegex)
    }
}

/// Which tenants a matcher's value names.
enum Named<'v> {
    /// A literal list.
    Tenants(Vec<Cow<'v, str>>),
    /// `.*` or `.+`.
    All,
    Pattern,
}

impl<'q> Matcher<'q> {
    /// Parses a matcher, or a metric name in quotes (`None`). Anything else between braces, such
    /// as `or`, is refused.
    pub(super) fn parse(cursor: &mut Cursor<'q>) -> Result<Option<Self>, Refusal> {
        let at = cursor.at();
        let (label, is_quoted) = match cursor.peek() {
            Some(b'"' | b'\'' | b'`') => (cursor.string()?, true),
            Some(byte) if is_label_start(byte) => (cursor.label(), false),
            _ => return Err(cursor.malformed(Problem::Matcher)),
        };
        cursor.skip_gap();
        let (op, length) = match (cursor.peek(), cursor.peek_after(1)) {
            (Some(b'='), Some(b'~')) => (Op::Regex, 2),
            (Some(b'='), _) => (Op::Equal, 1),
            (Some(b'!'), Some(b'~')) => (Op::NotRegex, 2),
            (Some(b'!'), Some(b'=')) => (Op::NotEqual, 2),
            _ if is_quoted => return Ok(None),
            _ => return Err(cursor.malformed(Problem::Matcher)),
        };
        let op_at = cursor.at();
        cursor.advance(length);
        cursor.skip_gap();
        let value = match cursor.peek() {
            Some(b'"' | b'\'' | b'`') => cursor.string()?,
            _ => return Err(cursor.malformed(Problem::Matcher)),
        };
        Ok(Some(Self {
            at,
            label,
            op,
            op_at,
            value,
        }))
    }

    /// Whether the matcher is on this label, however the name is quoted.
    pub(super) fn is_on_label(&self, label: &str) -> bool {
        self.name().is_some_and(|name| *name == *label.as_bytes())
    }

    /// The label's name without quotes; `None` if Prometheus would reject its escapes.
    pub(super) fn name(&self) -> Option<Cow<'q, [u8]>> {
        match self.label.as_bytes().first() {
            Some(b'"' | b'\'' | b'`') => unquote(self.label),
            _ => Some(Cow::Borrowed(self.label.as_bytes())),
        }
    }

    /// Whether it selects only series of `own` tenants.
    pub(super) fn holds_only_own(&self, own: &LabelMatcher) -> bool {
        let Named::Tenants(tenants) = self.named() else {
            return false;
        };
        matches!(self.op, Op::Equal | Op::Regex)
            && tenants.iter().all(|tenant| own.values().contains(tenant))
    }

    /// Whether it asks for series of a tenant that is not one of `own`.
    ///
    /// `=` does with any foreign value but the empty one, and `=~` if it is a plain list of values
    /// (`a|b`, `(a|b)`, escapes included) that has a foreign one. Other patterns name no tenant,
    /// and `!=` and `!~` ask for none: all of these are meaningful in a private store.
    pub(super) fn asks_for_foreign(&self, own: &LabelMatcher) -> bool {
        matches!(self.op, Op::Equal | Op::Regex)
            && matches!(self.named(), Named::Tenants(tenants) if has_foreign(&tenants, own))
    }

    /// Whether none of `own` fulfils it, as far as that is sure: a pattern that cannot be evaluated
    /// here, or not cheaply, may leave one. Where this errs, the query is refused, or its answer is
    /// confined like every other.
    pub(super) fn excludes_all_own(&self, own: &LabelMatcher) -> bool {
        let is_negated = matches!(self.op, Op::NotEqual | Op::NotRegex);
        let Some(all_own) = own.values().listed() else {
            return match self.named() {
                Named::Tenants(named) => {
                    !is_negated && !named.iter().any(|one| own.values().contains(one))
                }
                Named::All => is_negated,
                Named::Pattern => false,
            };
        };
        let fulfils: Box<dyn Fn(&str) -> bool> = match self.named() {
            Named::Tenants(named) => Box::new(move |tenant| named.iter().any(|one| one == tenant)),
            Named::All => Box::new(|_| true),
            Named::Pattern => match self.pattern() {
                Some(pattern) => Box::new(move |tenant| pattern.is_match(tenant)),
                None => return false,
            },
        };
        all_own
            .iter()
            .all(|tenant| fulfils(tenant.as_str()) == is_negated)
    }

    /// The regular expression, anchored as Prometheus does (`model/labels/regexp.go`).
    fn pattern(&self) -> Option<Regex> {
        let source = unquote(self.value)?;
        let source = std::str::from_utf8(&source).ok()?;
        RegexBuilder::new(&format!("^(?s:{source})$"))
            .size_limit(MAX_PATTERN_MEMORY)
            .dfa_size_limit(MAX_PATTERN_MEMORY)
            .build()
            .ok()
    }

    /// Whether showing it may reveal a tenant that is not one of `own`, selected or excluded: it
    /// has a foreign value, or a pattern other than `.*` and `.+`.
    pub(super) fn may_reveal_foreign(&self, own: &LabelMatcher) -> bool {
        match self.named() {
            Named::Tenants(tenants) => has_foreign(&tenants, own),
            Named::All => false,
            Named::Pattern => true,
        }
    }

    /// Whether the empty value fulfils the matcher, and so series without the label do. `None` if
    /// that is not certain, as of what Prometheus may not be able to read.
    pub(super) fn matches_empty(&self) -> Option<bool> {
        let value = unquote(self.value)?;
        if !self.op.is_regex() {
            return Some(value.is_empty() == (self.op == Op::Equal));
        }
        let matches = empty_pattern::matches_empty(std::str::from_utf8(&value).ok()?)?;
        Some(matches == (self.op == Op::Regex))
    }

    fn named(&self) -> Named<'_> {
        // Bytes that are not UTF-8 become U+FFFD, which no tenant that a query may name has.
        let value = match unquote(self.value) {
            None => return Named::Pattern,
            Some(Cow::Borrowed(bytes)) => String::from_utf8_lossy(bytes),
            Some(Cow::Owned(bytes)) => String::from_utf8_lossy(&bytes).into_owned().into(),
        };
        if !self.op.is_regex() {
            return Named::Tenants(vec![value]);
        }
        match &*value {
            ".*" | ".+" => Named::All,
            regex => match alternatives(regex) {
                Some(values) => Named::Tenants(values.into_iter().map(Cow::Owned).collect()),
                None => Named::Pattern,
            },
        }
    }
}

fn has_foreign(tenants: &[Cow<'_, str>], own: &LabelMatcher) -> bool {
    tenants
        .iter()
        .any(|tenant| !tenant.is_empty() && !own.values().contains(tenant))
}

/// The values of a regex that is a plain list, as Grafana writes for a variable with several
/// values: `a|b\.c` or `(a|b\.c)`.
fn alternatives(regex: &str) -> Option<Vec<String>> {
    let list = regex
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or(regex);
    let mut values = vec![String::new()];
    let mut chars = list.chars();
    while let Some(c) = chars.next() {
        let literal = match c {
            '|' => {
                values.push(String::new());
                continue;
            }
            '\\' => chars.next().filter(char::is_ascii_punctuation)?,
            '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
            c => c,
        };
        values.last_mut()?.push(literal);
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::tests::label_matcher;

    fn own() -> LabelMatcher {
        label_matcher("tenant_id", &["acme", "b.c"])
    }

    fn matcher(op: Op, value: &'static str) -> Matcher<'static> {
        Matcher {
            at: 0,
            label: "tenant_id",
            op,
            op_at: 0,
            value,
        }
    }

    #[test]
    fn label_in_any_quoting_is_recognized() {
        for label in [
            "tenant_id",
            "\"tenant_id\"",
            "'tenant_id'",
            "`tenant_id`",
            r#""tenant\x5fid""#,
        ] {
            let spelled = Matcher {
                label,
                ..matcher(Op::Equal, "\"x\"")
            };
            assert!(spelled.is_on_label("tenant_id"), "{label}");
        }
        for label in [
            "tenant_id2",
            "Tenant_id",
            "\"tenant_id \"",
            r"`tenant\x5fid`",
        ] {
            let spelled = Matcher {
                label,
                ..matcher(Op::Equal, "\"x\"")
            };
            assert!(!spelled.is_on_label("tenant_id"), "{label}");
        }
    }

    /// Operator, value, whether it asks for a foreign tenant, whether it may reveal one.
    const FOREIGN: [(Op, &str, bool, bool); 25] = [
        (Op::Equal, r#""acme""#, false, false),
        (Op::Equal, r#""b.c""#, false, false),
        (Op::Equal, r#""\x61cme""#, false, false),
        (Op::Equal, r#""""#, false, false),
        (Op::Equal, r#""other""#, true, true),
        (Op::Equal, "`other`", true, true),
        (Op::Equal, r#""\xff""#, true, true),
        (Op::Equal, r#""acme|b.c""#, true, true),
        (Op::NotEqual, r#""other""#, false, true),
        (Op::NotEqual, r#""acme""#, false, false),
        (Op::NotEqual, r#""""#, false, false),
        (Op::Regex, r#""acme""#, false, false),
        (Op::Regex, r#""acme|other""#, true, true),
        (Op::Regex, r#""(acme|b\\.c)""#, false, false),
        (Op::Regex, r"`(acme|b\.c)`", false, false),
        (Op::Regex, r"`other\-1|acme`", true, true),
        (Op::Regex, r#""acme|""#, false, false),
        (Op::Regex, r#"".*""#, false, false),
        (Op::Regex, r#"".+""#, false, false),
        (Op::Regex, r#""oth.*""#, false, true),
        (Op::Regex, r#""(acme)|(other)""#, false, true),
        (Op::Regex, r"`\w+`", false, true),
        (Op::NotRegex, r#""acme|b\\.c""#, false, false),
        (Op::NotRegex, r#""other|acme""#, false, true),
        (Op::NotRegex, r#"".+""#, false, false),
    ];

    /// What prom-label-proxy's `-error-on-replace` refuses (its README and `injectproxy/enforce.go`).
    #[test]
    fn matcher_that_none_of_the_own_tenants_fulfils_is_found() {
        use Op::{Equal, NotEqual, NotRegex, Regex};
        for (op, value, by_one, by_two) in [
            (Equal, r#""acme""#, false, false),
            (Equal, r#""b.c""#, true, false),
            (Equal, r#""other""#, true, true),
            (Equal, r#""""#, true, true),
            (NotEqual, r#""acme""#, true, false),
            (NotEqual, r#""other""#, false, false),
            (NotEqual, r#""""#, false, false),
            (Regex, r#""acme|other""#, false, false),
            (Regex, r#""(acme|other)""#, false, false),
            (Regex, r#""one|other""#, true, true),
            (Regex, r#""""#, true, true),
            (Regex, r#"".*""#, false, false),
            (Regex, r#"".+""#, false, false),
            (Regex, r#""ac.*""#, false, false),
            (Regex, r#""c.*""#, true, true),
            (Regex, r#""b[.]c""#, true, false),
            (Regex, r#""(""#, false, false),
            (Regex, r#""(?:a{1000}){1000}""#, false, false),
            (NotRegex, r#""acme|other""#, true, false),
            (NotRegex, r#""acme|b\\.c""#, true, true),
            (NotRegex, r#"".*""#, true, true),
            (NotRegex, r#""a.*""#, true, false),
            (NotRegex, r#""other""#, false, false),
        ] {
            let matcher = matcher(op, value);
            let one = label_matcher("tenant_id", &["acme"]);
            assert_eq!(matcher.excludes_all_own(&one), by_one, "{op:?} {value}");
            assert_eq!(matcher.excludes_all_own(&own()), by_two, "{op:?} {value}");
        }
    }

    #[test]
    fn foreign_tenants_in_values_are_recognized() {
        for (op, value, asks, reveals) in FOREIGN {
            let matcher = matcher(op, value);
            assert_eq!(matcher.asks_for_foreign(&own()), asks, "{op:?} {value}");
            assert_eq!(
                matcher.may_reveal_foreign(&own()),
                reveals,
                "{op:?} {value}"
            );
        }
    }

    #[test]
    fn empty_value_is_matched_as_the_operator_says() {
        for (op, value, matches) in [
            (Op::Equal, "\"\"", Some(true)),
            (Op::Equal, "``", Some(true)),
            (Op::Equal, "\"a\"", Some(false)),
            (Op::Equal, r#""\q""#, None),
            (Op::NotEqual, "\"\"", Some(false)),
            (Op::NotEqual, "\"a\"", Some(true)),
            (Op::Regex, "\".*\"", Some(true)),
            (Op::Regex, "\".+\"", Some(false)),
            (Op::Regex, "\"a|\"", Some(true)),
            (Op::Regex, "\"(\"", None),
            (Op::Regex, r#""\xff""#, None),
            (Op::NotRegex, "\".*\"", Some(false)),
            (Op::NotRegex, "\".+\"", Some(true)),
            (Op::NotRegex, "\"a|b\"", Some(true)),
        ] {
            assert_eq!(
                matcher(op, value).matches_empty(),
                matches,
                "{op:?} {value}"
            );
        }
    }
}
