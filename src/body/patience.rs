//! How long a peer is waited for.

use std::num::NonZeroU64;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::BodyError;
use crate::config::settings::Settings;

/// How slowly a client may send a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The longest silence: `timeouts.body_idle`.
    idle: Duration,
    /// Bytes a second, in the long run: `limits.body_bytes_per_second`.
    min_rate: Option<NonZeroU64>,
}

impl Pace {
    /// As these settings say.
    pub(crate) fn of_client(settings: &Settings) -> Self {
        Self {
            idle: settings.timeouts.body_idle,
            min_rate: NonZeroU64::new(settings.limits.body_bytes_per_second as u64),
        }
    }
}

/// Time that is spent on waiting for a peer. It is never more than the longest silence that is
/// allowed. Where there is a minimum rate, only bytes give time back, as much as they may take by
/// that rate; otherwise each piece gives back all of it.
///
/// It runs only while the next piece is asked for and is not there: where whoever takes the pieces
/// is slow, that is not the peer's fault.
pub(super) struct Patience {
    idle: Duration,
    min_rate: Option<NonZeroU64>,
    left: Duration,
    waiting_since: Option<Instant>,
    /// Made at the first wait: most bodies are there at once.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
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

    /// A piece of so many bytes has come.
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

    /// Waits for the next piece; ready when that has taken too long.
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

    fn client(bytes_a_second: u64) -> Patience {
        Patience::with_client(Pace {
            idle: IDLE,
            min_rate: NonZeroU64::new(bytes_a_second),
        })
    }

    /// Sends pieces of so many bytes, one each `every`; how long that is endured.
    async fn endured(mut patience: Patience, bytes: usize, every: Duration) -> Duration {
        let start = Instant::now();
        while start.elapsed() < Duration::from_hours(1) {
            let next = poll_fn(|cx| patience.poll_over(cx));
            if tokio::time::timeout(every, next).await.is_ok() {
                break;
            }
            patience.received(bytes);
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn drip_below_the_rate_is_endured_as_long_as_one_silence() {
        let endured = endured(client(1000), 1, Duration::from_secs(29)).await;
        assert!(endured < Duration::from_secs(31), "{endured:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn rate_that_is_just_enough_is_endured_for_ever() {
        for every in [1, 10, 29].map(Duration::from_secs) {
            let bytes = usize::try_from(every.as_secs()).unwrap() * 1001;
            let endured = endured(client(1000), bytes, every).await;
            assert!(endured > Duration::from_mins(59), "{every:?}: {endured:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rate_that_is_nearly_enough_is_not_endured_for_ever() {
        let endured = endured(client(1000), 9000, Duration::from_secs(10)).await;
        assert!(endured > Duration::from_secs(30), "{endured:?}");
        assert!(endured < Duration::from_mins(5), "{endured:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn many_bytes_buy_no_longer_silence() {
        let mut patience = client(1000);
        patience.received(1 << 30);
        let start = Instant::now();
        let over = poll_fn(|cx| patience.poll_over(cx)).await;
        assert!(matches!(over, BodyError::Idle(IDLE)), "{over:?}");
        assert_eq!(start.elapsed(), IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nothing_is_asked_for_is_not_the_clients() {
        let mut patience = client(1000);
        for _ in 0..100 {
            let next = poll_fn(|cx| patience.poll_over(cx));
            let waited = tokio::time::timeout(Duration::from_secs(1), next).await;
            assert!(waited.is_err());
            patience.received(1000);
            tokio::time::advance(Duration::from_mins(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn empty_pieces_do_not_count_where_there_is_a_rate() {
        let endured = endured(client(1000), 0, Duration::from_secs(1)).await;
        assert!(endured <= IDLE, "{endured:?}");
        let upstream = Patience::new(IDLE);
        let endured = self::endured(upstream, 0, Duration::from_secs(1)).await;
        assert!(endured > Duration::from_mins(59), "{endured:?}");
    }
}
