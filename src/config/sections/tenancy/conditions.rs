//! `metrics` and `traces` of a selector: conditions on several labels and attributes.

use std::sync::Arc;

use serde_json::{Value, json};

use super::names::{Names, attribute, label};
use super::selector::{Selector, selector};
use crate::config::reader::{Field, Read, Reader, Section};
use crate::config::values::text;
use crate::config::yaml;

/// The most conditions that must hold together.
const MAX_CONDITIONS: usize = 16;

/// The most alternatives of one selector.
const MAX_ALTERNATIVES: usize = 16;

/// The largest number. All up to it are exact in a float, and so equal in every type of number.
const MAX_NUMBER: i64 = 1 << 53;

/// Conditions that must all hold, each on another label or attribute, sorted by its name. At least
/// one. None holds for data without the label or attribute.
pub type Conjunction<V> = Vec<(Arc<str>, V)>;

/// Which data a tenant has.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditions {
    /// `metrics`: conditions on labels. Present if `tenancy` has `metrics.label`.
    pub metrics: Option<Conjunction<Selector>>,
    /// `traces`: alternatives, of conditions on resource attributes. Present if `tenancy` has
    /// `traces.attribute`; then there is at least one.
    pub traces: Option<Vec<Conjunction<AttributeSelector>>>,
}

/// Which values of an attribute are selected.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AttributeSelector {
    /// Texts.
    Text(Selector),
    /// This boolean, and not the text of it.
    Bool(bool),
    /// This number, as an integer or a float, and not the text of it.
    Number(i64),
}

/// What the tenants' own dimension and the further ones are called.
pub(super) struct OwnNames {
    /// Whether there is a `metrics.label`, and a `traces.attribute`; `None` if there is an error.
    pub(super) present: Option<(bool, bool)>,
    /// The labels of `and`.
    pub(super) further_labels: Vec<Arc<str>>,
    /// The attributes of `and`.
    pub(super) further_attributes: Vec<Arc<str>>,
}

impl OwnNames {
    /// From the names of `tenancy`, and those of the dimensions of `and`.
    pub(super) fn of<'i, 'n: 'i>(
        names: &Read<Names<'n>>,
        further: impl Iterator<Item = &'i Names<'n>> + Clone,
    ) -> Self {
        let present = |names: &Names<'_>| {
            let (label, attribute) = (&names.metrics_label, &names.traces_attribute);
            (label.is_some(), attribute.is_some())
        };
        let labels = further
            .clone()
            .filter_map(|names| names.metrics_label.as_ref());
        let attributes = further.filter_map(|names| names.traces_attribute.as_ref());
        Self {
            present: names.as_ref().ok().map(present),
            further_labels: labels.map(|(_, label)| Arc::clone(label)).collect(),
            further_attributes: attributes.map(|(_, name)| Arc::clone(name)).collect(),
        }
    }
}

impl Conditions {
    pub(super) fn shown(&self) -> Value {
        let metrics = self.metrics.iter().flatten();
        let metrics = metrics.map(|(label, selector)| {
            let (op, value) = selector.written();
            json!({"label": label, "match": op, "value": value})
        });
        let conjunction = |all: &Conjunction<AttributeSelector>| -> Value {
            let all = all.iter().map(|(name, selector)| {
                let (op, value) = selector.written();
                json!({"attribute": format!("resource.{name}"), "match": op, "value": value})
            });
            all.collect()
        };
        let traces = self.traces.as_ref().map(|all| match &all[..] {
            [only] => conjunction(only),
            all => json!({"any": all.iter().map(conjunction).collect::<Value>()}),
        });
        json!({
            "metrics": self.metrics.as_ref().map(|_| metrics.collect::<Value>()),
            "traces": traces,
        })
    }
}

impl AttributeSelector {
    /// The operator and the value, as in the config.
    pub fn written(&self) -> (&'static str, Value) {
        match self {
            Self::Text(selector) => {
                let (op, value) = selector.written();
                (op, value.into())
            }
            Self::Bool(value) => ("=", (*value).into()),
            Self::Number(value) => ("=", (*value).into()),
        }
    }
}

/// `metrics` and `traces` of a selector; `None` if it has neither.
pub(super) fn conditions(
    r: &mut Reader<'_>,
    section: &mut Section<'_>,
    names: &OwnNames,
) -> Option<Read<Conditions>> {
    let metrics = section.optional(r, "metrics", |r, field| {
        conjunction(r, field, &names.further_labels, metrics_condition)
    });
    let further = &names.further_attributes;
    let traces = section.optional(r, "traces", |r, field| {
        let yaml::Value::Map(_) = field.node.value else {
            return conjunction(r, field, further, traces_condition).map(|only| vec![only]);
        };
        let mut section = r.section(field)?;
        let any = section.required(r, "any", |r, field| {
            let any = r.some_of(field, |r, field| {
                conjunction(r, field, further, traces_condition)
            })?;
            at_most(r, field, any, MAX_ALTERNATIVES)
        });
        section.finish(r)?;
        any
    });
    if let (Ok(None), Ok(None)) = (&metrics, &traces) {
        return None;
    }
    Some(metrics.and_then(|metrics| {
        let all = Conditions {
            metrics,
            traces: traces?,
        };
        complete(r, section, names, &all)?;
        Ok(all)
    }))
}

/// Without conditions for one of the APIs, the tenant would have all data there, or none.
fn complete(
    r: &mut Reader<'_>,
    section: &Section<'_>,
    names: &OwnNames,
    all: &Conditions,
) -> Read<()> {
    let Some((has_label, has_attribute)) = names.present else {
        return Ok(());
    };
    for (key, named, is_needed, is_given) in [
        ("metrics", "metrics.label", has_label, all.metrics.is_some()),
        (
            "traces",
            "traces.attribute",
            has_attribute,
            all.traces.is_some(),
        ),
    ] {
        let message = match (is_needed, is_given) {
            (true, false) => format!(
                "`{key}` is required, since `tenancy` has `{named}`: say which data the tenant has \
                 there"
            ),
            (false, true) => format!("`{key}` needs `{named}` of `tenancy`"),
            _ => continue,
        };
        return Err(r.error(section.field(), message));
    }
    Ok(())
}

fn at_most<T>(r: &mut Reader<'_>, field: &Field<'_>, all: Vec<T>, most: usize) -> Read<Vec<T>> {
    if all.len() > most {
        return Err(r.error(field, format!("has more than {most} items")));
    }
    Ok(all)
}

type Condition<'n, V> = (Field<'n>, Arc<str>, V);

/// A list of conditions that must all hold.
fn conjunction<'n, V>(
    r: &mut Reader<'_>,
    field: &Field<'n>,
    further: &[Arc<str>],
    condition: fn(&mut Reader<'_>, &Field<'n>) -> Read<Condition<'n, V>>,
) -> Read<Conjunction<V>> {
    let all = r.some_of(field, |r, field| {
        let condition = condition(r, field)?;
        if further.contains(&condition.1) {
            let message = "`tenancy.and` decides which values of it a caller has";
            return Err(r.error(&condition.0, message));
        }
        Ok(condition)
    })?;
    let all = at_most(r, field, all, MAX_CONDITIONS)?;
    let named = all
        .iter()
        .map(|(field, name, _)| (field.clone(), Arc::clone(name)));
    r.distinct(
        "each of the conditions that must hold together needs its own label or attribute",
        named,
    )?;
    let mut all: Conjunction<V> = all.into_iter().map(|(_, name, of)| (name, of)).collect();
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(all)
}

const OPS: [&str; 4] = ["=", "!=", "=~", "!~"];
const WRONG_OP: &str = "must be `=`, `!=`, `=~` or `!~`";

/// `label`, `match` and `value`.
fn metrics_condition<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<Condition<'n, Selector>> {
    let mut section = r.section(field)?;
    let label = section.required(r, "label", label);
    let selector = selector(r, &mut section, &OPS, WRONG_OP);
    section.finish(r)?;
    let (field, label) = label?;
    Ok((field, label, selector?))
}

/// `attribute`, `match` and `value`, which may be a boolean or a number.
fn traces_condition<'n>(
    r: &mut Reader<'_>,
    field: &Field<'n>,
) -> Read<Condition<'n, AttributeSelector>> {
    let mut section = r.section(field)?;
    let attribute = section.required(r, "attribute", attribute);
    let typed = section.get("value").and_then(|field| typed(&field));
    let selector = match typed {
        None => selector(r, &mut section, &OPS, WRONG_OP).map(AttributeSelector::Text),
        Some(typed) => {
            let message = "must be `=` with a boolean or a number. Put the value into quotes if it is \
                           meant as a text";
            let op = section.required(r, "match", |r, field| {
                let op = text(r, field)?;
                if op != "=" {
                    return Err(r.error(field, message));
                }
                Ok(())
            });
            match (op, typed) {
                (Err(reported), _) => Err(reported),
                (Ok(()), Typed::Bool(value)) => Ok(AttributeSelector::Bool(value)),
                (Ok(()), Typed::Number(Some(value))) => Ok(AttributeSelector::Number(value)),
                (Ok(()), Typed::Number(None)) => {
                    let message = "must be a whole number from 0 to 9007199254740992, or in quotes if \
                                   it is meant as a text";
                    Err(r.error(section.field(), message))
                }
            }
        }
    };
    section.finish(r)?;
    let (field, attribute) = attribute?;
    Ok((field, attribute, selector?))
}

/// A value without quotes that YAML does not read as a text.
enum Typed {
    Bool(bool),
    /// `None` if it is none that can be compared.
    Number(Option<i64>),
}

fn typed(field: &Field<'_>) -> Option<Typed> {
    if let Some(value) = field.node.as_bool() {
        return Some(Typed::Bool(value));
    }
    let yaml::Value::Scalar { text, plain: true } = &field.node.value else {
        return None;
    };
    let number = text.parse::<i64>().ok();
    let number = number.filter(|number| (0..=MAX_NUMBER).contains(number));
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && text.parse::<f64>().is_ok();
    is_number.then_some(Typed::Number(number))
}
