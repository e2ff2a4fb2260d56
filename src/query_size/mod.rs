//! Bounds on the work that a query text causes in the store. Pure.
//!
//! A short text can keep a store busy for minutes: Prometheus evaluates a chain of operators in
//! time quadratic in its length, prints an expression (`format_query`) in time cubic in its depth,
//! and compiles `a{1000}` to a thousand instructions. So every query text of any caller is measured
//! by [`Limits::check`] before it is forwarded.
//!
//! A text is measured by tokens, not by grammar: callers with all tenants may use syntax that
//! Partywall does not know. Each language's own lexer (`promql::measure`, `traceql::measure`) feeds
//! a [`Meter`].

mod literal;
mod regex;

use thiserror::Error;

use crate::reason::Reason;

pub(crate) use self::literal::unquote;
pub(crate) use self::regex::{repetitions, repetitions_of_literal};

/// The limits on query texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one text.
    pub bytes: usize,
    /// Levels of nested brackets and unary operators in one text.
    pub depth: usize,
    /// Parts of one text, or of all selectors of one request: names, values, operators, brackets,
    /// and the repetitions in regexes.
    pub nodes: usize,
    /// Bytes of a text to be printed, times the depth of its tree. See [`Size::to_print`].
    pub format_bytes: usize,
}

/// Why a text is over a limit, for the client. The messages do not quote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Oversize {
    #[error("the query is {bytes} bytes long, more than {limit} (limits.query_bytes)")]
    TooLong { bytes: usize, limit: usize },
    #[error(
        "the query is nested {depth} levels deep, more than {limit} (limits.query_depth); \
         brackets, calls and unary operators within each other count"
    )]
    TooDeep { depth: usize, limit: usize },
    #[error(
        "the query has {nodes} parts, more than {limit} (limits.query_nodes); names, values, \
         operators, brackets and repetitions in regular expressions count"
    )]
    TooManyNodes { nodes: usize, limit: usize },
    #[error(
        "to print the query, {bytes} bytes (its length times its depth, where operators in a row \
         count) have to be worked through, more than {limit} (limits.format_bytes)"
    )]
    TooMuchToPrint {
        /// [`Size::to_print`].
        bytes: usize,
        limit: usize,
    },
}

impl Oversize {
    pub fn reason(&self) -> Reason {
        match self {
            Self::TooLong { .. } => Reason::QueryTooLong,
            Self::TooDeep { .. } => Reason::TooDeep,
            Self::TooManyNodes { .. } => Reason::TooManyNodes,
            Self::TooMuchToPrint { .. } => Reason::TooMuchToPrint,
        }
    }
}

impl Limits {
    /// Measures a text by the lexer of its language, and refuses one that is over a limit.
    pub fn check(&self, text: &str, measure: fn(&str) -> Size) -> Result<Size, Oversize> {
        self.check_bytes(text.len())?;
        let size = measure(text);
        if size.depth > self.depth {
            return Err(Oversize::TooDeep {
                depth: size.depth,
                limit: self.depth,
            });
        }
        self.check_nodes(size.nodes)?;
        Ok(size)
    }

    /// Checks the number of bytes of one text.
    pub fn check_bytes(&self, bytes: usize) -> Result<(), Oversize> {
        let limit = self.bytes;
        if bytes > limit {
            return Err(Oversize::TooLong { bytes, limit });
        }
        Ok(())
    }

    pub fn check_nodes(&self, nodes: usize) -> Result<(), Oversize> {
        let limit = self.nodes;
        if nodes > limit {
            return Err(Oversize::TooManyNodes { nodes, limit });
        }
        Ok(())
    }

    /// Checks the size of a text for the calls that print it (`format_query`, `parse_query`).
    pub fn check_print(&self, size: &Size) -> Result<(), Oversize> {
        let (bytes, limit) = (size.to_print(), self.format_bytes);
        if bytes > limit {
            return Err(Oversize::TooMuchToPrint { bytes, limit });
        }
        Ok(())
    }
}

/// The size of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub bytes: usize,
    /// The maximum number of brackets and unary operators that are open at one point.
    pub depth: usize,
    pub nodes: usize,
    /// An upper bound on the height of its syntax tree, whatever the associativity of operators.
    pub height: usize,
}

impl Size {
    /// The number of bytes that printing the text processes. Prometheus prints an expression level
    /// by level, and at each level prints everything inside to see whether it fits a line
    /// (`promql/parser/prettier.go`); `parse_query` copies the JSON of everything inside.
    pub fn to_print(&self) -> usize {
        self.bytes.saturating_mul(self.height.max(1))
    }
}

/// Computes the size of a text from its tokens.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// The open brackets around the innermost one.
    outer: Vec<Frame>,
    frame: Frame,
    /// The number of brackets and unary operators that are open here.
    open: usize,
    deepest: usize,
    nodes: usize,
    /// Whether the last token was an operand: then the next operator is a binary one.
    after_operand: bool,
}

/// The contents of a bracket so far.
#[derive(Debug, Default)]
struct Frame {
    /// Unary operators before the current operand.
    unary: usize,
    /// Operators since the last comma.
    operators: usize,
    /// The height of the highest bracket since the last comma.
    tallest: usize,
    /// The height of everything before the last comma.
    before: usize,
}

impl Frame {
    fn height(&self) -> usize {
        self.before.max(self.tallest + self.operators)
    }
}

impl Meter {
    pub(crate) fn after_operand(&self) -> bool {
        self.after_operand
    }

    /// A name, a number or a string that counts `more` than other operands.
    pub(crate) fn operand(&mut self, more: usize) {
        self.nodes = self.nodes.saturating_add(1).saturating_add(more);
        self.after_operand = true;
    }

    /// A unary operator, or a binary one if it follows an operand.
    pub(crate) fn operator(&mut self) {
        self.nodes += 1;
        self.frame.operators += 1;
        if self.after_operand {
            self.end_unary();
        } else {
            self.frame.unary += 1;
            self.deepen();
        }
        self.after_operand = false;
    }

    /// An opening bracket of any kind.
    pub(crate) fn open(&mut self) {
        self.nodes += 1;
        self.deepen();
        self.outer.push(std::mem::take(&mut self.frame));
        self.after_operand = false;
    }

    /// A closing bracket; ignored if none is open.
    pub(crate) fn close(&mut self) {
        self.after_operand = true;
        let Some(outer) = self.outer.pop() else {
            return;
        };
        self.end_unary();
        self.open -= 1;
        let height = std::mem::replace(&mut self.frame, outer).height() + 1;
        self.frame.tallest = self.frame.tallest.max(height);
    }

    pub(crate) fn comma(&mut self) {
        self.end_unary();
        self.after_operand = false;
        self.frame = Frame {
            before: self.frame.height(),
            ..Frame::default()
        };
    }

    /// The size of a text with this many bytes.
    pub(crate) fn finish(mut self, bytes: usize) -> Size {
        while !self.outer.is_empty() {
            self.close();
        }
        Size {
            bytes,
            depth: self.deepest,
            nodes: self.nodes,
            height: self.frame.height(),
        }
    }

    fn deepen(&mut self) {
        self.open += 1;
        self.deepest = self.deepest.max(self.open);
    }

    fn end_unary(&mut self) {
        self.open -= std::mem::take(&mut self.frame.unary);
    }
}
