//! One query of several clusters: sent to all at once, answered in one document
//! ([`prometheus::clusters`](crate::prometheus::clusters) has its format).
//!
//! Each cluster's response is buffered, within `limits.answer_bytes` and what is left of
//! `limits.buffered_bytes`, and within a timeout of its own: the upstream's `response_head` plus
//! `body_idle`. An error of one cluster is reported in its place, and does not affect the others.
//! The request has one permit of `limits` and of its tenants, as each store gets one query.
//! store gets one query of it.

use std::sync::Arc;

use futures_util::future::join_all;
use hyper::header::RETRY_AFTER;
use hyper::{Response, StatusCode};

use super::context::RequestContext;
use super::enforce::Enforced;
use super::error::{ErrorKind, ProxyError};
use super::exchange::exchange;
use super::record::RequestRecord;
use super::respond;
use crate::body::ResponseBody;
use crate::prometheus::clusters::{self, Part};
use crate::telemetry::metrics::Stage;

/// Sends the query to all, and returns when the last has responded or failed. Dropping it cancels
/// them.
pub(super) async fn query_all(
    mut all: Vec<(Arc<str>, Enforced)>,
    context: &RequestContext,
    record: &mut RequestRecord,
) -> Response<ResponseBody> {
    let names: Vec<Arc<str>> = all.iter().map(|(name, _)| Arc::clone(name)).collect();
    record.set_clusters(names.clone());
    if let Some(parent) = record.upstream_begins() {
        for (_, enforced) in &mut all {
            enforced.set_traceparent(parent.clone());
        }
    }
    let asked = all
        .into_iter()
        .map(|(_, enforced)| query_one(enforced, context));
    let answers = record.timed(Stage::Upstream, join_all(asked)).await;
    let parts = names.iter().zip(answers).map(|(name, answer)| {
        let part = answer.unwrap_or_else(|error| {
            record.count_refusal(error.reason());
            tracing::info!(
                cluster = &**name,
                reason = error.reason().label(),
                error = error.log_text(),
                "a cluster's answer is an error"
            );
            Part::failed(
                error.status().as_u16(),
                error.prometheus_type(),
                error.text(),
            )
        });
        (&**name, part)
    });
    let (status, pieces) = clusters::answer(parts.collect());
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    record.upstream_ends(Some(status));
    let mut response = respond::json(status, pieces);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, 1.into());
    }
    response
}

/// One cluster's response, as it would be on its own.
async fn query_one(enforced: Enforced, context: &RequestContext) -> Result<Part, ProxyError> {
    let within = enforced.whole_within();
    let room = context.answer_room(enforced.holder());
    let answer = async {
        let response = exchange(enforced, context, |_| {}).await.response?;
        let status = response.status().as_u16();
        let whole = response.into_body().collect(&room).await;
        let whole = whole.map_err(|error| respond::uncollected(error, &room))?;
        Part::answered(status, whole).map_err(|error| ProxyError::unreadable(&error))
    };
    let late = |_| {
        let text = format!(
            "the cluster's answer was not whole within {within:?} (timeouts.response_head and \
             body_idle together)"
        );
        ProxyError::new(ErrorKind::UpstreamTimeout, text)
    };
    tokio::time::timeout(within, answer).await.map_err(late)?
}
