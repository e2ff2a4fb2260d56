//! Takes a content coding off a body, piece by piece. A small piece may be a large one when it is
//! decoded, so what comes out is bounded, not what goes in.

use std::io;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{self, DParameter, Operation as _};

use super::{Coding, CodingError, PIECE, ZSTD_READ_WINDOW_LOG};
use crate::body::budget::Share;

/// Decodes one body.
pub(in crate::body) struct Decoder {
    coding: Coding,
    /// `None` before the first byte, and between streams.
    stream: Option<Stream>,
    input: Bytes,
    /// Whether more may come out without more going in.
    has_more: bool,
    /// For its memory.
    _held: Share,
}

enum Stream {
    Gzip(Decompress),
    Zstd(raw::Decoder<'static>),
}

struct Step {
    read: usize,
    written: usize,
    has_ended: bool,
}

impl Decoder {
    /// `held` is for [`Coding::decoder_bytes`].
    pub(in crate::body) fn new(coding: Coding, held: Share) -> Self {
        Self {
            coding,
            stream: None,
            input: Bytes::new(),
            has_more: false,
            _held: held,
        }
    }

    /// Takes the next piece. To be called when there is none left.
    pub(in crate::body) fn push(&mut self, input: Bytes) {
        self.input = input;
    }

    /// What comes next of what was taken; `None` where more has to be.
    pub(in crate::body) fn piece(&mut self) -> Result<Option<Bytes>, CodingError> {
        let name = self.coding.name();
        let broken = |error| CodingError::Broken(name, error);
        while !self.input.is_empty() || self.has_more {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                // What follows the end of one is another of the same coding (RFC 1952 §2.2,
                // RFC 8878 §3.1).
                none => none.insert(Stream::new(self.coding).map_err(broken)?),
            };
            let mut output = vec![0; PIECE];
            let step = stream.step(&self.input, &mut output).map_err(broken)?;
            if step.read == 0 && step.written == 0 && !step.has_ended && !self.input.is_empty() {
                return Err(broken(io::ErrorKind::InvalidData.into()));
            }
            let _read = self.input.split_to(step.read);
            self.has_more = !step.has_ended && step.written == output.len();
            if step.has_ended {
                self.stream = None;
            }
            if step.written > 0 {
                output.truncate(step.written);
                return Ok(Some(output.into()));
            }
        }
        Ok(None)
    }

    /// Whether the body may end here.
    pub(in crate::body) fn finish(&self) -> Result<(), CodingError> {
        match self.stream {
            Some(_) => Err(CodingError::Truncated(self.coding.name())),
            None => Ok(()),
        }
    }
}

impl Stream {
    fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Gzip => Self::Gzip(Decompress::new_gzip(15)),
            Coding::Zstd => {
                let mut decoder = raw::Decoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_READ_WINDOW_LOG))?;
                Self::Zstd(decoder)
            }
        })
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<Step> {
        match self {
            Self::Gzip(decompress) => {
                let (read, written) = (decompress.total_in(), decompress.total_out());
                let status = decompress.decompress(input, output, FlushDecompress::None)?;
                Ok(Step {
                    read: difference(decompress.total_in(), read),
                    written: difference(decompress.total_out(), written),
                    has_ended: status == Status::StreamEnd,
                })
            }
            Self::Zstd(decoder) => {
                let status = decoder.run_on_buffers(input, output)?;
                Ok(Step {
                    read: status.bytes_read,
                    written: status.bytes_written,
                    has_ended: status.remaining == 0,
                })
            }
        }
    }
}

pub(super) fn difference(after: u64, before: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX)
}
