//! An answer that is measured as it passes, without being changed.

use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use memchr::memmem;

use super::{BodyError, Streamed};

/// How a series begins in an answer of the metrics API. A label's value is a text, in which a
/// quote is escaped, so nothing else in an answer reads so.
const SERIES: &[u8] = br#""metric":{"#;

/// How large an answer is.
#[derive(Clone, Debug, Default)]
pub(crate) struct SizeCounter {
    bytes: u64,
    series: u64,
    /// The last bytes, as many as can be the beginning of [`SERIES`].
    tail: Vec<u8>,
}

impl SizeCounter {
    /// Takes a piece into account.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        let mut seam = std::mem::take(&mut self.tail);
        seam.extend(piece.iter().take(SERIES.len() - 1));
        self.series += count(&seam) + count(piece);
        // What the next piece may complete.
        let end = piece.len().saturating_sub(SERIES.len() - 1);
        if end > 0 {
            seam.clear();
            seam.extend(piece.iter().skip(end));
        }
        let from = seam.len().saturating_sub(SERIES.len() - 1);
        self.tail = seam.split_off(from);
    }

    /// Bytes of the body.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Series, as far as it is an answer of the metrics API to a query.
    pub(crate) fn series(&self) -> u64 {
        self.series
    }
}

fn count(text: &[u8]) -> u64 {
    memmem::find_iter(text, SERIES).count() as u64
}

/// What is done with the counter of an answer that came to its end.
pub(crate) type WhenDone = Box<dyn FnOnce(SizeCounter) + Send>;

/// The upstream's body, measured.
pub(super) struct MeasuredBody {
    source: Streamed,
    counter: SizeCounter,
    /// `None` once the end was seen, or will not be.
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
                // With a known length nobody asks for more than that.
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
    fn series_are_counted_wherever_the_pieces_part() {
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
