//! What enforcement makes: a request that may be sent, with the plan for its response.

mod plan;
mod tags;
mod traces;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Body as _;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Version};

pub(in crate::proxy) use self::plan::{
    AlertmanagerAnswer, AlertsPage, Filter, GrpcAnswer, MetadataPlan, Origin, OwnTargets,
    ResponsePlan,
};
pub(in crate::proxy) use self::tags::{FurtherTags, NamesPlan, SentTags, TagsPlan, TagsSubject};
pub(in crate::proxy) use self::traces::{
    Hidden, Page, SharedTraces, TraceOwnership, TracesAnswer, VerifyTraces, WholeAnswer,
};
use crate::auth::Caller;
use crate::body::RequestBody;
use crate::prometheus::form::Form;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::proxy::rules::Rules;
use crate::reason::Reason;
use crate::shares::Holder;
use crate::tempo::answer::Format;
use crate::upstream::{Repeat, Upstream};

/// A request that may be sent. Only enforcement makes one, through an [`UpstreamTarget`], and
/// [`forward`](crate::proxy::forward::forward) accepts nothing else. Everything that makes one
/// enforces the rules, except [`unmodified`](crate::proxy::enforce::unmodified).
///
/// On the heap, since many steps return it.
pub(in crate::proxy) struct Enforced(Box<Parts>);

/// The parts of an [`Enforced`] request, for sending it.
pub(in crate::proxy) struct Parts {
    pub(in crate::proxy) upstream: Arc<Upstream>,
    pub(in crate::proxy) request: Request<RequestBody>,
    pub(in crate::proxy) plan: ResponsePlan,
    /// Whose budget the request and its response are charged to.
    pub(in crate::proxy) holder: Holder,
}

impl Enforced {
    /// Sets the span that the upstream's own spans are children of.
    pub(in crate::proxy) fn set_traceparent(&mut self, parent: HeaderValue) {
        self.0.request.headers_mut().insert("traceparent", parent);
    }

    /// The timeout for a complete response, where it is buffered and other responses wait for it.
    pub(in crate::proxy) fn whole_within(&self) -> Duration {
        whole_within(&self.0.upstream)
    }

    pub(in crate::proxy) fn upstream(&self) -> &Arc<Upstream> {
        &self.0.upstream
    }

    /// The request that would be sent.
    pub(in crate::proxy) fn request(&self) -> &Request<RequestBody> {
        &self.0.request
    }

    pub(in crate::proxy) fn plan(&self) -> &ResponsePlan {
        &self.0.plan
    }

    /// Whose budget the request and its response are charged to.
    pub(in crate::proxy) fn holder(&self) -> &Holder {
        &self.0.holder
    }

    /// Whether it may be sent a second time. Requests to the data APIs only read, whatever their
    /// method, except those to Alertmanager. Of what passes through, a GET or HEAD without a body is repeated, as Go's
    /// `http.Transport` does; anything else may be a write.
    pub(in crate::proxy) fn repeat(&self) -> Repeat {
        let is_safe = match &self.0.plan {
            ResponsePlan::PassThrough => {
                matches!(*self.0.request.method(), Method::GET | Method::HEAD)
                    && self.0.request.body().is_end_stream()
            }
            ResponsePlan::Alertmanager(_) => *self.0.request.method() == Method::GET,
            ResponsePlan::AllTenants
            | ResponsePlan::Stream
            | ResponsePlan::Scrub(_)
            | ResponsePlan::Filter(_)
            | ResponsePlan::Traces(_)
            | ResponsePlan::Grpc(_) => true,
        };
        if is_safe { Repeat::Once } else { Repeat::Never }
    }

    /// The parts, for sending it.
    pub(in crate::proxy) fn into_parts(self) -> Parts {
        *self.0
    }
}

/// An upstream, and what it may know about the caller. Used by enforcement only, to make requests
/// that may be sent and the side requests that go with them.
#[derive(Clone)]
pub(in crate::proxy::enforce) struct UpstreamTarget {
    upstream: Arc<Upstream>,
    /// The caller's own token, if it is forwarded to the upstream.
    token: Option<HeaderValue>,
    /// Whose budget the request and its response are charged to.
    holder: Holder,
}

impl UpstreamTarget {
    pub(in crate::proxy::enforce) fn new(
        rules: &Rules,
        upstream: &Arc<Upstream>,
        caller: Option<&Caller>,
        headers: &HeaderMap,
    ) -> Self {
        let holder = rules.authenticator().holder_of(caller).clone();
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

    pub(in crate::proxy::enforce) fn request(
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
                "with the matchers of the caller's tenants this request does not fit a URL (65534 \
                 bytes), and its endpoint takes no POST; give fewer or shorter selectors, or ask \
                 for fewer tenants",
            )
            .because(Reason::Uri)
            .caused_by(&error)
        })?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        if self.upstream.settings().compressed_answers && !matches!(plan, ResponsePlan::PassThrough)
        {
            let both = HeaderValue::from_static("zstd, gzip");
            request.headers_mut().insert(ACCEPT_ENCODING, both);
        }
        self.upstream.sign(request.headers_mut());
        Ok(self.enforced(request, plan))
    }

    /// A GET with these parameters.
    pub(in crate::proxy::enforce) fn get(
        &self,
        path: &str,
        form: &Form<'_>,
        headers: HeaderMap,
        plan: ResponsePlan,
    ) -> Result<Enforced, ProxyError> {
        let parameters = form.encode();
        let target = if parameters.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{parameters}")
        };
        self.request(Method::GET, &target, headers, RequestBody::Empty, plan)
    }

    /// A side request to the traces API, whose protobuf response decides about another.
    pub(in crate::proxy::enforce) fn side_request(
        &self,
        path: &str,
        form: &Form<'_>,
    ) -> Result<Enforced, ProxyError> {
        let protobuf = HeaderValue::from_static(Format::Protobuf.media_type());
        let headers = HeaderMap::from_iter([(ACCEPT, protobuf)]);
        self.get(
            path,
            form,
            headers,
            ResponsePlan::Traces(TracesAnswer::Public),
        )
    }

    pub(in crate::proxy::enforce) fn grpc(
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
        // HTTP/2 has it in `:authority`.
        request.headers_mut().remove(HOST);
        Ok(self.enforced(request, plan))
    }

    /// The same, with the client's own `Authorization` forwarded, valid or not.
    pub(in crate::proxy::enforce) fn or_token(
        mut self,
        authorization: Option<&HeaderValue>,
    ) -> Self {
        if self.token.is_none() && self.upstream.forwards_token() {
            self.token = authorization.cloned();
        }
        self
    }

    pub(in crate::proxy::enforce) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// The timeout for a complete response, where it is buffered and other responses wait for it.
    pub(in crate::proxy::enforce) fn whole_within(&self) -> Duration {
        whole_within(&self.upstream)
    }

    /// The caller's share of the resources that all requests share.
    pub(in crate::proxy::enforce) fn holder(&self) -> &Holder {
        &self.holder
    }

    fn enforced(&self, mut request: Request<RequestBody>, plan: ResponsePlan) -> Enforced {
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        Enforced(Box::new(Parts {
            upstream: Arc::clone(&self.upstream),
            request,
            plan,
            holder: self.holder.clone(),
        }))
    }
}

fn whole_within(upstream: &Upstream) -> Duration {
    let timeouts = &upstream.settings().timeouts;
    timeouts.response_head + timeouts.body_idle
}

/// The caller's token as the upstream expects it, whichever header it was in.
fn bearer(caller: &Caller, headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(caller.principal().header())?;
    if caller.principal().header() == AUTHORIZATION {
        return Some(value.clone());
    }
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", value.to_str().ok()?)).ok()?;
    bearer.set_sensitive(true);
    Some(bearer)
}
