//! The answer of a search: a page of traces, each with the spans that matched.
//!
//! The query is confined, so the spans are the tenant's own. The other fields (root names, start,
//! duration, statistics by service) describe the whole trace, and are shown only for the traces in
//! [`Reveal`]. For others they are replaced by what Tempo returns for a trace whose root has not
//! arrived, with the times of the returned spans. Unknown fields are dropped.
//!
//! HTTP answers and the messages of a gRPC stream have the same form.

mod json;
mod ownership;
mod protobuf;

use std::borrow::Cow;
use std::collections::HashSet;

pub use json::JsonPage;
pub use ownership::{OwnershipQuery, own_traces};
pub use protobuf::ProtobufPage;

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

/// For which traces the fields that describe the whole trace are shown.
#[derive(Clone, Copy, Debug)]
pub enum Reveal<'a> {
    /// The operator asserts that no trace is shared.
    All,
    Nothing,
    /// Those that according to [`own_traces`] have only the tenant's spans.
    Only(&'a TraceIds),
}

impl Reveal<'_> {
    fn shows(self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Only(ids) => ids.contains(id),
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
mod tests;
