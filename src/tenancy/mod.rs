//! Who may see what: from verified claims to the matchers every query must carry. Pure.

mod matchers;
mod rules;
mod scope;

pub use matchers::{
    InvalidTenant, LabelMatcher, MAX_TENANT_BYTES, MatchOp, Matchers, Tenant, TenantSet,
};
pub use rules::ScopeRefusal;
pub use scope::{Attribute, TenantScope, Tenants, resolve};
