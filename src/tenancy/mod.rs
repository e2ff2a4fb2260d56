//! Tenancy: from verified claims to the matchers that every query must have. No I/O.

mod claim_values;
mod guard;
mod matchers;
mod reasons;
mod refusal;
mod resources;
mod rules;
mod scope;
mod tenant_set;
mod values;

pub use guard::{GuardRefusal, QueryGuard, Unreadable, Window};
pub use matchers::{LabelMatcher, MatchOp, Matchers};
pub use reasons::{Reason, reasons};
pub use refusal::ScopeRefusal;
pub use resources::{Attribute, AttributeValue, AttributeValues, Resources};
pub use scope::{TenantScope, Tenants, Unselectable, resolve};
pub use tenant_set::TenantSet;
pub use values::Values;

pub use crate::tenant::{InvalidTenant, MAX_TENANT_BYTES, Tenant};
