//! From the tree to [`Settings`]: one file a group of sections, read in the order of the file.

mod cache;
mod claims;
mod issuers;
mod listeners;
mod process;
mod rules;
mod telemetry;
mod tenancy;
mod tenant_limits;
mod tokens;
mod upstreams;

use std::sync::Arc;

use self::upstreams::Named;
use crate::config::read::{Field, Read, Reader};
use crate::config::settings::{Admin, Passthrough, Settings};
use crate::config::values::{choice, shown, text};

/// The whole file. Every section is read, whatever is wrong with the others.
pub(super) fn settings(r: &mut Reader<'_>, root: &Field<'_>) -> Read<Settings> {
    let mut section = r.section(root)?;
    let listeners = section.required(r, "listeners", |r, field| {
        r.some_of(field, |r, field| listeners::listener(r, field))
    });
    let admin = section.optional(r, "admin", listeners::admin);
    let bound = listeners::bound_once(r, &listeners, &admin);
    let upstreams = section.required(r, "upstreams", upstreams::upstreams);
    let tokens = section.required(r, "tokens", tokens::tokens);
    let known = rules::Known {
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
    let promql = section.optional(r, "promql", process::promql);
    let traces = section.optional(r, "traces", process::traces);
    let upstream_names = match &upstreams {
        Ok(upstreams) => upstreams.names.clone(),
        Err(reported) => Err(*reported),
    };
    let passthrough = section.optional(r, "passthrough", |r, field| {
        passthrough(r, field, &upstream_names)
    });
    let limits = section.optional(r, "limits", process::limits);
    let tenant_limits = section.optional(r, "tenant_limits", tenant_limits::tenant_limits);
    let cache = section.optional(r, "cache", |r, field| {
        cache::cache(r, field, limits.ok().flatten())
    });
    let timeouts = section.optional(r, "timeouts", process::timeouts);
    let drain = section.optional(r, "drain", process::drain);
    let reload = section.optional(r, "reload", process::reload);
    let log = section.optional(r, "log", process::log);
    let audit = section.optional(r, "audit", telemetry::audit);
    let metrics = section.optional(r, "metrics", telemetry::metrics);
    let tracing = section.optional(r, "tracing", telemetry::tracing);
    section.finish(r)?;
    bound?;

    let upstreams = upstreams?.all?;
    let (authenticated, upstream) = passthrough?.unwrap_or((true, None));
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
            authenticated,
            upstream: upstream.or_else(first_default),
        },
        upstreams,
        tokens: tokens?.all?,
        tenancy: tenancy?,
        promql: promql?.unwrap_or_default(),
        traces: traces?.unwrap_or_default(),
        limits: limits?.unwrap_or_default(),
        tenant_limits: tenant_limits?.unwrap_or_default(),
        cache: cache?,
        timeouts: timeouts?.unwrap_or_default(),
        drain: drain?.unwrap_or_default(),
        reload: reload?.unwrap_or_default(),
        log: log?.unwrap_or_default(),
        audit: audit?.unwrap_or_default(),
        metrics: metrics?.unwrap_or_default(),
        tracing: tracing?,
    })
}

/// Whether it asks for a token, and the upstream if it names one.
fn passthrough(
    r: &mut Reader<'_>,
    field: &Field<'_>,
    upstreams: &Read<Vec<Named>>,
) -> Read<(bool, Option<Arc<str>>)> {
    let mut section = r.section(field)?;
    let authenticated = section.or(r, "authentication", true, |r, field| {
        choice(r, field, &[("required", true), ("none", false)])
    });
    let upstream = section.optional(r, "upstream", |r, field| {
        let name = text(r, field)?;
        let Ok(upstreams) = upstreams else {
            return Ok(name.into());
        };
        match upstreams.iter().find(|known| *known.name == *name) {
            None => {
                let message = format!("{} is not the name of an upstream", shown(&name));
                Err(r.error(field, message))
            }
            Some(named) if !named.is_default => {
                let message = "must be an upstream without path_prefix and hosts: the others take \
                               what lies below their own";
                Err(r.error(field, message))
            }
            Some(_) => Ok(name.into()),
        }
    });
    section.finish(r)?;
    Ok((authenticated?, upstream?))
}
