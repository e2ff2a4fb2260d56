//! The difference of two traces: it cannot be filtered, so both must be wholly the caller's.

use bytes::Bytes;
use hyper::Method;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use serde::{Deserialize, Serialize};

use super::answer::TracesAnswer;
use super::scope::TracesScope;
use super::{org_id, send};
use crate::body::RequestBody;
use crate::body::budget::Room;
use crate::headers;
use crate::prometheus::form::Form;
use crate::proxy::enforce::{Enforced, Outward, ResponsePlan};
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::proxy::respond;
use crate::proxy::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;
use crate::tempo::answer::Format;
use crate::tempo::endpoints::{Endpoint, Version, check_trace_id};
use crate::tempo::trace::{TraceApi, TraceOwner, trace_is_wholly_ours};

/// `TraceDiffRequest` of Tempo's `pkg/api/http.go`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    base: Side,
    compare: Side,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<Box<str>>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Side {
    #[serde(rename = "traceId")]
    id: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<i64>,
}

/// Looks at both traces, and lets the request go up if all of both is the caller's. Spans that
/// arrive between the look and the answer are the one thing it cannot know.
pub(super) async fn enforce(
    snapshot: &Snapshot,
    outward: &Outward,
    scope: TracesScope,
    head: &Parts,
    body: &[u8],
    metrics: &Metrics,
) -> Result<Enforced, ProxyError> {
    let room = Room::for_answer(snapshot, metrics, &outward.holder);
    let difference: Difference = serde_json::from_slice(body).map_err(|error| {
        let text = format!("the body is no trace difference: {error}");
        ProxyError::new(ErrorKind::BadRequest, text)
            .because("body")
            .quoting_the_query()
    })?;
    let mut headers = headers::for_data_request(&head.headers);
    match scope {
        TracesScope::All => {}
        TracesScope::OrgId(id) => headers.extend(org_id::header(id)),
        TracesScope::Confined(scope) => {
            let owner = scope.owner()?;
            for side in [&difference.base, &difference.compare] {
                let trace = fetch(outward, side, &room, metrics).await?;
                check_ours(&trace, &owner)?;
            }
        }
    }
    let body = serde_json::to_vec(&difference).map_err(|error| {
        ProxyError::new(ErrorKind::Internal, "the request cannot be written").caused_by(&error)
    })?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static(Format::Json.media_type()));
    outward.request(
        Method::POST,
        &Endpoint::TraceDiff.upstream_path(),
        headers,
        RequestBody::Whole(Some(room.budget.hold(body)?)),
        ResponsePlan::Traces(TracesAnswer::Public),
    )
}

fn check_ours(trace: &Bytes, owner: &TraceOwner) -> Result<(), ProxyError> {
    let is_ours = trace_is_wholly_ours(trace, TraceApi::V2, owner)
        .map_err(|error| respond::unreadable(&error))?;
    if is_ours {
        return Ok(());
    }
    let text =
        "a difference is made only of traces that are there and all of whose spans are yours";
    Err(ProxyError::new(ErrorKind::Forbidden, text).because("trace_diff"))
}

async fn fetch(
    outward: &Outward,
    side: &Side,
    room: &Room,
    metrics: &Metrics,
) -> Result<Bytes, ProxyError> {
    check_trace_id(&side.id).map_err(|error| {
        ProxyError::new(ErrorKind::BadRequest, error.to_string()).because("path")
    })?;
    let endpoint = Endpoint::TraceById {
        version: Version::V2,
        id: side.id.clone(),
    };
    let mut form = Form::default();
    for (name, time) in [("start", side.start), ("end", side.end)] {
        if let Some(time) = time {
            form.push(name, time.to_string());
        }
    }
    form.push("span_pruning", "false");
    let protobuf = HeaderValue::from_static(Format::Protobuf.media_type());
    let headers = HeaderMap::from_iter([(ACCEPT, protobuf)]);
    let plan = ResponsePlan::Traces(TracesAnswer::Public);
    let question = send(outward, &endpoint.upstream_path(), &form, headers, plan)?;
    respond::companion(question, Format::Protobuf.media_type(), room, metrics).await
}
