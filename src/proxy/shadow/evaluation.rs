//! The steps that a request would have taken, up to the point where it would have been sent.
//! Whatever they come to, the request is forwarded unmodified.

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

/// No request waits longer for an issuer that does not answer.
const WHO_WITHIN: Duration = Duration::from_secs(2);

/// Waits a little for who is calling.
pub(super) async fn authenticate(
    routed: Routed<()>,
    context: &RequestContext,
) -> Result<Authenticated<()>, ProxyError> {
    let within = tokio::time::timeout(WHO_WITHIN, routed.authenticate(context)).await;
    within.unwrap_or_else(|_elapsed| {
        Err(ProxyError::new(
            ErrorKind::KeysUnavailable,
            "the keys of the token's issuer did not come in time",
        ))
    })
}

/// A request as far as it would have come, with its body beside it.
pub(super) struct Evaluation {
    request: Result<Complete, ProxyError>,
    body: RequestBody,
}

/// Receives the body, where enforcement would look at it.
///
/// # Errors
/// When the client breaks its body off or is too slow, or has too many that are incomplete.
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

/// What would have become of a request.
pub(super) struct Evaluated {
    pub(super) verdict: ShadowVerdict,
    /// What would have been sent, where that is one request.
    pub(super) confined: Option<Enforced>,
    /// What is sent.
    pub(super) body: RequestBody,
}

impl Evaluation {
    /// Enforces it, unless it would not have come so far: `over`, where its tenants' limits are
    /// exceeded.
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
            // Other clusters are not the upstream's to answer for, and what it would have been
            // asked first is not known.
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
