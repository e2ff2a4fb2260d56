//! `tenant_limits`: the limits of each tenant.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::json;

use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize;
use crate::config::values::{count, positive_duration, span};
use crate::tenant::Tenant;

/// `tenant_limits`: the limits of each tenant. Without it, only `limits` apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantLimits {
    default: TenantLimit,
    tenants: BTreeMap<Box<str>, TenantLimit>,
    counts: bool,
    guards: bool,
}

/// The limits of one tenant; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TenantLimit {
    /// `requests`: in flight at once.
    pub requests: Option<usize>,
    /// `requests_per_second` and `burst`.
    #[serde(flatten)]
    pub rate: Option<Rate>,
    /// `max_range`: the longest time range of a request, and the longest within a query.
    #[serde(serialize_with = "serialize::optional_duration")]
    pub max_range: Option<Duration>,
    /// `max_points`: the most points of a range query's series.
    pub max_points: Option<u64>,
    /// `min_step`: the shortest step of a range query.
    #[serde(serialize_with = "serialize::optional_duration")]
    pub min_step: Option<Duration>,
}

/// A tenant's request rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// `requests_per_second`: on average.
    #[serde(rename = "requests_per_second")]
    pub per_second: NonZeroU32,
    /// `burst`: at once, after a pause; default `requests_per_second`.
    pub burst: NonZeroU32,
}

impl TenantLimits {
    /// `default`, and the overrides under `tenants`, which have been completed from `default`.
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

    /// `default`, and the tenants with limits of their own.
    pub fn parts(&self) -> (&TenantLimit, &BTreeMap<Box<str>, TenantLimit>) {
        (&self.default, &self.tenants)
    }

    pub fn of(&self, tenant: &str) -> &TenantLimit {
        self.tenants.get(tenant).unwrap_or(&self.default)
    }

    /// Whether any tenant's requests are counted: `requests`, `requests_per_second`.
    pub fn counts(&self) -> bool {
        self.counts
    }

    /// Whether any tenant's queries are checked: `max_range`, `max_points`, `min_step`.
    pub fn guards(&self) -> bool {
        self.guards
    }
}

impl Serialize for TenantLimits {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self {
            default,
            tenants,
            counts: _,
            guards: _,
        } = self;
        json!({"default": default, "tenants": tenants}).serialize(to)
    }
}

pub(super) fn tenant_limits(r: &mut Reader<'_>, field: &Field<'_>) -> Read<TenantLimits> {
    let mut section = r.section(field)?;
    let default = section.or(r, "default", Default::default(), |r, field| {
        let written = written(r, field)?;
        Ok((written, written.checked(r, field)?))
    });
    let of_all = default.map_or(Written::default(), |(written, _)| written);
    let tenants = section.or(r, "tenants", BTreeMap::new(), |r, field| {
        tenants(r, field, of_all)
    });
    section.finish(r)?;
    let (_, default) = default?;
    Ok(TenantLimits::new(default, tenants?))
}

/// The overrides by tenant.
fn tenants(
    r: &mut Reader<'_>,
    field: &Field<'_>,
    default: Written,
) -> Read<BTreeMap<Box<str>, TenantLimit>> {
    let entries = r.entries(field)?;
    let read: Vec<Read<(Box<str>, TenantLimit)>> = entries
        .iter()
        .map(|entry| {
            let field = field.child(entry);
            if let Err(invalid) = Tenant::new(&entry.key) {
                return Err(r.error(&field, invalid.to_string()));
            }
            let limit = written(r, &field)?.or(default).checked(r, &field)?;
            Ok((entry.key.as_str().into(), limit))
        })
        .collect();
    read.into_iter().collect()
}

/// The keys as they are in the file.
#[derive(Clone, Copy, Default)]
struct Written {
    requests: Option<usize>,
    requests_per_second: Option<NonZeroU32>,
    burst: Option<NonZeroU32>,
    max_range: Option<Duration>,
    max_points: Option<u64>,
    min_step: Option<Duration>,
}

fn written(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Written> {
    let mut section = r.section(field)?;
    let requests = section.optional(r, "requests", |r, field| count(r, field, 1..=1_000_000));
    let requests_per_second = section.optional(r, "requests_per_second", positive);
    let burst = section.optional(r, "burst", positive);
    let max_range = section.optional(r, "max_range", span);
    let max_points = section.optional(r, "max_points", |r, field| {
        count(r, field, 1..=1_000_000_000).map(|points| points as u64)
    });
    let min_step = section.optional(r, "min_step", positive_duration);
    section.finish(r)?;
    Ok(Written {
        requests: requests?,
        requests_per_second: requests_per_second?,
        burst: burst?,
        max_range: max_range?,
        max_points: max_points?,
        min_step: min_step?,
    })
}

fn positive(r: &mut Reader<'_>, field: &Field<'_>) -> Read<NonZeroU32> {
    let number = count(r, field, 1..=1_000_000)?;
    u32::try_from(number)
        .ok()
        .and_then(NonZeroU32::new)
        .ok_or_else(|| r.error(field, "must not be 0"))
}

impl Written {
    /// The values of this, and where they are missing those of `default`.
    fn or(self, default: Self) -> Self {
        Self {
            requests: self.requests.or(default.requests),
            requests_per_second: self.requests_per_second.or(default.requests_per_second),
            burst: self.burst.or(default.burst),
            max_range: self.max_range.or(default.max_range),
            max_points: self.max_points.or(default.max_points),
            min_step: self.min_step.or(default.min_step),
        }
    }

    fn checked(self, r: &mut Reader<'_>, field: &Field<'_>) -> Read<TenantLimit> {
        let rate = match (self.requests_per_second, self.burst) {
            (None, Some(_)) => {
                return Err(r.error(field, "`burst` needs `requests_per_second`"));
            }
            (None, None) => None,
            (Some(per_second), burst) => Some(Rate {
                per_second,
                burst: burst.unwrap_or(per_second),
            }),
        };
        Ok(TenantLimit {
            requests: self.requests,
            rate,
            max_range: self.max_range,
            max_points: self.max_points,
            min_step: self.min_step,
        })
    }
}
