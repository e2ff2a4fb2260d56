//! The label matchers that confine a query to tenants.

use std::borrow::Cow;
use std::sync::Arc;

use super::Values;

/// How a matcher compares; the names and numbers are those of Prometheus' `prompb.LabelMatcher`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`: one tenant.
    Equal,
    /// `=~`: several tenants, each escaped, joined by `|`, and patterns of the operator. Prometheus
    /// anchors the expression.
    Regex,
    /// `!~`: all but the empty value and what a negative selector leaves out.
    NotRegex,
}

impl MatchOp {
    /// As PromQL and Alertmanager write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// One label and the values it may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelMatcher {
    label: Arc<str>,
    values: Values,
    op: MatchOp,
    /// The literal value for `=`, otherwise a regular expression.
    value: Box<str>,
}

impl LabelMatcher {
    /// The matcher for exactly these values. `label` must be a valid label name
    /// (`[a-zA-Z_][a-zA-Z0-9_]*`), which the config ensures.
    pub fn new(label: Arc<str>, values: impl Into<Values>) -> Self {
        let values = values.into();
        let (op, value) = match values.only() {
            Some(one) => (MatchOp::Equal, one.as_str().to_owned()),
            None if values.is_negative() => (MatchOp::NotRegex, values.re2()),
            None => (MatchOp::Regex, values.re2()),
        };
        Self {
            label,
            values,
            op,
            value: value.into(),
        }
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    pub fn values(&self) -> &Values {
        &self.values
    }

    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value to the right of the operator, before PromQL quoting.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The matcher as PromQL and Alertmanager write it: `tenant_id="acme"`.
    pub fn promql(&self) -> String {
        let op = self.op.as_str();
        format!("{}{op}\"{}\"", self.label, escape_promql(&self.value))
    }

    /// The operator and value of a matcher that selects the same without `=`, before PromQL quoting.
    pub fn without_equality(&self) -> (MatchOp, Cow<'_, str>) {
        match self.op {
            MatchOp::Equal => (MatchOp::Regex, self.values.re2().into()),
            op => (op, Cow::Borrowed(&self.value)),
        }
    }

    /// Whether a series (rule, alert, target) whose label has this value matches. Without the label
    /// (`None`) it never does.
    pub fn admits(&self, value: Option<&str>) -> bool {
        value.is_some_and(|value| self.values.contains(value))
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
        let texts: Vec<String> = all.iter().map(LabelMatcher::promql).collect();
        let promql = texts.join(",").into();
        let without_equality = written(&all, LabelMatcher::without_equality);
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

    /// The same without `=`: `tenant_id=~"acme",env=~"prod|test"`.
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
    form: impl Fn(&LabelMatcher) -> (MatchOp, Cow<'_, str>),
) -> Arc<str> {
    let texts: Vec<String> = all
        .iter()
        .map(|matcher| {
            let (op, value) = form(matcher);
            let op = op.as_str();
            format!("{}{op}\"{}\"", matcher.label, escape_promql(&value))
        })
        .collect();
    texts.join(",").into()
}

/// Escapes a value for a double-quoted PromQL string. Values hold no control characters, so only the
/// quote and the backslash are special.
fn escape_promql(value: &str) -> Cow<'_, str> {
    let is_special = |c: char| c == '"' || c == '\\';
    if !value.contains(is_special) {
        return Cow::Borrowed(value);
    }
    let mut escaped = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        if is_special(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenancy::{Tenant, TenantSet};

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
    fn series_without_the_label_does_not_match() {
        let matchers = Matchers::new(matcher(&["a"]), []);
        assert!(matchers.admit(|_| Some("a")));
        assert!(!matchers.admit(|_| Some("b")));
        assert!(!matchers.admit(|_| Some("")));
        assert!(!matchers.admit(|_| None));
    }
}
