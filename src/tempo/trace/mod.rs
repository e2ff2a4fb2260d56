//! A trace by id, redacted to the spans of its reader's tenants. Pure.
//!
//! A trace may hold spans of many tenants. Tempo answers with a list of `ResourceSpans`, each
//! the spans of one resource, and the resource's attributes say whose they are ([`TraceOwner`]).
//! What is ours is passed on byte for byte, everything else goes with its `ResourceSpans`;
//! whatever describes the whole trace (metrics, message) is rewritten.
//!
//! | form | how |
//! |---|---|
//! | protobuf | [`ProtobufFilter`]: one `ResourceSpans` after the other, nothing decoded |
//! | JSON | [`JsonFilter`]: chunk by chunk, holding back only what is not yet decided |
//!
//! Both give no byte before they know that something is ours. When nothing is, the answer must
//! be the one Tempo gives for a trace it does not have: for v1 a 404 without body or content
//! type, for v2 a 200 with [`NOT_FOUND_V2_PROTOBUF`] or [`NOT_FOUND_V2_JSON`].
//!
//! Tempo's third form (`application/vnd.grafana.llm`) has no resource attributes apart from
//! names and values without types: it cannot be judged and must not be asked for.

mod json;
mod owner;
mod protobuf;
#[cfg(test)]
mod testing;

use bytes::Bytes;
pub use json::JsonFilter;
pub use owner::TraceOwner;
pub use protobuf::{ProtobufFilter, trace_is_wholly_ours};
use thiserror::Error;

use crate::wire::Malformed;

/// Tempo's protobuf answer to `/api/v2/traces/{id}` for a trace it does not have: an empty
/// `trace`, an empty `metrics`. Seen on Tempo 3.0.
pub const NOT_FOUND_V2_PROTOBUF: &[u8] = b"\x0a\x00\x12\x00";

/// Tempo's JSON answer to `/api/v2/traces/{id}` for a trace it does not have. Seen on Tempo 3.0.
pub const NOT_FOUND_V2_JSON: &str = r#"{"trace":{},"metrics":{}}"#;

/// What stands in for Tempo's `message` when it says that a trace is not complete. Tempo's own
/// may give the size of the whole trace.
const PARTIAL_MESSAGE: &str = "Tempo returned a partial trace";

/// Which of Tempo's two endpoints answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceApi {
    /// `/api/traces/{id}`: a bare `tempopb.Trace`.
    V1,
    /// `/api/v2/traces/{id}`: a `tempopb.TraceByIDResponse`.
    V2,
}

/// What becomes of a trace that also holds spans of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignSpans {
    /// They are left out.
    Redact,
    /// The whole trace is hidden: it is answered as one that does not exist.
    Deny,
}

/// What a whole answer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was ours, and nothing has been put out. Answer as for a trace that does not exist.
    Nothing,
    /// The answer is complete.
    Kept {
        /// Whether this is the whole trace.
        all: bool,
    },
}

/// Redacts a trace in either form, chunk by chunk.
pub enum TraceFilter {
    /// `application/json`.
    Json(JsonFilter),
    /// `application/protobuf`.
    Protobuf(ProtobufFilter),
}

impl TraceFilter {
    /// See [`JsonFilter::push`] and [`ProtobufFilter::push`].
    pub fn push(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<(), TraceError> {
        match self {
            Self::Json(filter) => filter.push(chunk, out),
            Self::Protobuf(filter) => filter.push(chunk, out),
        }
    }

    /// What of the answer is held back in memory.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Json(filter) => filter.held_bytes(),
            Self::Protobuf(filter) => filter.held_bytes(),
        }
    }

    /// See [`JsonFilter::finish`] and [`ProtobufFilter::finish`].
    pub fn finish(self, out: &mut Vec<Bytes>) -> Result<Outcome, TraceError> {
        match self {
            Self::Json(filter) => filter.finish(out),
            Self::Protobuf(filter) => filter.finish(out),
        }
    }
}

/// Why an answer cannot be passed on. None repeats any of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TraceError {
    /// Not protobuf, or not in the shape of Tempo's messages.
    #[error("the trace Tempo sent cannot be read as protobuf: {what} at byte {at}")]
    Protobuf {
        /// What is wrong.
        what: &'static str,
        /// Where, counted from the start of the body.
        at: usize,
    },
    /// Not JSON, or not in the shape of Tempo's messages.
    #[error("the trace Tempo sent cannot be read as JSON: {what} at byte {at}")]
    Json {
        /// What is wrong.
        what: &'static str,
        /// Where, counted from the start of the body.
        at: usize,
    },
    /// More would have to be held back than may be: of one `ResourceSpans`, or of all that is ours
    /// where nothing may be sent before the end.
    #[error(
        "of the trace, more than the {limit} bytes (limits.answer_bytes) would have to be held \
         back to see what of it is visible"
    )]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

impl From<Malformed> for TraceError {
    fn from(malformed: Malformed) -> Self {
        let Malformed { what, at } = malformed;
        Self::Protobuf { what, at }
    }
}
