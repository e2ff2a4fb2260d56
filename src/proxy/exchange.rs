//! A request is sent, and its answer made: the two belong together, as one plan speaks of both.

use hyper::{Response, StatusCode};

use super::context::RequestContext;
use super::enforce::Enforced;
use super::error::ProxyError;
use super::{forward, respond};
use crate::body::ResponseBody;

/// What came of a request that was sent.
pub(super) struct Exchanged {
    /// The upstream's own status, if it answered.
    pub upstream_status: Option<StatusCode>,
    /// For the client.
    pub response: Result<Response<ResponseBody>, ProxyError>,
}

/// Sends an enforced request and makes the answer from what comes back. `on_headers` is told when
/// the upstream's headers are there, or will not be.
pub(super) async fn exchange(
    enforced: Enforced,
    context: &RequestContext,
    on_headers: impl FnOnce(Option<StatusCode>),
) -> Exchanged {
    let answered = forward::forward(enforced, context).await;
    let upstream_status = answered.as_ref().ok();
    let upstream_status = upstream_status.map(|answered| answered.response.status());
    on_headers(upstream_status);
    Exchanged {
        upstream_status,
        response: match answered {
            Ok(answered) => respond::respond(answered, context).await,
            Err(error) => Err(error),
        },
    }
}
