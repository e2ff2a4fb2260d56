//! The bodies of requests and responses, and the budget for what of them is buffered.
//!
//! | file | one idea |
//! |---|---|
//! | `received` | a client's body as its connection receives it |
//! | `streamed` | a body that comes from a peer, which is waited for only so long (`patience`) |
//! | `client` | a client's body, for enforcement: streamed or buffered |
//! | `request` | what is sent to an upstream |
//! | `response` | what is sent to a client |
//! | `filter`, `measure` | a response that is filtered or measured as it passes |
//! | `coding` | a body that is compressed, or was |
//! | `collect`, `budget` | a body that is buffered, and the account of all that are |

pub(crate) mod budget;
mod client;
mod coding;
mod collect;
mod filter;
mod measure;
mod patience;
mod received;
mod request;
mod response;
mod streamed;

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
pub(crate) use self::patience::Pace;
pub(crate) use self::received::ReceivedBody;
pub(crate) use self::request::RequestBody;
pub(crate) use self::response::{OnEnd, Piece, ResponseBody};
pub(crate) use self::streamed::Streamed;
use crate::prometheus::answer::{AnswerScrubber, ScrubError};
use crate::prometheus::position::Position;
use crate::shares::Exceeded;
use crate::tempo::trace::TraceError;

/// Why a body ended before its end. The connection is closed, so the peer sees a broken body and
/// never takes it for a whole one.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The peer broke off or broke the protocol.
    #[error(transparent)]
    Transport(#[from] hyper::Error),
    /// Nothing came for too long.
    #[error("no data for {0:?}")]
    Idle(Duration),
    /// A client's came too slowly, in bytes a second.
    #[error("less than {0} bytes a second")]
    TooSlow(NonZeroU64),
    /// A streamed answer turned out not to be what it seemed.
    #[error(transparent)]
    Unscrubbable(#[from] ScrubError),
    /// The same of a trace.
    #[error(transparent)]
    Unredactable(#[from] TraceError),
    /// Its content coding is not what it seemed.
    #[error(transparent)]
    Coding(#[from] CodingError),
    /// There is no memory left for what has to be held back of it.
    #[error(transparent)]
    Exhausted(#[from] Exceeded),
    /// Who read it was stopped.
    #[error("it was not read to its end")]
    Stopped,
}

/// Why a body could not be read whole.
#[derive(Debug)]
pub(crate) enum CollectError {
    /// It is larger than the limit.
    TooLarge,
    /// There is no memory left for it.
    Exhausted(Exceeded),
    /// It ended early or stalled.
    Broken(BodyError),
}

/// Carries positions in the confined query over to the caller's own text.
pub(crate) type RemapPosition = Box<dyn Fn(Position) -> Option<Position> + Send + Sync>;

/// The scrubber of a confined query's answer.
pub(crate) type Scrubber = AnswerScrubber<RemapPosition>;

fn whole_size(bytes: Option<&Bytes>) -> SizeHint {
    SizeHint::with_exact(bytes.map_or(0, |bytes| bytes.len() as u64))
}
