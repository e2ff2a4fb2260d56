//! The body that is sent to the client: an enum, not a box, so that a streamed chunk costs no
//! allocation.

mod compressed;
mod relay;

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

use self::compressed::CompressedBody;
pub(crate) use self::relay::Piece;
use self::relay::RelayedBody;
use super::budget::{Room, Share};
use super::coding::{Coding, Levels};
use super::collect::whole;
use super::filter::{FilteredBody, StreamFilter};
use super::measure::{MeasuredBody, WhenDone};
use super::streamed::Streamed;
use super::{BodyError, CollectError, whole_size};

/// Dropped at the end of a response; notified before if it ends early.
pub(crate) trait OnEnd: Send {
    /// The body ends early.
    fn broken(&self, error: &BodyError);
}

pub(crate) struct ResponseBody {
    content: Content,
    /// Whether its bytes are the upstream's and must reach the client as they are.
    is_untouched: bool,
    /// Dropped with the body: that is the end of the request.
    on_end: Option<Box<dyn OnEnd>>,
}

enum Content {
    Whole(Option<Bytes>),
    Streamed(Streamed),
    Measured(Box<MeasuredBody>),
    Pieces(VecDeque<Bytes>),
    Filtered(Box<FilteredBody>),
    Messages(mpsc::Receiver<Frame<Bytes>>),
    Relayed(RelayedBody),
    Compressed(Box<CompressedBody>),
}

impl ResponseBody {
    /// A body of these bytes.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::of(Content::Whole((!bytes.is_empty()).then_some(bytes)))
    }

    /// The upstream's body, streamed unmodified.
    pub(crate) fn streamed(streamed: Streamed) -> Self {
        Self::of(Content::Streamed(streamed))
    }

    /// The same body, measured. A body that is not the upstream's own is not measured.
    pub(crate) fn measured(self, when_done: WhenDone) -> Self {
        let content = match self.content {
            Content::Streamed(streamed) => {
                Content::Measured(Box::new(MeasuredBody::new(streamed, when_done)))
            }
            content => content,
        };
        Self { content, ..self }
    }

    /// A body of these chunks.
    pub(crate) fn pieces(mut pieces: Vec<Bytes>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        Self::of(Content::Pieces(pieces.into()))
    }

    /// The upstream's body, filtered; `ready` is the filter's output so far.
    pub(crate) fn filtered(
        source: Streamed,
        filter: StreamFilter,
        ready: Vec<Bytes>,
        held: Share,
    ) -> Self {
        let filtered = FilteredBody::new(source, filter, ready, held);
        Self::of(Content::Filtered(Box::new(filtered)))
    }

    /// Frames that a task sends. The last one must be the trailers.
    pub(crate) fn messages(frames: mpsc::Receiver<Frame<Bytes>>) -> Self {
        Self::of(Content::Messages(frames))
    }

    /// Chunks of `original`, which a task reads and sends.
    pub(crate) fn relayed(pieces: mpsc::UnboundedReceiver<Piece>, original: &Self) -> Self {
        Self::of(Content::Relayed(RelayedBody::new(
            pieces,
            original.size_hint(),
        )))
    }

    /// The same body, which nothing may change any more.
    pub(crate) fn untouched(self) -> Self {
        Self {
            is_untouched: true,
            ..self
        }
    }

    /// Whether nothing may change it.
    pub(crate) fn is_untouched(&self) -> bool {
        self.is_untouched
    }

    /// The same body, compressed as it passes. `held` is for [`Coding::encoder_bytes`].
    pub(crate) fn compressed(self, coding: Coding, levels: Levels, held: Share) -> Self {
        let compressed = CompressedBody::new(self, coding, levels, held);
        Self::of(Content::Compressed(Box::new(compressed)))
    }

    /// The next chunk of data; `None` at the end.
    pub(crate) async fn data(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await?;
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => return Some(Ok(data)),
                Ok(Err(_trailers)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn of(content: Content) -> Self {
        Self {
            content,
            is_untouched: false,
            on_end: None,
        }
    }

    /// Buffers the whole body, if it fits.
    pub(crate) async fn collect(self, room: &Room) -> Result<Bytes, CollectError> {
        whole(self, room).await
    }

    /// Ties the end of the request to the end of this body.
    pub(crate) fn on_end(mut self, on_end: Box<dyn OnEnd>) -> Self {
        self.on_end = Some(on_end);
        self
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = match &mut this.content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Streamed(streamed) => streamed.poll(cx),
            Content::Measured(measured) => measured.poll(cx),
            Content::Pieces(pieces) => {
                Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
            }
            Content::Filtered(filtered) => filtered.poll(cx),
            Content::Messages(frames) => frames.poll_recv(cx).map(|frame| frame.map(Ok)),
            Content::Relayed(body) => body.poll(cx),
            Content::Compressed(body) => body.poll(cx),
        };
        if let (Poll::Ready(Some(Err(error))), Some(on_end)) = (&polled, &this.on_end) {
            on_end.broken(error);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Streamed(streamed) => streamed.is_end_stream(),
            Content::Compressed(body) => body.is_end_stream(),
            Content::Measured(measured) => measured.is_end_stream(),
            Content::Pieces(pieces) => pieces.is_empty(),
            Content::Filtered(_) | Content::Messages(_) | Content::Relayed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => whole_size(bytes.as_ref()),
            Content::Streamed(streamed) => streamed.size_hint(),
            Content::Measured(measured) => measured.size_hint(),
            Content::Pieces(pieces) => {
                SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum())
            }
            Content::Filtered(_) | Content::Messages(_) | Content::Compressed(_) => {
                SizeHint::default()
            }
            Content::Relayed(body) => body.size_hint(),
        }
    }
}
