//! A trace by id, redacted to the spans of the caller's tenants. Pure.
//!
//! A trace may have spans of many tenants. Tempo answers with a list of `ResourceSpans`, each with
//! the spans of one resource, whose attributes name the tenant ([`TraceOwner`]). "Ours" are the
//! `ResourceSpans` of the caller's tenants: they are forwarded byte for byte, all others are
//! removed, and fields that describe the whole trace (metrics, message) are rewritten.
//!
//! | form | how |
//! |---|---|
//! | protobuf | [`ProtobufFilter`]: one `ResourceSpans` at a time, walking the wire format without decoding |
//! | JSON | [`JsonFilter`]: chunk by chunk, holding back only what is not decided yet |
//!
//! With [`ForeignSpans::Outline`], an [`Outline`] of what is removed takes its place.
//!
//! Neither outputs a byte before it knows that something is ours. If nothing is, the answer must
//! be Tempo's for a trace that it does not have: for v1 a 404 without body or content type, for v2
//! a 200 with [`NOT_FOUND_V2_PROTOBUF`] or [`NOT_FOUND_V2_JSON`].
//!
//! Tempo's third form (`application/vnd.grafana.llm`) has resource attributes only as names and
//! untyped values, by which ownership cannot be decided. So it is never requested.

mod json;
mod outline;
mod owner;
mod protobuf;
mod summary;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use bytes::Bytes;
pub use json::JsonFilter;
pub use outline::{Outline, Shown};
pub use owner::TraceOwner;
pub use protobuf::{ProtobufFilter, trace_is_wholly_ours};
pub(super) use summary::{MAX_NAME_BYTES, MAX_SERVICES, milliseconds};
pub use summary::{ServiceStats, SummaryBuilder, TraceSummary};
use thiserror::Error;

use crate::wire::Malformed;

/// Tempo's protobuf answer to `/api/v2/traces/{id}` for a trace it does not have: an empty
/// `trace`, an empty `metrics`. Seen on Tempo 3.0.
pub const NOT_FOUND_V2_PROTOBUF: &[u8] = b"\x0a\x00\x12\x00";

/// Tempo's JSON answer to `/api/v2/traces/{id}` for a trace it does not have. Seen on Tempo 3.0.
pub const NOT_FOUND_V2_JSON: &str = r#"{"trace":{},"metrics":{}}"#;

/// Replaces Tempo's `message` about an incomplete trace, which may give the size of the whole trace.
const PARTIAL_MESSAGE: &str = "Tempo returned a partial trace";

/// Which of Tempo's two endpoints answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceApi {
    /// `/api/traces/{id}`: a bare `tempopb.Trace`.
    V1,
    /// `/api/v2/traces/{id}`: a `tempopb.TraceByIDResponse`.
    V2,
}

/// What to do with a trace that also has spans of other tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForeignSpans {
    /// Remove those spans.
    Redact,
    /// Replace those spans with their outline.
    Outline(Arc<Outline>),
    /// Hide the whole trace: answer as if it did not exist.
    Deny,
}

impl ForeignSpans {
    /// The outline that callers may see who are not this owner.
    fn outline(&self, owner: &TraceOwner) -> Option<Outline> {
        match self {
            Self::Outline(outline) => Some(outline.without_tenants(owner)),
            Self::Redact | Self::Deny => None,
        }
    }
}

/// The result of filtering a whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is ours, and nothing has been output. Answer as for a trace that does not exist.
    Nothing,
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

    /// The bytes of the answer that are held in memory.
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

/// Why an answer cannot be forwarded. The texts quote nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TraceError {
    /// Not protobuf, or not in the shape of Tempo's messages.
    #[error("the trace Tempo sent cannot be read as protobuf: {what} at byte {at}")]
    Protobuf {
        what: &'static str,
        /// The offset from the start of the body.
        at: usize,
    },
    /// Not JSON, or not in the shape of Tempo's messages.
    #[error("the trace Tempo sent cannot be read as JSON: {what} at byte {at}")]
    Json {
        what: &'static str,
        /// The offset from the start of the body.
        at: usize,
    },
    /// More would have to be held back than may be: of one `ResourceSpans`, or of all that is ours
    /// where nothing may be sent before the end.
    #[error(
        "of the trace, more than the {limit} bytes (limits.answer_bytes) would have to be held \
         back to see what of it is visible"
    )]
    TooLarge { limit: usize },
}

impl From<Malformed> for TraceError {
    fn from(malformed: Malformed) -> Self {
        let Malformed { what, at } = malformed;
        Self::Protobuf { what, at }
    }
}
