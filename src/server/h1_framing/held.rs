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

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Ambiguous, FramingChecker, target};
use crate::server::refusals::{Beginning, Refusals, Unwritten};
use crate::server::timeouts::ConnectionState;

/// What hyper reads in place of the refused bytes: no header line, chunk size or trailer may
/// contain a NUL, so hyper responds with 400 and closes the connection.
const REFUSAL: &[u8] = b"\0\r\n\r\n";

/// The most bytes that are held back. A client that has sent more is not read further, and its end
/// is not seen, until its request is answered.
const HELD_BYTES: usize = 64 * 1024;

/// A stream of requests whose framing is unambiguous.
pub(in crate::server) struct Framed<S> {
    stream: S,
    framing: Framing,
    /// Answers what is refused; `None` where hyper's own words are sent.
    refusals: Option<Arc<Refusals>>,
    /// What is still to be written of such an answer.
    answer: Unwritten,
}

/// Refuses ambiguous framing, and holds back what comes too early.
struct Framing {
    checker: FramingChecker,
    activity: Arc<ConnectionState>,
    /// What came behind the last request.
    held: Vec<u8>,
    /// What was received and is still to be read, escaped.
    escaped: Bytes,
    /// What is still to be read of [`REFUSAL`], once something was refused.
    refusal: Option<&'static [u8]>,
}

impl<S> Framed<S> {
    pub(in crate::server) fn new(
        stream: S,
        activity: &Arc<ConnectionState>,
        refusals: Option<&Arc<Refusals>>,
    ) -> Self {
        let framing = Framing {
            checker: FramingChecker::new(),
            activity: Arc::clone(activity),
            held: Vec::new(),
            escaped: Bytes::new(),
            refusal: None,
        };
        Self {
            stream,
            framing,
            refusals: refusals.cloned(),
            answer: Unwritten::default(),
        }
    }

    /// The stream below.
    pub(in crate::server) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Whether all that was passed is whole HTTP/1 requests.
    pub(in crate::server) fn is_between_requests(&self) -> bool {
        let framing = &self.framing;
        framing.refusal.is_none()
            && framing.escaped.is_empty()
            && framing.checker.is_between_requests()
    }

    /// Takes what hyper writes for a refusal of its own, and has our answer sent instead.
    fn takes_refusal(&mut self, written: &[u8]) -> bool {
        let Some(refusals) = &self.refusals else {
            return false;
        };
        let beginning = Beginning {
            line: self.framing.checker.last_request_line(),
            is_ambiguous: self.framing.refusal.is_some(),
        };
        let Some(answer) = refusals.in_place_of(written, &beginning) else {
            return false;
        };
        self.answer = Unwritten::new(answer);
        true
    }
}

impl Framing {
    /// Passes what begins at `before` in the buffer, as far as it may be.
    fn pass(&mut self, before: usize, buf: &mut ReadBuf<'_>) {
        let came = buf.filled().get(before..).unwrap_or_default();
        match self.checker.follow(came) {
            Ok([]) => self.escape(before, buf),
            Ok(early) => {
                let passed = came.len() - early.len();
                self.held.splice(0..0, early.iter().copied());
                buf.set_filled(before + passed);
                self.escape(before, buf);
            }
            Err(Ambiguous { at }) => {
                tracing::debug!("refusing a request whose framing is ambiguous");
                self.refusal = Some(REFUSAL);
                self.held.clear();
                buf.set_filled(before + at);
                self.escape(before, buf);
                self.refuse(buf);
            }
        }
    }

    /// Escapes what begins at `before` in the buffer, where the checker found characters to escape.
    fn escape(&mut self, before: usize, buf: &mut ReadBuf<'_>) {
        if !self.checker.escapes.is_empty() {
            let received = buf.filled().get(before..).unwrap_or_default();
            self.escaped = target::escaped(received, &self.checker.escapes);
            buf.set_filled(before);
            self.pass_escaped(buf);
        }
    }

    fn pass_escaped(&mut self, buf: &mut ReadBuf<'_>) {
        let length = self.escaped.len().min(buf.remaining());
        buf.put_slice(&self.escaped.split_to(length));
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

    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.escaped.is_empty() {
            self.pass_escaped(buf);
            return Poll::Ready(Ok(()));
        }
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

impl<S: AsyncRead + Unpin> AsyncRead for Framed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self {
            stream, framing, ..
        } = &mut *self;
        framing.poll_read(stream, cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> Framed<S> {
    /// Writes what is left of an answer of ours.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.answer.poll_write(&mut self.stream, cx)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_answer(cx))?;
        if self.takes_refusal(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_answer(cx))?;
        if let [only] = bufs
            && self.takes_refusal(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
