//! Admission: a permit of `limits.requests`, and one of each of the caller's tenants.
//!
//! It is taken after authentication, so that clients without a token cannot use up the permits of
//! those with one, and after the body was received, so that none is held while a client is still
//! sending. Until then a request is bounded by its connection's deadlines, by how many may wait for
//! an issuer's keys at once, and by what [`receive`](super::receive) says of bodies.
//!
//! `limits.requests` is [shared fairly](crate::shares); `tenant_limits` bound each tenant on its
//! own.

mod usage;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::usage::{Refusal, Usages};
use super::context::RequestContext;
use super::error::{ErrorKind, ProxyError};

use crate::auth::Caller;
use crate::config::settings::TenantLimits;
use crate::reason::Reason;
use crate::shares::{Claim, Pool, Resource};
use crate::tenancy::{TenantScope, TenantSet};

/// A request's permits; dropping it returns them.
pub(crate) struct Permits {
    _request: Claim,
    _tenants: Option<InTenants>,
}

/// Takes all permits that a request of this caller needs, or none.
pub(super) fn admit(
    context: &RequestContext,
    tenants: &Arc<Tenants>,
    caller: Option<&Arc<Caller>>,
) -> Result<Permits, ProxyError> {
    match admit_over_limits(context, tenants, caller)? {
        (permits, None) => Ok(permits),
        (_given_back, Some(over)) => Err(over),
    }
}

/// The same where `tenant_limits` is not enforced: it takes a permit of `limits.requests`; if a
/// tenant's limit is exceeded, it returns the error that enforcement would have returned.
pub(super) fn admit_over_limits(
    context: &RequestContext,
    tenants: &Arc<Tenants>,
    caller: Option<&Arc<Caller>>,
) -> Result<(Permits, Option<ProxyError>), ProxyError> {
    let settings = context.settings();
    let permits = Pool::new(
        Resource::Requests,
        &context.metrics.admitted_requests,
        settings.limits.requests,
    );
    let authenticator = context.rules.authenticator();
    let holder = authenticator.holder_of(caller.map(|caller| &**caller));
    let request = permits.take_one(holder)?;
    let limits = &settings.tenant_limits;
    let entered = match caller {
        Some(caller) if limits.counts() => InTenants::enter(tenants, limits, caller),
        _ => Ok(None),
    };
    let (tenants, over) = match entered {
        Ok(tenants) => (tenants, None),
        Err(over) => (None, Some(over)),
    };
    let permits = Permits {
        _request: request,
        _tenants: tenants,
    };
    Ok((permits, over))
}

/// The current usage of every tenant seen lately. It survives reloads.
#[derive(Default)]
pub(crate) struct Tenants(Mutex<Usages>);

impl Tenants {
    fn lock(&self) -> MutexGuard<'_, Usages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A permit of each of the caller's tenants.
struct InTenants {
    tenants: Arc<Tenants>,
    caller: Arc<Caller>,
}

impl InTenants {
    fn enter(
        tenants: &Arc<Tenants>,
        limits: &TenantLimits,
        caller: &Arc<Caller>,
    ) -> Result<Option<Self>, ProxyError> {
        let Some(own) = tenants_of(caller) else {
            return Ok(None);
        };
        tenants.lock().enter(limits, own).map_err(refused)?;
        Ok(Some(Self {
            tenants: Arc::clone(tenants),
            caller: Arc::clone(caller),
        }))
    }
}

impl Drop for InTenants {
    fn drop(&mut self) {
        if let Some(own) = tenants_of(&self.caller) {
            self.tenants.lock().leave(own);
        }
    }
}

fn tenants_of(caller: &Caller) -> Option<&TenantSet> {
    match caller.scope() {
        Ok(TenantScope::Tenants(tenants)) => Some(tenants.tenants()),
        Ok(TenantScope::AllTenants) | Err(_) => None,
    }
}

/// The tenant in the text is one of the caller's own.
fn refused(refusal: Refusal<'_>) -> ProxyError {
    let tenant = refusal.tenant();
    let (text, reason, after) = match &refusal {
        Refusal::TooMany { limit, .. } => (
            format!(
                "tenant `{tenant}` already has {limit} requests in flight, which is tenant_limits \
                 requests; try again when one has ended"
            ),
            Reason::TenantRequests,
            Duration::from_secs(1),
        ),
        Refusal::TooOften { rate, after, .. } => (
            format!(
                "tenant `{tenant}` makes more than {} requests a second, which is tenant_limits \
                 requests_per_second (burst {}); try again in {:.1} s",
                rate.per_second,
                rate.burst,
                after.as_secs_f64()
            ),
            Reason::TenantRate,
            *after,
        ),
    };
    ProxyError::new(ErrorKind::TooManyRequests, text)
        .because(reason)
        .retry_after(after)
}
