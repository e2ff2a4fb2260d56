//! What a client sends, for whoever enforces: as it comes, or read before.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};

use super::{BodyError, CollectError, ReceivedBody, RequestBody, Streamed};
use crate::body::budget::Room;

/// A client's body.
pub(crate) enum ClientBody {
    /// As it comes.
    Coming(ReceivedBody),
    /// Read before, to be looked at and sent on all the same.
    Read(Bytes),
}

impl ClientBody {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Coming(incoming) => incoming.is_end_stream(),
            Self::Read(bytes) => bytes.is_empty(),
        }
    }

    /// All of it, if there is room.
    pub(crate) async fn whole(self, idle: Duration, room: &Room) -> Result<Bytes, CollectError> {
        match self {
            Self::Coming(incoming) => Streamed::new(incoming, idle).collect(room).await,
            Self::Read(bytes) if bytes.len() > room.bytes => Err(CollectError::TooLarge),
            Self::Read(bytes) => Ok(bytes),
        }
    }

    /// What is sent on, without looking at it.
    pub(crate) fn into_request(self, idle: Duration) -> RequestBody {
        match self {
            body if body.is_empty() => RequestBody::Empty,
            Self::Coming(incoming) => RequestBody::Streamed(Streamed::new(incoming, idle)),
            Self::Read(bytes) => RequestBody::Whole(Some(bytes)),
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
    pub(super) why: CollectError,
    /// What was read, in order.
    read: [Bytes; 2],
    rest: B,
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
