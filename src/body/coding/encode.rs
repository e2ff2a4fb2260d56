//! Puts a content coding on what passes.

use std::io;

use flate2::{Compress, Compression, FlushCompress, Status};
use zstd::stream::raw::{self, CParameter, InBuffer, Operation as _, OutBuffer};

use super::decode::difference;
use super::{Coding, CodingError, Levels, PIECE, ZSTD_WRITE_WINDOW_LOG};

/// Encodes one body.
pub(in crate::body) struct Encoder {
    coding: Coding,
    stream: Stream,
}

enum Stream {
    Gzip(Box<Compress>),
    Zstd(raw::Encoder<'static>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::body) enum Until {
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

impl Encoder {
    pub(in crate::body) fn new(coding: Coding, levels: Levels) -> Result<Self, CodingError> {
        let stream = Stream::new(coding, levels);
        let stream = stream.map_err(|error| CodingError::Broken(coding.name(), error))?;
        Ok(Self { coding, stream })
    }

    /// Compresses all of `input`, and gives what comes out.
    pub(in crate::body) fn run(
        &mut self,
        input: &[u8],
        until: Until,
    ) -> Result<Vec<u8>, CodingError> {
        let mut out = Vec::new();
        let run = self.stream.run(input, until, &mut out);
        run.map_err(|error| CodingError::Broken(self.coding.name(), error))?;
        Ok(out)
    }
}

impl Stream {
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

    /// Compresses all of `input`, and appends what comes out.
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
