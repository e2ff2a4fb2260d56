//! A response that is compressed as it passes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body as _, Frame};

use super::ResponseBody;
use crate::body::budget::Share;
use crate::body::coding::{Coding, Encoder, Levels, PIECE, Until};
use crate::body::{BodyError, CodingError};

/// While an answer comes slowly, what is compressed of it is not held back for longer.
const FLUSHED_EVERY: Duration = Duration::from_secs(1);

/// A body that is compressed as it passes.
pub(super) struct CompressedBody {
    source: ResponseBody,
    coding: Coding,
    levels: Levels,
    state: State,
    /// What of the last piece is not compressed yet.
    rest: Bytes,
    /// Whether something went in since the last flush.
    is_dirty: bool,
    /// When something last came out.
    gave: Instant,
    /// For the encoder's memory.
    _held: Share,
}

enum State {
    /// Of a HEAD request nothing is ever compressed.
    NotBegun,
    Begun(Encoder),
    Ended,
}

impl CompressedBody {
    /// `held` is for [`Coding::encoder_bytes`].
    pub(super) fn new(source: ResponseBody, coding: Coding, levels: Levels, held: Share) -> Self {
        Self {
            source,
            coding,
            levels,
            state: State::NotBegun,
            rest: Bytes::new(),
            is_dirty: false,
            gave: Instant::now(),
            _held: held,
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if matches!(self.state, State::Ended) {
                return Poll::Ready(None);
            }
            if !self.rest.is_empty() {
                let piece = self.rest.split_to(self.rest.len().min(PIECE));
                self.is_dirty = true;
                match self.compress(&piece, Until::Taken) {
                    Ok(out) if out.is_empty() => continue,
                    out => return self.give(out),
                }
            }
            match Pin::new(&mut self.source).poll_frame(cx) {
                Poll::Pending if self.is_dirty && self.gave.elapsed() >= FLUSHED_EVERY => {
                    self.is_dirty = false;
                    let out = self.compress(&[], Until::Flushed);
                    return self.give(out);
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    // Answers that are compressed have no trailers.
                    self.rest = frame.into_data().unwrap_or_default();
                }
                Poll::Ready(Some(Err(error))) => {
                    self.state = State::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    let out = self.compress(&[], Until::Ended);
                    self.state = State::Ended;
                    return self.give(out);
                }
            }
        }
    }

    fn give(
        &mut self,
        out: Result<Vec<u8>, CodingError>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.gave = Instant::now();
        if out.is_err() {
            self.state = State::Ended;
        }
        let out = out.map(|out| Frame::data(out.into()));
        Poll::Ready(Some(out.map_err(BodyError::from)))
    }

    fn compress(&mut self, input: &[u8], until: Until) -> Result<Vec<u8>, CodingError> {
        match &mut self.state {
            State::Begun(encoder) => encoder.run(input, until),
            State::NotBegun => {
                let mut encoder = Encoder::new(self.coding, self.levels)?;
                let out = encoder.run(input, until);
                self.state = State::Begun(encoder);
                out
            }
            State::Ended => Ok(Vec::new()),
        }
    }
}
