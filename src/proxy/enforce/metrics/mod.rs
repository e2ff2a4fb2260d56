//! The metrics API's rule: a confined query goes up, or the answer is filtered.

mod confine;
mod filter;

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request};

use self::confine::ConfineOnce;
pub(crate) use self::filter::Filter;
use super::{Enforced, Origin, Outward, ResponsePlan, guard, input};
use crate::auth::Caller;
use crate::body::budget::{Budget, Room};
use crate::body::{ClientBody, RequestBody};
use crate::headers;
use crate::prometheus::clusters;
use crate::prometheus::endpoints::Endpoint;
use crate::prometheus::form::Form;
use crate::prometheus::params::{self, Allowed};
use crate::prometheus::remote_read;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::proxy::query_log::Journal;
use crate::proxy::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;
use crate::tenancy::{Matchers, TenantScope};
use crate::upstream::Upstream;

/// Confines a request to an endpoint of the metrics API.
pub(super) async fn enforce(
    snapshot: &Snapshot,
    outward: Outward,
    endpoint: &Endpoint,
    caller: &Arc<Caller>,
    request: Request<ClientBody>,
    metrics: &Metrics,
    journal: &Journal,
) -> Result<Enforced, ProxyError> {
    let matchers = admitted(endpoint, caller, request.method())?;
    let room = Room::for_request(snapshot, metrics, caller.holder());
    let (head, body) = input::read(request, endpoint)?;
    let send = Send {
        outward: &outward,
        endpoint,
        head: &head,
        budget: &room.budget,
    };
    if *endpoint == Endpoint::RemoteRead {
        guard::remote_read(snapshot, caller, &body, room.bytes)?;
        let body = match matchers {
            Some(matchers) => room.budget.hold(
                remote_read::confine(&body, matchers, room.bytes)
                    .map_err(|error| refused_read(&error))?,
            )?,
            None => body,
        };
        return send.remote_read(body);
    }
    let form = input::parameters(&head, &body)?;
    refuse_clusters(snapshot, &form)?;
    journal.asked_with(form.iter());
    let Some(matchers) = matchers else {
        return send.form(&form, ResponsePlan::AllTenants);
    };
    let (Allowed { sent, local }, origin) =
        confined(snapshot, endpoint, caller, matchers, form, metrics, journal)?;
    let plan = match endpoint {
        Endpoint::Federate => ResponsePlan::Stream,
        Endpoint::Rules => ResponsePlan::Filter(Filter::Rules {
            caller: Arc::clone(caller),
            exclude_alerts: local.exclude_alerts,
        }),
        Endpoint::Alerts => ResponsePlan::Filter(Filter::Alerts(Arc::clone(caller))),
        Endpoint::Targets => ResponsePlan::Filter(Filter::Targets(Arc::clone(caller))),
        Endpoint::Metadata => ResponsePlan::Filter(Filter::Metadata {
            names: Box::new(send.metric_names(matchers)?),
            limit: local.metadata_limit,
        }),
        _ => ResponsePlan::Scrub(origin),
    };
    send.form(&sent, plan)
}

/// What a caller's requests must carry, if it may make this one; `None` for all tenants.
pub(super) fn admitted<'c>(
    endpoint: &Endpoint,
    caller: &'c Caller,
    method: &Method,
) -> Result<Option<&'c Matchers>, ProxyError> {
    if !endpoint.allows(method.as_str()) {
        return Err(ProxyError::method_not_allowed(endpoint.methods()));
    }
    Ok(match super::scope(caller)? {
        TenantScope::AllTenants => None,
        TenantScope::Tenants(_) => Some(super::matchers_of(caller)?),
    })
}

/// The parameters that go up, confined, and their query.
pub(super) fn confined<'f>(
    snapshot: &Snapshot,
    endpoint: &Endpoint,
    caller: &Caller,
    matchers: &Matchers,
    form: Form<'f>,
    metrics: &Metrics,
    journal: &Journal,
) -> Result<(Allowed<'f>, Option<Origin>), ProxyError> {
    let mut confine = ConfineOnce::new(snapshot, matchers, metrics);
    let allowed = params::allow(endpoint, form, matchers, &mut confine);
    let allowed = allowed.map_err(confine::refusal)?;
    journal.sent_with(allowed.sent.iter());
    guard::metrics(snapshot, caller, endpoint, &allowed.sent, confine.text())?;
    Ok((allowed, confine.into_origin().map(Origin)))
}

/// Where clusters have names, whoever names one is not answered by another.
fn refuse_clusters(snapshot: &Snapshot, form: &Form<'_>) -> Result<(), ProxyError> {
    let has_name = |upstream: &Arc<Upstream>| upstream.settings().cluster.is_some();
    let names_one = form.iter().any(|(name, _)| name == clusters::PARAMETER);
    if !names_one || !snapshot.upstreams().iter().any(has_name) {
        return Ok(());
    }
    let text = "parameter `cluster` is not allowed here: it goes with /api/v1/query and \
                query_range, at the root; all else is below /clusters/{name}";
    Err(ProxyError::new(ErrorKind::Forbidden, text).because("parameter"))
}

pub(super) fn refused_read(error: &remote_read::RemoteReadError) -> ProxyError {
    let kind = match error {
        remote_read::RemoteReadError::TooLong(_) => ErrorKind::TooLarge,
        _ => ErrorKind::BadRequest,
    };
    ProxyError::new(kind, error.to_string()).because("remote_read")
}

/// The longest query string that every server in between can be expected to take.
const LONGEST_IN_URL: usize = 4096;

/// Rebuilds the request: one path, one place for parameters, chosen headers.
pub(super) struct Send<'a> {
    pub(super) outward: &'a Outward,
    pub(super) endpoint: &'a Endpoint,
    pub(super) head: &'a Parts,
    pub(super) budget: &'a Budget,
}

impl Send<'_> {
    /// A POST's parameters go in its body, a GET's in the URL; but a GET that grew too long, as
    /// queries for many tenants do, becomes a POST where the endpoint has one.
    pub(super) fn form(&self, form: &Form<'_>, plan: ResponsePlan) -> Result<Enforced, ProxyError> {
        let path = self.endpoint.path();
        let parameters = form.encode();
        let mut headers = headers::for_data_request(&self.head.headers);
        let is_long = parameters.len() > LONGEST_IN_URL;
        if self.endpoint.allows("POST") && (self.head.method == Method::POST || is_long) {
            let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, form_type);
            let body = RequestBody::Whole(Some(self.budget.hold(parameters)?));
            return self.enforced(Method::POST, &path, headers, body, plan);
        }
        let target = if parameters.is_empty() {
            path.into_owned()
        } else {
            format!("{path}?{parameters}")
        };
        self.enforced(Method::GET, &target, headers, RequestBody::Empty, plan)
    }

    fn remote_read(&self, body: Bytes) -> Result<Enforced, ProxyError> {
        let mut headers = headers::for_data_request(&self.head.headers);
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        headers.insert("content-encoding", HeaderValue::from_static("snappy"));
        let path = self.endpoint.path();
        let body = RequestBody::Whole(Some(body));
        self.enforced(Method::POST, &path, headers, body, ResponsePlan::Stream)
    }

    /// The companion of a metadata call: which metric names the tenants have.
    fn metric_names(&self, matchers: &Matchers) -> Result<Enforced, ProxyError> {
        let names = Endpoint::LabelValues("__name__".into());
        let mut form = Form::default();
        form.push("match[]", format!("{{{}}}", matchers.promql()));
        form.push("start", filter::names_since());
        let send = Send {
            endpoint: &names,
            ..*self
        };
        send.form(&form, ResponsePlan::Stream)
    }

    fn enforced(
        &self,
        method: Method,
        target: &str,
        headers: hyper::HeaderMap,
        body: RequestBody,
        plan: ResponsePlan,
    ) -> Result<Enforced, ProxyError> {
        self.outward.request(method, target, headers, body, plan)
    }
}
