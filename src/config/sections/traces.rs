//! `traces`: how traces that several tenants share are shown.

use serde::{Serialize, Serializer};

use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize;
use crate::config::values::choice;
use crate::tempo::trace::ForeignSpans;

const SEARCH_METADATA: [(&str, SearchMetadata); 4] = [
    ("exact", SearchMetadata::Exact),
    ("verify", SearchMetadata::Verify),
    ("mask", SearchMetadata::Mask),
    ("trust", SearchMetadata::Trust),
];

const FOREIGN_SPANS: [(&str, ForeignSpans); 2] = [
    ("redact", ForeignSpans::Redact),
    ("deny", ForeignSpans::Deny),
];

/// Root names, duration, start and statistics by service describe a whole trace, including other
/// tenants' spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchMetadata {
    /// Of traces that have only the caller's spans as in `verify`; of others computed from the
    /// caller's spans, for which these traces are fetched.
    Exact,
    /// Shown for traces that a second search finds to have only the caller's spans.
    Verify,
    /// Never shown.
    Mask,
    /// Always shown, and allowed in queries: the operator asserts that no trace is shared.
    Trust,
}

/// `traces`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Traces {
    /// `search_metadata`: what describes a whole trace in search results: `verify` (default),
    /// `exact`, `mask` or `trust`.
    #[serde(serialize_with = "search_metadata")]
    pub search_metadata: SearchMetadata,
    /// `foreign_spans`: `redact` (default) or `deny`, for a trace by id.
    #[serde(serialize_with = "foreign_spans")]
    pub foreign_spans: ForeignSpans,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            search_metadata: SearchMetadata::Verify,
            foreign_spans: ForeignSpans::Redact,
        }
    }
}

pub(super) fn traces(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Traces> {
    let default = Traces::default();
    let mut section = r.section(field)?;
    let search_metadata = section.or(r, "search_metadata", default.search_metadata, |r, field| {
        choice(r, field, &SEARCH_METADATA)
    });
    let foreign_spans = section.or(r, "foreign_spans", default.foreign_spans, |r, field| {
        choice(r, field, &FOREIGN_SPANS)
    });
    section.finish(r)?;
    Ok(Traces {
        search_metadata: search_metadata?,
        foreign_spans: foreign_spans?,
    })
}

fn search_metadata<S: Serializer>(value: &SearchMetadata, to: S) -> Result<S::Ok, S::Error> {
    serialize::choice(&SEARCH_METADATA, value, to)
}

fn foreign_spans<S: Serializer>(value: &ForeignSpans, to: S) -> Result<S::Ok, S::Error> {
    serialize::choice(&FOREIGN_SPANS, value, to)
}
