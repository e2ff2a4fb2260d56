//! Puts a content coding on a body as it passes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use hyper::body::{Body as _, Frame};
use zstd::stream::raw::{self, CParameter, InBuffer, Operation as _, OutBuffer};

use super::decode::difference;
use super::{Coding, CodingError, Levels, PIECE, ZSTD_WRITE_WINDOW_LOG};
use crate::body::budget::Share;
use crate::body::{BodyError, ResponseBody};

/// While an answer comes slowly, what is compressed of it is not held back for longer.
const FLUSHED_EVERY: Duration = Duration::from_secs(1);

/// A body that is compressed as it passes.
pub(in crate::body) struct CompressedBody {
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

enum Encoder {
    Gzip(Box<Compress>),
    Zstd(raw::Encoder<'static>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// All input is taken.
    Taken,
    /// All that was taken has come out.
    Flushed,
    /// The stream has ended.
    Ended,
}

struct Step {
    read: usize,
    written: usize,
    /// Whether all has come out that was to.
    is_done: bool,
}

impl CompressedBody {
    /// `held` is for [`Coding::encoder_bytes`].
    pub(in crate::body) fn new(
        source: ResponseBody,
        coding: Coding,
        levels: Levels,
        held: Share,
    ) -> Self {
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

    pub(in crate::body) fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    pub(in crate::body) fn poll(
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
        let name = self.coding.name();
        let broken = |error| CodingError::Broken(name, error);
        if matches!(self.state, State::NotBegun) {
            let encoder = Encoder::new(self.coding, self.levels).map_err(broken)?;
            self.state = State::Begun(encoder);
        }
        let mut out = Vec::new();
        if let State::Begun(encoder) = &mut self.state {
            encoder.run(input, until, &mut out).map_err(broken)?;
        }
        Ok(out)
    }
}

impl Encoder {
    fn new(coding: Coding, levels: Levels) -> io::Result<Self> {
        Ok(match coding {
            Coding::Gzip => {
                let level = Compression::new(levels.gzip);
                Self::Gzip(Box::new(Compress::new_gzip(level, 15)))
            }
            Coding::Zstd => {
                let mut encoder = raw::Encoder::new(levels.zstd)?;
                encoder.set_parameter(CParameter::WindowLog(ZSTD_WRITE_WINDOW_LOG))?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Compresses at most [`PIECE`] bytes, and appends what comes out.
    fn run(&mut self, mut input: &[u8], until: Until, out: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let begin = out.len();
            out.resize(begin + PIECE, 0);
            let step = self.step(input, until, out.get_mut(begin..).unwrap_or_default())?;
            out.truncate(begin + step.written);
            input = input.get(step.read..).unwrap_or_default();
            if step.is_done && input.is_empty() {
                return Ok(());
            }
            if step.read == 0 && step.written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
    }

    fn step(&mut self, input: &[u8], until: Until, output: &mut [u8]) -> io::Result<Step> {
        match self {
            Self::Gzip(compress) => {
                let flush = match until {
                    Until::Taken => FlushCompress::None,
                    Until::Flushed => FlushCompress::Sync,
                    Until::Ended => FlushCompress::Finish,
                };
                let (read, written) = (compress.total_in(), compress.total_out());
                let status = compress.compress(input, output, flush)?;
                let written = difference(compress.total_out(), written);
                Ok(Step {
                    read: difference(compress.total_in(), read),
                    written,
                    is_done: match until {
                        Until::Taken => true,
                        Until::Flushed => written < output.len(),
                        Until::Ended => status == Status::StreamEnd,
                    },
                })
            }
            Self::Zstd(encoder) => {
                let mut input = InBuffer::around(input);
                let mut output = OutBuffer::around(output);
                let left = match until {
                    Until::Taken => encoder.run(&mut input, &mut output).map(|_hint| 0)?,
                    Until::Flushed => encoder.flush(&mut output)?,
                    Until::Ended => encoder.finish(&mut output, true)?,
                };
                Ok(Step {
                    read: input.pos(),
                    written: output.pos(),
                    is_done: left == 0,
                })
            }
        }
    }
}
