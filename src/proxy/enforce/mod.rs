//! The one place where a request becomes one that may be sent: confined to its caller's scope,
//! or known to need no confinement.

mod closed;
mod metrics;
mod passthrough;

use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hyper::{Method, Request, body::Incoming};

use super::body::{RemapPosition, RequestBody};
use super::error::{ErrorKind, ProxyError};
use super::route::{Route, Target};
use super::snapshot::Snapshot;
use crate::auth::Caller;
use crate::promql::Confined;
use crate::telemetry::metrics::Metrics;
use crate::tenancy::{Matchers, TenantScope};
use crate::upstream::Upstream;

pub(super) use self::metrics::Filter;

/// A request that may be sent. Only this module makes one, and
/// [`forward`](super::forward::forward) takes nothing else.
pub(super) struct Enforced {
    upstream: Arc<Upstream>,
    request: Request<RequestBody>,
    plan: ResponsePlan,
}

/// What must happen to the answer.
pub(super) enum ResponsePlan {
    /// Outside the data APIs: as it comes.
    PassThrough,
    /// A data API's answer that is the caller's in every byte, or not ours to read (text,
    /// snappy): streamed.
    Stream,
    /// A confined query's JSON answer: streamed, its warnings scrubbed. The confined query, where
    /// there is one, tells where its positions stood in the caller's own text.
    Scrub(Option<Origin>),
    /// An answer that no query could confine: read whole and filtered.
    Filter(Filter),
}

impl ResponsePlan {
    /// Where positions in the upstream's texts come from, if the caller wrote a query.
    pub(super) fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Scrub(origin) => origin.as_ref(),
            Self::PassThrough | Self::Stream | Self::Filter(_) => None,
        }
    }
}

/// A confined query, to carry positions in it back to the caller's own text.
#[derive(Clone)]
pub(super) struct Origin(Arc<Confined>);

impl Origin {
    /// The way back.
    pub(super) fn remap(&self) -> RemapPosition {
        let confined = Arc::clone(&self.0);
        Box::new(move |position| {
            let written = confined.original();
            position.remap(confined.text(), &written, |sent| {
                confined.original_offset(sent)
            })
        })
    }
}

impl Enforced {
    fn new(
        upstream: &Arc<Upstream>,
        method: Method,
        path_and_query: &str,
        mut headers: HeaderMap,
        body: RequestBody,
        plan: ResponsePlan,
    ) -> Result<Self, ProxyError> {
        let uri = upstream.uri(path_and_query).map_err(|error| {
            ProxyError::new(
                ErrorKind::BadRequest,
                "the request is too long to be sent on",
            )
            .because("uri")
            .caused_by(&error)
        })?;
        upstream.sign(&mut headers);
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(Self {
            upstream: Arc::clone(upstream),
            request,
            plan,
        })
    }

    /// Shows the upstream this token, with our own questions too.
    fn show(&mut self, token: &HeaderValue) {
        let headers = self.request.headers_mut();
        headers.insert(AUTHORIZATION, token.clone());
        if let ResponsePlan::Filter(Filter::Metadata { names, .. }) = &mut self.plan {
            names.show(token);
        }
    }

    /// Gives it up to be sent.
    pub(super) fn into_parts(self) -> (Arc<Upstream>, Request<RequestBody>, ResponsePlan) {
        (self.upstream, self.request, self.plan)
    }
}

/// Enforces the route's rule.
pub(super) async fn enforce(
    snapshot: &Snapshot,
    route: &Route,
    caller: Option<Arc<Caller>>,
    request: Request<Incoming>,
    metrics: &Metrics,
) -> Result<Enforced, ProxyError> {
    let token = caller
        .as_deref()
        .filter(|_| route.upstream.forwards_token())
        .and_then(|caller| bearer(caller, request.headers()));
    let mut enforced = confine(snapshot, route, caller, request, metrics).await?;
    if let Some(token) = token {
        enforced.show(&token);
    }
    Ok(enforced)
}

/// The caller's token as the upstream reads it, whichever header it came in.
fn bearer(caller: &Caller, headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(caller.principal().header())?;
    if caller.principal().header() == AUTHORIZATION {
        return Some(value.clone());
    }
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", value.to_str().ok()?)).ok()?;
    bearer.set_sensitive(true);
    Some(bearer)
}

async fn confine(
    snapshot: &Snapshot,
    route: &Route,
    caller: Option<Arc<Caller>>,
    request: Request<Incoming>,
    metrics: &Metrics,
) -> Result<Enforced, ProxyError> {
    if let Target::PassThrough = route.target {
        return passthrough::enforce(snapshot, route, request);
    }
    // A data API is never reached without a caller.
    let caller = caller.ok_or_else(|| {
        ProxyError::new(
            ErrorKind::Internal,
            "this endpoint was reached without a token",
        )
    })?;
    match &route.target {
        Target::Metrics(endpoint) => {
            metrics::enforce(snapshot, route, endpoint, &caller, request, metrics).await
        }
        Target::Closed(group) => closed::enforce(snapshot, route, *group, &caller, request),
        Target::Misplaced => Err(closed::misplaced()),
        Target::Traces | Target::PassThrough => Err(closed::traces()),
    }
}

/// The caller's scope.
fn scope(caller: &Caller) -> Result<&TenantScope, ProxyError> {
    caller.scope().map_err(|refusal| {
        ProxyError::new(ErrorKind::Forbidden, refusal.to_string()).because("no_tenants")
    })
}

/// The matchers that a caller with some tenants must carry.
fn matchers_of(caller: &Caller) -> Result<&Matchers, ProxyError> {
    let matchers = match scope(caller)? {
        TenantScope::Tenants(tenants) => tenants.metrics(),
        TenantScope::AllTenants => None,
    };
    matchers.ok_or_else(|| {
        ProxyError::new(
            ErrorKind::Forbidden,
            "tenancy.metrics.label is not configured",
        )
        .because("no_label")
    })
}
