//! Bodies of posts: read strictly, since what this proxy and Alertmanager read must be the same, and
//! written anew from what was read.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::de::SliceRead;
use thiserror::Error;

/// How many times a body's size its parts take at most while it is read: of `"a":"",` they are two
/// [`Text`]s in a list that was doubled as it grew.
pub const PARSED: usize = 16;

/// Why a posted body is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PostError {
    /// What is to be forwarded is longer than one body may be.
    #[error(
        "with the labels of your tenants the body has more than {limit} bytes (limits.body_bytes); \
         post fewer alerts at once"
    )]
    TooLong {
        /// In bytes.
        limit: usize,
    },
    /// Not JSON of this shape, with a repeated key, or one that is not known. Alertmanager ignores
    /// unknown keys, but reads `Matchers` as `matchers`.
    #[error("the body cannot be read: {0}")]
    Malformed(Box<str>),
    /// What Alertmanager would refuse too, but for what is added here; in its words.
    #[error("{0}")]
    Invalid(&'static str),
    /// The same, of what checks requests before Alertmanager reads them.
    #[error("{0}")]
    Unprocessable(&'static str),
    /// A silence whose matcher of a tenant label may match others' alerts.
    #[error(
        "a silence may name no tenants but your own: give `{label}` a value or an alternation such \
         as a|b of them, or leave it out, and it is added"
    )]
    ForeignSilence {
        /// The tenant label.
        label: Box<str>,
    },
    /// An alert of another tenant.
    #[error("alert number {number}: its label `{label}` is not a tenant of yours")]
    ForeignAlert {
        /// The alert's place in the body, from 1.
        number: usize,
        /// The tenant label.
        label: Box<str>,
    },
    /// An alert without a tenant label, of a caller with several tenants.
    #[error("alert number {number}: it needs the label `{label}`, with one of your tenants")]
    NoTenant {
        /// The alert's place in the body, from 1.
        number: usize,
        /// The tenant label.
        label: Box<str>,
    },
    /// The id to change is none.
    #[error("silence not found")]
    NoSuchSilence,
}

/// Reads a body that is one value.
pub(super) fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, PostError> {
    serde_json::from_slice(body).map_err(malformed)
}

/// Reads a body that is a list of objects, each of which is handed on before the next one is read.
///
/// # Errors
/// When it cannot be read, or the first error of `take`.
pub(super) fn read_each<'b, T: Deserialize<'b>>(
    body: &'b [u8],
    mut take: impl FnMut(T) -> Result<(), PostError>,
) -> Result<(), PostError> {
    let mut refused = None;
    let mut reader = serde_json::Deserializer::new(SliceRead::new(body));
    let each = Each {
        take: |item| {
            take(item).map_err(|error| {
                let text = error.to_string();
                refused = Some(error);
                text
            })
        },
        item: PhantomData,
    };
    let read = reader.deserialize_seq(each).and_then(|()| reader.end());
    match (refused, read) {
        (Some(error), _) => Err(error),
        (None, read) => read.map_err(malformed),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "an argument of map_err")]
fn malformed(error: serde_json::Error) -> PostError {
    PostError::Malformed(error.to_string().into())
}

struct Each<T, F> {
    take: F,
    item: PhantomData<T>,
}

impl<'b, T: Deserialize<'b>, F: FnMut(T) -> Result<(), String>> Visitor<'b> for Each<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'b>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(AnObject(item)) = items.next_element()? {
            (self.take)(item).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// Reads an object: what is derived would also take a list for an object's values in their order.
pub(super) struct AnObject<T>(pub(super) T);

impl<'b, T: Deserialize<'b>> Deserialize<'b> for AnObject<T> {
    fn deserialize<D: Deserializer<'b>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(OfObject(PhantomData)).map(Self)
    }
}

impl<T: Serialize> Serialize for AnObject<T> {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(writer)
    }
}

struct OfObject<T>(PhantomData<T>);

impl<'b, T: Deserialize<'b>> Visitor<'b> for OfObject<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'b>>(self, entries: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(entries))
    }
}

/// A string, borrowed from the body unless something in it is escaped.
#[derive(serde::Deserialize, serde::Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub(super) struct Text<'b>(#[serde(borrow)] pub(super) Cow<'b, str>);

/// Names with texts, such as labels: each name once.
pub(super) struct Texts<'b>(Vec<(Text<'b>, Text<'b>)>);

impl<'b> Texts<'b> {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.0.iter();
        let found = all.find(|(known, _)| known.0 == name);
        found.map(|(_, value)| &*value.0)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, value)| &*value.0)
    }

    /// Sets a text, in the place of the one that has this name.
    pub(super) fn set(&mut self, name: &'b str, value: &'b str) {
        self.0.retain(|(known, _)| known.0 != name);
        self.0.push((Text(name.into()), Text(value.into())));
    }
}

impl<'de: 'b, 'b> Deserialize<'de> for Texts<'b> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(OfTexts)
    }
}

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        writer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

struct OfTexts;

impl<'b> Visitor<'b> for OfTexts {
    type Value = Texts<'b>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut entries: A) -> Result<Texts<'b>, A::Error> {
        let mut all: Vec<(Text<'b>, Text<'b>)> = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            all.push(entry);
        }
        all.sort_unstable();
        if all
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.0 == b.0))
        {
            return Err(A::Error::custom("a key is repeated"));
        }
        Ok(Texts(all))
    }
}

pub(super) fn written(out: &mut Vec<u8>, value: &impl Serialize) -> Result<(), PostError> {
    serde_json::to_writer(out, value).map_err(malformed)
}
