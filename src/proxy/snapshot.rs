//! The rules in force and their run-time state: built from one reading of the config, and from what
//! a reload reuses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::cache::{AnswerCache, InvalidRedis};
use super::context::RequestContext;
use super::limits::Tenants;
use super::query_log::QueryLog;
use super::rewrites::Rewrites;
use super::rules::Rules;
use super::shadow::ShadowState;
use super::trace_verdicts::TraceVerdicts;
use crate::auth::InvalidTokens;
use crate::config::settings::{Api, Settings, Upstream as UpstreamSettings};
use crate::config::{ConfigWarning, Loaded};
use crate::server::tls::{InvalidTls, TlsListeners};
use crate::telemetry::metrics::Metrics;
use crate::upstream::{Health, InvalidUpstream, Upstream};

/// The rules in force, and their run-time state. Replaced as one.
pub struct Snapshot {
    rules: Arc<Rules>,
    runtime: Runtime,
    warnings: Vec<ConfigWarning>,
    tls: TlsListeners,
}

/// State that changes while the rules are in force; some of it outlives them.
pub(super) struct Runtime {
    pub(super) health: Vec<Arc<Health>>,
    /// Queries confined by these rules.
    pub(super) rewrites: Arc<Rewrites>,
    /// What is known of traces in search results, by these rules.
    pub(super) trace_verdicts: Arc<TraceVerdicts>,
    /// The usage of tenants that have `tenant_limits`.
    pub(super) tenants: Arc<Tenants>,
    /// What shadow mode recorded lately.
    pub(super) shadow: Arc<ShadowState>,
    /// Cached responses, if `cache` is configured.
    pub(super) answers: Option<Arc<AnswerCache>>,
}

/// Why settings make no snapshot.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// One of `listeners`.
    #[error("listeners: {address}: tls: {cause}")]
    Listener {
        address: SocketAddr,
        cause: InvalidTls,
    },
    /// One of `upstreams`.
    #[error("upstreams: {name}: {cause}")]
    Upstream {
        name: Arc<str>,
        cause: InvalidUpstream,
    },
    /// `tokens`.
    #[error("tokens: {0}")]
    Tokens(#[from] InvalidTokens),
    /// `cache`.
    #[error("cache: {0}")]
    Cache(#[from] InvalidRedis),
}

impl Snapshot {
    /// Builds a snapshot. What is unchanged since `previous` is reused: connections, keys, usage of
    /// tenants. Health checks of the upstreams start now.
    pub fn build(loaded: Loaded, previous: Option<&Self>) -> Result<Self, SnapshotError> {
        let settings = Arc::new(loaded.settings);
        let tls = TlsListeners::build(&settings.listeners, previous.map(|previous| &previous.tls))
            .map_err(|(address, cause)| SnapshotError::Listener { address, cause })?;
        let upstreams: Vec<Arc<Upstream>> = settings
            .upstreams
            .iter()
            .map(|wanted| upstream(wanted, &settings, previous))
            .collect::<Result<_, _>>()?;
        let before = previous.map(|previous| &previous.runtime);
        let by_org_id = settings.tenancy.traces_org_id;
        let runtime = Runtime {
            health: upstreams
                .iter()
                .map(|upstream| health(upstream, by_org_id, before))
                .collect(),
            rewrites: Arc::new(Rewrites::new(settings.limits.rewrite_cache_bytes)),
            trace_verdicts: Arc::default(),
            tenants: before.map_or_else(Arc::default, |before| Arc::clone(&before.tenants)),
            shadow: before.map_or_else(Arc::default, |before| Arc::clone(&before.shadow)),
            answers: answers(&settings, before)?,
        };
        let rules = Rules::new(
            settings,
            upstreams,
            previous.map(|previous| &*previous.rules),
        )?;
        Ok(Self {
            rules: Arc::new(rules),
            runtime,
            warnings: loaded.warnings,
            tls,
        })
    }

    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub fn settings(&self) -> &Arc<Settings> {
        self.rules.settings()
    }

    /// What the config says that is probably a mistake.
    pub fn warnings(&self) -> &[ConfigWarning] {
        &self.warnings
    }

    pub fn tls(&self) -> &TlsListeners {
        &self.tls
    }

    /// The health of each upstream, in the order of the config.
    pub fn health(&self) -> &[Arc<Health>] {
        &self.runtime.health
    }

    /// Cached responses, if `cache` is configured.
    pub fn answers(&self) -> Option<&Arc<AnswerCache>> {
        self.runtime.answers.as_ref()
    }

    /// Why this instance is not ready; `None` if it is.
    pub fn not_ready(&self) -> Option<String> {
        let mut unhealthy = self.health().iter().filter_map(|health| health.not_ready());
        let keys = self.rules.authenticator().not_ready();
        keys.or_else(|| unhealthy.next())
    }

    /// Waits, for at most `within`, for what readiness depends on: keys of new issuers, the health
    /// of new upstreams.
    pub async fn settle(&self, within: Duration) {
        let upstreams = async {
            for health in self.health() {
                health.settled().await;
            }
        };
        // If it is not ready by then, `not_ready` reports so.
        let upstreams = tokio::time::timeout(within, upstreams);
        let keys = self.rules.authenticator().settle(within);
        let ((), _) = futures_util::future::join(keys, upstreams).await;
    }

    /// What the steps of a new request share.
    pub(super) fn context(&self, metrics: Arc<Metrics>, queries: Arc<QueryLog>) -> RequestContext {
        RequestContext {
            rules: Arc::clone(&self.rules),
            rewrites: Arc::clone(&self.runtime.rewrites),
            trace_verdicts: Arc::clone(&self.runtime.trace_verdicts),
            metrics,
            queries,
        }
    }
}

/// The previous upstream with its open connections, if its settings are the same; otherwise a new
/// one.
fn upstream(
    wanted: &UpstreamSettings,
    settings: &Settings,
    previous: Option<&Snapshot>,
) -> Result<Arc<Upstream>, SnapshotError> {
    let is_as_before = previous.is_some_and(|previous| {
        previous.settings().tenancy.traces_org_id == settings.tenancy.traces_org_id
    });
    let previous = previous.and_then(|previous| {
        let mut all = previous.rules.upstreams().iter();
        all.find(|upstream| *upstream.name() == wanted.name)
    });
    // Whether `X-Scope-OrgID` is honoured was checked only if it was in use before.
    if let Some(warm) = previous.filter(|previous| is_as_before && previous.settings() == wanted) {
        return Ok(Arc::clone(warm));
    }
    let new = Upstream::new(wanted, previous.map(|previous| &**previous));
    new.map(Arc::new).map_err(|cause| SnapshotError::Upstream {
        name: Arc::clone(&wanted.name),
        cause,
    })
}

/// The previous health checks, if there are any, or new ones.
fn health(upstream: &Arc<Upstream>, by_org_id: bool, previous: Option<&Runtime>) -> Arc<Health> {
    let needs_org_id = by_org_id && upstream.api() == Api::Tempo;
    let previous = previous.and_then(|previous| {
        let mut all = previous.health.iter();
        all.find(|health| health.upstream().name() == upstream.name())
    });
    match previous {
        Some(kept) if Arc::ptr_eq(kept.upstream(), upstream) => Arc::clone(kept),
        previous => {
            let previous = previous.map(|previous| &**previous);
            Arc::new(Health::watch(Arc::clone(upstream), needs_org_id, previous))
        }
    }
}

/// The previous cache, if its settings are the same, or an empty one.
fn answers(
    settings: &Settings,
    previous: Option<&Runtime>,
) -> Result<Option<Arc<AnswerCache>>, InvalidRedis> {
    let Some(wanted) = &settings.cache else {
        return Ok(None);
    };
    let kept = previous.and_then(|previous| previous.answers.as_ref());
    if let Some(kept) = kept.filter(|kept| kept.settings() == wanted) {
        return Ok(Some(Arc::clone(kept)));
    }
    AnswerCache::new(wanted).map(|new| Some(Arc::new(new)))
}
