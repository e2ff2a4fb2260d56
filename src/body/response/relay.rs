//! A response that a task reads, for other uses besides sending it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::sync::mpsc::UnboundedReceiver;

use super::ResponseBody;
use crate::body::BodyError;

/// What the task sends. The last one is anything but `Data`.
pub(crate) enum Piece {
    /// A chunk. The sender bounds how many bytes can be queued.
    Data(Bytes),
    /// The rest, to be read from here.
    Rest(Box<ResponseBody>),
    /// It ended early.
    Broken(BodyError),
    End,
}

/// The receiving end.
pub(super) struct RelayedBody {
    source: Source,
    size: SizeHint,
}

enum Source {
    Task(UnboundedReceiver<Piece>),
    Rest(Box<ResponseBody>),
    Nothing,
}

impl RelayedBody {
    pub(super) fn new(pieces: UnboundedReceiver<Piece>, size: SizeHint) -> Self {
        Self {
            source: Source::Task(pieces),
            size,
        }
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let pieces = match &mut self.source {
                Source::Task(pieces) => pieces,
                Source::Rest(rest) => return Pin::new(rest).poll_frame(cx),
                Source::Nothing => return Poll::Ready(None),
            };
            let last = match ready!(pieces.poll_recv(cx)) {
                Some(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Piece::Rest(rest)) => {
                    self.source = Source::Rest(rest);
                    continue;
                }
                Some(Piece::End) => None,
                Some(Piece::Broken(error)) => Some(Err(error)),
                // A task that ended without sending an end was stopped.
                None => Some(Err(BodyError::Stopped)),
            };
            self.source = Source::Nothing;
            return Poll::Ready(last);
        }
    }

    /// That of the whole body: hyper calls it before the first chunk.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.size
    }
}
