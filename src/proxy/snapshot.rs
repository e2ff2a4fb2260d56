//! Everything a request is judged by: made from one reading of the config, never changed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderName;
use thiserror::Error;

use super::cache::{AnswerCache, InvalidRedis};
use super::limits::Tenants;
use super::rewrites::Rewrites;
use super::shadow::Ledger;
use crate::auth::{Authenticator, InvalidTokens};
use crate::config::Loaded;
use crate::config::settings::{Settings, Upstream as UpstreamSettings};
use crate::promql;
use crate::server::tls::{InvalidTls, TlsListeners};
use crate::upstream::{Health, InvalidUpstream, Upstream};

/// An immutable set of rules, with the pools and caches that belong to them.
pub struct Snapshot {
    settings: Arc<Settings>,
    tls: TlsListeners,
    authenticator: Authenticator,
    upstreams: Vec<Arc<Upstream>>,
    health: Vec<Arc<Health>>,
    rewrites: Rewrites,
    token_headers: Vec<HeaderName>,
    tenants: Arc<Tenants>,
    ledger: Arc<Ledger>,
    answers: Option<Arc<AnswerCache>>,
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
    /// Makes a snapshot. What `previous` has and still fits is kept: connections, keys, what is counted of tenants.
    /// Upstreams are watched from now on.
    pub fn build(loaded: Loaded, previous: Option<&Self>) -> Result<Self, SnapshotError> {
        let settings = Arc::new(loaded.settings);
        let tls = TlsListeners::build(&settings.listeners, previous.map(|previous| &previous.tls))
            .map_err(|(address, cause)| SnapshotError::Listener { address, cause })?;
        let upstreams: Vec<Arc<Upstream>> = settings
            .upstreams
            .iter()
            .map(|wanted| upstream(wanted, previous))
            .collect::<Result<_, _>>()?;
        let authenticator = Authenticator::new(
            &settings.tokens,
            Arc::new(settings.tenancy.clone()),
            previous.map(|previous| &previous.authenticator),
        )?;
        let token_headers = settings
            .tokens
            .sources
            .iter()
            .filter_map(|source| source.header.parse().ok())
            .collect();
        Ok(Self {
            health: upstreams
                .iter()
                .map(|upstream| health(upstream, previous))
                .collect(),
            rewrites: Rewrites::new(settings.limits.rewrite_cache_bytes),
            tls,
            authenticator,
            upstreams,
            token_headers,
            tenants: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.tenants)),
            ledger: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.ledger)),
            answers: answers(&settings, previous)?,
            settings,
        })
    }

    /// The config it was made from.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The certificates of listeners.
    pub fn tls(&self) -> &TlsListeners {
        &self.tls
    }

    /// Who checks tokens.
    pub fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// Every upstream, as configured.
    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// What is known of each upstream's health, in the same order.
    pub fn health(&self) -> &[Arc<Health>] {
        &self.health
    }

    /// Why requests should go elsewhere; `None` if they should come.
    pub fn not_ready(&self) -> Option<String> {
        let mut unhealthy = self.health.iter().filter_map(|health| health.not_ready());
        self.authenticator.not_ready().or_else(|| unhealthy.next())
    }

    /// Waits, for so long at most, for what readiness depends on: keys of new issuers, the health
    /// of new upstreams.
    pub async fn settle(&self, within: Duration) {
        let upstreams = async {
            for health in &self.health {
                health.settled().await;
            }
        };
        // Whether it is there is for `not_ready` to say.
        let upstreams = tokio::time::timeout(within, upstreams);
        let keys = self.authenticator.settle(within);
        let ((), _) = futures_util::future::join(keys, upstreams).await;
    }

    /// Confined queries of this snapshot.
    pub fn rewrites(&self) -> &Rewrites {
        &self.rewrites
    }

    /// Headers that carry a token, never sent on.
    pub fn token_headers(&self) -> &[HeaderName] {
        &self.token_headers
    }

    /// Answers that are kept, if the config asks for it.
    pub fn answers(&self) -> Option<&Arc<AnswerCache>> {
        self.answers.as_ref()
    }

    /// What tenants with `tenant_limits` are doing.
    pub(crate) fn tenants(&self) -> &Arc<Tenants> {
        &self.tenants
    }

    /// What shadow mode noted lately.
    pub(in crate::proxy) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Bounds on queries.
    pub fn promql_limits(&self) -> promql::Limits {
        promql::Limits {
            query_bytes: self.settings.limits.query_bytes,
            selectors: self.settings.limits.query_selectors,
        }
    }
}

/// The upstream of the same settings with its open connections, or a new one.
fn upstream(
    wanted: &UpstreamSettings,
    previous: Option<&Snapshot>,
) -> Result<Arc<Upstream>, SnapshotError> {
    let previous = previous.and_then(|previous| {
        let mut all = previous.upstreams.iter();
        all.find(|upstream| *upstream.name() == wanted.name)
    });
    if let Some(warm) = previous.filter(|previous| previous.settings() == wanted) {
        return Ok(Arc::clone(warm));
    }
    let new = Upstream::new(wanted, previous.map(|previous| &**previous));
    new.map(Arc::new).map_err(|cause| SnapshotError::Upstream {
        name: Arc::clone(&wanted.name),
        cause,
    })
}

/// The watch that is already kept, or a new one.
fn health(upstream: &Arc<Upstream>, previous: Option<&Snapshot>) -> Arc<Health> {
    let previous = previous.and_then(|previous| {
        let mut all = previous.health.iter();
        all.find(|health| health.upstream().name() == upstream.name())
    });
    match previous {
        Some(kept) if Arc::ptr_eq(kept.upstream(), upstream) => Arc::clone(kept),
        previous => {
            let previous = previous.map(|previous| &**previous);
            Arc::new(Health::watch(Arc::clone(upstream), previous))
        }
    }
}

/// The answers that are already kept, or none yet.
fn answers(
    settings: &Settings,
    previous: Option<&Snapshot>,
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
