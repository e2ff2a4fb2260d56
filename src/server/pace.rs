//! How long we have waited for a client to read, and how fast it reads.
//!
//! Only the time in which bytes wait for the client counts: while the upstream is still producing
//! the response (a live tail, a long query), there is nothing that the client could read faster.

use std::time::Duration;

/// When a client reads too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadingLimits {
    /// The longest time without progress; also the waiting time that the rate is averaged over.
    pub(super) stall: Duration,
    /// Bytes a second; 0 for no minimum.
    pub(super) min_rate: usize,
}

/// Why a client's response is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooSlow {
    /// It read nothing for too long.
    Stalled,
    /// It read below the minimum rate.
    BelowRate,
}

impl TooSlow {
    /// The value of the metrics' label; from a closed set.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Stalled => "stalled",
            Self::BelowRate => "too_slow",
        }
    }
}

/// How fast a client reads. Times are relative to any fixed moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Since when bytes wait; `None` while the client has read all.
    waits_since: Option<Duration>,
    /// Waiting time since it was last found to be fast enough, up to `waits_since`.
    waited: Duration,
    /// What it has read in that time.
    taken: u64,
}

impl Pace {
    /// Bytes wait for the client.
    pub(super) fn waits(&mut self, now: Duration) {
        self.waits_since.get_or_insert(now);
    }

    /// The client has read some.
    pub(super) fn took(&mut self, now: Duration, bytes: usize) {
        if let Some(since) = self.waits_since.take() {
            self.waited += now.saturating_sub(since);
        }
        if !self.waited.is_zero() {
            self.taken = self.taken.saturating_add(bytes as u64);
        }
    }

    /// If the client is fast enough, how long until the next check is due.
    pub(super) fn check(
        &mut self,
        now: Duration,
        limits: &ReadingLimits,
    ) -> Result<Duration, TooSlow> {
        let waiting = self
            .waits_since
            .map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let stalls_in = match limits.stall.checked_sub(waiting) {
            None | Some(Duration::ZERO) => return Err(TooSlow::Stalled),
            Some(left) => left,
        };
        let waited = self.waited + waiting;
        if limits.min_rate == 0 {
            return Ok(stalls_in);
        }
        let Some(averaged_in) = limits
            .stall
            .checked_sub(waited)
            .filter(|left| !left.is_zero())
        else {
            let at_least = waited.as_millis() * limits.min_rate as u128 / 1000;
            if u128::from(self.taken) < at_least {
                return Err(TooSlow::BelowRate);
            }
            self.waited = Duration::ZERO;
            self.taken = 0;
            return Ok(stalls_in);
        };
        Ok(stalls_in.min(averaged_in))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ReadingLimits = ReadingLimits {
        stall: Duration::from_secs(10),
        min_rate: 1000,
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The client reads `bytes` every nine seconds; returns when it is cut off, within an hour.
    fn cut_off(bytes: usize) -> Option<(u64, TooSlow)> {
        let mut pace = Pace::default();
        for second in 1..3600 {
            pace.waits(at(second));
            if let Err(why) = pace.check(at(second), &LIMITS) {
                return Some((second, why));
            }
            if second % 9 == 0 {
                pace.took(at(second), bytes);
            }
        }
        None
    }

    #[test]
    fn client_that_reads_little_before_each_stall_is_cut_off() {
        let (when, why) = cut_off(100).unwrap();
        assert_eq!(why, TooSlow::BelowRate);
        assert!(when <= 20, "after {when} s");
        assert!(cut_off(8000).is_some());
    }

    #[test]
    fn client_above_the_rate_is_never_cut_off() {
        assert_eq!(cut_off(12_000), None);
    }

    #[test]
    fn client_that_reads_nothing_stalls() {
        let mut pace = Pace::default();
        pace.waits(at(0));
        assert_eq!(pace.check(at(9), &LIMITS), Ok(at(1)));
        assert_eq!(pace.check(at(10), &LIMITS), Err(TooSlow::Stalled));
        let off = ReadingLimits {
            min_rate: 0,
            ..LIMITS
        };
        assert_eq!(pace.check(at(10), &off), Err(TooSlow::Stalled));
    }

    /// What it read fast at first does not pay for an hour of slow reading.
    #[test]
    fn fast_start_does_not_offset_slow_reading() {
        let mut pace = Pace::default();
        pace.waits(at(0));
        pace.took(at(1), 1_000_000_000);
        let mut cut = None;
        for second in 2..100 {
            pace.waits(at(second));
            if pace.check(at(second), &LIMITS).is_err() {
                cut = Some(second);
                break;
            }
            if second % 5 == 0 {
                pace.took(at(second), 1);
            }
        }
        assert!(cut.is_some_and(|second| second <= 30), "{cut:?}");
    }

    #[test]
    fn time_without_waiting_bytes_does_not_count() {
        let mut pace = Pace::default();
        for hour in 0..100 {
            let now = at(hour * 3600);
            pace.waits(now);
            pace.took(now + Duration::from_millis(1), 20);
            assert!(pace.check(now, &LIMITS).is_ok(), "in hour {hour}");
        }
    }
}
