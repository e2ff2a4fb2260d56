//! Parses parameters as Go's `net/url` does (`ParseQuery`, since Go 1.17), so that the upstream
//! parses the same from what we forward.
//!
//! Go drops a pair it cannot read, and most handlers go on without it. So [`Form::read`] sets such
//! pairs aside, and [`Form::without_unreadable`] drops those that no reader could take for a
//! parameter that matters. [`Form::parse`] refuses them all.

use std::borrow::Cow;
use std::sync::Arc;

use memchr::{memchr, memchr3};
use thiserror::Error;

/// The most parameters of a request, URL and body together.
pub const MAX_PARAMETERS: usize = 1000;

/// Parameters in their original order; names may be repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form<'a> {
    pairs: Vec<(Cow<'a, str>, Value<'a>)>,
    unreadable: Vec<(&'a [u8], FormError)>,
}

/// A parameter's value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    Text(Cow<'a, str>),
    Encoded(Encoded),
}

/// A value that is sent again and again, with how it is written in a form.
#[derive(Clone, Debug)]
pub struct Encoded {
    text: Arc<str>,
    encoded: Arc<str>,
}

/// What a parameter means to a call, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// The call does not read it.
    Ignored,
    /// It bounds or shapes the answer.
    Read,
    /// It decides whose data the answer holds, or which: it is never dropped silently.
    Decisive,
}

/// Why a query string or form body is refused. All are client errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FormError {
    /// Go does not accept `;`, other parsers split at it.
    #[error("a parameter holds a `;`, which has to be written as %3B")]
    Semicolon,
    /// `%` without two hexadecimal digits.
    #[error("a parameter holds a `%` that is not followed by two hexadecimal digits")]
    BadEscape,
    #[error("a parameter is not valid UTF-8")]
    NotUtf8,
    #[error("a parameter holds a NUL character")]
    Nul,
    #[error("there are more than {MAX_PARAMETERS} parameters")]
    TooMany,
}

impl<'a> Form<'a> {
    /// Reads a URL's query string (without `?`) or a body of
    /// `application/x-www-form-urlencoded`, all of which has to be readable.
    pub fn parse(text: &'a [u8]) -> Result<Self, FormError> {
        let form = Self::read(text)?;
        form.unreadable
            .first()
            .map_or(Ok(()), |(_, error)| Err(*error))?;
        Ok(form)
    }

    /// Reads the same, and sets aside what cannot be read.
    ///
    /// # Errors
    /// [`FormError::TooMany`].
    pub fn read(text: &'a [u8]) -> Result<Self, FormError> {
        let mut form = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = split_at_byte(rest, b'&');
            rest = after.unwrap_or_default();
            if piece.is_empty() {
                continue;
            }
            if form.len() == MAX_PARAMETERS {
                return Err(FormError::TooMany);
            }
            match pair(piece) {
                Ok((name, value)) => form.push(name, value),
                Err(error) => form.unreadable.push((piece, error)),
            }
        }
        Ok(form)
    }

    /// Puts the parameters of another form (the URL's) after these (the body's): of several of
    /// one name Go takes the first.
    pub fn merge(mut self, other: Self) -> Result<Self, FormError> {
        if self.len() + other.len() > MAX_PARAMETERS {
            return Err(FormError::TooMany);
        }
        self.pairs.extend(other.pairs);
        self.unreadable.extend(other.unreadable);
        Ok(self)
    }

    /// Drops the pairs that could not be read: those that Go drops, if they name nothing
    /// [decisive](Weight::Decisive), and those that Go reads and no text are, if the call ignores
    /// them.
    ///
    /// # Errors
    /// Why another pair could not be read.
    pub fn without_unreadable(
        mut self,
        weight: impl Fn(&str) -> Weight,
    ) -> Result<Self, FormError> {
        for (piece, error) in std::mem::take(&mut self.unreadable) {
            let matters = match error {
                FormError::Semicolon | FormError::BadEscape => Weight::Decisive,
                _ => Weight::Read,
            };
            if names(piece).any(|name| weight(&name) >= matters) {
                return Err(error);
            }
        }
        Ok(self)
    }

    fn len(&self) -> usize {
        self.pairs.len() + self.unreadable.len()
    }

    /// Adds one parameter.
    pub fn push(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) {
        self.pairs.push((name.into(), value.into()));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let pairs = self.pairs.iter();
        pairs.map(|(name, value)| (&**name, value.text()))
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Encodes them for forwarding: as Go's `Values.Encode`, in their original order.
    pub fn encode(&self) -> String {
        let lengths = self.pairs.iter().map(|(name, value)| match value {
            Value::Text(text) => name.len() + longer(text) + 2,
            Value::Encoded(value) => name.len() + value.encoded.len() + 2,
        });
        let mut out = Vec::with_capacity(lengths.sum());
        for (name, value) in &self.pairs {
            if !out.is_empty() {
                out.push(b'&');
            }
            encode(&mut out, name);
            out.push(b'=');
            match value {
                Value::Text(text) => encode(&mut out, text),
                Value::Encoded(value) => out.extend_from_slice(value.encoded.as_bytes()),
            }
        }
        ascii(out)
    }
}

impl Value<'_> {
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Encoded(value) => &value.text,
        }
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Value<'_> {}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Encoded> for Value<'_> {
    fn from(value: Encoded) -> Self {
        Self::Encoded(value)
    }
}

impl Encoded {
    pub fn new(text: Arc<str>) -> Self {
        let mut out = Vec::with_capacity(longer(&text));
        encode(&mut out, &text);
        let encoded = ascii(out).into();
        Self { text, encoded }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of both texts.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.encoded.len()
    }
}

/// About the length of a query when it is encoded.
fn longer(text: &str) -> usize {
    text.len() + text.len() / 2
}

/// What was encoded is ASCII: nothing is lost.
fn ascii(encoded: Vec<u8>) -> String {
    String::from_utf8(encoded).unwrap_or_default()
}

/// A name and its value.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

fn pair(piece: &[u8]) -> Result<Pair<'_>, FormError> {
    if memchr(b';', piece).is_some() {
        return Err(FormError::Semicolon);
    }
    let (name, value) = split_at_byte(piece, b'=');
    Ok((decode(name)?, decode(value.unwrap_or_default())?))
}

/// The names in a pair that could not be read, as the most lenient reader could come to see them.
fn names(piece: &[u8]) -> impl Iterator<Item = String> {
    piece.split(|byte| *byte == b';').map(|part| {
        let (name, _) = split_at_byte(part, b'=');
        let name: Vec<u8> = percent_encoding::percent_decode(name).collect();
        String::from_utf8_lossy(&name).into_owned()
    })
}

impl<'a> IntoIterator for Form<'a> {
    type Item = Pair<'a>;
    type IntoIter = std::iter::Map<
        std::vec::IntoIter<(Cow<'a, str>, Value<'a>)>,
        fn((Cow<'a, str>, Value<'a>)) -> Pair<'a>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.pairs.into_iter().map(|(name, value)| match value {
            Value::Text(text) => (name, text),
            Value::Encoded(value) => (name, value.text().to_owned().into()),
        })
    }
}

/// The bytes before the first `byte`, and those after it if there is one.
fn split_at_byte(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    memchr(byte, text)
        .and_then(|at| Some((text.get(..at)?, text.get(at + 1..))))
        .unwrap_or((text, None))
}

fn decode(text: &[u8]) -> Result<Cow<'_, str>, FormError> {
    if memchr3(b'%', b'+', 0, text).is_none() {
        let text = std::str::from_utf8(text).map_err(|_| FormError::NotUtf8)?;
        return Ok(Cow::Borrowed(text));
    }
    let text = String::from_utf8(unescape(text)?).map_err(|_| FormError::NotUtf8)?;
    Ok(Cow::Owned(text))
}

fn unescape(text: &[u8]) -> Result<Vec<u8>, FormError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (&[high, low], after) = rest.split_first_chunk().ok_or(FormError::BadEscape)?;
                rest = after;
                match (hex_value(high), hex_value(low)) {
                    (NO_DIGIT, _) | (_, NO_DIGIT) => return Err(FormError::BadEscape),
                    (0, 0) => return Err(FormError::Nul),
                    (high, low) => high << 4 | low,
                }
            }
            0 => return Err(FormError::Nul),
            other => other,
        });
    }
    Ok(out)
}

const NO_DIGIT: u8 = u8::MAX;

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'A'..=b'F' => digit - b'A' + 10,
        b'a'..=b'f' => digit - b'a' + 10,
        _ => NO_DIGIT,
    }
}

/// Byte by byte: the runs between a query's escapes are too short for anything faster.
fn encode(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match SPELLINGS.get(usize::from(byte)) {
            Some([byte, 0, 0]) => out.push(*byte),
            Some(escape) => out.extend_from_slice(escape),
            // There is one for each byte.
            None => {}
        }
    }
}

/// How each byte is written: as one byte and two zeros, or as three.
#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "there are as many as there are bytes; worked out when this is compiled"
)]
static SPELLINGS: [[u8; 3]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut spellings = [[0; 3]; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        spellings[at] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => [byte, 0, 0],
            b' ' => [b'+', 0, 0],
            _ => [b'%', DIGITS[at >> 4], DIGITS[at & 0xF]],
        };
        at += 1;
    }
    spellings
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        Form::parse(text.as_bytes())
            .unwrap()
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    /// The cases of Go's `net/url` tests (`parseTests`) that contain no `;`.
    #[test]
    fn parses_as_go_does() {
        assert_eq!(pairs("a=1"), [pair("a", "1")]);
        assert_eq!(pairs("a=1&b=2"), [pair("a", "1"), pair("b", "2")]);
        assert_eq!(pairs("a=1&a=2&a=banana").len(), 3);
        assert_eq!(
            pairs("ascii=%3Ckey%3A+0x90%3E"),
            [pair("ascii", "<key: 0x90>")]
        );
        assert_eq!(pairs("a=b=c"), [pair("a", "b=c")]);
        assert_eq!(
            pairs("a&b=&=c&&"),
            [pair("a", ""), pair("b", ""), pair("", "c")]
        );
        assert_eq!(pairs("match%5B%5D=%7B%7D"), [pair("match[]", "{}")]);
        assert_eq!(pairs("a=%25%32%66"), [pair("a", "%2f")]);
        assert_eq!(pairs(""), []);
    }

    #[test]
    fn invalid_escapes_and_non_text_are_refused() {
        let refused = |text: &[u8]| Form::parse(text).unwrap_err();
        assert_eq!(refused(b"a=1;b=2"), FormError::Semicolon);
        assert_eq!(refused(b"a=1&;"), FormError::Semicolon);
        for text in ["a=%", "a=%4", "a=%zz", "%g0=1", "a=%+1", "a=%4%31"] {
            assert_eq!(refused(text.as_bytes()), FormError::BadEscape, "{text}");
        }
        assert_eq!(refused(b"a=%ff"), FormError::NotUtf8);
        assert_eq!(refused(b"\xff=1"), FormError::NotUtf8);
        assert_eq!(refused(b"a=%00"), FormError::Nul);
        assert_eq!(refused(b"a=\0"), FormError::Nul);
    }

    #[test]
    fn number_of_parameters_is_bounded() {
        let full = "a&".repeat(MAX_PARAMETERS);
        let full = Form::parse(full.as_bytes()).unwrap();
        let over = "a&".repeat(MAX_PARAMETERS + 1);
        assert_eq!(Form::parse(over.as_bytes()), Err(FormError::TooMany));
        assert_eq!(
            full.merge(Form::parse(b"b").unwrap()),
            Err(FormError::TooMany)
        );
    }

    #[test]
    fn unreadable_pairs_are_dropped_unless_they_matter() {
        let weight = |name: &str| match name {
            "query" => Weight::Decisive,
            "time" => Weight::Read,
            _ => Weight::Ignored,
        };
        let left = |text: &str| {
            let form = Form::read(text.as_bytes()).unwrap();
            form.without_unreadable(weight).map(|form| form.encode())
        };
        for text in [
            "query=up&x=1;y=2",
            "query=up&;",
            "query=up&x=%zz",
            "%zz=1&query=up",
            "query=up&x=%ff",
            "query=up&x=%00",
            "query=up&%ff=1",
            // Go drops these as well, and answers as if there were no time.
            "query=up&time=5;",
            "query=up&time=%",
        ] {
            assert_eq!(left(text), Ok("query=up".to_owned()), "{text}");
        }
        for (text, error) in [
            ("query=up;", FormError::Semicolon),
            ("x=1;query=up", FormError::Semicolon),
            ("x=1;%71uery=up", FormError::Semicolon),
            ("query=%zz", FormError::BadEscape),
            ("query=%ff", FormError::NotUtf8),
            ("query=up&time=%ff", FormError::NotUtf8),
            ("query=up&time=%00", FormError::Nul),
        ] {
            assert_eq!(left(text), Err(error), "{text}");
        }
    }

    #[test]
    fn unescaped_parameters_are_not_copied() {
        let form = Form::parse(b"query=up&time=1").unwrap();
        for (name, value) in form {
            assert!(matches!(
                (name, value),
                (Cow::Borrowed(_), Cow::Borrowed(_))
            ));
        }
    }

    proptest! {
        #[test]
        fn encoded_form_parses_to_the_same_form(given in prop::collection::vec(("[^\0]{0,8}", "[^\0]{0,12}"), 1..6)) {
            let mut form = Form::default();
            for (name, value) in &given {
                form.push(name.clone(), value.clone());
            }
            let text = form.encode();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~+%&=".contains(&b)));
            prop_assert_eq!(&Form::parse(text.as_bytes()).unwrap(), &form);
            let mut encoded = Form::default();
            for (name, value) in given {
                encoded.push(name, Encoded::new(value.into()));
            }
            prop_assert_eq!(encoded.encode(), text);
            prop_assert_eq!(encoded, form);
        }

        #[test]
        fn arbitrary_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(form) = Form::parse(&text) {
                let text = form.encode();
                prop_assert_eq!(Form::parse(text.as_bytes()).unwrap(), form);
            }
        }
    }
}
