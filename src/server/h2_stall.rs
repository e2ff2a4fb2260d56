//! An HTTP/2 stream whose peer grants too little window holds its request's permit and its
//! upstream connection, while the connection itself is well. It is reset alone.
//!
//! hyper asks a body for the next piece only when the last one could be sent. So a piece that was
//! handed out and not followed by a question for the next one is unread. Pieces are small, since
//! hyper takes each whole, and with the last one the answer is over for it, read or not.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, sleep};

use super::pace::{Pace, ReadingLimits, TooSlow};
use crate::telemetry::metrics::Metrics;

/// The most that is handed out at once on an HTTP/2 stream.
const PIECE: usize = 32 * 1024;

/// How the peer of one stream reads.
#[derive(Clone, Copy)]
struct Reading {
    began: Instant,
    pace: Pace,
    /// The length of the last piece that was handed out.
    piece: usize,
}

tokio::task_local! {
    /// Of this task's stream.
    static READING: Cell<Reading>;
}

/// Runs HTTP/2 streams, each until its end or until its peer reads too slowly.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) limits: ReadingLimits,
    pub(super) metrics: Arc<Metrics>,
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let Self { limits, metrics } = self.clone();
        let reading = Reading {
            began: Instant::now(),
            pace: Pace::default(),
            piece: 0,
        };
        tokio::spawn(READING.scope(Cell::new(reading), async move {
            // A stream that is dropped is reset.
            tokio::select! {
                _ = stream => {}
                why = too_slow(&limits) => metrics.answer_was_cut(why.name()),
            }
        }));
    }
}

/// Returns when the peer of this task's stream reads too slowly.
async fn too_slow(limits: &ReadingLimits) -> TooSlow {
    loop {
        let checked = with_reading(|reading, now| reading.pace.check(now, limits));
        match checked {
            Some(Ok(next_check)) => sleep(next_check).await,
            Some(Err(why)) => return why,
            None => std::future::pending().await,
        }
    }
}

/// `None` outside a stream's task.
fn with_reading<T>(f: impl FnOnce(&mut Reading, Duration) -> T) -> Option<T> {
    let in_task = READING.try_with(|cell| {
        let mut reading = cell.get();
        let now = reading.began.elapsed();
        let result = f(&mut reading, now);
        cell.set(reading);
        result
    });
    in_task.ok()
}

/// A piece of so many bytes, or the headers, waits for the peer.
fn waits(length: usize) {
    with_reading(|reading, now| {
        reading.piece = length;
        reading.pace.waits(now);
    });
}

/// The peer has taken it.
fn was_taken() {
    with_reading(|reading, now| reading.pace.took(now, std::mem::take(&mut reading.piece)));
}

/// A body in small pieces that notes when they are read. Outside an HTTP/2 stream's task it passes
/// as it is: there, [`ConnectionState`](super::timeouts::ConnectionState) sees a peer that does not read.
pub(super) struct WatchedBody<B> {
    body: B,
    /// Of a larger piece.
    rest: Bytes,
    is_stream: bool,
}

impl<B> WatchedBody<B> {
    /// `body`, whose answer's head is being handed out, on an HTTP/2 stream or not.
    pub(super) fn new(body: B, is_stream: bool) -> Self {
        if is_stream {
            waits(0);
        }
        Self {
            body,
            rest: Bytes::new(),
            is_stream,
        }
    }

    /// The next piece of the rest. The last one is a copy: unread, it must not hold on to all the
    /// memory that it was a part of.
    fn piece(&mut self) -> Bytes {
        if self.rest.len() > PIECE {
            return self.rest.split_to(PIECE);
        }
        Bytes::copy_from_slice(&std::mem::take(&mut self.rest))
    }
}

impl<B: Body<Data = Bytes> + Unpin> WatchedBody<B> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(self.piece()))));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map_ok(|frame| match frame.into_data() {
            Ok(data) if data.len() > PIECE => {
                self.rest = data;
                Frame::data(self.piece())
            }
            Ok(data) => Frame::data(data),
            Err(trailers) => trailers,
        })
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for WatchedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if !self.is_stream {
            return Pin::new(&mut self.body).poll_frame(cx);
        }
        was_taken();
        let polled = self.poll_piece(cx);
        if let Poll::Ready(frame) = &polled {
            let frame = frame.as_ref().and_then(|frame| frame.as_ref().ok());
            let data = frame.and_then(Frame::data_ref);
            waits(data.map_or(0, Bytes::len));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, hint) = (self.rest.len() as u64, self.body.size_hint());
        let mut sum = SizeHint::new();
        sum.set_lower(hint.lower().saturating_add(rest));
        if let Some(upper) = hint.upper() {
            sum.set_upper(upper.saturating_add(rest));
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    #[tokio::test]
    async fn outside_a_stream_a_body_passes_as_it_is() {
        let whole = Bytes::from(vec![7; 3 * PIECE]);
        let mut read = WatchedBody::new(Full::new(whole.clone()), false);
        let frame = read.frame().await.unwrap().unwrap();
        let data = frame.into_data().unwrap();
        assert_eq!((data.len(), data.as_ptr()), (whole.len(), whole.as_ptr()));
        assert!(read.is_end_stream());
    }

    #[tokio::test]
    async fn a_body_comes_whole_in_small_pieces() {
        for length in [0, 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 5] {
            let whole: Bytes = (0..length).map(|at| at.to_le_bytes()[0]).collect();
            let mut read = WatchedBody::new(Full::new(whole.clone()), true);
            let mut got = Vec::new();
            loop {
                let left = (length - got.len()) as u64;
                assert_eq!(read.size_hint().exact(), Some(left));
                assert_eq!(read.is_end_stream(), left == 0);
                let Some(frame) = read.frame().await else {
                    break;
                };
                let data = frame.unwrap().into_data().unwrap();
                assert!(data.len() <= PIECE);
                got.extend_from_slice(&data);
                // What was handed out last holds on to nothing but itself.
                assert!(read.rest.is_empty() || got.len() < length);
            }
            assert_eq!(got, whole);
        }
    }
}
