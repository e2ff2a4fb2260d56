//! Makes the client's response from the upstream's, as enforcement planned.

mod alertmanager;
mod filter;
mod grpc;
mod names;
mod search;
mod side;
mod tags;
mod traces;
mod whole;

use std::fmt::Display;

use bytes::Bytes;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
};
use hyper::http::response::Parts;
use hyper::{Response, StatusCode};

use self::side::NOT_SERVED;
pub(super) use self::side::{side_request, side_request_unless};
use super::context::RequestContext;
use super::enforce::{AlertmanagerAnswer, Filter, Origin, OwnAnswer, ResponsePlan};
use super::error::{ErrorKind, ProxyError};
use super::forward::Answered;
use super::location;
use crate::body::budget::Room;
use crate::body::{
    BodyError, Coding, CollectError, RemapPosition, ResponseBody, Scrubber, StreamFilter, Streamed,
};
use crate::headers;
use crate::prometheus::errors;
use crate::tempo::answer::Format;
use crate::upstream::Upstream;

/// Up to this size a response is buffered for scrubbing, which preserves its `Content-Length`.
const BUFFERED_BYTES: u64 = 64 * 1024;

/// The media type of the metrics API.
pub(super) const JSON: &str = "application/json";

/// The media type of the search API.
const JSON_LINES: &str = "application/x-ndjson";

/// The longest error response that is read from an upstream.
const MAX_ERROR_BYTES: usize = 1024 * 1024;

/// Makes the response.
pub(super) async fn respond(
    answered: Answered,
    context: &RequestContext,
) -> Result<Response<ResponseBody>, ProxyError> {
    let Answered {
        response,
        upstream,
        plan,
        holder,
    } = answered;
    let (mut head, incoming) = response.into_parts();
    let body = Streamed::new(incoming, upstream.settings().timeouts.body_idle);
    if let ResponsePlan::PassThrough = plan {
        let (status, mut headers) = (head.status, head.headers);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            // We never request an upgrade, and what follows would not be HTTP.
            return Err(unreadable(&"it switches protocols"));
        }
        headers::strip_hop_by_hop(&mut headers);
        check_redirect(&mut headers, &upstream)?;
        let body = ResponseBody::streamed(body).untouched();
        return Ok(build(status, headers, body));
    }
    let room = context.answer_room(&holder);
    if let ResponsePlan::Grpc(answer) = plan {
        return Ok(grpc::respond(&head, body, answer, room, context));
    }
    let body = decoded(&mut head.headers, body, &room)?;
    let is_unmodified = matches!(
        plan,
        ResponsePlan::AllTenants | ResponsePlan::Alertmanager(AlertmanagerAnswer::Unmodified)
    );
    if is_unmodified && is_from_the_api(head.status) {
        let headers = headers::for_data_response(&head.headers);
        return Ok(build(head.status, headers, ResponseBody::streamed(body)));
    }
    // Prometheus' response to `query_exemplars` for a query without selectors: no body.
    if head.status == StatusCode::NO_CONTENT && matches!(plan, ResponsePlan::Scrub(_)) {
        return Ok(build(
            head.status,
            HeaderMap::new(),
            ResponseBody::whole(Bytes::new()),
        ));
    }
    check_credentials(head.status, &upstream)?;
    if let ResponsePlan::Traces(answer) = plan {
        return Box::pin(traces::respond(head, body, answer, &room, context)).await;
    }
    if let ResponsePlan::Alertmanager(answer) = plan {
        return Box::pin(alertmanager::respond(head, body, answer, &room, context)).await;
    }
    let remap = plan.origin().map_or_else(no_position, Origin::remap);
    if head.status != StatusCode::OK {
        return Box::pin(failed(&head, body, &remap, &room)).await;
    }
    let is_read_here = matches!(plan, ResponsePlan::Scrub(_) | ResponsePlan::Filter(_));
    if is_read_here {
        check_is_plain(&head.headers)?;
    }
    let headers = headers::for_data_response(&head.headers);
    match plan {
        ResponsePlan::Scrub(_) => {
            check_media_type(&headers, JSON)?;
            let body = scrub(body, Scrubber::new(room.bytes, remap), &room).await?;
            Ok(build(head.status, headers, body))
        }
        ResponsePlan::Filter(plan) => {
            let expected = match plan {
                Filter::Search(_) => JSON_LINES,
                _ => JSON,
            };
            check_media_type(&headers, expected)?;
            let body = Box::pin(filtered(body, plan, &room, context)).await?;
            Ok(build(head.status, headers, body))
        }
        _ => Ok(build(head.status, headers, ResponseBody::streamed(body))),
    }
}

/// The body without its content coding, if that is known. The headers are changed accordingly.
fn decoded(headers: &mut HeaderMap, body: Streamed, room: &Room) -> Result<Streamed, ProxyError> {
    let Some(coding) = Coding::of(headers) else {
        return Ok(body);
    };
    let mut held = room.budget.share();
    held.resize(coding.decoder_bytes())?;
    headers.remove(CONTENT_ENCODING);
    headers::weaken_etag(headers);
    Ok(body.decoded(coding, held))
}

/// Refuses what has a content coding still: one that is not known, or several.
fn check_is_plain(headers: &HeaderMap) -> Result<(), ProxyError> {
    let encoding = headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        return Err(unreadable(
            &"it has a content coding that was not asked for",
        ));
    }
    Ok(())
}

/// A JSON document of our own.
pub(super) fn json(status: StatusCode, pieces: Vec<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::pieces(pieces));
    *response.status_mut() = status;
    let json = HeaderValue::from_static(JSON);
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// An answer that no upstream was asked for.
pub(super) fn own(answer: OwnAnswer) -> Response<ResponseBody> {
    match answer {
        OwnAnswer::Json(document) => json(StatusCode::OK, vec![document.into()]),
        OwnAnswer::NoContent => build(
            StatusCode::NO_CONTENT,
            HeaderMap::new(),
            ResponseBody::whole(Bytes::new()),
        ),
    }
}

/// Whether a response of this status comes from the API: a result or an error, but neither a
/// redirect nor a refusal of our own credentials.
fn is_from_the_api(status: StatusCode) -> bool {
    let about_credentials = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    (status.is_success() || status.is_client_error() || status.is_server_error())
        && !about_credentials
}

fn build(status: StatusCode, headers: HeaderMap, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Streams a response through the scrubber. An error at its start can still change the status: the
/// scrubber sees the start before the client does.
async fn scrub(
    mut body: Streamed,
    scrubber: Scrubber,
    room: &Room,
) -> Result<ResponseBody, ProxyError> {
    let is_small = body
        .declared_length()
        .is_some_and(|length| length <= BUFFERED_BYTES);
    let mut stream_filter = StreamFilter::Warnings(Box::new(scrubber));
    let (mut out, mut held) = (Vec::new(), room.budget.share());
    while is_small || !stream_filter.streams() {
        match body.data().await {
            Some(Ok(data)) => stream_filter
                .push(data, &mut out, &mut held)
                .map_err(unfilterable)?,
            Some(Err(error)) => return Err(broken(&error)),
            None => {
                stream_filter.finish(&mut out).map_err(unfilterable)?;
                return Ok(ResponseBody::whole(held.bind(joined(out))));
            }
        }
    }
    Ok(ResponseBody::filtered(body, stream_filter, out, held))
}

fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    pieces.retain(|piece| !piece.is_empty());
    match pieces.len() {
        0 | 1 => pieces.pop().unwrap_or_default(),
        _ => pieces.concat().into(),
    }
}

/// Buffers a response and filters it.
async fn filtered(
    body: Streamed,
    plan: Filter,
    room: &Room,
    context: &RequestContext,
) -> Result<ResponseBody, ProxyError> {
    let answer = buffered(body, room).await?;
    let filtered = filter::apply(plan, &answer, room, context).await?;
    Ok(ResponseBody::whole(room.budget.hold(filtered)?))
}

/// Buffers a response that has to be filtered.
async fn buffered(body: Streamed, room: &Room) -> Result<Bytes, ProxyError> {
    body.collect(room)
        .await
        .map_err(|error| uncollected(error, room))
}

/// The error for a response that could not be buffered.
pub(super) fn uncollected(error: CollectError, room: &Room) -> ProxyError {
    match error {
        CollectError::TooLarge => unreadable(&format!(
            "it has more than {} bytes (limits.answer_bytes) and has to be buffered",
            room.bytes
        )),
        CollectError::Exhausted(exhausted) => exhausted.into(),
        CollectError::Broken(
            error @ (BodyError::Unscrubbable(_)
            | BodyError::Unredactable(_)
            | BodyError::Coding(_)
            | BodyError::Exhausted(_)),
        ) => unfilterable(error),
        CollectError::Broken(error) => broken(&error),
    }
}

/// The error for a streamed response that could not be filtered.
fn unfilterable(error: BodyError) -> ProxyError {
    match error {
        BodyError::Exhausted(exhausted) => exhausted.into(),
        error => unreadable(&error),
    }
}

/// Only the expected media type can be filtered; a login page with status 200 cannot.
fn check_media_type(headers: &HeaderMap, expected: &str) -> Result<(), ProxyError> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = content_type
        .and_then(|text| text.split(';').next())
        .unwrap_or_default();
    if media_type.trim().eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(unreadable(&format!("it is not {expected}")))
}

/// The format of an answer to a search or to a call for tags: the one that was asked for, or JSON. Before
/// 2.10 Tempo answers these in JSON, whatever is asked for (`initHTTPCombiner` in
/// `modules/frontend/combiner`).
fn format_of(headers: &HeaderMap, asked: Format) -> Result<Format, ProxyError> {
    if check_media_type(headers, Format::Json.media_type()).is_ok() {
        return Ok(Format::Json);
    }
    check_media_type(headers, asked.media_type())?;
    Ok(asked)
}

/// An upstream that refuses our credentials is for the operator to fix, not the caller.
fn check_credentials(status: StatusCode, upstream: &Upstream) -> Result<(), ProxyError> {
    if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Ok(());
    }
    Err(ProxyError::new(
        ErrorKind::UpstreamCredentials,
        format!(
            "the upstream `{}` refused the proxy's own credentials ({status}); ask the operator \
             to check its `credentials`",
            upstream.name()
        ),
    ))
}

/// The response to a request that the upstream failed or refused.
async fn failed(
    head: &Parts,
    body: Streamed,
    remap: &RemapPosition,
    room: &Room,
) -> Result<Response<ResponseBody>, ProxyError> {
    let status = head.status;
    if !status.is_client_error() && !status.is_server_error() {
        return Err(unreadable(&format!("its status is {status}")));
    }
    let text = body.collect(&room.with_limit(MAX_ERROR_BYTES)).await;
    let text = text.unwrap_or_default();
    let mut response = build(
        status,
        HeaderMap::new(),
        ResponseBody::whole(errors::error_answer(status.as_u16(), &text, remap)),
    );
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(after) = head.headers.get(RETRY_AFTER) {
        response.headers_mut().insert(RETRY_AFTER, after.clone());
    }
    Ok(response)
}

fn check_redirect(headers: &mut HeaderMap, upstream: &Upstream) -> Result<(), ProxyError> {
    let Some(value) = headers.get(LOCATION) else {
        return Ok(());
    };
    let kept = value
        .to_str()
        .ok()
        .and_then(|text| location::for_client(text, upstream.settings()))
        .and_then(|text| HeaderValue::from_str(&text).ok())
        .ok_or_else(|| unreadable(&"it redirects to somewhere else"))?;
    headers.insert(LOCATION, kept);
    Ok(())
}

/// If the upstream got no text of the caller's, no position refers to one.
fn no_position() -> RemapPosition {
    Box::new(|_| None)
}

/// The error for an upstream's response that cannot be passed on.
fn unreadable(why: &dyn Display) -> ProxyError {
    ProxyError::unreadable(why)
}

/// The upstream's answer ended before its end.
fn broken(error: &BodyError) -> ProxyError {
    if let BodyError::Coding(error) = error {
        return unreadable(error);
    }
    ProxyError::new(
        ErrorKind::UpstreamUnreachable,
        "the upstream closed the connection before the end of its response",
    )
    .caused_by(error)
}
