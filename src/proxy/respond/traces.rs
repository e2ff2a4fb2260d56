//! Responses of the traces API.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Response, StatusCode};

use super::{
    MAX_ERROR_BYTES, broken, buffered, build, check_media_type, format_of, joined, unreadable,
    whole,
};
use crate::body::budget::Room;
use crate::body::{ResponseBody, StreamFilter, Streamed, account};
use crate::headers;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::TracesAnswer;
use crate::proxy::error::ProxyError;
use crate::tempo::answer::Format;
use crate::tempo::errors;
use crate::tempo::trace::{
    ForeignSpans, JsonFilter, NOT_FOUND_V2_JSON, NOT_FOUND_V2_PROTOBUF, Outcome, ProtobufFilter,
    TraceApi, TraceFilter,
};

/// The most bytes buffered of one `ResourceSpans` before its resource has named its tenant.
const UNDECIDED_BYTES: usize = 8 * 1024 * 1024;

/// Makes the client's response from a success of Tempo, or from a status that the API defines.
pub(super) async fn respond(
    head: Parts,
    body: Streamed,
    answer: TracesAnswer,
    room: &Room,
    context: &RequestContext,
) -> Result<Response<ResponseBody>, ProxyError> {
    match answer {
        TracesAnswer::Trace { api, format, .. } if head.status == StatusCode::NOT_FOUND => {
            Ok(not_found(api, format))
        }
        _ if head.status != StatusCode::OK => failed(head.status, body, room).await,
        TracesAnswer::Public => {
            let headers = headers::for_data_response(&head.headers);
            Ok(build(head.status, headers, ResponseBody::streamed(body)))
        }
        TracesAnswer::Whole(answer, format) => {
            let format = format_of(&head.headers, format)?;
            let text = buffered(body, room).await?;
            let filtered = whole::filter(&answer, &text, format, room, context).await?;
            let body = ResponseBody::whole(room.budget.hold(filtered)?);
            Ok(build(head.status, typed(format), body))
        }
        TracesAnswer::Trace {
            owner,
            api,
            foreign,
            format,
        } => {
            check_media_type(&head.headers, format.media_type())?;
            let filter = match format {
                Format::Protobuf => {
                    let limit = room.bytes;
                    TraceFilter::Protobuf(ProtobufFilter::new(api, owner, &foreign, limit))
                }
                Format::Json => {
                    let undecided = match foreign {
                        ForeignSpans::Redact => room.bytes.min(UNDECIDED_BYTES),
                        ForeignSpans::Deny | ForeignSpans::Outline(_) => room.bytes,
                    };
                    TraceFilter::Json(JsonFilter::new(api, owner, &foreign, undecided))
                }
            };
            redacted(body, filter, api, format, room).await
        }
    }
}

/// Streams a trace through its filter. Nothing is sent before the first span of the caller's: until
/// then the trace must look like one that does not exist.
async fn redacted(
    mut body: Streamed,
    mut filter: TraceFilter,
    api: TraceApi,
    format: Format,
    room: &Room,
) -> Result<Response<ResponseBody>, ProxyError> {
    let (mut out, mut held) = (Vec::new(), room.budget.share());
    while out.is_empty() {
        match body.data().await {
            Some(Ok(data)) => {
                filter
                    .push(&data, &mut out)
                    .map_err(|error| unreadable(&error))?;
                account(&mut held, filter.held_bytes(), &out, data.len())?;
            }
            Some(Err(error)) => return Err(broken(&error)),
            None => {
                let outcome = filter
                    .finish(&mut out)
                    .map_err(|error| unreadable(&error))?;
                return Ok(match outcome {
                    Outcome::Nothing => not_found(api, format),
                    Outcome::Kept { .. } => {
                        let body = ResponseBody::whole(held.bind(joined(out)));
                        build(StatusCode::OK, typed(format), body)
                    }
                });
            }
        }
    }
    let body = ResponseBody::filtered(body, StreamFilter::Trace(Box::new(filter)), out, held);
    Ok(build(StatusCode::OK, typed(format), body))
}

/// Tempo's own response for a trace it does not have: in v1 a 404 without a body, in v2 a 200 with
/// an empty trace.
fn not_found(api: TraceApi, format: Format) -> Response<ResponseBody> {
    let empty = match (api, format) {
        (TraceApi::V1, _) => {
            return build(
                StatusCode::NOT_FOUND,
                HeaderMap::new(),
                ResponseBody::whole(""),
            );
        }
        (TraceApi::V2, Format::Json) => Bytes::from_static(NOT_FOUND_V2_JSON.as_bytes()),
        (TraceApi::V2, Format::Protobuf) => Bytes::from_static(NOT_FOUND_V2_PROTOBUF),
    };
    build(StatusCode::OK, typed(format), ResponseBody::whole(empty))
}

fn typed(format: Format) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(format.media_type()))])
}

/// An error of Tempo: its status, and a text that may be shown.
async fn failed(
    status: StatusCode,
    body: Streamed,
    room: &Room,
) -> Result<Response<ResponseBody>, ProxyError> {
    if !status.is_client_error() && !status.is_server_error() {
        return Err(unreadable(&format!("its status is {status}")));
    }
    let text = body.collect(&room.with_limit(MAX_ERROR_BYTES)).await;
    let text = text.unwrap_or_default();
    let text = errors::http_text(status.as_u16(), &text).into_owned();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, plain)]);
    Ok(build(status, headers, ResponseBody::whole(text)))
}
