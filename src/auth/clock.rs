//! The current time, which tests can set.

use std::time::{SystemTime, UNIX_EPOCH};

pub(super) trait Clock: Send + Sync {
    /// Seconds since 1970, leap seconds not counted (RFC 7519 §2, `NumericDate`).
    fn now(&self) -> u64;
}

pub(super) struct SystemClock;

impl Clock for SystemClock {
    /// A clock before 1970 is broken; then every token counts as expired.
    fn now(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(u64::MAX, |since| since.as_secs())
    }
}
