//! What is held back of an answer.

use std::ops::Range;

use bytes::Bytes;

use crate::tempo::trace::TraceError;

/// Room for what comes before what is held, whose length is known last.
const ROOM: usize = 12;

/// Enough for that, and for what comes behind.
const ROOM_AROUND: usize = 64;

/// Fields that wait, in the order of the answer.
pub(super) struct Held {
    /// The fields, behind [`ROOM`] once there is one.
    bytes: Vec<u8>,
    /// Where outlines are in `bytes`.
    outlines: Vec<Range<usize>>,
    /// Whether there were too many outlines.
    is_full: bool,
    /// The most bytes of fields.
    limit: usize,
}

impl Held {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            outlines: Vec::new(),
            is_full: false,
            limit,
        }
    }

    /// The memory that it takes, in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The length of the fields, in bytes.
    pub(super) fn fields(&self) -> usize {
        self.bytes.len().saturating_sub(ROOM)
    }

    /// Prepares for fields of so many bytes. Memory that nothing is written to takes none.
    pub(super) fn reserve(&mut self, length: usize) {
        let length = length.min(self.limit);
        self.bytes.reserve_exact(length.saturating_add(ROOM_AROUND));
    }

    pub(super) fn clear(&mut self) {
        self.bytes = Vec::new();
        self.outlines = Vec::new();
    }

    /// Appends a field that is ours. Outlines that leave no room for it are left out.
    pub(super) fn push(&mut self, field: &[u8]) -> Result<(), TraceError> {
        if !self.fits(field) {
            self.drop_outlines();
            if !self.fits(field) {
                return Err(TraceError::TooLarge { limit: self.limit });
            }
        }
        self.bytes.extend_from_slice(field);
        Ok(())
    }

    /// Appends an outline. `false` if outlines do not fit: those before it are left out then.
    pub(super) fn push_outline(&mut self, field: &[u8]) -> bool {
        if self.is_full || !self.fits(field) {
            self.drop_outlines();
            return false;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(field);
        let end = self.bytes.len();
        match self.outlines.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => self.outlines.push(start..end),
        }
        true
    }

    /// Takes what is held, with this before and behind it.
    pub(super) fn take(&mut self, before: &[u8], behind: &[u8]) -> Bytes {
        self.outlines = Vec::new();
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.extend_from_slice(behind);
        let start = ROOM.saturating_sub(before.len());
        for (place, byte) in bytes.iter_mut().skip(start).zip(before) {
            *place = *byte;
        }
        let mut bytes = Bytes::from(bytes);
        drop(bytes.split_to(start.min(bytes.len())));
        bytes
    }

    /// Makes room before what is held, and returns whether this fits behind it.
    fn fits(&mut self, field: &[u8]) -> bool {
        if self.bytes.is_empty() {
            self.bytes.resize(ROOM, 0);
        }
        self.fields() + field.len() <= self.limit
    }

    fn drop_outlines(&mut self) {
        self.is_full = true;
        let (mut from, mut to) = (0, 0);
        let end = self.bytes.len();
        let outlines = std::mem::take(&mut self.outlines);
        for outline in outlines.into_iter().chain(std::iter::once(end..end)) {
            self.bytes.copy_within(from..outline.start, to);
            to += outline.start - from;
            from = outline.end;
        }
        self.bytes.truncate(to);
    }
}
