//! A changed config takes effect without a restart; a bad one changes nothing.
//!
//! Changes are found by reading: a `ConfigMap` is updated by swapping symbolic links, and
//! modification times lie. The same look covers every file the config names.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;

use super::AppError;
use crate::config::{self, Fingerprint, Loaded, OsAccess};
use crate::proxy::Proxy;
use crate::proxy::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;

/// How long a reload waits for the keys of new issuers.
const KEYS_WITHIN: Duration = Duration::from_secs(5);

/// Loads the config again, one load at a time.
pub struct Reloader {
    path: PathBuf,
    proxy: Arc<Proxy>,
    /// Of the last content looked at, good or bad: a bad file is reported once, not every poll.
    seen: Mutex<Fingerprint>,
}

/// Makes the first snapshot from a loaded config.
pub fn start(path: &Path, loaded: Loaded) -> Result<(Arc<Proxy>, Arc<Reloader>), AppError> {
    let metrics = Arc::new(Metrics::new());
    let seen = loaded.fingerprint.clone();
    let snapshot = Snapshot::build(loaded, None)?;
    metrics.reloaded(true, now());
    let proxy = Arc::new(Proxy::new(snapshot, metrics));
    let reloader = Reloader {
        path: path.to_owned(),
        proxy: Arc::clone(&proxy),
        seen: Mutex::new(seen),
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
        tokio::select! {
            // What went wrong is logged and counted there.
            _ = asked => drop(reloader.reload().await),
            () = tokio::time::sleep(poll_interval) => reloader.reload_if_changed().await,
        }
    }
}

impl Reloader {
    /// Loads the config now, changed or not.
    ///
    /// # Errors
    /// The text of all that is wrong with it; the old config stays in force.
    pub async fn reload(&self) -> Result<(), String> {
        self.load(&mut *self.seen.lock().await).await
    }

    async fn reload_if_changed(&self) {
        let mut seen = self.seen.lock().await;
        let looked_at = seen.clone();
        let is_current = blocking(move || looked_at.is_current(&OsAccess)).await;
        if !is_current.unwrap_or(false) {
            // What went wrong is logged and counted there.
            drop(self.load(&mut seen).await);
        }
    }

    async fn load(&self, seen: &mut Fingerprint) -> Result<(), String> {
        let path = self.path.clone();
        let result = match blocking(move || config::load(&path, &OsAccess)).await? {
            Ok(loaded) => {
                seen.clone_from(&loaded.fingerprint);
                self.apply(loaded).await
            }
            Err(errors) => {
                seen.clone_from(errors.fingerprint());
                Err(errors.to_string())
            }
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

    async fn apply(&self, loaded: Loaded) -> Result<(), String> {
        let previous = self.proxy.snapshot();
        let old = previous.settings();
        let new = &loaded.settings;
        if old.listeners != new.listeners || old.admin != new.admin || old.log != new.log {
            tracing::warn!("changes of listeners, admin and log need a restart");
        }
        let snapshot =
            Snapshot::build(loaded, Some(&previous)).map_err(|error| error.to_string())?;
        // So that no request meets an issuer whose keys are still on their way.
        snapshot.authenticator().settle(KEYS_WITHIN).await;
        self.proxy.replace(snapshot);
        Ok(())
    }
}

/// Runs what reads files where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| error.to_string())
}

/// Seconds since the epoch.
fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
