//! Side requests: requests of our own, whose responses decide about another.

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};

use super::{buffered, check_is_plain, check_media_type, decoded, format_of, unreadable};
use crate::body::Streamed;
use crate::body::budget::Room;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::Enforced;
use crate::proxy::error::ProxyError;
use crate::proxy::forward::{self, Answered};
use crate::tempo::answer::Format;

/// How many side requests for tags are sent at once.
pub(super) const SENT_AT_ONCE: usize = 4;

/// How an upstream answers for an endpoint that it does not have.
pub(super) const NOT_SERVED: &[StatusCode] = &[
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::NOT_IMPLEMENTED,
];

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

/// Sends a side request for something that the upstream may not have: `None` if it answers one of
/// these statuses.
pub(in crate::proxy) async fn side_request_unless(
    absent: &[StatusCode],
    request: Enforced,
    media_type: &str,
    room: &Room,
    context: &RequestContext,
) -> Result<Option<Bytes>, ProxyError> {
    let answered = forward::forward(request, context).await?;
    if absent.contains(&answered.response.status()) {
        return Ok(None);
    }
    side_answer(answered, media_type, room).await.map(Some)
}

/// Sends a side request for a search or for tags to Tempo; returns the format of the answer too.
pub(super) async fn side_request_to_tempo(
    request: Enforced,
    room: &Room,
    context: &RequestContext,
) -> Result<(Bytes, Format), ProxyError> {
    let answered = forward::forward(request, context).await?;
    side_answer_of_tempo(answered, room).await
}

/// The same for something that it may not know: `None` if it answers one of these statuses.
pub(super) async fn side_request_to_tempo_unless(
    absent: &[StatusCode],
    request: Enforced,
    room: &Room,
    context: &RequestContext,
) -> Result<Option<(Bytes, Format)>, ProxyError> {
    let answered = forward::forward(request, context).await?;
    if absent.contains(&answered.response.status()) {
        return Ok(None);
    }
    side_answer_of_tempo(answered, room).await.map(Some)
}

async fn side_answer_of_tempo(
    answered: Answered,
    room: &Room,
) -> Result<(Bytes, Format), ProxyError> {
    let (headers, body) = side_parts(answered, room)?;
    let format = format_of(&headers, Format::Protobuf)?;
    Ok((buffered(body, room).await?, format))
}

async fn side_answer(
    answered: Answered,
    media_type: &str,
    room: &Room,
) -> Result<Bytes, ProxyError> {
    buffered(side_body(answered, media_type, room)?, room).await
}

/// The body of a side request's response.
pub(super) fn side_body(
    answered: Answered,
    media_type: &str,
    room: &Room,
) -> Result<Streamed, ProxyError> {
    let (headers, body) = side_parts(answered, room)?;
    check_media_type(&headers, media_type)?;
    Ok(body)
}

fn side_parts(answered: Answered, room: &Room) -> Result<(HeaderMap, Streamed), ProxyError> {
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
    Ok((head.headers, body))
}
