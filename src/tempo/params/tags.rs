//! The parameters of calls for names and values of tags.

use std::borrow::Cow;
use std::num::NonZeroU32;

use super::{Known, ParamError, Params, table};

/// The parameters of a call for tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagParams<'a> {
    /// The client's query, which may be empty.
    pub query: &'a str,
    /// The scope of names; empty for all.
    pub scope: &'a str,
    /// How many names of each scope, or values, the client wants.
    pub limit: Option<NonZeroU32>,
    others: Params<'a>,
}

impl<'a> TagParams<'a> {
    fn of<E>(known: &Known<'a>) -> Result<Self, ParamError<E>> {
        for name in ["start", "end", "maxStaleValues"] {
            known.number(name)?;
        }
        let mut others = Vec::new();
        known.pass(&mut others);
        let text = |name| known.get(name).unwrap_or_default();
        let limit = known.number("limit")?.and_then(NonZeroU32::new);
        Ok(Self::new(text("q"), text("scope"), limit, others))
    }

    /// With the parameters that are forwarded unmodified.
    pub(in crate::tempo) fn new(
        query: &'a str,
        scope: &'a str,
        limit: Option<NonZeroU32>,
        others: Params<'a>,
    ) -> Self {
        Self {
            query,
            scope,
            limit,
            others,
        }
    }

    /// The parameters that are forwarded, with this query.
    pub fn forwarded(&self, query: String) -> Params<'a> {
        let mut params = vec![("q", Cow::Owned(query))];
        params.extend(self.others.iter().cloned());
        params
    }

    /// The same for names of this scope.
    pub fn forwarded_in(&self, scope: &'static str, query: String) -> Params<'a> {
        let mut params = self.forwarded(query);
        params.retain(|(name, _)| *name != "scope");
        params.push(("scope", Cow::Borrowed(scope)));
        params
    }

    /// The parameters of a request of our own for the same time range, with this query.
    pub fn of_range(&self, query: String) -> Params<'a> {
        let range = self.others.iter();
        let range = range.filter(|(name, _)| matches!(*name, "start" | "end"));
        let mut params = vec![("q", Cow::Owned(query))];
        params.extend(range.cloned());
        params
    }
}

/// The parameters of `/api/search/tags` and `/api/v2/search/tags`, both forwarded to the latter.
pub fn tag_names<'a, E>(
    given: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<TagParams<'a>, ParamError<E>> {
    let known = Known::read(given, table::TAG_NAMES)?;
    let params = TagParams::of(&known)?;
    if !params.scope.is_empty() && !SCOPES.contains(&params.scope) {
        return Err(ParamError::Invalid("scope", "one of Tempo's scopes"));
    }
    Ok(params)
}

/// `AttributeScopeFromString` in `pkg/traceql/enum_attributes.go`, and `intrinsic`.
const SCOPES: [&str; 8] = [
    "none",
    "trace",
    "resource",
    "span",
    "event",
    "link",
    "instrumentation",
    "intrinsic",
];

/// The parameters of `/api/search/tag/{tag}/values` and its second version, both forwarded to the
/// latter.
pub fn tag_values<'a, E>(
    given: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<TagParams<'a>, ParamError<E>> {
    TagParams::of(&Known::read(given, table::TAG_VALUES)?)
}
