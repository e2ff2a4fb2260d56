//! Endpoints that return data of all tenants, or change the upstream: refused, unless the config
//! opens them, and then only for callers with all tenants.

use hyper::Request;
use hyper::header::HeaderMap;

use super::{Enforced, UpstreamTarget, passthrough, query_size};
use crate::auth::Caller;
use crate::body::ClientBody;
use crate::config::settings::ClosedGroup;
use crate::proxy::authorize::scope;
use crate::proxy::context::RequestContext;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::reason::Reason;
use crate::tenancy::TenantScope;
use crate::upstream::Upstream;

/// Forwards what the config opens, for callers with all tenants; refuses everything else.
pub(super) fn enforce(
    context: &RequestContext,
    target: &UpstreamTarget,
    group: ClosedGroup,
    caller: &Caller,
    request: Request<ClientBody>,
) -> Result<Enforced, ProxyError> {
    check(target.upstream(), group, caller)?;
    let request = query_size::closed(context, target.upstream().api(), request)?;
    passthrough::enforce(context, target, request)
}

/// Whether enforcement reads the request's body.
///
/// # Errors
/// When the request is refused whatever its body is.
pub(super) fn reads_body(
    upstream: &Upstream,
    group: ClosedGroup,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<bool, ProxyError> {
    check(upstream, group, caller)?;
    query_size::is_form(headers)
}

/// Whether the caller may use the endpoint.
fn check(upstream: &Upstream, group: ClosedGroup, caller: &Caller) -> Result<(), ProxyError> {
    let settings = upstream.settings();
    let is_open = settings.open_to_admins.contains(&group);
    match scope(caller)? {
        TenantScope::AllTenants if is_open => Ok(()),
        TenantScope::AllTenants => Err(closed(format!(
            "this endpoint is closed; to open it to callers with all tenants, add `{}` to \
             open_to_admins of upstream `{}`",
            group.name(),
            settings.name
        ))),
        TenantScope::Tenants(_) => Err(closed(format!(
            "this endpoint cannot be confined to a tenant; it is served only to callers with all \
             tenants, where open_to_admins of upstream `{}` names `{}`",
            settings.name,
            group.name()
        ))),
    }
}

/// The error for what looks like a data API's path below a prefix that no upstream's URL has.
pub(super) fn misplaced() -> ProxyError {
    ProxyError::new(
        ErrorKind::Forbidden,
        "this path may be a data API below a prefix; put the prefix into the upstream's url and \
         call the API without it, or make it an upstream's path_prefix",
    )
    .because(Reason::Misplaced)
}

fn closed(text: String) -> ProxyError {
    ProxyError::new(ErrorKind::Forbidden, text).because(Reason::Closed)
}
