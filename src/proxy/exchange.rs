//! Sends a request and makes the client's response: one plan, made by enforcement, governs both.

use hyper::{Response, StatusCode};

use super::context::RequestContext;
use super::enforce::Enforced;
use super::error::ProxyError;
use super::{forward, respond};
use crate::body::ResponseBody;

/// The result of a request that was sent.
pub(super) struct Exchanged {
    /// The upstream's own status, if it responded.
    pub upstream_status: Option<StatusCode>,
    pub response: Result<Response<ResponseBody>, ProxyError>,
}

/// Sends an enforced request and makes the client's response. `on_headers` is called when the
/// upstream's headers have arrived, or it is known that they will not.
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
