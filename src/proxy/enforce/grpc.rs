//! gRPC calls of the traces API: their one request message is rewritten as the parameters of the
//! equivalent HTTP endpoints are.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};

use super::traces::{TracesScope, org_id};
use super::{
    Enforced, GrpcAnswer, Page, ResponsePlan, UpstreamTarget, WholeAnswer, guard, input,
    query_size, traces,
};
use crate::auth::Caller;
use crate::body::{ClientBody, RequestBody};
use crate::grpc::frame::{self, Decoder};
use crate::grpc::method::{self, Method};
use crate::headers;
use crate::proxy::context::RequestContext;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::reason::Reason;
use crate::tempo::requests::{self, RequestError, TagSearch};
use crate::traceql::{Refusal, TagBasedSearch};

/// The error for a method that is not served.
pub(super) fn unknown() -> ProxyError {
    ProxyError::new(
        ErrorKind::Unimplemented,
        "this gRPC method is not served; tempopb.StreamingQuerier and grpc.health.v1.Health/Check \
         are",
    )
}

/// Confines a call.
pub(super) fn enforce(
    context: &RequestContext,
    target: &UpstreamTarget,
    method: Method,
    caller: &Caller,
    request: Request<ClientBody>,
) -> Result<Enforced, ProxyError> {
    let (head, body) = request.into_parts();
    check_format(&head.headers)?;
    let message = one_message(context, body)?;
    query_size::grpc(context, method, &message)?;
    guard::grpc(context, caller, method, &message)?;
    let budget = context.budget(caller.holder());
    let framed = |message: &[u8]| {
        let message = budget.hold(framed(message)?)?;
        Ok::<_, ProxyError>(RequestBody::Whole(Some(message)))
    };
    let mut headers = for_upstream(&head.headers);
    let as_it_is = |headers| {
        let plan = ResponsePlan::Grpc(GrpcAnswer::Unmodified);
        target.grpc(method.client_path(), headers, framed(&message)?, plan)
    };
    let scope = match TracesScope::of(context, caller)? {
        TracesScope::All => return as_it_is(headers),
        TracesScope::OrgId(id) => {
            headers.extend(org_id::header(id));
            return as_it_is(headers);
        }
        TracesScope::Confined(_) if method == Method::HealthCheck => return as_it_is(headers),
        TracesScope::Confined(scope) => scope,
    };
    let noted = |query: &str, rewritten: Result<String, Refusal>| {
        context.queries.received(query);
        rewritten.inspect(|rewritten| context.queries.forwarded(rewritten))
    };
    let (message, answer) = match method {
        Method::Search => {
            let (mut hidden, mut is_tag_search) = (scope.hidden(""), true);
            let search = |query: &str| {
                (hidden, is_tag_search) = (scope.hidden(query), false);
                noted(query, scope.search(query))
            };
            let (message, range) = requests::search(&message, search, |tags| {
                noted("", scope.tag_search(&tag_search(tags)))
            })
            .map_err(refusal)?;
            (
                message,
                WholeAnswer::Search(Page {
                    ownership: scope.ownership(target, range),
                    hidden,
                    is_tag_search,
                }),
            )
        }
        Method::SearchTags | Method::SearchTagsV2 => {
            let asked = requests::tag_names::<Refusal>(&message).map_err(refusal)?;
            let version = traces::tags_version(method == Method::SearchTags);
            let (query, plan) =
                traces::names_plan(context, target, version, &asked.params, &scope)?;
            context.queries.received(asked.params.query);
            context.queries.forwarded(&query);
            (asked.message(&query), WholeAnswer::Tags(plan))
        }
        Method::SearchTagValues | Method::SearchTagValuesV2 => {
            let version = traces::tags_version(method == Method::SearchTagValues);
            let asked = requests::tag_values::<Refusal>(&message, version).map_err(refusal)?;
            let requests = scope.tag_values(asked.tag.clone(), asked.params.query)?;
            let (first, plan) =
                traces::values_plan(context, target, version, &asked.params, requests)?;
            context.queries.received(asked.params.query);
            context.queries.forwarded(&first.query);
            (
                asked.message(&first.tag, &first.query),
                WholeAnswer::Tags(plan),
            )
        }
        Method::MetricsQueryRange | Method::MetricsQueryInstant => {
            let mut hidden = scope.hidden("");
            let confine = |query: &str| {
                hidden = scope.hidden(query);
                noted(query, scope.metrics(query))
            };
            let message = match method {
                Method::MetricsQueryInstant => requests::metrics_query_instant(&message, confine),
                _ => requests::metrics_query_range(&message, confine),
            }
            .map_err(refusal)?;
            (
                message,
                WholeAnswer::Metrics {
                    trust: scope.is_trusted(),
                    hidden,
                },
            )
        }
        Method::HealthCheck => return Err(unknown()),
    };
    let plan = ResponsePlan::Grpc(GrpcAnswer::Filtered(Arc::new(answer)));
    target.grpc(method.upstream_path(), headers, framed(&message)?, plan)
}

fn tag_search(search: &TagSearch) -> TagBasedSearch {
    TagBasedSearch {
        tags: search.tags.clone(),
        min_duration_ms: search.min_duration_ms,
        max_duration_ms: search.max_duration_ms,
    }
}

pub(super) fn check_format(headers: &HeaderMap) -> Result<(), ProxyError> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if content_type.is_some_and(method::is_grpc) {
        return Ok(());
    }
    Err(ProxyError::new(
        ErrorKind::UnsupportedMediaType,
        "send application/grpc+proto",
    ))
}

/// The message of a call that has exactly one.
fn one_message(context: &RequestContext, body: ClientBody) -> Result<Bytes, ProxyError> {
    let limit = context.settings().limits.body_bytes;
    let body = input::whole(body)?;
    let mut decoder = Decoder::new(limit);
    decoder.push(&body);
    let frame_error = |error: frame::FrameError| {
        let kind = match error {
            frame::FrameError::Compressed => ErrorKind::Unimplemented,
            frame::FrameError::TooLong { .. } => ErrorKind::TooLarge,
            _ => ErrorKind::BadRequest,
        };
        ProxyError::new(kind, error.to_string()).because(Reason::GrpcFrame)
    };
    let message = decoder.message().map_err(frame_error)?;
    let more = decoder.message().map_err(frame_error)?;
    decoder.finish().map_err(frame_error)?;
    match (message, more) {
        (Some(message), None) => Ok(message),
        _ => Err(
            ProxyError::new(ErrorKind::BadRequest, "the call takes exactly one message")
                .because(Reason::GrpcFrame),
        ),
    }
}

/// The forwarded metadata: the headers that a data API gets, and the client's deadline.
fn for_upstream(client: &HeaderMap) -> HeaderMap {
    const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
    let mut headers = headers::for_data_request(client);
    headers.remove(hyper::header::ACCEPT_ENCODING);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
    if let Some(timeout) = client.get(&TIMEOUT) {
        headers.insert(TIMEOUT, timeout.clone());
    }
    headers
}

fn framed(message: &[u8]) -> Result<Bytes, ProxyError> {
    frame::encode(message).ok_or_else(|| {
        ProxyError::new(ErrorKind::TooLarge, "the message is too long")
            .because(Reason::MessageTooLarge)
    })
}

fn refusal(error: RequestError<Refusal>) -> ProxyError {
    match error {
        RequestError::Query(error) => traces::refusal(&error),
        RequestError::Field(_) => {
            ProxyError::new(ErrorKind::Forbidden, error.to_string()).because(Reason::Parameter)
        }
        error => {
            ProxyError::new(ErrorKind::BadRequest, error.to_string()).because(Reason::Parameters)
        }
    }
}
