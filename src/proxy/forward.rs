//! Sends a request to the upstream. Accepts only what enforcement made.

use std::sync::Arc;
use std::time::Instant;

use hyper::{Response, body::Incoming};

use super::context::RequestContext;
use super::enforce::{Enforced, Parts, ResponsePlan};
use super::error::{ErrorKind, ProxyError};
use super::receive;
use crate::body::BodyError;
use crate::reason::Reason;
use crate::shares::Holder;
use crate::upstream::{Upstream, UpstreamError, with_causes};

/// An upstream's response, and what enforcement planned for it.
pub(super) struct Answered {
    /// Unmodified.
    pub response: Response<Incoming>,
    pub upstream: Arc<Upstream>,
    pub plan: ResponsePlan,
    /// Whose budget its buffers are charged to.
    pub holder: Holder,
}

/// Sends an enforced request.
pub(super) async fn forward(
    enforced: Enforced,
    context: &RequestContext,
) -> Result<Answered, ProxyError> {
    let repeat = enforced.repeat();
    let Parts {
        upstream,
        request,
        plan,
        holder,
    } = enforced.into_parts();
    if upstream.ignores_org_id() {
        return Err(ProxyError::new(
            ErrorKind::UpstreamAnswer,
            "the traces store does not keep tenants apart, so no requests are sent to it; ask the \
             operator, who finds the cause in `/-/ready` and the log",
        )
        .because(Reason::OrgIdIgnored));
    }
    let sent = Instant::now();
    // On the heap: it holds what is needed to send the request a second time.
    match Box::pin(upstream.send(request, repeat)).await {
        Ok(response) => {
            context
                .metrics
                .upstream_request(upstream.name(), "answered", sent.elapsed());
            Ok(Answered {
                response,
                upstream,
                plan,
                holder,
            })
        }
        Err(error) => {
            let error = refusal(&error);
            context.metrics.upstream_request(
                upstream.name(),
                error.reason().label(),
                sent.elapsed(),
            );
            Err(error)
        }
    }
}

fn refusal(error: &UpstreamError) -> ProxyError {
    match error {
        UpstreamError::Timeout(within) => ProxyError::new(
            ErrorKind::UpstreamTimeout,
            format!("the upstream did not answer within {within:?} (timeouts.response_head)"),
        ),
        UpstreamError::Unreachable(cause) => match client_error(cause) {
            Some(broken) => receive::aborted(broken),
            None => ProxyError::new(
                ErrorKind::UpstreamUnreachable,
                "the upstream cannot be reached; try again, or ask the operator",
            )
            .caused_by(&with_causes(cause)),
        },
    }
}

/// Why the client's own body could not be forwarded, if that is what failed.
fn client_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e BodyError> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<BodyError>() {
            return Some(error);
        }
        source = cause.source();
    }
    None
}
