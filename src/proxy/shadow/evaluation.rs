//! Runs the steps that a request would have taken, until it would have been sent. Whatever the
//! result, the request is forwarded unmodified.

use std::time::Duration;

use bytes::Bytes;
use hyper::body::Body as _;

use super::ShadowVerdict;
use crate::body::{Ahead, ClientBody, Pace, ReceivedBody, RequestBody};
use crate::proxy::context::RequestContext;
use crate::proxy::defect::caught_now;
use crate::proxy::enforce::{Enforced, Enforcement};
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::proxy::pipeline::{Authenticated, Authorized, Complete, Decided, Routed};
use crate::proxy::receive;

/// No request waits longer than this for an issuer that does not respond.
const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(2);

/// Authenticates the caller, with a short timeout.
pub(super) async fn authenticate(
    routed: Routed<()>,
    context: &RequestContext,
) -> Result<Authenticated<()>, ProxyError> {
    let within = tokio::time::timeout(AUTHENTICATION_TIMEOUT, routed.authenticate(context)).await;
    within.unwrap_or_else(|_elapsed| {
        Err(ProxyError::new(
            ErrorKind::KeysUnavailable,
            "the keys of the token's issuer did not come in time",
        ))
    })
}

/// A request after the last step that it passed, with its body.
pub(super) struct Evaluation {
    request: Result<Complete, ProxyError>,
    body: RequestBody,
}

/// Receives the body, if enforcement would read it.
///
/// # Errors
/// When the body is incomplete or too slow, or the client has too many incomplete bodies.
pub(super) async fn receive(
    authorized: Result<Authorized<()>, ProxyError>,
    body: ReceivedBody,
    context: &RequestContext,
) -> Result<Evaluation, ProxyError> {
    let pace = Pace::of_client(context.settings());
    let untouched = |request, body| Evaluation {
        request,
        body: ClientBody::Streaming(body).into_request(pace),
    };
    let authorized = match authorized {
        Ok(authorized) => authorized,
        Err(error) => return Ok(untouched(Err(error), body)),
    };
    let reader = match authorized.reads_body(context, !body.is_end_stream()) {
        Ok(reader) => reader.cloned(),
        Err(error) => return Ok(untouched(Err(error), body)),
    };
    let Some(reader) = reader else {
        let request = authorized.with_body(ClientBody::Buffered(Bytes::new()));
        return Ok(untouched(Ok(request), body));
    };
    let (request, body) = match receive::ahead(context, reader.holder(), body).await? {
        Ahead::Whole(bytes) => {
            let request = authorized.with_body(ClientBody::Buffered(bytes.clone()));
            (Ok(request), ClientBody::Buffered(bytes).into_request(pace))
        }
        Ahead::Cut(cut) => {
            let (why, body) = cut.into_request();
            (Err(receive::unreceived(&why, context)), body)
        }
    };
    Ok(Evaluation { request, body })
}

/// What enforcement would have done to a request.
pub(super) struct Evaluated {
    pub(super) verdict: ShadowVerdict,
    /// The request that would have been sent, if it is exactly one.
    pub(super) confined: Option<Enforced>,
    /// The body to forward.
    pub(super) body: RequestBody,
}

impl Evaluation {
    /// Enforces it, unless it would have been refused before: `over` is the error if its tenants'
    /// limits are exceeded.
    pub(super) fn enforce(self, over: Option<ProxyError>, context: &RequestContext) -> Evaluated {
        let Self { request, body } = self;
        let request = request.and_then(|request| over.map_or(Ok(request), Err));
        let enforce = |request: Complete| request.for_evaluation().enforce(context);
        let decided = request.and_then(|request| caught_now(|| enforce(request), &context.metrics));
        let (verdict, confined) = match decided {
            Ok(Decided {
                enforcement: Enforcement::One(enforced),
                decision,
                ..
            }) => (ShadowVerdict::sent(decision), Some(enforced)),
            Ok(Decided {
                enforcement: Enforcement::Answered(_),
                decision,
                ..
            }) => (ShadowVerdict::sent(decision), None),
            // A query of several clusters is not for this upstream alone, and the responses to side
            // requests are unknown.
            Ok(_) => (ShadowVerdict::undecided(), None),
            Err(error) => {
                let redaction = context.queries.redaction();
                (ShadowVerdict::refused(&error, redaction), None)
            }
        };
        Evaluated {
            verdict,
            confined,
            body,
        }
    }
}
