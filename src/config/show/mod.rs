//! Settings as a config file would say them, with what only defaults say, and without secrets.
//!
//! Every struct is taken apart without `..`: a new setting that is not shown does not compile.

mod cache;
mod listeners;
mod tenancy;
mod tenant_limits;
mod tokens;
mod tree;
mod upstreams;

use std::path::Path;
use std::time::Duration;

use self::tree::{Tree, list, map};
use super::settings::{
    Audit, AuditOutput, AuditQueries, Drain, ForeignMatchers, ForeignSpans, Limits, Log, Metrics,
    Passthrough, PromQl, Reload, SearchMetadata, Settings, Timeouts, Traces, Tracing,
};

/// What stands for a secret.
const HIDDEN: &str = "***";

/// The settings as YAML. Where there are neither secrets nor keys from files in them, it can be
/// loaded again.
pub fn show(settings: &Settings) -> String {
    let Settings {
        listeners,
        admin,
        upstreams,
        tokens,
        tenancy,
        promql: PromQl { foreign_matchers },
        traces,
        passthrough: Passthrough {
            authenticated,
            upstream,
        },
        limits,
        tenant_limits,
        cache,
        timeouts,
        drain: Drain { min, max },
        reload: Reload { poll_interval },
        log: Log { json, level },
        audit,
        metrics: Metrics { per_tenant },
        tracing,
    } = settings;
    map([
        ("listeners", list(listeners, listeners::listener)),
        ("admin", listeners::admin(admin)),
        ("upstreams", list(upstreams, upstreams::upstream)),
        ("tokens", tokens::tokens(tokens)),
        ("tenancy", tenancy::tenancy(tenancy)),
        (
            "promql",
            map([(
                "foreign_matchers",
                Tree::text(match foreign_matchers {
                    ForeignMatchers::Intersect => "intersect",
                    ForeignMatchers::Reject => "reject",
                }),
            )]),
        ),
        ("traces", traces_tree(*traces)),
        (
            "passthrough",
            map([
                (
                    "authentication",
                    Tree::text(if *authenticated { "required" } else { "none" }),
                ),
                (
                    "upstream",
                    upstream.as_ref().map_or(Tree::Absent, Tree::text),
                ),
            ]),
        ),
        ("limits", limits_tree(limits)),
        ("tenant_limits", tenant_limits::tenant_limits(tenant_limits)),
        ("cache", cache.as_ref().map_or(Tree::Absent, cache::cache)),
        ("timeouts", timeouts_tree(timeouts)),
        (
            "drain",
            map([("min", duration(*min)), ("max", duration(*max))]),
        ),
        ("reload", map([("poll_interval", duration(*poll_interval))])),
        (
            "log",
            map([
                ("format", Tree::text(if *json { "json" } else { "text" })),
                ("level", Tree::text(level)),
            ]),
        ),
        ("audit", audit_tree(audit)),
        (
            "metrics",
            per_tenant.map_or(Tree::Absent, |max_tenants| {
                map([(
                    "per_tenant",
                    map([("max_tenants", Tree::plain(max_tenants))]),
                )])
            }),
        ),
        (
            "tracing",
            tracing.as_ref().map_or(Tree::Absent, tracing_tree),
        ),
    ])
    .yaml()
}

fn traces_tree(traces: Traces) -> Tree {
    let Traces {
        search_metadata,
        foreign_spans,
    } = traces;
    map([
        (
            "search_metadata",
            Tree::text(match search_metadata {
                SearchMetadata::Verify => "verify",
                SearchMetadata::Mask => "mask",
                SearchMetadata::Trust => "trust",
            }),
        ),
        (
            "foreign_spans",
            Tree::text(match foreign_spans {
                ForeignSpans::Redact => "redact",
                ForeignSpans::Deny => "deny",
            }),
        ),
    ])
}

fn limits_tree(limits: &Limits) -> Tree {
    let Limits {
        connections,
        unauthenticated_connections_per_address,
        requests,
        header_bytes,
        uri_bytes,
        body_bytes,
        body_bytes_per_second,
        incomplete_bodies,
        query_bytes,
        query_depth,
        query_nodes,
        format_bytes,
        query_selectors,
        answer_bytes,
        answer_bytes_per_second,
        buffered_bytes,
        rewrite_cache_bytes,
    } = limits;
    map([
        ("connections", Tree::plain(connections)),
        (
            "unauthenticated_connections_per_address",
            Tree::plain(unauthenticated_connections_per_address.unwrap_or(0)),
        ),
        ("requests", Tree::plain(requests)),
        ("header_bytes", Tree::plain(header_bytes)),
        ("uri_bytes", Tree::plain(uri_bytes)),
        ("body_bytes", Tree::plain(body_bytes)),
        ("body_bytes_per_second", Tree::plain(body_bytes_per_second)),
        ("incomplete_bodies", Tree::plain(incomplete_bodies)),
        ("query_bytes", Tree::plain(query_bytes)),
        ("query_depth", Tree::plain(query_depth)),
        ("query_nodes", Tree::plain(query_nodes)),
        ("format_bytes", Tree::plain(format_bytes)),
        ("query_selectors", Tree::plain(query_selectors)),
        ("answer_bytes", Tree::plain(answer_bytes)),
        (
            "answer_bytes_per_second",
            Tree::plain(answer_bytes_per_second),
        ),
        ("buffered_bytes", Tree::plain(buffered_bytes)),
        ("rewrite_cache_bytes", Tree::plain(rewrite_cache_bytes)),
    ])
}

fn timeouts_tree(timeouts: &Timeouts) -> Tree {
    let Timeouts {
        first_request,
        header,
        body_idle,
        body_total,
        idle,
        unauthenticated_idle,
    } = timeouts;
    map([
        ("first_request", duration(*first_request)),
        ("header", duration(*header)),
        ("body_idle", duration(*body_idle)),
        ("body_total", duration(*body_total)),
        ("idle", duration(*idle)),
        ("unauthenticated_idle", duration(*unauthenticated_idle)),
    ])
}

fn audit_tree(audit: &Audit) -> Tree {
    let Audit {
        output,
        sampling,
        queries,
    } = audit;
    map([
        (
            "output",
            match output {
                AuditOutput::Log => Tree::text("log"),
                AuditOutput::Stdout => Tree::text("stdout"),
                AuditOutput::File(file) => path(file),
                AuditOutput::None => Tree::text("none"),
            },
        ),
        ("sampling", Tree::plain(sampling)),
        (
            "queries",
            Tree::text(match queries {
                AuditQueries::Full => "full",
                AuditQueries::Hash => "hash",
                AuditQueries::None => "none",
            }),
        ),
    ])
}

fn tracing_tree(tracing: &Tracing) -> Tree {
    let Tracing {
        otlp_endpoint,
        sample_ratio,
        service_name,
    } = tracing;
    map([
        ("otlp_endpoint", url(otlp_endpoint)),
        ("sample_ratio", Tree::plain(sample_ratio)),
        ("service_name", Tree::text(service_name)),
    ])
}

fn path(path: &Path) -> Tree {
    Tree::text(path.display())
}

/// A URL without its query, in which services like to put keys. Config lets none in with a user
/// name or password.
fn url(url: &str) -> Tree {
    match url.split_once('?') {
        Some((before, _)) => Tree::text(format_args!("{before}?{HIDDEN}")),
        None => Tree::text(url),
    }
}

/// As the config file spells it, down to milliseconds.
fn duration(duration: Duration) -> Tree {
    if duration.subsec_millis() == 0 {
        Tree::plain(format_args!("{}s", duration.as_secs()))
    } else {
        Tree::plain(format_args!("{}ms", duration.as_millis()))
    }
}

#[cfg(test)]
mod tests;
