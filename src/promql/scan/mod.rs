//! Finds every selector of a query, without a syntax tree and without recursion.

mod selector;

use std::ops::Range;

use super::cursor::{Cursor, is_keyword, is_word_start};
use super::matcher::Matcher;
use super::refusal::{InfoHint, Problem, Refusal};
use super::skip;

pub(super) struct Scan {
    /// One for each selector, in order.
    pub(super) sites: Vec<Site>,
    /// The strings and numbers whose content has no influence on selectors, in order: operands, and
    /// the values of matchers.
    pub(super) contents: Vec<Range<usize>>,
    /// Operands, operators, parentheses, ranges, labels and matchers: at least as many as a syntax
    /// tree of the query has nodes.
    pub(super) nodes: usize,
    /// Where the first selector starts whose matchers certainly are all fulfilled by the empty value.
    /// Prometheus refuses it in a query (`promql/parser/parse.go`, `checkAST`).
    pub(super) unselective: Option<usize>,
}

/// Where to insert matchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) at: usize,
    pub(super) form: Form,
    /// Whether the selector is inside a call that makes labels of equality matchers.
    pub(super) in_absent: bool,
}

/// Whether the function makes labels of a selector's equality matchers (`promql/functions.go`,
/// `createLabelsForAbsentFunction`). Functions, unlike keywords, have one spelling.
pub(super) fn makes_labels_of_matchers(function: &str) -> bool {
    matches!(function, "absent" | "absent_over_time")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// After a metric name without braces.
    Bare,
    /// After the `{` of a selector.
    Braced,
}

/// What the text has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A `query`.
    Expression,
    /// A `match[]`: exactly one selector.
    Selector,
}

/// Scans a text and calls `on_matcher` for each matcher. Refuses more than `max_selectors`.
pub(super) fn scan<'q>(
    text: &'q str,
    kind: Kind,
    max_selectors: usize,
    on_matcher: impl FnMut(&Matcher<'q>) -> Result<(), Refusal>,
) -> Result<Scan, Refusal> {
    refuse_forbidden(text)?;
    let mut scanner = Scanner::new(text, max_selectors, on_matcher);
    match kind {
        Kind::Expression => while scanner.token()? {},
        Kind::Selector => scanner.lone_selector()?,
    }
    scanner.finish()
}

/// Prometheus takes U+FFFD for invalid UTF-8, and no query needs NUL.
fn refuse_forbidden(text: &str) -> Result<(), Refusal> {
    let nul = memchr::memchr(0, text.as_bytes());
    let found = nul.or_else(|| {
        if text.is_ascii() {
            return None;
        }
        text.find(char::REPLACEMENT_CHARACTER)
    });
    match found {
        Some(at) => Err(Cursor::new(text).malformed_at(at, Problem::Forbidden)),
        None => Ok(()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Operand,
    /// After the `(` of a call: an operand or `)`.
    Argument,
    /// An operand has ended: an operator, a range, a modifier, `,`, `)` or the end.
    Operator,
}

/// An `info(` that is not closed yet.
struct OpenInfo {
    at: usize,
    /// The depth of its arguments.
    depth: usize,
}

struct Scanner<'q, F> {
    cursor: Cursor<'q>,
    expect: Expect,
    depth: usize,
    open_infos: Vec<OpenInfo>,
    /// The depth of the arguments of the outermost open call of `absent` or `absent_over_time`.
    open_absent: Option<usize>,
    sites: Vec<Site>,
    contents: Vec<Range<usize>>,
    max_selectors: usize,
    nodes: usize,
    unselective: Option<usize>,
    on_matcher: F,
}

impl<'q, F: FnMut(&Matcher<'q>) -> Result<(), Refusal>> Scanner<'q, F> {
    fn new(text: &'q str, max_selectors: usize, on_matcher: F) -> Self {
        Self {
            cursor: Cursor::new(text),
            expect: Expect::Operand,
            depth: 0,
            open_infos: Vec::new(),
            open_absent: None,
            sites: Vec::new(),
            contents: Vec::new(),
            max_selectors,
            nodes: 0,
            unselective: None,
            on_matcher,
        }
    }

    /// Moves over one token of an expression and its modifiers; false at the end.
    fn token(&mut self) -> Result<bool, Refusal> {
        self.cursor.skip_gap();
        let Some(byte) = self.cursor.peek() else {
            return Ok(false);
        };
        self.nodes += 1;
        match (byte, self.expect) {
            (b')', _) => self.close()?,
            (b',', Expect::Operator) if self.depth > 0 => self.comma()?,
            (b'[', Expect::Operator) => self.nodes += skip::range(&mut self.cursor)?,
            (b'@', Expect::Operator) => {
                self.cursor.advance(1);
                self.expect = Expect::Operand;
            }
            (_, Expect::Operator) if is_word_start(byte) => self.operator_word()?,
            (_, Expect::Operator) => self.operator_symbol()?,
            (b'(', _) => self.open(Expect::Operand),
            (b'+' | b'-', _) => {
                self.cursor.advance(1);
                self.expect = Expect::Operand;
            }
            (b'{', _) => {
                self.nameless()?;
                self.expect = Expect::Operator;
            }
            (b'"' | b'\'' | b'`', _) => {
                let length = self.cursor.string()?.len();
                self.content(length);
                self.expect = Expect::Operator;
            }
            _ if is_word_start(byte) => self.operand_word()?,
            _ if self.cursor.at_number() => {
                let length = self.cursor.number().len();
                self.content(length);
                self.expect = Expect::Operator;
            }
            _ => return Err(self.cursor.unexpected()),
        }
        Ok(true)
    }

    fn finish(self) -> Result<Scan, Refusal> {
        if self.expect != Expect::Operator {
            return Err(self.cursor.malformed(Problem::End));
        }
        if self.depth > 0 {
            return Err(self.cursor.malformed(Problem::LeftParenthesis));
        }
        Ok(Scan {
            sites: self.sites,
            contents: self.contents,
            nodes: self.nodes,
            unselective: self.unselective,
        })
    }

    /// A word that starts an operand: a number, a call, an aggregation or a metric name, which may
    /// be a keyword.
    fn operand_word(&mut self) -> Result<(), Refusal> {
        let start = self.cursor.at();
        let word = self.cursor.word();
        let end = self.cursor.at();
        self.expect = Expect::Operator;
        if is_keyword(word, &["inf", "nan"]) {
            return Ok(());
        }
        self.cursor.skip_gap();
        match self.cursor.peek() {
            Some(b'(') => {
                self.open(Expect::Argument);
                if makes_labels_of_matchers(word) {
                    self.open_absent.get_or_insert(self.depth);
                }
                if is_keyword(word, &["info"]) {
                    self.open_infos.push(OpenInfo {
                        at: start,
                        depth: self.depth,
                    });
                }
                Ok(())
            }
            Some(b'{') => self.braces().map(drop),
            _ if is_keyword(self.cursor.peek_word(), &["by", "without"]) => {
                self.cursor.word();
                self.expect = Expect::Operand;
                self.labels()
            }
            _ => self.site(end, Form::Bare),
        }
    }

    /// A word after an operand.
    fn operator_word(&mut self) -> Result<(), Refusal> {
        let start = self.cursor.at();
        let word = self.cursor.word();
        if is_keyword(word, &["and", "or", "unless", "atan2"]) {
            self.binary_modifiers()
        } else if is_keyword(word, &["by", "without"]) {
            self.labels()
        } else if is_keyword(word, &["offset"]) {
            self.expect = Expect::Operand;
            Ok(())
        } else if is_keyword(word, &["anchored", "smoothed"]) {
            Ok(())
        } else {
            Err(self.cursor.malformed_at(start, Problem::Word))
        }
    }

    fn operator_symbol(&mut self) -> Result<(), Refusal> {
        let length = match (self.cursor.peek(), self.cursor.peek_after(1)) {
            (Some(b'=' | b'!'), Some(b'=')) | (Some(b'<' | b'>'), Some(b'=' | b'/')) => 2,
            (Some(b'+' | b'-' | b'*' | b'/' | b'%' | b'^' | b'<' | b'>'), _) => 1,
            _ => return Err(self.cursor.unexpected()),
        };
        self.cursor.advance(length);
        self.binary_modifiers()
    }

    /// What may stand between a binary operator and its right operand:
    /// `bool on(…) group_left(…) fill_left(…) fill_right(…)`. Only here these words are never
    /// metric names (Prometheus' grammar shifts them).
    fn binary_modifiers(&mut self) -> Result<(), Refusal> {
        self.expect = Expect::Operand;
        self.cursor.take_keyword(&["bool"]);
        if self.cursor.take_called_keyword(&["on", "ignoring"]) {
            self.labels()?;
            if self.cursor.take_keyword(&["group_left", "group_right"]) {
                self.cursor.skip_gap();
                if self.cursor.peek() == Some(b'(') {
                    self.labels()?;
                }
            }
        }
        while self
            .cursor
            .take_called_keyword(&["fill", "fill_left", "fill_right"])
        {
            skip::fill_value(&mut self.cursor)?;
        }
        Ok(())
    }

    fn open(&mut self, then: Expect) {
        self.cursor.advance(1);
        self.depth += 1;
        self.expect = then;
    }

    fn close(&mut self) -> Result<(), Refusal> {
        if self.depth == 0 || self.expect == Expect::Operand {
            return Err(self.cursor.malformed(Problem::RightParenthesis));
        }
        if let Some(info) = self.open_info_here() {
            return Err(self.unconfined_info(info, InfoHint::Selector));
        }
        self.cursor.advance(1);
        if self.open_absent == Some(self.depth) {
            self.open_absent = None;
        }
        self.depth -= 1;
        self.expect = Expect::Operator;
        Ok(())
    }

    fn comma(&mut self) -> Result<(), Refusal> {
        self.cursor.advance(1);
        self.expect = Expect::Operand;
        match self.open_info_here() {
            Some(info) => self.close_info(info),
            None => Ok(()),
        }
    }

    /// The rest of an `info(…,` from its second argument on.
    ///
    /// That argument has to be a selector, and gets our matchers like any other. They confine the
    /// series that `info()` selects by itself, but have two side effects: if there is any matcher
    /// (on a label other than `__name__`), only labels with a matcher are copied; and if one of
    /// them rules out the empty value, series without a counterpart are dropped. So the answer is
    /// that of a private store only if the query itself has such a matcher (`promql/info.go`,
    /// `combineWithInfoVector`).
    fn close_info(&mut self, at: usize) -> Result<(), Refusal> {
        self.cursor.skip_gap();
        let rules_out_empty = self.cursor.peek() == Some(b'{') && self.braces()?.rules_out_empty;
        self.cursor.skip_gap();
        if !rules_out_empty || !self.cursor.take(b')') {
            return Err(self.unconfined_info(at, InfoHint::Selector));
        }
        self.open_infos.pop();
        self.depth -= 1;
        self.expect = Expect::Operator;
        Ok(())
    }

    /// The offset of the word `info`, if the innermost open parenthesis is one of its calls.
    fn open_info_here(&self) -> Option<usize> {
        let innermost = self.open_infos.last()?;
        (innermost.depth == self.depth).then_some(innermost.at)
    }

    fn unconfined_info(&self, at: usize, hint: InfoHint) -> Refusal {
        Refusal::UnconfinedInfo {
            at: self.cursor.position(at),
            hint,
        }
    }

    /// The labels of `by (…)` and the like.
    fn labels(&mut self) -> Result<(), Refusal> {
        if let Some(info) = self.open_infos.last() {
            // The first argument may have lost the tenant label, and our matcher in the second
            // one would add it again; in a private store's answer it would be missing.
            return Err(self.unconfined_info(info.at, InfoHint::Grouping));
        }
        self.nodes += skip::labels(&mut self.cursor)?;
        Ok(())
    }
}
