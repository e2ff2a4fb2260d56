//! Clients that end their side of a connection while they are served.
//!
//! Nearly all of them have gone, and what they asked for only burdens the upstream. A few are still
//! there and read: ending one's side behind a request is legal in HTTP/1 (`nc -N`; RFC 9112 §9.6
//! speaks of half-closed connections). TCP does not tell one from the other until something is
//! sent: the system of a client that has closed its socket answers with a reset. So an interim
//! answer is sent, which every HTTP/1.1 client has to pass over (RFC 9110 §15.2: "A client MUST be
//! able to parse one or more 1xx responses received prior to a final response, even if the client
//! does not expect one").
//!
//! | the client's side ends | what happens |
//! |---|---|
//! | inside a request, on HTTP/2, or by TLS | the connection ends at once |
//! | before the answer begins | `100 Continue` is sent; a reset ends the connection, else the client is served |
//! | the same, from HTTP/1.0, which has no interim answers | it is served for [`GRACE`] |
//! | within the answer | it is served as long as bytes flow, and [`SILENCE`] longer |

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::h1_framing::Framed;
use super::read_stage::{ReadStage, Staged};
use super::timeouts::{ConnectionState, INTERIM, TimedIo};

/// From the first interim answer to the second; each time it doubles.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// How long an HTTP/1.0 client is waited for.
const GRACE: Duration = Duration::from_secs(2);

/// How long a client that has left within its answer may get none of it.
const SILENCE: Duration = Duration::from_millis(250);

/// How often a reset is looked for: at first, and at most. There is no way to wait for one.
const LOOK: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(500)];

/// A cleartext stream whose end is told when the client is found to be gone, or is not served.
pub(super) type HalfClose = Staged<Framed<TimedIo>, EndOfClient>;

/// Holds back the end of a stream.
pub(super) struct EndOfClient {
    activity: Arc<ConnectionState>,
    ended: Option<Ended>,
}

/// A client whose side has ended while it is served.
struct Ended {
    since: Instant,
    /// The request that was served then.
    request: u64,
    /// Whether the answer had begun.
    within_answer: bool,
    /// When it is asked the next time, and how long after the last.
    ask: (Instant, Duration),
    look: Duration,
    /// What had been sent, and when that was first seen.
    sent: (u64, Instant),
    timer: Pin<Box<Sleep>>,
}

impl HalfClose {
    pub(super) fn new(stream: Framed<TimedIo>, activity: Arc<ConnectionState>) -> Self {
        let stage = EndOfClient {
            activity,
            ended: None,
        };
        Self { stream, stage }
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
            if stream.get_ref().has_failed() || ended.is_late(now, activity) {
                return Poll::Ready(());
            }
            if !activity.answer_has_begun() && activity.allows_interim() && now >= ended.ask.0 {
                match Pin::new(&mut *stream).poll_write(cx, INTERIM) {
                    Poll::Ready(Ok(length)) if length == INTERIM.len() => {
                        let pause = ended.ask.1;
                        ended.ask = (now + pause, pause * 2);
                    }
                    // Half an interim answer cannot be followed by anything.
                    _ => return Poll::Ready(()),
                }
            }
            ended.timer.as_mut().reset(now + ended.look);
            ended.look = (ended.look * 2).min(LOOK[1]);
            if ended.within_answer {
                ended.look = ended.look.min(SILENCE / 2);
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
            ask: (now, ASK_AGAIN),
            look: LOOK[0],
            sent: (activity.bytes_sent(), now),
            timer: Box::pin(sleep(Duration::ZERO)),
        }
    }

    /// Whether a client that cannot be asked has been waited for long enough.
    fn is_late(&mut self, now: Instant, activity: &ConnectionState) -> bool {
        if self.within_answer {
            let sent = activity.bytes_sent();
            // What waits to be sent has a deadline of its own.
            if sent != self.sent.0 || activity.is_stuck() {
                self.sent = (sent, now);
            }
            return now.saturating_duration_since(self.sent.1) >= SILENCE;
        }
        let is_mute = !activity.answer_has_begun() && !activity.allows_interim();
        is_mute && now.saturating_duration_since(self.since) >= GRACE
    }
}

impl ReadStage<Framed<TimedIo>> for EndOfClient {
    fn poll_read(
        &mut self,
        stream: &mut Framed<TimedIo>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut *stream).poll_read(cx, buf))?;
        let has_ended = buf.filled().len() == before;
        if has_ended && self.activity.is_serving() && stream.is_between_requests() {
            ready!(self.poll_gone(stream, cx));
        }
        Poll::Ready(Ok(()))
    }
}
