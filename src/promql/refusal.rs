//! Why a query is refused.

use std::fmt;

use thiserror::Error;

use crate::reason::Reason;

/// Why a query is refused. The text says what is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Too long with the matchers inserted.
    #[error(
        "with the matchers of your tenants the query is {bytes} bytes long; the limit is \
         {limit}: use fewer selectors, or a token with fewer tenants"
    )]
    ConfinedTooLong { bytes: usize, limit: usize },
    #[error("the query has more than {limit} selectors (limits.query_selectors)")]
    TooManySelectors { limit: usize },
    /// Not PromQL, or syntax that the scanner does not know.
    #[error("{at}: parse error: {problem}")]
    Malformed { problem: Problem, at: Position },
    /// With [`ForeignMatchers::Reject`](super::ForeignMatchers::Reject): a matcher names a tenant
    /// outside the caller's scope.
    #[error("{at}: this matcher names a tenant that is not yours; leave it out or name your own")]
    ForeignTenant { at: Position },
    /// With [`ForeignMatchers::RejectDisjoint`](super::ForeignMatchers::RejectDisjoint): a matcher
    /// matches none of the caller's tenants.
    #[error(
        "{at}: this matcher leaves none of your tenants, so nothing could be found; leave it out or \
         name your own"
    )]
    DisjointTenants { at: Position },
    /// `info()` in a form that cannot be confined without changing its answer.
    #[error("{at}: info() selects series of its own and is confined only in this form: {hint}")]
    UnconfinedInfo {
        /// Where the word `info` is.
        at: Position,
        hint: InfoHint,
    },
    /// Verification failed: two readings of the confined query differ. Never the client's fault.
    #[error("the query could not be verified to be confined; please report it")]
    Disagreement,
}

/// Which status the client gets for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// `bad_data`, 400.
    Malformed,
    /// Over a limit, or in a form that cannot be confined whoever the caller is: 422, whose text
    /// Grafana shows.
    Unprocessable,
    /// It names what is not the caller's, 403.
    Denied,
}

impl Refusal {
    pub fn reason(&self) -> Reason {
        match self {
            Self::ConfinedTooLong { .. } => Reason::ConfinedTooLong,
            Self::TooManySelectors { .. } => Reason::TooManySelectors,
            Self::Malformed { .. } => Reason::QueryMalformed,
            Self::ForeignTenant { .. } | Self::DisjointTenants { .. } => Reason::ForeignTenant,
            Self::UnconfinedInfo { .. } => Reason::UnconfinedInfo,
            Self::Disagreement => Reason::Disagreement,
        }
    }

    pub fn kind(&self) -> RefusalKind {
        match self {
            Self::ConfinedTooLong { .. }
            | Self::TooManySelectors { .. }
            | Self::UnconfinedInfo { .. }
            | Self::Disagreement => RefusalKind::Unprocessable,
            Self::Malformed { .. } => RefusalKind::Malformed,
            Self::ForeignTenant { .. } | Self::DisjointTenants { .. } => RefusalKind::Denied,
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
    /// Prometheus' own words (`promql/parser/parse.go`).
    #[error("vector selector must contain at least one non-empty matcher")]
    Unselective,
    #[error("NUL and U+FFFD are not accepted")]
    Forbidden,
}

/// What an `info()` lacks that is not in the one form that can be confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InfoHint {
    /// It has no second argument, or one that may match series without the label.
    #[error(
        "a second argument with a matcher, other than of __name__, that rules out the empty \
         value, as in info(v, {{cluster=~\".+\"}})"
    )]
    Selector,
    /// Its first argument has a list of labels (`by`, `without`, `on`, `ignoring`).
    #[error("by, without, on and ignoring are to be outside of its first argument")]
    Grouping,
}

/// A position in a query, counted as Prometheus does: both from 1, columns in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    /// The position of a byte offset.
    pub(super) fn at_offset(text: &str, offset: usize) -> Self {
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
    fn positions_are_counted_as_in_prometheus() {
        let at = |offset| Position::at_offset("ab\ncdé\n", offset).to_string();
        assert_eq!(at(0), "1:1");
        assert_eq!(at(2), "1:3");
        assert_eq!(at(3), "2:1");
        assert_eq!(at(7), "2:5");
        assert_eq!(at(8), "3:1");
        assert_eq!(at(99), "3:1");
    }
}
