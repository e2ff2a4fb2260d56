//! What a caller may use: after it is known who it is, and before anything is received or counted
//! for it.

use super::error::{ErrorKind, ProxyError};
use super::route::{Route, Target};
use crate::auth::Caller;
use crate::reason::Reason;
use crate::tenancy::{Matchers, TenantScope};

/// Refuses a route of a cluster that its caller may not use, or that there is not: alike.
///
/// # Errors
/// The refusal.
pub(super) fn authorize(route: &Route, caller: Option<&Caller>) -> Result<(), ProxyError> {
    let name = match (&route.target, &route.cluster) {
        (Target::NoCluster, _) => None,
        (_, Some(name)) => Some(name),
        (_, None) => return Ok(()),
    };
    let scope = caller.map(scope).transpose()?;
    match (name, scope) {
        (Some(name), Some(scope)) if scope.may_use(name) => Ok(()),
        _ => Err(no_cluster()),
    }
}

/// No cluster, as far as the caller is told.
pub(super) fn no_cluster() -> ProxyError {
    let text = "there is no such cluster, or this token may not use it; GET /clusters lists those \
                that it may use";
    ProxyError::new(ErrorKind::Forbidden, text).because(Reason::NoCluster)
}

/// The caller's scope.
pub(super) fn scope(caller: &Caller) -> Result<&TenantScope, ProxyError> {
    caller.scope().map_err(|refusal| {
        ProxyError::new(ErrorKind::Forbidden, refusal.to_string()).because(Reason::NoTenants)
    })
}

/// The matchers that a caller with some tenants must carry.
pub(super) fn matchers_of(caller: &Caller) -> Result<&Matchers, ProxyError> {
    let matchers = match scope(caller)? {
        TenantScope::Tenants(tenants) => tenants.metrics(),
        TenantScope::AllTenants => None,
    };
    matchers.ok_or_else(|| {
        ProxyError::new(
            ErrorKind::Forbidden,
            "tenancy.metrics.label is not configured",
        )
        .because(Reason::NoLabel)
    })
}
