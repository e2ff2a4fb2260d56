//! The bodies of requests and responses, and the budget for what is buffered of them.
//!
//! | file | one idea |
//! |---|---|
//! | `received` | a client's body as its connection receives it |
//! | `streamed` | a body that is received from a peer, within a time limit (`wait_budget`) |
//! | `client` | a client's body, for enforcement: streamed or buffered |
//! | `request` | what is sent to an upstream |
//! | `response` | what is sent to a client |
//! | `filter`, `measure` | a response that is filtered or measured while it is streamed |
//! | `coding` | a body that is compressed, or was |
//! | `collect`, `budget` | a body that is buffered, and the budget for all that are |

pub(crate) mod budget;
mod client;
mod coding;
mod collect;
mod filter;
mod measure;
mod received;
mod request;
mod response;
mod streamed;
mod wait_budget;

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::SizeHint;
use thiserror::Error;

pub(crate) use self::client::ClientBody;
pub(crate) use self::coding::{Coding, CodingError, Levels};
pub(crate) use self::collect::Ahead;
pub(crate) use self::filter::{StreamFilter, account};
pub(crate) use self::measure::SizeCounter;
pub(crate) use self::received::ReceivedBody;
pub(crate) use self::request::RequestBody;
pub(crate) use self::response::{OnEnd, Piece, ResponseBody};
pub(crate) use self::streamed::Streamed;
pub(crate) use self::wait_budget::Pace;
use crate::prometheus::answer::{AnswerScrubber, ScrubError};
use crate::prometheus::position::Position;
use crate::shares::Exceeded;
use crate::tempo::trace::TraceError;

/// Why a body ended early. The connection is then closed, so that the peer never takes it for
/// complete.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The peer closed the connection, or violated the protocol.
    #[error(transparent)]
    Transport(#[from] hyper::Error),
    /// Nothing was received for too long.
    #[error("no data for {0:?}")]
    Idle(Duration),
    /// A client sends it too slowly, in bytes a second.
    #[error("less than {0} bytes a second")]
    TooSlow(NonZeroU64),
    /// A streamed response turned out not to have the expected format.
    #[error(transparent)]
    Unscrubbable(#[from] ScrubError),
    /// The same for a trace.
    #[error(transparent)]
    Unredactable(#[from] TraceError),
    /// It is not in the content coding that its headers name.
    #[error(transparent)]
    Coding(#[from] CodingError),
    /// The budget is exhausted by what has to be buffered of it.
    #[error(transparent)]
    Exhausted(#[from] Exceeded),
    /// The task that read it was stopped.
    #[error("it was not read to its end")]
    Stopped,
}

/// Why a body could not be buffered.
#[derive(Debug)]
pub(crate) enum CollectError {
    TooLarge,
    /// The budget is exhausted.
    Exhausted(Exceeded),
    /// It ended early or stalled.
    Broken(BodyError),
}

/// Maps positions in the confined query to the caller's own text.
pub(crate) type RemapPosition = Box<dyn Fn(Position) -> Option<Position> + Send + Sync>;

/// Scrubs the response to a confined query.
pub(crate) type Scrubber = AnswerScrubber<RemapPosition>;

fn whole_size(bytes: Option<&Bytes>) -> SizeHint {
    SizeHint::with_exact(bytes.map_or(0, |bytes| bytes.len() as u64))
}
