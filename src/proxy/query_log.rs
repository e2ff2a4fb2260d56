//! What enforcement notes of a request's queries, for the audit trail and for spans.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::telemetry::audit::Redaction;

/// The most queries noted of one request; a dashboard's series call has a few selectors.
const MAX_QUERIES: usize = 16;

/// The parameters that hold queries, of both APIs.
const QUERY_PARAMETERS: [&str; 4] = ["query", "match[]", "q", "tags"];

/// A request's queries, as they came and as they go up; redacted as they are noted. Shared, so
/// that the end of a request finds them wherever it was broken off.
pub(crate) struct QueryLog {
    redaction: Redaction,
    noted: Mutex<Noted>,
}

/// What was noted.
#[derive(Default)]
pub(super) struct Noted {
    /// The caller's own.
    pub queries: Vec<Box<str>>,
    /// As they were sent on.
    pub rewritten: Vec<Box<str>>,
}

impl QueryLog {
    pub(super) fn new(redaction: Redaction) -> Self {
        Self {
            redaction,
            noted: Mutex::default(),
        }
    }

    /// What may be told of queries.
    pub(super) fn redaction(&self) -> Redaction {
        self.redaction
    }

    /// Notes the queries among a caller's parameters.
    pub(super) fn asked_with<'p>(&self, parameters: impl Iterator<Item = (&'p str, &'p str)>) {
        if !self.redaction.tells_nothing() {
            queries(parameters).for_each(|query| self.asked(query));
        }
    }

    /// Notes the queries among the parameters that are sent on.
    pub(super) fn sent_with<'p>(&self, parameters: impl Iterator<Item = (&'p str, &'p str)>) {
        if !self.redaction.tells_nothing() {
            queries(parameters).for_each(|query| self.sent(query));
        }
    }

    /// Notes a caller's query.
    pub(super) fn asked(&self, query: &str) {
        note(&mut self.noted().queries, self.redaction, query);
    }

    /// Notes a query as it is sent on.
    pub(super) fn sent(&self, query: &str) {
        note(&mut self.noted().rewritten, self.redaction, query);
    }

    pub(super) fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn queries<'p>(
    parameters: impl Iterator<Item = (&'p str, &'p str)>,
) -> impl Iterator<Item = &'p str> {
    parameters
        .filter(|(name, _)| QUERY_PARAMETERS.contains(name))
        .map(|(_, value)| value)
}

fn note(queries: &mut Vec<Box<str>>, redaction: Redaction, query: &str) {
    if query.is_empty() {
        return;
    }
    match queries.len() {
        ..MAX_QUERIES => queries.extend(redaction.query(query)),
        MAX_QUERIES => queries.push("… (more are not shown)".into()),
        _ => {}
    }
}
