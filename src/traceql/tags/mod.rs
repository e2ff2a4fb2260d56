//! The `q` of tag names and tag values.
//!
//! There Tempo answers for all tenants whenever it cannot use the query: if the query does not
//! parse or validate, starts with anything but one plain filter, or names an attribute without a
//! scope. Before Tempo 3.0 it also finds conditions with a regular expression, and gives up on `|`
//! and braces even in strings. So the user's text is never forwarded: conditions of a form that
//! all versions support are written again, and all others are dropped. Fewer conditions only mean
//! more of the tenant's own names.

use std::fmt::Write as _;

use super::TraceIntrinsics;
use super::lexer::{Lexer, unquoted_name};
use super::parser::parse;
use super::predicate::TenantPredicate;
use super::token::{Lexeme, Op, Scope, Token, Type, Word};

/// Conditions beyond this number are dropped.
const MAX_CONDITIONS: usize = 32;

/// The `q` to send for tag names and tag values: one filter that joins the tenants' condition with
/// the usable ones of the user's query by `&&`. Usable is `attribute operator literal`, with an
/// attribute that has a scope or an intrinsic of spans. Everything else in the user's query is
/// dropped; it need not even parse.
///
/// Tempo before 3.0 respects it only if the names of tenant attributes consist of letters, digits,
/// `.`, `_` and `-`; Tempo 2.4 only if they have no `-` and there is a single tenant. Otherwise
/// these versions answer for all tenants.
pub fn tag_filter(query: &str, predicate: &TenantPredicate) -> String {
    let tenants = predicate.expression();
    let tenants_only = format!("{{ {tenants} }}");
    let conditions = conditions(query, predicate);
    if conditions.is_empty() {
        return tenants_only;
    }
    let narrowed = format!("{{ {tenants} && {} }}", conditions.join(" && "));
    // Tempo answers for all tenants if the query does not validate.
    match parse(&narrowed, TraceIntrinsics::Refuse) {
        Ok(_) => narrowed,
        Err(_) => tenants_only,
    }
}

/// The `q` for values of the tenants' root spans.
///
/// Tempo before 3.0 reads the conditions with a regular expression that does not match a number in
/// parentheses. There the values are those of all of the tenants' spans. Without the parentheses it
/// would match, and Tempo 2.4, which does not know the intrinsic there, would answer for all tenants.
pub fn root_filter(predicate: &TenantPredicate) -> String {
    let tenants = predicate.expression();
    format!("{{ {tenants} && nestedSetParent < (0) }}")
}

/// The usable conditions of the query's only filter; none if it also has a `||`.
fn conditions(query: &str, predicate: &TenantPredicate) -> Vec<String> {
    let mut conditions = Vec::new();
    let mut lexer = Lexer::new(query);
    if !matches!(
        lexer.next(),
        Ok(Lexeme {
            token: Token::OpenBrace,
            ..
        })
    ) {
        return conditions;
    }
    let mut segment = Vec::new();
    let mut depth = 0usize;
    while let Ok(lexeme) = lexer.next() {
        match lexeme.token {
            Token::Op(Op::Or) if depth == 0 => return Vec::new(),
            Token::Op(Op::And) | Token::CloseBrace | Token::End if depth == 0 => {
                if conditions.len() < MAX_CONDITIONS {
                    conditions.extend(condition(query, &segment, predicate));
                }
                segment.clear();
                match lexeme.token {
                    Token::Op(_) => {}
                    Token::CloseBrace if !is_only_filter(&mut lexer) => return Vec::new(),
                    _ => break,
                }
                continue;
            }
            Token::End => break,
            Token::OpenParens => depth += 1,
            Token::CloseParens => depth = depth.saturating_sub(1),
            _ => {}
        }
        // A usable condition has at most four tokens.
        if segment.len() < 5 {
            segment.push(lexeme);
        }
    }
    conditions
}

/// Whether only further stages follow the filter.
fn is_only_filter(lexer: &mut Lexer<'_>) -> bool {
    let next = lexer.next().map(|lexeme| lexeme.token);
    matches!(next, Ok(Token::End | Token::Op(Op::Pipe)))
}

/// The condition, if these tokens are one that every version of Tempo supports.
fn condition(query: &str, tokens: &[Lexeme], predicate: &TenantPredicate) -> Option<String> {
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
    let is_usable = op_kind.is_comparison()
        && match word.token {
            Token::Attribute(scope) => {
                let is_tenant = scope == Scope::Resource
                    && field
                        .split_once('.')
                        .is_some_and(|(_, name)| predicate.has_attribute(&unquoted_name(name)));
                let has_scope = !matches!(scope, Scope::None | Scope::Parent);
                let is_plain = field.bytes().all(is_name_byte);
                let has_type = matches!(ty, Type::Text | Type::Int | Type::Float | Type::Bool);
                has_scope && has_type && is_plain && !is_tenant
            }
            Token::Word(Word::Name | Word::StatusMessage) => ty == Type::Text,
            Token::Word(Word::Duration) => ty == Type::Duration,
            Token::Word(Word::Status) => ty == Type::Status,
            Token::Word(Word::Kind) => ty == Type::Kind,
            _ => false,
        };
    let literal = text(literal);
    if !is_usable || (ty == Type::Text && !is_plain_string(literal)) {
        return None;
    }
    let mut condition = field;
    // Writing to a String cannot fail.
    let _ = write!(condition, " {} {literal}", text(op));
    Some(condition)
}

/// Whether Tempo 2.4 allows this byte in the names it finds.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_')
}

/// A string in double quotes without escapes, and without anything that looks like a condition
/// to the regular expression of older versions.
fn is_plain_string(literal: &str) -> bool {
    let inside = literal
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inside.is_some_and(|inside| {
        !inside.is_empty()
            && !inside.contains(|c: char| c.is_control() || "=<>!~|&{}\"\\`".contains(c))
    })
}

#[cfg(test)]
mod tests;
