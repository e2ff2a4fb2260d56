//! Whose spans are ours.

use std::sync::Arc;

use crate::tenancy::TenantSet;

/// What a resource must say to be ours: of each of these attributes it has exactly one, and its
/// value is exactly a string, one of the tenants.
///
/// Everything else is foreign: no such attribute, two of them, an array, a number, bytes, an
/// empty string, and whatever can be read in two ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceOwner {
    attributes: Box<[(Arc<str>, TenantSet)]>,
}

impl TraceOwner {
    /// The conjunction of an attribute and its tenants with further ones. An attribute is named
    /// without its scope: `tenant_id`, not `resource.tenant_id`.
    pub fn new(
        first: (Arc<str>, TenantSet),
        rest: impl IntoIterator<Item = (Arc<str>, TenantSet)>,
    ) -> Self {
        Self {
            attributes: std::iter::once(first).chain(rest).collect(),
        }
    }

    /// Each attribute and the tenants it may name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TenantSet)> {
        self.attributes
            .iter()
            .map(|(name, tenants)| (&**name, tenants))
    }
}
