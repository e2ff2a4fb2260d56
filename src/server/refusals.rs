//! What the HTTP library refuses by itself is answered in our words.
//!
//! It writes a status and nothing else, without asking anyone. The stream below it knows such an
//! answer when it is written, and sends ours in its place.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use hyper::body::Body as _;
use hyper::{Response, Version};
use tokio::io::AsyncWrite;

use super::timeouts::ConnectionState;
use crate::body::ResponseBody;
use crate::proxy::{Proxy, Unread};

/// How every answer begins that may be the library's own.
const REFUSAL: &[u8] = b"HTTP/1.1 4";

/// Longer than any of them.
const LONGEST: usize = 256;

/// Of one connection.
pub(super) struct Refusals {
    proxy: Arc<Proxy>,
    activity: Arc<ConnectionState>,
    remote: Option<SocketAddr>,
    /// Answers of ours that are still to be written and look like the library's.
    alike: AtomicU32,
    has_answered: AtomicBool,
}

/// What is still to be written of an answer of ours, before anything else is.
#[derive(Default)]
pub(super) struct Unwritten(Bytes);

impl Unwritten {
    pub(super) fn new(answer: Bytes) -> Self {
        Self(answer)
    }

    /// Writes all of it.
    pub(super) fn poll_write(
        &mut self,
        mut stream: impl AsyncWrite + Unpin,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.0.is_empty() {
            let written = ready!(Pin::new(&mut stream).poll_write(cx, &self.0))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.0.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// What a connection knows of a request that the library refuses.
pub(super) struct Beginning<'a> {
    /// As much as was kept of its first line.
    pub(super) line: &'a [u8],
    /// Whether its framing was refused here, and not by the library.
    pub(super) is_ambiguous: bool,
}

impl Refusals {
    pub(super) fn new(
        proxy: Arc<Proxy>,
        activity: Arc<ConnectionState>,
        remote: Option<SocketAddr>,
    ) -> Self {
        Self {
            proxy,
            activity,
            remote,
            alike: AtomicU32::new(0),
            has_answered: AtomicBool::new(false),
        }
    }

    /// Notes an answer of ours to HTTP/1.1, if it will look like one of the library's.
    pub(super) fn expect(&self, ours: &Response<ResponseBody>) {
        if Unread::by_status(ours.status().as_u16()).is_some() && ours.body().is_end_stream() {
            self.alike.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What is to be sent in the place of what the library writes; `None` if that is not a refusal
    /// of its own.
    pub(super) fn in_place_of(&self, written: &[u8], beginning: &Beginning<'_>) -> Option<Bytes> {
        let (unread, date) = library_refusal(written)?;
        // Answers are written in order: one of ours that looks like it comes first.
        let take = |count: u32| count.checked_sub(1);
        let (order, alike) = (Ordering::Relaxed, &self.alike);
        if alike.fetch_update(order, order, take).is_ok() {
            return None;
        }
        let unread = if beginning.is_ambiguous {
            Unread::Framing
        } else {
            unread
        };
        let answer = self.answer(unread, beginning.line, Version::HTTP_11);
        let is_head = beginning.line.starts_with(b"HEAD ");
        Some(http1(&answer, date, is_head))
    }

    /// Our answer, counted and audited.
    pub(super) fn answer(&self, unread: Unread, line: &[u8], version: Version) -> Response<Bytes> {
        self.has_answered.store(true, Ordering::Relaxed);
        let in_flight = self.activity.request_begins(version);
        self.proxy
            .answer_unread(unread, line, in_flight, self.remote)
    }

    /// The connection has ended by this error. A refusal that could not be answered is counted and
    /// audited all the same.
    pub(super) fn connection_ended(&self, error: &hyper::Error) {
        if self.has_answered.load(Ordering::Relaxed) || !error.is_parse() {
            return;
        }
        let unread = if error.is_parse_too_large() {
            Unread::Headers
        } else {
            Unread::Syntax
        };
        let _unsent = self.answer(unread, b"", Version::HTTP_11);
    }
}

/// Why the library refuses, and the date that it says, if these bytes are such an answer: they have
/// no more than it writes.
fn library_refusal(written: &[u8]) -> Option<(Unread, &str)> {
    if !written.starts_with(REFUSAL) || written.len() > LONGEST {
        return None;
    }
    let text = std::str::from_utf8(written).ok()?;
    let mut lines = text.strip_suffix("\r\n\r\n")?.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let unread = Unread::by_status(status)?;
    let (mut closes, mut is_empty, mut date) = (false, false, "");
    for line in lines {
        match line.split_once(": ")? {
            ("connection", "close") => closes = true,
            ("content-length", "0") => is_empty = true,
            ("date", said) => date = said,
            _ => return None,
        }
    }
    (closes && is_empty).then_some((unread, date))
}

/// As it is sent on HTTP/1.1, as the last answer of its connection.
fn http1(answer: &Response<Bytes>, date: &str, is_head: bool) -> Bytes {
    let status = answer.status();
    let body = answer.body();
    let mut out = BytesMut::with_capacity(body.len() + LONGEST);
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    for (name, value) in answer.headers() {
        out.put_slice(b"\r\n");
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
    }
    let rest = format!(
        "\r\ncontent-length: {}\r\nconnection: close\r\ndate: {date}\r\n\r\n",
        body.len()
    );
    out.put_slice(rest.as_bytes());
    if !is_head {
        out.put_slice(body);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_the_library_are_known_by_all_that_they_say() {
        let date = "date: Sun, 29 Nov 2026 02:00:00 GMT\r\n";
        let close = "connection: close\r\ncontent-length: 0\r\n";
        let known = |text: &str| library_refusal(text.as_bytes()).map(|(unread, _)| unread);
        for (status, expected) in [
            ("400 Bad Request", Some(Unread::Syntax)),
            ("414 URI Too Long", Some(Unread::Uri)),
            ("431 Request Header Fields Too Large", Some(Unread::Headers)),
            ("403 Forbidden", None),
        ] {
            let text = format!("HTTP/1.1 {status}\r\n{close}{date}\r\n");
            assert_eq!(known(&text), expected, "{text}");
        }
        for other in [
            format!("HTTP/1.1 400 Bad Request\r\n{date}\r\n"),
            format!("HTTP/1.1 400 Bad Request\r\n{close}{date}x: y\r\n\r\n"),
            format!("HTTP/1.1 400 Bad Request\r\n{close}{date}\r\nHTTP/1.1 200 OK\r\n"),
            format!("HTTP/1.1 200 OK\r\n{close}{date}\r\n"),
        ] {
            assert_eq!(known(&other), None, "{other}");
        }
    }
}
