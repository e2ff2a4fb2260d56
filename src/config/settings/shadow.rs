//! An upstream's `shadow`.

use std::time::{Duration, SystemTime};

/// Until when nothing is enforced at an upstream. Only the reader of a config file makes one, from
/// a file that says both keys: without it no request goes up as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Shadow {
    until: SystemTime,
    compare: f64,
}

impl Shadow {
    /// `until` lies no further ahead, when the file is read: 90 days.
    pub const LONGEST: Duration = Duration::from_hours(90 * 24);

    /// For the reader alone, which has seen `tenants_see_each_other: true`.
    pub(in crate::config) fn new(until: SystemTime, compare: f64) -> Self {
        Self { until, compare }
    }

    /// `until`: from then on all is enforced.
    pub fn until(&self) -> SystemTime {
        self.until
    }

    /// `compare`: the share of requests whose confined twin is sent too, to compare sizes;
    /// 0 to 1, default 0.
    pub fn compare(&self) -> f64 {
        self.compare
    }

    /// Whether it holds at this moment.
    pub fn is_in_force(&self, now: SystemTime) -> bool {
        now < self.until
    }
}
