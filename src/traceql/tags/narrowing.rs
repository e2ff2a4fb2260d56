//! The client's own `q` of tag names and values, as alternatives of conditions that every version of
//! Tempo applies.
//!
//! Tempo 3 makes groups of conditions from the query, and answers for what fulfils one of the groups
//! (`splitReqConditions` in `pkg/traceql/lenient_extract.go`); earlier versions answer a query with
//! `||` for all spans. These are the same groups, also where they are not what the query means:
//! everything below an `&&` that is below a `||` is joined by `&&`.

use super::super::lexer::{Lexer, unquoted_name};
use super::super::number;
use super::super::predicate::string;
use super::super::token::{Lexeme, Op, Scope, Token, Type, Word};

/// With more alternatives the query is ignored: each is a request.
const MAX_ALTERNATIVES: usize = 16;

/// With more tokens in its filter the query is ignored.
const MAX_TOKENS: usize = 512;

/// With deeper nested parentheses the query is ignored.
const MAX_DEPTH: usize = 32;

/// A condition, as it is forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) text: String,
    /// The resource attribute that it is about.
    pub(super) resource: Option<String>,
}

/// The alternatives that the query's only filter has, each with its usable conditions: usable is
/// `attribute operator literal`, with an attribute of spans or resources or an intrinsic of spans. What
/// is not usable is left out. None if the query is ignored.
pub(super) fn alternatives(query: &str) -> Vec<Vec<Condition>> {
    let Some(tokens) = only_filter(query) else {
        return Vec::new();
    };
    let Some(filter) = Node::of(&tokens, MAX_DEPTH) else {
        return Vec::new();
    };
    let mut alternatives: Vec<Vec<&[Lexeme]>> = vec![Vec::new()];
    for conjunct in filter.conjuncts() {
        let branches = conjunct.branches();
        if alternatives.len() * branches.len() > MAX_ALTERNATIVES {
            return Vec::new();
        }
        let each = alternatives.iter();
        let joined = each.flat_map(|one| branches.iter().map(|more| [&one[..], more].concat()));
        alternatives = joined.collect();
    }
    let usable = |all: Vec<&[Lexeme]>| {
        let all = all.into_iter();
        all.filter_map(|tokens| condition(query, tokens)).collect()
    };
    alternatives.into_iter().map(usable).collect()
}

/// The tokens inside the braces of the query's only filter, which may lack its end.
fn only_filter(query: &str) -> Option<Vec<Lexeme>> {
    let mut lexer = Lexer::new(query);
    let first = lexer.next().map(|lexeme| lexeme.token);
    if first != Ok(Token::OpenBrace) {
        return None;
    }
    let mut inside = Vec::new();
    while let Ok(lexeme) = lexer.next() {
        match lexeme.token {
            Token::End => break,
            Token::CloseBrace => {
                // Only further stages may follow.
                let next = lexer.next().map(|lexeme| lexeme.token);
                return matches!(next, Ok(Token::End | Token::Op(Op::Pipe))).then_some(inside);
            }
            _ if inside.len() == MAX_TOKENS => return None,
            _ => inside.push(lexeme),
        }
    }
    Some(inside)
}

/// A filter, by its `&&` and `||`.
enum Node<'t> {
    /// What has neither outside of its parentheses.
    Leaf(&'t [Lexeme]),
    Joined(Op, Vec<Node<'t>>),
}

impl<'t> Node<'t> {
    /// `None` if it is nested too deeply.
    fn of(tokens: &'t [Lexeme], depth: usize) -> Option<Self> {
        let mut parentheses = 0_usize;
        let mut start = 0;
        let mut node = None;
        let mut joins = None;
        for (place, lexeme) in tokens.iter().enumerate() {
            match lexeme.token {
                Token::OpenParens => parentheses += 1,
                Token::CloseParens => parentheses = parentheses.saturating_sub(1),
                Token::Op(op @ (Op::And | Op::Or)) if parentheses == 0 => {
                    let operand = Self::operand(tokens.get(start..place)?, depth)?;
                    node = Some(Self::join(node, joins, operand));
                    joins = Some(op);
                    start = place + 1;
                }
                _ => {}
            }
        }
        let operand = Self::operand(tokens.get(start..)?, depth)?;
        Some(Self::join(node, joins, operand))
    }

    /// `&&` and `||` have the same precedence and are left-associative.
    fn join(left: Option<Self>, op: Option<Op>, right: Self) -> Self {
        match (left, op) {
            (Some(Self::Joined(known, mut all)), Some(op)) if known == op => {
                all.push(right);
                Self::Joined(op, all)
            }
            (Some(left), Some(op)) => Self::Joined(op, vec![left, right]),
            _ => right,
        }
    }

    fn operand(tokens: &'t [Lexeme], depth: usize) -> Option<Self> {
        match inside_parentheses(tokens) {
            Some(inside) => Self::of(inside, depth.checked_sub(1)?),
            None => Some(Self::Leaf(tokens)),
        }
    }

    /// What is joined by `&&` at the top.
    fn conjuncts(&self) -> Vec<&Self> {
        match self {
            Self::Joined(Op::And, all) => all.iter().flat_map(Self::conjuncts).collect(),
            other => vec![other],
        }
    }

    /// Its alternatives.
    fn branches(&self) -> Vec<Vec<&'t [Lexeme]>> {
        match self {
            Self::Joined(Op::Or, all) => all.iter().flat_map(Self::branches).collect(),
            other => vec![other.leaves()],
        }
    }

    fn leaves(&self) -> Vec<&'t [Lexeme]> {
        match self {
            Self::Leaf(tokens) => vec![tokens],
            Self::Joined(_, all) => all.iter().flat_map(Self::leaves).collect(),
        }
    }
}

/// What is in the parentheses, if they are around all of it. The last one may be missing.
fn inside_parentheses(tokens: &[Lexeme]) -> Option<&[Lexeme]> {
    let (first, rest) = tokens.split_first()?;
    if first.token != Token::OpenParens {
        return None;
    }
    let mut depth = 1_usize;
    for (place, lexeme) in rest.iter().enumerate() {
        match lexeme.token {
            Token::OpenParens => depth += 1,
            Token::CloseParens => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (place + 1 == rest.len()).then(|| rest.get(..place))?;
        }
    }
    Some(rest)
}

/// The condition, if these tokens are one that every version of Tempo supports.
fn condition(query: &str, tokens: &[Lexeme]) -> Option<Condition> {
    let text = |lexeme: &Lexeme| query.get(lexeme.start..lexeme.end).unwrap_or("");
    let (field, op, literal) = match tokens {
        [field, op, literal] => (text(field).to_owned(), op, literal),
        [colon, word, op, literal] if colon.token == Token::Colon(Scope::Span) => {
            (format!("{}{}", text(colon), text(word)), op, literal)
        }
        _ => return None,
    };
    let (Token::Op(op_kind), Token::Literal(ty)) = (op.token, literal.token) else {
        return None;
    };
    let word = tokens.get(tokens.len() - 3)?;
    let mut resource = None;
    let is_usable = op_kind.is_comparison()
        && match word.token {
            Token::Attribute(scope) => {
                if scope == Scope::Resource {
                    let name = field.split_once('.').map(|(_, name)| unquoted_name(name));
                    resource = name;
                }
                // Tempo 2.5 cannot read those of events, links and instrumentation.
                let has_scope = matches!(scope, Scope::Span | Scope::Resource);
                let is_plain = field.bytes().all(is_name_byte);
                let has_type = matches!(ty, Type::Text | Type::Int | Type::Float | Type::Bool);
                has_scope && has_type && is_plain
            }
            Token::Word(Word::Name | Word::StatusMessage) => ty == Type::Text,
            Token::Word(Word::Duration) => ty == Type::Duration,
            Token::Word(Word::Status) => ty == Type::Status,
            Token::Word(Word::Kind) => ty == Type::Kind,
            _ => false,
        };
    let literal = text(literal);
    let literal = match ty {
        _ if !is_usable => None,
        Type::Text => plain_string(literal),
        Type::Int | Type::Float | Type::Duration => {
            is_number_when_cut(literal).then(|| literal.to_owned())
        }
        _ => Some(literal.to_owned()),
    };
    let text = format!("{field} {} {}", text(op), literal?);
    Some(Condition { text, resource })
}

/// Whether Tempo 2.4 allows this byte in the names it finds.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_')
}

/// Whether Tempo 2.5 to 2.10 can read what they take of the number or duration: its first characters in
/// `[0-9smh]` (`pkg/traceql/extractmatcher.go`). If they cannot read it, they answer for all tenants.
fn is_number_when_cut(literal: &str) -> bool {
    let is_taken = |c: char| c.is_ascii_digit() || matches!(c, 's' | 'm' | 'h');
    let end = literal.find(|c| !is_taken(c)).unwrap_or(literal.len());
    let taken = literal.get(..end).unwrap_or("");
    number::scan(taken).is_ok_and(|(length, _)| length == taken.len())
}

/// A string in double quotes without escapes, and without anything that looks like a condition
/// to the regular expression of older versions. It is written without the characters that Tempo 2.10
/// does not expect in a string: there it would end at the next quote before them.
fn plain_string(literal: &str) -> Option<String> {
    let inside = literal.strip_prefix('"')?.strip_suffix('"')?;
    let is_plain = !inside.is_empty()
        && !inside.contains(|c: char| c.is_control() || "=<>!~|&{}\"\\`".contains(c));
    is_plain.then(|| string(inside))
}
