//! Responses that are filtered while they are streamed.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::Frame;

use super::budget::Share;
use super::streamed::Streamed;
use super::{BodyError, Scrubber};
use crate::shares::Exceeded;
use crate::tempo::trace::TraceFilter;

/// A response that is filtered while it is streamed.
pub(super) struct FilteredBody {
    source: Streamed,
    /// `None` once the response has ended.
    stream_filter: Option<StreamFilter>,
    ready: VecDeque<Bytes>,
    /// For what the filter buffers, and for what it releases at once.
    held: Share,
}

/// The filter of a streamed response.
pub(crate) enum StreamFilter {
    /// Scrubs the warnings of a metrics query.
    Warnings(Box<Scrubber>),
    /// Removes other tenants' spans from a trace.
    Trace(Box<TraceFilter>),
}

impl StreamFilter {
    /// Whether the response is known to be streamed chunk by chunk.
    pub(crate) fn streams(&self) -> bool {
        match self {
            Self::Warnings(scrubber) => scrubber.streams() == Some(true),
            Self::Trace(_) => true,
        }
    }

    /// Filters a chunk, appends to `out` what may be sent, and accounts for what may not be yet.
    pub(crate) fn push(
        &mut self,
        data: Bytes,
        out: &mut Vec<Bytes>,
        held: &mut Share,
    ) -> Result<(), BodyError> {
        let came = data.len();
        let kept = match self {
            Self::Warnings(scrubber) => {
                scrubber.push(data, out)?;
                scrubber.held_bytes()
            }
            Self::Trace(filter) => {
                filter.push(&data, out)?;
                filter.held_bytes()
            }
        };
        Ok(account(held, kept, out, came)?)
    }

    pub(crate) fn finish(self, out: &mut Vec<Bytes>) -> Result<(), BodyError> {
        match self {
            Self::Warnings(scrubber) => out.push(scrubber.finish()?),
            Self::Trace(filter) => drop(filter.finish(out)?),
        }
        Ok(())
    }
}

/// Accounts for what a filter buffers and for what it releases at once: `out`, after a chunk of
/// `came` bytes. A chunk that passes unmodified is not counted: its memory is the stream's own.
pub(crate) fn account(
    held: &mut Share,
    kept: usize,
    out: &[Bytes],
    came: usize,
) -> Result<(), Exceeded> {
    let waiting: usize = out.iter().map(Bytes::len).sum();
    held.resize(kept + waiting.saturating_sub(came))
}

impl FilteredBody {
    pub(super) fn new(
        source: Streamed,
        stream_filter: StreamFilter,
        ready: Vec<Bytes>,
        held: Share,
    ) -> Self {
        Self {
            source,
            stream_filter: Some(stream_filter),
            ready: ready.into(),
            held,
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
            let Some(stream_filter) = &mut self.stream_filter else {
                return Poll::Ready(None);
            };
            let mut out = Vec::new();
            let passed = match std::task::ready!(self.source.poll(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => stream_filter.push(data, &mut out, &mut self.held),
                    // JSON responses have no trailers; these would be the upstream's own text.
                    Err(_trailers) => Ok(()),
                },
                Some(Err(error)) => Err(error),
                None => match self.stream_filter.take() {
                    Some(stream_filter) => stream_filter.finish(&mut out),
                    None => Ok(()),
                },
            };
            if let Err(error) = passed {
                self.stream_filter = None;
                return Poll::Ready(Some(Err(error)));
            }
            self.ready
                .extend(out.into_iter().filter(|bytes| !bytes.is_empty()));
        }
    }
}
