//! Several tenants.

use crate::tenant::Tenant;

/// A set of tenants that is never empty; sorted, without duplicates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantSet(Box<[Tenant]>);

impl TenantSet {
    /// Makes a set; `None` if it would be empty.
    pub fn new(tenants: impl IntoIterator<Item = Tenant>) -> Option<Self> {
        let mut tenants: Vec<Tenant> = tenants.into_iter().collect();
        tenants.sort_unstable();
        tenants.dedup();
        (!tenants.is_empty()).then(|| Self(tenants.into()))
    }

    /// Whether this value is one of the tenants.
    pub fn contains(&self, value: &str) -> bool {
        self.0
            .binary_search_by(|tenant| tenant.as_str().cmp(value))
            .is_ok()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Tenant> + Clone {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_set_of_tenants_is_none() {
        assert_eq!(TenantSet::new([]), None);
    }
}
