//! Side requests: requests of our own, whose responses decide about another.

use bytes::Bytes;
use hyper::StatusCode;

use super::{buffered, check_is_plain, check_media_type, decoded, unreadable};
use crate::body::Streamed;
use crate::body::budget::Room;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::Enforced;
use crate::proxy::error::ProxyError;
use crate::proxy::forward::{self, Answered};

/// Sends a side request: one of our own, whose response decides about another.
pub(in crate::proxy) async fn side_request(
    request: Enforced,
    media_type: &str,
    room: &Room,
    context: &RequestContext,
) -> Result<Bytes, ProxyError> {
    let answered = forward::forward(request, context).await?;
    side_answer(answered, media_type, room).await
}

/// Sends a side request to an endpoint that not every upstream has; `None` if this one does not.
pub(super) async fn side_request_if_served(
    request: Enforced,
    media_type: &str,
    room: &Room,
    context: &RequestContext,
) -> Result<Option<Bytes>, ProxyError> {
    let answered = forward::forward(request, context).await?;
    let is_unknown_there = matches!(
        answered.response.status(),
        StatusCode::BAD_REQUEST
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED
    );
    if is_unknown_there {
        return Ok(None);
    }
    side_answer(answered, media_type, room).await.map(Some)
}

/// Sends a side request for something that may not exist: `None` if the upstream answers 404.
pub(in crate::proxy) async fn side_request_if_found(
    request: Enforced,
    media_type: &str,
    room: &Room,
    context: &RequestContext,
) -> Result<Option<Bytes>, ProxyError> {
    let answered = forward::forward(request, context).await?;
    if answered.response.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    side_answer(answered, media_type, room).await.map(Some)
}

async fn side_answer(
    answered: Answered,
    media_type: &str,
    room: &Room,
) -> Result<Bytes, ProxyError> {
    let Answered {
        response, upstream, ..
    } = answered;
    let (mut head, incoming) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(unreadable(&format!(
            "a side request was answered {}",
            head.status
        )));
    }
    let body = Streamed::new(incoming, upstream.settings().timeouts.body_idle);
    let body = decoded(&mut head.headers, body, room)?;
    check_is_plain(&head.headers)?;
    check_media_type(&head.headers, media_type)?;
    buffered(body, room).await
}
