//! A client's body, for enforcement: streamed or buffered.

use bytes::Bytes;
use hyper::body::Body as _;

use super::CollectError;
use super::collect::Cut;
use super::received::ReceivedBody;
use super::request::{RequestBody, Resumed};
use super::streamed::Streamed;
use super::wait_budget::Pace;

pub(crate) enum ClientBody {
    /// Streamed: it can be forwarded, but not read.
    Streaming(ReceivedBody),
    /// Buffered before.
    Buffered(Bytes),
}

impl ClientBody {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Streaming(incoming) => incoming.is_end_stream(),
            Self::Buffered(bytes) => bytes.is_empty(),
        }
    }

    /// The whole body; `None` if it was not buffered.
    pub(crate) fn received(self) -> Option<Bytes> {
        match self {
            body if body.is_empty() => Some(Bytes::new()),
            Self::Streaming(_) => None,
            Self::Buffered(bytes) => Some(bytes),
        }
    }

    /// The body to forward, without reading it.
    pub(crate) fn into_request(self, pace: Pace) -> RequestBody {
        match self {
            body if body.is_empty() => RequestBody::Empty,
            Self::Streaming(incoming) => {
                RequestBody::Streamed(Box::new(Streamed::from_client(incoming, pace)))
            }
            Self::Buffered(bytes) => RequestBody::Whole(Some(bytes)),
        }
    }
}

impl Cut<Streamed<ReceivedBody>> {
    /// Why it was not buffered completely, and the whole body to forward.
    pub(crate) fn into_request(self) -> (CollectError, RequestBody) {
        let Self { why, read, rest } = self;
        let resumed = Resumed::new(read, rest);
        (why, RequestBody::Resumed(Box::new(resumed)))
    }
}
