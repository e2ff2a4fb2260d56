//! Writes the elements that are ours: a new JSON text around slices of the old one.

use bytes::Bytes;

use crate::tempo::trace::{ForeignSpans, TraceError};

/// Outputs the elements that are ours after a head, separated by commas. With
/// [`ForeignSpans::Deny`] only at the end.
pub(super) struct Output {
    started: bool,
    /// The part of this chunk that is ours and not output yet. Its end is unknown while an element
    /// is open.
    run: Option<Run>,
    hold: Option<Hold>,
    /// Outlines that wait for the first element that is ours, each with a comma behind it.
    outlines: Vec<u8>,
    limit: usize,
}

struct Run {
    start: usize,
    end: Option<usize>,
}

/// What [`ForeignSpans::Deny`] holds back. All of it is ours so far.
struct Hold {
    text: Vec<u8>,
    limit: usize,
    denied: bool,
}

impl Output {
    pub(super) fn new(foreign: &ForeignSpans, limit: usize) -> Self {
        let hold = (*foreign == ForeignSpans::Deny).then(|| Hold {
            text: Vec::new(),
            limit,
            denied: false,
        });
        Self {
            started: false,
            run: None,
            hold,
            outlines: Vec::new(),
            limit,
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        let hold = self.hold.as_ref().map_or(0, |hold| hold.text.capacity());
        hold + self.outlines.capacity()
    }

    pub(super) fn leave_out(&mut self) {
        if let Some(hold) = &mut self.hold {
            hold.denied = true;
            hold.text = Vec::new();
        }
    }

    /// Starts an element that is ours: `text` is what earlier chunks had of it, and `start` its
    /// offset in this chunk.
    pub(super) fn begin(
        &mut self,
        text: Vec<u8>,
        chunk: &Bytes,
        start: usize,
        head: impl FnOnce() -> String,
        out: &mut Vec<Bytes>,
    ) -> Result<(), TraceError> {
        if let Some(run) = &mut self.run
            && let Some(end) = run.end
            && text.is_empty()
            && chunk.get(end..start) == Some(b",")
        {
            run.end = None;
            return Ok(());
        }
        self.flush(chunk, out)?;
        let before = if self.started {
            Bytes::from_static(b",")
        } else {
            head().into()
        };
        self.put(before, out)?;
        self.started = true;
        let outlines = std::mem::take(&mut self.outlines);
        self.put(outlines.into(), out)?;
        self.put(text.into(), out)?;
        self.run = Some(Run { start, end: None });
        Ok(())
    }

    /// Outputs an outline; before the first element that is ours, it is held back. `false` if there
    /// are too many to be held: those before it are left out then.
    pub(super) fn insert(
        &mut self,
        outline: Vec<u8>,
        chunk: &Bytes,
        out: &mut Vec<Bytes>,
    ) -> Result<bool, TraceError> {
        if self.started {
            self.flush(chunk, out)?;
            self.put(Bytes::from_static(b","), out)?;
            self.put(outline.into(), out)?;
            return Ok(true);
        }
        if self.outlines.len() + outline.len() >= self.limit {
            self.outlines = Vec::new();
            return Ok(false);
        }
        self.outlines.extend_from_slice(&outline);
        self.outlines.push(b',');
        Ok(true)
    }

    /// Ends the current element before `at`.
    pub(super) fn end(&mut self, at: usize) -> Result<(), TraceError> {
        if let Some(run) = &mut self.run {
            run.end = Some(at);
            if let Some(hold) = &self.hold {
                hold.check(at - run.start)?;
            }
        }
        Ok(())
    }

    /// Outputs the rest of a chunk that has been processed.
    pub(super) fn flush(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<(), TraceError> {
        if let Some(run) = self.run.take() {
            self.put(chunk.slice(run.start..run.end.unwrap_or(chunk.len())), out)?;
            if run.end.is_none() {
                self.run = Some(Run {
                    start: 0,
                    end: None,
                });
            }
        }
        Ok(())
    }

    /// The answer is complete. `false` if nothing of it is to be sent.
    /// Completes the answer. Returns `false` if nothing of it is to be sent.
    pub(super) fn finish(
        &mut self,
        tail: String,
        out: &mut Vec<Bytes>,
    ) -> Result<bool, TraceError> {
        if !self.started || self.hold.as_ref().is_some_and(|hold| hold.denied) {
            return Ok(false);
        }
        self.put(tail.into(), out)?;
        out.extend(self.hold.take().map(|hold| Bytes::from(hold.text)));
        Ok(true)
    }

    fn put(&mut self, text: Bytes, out: &mut Vec<Bytes>) -> Result<(), TraceError> {
        match &mut self.hold {
            Some(hold) if hold.denied => {}
            Some(hold) => {
                hold.check(text.len())?;
                hold.text.extend_from_slice(&text);
            }
            None if text.is_empty() => {}
            None => out.push(text),
        }
        Ok(())
    }
}

impl Hold {
    fn check(&self, more: usize) -> Result<(), TraceError> {
        if !self.denied && self.text.len() + more > self.limit {
            return Err(TraceError::TooLarge { limit: self.limit });
        }
        Ok(())
    }
}
