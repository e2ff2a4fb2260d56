//! Tenants for the tests of this module.

use crate::tenancy::{LabelMatcher, Matchers, Tenant, TenantSet};

pub(super) fn matcher(label: &str, tenants: &[&str]) -> LabelMatcher {
    let tenants = TenantSet::new(tenants.iter().map(|t| Tenant::new(t).unwrap())).unwrap();
    LabelMatcher::new(label.into(), tenants)
}

pub(super) fn matchers(tenants: &[&str]) -> Matchers {
    Matchers::new(matcher("tenant_id", tenants), [])
}
