//! Tenants, and the label matchers that confine a query to them.

use std::borrow::Cow;
use std::sync::Arc;

use crate::tenant::Tenant;

/// A set of tenants that is never empty; sorted, without duplicates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantSet(Box<[Tenant]>);

impl TenantSet {
    /// Makes a set; `None` if it would be empty.
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
    /// The matcher for exactly these tenants. `label` must be a valid label name
    /// (`[a-zA-Z_][a-zA-Z0-9_]*`), which the config ensures.
    pub fn new(label: Arc<str>, tenants: TenantSet) -> Self {
        let (op, value) = match &*tenants.0 {
            [one] => (MatchOp::Equal, one.as_str().to_owned()),
            several => (MatchOp::Regex, alternation(several)),
        };
        Self {
            label,
            tenants,
            op,
            value: value.into(),
        }
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    pub fn tenants(&self) -> &TenantSet {
        &self.tenants
    }

    /// `=` or `=~`.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value to the right of the operator, before PromQL quoting.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The value for `=~`, before PromQL quoting, also of a single tenant.
    pub fn pattern(&self) -> Cow<'_, str> {
        match self.op {
            MatchOp::Equal => escape_re2(&self.value),
            MatchOp::Regex => Cow::Borrowed(&self.value),
        }
    }

    /// Whether a series (rule, alert, target) whose label has this value matches. Without the label
    /// (`None`) it never does.
    pub fn admits(&self, value: Option<&str>) -> bool {
        value.is_some_and(|value| self.tenants.contains(value))
    }
}

/// All matchers that a query must have, one for each label; never empty. A series must satisfy all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Matchers {
    all: Box<[LabelMatcher]>,
    promql: Arc<str>,
    without_equality: Arc<str>,
}

impl Matchers {
    /// Combines a matcher with further ones, all of which must match.
    pub fn new(first: LabelMatcher, rest: impl IntoIterator<Item = LabelMatcher>) -> Self {
        let all: Box<[LabelMatcher]> = std::iter::once(first).chain(rest).collect();
        let promql = written(&all, |matcher| match matcher.op {
            MatchOp::Equal => ("=", Cow::Borrowed(matcher.value())),
            MatchOp::Regex => ("=~", matcher.pattern()),
        });
        let without_equality = written(&all, |matcher| ("=~", matcher.pattern()));
        Self {
            all,
            promql,
            without_equality,
        }
    }

    /// The matchers as written between braces: `tenant_id="acme",env=~"prod|test"`.
    pub fn promql(&self) -> &str {
        &self.promql
    }

    /// The same, as regular expressions alone: `tenant_id=~"acme",env=~"prod|test"`.
    pub fn promql_without_equality(&self) -> &str {
        &self.without_equality
    }

    /// The text of [`promql`](Self::promql), shared instead of copied.
    pub fn shared_promql(&self) -> Arc<str> {
        Arc::clone(&self.promql)
    }

    pub fn iter(&self) -> impl Iterator<Item = &LabelMatcher> {
        self.all.iter()
    }

    /// The matcher of this label, if it is a tenant label.
    pub fn of_label(&self, label: &str) -> Option<&LabelMatcher> {
        self.iter().find(|matcher| matcher.label() == label)
    }

    /// Whether a set of labels, given as a look-up by name, satisfies every matcher.
    pub fn admit<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.iter()
            .all(|matcher| matcher.admits(value_of(matcher.label())))
    }
}

/// Writes matchers as they are between braces, each with the operator and value that `form` returns.
fn written(
    all: &[LabelMatcher],
    form: impl Fn(&LabelMatcher) -> (&'static str, Cow<'_, str>),
) -> Arc<str> {
    let texts: Vec<String> = all
        .iter()
        .map(|matcher| {
            let (op, value) = form(matcher);
            format!("{}{op}\"{}\"", matcher.label, escape_promql(&value))
        })
        .collect();
    texts.join(",").into()
}

/// A regular expression that exactly these tenants match; Prometheus anchors it.
fn alternation(tenants: &[Tenant]) -> String {
    let escaped: Vec<Cow<'_, str>> = tenants
        .iter()
        .map(|tenant| escape_re2(tenant.as_str()))
        .collect();
    escaped.join("|")
}

/// Escapes the operators of RE2, as Go's `regexp.QuoteMeta` does.
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
    fn matcher_is_an_equality_for_one_tenant_and_an_escaped_alternation_for_several() {
        assert_eq!(
            Matchers::new(matcher(&["a.b"]), []).promql(),
            r#"tenant_id="a.b""#
        );
        let several = Matchers::new(matcher(&["b|c", "a.*", "a.*"]), []);
        assert_eq!(several.promql(), r#"tenant_id=~"a\\.\\*|b\\|c""#);
    }

    #[test]
    fn pattern_of_one_tenant_is_escaped_as_that_of_several() {
        let env = || LabelMatcher {
            label: "env".into(),
            ..matcher(&["prod", "test"])
        };
        let matchers = Matchers::new(matcher(&["a.b\"\\"]), [env()]);
        assert_eq!(
            matchers.promql_without_equality(),
            r#"tenant_id=~"a\\.b\"\\\\",env=~"prod|test""#
        );
        let several = Matchers::new(matcher(&["a", "b.c"]), [env()]);
        assert_eq!(several.promql_without_equality(), several.promql());
    }

    #[test]
    fn tenant_with_quotes_is_escaped() {
        let hostile = Matchers::new(matcher(&["\"} or {x=\"\\"]), []);
        assert_eq!(hostile.promql(), r#"tenant_id="\"} or {x=\"\\""#);
    }

    #[test]
    fn empty_set_of_tenants_is_none() {
        assert_eq!(TenantSet::new([]), None);
    }

    #[test]
    fn series_without_the_label_does_not_match() {
        let matchers = Matchers::new(matcher(&["a"]), []);
        assert!(matchers.admit(|_| Some("a")));
        assert!(!matchers.admit(|_| Some("b")));
        assert!(!matchers.admit(|_| Some("")));
        assert!(!matchers.admit(|_| None));
    }
}
