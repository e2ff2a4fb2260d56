//! What was recorded lately, so that a busy caller does not fill the audit trail, and how many
//! comparisons are running, so that the extra load on the store is bounded. Survives reloads.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::audit::is_sampled;

/// Equal events of the same caller are recorded once in this time.
const REPEAT_AFTER: Duration = Duration::from_mins(1);

/// How many callers and reasons are remembered, at about 50 bytes each.
const MAX_REMEMBERED: usize = 10_000;

/// The most comparisons at once.
const MAX_COMPARISONS: usize = 4;

/// One per process.
pub(in crate::proxy) struct ShadowState {
    noted: Cache<u64, Instant>,
    hasher: RandomState,
    asked: AtomicU64,
    comparisons: Arc<Semaphore>,
}

impl Default for ShadowState {
    fn default() -> Self {
        Self {
            noted: Cache::new(MAX_REMEMBERED),
            hasher: RandomState::new(),
            asked: AtomicU64::new(0),
            comparisons: Arc::new(Semaphore::new(MAX_COMPARISONS)),
        }
    }
}

impl ShadowState {
    /// Whether this was not recorded within the last minute; from now on it counts as recorded.
    pub(in crate::proxy) fn is_news(&self, what: impl Hash) -> bool {
        let key = self.hasher.hash_one(what);
        let known = self.noted.get(&key);
        if known.is_some_and(|noted| noted.elapsed() < REPEAT_AFTER) {
            return false;
        }
        self.noted.insert(key, Instant::now());
        true
    }

    /// Whether the next request is one of the share that is compared.
    pub(super) fn is_compared(&self, share: f64) -> bool {
        share > 0.0 && is_sampled(self.asked.fetch_add(1, Ordering::Relaxed), share)
    }

    /// A permit for a comparison, if there is one.
    pub(super) fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.comparisons).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_events_are_recorded_once() {
        let state = ShadowState::default();
        assert!(state.is_news(("thanos", "missing", "10.0.0.1")));
        assert!(!state.is_news(("thanos", "missing", "10.0.0.1")));
        assert!(state.is_news(("thanos", "missing", "10.0.0.2")));
        assert!(state.is_news(("thanos", "signature", "10.0.0.1")));
    }

    #[test]
    fn comparisons_are_bounded_and_off_by_default() {
        let state = ShadowState::default();
        assert!(!state.is_compared(0.0));
        assert!(state.is_compared(1.0));
        let permits: Vec<_> = (0..MAX_COMPARISONS).map(|_| state.permit()).collect();
        assert!(permits.iter().all(Option::is_some));
        assert!(state.permit().is_none());
        drop(permits);
        assert!(state.permit().is_some());
    }
}
