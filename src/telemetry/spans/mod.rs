//! Spans of the proxy's own, between the caller's and the upstream's. Without the feature `otlp`
//! there are none, and a caller's trace context passes as it is.

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

/// What is known of a request at its end.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// A name of a closed set.
    pub route: &'static str,
    /// A word of a closed set.
    pub method: &'static str,
    /// The status the client got.
    pub code: u16,
    /// What enforcement decided.
    pub decision: Option<Decision>,
    /// Of an error of our own.
    pub reason: Option<&'static str>,
    /// The caller's queries, where `audit.queries` lets them be told in full.
    pub queries: &'a [Box<str>],
    /// The same as they were sent on.
    pub rewritten: &'a [Box<str>],
}
