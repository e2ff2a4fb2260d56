//! A body that comes from a peer, piece by piece.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use super::budget::{Room, Share};
use super::coding::{Coding, Decoder};
use super::collect::{Ahead, ahead, whole};
use super::patience::{Pace, Patience};
use super::{BodyError, CollectError};

/// A body that comes from a peer, which is waited for only so long.
pub struct Streamed<B = Incoming> {
    pub(super) incoming: B,
    patience: Patience,
    /// Counts the pieces, for whoever wants to know that they still come.
    pieces: Option<Arc<AtomicUsize>>,
    /// What takes its content coding off.
    decoder: Option<Box<Decoder>>,
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
            decoder: None,
        }
    }

    /// The same body without its content coding. `held` is for [`Coding::decoder_bytes`].
    pub(crate) fn decoded(self, coding: Coding, held: Share) -> Self {
        let decoder = Some(Box::new(Decoder::new(coding, held)));
        Self { decoder, ..self }
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let Some(decoder) = &mut self.decoder else {
                return self.poll_incoming(cx);
            };
            match decoder.piece() {
                Ok(None) => {}
                Ok(Some(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
            let frame = ready!(self.poll_incoming(cx));
            let Some(decoder) = &mut self.decoder else {
                return Poll::Ready(frame);
            };
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => decoder.push(data),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let ended = decoder.finish().err();
                    return Poll::Ready(ended.map(|error| Err(error.into())));
                }
            }
        }
    }

    fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
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

    pub(super) fn count_pieces(&mut self) -> Arc<AtomicUsize> {
        Arc::clone(self.pieces.get_or_insert_default())
    }

    /// The bytes that will come, where the peer said so.
    pub fn declared_length(&self) -> Option<u64> {
        self.size_hint().exact()
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

    fn is_end_stream(&self) -> bool {
        // What was compressed has an end of its own, which has to be seen.
        self.decoder.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.decoder {
            None => self.incoming.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}
