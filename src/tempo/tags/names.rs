//! The names of tags in answers.

use std::borrow::Cow;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{TagsAnswer, TagsVersion, as_set, put_metrics, truncate, write_strings};
use crate::tempo::answer::{Format, JobFields, Jobs, Unreadable, read_json, write_json};
use crate::wire;

/// The scope of names that are not attributes.
const INTRINSIC: &str = "intrinsic";

/// The names of attributes and intrinsics in one answer, or in several.
#[derive(Default, Deserialize, Serialize)]
pub struct Names<'a> {
    #[serde(borrow, default)]
    scopes: Vec<Scope<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Jobs>,
}

#[derive(Default, Deserialize, Serialize)]
pub(super) struct Scope<'a> {
    #[serde(borrow, default)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) tags: Vec<Text<'a>>,
}

/// A string that is borrowed if possible, which serde does not do for a `Cow` in a `Vec`.
#[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NamesV1<'a> {
    tag_names: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Jobs>,
}

impl<'a> Names<'a> {
    /// The names in answers of `/api/v2/search/tags` or messages of `SearchTagsV2`. A single answer
    /// stays in its order.
    ///
    /// # Errors
    /// If one is not an answer of Tempo.
    pub fn merge(answers: impl IntoIterator<Item = TagsAnswer<'a>>) -> Result<Self, Unreadable> {
        let mut answers = answers.into_iter().map(Self::read);
        let mut names = answers.next().unwrap_or_else(|| Ok(Self::default()))?;
        let mut is_merged = false;
        for other in answers {
            names.add(other?);
            is_merged = true;
        }
        if is_merged {
            for scope in &mut names.scopes {
                as_set(&mut scope.tags, None);
            }
        }
        Ok(names)
    }

    /// The names of attributes, each with its scope.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        let scopes = self.scopes.iter().filter(|scope| scope.name != INTRINSIC);
        scopes.flat_map(|scope| scope.tags.iter().map(|tag| (&*scope.name, &*tag.0)))
    }

    /// Takes out names, of which scope and name are given, and scopes without any left.
    pub fn retain(&mut self, is_shown: impl Fn(&str, &str) -> bool) {
        self.scopes.retain_mut(|scope| {
            scope.tags.retain(|tag| is_shown(&scope.name, &tag.0));
            !scope.tags.is_empty()
        });
    }

    /// The client's answer. `scope` is the one that the client asked for, if any: the first version
    /// lists intrinsics only on demand. `limit` applies to each scope; in the first version, which has
    /// no scopes, to all names.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn write(
        mut self,
        format: Format,
        version: TagsVersion,
        scope: Option<&str>,
        limit: Option<NonZeroU32>,
    ) -> Result<Vec<u8>, Unreadable> {
        let with_intrinsics = scope == Some(INTRINSIC);
        match (version, format) {
            (TagsVersion::V2, _) => {
                for scope in &mut self.scopes {
                    truncate(&mut scope.tags, limit);
                }
                match format {
                    Format::Json => write_json(&self),
                    Format::Protobuf => Ok(self.write_protobuf()),
                }
            }
            (TagsVersion::V1, Format::Json) => write_json(&NamesV1 {
                tag_names: self.flatten(with_intrinsics, limit),
                metrics: self.metrics,
            }),
            (TagsVersion::V1, Format::Protobuf) => {
                let tags = self.flatten(with_intrinsics, limit);
                Ok(write_strings(&tags, self.metrics))
            }
        }
    }

    fn read(answer: TagsAnswer<'a>) -> Result<Self, Unreadable> {
        match answer.format {
            Format::Json => read_json(answer.text),
            Format::Protobuf => Self::read_protobuf(answer.text),
        }
    }

    fn add(&mut self, other: Self) {
        for scope in other.scopes {
            let mut all = self.scopes.iter_mut();
            match all.find(|known| known.name == scope.name) {
                Some(known) => known.tags.extend(scope.tags),
                None => self.scopes.push(scope),
            }
        }
        self.metrics = Jobs::sum(self.metrics, other.metrics);
    }

    fn read_protobuf(answer: &'a [u8]) -> Result<Self, Unreadable> {
        let mut names = Self::default();
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

    /// The names of all scopes, in order, each once, and as many as the client wants.
    fn flatten(&self, with_intrinsics: bool, limit: Option<NonZeroU32>) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .scopes
            .iter()
            .filter(|scope| with_intrinsics || scope.name != INTRINSIC)
            .flat_map(|scope| scope.tags.iter().map(|tag| &*tag.0))
            .collect();
        as_set(&mut names, limit);
        names
    }
}

impl<'a> Scope<'a> {
    pub(super) fn read_protobuf(message: &'a [u8]) -> Result<Self, Unreadable> {
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
