//! A client's request body as its connection receives it.
//!
//! HTTP/1.1 carries the next request behind the end of this one's body (RFC 9112 §9.3). A request
//! that is answered before its body was read, such as a refused one, would end the connection and
//! with it the requests that the client's pool sends next. So the rest of a body that nobody reads
//! goes back to its connection, which reads a little of it to its end and says `connection: close`
//! where there is more.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

/// The most that is read of a body only to keep its connection: as much as Go's server reads
/// (`maxPostHandlerReadBytes` in net/http/server.go).
const DISCARDED_BYTES: u64 = 256 * 1024;

/// How long that may take. The answer waits for it.
const DISCARDED_WITHIN: Duration = Duration::from_millis(500);

/// A client's body. Dropped before its end, it goes back to its connection.
pub struct ReceivedBody {
    /// `None` after its end.
    incoming: Option<Incoming>,
    was_read: bool,
    rest: Option<Arc<Mutex<Rest>>>,
}

/// What became of a body.
enum Rest {
    /// It is still being read.
    InUse,
    /// It was read to its end.
    Ended,
    /// It broke off or broke the protocol.
    Broken,
    /// Nobody reads it any more.
    Left { incoming: Incoming, was_read: bool },
}

/// The rest of a body, for its connection.
pub(crate) struct BodyRest(Arc<Mutex<Rest>>);

impl ReceivedBody {
    /// A body whose rest does not matter: its HTTP/2 stream is reset alone (RFC 9113 §8.1), or its
    /// connection carries no other request.
    pub(crate) fn new(incoming: Incoming) -> Self {
        Self {
            incoming: Some(incoming),
            was_read: false,
            rest: None,
        }
    }

    /// A body whose rest its connection has to deal with; `None` where there is no body at all.
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
            self.end(Rest::Left { incoming, was_read });
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
    /// Reads what is left of the body, if that is little and comes soon. Says whether the
    /// connection can carry another request. To be called when the answer is there and not sent
    /// yet: a client that waits for `100 Continue` must get none with a refusal
    /// (RFC 9110 §10.1.1), and hyper sends one when such a body is read.
    pub(crate) async fn discard(self, awaits_continue: bool) -> bool {
        let rest = {
            let mut rest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *rest, Rest::InUse)
        };
        match rest {
            Rest::Ended => true,
            Rest::InUse | Rest::Broken => false,
            Rest::Left { incoming, .. } if incoming.is_end_stream() => true,
            Rest::Left { was_read, .. } if awaits_continue && !was_read => false,
            Rest::Left { incoming, .. } => {
                let discarded = tokio::time::timeout(DISCARDED_WITHIN, discard(incoming));
                discarded.await.unwrap_or(false)
            }
        }
    }
}

/// Whether the body came to its end within the bound.
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
