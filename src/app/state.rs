//! What the process and its admin listener share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::reload::Reloader;
use super::shadow;
use crate::proxy::Proxy;
use crate::server::ConnectionTable;
use crate::telemetry::log::Throttle;

/// The state that the admin endpoint reports and the drain changes.
pub struct App {
    /// Serves requests.
    pub proxy: Arc<Proxy>,
    /// Loads the config again.
    pub reloader: Arc<Reloader>,
    /// The clients' connections.
    pub connections: Arc<ConnectionTable>,
    /// For the log lines of requests that the admin address does not answer.
    pub(crate) admin_refusals: Throttle,
    pub(super) draining: AtomicBool,
}

impl App {
    /// Why requests should go elsewhere; `None` if they should come.
    pub fn not_ready(&self) -> Option<String> {
        if self.draining.load(Ordering::Relaxed) {
            return Some("draining".to_owned());
        }
        self.proxy.snapshot().not_ready()
    }

    /// What whoever asks for readiness should know all the same.
    pub fn ready_but(&self) -> Vec<String> {
        shadow::in_force(self.proxy.snapshot().settings())
    }
}
