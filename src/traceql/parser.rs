//! What the parsers of pipelines and of field expressions share: one token of lookahead, and
//! attributes and intrinsics.

use super::TraceIntrinsics;
use super::lexer::{Lexer, unquoted_name};
use super::refusal::{Fault, Problem, Refusal};
use super::root::{RootField, Roots};
use super::token::{Lexeme, Scope, Token, Type, Word};

/// What confining needs to know about a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outline {
    /// Where each leaf pipeline starts, in bytes, in order.
    pub(super) leaves: Vec<usize>,
    /// Where each ends.
    pub(super) leaf_ends: Vec<usize>,
    /// Whether it ends in a metrics stage.
    pub(super) is_metrics: bool,
    pub(super) compares: bool,
    pub(super) roots: Roots,
}

/// Parses a whole query. Refuses what Tempo's parser or validation would refuse, and what must not
/// be forwarded.
pub(super) fn parse(query: &str, policy: TraceIntrinsics) -> Result<Outline, Refusal> {
    Parser::new(query, policy)
        .and_then(Parser::query)
        .map_err(|fault| fault.refusal(query))
}

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    lexer: Lexer<'a>,
    /// The lookahead token.
    pub(super) next: Lexeme,
    policy: TraceIntrinsics,
    /// The first `compare()`.
    pub(super) compare: Option<Lexeme>,
    /// Whether metrics are filtered, ranked or used in arithmetic.
    pub(super) has_second_stage: bool,
    pub(super) within: Within,
    /// The end of the last token taken.
    pub(super) taken_to: usize,
    pub(super) roots: Roots,
    /// The first intrinsic of whole traces in a `select()`.
    pub(super) selected: Option<Lexeme>,
}

/// Where the next token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    /// A filter that is a stage.
    Filter,
    /// A `select()`.
    Select,
    Other,
}

/// An attribute or an intrinsic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) ty: Type,
    /// False for intrinsics and `resource.service.name`: every span has them, and Tempo refuses to
    /// compare them with `nil`.
    pub(super) may_be_nil: bool,
    /// It is the name or service of the trace's root, and has been added to
    /// [`Parser::roots`].
    pub(super) of_root: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, policy: TraceIntrinsics) -> Result<Self, Fault> {
        if let Some(at) = memchr::memchr(0, text.as_bytes()) {
            let problem = Problem::Syntax("invalid character NUL");
            return Err(Fault {
                start: at,
                end: at + 1,
                problem,
            });
        }
        let mut lexer = Lexer::new(text);
        let next = lexer.next()?;
        Ok(Self {
            text,
            lexer,
            next,
            policy,
            compare: None,
            has_second_stage: false,
            within: Within::Other,
            taken_to: 0,
            roots: Roots::default(),
            selected: None,
        })
    }

    pub(super) fn take(&mut self) -> Result<Lexeme, Fault> {
        let next = self.lexer.next()?;
        let taken = std::mem::replace(&mut self.next, next);
        self.taken_to = taken.end;
        Ok(taken)
    }

    /// Takes the next token, which must be this one.
    pub(super) fn expect(&mut self, token: Token, name: &'static str) -> Result<Lexeme, Fault> {
        if self.next.token == token {
            self.take()
        } else {
            Err(self.unexpected(name))
        }
    }

    /// The fault of a lookahead token that does not fit.
    pub(super) fn unexpected(&self, expected: &'static str) -> Fault {
        fault(self.next, Problem::Unexpected(expected))
    }

    pub(super) fn text_of(&self, lexeme: Lexeme) -> &'a str {
        self.text.get(lexeme.start..lexeme.end).unwrap_or("")
    }

    /// Takes an attribute or intrinsic.
    pub(super) fn field(&mut self) -> Result<Field, Fault> {
        match self.next.token {
            Token::Attribute(scope) => self.attribute(scope),
            Token::Colon(scope) => self.scoped_intrinsic(scope),
            Token::Word(word) => self.intrinsic(word),
            _ => Err(self.unexpected("an attribute or intrinsic")),
        }
    }

    fn attribute(&mut self, scope: Scope) -> Result<Field, Fault> {
        let lexeme = self.take()?;
        if scope == Scope::Parent {
            return Err(fault(lexeme, PARENT));
        }
        let is_service_name = scope == Scope::Resource && {
            let written = self.text_of(lexeme);
            let name = written.split_once('.').map_or("", |(_, name)| name);
            name == "service.name" || (name.contains('"') && unquoted_name(name) == "service.name")
        };
        Ok(Field {
            ty: Type::Attribute,
            may_be_nil: !is_service_name,
            of_root: false,
        })
    }

    fn scoped_intrinsic(&mut self, scope: Scope) -> Result<Field, Fault> {
        let colon = self.take()?;
        let Token::Word(word) = self.next.token else {
            return Err(self.unexpected("an intrinsic of this scope"));
        };
        let whole = Lexeme {
            end: self.next.end,
            ..colon
        };
        let mut of_root = false;
        let ty = match (scope, word) {
            (Scope::Trace, Word::Duration) => {
                self.describes_whole_trace(whole)?;
                Type::Duration
            }
            (Scope::Trace, Word::RootName | Word::RootService) => {
                of_root = self.describes_root(whole, word)?;
                Type::Text
            }
            (Scope::Trace, Word::Id)
            | (Scope::Span, Word::Name | Word::StatusMessage | Word::Id | Word::ParentId)
            | (Scope::Event, Word::Name)
            | (Scope::Link, Word::TraceId | Word::SpanId) => Type::Text,
            (Scope::Span, Word::Duration) | (Scope::Event, Word::TimeSinceStart) => Type::Duration,
            (Scope::Span, Word::Kind) => Type::Kind,
            (Scope::Span, Word::Status) => Type::Status,
            // It counts the children of every tenant.
            (Scope::Span, Word::ChildCount) => {
                self.counts_whole_trace(whole)?;
                Type::Int
            }
            // Tempo gives these two no type.
            (Scope::Instrumentation, Word::Name | Word::Version) => Type::Attribute,
            _ => return Err(self.unexpected("an intrinsic of this scope")),
        };
        self.roots.reads_names |= (scope, word) == (Scope::Span, Word::Name);
        self.take()?;
        Ok(Field {
            ty,
            may_be_nil: false,
            of_root,
        })
    }

    fn intrinsic(&mut self, word: Word) -> Result<Field, Fault> {
        let ty = match word {
            Word::Duration | Word::TraceDuration => Type::Duration,
            Word::Name | Word::StatusMessage | Word::RootName | Word::RootServiceName => Type::Text,
            Word::Status => Type::Status,
            Word::Kind => Type::Kind,
            Word::NestedSet => Type::Int,
            Word::Parent => return Err(fault(self.next, PARENT)),
            _ => return Err(self.unexpected("an attribute or intrinsic")),
        };
        let of_root = match word {
            Word::RootName | Word::RootServiceName => self.describes_root(self.next, word)?,
            Word::TraceDuration => {
                self.describes_whole_trace(self.next)?;
                false
            }
            _ => false,
        };
        self.roots.reads_names |= word == Word::Name;
        self.take()?;
        Ok(Field {
            ty,
            may_be_nil: false,
            of_root,
        })
    }

    /// Whether it is to be answered from the caller's root spans.
    fn describes_root(&mut self, lexeme: Lexeme, word: Word) -> Result<bool, Fault> {
        if self.policy == TraceIntrinsics::Trust || self.within != Within::Filter {
            return self.describes_whole_trace(lexeme).map(|()| false);
        }
        self.roots.fields.push(RootField {
            start: lexeme.start,
            end: lexeme.end,
            is_name: word == Word::RootName,
        });
        Ok(true)
    }

    fn describes_whole_trace(&mut self, lexeme: Lexeme) -> Result<(), Fault> {
        if self.within == Within::Select {
            self.selected = self.selected.or(Some(lexeme));
            return Ok(());
        }
        self.counts_whole_trace(lexeme)
    }

    pub(super) fn counts_whole_trace(&self, lexeme: Lexeme) -> Result<(), Fault> {
        match self.policy {
            TraceIntrinsics::Trust => Ok(()),
            TraceIntrinsics::Refuse => Err(fault(lexeme, Problem::TraceIntrinsic)),
        }
    }
}

const PARENT: Problem = Problem::Invalid("parent not yet supported");

/// A fault at this token.
pub(super) fn fault(lexeme: Lexeme, problem: Problem) -> Fault {
    let Lexeme { start, end, .. } = lexeme;
    Fault {
        start,
        end,
        problem,
    }
}
