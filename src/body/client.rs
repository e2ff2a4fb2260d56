//! What a client sends, for whoever enforces: streamed, or buffered before.

use bytes::Bytes;
use hyper::body::Body as _;

use super::CollectError;
use super::collect::Cut;
use super::patience::Pace;
use super::received::ReceivedBody;
use super::request::{RequestBody, Resumed};
use super::streamed::Streamed;

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

impl Cut<Streamed<ReceivedBody>> {
    /// Why it was not read further, and the whole of it to be sent on.
    pub(crate) fn into_request(self) -> (CollectError, RequestBody) {
        let Self { why, read, rest } = self;
        let resumed = Resumed::new(read, rest);
        (why, RequestBody::Resumed(Box::new(resumed)))
    }
}
