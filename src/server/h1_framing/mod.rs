//! What HTTP/1.1 allows a lenient reader to guess is refused here, before hyper reads it: lines
//! that end in a bare LF, a length beside chunks, a length said twice, other codings than chunks.
//! A proxy before us may guess otherwise, and then one client's bytes become another's request
//! (RFC 9112 §11.2).
//!
//! A [`Guard`] follows the same messages as hyper, but only their framing, and can only refuse:
//! what it lets by is what came. As long as it has let by what has one reading, it agrees with
//! hyper on where each message ends; a test holds the two side by side.
//!
//! What a client sends behind a request is [held back](held) until that is answered.

mod held;

pub(super) use self::held::Framed;

/// More than a `Transfer-Encoding` or `Content-Length` needs that has one reading.
const LINE_KEPT: usize = 64;

/// Begins an HTTP/2 connection (RFC 9113 §3.4); no HTTP/1 request has this version.
const PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0";

/// Follows the framing of the requests on one connection.
#[derive(Debug)]
struct Guard {
    state: State,
    line: Line,
    head: Head,
    is_first_head: bool,
    /// Whether a message has just ended.
    has_ended: bool,
}

/// Which byte comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
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

/// The line being read: its beginning, its length and its last byte.
#[derive(Debug)]
struct Line {
    kept: [u8; LINE_KEPT],
    length: usize,
    last: u8,
}

/// What a head has said of its body so far.
#[derive(Debug, Default)]
struct Head {
    lines: usize,
    length: Option<u64>,
    is_chunked: bool,
}

/// Two readings, from this byte on.
#[derive(Debug, PartialEq, Eq)]
struct Ambiguous {
    at: usize,
}

impl Guard {
    fn new() -> Self {
        Self {
            state: State::Head,
            line: Line::new(),
            head: Head::default(),
            is_first_head: true,
            has_ended: false,
        }
    }

    fn is_between_requests(&self) -> bool {
        self.state == State::Head && self.head.lines == 0 && self.line.length == 0
    }

    /// Follows the next bytes, up to the end of a message; gives what comes behind that, or says
    /// from which byte on they are not to be passed.
    fn follow<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Ambiguous> {
        let mut rest = bytes;
        self.has_ended = false;
        while let Some((byte, after)) = rest.split_first() {
            let at = bytes.len() - rest.len();
            rest = match self.state {
                State::Http2 => return Ok(&[]),
                State::Body { left } => self.skip(left, rest, |left| State::Body { left }),
                State::ChunkData { left } => {
                    self.skip(left, rest, |left| State::ChunkData { left })
                }
                State::Head | State::Trailers => self.lines(rest).ok_or(Ambiguous {
                    // The line feed that shows it.
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

    /// Passes over a body, as far as it has come.
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

    /// Reads up to the end of a line, and gives what follows.
    fn lines<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.line.push(bytes);
            return Some(&[]);
        };
        let (line, rest) = bytes.split_at_checked(end)?;
        self.line.push(line);
        if self.line.last != b'\r' {
            return None;
        }
        let line = std::mem::replace(&mut self.line, Line::new());
        self.state = match (self.state, line.without_cr()) {
            // Blank lines before a request are passed over (RFC 9112 §2.2).
            (State::Head, Some([])) if self.head.lines == 0 => State::Head,
            (State::Head, Some([])) => self.end_of_head(),
            (State::Head, _) => self.head_line(&line)?,
            (_, Some([])) => self.end_of_message(),
            (state, _) => state,
        };
        rest.get(1..)
    }

    fn head_line(&mut self, line: &Line) -> Option<State> {
        self.head.lines += 1;
        if self.head.lines == 1 {
            let is_preface = self.is_first_head && line.without_cr() == Some(PREFACE_LINE);
            self.is_first_head = false;
            return Some(if is_preface {
                State::Http2
            } else {
                State::Head
            });
        }
        let Some(colon) = memchr::memchr(b':', line.kept()) else {
            return Some(State::Head);
        };
        let (name, value) = line.kept().split_at_checked(colon)?;
        let says_length = name.eq_ignore_ascii_case(b"content-length");
        let says_coding = name.eq_ignore_ascii_case(b"transfer-encoding");
        if !says_length && !says_coding {
            return Some(State::Head);
        }
        let is_framed_already = self.head.is_chunked || self.head.length.is_some();
        if is_framed_already || line.without_cr().is_none() {
            return None;
        }
        let value = without_blanks(value.get(1..)?);
        if says_coding {
            self.head.is_chunked = value.eq_ignore_ascii_case(b"chunked");
            return self.head.is_chunked.then_some(State::Head);
        }
        self.head.length = Some(number(value)?);
        Some(State::Head)
    }

    fn end_of_head(&mut self) -> State {
        let head = std::mem::take(&mut self.head);
        match head.length {
            _ if head.is_chunked => State::ChunkSize { size: 0 },
            None | Some(0) => self.end_of_message(),
            Some(left) => State::Body { left },
        }
    }

    fn end_of_message(&mut self) -> State {
        self.has_ended = true;
        State::Head
    }

    /// The framing of chunks (RFC 9112 §7.1). What is no chunk hyper refuses itself; here it must
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
            kept: [0; LINE_KEPT],
            length: 0,
            last: 0,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.kept.get_mut(self.length..).unwrap_or_default();
        let kept = room.len().min(bytes.len());
        if let (Some(room), Some(bytes)) = (room.get_mut(..kept), bytes.get(..kept)) {
            room.copy_from_slice(bytes);
        }
        self.length = self.length.saturating_add(bytes.len());
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// Its beginning.
    fn kept(&self) -> &[u8] {
        self.kept
            .get(..self.length.min(LINE_KEPT))
            .unwrap_or_default()
    }

    /// A whole line that ends in CR, if it is short enough to have been kept.
    fn without_cr(&self) -> Option<&[u8]> {
        self.kept.get(..self.length.checked_sub(1)?)
    }
}

/// Without the blanks that may stand around a value (RFC 9110 §5.5), and a line's CR.
fn without_blanks(value: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let start = value.iter().position(|byte| !is_blank(byte));
    let end = value.iter().rposition(|byte| !is_blank(byte));
    start
        .zip(end)
        .and_then(|(start, end)| value.get(start..=end))
        .unwrap_or_default()
}

/// Digits alone (RFC 9110 §8.6).
fn number(value: &[u8]) -> Option<u64> {
    let is_digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let digits = is_digits.then(|| std::str::from_utf8(value).ok())??;
    digits.parse().ok()
}

#[cfg(test)]
mod tests;
