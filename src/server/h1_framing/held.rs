//! A stream of requests whose framing is unambiguous, and that come one at a time.
//!
//! hyper finds out that a client has gone by reading on while it serves, and stops to read once it
//! has bytes of a further request. So those are held back here until the request before them is
//! answered, and the stream is read on.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::{Ambiguous, FramingChecker};
use crate::server::read_stage::{ReadStage, Staged};
use crate::server::timeouts::ConnectionState;

/// What hyper reads in place of the refused bytes: no header line, chunk size or trailer may
/// contain a NUL, so hyper responds with 400 and closes the connection.
const REFUSAL: &[u8] = b"\0\r\n\r\n";

/// The most bytes that are held back. A client that has sent more is not read further, and its end
/// is not seen, until its request is answered.
const HELD_BYTES: usize = 64 * 1024;

/// A stream of requests whose framing is unambiguous.
pub(in crate::server) type Framed<S> = Staged<S, Framing>;

/// Refuses ambiguous framing, and holds back what comes too early.
pub(in crate::server) struct Framing {
    checker: FramingChecker,
    activity: Arc<ConnectionState>,
    /// What came behind the last request.
    held: Vec<u8>,
    /// What is still to be read of [`REFUSAL`], once something was refused.
    refusal: Option<&'static [u8]>,
}

impl<S> Framed<S> {
    pub(in crate::server) fn new(stream: S, activity: &Arc<ConnectionState>) -> Self {
        let stage = Framing {
            checker: FramingChecker::new(),
            activity: Arc::clone(activity),
            held: Vec::new(),
            refusal: None,
        };
        Self { stream, stage }
    }

    /// The stream below.
    pub(in crate::server) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Whether all that was passed is whole HTTP/1 requests.
    pub(in crate::server) fn is_between_requests(&self) -> bool {
        self.stage.refusal.is_none() && self.stage.checker.is_between_requests()
    }
}

impl Framing {
    /// Passes what begins at `before` in the buffer, as far as it may be.
    fn pass(&mut self, before: usize, buf: &mut ReadBuf<'_>) {
        let came = buf.filled().get(before..).unwrap_or_default();
        match self.checker.follow(came) {
            Ok([]) => {}
            Ok(early) => {
                let passed = came.len() - early.len();
                self.held.splice(0..0, early.iter().copied());
                buf.set_filled(before + passed);
            }
            Err(Ambiguous { at }) => {
                tracing::debug!("refusing a request whose framing is ambiguous");
                self.refusal = Some(REFUSAL);
                self.held.clear();
                buf.set_filled(before + at);
                self.refuse(buf);
            }
        }
    }

    fn refuse(&mut self, buf: &mut ReadBuf<'_>) {
        if let Some(refusal) = &mut self.refusal {
            let (now, later) = refusal.split_at(refusal.len().min(buf.remaining()));
            buf.put_slice(now);
            *refusal = later;
        }
    }

    /// Passes what was held back.
    fn release(&mut self, buf: &mut ReadBuf<'_>) {
        let before = buf.filled().len();
        let length = self.held.len().min(buf.remaining());
        buf.put_slice(self.held.get(..length).unwrap_or_default());
        self.held.drain(..length);
        // They are the beginning of a head as those are that just came.
        self.activity.bytes_received();
        self.pass(before, buf);
    }

    /// Reads on behind what is held back; ready at the end of the stream.
    fn poll_end<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.held.len() < HELD_BYTES {
            let mut piece = [const { MaybeUninit::uninit() }; 4096];
            let mut piece = ReadBuf::uninit(&mut piece);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.held.extend_from_slice(piece.filled());
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> ReadStage<S> for Framing {
    fn poll_read(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.refusal.is_some() {
            self.refuse(buf);
            return Poll::Ready(Ok(()));
        }
        if self.activity.is_serving() && self.checker.is_between_requests() {
            let polled = self.poll_end(stream, cx);
            if polled.is_ready() || self.held.is_empty() {
                return polled;
            }
            self.activity.wake_when_served(cx);
            // Else it was answered before this was to be woken.
            if self.activity.is_serving() {
                return Poll::Pending;
            }
        }
        if self.held.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(stream).poll_read(cx, buf))?;
            self.pass(before, buf);
            return Poll::Ready(Ok(()));
        }
        self.release(buf);
        Poll::Ready(Ok(()))
    }
}
