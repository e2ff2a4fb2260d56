//! The selectors of several tenants together.
//!
//! Conjunctions that differ in the values of one label alone are one conjunction, with either of the
//! values there. What is left then is what a caller's data are: for metrics it must be a single one,
//! since a PromQL selector has no "or" between labels.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use super::conditions::{AttributeSelector, Conjunction};
use super::selector::Selector;
use super::selectors::{Selectors, TenantSelector};
use crate::tenant::Tenant;

/// One of these selects the value. At least one; sorted, without duplicates; a negative one is alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ValueUnion(Vec<Selector>);

/// The same for an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AttributeUnion {
    Text(ValueUnion),
    Bool(bool),
    Number(i64),
}

impl From<Selector> for ValueUnion {
    fn from(selector: Selector) -> Self {
        Self(vec![selector])
    }
}

impl ValueUnion {
    pub fn iter(&self) -> impl Iterator<Item = &Selector> + Clone {
        self.0.iter()
    }
}

/// Values that can be united.
trait Unite: Clone + Eq + Hash {
    /// Whether a single condition can select these values and others that can be united.
    fn can_be_united(&self) -> bool;

    /// Adds the values of another one that can be united.
    fn unite(&mut self, other: Self);
}

impl Unite for ValueUnion {
    fn can_be_united(&self) -> bool {
        !self.iter().any(Selector::is_negative)
    }

    fn unite(&mut self, other: Self) {
        for selector in other.0 {
            let place = self
                .0
                .binary_search_by(|known| known.written().cmp(&selector.written()));
            if let Err(place) = place {
                self.0.insert(place, selector);
            }
        }
    }
}

impl Unite for AttributeUnion {
    fn can_be_united(&self) -> bool {
        match self {
            Self::Text(values) => values.can_be_united(),
            Self::Bool(_) | Self::Number(_) => false,
        }
    }

    fn unite(&mut self, other: Self) {
        if let (Self::Text(own), Self::Text(other)) = (self, other) {
            own.unite(other);
        }
    }
}

impl From<&AttributeSelector> for AttributeUnion {
    fn from(selector: &AttributeSelector) -> Self {
        match selector {
            AttributeSelector::Text(selector) => Self::Text(selector.clone().into()),
            AttributeSelector::Bool(value) => Self::Bool(*value),
            AttributeSelector::Number(value) => Self::Number(*value),
        }
    }
}

impl Selectors {
    /// Whether one of these tenants has conditions on several labels or attributes.
    pub fn have_conditions<'t>(&self, mut tenants: impl Iterator<Item = &'t str>) -> bool {
        tenants.any(|tenant| matches!(self.of(tenant), Some(TenantSelector::Conditions(_))))
    }

    /// The conditions on labels that select the data of these tenants: one of the conjunctions must
    /// hold. `own` is the label that has the tenant's name where there is no selector.
    pub fn of_metrics<'t>(
        &self,
        tenants: impl Iterator<Item = &'t Tenant>,
        own: &Arc<str>,
    ) -> Vec<Conjunction<ValueUnion>> {
        let all = tenants.flat_map(|tenant| match self.of(tenant.as_str()) {
            Some(TenantSelector::Conditions(all)) => {
                let all = all.metrics.iter().flatten();
                let all = all.map(|(label, selector)| (label.clone(), selector.clone().into()));
                vec![all.collect()]
            }
            Some(TenantSelector::Values(selector)) => {
                vec![vec![(own.clone(), selector.clone().into())]]
            }
            None => vec![vec![(own.clone(), Selector::Is(tenant.clone()).into())]],
        });
        merged(all.collect())
    }

    /// The same for resource attributes.
    pub fn of_traces<'t>(
        &self,
        tenants: impl Iterator<Item = &'t Tenant>,
        own: &Arc<str>,
    ) -> Vec<Conjunction<AttributeUnion>> {
        let text = |selector: Selector| {
            let values = AttributeUnion::Text(selector.into());
            vec![vec![(own.clone(), values)]]
        };
        let all = tenants.flat_map(|tenant| match self.of(tenant.as_str()) {
            Some(TenantSelector::Conditions(all)) => {
                let conjunction = |all: &Conjunction<AttributeSelector>| {
                    let all = all.iter();
                    all.map(|(name, selector)| (name.clone(), selector.into()))
                        .collect()
                };
                all.traces.iter().flatten().map(conjunction).collect()
            }
            Some(TenantSelector::Values(selector)) => text(selector.clone()),
            None => text(Selector::Is(tenant.clone())),
        });
        merged(all.collect())
    }
}

/// The same data with as few conjunctions as this way finds.
fn merged<V: Unite>(mut all: Vec<Conjunction<V>>) -> Vec<Conjunction<V>> {
    loop {
        let before = all.len();
        let mut names: Vec<Arc<str>> = all.iter().flatten().map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            all = merged_by(&name, all);
        }
        if all.len() == before {
            return all;
        }
    }
}

/// Unites those that are the same but for the values of this label. Values that cannot be united stay
/// apart, each once.
fn merged_by<V: Unite>(name: &Arc<str>, all: Vec<Conjunction<V>>) -> Vec<Conjunction<V>> {
    let mut united: Vec<Conjunction<V>> = Vec::with_capacity(all.len());
    // By the other conditions, and the values if they cannot be united.
    let mut places: HashMap<(Conjunction<V>, Option<V>), usize> = HashMap::new();
    for conjunction in all {
        let mut others = conjunction;
        let Ok(at) = others.binary_search_by(|(known, _)| known.cmp(name)) else {
            united.push(others);
            continue;
        };
        let (_, values) = others.remove(at);
        let apart = (!values.can_be_united()).then(|| values.clone());
        match places.entry((others, apart)) {
            Entry::Occupied(entry) => {
                let first = united.get_mut(*entry.get());
                let known = first.and_then(|first| first.get_mut(at));
                if let (Some((_, known)), (_, None)) = (known, entry.key()) {
                    known.unite(values);
                }
            }
            Entry::Vacant(entry) => {
                let mut first = entry.key().0.clone();
                first.insert(at, (name.clone(), values));
                entry.insert(united.len());
                united.push(first);
            }
        }
    }
    united
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(all: &[(&str, &str)]) -> Conjunction<ValueUnion> {
        let is = |value: &str| match value.strip_prefix('!') {
            Some(value) => Selector::Not(Tenant::new(value).unwrap()),
            None => Selector::Is(Tenant::new(value).unwrap()),
        };
        all.iter()
            .map(|(name, value)| ((*name).into(), is(value).into()))
            .collect()
    }

    fn texts(all: &[Conjunction<ValueUnion>]) -> Vec<String> {
        let condition = |(name, values): &(Arc<str>, ValueUnion)| {
            let values: Vec<_> = values.iter().map(|one| one.written().concat()).collect();
            format!("{name}{}", values.join("|"))
        };
        let text = |all: &Conjunction<ValueUnion>| all.iter().map(condition).collect::<Vec<_>>();
        all.iter().map(|all| text(all).join(" & ")).collect()
    }

    trait Concat {
        fn concat(&self) -> String;
    }

    impl Concat for (&str, &str) {
        fn concat(&self) -> String {
            format!("{}{}", self.0, self.1)
        }
    }

    #[test]
    fn conjunctions_that_differ_in_one_label_are_one() {
        for (all, expected) in [
            (
                vec![
                    values(&[("a", "1"), ("b", "1")]),
                    values(&[("a", "1"), ("b", "2")]),
                ],
                vec!["a=1 & b=1|=2"],
            ),
            // All combinations of two values each.
            (
                vec![
                    values(&[("a", "1"), ("b", "1")]),
                    values(&[("a", "2"), ("b", "2")]),
                    values(&[("a", "1"), ("b", "2")]),
                    values(&[("a", "2"), ("b", "1")]),
                ],
                vec!["a=1|=2 & b=1|=2"],
            ),
            (
                vec![
                    values(&[("a", "1"), ("b", "1")]),
                    values(&[("a", "1"), ("b", "1")]),
                ],
                vec!["a=1 & b=1"],
            ),
            (
                vec![
                    values(&[("a", "1"), ("b", "1")]),
                    values(&[("a", "2"), ("b", "2")]),
                ],
                vec!["a=1 & b=1", "a=2 & b=2"],
            ),
            (
                vec![values(&[("a", "1"), ("b", "1")]), values(&[("a", "1")])],
                vec!["a=1 & b=1", "a=1"],
            ),
            (
                vec![
                    values(&[("a", "!1")]),
                    values(&[("a", "2")]),
                    values(&[("a", "!4")]),
                    values(&[("a", "!1")]),
                    values(&[("a", "3")]),
                ],
                vec!["a!=1", "a=2|=3", "a!=4"],
            ),
        ] {
            assert_eq!(texts(&merged(all)), expected);
        }
    }
}
