//! Responses of the metrics API that no query can confine: buffered, and filtered.

use super::{JSON, NOT_SERVED, side_request, side_request_unless, unreadable};
use crate::auth::Caller;
use crate::body::budget::Room;
use crate::prometheus::Unreadable;
use crate::prometheus::filter::{self, MetricNames, OwnMetadata, RulesError};
use crate::proxy::authorize::matchers_of;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::{Filter, MetadataPlan, OwnTargets};
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::reason::Reason;

/// The filtered response.
pub(super) async fn apply(
    plan: Filter,
    answer: &[u8],
    room: &Room,
    context: &RequestContext,
) -> Result<Vec<u8>, ProxyError> {
    let filtered = match plan {
        Filter::Rules { caller, options } => {
            let token = options.page.as_ref().and_then(|page| page.first.clone());
            match filter::rules(answer, matchers_of(&caller)?, options) {
                Ok(answer) => Ok(answer),
                Err(RulesError::Unreadable(error)) => Err(error),
                Err(RulesError::UnknownToken) => {
                    return Err(unknown_token(&token.unwrap_or_default()));
                }
            }
        }
        Filter::Alerts(caller) => filter::alerts(answer, matchers_of(&caller)?),
        Filter::Targets(caller) => filter::targets(answer, matchers_of(&caller)?),
        Filter::ScrapePools(caller) => filter::scrape_pools(answer, matchers_of(&caller)?),
        Filter::Flags => filter::flags(answer),
        Filter::TargetsMetadata(caller) => filter::targets_metadata(answer, matchers_of(&caller)?),
        Filter::Search(None) => filter::search(answer, None),
        Filter::Search(Some(own)) => {
            let OwnTargets {
                caller,
                request,
                metric,
            } = *own;
            let targets = side_request_unless(NOT_SERVED, request, JSON, room, context).await?;
            own_metadata(targets.as_deref(), &caller, metric.as_deref())?
                .and_then(|own| filter::search(answer, Some(&own)))
        }
        Filter::Metadata(plan) => {
            let MetadataPlan { names, own, limits } = *plan;
            let (names, targets) = tokio::try_join!(
                side_request(names, JSON, room, context),
                side_request_unless(NOT_SERVED, own.request, JSON, room, context)
            )?;
            own_metadata(targets.as_deref(), &own.caller, own.metric.as_deref())?.and_then(|own| {
                let names = MetricNames::from_label_values(&names)?;
                filter::metadata(answer, &names, own, limits)
            })
        }
    };
    filtered.map_err(|error| unreadable(&error))
}

/// Prometheus' own error (`web/api/v1/api.go`, `rules`).
fn unknown_token(token: &str) -> ProxyError {
    let text = format!(
        "invalid parameter \"group_next_token\": invalid group_next_token '{token}'. were rule groups \
         changed?"
    );
    ProxyError::new(ErrorKind::BadRequest, text).because(Reason::Parameters)
}

/// What the tenants' own targets say of their metrics; nothing, if the upstream does not know.
fn own_metadata<'a>(
    targets: Option<&'a [u8]>,
    caller: &Caller,
    metric: Option<&'a str>,
) -> Result<Result<OwnMetadata<'a>, Unreadable>, ProxyError> {
    let matchers = matchers_of(caller)?;
    Ok(match targets {
        Some(targets) => OwnMetadata::from_targets(targets, matchers, metric),
        None => Ok(OwnMetadata::default()),
    })
}
