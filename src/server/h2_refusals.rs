//! What the HTTP/2 library refuses by itself is answered in our words.
//!
//! It resets the stream of a malformed request (RFC 9113 §8.1.1), and answers one whose headers are
//! too long with a 431 without a body. Both are known as frames when they are written: the reset of
//! a stream that has no answer yet, and headers that are a status and nothing else, for those of a
//! request that was served have a date. In their place goes an answer with a body. It is a few
//! hundred bytes that the library's flow control does not count, once a stream; the client gives
//! them back with its next `WINDOW_UPDATE`.
//!
//! Where it can no longer read the connection it ends it. There is no stream to answer on then, but
//! the `GOAWAY` can say why: many clients show its debug data (RFC 9113 §6.8).
//!
//! Its headers are literals that are not indexed (RFC 7541 §6.2.2), so that both sides' tables stay
//! as the library left them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use hyper::header::CONTENT_TYPE;
use hyper::{Response, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::refusals::Refusals;
use crate::proxy::Unread;

const FRAME_HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What the library says of headers that are so long that it reads none of them
/// (h2's `codec/framed_read.rs`).
const HEADERS_WAY_TOO_LARGE: [&[u8]; 2] = [b"header_list_way_too_large", b"too_many_continuations"];

/// `:status 400` of the static table (RFC 7541, appendix A).
const STATUS_400: &[u8] = &[0x8c];

/// `content-type` and `content-length` of the static table, as names of literals that are not
/// indexed (RFC 7541 §6.2.2).
const CONTENT_TYPE_NAME: &[u8] = &[0x0f, 0x10];
const CONTENT_LENGTH_NAME: &[u8] = &[0x0f, 0x0d];

/// A stream of an HTTP/2 connection, or of one that is HTTP/1 after all: then it passes everything.
pub(super) struct AnsweredH2<S> {
    stream: S,
    refusals: Arc<Refusals>,
    protocol: Written,
    /// What is still to be written of an answer of ours.
    answer: Bytes,
}

/// What was written so far.
enum Written {
    Nothing,
    Http1,
    Http2(Frames),
}

/// Follows the frames that are written.
#[derive(Clone, Copy, Default)]
struct Frames {
    /// Bytes of the frame that is being written.
    left: usize,
    /// The highest stream whose answer has begun. A request is refused as it comes, so a reset of an
    /// older stream, or headers on it, say something else.
    answered: u32,
    /// The stream that was answered 431, which the library resets as well.
    too_large: Option<u32>,
}

/// A frame's header (RFC 9113 §4.1).
#[derive(Clone, Copy)]
struct FrameHeader {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// What the library refuses.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    /// A stream without an answer is reset.
    Malformed(u32),
    /// 431 on a stream, in this block of headers.
    HeadersTooLarge(u32, Bytes),
    /// Its reset: what is left of it is to be discarded, but nothing has failed.
    AfterTooLarge(u32),
    /// The connection, by a `GOAWAY` that begins so: the last stream and the code.
    Connection([u8; 8], Unread),
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// So many are written as they are.
    Pass(usize),
    /// So many are replaced.
    Replace(usize, Refused),
}

impl FrameHeader {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<3>()?;
        let (&[kind, flags], rest) = rest.split_first_chunk::<2>()?;
        let stream = rest.first_chunk::<4>()?;
        let length = length
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        Some(Self {
            length,
            kind,
            flags,
            stream: u32::from_be_bytes(*stream),
        })
    }
}

impl Frames {
    /// Looks at bytes that are to be written, up to the first that are replaced. The library writes
    /// a frame's header, and the whole of all that are short, in one piece.
    fn next(&self, bytes: &[u8]) -> Next {
        let mut at = self.left.min(bytes.len());
        while let Some(header) = bytes.get(at..).and_then(FrameHeader::read) {
            let end = at + FRAME_HEADER + header.length;
            let payload = bytes.get(at + FRAME_HEADER..end);
            match payload.and_then(|payload| self.refused(header, payload)) {
                Some(refused) if at == 0 => return Next::Replace(end, refused),
                Some(_) => return Next::Pass(at),
                None => at = end.min(bytes.len()),
            }
        }
        Next::Pass(bytes.len())
    }

    fn refused(&self, header: FrameHeader, payload: &[u8]) -> Option<Refused> {
        let stream = header.stream;
        match header.kind {
            RST_STREAM if self.too_large == Some(stream) => Some(Refused::AfterTooLarge(stream)),
            RST_STREAM => {
                let code = payload.first_chunk().copied().map(u32::from_be_bytes);
                let is_malformed = code == Some(PROTOCOL_ERROR) && stream > self.answered;
                is_malformed.then_some(Refused::Malformed(stream))
            }
            // Trailers may be one header too, but only those of an answer that has begun.
            HEADERS
                if header.flags == END_HEADERS | END_STREAM
                    && stream > self.answered
                    && is_lone_status(payload) =>
            {
                let block = Bytes::copy_from_slice(payload);
                Some(Refused::HeadersTooLarge(stream, block))
            }
            GOAWAY => {
                let (beginning, debug_data) = payload.split_first_chunk::<8>()?;
                let code = u32::from_be_bytes(*beginning.last_chunk()?);
                Some(Refused::Connection(*beginning, unread(code, debug_data)?))
            }
            _ => None,
        }
    }

    /// `length` of these bytes were written.
    fn wrote(&mut self, bytes: &[u8], length: usize) {
        let mut at = self.left.min(length);
        self.left -= at;
        while at < length {
            let Some(header) = bytes.get(at..).and_then(FrameHeader::read) else {
                return;
            };
            let end = at + FRAME_HEADER + header.length;
            if header.kind == HEADERS {
                self.answered = self.answered.max(header.stream);
            }
            self.left = end.saturating_sub(length);
            at = end;
        }
    }
}

/// Why a connection is ended; `None` if no request is to blame, or if it has our words already.
fn unread(code: u32, debug_data: &[u8]) -> Option<Unread> {
    match code {
        COMPRESSION_ERROR if debug_data.is_empty() => Some(Unread::Headers),
        ENHANCE_YOUR_CALM if HEADERS_WAY_TOO_LARGE.contains(&debug_data) => Some(Unread::Headers),
        PROTOCOL_ERROR if debug_data.is_empty() => Some(Unread::Http2),
        _ => None,
    }
}

/// Whether a block is one header: a name of the static table's `:status` with a value, or one that
/// stands in a table.
fn is_lone_status(block: &[u8]) -> bool {
    match block {
        [only] => only & 0x80 != 0,
        [0x08 | 0x18 | 0x48, length, value @ ..] => usize::from(length & 0x7f) == value.len(),
        _ => false,
    }
}

impl<S> AnsweredH2<S> {
    pub(super) fn new(stream: S, refusals: Arc<Refusals>) -> Self {
        Self {
            stream,
            refusals,
            protocol: Written::Nothing,
            answer: Bytes::new(),
        }
    }

    /// Looks at what is to be written.
    fn look(&mut self, bytes: &[u8]) -> Next {
        if matches!(self.protocol, Written::Nothing) && !bytes.is_empty() {
            // A server's first frame is `SETTINGS`, which is shorter than 65,536 bytes.
            self.protocol = match bytes.first() {
                Some(0) => Written::Http2(Frames::default()),
                _ => Written::Http1,
            };
        }
        match &self.protocol {
            Written::Http2(frames) => frames.next(bytes),
            Written::Nothing | Written::Http1 => Next::Pass(bytes.len()),
        }
    }

    /// Has an answer of ours sent.
    fn replace(&mut self, refused: Refused) {
        if let Written::Http2(frames) = &mut self.protocol {
            match refused {
                Refused::Malformed(stream) => frames.answered = frames.answered.max(stream),
                Refused::HeadersTooLarge(stream, _) => {
                    frames.answered = frames.answered.max(stream);
                    frames.too_large = Some(stream);
                }
                Refused::AfterTooLarge(_) => frames.too_large = None,
                Refused::Connection(..) => {}
            }
        }
        self.answer = answer(&self.refusals, refused);
    }
}

/// The frames of an answer of ours. A client that still sends its body stops at the reset
/// (RFC 9113 §8.1).
fn answer(refusals: &Refusals, refused: Refused) -> Bytes {
    let mut out = BytesMut::new();
    let stop = |out: &mut BytesMut, stream| {
        put_frame(out, RST_STREAM, 0, stream, &NO_ERROR.to_be_bytes());
    };
    match refused {
        Refused::Malformed(stream) => {
            let answer = refusals.answer(Unread::Http2, b"", Version::HTTP_2);
            put_answer(&mut out, &answer, stream, STATUS_400);
            stop(&mut out, stream);
        }
        Refused::HeadersTooLarge(stream, block) => {
            let answer = refusals.answer(Unread::Headers, b"", Version::HTTP_2);
            put_answer(&mut out, &answer, stream, &block);
        }
        Refused::AfterTooLarge(stream) => stop(&mut out, stream),
        Refused::Connection(beginning, unread) => {
            let answer = refusals.answer(unread, b"", Version::HTTP_2);
            let payload = [&beginning, &answer.body()[..]].concat();
            put_frame(&mut out, GOAWAY, 0, 0, &payload);
        }
    }
    out.freeze()
}

/// An answer whose status is this block.
fn put_answer(out: &mut BytesMut, answer: &Response<Bytes>, stream: u32, status: &[u8]) {
    let mut block = BytesMut::from(status);
    let content_type = answer.headers().get(CONTENT_TYPE);
    let content_type = content_type.map_or(&b""[..], |value| value.as_bytes());
    put_literal(&mut block, CONTENT_TYPE_NAME, content_type);
    let length = answer.body().len().to_string();
    put_literal(&mut block, CONTENT_LENGTH_NAME, length.as_bytes());
    put_frame(out, HEADERS, END_HEADERS, stream, &block);
    put_frame(out, DATA, END_STREAM, stream, answer.body());
}

/// A value of fewer than 127 bytes, as all of ours are.
fn put_literal(block: &mut BytesMut, name: &[u8], value: &[u8]) {
    let Some(length) = u8::try_from(value.len())
        .ok()
        .filter(|length| *length < 0x7f)
    else {
        return;
    };
    block.put_slice(name);
    block.put_u8(length);
    block.put_slice(value);
}

fn put_frame(out: &mut BytesMut, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.put_uint(payload.len() as u64, 3);
    out.put_u8(kind);
    out.put_u8(flags);
    out.put_u32(stream);
    out.put_slice(payload);
}

impl<S: AsyncWrite + Unpin> AnsweredH2<S> {
    /// Writes what is left of an answer of ours.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.answer.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.answer))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.answer.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AnsweredH2<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnsweredH2<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_answer(cx))?;
        let passes = match self.look(buf) {
            Next::Pass(passes) => passes,
            Next::Replace(length, refused) => {
                self.replace(refused);
                return Poll::Ready(Ok(length));
            }
        };
        let now = buf.get(..passes).unwrap_or_default();
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, now))?;
        if let Written::Http2(frames) = &mut self.protocol {
            frames.wrote(buf, written);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_answer(cx))?;
        let first = bufs.first().map_or(&[][..], |first| first);
        let passes = this.look(first) == Next::Pass(first.len());
        let frames = match &mut this.protocol {
            Written::Http2(frames) if passes => frames,
            Written::Http1 => return Pin::new(&mut this.stream).poll_write_vectored(cx, bufs),
            _ => return self.poll_write(cx, first),
        };
        // Behind what passes as a whole.
        let mut ahead = *frames;
        for buf in bufs {
            if ahead.next(buf) != Next::Pass(buf.len()) {
                return self.poll_write(cx, first);
            }
            ahead.wrote(buf, buf.len());
        }
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, bufs))?;
        let mut left = written;
        for buf in bufs {
            let now = left.min(buf.len());
            frames.wrote(buf, now);
            left -= now;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_frame(&mut out, kind, flags, stream, payload);
        out.to_vec()
    }

    fn reset(stream: u32, code: u32) -> Vec<u8> {
        frame(RST_STREAM, 0, stream, &code.to_be_bytes())
    }

    #[test]
    fn resets_of_malformed_requests_are_replaced() {
        let mut frames = Frames::default();
        let settings = frame(4, 0, 0, &[0; 6]);
        let both = [settings.clone(), reset(1, PROTOCOL_ERROR)].concat();
        assert_eq!(frames.next(&both), Next::Pass(settings.len()));
        frames.wrote(&both, settings.len());
        let rest = &both[settings.len()..];
        assert_eq!(frames.next(rest), Next::Replace(13, Refused::Malformed(1)));
        // Cancelled, or answered before, or older than what is answered.
        assert_eq!(frames.next(&reset(1, 8)), Next::Pass(13));
        let answer = frame(HEADERS, END_HEADERS, 5, &[0x88, 0xbe]);
        assert_eq!(frames.next(&answer), Next::Pass(answer.len()));
        frames.wrote(&answer, answer.len());
        for stream in [3, 5] {
            assert_eq!(frames.next(&reset(stream, PROTOCOL_ERROR)), Next::Pass(13));
        }
        let malformed = Next::Replace(13, Refused::Malformed(7));
        assert_eq!(frames.next(&reset(7, PROTOCOL_ERROR)), malformed);
    }

    #[test]
    fn connections_ended_for_a_request_are_told_apart() {
        let goaway = |code: u32, debug_data: &[u8]| {
            let payload = [&[0; 4], &code.to_be_bytes(), debug_data].concat();
            let bytes = frame(GOAWAY, 0, 0, &payload);
            match Frames::default().next(&bytes) {
                Next::Pass(_) => None,
                Next::Replace(length, Refused::Connection(_, unread)) => {
                    assert_eq!(length, bytes.len());
                    Some(unread)
                }
                other @ Next::Replace(..) => panic!("{other:?}"),
            }
        };
        assert_eq!(goaway(COMPRESSION_ERROR, b""), Some(Unread::Headers));
        for debug_data in HEADERS_WAY_TOO_LARGE {
            let unread = goaway(ENHANCE_YOUR_CALM, debug_data);
            assert_eq!(unread, Some(Unread::Headers));
        }
        assert_eq!(goaway(PROTOCOL_ERROR, b""), Some(Unread::Http2));
        // A drain, a flood of resets, and what was replaced before.
        assert_eq!(goaway(NO_ERROR, b""), None);
        assert_eq!(goaway(ENHANCE_YOUR_CALM, b"too_many_resets"), None);
        assert_eq!(goaway(PROTOCOL_ERROR, b"ours"), None);
    }

    #[test]
    fn frames_are_followed_however_they_are_written() {
        let data = frame(DATA, END_STREAM, 1, &[RST_STREAM; 40]);
        let all = [data, reset(3, PROTOCOL_ERROR)].concat();
        for first in 0..all.len() - 13 {
            let mut frames = Frames::default();
            frames.wrote(&all, first);
            let rest = &all[first..];
            let passes = rest.len() - 13;
            assert_eq!(frames.next(rest), Next::Pass(passes), "{first}");
            frames.wrote(rest, passes);
            let next = frames.next(&rest[passes..]);
            assert_eq!(next, Next::Replace(13, Refused::Malformed(3)), "{first}");
        }
    }

    #[test]
    fn lone_status_is_not_an_answer_of_ours() {
        let ends = END_HEADERS | END_STREAM;
        let refused = |block: &[u8]| {
            let bytes = frame(HEADERS, ends, 1, block);
            Frames::default().next(&bytes) != Next::Pass(bytes.len())
        };
        assert!(refused(&[0x48, 0x82, 0x68, 0x03]));
        assert!(refused(&[0xbe]));
        // Trailers: the second time gRPC's status is in the table.
        let answer = frame(HEADERS, END_HEADERS, 1, &[0x88, 0xbe]);
        let trailers = frame(HEADERS, ends, 1, &[0xbe]);
        let mut frames = Frames::default();
        frames.wrote(&answer, answer.len());
        assert_eq!(frames.next(&trailers), Next::Pass(trailers.len()));
        // With a date.
        assert!(!refused(&[0x48, 0x82, 0x68, 0x03, 0xbf]));
        assert!(!refused(&[0x89, 0xbe]));
    }
}
