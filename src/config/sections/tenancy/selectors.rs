//! `selectors`: whose data are not simply those whose label has the tenant's name.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::config::reader::{Field, Read, Reader, Section};
use crate::config::values::text;
use crate::tenant::Tenant;
use crate::value_pattern::ValuePattern;

/// The selectors of one dimension, by the tenant's name. A tenant without one has the data whose label
/// or attribute has the tenant's name as value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selectors(BTreeMap<Box<str>, Selector>);

/// `match` and `value`: which values of the label or attribute a tenant has. None of them matches the
/// empty value, which data without the label has.
#[derive(Clone, Debug, PartialEq)]
pub enum Selector {
    /// `=~`: those that the expression matches.
    Matches(Arc<ValuePattern>),
    /// `!~`: those that it does not match.
    MatchesNot(Arc<ValuePattern>),
    /// `!=`: all others.
    Not(Tenant),
}

impl Selectors {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The selector of a tenant.
    pub fn of(&self, tenant: &str) -> Option<&Selector> {
        self.0.get(tenant)
    }
}

impl FromIterator<(Box<str>, Selector)> for Selectors {
    fn from_iter<I: IntoIterator<Item = (Box<str>, Selector)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

impl Selector {
    /// The operator and the value, as in the config.
    pub fn written(&self) -> (&'static str, &str) {
        match self {
            Self::Matches(pattern) => ("=~", pattern.source()),
            Self::MatchesNot(pattern) => ("!~", pattern.source()),
            Self::Not(value) => ("!=", value.as_str()),
        }
    }
}

impl Serialize for Selectors {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let entries = self.0.iter().map(|(tenant, selector)| {
            let (op, value) = selector.written();
            (tenant.to_string(), json!({"match": op, "value": value}))
        });
        entries.collect::<Map<String, Value>>().serialize(to)
    }
}

/// The selectors of a dimension. Where Tempo itself tells tenants apart by their names, there can be
/// none.
pub(super) fn selectors(
    r: &mut Reader<'_>,
    section: &mut Section<'_>,
    by_org_id: bool,
) -> Read<Selectors> {
    section.or(r, "selectors", Selectors::default(), |r, field| {
        if by_org_id {
            let message =
                "does not go with `traces.org_id`: X-Scope-OrgID has the names of tenants";
            return Err(r.error(field, message));
        }
        let entries = r.entries(field)?;
        let all: Vec<Read<(Box<str>, Selector)>> = entries
            .iter()
            .map(|entry| {
                let field = field.child(entry);
                if let Err(invalid) = Tenant::new(&entry.key) {
                    return Err(r.error(&field, invalid.to_string()));
                }
                Ok((entry.key.as_str().into(), selector(r, &field)?))
            })
            .collect();
        all.into_iter().collect()
    })
}

fn selector(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Selector> {
    let mut section = r.section(field)?;
    let op = section.required(r, "match", |r, field| {
        let op = text(r, field)?;
        if !["=~", "!~", "!="].contains(&&*op) {
            let message = "must be `=~`, `!~` or `!=`. A tenant that is not listed has the value that \
                           is its name, and `map` makes several tenants of one";
            return Err(r.error(field, message));
        }
        Ok(op)
    });
    let selector = section.required(r, "value", |r, field| match op?.as_str() {
        "=~" => pattern(r, field).map(Selector::Matches),
        "!~" => pattern(r, field).map(Selector::MatchesNot),
        _ => value(r, field).map(Selector::Not),
    });
    section.finish(r)?;
    selector
}

fn pattern(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Arc<ValuePattern>> {
    let source = text(r, field)?;
    match ValuePattern::new(&source) {
        Ok(pattern) => Ok(Arc::new(pattern)),
        Err(invalid) => Err(r.error(field, invalid.to_string())),
    }
}

fn value(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Tenant> {
    let value = text(r, field)?;
    Tenant::new(&value).map_err(|invalid| r.error(field, invalid.to_string()))
}
