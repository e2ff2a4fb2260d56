//! A changed config takes effect without a restart; a bad one changes nothing.
//!
//! Changes are found by reading: a `ConfigMap` is updated by swapping symbolic links, and
//! modification times lie. The same look covers every file the config names.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;

use super::AppError;
use crate::auth::KeyEvents;
use crate::config::{self, Fingerprint, Loaded};
use crate::proxy::Proxy;
use crate::proxy::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;

/// Loads the config again, one load at a time.
pub struct Reloader {
    path: PathBuf,
    proxy: Arc<Proxy>,
    key_events: Arc<dyn KeyEvents>,
    /// Of the last content looked at, good or bad: a bad file is reported once, not every poll.
    seen: Mutex<Option<Fingerprint>>,
}

/// Makes the first snapshot from a loaded config.
pub fn start(path: &Path, loaded: Loaded) -> Result<(Arc<Proxy>, Arc<Reloader>), AppError> {
    let metrics = Arc::new(Metrics::new());
    let key_events: Arc<dyn KeyEvents> = Arc::new(CountKeyFetches(Arc::clone(&metrics)));
    let snapshot = Snapshot::build(loaded.settings, None, &key_events)?;
    metrics.reloaded(true, now());
    let proxy = Arc::new(Proxy::new(snapshot, metrics));
    let reloader = Reloader {
        path: path.to_owned(),
        proxy: Arc::clone(&proxy),
        key_events,
        seen: Mutex::new(Some(loaded.fingerprint)),
    };
    Ok((proxy, Arc::new(reloader)))
}

/// Polls the files, and listens for SIGHUP, for as long as the process lives.
pub async fn watch(reloader: Arc<Reloader>) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => Some(hangup),
        Err(error) => {
            tracing::warn!(%error, "SIGHUP does not reload the config");
            None
        }
    };
    loop {
        let poll_interval = reloader.proxy.snapshot().settings().reload.poll_interval;
        let asked = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        // What went wrong is logged and counted there.
        tokio::select! {
            _ = asked => drop(reloader.reload().await),
            () = tokio::time::sleep(poll_interval) => drop(reloader.reload_if_changed().await),
        }
    }
}

impl Reloader {
    /// Loads the config now, changed or not.
    ///
    /// # Errors
    /// The text of all that is wrong with it; the old config stays in force.
    pub async fn reload(&self) -> Result<(), String> {
        let mut seen = self.seen.lock().await;
        self.load(&mut seen, true).await
    }

    async fn reload_if_changed(&self) -> Result<(), String> {
        let mut seen = self.seen.lock().await;
        self.load(&mut seen, false).await
    }

    async fn load(&self, seen: &mut Option<Fingerprint>, even_if_same: bool) -> Result<(), String> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || config::load(&path)).await;
        let loaded = read.map_err(|error| error.to_string())?;
        let fingerprint = match &loaded {
            Ok(loaded) => loaded.fingerprint,
            Err(errors) => errors.fingerprint(),
        };
        if !even_if_same && *seen == Some(fingerprint) {
            return Ok(());
        }
        *seen = Some(fingerprint);
        let result = match loaded {
            Ok(loaded) => self.apply(loaded),
            Err(errors) => Err(errors.to_string()),
        };
        self.proxy.metrics().reloaded(result.is_ok(), now());
        match &result {
            Ok(()) => tracing::info!(path = %self.path.display(), "config reloaded"),
            Err(errors) => tracing::error!(
                path = %self.path.display(),
                "the new config is not valid; the old one stays in force:\n{errors}"
            ),
        }
        result
    }

    fn apply(&self, loaded: Loaded) -> Result<(), String> {
        let previous = self.proxy.snapshot();
        let old = previous.settings();
        let new = &loaded.settings;
        if old.listeners != new.listeners || old.admin != new.admin || old.log != new.log {
            tracing::warn!("changes of listeners, admin and log need a restart");
        }
        let snapshot = Snapshot::build(loaded.settings, Some(&previous), &self.key_events)
            .map_err(|error| error.to_string())?;
        self.proxy.replace(snapshot);
        Ok(())
    }
}

struct CountKeyFetches(Arc<Metrics>);

impl KeyEvents for CountKeyFetches {
    fn fetched(&self, issuer: &str, ok: bool) {
        self.0.key_fetch(issuer, ok);
    }
}

/// Seconds since the epoch.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
