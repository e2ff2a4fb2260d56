//! What the steps of one request share.

use std::sync::Arc;

use super::query_log::QueryLog;
use super::rewrites::Rewrites;
use super::rules::Rules;
use super::trace_verdicts::TraceVerdicts;
use crate::body::budget::{Budget, Room};
use crate::config::settings::Settings;
use crate::shares::Holder;
use crate::telemetry::metrics::Metrics;

/// The rules in force when the request began, and the sinks that its steps report to. A step that
/// continues in a task of its own takes a clone.
#[derive(Clone)]
pub(super) struct RequestContext {
    pub(super) rules: Arc<Rules>,
    /// Queries that these rules have confined before.
    pub(super) rewrites: Arc<Rewrites>,
    /// What is known of traces in search results.
    pub(super) trace_verdicts: Arc<TraceVerdicts>,
    pub(super) metrics: Arc<Metrics>,
    /// Where steps record the request's queries.
    pub(super) queries: Arc<QueryLog>,
}

impl RequestContext {
    /// The config that the rules were made from.
    pub(super) fn settings(&self) -> &Settings {
        self.rules.settings()
    }

    /// The budget of buffered bytes, charged to this holder.
    pub(super) fn budget(&self, holder: &Holder) -> Budget {
        let limit = self.settings().limits.buffered_bytes;
        Budget::new(&self.metrics.buffered_bytes, limit, holder)
    }

    /// The limit and budget for a request body.
    pub(super) fn request_room(&self, holder: &Holder) -> Room {
        Room {
            bytes: self.settings().limits.body_bytes,
            budget: self.budget(holder),
        }
    }

    /// The limit and budget for an upstream's response.
    pub(super) fn answer_room(&self, holder: &Holder) -> Room {
        Room {
            bytes: self.settings().limits.answer_bytes,
            budget: self.budget(holder),
        }
    }
}
