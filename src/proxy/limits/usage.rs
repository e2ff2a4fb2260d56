//! The usage of tenants: how many requests each has in flight, and at what rate it sends them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use crate::config::settings::{Rate, TenantLimits};
use crate::tenancy::{Tenant, TenantSet};

/// With fewer tenants than this, none are removed.
const FEW: usize = 1024;

/// Every tenant that has a request in flight, or had one lately.
pub(super) struct Usages {
    tenants: HashMap<Box<str>, Usage>,
    /// With this many tenants, the idle ones are removed.
    sweep_at: usize,
    clock: SinceStart,
}

/// Which limit of a tenant is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal<'a> {
    TooMany {
        tenant: &'a str,
        limit: usize,
    },
    TooOften {
        tenant: &'a str,
        rate: Rate,
        after: Duration,
    },
}

impl<'a> Refusal<'a> {
    pub(super) fn tenant(&self) -> &'a str {
        match self {
            Self::TooMany { tenant, .. } | Self::TooOften { tenant, .. } => tenant,
        }
    }
}

impl Default for Usages {
    fn default() -> Self {
        Self {
            tenants: HashMap::new(),
            sweep_at: FEW,
            clock: SinceStart(Instant::now()),
        }
    }
}

impl Usages {
    /// Counts a request for all of these tenants, or for none if one of them is at its limit.
    pub(super) fn enter<'a>(
        &mut self,
        limits: &TenantLimits,
        tenants: &'a TenantSet,
    ) -> Result<(), Refusal<'a>> {
        // Before any of them is used: none of them may be removed in between.
        self.forget_idle();
        for tenant in tenants.iter().map(Tenant::as_str) {
            let in_flight = self.in_flight(tenant);
            if let Some(limit) = limits.of(tenant).requests
                && in_flight >= limit
            {
                return Err(Refusal::TooMany { tenant, limit });
            }
        }
        self.charge(limits, tenants)?;
        for tenant in tenants.iter().map(Tenant::as_str) {
            if let Some(usage) = self.tenants.get_mut(tenant) {
                usage.in_flight += 1;
            }
        }
        Ok(())
    }

    /// A request that was counted for these tenants has ended.
    pub(super) fn leave(&mut self, tenants: &TenantSet) {
        for tenant in tenants.iter().map(Tenant::as_str) {
            if let Some(usage) = self.tenants.get_mut(tenant) {
                usage.in_flight = usage.in_flight.saturating_sub(1);
            }
        }
    }

    /// Charges the rate of each tenant, and refunds all of them if one is exhausted.
    fn charge<'a>(
        &mut self,
        limits: &TenantLimits,
        tenants: &'a TenantSet,
    ) -> Result<(), Refusal<'a>> {
        let mut charged: Vec<(&Tenant, u64)> = Vec::new();
        for tenant in tenants.iter() {
            let rate = limits.of(tenant.as_str()).rate;
            let usage = self.tenants.get_mut(tenant.as_str());
            let (Some(rate), Some(usage)) = (rate, usage) else {
                continue;
            };
            let bucket = usage.bucket(rate, &self.clock);
            let before = bucket.arrivals.get();
            match bucket.limiter.check() {
                Ok(()) => charged.push((tenant, before)),
                Err(not_until) => {
                    let after = not_until.wait_time_from(self.clock.now());
                    for (tenant, before) in charged {
                        let usage = self.tenants.get(tenant.as_str());
                        if let Some(bucket) = usage.and_then(|usage| usage.bucket.as_ref()) {
                            bucket.arrivals.set(before);
                        }
                    }
                    return Err(Refusal::TooOften {
                        tenant: tenant.as_str(),
                        rate,
                        after,
                    });
                }
            }
        }
        Ok(())
    }

    /// How many requests the tenant has in flight; adds the tenant if it is new.
    fn in_flight(&mut self, tenant: &str) -> usize {
        if let Some(usage) = self.tenants.get(tenant) {
            return usage.in_flight;
        }
        self.tenants.insert(tenant.into(), Usage::default());
        0
    }

    /// Bounds the memory by the tenants that are active now, not by how many there ever were.
    fn forget_idle(&mut self) {
        if self.tenants.len() < self.sweep_at {
            return;
        }
        let now = self.clock.now();
        self.tenants.retain(|_, usage| !usage.is_idle(now));
        self.sweep_at = (2 * self.tenants.len()).max(FEW);
    }
}

#[derive(Default)]
struct Usage {
    in_flight: usize,
    bucket: Option<Bucket>,
}

/// A tenant's rate, by the generic cell rate algorithm.
struct Bucket {
    rate: Rate,
    limiter: Limiter,
    /// The limiter's own state.
    arrivals: Arrivals,
    /// When the limiter was created.
    made: Duration,
}

type Limiter = RateLimiter<NotKeyed, Arrivals, SinceStart, NoOpMiddleware<Duration>>;

impl Usage {
    /// The bucket for this rate; a full one if the rate has changed.
    fn bucket(&mut self, rate: Rate, clock: &SinceStart) -> &Bucket {
        let fitting = self.bucket.take().filter(|bucket| bucket.rate == rate);
        self.bucket.insert(fitting.unwrap_or_else(|| {
            let arrivals = Arrivals::default();
            let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
            Bucket {
                rate,
                limiter: RateLimiter::new(quota, arrivals.clone(), clock.clone()),
                arrivals,
                made: clock.now(),
            }
        }))
    }

    /// Whether removing it changes nothing.
    fn is_idle(&self, now: Duration) -> bool {
        let full_again = |bucket: &Bucket| {
            let next = Duration::from_nanos(bucket.arrivals.get());
            bucket.made.saturating_add(next) <= now
        };
        self.in_flight == 0 && self.bucket.as_ref().is_none_or(full_again)
    }
}

/// A limiter's state that can be reset: the theoretical arrival time of the next request; 0 before
/// the first. Only changed under the lock around all usages.
#[derive(Clone, Default)]
struct Arrivals(Arc<AtomicU64>);

impl Arrivals {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, nanos: u64) {
        self.0.store(nanos, Ordering::Relaxed);
    }
}

impl StateStore for Arrivals {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let before = self.get();
        let (result, next) = decide((before != 0).then(|| before.into()))?;
        self.set(next.into());
        Ok(result)
    }
}

/// Time since the first tenant was counted.
#[derive(Clone, Debug)]
struct SinceStart(Instant);

impl Clock for SinceStart {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::config::settings::TenantLimit;

    fn set(names: &[&str]) -> TenantSet {
        TenantSet::new(names.iter().map(|name| Tenant::new(name).unwrap())).unwrap()
    }

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate {
            per_second: NonZeroU32::new(per_second).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    fn limits(requests: Option<usize>, rate: Option<Rate>) -> TenantLimits {
        let limit = TenantLimit {
            requests,
            rate,
            ..TenantLimit::default()
        };
        TenantLimits::new(limit, std::collections::BTreeMap::new())
    }

    #[test]
    fn requests_in_flight_are_counted_for_every_tenant_or_for_none() {
        let mut usages = Usages::default();
        let limits = limits(Some(2), None);
        let (a, b, both) = (set(&["a"]), set(&["b"]), set(&["a", "b"]));
        usages.enter(&limits, &b).unwrap();
        usages.enter(&limits, &both).unwrap();
        let refused = Refusal::TooMany {
            tenant: "b",
            limit: 2,
        };
        assert_eq!(usages.enter(&limits, &both), Err(refused));
        // Nothing was counted for `a`, although it comes first.
        usages.enter(&limits, &a).unwrap();
        assert!(usages.enter(&limits, &a).is_err());
        usages.leave(&both);
        usages.enter(&limits, &both).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn rate_allows_a_burst_and_then_sets_retry_after() {
        let mut usages = Usages::default();
        let rate = rate(2, 3);
        let (limits, a) = (limits(None, Some(rate)), set(&["a"]));
        for _ in 0..3 {
            usages.enter(&limits, &a).unwrap();
        }
        let refused = Refusal::TooOften {
            tenant: "a",
            rate,
            after: Duration::from_millis(500),
        };
        assert_eq!(usages.enter(&limits, &a), Err(refused));
        assert!(usages.enter(&limits, &set(&["b"])).is_ok());
        tokio::time::advance(Duration::from_millis(500)).await;
        usages.enter(&limits, &a).unwrap();
        assert!(usages.enter(&limits, &a).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn refused_request_is_not_charged_to_other_tenants() {
        let mut usages = Usages::default();
        let limits = limits(None, Some(rate(1, 2)));
        let (a, b, both) = (set(&["a"]), set(&["b"]), set(&["a", "b"]));
        usages.enter(&limits, &b).unwrap();
        usages.enter(&limits, &b).unwrap();
        for _ in 0..5 {
            assert_eq!(usages.enter(&limits, &both).unwrap_err().tenant(), "b");
        }
        usages.enter(&limits, &a).unwrap();
        usages.enter(&limits, &a).unwrap();
        assert!(usages.enter(&limits, &a).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn changed_limit_applies_to_the_next_request() {
        let mut usages = Usages::default();
        let a = set(&["a"]);
        usages
            .enter(&limits(Some(1), Some(rate(1, 1))), &a)
            .unwrap();
        assert!(usages.enter(&limits(None, Some(rate(1, 1))), &a).is_err());
        assert!(
            usages
                .enter(&limits(Some(1), Some(rate(5, 5))), &a)
                .is_err()
        );
        usages
            .enter(&limits(Some(2), Some(rate(5, 5))), &a)
            .unwrap();
        usages.enter(&limits(None, None), &a).unwrap();
        // Requests counted under the old limit count under the new one.
        let refused = usages.enter(&limits(Some(3), None), &a);
        assert!(matches!(refused, Err(Refusal::TooMany { limit: 3, .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_tenants_are_removed() {
        let mut usages = Usages::default();
        let limits = limits(Some(1), Some(rate(1, 10)));
        let busy = set(&["busy"]);
        usages.enter(&limits, &busy).unwrap();
        for round in 0..20 {
            for tenant in 0..FEW {
                let tenant = set(&[&format!("{round}-{tenant}")]);
                usages.enter(&limits, &tenant).unwrap();
                usages.leave(&tenant);
            }
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        assert!(usages.tenants.len() <= 3 * FEW, "{}", usages.tenants.len());
        assert!(usages.enter(&limits, &busy).is_err(), "not the busy ones");
    }
}
