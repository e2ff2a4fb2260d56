//! An issuer's keys, from the config or from the last fetch.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::Guard;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::clock::Clock;
use super::error::InvalidTokens;
use super::fetch::{Location, Provider};
use super::jwks::{self, Jwks};
use super::keys::{Key, KeySet};
use super::pem;
use super::refresh::Refresher;
use super::shared::{Current, Pacing, Shared};
use crate::config::settings::{Algorithm, Issuer, KeySource};

/// The keys of one issuer. They are refreshed until this is dropped.
pub(super) struct KeyStore {
    basis: Basis,
    shared: Arc<Shared>,
    task: Option<AbortHandle>,
}

/// The settings that keys depend on. A reload that changes none of them reuses the store.
#[derive(PartialEq)]
struct Basis {
    issuer: Arc<str>,
    algorithms: Vec<Algorithm>,
    source: KeySource,
    refresh_interval: Duration,
    max_stale: Duration,
}

/// The state of an issuer's keys, for metrics and readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    pub issuer: Arc<str>,
    /// How many keys are usable; 0 if they are too old.
    pub keys: usize,
    /// Successful fetches. Counted from zero when the issuer's settings change.
    pub fetches_ok: u64,
    pub fetches_failed: u64,
    /// Why the last fetch failed, if it did.
    pub failure: Option<Arc<String>>,
}

impl KeyStore {
    /// The keys of this issuer, read from the config, or else being fetched when this returns.
    pub(super) fn new(
        issuer: &Issuer,
        clock: Arc<dyn Clock>,
        pacing: Pacing,
    ) -> Result<Self, InvalidTokens> {
        let basis = Basis::from_settings(issuer);
        let (keys, provider) = match Origin::from_settings(issuer)? {
            Origin::Config(keys) => (keys, None),
            Origin::Provider(provider) => (KeySet::default(), Some(provider)),
        };
        let current = Current {
            keys: Arc::new(keys),
            generation: 0,
            usable_until: if provider.is_some() { 0 } else { u64::MAX },
        };
        let shared = Arc::new(Shared::new(current, pacing));
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
        self.basis == Basis::from_settings(issuer)
    }

    /// The keys, if there are any and they are not too old.
    pub(super) fn usable(&self, now: u64) -> Option<Guard<Arc<Current>>> {
        let current = self.shared.current.load();
        (now < current.usable_until && !current.keys.is_empty()).then_some(current)
    }

    /// Fetches the keys because one is unknown, or waits for the fetch that is running. Returns
    /// `false` at once if a fetch has just ended, and after a while if it has no result.
    pub(super) async fn refresh(&self) -> bool {
        if self.task.is_none() {
            return false;
        }
        let Ok(_place) = self.shared.waiting.try_acquire() else {
            return false;
        };
        let Pacing { gap, wait, .. } = self.shared.pacing;
        let mut fetches = self.shared.fetches.subscribe();
        let mut is_running = false;
        let mut completed = 0;
        self.shared.fetches.send_if_modified(|fetches| {
            let may_start = fetches
                .last_start
                .is_none_or(|start| start.elapsed() >= gap);
            let start = may_start && !fetches.running && !fetches.wanted;
            fetches.wanted |= start;
            is_running = fetches.wanted || fetches.running;
            completed = fetches.completed;
            start
        });
        is_running
            && timeout(
                wait,
                fetches.wait_for(|fetches| fetches.completed > completed),
            )
            .await
            .is_ok_and(|outcome| outcome.is_ok())
    }

    /// Returns once the first fetch has succeeded or failed.
    pub(super) async fn first_fetch(&self) {
        if self.task.is_some() {
            let mut fetches = self.shared.fetches.subscribe();
            // The sender lives as long as `self`.
            let _ = fetches.wait_for(|fetches| fetches.completed > 0).await;
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
    fn from_settings(issuer: &Issuer) -> Self {
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
    fn from_settings(issuer: &Issuer) -> Result<Self, InvalidTokens> {
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

#[cfg(test)]
mod tests;
