//! Why a query is refused, and at which position.

use std::fmt;

use thiserror::Error;

use crate::reason::Reason;

/// A position in a query, counted as Tempo does: lines and characters from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1; a character is a Unicode scalar value.
    pub column: usize,
}

impl Position {
    fn at_offset(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: 1 + before.bytes().filter(|&byte| byte == b'\n').count(),
            column: 1 + before.get(line_start..).unwrap_or("").chars().count(),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, col {}", self.line, self.column)
    }
}

/// Which status the client gets for a refusal.
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

/// Why a query is refused. The texts may quote the query and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Too long with the tenants' stages inserted.
    #[error(
        "with the filters of your tenants the query is {bytes} bytes long; the limit is {limit} \
         (twice limits.query_bytes): use fewer pipelines, or a token with fewer tenants"
    )]
    ConfinedTooLong { bytes: usize, limit: usize },
    #[error("parse error at {position}: {message}")]
    Syntax {
        /// The token that does not fit.
        position: Position,
        message: String,
    },
    /// It parses, but Tempo's validation refuses it.
    #[error("{position}: {message}")]
    Invalid {
        position: Position,
        message: &'static str,
    },
    /// `rootName` and similar intrinsics describe the whole trace, including other tenants' spans.
    #[error(
        "{position}: {name} describes the whole trace, which may have spans of other tenants; \
         {instead}"
    )]
    TraceIntrinsic {
        position: Position,
        /// The intrinsic as written in the query.
        name: String,
        /// What to write in its place.
        instead: &'static str,
    },
    /// A hint that is not one of the known harmless ones.
    #[error(
        "{position}: the hint {name} is not known to keep a query to its tenant; leave it out (known \
         are most_recent, extrapolate, sample, span_sample, trace_sample and exemplars)"
    )]
    UnknownHint {
        position: Position,
        /// The hint's name as written in the query.
        name: String,
    },
    /// A known hint with a value of a type that Tempo ignores.
    #[error("{position}: the value of the hint {name} has to be {expected}")]
    HintValue {
        position: Position,
        /// The hint's name.
        name: String,
        /// What the value has to be.
        expected: &'static str,
    },
    /// A query without a metrics stage where Tempo requires one. The text is Tempo's.
    #[error("not a metrics query")]
    NotMetrics,
    /// One of the older search parameters cannot be read.
    #[error("invalid {parameter}: {message}")]
    Parameter {
        /// `tags`, `minDuration` or `maxDuration`.
        parameter: &'static str,
        message: String,
    },
    /// Verification failed: the confined query, parsed again, is not as expected.
    #[error("the query could not be confined to its tenant")]
    Unverified,
}

impl Refusal {
    pub fn reason(&self) -> Reason {
        match self {
            Self::ConfinedTooLong { .. } => Reason::ConfinedTooLong,
            Self::Syntax { .. }
            | Self::Invalid { .. }
            | Self::NotMetrics
            | Self::Parameter { .. } => Reason::QueryMalformed,
            Self::TraceIntrinsic { .. } => Reason::TraceIntrinsic,
            Self::UnknownHint { .. } | Self::HintValue { .. } | Self::Unverified => Reason::Traceql,
        }
    }

    pub fn kind(&self) -> RefusalKind {
        match self {
            Self::ConfinedTooLong { .. }
            | Self::UnknownHint { .. }
            | Self::HintValue { .. }
            | Self::Unverified => RefusalKind::Unprocessable,
            Self::Syntax { .. }
            | Self::Invalid { .. }
            | Self::NotMetrics
            | Self::Parameter { .. } => RefusalKind::Malformed,
            Self::TraceIntrinsic { .. } => RefusalKind::Denied,
        }
    }
}

/// A problem found while parsing, with byte offsets; [`Fault::refusal`] turns them into a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// The text between the offsets is not this, which was expected there.
    Unexpected(&'static str),
    Syntax(&'static str),
    Invalid(&'static str),
    TraceIntrinsic,
    /// An intrinsic of roots, in anything but a comparison with a string.
    RootOperator,
    /// A regular expression for an intrinsic of roots.
    RootPattern,
    /// A root's service, before `compare()`.
    RootCompare,
    /// Too many different conditions on roots in a pipeline.
    RootConditions,
    /// A pipeline with conditions on roots that would have to be united with another.
    RootUnion,
    UnknownHint,
    /// What the value has to be.
    HintValue(&'static str),
}

/// What to write in place of an intrinsic of whole traces.
fn instead_of(intrinsic: &str) -> &'static str {
    match intrinsic {
        "rootName" | "trace:rootName" => {
            "in filters it is the name of your own root span; group root spans by it with \
             `{ nestedSetParent < 0 } | by(name)`, or in metrics with \
             `{ nestedSetParent < 0 } | rate() by(name)`"
        }
        "rootServiceName" | "trace:rootService" => {
            "in filters it is the service of your own root span; group root spans by it with \
             `{ nestedSetParent < 0 } | by(resource.service.name)`, or in metrics with \
             `{ nestedSetParent < 0 } | rate() by(resource.service.name)`"
        }
        "traceDuration" | "trace:duration" => {
            "write `duration`, in a filter with `nestedSetParent < 0` for root spans"
        }
        "span:childCount" => {
            "find spans with a child of your own with `{} < { … }`, and count children with \
             `{ … } | by(span:parentID) | count() > …`"
        }
        _ => "write attributes of spans and resources instead",
    }
}

const ROOT_OPERATOR: &str = "of your own root span it can be compared with a string in quotes, and \
                             the comparisons joined with others by && and ||";
const ROOT_PATTERN: &str = "of your own root span it can be compared with a regular expression \
                            without classes in classes, braces that repeat nothing, and flags that Go \
                            does not have, in a string without other escapes than \\\\ and \\\"";
const ROOT_COMPARE: &str = "before compare() only rootName can be compared: Tempo would count the \
                            services twice";
const ROOT_CONDITIONS: &str = "of your own root span a pipeline can have three different conditions: \
                               join those that belong together directly, as in \
                               `(rootName = … || rootName = …) && …`";
const ROOT_UNION: &str = "in metrics, and with by() or aggregates, it can only be compared in a way \
                          that a trace without a root of your own does not match (`=` with a text, \
                          `=~`), joined with the other conditions by &&; search without them, or write \
                          `({ nestedSetParent < 0 && name != … } && {}) | { … }` for traces that have a \
                          root of yours";

impl Fault {
    pub(super) fn refusal(self, text: &str) -> Refusal {
        let position = Position::at_offset(text, self.start);
        let quoted = || {
            let found = text.get(self.start..self.end).unwrap_or("");
            let short: String = found.chars().take(40).collect();
            if short.len() < found.len() {
                short + "…"
            } else {
                short
            }
        };
        let whole_trace = |instead| Refusal::TraceIntrinsic {
            position,
            name: quoted(),
            instead,
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
                Refusal::Syntax { position, message }
            }
            Problem::Syntax(message) => {
                let message = message.to_owned();
                Refusal::Syntax { position, message }
            }
            Problem::Invalid(message) => Refusal::Invalid { position, message },
            Problem::TraceIntrinsic => whole_trace(instead_of(&quoted())),
            Problem::RootOperator => whole_trace(ROOT_OPERATOR),
            Problem::RootPattern => whole_trace(ROOT_PATTERN),
            Problem::RootCompare => whole_trace(ROOT_COMPARE),
            Problem::RootConditions => whole_trace(ROOT_CONDITIONS),
            Problem::RootUnion => whole_trace(ROOT_UNION),
            Problem::UnknownHint => {
                let name = quoted();
                Refusal::UnknownHint { position, name }
            }
            Problem::HintValue(expected) => {
                let name = quoted();
                Refusal::HintValue {
                    position,
                    name,
                    expected,
                }
            }
        }
    }
}
