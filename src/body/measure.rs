//! Measures a response while it is streamed, without changing it.

use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use memchr::memmem;

use super::{BodyError, Streamed};

/// The start of a series in a response of the metrics API. A label's value is a string, in which
/// quotes are escaped, so nothing else in a response contains these bytes.
const SERIES: &[u8] = br#""metric":{"#;

/// The size of a response.
#[derive(Clone, Debug, Default)]
pub(crate) struct SizeCounter {
    bytes: u64,
    series: u64,
    /// The last bytes, as many as can be the start of [`SERIES`].
    tail: Vec<u8>,
}

impl SizeCounter {
    /// Counts a chunk.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        let mut seam = std::mem::take(&mut self.tail);
        seam.extend(piece.iter().take(SERIES.len() - 1));
        self.series += count(&seam) + count(piece);
        // What the next chunk may complete.
        let end = piece.len().saturating_sub(SERIES.len() - 1);
        if end > 0 {
            seam.clear();
            seam.extend(piece.iter().skip(end));
        }
        let from = seam.len().saturating_sub(SERIES.len() - 1);
        self.tail = seam.split_off(from);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Series, if it is the metrics API's response to a query.
    pub(crate) fn series(&self) -> u64 {
        self.series
    }
}

fn count(text: &[u8]) -> u64 {
    memmem::find_iter(text, SERIES).count() as u64
}

/// Called with the counter once a response is complete.
pub(crate) type WhenDone = Box<dyn FnOnce(SizeCounter) + Send>;

/// An upstream's body that is measured.
pub(super) struct MeasuredBody {
    source: Streamed,
    counter: SizeCounter,
    /// `None` once the end was reached, or cannot be any more.
    when_done: Option<WhenDone>,
}

impl MeasuredBody {
    pub(super) fn new(source: Streamed, when_done: WhenDone) -> Self {
        Self {
            source,
            counter: SizeCounter::default(),
            when_done: Some(when_done),
        }
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = std::task::ready!(self.source.poll(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.counter.push(data);
                }
                // With a known length, hyper does not poll past the last byte.
                if self.source.is_end_stream() {
                    self.done();
                }
            }
            None => self.done(),
            Some(Err(_broken)) => self.when_done = None,
        }
        Poll::Ready(frame)
    }

    fn done(&mut self) {
        if let Some(when_done) = self.when_done.take() {
            when_done(std::mem::take(&mut self.counter));
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_counted_across_chunk_boundaries() {
        let text = br#"{"data":{"result":[{"metric":{"metric":"a"}},{"metric":{}},{"metric":{"x":"\"metric\":{"}}]}}"#;
        for size in 1..=text.len() {
            let mut counter = SizeCounter::default();
            for piece in text.chunks(size) {
                counter.push(piece);
            }
            assert_eq!(counter.series(), 3, "in pieces of {size}");
            assert_eq!(counter.bytes(), text.len() as u64);
        }
    }
}
