//! `metrics`: optional metrics.

use serde::{Serialize, Serializer};

use crate::config::reader::{Field, Read, Reader};
use crate::config::values::count;

/// `metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metrics {
    /// `per_tenant.max_tenants`: the most tenants with request counters of their own, default 100
    /// if `per_tenant` is present; `None` without it: tenants are not counted.
    #[serde(serialize_with = "per_tenant")]
    pub per_tenant: Option<usize>,
}

pub(super) fn metrics(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Metrics> {
    let mut section = r.section(field)?;
    let per_tenant = section.optional(r, "per_tenant", |r, field| {
        let mut section = r.section(field)?;
        let max_tenants = section.or(r, "max_tenants", 100, |r, field| {
            count(r, field, 1..=100_000)
        });
        section.finish(r)?;
        max_tenants
    });
    section.finish(r)?;
    Ok(Metrics {
        per_tenant: per_tenant?,
    })
}

fn per_tenant<S: Serializer>(max_tenants: &Option<usize>, to: S) -> Result<S::Ok, S::Error> {
    let max_tenants =
        max_tenants.map(|max_tenants| serde_json::json!({"max_tenants": max_tenants}));
    max_tenants.serialize(to)
}
