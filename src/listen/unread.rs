//! An HTTP/2 stream whose peer grants no window any more holds its request's permit and its
//! upstream connection, while the connection itself is well. It is reset alone.
//!
//! hyper asks a body for the next piece only when the last one could be sent. So a piece that was
//! handed out and not followed by a question for the next one is unread.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, sleep_until};

tokio::task_local! {
    /// Since when the stream of this task waits for its peer.
    static UNREAD_SINCE: Cell<Option<Instant>>;
}

/// Runs HTTP/2 streams, each until its end or until its peer has not read for so long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    pub(super) unread_at_most: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let unread_at_most = self.unread_at_most;
        tokio::spawn(UNREAD_SINCE.scope(Cell::new(None), async move {
            // A stream that is dropped is reset.
            tokio::select! {
                _ = stream => {}
                () = unread_for(unread_at_most) => tracing::debug!("resetting an unread stream"),
            }
        }));
    }
}

/// Returns when the stream of this task has been unread for so long.
async fn unread_for(at_most: Duration) {
    loop {
        let now = Instant::now();
        let deadline = UNREAD_SINCE.with(Cell::get).unwrap_or(now) + at_most;
        if deadline <= now {
            return;
        }
        sleep_until(deadline).await;
    }
}

/// A body that notes when its pieces are read. Outside an HTTP/2 stream's task it does nothing:
/// there, [`Activity`](super::activity::Activity) sees a peer that does not read.
pub(super) struct Read<B>(B);

impl<B> Read<B> {
    /// `body`, whose answer's head is being handed out.
    pub(super) fn new(body: B) -> Self {
        note(Some(Instant::now()));
        Self(body)
    }
}

fn note(since: Option<Instant>) {
    // An error means that this is no stream's task.
    let _ = UNREAD_SINCE.try_with(|unread| unread.set(since));
}

impl<B: Body + Unpin> Body for Read<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.0).poll_frame(cx);
        note(polled.is_ready().then(Instant::now));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
