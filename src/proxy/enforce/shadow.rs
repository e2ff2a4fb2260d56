//! A request on which nothing is enforced: what a plain proxy would send.

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, TE};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;

use super::{Enforced, Outward, ResponsePlan};
use crate::auth::Caller;
use crate::body::RequestBody;
use crate::headers;
use crate::proxy::error::ProxyError;
use crate::proxy::route::Target;
use crate::proxy::shadow::InForce;
use crate::proxy::snapshot::Snapshot;

/// What names a tenant to a store that has several. A client that sends one today would get an
/// error without it.
const TENANT_HEADERS: [HeaderName; 2] = [
    HeaderName::from_static("x-scope-orgid"),
    HeaderName::from_static("thanos-tenant"),
];

/// The request as it came, for the upstream whose shadow mode is in force, and for no other. Of
/// its headers goes up what passes through elsewhere, and what names a tenant. A token goes up
/// where the upstream checks tokens itself, believed here or not.
pub(in crate::proxy) fn as_it_came(
    in_force: &InForce<'_>,
    snapshot: &Snapshot,
    caller: Option<&Caller>,
    head: &Parts,
    body: RequestBody,
) -> Result<Enforced, ProxyError> {
    let route = in_force.route();
    let mut outward = Outward::new(snapshot, in_force.upstream(), caller, &head.headers);
    if outward.token.is_none() && outward.upstream.forwards_token() {
        outward.token = head.headers.get(AUTHORIZATION).cloned();
    }
    let mut headers = head.headers.clone();
    headers::strip_request(&mut headers, snapshot.token_headers());
    for name in &TENANT_HEADERS {
        copy(&head.headers, name, &mut headers);
    }
    let plan = ResponsePlan::PassThrough;
    if let Target::Grpc(method) = &route.target {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        return outward.grpc(method.client_path(), headers, body, plan);
    }
    let target = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    outward.request(head.method.clone(), target, headers, body, plan)
}

fn copy(from: &HeaderMap, name: &HeaderName, to: &mut HeaderMap) {
    for value in from.get_all(name) {
        to.append(name, value.clone());
    }
}
