//! Connections that are used again: how long that is safe, and what follows when it was not.
//!
//! A pooled connection may be closed by the upstream at the moment a request is written to it: by
//! a restart, or by an idle timeout of the upstream or of a load balancer before it. hyper-util
//! itself repeats a request that it had not begun to write. What is left is repeated here, once and
//! on a fresh connection, if the request is safe to repeat ([`Repeat`]):
//!
//! | protocol | the request |
//! |---|---|
//! | HTTP/1.1 | was written, and the connection ended before a byte of the answer came |
//! | HTTP/2 | was refused unprocessed (`REFUSED_STREAM`, RFC 9113 §8.7), came after a `GOAWAY`, or the connection broke |
//!
//! The end of a connection that no request was answered on is an error of the upstream.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::header::HeaderMap;
use hyper::http::Extensions;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::CaptureConnection;

use crate::body::RequestBody;

/// The protocol of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Whether a request may be sent a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It may change something, or its body cannot be had again.
    Never,
    /// It only reads. It is repeated if a reused connection ends before its answer begins.
    Once,
}

/// What a connection is used for.
#[derive(Debug)]
pub(super) struct ConnectionUse {
    protocol: Protocol,
    opened: Instant,
    /// Requests on HTTP/1, as far as what comes and goes shows them.
    requests: AtomicU64,
    /// Whether something was sent since the last byte that came.
    awaits_answer: AtomicBool,
    /// When bytes last came or went, in milliseconds since it was opened.
    last_used: AtomicU64,
    /// Whether it is closed to further requests in time.
    is_retired: AtomicBool,
}

impl ConnectionUse {
    /// Of a connection that was just opened.
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            opened: Instant::now(),
            requests: AtomicU64::new(0),
            awaits_answer: AtomicBool::new(false),
            last_used: AtomicU64::new(0),
            is_retired: AtomicBool::new(false),
        }
    }

    /// The use that an answer or an error of [`legacy::Client`] carries.
    fn of(extensions: &Extensions) -> Option<&Arc<Self>> {
        extensions.get()
    }

    /// Bytes came.
    pub(super) fn received(&self) {
        self.awaits_answer.store(false, Ordering::Relaxed);
        self.used();
    }

    /// Bytes are to be sent.
    pub(super) fn sends(&self) {
        if !self.awaits_answer.swap(true, Ordering::Relaxed) {
            self.requests.fetch_add(1, Ordering::Relaxed);
        }
        self.used();
    }

    fn used(&self) {
        self.last_used.store(self.age(), Ordering::Relaxed);
    }

    /// In milliseconds.
    fn age(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How long nothing has come or gone.
    fn unused_for(&self) -> Duration {
        if self.awaits_answer.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        let last = self.last_used.load(Ordering::Relaxed);
        Duration::from_millis(self.age().saturating_sub(last))
    }
}

/// A copy of a request, if its body is there.
pub(super) fn copy_of(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let body = match request.body() {
        RequestBody::Empty => RequestBody::Empty,
        RequestBody::Whole(bytes) => RequestBody::Whole(bytes.clone()),
        RequestBody::Streamed(_) | RequestBody::Resumed(_) => return None,
    };
    let mut copy = Request::new(body);
    request.method().clone_into(copy.method_mut());
    request.uri().clone_into(copy.uri_mut());
    request.headers().clone_into(copy.headers_mut());
    *copy.version_mut() = request.version();
    Some(copy)
}

/// Whether a request that was sent at `begun` failed because a connection that was used before had
/// ended.
pub(super) fn was_stale(error: &legacy::Error, begun: Instant) -> bool {
    let mut extensions = Extensions::new();
    // There is none where no connection could be opened.
    let Some(connected) = error.connect_info() else {
        return false;
    };
    connected.get_extras(&mut extensions);
    let Some(usage) = ConnectionUse::of(&extensions) else {
        return false;
    };
    let was_never_sent = cause(error).is_some_and(hyper::Error::is_canceled);
    was_never_sent
        || match usage.protocol {
            Protocol::Http1 => {
                let is_reused = usage.requests.load(Ordering::Relaxed) > 1;
                is_reused && usage.awaits_answer.load(Ordering::Relaxed)
            }
            Protocol::Http2 => match cause::<h2::Error>(error) {
                Some(error) => {
                    let is_refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
                    is_refused || error.is_go_away()
                }
                None => usage.opened < begun && cause::<io::Error>(error).is_some(),
            },
        }
}

/// The cause of this type.
fn cause<E: Error + 'static>(error: &legacy::Error) -> Option<&E> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref() {
            return Some(error);
        }
        source = cause.source();
    }
    None
}

/// How long an HTTP/1 upstream keeps an unused connection, if it says so: `Keep-Alive: timeout=5`
/// (in seconds; RFC 2068 §19.7.1.1).
pub(super) fn announced_keep_alive(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("keep-alive")?.to_str().ok()?;
    value.split(',').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_timeout = name.trim().eq_ignore_ascii_case("timeout");
        let seconds = value.trim().trim_matches('"').parse().ok()?;
        is_timeout.then_some(Duration::from_secs(seconds))
    })
}

/// Closes a connection to further requests before the upstream has it closed: after four fifths of
/// that time without use, since a request takes its time to arrive.
pub(super) fn retire_in_time(
    extensions: &Extensions,
    connection: CaptureConnection,
    keep_alive: Duration,
) {
    let Some(usage) = ConnectionUse::of(extensions) else {
        return;
    };
    if !usage.is_retired.swap(true, Ordering::Relaxed) {
        tokio::spawn(retire(
            Arc::downgrade(usage),
            connection,
            keep_alive * 4 / 5,
        ));
    }
}

async fn retire(usage: Weak<ConnectionUse>, connection: CaptureConnection, after: Duration) {
    loop {
        // Without it the connection has ended.
        let Some(unused) = usage.upgrade().map(|usage| usage.unused_for()) else {
            return;
        };
        let left = after.saturating_sub(unused);
        if left.is_zero() {
            if let Some(connected) = &*connection.connection_metadata() {
                connected.poison();
            }
            return;
        }
        tokio::time::sleep(left).await;
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn keep_alive_is_read_in_seconds() {
        let read = |value: &'static str| {
            let headers = HeaderMap::from_iter([(
                "keep-alive".parse().unwrap(),
                HeaderValue::from_static(value),
            )]);
            announced_keep_alive(&headers)
        };
        let five = Some(Duration::from_secs(5));
        for value in [
            "timeout=5",
            "timeout=5, max=100",
            "max=1,Timeout = 5",
            "timeout=\"5\"",
        ] {
            assert_eq!(read(value), five, "{value}");
        }
        for value in [
            "",
            "timeout",
            "timeout=",
            "timeout=-1",
            "max=5",
            "timeout=x",
        ] {
            assert_eq!(read(value), None, "{value}");
        }
        assert_eq!(announced_keep_alive(&HeaderMap::new()), None);
    }
}
