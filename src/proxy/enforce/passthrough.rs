//! Paths outside the data APIs: forwarded unmodified, except for headers that name or authenticate
//! a caller.

use hyper::Request;
use hyper::http::uri::PathAndQuery;

use super::{Enforced, ResponsePlan, UpstreamTarget};
use crate::body::{ClientBody, Pace};
use crate::headers;
use crate::proxy::context::RequestContext;
use crate::proxy::error::ProxyError;

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
