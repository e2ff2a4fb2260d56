//! What a client sends, for whoever enforces: streamed, or buffered before.

use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};

use super::{BodyError, CollectError, Pace, ReceivedBody, RequestBody, Streamed};

/// A client's body.
pub(crate) enum ClientBody {
    /// As it comes. It may be forwarded, and cannot be looked at.
    Streaming(ReceivedBody),
    /// Received before.
    Buffered(Bytes),
}

impl ClientBody {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Streaming(incoming) => incoming.is_end_stream(),
            Self::Buffered(bytes) => bytes.is_empty(),
        }
    }

    /// All of it; `None` where it was not received.
    pub(crate) fn received(self) -> Option<Bytes> {
        match self {
            body if body.is_empty() => Some(Bytes::new()),
            Self::Streaming(_) => None,
            Self::Buffered(bytes) => Some(bytes),
        }
    }

    /// What is sent on, without looking at it.
    pub(crate) fn into_request(self, pace: Pace) -> RequestBody {
        match self {
            body if body.is_empty() => RequestBody::Empty,
            Self::Streaming(incoming) => {
                RequestBody::Streamed(Streamed::from_client(incoming, pace))
            }
            Self::Buffered(bytes) => RequestBody::Whole(Some(bytes)),
        }
    }
}

/// A body that was read as far as there was room.
pub(crate) enum Ahead<B = Streamed<ReceivedBody>> {
    /// All of it.
    Whole(Bytes),
    /// Its beginning; the rest still comes.
    Cut(Box<Cut<B>>),
}

impl<B> Ahead<B> {
    pub(super) fn cut(why: CollectError, read: [Bytes; 2], rest: B) -> Self {
        Self::Cut(Box::new(Cut { why, read, rest }))
    }
}

/// A body of which only the beginning is held.
pub(crate) struct Cut<B = Streamed<ReceivedBody>> {
    /// Too large, or no memory left.
    why: CollectError,
    /// What was read, in order.
    read: [Bytes; 2],
    rest: B,
}

impl<B> Cut<B> {
    /// Why it was not read further.
    pub(crate) fn why(self) -> CollectError {
        self.why
    }
}

impl Cut {
    /// Why it was not read further, and the whole of it to be sent on.
    pub(crate) fn into_request(self) -> (CollectError, RequestBody) {
        let resumed = Resumed {
            read: self.read,
            rest: self.rest,
        };
        (self.why, RequestBody::Resumed(Box::new(resumed)))
    }
}

/// What was read of a body, and then the rest as it comes.
pub struct Resumed {
    read: [Bytes; 2],
    pub(super) rest: Streamed<ReceivedBody>,
}

impl Resumed {
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.read.iter_mut().find(|piece| !piece.is_empty()) {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(piece))))),
            None => self.rest.poll(cx),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.read.iter().all(Bytes::is_empty) && self.rest.incoming.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
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
