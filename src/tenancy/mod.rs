//! Who may see what: from verified claims to the matchers every query must carry. Pure.

mod matchers;
mod reasons;
mod rules;
mod scope;

pub use matchers::{
    InvalidTenant, LabelMatcher, MAX_TENANT_BYTES, MatchOp, Matchers, Tenant, TenantSet,
};
pub use reasons::{Reason, reasons};
pub use rules::ScopeRefusal;
pub use scope::{Attribute, TenantScope, Tenants, resolve};
