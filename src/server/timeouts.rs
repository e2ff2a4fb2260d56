//! The state of a connection, as far as its deadlines depend on it: waiting for a request, reading
//! headers, serving, or blocked on a peer that does not read.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use hyper::Version;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::pace::{Pace, ReadingLimits, TooSlow};
use crate::config::settings::Timeouts;

/// Tells a client that it may send its body (RFC 9110 §15.2.1). No final response begins with these
/// bytes.
pub(super) const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The table of open connections.
pub(super) trait Table: std::fmt::Debug + Send + Sync {
    /// A connection sent a valid token for the first time.
    fn authenticated(&self, id: u64);
}

/// Shared by a connection's stream, its service and its watchdog. Times are in milliseconds since
/// the connection was accepted, plus one, so that 0 can mean "not now".
#[derive(Debug)]
pub(super) struct ConnectionState {
    accepted: Instant,
    in_flight: AtomicU32,
    /// Waits until nothing is in flight.
    served: AtomicWaker,
    served_any: AtomicBool,
    multiplexed: AtomicBool,
    /// Whether the client of the last request supports interim responses.
    interims: AtomicBool,
    /// How many requests there were.
    requests: AtomicU64,
    /// Bytes that were sent, without interim responses.
    sent: AtomicU64,
    /// How many of them were sent before the last request.
    sent_before: AtomicU64,
    /// Whether any of its requests had a valid token.
    authenticated: AtomicBool,
    /// Whether it is to be closed, to make room for another.
    is_evicted: AtomicBool,
    evicted: Notify,
    /// The table that it is in, and its id there.
    table: Weak<dyn Table>,
    id: u64,
    /// When the last request began or ended.
    idle_since: AtomicU64,
    /// When the first byte of the next request was received.
    headers_since: AtomicU64,
    /// Whether the last write blocked because the peer does not read.
    write_stalled: AtomicBool,
    /// Whether any write has blocked so far; only then does `pace` matter.
    paced: AtomicBool,
    pace: Mutex<Pace>,
}

/// Which deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    FirstRequest,
    Headers,
    Idle,
    TooSlow(TooSlow),
}

impl ConnectionState {
    /// The state of a connection that was just accepted and has this id in `table`.
    pub(super) fn of_entry(table: Weak<dyn Table>, id: u64) -> Arc<Self> {
        Arc::new(Self {
            accepted: Instant::now(),
            in_flight: AtomicU32::new(0),
            served: AtomicWaker::new(),
            served_any: AtomicBool::new(false),
            multiplexed: AtomicBool::new(false),
            authenticated: AtomicBool::new(false),
            is_evicted: AtomicBool::new(false),
            evicted: Notify::new(),
            table,
            id,
            idle_since: AtomicU64::new(1),
            headers_since: AtomicU64::new(0),
            interims: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            sent_before: AtomicU64::new(0),
            write_stalled: AtomicBool::new(false),
            paced: AtomicBool::new(false),
            pace: Mutex::default(),
        })
    }

    fn now(&self) -> u64 {
        let elapsed = self.accepted.elapsed().as_millis();
        u64::try_from(elapsed).unwrap_or(u64::MAX - 1) + 1
    }

    /// A request's headers were received. On HTTP/2 bytes between requests mean nothing, as they
    /// may be pings.
    pub(super) fn request_begins(self: &Arc<Self>, version: Version) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.served_any.store(true, Ordering::Relaxed);
        let is_multiplexed = version == Version::HTTP_2;
        self.multiplexed.store(is_multiplexed, Ordering::Relaxed);
        let has_interims = version == Version::HTTP_11;
        self.interims.store(has_interims, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        let sent = self.sent.load(Ordering::Relaxed);
        self.sent_before.store(sent, Ordering::Relaxed);
        self.headers_since.store(0, Ordering::Relaxed);
        self.idle_since.store(self.now(), Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Whether the last request was sent over HTTP/2.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed)
    }

    /// Since when no request has begun or ended.
    pub(super) fn quiet_since(&self) -> Instant {
        let since = self.idle_since.load(Ordering::Relaxed).saturating_sub(1);
        self.accepted + Duration::from_millis(since)
    }

    /// Requests that the connection be closed.
    pub(super) fn evict(&self) {
        self.is_evicted.store(true, Ordering::Relaxed);
        self.evicted.notify_one();
    }

    /// Returns once the connection is to be closed. There is one waiter.
    pub(super) async fn evicted(&self) {
        while !self.is_evicted.load(Ordering::Relaxed) {
            self.evicted.notified().await;
        }
    }

    #[cfg(test)]
    pub(super) fn is_evicted(&self) -> bool {
        self.is_evicted.load(Ordering::Relaxed)
    }

    /// Whether a request is being answered.
    pub(super) fn is_serving(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }

    /// Wakes this task when a request has been answered.
    pub(super) fn wake_when_served(&self, cx: &Context<'_>) {
        self.served.register(cx.waker());
    }

    /// The number of the last request, from 1.
    pub(super) fn request_number(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether the client of the last request can be sent an interim response.
    pub(super) fn allows_interim(&self) -> bool {
        self.interims.load(Ordering::Relaxed) && !self.is_write_stalled()
    }

    /// Whether any bytes of the response to the last request were sent.
    pub(super) fn answer_has_begun(&self) -> bool {
        self.bytes_sent() != self.sent_before.load(Ordering::Relaxed)
    }

    /// Bytes of responses that were sent.
    pub(super) fn bytes_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether the client does not read what it is sent.
    pub(super) fn is_write_stalled(&self) -> bool {
        self.write_stalled.load(Ordering::Relaxed)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of a client were received, or are looked at only now.
    pub(super) fn bytes_received(&self) {
        let awaits_headers = self.in_flight.load(Ordering::Relaxed) == 0
            && !self.multiplexed.load(Ordering::Relaxed)
            && self.headers_since.load(Ordering::Relaxed) == 0;
        if awaits_headers {
            self.headers_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Records the result of a write whose first buffer is `first`.
    pub(super) fn record_write(&self, polled: &Poll<io::Result<usize>>, first: &[u8]) {
        match polled {
            Poll::Ready(Ok(written)) => {
                if first != INTERIM {
                    self.sent.fetch_add(*written as u64, Ordering::Relaxed);
                }
                if self.paced.load(Ordering::Relaxed) {
                    self.write_stalled.store(false, Ordering::Relaxed);
                    self.pace().took(self.accepted.elapsed(), *written);
                }
            }
            Poll::Pending => {
                self.write_stalled.store(true, Ordering::Relaxed);
                self.paced.store(true, Ordering::Relaxed);
                self.pace().waits(self.accepted.elapsed());
            }
            Poll::Ready(Err(_)) => {}
        }
    }

    /// The deadline that has passed, or how long until the next one can.
    pub(super) fn check(
        &self,
        timeouts: &Timeouts,
        reading: &ReadingLimits,
    ) -> Result<Duration, Expired> {
        let mut reads_in_time = Duration::MAX;
        if self.paced.load(Ordering::Relaxed) {
            let checked = self.pace().check(self.accepted.elapsed(), reading);
            reads_in_time = checked.map_err(Expired::TooSlow)?;
            if self.is_write_stalled() {
                return Ok(reads_in_time);
            }
        }
        self.deadline(timeouts).map(|left| left.min(reads_in_time))
    }

    /// The same for a client that reads.
    fn deadline(&self, timeouts: &Timeouts) -> Result<Duration, Expired> {
        let now = self.now();
        let left = |since: u64, allowed: Duration, expired: Expired| {
            let passed = Duration::from_millis(now.saturating_sub(since));
            if passed >= allowed {
                Err(expired)
            } else {
                Ok(allowed.saturating_sub(passed))
            }
        };
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return Ok(timeouts.body_idle);
        }
        let headers_since = self.headers_since.load(Ordering::Relaxed);
        if !self.served_any.load(Ordering::Relaxed) {
            return left(1, timeouts.first_request, Expired::FirstRequest);
        }
        if headers_since != 0 {
            return left(headers_since, timeouts.header, Expired::Headers);
        }
        let idle = if self.authenticated.load(Ordering::Relaxed) {
            timeouts.idle
        } else {
            timeouts.idle.min(timeouts.unauthenticated_idle)
        };
        left(self.idle_since.load(Ordering::Relaxed), idle, Expired::Idle)
            // The next request may begin at any time, and then has a shorter deadline.
            .map(|idle| idle.min(timeouts.header))
    }
}

/// A request being served, until it is dropped.
pub(crate) struct InFlight(Arc<ConnectionState>);

impl InFlight {
    /// Records that its caller has a valid token.
    pub(crate) fn authenticated(&self) {
        if !self.0.authenticated.swap(true, Ordering::Relaxed)
            && let Some(table) = self.0.table.upgrade()
        {
            table.authenticated(self.0.id);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.served.wake();
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
        unauthenticated_idle: Duration::from_secs(7),
    };

    #[derive(Debug)]
    struct NoTable;

    impl Table for NoTable {
        fn authenticated(&self, _id: u64) {}
    }

    impl ConnectionState {
        /// Of a connection without an entry.
        pub(in crate::server) fn unlisted() -> Arc<Self> {
            Self::of_entry(Weak::<NoTable>::new(), 1)
        }
    }

    fn activity() -> Arc<ConnectionState> {
        ConnectionState::unlisted()
    }

    const READING: ReadingLimits = ReadingLimits {
        stall: TIMEOUTS.body_idle,
        min_rate: 0,
    };

    #[tokio::test(start_paused = true)]
    async fn each_deadline_applies_in_its_state_only() {
        let activity = activity();
        assert_eq!(
            activity.check(&TIMEOUTS, &READING),
            Ok(Duration::from_secs(10))
        );
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(
            activity.check(&TIMEOUTS, &READING),
            Err(Expired::FirstRequest)
        );

        let request = activity.request_begins(Version::HTTP_11);
        tokio::time::advance(Duration::from_secs(1000)).await;
        assert!(activity.check(&TIMEOUTS, &READING).is_ok());
        activity.record_write(&Poll::Pending, b"");
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(
            activity.check(&TIMEOUTS, &READING),
            Err(Expired::TooSlow(TooSlow::Stalled))
        );
        activity.record_write(&Poll::Ready(Ok(1)), b"");
        request.authenticated();
        drop(request);

        tokio::time::advance(Duration::from_secs(119)).await;
        assert!(activity.check(&TIMEOUTS, &READING).is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(activity.check(&TIMEOUTS, &READING), Err(Expired::Idle));

        activity.bytes_received();
        assert_eq!(
            activity.check(&TIMEOUTS, &READING),
            Ok(Duration::from_secs(5))
        );
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(activity.check(&TIMEOUTS, &READING), Err(Expired::Headers));
    }

    #[tokio::test(start_paused = true)]
    async fn unauthenticated_connection_has_a_shorter_idle_timeout() {
        let activity = activity();
        drop(activity.request_begins(Version::HTTP_11));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(activity.check(&TIMEOUTS, &READING).is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(activity.check(&TIMEOUTS, &READING), Err(Expired::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_between_http2_requests_start_no_header_deadline() {
        let activity = activity();
        let request = activity.request_begins(Version::HTTP_2);
        request.authenticated();
        drop(request);
        activity.bytes_received();
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(activity.check(&TIMEOUTS, &READING).is_ok());
    }
}
