//! State that is shared by an issuer's key store and the task that fetches its keys.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::keys::KeySet;

/// How many requests wait for a fetch at once, for each issuer; more are answered without waiting.
pub(super) const MAX_WAITING: usize = 100;

/// Intervals that are not configurable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacing {
    /// A fetch may take this long.
    pub(super) fetch: Duration,
    /// The minimum time between the start of a fetch and one that an unknown key triggers, because
    /// callers without a valid token can trigger it too.
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

pub(super) struct Shared {
    pub(super) current: ArcSwap<Current>,
    pub(super) fetches: watch::Sender<Fetches>,
    pub(super) waiting: Semaphore,
    pub(super) pacing: Pacing,
    pub(super) fetches_ok: AtomicU64,
    pub(super) fetches_failed: AtomicU64,
    /// Why the last fetch failed; `None` after a successful one.
    pub(super) failure: ArcSwapOption<String>,
}

/// The keys at one time.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) keys: Arc<KeySet>,
    /// Changes whenever the keys change.
    pub(super) generation: u64,
    /// Until when they are usable, in seconds since 1970.
    pub(super) usable_until: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fetches {
    pub(super) wanted: bool,
    pub(super) running: bool,
    pub(super) last_start: Option<Instant>,
    pub(super) completed: u64,
}

impl Shared {
    pub(super) fn new(current: Current, pacing: Pacing) -> Self {
        Self {
            current: ArcSwap::from_pointee(current),
            fetches: watch::Sender::new(Fetches::default()),
            waiting: Semaphore::new(MAX_WAITING),
            pacing,
            fetches_ok: AtomicU64::new(0),
            fetches_failed: AtomicU64::new(0),
            failure: ArcSwapOption::empty(),
        }
    }
}
