//! `GET /metrics`: the process's metrics, with the state of its issuers and upstreams.

use std::sync::Arc;
use std::time::SystemTime;

use crate::auth::KeyStatus;
use crate::proxy::Proxy;
use crate::telemetry::metrics::{IssuerState, UpstreamState};
use crate::upstream::Health;

/// The exposition in the `OpenMetrics` text format; `unauthenticated` is the number of client
/// connections without a valid token so far.
pub(super) fn exposition(proxy: &Proxy, unauthenticated: usize) -> String {
    let unauthenticated = i64::try_from(unauthenticated).unwrap_or(i64::MAX);
    proxy
        .metrics()
        .connections
        .unauthenticated
        .set(unauthenticated);
    let snapshot = proxy.snapshot();
    let cached = snapshot.answers().map_or(0, |answers| answers.bytes());
    proxy.metrics().answers.bytes.set(cached);
    let issuers: Vec<IssuerState> = snapshot
        .rules()
        .authenticator()
        .key_status()
        .into_iter()
        .map(issuer)
        .collect();
    let upstreams: Vec<UpstreamState> = snapshot
        .health()
        .iter()
        .map(|health| upstream(health))
        .collect();
    proxy.metrics().render(&issuers, &upstreams)
}

fn issuer(status: KeyStatus) -> IssuerState {
    let KeyStatus {
        issuer,
        keys,
        fetches_ok,
        fetches_failed,
        failure: _,
    } = status;
    IssuerState {
        issuer,
        keys,
        fetches_ok,
        fetches_failed,
    }
}

fn upstream(health: &Health) -> UpstreamState {
    let upstream = health.upstream();
    let (checks, connections) = (health.checks(), upstream.connections());
    let shadow = upstream.settings().shadow.as_ref();
    UpstreamState {
        name: Arc::clone(upstream.name()),
        is_healthy: health.is_healthy(),
        checks_ok: checks.good(),
        checks_failed: checks.bad(),
        connections_open: connections.open(),
        connections_opened: connections.opened(),
        repeats: connections.repeats(),
        is_insecure: upstream.is_insecure(),
        ignores_org_id: health.ignores_org_id(),
        is_shadowed: shadow.is_some_and(|shadow| shadow.is_in_force(SystemTime::now())),
    }
}
