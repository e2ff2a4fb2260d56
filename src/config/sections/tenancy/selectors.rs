//! `selectors`: whose data are not simply those whose label has the tenant's name.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::conditions::{Conditions, OwnNames, conditions};
use super::selector::{Selector, selector};
use crate::config::reader::{Field, Read, Reader, Section};
use crate::tenant::Tenant;

/// The selectors of one dimension, by the tenant's name. A tenant without one has the data whose label
/// or attribute has the tenant's name as value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selectors(BTreeMap<Box<str>, TenantSelector>);

/// What selects a tenant's data.
#[derive(Clone, Debug, PartialEq)]
pub enum TenantSelector {
    /// `match` and `value`: values of the dimension's own label and attribute.
    Values(Selector),
    /// `metrics` and `traces`: conditions on several labels and attributes. Only in the first
    /// dimension.
    Conditions(Box<Conditions>),
}

impl Selectors {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The selector of a tenant.
    pub fn of(&self, tenant: &str) -> Option<&TenantSelector> {
        self.0.get(tenant)
    }

    /// Those with conditions on several labels or attributes.
    pub fn conditions(&self) -> impl Iterator<Item = &Conditions> {
        self.0.values().filter_map(|selector| match selector {
            TenantSelector::Values(_) => None,
            TenantSelector::Conditions(conditions) => Some(&**conditions),
        })
    }
}

impl FromIterator<(Box<str>, TenantSelector)> for Selectors {
    fn from_iter<I: IntoIterator<Item = (Box<str>, TenantSelector)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

impl FromIterator<(Box<str>, Selector)> for Selectors {
    fn from_iter<I: IntoIterator<Item = (Box<str>, Selector)>>(all: I) -> Self {
        let all = all.into_iter();
        all.map(|(tenant, selector)| (tenant, TenantSelector::Values(selector)))
            .collect()
    }
}

impl Serialize for Selectors {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let entries = self.0.iter().map(|(tenant, selector)| {
            let shown = match selector {
                TenantSelector::Values(selector) => {
                    let (op, value) = selector.written();
                    json!({"match": op, "value": value})
                }
                TenantSelector::Conditions(conditions) => conditions.shown(),
            };
            (tenant.to_string(), shown)
        });
        entries.collect::<Map<String, Value>>().serialize(to)
    }
}

/// The selectors of a dimension. Where Tempo itself tells tenants apart by their names, there can be
/// none. `several` has the dimension's names if conditions on several labels are permitted.
pub(super) fn selectors(
    r: &mut Reader<'_>,
    section: &mut Section<'_>,
    by_org_id: bool,
    several: Option<&OwnNames>,
) -> Read<Selectors> {
    section.or(r, "selectors", Selectors::default(), |r, field| {
        if by_org_id {
            let message =
                "does not go with `traces.org_id`: X-Scope-OrgID has the names of tenants";
            return Err(r.error(field, message));
        }
        let entries = r.entries(field)?;
        let all: Vec<Read<(Box<str>, TenantSelector)>> = entries
            .iter()
            .map(|entry| {
                let field = field.child(entry);
                if let Err(invalid) = Tenant::new(&entry.key) {
                    return Err(r.error(&field, invalid.to_string()));
                }
                Ok((entry.key.as_str().into(), of_tenant(r, &field, several)?))
            })
            .collect();
        all.into_iter().collect()
    })
}

fn of_tenant(
    r: &mut Reader<'_>,
    field: &Field<'_>,
    several: Option<&OwnNames>,
) -> Read<TenantSelector> {
    let mut section = r.section(field)?;
    if let Some(names) = several
        && let Some(conditions) = conditions(r, &mut section, names)
    {
        section.finish(r)?;
        return conditions.map(|all| TenantSelector::Conditions(Box::new(all)));
    }
    let message = "must be `=~`, `!~` or `!=`. A tenant that is not listed has the value that \
                   is its name, and `map` makes several tenants of one";
    let selector = selector(r, &mut section, &["=~", "!~", "!="], message);
    section.finish(r)?;
    selector.map(TenantSelector::Values)
}
