//! The values that a label or attribute may have for a caller.

use std::borrow::Cow;
use std::sync::Arc;

use super::{ScopeRefusal, Tenant, TenantSet};
use crate::config::settings::{Selector, Selectors, TenantSelector, ValueUnion};
use crate::value_pattern::ValuePattern;

/// The values of a label or attribute that belong to a caller. Never the empty value, which a
/// series without the label has, and never none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Values(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Listed(TenantSet),
    /// One of these, or one that a pattern matches. At least one pattern.
    Matched {
        listed: Box<[Tenant]>,
        patterns: Box<[Arc<ValuePattern>]>,
    },
    /// Every other value but the empty one.
    AllBut(Excluded),
}

/// What a negative selector leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Excluded {
    Value(Tenant),
    Matched(Arc<ValuePattern>),
}

impl From<TenantSet> for Values {
    fn from(tenants: TenantSet) -> Self {
        Self(Kind::Listed(tenants))
    }
}

impl Values {
    /// The values of these tenants' data: a tenant without a selector has the value that is its name.
    ///
    /// # Errors
    /// If one of several tenants has a negative selector: neither PromQL nor `TraceQL` could say in
    /// one matcher "all but these, or those". Also if one has conditions on several labels.
    pub fn of(tenants: &TenantSet, selectors: &Selectors) -> Result<Self, ScopeRefusal> {
        if selectors.is_empty() {
            return Ok(tenants.clone().into());
        }
        let parts = tenants
            .iter()
            .map(|tenant| match selectors.of(tenant.as_str()) {
                None => Ok(Cow::Owned(Selector::Is(tenant.clone()))),
                Some(TenantSelector::Values(selector)) => Ok(Cow::Borrowed(selector)),
                Some(TenantSelector::Conditions(_)) => Err(ScopeRefusal::NotOneConjunction),
            });
        Self::united(parts)
    }

    /// The values of several selectors together. At least one.
    fn united<'s>(
        selectors: impl Iterator<Item = Result<Cow<'s, Selector>, ScopeRefusal>>,
    ) -> Result<Self, ScopeRefusal> {
        let (mut listed, mut patterns, mut excluded) = (Vec::new(), Vec::new(), Vec::new());
        for selector in selectors {
            match selector?.into_owned() {
                Selector::Is(value) => listed.push(value),
                Selector::Matches(pattern) if patterns.contains(&pattern) => {}
                Selector::Matches(pattern) => patterns.push(pattern),
                Selector::Not(value) => excluded.push(Excluded::Value(value)),
                Selector::MatchesNot(pattern) => excluded.push(Excluded::Matched(pattern)),
            }
        }
        match (excluded.pop(), patterns.is_empty()) {
            (None, true) => {
                let listed = TenantSet::new(listed).ok_or(ScopeRefusal::FixedTenants)?;
                Ok(listed.into())
            }
            (None, false) => {
                listed.sort_unstable();
                Ok(Self(Kind::Matched {
                    listed: listed.into(),
                    patterns: patterns.into(),
                }))
            }
            (Some(one), true) if listed.is_empty() && excluded.is_empty() => {
                Ok(Self(Kind::AllBut(one)))
            }
            _ => Err(ScopeRefusal::NegativeAmongSeveral),
        }
    }

    /// The values that one of these selectors selects.
    ///
    /// # Errors
    /// If a negative one is not alone. A [`ValueUnion`] has no such.
    pub fn of_union(union: &ValueUnion) -> Result<Self, ScopeRefusal> {
        Self::united(union.iter().map(|selector| Ok(Cow::Borrowed(selector))))
    }

    /// Whether this value is the caller's.
    pub fn contains(&self, value: &str) -> bool {
        match &self.0 {
            Kind::Listed(all) => all.contains(value),
            Kind::Matched { listed, patterns } => {
                is_listed(listed, value) || patterns.iter().any(|pattern| pattern.matches(value))
            }
            Kind::AllBut(excluded) => {
                !value.is_empty()
                    && match excluded {
                        Excluded::Value(excluded) => excluded.as_str() != value,
                        Excluded::Matched(pattern) => !pattern.matches(value),
                    }
            }
        }
    }

    /// The values, if they can be listed.
    pub fn listed(&self) -> Option<&TenantSet> {
        match &self.0 {
            Kind::Listed(all) => Some(all),
            Kind::Matched { .. } | Kind::AllBut(_) => None,
        }
    }

    /// The single value, if there is but one.
    pub fn only(&self) -> Option<&Tenant> {
        let mut all = self.listed()?.iter();
        all.next().filter(|_| all.next().is_none())
    }

    /// Whether the values are all but some.
    pub fn is_negative(&self) -> bool {
        matches!(self.0, Kind::AllBut(_))
    }

    /// Whether a value or pattern has this character.
    pub fn mention(&self, c: char) -> bool {
        let in_value = |tenant: &Tenant| tenant.as_str().contains(c);
        let in_pattern = |pattern: &Arc<ValuePattern>| pattern.source().contains(c);
        match &self.0 {
            Kind::Listed(all) => all.iter().any(in_value),
            Kind::Matched { listed, patterns } => {
                listed.iter().any(in_value) || patterns.iter().any(in_pattern)
            }
            Kind::AllBut(Excluded::Value(value)) => in_value(value),
            Kind::AllBut(Excluded::Matched(pattern)) => in_pattern(pattern),
        }
    }

    /// A regular expression that the store must anchor. The values are those that it matches, or,
    /// if [`is_negative`](Self::is_negative), those that it does not match: the empty value is an alternative
    /// there, so that no data without the label is selected.
    pub fn re2(&self) -> String {
        let pattern = |pattern: &Arc<ValuePattern>| Cow::Owned(pattern.re2());
        let alternatives: Vec<Cow<'_, str>> = match &self.0 {
            Kind::Listed(all) => all.iter().map(literal).collect(),
            Kind::Matched { listed, patterns } => {
                let listed = listed.iter().map(literal);
                listed.chain(patterns.iter().map(pattern)).collect()
            }
            Kind::AllBut(Excluded::Value(value)) => vec![literal(value), "".into()],
            Kind::AllBut(Excluded::Matched(excluded)) => vec![pattern(excluded), "".into()],
        };
        alternatives.join("|")
    }
}

fn is_listed(sorted: &[Tenant], value: &str) -> bool {
    sorted
        .binary_search_by(|tenant| tenant.as_str().cmp(value))
        .is_ok()
}

/// Escapes the operators of RE2, as Go's `regexp.QuoteMeta` does.
fn literal(value: &Tenant) -> Cow<'_, str> {
    let value = value.as_str();
    let is_operator = |c: char| r"\.+*?()|[]{}^$".contains(c);
    if !value.contains(is_operator) {
        return Cow::Borrowed(value);
    }
    let mut escaped = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        if is_operator(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::selectors;

    fn values_of(tenants: &[&str], all: &[(&str, &str, &str)]) -> Result<Values, ScopeRefusal> {
        let tenants = TenantSet::new(tenants.iter().map(|name| Tenant::new(name).unwrap()));
        Values::of(&tenants.unwrap(), &selectors(all))
    }

    const SELECTORS: [(&str, &str, &str); 5] = [
        ("team-a", "=~", "team-a-.*"),
        ("team-b", "=~", "b|c.d"),
        ("same", "=~", "team-a-.*"),
        ("others", "!=", "a.b"),
        ("rest", "!~", "a|team-.*"),
    ];

    #[test]
    fn tenant_without_a_selector_has_the_value_of_its_name() {
        let plain = values_of(&["x", "y"], &[]).unwrap();
        assert_eq!(values_of(&["x", "y"], &SELECTORS).unwrap(), plain);
        assert_eq!(plain.re2(), "x|y");
        assert!(plain.contains("x") && !plain.contains("x|y") && !plain.is_negative());
        let pattern = values_of(&["team-a-.*"], &SELECTORS).unwrap();
        assert_eq!(pattern.only().unwrap().as_str(), "team-a-.*");
        assert!(!pattern.contains("team-a-x"));
    }

    #[test]
    fn selectors_and_names_are_united() {
        let both = values_of(&["x.y", "team-a", "same", "team-b"], &SELECTORS).unwrap();
        assert_eq!(both.re2(), r"x\.y|(?s:team-a-.*)|(?s:b|c.d)");
        for (value, is_own) in [
            ("x.y", true),
            ("xzy", false),
            ("team-a-x", true),
            ("team-a", false),
            ("c-d", true),
            ("b", true),
            ("", false),
        ] {
            assert_eq!(both.contains(value), is_own, "{value}");
        }
        assert_eq!((both.only(), both.listed()), (None, None));
    }

    #[test]
    fn negative_selector_leaves_out_the_empty_value_too() {
        let others = values_of(&["others"], &SELECTORS).unwrap();
        assert_eq!(others.re2(), r"a\.b|");
        assert!(others.is_negative() && others.contains("a-b"));
        assert!(!others.contains("a.b") && !others.contains(""));
        let rest = values_of(&["rest"], &SELECTORS).unwrap();
        assert_eq!(rest.re2(), "(?s:a|team-.*)|");
        assert!(rest.contains("b") && !rest.contains("team-x") && !rest.contains(""));
    }

    #[test]
    fn negative_selector_beside_another_tenant_is_refused() {
        for tenants in [
            &["others", "x"][..],
            &["rest", "team-a"],
            &["others", "rest"],
        ] {
            let refused = values_of(tenants, &SELECTORS);
            assert_eq!(
                refused,
                Err(ScopeRefusal::NegativeAmongSeveral),
                "{tenants:?}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// By the anchored expression, which an independent engine matches.
        #[test]
        fn expression_and_filter_agree(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "a", "b", ".", "-", ".*", ".+?", "a?", "(a|b)", "(?:b|)", "[^a]", "[ab]+", "|", "a{2}",
                    r"\.", r"\|", r"\*",
                ]),
                1..6,
            ),
            name in "[ab.|*]{1,3}",
            value in "[ab.|*\n]{0,4}",
            is_negative in any::<bool>(),
        ) {
            let pattern = parts.concat();
            // The others match the empty value.
            prop_assume!(ValuePattern::new(&pattern).is_ok());
            let op = if is_negative { "!~" } else { "=~" };
            let tenants: &[&str] = if is_negative { &["t"] } else { &["t", &name] };
            let values = values_of(tenants, &[("t", op, &pattern)]).unwrap();
            let engine = regex::Regex::new(&format!("^(?:{})$", values.re2())).unwrap();
            prop_assert_eq!(values.contains(&value), engine.is_match(&value) != is_negative);
        }
    }
}
