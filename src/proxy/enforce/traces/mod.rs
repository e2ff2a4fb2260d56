//! Enforcement for the traces API: a confined query is forwarded, and what a query cannot confine
//! is removed from the response.

mod diff;
pub(super) mod org_id;
mod scope;
mod tags;

use hyper::header::{ACCEPT, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request};

pub(in crate::proxy) use self::diff::TracesToVerify;
pub(super) use self::scope::{TracesScope, refusal};
pub(super) use self::tags::{names_plan, tags_version, values_plan};
use super::{
    Enforced, Enforcement, Page, ResponsePlan, TracesAnswer, UpstreamTarget, guard, input,
    query_size,
};
use crate::auth::Caller;
use crate::body::ClientBody;
use crate::headers;
use crate::prometheus::form::Form;
use crate::proxy::context::RequestContext;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::reason::Reason;
use crate::tempo::answer::Format;
use crate::tempo::endpoints::{Endpoint, Version};
use crate::tempo::params::{self, OldForm, ParamError, Params, table};
use crate::tempo::trace::TraceApi;
use crate::traceql::{Refusal, TagBasedSearch};

/// Whether the endpoint's parameters are in the body.
pub(super) fn reads_body(
    context: &RequestContext,
    endpoint: &Endpoint,
    caller: &Caller,
    method: &Method,
) -> Result<bool, ProxyError> {
    check_method(endpoint, method)?;
    TracesScope::of(context, caller)?;
    Ok(*endpoint == Endpoint::TraceDiff)
}

fn check_method(endpoint: &Endpoint, method: &Method) -> Result<(), ProxyError> {
    let methods = endpoint.methods();
    if methods.contains(&method.as_str()) {
        return Ok(());
    }
    Err(ProxyError::method_not_allowed(methods))
}

/// Confines a request to an endpoint of the traces API.
pub(super) fn enforce(
    context: &RequestContext,
    target: &UpstreamTarget,
    endpoint: &Endpoint,
    caller: &Caller,
    request: Request<ClientBody>,
) -> Result<Enforcement, ProxyError> {
    let (head, body) = request.into_parts();
    check_method(endpoint, &head.method)?;
    let scope = TracesScope::of(context, caller)?;
    if *endpoint == Endpoint::TraceDiff {
        let body = input::whole(body)?;
        return diff::enforce(context, target, scope, &head, &body);
    }
    by_form(context, target, endpoint, caller, scope, &head).map(Enforcement::One)
}

/// The same for an endpoint whose parameters are in its URL.
fn by_form(
    context: &RequestContext,
    target: &UpstreamTarget,
    endpoint: &Endpoint,
    caller: &Caller,
    scope: TracesScope,
    head: &Parts,
) -> Result<Enforced, ProxyError> {
    let form = input::url_parameters(head, |name| table::weight(endpoint, name))?;
    context.queries.received_parameters(form.iter());
    query_size::traces(context, endpoint, &form)?;
    guard::traces(context, caller, endpoint, form.iter())?;
    let scope = match scope {
        TracesScope::All => return unconfined(target, endpoint, head, &form, HeaderMap::new()),
        TracesScope::OrgId(header) => {
            return unconfined(target, endpoint, head, &form, org_id::header(header));
        }
        TracesScope::Confined(scope) => scope,
    };
    let accept = head
        .headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok());
    let format = Format::choose(endpoint, accept)
        .map_err(|error| ProxyError::new(ErrorKind::NotAcceptable, error.to_string()))?;
    let pairs = || form.iter();
    let mut path = endpoint.upstream_path();
    let (params, answer) = match endpoint {
        Endpoint::Search => {
            let query = query_of(&form, &["q"]);
            let (params, range) = params::search(
                pairs(),
                |query| scope.search(query),
                |old| scope.tag_search(&tag_search(old)?),
            )
            .map_err(parameter)?;
            let page = Page {
                ownership: scope.ownership(target, range),
                hidden: scope.hidden(query),
                is_tag_search: query.is_empty(),
            };
            (params, TracesAnswer::search(page, format))
        }
        Endpoint::SearchTags | Endpoint::SearchTagsV2 => {
            let tags = params::tag_names(pairs()).map_err(parameter)?;
            let version = tags_version(*endpoint == Endpoint::SearchTags);
            let (query, plan) = names_plan(context, target, version, &tags, &scope)?;
            (tags.forwarded(query), TracesAnswer::tags(plan, format))
        }
        Endpoint::TagValues { tag, .. } | Endpoint::TagValuesV2(tag) => {
            let tags = params::tag_values(pairs()).map_err(parameter)?;
            let version = tags_version(matches!(endpoint, Endpoint::TagValues { .. }));
            let requests = scope.tag_values(tag.clone(), tags.query)?;
            let (first, plan) = values_plan(context, target, version, &tags, requests)?;
            path = Endpoint::TagValuesV2(first.tag).upstream_path();
            (
                tags.forwarded(first.query),
                TracesAnswer::tags(plan, format),
            )
        }
        Endpoint::MetricsQueryRange | Endpoint::MetricsQuery => {
            let query = query_of(&form, &["q", "query"]);
            let confine = |query: &str| scope.metrics(query);
            let params = match endpoint {
                Endpoint::MetricsQuery => params::metrics_query(pairs(), confine),
                _ => params::metrics_query_range(pairs(), confine),
            }
            .map_err(parameter)?;
            (
                params,
                TracesAnswer::metrics(scope.is_trusted(), scope.hidden(query), format),
            )
        }
        Endpoint::TraceById { version, .. } => {
            let params = params::trace_by_id::<Refusal>(*version, pairs()).map_err(parameter)?;
            let api = match version {
                Version::V1 => TraceApi::V1,
                Version::V2 => TraceApi::V2,
            };
            (params, scope.redaction(api, format))
        }
        Endpoint::TraceDiff | Endpoint::Echo | Endpoint::BuildInfo | Endpoint::Ready => {
            (Params::new(), TracesAnswer::Public)
        }
    };
    let form = form_of(params, context);
    let mut headers = headers::for_data_request(&head.headers);
    if !matches!(answer, TracesAnswer::Public) {
        headers.insert(ACCEPT, HeaderValue::from_static(format.media_type()));
    }
    target.get(&path, &form, headers, ResponsePlan::Traces(answer))
}

fn form_of<'p>(params: Params<'p>, context: &RequestContext) -> Form<'p> {
    let mut form = Form::default();
    for (name, value) in params {
        form.push(name, value);
    }
    context.queries.forwarded_parameters(form.iter());
    form
}

/// The request unconfined, but parsed and rebuilt: for callers with all tenants, and for a Tempo
/// that separates tenants by itself.
fn unconfined(
    target: &UpstreamTarget,
    endpoint: &Endpoint,
    head: &Parts,
    form: &Form<'_>,
    extra: HeaderMap,
) -> Result<Enforced, ProxyError> {
    let mut headers = headers::for_data_request(&head.headers);
    headers.extend(extra);
    target.get(
        &endpoint.client_path(),
        form,
        headers,
        ResponsePlan::AllTenants,
    )
}

/// The client's own value of a parameter, under the first of these names that has one.
fn query_of<'f>(form: &'f Form<'_>, names: &[&str]) -> &'f str {
    let first = |wanted: &&str| form.iter().find(|(name, _)| name == wanted);
    let all = names.iter().filter_map(first);
    let mut given = all.filter(|(_, value)| !value.is_empty());
    given.next().map_or("", |(_, value)| value)
}

fn tag_search(old: &OldForm<'_>) -> Result<TagBasedSearch, Refusal> {
    let mut search = TagBasedSearch::from_parameters(old.tags, old.min_duration, old.max_duration)?;
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    search.tags.extend(old.bare_tags.iter().map(own));
    Ok(search)
}

/// The client's error for refused parameters.
fn parameter(error: ParamError<Refusal>) -> ProxyError {
    match error {
        ParamError::Query(error) => refusal(&error),
        ParamError::Internal(_) | ParamError::Unsupported(_) => {
            ProxyError::new(ErrorKind::Forbidden, error.to_string()).because(Reason::Parameter)
        }
        error => ProxyError::new(ErrorKind::BadRequest, error.to_string())
            .because(Reason::Parameters)
            .quoting_the_query(),
    }
}
