//! What one request costs the metrics.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use partywall::telemetry::metrics::{Decision, Metrics, Stage};
use partywall::tenancy::{Tenant, TenantSet};

use crate::harness::Table;
use crate::pace::Pace;

pub(crate) fn table(pace: Pace) -> Result<(), Box<dyn Error>> {
    let mut table = Table::new("What a request counts", &[&"part", &"ns"]);
    let mut row = |name: &str, nanos: f64| table.row(&[&name, &format!("{nanos:.0}")]);
    let metrics = Metrics::new();
    let upstream: Arc<str> = "thanos".into();
    let took = Duration::from_micros(300);

    let route = || Ok::<_, Infallible>(metrics.route("query_range"));
    row("its route's series found", pace.nanos(route)?);
    let all = || {
        let route = metrics.route("query_range");
        metrics.token(None);
        metrics.rewrite(true);
        for stage in Stage::ALL {
            metrics.stage(stage, took);
        }
        metrics.upstream_request(&upstream, "answered", took);
        route.decided(Decision::Confined);
        route.request_done(200, took);
        Ok::<_, Infallible>(())
    };
    row("all of it", pace.nanos(all)?);
    let tenants = TenantSet::new([Tenant::new("acme")?]).ok_or("no tenant")?;
    let tenant = || {
        metrics.tenant_request(&tenants, 200);
        Ok::<_, Infallible>(())
    };
    row("its tenant, not asked for", pace.nanos(tenant)?);
    metrics.count_tenants(100);
    row("its tenant", pace.nanos(tenant)?);
    table.print();
    Ok(())
}
