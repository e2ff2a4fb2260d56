//! The steps of a request until it would be sent. Each is a type that only the step before it can
//! make, so none can be skipped or reordered.
//!
//! | type | what is known by then |
//! |---|---|
//! | [`Received`] | the headers are unambiguous; the path has lost its cluster's prefix |
//! | [`Routed`] | the endpoint and the upstream, from closed tables |
//! | [`Authenticated`] | the caller |
//! | [`Authorized`] | that the caller may use the route's cluster |
//! | [`Complete`] | the body, if enforcement reads it |
//! | [`Admitted`] | that the request has its permits, or that nothing will be sent |
//! | [`Decided`] | what may be sent, and the decision's name |
//!
//! Three drivers run these steps: [`serve`](super::serve) to send the result,
//! [`shadow`](super::shadow) to report it while the request is forwarded unmodified, and
//! [`explain`](super::explain) to show it. A step that is added here is in all three.

use std::sync::Arc;

use hyper::body::Body as _;
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use hyper::{Method, Request};

use super::context::RequestContext;
use super::enforce::{self, Enforcement};
use super::error::{Dialect, ProxyError};
use super::limits::{self, Permits, Tenants};
use super::route::cluster::{self, Cluster};
use super::route::{self, Route, entry};
use super::rules::Rules;
use super::{authenticate, authorize, receive};
use crate::auth::Caller;
use crate::body::{ClientBody, ReceivedBody};
use crate::telemetry::metrics::Decision;

/// A request whose headers are unambiguous.
pub(super) struct Received<'r, B> {
    rules: &'r Rules,
    cluster: Cluster<'r>,
    request: Split<B>,
}

/// A request without its body. On the heap, since every step takes it from the one before.
type Head = Box<Request<()>>;

/// A request whose body is beside its head.
struct Split<B> {
    head: Head,
    body: B,
}

impl<B> Split<B> {
    fn of(request: Request<B>) -> Self {
        let (head, body) = request.into_parts();
        let head = Box::new(Request::from_parts(head, ()));
        Self { head, body }
    }
}

impl<'r, B> Received<'r, B> {
    pub(super) fn new(rules: &'r Rules, request: Request<B>) -> Result<Self, ProxyError> {
        let mut request = Split::of(request);
        let head = &mut *request.head;
        let host = entry::check(head, rules.settings().limits.uri_bytes)?;
        // A prefix has one spelling; the path behind it is cleaned.
        let cluster = cluster::enter(rules, host, head)?;
        entry::clean(head)?;
        entry::without_last_slash(head)?;
        Ok(Self {
            rules,
            cluster,
            request,
        })
    }

    /// How errors are written before there is a route.
    pub(super) fn dialect(&self) -> Dialect {
        Dialect::of_request(&self.request.head)
    }

    /// Finds its route.
    pub(super) fn route(self) -> Result<Routed<B>, ProxyError> {
        let Self {
            rules,
            cluster,
            request,
        } = self;
        let path = entry::path(&request.head)?;
        let route = route::route(rules, &cluster, &request.head, &path)?;
        Ok(Routed { request, route })
    }
}

/// A request with its route.
pub(super) struct Routed<B> {
    request: Split<B>,
    route: Route,
}

impl<B> Routed<B> {
    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    pub(super) fn method(&self) -> &Method {
        self.request.head.method()
    }

    /// Splits off the body, which no step before enforcement reads.
    pub(super) fn detach_body(self) -> (Routed<()>, B) {
        let Split { head, body } = self.request;
        let (request, route) = (Split { head, body: () }, self.route);
        (Routed { request, route }, body)
    }

    /// Verifies the caller's token.
    pub(super) async fn authenticate(
        self,
        context: &RequestContext,
    ) -> Result<Authenticated<B>, ProxyError> {
        let Self { request, route } = self;
        let caller = authenticate::authenticate(context, &route, request.head.headers()).await?;
        Ok(Authenticated {
            request,
            route,
            caller,
        })
    }

    /// Assumes this caller, to see what enforcement would do.
    pub(super) fn assuming(self, caller: Arc<Caller>) -> Authenticated<B> {
        let Self { request, route } = self;
        Authenticated {
            request,
            route,
            caller: Some(caller),
        }
    }
}

impl Routed<()> {
    /// A copy of its headers.
    pub(super) fn head(&self) -> Parts {
        (*self.request.head).clone().into_parts().0
    }
}

/// A request with its caller; `None` where the route requires no token.
pub(super) struct Authenticated<B> {
    request: Split<B>,
    route: Route,
    caller: Option<Arc<Caller>>,
}

impl<B> Authenticated<B> {
    pub(super) fn caller(&self) -> Option<&Arc<Caller>> {
        self.caller.as_ref()
    }

    /// Refuses a cluster that the caller may not use.
    pub(super) fn authorize(self) -> Result<Authorized<B>, ProxyError> {
        authorize::authorize(&self.route, self.caller.as_deref())?;
        Ok(Authorized(self))
    }
}

/// A request whose caller may use the route's cluster.
pub(super) struct Authorized<B>(Authenticated<B>);

impl<B> Authorized<B> {
    pub(super) fn headers(&self) -> &HeaderMap {
        self.0.request.head.headers()
    }
}

impl Authorized<ReceivedBody> {
    /// Receives the body, if enforcement reads it.
    pub(super) async fn receive(self, context: &RequestContext) -> Result<Complete, ProxyError> {
        let Self(Authenticated {
            request,
            route,
            caller,
        }) = self;
        let Split { head, body } = request;
        let has_body = !body.is_end_stream();
        let authorized = Authorized(Authenticated {
            request: Split { head, body: () },
            route,
            caller,
        });
        let body = match authorized.reads_body(context, has_body)? {
            Some(caller) => {
                let whole = Box::pin(receive::whole(context, caller.holder(), body));
                ClientBody::Buffered(whole.await?)
            }
            None => ClientBody::Streaming(body),
        };
        Ok(authorized.with_body(body))
    }
}

impl Authorized<()> {
    /// The caller that the body is received for, if enforcement reads it.
    ///
    /// # Errors
    /// When the request is refused whatever its body is.
    pub(super) fn reads_body(
        &self,
        context: &RequestContext,
        has_body: bool,
    ) -> Result<Option<&Arc<Caller>>, ProxyError> {
        let Authenticated {
            request,
            route,
            caller,
        } = &self.0;
        let Some(caller) = caller.as_ref().filter(|_| has_body) else {
            return Ok(None);
        };
        let reads = enforce::reads_body(context, route, caller, &request.head)?;
        Ok(reads.then_some(caller))
    }

    /// The request with the part of its body that was received.
    pub(super) fn with_body(self, body: ClientBody) -> Complete {
        let Authenticated {
            request,
            route,
            caller,
        } = self.0;
        Complete(Authenticated {
            request: Split {
                head: request.head,
                body,
            },
            route,
            caller,
        })
    }
}

/// A request whose body was received, or will be streamed.
pub(super) struct Complete(Authenticated<ClientBody>);

impl Complete {
    /// Takes its permits, which the request holds until its response has ended.
    pub(super) fn admit(
        self,
        context: &RequestContext,
        tenants: &Arc<Tenants>,
    ) -> Result<(Admitted, Permits), ProxyError> {
        let permits = limits::admit(context, tenants, self.0.caller())?;
        Ok((Admitted(self.0), permits))
    }

    /// Takes no permit: the request is only evaluated.
    pub(super) fn for_evaluation(self) -> Admitted {
        Admitted(self.0)
    }
}

/// A request that may be enforced.
pub(super) struct Admitted(Authenticated<ClientBody>);

impl Admitted {
    /// Enforces the route's rule.
    pub(super) fn enforce(self, context: &RequestContext) -> Result<Decided, ProxyError> {
        let Authenticated {
            request,
            route,
            caller,
        } = self.0;
        let Split { head, body } = request;
        let request = head.map(|()| body);
        let (enforcement, decision) = enforce::enforce(context, &route, caller.as_ref(), request)?;
        Ok(Decided {
            enforcement,
            decision,
            route,
            caller,
        })
    }
}

/// The result of enforcement.
pub(super) struct Decided {
    pub(super) enforcement: Enforcement,
    /// The decision's name in metrics and audit.
    pub(super) decision: Decision,
    pub(super) route: Route,
    pub(super) caller: Option<Arc<Caller>>,
}
