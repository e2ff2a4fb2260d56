//! The JSON form of a trace, redacted while it is streamed.
//!
//! gogo's jsonpb writes it, fields in the order of the message: `{"batches":[…]}` for v1,
//! `{"trace":{"resourceSpans":[…]},"metrics":{…},"status":…,"message":…}` for v2
//! (`pkg/tempopb/trace_utils.go`, `modules/frontend/combiner` of Tempo). A resource comes before
//! its spans, so that little has to be held back; other orders are understood too.

mod outline;
mod output;
mod reader;
mod resource;
mod scalar;
mod scan;
mod text;

use std::sync::Arc;

use bytes::Bytes;

use self::output::Output;
use self::scan::{Event, Scanner};
use self::text::string_equals;
use super::owner::Verdicts;
use super::{ForeignSpans, Outcome, Outline, PARTIAL_MESSAGE, TraceApi, TraceError, TraceOwner};

/// Redacts a trace that Tempo answers as `application/json`, chunk by chunk.
///
/// Chunks in `out` may be sent at once. Before the first one, the caller can still answer not-found
/// or 502. After that, an error leaves the client with half an answer, so the connection must be
/// reset.
///
/// [`ForeignSpans::Deny`] holds everything back until [`finish`](Self::finish).
///
/// Neither the output nor the outcome depends on how the answer is split into chunks.
pub struct JsonFilter {
    scanner: Scanner,
    api: TraceApi,
    owner: Arc<TraceOwner>,
    /// What is shown of foreign elements.
    outline: Option<Outline>,
    limit: usize,
    /// The current member of a v2 answer.
    member: Member,
    has_trace: bool,
    partial: bool,
    list: List,
    element: Element,
    verdicts: Verdicts,
    all: bool,
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Trace,
    Status,
    Other,
}

/// Progress in the list of `ResourceSpans`, with the name of the list in this answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Before,
    Named(&'static str),
    Inside(&'static str),
    After,
}

/// The current `ResourceSpans`.
enum Element {
    None,
    Undecided(Undecided),
    Ours,
    /// Foreign, and buffered for its outline.
    Outlined(Undecided),
    /// Foreign, and skipped.
    Foreign,
}

/// A `ResourceSpans` that is buffered: until its resource is complete, or for its outline.
struct Undecided {
    /// Its text in earlier chunks.
    text: Vec<u8>,
    /// Where it continues in this chunk.
    start: usize,
    resource: Resource,
}

#[derive(Clone, Copy)]
enum Resource {
    Before,
    Named,
    /// It starts this many bytes after its `ResourceSpans`.
    At(usize),
}

impl JsonFilter {
    /// A filter for one answer.
    ///
    /// At most `limit` bytes are held back: of a `ResourceSpans` up to the end of its resource (one
    /// whose resource ends later is foreign), and with [`ForeignSpans::Deny`] of the whole answer
    /// (a longer one is [`TraceError::TooLarge`]). With [`ForeignSpans::Outline`], of a foreign
    /// `ResourceSpans` and of the outlines before the first that is ours; a longer one is left out, and
    /// so are longer outlines.
    pub fn new(
        api: TraceApi,
        owner: Arc<TraceOwner>,
        foreign: &ForeignSpans,
        limit: usize,
    ) -> Self {
        Self {
            scanner: Scanner::new(members_of_trace(api) + 2),
            api,
            outline: foreign.outline(&owner),
            owner,
            limit,
            member: Member::Other,
            has_trace: api == TraceApi::V1,
            partial: false,
            list: List::Before,
            element: Element::None,
            verdicts: Verdicts::default(),
            all: true,
            output: Output::new(foreign, limit),
        }
    }

    /// Takes the next decompressed chunk of Tempo's answer, and appends to `out` what may be sent.
    ///
    /// # Errors
    /// [`TraceError::Json`] if the answer is not JSON in Tempo's shape, [`TraceError::TooLarge`] if
    /// there is too much to hold back. Do not use the filter after an error.
    pub fn push(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<(), TraceError> {
        let mut at = 0;
        while let Some(event) = self.scanner.next(chunk, &mut at)? {
            match event {
                Event::Name { depth } => self.name(depth, at)?,
                Event::Start { depth, at, byte } => self.start(depth, at, byte)?,
                Event::End { depth, at } => self.end(depth, at, chunk, out)?,
            }
        }
        self.output.flush(chunk, out)?;
        if let Element::Undecided(held) | Element::Outlined(held) = &mut self.element {
            held.hold(chunk);
            if held.length(0) > self.limit {
                self.element = Element::Foreign;
                self.leave_out();
            }
        }
        Ok(())
    }

    /// The number of bytes held back in memory.
    pub fn held_bytes(&self) -> usize {
        let undecided = match &self.element {
            Element::Undecided(held) | Element::Outlined(held) => held.text.capacity(),
            Element::None | Element::Ours | Element::Foreign => 0,
        };
        undecided + self.output.held_bytes()
    }

    /// Ends the answer.
    ///
    /// # Errors
    /// As [`push`](Self::push); also if the answer is truncated.
    pub fn finish(mut self, out: &mut Vec<Bytes>) -> Result<Outcome, TraceError> {
        self.scanner.finish()?;
        let tail = match (self.api, self.partial) {
            (TraceApi::V1, _) => "]}".to_owned(),
            (TraceApi::V2, false) => r#"]},"metrics":{}}"#.to_owned(),
            (TraceApi::V2, true) => {
                format!(r#"]}},"metrics":{{}},"status":"PARTIAL","message":"{PARTIAL_MESSAGE}"}}"#)
            }
        };
        let kept = self.output.finish(tail, out)?;
        Ok(if kept {
            Outcome::Kept { all: self.all }
        } else {
            Outcome::Nothing
        })
    }

    fn name(&mut self, depth: usize, at: usize) -> Result<(), TraceError> {
        let name = self.scanner.text().unwrap_or_default();
        // An ambiguous name is none of these.
        let is = |known| string_equals(name, known) == Some(true);
        let trace = members_of_trace(self.api);
        if depth == trace && (self.api == TraceApi::V1 || self.member == Member::Trace) {
            let Some(list) = ["batches", "resourceSpans"]
                .into_iter()
                .find(|list| is(list))
            else {
                // Part of the trace, but of unknown ownership.
                self.leave_out();
                return Ok(());
            };
            if self.list != List::Before {
                return Err(self.scanner.malformed("a second list of spans", at));
            }
            self.list = List::Named(list);
        } else if depth == trace + 2 && is("resource") {
            match &mut self.element {
                Element::Undecided(undecided) => undecided.resource = Resource::Named,
                Element::Ours => return Err(self.scanner.malformed("a second resource", at)),
                Element::Outlined(_) | Element::Foreign | Element::None => {}
            }
        } else if depth == 1 && self.api == TraceApi::V2 {
            self.member = if is("trace") {
                Member::Trace
            } else if is("status") {
                Member::Status
            } else {
                Member::Other
            };
            if self.member == Member::Trace {
                if self.has_trace {
                    return Err(self.scanner.malformed("a second trace", at));
                }
                self.has_trace = true;
            }
        }
        Ok(())
    }

    fn start(&mut self, depth: usize, at: usize, byte: u8) -> Result<(), TraceError> {
        let trace = members_of_trace(self.api);
        match (self.list, depth) {
            (_, 0) if byte != b'{' => return Err(self.scanner.malformed("not an object", at)),
            (List::Named(name), _) if depth == trace => match byte {
                b'[' => self.list = List::Inside(name),
                b'n' => {}
                _ => return Err(self.scanner.malformed("not a list of spans", at)),
            },
            (List::Inside(_), _) if depth == trace + 1 => match byte {
                b'{' => self.element = Element::Undecided(Undecided::new(at)),
                _ => self.element_is_foreign(),
            },
            (List::Inside(_), _) if depth == trace + 2 => {
                if let Element::Undecided(undecided) = &mut self.element
                    && let Resource::Named = undecided.resource
                {
                    undecided.resource = Resource::At(undecided.length(at));
                }
            }
            _ if depth == 1 && self.member == Member::Trace && byte != b'{' && byte != b'n' => {
                return Err(self.scanner.malformed("a trace that is not an object", at));
            }
            _ => {}
        }
        Ok(())
    }

    fn end(
        &mut self,
        depth: usize,
        at: usize,
        chunk: &Bytes,
        out: &mut Vec<Bytes>,
    ) -> Result<(), TraceError> {
        let trace = members_of_trace(self.api);
        match self.list {
            List::Inside(name) if depth == trace + 2 => {
                if let Element::Undecided(undecided) = &mut self.element
                    && let Resource::At(resource) = undecided.resource
                {
                    let near = undecided.length(at) <= self.limit;
                    let resource = undecided.read(resource, chunk, at);
                    let judge = || Ok(resource::is_ours(resource, &self.owner));
                    if near && self.verdicts.is_ours(resource, judge)? {
                        let text = std::mem::take(&mut undecided.text);
                        let start = undecided.start;
                        let head = || head(self.api, name);
                        self.output.begin(text, chunk, start, head, out)?;
                        self.element = Element::Ours;
                    } else {
                        self.element_is_foreign();
                    }
                }
            }
            List::Inside(_) if depth == trace + 1 => {
                match std::mem::replace(&mut self.element, Element::None) {
                    Element::Ours => self.output.end(at)?,
                    Element::Undecided(mut held) | Element::Outlined(mut held) => {
                        self.leave_out();
                        self.put_outline(held.read(0, chunk, at), chunk, out)?;
                    }
                    Element::Foreign | Element::None => {}
                }
            }
            List::Named(_) | List::Inside(_) if depth == trace => self.list = List::After,
            _ if depth == 1 && self.member == Member::Status => {
                let status = self.scanner.text().unwrap_or_default();
                // An unknown status does not mean "complete" either.
                self.partial = !matches!(status, b"COMPLETE" | b"0" | b"null");
            }
            _ => {}
        }
        Ok(())
    }

    fn element_is_foreign(&mut self) {
        self.element = match std::mem::replace(&mut self.element, Element::Foreign) {
            Element::Undecided(held) if self.outline.is_some() => Element::Outlined(held),
            _ => Element::Foreign,
        };
        self.leave_out();
    }

    /// Outputs the outline of a foreign element with this text.
    fn put_outline(
        &mut self,
        element: &[u8],
        chunk: &Bytes,
        out: &mut Vec<Bytes>,
    ) -> Result<(), TraceError> {
        let Some(outline) = &self.outline else {
            return Ok(());
        };
        if element.len() <= self.limit
            && let Some(spans) = outline::resource_spans(element, outline)
            && !self.output.insert(spans, chunk, out)?
        {
            self.outline = None;
        }
        Ok(())
    }

    /// Records that part of the trace is not ours.
    fn leave_out(&mut self) {
        self.all = false;
        self.output.leave_out();
    }
}

impl Undecided {
    fn new(start: usize) -> Self {
        Self {
            text: Vec::new(),
            start,
            resource: Resource::Before,
        }
    }

    /// Its length up to this offset in the chunk.
    fn length(&self, at: usize) -> usize {
        self.text.len() + at.saturating_sub(self.start)
    }

    /// Holds back the rest of this chunk; the element continues at the start of the next.
    fn hold(&mut self, chunk: &Bytes) {
        self.text
            .extend_from_slice(chunk.get(self.start..).unwrap_or_default());
        self.start = 0;
    }

    /// The text of its resource, which ends at `end`.
    fn read<'a>(&'a mut self, resource: usize, chunk: &'a Bytes, end: usize) -> &'a [u8] {
        let text = if self.text.is_empty() {
            chunk.get(self.start + resource..end)
        } else {
            self.text
                .extend_from_slice(chunk.get(self.start..end).unwrap_or_default());
            self.start = end;
            self.text.get(resource..)
        };
        text.unwrap_or_default()
    }
}

/// The number of containers around the members of the `Trace` message.
fn members_of_trace(api: TraceApi) -> usize {
    match api {
        TraceApi::V1 => 1,
        TraceApi::V2 => 2,
    }
}

fn head(api: TraceApi, list: &str) -> String {
    match api {
        TraceApi::V1 => format!(r#"{{"{list}":["#),
        TraceApi::V2 => format!(r#"{{"trace":{{"{list}":["#),
    }
}

#[cfg(test)]
mod tests;
