//! Parses JSON for filtering: objects without repeated keys, with values kept as their original
//! bytes, and serializes it from those bytes.

mod reader;

use std::borrow::Cow;
use std::collections::HashSet;

use thiserror::Error;

pub(crate) use self::reader::{FromJson, Malformed, Raw, Reader};
use crate::json_text::plain_run;

/// A response that cannot be filtered, because it violates the upstream's API. It must not be
/// passed on. The text quotes nothing of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the upstream's answer could not be read: {0}")]
pub struct Unreadable(pub(crate) &'static str);

/// Parses JSON; `what` is the error text.
pub(crate) fn read<'a, T: FromJson<'a>>(
    text: &'a [u8],
    what: &'static str,
) -> Result<T, Unreadable> {
    let text = std::str::from_utf8(text).map_err(|_| Unreadable(what))?;
    reader::parse(text).map_err(|Malformed| Unreadable(what))
}

/// Parses a value that was kept raw.
pub(crate) fn read_raw<'a, T: FromJson<'a>>(
    value: Raw<'a>,
    what: &'static str,
) -> Result<T, Unreadable> {
    reader::parse(value.get()).map_err(|Malformed| Unreadable(what))
}

/// The string under a key; an error if it is missing or not a string.
pub(crate) fn text<'a>(
    value: Option<Raw<'a>>,
    what: &'static str,
) -> Result<Cow<'a, str>, Unreadable> {
    read_raw::<Text<'a>>(value.ok_or(Unreadable(what))?, what).map(|text| text.0)
}

/// A label set; a missing or null one is empty.
pub(crate) fn labels(value: Option<Raw<'_>>) -> Result<Labels<'_>, Unreadable> {
    let labels = match value {
        Some(value) => read_raw::<Option<Labels<'_>>>(value, "a label set is not one")?,
        None => None,
    };
    Ok(labels.unwrap_or_default())
}

/// The envelope of every response of the API (`Response` in Prometheus, `response` in Thanos).
/// Other keys are dropped.
pub(crate) struct Envelope<'a> {
    pub(crate) data: Option<Raw<'a>>,
    pub(crate) warnings: Vec<Text<'a>>,
    pub(crate) infos: Vec<Text<'a>>,
}

impl<'a> Envelope<'a> {
    /// Parses a response whose status is a success.
    pub(crate) fn read(answer: &'a [u8]) -> Result<Self, Unreadable> {
        let object: Object<'a> = read(answer, "it is not the JSON object every answer is")?;
        Self::of(&object)
    }

    /// The envelope of an object whose status is a success. It has no `data` if that was parsed
    /// with the object.
    pub(crate) fn of<V: Member<'a>>(object: &Object<'a, V>) -> Result<Self, Unreadable> {
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
    pub(crate) fn data<T: FromJson<'a>>(&self, what: &'static str) -> Result<T, Unreadable> {
        read_raw(self.data.ok_or(Unreadable("it has no `data`"))?, what)
    }
}

/// A string, borrowed unless something in it is escaped.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'a> Member<'a> for Text<'a> {
    fn read(_key: &str, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Self::from_json(reader)
    }

    fn raw(&self) -> Option<Raw<'a>> {
        None
    }
}

/// An object in its original order, without repeated keys; its values are raw unless `V` parses
/// them.
pub(crate) struct Object<'a, V = Raw<'a>> {
    members: Vec<(Cow<'a, str>, V)>,
    whole: Raw<'a>,
}

/// How the value of an object's member is parsed.
pub(crate) trait Member<'a>: Sized {
    fn read(key: &str, reader: &mut Reader<'a>) -> Result<Self, Malformed>;

    /// The raw value, if it was kept raw.
    fn raw(&self) -> Option<Raw<'a>>;
}

impl<'a> Member<'a> for Raw<'a> {
    fn read(_key: &str, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.raw()
    }

    fn raw(&self) -> Option<Raw<'a>> {
        Some(*self)
    }
}

/// The key whose value is parsed together with its object, and its type. So nested lists are parsed
/// once, not once per level.
pub(crate) trait Nesting<'a> {
    const KEY: &'static str;
    type Value: FromJson<'a>;
}

/// The parsed value under the key of `N`, or the raw value of another key.
pub(crate) enum Nested<'a, N: Nesting<'a>> {
    Read(N::Value),
    Raw(Raw<'a>),
}

impl<'a, N: Nesting<'a>> Member<'a> for Nested<'a, N> {
    fn read(key: &str, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        if key == N::KEY {
            N::Value::from_json(reader).map(Self::Read)
        } else {
            reader.raw().map(Self::Raw)
        }
    }

    fn raw(&self) -> Option<Raw<'a>> {
        match self {
            Self::Read(_) => None,
            Self::Raw(value) => Some(*value),
        }
    }
}

impl<'a, N: Nesting<'a>> Object<'a, Nested<'a, N>> {
    /// The value that was parsed with the object.
    pub(crate) fn nested(&self) -> Option<&N::Value> {
        self.members.iter().find_map(|(_, value)| match value {
            Nested::Read(value) => Some(value),
            Nested::Raw(_) => None,
        })
    }
}

impl<'a> Object<'a> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Raw<'a>)> {
        self.members().map(|(key, value)| (key, *value))
    }
}

impl<'a, V: Member<'a>> Object<'a, V> {
    /// All of it as it came.
    pub(crate) fn whole(&self) -> Raw<'a> {
        self.whole
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &V)> {
        self.members.iter().map(|(key, value)| (&**key, value))
    }

    pub(crate) fn get(&self, key: &str) -> Option<Raw<'a>> {
        let (_, value) = self.members().find(|(k, _)| *k == key)?;
        value.raw()
    }

    /// The string under a key; an error if it is missing or not a string.
    pub(crate) fn text(&self, key: &str, what: &'static str) -> Result<Cow<'a, str>, Unreadable> {
        text(self.get(key), what)
    }

    /// The strings in the list under a key; a missing or null one is empty.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<Text<'a>>, Unreadable> {
        match self.get(key) {
            Some(value) => {
                let texts: Option<Vec<Text<'a>>> = read_raw(value, "a list of texts is not one")?;
                Ok(texts.unwrap_or_default())
            }
            None => Ok(Vec::new()),
        }
    }

    /// The label set under a key; a missing or null one is empty.
    pub(crate) fn labels(&self, key: &str) -> Result<Labels<'a>, Unreadable> {
        labels(self.get(key))
    }
}

impl<'a, V: Member<'a>> FromJson<'a> for Object<'a, V> {
    fn from_json(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let start = reader.start();
        let members = members(reader)?;
        let whole = reader.since(start);
        Ok(Self { members, whole })
    }
}

/// Labels, without repeated names.
#[derive(Default)]
pub(crate) struct Labels<'a> {
    pairs: Vec<(Cow<'a, str>, Text<'a>)>,
}

impl Labels<'_> {
    /// Every label with its value, in the original order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &*value.0))
    }

    /// The label's value; an empty one counts as missing, as in Prometheus.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let value = self.pairs.iter().find(|(n, _)| n == name);
        value.map(|(_, v)| &*v.0).filter(|v| !v.is_empty())
    }
}

impl<'a> FromJson<'a> for Labels<'a> {
    fn from_json(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let pairs = members(reader)?;
        Ok(Self { pairs })
    }
}

/// Parses the members of an object and refuses a repeated key: parsers disagree on which of the two
/// values counts.
fn members<'a, V: Member<'a>>(
    reader: &mut Reader<'a>,
) -> Result<Vec<(Cow<'a, str>, V)>, Malformed> {
    /// Most label sets have no more.
    const USUAL: usize = 6;
    let mut members: Vec<(Cow<'a, str>, V)> = Vec::new();
    let mut keys = Keys::default();
    reader.members(|key, reader| {
        keys.add(&key);
        let value = V::read(&key, reader)?;
        if members.is_empty() {
            members.reserve_exact(USUAL);
        }
        members.push((key, value));
        Ok(())
    })?;
    if keys.may_repeat && has_duplicates(&members) {
        return Err(Malformed);
    }
    Ok(members)
}

/// Whether any two of some keys may be equal. A cheap filter that looks at the length and two bytes
/// of each.
#[derive(Default)]
struct Keys {
    seen: u64,
    may_repeat: bool,
}

impl Keys {
    fn add(&mut self, key: &str) {
        let first = key.as_bytes().first().copied().unwrap_or_default();
        let last = key.as_bytes().last().copied().unwrap_or_default();
        let mix = key.len() * 37 + usize::from(first) * 7 + usize::from(last) * 3;
        let bit = 1_u64 << (mix % 64);
        self.may_repeat |= self.seen & bit != 0;
        self.seen |= bit;
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
pub(crate) struct ObjectWriter<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> ObjectWriter<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Writes a key; the caller writes its value to the returned buffer.
    pub(crate) fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(b',');
        }
        write_string(self.out, key);
        self.out.push(b':');
        self.out
    }

    pub(crate) fn raw(&mut self, key: &str, value: Raw<'_>) {
        self.key(key).extend_from_slice(value.get().as_bytes());
    }

    /// Writes a member that another object has, if it has it.
    pub(crate) fn same(&mut self, key: &str, value: Option<Raw<'_>>) {
        if let Some(value) = value {
            self.raw(key, value);
        }
    }

    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}

/// Writes `[a,b,…]`, each part by `write`.
pub(crate) fn write_array<T>(
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

pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    if plain_run(text.as_bytes()) == text.len() {
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
        let mut writer = ObjectWriter::new(&mut out);
        for (key, value) in object(text).unwrap().iter() {
            writer.raw(key, value);
        }
        writer.end();
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
