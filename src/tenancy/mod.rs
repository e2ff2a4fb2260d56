//! Who may see what: from verified claims to the matchers every query must carry. Pure.

mod guard;
mod matchers;
mod reasons;
mod rules;
mod scope;

pub use guard::{Guard, GuardRefusal, Unreadable, Window};
pub use matchers::{
    InvalidTenant, LabelMatcher, MAX_TENANT_BYTES, MatchOp, Matchers, Tenant, TenantSet,
};
pub use reasons::{Reason, reasons};
pub use rules::ScopeRefusal;
pub use scope::{Attribute, TenantScope, Tenants, resolve};
