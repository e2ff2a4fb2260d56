//! Why a query is refused, and where in it the reason stands.

use std::fmt;

use thiserror::Error;

use crate::reason::Reason;

/// A place in a query, counted as Tempo counts: lines and characters from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1; a character is a Unicode scalar value.
    pub column: usize,
}

impl Place {
    fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: 1 + before.bytes().filter(|&byte| byte == b'\n').count(),
            column: 1 + before.get(line_start..).unwrap_or("").chars().count(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, col {}", self.line, self.column)
    }
}

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// Tempo would refuse it too: HTTP 400, gRPC `INVALID_ARGUMENT`.
    Malformed,
    /// Over a limit, or in a form that cannot be confined whoever the caller is: HTTP 422, gRPC
    /// `INVALID_ARGUMENT`.
    Unprocessable,
    /// It names what may be others': HTTP 403, gRPC `PERMISSION_DENIED`.
    Denied,
}

/// Why a query does not go up. The texts may quote the query and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Too long once the tenants' stages are in it.
    #[error(
        "with the filters of your tenants the query is {bytes} bytes long; the limit is {limit} \
         (twice limits.query_bytes): use fewer pipelines, or a token with fewer tenants"
    )]
    ConfinedTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// It does not parse.
    #[error("parse error at {place}: {message}")]
    Syntax {
        /// The token that does not fit.
        place: Place,
        /// What is wrong with it.
        message: String,
    },
    /// It parses, but Tempo's validation refuses it.
    #[error("{place}: {message}")]
    Invalid {
        /// The expression at fault.
        place: Place,
        /// What is wrong with it.
        message: &'static str,
    },
    /// `rootName` and its like describe the whole trace, other tenants' spans included.
    #[error("{place}: {name} describes the whole trace, which may hold spans of others; {instead}")]
    TraceIntrinsic {
        /// Where it stands.
        place: Place,
        /// The intrinsic as it was written.
        name: String,
        /// What to write in its place.
        instead: &'static str,
    },
    /// A hint that is not one of the known harmless ones.
    #[error(
        "{place}: the hint {name} is not known to keep a query to its tenant; leave it out (known \
         are most_recent, extrapolate, sample, span_sample, trace_sample and exemplars)"
    )]
    UnknownHint {
        /// Where it stands.
        place: Place,
        /// The hint's name as it was written.
        name: String,
    },
    /// A known hint with a value of a type that Tempo ignores.
    #[error("{place}: the value of the hint {name} has to be {expected}")]
    HintValue {
        /// Where the name stands.
        place: Place,
        /// The hint's name.
        name: String,
        /// What the value has to be.
        expected: &'static str,
    },
    /// A query without a metrics stage where Tempo wants one. The text is Tempo's.
    #[error("not a metrics query")]
    NotMetrics,
    /// One of the older search parameters cannot be read.
    #[error("invalid {parameter}: {message}")]
    Parameter {
        /// `tags`, `minDuration` or `maxDuration`.
        parameter: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The confined query, read again, was not what it had to be.
    #[error("the query could not be confined to its tenant")]
    Unproven,
}

impl Refusal {
    /// The refusal's reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::ConfinedTooLong { .. } => Reason::ConfinedTooLong,
            Self::Syntax { .. }
            | Self::Invalid { .. }
            | Self::NotMetrics
            | Self::Parameter { .. } => Reason::QueryMalformed,
            Self::TraceIntrinsic { .. } => Reason::TraceIntrinsic,
            Self::UnknownHint { .. } | Self::HintValue { .. } | Self::Unproven => Reason::Traceql,
        }
    }

    /// Whose fault it is.
    pub fn kind(&self) -> RefusalKind {
        match self {
            Self::ConfinedTooLong { .. }
            | Self::UnknownHint { .. }
            | Self::HintValue { .. }
            | Self::Unproven => RefusalKind::Unprocessable,
            Self::Syntax { .. }
            | Self::Invalid { .. }
            | Self::NotMetrics
            | Self::Parameter { .. } => RefusalKind::Malformed,
            Self::TraceIntrinsic { .. } => RefusalKind::Denied,
        }
    }
}

/// A refusal while reading, by byte offsets; [`Fault::refusal`] looks the place up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// The text between the offsets, where the named thing should be.
    Unexpected(&'static str),
    Syntax(&'static str),
    Invalid(&'static str),
    TraceIntrinsic,
    UnknownHint,
    /// What the value has to be.
    HintValue(&'static str),
}

/// What to write in place of an intrinsic of whole traces.
fn instead_of(intrinsic: &str) -> &'static str {
    match intrinsic {
        "rootName" | "trace:rootName" => {
            "write `name`, in a filter with `nestedSetParent < 0` for root spans"
        }
        "rootServiceName" | "trace:rootService" => {
            "write `resource.service.name`, in a filter with `nestedSetParent < 0` for root spans"
        }
        "traceDuration" | "trace:duration" => {
            "write `duration`, in a filter with `nestedSetParent < 0` for root spans"
        }
        _ => "write attributes of spans and resources instead",
    }
}

impl Fault {
    pub(super) fn refusal(self, text: &str) -> Refusal {
        let place = Place::of(text, self.start);
        let quoted = || {
            let found = text.get(self.start..self.end).unwrap_or("");
            let short: String = found.chars().take(40).collect();
            if short.len() < found.len() {
                short + "…"
            } else {
                short
            }
        };
        match self.problem {
            Problem::Unexpected(expected) => {
                let found = quoted();
                let found = if found.is_empty() {
                    "end of query"
                } else {
                    &found
                };
                let message = format!("unexpected {found}, expecting {expected}");
                Refusal::Syntax { place, message }
            }
            Problem::Syntax(message) => {
                let message = message.to_owned();
                Refusal::Syntax { place, message }
            }
            Problem::Invalid(message) => Refusal::Invalid { place, message },
            Problem::TraceIntrinsic => {
                let name = quoted();
                let instead = instead_of(&name);
                Refusal::TraceIntrinsic {
                    place,
                    name,
                    instead,
                }
            }
            Problem::UnknownHint => {
                let name = quoted();
                Refusal::UnknownHint { place, name }
            }
            Problem::HintValue(expected) => {
                let name = quoted();
                Refusal::HintValue {
                    place,
                    name,
                    expected,
                }
            }
        }
    }
}
