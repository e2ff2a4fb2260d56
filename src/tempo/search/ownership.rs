//! A second search that finds out which traces of a page have only the tenant's spans.
//!
//! It asks for those traces with an unconfined query, and groups their spans by the tenant
//! attributes: `{ trace:id = "…" || … } | by(resource.tenant_id)`. A trace is the tenant's if all
//! of its groups are. This holds whatever value another span has for the attribute: none, an
//! integer, a list and an empty string each make a group of their own. A search for spans whose
//! attribute `!=` the tenant's would find only string values, measured on Tempo 3.0. One case no
//! search can detect: a resource that has the attribute twice, the tenant's value first. The spans
//! of such a resource are found by the tenant's own searches too.
//!
//! An incomplete answer proves nothing, so then no trace counts as the tenant's.

use super::side_query::{FoundTrace, TRACES_PER_SEARCH, any_of, searchable_ids};
use super::{SideQuery, TraceIds};
use crate::tempo::answer::{JobFields, Jobs, Unreadable};
use crate::tempo::any_value::plain_value;
use crate::tempo::tag_name::TagName;
use crate::tenancy::AttributeValue;
use crate::wire::{self, Field};

/// The maximum number of searches for one page. Traces of a larger page beyond them count as shared.
const MAX_SEARCHES: usize = 10;

/// The searches for a page's traces, grouped by the tenant attributes; none for an empty page.
pub fn ownership_queries<'a>(
    ids: impl Iterator<Item = &'a str>,
    attributes: &[TagName],
) -> Vec<SideQuery> {
    let groups = || attributes.iter().map(group_by);
    searchable_ids(ids)
        .chunks(TRACES_PER_SEARCH)
        .take(MAX_SEARCHES)
        .map(|ids| SideQuery::new(ids.len(), &any_of(ids), groups(), 1))
        .collect()
}

/// What such searches have found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Traces with only the tenant's spans.
    pub own: TraceIds,
    /// Traces with other spans too.
    pub shared: TraceIds,
}

/// Finds the traces with only the tenant's spans, and those with others, in the answer of such a
/// search (`tempopb.SearchResponse`). `attributes` are those of the search; `admits` returns whether
/// resources with these values of them are the tenant's: `None` for one that is missing, or that
/// cannot be compared.
pub fn owners(
    answer: &[u8],
    attributes: &[TagName],
    admits: impl Fn(&[Option<AttributeValue<'_>>]) -> bool,
) -> Result<Owners, Unreadable> {
    let (mut own, mut shared) = (TraceIds::default(), TraceIds::default());
    let mut is_complete = !attributes.is_empty();
    let groups: Vec<Group<'_>> = attributes.iter().map(Group::by).collect();
    for field in wire::fields(answer) {
        let field = field?;
        match field.number {
            1 => {
                let FoundTrace { id, span_sets } = FoundTrace::read(field)?;
                let mut is_own = !span_sets.is_empty();
                for span_set in span_sets {
                    is_own &= is_own_group(span_set, &groups, &admits)?;
                }
                let ids = if is_own { &mut own } else { &mut shared };
                ids.insert(id);
            }
            2 => is_complete &= Jobs::read(field.bytes()?, JobFields::SEARCH)?.are_complete(),
            _ => {}
        }
    }
    if !is_complete {
        return Ok(Owners::default());
    }
    own.remove(&shared);
    Ok(Owners { own, shared })
}

/// What spans are grouped by.
struct Group<'a> {
    /// As we write it, and Tempo too.
    key: String,
    attribute: &'a TagName,
}

impl<'a> Group<'a> {
    fn by(attribute: &'a TagName) -> Self {
        let key = group_by(attribute);
        Self { key, attribute }
    }

    /// Whether this key of a span set means the attribute, however it is quoted.
    fn is(&self, key: &str) -> bool {
        let parsed = || TagName::parse(key.strip_prefix("by(")?.strip_suffix(')')?).ok();
        key == self.key || parsed().as_ref() == Some(self.attribute)
    }
}

fn group_by(attribute: &TagName) -> String {
    format!("by({attribute})")
}

/// Whether a span set is grouped by exactly these attributes, in order, with values that are the
/// tenant's.
fn is_own_group(
    span_set: &[u8],
    groups: &[Group<'_>],
    admits: impl Fn(&[Option<AttributeValue<'_>>]) -> bool,
) -> Result<bool, Unreadable> {
    let mut values = Vec::with_capacity(groups.len());
    for field in wire::fields(span_set) {
        let field = field?;
        if field.number != 3 {
            continue;
        }
        let (key, value) = read_attribute(field)?;
        if !groups.get(values.len()).is_some_and(|group| group.is(key)) {
            return Ok(false);
        }
        values.push(value);
    }
    Ok(values.len() == groups.len() && admits(&values))
}

/// Tempo's text for a missing value. So traces of a tenant with this name always count as shared.
pub(super) const NIL: &str = "nil";

/// The key of a `KeyValue`, and its value if that is a string, a boolean or a number.
fn read_attribute(attribute: Field<'_>) -> Result<(&str, Option<AttributeValue<'_>>), Unreadable> {
    let (mut key, mut value) = ("", None);
    for field in wire::fields(attribute.bytes()?) {
        let field = field?;
        match field.number {
            1 => key = field.text()?,
            2 => value = plain_value(field.message()?)?,
            _ => {}
        }
    }
    let is_nil = |value: &AttributeValue<'_>| *value == AttributeValue::Text(NIL.into());
    Ok((key, value.filter(|value| !is_nil(value))))
}
