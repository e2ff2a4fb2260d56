//! The content of a config file, checked and complete: plain data, no I/O handles.
//!
//! One file per section, with the section's struct, defaults, reader, checks and serialisation. A
//! new key is added there and to `config/partywall.yaml`, the annotated reference, which a test
//! compares with the keys that are read.
#![allow(
    clippy::trivially_copy_pass_by_ref,
    clippy::ref_option,
    reason = "the signature of serde's serialize_with"
)]

pub(super) mod audit;
pub(super) mod cache;
pub(super) mod compression;
pub(super) mod cors;
pub(super) mod drain;
pub(super) mod limits;
pub(super) mod listeners;
pub(super) mod log;
pub(super) mod metrics;
pub(super) mod passthrough;
pub(super) mod promql;
pub(super) mod reload;
pub(super) mod tenancy;
pub(super) mod tenant_limits;
pub(super) mod timeouts;
pub(super) mod tokens;
pub(super) mod traces;
pub(super) mod tracing;
pub(super) mod upstreams;

use std::sync::Arc;

use serde::Serialize;

use self::audit::Audit;
use self::cache::Cache;
use self::compression::Compression;
use self::drain::Drain;
use self::limits::Limits;
use self::listeners::{Admin, Listener};
use self::log::Log;
use self::metrics::Metrics;
use self::passthrough::Passthrough;
use self::promql::PromQl;
use self::reload::Reload;
use self::tenancy::Tenancy;
use self::tenant_limits::TenantLimits;
use self::timeouts::Timeouts;
use self::tokens::Tokens;
use self::traces::Traces;
use self::tracing::Tracing;
use self::upstreams::Upstream;
use super::reader::{Field, Read, Reader};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// `listeners`: the addresses that requests are accepted at; at least one.
    pub listeners: Vec<Listener>,
    /// `admin`: health, metrics and reload.
    pub admin: Admin,
    /// `upstreams`: at least one; at most one per [`Api`], prefix and host; names are unique.
    pub upstreams: Vec<Upstream>,
    /// `tokens`: which tokens are trusted.
    pub tokens: Tokens,
    /// `tenancy`: which tenants a caller has.
    pub tenancy: Tenancy,
    /// `promql`: how queries are confined.
    pub promql: PromQl,
    /// `traces`: how traces that several tenants share are shown.
    pub traces: Traces,
    /// `passthrough`: paths outside the data APIs.
    pub passthrough: Passthrough,
    /// `limits`: the bounds of all buffers, caches and queues.
    pub limits: Limits,
    /// `tenant_limits`: the limits of each tenant.
    pub tenant_limits: TenantLimits,
    /// `cache`: cached responses to metric queries; `None` if there are none.
    pub cache: Option<Cache>,
    /// `compression`: of responses to clients.
    pub compression: Compression,
    /// `timeouts`: the bounds of all waiting for clients.
    pub timeouts: Timeouts,
    /// `drain`: how the process shuts down.
    pub drain: Drain,
    /// `reload`: how changes are detected.
    pub reload: Reload,
    /// `log`: logging to standard error.
    pub log: Log,
    /// `audit`: one record per request.
    pub audit: Audit,
    /// `metrics`: optional metrics.
    pub metrics: Metrics,
    /// `tracing`: the proxy's own spans; `None` if they are not exported.
    pub tracing: Option<Tracing>,
}

/// The whole file. Every section is read, whatever errors the others have.
pub(super) fn read(r: &mut Reader<'_>, root: &Field<'_>) -> Read<Settings> {
    let mut section = r.section(root)?;
    let listeners = section.required(r, "listeners", |r, field| {
        r.some_of(field, |r, field| listeners::listener(r, field))
    });
    let admin = section.optional(r, "admin", listeners::admin);
    let bound = listeners::bound_once(r, &listeners, &admin);
    let upstreams = section.required(r, "upstreams", upstreams::upstreams);
    let tokens = section.required(r, "tokens", tokens::tokens);
    let known = tenancy::Known {
        issuers: match &tokens {
            Ok(tokens) => tokens.issuers.clone(),
            Err(reported) => Err(*reported),
        },
        apis: match &upstreams {
            Ok(upstreams) => upstreams.apis.clone(),
            Err(_) => Vec::new(),
        },
        clusters: match &upstreams {
            Ok(upstreams) => upstreams.clusters.clone(),
            Err(reported) => Err(*reported),
        },
    };
    let tenancy = section.required(r, "tenancy", |r, field| tenancy::tenancy(r, field, &known));
    let promql = section.optional(r, "promql", promql::promql);
    let traces = section.optional(r, "traces", |r, field| traces::traces(r, field, &tenancy));
    let upstream_names = match &upstreams {
        Ok(upstreams) => upstreams.names.clone(),
        Err(reported) => Err(*reported),
    };
    let passthrough = section.optional(r, "passthrough", |r, field| {
        passthrough::passthrough(r, field, &upstream_names)
    });
    let limits = section.optional(r, "limits", limits::limits);
    let tenant_limits = section.optional(r, "tenant_limits", tenant_limits::tenant_limits);
    let cache = section.optional(r, "cache", |r, field| {
        cache::cache(r, field, limits.ok().flatten())
    });
    let compression = section.optional(r, "compression", compression::compression);
    let timeouts = section.optional(r, "timeouts", timeouts::timeouts);
    let drain = section.optional(r, "drain", drain::drain);
    let reload = section.optional(r, "reload", reload::reload);
    let log = section.optional(r, "log", log::log);
    let audit = section.optional(r, "audit", audit::audit);
    let metrics = section.optional(r, "metrics", metrics::metrics);
    let tracing = section.optional(r, "tracing", tracing::tracing);
    section.finish(r)?;
    bound?;

    let upstreams = upstreams?.all?;
    let passthrough = passthrough?.unwrap_or_default();
    let first_default = || {
        let first = upstreams.iter().find(|upstream| upstream.is_default())?;
        Some(Arc::clone(&first.name))
    };
    Ok(Settings {
        listeners: listeners?
            .into_iter()
            .map(|(_, listener)| listener)
            .collect(),
        admin: admin?.map_or_else(Admin::default, |(_, admin)| admin),
        passthrough: Passthrough {
            upstream: passthrough.upstream.clone().or_else(first_default),
            ..passthrough
        },
        upstreams,
        tokens: tokens?.all?,
        tenancy: tenancy?,
        promql: promql?.unwrap_or_default(),
        traces: traces?.unwrap_or_default(),
        limits: limits?.unwrap_or_default(),
        tenant_limits: tenant_limits?.unwrap_or_default(),
        cache: cache?,
        compression: compression?.unwrap_or_default(),
        timeouts: timeouts?.unwrap_or_default(),
        drain: drain?.unwrap_or_default(),
        reload: reload?.unwrap_or_default(),
        log: log?.unwrap_or_default(),
        audit: audit?.unwrap_or_default(),
        metrics: metrics?.unwrap_or_default(),
        tracing: tracing?,
    })
}
