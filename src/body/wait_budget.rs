//! Limits how long a peer is waited for.

use std::num::NonZeroU64;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::BodyError;
use crate::config::settings::Settings;

/// The slowest pace at which a client may send a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The longest time without data: `timeouts.body_idle`.
    idle: Duration,
    /// Bytes a second, on average: `limits.body_bytes_per_second`.
    min_rate: Option<NonZeroU64>,
}

impl Pace {
    /// The pace that these settings require of clients.
    pub(crate) fn of_client(settings: &Settings) -> Self {
        Self {
            idle: settings.timeouts.body_idle,
            min_rate: NonZeroU64::new(settings.limits.body_bytes_per_second as u64),
        }
    }
}

/// The time that is left for waiting for a peer, at most `idle`. With a minimum rate, each byte
/// received adds the time that it may take at that rate; without one, each chunk restores all of
/// `idle`.
///
/// It only counts down while the next chunk is polled for and has not arrived: if the receiving
/// side is slow, that is not the peer's fault.
pub(super) struct WaitBudget {
    idle: Duration,
    min_rate: Option<NonZeroU64>,
    left: Duration,
    waiting_since: Option<Instant>,
    /// Created at the first wait: most bodies are there at once.
    timer: Option<Pin<Box<Sleep>>>,
}

impl WaitBudget {
    pub(super) fn new(idle: Duration) -> Self {
        Self {
            idle,
            min_rate: None,
            left: idle,
            waiting_since: None,
            timer: None,
        }
    }

    pub(super) fn with_client(pace: Pace) -> Self {
        Self {
            min_rate: pace.min_rate,
            ..Self::new(pace.idle)
        }
    }

    /// A chunk of this many bytes was received.
    pub(super) fn received(&mut self, bytes: usize) {
        let since = self.waiting_since.take();
        let Some(min_rate) = self.min_rate else {
            return;
        };
        let waited = since.map_or(Duration::ZERO, |since| since.elapsed());
        let nanos = (bytes as u64).saturating_mul(1_000_000_000) / min_rate;
        let left = self.left.saturating_sub(waited) + Duration::from_nanos(nanos);
        self.left = left.min(self.idle);
    }

    /// Waits for the next chunk; ready once that has taken too long.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let left = self.left;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(left)));
        if self.waiting_since.is_none() {
            let now = Instant::now();
            self.waiting_since = Some(now);
            timer.as_mut().reset(now + left);
        }
        timer.as_mut().poll(cx).map(|()| match self.min_rate {
            Some(min_rate) if left < self.idle => BodyError::TooSlow(min_rate),
            _ => BodyError::Idle(self.idle),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    fn client(bytes_a_second: u64) -> WaitBudget {
        WaitBudget::with_client(Pace {
            idle: IDLE,
            min_rate: NonZeroU64::new(bytes_a_second),
        })
    }

    /// Sends chunks of this many bytes at an interval of `every`; returns how long that is
    /// tolerated.
    async fn tolerated(mut wait_budget: WaitBudget, bytes: usize, every: Duration) -> Duration {
        let start = Instant::now();
        while start.elapsed() < Duration::from_hours(1) {
            let next = poll_fn(|cx| wait_budget.poll_over(cx));
            if tokio::time::timeout(every, next).await.is_ok() {
                break;
            }
            wait_budget.received(bytes);
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn rate_below_the_minimum_is_tolerated_for_one_idle_timeout() {
        let tolerated = tolerated(client(1000), 1, Duration::from_secs(29)).await;
        assert!(tolerated < Duration::from_secs(31), "{tolerated:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn rate_just_above_the_minimum_is_tolerated() {
        for every in [1, 10, 29].map(Duration::from_secs) {
            let bytes = usize::try_from(every.as_secs()).unwrap() * 1001;
            let tolerated = tolerated(client(1000), bytes, every).await;
            assert!(
                tolerated > Duration::from_mins(59),
                "{every:?}: {tolerated:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rate_just_below_the_minimum_is_cut_off() {
        let tolerated = tolerated(client(1000), 9000, Duration::from_secs(10)).await;
        assert!(tolerated > Duration::from_secs(30), "{tolerated:?}");
        assert!(tolerated < Duration::from_mins(5), "{tolerated:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn many_bytes_do_not_extend_the_idle_timeout() {
        let mut wait_budget = client(1000);
        wait_budget.received(1 << 30);
        let start = Instant::now();
        let over = poll_fn(|cx| wait_budget.poll_over(cx)).await;
        assert!(matches!(over, BodyError::Idle(IDLE)), "{over:?}");
        assert_eq!(start.elapsed(), IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_polling_does_not_count() {
        let mut wait_budget = client(1000);
        for _ in 0..100 {
            let next = poll_fn(|cx| wait_budget.poll_over(cx));
            let waited = tokio::time::timeout(Duration::from_secs(1), next).await;
            assert!(waited.is_err());
            wait_budget.received(1000);
            tokio::time::advance(Duration::from_mins(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn empty_chunks_add_no_time_under_a_minimum_rate() {
        let tolerated = tolerated(client(1000), 0, Duration::from_secs(1)).await;
        assert!(tolerated <= IDLE, "{tolerated:?}");
        let upstream = WaitBudget::new(IDLE);
        let tolerated = self::tolerated(upstream, 0, Duration::from_secs(1)).await;
        assert!(tolerated > Duration::from_mins(59), "{tolerated:?}");
    }
}
