//! Reads HTTP/1.1 messages with as little work as can be: what the load and the upstream cost is
//! taken from the same two cores as what the proxies cost.

use std::io;

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A message's first line, and what its headers say of its body.
pub(crate) struct Head {
    start_line: String,
    body: Framing,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
}

impl Head {
    fn parse(text: &[u8]) -> io::Result<Self> {
        let text = std::str::from_utf8(text).map_err(io::Error::other)?;
        let mut lines = text.split("\r\n");
        let start_line = lines.next().unwrap_or_default().to_owned();
        let mut body = Framing::Length(0);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                body = Framing::Length(value.trim().parse().map_err(io::Error::other)?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                body = Framing::Chunked;
            }
        }
        Ok(Self { start_line, body })
    }

    /// The status, if it is an answer.
    pub(crate) fn status(&self) -> &str {
        self.start_line.split(' ').nth(1).unwrap_or_default()
    }
}

/// Messages of one direction of a connection, one after the other: none may come before the last
/// was answered.
pub(crate) struct Messages {
    buffer: Box<[u8]>,
    filled: usize,
}

impl Messages {
    /// Pieces of this many bytes are read at once; a head must fit in one.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            buffer: vec![0; bytes].into(),
            filled: 0,
        }
    }

    /// The next message's head, and the length of its body, which is read and dropped; `None` at
    /// the end of the connection.
    pub(crate) async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<Option<(Head, u64)>> {
        self.filled = 0;
        let (head, body_at) = loop {
            if self.more(stream).await? == 0 {
                return match self.filled {
                    0 => Ok(None),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
            let read = self.buffer.get(..self.filled).unwrap_or_default();
            if let Some(end) = memmem::find(read, b"\r\n\r\n") {
                break (
                    Head::parse(read.get(..end).unwrap_or_default())?,
                    end + b"\r\n\r\n".len(),
                );
            }
        };
        let mut body = Body::new(head.body);
        let mut piece = self.buffer.get(body_at..self.filled).unwrap_or_default();
        while !body.take(piece)? {
            let read = stream.read(&mut self.buffer).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            piece = self.buffer.get(..read).unwrap_or_default();
        }
        Ok(Some((head, body.length)))
    }

    async fn more(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        let free = self.buffer.get_mut(self.filled..).unwrap_or_default();
        if free.is_empty() {
            return Err(io::Error::other("a head is too long"));
        }
        let read = stream.read(free).await?;
        self.filled += read;
        Ok(read)
    }
}

/// A body of which only the length is of interest.
struct Body {
    state: State,
    /// Without what frames it.
    length: u64,
}

enum State {
    /// So many bytes to come, and then the end.
    Counted(u64),
    /// In the line before a chunk: the digits until now.
    Size(u64),
    /// The rest of that line. The chunk has so many bytes.
    SizeEnd(u64),
    /// So many bytes of a chunk and its line end.
    Chunk(u64),
    /// In the line after the last chunk; whether it is empty. Trailers are not used here.
    Last,
    Done,
}

impl Body {
    fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(bytes) => State::Counted(bytes),
            Framing::Chunked => State::Size(0),
        };
        Self { state, length: 0 }
    }

    /// Takes a piece, and says whether it was the last.
    fn take(&mut self, mut piece: &[u8]) -> io::Result<bool> {
        const LINE_END: u64 = 2;
        loop {
            match self.state {
                State::Counted(left) => {
                    let taken = piece.len() as u64;
                    self.length += taken;
                    self.state = State::Counted(
                        left.checked_sub(taken)
                            .ok_or_else(|| io::Error::other("more came than was announced"))?,
                    );
                    return Ok(left == taken);
                }
                State::Size(size) => {
                    let Some((byte, rest)) = piece.split_first() else {
                        return Ok(false);
                    };
                    piece = rest;
                    self.state = match char::from(*byte).to_digit(16) {
                        Some(digit) => State::Size(size * 16 + u64::from(digit)),
                        None => State::SizeEnd(size),
                    };
                }
                State::SizeEnd(size) => {
                    let Some(end) = memchr::memchr(b'\n', piece) else {
                        return Ok(false);
                    };
                    piece = piece.get(end + 1..).unwrap_or_default();
                    self.length += size;
                    self.state = match size {
                        0 => State::Last,
                        size => State::Chunk(size + LINE_END),
                    };
                }
                State::Chunk(left) => {
                    let taken = left.min(piece.len() as u64);
                    let at = usize::try_from(taken).map_err(io::Error::other)?;
                    piece = piece.get(at..).unwrap_or_default();
                    if taken < left {
                        self.state = State::Chunk(left - taken);
                        return Ok(false);
                    }
                    self.state = State::Size(0);
                }
                State::Last => {
                    let Some(end) = memchr::memchr(b'\n', piece) else {
                        return Ok(false);
                    };
                    piece = piece.get(end + 1..).unwrap_or_default();
                    self.state = State::Done;
                }
                State::Done => {
                    return match piece {
                        [] => Ok(true),
                        _ => Err(io::Error::other("more came than was announced")),
                    };
                }
            }
        }
    }
}
