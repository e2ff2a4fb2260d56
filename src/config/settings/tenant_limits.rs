//! `tenant_limits`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

/// `tenant_limits`: what each tenant may ask for. Without it, whatever `limits` lets through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantLimits {
    default: TenantLimit,
    tenants: BTreeMap<Box<str>, TenantLimit>,
    counts: bool,
    guards: bool,
}

/// The limits of one tenant; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantLimit {
    /// `requests`: in flight at once.
    pub requests: Option<usize>,
    /// `requests_per_second` and `burst`.
    pub rate: Option<Rate>,
    /// `max_range`: the longest time range of a request, and the longest within a query.
    pub max_range: Option<Duration>,
    /// `max_points`: the most points of a range query's series.
    pub max_points: Option<u64>,
    /// `min_step`: the shortest step of a range query.
    pub min_step: Option<Duration>,
}

/// How often a tenant may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// `requests_per_second`: in the long run.
    pub per_second: NonZeroU32,
    /// `burst`: at once, after a pause; default `requests_per_second`.
    pub burst: NonZeroU32,
}

impl TenantLimits {
    /// `default`, and for the tenants under `tenants` what holds instead: all of it, with what
    /// `default` says where they say nothing.
    pub fn new(default: TenantLimit, tenants: BTreeMap<Box<str>, TenantLimit>) -> Self {
        let any = |is: fn(&TenantLimit) -> bool| is(&default) || tenants.values().any(is);
        Self {
            counts: any(|limit| limit.requests.is_some() || limit.rate.is_some()),
            guards: any(|limit| {
                limit.max_range.is_some() || limit.max_points.is_some() || limit.min_step.is_some()
            }),
            default,
            tenants,
        }
    }

    /// `default`, and the tenants that have limits of their own.
    pub fn parts(&self) -> (&TenantLimit, &BTreeMap<Box<str>, TenantLimit>) {
        (&self.default, &self.tenants)
    }

    /// The limits of a tenant.
    pub fn of(&self, tenant: &str) -> &TenantLimit {
        self.tenants.get(tenant).unwrap_or(&self.default)
    }

    /// Whether any tenant's requests are counted: `requests`, `requests_per_second`.
    pub fn counts(&self) -> bool {
        self.counts
    }

    /// Whether any tenant's queries are looked at: `max_range`, `max_points`, `min_step`.
    pub fn guards(&self) -> bool {
        self.guards
    }
}
