//! The parameters of an HTTP call: which are forwarded, with what value, and which are refused.
//!
//! They come decoded, in order, and are forwarded encoded again by the caller. The list is closed:
//! what Tempo would ignore is left out, what it would use and is not listed is refused. Of several
//! of one name Tempo takes the first (`vals.Get`), and so it is here; but two different queries are
//! refused. No parameter is forwarded twice, and exactly one query is, always confined.

pub mod table;
mod tags;

use std::borrow::Cow;

use thiserror::Error;

use self::table::{Policy, Table};
pub use self::tags::{TagParams, tag_names, tag_values};
use super::endpoints::Version;

pub type Params<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// Why parameters are refused; `E` is why a query cannot be confined. Always the client's fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParamError<E> {
    /// Readers differ in which query counts.
    #[error("the parameter `{0}` is given more than once, with different values; give it once")]
    Repeated(&'static str),
    /// Tempo's own components talk to each other with these.
    #[error("the parameter `{0}` is for Tempo's own use; leave it out")]
    Internal(&'static str),
    /// It asks for something that Partywall does not support.
    #[error("the parameter `{0}` is not supported here")]
    Unsupported(&'static str),
    /// Not the number or word that it has to be.
    #[error("the parameter `{0}` is not {1}")]
    Invalid(&'static str, &'static str),
    /// Tempo refuses this too.
    #[error("`tags` and `q` cannot be used together")]
    TagsAndQuery,
    /// A metrics call without a query.
    #[error("there is no query; give one as `q`")]
    NoQuery,
    #[error("there are more than {MAX_BARE_TAGS} tags")]
    TooManyTags,
    /// The query cannot be confined.
    #[error("{0}")]
    Query(E),
}

/// A search in the form from before TraceQL. With nothing set it searches for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OldForm<'a> {
    /// `tags`: logfmt, not parsed here.
    pub tags: &'a str,
    /// The parameters that are tags themselves, with unique names; none if `tags` has a value.
    pub bare_tags: Vec<(&'a str, &'a str)>,
    /// `minDuration`, not parsed here.
    pub min_duration: &'a str,
    /// `maxDuration`, not parsed here.
    pub max_duration: &'a str,
}

/// The maximum number of a search's parameters that may be tags.
pub const MAX_BARE_TAGS: usize = 100;

/// The range of a search, which its ownership queries must have too, in Unix seconds; 0 if not
/// given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    pub start: u32,
    pub end: u32,
}

impl Range {
    /// This range if it has both ends, and otherwise that of a trace: its start in nanoseconds, its
    /// duration in milliseconds.
    #[must_use]
    pub fn or_of_trace(self, start: u64, duration_ms: u32) -> Self {
        if self.start != 0 && self.end > self.start {
            return self;
        }
        let first = start / 1_000_000_000;
        let last = first + u64::from(duration_ms) / 1000;
        Self {
            start: u32::try_from(first).unwrap_or(0),
            // A second for each part of one that was left out.
            end: u32::try_from(last + 2).unwrap_or(0),
        }
    }

    pub fn parameters(self) -> impl Iterator<Item = (&'static str, String)> {
        [("start", self.start), ("end", self.end)]
            .into_iter()
            .filter(|&(_, time)| time != 0)
            .map(|(name, time)| (name, time.to_string()))
    }
}

/// The parameters of `/api/search` (`ParseSearchRequest` in `pkg/api/http.go`).
///
/// `confine` gets the client's TraceQL. If there is none, `from_old_form` gets the search in its
/// older form. Both return the confined query.
pub fn search<'a, E>(
    given: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    confine: impl FnOnce(&str) -> Result<String, E>,
    from_old_form: impl FnOnce(&OldForm<'a>) -> Result<String, E>,
) -> Result<(Params<'a>, Range), ParamError<E>> {
    let known = Known::read(given.clone(), table::SEARCH)?;
    let range = Range {
        start: known.number("start")?.unwrap_or(0),
        end: known.number("end")?.unwrap_or(0),
    };
    if known.number("limit")? == Some(0) {
        return Err(ParamError::Invalid("limit", POSITIVE));
    }
    known.number("spss")?;
    let query = match (known.get("q"), known.get("tags")) {
        (Some(_), Some(_)) => return Err(ParamError::TagsAndQuery),
        // With a query Tempo ignores the durations.
        (Some(query), None) => confine(query),
        (None, tags) => {
            let has_bare_tags = tags.is_none() && range == Range::default();
            from_old_form(&OldForm {
                tags: tags.unwrap_or_default(),
                bare_tags: if has_bare_tags {
                    bare_tags(given)?
                } else {
                    Vec::new()
                },
                min_duration: known.get("minDuration").unwrap_or_default(),
                max_duration: known.get("maxDuration").unwrap_or_default(),
            })
        }
    };
    let mut params = vec![("q", Cow::Owned(query.map_err(ParamError::Query)?))];
    known.pass(&mut params);
    Ok((params, range))
}

/// If none of `q`, `tags`, `start` and `end` is given, every unknown parameter is a tag.
fn bare_tags<'a, E>(
    given: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<(&'a str, &'a str)>, ParamError<E>> {
    let mut tags: Vec<(&str, &str)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in given {
        let is_listed = table::SEARCH.iter().any(|(listed, _)| *listed == name);
        if is_listed || seen.contains(&name) {
            continue;
        }
        // An empty value is no tag, and neither is what comes after it.
        seen.push(name);
        if value.is_empty() {
            continue;
        }
        if tags.len() == MAX_BARE_TAGS {
            return Err(ParamError::TooManyTags);
        }
        tags.push((name, value));
    }
    Ok(tags)
}

/// The parameters of `/api/metrics/query_range`.
pub fn metrics_query_range<'a, E>(
    given: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    confine: impl FnOnce(&str) -> Result<String, E>,
) -> Result<Params<'a>, ParamError<E>> {
    metrics(given, table::METRICS_QUERY_RANGE, confine)
}

/// The parameters of `/api/metrics/query`.
pub fn metrics_query<'a, E>(
    given: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    confine: impl FnOnce(&str) -> Result<String, E>,
) -> Result<Params<'a>, ParamError<E>> {
    metrics(given, table::METRICS_QUERY, confine)
}

fn metrics<'a, E>(
    given: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    table: Table,
    confine: impl FnOnce(&str) -> Result<String, E>,
) -> Result<Params<'a>, ParamError<E>> {
    let known = Known::read(given, table)?;
    known.refuse_internal()?;
    // Of `q` and its alias `query` Tempo takes `q`.
    let query = known.get("q").or_else(|| known.get("query"));
    let query = confine(query.ok_or(ParamError::NoQuery)?).map_err(ParamError::Query)?;
    let mut params = vec![("q", Cow::Owned(query))];
    known.pass(&mut params);
    Ok(params)
}

/// The parameters of `/api/traces/{id}` and `/api/v2/traces/{id}`. The filter of the second
/// version is refused: its results include ancestors and descendants of other tenants.
pub fn trace_by_id<'a, E>(
    version: Version,
    given: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Params<'a>, ParamError<E>> {
    const MODES: [&str; 4] = ["all", "ingesters", "blocks", "external"];
    let known = Known::read(given, table::trace_by_id(version))?;
    known.refuse_internal()?;
    if known.get("mode").is_some_and(|mode| !MODES.contains(&mode)) {
        return Err(ParamError::Invalid("mode", "one of Tempo's modes"));
    }
    for name in ["start", "end"] {
        if known
            .get(name)
            .is_some_and(|time| time.parse::<i64>().is_err())
        {
            return Err(ParamError::Invalid(name, "a time in Unix seconds"));
        }
    }
    let mut params = Vec::new();
    known.pass(&mut params);
    if version == Version::V2 {
        refuse_trace_filter(&known)?;
        // Tempo can be configured to merge similar spans, also of different tenants.
        params.push(("span_pruning", Cow::Borrowed("false")));
    }
    Ok(params)
}

/// Without a query, Tempo ignores the parameters that belong to it.
fn refuse_trace_filter<E>(known: &Known<'_>) -> Result<(), ParamError<E>> {
    /// What Go's `strconv.ParseBool` takes for false.
    const FALSE: [&str; 6] = ["0", "f", "F", "false", "FALSE", "False"];
    if known.get("q").is_some_and(|query| !query.trim().is_empty()) {
        return Err(ParamError::Unsupported("q"));
    }
    match known.get("span_pruning") {
        Some(value) if !FALSE.contains(&value) => Err(ParamError::Unsupported("span_pruning")),
        _ => Ok(()),
    }
}

/// The parameters of a call that are listed, of each the first, in the order they came.
struct Known<'a>(Vec<Given<'a>>);

struct Given<'a> {
    name: &'static str,
    policy: Policy,
    value: &'a str,
}

const POSITIVE: &str = "a positive number";
const NUMBER: &str = "a number of at most 32 bits";

impl<'a> Known<'a> {
    fn read<E>(
        given: impl Iterator<Item = (&'a str, &'a str)>,
        table: Table,
    ) -> Result<Self, ParamError<E>> {
        let mut known: Vec<Given<'a>> = Vec::new();
        for (name, value) in given {
            let Some(&(name, policy)) = table.iter().find(|listed| listed.0 == name) else {
                continue;
            };
            if let Some(first) = known.iter().find(|taken| taken.name == name) {
                if policy.is_query(name) && !value.is_empty() && first.value != value {
                    return Err(ParamError::Repeated(name));
                }
                continue;
            }
            known.push(Given {
                name,
                policy,
                value,
            });
        }
        Ok(Self(known))
    }

    /// The value; `None` if empty, as in Tempo.
    fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|known| known.name == name);
        found
            .map(|known| known.value)
            .filter(|value| !value.is_empty())
    }

    fn number<E>(&self, name: &'static str) -> Result<Option<u32>, ParamError<E>> {
        let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let number = Some(text).filter(digits).and_then(|text| text.parse().ok());
        number.map(Some).ok_or(ParamError::Invalid(name, NUMBER))
    }

    fn refuse_internal<E>(&self) -> Result<(), ParamError<E>> {
        let says_something = |known: &&Given<'_>| match known.policy {
            Policy::Internal(nothing) => !known.value.is_empty() && known.value != nothing,
            _ => false,
        };
        let found = self.0.iter().find(says_something);
        found.map_or(Ok(()), |known| Err(ParamError::Internal(known.name)))
    }

    /// Appends those that are forwarded unmodified and have a value.
    fn pass(&self, params: &mut Params<'a>) {
        for known in &self.0 {
            if known.policy == Policy::Pass && !known.value.is_empty() {
                params.push((known.name, Cow::Borrowed(known.value)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
