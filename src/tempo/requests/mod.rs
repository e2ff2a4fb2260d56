//! Rewrites the request messages of gRPC calls as [`super::params`] rewrites parameters.
//!
//! The fields are those of `pkg/tempopb/tempo.proto`. A field that is unknown, or that only Tempo's
//! own components set, is refused; an obsolete one is dropped. Exactly one confined query is
//! forwarded.

mod tags;

use thiserror::Error;

pub use self::tags::{TagNames, TagValues, tag_names, tag_values};
use super::answer::Unreadable;
use super::params::Range;
use super::tag_name::TagNameError;
use crate::grpc::method::Method;
use crate::wire::{self, Field, Malformed};

/// Why a request is refused; `E` is why a query cannot be confined. Always the client's fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError<E> {
    /// Not a valid message.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// An unknown field, or one that only Tempo's own components set.
    #[error("the request has field {0}, which is not supported here")]
    Field(u32),
    /// Decoders would use the last one.
    #[error("the request has field {0} more than once")]
    Repeated(u32),
    /// Tempo refuses this too.
    #[error("Tags and Query cannot be used together")]
    TagsAndQuery,
    /// A metrics call without a query.
    #[error("there is no query")]
    NoQuery,
    /// Decoders would use the last one.
    #[error("a tag is set twice")]
    RepeatedTag,
    #[error("there are more than {MAX_TAGS} tags")]
    TooManyTags,
    /// Tempo refuses this too.
    #[error("MaxDurationMs must be greater than MinDurationMs")]
    DurationsReversed,
    #[error(transparent)]
    TagName(#[from] TagNameError),
    /// The query cannot be confined.
    #[error("{0}")]
    Query(E),
}

impl<E> From<Malformed> for RequestError<E> {
    fn from(malformed: Malformed) -> Self {
        Self::Unreadable(malformed.into())
    }
}

/// A search by tags and durations. With nothing set it searches for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagSearch {
    /// With unique names.
    pub tags: Vec<(String, String)>,
    /// In milliseconds; 0 for no bound.
    pub min_duration_ms: u32,
    /// In milliseconds; 0 for no bound.
    pub max_duration_ms: u32,
}

/// The maximum number of tags in one search.
pub const MAX_TAGS: usize = 100;

impl TagSearch {
    fn add_tag<E>(&mut self, entry: Field<'_>) -> Result<(), RequestError<E>> {
        let (tag, value) = read_pair(entry)?;
        if self.tags.iter().any(|(known, _)| known == tag) {
            return Err(RequestError::RepeatedTag);
        }
        if self.tags.len() == MAX_TAGS {
            return Err(RequestError::TooManyTags);
        }
        self.tags.push((tag.to_owned(), value.to_owned()));
        Ok(())
    }

    fn check<E>(&self) -> Result<(), RequestError<E>> {
        let reversed = self.max_duration_ms != 0 && self.min_duration_ms > self.max_duration_ms;
        (!reversed)
            .then_some(())
            .ok_or(RequestError::DurationsReversed)
    }
}

/// Rewrites a `SearchRequest`; see [`super::params::search`] for the closures.
pub fn search<E>(
    message: &[u8],
    confine: impl FnOnce(&str) -> Result<String, E>,
    from_tags: impl FnOnce(&TagSearch) -> Result<String, E>,
) -> Result<(Vec<u8>, Range), RequestError<E>> {
    /// A search may have several, but with only one entry for each tag.
    const TAGS: u32 = 1;
    let mut once = Once::default();
    let mut search = TagSearch::default();
    let (mut query, mut range) = ("", Range::default());
    let mut forwarded = Vec::with_capacity(32);
    for field in wire::fields(message) {
        let field = field?;
        if field.number != TAGS && !OBSOLETE_SEARCH.contains(&field.number) {
            once.see(field)?;
        }
        match field.number {
            TAGS => search.add_tag(field)?,
            2 => search.min_duration_ms = field.uint32()?,
            3 => search.max_duration_ms = field.uint32()?,
            5 => range.start = field.uint32()?,
            6 => range.end = field.uint32()?,
            8 => query = field.text()?,
            4 | 9 => forward_uint32(&mut forwarded, field)?,
            number if OBSOLETE_SEARCH.contains(&number) => {}
            number => return Err(RequestError::Field(number)),
        }
    }
    let query = match (query, search.tags.is_empty()) {
        ("", _) => {
            search.check()?;
            from_tags(&search)
        }
        (_, false) => return Err(RequestError::TagsAndQuery),
        (query, true) => confine(query),
    };
    wire::put_uint(&mut forwarded, 5, range.start.into());
    wire::put_uint(&mut forwarded, 6, range.end.into());
    wire::put_bytes(
        &mut forwarded,
        8,
        query.map_err(RequestError::Query)?.as_bytes(),
    );
    Ok((forwarded, range))
}

/// `RF1After`, which Go clients of some versions always send, and `skipASTTransformations`.
const OBSOLETE_SEARCH: [u32; 2] = [10, 11];

/// Rewrites a `QueryRangeRequest`.
pub fn metrics_query_range<E>(
    message: &[u8],
    confine: impl FnOnce(&str) -> Result<String, E>,
) -> Result<Vec<u8>, RequestError<E>> {
    /// `skipASTTransformations`.
    const OBSOLETE: u32 = 19;
    let mut once = Once::default();
    let mut query = "";
    let mut forwarded = Vec::with_capacity(64);
    for field in wire::fields(message) {
        let field = field?;
        if field.number != OBSOLETE {
            once.see(field)?;
        }
        match field.number {
            1 => query = field.text()?,
            2..=4 => forward_uint64(&mut forwarded, field)?,
            16 | 17 => forward_uint32(&mut forwarded, field)?,
            18 => {
                // Set to zero differs from not set, so a zero is forwarded.
                let instant = field.varint()? != 0;
                forwarded.extend_from_slice(if instant {
                    b"\x90\x01\x01"
                } else {
                    b"\x90\x01\x00"
                });
            }
            OBSOLETE => {}
            number => return Err(RequestError::Field(number)),
        }
    }
    if query.is_empty() {
        return Err(RequestError::NoQuery);
    }
    put_query(&mut forwarded, 1, confine(query))?;
    Ok(forwarded)
}

/// Rewrites a `QueryInstantRequest`.
pub fn metrics_query_instant<E>(
    message: &[u8],
    confine: impl FnOnce(&str) -> Result<String, E>,
) -> Result<Vec<u8>, RequestError<E>> {
    let mut once = Once::default();
    let mut query = "";
    let mut forwarded = Vec::with_capacity(64);
    for field in wire::fields(message) {
        let field = field?;
        once.see(field)?;
        match field.number {
            1 => query = field.text()?,
            2 | 3 => forward_uint64(&mut forwarded, field)?,
            number => return Err(RequestError::Field(number)),
        }
    }
    if query.is_empty() {
        return Err(RequestError::NoQuery);
    }
    put_query(&mut forwarded, 1, confine(query))?;
    Ok(forwarded)
}

/// A text in a request that the store has to parse.
pub enum Text<'a> {
    Query(&'a str),
    /// A tag of an old search, its name and value.
    Tag(&'a str, &'a str),
}

/// Calls `look` for every text of a request message, repeated ones included, until it refuses one.
pub fn texts<E>(
    method: Method,
    message: &[u8],
    mut look: impl FnMut(Text<'_>) -> Result<(), E>,
) -> Result<Result<(), E>, Unreadable> {
    let query = match method {
        Method::Search => 8,
        Method::SearchTags
        | Method::SearchTagsV2
        | Method::SearchTagValues
        | Method::SearchTagValuesV2 => 2,
        Method::MetricsQueryRange | Method::MetricsQueryInstant => 1,
        Method::HealthCheck => return Ok(Ok(())),
    };
    for field in wire::fields(message) {
        let field = field?;
        let looked = match field.number {
            number if number == query => look(Text::Query(field.text()?)),
            1 if method == Method::Search => {
                let (name, value) = read_pair(field)?;
                look(Text::Tag(name, value))
            }
            _ => Ok(()),
        };
        if looked.is_err() {
            return Ok(looked);
        }
    }
    Ok(Ok(()))
}

/// The numbers of the fields seen, each of which may occur once.
#[derive(Default)]
struct Once(u64);

impl Once {
    fn see<E>(&mut self, field: Field<'_>) -> Result<(), RequestError<E>> {
        let bit = 1u64
            .checked_shl(field.number)
            .ok_or(RequestError::Field(field.number))?;
        if self.0 & bit != 0 {
            return Err(RequestError::Repeated(field.number));
        }
        self.0 |= bit;
        Ok(())
    }
}

/// An entry of a `map<string, string>`.
fn read_pair(entry: Field<'_>) -> Result<(&str, &str), Unreadable> {
    let (mut key, mut value) = ("", "");
    for field in wire::fields(entry.bytes()?) {
        let field = field?;
        match field.number {
            1 => key = field.text()?,
            2 => value = field.text()?,
            _ => return Err(Unreadable("a tag has more than a key and a value")),
        }
    }
    Ok((key, value))
}

fn forward_uint32(forwarded: &mut Vec<u8>, field: Field<'_>) -> Result<(), Unreadable> {
    field.uint32()?;
    forward_uint64(forwarded, field)
}

fn forward_uint64(forwarded: &mut Vec<u8>, field: Field<'_>) -> Result<(), Unreadable> {
    wire::put_uint(forwarded, field.number, field.varint()?);
    Ok(())
}

fn put_query<E>(
    forwarded: &mut Vec<u8>,
    number: u32,
    query: Result<String, E>,
) -> Result<(), RequestError<E>> {
    let query = query.map_err(RequestError::Query)?;
    wire::put_bytes(forwarded, number, query.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests;
