//! From a config file to listeners that serve until a signal, and then the drain.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::error::AppError;
use super::state::App;
use super::{descriptors, reload, shadow};
use crate::admin;
use crate::config::{self, OsAccess};
use crate::server::{self, drain};
use crate::telemetry::audit::Audit;
use crate::telemetry::log::{self, Throttle};

/// How long the shutdown waits for a collector to accept the last spans.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Runs until SIGTERM or SIGINT, then drains; a second signal ends the drain. Returns the audit
/// trail: requests that are aborted with the runtime are recorded too.
pub async fn run(config_path: &Path) -> Result<Arc<Audit>, AppError> {
    let loaded = config::load(config_path, &OsAccess)?;
    let settings = loaded.settings.clone();
    log::init(&settings.log);
    let descriptors = descriptors::raise();
    if let Some(few) = descriptors.filter(|available| *available < descriptors::FEWEST) {
        return Err(AppError::Descriptors(few));
    }
    let (proxy, reloader) = reload::start(config_path, loaded, descriptors)?;
    let app = Arc::new(App {
        proxy,
        reloader,
        connections: Arc::default(),
        admin_refusals: Throttle::default(),
        draining: AtomicBool::new(false),
    });

    // Everything is bound before anything is served, so that an address in use is an error at once.
    let admin_listener = server::bind(settings.admin.address).await?;
    let mut listeners = Vec::new();
    for listener in &settings.listeners {
        let bound = server::bind(listener.address).await?;
        listeners.push((bound, listener.address));
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hangup = signal(SignalKind::hangup())?;

    let admin = admin::spawn(admin_listener, settings.admin.address, Arc::clone(&app))?;
    let watch = tokio::spawn(reload::watch(Arc::clone(&app.reloader), hangup));
    let reminder = tokio::spawn(shadow::remind(Arc::clone(&app.proxy)));
    let (drain, drain_watch) = drain::channel();
    for (listener, configured) in listeners {
        let address = listener.local_addr()?;
        tracing::info!(%address, "listening");
        let (proxy, table) = (Arc::clone(&app.proxy), Arc::clone(&app.connections));
        let drain = drain_watch.clone();
        tokio::spawn(server::serve(listener, configured, proxy, table, drain));
    }
    drop(drain_watch);
    tracing::info!(address = %settings.admin.address, "admin listening");

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let drain_settings = app.proxy.snapshot().settings().drain;
    tracing::info!(min = ?drain_settings.min, max = ?drain_settings.max, "draining");
    app.draining.store(true, Ordering::Relaxed);
    let drained = async {
        tokio::time::sleep(drain_settings.min).await;
        drain.run(drain_settings.max).await
    };
    tokio::select! {
        all_went = drained => if !all_went {
            tracing::warn!("some requests were still in flight at the end of drain.max");
        },
        _ = terminate.recv() => tracing::warn!("second signal: not waiting for requests in flight"),
        _ = interrupt.recv() => tracing::warn!("second signal: not waiting for requests in flight"),
    }
    watch.abort();
    reminder.abort();
    drop(admin);
    let closing = Arc::clone(&app);
    let closed = tokio::task::spawn_blocking(move || closing.proxy.spans().close(LAST_SPANS));
    // It is bounded in time, and cannot fail.
    drop(closed.await);
    Ok(Arc::clone(app.proxy.audit()))
}
