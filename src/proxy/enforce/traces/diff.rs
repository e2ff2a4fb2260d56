//! The difference of two traces: it cannot be filtered, so neither may have spans of other tenants.

use bytes::Bytes;
use hyper::Method;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use serde::{Deserialize, Serialize};

use super::org_id;
use super::scope::TracesScope;
use crate::body::RequestBody;
use crate::headers;
use crate::prometheus::form::Form;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::{
    Condition, Enforced, Enforcement, ResponsePlan, TracesAnswer, UpstreamTarget,
};
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::reason::Reason;
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

/// A request that may be sent once both of its traces were found to have nothing but the caller's
/// spans. Spans that arrive after that check are the one thing it cannot cover.
pub(in crate::proxy) struct TracesToVerify {
    sides: Vec<Enforced>,
    unseen: usize,
    owner: TraceOwner,
    request: Enforced,
}

impl TracesToVerify {
    /// The side request for the next trace to check, and the format of its response.
    pub(in crate::proxy) fn next_side(&mut self) -> Option<(Enforced, Format)> {
        self.sides.pop().map(|side| (side, Format::Protobuf))
    }

    /// Checks a trace.
    ///
    /// # Errors
    /// When it has spans of other tenants.
    pub(in crate::proxy) fn check(&mut self, trace: &Bytes) -> Result<(), ProxyError> {
        check_owner(trace, &self.owner)?;
        self.unseen = self.unseen.saturating_sub(1);
        Ok(())
    }

    /// The request, once both traces were checked.
    pub(in crate::proxy) fn into_request(self) -> Result<Enforced, ProxyError> {
        if self.unseen > 0 {
            return Err(ProxyError::defect());
        }
        Ok(self.request)
    }
}

/// Confines a request for the difference of two traces.
pub(super) fn enforce(
    context: &RequestContext,
    target: &UpstreamTarget,
    scope: TracesScope,
    head: &Parts,
    body: &[u8],
) -> Result<Enforcement, ProxyError> {
    let difference: Difference = serde_json::from_slice(body).map_err(|error| {
        let text = format!("the body is no trace difference: {error}");
        ProxyError::new(ErrorKind::BadRequest, text)
            .because(Reason::Body)
            .quoting_the_query()
    })?;
    let mut headers = headers::for_data_request(&head.headers);
    let condition = match scope {
        TracesScope::All => None,
        TracesScope::OrgId(id) => {
            headers.extend(org_id::header(id));
            None
        }
        TracesScope::Confined(scope) => {
            // The last one is taken first.
            let sides = [&difference.compare, &difference.base];
            let sides: Result<Vec<_>, _> =
                sides.into_iter().map(|side| trace(target, side)).collect();
            Some((sides?, scope.owner()))
        }
    };
    let body = serde_json::to_vec(&difference).map_err(|error| {
        ProxyError::new(ErrorKind::Internal, "the request cannot be written").caused_by(&error)
    })?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static(Format::Json.media_type()));
    let body = context.budget(target.holder()).hold(body)?;
    let request = target.request(
        Method::POST,
        &Endpoint::TraceDiff.upstream_path(),
        headers,
        RequestBody::Whole(Some(body)),
        ResponsePlan::Traces(TracesAnswer::Public),
    )?;
    Ok(match condition {
        None => Enforcement::One(request),
        Some((sides, owner)) => {
            let traces = TracesToVerify {
                unseen: sides.len(),
                sides,
                owner,
                request,
            };
            Enforcement::Conditional(Box::new(Condition::OwnTraces(traces)))
        }
    })
}

fn check_owner(trace: &Bytes, owner: &TraceOwner) -> Result<(), ProxyError> {
    let is_ours = trace_is_wholly_ours(trace, TraceApi::V2, owner)
        .map_err(|error| ProxyError::unreadable(&error))?;
    if is_ours {
        return Ok(());
    }
    let text = "both traces must exist, and all of their spans must be yours";
    Err(ProxyError::new(ErrorKind::Forbidden, text).because(Reason::TraceDiff))
}

/// The side request for one of the traces.
fn trace(target: &UpstreamTarget, side: &Side) -> Result<Enforced, ProxyError> {
    check_trace_id(&side.id).map_err(|error| {
        ProxyError::new(ErrorKind::BadRequest, error.to_string()).because(Reason::Path)
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
    target.side_request(&endpoint.upstream_path(), &form)
}
