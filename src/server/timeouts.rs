//! What a connection is doing, as far as its deadlines care: waiting for a request, reading a
//! head, serving, or stuck on a peer that does not read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::config::settings::Timeouts;

/// How long the answer to a client that has ended its side may take. Such a client may still listen
/// (`printf … | nc`), but far more often it has gone, and what it asked for burdens the upstream;
/// TCP does not tell which.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Shared by a connection's stream, its service and its watchdog. Times are in milliseconds since
/// the connection was accepted, plus one, so that 0 can mean "not now".
#[derive(Debug)]
pub(super) struct Activity {
    accepted: Instant,
    in_flight: AtomicU32,
    served_any: AtomicBool,
    multiplexed: AtomicBool,
    /// When the last request ended.
    idle_since: AtomicU64,
    /// When the first byte after that came.
    head_since: AtomicU64,
    /// When a write first found the peer not reading.
    stuck_since: AtomicU64,
}

/// Which deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    FirstRequest,
    Head,
    Idle,
    Stuck,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            accepted: Instant::now(),
            in_flight: AtomicU32::new(0),
            served_any: AtomicBool::new(false),
            multiplexed: AtomicBool::new(false),
            idle_since: AtomicU64::new(1),
            head_since: AtomicU64::new(0),
            stuck_since: AtomicU64::new(0),
        })
    }

    fn now(&self) -> u64 {
        let elapsed = self.accepted.elapsed().as_millis();
        u64::try_from(elapsed).unwrap_or(u64::MAX - 1) + 1
    }

    /// A request's head is there. `multiplexed` says that its connection carries others too, so
    /// that bytes between requests mean nothing (HTTP/2 pings).
    pub(super) fn request_begins(self: &Arc<Self>, multiplexed: bool) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.served_any.store(true, Ordering::Relaxed);
        self.multiplexed.store(multiplexed, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Whether the last request came on HTTP/2.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed)
    }

    fn is_serving(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }

    fn bytes_came(&self) {
        let waits_for_head = self.in_flight.load(Ordering::Relaxed) == 0
            && !self.multiplexed.load(Ordering::Relaxed)
            && self.head_since.load(Ordering::Relaxed) == 0;
        if waits_for_head {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    fn write_was(&self, stuck: bool) {
        if !stuck {
            self.stuck_since.store(0, Ordering::Relaxed);
        } else if self.stuck_since.load(Ordering::Relaxed) == 0 {
            self.stuck_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// The deadline that has passed, or how long until the next one can.
    pub(super) fn check(&self, timeouts: &Timeouts) -> Result<Duration, Expired> {
        let now = self.now();
        let left = |since: u64, allowed: Duration, expired: Expired| {
            let passed = Duration::from_millis(now.saturating_sub(since));
            if passed >= allowed {
                Err(expired)
            } else {
                Ok(allowed.saturating_sub(passed))
            }
        };
        let stuck_since = self.stuck_since.load(Ordering::Relaxed);
        if stuck_since != 0 {
            return left(stuck_since, timeouts.body_idle, Expired::Stuck);
        }
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return Ok(timeouts.body_idle);
        }
        let head_since = self.head_since.load(Ordering::Relaxed);
        if !self.served_any.load(Ordering::Relaxed) {
            return left(1, timeouts.first_request, Expired::FirstRequest);
        }
        if head_since != 0 {
            return left(head_since, timeouts.header, Expired::Head);
        }
        left(
            self.idle_since.load(Ordering::Relaxed),
            timeouts.idle,
            Expired::Idle,
        )
        // Bytes of a next head may come at any time, and start a shorter deadline.
        .map(|idle| idle.min(timeouts.header))
    }
}

/// A request being served; its drop ends it.
pub(crate) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that tells its [`Activity`] what happens on it.
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    /// Runs once the peer has ended its side while it is served.
    last_word: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            activity,
            last_word: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.activity.bytes_came();
        } else if self.activity.is_serving() {
            let last_word = self
                .last_word
                .get_or_insert_with(|| Box::pin(sleep(LAST_WORD)));
            ready!(last_word.as_mut().poll(cx));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.activity.write_was(polled.is_pending());
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.activity.write_was(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        first_request: Duration::from_secs(10),
        header: Duration::from_secs(5),
        body_idle: Duration::from_secs(30),
        body_total: Duration::from_mins(1),
        idle: Duration::from_mins(2),
    };

    #[tokio::test(start_paused = true)]
    async fn each_deadline_passes_in_its_state_alone() {
        let activity = Activity::new();
        assert_eq!(activity.check(&TIMEOUTS), Ok(Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(activity.check(&TIMEOUTS), Err(Expired::FirstRequest));

        let request = activity.request_begins(false);
        tokio::time::advance(Duration::from_secs(1000)).await;
        assert!(activity.check(&TIMEOUTS).is_ok());
        activity.write_was(true);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(activity.check(&TIMEOUTS), Err(Expired::Stuck));
        activity.write_was(false);
        drop(request);

        tokio::time::advance(Duration::from_secs(119)).await;
        assert!(activity.check(&TIMEOUTS).is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(activity.check(&TIMEOUTS), Err(Expired::Idle));

        activity.bytes_came();
        assert_eq!(activity.check(&TIMEOUTS), Ok(Duration::from_secs(5)));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(activity.check(&TIMEOUTS), Err(Expired::Head));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_between_multiplexed_requests_start_no_head() {
        let activity = Activity::new();
        drop(activity.request_begins(true));
        activity.bytes_came();
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(activity.check(&TIMEOUTS).is_ok());
    }
}
