//! `line:column` in the upstream's texts: it refers to the query that was forwarded, but its reader
//! knows only the original query.

use std::fmt;

/// A position in a query as Prometheus writes it (`posrange.StartPosInput`): both count from 1,
/// columns in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In bytes, from 1.
    pub column: usize,
}

/// Maps a position in the forwarded query to the original query; `None` if it is unknown.
pub type Remap<'a> = &'a dyn Fn(Position) -> Option<Position>;

impl Position {
    /// The position of this byte of a text.
    pub fn of_offset(text: &str, offset: usize) -> Option<Self> {
        let before = text.as_bytes().get(..offset)?;
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        Some(Self {
            line: 1 + memchr::memchr_iter(b'\n', before).count(),
            column: 1 + offset - line_start,
        })
    }

    /// The byte of a text at this position; may be the one after the last.
    pub fn offset_in(self, text: &str) -> Option<usize> {
        let line_start = match self.line.checked_sub(2) {
            None => 0,
            Some(newlines) => memchr::memchr_iter(b'\n', text.as_bytes()).nth(newlines)? + 1,
        };
        let offset = line_start.checked_add(self.column.checked_sub(1)?)?;
        (self.line > 0 && offset <= text.len()).then_some(offset)
    }

    /// Maps a position in `sent` to `written`, by a map of byte offsets.
    pub fn remap(
        self,
        sent: &str,
        written: &str,
        written_offset: impl Fn(usize) -> usize,
    ) -> Option<Self> {
        Self::of_offset(written, written_offset(self.offset_in(sent)?))
    }

    /// Parses `line:column` at a text's start, and returns what follows.
    pub(super) fn read(text: &str) -> Option<(Self, &str)> {
        let (line, rest) = number(text)?;
        let (column, rest) = number(rest.strip_prefix(':')?)?;
        Some((Self { line, column }, rest))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

fn number(text: &str) -> Option<(usize, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_positions_are_inverse_and_count_bytes() {
        let text = "é up\n  or\nfoo";
        for offset in 0..=text.len() {
            let position = Position::of_offset(text, offset).unwrap();
            assert_eq!(position.offset_in(text), Some(offset), "{position}");
        }
        assert_eq!(Position::of_offset(text, 3).unwrap().to_string(), "1:4");
        assert_eq!(Position::of_offset(text, 6).unwrap().to_string(), "2:1");
        assert_eq!(Position::of_offset(text, 99), None);
    }

    #[test]
    fn position_after_an_insertion_is_mapped_back() {
        let sent = r#"up{t="a"} + nofunc(x{t="a"})"#;
        let written = "up + nofunc(x)";
        let back = |offset: usize| offset.saturating_sub(if offset < 9 { 0 } else { 7 });
        let place = Position {
            line: 1,
            column: 13,
        };
        assert_eq!(
            place.remap(sent, written, back),
            Some(Position { line: 1, column: 6 })
        );
    }

    #[test]
    fn impossible_positions_are_none() {
        for (line, column) in [(0, 1), (1, 0), (1, 9), (2, 1), (usize::MAX, usize::MAX)] {
            assert_eq!(
                Position { line, column }.offset_in("up"),
                None,
                "{line}:{column}"
            );
        }
        assert_eq!(Position::read("99999999999999999999999:1"), None);
        assert_eq!(Position::read("1"), None);
        assert_eq!(Position::read(""), None);
    }
}
