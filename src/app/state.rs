//! The state that the process and its admin listener share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::reload::Reloader;
use super::shadow;
use crate::proxy::Proxy;
use crate::server::ConnectionTable;
use crate::telemetry::log::Throttle;

/// The state that the admin endpoint reports and the drain changes.
pub struct App {
    pub proxy: Arc<Proxy>,
    pub reloader: Arc<Reloader>,
    /// The clients' connections.
    pub connections: Arc<ConnectionTable>,
    /// Limits the log lines about requests that the admin address refuses.
    pub(crate) admin_refusals: Throttle,
    pub(super) draining: AtomicBool,
}

impl App {
    /// Why this instance is not ready; `None` if it is.
    pub fn not_ready(&self) -> Option<String> {
        if self.draining.load(Ordering::Relaxed) {
            return Some("draining".to_owned());
        }
        self.proxy.snapshot().not_ready()
    }

    /// What a readiness check reports even if this instance is ready.
    pub fn ready_notes(&self) -> Vec<String> {
        shadow::in_force(self.proxy.snapshot().settings())
    }
}
