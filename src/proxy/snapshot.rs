//! The rules in force, and what runs by them: one reading of the config, with what a reload leaves
//! in place.

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
use crate::auth::InvalidTokens;
use crate::config::settings::{Api, Settings, Upstream as UpstreamSettings};
use crate::config::{ConfigWarning, Loaded};
use crate::server::tls::{InvalidTls, TlsListeners};
use crate::telemetry::metrics::Metrics;
use crate::upstream::{Health, InvalidUpstream, Upstream};

/// The rules in force, and what runs by them. Swapped as one.
pub struct Snapshot {
    rules: Arc<Rules>,
    runtime: Runtime,
    warnings: Vec<ConfigWarning>,
    tls: TlsListeners,
}

/// What changes while the rules are in force, and in part outlives them.
pub(super) struct Runtime {
    pub(super) health: Vec<Arc<Health>>,
    /// Confined queries of these rules.
    pub(super) rewrites: Arc<Rewrites>,
    /// What tenants with `tenant_limits` are doing.
    pub(super) tenants: Arc<Tenants>,
    /// What shadow mode noted lately.
    pub(super) shadow: Arc<ShadowState>,
    /// Answers that are cached, if the config asks for it.
    pub(super) answers: Option<Arc<AnswerCache>>,
}

/// Why settings make no snapshot.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// One of `listeners`.
    #[error("listeners: {address}: tls: {cause}")]
    Listener {
        /// Its address.
        address: SocketAddr,
        /// What is wrong with it.
        cause: InvalidTls,
    },
    /// One of `upstreams`.
    #[error("upstreams: {name}: {cause}")]
    Upstream {
        /// Its name.
        name: Arc<str>,
        /// What is wrong with it.
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
    /// Makes a snapshot. What `previous` has and still fits is reused: connections, keys, what is
    /// counted of tenants. Upstreams are watched from now on.
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

    /// What requests are judged by.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// What runs by the rules.
    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The config it was made from.
    pub fn settings(&self) -> &Arc<Settings> {
        self.rules.settings()
    }

    /// What the config says that is probably not meant.
    pub fn warnings(&self) -> &[ConfigWarning] {
        &self.warnings
    }

    /// The certificates of listeners.
    pub fn tls(&self) -> &TlsListeners {
        &self.tls
    }

    /// What is known of each upstream's health, in the order of the config.
    pub fn health(&self) -> &[Arc<Health>] {
        &self.runtime.health
    }

    /// Answers that are cached, if the config asks for it.
    pub fn answers(&self) -> Option<&Arc<AnswerCache>> {
        self.runtime.answers.as_ref()
    }

    /// Why requests should go elsewhere; `None` if they should come.
    pub fn not_ready(&self) -> Option<String> {
        let mut unhealthy = self.health().iter().filter_map(|health| health.not_ready());
        let keys = self.rules.authenticator().not_ready();
        keys.or_else(|| unhealthy.next())
    }

    /// Waits, for so long at most, for what readiness depends on: keys of new issuers, the health
    /// of new upstreams.
    pub async fn settle(&self, within: Duration) {
        let upstreams = async {
            for health in self.health() {
                health.settled().await;
            }
        };
        // Whether it is there is for `not_ready` to say.
        let upstreams = tokio::time::timeout(within, upstreams);
        let keys = self.rules.authenticator().settle(within);
        let ((), _) = futures_util::future::join(keys, upstreams).await;
    }

    /// What the steps of a request share that begins now, with these reports.
    pub(super) fn context(&self, metrics: Arc<Metrics>, queries: Arc<QueryLog>) -> RequestContext {
        RequestContext {
            rules: Arc::clone(&self.rules),
            rewrites: Arc::clone(&self.runtime.rewrites),
            metrics,
            queries,
        }
    }
}

/// The upstream of the same settings with its open connections, or a new one.
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
    // What is known of `X-Scope-OrgID` is of an upstream that was asked for it.
    if let Some(warm) = previous.filter(|previous| is_as_before && previous.settings() == wanted) {
        return Ok(Arc::clone(warm));
    }
    let new = Upstream::new(wanted, previous.map(|previous| &**previous));
    new.map(Arc::new).map_err(|cause| SnapshotError::Upstream {
        name: Arc::clone(&wanted.name),
        cause,
    })
}

/// The watch that is already kept, or a new one.
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

/// The answers that are already kept, or none yet.
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
