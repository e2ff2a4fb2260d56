//! What a caller may use. Decided after authentication, and before anything is received or counted
//! for the caller.

use super::error::{ErrorKind, ProxyError};
use super::route::{Route, Target};
use crate::auth::Caller;
use crate::reason::Reason;
use crate::tenancy::{Matchers, ScopeRefusal, TenantScope, Unselectable};

/// Refuses the route of a cluster that the caller may not use, or that does not exist, with the
/// same error.
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

/// The error for a cluster that does not exist, or that the caller may not use.
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

/// The matchers that confine a caller, unless it has all tenants.
pub(super) fn matchers_of(caller: &Caller) -> Result<&Matchers, ProxyError> {
    let matchers = match scope(caller)? {
        TenantScope::Tenants(tenants) => tenants.metrics(),
        TenantScope::AllTenants => Err(Unselectable::NotConfigured),
    };
    matchers.map_err(|missing| match missing {
        Unselectable::NotConfigured => {
            let text = "tenancy.metrics.label is not configured";
            ProxyError::new(ErrorKind::Forbidden, text).because(Reason::NoLabel)
        }
        Unselectable::Refused(refusal) => unselectable(&refusal),
    })
}

/// The refusal of a caller whose tenants' data cannot be selected together.
pub(super) fn unselectable(refusal: &ScopeRefusal) -> ProxyError {
    ProxyError::new(ErrorKind::Forbidden, refusal.to_string()).because(Reason::Unselectable)
}
