//! Who may see what: from verified claims to the matchers every query must carry. Pure.

mod matchers;

pub use matchers::{
    InvalidTenant, LabelMatcher, MAX_TENANT_BYTES, MatchOp, Matchers, Tenant, TenantSet,
};
