//! A client's request body as its connection receives it.
//!
//! On HTTP/1.1 the next request follows the end of this one's body (RFC 9112 §9.3). A request that
//! is answered before its body was read, such as a refused one, would end the connection, and fail
//! the requests that the client's pool sends next. So the rest of an unread body is returned to its
//! connection, which discards it if it is short, and responds with `connection: close` if it is
//! not.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

/// The most bytes that are discarded to keep a connection open: the same as in Go's server
/// (`maxPostHandlerReadBytes` in net/http/server.go).
const DISCARDED_BYTES: u64 = 256 * 1024;

/// How long that may take. The response waits for it.
const DISCARDED_WITHIN: Duration = Duration::from_millis(500);

/// A client's body. Dropped before its end, its rest is returned to its connection.
pub struct ReceivedBody {
    incoming: Option<Incoming>,
    was_read: bool,
    rest: Option<Arc<Mutex<Rest>>>,
}

/// The state of a body's rest.
enum Rest {
    /// It is still being read.
    InUse,
    /// It was read to its end.
    Ended,
    /// It ended early, or violated the protocol.
    Broken,
    /// It was dropped before its end.
    Unread { incoming: Incoming, was_read: bool },
}

/// The rest of a body, for its connection.
pub(crate) struct BodyRest(Arc<Mutex<Rest>>);

impl ReceivedBody {
    /// A body whose rest does not matter: its HTTP/2 stream is reset on its own (RFC 9113 §8.1), or
    /// its connection is not reused.
    pub(crate) fn new(incoming: Incoming) -> Self {
        Self {
            incoming: Some(incoming),
            was_read: false,
            rest: None,
        }
    }

    /// A body and its rest, for its connection; `None` if there is no body.
    pub(crate) fn with_rest(incoming: Incoming) -> (Self, Option<BodyRest>) {
        let mut body = Self::new(incoming);
        if body.is_end_stream() {
            return (body, None);
        }
        let rest = Arc::new(Mutex::new(Rest::InUse));
        body.rest = Some(Arc::clone(&rest));
        (body, Some(BodyRest(rest)))
    }

    fn end(&mut self, became: Rest) {
        self.incoming = None;
        if let Some(rest) = self.rest.take() {
            *rest.lock().unwrap_or_else(PoisonError::into_inner) = became;
        }
    }
}

impl Drop for ReceivedBody {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            let was_read = self.was_read;
            self.end(Rest::Unread { incoming, was_read });
        }
    }
}

impl HttpBody for ReceivedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        this.was_read = true;
        let polled = Pin::new(incoming).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => this.end(Rest::Ended),
            Poll::Ready(Some(Err(_))) => this.end(Rest::Broken),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let incoming = self.incoming.as_ref();
        incoming.map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl BodyRest {
    /// Discards the rest of the body, if it is short and arrives soon. Returns whether the
    /// connection can be reused. Call this once the response exists and before it is sent: a client
    /// that waits for `100 Continue` must get none with a refusal (RFC 9110 §10.1.1), and hyper
    /// sends one when such a body is read.
    pub(crate) async fn discard(self, awaits_continue: bool) -> bool {
        let rest = {
            let mut rest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *rest, Rest::InUse)
        };
        match rest {
            Rest::Ended => true,
            Rest::InUse | Rest::Broken => false,
            Rest::Unread { incoming, .. } if incoming.is_end_stream() => true,
            Rest::Unread { was_read, .. } if awaits_continue && !was_read => false,
            Rest::Unread { incoming, .. } => {
                let discarded = tokio::time::timeout(DISCARDED_WITHIN, discard(incoming));
                discarded.await.unwrap_or(false)
            }
        }
    }
}

/// Whether the body ended within the limits.
async fn discard(mut body: Incoming) -> bool {
    let mut left = DISCARDED_BYTES;
    if body.size_hint().lower() > left {
        return false;
    }
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        match frame {
            None => return true,
            Some(Err(_broken)) => return false,
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(length as u64) {
                    Some(less) => left = less,
                    None => return false,
                }
            }
        }
    }
}
