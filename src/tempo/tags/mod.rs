//! The answers of the tag calls. Tempo does not filter the first version of each, so its answer is
//! made from the second version's.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::answer::{Format, JobFields, Jobs, Unreadable, read_json, write_json};
use crate::wire;

/// Which version of the call the client made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagsVersion {
    /// `/api/search/tags`, `/api/search/tag/{tag}/values`, and the gRPC calls for them.
    V1,
    /// `/api/v2/search/tags`, `/api/v2/search/tag/{tag}/values`, and the gRPC calls for them.
    V2,
}

/// The scope of names that are not attributes.
const INTRINSIC: &str = "intrinsic";

#[derive(Deserialize, Serialize)]
struct Names<'a> {
    #[serde(borrow, default)]
    scopes: Vec<Scope<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Jobs>,
}

#[derive(Default, Deserialize, Serialize)]
struct Scope<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    tags: Vec<Text<'a>>,
}

/// A string that is borrowed if possible, which serde does not do for a `Cow` in a `Vec`.
#[derive(Deserialize, Serialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NamesV1<'a> {
    tag_names: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Jobs>,
}

/// Filters an answer of `/api/v2/search/tags` or a message of `SearchTagsV2`. `scope` is the one
/// that the client asked for, if any: the first version lists intrinsics only on demand.
pub fn filter_names(
    answer: &[u8],
    format: Format,
    version: TagsVersion,
    scope: Option<&str>,
) -> Result<Vec<u8>, Unreadable> {
    let names = match format {
        Format::Json => read_json(answer)?,
        Format::Protobuf => Names::read_protobuf(answer)?,
    };
    match (version, format) {
        (TagsVersion::V2, Format::Json) => write_json(&names),
        (TagsVersion::V2, Format::Protobuf) => Ok(names.write_protobuf()),
        (TagsVersion::V1, Format::Json) => write_json(&NamesV1 {
            tag_names: names.flatten(scope == Some(INTRINSIC)),
            metrics: names.metrics,
        }),
        (TagsVersion::V1, Format::Protobuf) => {
            let tags = names.flatten(scope == Some(INTRINSIC));
            Ok(write_strings(&tags, names.metrics))
        }
    }
}

impl<'a> Names<'a> {
    fn read_protobuf(answer: &'a [u8]) -> Result<Self, Unreadable> {
        let mut names = Self {
            scopes: Vec::new(),
            metrics: None,
        };
        for field in wire::fields(answer) {
            let field = field?;
            match field.number {
                1 => names.scopes.push(Scope::read_protobuf(field.bytes()?)?),
                2 => names.metrics = Some(Jobs::read(field.bytes()?, JobFields::METADATA)?),
                _ => {}
            }
        }
        Ok(names)
    }

    fn write_protobuf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for scope in &self.scopes {
            let mut message = Vec::new();
            wire::put_bytes(&mut message, 1, scope.name.as_bytes());
            for tag in &scope.tags {
                wire::put_bytes(&mut message, 2, tag.0.as_bytes());
            }
            wire::put_bytes(&mut out, 1, &message);
        }
        put_metrics(&mut out, self.metrics);
        out
    }

    /// The names of all scopes, in order, each once.
    fn flatten(&self, with_intrinsics: bool) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .scopes
            .iter()
            .filter(|scope| with_intrinsics || scope.name != INTRINSIC)
            .flat_map(|scope| scope.tags.iter().map(|tag| &*tag.0))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl<'a> Scope<'a> {
    fn read_protobuf(message: &'a [u8]) -> Result<Self, Unreadable> {
        let mut scope = Self::default();
        for field in wire::fields(message) {
            let field = field?;
            match field.number {
                1 => scope.name = Cow::Borrowed(field.text()?),
                2 => scope.tags.push(Text(Cow::Borrowed(field.text()?))),
                _ => {}
            }
        }
        Ok(scope)
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Values<'a> {
    #[serde(borrow, default)]
    tag_values: Vec<Value<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Jobs>,
}

#[derive(Default, Deserialize, Serialize)]
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

/// Filters an answer of `/api/v2/search/tag/{tag}/values` or a message of `SearchTagValuesV2`.
/// Only values that `keep` admits are forwarded: for the tenant attribute itself, Tempo also returns
/// other tenants' values if a resource has the attribute twice or as a list.
pub fn filter_values(
    answer: &[u8],
    format: Format,
    version: TagsVersion,
    keep: impl Fn(&str) -> bool,
) -> Result<Vec<u8>, Unreadable> {
    let mut values = match format {
        Format::Json => read_json(answer)?,
        Format::Protobuf => Values::read_protobuf(answer)?,
    };
    values
        .tag_values
        .retain(|value| !value.is_nothing() && keep(&value.value));
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

impl<'a> Values<'a> {
    fn read_protobuf(answer: &'a [u8]) -> Result<Self, Unreadable> {
        let mut values = Self {
            tag_values: Vec::new(),
            metrics: None,
        };
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
