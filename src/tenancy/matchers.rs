//! Tenants, and the label matchers that confine a query to them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The longest tenant value, in bytes. Label values have no limit of their own in Prometheus; a
/// longer tenant is a mistake or an attack.
pub const MAX_TENANT_BYTES: usize = 256;

/// One tenant, by the value its label or attribute has: not empty, at most
/// [`MAX_TENANT_BYTES`], without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(Box<str>);

/// Why a text is no tenant. The text itself is not repeated: it comes from a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidTenant {
    /// An empty value would match every series that lacks the label.
    #[error("a tenant is empty")]
    Empty,
    /// Longer than [`MAX_TENANT_BYTES`].
    #[error("a tenant is longer than {MAX_TENANT_BYTES} bytes")]
    TooLong,
    /// NUL, newlines and other control characters, and U+FFFD, which Prometheus' lexer refuses in
    /// strings (it stands for bytes that are no text).
    #[error("a tenant holds a control character")]
    ControlCharacter,
}

impl Tenant {
    /// Takes a value as a tenant, literally: wildcards and regex operators have no meaning in it.
    pub fn new(value: &str) -> Result<Self, InvalidTenant> {
        if value.is_empty() {
            return Err(InvalidTenant::Empty);
        }
        if value.len() > MAX_TENANT_BYTES {
            return Err(InvalidTenant::TooLong);
        }
        if value.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
            return Err(InvalidTenant::ControlCharacter);
        }
        Ok(Self(value.into()))
    }

    /// The value as the label or attribute has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A set of tenants that is never empty; sorted, without duplicates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantSet(Box<[Tenant]>);

impl TenantSet {
    /// The set of these tenants; `None` if there are none.
    pub fn new(tenants: impl IntoIterator<Item = Tenant>) -> Option<Self> {
        let mut tenants: Vec<Tenant> = tenants.into_iter().collect();
        tenants.sort_unstable();
        tenants.dedup();
        (!tenants.is_empty()).then(|| Self(tenants.into()))
    }

    /// Whether this value is one of the tenants.
    pub fn contains(&self, value: &str) -> bool {
        self.0
            .binary_search_by(|tenant| tenant.as_str().cmp(value))
            .is_ok()
    }

    /// The tenants, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Tenant> + Clone {
        self.0.iter()
    }
}

/// How a matcher compares; the names and numbers are those of Prometheus' `prompb.LabelMatcher`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`: one tenant.
    Equal,
    /// `=~`: several tenants, each escaped, joined by `|`. Prometheus anchors the expression.
    Regex,
}

/// One label and the tenants it may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelMatcher {
    label: Arc<str>,
    tenants: TenantSet,
    op: MatchOp,
    /// The literal value for `=`, the escaped alternation for `=~`.
    value: Box<str>,
}

impl LabelMatcher {
    /// The matcher that admits just these tenants. `label` must be a valid label name
    /// (`[a-zA-Z_][a-zA-Z0-9_]*`); config sees to it.
    pub fn new(label: Arc<str>, tenants: TenantSet) -> Self {
        let (op, value) = match &*tenants.0 {
            [one] => (MatchOp::Equal, one.as_str().to_owned()),
            several => {
                let escaped: Vec<Cow<'_, str>> = several
                    .iter()
                    .map(|tenant| escape_re2(tenant.as_str()))
                    .collect();
                (MatchOp::Regex, escaped.join("|"))
            }
        };
        Self {
            label,
            tenants,
            op,
            value: value.into(),
        }
    }

    /// The label's name.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The tenants it admits.
    pub fn tenants(&self) -> &TenantSet {
        &self.tenants
    }

    /// `=` or `=~`.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// What stands right of the operator, before any PromQL quoting.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a series (rule, alert, target) whose label has this value is admitted. One that
    /// lacks the label (`None`) never is.
    pub fn admits(&self, value: Option<&str>) -> bool {
        value.is_some_and(|value| self.tenants.contains(value))
    }
}

/// All the matchers a query must carry, one per label; never empty. A series must satisfy all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Matchers {
    all: Box<[LabelMatcher]>,
    promql: Arc<str>,
}

impl Matchers {
    /// The conjunction of a matcher and further ones.
    pub fn new(first: LabelMatcher, rest: impl IntoIterator<Item = LabelMatcher>) -> Self {
        let all: Box<[LabelMatcher]> = std::iter::once(first).chain(rest).collect();
        let texts: Vec<String> = all
            .iter()
            .map(|matcher| {
                let op = match matcher.op {
                    MatchOp::Equal => "=",
                    MatchOp::Regex => "=~",
                };
                format!("{}{op}\"{}\"", matcher.label, escape_promql(&matcher.value))
            })
            .collect();
        Self {
            all,
            promql: texts.join(",").into(),
        }
    }

    /// The matchers as they stand between braces: `tenant_id="acme",env=~"prod|test"`.
    pub fn promql(&self) -> &str {
        &self.promql
    }

    /// The same text, to keep without a copy.
    pub fn shared_promql(&self) -> Arc<str> {
        Arc::clone(&self.promql)
    }

    /// Every matcher.
    pub fn iter(&self) -> impl Iterator<Item = &LabelMatcher> {
        self.all.iter()
    }

    /// The matcher of this label, if it is a tenant label.
    pub fn of_label(&self, label: &str) -> Option<&LabelMatcher> {
        self.iter().find(|matcher| matcher.label() == label)
    }

    /// Whether a label set, given as a look-up by name, satisfies every matcher.
    pub fn admit<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.iter()
            .all(|matcher| matcher.admits(value_of(matcher.label())))
    }
}

/// Escapes what RE2 treats as an operator, as Go's `regexp.QuoteMeta` does.
fn escape_re2(value: &str) -> Cow<'_, str> {
    escape(value, |c| r"\.+*?()|[]{}^$".contains(c))
}

/// Escapes a value for a double-quoted PromQL string. Tenants hold no control characters, so
/// only the quote and the backslash are special.
fn escape_promql(value: &str) -> Cow<'_, str> {
    escape(value, |c| c == '"' || c == '\\')
}

fn escape(value: &str, special: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !value.contains(&special) {
        return Cow::Borrowed(value);
    }
    let mut escaped = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        if special(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(tenants: &[&str]) -> LabelMatcher {
        let tenants = TenantSet::new(tenants.iter().map(|t| Tenant::new(t).unwrap())).unwrap();
        LabelMatcher::new("tenant_id".into(), tenants)
    }

    #[test]
    fn one_tenant_is_an_equality_and_several_an_escaped_alternation() {
        assert_eq!(
            Matchers::new(matcher(&["a.b"]), []).promql(),
            r#"tenant_id="a.b""#
        );
        let several = Matchers::new(matcher(&["b|c", "a.*", "a.*"]), []);
        assert_eq!(several.promql(), r#"tenant_id=~"a\\.\\*|b\\|c""#);
    }

    #[test]
    fn a_tenant_cannot_leave_its_quotes() {
        let hostile = Matchers::new(matcher(&["\"} or {x=\"\\"]), []);
        assert_eq!(hostile.promql(), r#"tenant_id="\"} or {x=\"\\""#);
    }

    #[test]
    fn no_tenant_is_empty_long_or_control() {
        assert_eq!(Tenant::new(""), Err(InvalidTenant::Empty));
        assert_eq!(Tenant::new(&"x".repeat(257)), Err(InvalidTenant::TooLong));
        assert_eq!(Tenant::new("a\nb"), Err(InvalidTenant::ControlCharacter));
        assert_eq!(Tenant::new("a\0"), Err(InvalidTenant::ControlCharacter));
        assert_eq!(
            Tenant::new("a\u{fffd}"),
            Err(InvalidTenant::ControlCharacter)
        );
        assert_eq!(TenantSet::new([]), None);
    }

    #[test]
    fn a_series_without_the_label_is_not_admitted() {
        let matchers = Matchers::new(matcher(&["a"]), []);
        assert!(matchers.admit(|_| Some("a")));
        assert!(!matchers.admit(|_| Some("b")));
        assert!(!matchers.admit(|_| Some("")));
        assert!(!matchers.admit(|_| None));
    }
}
