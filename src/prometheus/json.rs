//! Parses JSON for filtering: objects without repeated keys, with values kept as their original
//! bytes, and serializes it from those bytes.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

/// A response that cannot be filtered, because it violates the upstream's API. It must not be
/// passed on. The text quotes nothing of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the upstream's answer could not be read: {0}")]
pub struct Unreadable(pub(super) &'static str);

/// Parses JSON; `what` is the error text.
pub(super) fn read<'a, T: Deserialize<'a>>(
    text: &'a [u8],
    what: &'static str,
) -> Result<T, Unreadable> {
    // Once for all of it: serde_json would check each string's bytes a second time.
    let text = std::str::from_utf8(text).map_err(|_| Unreadable(what))?;
    serde_json::from_str(text).map_err(|_| Unreadable(what))
}

/// Parses a value that was kept raw.
pub(super) fn read_raw<'a, T: Deserialize<'a>>(
    value: &'a RawValue,
    what: &'static str,
) -> Result<T, Unreadable> {
    serde_json::from_str(value.get()).map_err(|_| Unreadable(what))
}

/// The envelope of every response of the API (`Response` in Prometheus, `response` in Thanos).
/// Other keys are dropped.
pub(super) struct Envelope<'a> {
    pub(super) data: Option<&'a RawValue>,
    pub(super) warnings: Vec<Text<'a>>,
    pub(super) infos: Vec<Text<'a>>,
}

impl<'a> Envelope<'a> {
    /// Parses a response whose status is a success.
    pub(super) fn read(answer: &'a [u8]) -> Result<Self, Unreadable> {
        let object: Object<'a> = read(answer, "it is not the JSON object every answer is")?;
        Self::of(&object)
    }

    /// The envelope of an object whose status is a success. It has no `data` if that was parsed
    /// with the object.
    pub(super) fn of<V: Member<'a>>(object: &Object<'a, V>) -> Result<Self, Unreadable> {
        if object.text("status", "it has no `status`")? != "success" {
            return Err(Unreadable("its `status` is not `success`"));
        }
        Ok(Self {
            data: object.get("data"),
            warnings: object.texts("warnings")?,
            infos: object.texts("infos")?,
        })
    }

    /// The `data` of a response that must have some.
    pub(super) fn data<T: Deserialize<'a>>(&self, what: &'static str) -> Result<T, Unreadable> {
        read_raw(self.data.ok_or(Unreadable("it has no `data`"))?, what)
    }
}

/// A string, borrowed unless something in it is escaped.
#[derive(Deserialize, PartialEq, Eq, Hash)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'a> Member<'a> for Text<'a> {
    fn read<A: MapAccess<'a>>(_key: &str, map: &mut A) -> Result<Self, A::Error> {
        map.next_value()
    }

    fn raw(&self) -> Option<&'a RawValue> {
        None
    }
}

/// An object in its original order, without repeated keys; its values are raw unless `V` parses
/// them.
pub(super) struct Object<'a, V = &'a RawValue> {
    members: Vec<(Cow<'a, str>, V)>,
}

/// How the value of an object's member is parsed.
pub(super) trait Member<'a>: Sized {
    fn read<A: MapAccess<'a>>(key: &str, map: &mut A) -> Result<Self, A::Error>;

    /// The raw value, if it was kept raw.
    fn raw(&self) -> Option<&'a RawValue>;
}

impl<'a> Member<'a> for &'a RawValue {
    fn read<A: MapAccess<'a>>(_key: &str, map: &mut A) -> Result<Self, A::Error> {
        map.next_value()
    }

    fn raw(&self) -> Option<&'a RawValue> {
        Some(self)
    }
}

/// The key whose value is parsed together with its object, and its type. So nested lists are parsed
/// once, not once per level.
pub(super) trait Nesting<'a> {
    const KEY: &'static str;
    type Value: Deserialize<'a>;
}

/// The parsed value under the key of `N`, or the raw value of another key.
pub(super) enum Nested<'a, N: Nesting<'a>> {
    Read(N::Value),
    Raw(&'a RawValue),
}

impl<'a, N: Nesting<'a>> Member<'a> for Nested<'a, N> {
    fn read<A: MapAccess<'a>>(key: &str, map: &mut A) -> Result<Self, A::Error> {
        if key == N::KEY {
            map.next_value().map(Self::Read)
        } else {
            map.next_value().map(Self::Raw)
        }
    }

    fn raw(&self) -> Option<&'a RawValue> {
        match self {
            Self::Read(_) => None,
            Self::Raw(value) => Some(value),
        }
    }
}

impl<'a, N: Nesting<'a>> Object<'a, Nested<'a, N>> {
    /// The value that was parsed with the object.
    pub(super) fn nested(&self) -> Option<&N::Value> {
        self.members.iter().find_map(|(_, value)| match value {
            Nested::Read(value) => Some(value),
            Nested::Raw(_) => None,
        })
    }
}

impl<'a> Object<'a> {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.members().map(|(key, value)| (key, *value))
    }
}

impl<'a, V: Member<'a>> Object<'a, V> {
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &V)> {
        self.members.iter().map(|(key, value)| (&**key, value))
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let (_, value) = self.members().find(|(k, _)| *k == key)?;
        value.raw()
    }

    /// The string under a key; an error if it is missing or not a string.
    pub(super) fn text(&self, key: &str, what: &'static str) -> Result<Cow<'a, str>, Unreadable> {
        let value = self.get(key).ok_or(Unreadable(what))?;
        read_raw::<Text<'a>>(value, what).map(|text| text.0)
    }

    /// The strings in the list under a key; a missing or null one is empty.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<Text<'a>>, Unreadable> {
        match self.get(key) {
            Some(value) => {
                let texts: Option<Vec<Text<'a>>> = read_raw(value, "a list of texts is not one")?;
                Ok(texts.unwrap_or_default())
            }
            None => Ok(Vec::new()),
        }
    }

    /// The label set under a key; a missing or null one is empty.
    pub(super) fn labels(&self, key: &str) -> Result<Labels<'a>, Unreadable> {
        match self.get(key) {
            Some(value) => {
                let labels: Option<Labels<'a>> = read_raw(value, "a label set is not one")?;
                Ok(labels.unwrap_or_default())
            }
            None => Ok(Labels::default()),
        }
    }
}

impl<'a, V: Member<'a>> Deserialize<'a> for Object<'a, V> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        let members = deserializer.deserialize_map(UniqueKeys(PhantomData))?;
        Ok(Self { members })
    }
}

/// Labels, without repeated names.
#[derive(Default)]
pub(super) struct Labels<'a> {
    pairs: Vec<(Cow<'a, str>, Text<'a>)>,
}

impl Labels<'_> {
    /// Every label with its value, in the original order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &*value.0))
    }

    /// The label's value; an empty one counts as missing, as in Prometheus.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.pairs.iter().find(|(n, _)| n == name);
        value.map(|(_, v)| &*v.0).filter(|v| !v.is_empty())
    }
}

impl<'a> Deserialize<'a> for Labels<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = deserializer.deserialize_map(UniqueKeys(PhantomData))?;
        Ok(Self { pairs })
    }
}

/// Parses the members of an object and refuses a repeated key: parsers disagree on which of the two
/// values counts.
struct UniqueKeys<V>(PhantomData<V>);

impl<'a, V: Member<'a>> Visitor<'a> for UniqueKeys<V> {
    type Value = Vec<(Cow<'a, str>, V)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(Cow<'a, str>, V)> = Vec::new();
        while let Some(Text(key)) = map.next_key::<Text<'a>>()? {
            let value = V::read(&key, &mut map)?;
            members.push((key, value));
        }
        if has_duplicates(&members) {
            return Err(A::Error::custom("a key is repeated"));
        }
        Ok(members)
    }
}

fn has_duplicates<V>(members: &[(Cow<'_, str>, V)]) -> bool {
    /// More than the members of a rule, an alert or most label sets.
    const FEW: usize = 16;
    if members.len() <= FEW {
        let repeats = |(at, (key, _)): (usize, &(Cow<'_, str>, V))| {
            members.iter().take(at).any(|(earlier, _)| earlier == key)
        };
        return members.iter().enumerate().any(repeats);
    }
    let mut seen = HashSet::with_capacity(members.len());
    members.iter().any(|(key, _)| !seen.insert(&**key))
}

/// Writes one object, compactly.
pub(super) struct ObjectWriter<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> ObjectWriter<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Writes a key; the caller writes its value to the returned buffer.
    pub(super) fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(b',');
        }
        write_string(self.out, key);
        self.out.push(b':');
        self.out
    }

    pub(super) fn raw(&mut self, key: &str, value: &RawValue) {
        self.key(key).extend_from_slice(value.get().as_bytes());
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }
}

/// Writes `[a,b,…]`, each part by `write`.
pub(super) fn write_array<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

pub(super) fn write_object(out: &mut Vec<u8>, object: &Object<'_>) {
    let mut writer = ObjectWriter::new(out);
    for (key, value) in object.iter() {
        writer.raw(key, value);
    }
    writer.end();
}

pub(super) fn write_string(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Result<Object<'_>, Unreadable> {
        read(text.as_bytes(), "test")
    }

    #[test]
    fn repeated_key_is_refused_however_it_is_spelt() {
        assert!(object(r#"{"a":1,"b":2}"#).is_ok());
        assert!(object(r#"{"a":1,"a":1}"#).is_err());
        assert!(object(r#"{"labels":1,"l\u0061bels":2}"#).is_err());
        let many: Vec<String> = (0..50).map(|n| format!("\"k{n}\":0")).collect();
        assert!(object(&format!("{{{}}}", many.join(","))).is_ok());
        assert!(object(&format!("{{{},\"k7\":1}}", many.join(","))).is_err());
        let twice = br#"{"status":"success","status":"success","data":1}"#;
        assert!(Envelope::read(twice).is_err());
    }

    #[test]
    fn values_keep_their_original_bytes() {
        let text = r#"{"a":[1, 2.50e1,"\u003cb\u003e"],"b\"c":{ "x":null}}"#;
        let mut out = Vec::new();
        write_object(&mut out, &object(text).unwrap());
        assert_eq!(out, text.as_bytes());
    }

    #[test]
    fn empty_label_is_missing_and_labels_are_strings() {
        let labels: Labels = read(br#"{"a":"","b":"x"}"#, "test").unwrap();
        assert_eq!((labels.get("a"), labels.get("b")), (None, Some("x")));
        assert!(read::<Labels>(br#"{"a":1}"#, "test").is_err());
        assert!(read::<Labels>(br#"{"a":"1","a":"2"}"#, "test").is_err());
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        // Parsed or refused, but no stack overflow.
        let _ = object(&deep);
    }
}
