//! The `q` of tag names and tag values.
//!
//! There Tempo answers for all tenants whenever it cannot use the query: if the query does not
//! parse or validate, starts with anything but one plain filter, or names an attribute without a
//! scope. Before Tempo 3.0 it also finds conditions with a regular expression, and gives up on `|`
//! and braces even in strings. So the user's text is never forwarded: conditions of a form that
//! all versions support are written again, and all others are dropped. Fewer conditions only mean
//! more of the tenant's own names.
//!
//! Since no `||` may be sent either, alternatives are separate requests: those of the caller's own
//! data, and within each those of the client's query. An answer is a set, so the answers of all
//! requests together are the answer.

mod narrowing;

use std::sync::Arc;

use thiserror::Error;

use self::narrowing::{Condition, alternatives};
use super::TraceIntrinsics;
use super::parser::parse;
use super::predicate::{UnwritableTenant, comparisons};
use crate::tenancy::{Attribute, AttributeValues, Resources};

/// The most requests for one call.
const MAX_REQUESTS: usize = 64;

/// Conditions beyond this number are dropped.
const MAX_CONDITIONS: usize = 32;

/// The data of a caller, as the tag endpoints are asked for it. At least one alternative.
#[derive(Debug)]
pub struct TagScope(Box<[Alternative]>);

/// One conjunction of comparisons.
#[derive(Debug)]
struct Alternative {
    /// `resource.tenant_id = "acme"`, joined by `&&`.
    expression: Box<str>,
    conditions: Arc<[Attribute]>,
}

/// The `q` of one request.
#[derive(Clone, Debug)]
pub struct TagFilter {
    pub query: String,
    conditions: Arc<[Attribute]>,
}

/// Why tags cannot be listed for a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TagScopeError {
    #[error(transparent)]
    Unwritable(#[from] UnwritableTenant),
    /// Each of them is a request of its own.
    #[error(
        "your traces are selected by too many alternatives to list tags, which takes a request for each \
         of them, twice for a number: at most {MAX_REQUESTS} are sent. Ask for the values of `span.…` or \
         `resource.…` with the v2 call, or look at the attributes of the spans that a search finds"
    )]
    TooManyRequests,
}

impl TagScope {
    /// The caller's alternatives. A number is two: an integer and a float.
    ///
    /// # Errors
    /// If there are too many, or a condition cannot be written.
    pub fn of(resources: &Resources) -> Result<Self, TagScopeError> {
        let mut all = Vec::new();
        for conditions in resources.alternatives() {
            let mut expressions = vec![String::new()];
            for condition in conditions {
                let comparisons = comparisons(condition)?;
                if expressions.len() * comparisons.len() > MAX_REQUESTS {
                    return Err(TagScopeError::TooManyRequests);
                }
                let joined = expressions.iter().flat_map(|before| {
                    comparisons.iter().map(move |one| match before.as_str() {
                        "" => one.clone(),
                        before => format!("{before} && {one}"),
                    })
                });
                expressions = joined.collect();
            }
            if conditions.is_empty() {
                return Err(UnwritableTenant::NoAttribute.into());
            }
            let conditions: Arc<[Attribute]> = conditions.into();
            all.extend(expressions.into_iter().map(|expression| Alternative {
                expression: expression.into(),
                conditions: Arc::clone(&conditions),
            }));
        }
        match all.len() {
            0 => Err(UnwritableTenant::NoAttribute.into()),
            1..=MAX_REQUESTS => Ok(Self(all.into())),
            _ => Err(TagScopeError::TooManyRequests),
        }
    }

    /// The `q`s to send for tag names and tag values, each in `times` requests: filters that join the
    /// caller's conditions with the usable ones of the user's query by `&&`. Everything else in the
    /// user's query is dropped; it need not even parse. It is ignored as a whole where one of its
    /// alternatives has no usable condition, or there would be too many requests.
    ///
    /// Tempo before 3.0 respects a filter only if the names of tenant attributes consist of letters,
    /// digits, `.`, `_` and `-`; Tempo 2.4 only if they have no `-` and it compares with `=`.
    /// Otherwise these versions answer for all tenants.
    ///
    /// # Errors
    /// If there are too many requests.
    pub fn filters(&self, query: &str, times: usize) -> Result<Vec<TagFilter>, TagScopeError> {
        let narrowings = alternatives(query);
        let narrowed = self.0.iter().flat_map(|own| own.narrowed(&narrowings));
        let narrowed: Vec<TagFilter> = narrowed.take(MAX_REQUESTS + 1).collect();
        if narrowed.len() * times <= MAX_REQUESTS {
            return Ok(narrowed);
        }
        self.each(times, Alternative::filter)
    }

    /// The `q`s for values of the caller's root spans.
    ///
    /// Tempo before 3.0 reads the conditions with a regular expression that does not match a number in
    /// parentheses. There the values are those of all of the caller's spans. Without the parentheses it
    /// would match, and Tempo 2.4, which does not know the intrinsic there, would answer for all
    /// tenants.
    ///
    /// # Errors
    /// If there are too many requests.
    pub fn root_filters(&self) -> Result<Vec<TagFilter>, TagScopeError> {
        self.each(1, |own| own.and("nestedSetParent < (0)"))
    }

    fn each(
        &self,
        times: usize,
        filter: impl Fn(&Alternative) -> TagFilter,
    ) -> Result<Vec<TagFilter>, TagScopeError> {
        if self.0.len() * times > MAX_REQUESTS {
            return Err(TagScopeError::TooManyRequests);
        }
        Ok(self.0.iter().map(filter).collect())
    }
}

impl TagFilter {
    /// The values that a resource attribute has in the answer; `None` if any.
    pub fn values_of(&self, is_attribute: impl Fn(&str) -> bool) -> Option<&AttributeValues> {
        let mut all = self.conditions.iter();
        let condition = all.find(|condition| is_attribute(&condition.name))?;
        Some(&condition.values)
    }
}

impl Alternative {
    fn filter(&self) -> TagFilter {
        TagFilter {
            query: format!("{{ {} }}", self.expression),
            conditions: Arc::clone(&self.conditions),
        }
    }

    fn and(&self, condition: &str) -> TagFilter {
        TagFilter {
            query: format!("{{ {} && {condition} }}", self.expression),
            conditions: Arc::clone(&self.conditions),
        }
    }

    /// The filters for the alternatives of the user's query; a single one without it if one of them
    /// has nothing that can be used here.
    fn narrowed(&self, narrowings: &[Vec<Condition>]) -> Vec<TagFilter> {
        let mut filters: Vec<TagFilter> = Vec::new();
        for conditions in narrowings {
            let usable = conditions
                .iter()
                .filter(|condition| !self.decides(condition));
            let usable: Vec<&str> = usable.map(|condition| &*condition.text).collect();
            let usable = usable.get(..MAX_CONDITIONS).unwrap_or(&usable);
            if usable.is_empty() {
                return vec![self.filter()];
            }
            let narrowed = self.and(&usable.join(" && "));
            // Tempo answers for all tenants if the query does not validate.
            if parse(&narrowed.query, TraceIntrinsics::Refuse).is_err() {
                return vec![self.filter()];
            }
            if !filters.iter().any(|known| known.query == narrowed.query) {
                filters.push(narrowed);
            }
        }
        if filters.is_empty() {
            filters.push(self.filter());
        }
        filters
    }

    /// Whether the condition is about an attribute that decides whose data it is. It is dropped: of
    /// two comparisons of an attribute with a dedicated column, Tempo applies either.
    fn decides(&self, condition: &Condition) -> bool {
        let Some(name) = &condition.resource else {
            return false;
        };
        self.conditions.iter().any(|own| *own.name == **name)
    }
}

#[cfg(test)]
mod tests;
