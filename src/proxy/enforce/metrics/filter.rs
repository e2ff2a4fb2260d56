//! Answers that no query can confine: read whole, and filtered.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::{Enforced, matchers_of};
use crate::auth::Caller;
use crate::body::budget::Room;
use crate::prometheus::filter::{self, MetricNames, RulesOptions};
use crate::proxy::error::ProxyError;
use crate::proxy::respond;
use crate::telemetry::metrics::Metrics;

/// How far back a metric name counts for `/api/v1/metadata`, in seconds. Metadata is of targets
/// scraped now; an hour covers those that are down for a while.
const NAMES_WINDOW: u64 = 3600;

/// What is kept of an answer.
pub(crate) enum Filter {
    /// Rules of the caller's tenants.
    Rules {
        /// Whose.
        caller: Arc<Caller>,
        /// How.
        options: RulesOptions,
    },
    /// Alerts of the caller's tenants, made of the rules that the upstream was asked for.
    Alerts(Arc<Caller>),
    /// Targets of the caller's tenants.
    Targets(Arc<Caller>),
    /// Metadata of the metrics that the caller's tenants have.
    Metadata {
        /// Asks for the names of these metrics.
        names: Box<Enforced>,
        /// The most metrics.
        limit: Option<usize>,
    },
}

impl Filter {
    /// The filtered answer.
    pub(crate) async fn apply(
        self,
        answer: &[u8],
        room: &Room,
        metrics: &Metrics,
    ) -> Result<Vec<u8>, ProxyError> {
        let filtered = match self {
            Self::Rules { caller, options } => {
                filter::rules(answer, matchers_of(&caller)?, options)
            }
            Self::Alerts(caller) => filter::alerts(answer, matchers_of(&caller)?),
            Self::Targets(caller) => filter::targets(answer, matchers_of(&caller)?),
            Self::Metadata { names, limit: most } => {
                let names = respond::companion(*names, respond::JSON, room, metrics).await?;
                MetricNames::from_label_values(&names)
                    .and_then(|names| filter::metadata(answer, &names, most))
            }
        };
        filtered.map_err(|error| respond::unreadable(&error))
    }
}

/// Where the window of metric names begins: seconds since the epoch.
pub(super) fn names_since() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    now.saturating_sub(NAMES_WINDOW).to_string()
}
