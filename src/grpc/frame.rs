//! Message frames: one byte of flags, four bytes of length, the message.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use thiserror::Error;

use super::status::{Code, Status};

/// Bytes before each message.
const HEADER_BYTES: usize = 5;

/// Why reading a stream of frames stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The flag for a compressed message is set.
    #[error("the message is compressed; send it with grpc-encoding: identity")]
    Compressed,
    /// A flag byte that is neither 0 nor 1.
    #[error("the message frame has unknown flags")]
    Flags,
    /// A message longer than the limit.
    #[error("the message has {length} bytes; at most {limit} are accepted")]
    TooLong { length: usize, limit: usize },
    /// The stream ended within a frame.
    #[error("the stream ended within a message")]
    Truncated,
}

impl FrameError {
    /// The status that a client gets for such a request.
    pub fn status(self) -> Status {
        let code = match self {
            Self::Compressed => Code::Unimplemented,
            Self::TooLong { .. } => Code::ResourceExhausted,
            Self::Flags | Self::Truncated => Code::Internal,
        };
        Status::new(code, self.to_string())
    }
}

/// Reassembles messages from the pieces in which a body arrives.
///
/// It buffers what was pushed and not taken yet. If all messages are taken before the next piece is
/// pushed, that is at most `limit` bytes, a frame's header and one piece.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    limit: usize,
    failed: Option<FrameError>,
}

impl Decoder {
    /// A decoder of messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            limit,
            failed: None,
        }
    }

    /// Adds the next piece of the body. After an error, pieces are discarded.
    pub fn push(&mut self, piece: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(piece);
        }
    }

    /// The number of bytes in memory.
    pub fn held_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// The next complete message; `None` if more must be pushed first. After an error, every call
    /// returns it again.
    pub fn message(&mut self) -> Result<Option<Bytes>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.next_message().inspect_err(|&error| {
            self.failed = Some(error);
            self.buffer = BytesMut::new();
        })
    }

    /// To be called at the end of the body, after [`Self::message`] has returned `None`.
    pub fn finish(&self) -> Result<(), FrameError> {
        match self.failed {
            Some(error) => Err(error),
            None if self.buffer.is_empty() => Ok(()),
            None => Err(FrameError::Truncated),
        }
    }

    fn next_message(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(&[flags, a, b, c, d]) = self.buffer.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        match flags {
            0 => {}
            1 => return Err(FrameError::Compressed),
            _ => return Err(FrameError::Flags),
        }
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(FrameError::TooLong {
                length,
                limit: self.limit,
            });
        }
        if self.buffer.len() - HEADER_BYTES < length {
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

/// Frames a message. `None` if it is 4 GiB or longer.
pub fn encode(message: &[u8]) -> Option<Bytes> {
    let length = u32::try_from(message.len()).ok()?;
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(length);
    frame.put_slice(message);
    Some(frame.freeze())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(message: &[u8]) -> Vec<u8> {
        encode(message).unwrap().to_vec()
    }

    fn drain(decoder: &mut Decoder) -> Result<Vec<Bytes>, FrameError> {
        std::iter::from_fn(|| decoder.message().transpose()).collect()
    }

    #[test]
    fn frame_is_flags_length_and_message() {
        assert_eq!(frame(b"hi"), b"\0\0\0\0\x02hi");
        assert_eq!(frame(b""), b"\0\0\0\0\0");
    }

    #[test]
    fn compressed_and_oversized_messages_are_refused_before_they_are_buffered() {
        let error = |bytes: &[u8]| {
            let mut decoder = Decoder::new(16);
            decoder.push(bytes);
            let error = decoder.message().unwrap_err();
            decoder.push(&[0; 100]);
            assert_eq!(decoder.message(), Err(error));
            assert_eq!(decoder.finish(), Err(error));
            assert!(decoder.buffer.is_empty());
            error
        };
        assert_eq!(error(b"\x01\0\0\0\0"), FrameError::Compressed);
        assert_eq!(error(b"\x02\0\0\0\0"), FrameError::Flags);
        assert_eq!(
            error(b"\0\xff\xff\xff\xff"),
            FrameError::TooLong {
                length: 0xffff_ffff,
                limit: 16
            }
        );
        assert_eq!(FrameError::Compressed.status().code, Code::Unimplemented);
    }

    #[test]
    fn stream_that_ends_within_a_frame_is_truncated() {
        let mut decoder = Decoder::new(16);
        assert_eq!(decoder.finish(), Ok(()));
        decoder.push(b"\0\0\0");
        assert_eq!(decoder.message(), Ok(None));
        assert_eq!(decoder.finish(), Err(FrameError::Truncated));
        decoder.push(b"\0\x02h");
        assert_eq!(decoder.message(), Ok(None));
        assert_eq!(decoder.finish(), Err(FrameError::Truncated));
        decoder.push(b"i");
        assert_eq!(decoder.message(), Ok(Some(Bytes::from_static(b"hi"))));
        assert_eq!(decoder.finish(), Ok(()));
    }

    proptest! {
        #[test]
        fn messages_survive_any_chunking(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            sizes in prop::collection::vec(1usize..20, 1..8),
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| frame(message)).collect();
            let mut decoder = Decoder::new(40);
            let mut read = Vec::new();
            let (mut rest, mut sizes) = (&stream[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                rest = after;
                decoder.push(piece);
                read.extend(drain(&mut decoder).unwrap());
                prop_assert!(decoder.buffer.len() <= 45 + piece.len());
            }
            prop_assert_eq!(decoder.finish(), Ok(()));
            prop_assert_eq!(read, messages);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..8)) {
            let mut decoder = Decoder::new(64);
            for piece in pieces {
                decoder.push(&piece);
                let _ = drain(&mut decoder);
            }
            let _ = decoder.finish();
        }
    }
}
