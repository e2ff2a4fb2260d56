//! `traces`: how traces that several tenants share are shown.

use std::sync::Arc;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::tenancy::Tenancy;
use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize;
use crate::config::values::{choice, shown, text};
use crate::tempo::trace::{ForeignSpans, Outline, Shown};

const SEARCH_METADATA: [(&str, SearchMetadata); 4] = [
    ("exact", SearchMetadata::Exact),
    ("verify", SearchMetadata::Verify),
    ("mask", SearchMetadata::Mask),
    ("trust", SearchMetadata::Trust),
];

const FOREIGN_SPANS: [(&str, Mode); 3] = [
    ("redact", Mode::Redact),
    ("outline", Mode::Outline),
    ("deny", Mode::Deny),
];

/// The words of `foreign_spans`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Redact,
    Outline,
    Deny,
}

/// Root names, duration, start and statistics by service describe a whole trace, including other
/// tenants' spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchMetadata {
    /// Computed from the caller's spans, which are searched for; traces for which that is not enough
    /// are shown as in `verify` or fetched.
    Exact,
    /// Shown for traces that a second search finds to have only the caller's spans.
    Verify,
    /// Never shown.
    Mask,
    /// Always shown, and allowed in queries: the operator asserts that no trace is shared.
    Trust,
}

/// `traces`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Traces {
    /// `search_metadata`: what describes a whole trace in search results: `exact` (default),
    /// `verify`, `mask` or `trust`.
    #[serde(serialize_with = "search_metadata")]
    pub search_metadata: SearchMetadata,
    /// `foreign_spans`: `redact` (default), `outline` or `deny`, for a trace by id; with
    /// `outline_attributes`: what an outline shows in addition.
    #[serde(flatten, serialize_with = "foreign_spans")]
    pub foreign_spans: ForeignSpans,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            search_metadata: SearchMetadata::Exact,
            foreign_spans: ForeignSpans::Redact,
        }
    }
}

pub(super) fn traces(
    r: &mut Reader<'_>,
    field: &Field<'_>,
    tenancy: &Read<Tenancy>,
) -> Read<Traces> {
    let default = Traces::default();
    let mut section = r.section(field)?;
    let search_metadata = section.or(r, "search_metadata", default.search_metadata, |r, field| {
        choice(r, field, &SEARCH_METADATA)
    });
    let mode = section.or(r, "foreign_spans", Mode::Redact, |r, field| {
        choice(r, field, &FOREIGN_SPANS)
    });
    let outline = section.optional(r, "outline_attributes", |r, field| {
        if mode.is_ok_and(|mode| mode != Mode::Outline) {
            return Err(r.error(field, "is only for `foreign_spans: outline`"));
        }
        let items = r.list(field, |r, field| {
            outlined(r, field, tenancy).map(|shown| (field.clone(), shown))
        })?;
        r.distinct("is given twice", items.iter().cloned())?;
        Ok(Outline::new(items.into_iter().map(|(_, shown)| shown)))
    });
    section.finish(r)?;
    let outline = outline?.unwrap_or_default();
    Ok(Traces {
        search_metadata: search_metadata?,
        foreign_spans: match mode? {
            Mode::Redact => ForeignSpans::Redact,
            Mode::Outline => ForeignSpans::Outline(Arc::new(outline)),
            Mode::Deny => ForeignSpans::Deny,
        },
    })
}

/// One item of `outline_attributes`.
fn outlined(r: &mut Reader<'_>, field: &Field<'_>, tenancy: &Read<Tenancy>) -> Read<Shown> {
    let source = text(r, field)?;
    let Some(item) = Shown::parse(&source) else {
        let message = format!(
            "{} is neither an attribute with its place (resource.service.name, scope.…, span.…, \
             event.…) nor one of span:name, span:statusMessage, event:name, scope:name and \
             scope:version",
            shown(&source)
        );
        return Err(r.error(field, message));
    };
    let tenancy = tenancy.as_ref().map_err(|reported| *reported)?;
    if tenancy.attributes().any(|name| item.key() == Some(name)) {
        let message = "tenants are told apart by this attribute: it would name the other tenants";
        return Err(r.error(field, message));
    }
    Ok(item)
}

fn search_metadata<S: Serializer>(value: &SearchMetadata, to: S) -> Result<S::Ok, S::Error> {
    serialize::choice(&SEARCH_METADATA, value, to)
}

/// `foreign_spans` and, with an outline, `outline_attributes`.
fn foreign_spans<S: Serializer>(value: &ForeignSpans, to: S) -> Result<S::Ok, S::Error> {
    let (mode, outline) = match value {
        ForeignSpans::Redact => (Mode::Redact, None),
        ForeignSpans::Outline(outline) => (Mode::Outline, Some(outline)),
        ForeignSpans::Deny => (Mode::Deny, None),
    };
    let word = FOREIGN_SPANS.iter().find(|(_, known)| *known == mode);
    let mut map = to.serialize_map(None)?;
    map.serialize_entry("foreign_spans", &word.map(|(word, _)| *word))?;
    if let Some(outline) = outline {
        let items: Vec<_> = outline.shown().iter().map(ToString::to_string).collect();
        map.serialize_entry("outline_attributes", &items)?;
    }
    map.end()
}
