//! Paths outside the data APIs: forwarded unmodified, except for headers that name or authenticate
//! a caller.

use hyper::Request;
use hyper::http::uri::PathAndQuery;

use super::{Enforced, ResponsePlan, UpstreamTarget};
use crate::body::{ClientBody, Pace, RequestBody};
use crate::headers;
use crate::proxy::context::RequestContext;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::proxy::route::path::{self, PathReading};
use crate::reason::Reason;

/// Forwards method, path, query, headers and body.
pub(super) fn enforce(
    context: &RequestContext,
    target: &UpstreamTarget,
    request: Request<ClientBody>,
) -> Result<Enforced, ProxyError> {
    let (mut parts, body) = request.into_parts();
    headers::strip_request(&mut parts.headers, context.rules.token_headers());
    let path_and_query = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let body = body.into_request(Pace::of_client(context.settings()));
    target.request(
        parts.method,
        path_and_query,
        parts.headers,
        body,
        ResponsePlan::PassThrough,
    )
}

/// Refuses what `passthrough.methods` and `passthrough.paths` do not list. A path that is not in its
/// canonical form is none of the listed ones: which one the upstream would take it for is not known.
pub(super) fn check<B>(context: &RequestContext, request: &Request<B>) -> Result<(), ProxyError> {
    let settings = &context.settings().passthrough;
    let method = request.method().as_str();
    if let Some(methods) = &settings.methods
        && !methods.iter().any(|permitted| permitted == method)
    {
        return Err(refused(format!(
            "outside the data APIs only {} is forwarded here: ask the operator to add {method} to \
             passthrough.methods",
            methods.join(", ")
        )));
    }
    let is_listed = |path: &str| {
        let mut paths = settings.paths.iter().flatten();
        paths.any(|pattern| pattern.matches(path))
    };
    match path::read(request.uri().path()) {
        _ if settings.paths.is_none() => Ok(()),
        Ok(PathReading::Canonical(path)) if is_listed(path.as_str()) => Ok(()),
        _ => Err(refused(
            "outside the data APIs this path is not forwarded here: ask the operator to add it to \
             passthrough.paths"
                .to_owned(),
        )),
    }
}

/// A health check: nothing of the client's request goes on but its method, which is GET or HEAD.
pub(super) fn health<B>(
    target: &UpstreamTarget,
    path: &str,
    request: &Request<B>,
) -> Result<Enforced, ProxyError> {
    target.request(
        request.method().clone(),
        path,
        headers::for_data_request(request.headers()),
        RequestBody::Empty,
        ResponsePlan::PassThrough,
    )
}

fn refused(text: String) -> ProxyError {
    ProxyError::new(ErrorKind::Forbidden, text).because(Reason::Passthrough)
}
