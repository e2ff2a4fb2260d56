//! Responses of the metrics API that no query can confine: buffered, and filtered.

use super::{JSON, side_request, side_request_if_served, unreadable};
use crate::body::budget::Room;
use crate::prometheus::filter::{self, MetricNames, OwnMetadata};
use crate::proxy::authorize::matchers_of;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::{Filter, MetadataPlan};
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
        Filter::TargetsMetadata(caller) => filter::targets_metadata(answer, matchers_of(&caller)?),
        Filter::Metadata(plan) => {
            let MetadataPlan {
                caller,
                names,
                targets,
                metric,
                limits,
            } = *plan;
            let matchers = matchers_of(&caller)?;
            let (names, targets) = tokio::try_join!(
                side_request(names, JSON, room, context),
                side_request_if_served(targets, JSON, room, context)
            )?;
            let own = match &targets {
                Some(targets) => OwnMetadata::from_targets(targets, matchers, metric.as_deref()),
                None => Ok(OwnMetadata::default()),
            };
            own.and_then(|own| {
                let names = MetricNames::from_label_values(&names)?;
                filter::metadata(answer, &names, own, limits)
            })
        }
    };
    filtered.map_err(|error| unreadable(&error))
}
