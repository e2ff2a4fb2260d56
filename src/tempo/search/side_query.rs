//! Searches of our own for the traces of a page, by their ids.
//!
//! The limit is one more than the number of traces that are searched for: at its limit Tempo stops
//! searching, and spans of a trace may be in a block that it has not searched yet.

use super::Listed;
use crate::tempo::answer::Unreadable;
use crate::tempo::endpoints::check_trace_id;
use crate::wire::{self, Field};

/// The maximum number of traces in one search. Any Tempo allows a limit of one more.
pub(super) const TRACES_PER_SEARCH: usize = 99;

/// One such search. It is sent to `/api/search` with `Accept: application/protobuf` and the `start`
/// and `end` of the client's search; the answer may be in JSON nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideQuery {
    query: String,
    limit: usize,
    spans_per_set: usize,
}

impl SideQuery {
    /// Searches for traces by `condition`, which must compare the ids of `traces`, and pipes their
    /// spans into `stages`.
    pub(super) fn new(
        traces: usize,
        condition: &str,
        stages: impl IntoIterator<Item = String>,
        spans_per_set: usize,
    ) -> Self {
        let mut query = format!("{{ {condition} }}");
        for stage in stages {
            query.push_str(" | ");
            query.push_str(&stage);
        }
        Self {
            query,
            limit: traces + 1,
            spans_per_set,
        }
    }

    pub fn query(&self) -> &str {
        &self.query
    }

    /// The parameters to send, except `start` and `end`.
    pub fn parameters(&self) -> [(&'static str, String); 3] {
        [
            ("q", self.query.clone()),
            ("limit", self.limit.to_string()),
            ("spss", self.spans_per_set.to_string()),
        ]
    }
}

/// The ids of a page that can be searched for, each once.
pub(super) fn searchable_ids<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut ids: Vec<_> = ids.filter(|id| check_trace_id(id).is_ok()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// `trace:id = "…" || …`.
pub(super) fn any_of(ids: &[&str]) -> String {
    let traces: Vec<String> = ids
        .iter()
        .map(|id| format!("trace:id = \"{id}\""))
        .collect();
    traces.join(" || ")
}

/// A trace that a search has found.
#[derive(Default)]
pub(super) struct FoundTrace<'a> {
    pub id: &'a str,
    pub span_sets: Vec<&'a [u8]>,
}

impl<'a> FoundTrace<'a> {
    pub(super) fn read(trace: Field<'a>) -> Result<Self, Unreadable> {
        let mut found = Self::default();
        for field in wire::fields(trace.bytes()?) {
            let field = field?;
            match field.number {
                1 => found.id = field.text()?,
                7 => found.span_sets.push(field.bytes()?),
                _ => {}
            }
        }
        Ok(found)
    }
}

impl Listed<'_> {
    /// Whether the trace has at most this many spans; `unknown` if the page does not say.
    pub(super) fn has_at_most(&self, spans: u64, unknown: bool) -> bool {
        self.spans.map_or(unknown, |known| known <= spans)
    }
}
