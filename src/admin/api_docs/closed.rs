//! The refused endpoints: the groups that `open_to_admins` opens to callers with all tenants.

use crate::config::settings::ClosedGroup;

/// A description of a group, and examples of its paths.
pub(super) fn about(group: ClosedGroup) -> (&'static str, &'static [&'static str]) {
    match group {
        ClosedGroup::Status => (
            "The upstream's configuration, flags and state, except for its version and the flags \
             that shape queries.",
            &[
                "/api/v1/status/config",
                "/api/v1/status/runtimeinfo",
                "/api/v1/status/tsdb",
                "/api/v1/status/tsdb/blocks",
                "/api/v1/status/self_metrics",
                "/api/v1/status/walreplay",
                "/status/config",
            ],
        ),
        ClosedGroup::Stores => (
            "What Thanos' `/api/v1/stores` lists; to tenants it is an empty object.",
            &[],
        ),
        ClosedGroup::TsdbAdmin => (
            "Deleting series, snapshots.",
            &[
                "/api/v1/admin/tsdb/delete_series",
                "/api/v1/admin/tsdb/snapshot",
            ],
        ),
        ClosedGroup::Write => (
            "Writes. Partywall is for queries only.",
            &[
                "/api/v1/write",
                "/api/v1/otlp/v1/metrics",
                "/api/v1/receive",
            ],
        ),
        ClosedGroup::Internals => (
            "The upstream's own metrics, profiles, rings and lifecycle.",
            &[
                "/metrics",
                "/debug/pprof/heap",
                "/-/reload",
                "/consoles/index.html",
                "/memberlist",
                "/flush",
            ],
        ),
        ClosedGroup::Overrides => ("The limits of Tempo's tenants.", &["/api/overrides"]),
        ClosedGroup::Mcp => ("Tempo's tools for language models.", &["/api/mcp"]),
        ClosedGroup::Querier => (
            "Tempo's internal copies of its API.",
            &["/querier/api/search"],
        ),
        ClosedGroup::Unknown => (
            "Every other path of the data APIs: unknown paths are refused.",
            &[
                "/api/v1/scrape_pools/config",
                "/api/v1/targets/relabel_steps",
                "/api/v1/query_explain",
                "/api/v2/query",
                "/api/metrics/summary",
            ],
        ),
    }
}
