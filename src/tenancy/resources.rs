//! Which resources of traces belong to a caller.

use std::borrow::Cow;
use std::sync::Arc;

use super::{ScopeRefusal, Values};
use crate::config::settings::{AttributeUnion, Conjunction};

/// The most alternatives of a caller: each is written into every stage of its queries.
const MAX_ALTERNATIVES: usize = 64;

/// The resources of a caller: those that fulfil all conditions of one of the alternatives. Never
/// without an alternative, and no alternative is without a condition. So a resource that has none of
/// the attributes belongs to nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources(Box<[Box<[Attribute]>]>);

/// A condition: a resource attribute and the values that it may have. It never holds for a resource
/// without the attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The name without `resource.`.
    pub name: Arc<str>,
    pub values: AttributeValues,
}

/// The values of an attribute that belong to a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValues {
    /// Texts. A boolean or a number is none, even if its text is one of these.
    Text(Values),
    Bool(bool),
    /// A number of at most 2^53, so that it is exact in a float. An integer and a float that are equal
    /// are the same number to Tempo (`Static.Equals`).
    Number(i64),
}

/// The value of an attribute, if it is no list, no map and no bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue<'a> {
    Text(Cow<'a, str>),
    Bool(bool),
    Int(i64),
    Float(f64),
}

impl Attribute {
    /// A condition on texts.
    pub fn text(name: Arc<str>, values: Values) -> Self {
        let values = AttributeValues::Text(values);
        Self { name, values }
    }
}

impl AttributeValues {
    /// Whether this value is the caller's.
    #[expect(
        clippy::float_cmp,
        clippy::cast_precision_loss,
        reason = "as Tempo compares; the number is exact in a float"
    )]
    pub fn contains(&self, value: &AttributeValue<'_>) -> bool {
        match (self, value) {
            (Self::Text(values), AttributeValue::Text(text)) => values.contains(text),
            (Self::Bool(own), AttributeValue::Bool(value)) => own == value,
            (Self::Number(own), AttributeValue::Int(value)) => own == value,
            (Self::Number(own), AttributeValue::Float(value)) => *own as f64 == *value,
            _ => false,
        }
    }

    /// The texts, if there are any.
    pub fn texts(&self) -> Option<&Values> {
        match self {
            Self::Text(values) => Some(values),
            Self::Bool(_) | Self::Number(_) => None,
        }
    }
}

impl Resources {
    /// Those that fulfil all of these conditions.
    pub fn all_of(first: Attribute, further: impl IntoIterator<Item = Attribute>) -> Self {
        let conditions = std::iter::once(first).chain(further).collect();
        Self([conditions].into())
    }

    /// Those that fulfil one of the conjunctions, and all of the further conditions.
    ///
    /// # Errors
    /// If there are too many conjunctions.
    pub(super) fn any_of(
        conjunctions: &[Conjunction<AttributeUnion>],
        further: &[Attribute],
    ) -> Result<Self, ScopeRefusal> {
        if conjunctions.len() > MAX_ALTERNATIVES {
            return Err(ScopeRefusal::TooManyAlternatives {
                found: conjunctions.len(),
                max: MAX_ALTERNATIVES,
            });
        }
        // The config's checks leave none empty.
        if conjunctions.is_empty() || conjunctions.iter().any(Vec::is_empty) {
            return Err(ScopeRefusal::FixedTenants);
        }
        let all = conjunctions.iter().map(|conjunction| {
            let own = conjunction.iter().map(|(name, union)| {
                let values = match union {
                    AttributeUnion::Text(union) => AttributeValues::Text(Values::of_union(union)?),
                    AttributeUnion::Bool(value) => AttributeValues::Bool(*value),
                    AttributeUnion::Number(value) => AttributeValues::Number(*value),
                };
                let name = Arc::clone(name);
                Ok(Attribute { name, values })
            });
            own.chain(further.iter().cloned().map(Ok)).collect()
        });
        all.collect::<Result<_, _>>().map(Self)
    }

    /// The alternatives, each with its conditions.
    pub fn alternatives(&self) -> impl ExactSizeIterator<Item = &[Attribute]> {
        self.0.iter().map(|conditions| &**conditions)
    }

    /// The conditions, if there is but one alternative.
    pub fn only(&self) -> Option<&[Attribute]> {
        match &*self.0 {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The names of all attributes that decide, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for attribute in self.0.iter().flatten() {
            if !names.contains(&&*attribute.name) {
                names.push(&attribute.name);
            }
        }
        names
    }

    /// Whether an attribute decides.
    pub fn has(&self, name: &str) -> bool {
        self.0
            .iter()
            .flatten()
            .any(|attribute| &*attribute.name == name)
    }

    /// Whether a resource is the caller's. `value_of` looks up an attribute: `None` if the resource
    /// does not have it, has it twice, or its value cannot be compared.
    ///
    /// # Errors
    /// Those of `value_of`.
    pub fn admit<'v, E>(
        &self,
        mut value_of: impl FnMut(&str) -> Result<Option<AttributeValue<'v>>, E>,
    ) -> Result<bool, E> {
        'alternatives: for conditions in &self.0 {
            for attribute in conditions {
                match value_of(&attribute.name)? {
                    Some(value) if attribute.values.contains(&value) => {}
                    _ => continue 'alternatives,
                }
            }
            return Ok(true);
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenancy::{Tenant, TenantSet};

    #[test]
    fn value_is_the_callers_only_if_its_type_is_that_of_the_condition() {
        let text = |value: &'static str| AttributeValue::Text(value.into());
        let five = TenantSet::new([Tenant::new("5").unwrap()]).unwrap();
        for (own, its, others) in [
            (
                AttributeValues::Text(five.into()),
                vec![text("5")],
                vec![
                    text("5.0"),
                    text(""),
                    AttributeValue::Int(5),
                    AttributeValue::Float(5.0),
                ],
            ),
            (
                AttributeValues::Bool(true),
                vec![AttributeValue::Bool(true)],
                vec![
                    AttributeValue::Bool(false),
                    text("true"),
                    AttributeValue::Int(1),
                ],
            ),
            (
                AttributeValues::Number(5),
                vec![AttributeValue::Int(5), AttributeValue::Float(5.0)],
                vec![
                    AttributeValue::Int(4),
                    AttributeValue::Int(-5),
                    AttributeValue::Float(5.1),
                    AttributeValue::Float(f64::NAN),
                    text("5"),
                    AttributeValue::Bool(true),
                ],
            ),
        ] {
            for value in its {
                assert!(own.contains(&value), "{own:?} {value:?}");
            }
            for value in others {
                assert!(!own.contains(&value), "{own:?} {value:?}");
            }
        }
    }
}
