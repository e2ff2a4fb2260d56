//! Resets HTTP/2 streams whose peer grants too little window: such a stream holds its request's
//! permit and its upstream connection, while the connection itself is healthy.
//!
//! hyper polls a body for the next frame only once the last one could be sent. So a frame that was
//! handed out and not followed by another poll is unread. Frames are kept small, since hyper takes
//! each whole, and with the last one the response is complete for it, read or not.

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

/// The most bytes in one DATA frame of an HTTP/2 stream.
const PIECE: usize = 32 * 1024;

/// How fast the peer of one stream reads.
#[derive(Clone, Copy)]
struct Reading {
    began: Instant,
    pace: Pace,
    /// The length of the last frame that was handed out.
    piece: usize,
}

tokio::task_local! {
    /// For the stream of this task.
    static READING: Cell<Reading>;
}

/// Runs HTTP/2 streams, each until it ends or its peer reads too slowly.
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
        // It is large, and a task's future is copied several times, from the spawning to its end.
        let stream = Box::pin(stream);
        tokio::spawn(READING.scope(Cell::new(reading), async move {
            // Dropping a stream resets it.
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

/// A frame of this many bytes, or the headers, waits for the peer.
fn frame_waits(length: usize) {
    with_reading(|reading, now| {
        reading.piece = length;
        reading.pace.waits(now);
    });
}

/// The peer has read it.
fn frame_was_read() {
    with_reading(|reading, now| reading.pace.took(now, std::mem::take(&mut reading.piece)));
}

/// A body in small frames that records when they are read. Outside an HTTP/2 stream's task it is
/// unmodified: there, [`ConnectionState`](super::timeouts::ConnectionState) detects a peer that
/// does not read.
pub(super) struct WatchedBody<B> {
    body: B,
    /// What is left of a larger frame.
    rest: Bytes,
    is_stream: bool,
}

impl<B> WatchedBody<B> {
    /// `body`, whose response headers are being sent, on an HTTP/2 stream or not.
    pub(super) fn new(body: B, is_stream: bool) -> Self {
        if is_stream {
            frame_waits(0);
        }
        Self {
            body,
            rest: Bytes::new(),
            is_stream,
        }
    }

    /// The next part of `rest`. The last one is a copy: while unread, it must not keep the whole
    /// buffer alive that it was part of.
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
        frame_was_read();
        let polled = self.poll_piece(cx);
        if let Poll::Ready(frame) = &polled {
            let frame = frame.as_ref().and_then(|frame| frame.as_ref().ok());
            let data = frame.and_then(Frame::data_ref);
            frame_waits(data.map_or(0, Bytes::len));
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
    async fn body_outside_a_stream_is_unmodified() {
        let whole = Bytes::from(vec![7; 3 * PIECE]);
        let mut read = WatchedBody::new(Full::new(whole.clone()), false);
        let frame = read.frame().await.unwrap().unwrap();
        let data = frame.into_data().unwrap();
        assert_eq!((data.len(), data.as_ptr()), (whole.len(), whole.as_ptr()));
        assert!(read.is_end_stream());
    }

    #[tokio::test]
    async fn body_on_a_stream_is_complete_in_small_frames() {
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
                // The last frame keeps nothing but itself alive.
                assert!(read.rest.is_empty() || got.len() < length);
            }
            assert_eq!(got, whole);
        }
    }
}
