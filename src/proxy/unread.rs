//! Requests that never became one: the HTTP library refuses them before there is anything to
//! handle. They are answered, counted and audited as all refusals are.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;

use super::Proxy;
use super::error::{Dialect, ErrorKind, ProxyError};
use super::record::{RequestHead, RequestRecord};
use crate::reason::Reason;
use crate::server::InFlight;

/// The most headers that the HTTP/1.1 library reads.
const MAX_HEADERS: usize = 100;

/// Why there is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Where it ends has two readings.
    Framing,
    /// A request line or header that is none.
    Syntax,
    /// The same of HTTP/2.
    Http2,
    /// Too many headers, or too long ones.
    Headers,
    /// A URL that is longer than the library reads.
    Uri,
}

impl Unread {
    /// By the status that the library answers.
    pub(crate) fn by_status(status: u16) -> Option<Self> {
        match status {
            400 => Some(Self::Syntax),
            414 => Some(Self::Uri),
            431 => Some(Self::Headers),
            _ => None,
        }
    }

    fn error(self, header_bytes: usize) -> ProxyError {
        match self {
            Self::Framing => ProxyError::new(
                ErrorKind::BadRequest,
                "where this request ends has two readings; send one Content-Length or one \
                 Transfer-Encoding: chunked, and end each line in CR LF",
            )
            .because(Reason::HttpSyntax),
            Self::Syntax => ProxyError::new(
                ErrorKind::BadRequest,
                "this is not valid HTTP/1.1; percent-encode spaces and control characters in the \
                 URL, and send each header as `Name: value` on a line of its own",
            )
            .because(Reason::HttpSyntax),
            Self::Http2 => ProxyError::new(
                ErrorKind::BadRequest,
                "this is not a valid HTTP/2 request; percent-encode the characters \", < and > in \
                 the URL (HTTP/1.1 takes them as they are), and send no connection headers",
            )
            .because(Reason::HttpSyntax),
            Self::Headers => ProxyError::new(
                ErrorKind::HeadersTooLarge,
                format!(
                    "the request's headers have more than {header_bytes} bytes \
                     (limits.header_bytes), or are more than {MAX_HEADERS}; send fewer or shorter \
                     ones, and long parameters as a POST form"
                ),
            ),
            Self::Uri => ProxyError::new(
                ErrorKind::UriTooLong,
                "the request's path and query have more than 65534 bytes; send long parameters as \
                 a POST form",
            ),
        }
    }
}

impl Proxy {
    /// Answers what never became a request. `line` is as much as is known of its first line.
    pub(crate) fn answer_unread(
        &self,
        unread: Unread,
        line: &[u8],
        in_flight: InFlight,
        remote: Option<SocketAddr>,
    ) -> Response<Bytes> {
        let snapshot = self.snapshot();
        let (method, path) = method_and_path(line);
        let head = RequestHead {
            method,
            remote,
            dialect: Dialect::of_path(path),
            trace_id: None,
        };
        let (metrics, trail) = (Arc::clone(&self.metrics), self.audit.trail());
        let spans = self.spans.begin(None);
        let mut record = RequestRecord::begin(metrics, trail, spans, in_flight, head);
        let error = unread.error(snapshot.settings().limits.header_bytes);
        record.fail(&error);
        let response = error.render(record.dialect());
        record.set_code(response.status().as_u16());
        response
    }
}

/// Of a request line, or its beginning: a method from a closed set, and the path.
fn method_and_path(line: &[u8]) -> (&'static str, &str) {
    const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];
    let line = std::str::from_utf8(line).unwrap_or_default();
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let method = METHODS.into_iter().find(|known| *known == method);
    (method.unwrap_or("other"), path)
}
