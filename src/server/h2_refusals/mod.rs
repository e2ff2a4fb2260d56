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

mod frames;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::header::CONTENT_TYPE;
use hyper::{Response, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::frames::{Frames, Next, Refused};
use super::refusals::{Refusals, Unwritten};
use crate::proxy::Unread;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const NO_ERROR: u32 = 0;

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
    answer: Unwritten,
}

/// What was written so far.
enum Written {
    Nothing,
    Http1,
    Http2(Frames),
}

impl<S> AnsweredH2<S> {
    pub(super) fn new(stream: S, refusals: Arc<Refusals>) -> Self {
        Self {
            stream,
            refusals,
            protocol: Written::Nothing,
            answer: Unwritten::default(),
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
        self.answer = Unwritten::new(answer(&self.refusals, refused));
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
        self.answer.poll_write(&mut self.stream, cx)
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
