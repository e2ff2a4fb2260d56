//! Answers that are filtered as they pass.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::Frame;

use super::{BodyError, Scrubber, Streamed};
use crate::trace::JsonFilter;

/// An answer that is filtered as it passes.
pub(super) struct Sieved {
    source: Streamed,
    /// `None` once the answer has ended.
    sieve: Option<Sieve>,
    ready: VecDeque<Bytes>,
}

/// What filters an answer as it passes.
pub(crate) enum Sieve {
    /// Warnings of a metrics query.
    Warnings(Box<Scrubber>),
    /// Foreign spans of a trace.
    Trace(Box<JsonFilter>),
}

impl Sieve {
    fn push(&mut self, data: Bytes, out: &mut Vec<Bytes>) -> Result<(), BodyError> {
        match self {
            Self::Warnings(scrubber) => Ok(scrubber.push(data, out)?),
            Self::Trace(filter) => Ok(filter.push(&data, out)?),
        }
    }

    fn finish(self, out: &mut Vec<Bytes>) -> Result<(), BodyError> {
        match self {
            Self::Warnings(scrubber) => out.push(scrubber.finish()?),
            Self::Trace(filter) => drop(filter.finish(out)?),
        }
        Ok(())
    }
}

impl Sieved {
    pub(super) fn new(source: Streamed, sieve: Sieve, ready: Vec<Bytes>) -> Self {
        Self {
            source,
            sieve: Some(sieve),
            ready: ready.into(),
        }
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let Some(sieve) = &mut self.sieve else {
                return Poll::Ready(None);
            };
            let mut out = Vec::new();
            let passed = match std::task::ready!(self.source.poll(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => sieve.push(data, &mut out),
                    // JSON answers have no trailers; these would be the upstream's own words.
                    Err(_trailers) => Ok(()),
                },
                Some(Err(error)) => Err(error),
                None => match self.sieve.take() {
                    Some(sieve) => sieve.finish(&mut out),
                    None => Ok(()),
                },
            };
            if let Err(error) = passed {
                self.sieve = None;
                return Poll::Ready(Some(Err(error)));
            }
            self.ready
                .extend(out.into_iter().filter(|bytes| !bytes.is_empty()));
        }
    }
}
