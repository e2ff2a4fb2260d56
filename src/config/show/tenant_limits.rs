//! `tenant_limits`.

use super::duration;
use super::tree::{Tree, map};
use crate::config::settings::{Rate, TenantLimit, TenantLimits};

pub(super) fn tenant_limits(limits: &TenantLimits) -> Tree {
    let (default, tenants) = limits.parts();
    let own = tenants
        .iter()
        .map(|(tenant, limit)| (tenant.to_string(), limit_tree(*limit)));
    map([
        ("default", limit_tree(*default)),
        ("tenants", Tree::Map(own.collect())),
    ])
}

fn limit_tree(limit: TenantLimit) -> Tree {
    let TenantLimit {
        requests,
        rate,
        max_range,
        max_points,
        min_step,
    } = limit;
    let (per_second, burst) = match rate {
        None => (Tree::Absent, Tree::Absent),
        Some(Rate { per_second, burst }) => (Tree::plain(per_second), Tree::plain(burst)),
    };
    map([
        ("requests", requests.map_or(Tree::Absent, Tree::plain)),
        ("requests_per_second", per_second),
        ("burst", burst),
        ("max_range", max_range.map_or(Tree::Absent, duration)),
        ("max_points", max_points.map_or(Tree::Absent, Tree::plain)),
        ("min_step", min_step.map_or(Tree::Absent, duration)),
    ])
}
