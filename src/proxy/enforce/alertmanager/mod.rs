//! Enforcement for Alertmanager's API: alerts are confined by a filter, silences by what the response
//! shows; what is posted has to be the caller's.

mod silence;

use std::sync::Arc;

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request};

pub(in crate::proxy) use self::silence::ChangeOfSilence;
use super::{
    AlertmanagerAnswer, AlertsPage, Condition, Enforced, Enforcement, ResponsePlan, UpstreamTarget,
    input,
};
use crate::alertmanager::alerts::Listing;
use crate::alertmanager::endpoints::Endpoint;
use crate::alertmanager::{PARSED, PostError, alerts, params, silences};
use crate::auth::Caller;
use crate::body::{ClientBody, RequestBody};
use crate::headers;
use crate::prometheus::form::Form;
use crate::proxy::authorize::{matchers_of, scope};
use crate::proxy::context::RequestContext;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::reason::Reason;
use crate::tenancy::{Matchers, TenantScope};

/// Whether the call has a body that enforcement reads.
///
/// # Errors
/// When the request is refused whatever its body is.
pub(super) fn reads_body(
    endpoint: &Endpoint,
    caller: &Caller,
    request: &Request<()>,
) -> Result<bool, ProxyError> {
    check(endpoint, caller, request.method())?;
    let is_post = *request.method() == Method::POST;
    if is_post {
        check_is_json(request.headers())?;
    }
    Ok(is_post)
}

/// The matchers that confine a caller, if it may send this request; `None` for all tenants.
fn check<'c>(
    endpoint: &Endpoint,
    caller: &'c Caller,
    method: &Method,
) -> Result<Option<&'c Matchers>, ProxyError> {
    let methods = endpoint.methods();
    if !methods.contains(&method.as_str()) {
        return Err(ProxyError::method_not_allowed(methods));
    }
    Ok(match scope(caller)? {
        TenantScope::AllTenants => None,
        TenantScope::Tenants(_) => Some(matchers_of(caller)?),
    })
}

/// The body's type, as Alertmanager requires it. Nothing is decompressed.
fn check_is_json(headers: &HeaderMap) -> Result<(), ProxyError> {
    let is_json = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        let media_type = text.split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case("application/json")
    };
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let is_good = types.next().is_some_and(is_json)
        && types.next().is_none()
        && !headers.contains_key(CONTENT_ENCODING);
    if is_good {
        return Ok(());
    }
    let text = "send the body as application/json, without Content-Encoding";
    Err(ProxyError::new(ErrorKind::UnsupportedMediaType, text))
}

/// Confines a request to an endpoint of Alertmanager's API.
pub(super) fn enforce(
    context: &RequestContext,
    target: &UpstreamTarget,
    endpoint: &Endpoint,
    caller: &Arc<Caller>,
    request: Request<ClientBody>,
) -> Result<Enforcement, ProxyError> {
    let (head, body) = request.into_parts();
    let matchers = check(endpoint, caller, &head.method)?;
    let call = Call {
        context,
        target,
        endpoint,
        head: &head,
    };
    match head.method {
        Method::POST => {
            check_is_json(&head.headers)?;
            call.post(caller, matchers, body)
        }
        Method::DELETE => call.delete(caller, matchers),
        _ => call.get(caller, matchers).map(Enforcement::One),
    }
}

/// The error for a silence whose id is none, as Alertmanager words it.
pub(super) fn malformed_id() -> ProxyError {
    let text = "silenceID in path must be of type uuid";
    ProxyError::new(ErrorKind::Unprocessable, text).because(Reason::Path)
}

/// A request that is being confined.
struct Call<'a> {
    context: &'a RequestContext,
    target: &'a UpstreamTarget,
    endpoint: &'a Endpoint,
    head: &'a Parts,
}

impl Call<'_> {
    fn get(
        &self,
        caller: &Arc<Caller>,
        matchers: Option<&Matchers>,
    ) -> Result<Enforced, ProxyError> {
        let endpoint = self.endpoint;
        let weight = |name: &str| params::weight(endpoint, name);
        let form = input::url_parameters(self.head, weight)?;
        self.context.queries.received_parameters(form.iter());
        let Some(matchers) = matchers else {
            let form = params::known(endpoint, form);
            return self.read(endpoint, &form, AlertmanagerAnswer::Unmodified);
        };
        let form = params::confined(endpoint, form, matchers).map_err(|error| {
            ProxyError::new(ErrorKind::Forbidden, error.to_string()).because(Reason::Parameter)
        })?;
        self.context.queries.forwarded_parameters(form.iter());
        let own = || Arc::clone(caller);
        let answer = match endpoint {
            Endpoint::Alerts => self.page(Listing::Alerts, caller, matchers)?,
            Endpoint::AlertGroups => self.page(Listing::Groups, caller, matchers)?,
            Endpoint::Silences => AlertmanagerAnswer::Silences(own()),
            Endpoint::Silence(_) => AlertmanagerAnswer::Silence(own()),
            Endpoint::Status => AlertmanagerAnswer::Status,
            Endpoint::Receivers => {
                let form = params::own_alerts(matchers);
                let answer = AlertmanagerAnswer::Receivers(own());
                return self.read(&Endpoint::Alerts, &form, answer);
            }
        };
        self.read(endpoint, &form, answer)
    }

    /// How alerts are filtered. What they refer to is looked up among all silences, which no filter
    /// can confine, and among the caller's alerts.
    fn page(
        &self,
        listing: Listing,
        caller: &Arc<Caller>,
        matchers: &Matchers,
    ) -> Result<AlertmanagerAnswer, ProxyError> {
        let caller = Arc::clone(caller);
        let (nothing, own) = (Form::default(), params::own_alerts(matchers));
        let side = |endpoint, form| self.read(endpoint, form, AlertmanagerAnswer::Unmodified);
        Ok(AlertmanagerAnswer::Alerts(Box::new(AlertsPage {
            caller,
            listing,
            silences: side(&Endpoint::Silences, &nothing)?,
            alerts: side(&Endpoint::Alerts, &own)?,
        })))
    }

    fn read(
        &self,
        endpoint: &Endpoint,
        form: &Form<'_>,
        answer: AlertmanagerAnswer,
    ) -> Result<Enforced, ProxyError> {
        let headers = headers::for_data_request(&self.head.headers);
        let plan = ResponsePlan::Alertmanager(answer);
        self.target.get(&endpoint.path(), form, headers, plan)
    }

    fn post(
        &self,
        caller: &Arc<Caller>,
        matchers: Option<&Matchers>,
        body: ClientBody,
    ) -> Result<Enforcement, ProxyError> {
        let body = input::whole(body)?;
        let Some(matchers) = matchers else {
            let body = RequestBody::Whole(Some(body));
            let request = self.write(Method::POST, body, AlertmanagerAnswer::Unmodified)?;
            return Ok(Enforcement::One(request));
        };
        let room = self.context.request_room(self.target.holder());
        // What is read of the body is in memory beside it.
        let mut parsed = room.budget.share();
        parsed.resize(body.len().saturating_mul(PARSED))?;
        let refused = |error| refused(&error);
        let (confined, changes) = if *self.endpoint == Endpoint::Silences {
            let posted = silences::confine(&body, matchers).map_err(refused)?;
            (posted.body, posted.changes)
        } else {
            let confined = alerts::confine(&body, matchers, room.bytes).map_err(refused)?;
            (confined, None)
        };
        drop(parsed);
        let body = RequestBody::Whole(Some(room.budget.hold(confined)?));
        let request = self.write(Method::POST, body, AlertmanagerAnswer::Written)?;
        Ok(match changes {
            None => Enforcement::One(request),
            Some(id) => self.change(&Endpoint::Silence(id), caller, request)?,
        })
    }

    fn delete(
        &self,
        caller: &Arc<Caller>,
        matchers: Option<&Matchers>,
    ) -> Result<Enforcement, ProxyError> {
        if matchers.is_none() {
            let answer = AlertmanagerAnswer::Unmodified;
            let request = self.write(Method::DELETE, RequestBody::Empty, answer)?;
            return Ok(Enforcement::One(request));
        }
        let answer = AlertmanagerAnswer::Written;
        let request = self.write(Method::DELETE, RequestBody::Empty, answer)?;
        self.change(self.endpoint, caller, request)
    }

    fn change(
        &self,
        silence: &Endpoint,
        caller: &Arc<Caller>,
        request: Enforced,
    ) -> Result<Enforcement, ProxyError> {
        let nothing = Form::default();
        let silence = self.read(silence, &nothing, AlertmanagerAnswer::Unmodified)?;
        let change = ChangeOfSilence::new(silence, Arc::clone(caller), request);
        let condition = Condition::OwnSilence(change);
        Ok(Enforcement::Conditional(Box::new(condition)))
    }

    fn write(
        &self,
        method: Method,
        body: RequestBody,
        answer: AlertmanagerAnswer,
    ) -> Result<Enforced, ProxyError> {
        let mut headers = headers::for_data_request(&self.head.headers);
        if method == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let plan = ResponsePlan::Alertmanager(answer);
        let path = self.endpoint.path();
        self.target.request(method, &path, headers, body, plan)
    }
}

/// The client's error for a refused body.
fn refused(error: &PostError) -> ProxyError {
    let text = error.to_string();
    match error {
        PostError::Unprocessable(_) => {
            ProxyError::new(ErrorKind::Unprocessable, text).because(Reason::Body)
        }
        PostError::TooLong { .. } => ProxyError::new(ErrorKind::TooLarge, text),
        PostError::Malformed(_) | PostError::Invalid(_) => {
            let error = ProxyError::new(ErrorKind::BadRequest, text).because(Reason::Body);
            error.quoting_the_query()
        }
        PostError::ForeignSilence { .. }
        | PostError::ForeignAlert { .. }
        | PostError::NoTenant { .. } => {
            ProxyError::new(ErrorKind::Forbidden, text).because(Reason::ForeignAlert)
        }
        PostError::NoSuchSilence => silence::not_found(),
    }
}
