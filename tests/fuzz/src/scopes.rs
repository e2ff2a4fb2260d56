//! The tenants that inputs are confined to.

use partywall::tenancy::{LabelMatcher, Matchers, Tenant, TenantSet, Values};

/// These tenants.
pub fn tenants(names: &[&str]) -> Values {
    let tenants = names
        .iter()
        .map(|name| Tenant::new(name).expect("a tenant"));
    TenantSet::new(tenants).expect("not empty").into()
}

/// One tenant, several, or two labels.
pub fn matchers(choice: u8) -> Matchers {
    let matcher = |label: &str, names| LabelMatcher::new(label.into(), tenants(names));
    match choice % 3 {
        0 => Matchers::new(matcher("tenant_id", &["acme"]), []),
        1 => Matchers::new(matcher("tenant_id", &["acme", "b.c", "d\"\\e"]), []),
        _ => Matchers::new(
            matcher("tenant_id", &["acme"]),
            [matcher("env", &["prod", "test"])],
        ),
    }
}
