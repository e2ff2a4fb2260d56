//! File descriptors: as many as the system allows this process, and never all of them for clients.
//!
//! Every connection takes one, of clients and to upstreams. Once they run out, nothing can be
//! accepted any more, neither new clients nor the probes of the admin address. So the connections
//! that the config allows are bounded by the limit of open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::settings::{Limits, Settings};
use crate::telemetry::metrics::Metrics;

/// Open connections to the admin address; beyond that, the one that was quiet for longest is
/// closed. Probes and scrapers need a handful.
pub(crate) const ADMIN_CONNECTIONS: usize = 64;

/// Held by the admin address for connections that arrive when no others are left.
pub(crate) const ADMIN_SPARE: usize = 16;

/// Reserved for everything that is neither a client's nor an upstream's: the admin address with its
/// connections, listeners, the runtime, files, fetches of keys, health checks, Redis, the audit
/// trail and a collector's connections, at their peak.
const RESERVE: usize = ADMIN_CONNECTIONS + ADMIN_SPARE + 64;

/// With fewer, too little is left for clients to be worth starting.
pub(super) const FEWEST: usize = RESERVE + 64;

/// Raises the soft limit of open files to the hard one, as Go's runtime does, and returns the limit
/// that is now in force; `None` if it is unlimited.
///
/// The soft limit of 1024 that most systems set by default is for programs that use `select(2)`,
/// which cannot handle higher descriptors. Partywall does not use it.
pub(super) fn raise() -> Option<usize> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "cannot raise the soft limit of open files to the hard one");
        }
    }
    let in_force = getrlimit(Resource::Nofile).current;
    in_force.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// The config's limits, before and after lowering them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clamped {
    /// As in the config.
    pub(super) configured: Limits,
    /// In force.
    pub(super) in_force: Limits,
}

/// Bounds the limits by the available descriptors: `limits.connections`, each of which takes one,
/// and `limits.requests` with the upstreams' `max_idle_connections`, each of which may take one to
/// an upstream. Upstreams get half of what is available, if they can use that much. Requests to
/// several clusters take one per cluster, which is not accounted for.
pub(super) fn clamp(settings: &mut Settings, available: Option<usize>) -> Clamped {
    let configured = settings.limits;
    if let Some(available) = available {
        let left = available.saturating_sub(RESERVE + settings.listeners.len());
        let idle = |settings: &Settings| -> usize {
            let all = settings.upstreams.iter();
            all.map(|upstream| upstream.max_idle_connections).sum()
        };
        let wanted = configured.requests + idle(settings);
        let upstreams = wanted.min(left / 2);
        if wanted > upstreams {
            let most = upstreams / 2 / settings.upstreams.len().max(1);
            for upstream in &mut settings.upstreams {
                upstream.max_idle_connections = upstream.max_idle_connections.min(most);
            }
        }
        let idle = idle(settings);
        let limits = &mut settings.limits;
        limits.requests = limits.requests.min(upstreams.saturating_sub(idle)).max(1);
        limits.connections = limits.connections.min(left - upstreams).max(1);
    }
    Clamped {
        configured,
        in_force: settings.limits,
    }
}

impl Clamped {
    /// Reports the limits in force in a metric, and in the log if they differ from the config.
    pub(super) fn report(&self, available: Option<usize>, metrics: &Metrics) {
        let Self {
            configured,
            in_force,
        } = self;
        metrics
            .connections
            .limit(in_force.connections, configured.connections);
        if configured != in_force {
            tracing::warn!(
                descriptors = available,
                connections = in_force.connections,
                connections_configured = configured.connections,
                requests = in_force.requests,
                requests_configured = configured.requests,
                "limits.connections and limits.requests are lowered to what the limit of open \
                 files allows: raise its hard limit (ulimit -Hn, LimitNOFILE), or lower them"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, OsAccess};

    fn settings(rest: &str) -> Settings {
        let config = format!(
            "
listeners: [{{address: 127.0.0.1:1}}]
upstreams: [{{name: metrics, api: prometheus, url: http://127.0.0.1:1}}]
tokens:
  issuers:
    - issuer: https://sso.example.com
      audiences: [grafana]
      algorithms: [HS256]
      hmac_secret: 0123456789abcdef0123456789abcdef
tenancy: {{claim: tenant_id, metrics: {{label: tenant_id}}}}
{rest}"
        );
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("partywall.yaml");
        std::fs::write(&path, config).unwrap();
        config::load(Path::new(&path), &OsAccess).unwrap().settings
    }

    #[test]
    fn limits_that_fit_are_as_configured() {
        for available in [None, Some(20_000), Some(usize::MAX)] {
            let mut settings = settings("");
            let before = settings.clone();
            let clamped = clamp(&mut settings, available);
            assert_eq!(settings, before, "{available:?}");
            assert_eq!(clamped.configured, clamped.in_force);
        }
    }

    #[test]
    fn lowered_limits_fit_together_with_the_reserve() {
        for available in [FEWEST, 256, 300, 1024, 4096, 11_000] {
            for rest in ["", "limits: {connections: 50}", "limits: {requests: 3}"] {
                let mut settings = settings(rest);
                let before = settings.limits;
                let clamped = clamp(&mut settings, Some(available));
                let Limits {
                    connections,
                    requests,
                    ..
                } = settings.limits;
                let idle = settings.upstreams[0].max_idle_connections;
                let all = RESERVE + 1 + connections + requests + idle;
                assert!(all <= available, "{available} {rest}: {settings:?}");
                assert!(connections >= 30 && connections <= before.connections);
                assert!(requests >= 3 && requests <= before.requests);
                assert_eq!(clamped.configured, before);
                assert_eq!(clamped.in_force, settings.limits);
            }
        }
        let mut small = settings("limits: {connections: 50, requests: 3}");
        clamp(&mut small, Some(1024));
        let limits = (small.limits.connections, small.limits.requests);
        assert_eq!(limits, (50, 3), "what fits is left alone");
    }
}
