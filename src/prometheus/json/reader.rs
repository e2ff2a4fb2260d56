//! JSON (RFC 8259) read once, from its start to its end: what is looked at is read, everything
//! else is checked to be JSON and left as the bytes it came in.
//!
//! serde's way of leaving a value as it came passes over its strings byte by byte and makes each
//! list and object twice; answers with the rules of all tenants are too long for that.

use std::borrow::Cow;

use super::Text;
use crate::json_text::plain_run;

/// A value as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// Its text.
    pub(crate) fn get(self) -> &'a str {
        self.0
    }
}

/// The text is not JSON, or not of the expected shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What can be read from JSON.
pub(crate) trait FromJson<'a>: Sized {
    fn from_json(reader: &mut Reader<'a>) -> Result<Self, Malformed>;
}

/// Reads a whole text.
pub(super) fn parse<'a, T: FromJson<'a>>(text: &'a str) -> Result<T, Malformed> {
    let mut reader = Reader {
        text,
        at: 0,
        open: Vec::new(),
    };
    let value = T::from_json(&mut reader)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(Malformed),
    }
}

/// A place in a text that moves only forward.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// The containers within a value that is passed over: nesting takes no stack.
    open: Vec<Container>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    Object,
}

impl<'a> Reader<'a> {
    /// The offset of the next byte that is not white space.
    pub(crate) fn start(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// The text from there up to here.
    pub(crate) fn since(&self, start: usize) -> Raw<'a> {
        Raw(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Moves over white space to the next byte.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.next()? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Moves over this byte if it is the next one.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    /// Moves over `null` if it is next.
    pub(super) fn null(&mut self) -> bool {
        self.peek() == Some(b'n') && self.word("null").is_ok()
    }

    /// A string.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let start = self.start();
        let has_escapes = self.pass_string()?;
        if has_escapes {
            return serde_json::from_str(self.since(start).get())
                .map(Cow::Owned)
                .map_err(|_| Malformed);
        }
        let inside = self.text.get(start + 1..self.at - 1);
        inside.map(Cow::Borrowed).ok_or(Malformed)
    }

    /// A member's name, and the colon after it.
    #[inline]
    fn name(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let name = self.string()?;
        self.expect(b':')?;
        Ok(name)
    }

    /// An object: `read` takes the value of each member.
    #[inline]
    pub(crate) fn members(
        &mut self,
        mut read: impl FnMut(Cow<'a, str>, &mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.expect(b'{')?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let name = self.name()?;
            read(name, self)?;
            if !self.take(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// The value of a member that an object may have but once.
    #[inline]
    pub(crate) fn once<T: FromJson<'a>>(
        &mut self,
        member: &mut Option<T>,
    ) -> Result<(), Malformed> {
        if member.is_some() {
            return Err(Malformed);
        }
        *member = Some(T::from_json(self)?);
        Ok(())
    }

    /// Any value, checked to be one.
    pub(crate) fn raw(&mut self) -> Result<Raw<'a>, Malformed> {
        let start = self.start();
        loop {
            match self.peek().ok_or(Malformed)? {
                b'"' => {
                    self.pass_string()?;
                }
                b'{' => {
                    self.at += 1;
                    if !self.take(b'}') {
                        self.open.push(Container::Object);
                        self.pass_name()?;
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    if !self.take(b']') {
                        self.open.push(Container::Array);
                        continue;
                    }
                }
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => self.number()?,
            }
            if self.next_value()? {
                return Ok(self.since(start));
            }
        }
    }

    /// Moves from the end of a value to the start of the next one; true where there is none, as
    /// all containers are closed.
    fn next_value(&mut self) -> Result<bool, Malformed> {
        while let Some(container) = self.open.last().copied() {
            if self.take(b',') {
                if container == Container::Object {
                    self.pass_name()?;
                }
                return Ok(false);
            }
            self.expect(match container {
                Container::Array => b']',
                Container::Object => b'}',
            })?;
            self.open.pop();
        }
        Ok(true)
    }

    fn pass_name(&mut self) -> Result<(), Malformed> {
        self.peek();
        self.pass_string()?;
        self.expect(b':')
    }

    /// Moves over a string that is next, and says whether it has escapes.
    #[inline]
    fn pass_string(&mut self) -> Result<bool, Malformed> {
        let Some((b'"', inside)) = self.rest().split_first() else {
            return Err(Malformed);
        };
        let run = plain_run(inside);
        if inside.get(run) == Some(&b'"') {
            self.at += run + 2;
            return Ok(false);
        }
        self.at += run + 1;
        self.pass_escapes()?;
        Ok(true)
    }

    /// Moves from the first escape of a string to the string's end.
    #[cold]
    fn pass_escapes(&mut self) -> Result<(), Malformed> {
        loop {
            match self.next() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                _ => return Err(Malformed),
            }
            self.at += plain_run(self.rest());
        }
        self.at += 1;
        Ok(())
    }

    /// An escape. Whether it is half of a pair is looked at where the string is read.
    fn escape(&mut self) -> Result<(), Malformed> {
        let length = match self.rest() {
            [
                _,
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                ..,
            ] => 2,
            [_, b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|hex| hex.is_ascii_hexdigit()) => {
                6
            }
            _ => return Err(Malformed),
        };
        self.at += length;
        Ok(())
    }

    fn number(&mut self) -> Result<(), Malformed> {
        self.at += usize::from(self.next() == Some(b'-'));
        match self.next() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.next() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.next() {
            self.at += 1;
            self.at += usize::from(matches!(self.next(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit());
        let length = digits.count();
        self.at += length;
        if length == 0 { Err(Malformed) } else { Ok(()) }
    }

    fn word(&mut self, word: &str) -> Result<(), Malformed> {
        if self.rest().starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(Malformed)
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }
}

impl<'a> FromJson<'a> for Raw<'a> {
    fn from_json(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.raw()
    }
}

impl<'a> FromJson<'a> for Text<'a> {
    fn from_json(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.string().map(Self)
    }
}

impl<'a, T: FromJson<'a>> FromJson<'a> for Option<T> {
    fn from_json(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        if reader.null() {
            return Ok(None);
        }
        T::from_json(reader).map(Some)
    }
}

impl<'a, T: FromJson<'a>> FromJson<'a> for Vec<T> {
    fn from_json(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.expect(b'[')?;
        let mut all = Self::new();
        if reader.take(b']') {
            return Ok(all);
        }
        loop {
            all.push(T::from_json(reader)?);
            if !reader.take(b',') {
                reader.expect(b']')?;
                return Ok(all);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    /// What JSON is made of, and what is nearly that.
    const TOKENS: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"b\\n\"",
        "\"\\u00e9\"",
        "\"\\ud800\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"",
        "\\",
        "0",
        "-1",
        "01",
        "1.5",
        "1.",
        ".5",
        "1e5",
        "1e+5",
        "1e",
        "-",
        "+1",
        "true",
        "false",
        "null",
        "nul",
        " ",
        "\n",
        "\t",
        "\u{a0}",
        "é",
        "\"é\"",
        "\"\u{1}\"",
        "{\"a\":1}",
        "[1,2]",
        "{\"a\":",
        "\"k\":",
    ];

    fn soup() -> impl Strategy<Value = String> {
        let token = prop::sample::select(TOKENS);
        prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
    }

    /// As serde reads it, which is taken for right.
    fn check(text: &str) {
        let raw = serde_json::from_str::<&RawValue>(text)
            .ok()
            .map(RawValue::get);
        assert_eq!(parse::<Raw<'_>>(text).ok().map(Raw::get), raw, "{text}");
        let string = serde_json::from_str::<String>(text).ok();
        let read = parse::<Text<'_>>(text).ok().map(|text| text.0.into_owned());
        assert_eq!(read, string, "{text}");
        let list = serde_json::from_str::<Option<Vec<Option<String>>>>(text).ok();
        let read = parse::<Option<Vec<Option<Text<'_>>>>>(text)
            .ok()
            .map(|list| {
                let owned = |text: Option<Text<'_>>| text.map(|text| text.0.into_owned());
                list.map(|list| list.into_iter().map(owned).collect())
            });
        assert_eq!(read, list, "{text}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn text_is_read_as_serde_reads_it(text in soup()) {
            check(&text);
            check(&format!("[{text}]"));
            check(&format!("{{\"a\":{text}}}"));
            check(&format!("\"{text}\""));
        }
    }

    #[test]
    fn values_are_left_as_they_came() {
        let text = r#" {"a":[1, 2.50e1,"\u003cb\u003e"],"b\"c":{ "x":null}} "#;
        assert_eq!(parse::<Raw<'_>>(text).map(Raw::get), Ok(text.trim()));
        for text in [
            "",
            " ",
            "1 2",
            "[1,]",
            "[,1]",
            "{\"a\":1,}",
            "{1:2}",
            "[}",
            "{\"a\"}",
        ] {
            assert_eq!(parse::<Raw<'_>>(text), Err(Malformed), "{text}");
        }
    }
}
