//! Who may see what: from verified claims to the matchers every query must carry. Pure.

mod guard;
mod matchers;
mod reasons;
mod rules;
mod scope;

pub use guard::{Guard, GuardRefusal, Unreadable, Window};
pub use matchers::{LabelMatcher, MatchOp, Matchers, TenantSet};
pub use reasons::{Reason, reasons};
pub use rules::ScopeRefusal;
pub use scope::{Attribute, TenantScope, Tenants, resolve};

pub use crate::tenant::{InvalidTenant, MAX_TENANT_BYTES, Tenant};
