//! A JSON scanner that validates a text while it arrives in chunks.
//!
//! It checks the full grammar (RFC 8259), except that strings may contain bytes that are not UTF-8,
//! which does not change where they end. Containers are tracked without recursion.

mod state;

use self::state::{Container, Escape, Expect, Token};
use super::scalar::is_scalar;
use crate::json_text::plain_run;
use crate::tempo::trace::TraceError;

/// The maximum depth of containers. It bounds the memory (one byte a level) and is far beyond what
/// any decoder accepts.
const MAX_DEPTH: usize = 1 << 20;

/// Names and scalars are stored up to this length. Tempo writes no longer name or number.
const MAX_TOKEN: usize = 96;

/// Scans one JSON text. Reports values and the names of members, down to a depth.
pub(super) struct Scanner {
    /// Values in more containers than this are validated, but not reported.
    reported_depth: usize,
    containers: Vec<Container>,
    expect: Expect,
    token: Option<Token>,
    /// The text of the last reported name, string or scalar, without quotes.
    text: Vec<u8>,
    /// The number of bytes in the chunks before this one.
    before: usize,
}

/// What the scanner found. `depth` is the number of containers around the value, `at` an offset in
/// the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The name of the member whose value comes next: [`Scanner::text`].
    Name { depth: usize },
    /// A value starts at `at`, with this byte.
    Start { depth: usize, at: usize, byte: u8 },
    /// A value ended before `at`. If it is not a container, [`Scanner::text`] returns it.
    End { depth: usize, at: usize },
}

impl Scanner {
    /// A scanner that reports values in up to this many containers.
    pub(super) fn new(reported_depth: usize) -> Self {
        Self {
            reported_depth,
            containers: Vec::with_capacity(32),
            expect: Expect::Value,
            token: None,
            text: Vec::with_capacity(MAX_TOKEN),
            before: 0,
        }
    }

    /// The raw text of the last reported name, string or scalar, with its escapes. `None` if it is
    /// longer than any relevant one.
    pub(super) fn text(&self) -> Option<&[u8]> {
        (self.text.len() <= MAX_TOKEN).then_some(&self.text)
    }

    /// Continues in `chunk` from `at` to the next event; `None` at the end of the chunk.
    pub(super) fn next(
        &mut self,
        chunk: &[u8],
        at: &mut usize,
    ) -> Result<Option<Event>, TraceError> {
        loop {
            if let Some(token) = self.token {
                if !self.finish_token(token, chunk, at)? {
                    break;
                }
                let depth = self.containers.len();
                if depth <= self.reported_depth {
                    return Ok(Some(match self.expect {
                        Expect::Colon => Event::Name { depth },
                        _ => Event::End { depth, at: *at },
                    }));
                }
            }
            self.skip_unreported(chunk, at);
            let Some(&byte) = chunk.get(*at) else {
                break;
            };
            let event = self
                .step(byte, *at)
                .map_err(|what| self.malformed(what, *at))?;
            // The first byte of a scalar is part of it.
            *at += usize::from(!matches!(self.token, Some(Token::Scalar)));
            if event.is_some() {
                return Ok(event);
            }
        }
        self.before += chunk.len();
        Ok(None)
    }

    /// Checks that the text is complete. A number or literal at the very end is not complete: more of
    /// it could follow.
    pub(super) fn finish(&self) -> Result<(), TraceError> {
        if self.expect == Expect::Nothing {
            return Ok(());
        }
        Err(self.malformed("it ends too early", 0))
    }

    /// An error at this offset in the chunk.
    pub(super) fn malformed(&self, what: &'static str, at: usize) -> TraceError {
        let at = self.before + at;
        TraceError::Json { what, at }
    }

    /// A fast path for values that are not reported, equivalent to [`step`](Self::step). Stops at
    /// anything it does not handle: the end of a reported value or of the chunk, an escape, a scalar,
    /// a space, an error.
    fn skip_unreported(&mut self, chunk: &[u8], at: &mut usize) {
        let mut rest = chunk.get(*at..).unwrap_or_default();
        let mut expect = self.expect;
        let Some(mut inside) = self.containers.last().copied() else {
            return;
        };
        if self.containers.len() <= self.reported_depth {
            return;
        }
        while let Some((&byte, after)) = rest.split_first() {
            match byte {
                b'"' => {
                    let name = match expect {
                        Expect::Name | Expect::NameOrClose => true,
                        Expect::Value | Expect::ValueOrClose => false,
                        _ => break,
                    };
                    let Some(after) = after
                        .get(plain_run(after)..)
                        .and_then(|end| end.strip_prefix(b"\""))
                    else {
                        break;
                    };
                    expect = Expect::CommaOrClose;
                    rest = after;
                    if name {
                        expect = Expect::Colon;
                        if let Some(value) = after.strip_prefix(b":") {
                            expect = Expect::Value;
                            rest = value;
                        }
                    }
                    continue;
                }
                b',' if expect == Expect::CommaOrClose => {
                    expect = match inside {
                        Container::Object => Expect::Name,
                        Container::Array => Expect::Value,
                    };
                }
                b'{' | b'['
                    if matches!(expect, Expect::Value | Expect::ValueOrClose)
                        && self.containers.len() < MAX_DEPTH =>
                {
                    (inside, expect) = match byte {
                        b'{' => (Container::Object, Expect::NameOrClose),
                        _ => (Container::Array, Expect::ValueOrClose),
                    };
                    self.containers.push(inside);
                }
                b'}' | b']' if self.containers.len() > self.reported_depth + 1 => {
                    let closes = match byte {
                        b'}' => {
                            inside == Container::Object
                                && matches!(expect, Expect::CommaOrClose | Expect::NameOrClose)
                        }
                        _ => {
                            inside == Container::Array
                                && matches!(expect, Expect::CommaOrClose | Expect::ValueOrClose)
                        }
                    };
                    if !closes {
                        break;
                    }
                    self.containers.pop();
                    inside = self.containers.last().copied().unwrap_or(inside);
                    expect = Expect::CommaOrClose;
                }
                _ => break,
            }
            rest = after;
        }
        self.expect = expect;
        *at = chunk.len() - rest.len();
    }

    /// Takes one byte outside of strings and scalars.
    #[inline]
    fn step(&mut self, byte: u8, at: usize) -> Result<Option<Event>, &'static str> {
        match byte {
            b'"' => {
                let name = match self.expect {
                    Expect::Value | Expect::ValueOrClose => false,
                    Expect::Name | Expect::NameOrClose => true,
                    _ => return Err("a string out of place"),
                };
                let escape = Escape::None;
                self.text.clear();
                self.token = Some(Token::String { name, escape });
                Ok(if name { None } else { self.start(byte, at) })
            }
            b',' if self.expect == Expect::CommaOrClose => {
                self.expect = match self.containers.last() {
                    Some(Container::Object) => Expect::Name,
                    _ => Expect::Value,
                };
                Ok(None)
            }
            b':' if self.expect == Expect::Colon => {
                self.expect = Expect::Value;
                Ok(None)
            }
            b'{' => self.open(Container::Object, Expect::NameOrClose, byte, at),
            b'[' => self.open(Container::Array, Expect::ValueOrClose, byte, at),
            b'}' if matches!(self.expect, Expect::CommaOrClose | Expect::NameOrClose) => {
                self.close(Container::Object, at)
            }
            b']' if matches!(self.expect, Expect::CommaOrClose | Expect::ValueOrClose) => {
                self.close(Container::Array, at)
            }
            b' ' | b'\t' | b'\n' | b'\r' => Ok(None),
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' if self.expects_value() => {
                self.text.clear();
                self.token = Some(Token::Scalar);
                Ok(self.start(byte, at))
            }
            _ => Err("a byte out of place"),
        }
    }

    fn expects_value(&self) -> bool {
        matches!(self.expect, Expect::Value | Expect::ValueOrClose)
    }

    fn start(&self, byte: u8, at: usize) -> Option<Event> {
        let depth = self.containers.len();
        (depth <= self.reported_depth).then_some(Event::Start { depth, at, byte })
    }

    fn open(
        &mut self,
        container: Container,
        expect: Expect,
        byte: u8,
        at: usize,
    ) -> Result<Option<Event>, &'static str> {
        if !self.expects_value() {
            return Err("a bracket out of place");
        }
        if self.containers.len() == MAX_DEPTH {
            return Err("containers nested too deep");
        }
        let event = self.start(byte, at);
        self.containers.push(container);
        self.expect = expect;
        Ok(event)
    }

    fn close(&mut self, container: Container, at: usize) -> Result<Option<Event>, &'static str> {
        if self.containers.pop() != Some(container) {
            return Err("a bracket that closes another");
        }
        self.ended();
        let depth = self.containers.len();
        Ok((depth <= self.reported_depth).then_some(Event::End { depth, at: at + 1 }))
    }

    fn ended(&mut self) {
        self.expect = if self.containers.is_empty() {
            Expect::Nothing
        } else {
            Expect::CommaOrClose
        };
    }

    /// Takes the rest of a string or scalar; `false` if it continues in the next chunk.
    #[inline]
    fn finish_token(
        &mut self,
        token: Token,
        chunk: &[u8],
        at: &mut usize,
    ) -> Result<bool, TraceError> {
        match token {
            Token::String { name, escape } => {
                if let Some(escape) = self.string(escape, chunk, at)? {
                    self.token = Some(Token::String { name, escape });
                    return Ok(false);
                }
                if name {
                    self.expect = Expect::Colon;
                } else {
                    self.ended();
                }
            }
            Token::Scalar => {
                if !self.scalar(chunk, at)? {
                    return Ok(false);
                }
                self.ended();
            }
        }
        self.token = None;
        Ok(true)
    }

    /// Takes the rest of a string with its closing quote, or else the rest of the chunk. Returns
    /// which escape the chunk ended in, if it did.
    #[inline]
    fn string(
        &mut self,
        mut escape: Escape,
        chunk: &[u8],
        at: &mut usize,
    ) -> Result<Option<Escape>, TraceError> {
        loop {
            if matches!(escape, Escape::None) {
                let rest = chunk.get(*at..).unwrap_or_default();
                let run = plain_run(rest);
                if self.containers.len() <= self.reported_depth {
                    self.keep(rest.get(..run).unwrap_or_default());
                }
                *at += run;
            }
            let Some(&byte) = chunk.get(*at) else {
                return Ok(Some(escape));
            };
            escape = match (escape, byte) {
                (Escape::None, b'"') => {
                    *at += 1;
                    return Ok(None);
                }
                (Escape::None, b'\\') => Escape::Backslash,
                (Escape::None, _) => {
                    return Err(self.malformed("a control character in a string", *at));
                }
                (Escape::Backslash, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                    Escape::None
                }
                (Escape::Backslash, b'u') => Escape::Hex(4),
                (Escape::Hex(1), _) if byte.is_ascii_hexdigit() => Escape::None,
                (Escape::Hex(digits), _) if byte.is_ascii_hexdigit() => Escape::Hex(digits - 1),
                _ => return Err(self.malformed("an escape JSON does not have", *at)),
            };
            if self.containers.len() <= self.reported_depth {
                self.keep(&[byte]);
            }
            *at += 1;
        }
    }

    /// Takes the rest of a number, `true`, `false` or `null`; `false` if it may continue.
    fn scalar(&mut self, chunk: &[u8], at: &mut usize) -> Result<bool, TraceError> {
        let rest = chunk.get(*at..).unwrap_or_default();
        let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let length = rest.iter().take_while(|byte| goes_on(byte)).count();
        self.keep(rest.get(..length).unwrap_or_default());
        *at += length;
        if length == rest.len() && self.text.len() <= MAX_TOKEN {
            return Ok(false);
        }
        if self.text().is_some_and(is_scalar) {
            return Ok(true);
        }
        Err(self.malformed("neither a number nor true, false or null", *at))
    }

    /// Stores a token's text, up to one byte more than [`MAX_TOKEN`] so that too long ones show.
    fn keep(&mut self, text: &[u8]) {
        let room = (MAX_TOKEN + 1).saturating_sub(self.text.len());
        self.text
            .extend_from_slice(text.get(..room).unwrap_or(text));
    }
}

#[cfg(test)]
mod tests;
