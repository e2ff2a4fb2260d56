//! The request messages of calls for tags.

use std::borrow::Cow;
use std::num::NonZeroU32;

use super::super::params::TagParams;
use super::super::tag_name::TagName;
use super::super::tags::TagsVersion;
use super::{Once, RequestError, forward_uint32};
use crate::wire::{self, Field};

/// A `SearchTagsRequest`, of either version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagNames<'a> {
    /// The parameters of the same call over HTTP.
    pub params: TagParams<'a>,
    /// All fields but the query, encoded.
    others: Vec<u8>,
}

/// A `SearchTagValuesRequest`, of either version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagValues<'a> {
    pub tag: TagName,
    /// The parameters of the same call over HTTP.
    pub params: TagParams<'a>,
    /// All fields but the tag and the query, encoded.
    others: Vec<u8>,
}

/// Reads a `SearchTagsRequest`.
pub fn tag_names<E>(message: &[u8]) -> Result<TagNames<'_>, RequestError<E>> {
    /// `RF1After`.
    const OBSOLETE: u32 = 7;
    let mut once = Once::default();
    let mut scope = "";
    let mut others = Vec::with_capacity(64);
    let mut params = Numbers::default();
    let mut query = "";
    for field in wire::fields(message) {
        let field = field?;
        once.see(field)?;
        match field.number {
            1 => {
                scope = field.text()?;
                wire::put_bytes(&mut others, 1, scope.as_bytes());
            }
            2 => query = field.text()?,
            number @ 3..=6 => params.read(field, number - 3, &mut others)?,
            OBSOLETE => {}
            number => return Err(RequestError::Field(number)),
        }
    }
    let params = params.of_call(query, scope);
    Ok(TagNames { params, others })
}

impl TagNames<'_> {
    /// The message that is forwarded, with this query.
    pub fn message(&self, query: &str) -> Vec<u8> {
        let mut message = self.others.clone();
        wire::put_bytes(&mut message, 2, query.as_bytes());
        message
    }
}

/// Reads a `SearchTagValuesRequest`. Tempo builds a path from the tag, so it is checked as strictly as
/// one in a path.
pub fn tag_values<E>(
    message: &[u8],
    version: TagsVersion,
) -> Result<TagValues<'_>, RequestError<E>> {
    /// `RF1After`.
    const OBSOLETE: u32 = 8;
    let mut once = Once::default();
    let (mut tag, mut query) = ("", "");
    let mut others = Vec::with_capacity(64);
    let mut params = Numbers::default();
    for field in wire::fields(message) {
        let field = field?;
        once.see(field)?;
        match field.number {
            1 => tag = field.text()?,
            2 => query = field.text()?,
            number @ 4..=7 => params.read(field, number - 4, &mut others)?,
            OBSOLETE => {}
            number => return Err(RequestError::Field(number)),
        }
    }
    let tag = match version {
        TagsVersion::V1 => TagName::parse_v1(tag)?,
        TagsVersion::V2 => TagName::parse(tag)?,
    };
    Ok(TagValues {
        tag,
        params: params.of_call(query, ""),
        others,
    })
}

impl TagValues<'_> {
    /// The message that is forwarded, with this tag and query.
    pub fn message(&self, tag: &TagName, query: &str) -> Vec<u8> {
        let mut message = self.others.clone();
        wire::put_bytes(&mut message, 1, tag.to_string().as_bytes());
        wire::put_bytes(&mut message, 2, query.as_bytes());
        message
    }
}

/// The numbers of a request, in the order of their fields; 0 if not given.
#[derive(Default)]
struct Numbers([u32; 4]);

impl Numbers {
    const NAMES: [&'static str; 4] = ["start", "end", "limit", "maxStaleValues"];
    const LIMIT: usize = 2;

    fn read<E>(
        &mut self,
        field: Field<'_>,
        place: u32,
        others: &mut Vec<u8>,
    ) -> Result<(), RequestError<E>> {
        let mut all = self.0.iter_mut().zip(0..);
        if let Some((number, _)) = all.find(|(_, known)| *known == place) {
            *number = field.uint32()?;
        }
        forward_uint32(others, field)?;
        Ok(())
    }

    fn of_call<'a>(&self, query: &'a str, scope: &'a str) -> TagParams<'a> {
        let scope_given = (!scope.is_empty()).then_some(("scope", Cow::Borrowed(scope)));
        let numbers = Self::NAMES.into_iter().zip(self.0);
        let numbers = numbers.filter(|(_, number)| *number != 0);
        let numbers = numbers.map(|(name, number)| (name, Cow::Owned(number.to_string())));
        let limit = self.0.get(Self::LIMIT).copied().and_then(NonZeroU32::new);
        let others = scope_given.into_iter().chain(numbers).collect();
        TagParams::new(query, scope, limit, others)
    }
}
