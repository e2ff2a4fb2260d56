//! The answers of the tag calls. Tempo does not filter the first version of each, so its answer is
//! made from the second version's. Where a call took several requests, the answers are merged: all of
//! them are sets.

mod names;
mod segments;

use std::borrow::Cow;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

pub use self::names::Names;
pub use self::segments::segments;
use super::answer::{Format, JobFields, Jobs, Unreadable, read_json, write_json};
use crate::tenancy::{AttributeValue, AttributeValues};
use crate::wire;

/// Which version of the call the client made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagsVersion {
    /// `/api/search/tags`, `/api/search/tag/{tag}/values`, and the gRPC calls for them.
    V1,
    /// `/api/v2/search/tags`, `/api/v2/search/tag/{tag}/values`, and the gRPC calls for them.
    V2,
}

/// An answer of Tempo, or a message of a stream.
#[derive(Clone, Copy, Debug)]
pub struct TagsAnswer<'a> {
    pub text: &'a [u8],
    pub format: Format,
}

/// The same for values.
#[derive(Clone, Copy, Debug)]
pub struct ValuesAnswer<'a> {
    pub answer: TagsAnswer<'a>,
    /// The only values that are forwarded: for the tenant attribute itself, Tempo also returns other
    /// tenants' values if a resource has the attribute twice or as a list, or if it has a dedicated
    /// column.
    pub only: Option<&'a AttributeValues>,
}

/// Sorts, and keeps each item once, and as many as the client wants.
fn as_set<T: Ord>(all: &mut Vec<T>, limit: Option<NonZeroU32>) {
    all.sort_unstable();
    all.dedup();
    truncate(all, limit);
}

fn truncate<T>(all: &mut Vec<T>, limit: Option<NonZeroU32>) {
    let limit = limit.and_then(|limit| usize::try_from(limit.get()).ok());
    all.truncate(limit.unwrap_or(usize::MAX));
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Values<'a> {
    #[serde(borrow, default)]
    tag_values: Vec<Value<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Jobs>,
}

#[derive(Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
struct Value<'a> {
    #[serde(
        borrow,
        default,
        rename = "type",
        skip_serializing_if = "str::is_empty"
    )]
    kind: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    value: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ValuesV1<'a> {
    tag_values: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Jobs>,
}

/// Makes the client's answer from answers of `/api/v2/search/tag/{tag}/values` or messages of
/// `SearchTagValuesV2`. A single answer stays in its order.
pub fn merge_values<'a>(
    answers: impl IntoIterator<Item = ValuesAnswer<'a>>,
    format: Format,
    version: TagsVersion,
    limit: Option<NonZeroU32>,
) -> Result<Vec<u8>, Unreadable> {
    let mut answers = answers.into_iter().map(Values::read);
    let mut values = answers.next().unwrap_or_else(|| Ok(Values::default()))?;
    let mut is_merged = false;
    for other in answers {
        let other = other?;
        values.tag_values.extend(other.tag_values);
        values.metrics = Jobs::sum(values.metrics, other.metrics);
        is_merged = true;
    }
    if is_merged {
        as_set(&mut values.tag_values, limit);
    }
    match (version, format) {
        (TagsVersion::V2, Format::Json) => write_json(&values),
        (TagsVersion::V2, Format::Protobuf) => Ok(values.write_protobuf()),
        (TagsVersion::V1, Format::Json) => write_json(&ValuesV1 {
            tag_values: values.flatten(),
            metrics: values.metrics,
        }),
        (TagsVersion::V1, Format::Protobuf) => Ok(write_strings(&values.flatten(), values.metrics)),
    }
}

/// Whether an answer of `/api/v2/search/tag/{tag}/values` has a value.
///
/// # Errors
/// If it is not an answer of Tempo.
pub fn has_value(answer: TagsAnswer<'_>) -> Result<bool, Unreadable> {
    let only = None;
    let values = Values::read(ValuesAnswer { answer, only })?;
    Ok(!values.tag_values.is_empty())
}

impl<'a> Values<'a> {
    fn read(answer: ValuesAnswer<'a>) -> Result<Self, Unreadable> {
        let ValuesAnswer { answer, only } = answer;
        let mut values = match answer.format {
            Format::Json => read_json(answer.text)?,
            Format::Protobuf => Self::read_protobuf(answer.text)?,
        };
        values
            .tag_values
            .retain(|value| !value.is_nothing() && only.is_none_or(|only| value.is_one_of(only)));
        Ok(values)
    }

    fn read_protobuf(answer: &'a [u8]) -> Result<Self, Unreadable> {
        let mut values = Self::default();
        for field in wire::fields(answer) {
            let field = field?;
            match field.number {
                1 => values
                    .tag_values
                    .push(Value::read_protobuf(field.bytes()?)?),
                2 => values.metrics = Some(Jobs::read(field.bytes()?, JobFields::METADATA)?),
                _ => {}
            }
        }
        Ok(values)
    }

    fn write_protobuf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for value in &self.tag_values {
            let mut message = Vec::new();
            for (number, text) in [(1, &value.kind), (2, &value.value)] {
                if !text.is_empty() {
                    wire::put_bytes(&mut message, number, text.as_bytes());
                }
            }
            wire::put_bytes(&mut out, 1, &message);
        }
        put_metrics(&mut out, self.metrics);
        out
    }

    /// The values of all types, in order, each once.
    fn flatten(&self) -> Vec<&str> {
        let mut values: Vec<&str> = self.tag_values.iter().map(|value| &*value.value).collect();
        values.sort_unstable();
        values.dedup();
        values
    }
}

impl<'a> Value<'a> {
    /// With a filter, as there always is here, Tempo answers one item without type and value for
    /// intrinsics of which it then reads none (`nestedSetParent`). It is no value; an empty string
    /// has a type.
    fn is_nothing(&self) -> bool {
        self.kind.is_empty() && self.value.is_empty()
    }

    /// The types are those of `MakeCollectTagValueFunc` in `pkg/traceql/util.go`.
    fn is_one_of(&self, only: &AttributeValues) -> bool {
        let value = match &*self.kind {
            "string" => Some(AttributeValue::Text(Cow::Borrowed(&self.value))),
            "int" => self.value.parse().ok().map(AttributeValue::Int),
            "float" => self.value.parse().ok().map(AttributeValue::Float),
            "bool" => self.value.parse().ok().map(AttributeValue::Bool),
            _ => None,
        };
        value.is_some_and(|value| only.contains(&value))
    }

    fn read_protobuf(message: &'a [u8]) -> Result<Self, Unreadable> {
        let mut value = Self::default();
        for field in wire::fields(message) {
            let field = field?;
            match field.number {
                1 => value.kind = Cow::Borrowed(field.text()?),
                2 => value.value = Cow::Borrowed(field.text()?),
                _ => {}
            }
        }
        Ok(value)
    }
}

/// `SearchTagsResponse` and `SearchTagValuesResponse`, which have the same fields.
fn write_strings(strings: &[&str], metrics: Option<Jobs>) -> Vec<u8> {
    let mut out = Vec::new();
    for string in strings {
        wire::put_bytes(&mut out, 1, string.as_bytes());
    }
    put_metrics(&mut out, metrics);
    out
}

fn put_metrics(out: &mut Vec<u8>, metrics: Option<Jobs>) {
    if let Some(jobs) = metrics {
        jobs.put(out, 2, JobFields::METADATA);
    }
}

#[cfg(test)]
mod tests;
