//! Content codings (RFC 9110 §8.4.1): answers that are compressed for a client, and answers that an
//! upstream compressed.
//!
//! Each body has an encoder or a decoder of its own, without a shared dictionary: no answer's size
//! depends on what is in another.

mod decode;
mod encode;

use std::io;

use hyper::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use thiserror::Error;

pub(super) use self::decode::Decoder;
pub(super) use self::encode::{Encoder, Until};

/// The most that goes into or comes out of a coding in one step.
pub(super) const PIECE: usize = 32 * 1024;

/// The largest window of a zstd answer that is read: 8 MiB, which every reader of the coding `zstd`
/// has to support and none has to exceed (RFC 9659 §3).
const ZSTD_READ_WINDOW_LOG: u32 = 23;

/// The window of the zstd answers that are written: 512 KiB. A larger one takes memory for each answer
/// and makes those of the metrics API hardly smaller.
const ZSTD_WRITE_WINDOW_LOG: u32 = 19;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Zstd,
}

/// How hard it is tried to make a body small.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Levels {
    /// 1 to 9.
    pub(crate) gzip: u32,
    /// 1 to 9.
    pub(crate) zstd: i32,
}

/// Why a body cannot be encoded or decoded.
#[derive(Debug, Error)]
pub enum CodingError {
    /// The coding's library refuses what came.
    #[error("its {0} is broken: {1}")]
    Broken(&'static str, io::Error),
    /// It ended within a compressed stream.
    #[error("its {0} ends too early")]
    Truncated(&'static str),
}

impl Coding {
    /// Its name (RFC 9110 §8.4.1, RFC 8878 §7.2).
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The same, as a header's value.
    pub(crate) const fn header_value(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// By its name; `x-gzip` is the same as `gzip`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("gzip") || is("x-gzip") {
            Some(Self::Gzip)
        } else {
            is("zstd").then_some(Self::Zstd)
        }
    }

    /// The one in which an answer came, if it is one alone and known.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let only = values.next().filter(|_| values.next().is_none())?;
        Self::from_name(only.to_str().ok()?.trim())
    }

    /// The memory of an encoder, about.
    pub(crate) const fn encoder_bytes(self) -> usize {
        match self {
            Self::Gzip => 512 * 1024,
            Self::Zstd => 2 * 1024 * 1024,
        }
    }

    /// The memory of a decoder, at most.
    pub(crate) const fn decoder_bytes(self) -> usize {
        match self {
            Self::Gzip => 64 * 1024,
            Self::Zstd => (1 << ZSTD_READ_WINDOW_LOG) + 512 * 1024,
        }
    }
}

#[cfg(test)]
mod tests;
