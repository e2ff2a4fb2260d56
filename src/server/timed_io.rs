//! The socket of a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::timeouts::ConnectionState;

/// How long a client has to read the last response, before its connection is closed. What it still
/// sends is discarded meanwhile: the system would reply to unread bytes with a reset, which may
/// overtake the response (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);

/// The most bytes discarded then: by default, no form that is buffered is longer.
const LINGER_BYTES: usize = 2 * 1024 * 1024;

/// A socket that reports what happens on it to its [`ConnectionState`], and that lingers when it is
/// closed.
pub(super) struct TimedIo {
    stream: TcpStream,
    activity: Arc<ConnectionState>,
    peer_has_ended: bool,
    linger: Option<Linger>,
}

/// Our side is shut down, the peer's is not.
struct Linger {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl TimedIo {
    pub(super) fn new(stream: TcpStream, activity: Arc<ConnectionState>) -> Self {
        Self {
            stream,
            activity,
            peer_has_ended: false,
            linger: None,
        }
    }

    /// Whether the peer has reset the connection.
    pub(super) fn has_failed(&self) -> bool {
        !matches!(self.stream.take_error(), Ok(None))
    }
}

impl AsyncRead for TimedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.activity.bytes_received();
        } else {
            self.peer_has_ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TimedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.activity.record_write(&polled, buf);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        let first = bufs.first().map_or(&[][..], |first| first);
        self.activity.record_write(&polled, first);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let linger = match &mut this.linger {
            Some(linger) => linger,
            none => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
                if this.peer_has_ended {
                    return Poll::Ready(Ok(()));
                }
                none.insert(Linger {
                    until: Box::pin(sleep(LINGER)),
                    bytes_left: LINGER_BYTES,
                })
            }
        };
        loop {
            let mut discarded = [0; 4096];
            let mut discarded = ReadBuf::new(&mut discarded);
            match Pin::new(&mut this.stream).poll_read(cx, &mut discarded) {
                Poll::Ready(Ok(())) if !discarded.filled().is_empty() => {}
                Poll::Ready(_ended) => return Poll::Ready(Ok(())),
                Poll::Pending => return linger.until.as_mut().poll(cx).map(Ok),
            }
            match linger.bytes_left.checked_sub(discarded.filled().len()) {
                Some(left) => linger.bytes_left = left,
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}
