//! Clients that shut down their side of a connection while they are served.
//!
//! Nearly all of them are gone, and their requests only burden the upstream. A few still read:
//! half-closing after a request is legal in HTTP/1 (`nc -N`; RFC 9112 §9.6 speaks of half-closed
//! connections). TCP cannot tell the two apart until something is sent: the system of a client that
//! has closed its socket replies with a reset. So an interim response is sent, which every HTTP/1.1
//! client has to ignore (RFC 9110 §15.2: "A client MUST be able to parse one or more 1xx responses
//! received prior to a final response, even if the client does not expect one").
//!
//! | the client half-closes | what happens |
//! |---|---|
//! | within a request, on HTTP/2, or over TLS | the connection ends at once |
//! | before the response begins | `100 Continue` is sent; a reset ends the connection, otherwise the client is served |
//! | the same, from HTTP/1.0, which has no interim responses | it is served for [`GRACE`] |
//! | within the response | it is served as long as bytes flow, and [`SILENCE`] longer |

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::h1_framing::Framed;
use super::timed_io::TimedIo;
use super::timeouts::{ConnectionState, INTERIM};

/// From the first interim response to the second; it doubles each time.
const INTERIM_AGAIN: Duration = Duration::from_secs(2);

/// How long an HTTP/1.0 client is served after it has half-closed.
const GRACE: Duration = Duration::from_secs(2);

/// How long a client that half-closed within its response is served without reading any of it.
const SILENCE: Duration = Duration::from_millis(250);

/// The interval at which the socket is checked for a reset: at first, and at most. There is no way
/// to wait for one.
const RESET_CHECKS: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(500)];

/// A cleartext stream that reports its end only once the client is found to be gone, or is not
/// being served.
pub(super) struct HalfClose {
    stream: Framed<TimedIo>,
    end: EndOfClient,
}

/// Holds back the end of a stream.
struct EndOfClient {
    activity: Arc<ConnectionState>,
    ended: Option<Ended>,
}

/// The state of a client that has half-closed while it is served.
struct Ended {
    since: Instant,
    /// The request that was being served.
    request: u64,
    /// Whether its response had begun.
    within_answer: bool,
    /// When the next interim response is due, and the interval to the one after it.
    interim: (Instant, Duration),
    check_interval: Duration,
    /// How many bytes had been sent, and when that was first seen.
    sent: (u64, Instant),
    timer: Pin<Box<Sleep>>,
}

impl HalfClose {
    pub(super) fn new(stream: Framed<TimedIo>, activity: Arc<ConnectionState>) -> Self {
        let end = EndOfClient {
            activity,
            ended: None,
        };
        Self { stream, end }
    }
}

impl EndOfClient {
    /// Ready when the client is gone, as far as can be known.
    fn poll_gone(&mut self, stream: &mut Framed<TimedIo>, cx: &mut Context<'_>) -> Poll<()> {
        let activity = &self.activity;
        let request = activity.request_number();
        let ended = match &mut self.ended {
            Some(ended) if ended.request == request => ended,
            ended => ended.insert(Ended::new(request, activity)),
        };
        loop {
            let now = Instant::now();
            if stream.get_ref().has_failed() || ended.has_timed_out(now, activity) {
                return Poll::Ready(());
            }
            if !activity.answer_has_begun() && activity.allows_interim() && now >= ended.interim.0 {
                match Pin::new(&mut *stream).poll_write(cx, INTERIM) {
                    Poll::Ready(Ok(length)) if length == INTERIM.len() => {
                        let pause = ended.interim.1;
                        ended.interim = (now + pause, pause * 2);
                    }
                    // Nothing can follow part of an interim response.
                    _ => return Poll::Ready(()),
                }
            }
            ended.timer.as_mut().reset(now + ended.check_interval);
            ended.check_interval = (ended.check_interval * 2).min(RESET_CHECKS[1]);
            if ended.within_answer {
                ended.check_interval = ended.check_interval.min(SILENCE / 2);
            }
            ready!(ended.timer.as_mut().poll(cx));
        }
    }
}

impl Ended {
    fn new(request: u64, activity: &ConnectionState) -> Self {
        let now = Instant::now();
        Self {
            since: now,
            request,
            within_answer: activity.answer_has_begun(),
            interim: (now, INTERIM_AGAIN),
            check_interval: RESET_CHECKS[0],
            sent: (activity.bytes_sent(), now),
            timer: Box::pin(sleep(Duration::ZERO)),
        }
    }

    /// Whether a client that interim responses cannot be sent to has been served for long enough.
    fn has_timed_out(&mut self, now: Instant, activity: &ConnectionState) -> bool {
        if self.within_answer {
            let sent = activity.bytes_sent();
            // Bytes that wait to be sent have a deadline of their own.
            if sent != self.sent.0 || activity.is_write_stalled() {
                self.sent = (sent, now);
            }
            return now.saturating_duration_since(self.sent.1) >= SILENCE;
        }
        let cannot_probe = !activity.answer_has_begun() && !activity.allows_interim();
        cannot_probe && now.saturating_duration_since(self.since) >= GRACE
    }
}

impl AsyncRead for HalfClose {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, end } = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut *stream).poll_read(cx, buf))?;
        let has_ended = buf.filled().len() == before;
        // What is not read yet of an answer that is complete is a part of it.
        let is_served = end.activity.is_serving() || end.activity.is_write_stalled();
        if has_ended && is_served && stream.is_between_requests() {
            ready!(end.poll_gone(stream, cx));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HalfClose {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
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
