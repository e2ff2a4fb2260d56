//! A changed config takes effect without a restart; an invalid one changes nothing.
//!
//! Changes are detected by reading the content: a `ConfigMap` is updated by swapping symbolic
//! links, and modification times are unreliable. All files that the config names are covered.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::signal::unix::Signal;
use tokio::sync::Mutex;

use super::descriptors;
use super::error::AppError;
use crate::config::settings::Settings;
use crate::config::{
    self, ConfigErrors, ConfigWarning, Fingerprint, Loaded, OsAccess, WarningCode,
};
use crate::proxy::Proxy;
use crate::proxy::snapshot::Snapshot;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::Spans;

/// How long a reload waits for the keys of new issuers, and the health of new upstreams.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);

/// How long changed files must stay the same before they are loaded. A file that is being written
/// in place is truncated for a moment, and may be valid then and grant more.
const SETTLED: Duration = Duration::from_millis(100);

/// Loads the config again, one load at a time.
pub struct Reloader {
    path: PathBuf,
    proxy: Arc<Proxy>,
    /// As of the process's start: what cannot be reloaded is still as in these.
    first: Arc<Settings>,
    /// The limit of open files; `None` if it is unlimited.
    descriptors: Option<usize>,
    /// Of the last content that was checked, valid or not: an invalid file is reported once, not on
    /// every poll.
    seen: Mutex<Fingerprint>,
    last: StdMutex<LastLoad>,
}

/// The result of the last load of the config.
#[derive(Clone, Debug)]
pub struct LastLoad {
    /// When it ended.
    pub at: SystemTime,
    /// All errors, one a line.
    pub result: Result<(), String>,
}

/// Builds the first snapshot from a loaded config, within the limit of open files (`None` is
/// unlimited).
pub fn start(
    path: &Path,
    mut loaded: Loaded,
    descriptors: Option<usize>,
) -> Result<(Arc<Proxy>, Arc<Reloader>), AppError> {
    let metrics = Arc::new(Metrics::new());
    descriptors::clamp(&mut loaded.settings, descriptors).report(descriptors, &metrics);
    let seen = loaded.fingerprint.clone();
    let snapshot = Snapshot::build(loaded, None)?;
    let first = Arc::clone(snapshot.settings());
    let audit = Arc::new(Audit::new(&first.audit, metrics.audit_counters())?);
    let spans = Arc::new(Spans::new(first.tracing.as_ref(), metrics.span_counters())?);
    metrics.count_tenants(first.metrics.per_tenant.unwrap_or_default());
    let last = LastLoad {
        at: SystemTime::now(),
        result: Ok(()),
    };
    metrics.reloaded(true, seconds(last.at));
    snapshot.tls().report(&metrics, seconds(last.at));
    warn(&metrics, snapshot.warnings());
    let proxy = Arc::new(Proxy::new(snapshot, metrics, audit, spans));
    let reloader = Reloader {
        path: path.to_owned(),
        first,
        descriptors,
        proxy: Arc::clone(&proxy),
        seen: Mutex::new(seen),
        last: StdMutex::new(last),
    };
    Ok((proxy, Arc::new(reloader)))
}

/// Polls the files, and reloads on `hangup`, for as long as the process lives.
pub async fn watch(reloader: Arc<Reloader>, mut hangup: Signal) {
    loop {
        let poll_interval = reloader.proxy.snapshot().settings().reload.poll_interval;
        tokio::select! {
            // Errors are logged and counted there.
            _ = hangup.recv() => drop(reloader.reload().await),
            () = tokio::time::sleep(poll_interval) => reloader.reload_if_changed().await,
        }
    }
}

impl Reloader {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn last(&self) -> LastLoad {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Loads the config now, changed or not, and reopens the audit file, whether the config is
    /// valid or not: the file may have been rotated.
    ///
    /// # Errors
    /// All errors of the config; the old one stays in force.
    pub async fn reload(&self) -> Result<(), String> {
        self.proxy.audit().reopen();
        let mut seen = self.seen.lock().await;
        let read = self.read().await?;
        self.take(read, &mut seen).await
    }

    /// Whether these settings change anything that needs a restart.
    pub fn needs_restart(&self, new: &Settings) -> bool {
        !same_addresses(&self.first, new) || self.first.log != new.log
    }

    async fn reload_if_changed(&self) {
        let mut seen = self.seen.lock().await;
        if is_current(&seen).await {
            return;
        }
        let Ok(read) = self.read().await else { return };
        tokio::time::sleep(SETTLED).await;
        if is_current(fingerprint(&read)).await {
            // Errors are logged and counted there.
            drop(self.take(read, &mut seen).await);
        }
    }

    async fn read(&self) -> Result<Result<Loaded, ConfigErrors>, String> {
        let path = self.path.clone();
        blocking(move || config::load(&path, &OsAccess)).await
    }

    async fn take(
        &self,
        read: Result<Loaded, ConfigErrors>,
        seen: &mut Fingerprint,
    ) -> Result<(), String> {
        seen.clone_from(fingerprint(&read));
        let result = match read {
            Ok(loaded) => self.apply(loaded).await,
            Err(errors) => Err(errors.to_string()),
        };
        let at = SystemTime::now();
        self.proxy.metrics().reloaded(result.is_ok(), seconds(at));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = LastLoad {
            at,
            result: result.clone(),
        };
        match &result {
            Ok(()) => tracing::info!(path = %self.path.display(), "config reloaded"),
            Err(errors) => tracing::error!(
                path = %self.path.display(),
                "the new config is not valid; the old one stays in force:\n{errors}"
            ),
        }
        result
    }

    async fn apply(&self, mut loaded: Loaded) -> Result<(), String> {
        let clamped = descriptors::clamp(&mut loaded.settings, self.descriptors);
        let new = &loaded.settings;
        if self.needs_restart(new) {
            tracing::warn!("changes of listen addresses and log need a restart");
        }
        let trail = self.proxy.audit().prepare(&new.audit);
        let trail = trail.map_err(|error| error.to_string())?;
        let spans = self.proxy.spans().prepare(new.tracing.as_ref());
        let spans = spans.map_err(|error| error.to_string())?;
        let per_tenant = new.metrics.per_tenant.unwrap_or_default();
        let previous = self.proxy.snapshot();
        let snapshot =
            Snapshot::build(loaded, Some(&previous)).map_err(|error| error.to_string())?;
        // So that no request is refused for keys that are still being fetched.
        snapshot.settle(SETTLED_WITHIN).await;
        snapshot
            .tls()
            .report(self.proxy.metrics(), seconds(SystemTime::now()));
        warn(self.proxy.metrics(), snapshot.warnings());
        clamped.report(self.descriptors, self.proxy.metrics());
        self.proxy.replace(snapshot);
        self.proxy.audit().replace(trail);
        self.proxy.spans().replace(spans);
        self.proxy.metrics().count_tenants(per_tenant);
        Ok(())
    }
}

/// Reports the config's warnings, at each load.
fn warn(metrics: &Metrics, warnings: &[ConfigWarning]) {
    for warning in warnings {
        tracing::warn!(code = warning.code.name(), "{warning}");
    }
    metrics.config_warned(WarningCode::ALL.map(|code| {
        let of_this = warnings.iter().filter(|warning| warning.code == code);
        (code.name(), of_this.count())
    }));
}

/// Whether both have the same addresses: changes of `listeners` and `admin` need a restart.
fn same_addresses(one: &Settings, other: &Settings) -> bool {
    let listeners = |settings: &Settings| -> BTreeSet<_> {
        let listeners = settings.listeners.iter();
        listeners.map(|listener| listener.address).collect()
    };
    one.admin.address == other.admin.address && listeners(one) == listeners(other)
}

fn fingerprint(read: &Result<Loaded, ConfigErrors>) -> &Fingerprint {
    match read {
        Ok(loaded) => &loaded.fingerprint,
        Err(errors) => errors.fingerprint(),
    }
}

/// Whether the files still have this fingerprint.
async fn is_current(fingerprint: &Fingerprint) -> bool {
    let fingerprint = fingerprint.clone();
    let looked = blocking(move || fingerprint.is_current(&OsAccess)).await;
    looked.unwrap_or(false)
}

/// Runs file I/O where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| error.to_string())
}

/// Seconds since the epoch.
fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
