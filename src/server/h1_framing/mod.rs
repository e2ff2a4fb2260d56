//! Refuses, before hyper reads it, what HTTP/1.1 lets a lenient recipient guess: lines that end in
//! a bare LF, a `Content-Length` beside `Transfer-Encoding`, a repeated `Content-Length`, transfer
//! codings other than `chunked`. A proxy in front of us may guess differently, and then one
//! client's bytes become another's request (request smuggling, RFC 9112 §11.2).
//!
//! A [`FramingChecker`] parses the same messages as hyper, but only their framing, and can only
//! refuse: the bytes that it passes are unmodified, but for some characters of a URL, which are
//! [escaped](target). As long as all that it has passed is unambiguous, it agrees with hyper on
//! where each message ends; a test compares the two.
//!
//! What a client sends behind a request is [held back](held) until that is answered. What is
//! refused, here or by hyper, is [answered](super::refusals) in our words.

#[cfg(fuzzing)]
pub mod fuzzing;
mod held;
mod target;

pub(super) use self::held::Framed;

/// Longer than any unambiguous `Transfer-Encoding` or `Content-Length` line.
const LINE_PREFIX: usize = 64;

/// The first line of an HTTP/2 connection (RFC 9113 §3.4); no HTTP/1 request has this version.
const PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0";

/// Parses the framing of the requests on one connection.
#[derive(Debug)]
struct FramingChecker {
    state: State,
    line: Line,
    headers: HeaderSection,
    is_first_request: bool,
    /// Whether a message has just ended.
    has_ended: bool,
    /// The last complete request line.
    request_line: Line,
    /// Offsets of the characters to escape, in the bytes that were followed last.
    escapes: Vec<usize>,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Headers,
    Body { left: u64 },
    ChunkSize { size: u64 },
    ChunkExtension { size: u64 },
    ChunkSizeLf { size: u64 },
    ChunkData { left: u64 },
    ChunkDataCr,
    ChunkDataLf,
    Trailers,
    Http2,
}

/// The line being read, as far as earlier reads brought it: its first bytes, its length and its
/// last byte.
#[derive(Clone, Copy, Debug)]
struct Line {
    prefix: [u8; LINE_PREFIX],
    length: usize,
    last: u8,
    has_space: bool,
}

/// A line that has ended, without its LF. Nearly every line comes in one read, and is not copied.
#[derive(Clone, Copy)]
struct WholeLine<'l> {
    /// Its first bytes.
    prefix: &'l [u8],
    length: usize,
    last: u8,
}

/// What the headers have declared about the body so far.
#[derive(Debug, Default)]
struct HeaderSection {
    lines: usize,
    length: Option<u64>,
    is_chunked: bool,
}

/// The framing is ambiguous from this byte on.
#[derive(Debug, PartialEq, Eq)]
struct Ambiguous {
    at: usize,
}

impl FramingChecker {
    fn new() -> Self {
        Self {
            state: State::Headers,
            line: Line::new(),
            headers: HeaderSection::default(),
            is_first_request: true,
            has_ended: false,
            request_line: Line::new(),
            escapes: Vec::new(),
        }
    }

    /// The first bytes of the last request line.
    fn last_request_line(&self) -> &[u8] {
        let is_within = self.is_in_request_line() && self.line.length > 0;
        if is_within {
            self.line.prefix()
        } else {
            self.request_line.prefix()
        }
    }

    fn is_in_request_line(&self) -> bool {
        self.state == State::Headers && self.headers.lines == 0
    }

    fn is_between_requests(&self) -> bool {
        self.is_in_request_line() && self.line.length == 0
    }

    /// Parses the next bytes, up to the end of a message, and returns what follows that. An error has
    /// the index of the first byte that must not be passed.
    fn follow<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Ambiguous> {
        let mut rest = bytes;
        self.has_ended = false;
        self.escapes.clear();
        while let Some((byte, after)) = rest.split_first() {
            let at = bytes.len() - rest.len();
            rest = match self.state {
                State::Http2 => return Ok(&[]),
                State::Body { left } => self.skip(left, rest, |left| State::Body { left }),
                State::ChunkData { left } => {
                    self.skip(left, rest, |left| State::ChunkData { left })
                }
                State::Headers | State::Trailers => self.lines(rest, at).ok_or(Ambiguous {
                    // The line feed that proves it.
                    at: at + memchr::memchr(b'\n', rest).unwrap_or(0),
                })?,
                _ => {
                    self.state = self.chunk_byte(*byte).ok_or(Ambiguous { at })?;
                    after
                }
            };
            if self.has_ended {
                break;
            }
        }
        Ok(rest)
    }

    /// Skips a body, as far as it has been received.
    fn skip<'b>(&mut self, left: u64, bytes: &'b [u8], still: fn(u64) -> State) -> &'b [u8] {
        let length = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left.saturating_sub(length as u64);
        self.state = match (left, self.state) {
            (0, State::ChunkData { .. }) => State::ChunkDataCr,
            (0, _) => self.end_of_message(),
            (left, _) => still(left),
        };
        bytes.get(length..).unwrap_or_default()
    }

    /// Reads up to the end of a line, and returns what follows. The bytes begin at offset `at`.
    fn lines<'b>(&mut self, bytes: &'b [u8], at: usize) -> Option<&'b [u8]> {
        let end = memchr::memchr(b'\n', bytes);
        let (piece, rest) = bytes.split_at_checked(end.unwrap_or(bytes.len()))?;
        if self.is_in_request_line() {
            target::note_escapes(piece, self.line.has_space, at, &mut self.escapes);
        }
        if end.is_none() {
            self.line.push(piece);
            return Some(rest);
        }
        let begun;
        let line = if self.line.length == 0 {
            WholeLine::of(piece)
        } else {
            self.line.push(piece);
            begun = std::mem::replace(&mut self.line, Line::new());
            begun.whole()
        };
        if line.last != b'\r' {
            return None;
        }
        self.state = match (self.state, line.without_cr()) {
            // Empty lines before a request are ignored (RFC 9112 §2.2).
            (State::Headers, Some([])) if self.headers.lines == 0 => State::Headers,
            (State::Headers, Some([])) => self.end_of_headers(),
            (State::Headers, _) => self.header_line(line)?,
            (_, Some([])) => self.end_of_message(),
            (state, _) => state,
        };
        rest.get(1..)
    }

    fn header_line(&mut self, line: WholeLine<'_>) -> Option<State> {
        self.headers.lines += 1;
        if self.headers.lines == 1 {
            let is_preface = self.is_first_request && line.without_cr() == Some(PREFACE_LINE);
            self.is_first_request = false;
            self.request_line = Line::new();
            self.request_line.push(line.prefix);
            return Some(if is_preface {
                State::Http2
            } else {
                State::Headers
            });
        }
        // Most headers are neither of the two by their first letter.
        if !matches!(line.prefix.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return Some(State::Headers);
        }
        let Some(colon) = memchr::memchr(b':', line.prefix) else {
            return Some(State::Headers);
        };
        let (name, value) = line.prefix.split_at_checked(colon)?;
        let is_length = name.eq_ignore_ascii_case(b"content-length");
        let is_coding = name.eq_ignore_ascii_case(b"transfer-encoding");
        if !is_length && !is_coding {
            return Some(State::Headers);
        }
        let is_framed_already = self.headers.is_chunked || self.headers.length.is_some();
        if is_framed_already || line.without_cr().is_none() {
            return None;
        }
        let value = trim_whitespace(value.get(1..)?);
        if is_coding {
            self.headers.is_chunked = value.eq_ignore_ascii_case(b"chunked");
            return self.headers.is_chunked.then_some(State::Headers);
        }
        self.headers.length = Some(number(value)?);
        Some(State::Headers)
    }

    fn end_of_headers(&mut self) -> State {
        let headers = std::mem::take(&mut self.headers);
        match headers.length {
            _ if headers.is_chunked => State::ChunkSize { size: 0 },
            None | Some(0) => self.end_of_message(),
            Some(left) => State::Body { left },
        }
    }

    fn end_of_message(&mut self) -> State {
        self.has_ended = true;
        State::Headers
    }

    /// The framing of chunks (RFC 9112 §7.1). hyper refuses what is not a valid chunk; here it must
    /// only not be taken for one.
    fn chunk_byte(&self, byte: u8) -> Option<State> {
        match (self.state, byte) {
            (State::ChunkSize { size }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16)?;
                let size = size.checked_mul(16)?.checked_add(u64::from(digit))?;
                Some(State::ChunkSize { size })
            }
            (State::ChunkSize { size }, b';' | b' ' | b'\t') => {
                Some(State::ChunkExtension { size })
            }
            (State::ChunkSize { size } | State::ChunkExtension { size }, b'\r') => {
                Some(State::ChunkSizeLf { size })
            }
            (State::ChunkExtension { size }, _) if byte != b'\n' => {
                Some(State::ChunkExtension { size })
            }
            (State::ChunkSizeLf { size: 0 }, b'\n') => Some(State::Trailers),
            (State::ChunkSizeLf { size: left }, b'\n') => Some(State::ChunkData { left }),
            (State::ChunkDataCr, b'\r') => Some(State::ChunkDataLf),
            (State::ChunkDataLf, b'\n') => Some(State::ChunkSize { size: 0 }),
            _ => None,
        }
    }
}

impl Line {
    const fn new() -> Self {
        Self {
            prefix: [0; LINE_PREFIX],
            length: 0,
            last: 0,
            has_space: false,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.prefix.get_mut(self.length..).unwrap_or_default();
        let copied = room.len().min(bytes.len());
        if let (Some(room), Some(bytes)) = (room.get_mut(..copied), bytes.get(..copied)) {
            room.copy_from_slice(bytes);
        }
        self.length = self.length.saturating_add(bytes.len());
        self.last = bytes.last().copied().unwrap_or(self.last);
        self.has_space = self.has_space || memchr::memchr(b' ', bytes).is_some();
    }

    /// Its first bytes.
    fn prefix(&self) -> &[u8] {
        self.prefix
            .get(..self.length.min(LINE_PREFIX))
            .unwrap_or_default()
    }

    /// The line, now that it has ended.
    fn whole(&self) -> WholeLine<'_> {
        WholeLine {
            prefix: self.prefix(),
            length: self.length,
            last: self.last,
        }
    }
}

impl<'l> WholeLine<'l> {
    fn of(line: &'l [u8]) -> Self {
        Self {
            prefix: line.get(..LINE_PREFIX).unwrap_or(line),
            length: line.len(),
            last: line.last().copied().unwrap_or_default(),
        }
    }

    /// A line that ends in CR, if it is short enough to be in `prefix`.
    fn without_cr(&self) -> Option<&'l [u8]> {
        self.prefix.get(..self.length.checked_sub(1)?)
    }
}

/// Without the whitespace that may surround a value (RFC 9110 §5.5), and without the line's CR.
fn trim_whitespace(value: &[u8]) -> &[u8] {
    let is_whitespace = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let start = value.iter().position(|byte| !is_whitespace(byte));
    let end = value.iter().rposition(|byte| !is_whitespace(byte));
    start
        .zip(end)
        .and_then(|(start, end)| value.get(start..=end))
        .unwrap_or_default()
}

/// Digits only (RFC 9110 §8.6).
fn number(value: &[u8]) -> Option<u64> {
    let is_digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let digits = is_digits.then(|| std::str::from_utf8(value).ok())??;
    digits.parse().ok()
}

#[cfg(test)]
mod tests;
