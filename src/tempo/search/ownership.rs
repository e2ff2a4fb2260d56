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
use crate::tempo::tag_name::TagName;
use crate::wire::{self, Field};

/// The maximum number of searches for one page. Traces of a larger page beyond them count as shared.
const MAX_SEARCHES: usize = 10;

/// The searches for a page's traces, grouped by the tenant attributes; none for an empty page.
pub fn ownership_queries<'a>(
    ids: impl Iterator<Item = &'a str>,
    attributes: &[TagName],
) -> Vec<SideQuery> {
    let groups = || {
        attributes
            .iter()
            .map(|attribute| format!("by({attribute})"))
    };
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
/// a value of the attribute with this index is the tenant's.
pub fn owners(
    answer: &[u8],
    attributes: &[TagName],
    admits: impl Fn(usize, &str) -> bool,
) -> Result<Owners, Unreadable> {
    let (mut own, mut shared) = (TraceIds::default(), TraceIds::default());
    let mut is_complete = !attributes.is_empty();
    for field in wire::fields(answer) {
        let field = field?;
        match field.number {
            1 => {
                let FoundTrace { id, span_sets } = FoundTrace::read(field)?;
                let mut is_own = !span_sets.is_empty();
                for group in span_sets {
                    is_own &= is_own_group(group, attributes, &admits)?;
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

/// Whether a span set is grouped by exactly these attributes, in order, each with a value of the
/// tenant's.
fn is_own_group(
    span_set: &[u8],
    attributes: &[TagName],
    admits: impl Fn(usize, &str) -> bool,
) -> Result<bool, Unreadable> {
    let mut found = 0;
    for field in wire::fields(span_set) {
        let field = field?;
        if field.number != 3 {
            continue;
        }
        let (key, value) = read_attribute(field)?;
        let attribute = key
            .strip_prefix("by(")
            .and_then(|key| TagName::parse(key.strip_suffix(')')?).ok());
        let is_own = attribute.is_some()
            && attribute.as_ref() == attributes.get(found)
            && value.is_some_and(|value| admits(found, value));
        if !is_own {
            return Ok(false);
        }
        found += 1;
    }
    Ok(found == attributes.len())
}

/// Tempo's text for a missing value. So traces of a tenant with this name always count as shared.
pub(super) const NIL: &str = "nil";

/// The key of a `KeyValue`, and its value if that is a string and nothing else.
fn read_attribute(attribute: Field<'_>) -> Result<(&str, Option<&str>), Unreadable> {
    let (mut key, mut value) = ("", None);
    for field in wire::fields(attribute.bytes()?) {
        let field = field?;
        match field.number {
            1 => key = field.text()?,
            2 => value = read_string(field.bytes()?)?,
            _ => {}
        }
    }
    Ok((key, value.filter(|value| *value != NIL)))
}

/// An `AnyValue` that is one string.
fn read_string(any_value: &[u8]) -> Result<Option<&str>, Unreadable> {
    let mut fields = wire::fields(any_value);
    match (fields.next().transpose()?, fields.next()) {
        (Some(field), None) if field.number == 1 => Ok(Some(field.text()?)),
        _ => Ok(None),
    }
}
