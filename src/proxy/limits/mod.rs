//! Admission: a place among all requests in flight, and among those of the caller's tenants.
//!
//! Both are asked for once it is known who is calling, so that nobody without a token can take a
//! place from those who have one. Until then a request is bounded by its connection's deadlines
//! and by how many may wait for an issuer's keys at once.

mod usage;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use self::usage::{Refusal, Usages};
use super::error::{ErrorKind, ProxyError};
use super::snapshot::Snapshot;
use crate::auth::Caller;
use crate::config::settings::TenantLimits;
use crate::tenancy::{TenantScope, TenantSet};

/// The places there are. What is taken outlives a reload.
pub(crate) struct Places {
    requests: Arc<Semaphore>,
    /// Of those, for callers without a token: paths that ask for none must not become the way to
    /// keep everybody else out.
    anonymous: Arc<Semaphore>,
    tenants: Arc<Tenants>,
}

/// A request's places; its drop gives them back.
pub(crate) struct Admitted {
    _requests: OwnedSemaphorePermit,
    _anonymous: Option<OwnedSemaphorePermit>,
    _tenants: Option<InTenants>,
}

impl Places {
    /// For this many requests. Kept from the snapshot before, where that has as many; what is
    /// known of tenants is kept in any case.
    pub(crate) fn new(requests: usize, previous: Option<(usize, &Self)>) -> Self {
        let tenants = previous.map(|(_, places)| Arc::clone(&places.tenants));
        let tenants = tenants.unwrap_or_default();
        match previous {
            Some((before, places)) if before == requests => Self {
                requests: Arc::clone(&places.requests),
                anonymous: Arc::clone(&places.anonymous),
                tenants,
            },
            _ => Self {
                requests: Arc::new(Semaphore::new(requests)),
                anonymous: Arc::new(Semaphore::new(requests.div_ceil(2))),
                tenants,
            },
        }
    }
}

/// Takes a place for a request of this caller: all that it needs, or none.
pub(super) fn admit(
    snapshot: &Snapshot,
    caller: Option<&Arc<Caller>>,
) -> Result<Admitted, ProxyError> {
    match admit_in_shadow(snapshot, caller)? {
        (admitted, None) => Ok(admitted),
        (_given_back, Some(over)) => Err(over),
    }
}

/// The same where `tenant_limits` is not enforced: a place among all requests it needs; for one
/// among its tenants that is not to be had, there is what would have been said.
pub(super) fn admit_in_shadow(
    snapshot: &Snapshot,
    caller: Option<&Arc<Caller>>,
) -> Result<(Admitted, Option<ProxyError>), ProxyError> {
    let places = snapshot.places();
    let requests = take(&places.requests)?;
    let anonymous = match caller {
        Some(_) => None,
        None => Some(take(&places.anonymous)?),
    };
    let limits = &snapshot.settings().tenant_limits;
    let entered = match caller {
        Some(caller) if limits.counts() => InTenants::enter(&places.tenants, limits, caller),
        _ => Ok(None),
    };
    let (tenants, over) = match entered {
        Ok(tenants) => (tenants, None),
        Err(over) => (None, Some(over)),
    };
    let admitted = Admitted {
        _requests: requests,
        _anonymous: anonymous,
        _tenants: tenants,
    };
    Ok((admitted, over))
}

fn take(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ProxyError> {
    let taken = Arc::clone(places).try_acquire_owned();
    taken.map_err(|_: TryAcquireError| {
        ProxyError::new(
            ErrorKind::Overloaded,
            "limits.requests are in flight; try again in a moment",
        )
        .retry_after(Duration::from_secs(1))
    })
}

/// What every tenant seen lately is doing.
#[derive(Default)]
struct Tenants(Mutex<Usages>);

impl Tenants {
    fn lock(&self) -> MutexGuard<'_, Usages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in each of the caller's tenants.
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

/// The tenant that is named is the caller's own.
fn refused(refusal: Refusal<'_>) -> ProxyError {
    let tenant = refusal.tenant();
    let (text, reason, after) = match &refusal {
        Refusal::TooMany { limit, .. } => (
            format!(
                "tenant `{tenant}` already has {limit} requests in flight, which is tenant_limits \
                 requests; try again when one has ended"
            ),
            "tenant_requests",
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
            "tenant_rate",
            *after,
        ),
    };
    ProxyError::new(ErrorKind::TooManyRequests, text)
        .because(reason)
        .retry_after(after)
}
