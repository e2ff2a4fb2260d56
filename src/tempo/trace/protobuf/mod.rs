//! The protobuf form of a trace, redacted by copying slices of the body.
//!
//! Only the list of `ResourceSpans` and the attributes of their resources are walked. Spans are
//! skipped by their length, so the time does not grow with them.
//!
//! Field numbers: `pkg/tempopb/tempo.proto` of Tempo, and the messages of
//! `opentelemetry/proto/{trace,resource,common}/v1` it contains.

use std::ops::Range;

use bytes::Bytes;

use super::owner::Verdicts;
use super::{ForeignSpans, PARTIAL_MESSAGE, TraceApi, TraceError, TraceOwner};
use crate::wire::{Message, Value, put_bytes, put_bytes_head, put_uint};

/// A trace as the caller may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redacted {
    /// Nothing is ours. Answer as for a trace that does not exist.
    Nothing,
    Kept {
        /// The new body, in pieces to be sent in order. Large ones share the memory of the old
        /// body.
        body: Vec<Bytes>,
        /// Whether this is the whole trace.
        all: bool,
    },
}

/// Redacts a trace that Tempo answered as `application/protobuf`.
///
/// `body` is the whole decompressed answer.
///
/// # Errors
/// [`TraceError::Protobuf`] if the answer cannot be parsed: answer 502 and send nothing of it.
pub fn redact_protobuf(
    body: &Bytes,
    api: TraceApi,
    owner: &TraceOwner,
    foreign: ForeignSpans,
) -> Result<Redacted, TraceError> {
    let whole = Message::body(body);
    let answer = match api {
        TraceApi::V1 => Answer {
            trace: whole,
            partial: false,
        },
        TraceApi::V2 => Answer::read(whole)?,
    };
    let ours = Ours::select(answer.trace, owner, foreign)?;
    if ours.runs.is_empty() {
        return Ok(Redacted::Nothing);
    }
    let kept = ours.runs.iter().map(|run| body.slice(run.clone()));
    let body = match api {
        TraceApi::V1 => kept.collect(),
        TraceApi::V2 => std::iter::once(head(ours.length()))
            .chain(kept)
            .chain([tail(answer.partial)])
            .collect(),
    };
    Ok(Redacted::Kept {
        body,
        all: ours.all,
    })
}

/// Whether a trace that Tempo answered as `application/protobuf` has any spans, all of them ours.
/// Stops at the first foreign `ResourceSpans`.
///
/// # Errors
/// As [`redact_protobuf`].
pub fn trace_is_wholly_ours(
    body: &Bytes,
    api: TraceApi,
    owner: &TraceOwner,
) -> Result<bool, TraceError> {
    redact_protobuf(body, api, owner, ForeignSpans::Deny)
        .map(|redacted| redacted != Redacted::Nothing)
}

/// The relevant fields of a `TraceByIDResponse`. Its `metrics` and `message`, and fields that a
/// later Tempo may add, describe the whole trace or the whole store and are ignored.
struct Answer<'a> {
    trace: Message<'a>,
    partial: bool,
}

impl<'a> Answer<'a> {
    const TRACE: u32 = 1;
    const METRICS: u32 = 2;
    const STATUS: u32 = 3;
    const MESSAGE: u32 = 4;

    fn read(response: Message<'a>) -> Result<Self, TraceError> {
        let mut trace = None;
        let mut partial = false;
        for field in response.fields() {
            let field = field?;
            match (field.number, field.value) {
                (Self::TRACE, Value::Bytes(message)) if trace.is_none() => trace = Some(message),
                (Self::TRACE, _) => {
                    return Err(TraceError::Protobuf {
                        what: "a second or impossible trace",
                        at: field.at,
                    });
                }
                // An unknown status does not mean "complete" either.
                (Self::STATUS, Value::Varint(status)) => partial = status != 0,
                _ => {}
            }
        }
        Ok(Self {
            trace: trace.unwrap_or(Message::body(&[])),
            partial,
        })
    }
}

/// Everything of a v2 answer before the trace's own bytes.
fn head(trace_length: usize) -> Bytes {
    let mut head = Vec::new();
    put_bytes_head(&mut head, Answer::TRACE, trace_length);
    head.into()
}

/// Everything of a v2 answer after the trace: empty metrics, and whether it is incomplete.
fn tail(partial: bool) -> Bytes {
    let mut tail = Vec::new();
    put_bytes(&mut tail, Answer::METRICS, &[]);
    if partial {
        put_uint(&mut tail, Answer::STATUS, 1);
        put_bytes(&mut tail, Answer::MESSAGE, PARTIAL_MESSAGE.as_bytes());
    }
    tail.into()
}

/// The parts of a `Trace` that are ours: runs of adjacent `ResourceSpans`, with their field tags.
struct Ours {
    runs: Vec<Range<usize>>,
    all: bool,
}

impl Ours {
    const RESOURCE_SPANS: u32 = 1;

    fn select(
        trace: Message<'_>,
        owner: &TraceOwner,
        foreign: ForeignSpans,
    ) -> Result<Self, TraceError> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        let mut all = true;
        let mut verdicts = Verdicts::default();
        for field in trace.fields() {
            let field = field?;
            let ours = match (field.number, field.value) {
                (Self::RESOURCE_SPANS, Value::Bytes(spans)) => match resource(spans)? {
                    Some(resource) => {
                        verdicts.is_ours(resource.bytes, || is_ours(resource, owner))?
                    }
                    None => false,
                },
                (Self::RESOURCE_SPANS, _) => {
                    return Err(TraceError::Protobuf {
                        what: "a ResourceSpans that is not a message",
                        at: field.at,
                    });
                }
                // Part of the trace, but of unknown ownership.
                _ => false,
            };
            match runs.last_mut() {
                _ if !ours && foreign == ForeignSpans::Deny => {
                    return Ok(Self {
                        runs: Vec::new(),
                        all: false,
                    });
                }
                _ if !ours => all = false,
                Some(run) if run.end == field.at => run.end = field.whole().end,
                _ => runs.push(field.whole()),
            }
        }
        Ok(Self { runs, all })
    }

    fn length(&self) -> usize {
        self.runs.iter().map(Range::len).sum()
    }
}

/// The resource of a `ResourceSpans`; `None` if it has several, which decoders would merge.
fn resource(spans: Message<'_>) -> Result<Option<Message<'_>>, TraceError> {
    const RESOURCE: u32 = 1;
    let mut resource = None;
    for field in spans.fields() {
        let field = field?;
        match (field.number, field.value) {
            (RESOURCE, Value::Bytes(message)) if resource.is_none() => resource = Some(message),
            (RESOURCE, _) => return Ok(None),
            _ => {}
        }
    }
    Ok(resource)
}

/// Whether a resource belongs to our tenants.
fn is_ours(resource: Message<'_>, owner: &TraceOwner) -> Result<bool, TraceError> {
    for (name, tenants) in owner.iter() {
        match sole_string(resource, name)? {
            Some(value) if tenants.contains(value) => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// The value of the attribute with this name, if there is exactly one and it is a plain string.
/// `None` also for a resource with an unknown field, which may contain attributes too.
fn sole_string<'a>(resource: Message<'a>, name: &str) -> Result<Option<&'a str>, TraceError> {
    const ATTRIBUTES: u32 = 1;
    const DROPPED_ATTRIBUTES_COUNT: u32 = 2;
    const ENTITY_REFS: u32 = 3;
    let mut found = None;
    for field in resource.fields() {
        let field = field?;
        let attribute = match (field.number, field.value) {
            (ATTRIBUTES, Value::Bytes(attribute)) => attribute,
            (DROPPED_ATTRIBUTES_COUNT, Value::Varint(_)) | (ENTITY_REFS, Value::Bytes(_)) => {
                continue;
            }
            _ => return Ok(None),
        };
        let Some(attribute) = key_value(attribute)? else {
            return Ok(None);
        };
        if attribute.key == name.as_bytes() {
            let (None, Some(value)) = (found, attribute.value) else {
                return Ok(None);
            };
            found = only_string(value)?;
            if found.is_none() {
                return Ok(None);
            }
        }
    }
    Ok(found)
}

struct KeyValue<'a> {
    key: &'a [u8],
    value: Option<Message<'a>>,
}

/// Parses an attribute. `None` if it has two keys or values (decoders take the last key and merge
/// the values) or any other field: `key_strindex` is another way to give the key.
fn key_value(attribute: Message<'_>) -> Result<Option<KeyValue<'_>>, TraceError> {
    const KEY: u32 = 1;
    const VALUE: u32 = 2;
    let mut key = None;
    let mut value = None;
    for field in attribute.fields() {
        let field = field?;
        match (field.number, field.value) {
            (KEY, Value::Bytes(text)) if key.is_none() => key = Some(text.bytes),
            (VALUE, Value::Bytes(message)) if value.is_none() => value = Some(message),
            _ => return Ok(None),
        }
    }
    let key = key.unwrap_or_default();
    Ok(Some(KeyValue { key, value }))
}

/// The string of an `AnyValue` that is a plain string.
fn only_string(value: Message<'_>) -> Result<Option<&str>, TraceError> {
    const STRING_VALUE: u32 = 1;
    let mut string = None;
    for field in value.fields() {
        let field = field?;
        match (field.number, field.value) {
            (STRING_VALUE, Value::Bytes(text)) if string.is_none() => string = Some(text.bytes),
            _ => return Ok(None),
        }
    }
    Ok(string.and_then(|text| std::str::from_utf8(text).ok()))
}

#[cfg(test)]
mod tests;
