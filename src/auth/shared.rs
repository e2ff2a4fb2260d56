//! What an issuer's key store and the task that fetches its keys share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::keys::KeySet;

/// Requests that wait for a fetch at once, per issuer; more are answered without it.
pub(super) const MAX_WAITING: usize = 100;

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

/// What the store and the task that fetches share.
pub(super) struct Shared {
    pub(super) current: ArcSwap<Current>,
    pub(super) flights: watch::Sender<Flights>,
    pub(super) waiting: Semaphore,
    pub(super) pacing: Pacing,
    pub(super) fetches_ok: AtomicU64,
    pub(super) fetches_failed: AtomicU64,
    /// Why the last fetch failed; `None` after a good one.
    pub(super) failure: ArcSwapOption<String>,
}

/// The keys of one moment.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) keys: Arc<KeySet>,
    /// Another number whenever the keys are others.
    pub(super) generation: u64,
    /// In seconds since 1970.
    pub(super) usable_until: u64,
}

/// The fetches so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flights {
    pub(super) wanted: bool,
    pub(super) running: bool,
    pub(super) last_begin: Option<Instant>,
    pub(super) landed: u64,
}

impl Shared {
    pub(super) fn new(current: Current, pacing: Pacing) -> Self {
        Self {
            current: ArcSwap::from_pointee(current),
            flights: watch::Sender::new(Flights::default()),
            waiting: Semaphore::new(MAX_WAITING),
            pacing,
            fetches_ok: AtomicU64::new(0),
            fetches_failed: AtomicU64::new(0),
            failure: ArcSwapOption::empty(),
        }
    }
}
