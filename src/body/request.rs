//! The body that is sent to an upstream.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::received::ReceivedBody;
use super::streamed::Streamed;
use super::{BodyError, whole_size};
use crate::headers;

pub enum RequestBody {
    Empty,
    /// Bytes that we built.
    Whole(Option<Bytes>),
    /// The client's body, streamed. On the heap, so that requests without one are small: they are
    /// moved many times until they are sent.
    Streamed(Box<Streamed<ReceivedBody>>),
    /// A client's body whose start is buffered.
    Resumed(Box<Resumed>),
}

impl RequestBody {
    /// Counts the chunks of a streamed body as they are sent; `None` for one that is buffered.
    pub fn count_pieces(&mut self) -> Option<Arc<AtomicUsize>> {
        match self {
            Self::Empty | Self::Whole(_) => None,
            Self::Streamed(streamed) => Some(streamed.count_pieces()),
            Self::Resumed(resumed) => Some(resumed.rest.count_pieces()),
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed(streamed) => streamed.poll(cx).map_ok(without_trusted_trailers),
            Self::Resumed(resumed) => resumed.poll(cx).map_ok(without_trusted_trailers),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_none(),
            Self::Streamed(streamed) => streamed.incoming.is_end_stream(),
            Self::Resumed(resumed) => resumed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => whole_size(bytes.as_ref()),
            Self::Streamed(streamed) => streamed.incoming.size_hint(),
            Self::Resumed(resumed) => resumed.size_hint(),
        }
    }
}

/// Trailers must not name or authenticate a caller, as headers must not.
fn without_trusted_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            headers::strip_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// The buffered start of a body, followed by its streamed rest.
pub struct Resumed {
    read: [Bytes; 2],
    rest: Streamed<ReceivedBody>,
}

impl Resumed {
    pub(super) fn new(read: [Bytes; 2], rest: Streamed<ReceivedBody>) -> Self {
        Self { read, rest }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.read.iter_mut().find(|piece| !piece.is_empty()) {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(piece))))),
            None => self.rest.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.iter().all(Bytes::is_empty) && self.rest.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read: u64 = self.read.iter().map(|piece| piece.len() as u64).sum();
        let rest = self.rest.incoming.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(read + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(read + upper);
        }
        hint
    }
}
