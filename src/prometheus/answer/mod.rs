//! Scrubs the warnings of responses that are otherwise confined already, while they are streamed.
//!
//! Both products write compact JSON with `warnings` and `infos` after `data`, and nothing else
//! after it (`Response` in `web/api/v1/api.go`, `response` in `pkg/api/api.go`, both encoded by
//! jsoniter). So everything up to one of these two keys passes unmodified, at the speed of a byte
//! search, and only what follows is buffered, parsed and rewritten.
//!
//! Why the bytes `"warnings":[` are the key and nothing else: within a JSON string every quote
//! is written `\"`, so the second quote of the pattern, which no backslash precedes, ends or
//! begins a string. It is followed by `:`, so it ends an object's key, and the key's last
//! characters are `warnings`. The pattern's first quote either begins that key (the key is
//! `warnings`) or is an escaped one in it (the key is something like `x"warnings`). Either way
//! its value is a list. Keys that users choose are label names, whose values are strings: a label
//! named `warnings` is written `"warnings":"…`. Only keys the upstream chooses have lists.
//!
//! `data` may hold `stats` (counts of the caller's own query) and in Thanos `analysis`, which is
//! `{}` because the parameter that fills it is refused.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;
use thiserror::Error;

use super::json::{self, Envelope, Object, ObjectWriter, Text, Unreadable};
use super::position::{Position, Remap};
use super::warnings;

/// The start of a success in both products.
const HEAD: &[u8] = br#"{"status":"success","data":"#;
const KEYS: [&[u8]; 2] = [br#""warnings":["#, br#""infos":["#];
/// A key that lies across two chunks begins at most this many bytes before the second.
const OVERLAP: usize = KEYS[0].len() - 1;
/// The most that may follow `data`. Prometheus writes ten warnings, Thanos one per store.
const MAX_TAIL: usize = 1 << 20;

/// Why a response cannot be passed on: the rest of it must not be sent, and the body must not look
/// complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScrubError {
    /// It violates the upstream's API.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It or its warnings would have to be buffered, and are too long.
    #[error("the upstream's answer is too long to be filtered")]
    TooLong,
}

/// Rewrites the warnings of a buffered response. Keys other than `status`, `data`, `warnings` and
/// `infos` are dropped.
pub fn scrub_whole(answer: &[u8], remap: Remap<'_>) -> Result<Vec<u8>, Unreadable> {
    let envelope = Envelope::read(answer)?;
    let mut out = Vec::with_capacity(answer.len());
    let mut object = ObjectWriter::new(&mut out);
    json::write_string(object.key("status"), "success");
    if let Some(data) = envelope.data {
        object.raw("data", data);
    }
    write_warnings(&mut object, &envelope, remap);
    object.end();
    Ok(out)
}

/// Writes the scrubbed `warnings` and `infos` of a response, if it has any.
pub(super) fn write_warnings(
    object: &mut ObjectWriter<'_>,
    envelope: &Envelope<'_>,
    remap: Remap<'_>,
) {
    for (key, texts) in [("warnings", &envelope.warnings), ("infos", &envelope.infos)] {
        write_scrubbed_texts(object, key, texts, remap);
    }
}

/// Writes scrubbed warnings under a key, if there are any.
pub(super) fn write_scrubbed_texts(
    object: &mut ObjectWriter<'_>,
    key: &str,
    texts: &[Text<'_>],
    remap: Remap<'_>,
) {
    if !texts.is_empty() {
        warnings::write_scrubbed(object.key(key), texts, remap);
    }
}

/// Scrubs the warnings of a response while it is streamed.
///
/// The caller pushes the chunks of the upstream's body, sends the output, and calls
/// [`finish`](Self::finish) after the last one. A response that does not start as both products' do
/// is buffered instead; [`streams`](Self::streams) returns which, once the first chunk was pushed,
/// so that the caller can delay the response headers and still respond with 502.
pub struct AnswerScrubber<R> {
    remap: R,
    state: State,
    max_whole: usize,
}

enum State {
    /// The first bytes, fewer than [`HEAD`] and equal to it so far.
    Head(Vec<u8>),
    /// Within `data`; the last bytes that passed, at most [`OVERLAP`].
    Streaming(Vec<u8>),
    /// A key has passed; what follows it. The number is its index in [`KEYS`].
    Tail(usize, Vec<u8>),
    /// An unexpected format: all of it, buffered.
    Whole(Vec<u8>),
}

impl<R: Fn(Position) -> Option<Position>> AnswerScrubber<R> {
    /// `max_whole` is the most bytes of a response that cannot be streamed.
    pub fn new(max_whole: usize, remap: R) -> Self {
        Self {
            remap,
            state: State::Head(Vec::new()),
            max_whole,
        }
    }

    /// Whether the response is streamed; `None` while too little of it is known.
    pub fn streams(&self) -> Option<bool> {
        match self.state {
            State::Head(_) => None,
            State::Streaming(_) | State::Tail(..) => Some(true),
            State::Whole(_) => Some(false),
        }
    }

    /// How many bytes are buffered: only a few while the response is streamed.
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Streaming(_) => 0,
            State::Head(held) | State::Tail(_, held) | State::Whole(held) => held.capacity(),
        }
    }

    /// Takes a chunk, and appends to `out` what may be sent.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), ScrubError> {
        match &mut self.state {
            State::Head(held) => {
                let held = std::mem::take(held);
                self.push_head(held, chunk, out)
            }
            State::Streaming(_) => self.push_streaming(chunk, out),
            State::Tail(_, tail) => hold(tail, &chunk, MAX_TAIL),
            State::Whole(whole) => hold(whole, &chunk, self.max_whole),
        }
    }

    /// Ends the response: returns the last bytes to send, if any.
    pub fn finish(self) -> Result<Bytes, ScrubError> {
        match self.state {
            State::Streaming(_) => Ok(Bytes::new()),
            State::Tail(key, tail) => rewrite_tail(key, &tail, &self.remap).map(Bytes::from),
            State::Head(whole) | State::Whole(whole) => {
                Ok(scrub_whole(&whole, &self.remap).map(Bytes::from)?)
            }
        }
    }

    fn push_head(
        &mut self,
        mut held: Vec<u8>,
        chunk: Bytes,
        out: &mut Vec<Bytes>,
    ) -> Result<(), ScrubError> {
        if held.is_empty() && chunk.starts_with(HEAD) {
            self.state = State::Streaming(Vec::with_capacity(2 * OVERLAP));
            return self.push_streaming(chunk, out);
        }
        hold(&mut held, &chunk, self.max_whole.max(HEAD.len()))?;
        if held.starts_with(HEAD) {
            self.state = State::Streaming(Vec::with_capacity(2 * OVERLAP));
            return self.push_streaming(held.into(), out);
        }
        self.state = if HEAD.starts_with(&held) {
            State::Head(held)
        } else {
            State::Whole(held)
        };
        Ok(())
    }

    fn push_streaming(&mut self, mut chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), ScrubError> {
        let State::Streaming(passed) = &mut self.state else {
            return Ok(());
        };
        let Some((key, end)) = find_key(passed, &chunk) else {
            keep_last(passed, &chunk);
            if !chunk.is_empty() {
                out.push(chunk);
            }
            return Ok(());
        };
        // The bracket is the tail's first byte.
        let tail = chunk.split_off(end.saturating_sub(1).min(chunk.len()));
        if !chunk.is_empty() {
            out.push(chunk);
        }
        let mut held = Vec::with_capacity(tail.len());
        hold(&mut held, &tail, MAX_TAIL)?;
        self.state = State::Tail(key, held);
        Ok(())
    }
}

/// The first key that ends in this chunk: its index, and the offset after it. `passed` is what came
/// right before.
fn find_key(passed: &[u8], chunk: &[u8]) -> Option<(usize, usize)> {
    static FINDERS: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| KEYS.map(Finder::new));
    let mut seam = [0; 2 * OVERLAP];
    let mut length = 0;
    let around = passed.iter().chain(chunk.iter().take(OVERLAP));
    for (slot, byte) in seam.iter_mut().zip(around) {
        *slot = *byte;
        length += 1;
    }
    let seam = seam.get(..length).unwrap_or_default();
    let first = |key: usize, finder: &Finder<'_>| {
        let across = finder.find(seam).map(|at| at + finder.needle().len());
        let across = across.and_then(|end| end.checked_sub(passed.len()));
        let within = || finder.find(chunk).map(|at| at + finder.needle().len());
        Some((key, across.or_else(within)?))
    };
    let found = FINDERS
        .iter()
        .enumerate()
        .filter_map(|(key, finder)| first(key, finder));
    found.min_by_key(|(_, end)| *end)
}

/// Keeps the last bytes that passed.
fn keep_last(passed: &mut Vec<u8>, chunk: &[u8]) {
    let kept = chunk.get(chunk.len().saturating_sub(OVERLAP)..);
    passed.extend_from_slice(kept.unwrap_or_default());
    passed.drain(..passed.len().saturating_sub(OVERLAP));
}

fn hold(held: &mut Vec<u8>, chunk: &[u8], limit: usize) -> Result<(), ScrubError> {
    if held.len() + chunk.len() > limit {
        return Err(ScrubError::TooLong);
    }
    held.extend_from_slice(chunk);
    Ok(())
}

/// `tail` starts with the list of the key that has passed and ends with the response.
fn rewrite_tail(key: usize, tail: &[u8], remap: Remap<'_>) -> Result<Vec<u8>, ScrubError> {
    let key = KEYS.get(key).and_then(|key| key.strip_suffix(b"["));
    let mut text = vec![b'{'];
    text.extend_from_slice(key.unwrap_or_default());
    text.extend_from_slice(tail);
    let lists: Object<'_> = json::read(&text, "it continues after `data` in an unknown way")?;

    let mut out = Vec::with_capacity(tail.len());
    for (at, (key, _)) in lists.iter().enumerate() {
        if key != "warnings" && key != "infos" {
            return Err(Unreadable("it has an unknown key after `data`").into());
        }
        if at > 0 {
            out.push(b',');
            json::write_string(&mut out, key);
            out.push(b':');
        }
        warnings::write_scrubbed(&mut out, &lists.texts(key)?, remap);
    }
    out.push(b'}');
    Ok(out)
}

#[cfg(test)]
mod tests;
