//! A trace by id, redacted to the spans of its reader's tenants. Pure.
//!
//! A trace may hold spans of many tenants. Tempo answers with a list of `ResourceSpans`, each
//! the spans of one resource, and the resource's attributes say whose they are ([`TraceOwner`]).
//! What is ours is passed on byte for byte, everything else goes with its `ResourceSpans`;
//! whatever describes the whole trace (metrics, message) is rewritten.
//!
//! | form | how |
//! |---|---|
//! | protobuf | [`redact_protobuf`]: the whole body in hand, its wire format walked, nothing decoded |
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

pub use json::{JsonFilter, Outcome};
pub use owner::TraceOwner;
pub use protobuf::{Redacted, redact_protobuf, trace_is_wholly_ours};

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

/// Why an answer cannot be passed on. None repeats any of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TraceError {
    /// Not protobuf, or not in the shape of Tempo's messages.
    #[error("the trace Tempo sent cannot be read as protobuf: {what} at byte {at}")]
    Protobuf {
        what: &'static str,
        /// Where, counted from the start of the body.
        at: usize,
    },
    /// Not JSON, or not in the shape of Tempo's messages.
    #[error("the trace Tempo sent cannot be read as JSON: {what} at byte {at}")]
    Json {
        what: &'static str,
        /// Where, counted from the start of the body.
        at: usize,
    },
    /// A JSON answer outgrew what [`ForeignSpans::Deny`] may hold back.
    #[error(
        "the trace is larger than the {limit} bytes that may be held back to see whether all of \
         it is visible; ask for application/protobuf or raise the limit"
    )]
    TooLarge { limit: usize },
}

impl From<Malformed> for TraceError {
    fn from(malformed: Malformed) -> Self {
        let Malformed { what, at } = malformed;
        Self::Protobuf { what, at }
    }
}
