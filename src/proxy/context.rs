//! What the steps of one request share.

use std::sync::Arc;

use super::query_log::QueryLog;
use super::rewrites::Rewrites;
use super::rules::Rules;
use crate::body::budget::{Budget, Room};
use crate::config::settings::Settings;
use crate::shares::Holder;
use crate::telemetry::metrics::Metrics;

/// The rules of the moment the request began, and where its steps report. A step that goes on in a
/// task of its own takes a clone.
#[derive(Clone)]
pub(super) struct RequestContext {
    /// What it is judged by.
    pub(super) rules: Arc<Rules>,
    /// Queries that were confined by these rules before.
    pub(super) rewrites: Arc<Rewrites>,
    /// Where steps count.
    pub(super) metrics: Arc<Metrics>,
    /// Where steps note its queries.
    pub(super) queries: Arc<QueryLog>,
}

impl RequestContext {
    /// The config that the rules were made from.
    pub(super) fn settings(&self) -> &Settings {
        self.rules.settings()
    }

    /// The account of buffered bytes, for this party.
    pub(super) fn budget(&self, holder: &Holder) -> Budget {
        let limit = self.settings().limits.buffered_bytes;
        Budget::new(&self.metrics.buffered_bytes, limit, holder)
    }

    /// Room for the body of a request.
    pub(super) fn request_room(&self, holder: &Holder) -> Room {
        Room {
            bytes: self.settings().limits.body_bytes,
            budget: self.budget(holder),
        }
    }

    /// Room for an upstream's answer.
    pub(super) fn answer_room(&self, holder: &Holder) -> Room {
        Room {
            bytes: self.settings().limits.answer_bytes,
            budget: self.budget(holder),
        }
    }
}
