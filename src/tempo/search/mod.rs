//! The answer of a search: a page of traces, each with the spans that matched.
//!
//! The query is confined, so the spans are the tenant's own. The other fields (root names, start,
//! duration, statistics by service) describe the whole trace. They are unmodified only for the traces
//! that have nothing but the tenant's spans. For others they are computed from the tenant's spans
//! ([`Metadata::Computed`]), or replaced by what Tempo returns for a trace whose root has not
//! arrived, with the times of the returned spans ([`Metadata::Masked`]). Unknown fields are dropped.
//!
//! HTTP answers and the messages of a gRPC stream have the same form.

mod json;
mod own_spans;
mod ownership;
mod protobuf;
mod side_answer;
mod side_query;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

pub use json::JsonPage;
pub use own_spans::{OwnSpans, OwnSpansQueries};
pub use ownership::{Owners, owners, ownership_queries};
pub use protobuf::ProtobufPage;
pub use side_answer::side_answer_of_json;
pub use side_query::SideQuery;

use super::trace::TraceSummary;

/// A set of trace ids, equal in any spelling that Tempo uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceIds(HashSet<Box<str>>);

impl TraceIds {
    pub fn insert(&mut self, id: &str) {
        self.0.insert(canonical(id).into());
    }

    /// Adds all traces of another set.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Removes all traces of another set.
    pub fn remove(&mut self, other: &Self) {
        self.0.retain(|id| !other.0.contains(id));
    }

    /// Whether the trace is in the set.
    pub fn contains(&self, id: &str) -> bool {
        self.0.contains(&*canonical(id))
    }
}

/// Tempo omits leading zeros or not, depending on its configuration.
fn canonical(id: &str) -> Cow<'_, str> {
    let id = id.trim_start_matches('0');
    if id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(id.to_ascii_lowercase())
    } else {
        Cow::Borrowed(id)
    }
}

/// A trace of a page, with what the page says of it as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    pub id: &'a str,
    /// Nanoseconds since 1970.
    pub start: u64,
    pub duration_ms: u32,
    /// Of all tenants, if the page says it.
    pub spans: Option<u64>,
    /// All that describes the whole trace, encoded: equal only if all of it is equal.
    pub metadata: Vec<u8>,
}

impl Listed<'_> {
    /// The id in the spelling that all its spellings have in common.
    pub fn canonical_id(&self) -> Cow<'_, str> {
        canonical(self.id)
    }
}

/// Appends a part of [`Listed::metadata`], after its length.
fn put_part(metadata: &mut Vec<u8>, part: &[u8]) {
    metadata.extend_from_slice(&(part.len() as u64).to_be_bytes());
    metadata.extend_from_slice(part);
}

/// What a page may say of a trace as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// Nothing.
    Masked,
    /// What Tempo says: according to [`owners`], the trace has only the tenant's spans.
    Own,
    /// What a Tempo with the tenant's spans alone would say.
    Computed(Arc<TraceSummary>),
}

/// For which traces the fields that describe the whole trace are shown.
#[derive(Clone, Copy, Debug)]
pub enum Reveal<'a> {
    /// The operator asserts that no trace is shared.
    All,
    Nothing,
    /// Of each trace what stands at its place in the page; nothing of traces without one.
    Each(&'a [Metadata]),
}

impl<'a> Reveal<'a> {
    fn of(self, place: usize) -> &'a Metadata {
        match self {
            Self::All => &Metadata::Own,
            Self::Nothing => &Metadata::Masked,
            Self::Each(all) => all.get(place).unwrap_or(&Metadata::Masked),
        }
    }
}

/// How a page is filtered.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub reveal: Reveal<'a>,
    /// Span attributes, without scope, that are in the answer only because the confined query names
    /// them. Empty if the client's own query does.
    pub hide: &'a [&'a str],
    /// Whether the names of spans are too.
    pub hide_names: bool,
    /// The search is in its older form, without TraceQL. Tempo answers it without spans and
    /// statistics.
    pub traces_only: bool,
}

impl Rules<'_> {
    fn hides(&self, attribute: &str) -> bool {
        self.hide.contains(&attribute)
    }
}

/// The first start and the last end of some spans, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Extent(Option<(u64, u64)>);

impl Extent {
    fn cover(&mut self, start: u64, duration: u64) {
        let end = start.saturating_add(duration);
        let (first, last) = self.0.unwrap_or((start, end));
        self.0 = Some((first.min(start), last.max(end)));
    }

    fn start(self) -> u64 {
        self.0.map_or(0, |(start, _)| start)
    }

    /// In milliseconds, rounded down as in Tempo.
    fn duration_ms(self) -> u32 {
        let nanos = self.0.map_or(0, |(start, end)| end - start);
        u32::try_from(nanos / 1_000_000).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod exact_tests;
#[cfg(test)]
mod tests;
