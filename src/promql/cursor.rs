//! Reads the tokens of PromQL as Prometheus' `promql/parser/lex.go` does.

use super::refusal::{Position, Problem, Refusal};

/// A position in a query that only moves forward.
#[derive(Clone)]
pub(super) struct Cursor<'q> {
    text: &'q str,
    at: usize,
}

impl<'q> Cursor<'q> {
    pub(super) fn new(text: &'q str) -> Self {
        Self { text, at: 0 }
    }

    /// The offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.peek_after(0)
    }

    pub(super) fn peek_after(&self, skipped: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + skipped).copied()
    }

    pub(super) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Moves over this byte if it is the next one.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Moves over white space and comments. A comment ends before a CR or LF (`isEndOfLine`).
    pub(super) fn skip_gap(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(b'#') => {
                    let rest = self.rest();
                    self.at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    /// The word at the cursor, without moving: letters, digits, `_` and `:`; empty if there is none.
    pub(super) fn peek_word(&self) -> &'q str {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
        match self.peek() {
            Some(byte) if is_word_start(byte) => self.run(is_word),
            _ => "",
        }
    }

    /// Moves over the word at the cursor.
    pub(super) fn word(&mut self) -> &'q str {
        let word = self.peek_word();
        self.at += word.len();
        word
    }

    /// Moves over one of these keywords, and the gap before it, if it is next.
    pub(super) fn take_keyword(&mut self, keywords: &[&str]) -> bool {
        self.skip_gap();
        let word = self.peek_word();
        let is_next = is_keyword(word, keywords);
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    /// Like [`Self::take_keyword`], if a `(` follows. Stops before that `(`.
    pub(super) fn take_called_keyword(&mut self, keywords: &[&str]) -> bool {
        let mut ahead = self.clone();
        if !ahead.take_keyword(keywords) {
            return false;
        }
        ahead.skip_gap();
        let is_called = ahead.peek() == Some(b'(');
        if is_called {
            *self = ahead;
        }
        is_called
    }

    /// Moves over a label name between braces: a word without `:`.
    pub(super) fn label(&mut self) -> &'q str {
        let label = self.run(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        self.at += label.len();
        label
    }

    /// Whether a number or duration starts here.
    pub(super) fn at_number(&self) -> bool {
        match self.peek() {
            Some(b'.') => self.peek_after(1).is_some_and(|byte| byte.is_ascii_digit()),
            Some(byte) => byte.is_ascii_digit(),
            None => false,
        }
    }

    /// Moves over a number or duration: every byte that could be part of one, and the sign of an
    /// exponent (`1e-5`).
    ///
    /// In Prometheus no word starts right after a number (`scanNumber` and
    /// `acceptRemainingDuration` require a byte that is not alphanumeric). Hexadecimal numbers have
    /// no exponent: in `0xffe-up` the sign is an operator.
    pub(super) fn number(&mut self) -> &'q str {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        let start = self.at;
        self.at += self.run(is_part).len();
        let before = self.text.get(start..self.at).unwrap_or_default();
        if is_up_to_exponent(before)
            && matches!(self.peek(), Some(b'+' | b'-'))
            && self.peek_after(1).is_some_and(|byte| byte.is_ascii_digit())
        {
            self.at += 1;
            self.at += self.run(is_part).len();
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Moves over a string that starts here, and returns it with its quotes. A backslash escapes
    /// the next byte, except between backticks; the upstream decides whether the escape is valid.
    /// Only strings in backticks may span lines.
    pub(super) fn string(&mut self) -> Result<&'q str, Refusal> {
        let start = self.at;
        let Some(quote) = self.peek() else {
            return Err(self.malformed(Problem::String));
        };
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                _ if byte == quote => return Ok(self.text.get(start..self.at).unwrap_or_default()),
                b'\\' if quote != b'`' => self.at += 1,
                b'\n' if quote != b'`' => break,
                _ => {}
            }
        }
        Err(self.malformed_at(start, Problem::String))
    }

    pub(super) fn malformed(&self, problem: Problem) -> Refusal {
        self.malformed_at(self.at, problem)
    }

    pub(super) fn malformed_at(&self, at: usize, problem: Problem) -> Refusal {
        Refusal::Malformed {
            problem,
            at: self.position(at),
        }
    }

    /// The refusal of the character at the cursor, or of the end.
    pub(super) fn unexpected(&self) -> Refusal {
        let next = self
            .text
            .get(self.at..)
            .and_then(|rest| rest.chars().next());
        self.malformed(next.map_or(Problem::End, Problem::Character))
    }

    pub(super) fn position(&self, at: usize) -> Position {
        Position::at_offset(self.text, at)
    }

    fn rest(&self) -> &'q [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The longest run of such bytes here. They are ASCII, so it ends between characters.
    fn run(&self, is_part: impl Fn(&u8) -> bool) -> &'q str {
        let length = self.rest().iter().take_while(|byte| is_part(byte)).count();
        self.text.get(self.at..self.at + length).unwrap_or_default()
    }
}

/// Whether a word of the expression may start with this byte.
pub(super) fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':')
}

/// Whether a decimal number goes up to the letter of its exponent: `1e`, `2.5E`.
fn is_up_to_exponent(number: &str) -> bool {
    let digits = number.strip_suffix(['e', 'E']).unwrap_or_default();
    let is_part = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'_' | b'.');
    !digits.is_empty() && digits.bytes().all(is_part)
}

/// Whether a label name between braces may start with this byte.
pub(super) fn is_label_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

/// Whether a word is one of these keywords, ignoring case as Prometheus does.
pub(super) fn is_keyword(word: &str, keywords: &[&str]) -> bool {
    keywords
        .iter()
        .any(|keyword| word.eq_ignore_ascii_case(keyword))
}
