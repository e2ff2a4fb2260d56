//! HTTP/2 frame by frame (RFC 9113 §4 and §6), for what no library would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

const PATIENCE: Duration = Duration::from_secs(20);

/// A frame that came.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// How a request on a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Answered; the header block begins so. `0x88` is `:status 200` (RFC 7541, appendix A).
    Answered { is_200: bool },
    /// `RST_STREAM` with this code.
    Reset(u32),
    /// `GOAWAY` with this code.
    GoneAway(u32),
    /// The connection was closed without a word.
    Closed,
}

impl End {
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Answered { is_200: true } | Self::Closed)
    }
}

pub struct Frames {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Frames {
    /// Connected, with the preface and empty settings sent.
    pub async fn connect(authority: &str) -> Self {
        let mut stream = TcpStream::connect(authority).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket option");
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        hello.extend(frame(SETTINGS, 0, 0, b""));
        stream.write_all(&hello).await.expect("it reads");
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// Whether it could be written.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await;
        matches!(sent, Ok(Ok(())))
    }

    /// The next frame; `None` at the connection's end.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let length = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.read));
            let length = length.await.expect("an answer or an end");
            if length.is_err() || length.is_ok_and(|length| length == 0) {
                return None;
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let head = self.read.get(..9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.read.get(9..9 + length)?.to_vec();
        self.read.drain(..9 + length);
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// Reads until this stream is answered or ends otherwise.
    pub async fn end_of(&mut self, stream: u32) -> End {
        while let Some(frame) = self.next().await {
            let code = |at: usize| {
                let bytes = frame
                    .payload
                    .get(at..at + 4)
                    .and_then(|b| b.try_into().ok());
                bytes.map_or(u32::MAX, u32::from_be_bytes)
            };
            match frame.kind {
                HEADERS if frame.stream == stream => {
                    let is_200 = frame.payload.first() == Some(&0x88);
                    return End::Answered { is_200 };
                }
                RST_STREAM if frame.stream == stream => return End::Reset(code(0)),
                GOAWAY => return End::GoneAway(code(4)),
                _ => {}
            }
        }
        End::Closed
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block of literals that are not indexed (RFC 7541 §6.2.2), without Huffman coding.
pub fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// With a prefix of seven bits (RFC 7541 §5.1).
fn integer(out: &mut Vec<u8>, value: usize) {
    if value < 127 {
        out.push(u8::try_from(value).expect("below 127"));
        return;
    }
    out.push(127);
    let mut rest = value - 127;
    while rest >= 128 {
        out.push(u8::try_from(rest % 128).expect("below 128") | 128);
        rest /= 128;
    }
    out.push(u8::try_from(rest).expect("below 128"));
}

/// A whole request without a body.
pub fn get(stream: u32, headers: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(headers))
}
