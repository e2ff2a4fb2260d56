//! Why a query is not passed on.

use std::fmt;

use thiserror::Error;

use crate::reason::Reason;

/// Why a query is not passed on. The text says what, where and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Too long once the matchers are in it.
    #[error(
        "with the matchers of your tenants the query is {bytes} bytes long; the limit is \
         {limit}: use fewer selectors, or a token with fewer tenants"
    )]
    ConfinedTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// More selectors than `limits.query_selectors`.
    #[error("the query has more than {limit} selectors (limits.query_selectors)")]
    TooManySelectors {
        /// The limit.
        limit: usize,
    },
    /// It is no PromQL that we understand.
    #[error("{at}: parse error: {problem}")]
    Malformed {
        /// What is wrong.
        problem: Problem,
        /// Where.
        at: Position,
    },
    /// With [`ForeignMatchers::Reject`](super::ForeignMatchers::Reject): a matcher names a tenant
    /// the caller does not have.
    #[error("{at}: this matcher names a tenant that is not yours; leave it out or name your own")]
    ForeignTenant {
        /// Where the matcher starts.
        at: Position,
    },
    /// `info()` in a form that cannot be confined without changing its answer.
    #[error("{at}: info() selects series of its own and is confined only in this form: {hint}")]
    UnconfinedInfo {
        /// Where the word `info` is.
        at: Position,
        /// What it lacks.
        hint: InfoHint,
    },
    /// The proof failed: two readings of the confined query differ. Never the client's fault.
    #[error("the query could not be proven to be confined; please report it")]
    Disagreement,
}

/// What a refusal is to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `bad_data`, 400.
    Malformed,
    /// Over a limit, or in a form that cannot be confined whoever the caller is: 422, whose text
    /// Grafana shows.
    Unprocessable,
    /// It names what is not the caller's, 403.
    Denied,
}

impl Refusal {
    /// The refusal's reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::ConfinedTooLong { .. } => Reason::ConfinedTooLong,
            Self::TooManySelectors { .. } => Reason::TooManySelectors,
            Self::Malformed { .. } => Reason::QueryMalformed,
            Self::ForeignTenant { .. } => Reason::ForeignTenant,
            Self::UnconfinedInfo { .. } => Reason::UnconfinedInfo,
            Self::Disagreement => Reason::Disagreement,
        }
    }

    /// What it is to the client.
    pub fn fault(&self) -> Fault {
        match self {
            Self::ConfinedTooLong { .. }
            | Self::TooManySelectors { .. }
            | Self::UnconfinedInfo { .. }
            | Self::Disagreement => Fault::Unprocessable,
            Self::Malformed { .. } => Fault::Malformed,
            Self::ForeignTenant { .. } => Fault::Denied,
        }
    }
}

/// What is wrong with a malformed query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    #[error("unexpected character {0:?}")]
    Character(char),
    #[error("unexpected word where an operator is expected")]
    Word,
    #[error("unexpected end of input")]
    End,
    #[error("unexpected right parenthesis")]
    RightParenthesis,
    #[error("unclosed left parenthesis")]
    LeftParenthesis,
    #[error("unterminated string")]
    String,
    #[error("expected label matchers separated by commas, or \"}}\"")]
    Matcher,
    #[error("expected a parenthesised list of labels")]
    Labels,
    #[error("expected a duration, or \"]\"")]
    Range,
    #[error("expected a number in parentheses")]
    Fill,
    #[error("expected one metric selector and nothing else")]
    NotOneSelector,
    #[error("NUL and U+FFFD are not accepted")]
    Forbidden,
}

/// The one form of `info()` that is confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InfoHint {
    /// No second argument, or one that may match series without the label.
    #[error(
        "a second argument with a matcher, other than of __name__, that rules out the empty \
         value, as in info(v, {{cluster=~\".+\"}})"
    )]
    Selector,
    /// Its first argument groups or matches labels.
    #[error("by, without, on and ignoring are to be outside of its first argument")]
    Grouping,
}

/// A place in a query, as Prometheus counts: both from 1, columns in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The byte in the line.
    pub column: usize,
}

impl Position {
    /// The position of a byte offset.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        Self {
            line: memchr::memchr_iter(b'\n', before).count() + 1,
            column: before.len() - line_start + 1,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_prometheus() {
        let at = |offset| Position::of("ab\ncdé\n", offset).to_string();
        assert_eq!(at(0), "1:1");
        assert_eq!(at(2), "1:3");
        assert_eq!(at(3), "2:1");
        assert_eq!(at(7), "2:5");
        assert_eq!(at(8), "3:1");
        assert_eq!(at(99), "3:1");
    }
}
