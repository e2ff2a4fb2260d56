//! The answer of a search: a page of traces, each with the spans that matched.
//!
//! The query is confined, so the spans are the tenant's own. What stands beside them (root names,
//! start, duration, statistics by service) describes the whole trace and is shown only of traces
//! that [`Reveal`] says. Of the others it is what Tempo gives for a trace whose root has not
//! arrived, with the times of the returned spans. Fields this proxy does not know are dropped.
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

/// Traces by id, in any spelling Tempo uses for it.
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

/// Tempo leaves out leading zeros, or not, by its configuration.
fn canonical(id: &str) -> Cow<'_, str> {
    let id = id.trim_start_matches('0');
    if id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(id.to_ascii_lowercase())
    } else {
        Cow::Borrowed(id)
    }
}

/// Which traces keep what describes the whole trace.
#[derive(Clone, Copy, Debug)]
pub enum Reveal<'a> {
    /// All: the operator asserts that no trace is shared.
    All,
    Nothing,
    /// Those that [`own_traces`] found to be wholly the tenant's.
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
    /// Span attributes that are in the answer only because the confined query names them: by
    /// name, without scope. Empty where the client's own query names them.
    pub hide: &'a [&'a str],
    /// The search is in its older form, without TraceQL. Tempo answers such a one with the
    /// traces alone: no spans, no statistics.
    pub traces_alone: bool,
}

impl Rules<'_> {
    fn hides(&self, attribute: &str) -> bool {
        self.hide.contains(&attribute)
    }
}

/// The time from the first start to the last end of some spans, in nanoseconds.
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

    /// In milliseconds, cut off as Tempo does.
    fn duration_ms(self) -> u32 {
        let nanos = self.0.map_or(0, |(start, end)| end - start);
        u32::try_from(nanos / 1_000_000).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
