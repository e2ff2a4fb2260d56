//! Answers that no query can confine: read whole, and filtered.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::{Enforced, ResponsePlan, no_label};
use crate::auth::Caller;
use crate::prometheus::filter::{self, MetricNames, RulesOptions};
use crate::promql;
use crate::proxy::error::ProxyError;
use crate::proxy::respond;
use crate::telemetry::metrics::Metrics;
use crate::tenancy::{Matchers, TenantScope};

/// How far back a metric name counts for `/api/v1/metadata`, in seconds. Metadata is of targets
/// scraped now; an hour covers those that are down for a while.
const NAMES_WINDOW: u64 = 3600;

/// A filter, and for whom.
pub struct Filter {
    caller: Arc<Caller>,
    kind: Kind,
}

enum Kind {
    Rules { exclude_alerts: bool },
    Alerts,
    Targets,
    Metadata { names: Enforced, limit: Option<usize> },
}

pub(super) fn plan(filter: Filter) -> ResponsePlan {
    ResponsePlan::Filter(Box::new(filter))
}
