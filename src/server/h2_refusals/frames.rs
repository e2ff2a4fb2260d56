//! Follows the frames that the library writes, and knows those by which it refuses a request.

use bytes::Bytes;

use super::{END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM};
use crate::proxy::Unread;

const FRAME_HEADER: usize = 9;
const PROTOCOL_ERROR: u32 = 1;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What the library says of headers that are so long that it reads none of them
/// (h2's `codec/framed_read.rs`).
const HEADERS_WAY_TOO_LARGE: [&[u8]; 2] = [b"header_list_way_too_large", b"too_many_continuations"];

/// Follows the frames that are written.
#[derive(Clone, Copy, Default)]
pub(super) struct Frames {
    /// Bytes of the frame that is being written.
    left: usize,
    /// The highest stream whose answer has begun. A request is refused as it comes, so a reset of an
    /// older stream, or headers on it, say something else.
    pub(super) answered: u32,
    /// The stream that was answered 431, which the library resets as well.
    pub(super) too_large: Option<u32>,
}

/// A frame's header (RFC 9113 §4.1).
#[derive(Clone, Copy)]
struct FrameHeader {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// What the library refuses.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A stream without an answer is reset.
    Malformed(u32),
    /// 431 on a stream, in this block of headers.
    HeadersTooLarge(u32, Bytes),
    /// Its reset: what is left of it is to be discarded, but nothing has failed.
    AfterTooLarge(u32),
    /// The connection, by a `GOAWAY` that begins so: the last stream and the code.
    Connection([u8; 8], Unread),
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// So many are written as they are.
    Pass(usize),
    /// So many are replaced.
    Replace(usize, Refused),
}

impl FrameHeader {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<3>()?;
        let (&[kind, flags], rest) = rest.split_first_chunk::<2>()?;
        let stream = rest.first_chunk::<4>()?;
        let length = length
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        Some(Self {
            length,
            kind,
            flags,
            stream: u32::from_be_bytes(*stream),
        })
    }
}

impl Frames {
    /// Looks at bytes that are to be written, up to the first that are replaced. The library writes
    /// a frame's header, and the whole of all that are short, in one piece.
    pub(super) fn next(&self, bytes: &[u8]) -> Next {
        let mut at = self.left.min(bytes.len());
        while let Some(header) = bytes.get(at..).and_then(FrameHeader::read) {
            let end = at + FRAME_HEADER + header.length;
            let payload = bytes.get(at + FRAME_HEADER..end);
            match payload.and_then(|payload| self.refused(header, payload)) {
                Some(refused) if at == 0 => return Next::Replace(end, refused),
                Some(_) => return Next::Pass(at),
                None => at = end.min(bytes.len()),
            }
        }
        Next::Pass(bytes.len())
    }

    fn refused(&self, header: FrameHeader, payload: &[u8]) -> Option<Refused> {
        let stream = header.stream;
        match header.kind {
            RST_STREAM if self.too_large == Some(stream) => Some(Refused::AfterTooLarge(stream)),
            RST_STREAM => {
                let code = payload.first_chunk().copied().map(u32::from_be_bytes);
                let is_malformed = code == Some(PROTOCOL_ERROR) && stream > self.answered;
                is_malformed.then_some(Refused::Malformed(stream))
            }
            // Trailers may be one header too, but only those of an answer that has begun.
            HEADERS
                if header.flags == END_HEADERS | END_STREAM
                    && stream > self.answered
                    && is_lone_status(payload) =>
            {
                let block = Bytes::copy_from_slice(payload);
                Some(Refused::HeadersTooLarge(stream, block))
            }
            GOAWAY => {
                let (beginning, debug_data) = payload.split_first_chunk::<8>()?;
                let code = u32::from_be_bytes(*beginning.last_chunk()?);
                Some(Refused::Connection(*beginning, unread(code, debug_data)?))
            }
            _ => None,
        }
    }

    /// `length` of these bytes were written.
    pub(super) fn wrote(&mut self, bytes: &[u8], length: usize) {
        let mut at = self.left.min(length);
        self.left -= at;
        while at < length {
            let Some(header) = bytes.get(at..).and_then(FrameHeader::read) else {
                return;
            };
            let end = at + FRAME_HEADER + header.length;
            if header.kind == HEADERS {
                self.answered = self.answered.max(header.stream);
            }
            self.left = end.saturating_sub(length);
            at = end;
        }
    }
}

/// Why a connection is ended; `None` if no request is to blame, or if it has our words already.
fn unread(code: u32, debug_data: &[u8]) -> Option<Unread> {
    match code {
        COMPRESSION_ERROR if debug_data.is_empty() => Some(Unread::Headers),
        ENHANCE_YOUR_CALM if HEADERS_WAY_TOO_LARGE.contains(&debug_data) => Some(Unread::Headers),
        PROTOCOL_ERROR if debug_data.is_empty() => Some(Unread::Http2),
        _ => None,
    }
}

/// Whether a block is one header: a name of the static table's `:status` with a value, or one that
/// stands in a table.
fn is_lone_status(block: &[u8]) -> bool {
    match block {
        [only] => only & 0x80 != 0,
        [0x08 | 0x18 | 0x48, length, value @ ..] => usize::from(length & 0x7f) == value.len(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::{DATA, NO_ERROR, put_frame};
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_frame(&mut out, kind, flags, stream, payload);
        out.to_vec()
    }

    fn reset(stream: u32, code: u32) -> Vec<u8> {
        frame(RST_STREAM, 0, stream, &code.to_be_bytes())
    }

    #[test]
    fn resets_of_malformed_requests_are_replaced() {
        let mut frames = Frames::default();
        let settings = frame(4, 0, 0, &[0; 6]);
        let both = [settings.clone(), reset(1, PROTOCOL_ERROR)].concat();
        assert_eq!(frames.next(&both), Next::Pass(settings.len()));
        frames.wrote(&both, settings.len());
        let rest = &both[settings.len()..];
        assert_eq!(frames.next(rest), Next::Replace(13, Refused::Malformed(1)));
        // Cancelled, or answered before, or older than what is answered.
        assert_eq!(frames.next(&reset(1, 8)), Next::Pass(13));
        let answer = frame(HEADERS, END_HEADERS, 5, &[0x88, 0xbe]);
        assert_eq!(frames.next(&answer), Next::Pass(answer.len()));
        frames.wrote(&answer, answer.len());
        for stream in [3, 5] {
            assert_eq!(frames.next(&reset(stream, PROTOCOL_ERROR)), Next::Pass(13));
        }
        let malformed = Next::Replace(13, Refused::Malformed(7));
        assert_eq!(frames.next(&reset(7, PROTOCOL_ERROR)), malformed);
    }

    #[test]
    fn connections_ended_for_a_request_are_told_apart() {
        let goaway = |code: u32, debug_data: &[u8]| {
            let payload = [&[0; 4], &code.to_be_bytes(), debug_data].concat();
            let bytes = frame(GOAWAY, 0, 0, &payload);
            match Frames::default().next(&bytes) {
                Next::Pass(_) => None,
                Next::Replace(length, Refused::Connection(_, unread)) => {
                    assert_eq!(length, bytes.len());
                    Some(unread)
                }
                other @ Next::Replace(..) => panic!("{other:?}"),
            }
        };
        assert_eq!(goaway(COMPRESSION_ERROR, b""), Some(Unread::Headers));
        for debug_data in HEADERS_WAY_TOO_LARGE {
            let unread = goaway(ENHANCE_YOUR_CALM, debug_data);
            assert_eq!(unread, Some(Unread::Headers));
        }
        assert_eq!(goaway(PROTOCOL_ERROR, b""), Some(Unread::Http2));
        // A drain, a flood of resets, and what was replaced before.
        assert_eq!(goaway(NO_ERROR, b""), None);
        assert_eq!(goaway(ENHANCE_YOUR_CALM, b"too_many_resets"), None);
        assert_eq!(goaway(PROTOCOL_ERROR, b"ours"), None);
    }

    #[test]
    fn frames_are_followed_however_they_are_written() {
        let data = frame(DATA, END_STREAM, 1, &[RST_STREAM; 40]);
        let all = [data, reset(3, PROTOCOL_ERROR)].concat();
        for first in 0..all.len() - 13 {
            let mut frames = Frames::default();
            frames.wrote(&all, first);
            let rest = &all[first..];
            let passes = rest.len() - 13;
            assert_eq!(frames.next(rest), Next::Pass(passes), "{first}");
            frames.wrote(rest, passes);
            let next = frames.next(&rest[passes..]);
            assert_eq!(next, Next::Replace(13, Refused::Malformed(3)), "{first}");
        }
    }

    #[test]
    fn lone_status_is_not_an_answer_of_ours() {
        let ends = END_HEADERS | END_STREAM;
        let refused = |block: &[u8]| {
            let bytes = frame(HEADERS, ends, 1, block);
            Frames::default().next(&bytes) != Next::Pass(bytes.len())
        };
        assert!(refused(&[0x48, 0x82, 0x68, 0x03]));
        assert!(refused(&[0xbe]));
        // Trailers: the second time gRPC's status is in the table.
        let answer = frame(HEADERS, END_HEADERS, 1, &[0x88, 0xbe]);
        let trailers = frame(HEADERS, ends, 1, &[0xbe]);
        let mut frames = Frames::default();
        frames.wrote(&answer, answer.len());
        assert_eq!(frames.next(&trailers), Next::Pass(trailers.len()));
        // With a date.
        assert!(!refused(&[0x48, 0x82, 0x68, 0x03, 0xbf]));
        assert!(!refused(&[0x89, 0xbe]));
    }
}
