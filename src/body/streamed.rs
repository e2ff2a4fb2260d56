//! A body that is received from a peer, chunk by chunk.

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
use super::wait_budget::{Pace, WaitBudget};
use super::{BodyError, CollectError};

/// A body that is received from a peer, within a time limit.
pub struct Streamed<B = Incoming> {
    pub(super) incoming: B,
    wait_budget: WaitBudget,
    /// Counts the chunks, to observe progress.
    pieces: Option<Arc<AtomicUsize>>,
    /// What takes its content coding off.
    decoder: Option<Box<Decoder>>,
}

impl<B> Streamed<B>
where
    B: HttpBody<Data = Bytes, Error = hyper::Error> + Unpin,
{
    /// Streams `incoming`; fails if nothing is received for `idle`.
    pub fn new(incoming: B, idle: Duration) -> Self {
        Self::with(incoming, WaitBudget::new(idle))
    }

    /// Streams a client's body; fails if it is slower than this.
    pub(crate) fn from_client(incoming: B, pace: Pace) -> Self {
        Self::with(incoming, WaitBudget::with_client(pace))
    }

    fn with(incoming: B, wait_budget: WaitBudget) -> Self {
        Self {
            incoming,
            wait_budget,
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
            self.wait_budget.received(data.map_or(0, Bytes::len));
            if let Some(pieces) = &self.pieces {
                pieces.fetch_add(1, Ordering::Relaxed);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)));
        }
        self.wait_budget.poll_over(cx).map(|error| Some(Err(error)))
    }

    /// The next frame, data or trailers; `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// The next chunk of data; `None` at the end.
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

    /// The number of bytes still to be received, if the peer declared it.
    pub fn declared_length(&self) -> Option<u64> {
        self.size_hint().exact()
    }

    /// Buffers the whole body, if it fits.
    pub(crate) async fn collect(self, room: &Room) -> Result<Bytes, CollectError> {
        whole(self, room).await
    }

    /// Buffers like [`collect`](Self::collect); if the body does not fit, returns what was buffered
    /// with the rest.
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
