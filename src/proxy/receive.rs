//! Bodies that enforcement reads are received completely before the request gets its permits.
//!
//! A client may be slow to send a body, and must not block others meanwhile. So until a body is
//! complete, its request has no permit; it counts against `limits.incomplete_bodies`, and its bytes
//! against `limits.buffered_bytes`, both of which are [shared fairly](crate::shares). And it has
//! deadlines: complete within `timeouts.body_total`, never silent for `timeouts.body_idle`, and
//! never slower than `limits.body_bytes_per_second`.
//!
//! This does not hold for a body that is streamed to the upstream. An upload may take any time, as
//! long as it makes progress: the minimum rate applies while we wait for the client, and the
//! request has its permits.

use bytes::Bytes;

use super::context::RequestContext;
use super::error::{ErrorKind, ProxyError};
use crate::body::{Ahead, BodyError, CollectError, Pace, ReceivedBody, Streamed};
use crate::reason::Reason;
use crate::shares::{Holder, Pool, Resource};

/// Receives a body.
///
/// # Errors
/// When it is too large, too slow, or exceeds a limit on buffered bytes.
pub(super) async fn whole(
    context: &RequestContext,
    holder: &Holder,
    body: ReceivedBody,
) -> Result<Bytes, ProxyError> {
    match ahead(context, holder, body).await? {
        Ahead::Whole(bytes) => Ok(bytes),
        Ahead::Cut(cut) => Err(unreceived(&cut.why(), context)),
    }
}

/// Receives a body up to its limit on buffered bytes.
///
/// # Errors
/// When it is too slow, or incomplete.
pub(super) async fn ahead(
    context: &RequestContext,
    holder: &Holder,
    body: ReceivedBody,
) -> Result<Ahead<Streamed<ReceivedBody>>, ProxyError> {
    let settings = context.settings();
    let incomplete = Pool::new(
        Resource::IncompleteBodies,
        &context.metrics.incomplete_bodies,
        settings.limits.incomplete_bodies,
    );
    let _incomplete = incomplete.take_one(holder)?;
    let room = context.request_room(holder);
    let body = Streamed::from_client(body, Pace::of_client(settings));
    let within = settings.timeouts.body_total;
    let late = |_elapsed| {
        let text =
            format!("the request's body was not complete within {within:?} (timeouts.body_total)");
        ProxyError::new(ErrorKind::RequestTimeout, text)
    };
    let received = tokio::time::timeout(within, body.ahead(&room)).await;
    received.map_err(late)?.map_err(|broken| aborted(&broken))
}

/// The client's error for a body that was not received.
pub(super) fn unreceived(error: &CollectError, context: &RequestContext) -> ProxyError {
    match error {
        CollectError::TooLarge => {
            let limit = context.settings().limits.body_bytes;
            ProxyError::new(
                ErrorKind::TooLarge,
                format!("the request's body has more than {limit} bytes (limits.body_bytes)"),
            )
        }
        CollectError::Exhausted(exhausted) => (*exhausted).into(),
        CollectError::Broken(broken) => aborted(broken),
    }
}

/// The client's error for a body that ended early.
pub(super) fn aborted(error: &BodyError) -> ProxyError {
    let text = match error {
        BodyError::Idle(idle) => {
            format!("the request's body stalled for {idle:?} (timeouts.body_idle)")
        }
        BodyError::TooSlow(rate) => format!(
            "the request's body arrives at less than {rate} bytes a second (limits.body_bytes_per_second)"
        ),
        error => {
            return ProxyError::new(ErrorKind::BadRequest, "the request's body is incomplete")
                .because(Reason::Body)
                .caused_by(error);
        }
    };
    ProxyError::new(ErrorKind::RequestTimeout, text)
}
