//! The one place where a request becomes one that may be sent: confined to its caller's scope,
//! or known to need no confinement.

mod closed;
mod clusters;
mod decision;
mod grpc;
mod guard;
mod input;
mod metrics;
mod passthrough;
mod shadow;
mod traces;

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Version};

use super::error::{ErrorKind, ProxyError};
use super::query_log::Journal;
use super::route::{Route, Target, no_upstream};
use super::snapshot::Snapshot;
use crate::auth::Caller;
use crate::body::{ClientBody, RemapPosition, RequestBody};
use crate::promql::Confined;
use crate::shares::Holder;
use crate::telemetry::metrics::{Decision, Metrics};
use crate::tenancy::{Matchers, TenantScope};
use crate::upstream::Upstream;

pub(super) use self::grpc::GrpcAnswer;
pub(super) use self::metrics::Filter;
pub(super) use self::shadow::as_it_came;
pub(super) use self::traces::{TracesAnswer, WholeAnswer};

/// A request that may be sent. Only this module makes one, and
/// [`forward`](super::forward::forward) takes nothing else. But for
/// [`as_it_came`], all that make one enforce.
pub(super) struct Enforced {
    upstream: Arc<Upstream>,
    request: Request<RequestBody>,
    plan: ResponsePlan,
    holder: Holder,
}

/// What enforcement makes of a request.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every request is the large one"
)]
pub(super) enum Outgoing {
    /// To be sent.
    One(Enforced),
    /// To be sent to several clusters, in the order of their names.
    Several(Vec<(Arc<str>, Enforced)>),
    /// Not sent at all: this JSON is the answer.
    Here(Vec<u8>),
}

/// What must happen to the answer.
pub(super) enum ResponsePlan {
    /// Outside the data APIs: as it comes.
    PassThrough,
    /// A data API's answer to a caller with all tenants, errors among them: as it comes.
    AllTenants,
    /// A data API's answer that is the caller's in every byte, or not ours to read (text,
    /// snappy): streamed.
    Stream,
    /// A confined query's JSON answer: streamed, its warnings scrubbed. The confined query, where
    /// there is one, tells where its positions stood in the caller's own text.
    Scrub(Option<Origin>),
    /// An answer that no query could confine: read whole and filtered.
    Filter(Filter),
    /// An answer of the traces API.
    Traces(TracesAnswer),
    /// An answer of the traces API by gRPC.
    Grpc(GrpcAnswer),
}

impl ResponsePlan {
    /// Where positions in the upstream's texts come from, if the caller wrote a query.
    pub(super) fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Scrub(origin) => origin.as_ref(),
            Self::PassThrough
            | Self::AllTenants
            | Self::Stream
            | Self::Filter(_)
            | Self::Traces(_)
            | Self::Grpc(_) => None,
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
    /// Names the span that the upstream's own are part of.
    pub(super) fn set_traceparent(&mut self, parent: HeaderValue) {
        self.request.headers_mut().insert("traceparent", parent);
    }

    /// How long its answer may take where it is read whole and others wait for it.
    pub(super) fn whole_within(&self) -> Duration {
        let timeouts = &self.upstream.settings().timeouts;
        timeouts.response_head + timeouts.body_idle
    }

    /// Where it goes.
    pub(super) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// What would be sent.
    pub(super) fn request(&self) -> &Request<RequestBody> {
        &self.request
    }

    /// What must happen to the answer.
    pub(super) fn plan(&self) -> &ResponsePlan {
        &self.plan
    }

    /// For whom it and its answer take up memory.
    pub(super) fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Gives it up to be sent.
    pub(super) fn into_parts(self) -> (Arc<Upstream>, Request<RequestBody>, ResponsePlan, Holder) {
        (self.upstream, self.request, self.plan, self.holder)
    }
}

/// The way out: an upstream, and what we show it. Enforcement alone uses it, to make what may be
/// sent and the questions of our own that go with it.
#[derive(Clone)]
struct Outward {
    upstream: Arc<Upstream>,
    /// The caller's own token, where the upstream is to see it.
    token: Option<HeaderValue>,
    /// For whom what is sent, and its answer, take up memory.
    holder: Holder,
}

impl Outward {
    fn new(
        snapshot: &Snapshot,
        upstream: &Arc<Upstream>,
        caller: Option<&Caller>,
        headers: &HeaderMap,
    ) -> Self {
        let holder = snapshot.authenticator().holder_of(caller).clone();
        let upstream = Arc::clone(upstream);
        let token = caller
            .filter(|_| upstream.forwards_token())
            .and_then(|caller| bearer(caller, headers));
        Self {
            upstream,
            token,
            holder,
        }
    }

    fn request(
        &self,
        method: Method,
        path_and_query: &str,
        headers: HeaderMap,
        body: RequestBody,
        plan: ResponsePlan,
    ) -> Result<Enforced, ProxyError> {
        let uri = self.upstream.uri(path_and_query).map_err(|error| {
            ProxyError::new(
                ErrorKind::BadRequest,
                "the request is too long to be sent on",
            )
            .because("uri")
            .caused_by(&error)
        })?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        self.upstream.sign(request.headers_mut());
        Ok(self.enforced(request, plan))
    }

    fn grpc(
        &self,
        path: &'static str,
        headers: HeaderMap,
        body: RequestBody,
        plan: ResponsePlan,
    ) -> Result<Enforced, ProxyError> {
        let uri = self.upstream.grpc_uri(path).map_err(|error| {
            ProxyError::new(ErrorKind::Internal, "the upstream has no address").caused_by(&error)
        })?;
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        self.upstream.sign(request.headers_mut());
        // HTTP/2 says it in `:authority`.
        request.headers_mut().remove(HOST);
        Ok(self.enforced(request, plan))
    }

    fn enforced(&self, mut request: Request<RequestBody>, plan: ResponsePlan) -> Enforced {
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        Enforced {
            upstream: Arc::clone(&self.upstream),
            request,
            plan,
            holder: self.holder.clone(),
        }
    }
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

/// Whether enforcement looks at the request's body, which then has to be received before.
///
/// # Errors
/// When the request is refused whatever its body is.
pub(super) fn reads_body(
    snapshot: &Snapshot,
    route: &Route,
    caller: &Caller,
    head: &Parts,
) -> Result<bool, ProxyError> {
    match &route.target {
        Target::Metrics(endpoint) | Target::ClusterQuery(endpoint) => {
            metrics::admitted(endpoint, caller, &head.method)?;
            input::check(head, true, endpoint)?;
            Ok(true)
        }
        Target::Traces(endpoint) => traces::reads_body(snapshot, endpoint, caller, head),
        Target::Grpc(_) => {
            grpc::check_format(&head.headers)?;
            Ok(true)
        }
        Target::Closed(_)
        | Target::UnknownGrpc
        | Target::Malformed(_)
        | Target::Misplaced
        | Target::Clusters
        | Target::NoCluster
        | Target::PassThrough => Ok(false),
    }
}

/// Enforces the route's rule, and says what was decided.
pub(super) async fn enforce(
    snapshot: &Snapshot,
    route: &Route,
    caller: Option<Arc<Caller>>,
    request: Request<ClientBody>,
    metrics: &Metrics,
    journal: &Journal,
) -> Result<(Outgoing, Decision), ProxyError> {
    let target = &route.target;
    let of_caller = caller.clone();
    let outgoing = match (target, caller) {
        (Target::Clusters, Some(caller)) => clusters::list(route, &caller, request.method())?,
        (Target::ClusterQuery(endpoint), Some(caller)) => {
            clusters::query(
                snapshot, route, endpoint, &caller, request, metrics, journal,
            )
            .await?
        }
        (_, caller) => {
            let upstream = route.upstream.as_ref().ok_or_else(no_upstream)?;
            let outward = Outward::new(snapshot, upstream, caller.as_deref(), request.headers());
            let enforced =
                by_target(snapshot, target, outward, caller, request, metrics, journal).await?;
            Outgoing::One(enforced)
        }
    };
    let decision = match &outgoing {
        Outgoing::One(enforced) => decision::of(target, &enforced.plan, of_caller.as_deref()),
        Outgoing::Several(_) => decision::of_scope(of_caller.as_deref(), Decision::Confined),
        Outgoing::Here(_) => decision::of_scope(of_caller.as_deref(), Decision::Filtered),
    };
    Ok((outgoing, decision))
}

async fn by_target(
    snapshot: &Snapshot,
    target: &Target,
    outward: Outward,
    caller: Option<Arc<Caller>>,
    request: Request<ClientBody>,
    metrics: &Metrics,
    journal: &Journal,
) -> Result<Enforced, ProxyError> {
    let Some(caller) = caller else {
        return match target {
            Target::PassThrough => passthrough::enforce(snapshot, &outward, request),
            // A data API is never reached without a caller.
            _ => Err(misled("this endpoint was reached without a token")),
        };
    };
    match target {
        Target::Metrics(endpoint) => {
            metrics::enforce(
                snapshot, outward, endpoint, &caller, request, metrics, journal,
            )
            .await
        }
        Target::Traces(endpoint) => {
            traces::enforce(
                snapshot, &outward, endpoint, &caller, request, metrics, journal,
            )
            .await
        }
        Target::Grpc(method) => {
            grpc::enforce(
                snapshot, outward, *method, &caller, request, journal, metrics,
            )
            .await
        }
        Target::Closed(group) => closed::enforce(snapshot, &outward, *group, &caller, request),
        Target::UnknownGrpc => Err(grpc::unknown()),
        Target::Malformed(error) => {
            Err(ProxyError::new(ErrorKind::BadRequest, error.to_string()).because("path"))
        }
        Target::Misplaced => Err(closed::misplaced()),
        Target::Clusters | Target::ClusterQuery(_) | Target::NoCluster => {
            Err(misled("this endpoint has no upstream of its own"))
        }
        Target::PassThrough => passthrough::enforce(snapshot, &outward, request),
    }
}

/// What no route leads to.
fn misled(text: &'static str) -> ProxyError {
    ProxyError::new(ErrorKind::Internal, text)
}

/// The caller's scope.
pub(super) fn scope(caller: &Caller) -> Result<&TenantScope, ProxyError> {
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
