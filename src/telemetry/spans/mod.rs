//! Partywall's own spans, between the caller's and the upstream's. Without the feature `otlp` there
//! are none, and a caller's trace context is forwarded unmodified.

#[cfg(feature = "otlp")]
mod exporter;
#[cfg(not(feature = "otlp"))]
mod off;
#[cfg(feature = "otlp")]
mod otlp;

#[cfg(not(feature = "otlp"))]
pub use self::off::{RequestSpans, Spans, SpansError};
#[cfg(feature = "otlp")]
pub use self::otlp::{RequestSpans, Spans, SpansError};

use super::metrics::Decision;

/// What is known about a request at its end.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// The route's name, of a closed set.
    pub route: &'static str,
    /// The method, of a closed set.
    pub method: &'static str,
    /// The status that the client got.
    pub code: u16,
    /// What enforcement decided.
    pub decision: Option<Decision>,
    /// The reason of our own error.
    pub reason: Option<&'static str>,
    /// The caller's queries, if `audit.queries` is `full`.
    pub queries: &'a [Box<str>],
    /// The queries as forwarded.
    pub rewritten: &'a [Box<str>],
}
