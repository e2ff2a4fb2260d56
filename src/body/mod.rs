//! The bodies that pass through: an enum, not a box, so that a streamed piece costs no allocation.

pub(crate) mod budget;
mod client;
mod collect;
mod filter;
mod measure;
mod patience;
mod received;
mod relay;

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::sync::mpsc;

use self::budget::{Room, Share};
use self::client::Resumed;
pub(crate) use self::client::{Ahead, ClientBody};
use self::collect::{ahead, whole};
use self::filter::FilteredBody;
pub(crate) use self::filter::{StreamFilter, account};
use self::measure::MeasuredBody;
pub(crate) use self::measure::{SizeCounter, WhenDone};
pub(crate) use self::patience::Pace;
use self::patience::Patience;
pub(crate) use self::received::ReceivedBody;
pub(crate) use self::relay::Piece;
use self::relay::RelayedBody;
use crate::headers;
use crate::prometheus::answer::{AnswerScrubber, ScrubError};
use crate::prometheus::position::Position;
use crate::shares::Exceeded;
use crate::tempo::trace::TraceError;

/// Why a body ended before its end. The connection is closed, so the peer sees a broken body and
/// never takes it for a whole one.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The peer broke off or broke the protocol.
    #[error(transparent)]
    Transport(#[from] hyper::Error),
    /// Nothing came for too long.
    #[error("no data for {0:?}")]
    Idle(Duration),
    /// A client's came too slowly, in bytes a second.
    #[error("less than {0} bytes a second")]
    TooSlow(NonZeroU64),
    /// A streamed answer turned out not to be what it seemed.
    #[error(transparent)]
    Unscrubbable(#[from] ScrubError),
    /// The same of a trace.
    #[error(transparent)]
    Unredactable(#[from] TraceError),
    /// There is no memory left for what has to be held back of it.
    #[error(transparent)]
    Exhausted(#[from] Exceeded),
    /// Who read it was stopped.
    #[error("it was not read to its end")]
    Stopped,
}

/// Why a body could not be read whole.
#[derive(Debug)]
pub(crate) enum CollectError {
    /// It is larger than the limit.
    TooLarge,
    /// There is no memory left for it.
    Exhausted(Exceeded),
    /// It ended early or stalled.
    Broken(BodyError),
}

/// Carries positions in the confined query over to the caller's own text.
pub(crate) type RemapPosition = Box<dyn Fn(Position) -> Option<Position> + Send + Sync>;

/// The scrubber of a confined query's answer.
pub(crate) type Scrubber = AnswerScrubber<RemapPosition>;

/// A body that comes from a peer, which is waited for only so long.
pub struct Streamed<B = Incoming> {
    incoming: B,
    patience: Patience,
    /// Counts the pieces, for whoever wants to know that they still come.
    pieces: Option<Arc<AtomicUsize>>,
}

impl<B> Streamed<B>
where
    B: HttpBody<Data = Bytes, Error = hyper::Error> + Unpin,
{
    /// Streams `incoming`, failing when it is silent for `idle`.
    pub fn new(incoming: B, idle: Duration) -> Self {
        Self::with(incoming, Patience::new(idle))
    }

    /// Streams a client's body, failing when it comes more slowly than this.
    pub(crate) fn from_client(incoming: B, pace: Pace) -> Self {
        Self::with(incoming, Patience::with_client(pace))
    }

    fn with(incoming: B, patience: Patience) -> Self {
        Self {
            incoming,
            patience,
            pieces: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
            let data = frame
                .as_ref()
                .and_then(|frame| frame.as_ref().ok()?.data_ref());
            self.patience.received(data.map_or(0, Bytes::len));
            if let Some(pieces) = &self.pieces {
                pieces.fetch_add(1, Ordering::Relaxed);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)));
        }
        self.patience.poll_over(cx).map(|error| Some(Err(error)))
    }

    /// The next piece, data or trailers; `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// The next piece of data; `None` at the end.
    pub(crate) async fn data(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            match self.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn count_pieces(&mut self) -> Arc<AtomicUsize> {
        Arc::clone(self.pieces.get_or_insert_default())
    }

    /// The bytes that will come, where the peer said so.
    pub fn declared_length(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// Reads the whole body, if there is room for it.
    pub(crate) async fn collect(self, room: &Room) -> Result<Bytes, CollectError> {
        whole(self, room).await
    }

    /// Reads as [`collect`](Self::collect) does, and gives back what was read where that was not
    /// all.
    pub(crate) async fn ahead(self, room: &Room) -> Result<Ahead<Self>, BodyError> {
        ahead(self, room).await
    }
}

impl<B> HttpBody for Streamed<B>
where
    B: HttpBody<Data = Bytes, Error = hyper::Error> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.get_mut().poll(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// What is sent to an upstream.
pub enum RequestBody {
    /// Nothing.
    Empty,
    /// Bytes we built.
    Whole(Option<Bytes>),
    /// The client's body, as it comes.
    Streamed(Streamed<ReceivedBody>),
    /// One whose beginning was read before.
    Resumed(Box<Resumed>),
}

impl RequestBody {
    /// Counts the pieces of a body that is streamed, as they are sent; `None` for what is there
    /// from the start.
    pub fn count_pieces(&mut self) -> Option<Arc<AtomicUsize>> {
        match self {
            Self::Empty | Self::Whole(_) => None,
            Self::Streamed(streamed) => Some(streamed.count_pieces()),
            Self::Resumed(resumed) => Some(resumed.rest.count_pieces()),
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed(streamed) => streamed.poll(cx).map_ok(without_trusted_trailers),
            Self::Resumed(resumed) => resumed.poll(cx).map_ok(without_trusted_trailers),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_none(),
            Self::Streamed(streamed) => streamed.incoming.is_end_stream(),
            Self::Resumed(resumed) => resumed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => whole_size(bytes.as_ref()),
            Self::Streamed(streamed) => streamed.incoming.size_hint(),
            Self::Resumed(resumed) => resumed.size_hint(),
        }
    }
}

/// Trailers say no more about who is calling than headers may.
fn without_trusted_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            headers::strip_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// Is dropped at the end of a response, and told before if that comes too early.
pub(crate) trait OnEnd: Send {
    /// The body breaks off.
    fn broken(&self, error: &BodyError);
}

/// What is sent to the client.
pub(crate) struct ResponseBody {
    content: Content,
    /// Dropped with the body: that is when the request is over.
    on_end: Option<Box<dyn OnEnd>>,
}

enum Content {
    Whole(Option<Bytes>),
    Streamed(Streamed),
    MeasuredBody(Box<MeasuredBody>),
    Pieces(VecDeque<Bytes>),
    FilteredBody(Box<FilteredBody>),
    Relayed(mpsc::Receiver<Frame<Bytes>>),
    RelayedBody(RelayedBody),
}

impl ResponseBody {
    /// A body of these bytes.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::of(Content::Whole((!bytes.is_empty()).then_some(bytes)))
    }

    /// The upstream's body, as it comes.
    pub(crate) fn streamed(streamed: Streamed) -> Self {
        Self::of(Content::Streamed(streamed))
    }

    /// The same body, measured. One that does not come from the upstream as it is stays so.
    pub(crate) fn measured_body(self, when_done: WhenDone) -> Self {
        let content = match self.content {
            Content::Streamed(streamed) => {
                Content::MeasuredBody(Box::new(MeasuredBody::new(streamed, when_done)))
            }
            content => content,
        };
        Self { content, ..self }
    }

    /// A body of these pieces.
    pub(crate) fn pieces(mut pieces: Vec<Bytes>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        Self::of(Content::Pieces(pieces.into()))
    }

    /// The upstream's body, filtered on the way; `ready` is what the stream_filter gave already.
    pub(crate) fn filtered_body(
        source: Streamed,
        stream_filter: StreamFilter,
        ready: Vec<Bytes>,
        held: Share,
    ) -> Self {
        let filtered_body = FilteredBody::new(source, stream_filter, ready, held);
        Self::of(Content::FilteredBody(Box::new(filtered_body)))
    }

    /// What a task sends. Its last frame has to be the trailers.
    pub(crate) fn relayed(frames: mpsc::Receiver<Frame<Bytes>>) -> Self {
        Self::of(Content::Relayed(frames))
    }

    /// What a task sends of `original`, which it has.
    pub(crate) fn relayed_body(pieces: mpsc::UnboundedReceiver<Piece>, original: &Self) -> Self {
        Self::of(Content::RelayedBody(RelayedBody::new(
            pieces,
            original.size_hint(),
        )))
    }

    /// The next piece of data; `None` at the end.
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
            on_end: None,
        }
    }

    /// Reads the whole body, if there is room for it.
    pub(crate) async fn collect(self, room: &Room) -> Result<Bytes, CollectError> {
        whole(self, room).await
    }

    /// Ties the end of the request to the end of this body.
    pub(crate) fn on_end(mut self, on_end: impl OnEnd + 'static) -> Self {
        self.on_end = Some(Box::new(on_end));
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
            Content::MeasuredBody(measured_body) => measured_body.poll(cx),
            Content::Pieces(pieces) => {
                Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
            }
            Content::FilteredBody(filtered_body) => filtered_body.poll(cx),
            Content::Relayed(frames) => frames.poll_recv(cx).map(|frame| frame.map(Ok)),
            Content::RelayedBody(body) => body.poll(cx),
        };
        if let (Poll::Ready(Some(Err(error))), Some(on_end)) = (&polled, &this.on_end) {
            on_end.broken(error);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Streamed(streamed) => streamed.incoming.is_end_stream(),
            Content::MeasuredBody(measured_body) => measured_body.is_end_stream(),
            Content::Pieces(pieces) => pieces.is_empty(),
            Content::FilteredBody(_) | Content::Relayed(_) | Content::RelayedBody(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => whole_size(bytes.as_ref()),
            Content::Streamed(streamed) => streamed.incoming.size_hint(),
            Content::MeasuredBody(measured_body) => measured_body.size_hint(),
            Content::Pieces(pieces) => {
                SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum())
            }
            Content::FilteredBody(_) | Content::Relayed(_) => SizeHint::default(),
            Content::RelayedBody(body) => body.size_hint(),
        }
    }
}

fn whole_size(bytes: Option<&Bytes>) -> SizeHint {
    SizeHint::with_exact(bytes.map_or(0, |bytes| bytes.len() as u64))
}
