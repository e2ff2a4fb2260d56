//! `match` and `value`: which values of a label are selected.

use std::sync::Arc;

use crate::config::reader::{Field, Read, Reader, Section};
use crate::config::values::text;
use crate::tenant::Tenant;
use crate::value_pattern::ValuePattern;

/// `match` and `value`: which values of a label or attribute are selected. None of them matches the
/// empty value, which data without the label has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// `=`: this one. Not as the only selector of a tenant: its name says the same.
    Is(Tenant),
    /// `=~`: those that the expression matches.
    Matches(Arc<ValuePattern>),
    /// `!~`: those that it does not match.
    MatchesNot(Arc<ValuePattern>),
    /// `!=`: all others.
    Not(Tenant),
}

impl Selector {
    /// The operator and the value, as in the config.
    pub fn written(&self) -> (&'static str, &str) {
        match self {
            Self::Is(value) => ("=", value.as_str()),
            Self::Matches(pattern) => ("=~", pattern.source()),
            Self::MatchesNot(pattern) => ("!~", pattern.source()),
            Self::Not(value) => ("!=", value.as_str()),
        }
    }

    /// Whether it selects all values but some.
    pub fn is_negative(&self) -> bool {
        match self {
            Self::Is(_) | Self::Matches(_) => false,
            Self::MatchesNot(_) | Self::Not(_) => true,
        }
    }
}

/// `match` and `value`. `message` is the error for an operator that is not one of `ops`.
pub(super) fn selector(
    r: &mut Reader<'_>,
    section: &mut Section<'_>,
    ops: &[&str],
    message: &'static str,
) -> Read<Selector> {
    let op = section.required(r, "match", |r, field| {
        let op = text(r, field)?;
        if !ops.contains(&&*op) {
            return Err(r.error(field, message));
        }
        Ok(op)
    });
    section.required(r, "value", |r, field| match op?.as_str() {
        "=" => value(r, field).map(Selector::Is),
        "=~" => pattern(r, field).map(Selector::Matches),
        "!~" => pattern(r, field).map(Selector::MatchesNot),
        _ => value(r, field).map(Selector::Not),
    })
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
