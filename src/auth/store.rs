//! An issuer's keys and how they stay fresh.
//!
//! Keys from the config never change. Published ones are fetched by a task: at once, then in
//! intervals, sooner again after a failure, and when a token names a key that is not there.
//! The task alone fetches, so there is one fetch at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::clock::Clock;
use super::error::InvalidTokens;
use super::fetch::{Location, Provider};
use super::jwks::{self, Jwks};
use super::keys::{Key, KeySet, Unusable};
use super::pem;
use crate::config::settings::{Algorithm, Issuer, KeySource};

/// The times that are not the operator's to choose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacing {
    /// A fetch may take this long.
    pub(super) fetch: Duration,
    /// Between the begin of a fetch and one that an unknown key asks for: strangers ask, too.
    pub(super) gap: Duration,
    /// A request waits this long for such a fetch.
    pub(super) wait: Duration,
    /// After the first failure; doubled with each further one, up to `max_retry`.
    pub(super) first_retry: Duration,
    pub(super) max_retry: Duration,
}

impl Pacing {
    pub(super) const USUAL: Self = Self {
        fetch: Duration::from_secs(10),
        gap: Duration::from_secs(10),
        wait: Duration::from_secs(5),
        first_retry: Duration::from_secs(1),
        max_retry: Duration::from_mins(1),
    };
}

/// Requests that wait for a fetch at once, per issuer; more are answered without it.
const MAX_WAITING: usize = 100;

/// The keys of one issuer; fetched as long as it lives.
pub(super) struct KeyStore {
    basis: Basis,
    shared: Arc<Shared>,
    task: Option<AbortHandle>,
}

/// What the keys depend on. A store is kept over a reload that changes nothing here.
#[derive(PartialEq)]
struct Basis {
    issuer: Arc<str>,
    algorithms: Vec<Algorithm>,
    source: KeySource,
    refresh_interval: Duration,
    max_stale: Duration,
}

struct Shared {
    current: ArcSwap<Current>,
    flights: watch::Sender<Flights>,
    waiting: Semaphore,
    pacing: Pacing,
    fetches_ok: AtomicU64,
    fetches_failed: AtomicU64,
    /// Why the last fetch failed; `None` after a good one.
    failure: ArcSwapOption<String>,
}

/// The keys of one moment.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) keys: Arc<KeySet>,
    /// Another number whenever the keys are others.
    pub(super) generation: u64,
    /// In seconds since 1970.
    usable_until: u64,
}

/// The fetches so far.
#[derive(Clone, Copy, Debug, Default)]
struct Flights {
    wanted: bool,
    running: bool,
    last_begin: Option<Instant>,
    landed: u64,
}

/// The state of an issuer's keys, for metrics and readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// `iss`.
    pub issuer: Arc<str>,
    /// Usable keys; none if they are too old.
    pub keys: usize,
    /// Fetches that brought a key set. They count from zero when the issuer's settings change.
    pub fetches_ok: u64,
    /// Fetches that did not.
    pub fetches_failed: u64,
    /// Why the last fetch failed, if it did.
    pub failure: Option<Arc<String>>,
}

impl KeyStore {
    /// The keys of this issuer: read from the config, or being fetched when this returns.
    pub(super) fn new(
        issuer: &Issuer,
        clock: Arc<dyn Clock>,
        pacing: Pacing,
    ) -> Result<Self, InvalidTokens> {
        let basis = Basis::of(issuer);
        let (keys, provider) = match Origin::of(issuer)? {
            Origin::Config(keys) => (keys, None),
            Origin::Provider(provider) => (KeySet::default(), Some(provider)),
        };
        let current = Current {
            keys: Arc::new(keys),
            generation: 0,
            usable_until: if provider.is_some() { 0 } else { u64::MAX },
        };
        let shared = Arc::new(Shared {
            current: ArcSwap::from_pointee(current),
            flights: watch::Sender::new(Flights::default()),
            waiting: Semaphore::new(MAX_WAITING),
            pacing,
            fetches_ok: AtomicU64::new(0),
            fetches_failed: AtomicU64::new(0),
            failure: ArcSwapOption::empty(),
        });
        let task = match provider {
            None => None,
            Some(provider) => {
                let runtime = Handle::try_current().map_err(|_| InvalidTokens::NoRuntime)?;
                let refresher = Refresher {
                    issuer: basis.issuer.clone(),
                    algorithms: basis.algorithms.clone(),
                    refresh_interval: basis.refresh_interval,
                    max_stale: basis.max_stale,
                    provider,
                    clock,
                    shared: shared.clone(),
                };
                Some(runtime.spawn(refresher.run()).abort_handle())
            }
        };
        Ok(Self {
            basis,
            shared,
            task,
        })
    }

    /// Whether this store is what [`KeyStore::new`] would make of these settings.
    pub(super) fn serves(&self, issuer: &Issuer) -> bool {
        self.basis == Basis::of(issuer)
    }

    /// The keys, if there are any and they are not too old.
    pub(super) fn usable(&self, now: u64) -> Option<Guard<Arc<Current>>> {
        let current = self.shared.current.load();
        (now < current.usable_until && !current.keys.is_empty()).then_some(current)
    }

    /// Fetches the keys because one was not there, or waits for the fetch that is on its way.
    /// `false` at once if there was a fetch just now, and after a while if there is no outcome.
    pub(super) async fn refresh(&self) -> bool {
        if self.task.is_none() {
            return false;
        }
        let Ok(_place) = self.shared.waiting.try_acquire() else {
            return false;
        };
        let Pacing { gap, wait, .. } = self.shared.pacing;
        let mut flights = self.shared.flights.subscribe();
        let mut on_its_way = false;
        let mut landed = 0;
        self.shared.flights.send_if_modified(|flights| {
            let may_begin = flights
                .last_begin
                .is_none_or(|begin| begin.elapsed() >= gap);
            let begin = may_begin && !flights.running && !flights.wanted;
            flights.wanted |= begin;
            on_its_way = flights.wanted || flights.running;
            landed = flights.landed;
            begin
        });
        on_its_way
            && timeout(wait, flights.wait_for(|flights| flights.landed > landed))
                .await
                .is_ok_and(|outcome| outcome.is_ok())
    }

    /// Returns once the keys were fetched, or could not be, for the first time.
    pub(super) async fn first_fetch(&self) {
        if self.task.is_some() {
            let mut flights = self.shared.flights.subscribe();
            // The sender lives as long as `self`.
            let _ = flights.wait_for(|flights| flights.landed > 0).await;
        }
    }

    pub(super) fn status(&self, now: u64) -> KeyStatus {
        KeyStatus {
            issuer: self.basis.issuer.clone(),
            keys: self.usable(now).map_or(0, |current| current.keys.len()),
            fetches_ok: self.shared.fetches_ok.load(Ordering::Relaxed),
            fetches_failed: self.shared.fetches_failed.load(Ordering::Relaxed),
            failure: self.shared.failure.load_full(),
        }
    }
}

impl Drop for KeyStore {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Basis {
    fn of(issuer: &Issuer) -> Self {
        Self {
            issuer: issuer.issuer.clone(),
            algorithms: issuer.algorithms.clone(),
            source: issuer.keys.clone(),
            refresh_interval: issuer.refresh_interval,
            max_stale: issuer.max_stale,
        }
    }
}

/// Where an issuer's keys come from.
enum Origin {
    Config(KeySet),
    Provider(Provider),
}

impl Origin {
    fn of(issuer: &Issuer) -> Result<Self, InvalidTokens> {
        let algorithms = &issuer.algorithms;
        let keys = match &issuer.keys {
            KeySource::Discovery {
                ca_file,
                bearer_token_file,
            } => {
                return Ok(Self::Provider(Provider {
                    location: Location::Discovery(issuer.issuer.clone()),
                    ca_file: ca_file.clone(),
                    bearer_token_file: bearer_token_file.clone(),
                }));
            }
            KeySource::JwksUrl {
                url,
                ca_file,
                bearer_token_file,
            } => {
                return Ok(Self::Provider(Provider {
                    location: Location::Jwks(url.clone()),
                    ca_file: ca_file.clone(),
                    bearer_token_file: bearer_token_file.clone(),
                }));
            }
            KeySource::Jwks(text) => configured_jwks(text, algorithms),
            KeySource::Pem(text) => pem::parse(text, algorithms).map_err(|why| why.to_string()),
            KeySource::Hmac(secret) => Key::secret(secret.expose().as_bytes(), algorithms)
                .map(|key| KeySet::new(vec![key]))
                .map_err(|why| format!("hmac_secret: {why}")),
        };
        keys.map(Self::Config).map_err(|why| InvalidTokens::Keys {
            issuer: issuer.issuer.clone(),
            why,
        })
    }
}

fn configured_jwks(text: &str, algorithms: &[Algorithm]) -> Result<KeySet, String> {
    let Jwks { keys, unused } =
        jwks::parse(text.as_bytes(), algorithms).map_err(|why| format!("jwks_file: {why}"))?;
    if keys.is_empty() {
        let unused: Vec<String> = unused
            .iter()
            .map(|(key, why)| format!("; key {key}: {why}"))
            .collect();
        return Err(format!("jwks_file holds no usable key{}", unused.concat()));
    }
    Ok(keys)
}

/// The task that fetches.
struct Refresher {
    issuer: Arc<str>,
    algorithms: Vec<Algorithm>,
    refresh_interval: Duration,
    max_stale: Duration,
    provider: Provider,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
}

impl Refresher {
    async fn run(self) {
        let mut wanted = self.shared.flights.subscribe();
        let mut failures = 0;
        loop {
            self.shared.flights.send_modify(|flights| {
                flights.wanted = false;
                flights.running = true;
                flights.last_begin = Some(Instant::now());
            });
            failures = if self.fetch().await { 0 } else { failures + 1 };
            self.shared.flights.send_modify(|flights| {
                flights.running = false;
                flights.landed += 1;
            });
            tokio::select! {
                () = sleep(self.pause(failures)) => {}
                _ = wanted.wait_for(|flights| flights.wanted) => {}
            }
        }
    }

    async fn fetch(&self) -> bool {
        let outcome = match self.provider.fetch(self.shared.pacing.fetch).await {
            Err(why) => Err(why.to_string()),
            Ok(text) => jwks::parse(&text, &self.algorithms).map_err(|why| why.to_string()),
        };
        match outcome {
            Ok(jwks) => {
                self.take(jwks);
                self.shared.fetches_ok.fetch_add(1, Ordering::Relaxed);
                self.shared.failure.store(None);
                true
            }
            Err(why) => {
                tracing::warn!(issuer = &*self.issuer, "keys could not be fetched: {why}");
                self.shared.fetches_failed.fetch_add(1, Ordering::Relaxed);
                self.shared.failure.store(Some(Arc::new(why)));
                false
            }
        }
    }

    /// A set without a usable key is taken as well: the provider says that none is valid.
    fn take(&self, Jwks { keys, unused }: Jwks) {
        let usable_until = self.clock.now().saturating_add(self.max_stale.as_secs());
        let before = self.shared.current.load_full();
        let first = before.usable_until == 0;
        let same = *before.keys == keys;
        let current = if same {
            Current {
                keys: before.keys.clone(),
                generation: before.generation,
                usable_until,
            }
        } else {
            Current {
                keys: Arc::new(keys),
                generation: before.generation + 1,
                usable_until,
            }
        };
        if first || !same {
            log_change(&self.issuer, &current.keys, &unused);
        }
        self.shared.current.store(Arc::new(current));
    }

    /// Until the next fetch. Proxies that started together are not to ask together, so up to a
    /// fifth is taken off at random.
    fn pause(&self, failures: u32) -> Duration {
        let Pacing {
            first_retry,
            max_retry,
            ..
        } = self.shared.pacing;
        let whole = match failures.checked_sub(1) {
            None => self.refresh_interval,
            Some(doublings) => first_retry
                .saturating_mul(1 << doublings.min(16))
                .min(max_retry)
                .min(self.refresh_interval),
        };
        let mut random = [0_u8; 1];
        // Without randomness all of it is waited for.
        let _ = aws_lc_rs::rand::fill(&mut random);
        let [part] = random;
        whole.saturating_sub(whole / (5 * 256) * u32::from(part))
    }
}

fn log_change(issuer: &str, keys: &KeySet, unused: &[(String, Unusable)]) {
    for (key, why) in unused {
        match why {
            Unusable::RsaSize(_) | Unusable::Malformed => {
                tracing::warn!(issuer, key, "a key is not used: {why}");
            }
            _ => tracing::debug!(issuer, key, "a key is not used: {why}"),
        }
    }
    if keys.is_empty() {
        tracing::warn!(issuer, "the issuer publishes no key that could be used");
    } else {
        tracing::info!(issuer, keys = keys.len(), "the issuer has new keys");
    }
}
