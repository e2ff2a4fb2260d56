//! The settings that other modules use: plain data, no I/O handles. Each type is defined in the
//! file of its section.

pub use super::certificates::{CertificateChain, PrivateKey};
pub use super::identity::Identity;
pub use super::secret::Secret;
pub use super::sections::Settings;
pub use super::sections::audit::{Audit, AuditOutput, AuditQueries};
pub use super::sections::cache::{Cache, CacheStore, Redis};
pub use super::sections::compression::Compression;
pub use super::sections::cors::{Cors, Origins};
pub use super::sections::drain::Drain;
pub use super::sections::limits::Limits;
pub use super::sections::listeners::{Admin, ClientCertificates, Listener, ListenerTls};
pub use super::sections::log::Log;
pub use super::sections::metrics::Metrics;
pub use super::sections::passthrough::{Passthrough, PathPattern};
pub use super::sections::promql::PromQl;
pub use super::sections::reload::Reload;
pub use super::sections::tenancy::{
    AttributeSelector, AttributeUnion, ClaimGrant, ClaimPath, Conditions, Conjunction,
    FurtherDimension, Grant, Pattern, Selector, Selectors, Tenancy, TenantRule, TenantSelector,
    ValueUnion, When,
};
pub use super::sections::tenant_limits::{Rate, TenantLimit, TenantLimits};
pub use super::sections::timeouts::Timeouts;
pub use super::sections::tokens::{Algorithm, Issuer, KeySource, TokenSource, Tokens};
pub use super::sections::traces::{SearchMetadata, Traces};
pub use super::sections::tracing::Tracing;
pub use super::sections::upstreams::{
    Api, CLUSTERS, Credentials, HealthCheck, Shadow, Shadowed, Trust, Upstream, UpstreamTimeouts,
    UpstreamTls,
};
pub use super::url::BaseUrl;
pub use crate::closed_group::ClosedGroup;
pub use crate::promql::ForeignMatchers;
pub use crate::tempo::trace::ForeignSpans;
