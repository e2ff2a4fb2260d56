//! Bodies that decide what is enforced are received whole before the request gets its permit.
//!
//! A client may take its time over a body, and must not hold up anyone meanwhile. So until a body
//! is complete, its request has no permit; it is one of `limits.incomplete_bodies`, and its bytes
//! are some of `limits.buffered_bytes`, both of which are [shared out](crate::shares). And it has
//! to come in time: whole within `timeouts.body_total`, never silent for `timeouts.body_idle`, and
//! on the way no slower than `limits.body_bytes_per_second`.
//!
//! A body that is forwarded as it comes is no such body. An upload may take any time, as long as it
//! goes on: its minimum rate counts while the client is waited for, and its request has a permit.

use bytes::Bytes;

use super::context::RequestContext;
use super::error::{ErrorKind, ProxyError};
use crate::body::{Ahead, BodyError, CollectError, Pace, ReceivedBody, Streamed};
use crate::reason::Reason;
use crate::shares::{Holder, Pool, Resource};

/// Receives a body.
///
/// # Errors
/// When it is too large, too slow, or finds no room.
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

/// Receives a body as far as there is room for it.
///
/// # Errors
/// When it does not come in time, or breaks off.
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
    received
        .map_err(late)?
        .map_err(|broken| broken_off(&broken))
}

/// Why a body was not received, for the client.
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
        CollectError::Broken(broken) => broken_off(broken),
    }
}

/// A client's body did not come to its end.
pub(super) fn broken_off(error: &BodyError) -> ProxyError {
    let text = match error {
        BodyError::Idle(idle) => {
            format!("the request's body stalled for {idle:?} (timeouts.body_idle)")
        }
        BodyError::TooSlow(rate) => format!(
            "the request's body comes at less than {rate} bytes a second (limits.body_bytes_per_second)"
        ),
        error => {
            return ProxyError::new(ErrorKind::BadRequest, "the request's body broke off")
                .because(Reason::Body)
                .caused_by(error);
        }
    };
    ProxyError::new(ErrorKind::RequestTimeout, text)
}
