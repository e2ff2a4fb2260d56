//! What holds where the file says nothing.

use std::net::SocketAddr;
use std::time::Duration;

use super::{
    Admin, Api, Audit, AuditOutput, AuditQueries, Drain, ForeignMatchers, ForeignSpans,
    HealthCheck, Limits, Log, PromQl, Reload, SearchMetadata, Timeouts, Traces, UpstreamTimeouts,
};

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8081)),
            hosts: Vec::new(),
        }
    }
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response_head: Duration::from_mins(2),
            body_idle: Duration::from_mins(1),
        }
    }
}

impl HealthCheck {
    /// For an upstream that says nothing of it.
    pub fn of(api: Api) -> Self {
        Self {
            path: match api {
                Api::Prometheus => "/-/ready".into(),
                Api::Tempo => "/ready".into(),
            },
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            gates_readiness: false,
        }
    }
}

impl Default for PromQl {
    fn default() -> Self {
        Self {
            foreign_matchers: ForeignMatchers::Intersect,
        }
    }
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            search_metadata: SearchMetadata::Verify,
            foreign_spans: ForeignSpans::Redact,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            unauthenticated_connections_per_address: Some(1000),
            requests: 1000,
            header_bytes: 64 * 1024,
            uri_bytes: 32 * 1024,
            body_bytes: 2 * 1024 * 1024,
            body_bytes_per_second: 1024,
            incomplete_bodies: 1000,
            query_bytes: 64 * 1024,
            query_depth: 100,
            query_nodes: 4000,
            format_bytes: 256 * 1024,
            query_selectors: 1000,
            answer_bytes: 64 * 1024 * 1024,
            answer_bytes_per_second: 1024,
            buffered_bytes: 512 * 1024 * 1024,
            rewrite_cache_bytes: 8 * 1024 * 1024,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_request: Duration::from_secs(10),
            header: Duration::from_secs(10),
            body_idle: Duration::from_secs(30),
            body_total: Duration::from_mins(1),
            idle: Duration::from_mins(2),
            unauthenticated_idle: Duration::from_secs(10),
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            min: Duration::ZERO,
            max: Duration::from_secs(30),
        }
    }
}

impl Default for Reload {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(5),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            json: false,
            level: "info".into(),
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            output: AuditOutput::Log,
            sampling: 0.0,
            queries: AuditQueries::None,
        }
    }
}
