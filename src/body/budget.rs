//! One account of all the bodies that are held in memory: `limits.buffered_bytes`.
//!
//! Whoever reads a body whole, or holds a part of one back, asks here for every byte first, and
//! the bytes go back by themselves when the memory does.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::proxy::error::{ErrorKind, ProxyError};
use crate::proxy::snapshot::Snapshot;
use crate::telemetry::metrics::{BytesGauge, Metrics};

/// The account, and the most that may be in it.
#[derive(Clone)]
pub(crate) struct Budget {
    /// What `/metrics` shows is the account itself.
    held: BytesGauge,
    limit: usize,
}

/// All of `limits.buffered_bytes` is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the {limit} bytes that bodies may take in memory (limits.buffered_bytes) are in use; try \
     again in a moment"
)]
pub struct Exhausted {
    limit: usize,
}

/// For the metrics' `reason` label.
pub(crate) const REASON: &str = "buffered_bytes";

impl From<Exhausted> for ProxyError {
    fn from(exhausted: Exhausted) -> Self {
        Self::new(ErrorKind::Overloaded, exhausted.to_string())
            .because(REASON)
            .retry_after(Duration::from_secs(1))
    }
}

impl Budget {
    /// The account of the process, with the limit of this snapshot.
    pub(crate) fn of(snapshot: &Snapshot, metrics: &Metrics) -> Self {
        Self {
            held: metrics.buffered_bytes.clone(),
            limit: snapshot.settings().limits.buffered_bytes,
        }
    }

    /// A share of it, with nothing taken yet.
    pub(crate) fn share(&self) -> Share {
        Share {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// Holds what was made here until its memory is free again.
    pub(crate) fn hold(&self, bytes: impl Into<Bytes>) -> Result<Bytes, Exhausted> {
        let bytes = bytes.into();
        let mut share = self.share();
        share.resize(bytes.len())?;
        Ok(share.bind(bytes))
    }
}

/// What one buffer has of a [`Budget`]; its drop gives it back.
pub(crate) struct Share {
    budget: Budget,
    bytes: usize,
}

impl Share {
    /// Takes or gives back, so that it is of this size.
    ///
    /// # Errors
    /// When there is not so much left; what was taken before stays taken.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let account = self.budget.held.inner();
        if bytes > self.bytes {
            let more = (bytes - self.bytes) as u64;
            let limit = self.budget.limit as u64;
            account
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                    held.checked_add(more).filter(|held| *held <= limit)
                })
                .map_err(|_| Exhausted {
                    limit: self.budget.limit,
                })?;
        } else if bytes < self.bytes {
            account.fetch_sub((self.bytes - bytes) as u64, Ordering::Relaxed);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Ties it to the memory it was taken for: it goes back with the last reference to that.
    pub(crate) fn bind(self, bytes: Bytes) -> Bytes {
        if self.bytes == 0 {
            return bytes;
        }
        Bytes::from_owner(Held {
            bytes,
            _share: self,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            let account = self.budget.held.inner();
            account.fetch_sub(self.bytes as u64, Ordering::Relaxed);
        }
    }
}

struct Held {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// How much may be read whole: of one body, and of all together.
#[derive(Clone)]
pub(crate) struct Room {
    /// The most bytes of one body, and the key that says so.
    pub(crate) bytes: usize,
    pub(crate) budget: Budget,
}

impl Room {
    /// For a request's body.
    pub(crate) fn for_request(snapshot: &Snapshot, metrics: &Metrics) -> Self {
        Self {
            bytes: snapshot.settings().limits.body_bytes,
            budget: Budget::of(snapshot, metrics),
        }
    }

    /// For an upstream's answer.
    pub(crate) fn for_answer(snapshot: &Snapshot, metrics: &Metrics) -> Self {
        Self {
            bytes: snapshot.settings().limits.answer_bytes,
            budget: Budget::of(snapshot, metrics),
        }
    }

    /// Of bodies of another length.
    pub(crate) fn of(&self, bytes: usize) -> Self {
        Self {
            bytes,
            budget: self.budget.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limit: usize) -> Budget {
        Budget {
            held: BytesGauge::default(),
            limit,
        }
    }

    fn held(budget: &Budget) -> u64 {
        budget.held.get()
    }

    #[test]
    fn what_is_taken_is_given_back_with_the_last_reference_to_the_memory() {
        let budget = budget(10);
        let whole = budget.hold(vec![1; 8]).unwrap();
        let slice = whole.slice(2..4);
        assert!(budget.hold(vec![1; 3]).is_err());
        drop(whole);
        assert_eq!(held(&budget), 8, "the slice keeps all of it");
        drop(slice);
        assert_eq!(held(&budget), 0);
        assert!(budget.hold(vec![1; 10]).is_ok());
    }

    #[test]
    fn a_share_that_cannot_grow_keeps_what_it_has() {
        let budget = budget(10);
        let mut share = budget.share();
        share.resize(6).unwrap();
        assert_eq!(share.resize(11), Err(Exhausted { limit: 10 }));
        assert_eq!(share.resize(usize::MAX), Err(Exhausted { limit: 10 }));
        assert_eq!(held(&budget), 6);
        share.resize(2).unwrap();
        assert_eq!(held(&budget), 2);
        drop(share);
        assert_eq!(held(&budget), 0);
    }

    #[test]
    fn a_lowered_limit_counts_what_was_taken_under_the_old_one() {
        let before = budget(10);
        let _kept = before.hold(vec![1; 8]).unwrap();
        let after = Budget {
            limit: 4,
            ..before.clone()
        };
        assert!(after.hold(vec![1; 1]).is_err());
    }
}
