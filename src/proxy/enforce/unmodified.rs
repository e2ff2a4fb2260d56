//! A request on which nothing is enforced: forwarded as a plain proxy would.

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, TE};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;

use super::{Enforced, ResponsePlan, UpstreamTarget};
use crate::auth::Caller;
use crate::body::RequestBody;
use crate::headers;
use crate::proxy::context::RequestContext;
use crate::proxy::error::ProxyError;
use crate::proxy::route::Target;
use crate::proxy::shadow::InForce;

/// Headers that name a tenant to a store that has several. A client that sends one today would get
/// an error without it.
const TENANT_HEADERS: [HeaderName; 2] = [
    HeaderName::from_static("x-scope-orgid"),
    HeaderName::from_static("thanos-tenant"),
];

/// The unmodified request, only for an upstream whose shadow mode is in force. The forwarded
/// headers are those of requests outside the data APIs, and those that name a tenant. A token is
/// forwarded if the upstream checks tokens itself, valid or not.
pub(in crate::proxy) fn unmodified(
    in_force: &InForce,
    context: &RequestContext,
    caller: Option<&Caller>,
    head: &Parts,
    body: RequestBody,
) -> Result<Enforced, ProxyError> {
    let upstream = in_force.upstream();
    let target = UpstreamTarget::new(&context.rules, upstream, caller, &head.headers)
        .or_token(head.headers.get(AUTHORIZATION));
    let mut headers = head.headers.clone();
    headers::strip_request(&mut headers, context.rules.token_headers());
    for name in &TENANT_HEADERS {
        copy(&head.headers, name, &mut headers);
    }
    let plan = ResponsePlan::PassThrough;
    if let Target::Grpc(method) = &in_force.route().target {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        return target.grpc(method.client_path(), headers, body, plan);
    }
    let path_and_query = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    target.request(head.method.clone(), path_and_query, headers, body, plan)
}

fn copy(from: &HeaderMap, name: &HeaderName, to: &mut HeaderMap) {
    for value in from.get_all(name) {
        to.append(name, value.clone());
    }
}
