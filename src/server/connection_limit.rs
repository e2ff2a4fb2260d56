//! How many connections are open, against a limit that a reload may change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts connections; shared by all listeners.
#[derive(Clone, Debug, Default)]
pub struct Slots(Arc<AtomicUsize>);

/// One connection's; its drop frees it.
#[derive(Debug)]
pub(super) struct Slot(Arc<AtomicUsize>);

impl Slots {
    /// A slot, if fewer than `limit` are taken.
    pub(super) fn take(&self, limit: usize) -> Option<Slot> {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < limit).then_some(taken + 1)
            })
            .ok()
            .map(|_| Slot(Arc::clone(&self.0)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_given_up_to_the_limit_of_the_moment() {
        let slots = Slots::default();
        let first = slots.take(1);
        assert!(first.is_some());
        assert!(slots.take(1).is_none());
        let second = slots.take(2);
        assert!(second.is_some());
        assert!(slots.take(1).is_none());
        drop((first, second));
        assert!(slots.take(1).is_some());
    }
}
