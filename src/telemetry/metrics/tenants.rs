//! Requests by tenant, if the config enables it. Tenants come from tokens, so their number is bounded
//! here.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::add;
use crate::tenancy::{Tenant, TenantSet};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TenantLabels {
    tenant: String,
    code: u16,
}

/// The label value of all tenants above the bound. No tenant is empty, so it is never a tenant's name.
const OTHERS: &str = "";

/// The counters, by tenant and code.
pub(super) struct TenantRequests {
    family: Family<TenantLabels, Counter>,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    /// The most tenants with their own series; 0 if nothing is counted.
    bound: usize,
    /// The tenants with their own series: the first ones seen.
    tenants: HashSet<Box<str>>,
}

impl TenantRequests {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            family: add(
                registry,
                "tenant_requests",
                "Requests of callers who have this tenant (metrics.per_tenant); all tenants above \
                 max_tenants share an empty label",
                Family::default(),
            ),
            known: RwLock::default(),
        }
    }

    /// Counts requests of at most this many tenants from now on. A changed number resets the counters.
    pub(super) fn bound(&self, bound: usize) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.bound != bound {
            self.family.clear();
            known.tenants.clear();
            known.bound = bound;
        }
    }

    /// Counts a request for each of the caller's tenants, and once for all above the bound.
    pub(super) fn count(&self, tenants: &TenantSet, code: u16) {
        let mut unknown = Vec::new();
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if known.bound == 0 {
                return;
            }
            for tenant in tenants.iter().map(Tenant::as_str) {
                if known.tenants.contains(tenant) {
                    self.inc(tenant, code);
                } else {
                    unknown.push(tenant);
                }
            }
        }
        if unknown.is_empty() {
            return;
        }
        let mut any_beyond = false;
        for tenant in unknown {
            if self.admit(tenant) {
                self.inc(tenant, code);
            } else {
                any_beyond = true;
            }
        }
        if any_beyond {
            self.inc(OTHERS, code);
        }
    }

    /// Whether the tenant has, or now gets, its own series.
    fn admit(&self, tenant: &str) -> bool {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.tenants.contains(tenant)
            || (known.tenants.len() < known.bound && known.tenants.insert(tenant.into()))
    }

    fn inc(&self, tenant: &str, code: u16) {
        let tenant = tenant.to_owned();
        self.family
            .get_or_create(&TenantLabels { tenant, code })
            .inc();
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn set(tenants: &[&str]) -> TenantSet {
        TenantSet::new(tenants.iter().map(|name| Tenant::new(name).unwrap())).unwrap()
    }

    struct Counted(TenantRequests, Registry);

    impl Counted {
        fn new(bound: usize) -> Self {
            let mut registry = Registry::default();
            let requests = TenantRequests::register(&mut registry);
            requests.bound(bound);
            Self(requests, registry)
        }

        fn samples(&self) -> Vec<String> {
            let mut text = String::new();
            encode(&mut text, &self.1).unwrap();
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let mut lines: Vec<String> = lines.map(str::to_owned).collect();
            lines.sort();
            lines
        }
    }

    #[test]
    fn tenants_are_not_counted_by_default() {
        let counted = Counted::new(0);
        counted.0.count(&set(&["a"]), 200);
        assert!(counted.samples().is_empty());
    }

    #[test]
    fn tenants_beyond_the_bound_share_the_empty_series() {
        let counted = Counted::new(2);
        counted.0.count(&set(&["other"]), 200);
        counted.0.count(&set(&["a", "other"]), 403);
        for _ in 0..2 {
            counted.0.count(&set(&["a", "b", "c"]), 200);
        }
        assert_eq!(
            counted.samples(),
            [
                r#"tenant_requests_total{tenant="",code="200"} 2"#,
                r#"tenant_requests_total{tenant="a",code="200"} 2"#,
                r#"tenant_requests_total{tenant="a",code="403"} 1"#,
                r#"tenant_requests_total{tenant="other",code="200"} 1"#,
                r#"tenant_requests_total{tenant="other",code="403"} 1"#,
            ]
        );
    }

    #[test]
    fn changed_bound_resets_the_counters() {
        let counted = Counted::new(1);
        counted.0.count(&set(&["a"]), 200);
        counted.0.bound(1);
        assert_eq!(counted.samples().len(), 1, "the same bound changes nothing");
        counted.0.bound(2);
        assert!(counted.samples().is_empty());
    }

    /// A tenant may contain anything but control characters; the exposition must stay valid.
    #[test]
    fn quotes_in_a_tenant_do_not_break_the_exposition() {
        let counted = Counted::new(1);
        counted.0.count(&set(&[r#"a"} 1 \x"#]), 200);
        assert_eq!(
            counted.samples(),
            [r#"tenant_requests_total{tenant="a\"} 1 \\x",code="200"} 1"#]
        );
    }
}
