//! Responses of the metrics API that no query can confine: buffered, and filtered.

use super::{JSON, side_request, unreadable};
use crate::body::budget::Room;
use crate::prometheus::filter::{self, MetricNames};
use crate::proxy::authorize::matchers_of;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::Filter;
use crate::proxy::error::ProxyError;

/// The filtered response.
pub(super) async fn apply(
    plan: Filter,
    answer: &[u8],
    room: &Room,
    context: &RequestContext,
) -> Result<Vec<u8>, ProxyError> {
    let filtered = match plan {
        Filter::Rules { caller, options } => filter::rules(answer, matchers_of(&caller)?, options),
        Filter::Alerts(caller) => filter::alerts(answer, matchers_of(&caller)?),
        Filter::Targets(caller) => filter::targets(answer, matchers_of(&caller)?),
        Filter::ScrapePools(caller) => filter::scrape_pools(answer, matchers_of(&caller)?),
        Filter::Flags => filter::flags(answer),
        Filter::Metadata { names, limit: most } => {
            let names = side_request(*names, JSON, room, context).await?;
            MetricNames::from_label_values(&names)
                .and_then(|names| filter::metadata(answer, &names, most))
        }
    };
    filtered.map_err(|error| unreadable(&error))
}
