//! The protobuf form of a trace, redacted as it streams by: one `ResourceSpans` at a time.
//!
//! Only the list of `ResourceSpans` and the attributes of their resources are walked. Spans are
//! skipped by their length, so the time does not grow with them.
//!
//! A v1 answer is only that list, so what is ours is forwarded at once. In a v2 answer the list is a
//! field whose length comes before it: what is ours is held to the end, and the rest dropped as it
//! arrives. (A message field may be sent in several parts, which decoders have to merge. protobuf.js
//! before version 8 takes the last part instead, so its clients would lose spans.)
//!
//! Outlines of foreign parts stand where the parts stood. Those before the first part of ours are held
//! until it comes. They never make an answer fail: if what is held gets too long, they are left out.
//!
//! Field numbers: `pkg/tempopb/tempo.proto` of Tempo, and the messages of
//! `opentelemetry/proto/{trace,resource,common}/v1` it contains.

mod held;
mod outline;
mod resource;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use self::held::Held;
use super::owner::Verdicts;
use super::{ForeignSpans, Outcome, Outline, PARTIAL_MESSAGE, TraceApi, TraceError, TraceOwner};
use crate::wire::{self, Head, Kind, Message, malformed, put_bytes, put_bytes_head, put_uint};

/// Redacts a trace that Tempo answers as `application/protobuf`, chunk by chunk.
///
/// What goes into `out` may be sent at once. As long as nothing has, nothing is decided: the caller
/// can still answer not-found or 502.
pub struct ProtobufFilter {
    api: TraceApi,
    owner: Arc<TraceOwner>,
    foreign: ForeignSpans,
    /// What is shown of foreign parts, if anything is, and still fits.
    outline: Option<Outline>,
    /// The most bytes of one part.
    limit: usize,
    verdicts: Verdicts,
    level: Level,
    /// Where the next byte stands, counted from the start of the body.
    at: usize,
    /// Bytes to be passed over.
    skip: usize,
    /// The start of a field that goes on in the next chunk.
    unfinished: Vec<u8>,
    /// What waits: for the end; or outlines for the first part that is ours.
    held: Held,
    /// Whether anything is kept: not where only the outcome matters.
    keeps: bool,
    has_trace: bool,
    is_partial: bool,
    found: Found,
}

/// In what the next field is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// A `TraceByIDResponse`.
    Answer,
    /// A `Trace`, which ends there; with the body if `None`.
    Trace(Option<usize>),
}

/// What there was of the trace up to now.
#[derive(Clone, Copy, Default)]
struct Found {
    ours: bool,
    foreign: bool,
}

/// Of a `TraceByIDResponse`. Its `metrics` and `message`, and fields that a later Tempo may add,
/// describe the whole trace or the whole store and are not read.
const TRACE: u32 = 1;
const METRICS: u32 = 2;
const STATUS: u32 = 3;
const MESSAGE: u32 = 4;

/// Of a `Trace`.
const RESOURCE_SPANS: u32 = 1;

impl ProtobufFilter {
    /// A filter for one answer.
    ///
    /// `limit`, in bytes, is the most that is held back: of one `ResourceSpans`; of all that is ours
    /// where that waits for the end, as it does in v2 and with [`ForeignSpans::Deny`].
    pub fn new(
        api: TraceApi,
        owner: Arc<TraceOwner>,
        foreign: &ForeignSpans,
        limit: usize,
    ) -> Self {
        Self {
            api,
            foreign: foreign.clone(),
            outline: foreign.outline(&owner),
            owner,
            limit,
            verdicts: Verdicts::default(),
            level: match api {
                TraceApi::V1 => Level::Trace(None),
                TraceApi::V2 => Level::Answer,
            },
            at: 0,
            skip: 0,
            unfinished: Vec::new(),
            held: Held::new(limit),
            keeps: true,
            has_trace: api == TraceApi::V1,
            is_partial: false,
            found: Found::default(),
        }
    }

    /// Takes the next chunk of Tempo's answer, decompressed, and appends to `out` what of it may
    /// be sent.
    ///
    /// # Errors
    /// [`TraceError::Protobuf`] when the answer is not in the shape of Tempo's messages,
    /// [`TraceError::TooLarge`] when there is too much to hold back. The filter is then of no
    /// more use.
    pub fn push(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<(), TraceError> {
        let mut rest = chunk.clone();
        // Adjacent fields that are ours go on in one piece.
        let mut run = 0..0;
        while !rest.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(rest.len());
                drop(rest.split_to(skipped));
                self.skip -= skipped;
                self.at += skipped;
                continue;
            }
            let began_before = !self.unfinished.is_empty();
            let Some(field) = self.field(&mut rest)? else {
                continue;
            };
            let end = chunk.len() - rest.len();
            let is_ours = self.is_ours(&field)?;
            if !is_ours {
                self.found.foreign = true;
                if self.outline.is_some()
                    && let Some(outline) = self.outline_of(&field)?
                {
                    put(out, chunk, std::mem::replace(&mut run, 0..0));
                    out.push(outline);
                }
                self.at += field.len();
                continue;
            }
            self.at += field.len();
            let is_first = !std::mem::replace(&mut self.found.ours, true);
            if is_first && !self.waits() && self.held.len() > 0 {
                out.push(self.held.take(&[], &[]));
            }
            if self.waits() {
                self.keep(&field)?;
            } else if began_before {
                out.push(field);
            } else if run.end == end - field.len() && !run.is_empty() {
                run.end = end;
            } else {
                put(out, chunk, run);
                run = end - field.len()..end;
            }
        }
        put(out, chunk, run);
        Ok(())
    }

    /// What of the answer is held back in memory.
    pub fn held_bytes(&self) -> usize {
        self.held.len() + self.unfinished.capacity()
    }

    /// Ends the answer.
    ///
    /// # Errors
    /// As [`push`](Self::push); an answer cut short is one.
    pub fn finish(mut self, out: &mut Vec<Bytes>) -> Result<Outcome, TraceError> {
        let at_end = matches!(self.level, Level::Trace(None) | Level::Answer)
            || self.level == Level::Trace(Some(self.at));
        if self.skip > 0 || !self.unfinished.is_empty() || !at_end {
            return Err(malformed("a field that ends after its message", self.at).into());
        }
        let Found { ours, foreign } = self.found;
        if !ours || (foreign && self.foreign == ForeignSpans::Deny) {
            return Ok(Outcome::Nothing);
        }
        if self.waits() {
            out.push(self.whole());
        }
        Ok(Outcome::Kept { all: !foreign })
    }

    /// Whether what is ours is held to the end.
    fn waits(&self) -> bool {
        self.api == TraceApi::V2 || self.foreign == ForeignSpans::Deny
    }

    /// The next `ResourceSpans`, its tag included, if all of it is there. What is none is passed
    /// over or taken note of.
    fn field(&mut self, rest: &mut Bytes) -> Result<Option<Bytes>, TraceError> {
        if let Level::Trace(Some(end)) = self.level
            && end == self.at
            && self.unfinished.is_empty()
        {
            self.level = Level::Answer;
        }
        let Some(head) = self.head(rest)? else {
            return Ok(None);
        };
        let Level::Trace(end) = self.level else {
            self.answer_field(head, rest)?;
            return Ok(None);
        };
        let length = head.whole();
        if end.is_some_and(|end| length > end - self.at) {
            let at = self.at + head.length;
            return Err(malformed("a field that ends after its message", at).into());
        }
        match (head.number, head.kind) {
            (RESOURCE_SPANS, Kind::Bytes(_)) => {
                if length > self.limit {
                    return Err(TraceError::TooLarge { limit: self.limit });
                }
                Ok(self.taken(length, rest))
            }
            (RESOURCE_SPANS, _) => {
                Err(malformed("a ResourceSpans that is not a message", self.at).into())
            }
            // Part of the trace, but whose?
            _ => {
                self.found.foreign = true;
                self.pass_over(length);
                Ok(None)
            }
        }
    }

    /// The head of the next field. Where it ends in a later chunk, all of this one is taken.
    fn head(&mut self, rest: &mut Bytes) -> Result<Option<Head>, TraceError> {
        if self.unfinished.is_empty() {
            let head = wire::head(rest, self.at)?;
            if head.is_none() {
                self.unfinished.extend_from_slice(&std::mem::take(rest));
            }
            return Ok(head);
        }
        // Byte by byte: a head has at most twenty.
        loop {
            if let Some(head) = wire::head(&self.unfinished, self.at)? {
                return Ok(Some(head));
            }
            if rest.is_empty() {
                return Ok(None);
            }
            self.unfinished.extend_from_slice(&rest.split_to(1));
        }
    }

    /// The next field, of so many bytes, if all of it is there.
    fn taken(&mut self, length: usize, rest: &mut Bytes) -> Option<Bytes> {
        if self.unfinished.is_empty() && length <= rest.len() {
            return Some(rest.split_to(length));
        }
        let missing = length.saturating_sub(self.unfinished.len());
        let more = rest.split_to(missing.min(rest.len()));
        self.unfinished.reserve_exact(missing);
        self.unfinished.extend_from_slice(&more);
        let is_whole = self.unfinished.len() == length;
        is_whole.then(|| std::mem::take(&mut self.unfinished).into())
    }

    /// Passes over the next bytes, some of which may have been read.
    fn pass_over(&mut self, length: usize) {
        let read = std::mem::take(&mut self.unfinished).len();
        self.at += read;
        self.skip = length.saturating_sub(read);
    }

    fn answer_field(&mut self, head: Head, rest: &mut Bytes) -> Result<(), TraceError> {
        match (head.number, head.kind) {
            (TRACE, Kind::Bytes(length)) if !self.has_trace => {
                self.has_trace = true;
                let end = self.at.saturating_add(head.whole());
                self.level = Level::Trace(Some(end));
                if self.keeps {
                    self.held.reserve(length);
                }
                self.pass_over(head.length);
            }
            (TRACE, _) => return Err(malformed("a second or impossible trace", self.at).into()),
            (STATUS, Kind::Varint(status)) => {
                // A status we do not know is not "complete" either.
                self.is_partial = status != 0;
                self.pass_over(head.whole());
            }
            _ => self.pass_over(head.whole()),
        }
        let read = self.skip.min(rest.len());
        drop(rest.split_to(read));
        self.skip -= read;
        self.at += read;
        Ok(())
    }

    /// Whether a field that is a `ResourceSpans` is ours.
    fn is_ours(&mut self, field: &Bytes) -> Result<bool, TraceError> {
        match self.message(field)? {
            Some(spans) => resource::is_of_ours(spans, &self.owner, &mut self.verdicts),
            None => Ok(false),
        }
    }

    fn message<'a>(&self, field: &'a Bytes) -> Result<Option<Message<'a>>, TraceError> {
        let Some(Head {
            kind: Kind::Bytes(_),
            length,
            ..
        }) = wire::head(field, self.at)?
        else {
            return Ok(None);
        };
        Ok(Some(Message {
            bytes: field.get(length..).unwrap_or_default(),
            at: self.at + length,
        }))
    }

    /// What is shown of a field that is a foreign `ResourceSpans`, if it may be sent now.
    fn outline_of(&mut self, field: &Bytes) -> Result<Option<Bytes>, TraceError> {
        let (Some(outline), Some(spans)) = (&self.outline, self.message(field)?) else {
            return Ok(None);
        };
        let field = outline::field(RESOURCE_SPANS, spans, outline);
        if self.found.ours && !self.waits() {
            return Ok(Some(field.into()));
        }
        if !self.held.push_outline(&field) {
            self.outline = None;
        }
        Ok(None)
    }

    fn keep(&mut self, field: &[u8]) -> Result<(), TraceError> {
        // One foreign part hides all of it.
        if !self.keeps || (self.found.foreign && self.foreign == ForeignSpans::Deny) {
            self.held.clear();
            return Ok(());
        }
        self.held.push(field)
    }

    /// All that was held, with what comes before and behind it in such an answer: empty metrics, and
    /// whether it is incomplete.
    fn whole(&mut self) -> Bytes {
        let (mut before, mut behind) = (Vec::new(), Vec::new());
        if self.api == TraceApi::V2 {
            put_bytes_head(&mut before, TRACE, self.held.fields());
            put_bytes(&mut behind, METRICS, &[]);
            if self.is_partial {
                put_uint(&mut behind, STATUS, 1);
                put_bytes(&mut behind, MESSAGE, PARTIAL_MESSAGE.as_bytes());
            }
        }
        self.held.take(&before, &behind)
    }
}

fn put(out: &mut Vec<Bytes>, chunk: &Bytes, run: Range<usize>) {
    if !run.is_empty() {
        out.push(chunk.slice(run));
    }
}

/// Whether a trace that Tempo answered as `application/protobuf` has any spans, all of them ours.
///
/// # Errors
/// As [`ProtobufFilter::push`].
pub fn trace_is_wholly_ours(
    body: &Bytes,
    api: TraceApi,
    owner: &TraceOwner,
) -> Result<bool, TraceError> {
    let owner = Arc::new(owner.clone());
    let mut filter = ProtobufFilter {
        keeps: false,
        ..ProtobufFilter::new(api, owner, &ForeignSpans::Deny, usize::MAX)
    };
    filter.push(body, &mut Vec::new())?;
    let outcome = filter.finish(&mut Vec::new())?;
    Ok(outcome != Outcome::Nothing)
}

#[cfg(test)]
mod tests;
