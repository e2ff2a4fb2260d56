//! The queries of a request, recorded by enforcement for the audit trail and for spans.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::telemetry::audit::Redaction;

/// The most queries recorded of one request; a dashboard's series call has a few selectors.
const MAX_QUERIES: usize = 16;

/// The parameters that hold queries, of both APIs.
const QUERY_PARAMETERS: [&str; 4] = ["query", "match[]", "q", "tags"];

/// A request's queries, as received and as forwarded; redacted when recorded. Shared, so that the
/// end of the request has them wherever it was aborted.
pub(crate) struct QueryLog {
    redaction: Redaction,
    recorded: Mutex<Recorded>,
}

#[derive(Default)]
pub(super) struct Recorded {
    /// As received.
    pub queries: Vec<Box<str>>,
    /// As forwarded.
    pub rewritten: Vec<Box<str>>,
}

impl QueryLog {
    pub(super) fn new(redaction: Redaction) -> Self {
        Self {
            redaction,
            recorded: Mutex::default(),
        }
    }

    /// How queries are redacted.
    pub(super) fn redaction(&self) -> Redaction {
        self.redaction
    }

    /// Records the queries among a caller's parameters.
    pub(super) fn received_parameters<'p>(
        &self,
        parameters: impl Iterator<Item = (&'p str, &'p str)>,
    ) {
        if !self.redaction.is_none() {
            queries(parameters).for_each(|query| self.received(query));
        }
    }

    /// Records the queries among the forwarded parameters.
    pub(super) fn forwarded_parameters<'p>(
        &self,
        parameters: impl Iterator<Item = (&'p str, &'p str)>,
    ) {
        if !self.redaction.is_none() {
            queries(parameters).for_each(|query| self.forwarded(query));
        }
    }

    /// Records a caller's query.
    pub(super) fn received(&self, query: &str) {
        record(&mut self.recorded().queries, self.redaction, query);
    }

    /// Records a forwarded query.
    pub(super) fn forwarded(&self, query: &str) {
        record(&mut self.recorded().rewritten, self.redaction, query);
    }

    pub(super) fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn queries<'p>(
    parameters: impl Iterator<Item = (&'p str, &'p str)>,
) -> impl Iterator<Item = &'p str> {
    parameters
        .filter(|(name, _)| QUERY_PARAMETERS.contains(name))
        .map(|(_, value)| value)
}

fn record(queries: &mut Vec<Box<str>>, redaction: Redaction, query: &str) {
    if query.is_empty() {
        return;
    }
    match queries.len() {
        ..MAX_QUERIES => queries.extend(redaction.query(query)),
        MAX_QUERIES => queries.push("… (more are not shown)".into()),
        _ => {}
    }
}
