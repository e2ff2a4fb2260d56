//! Field expressions: the contents of `{ }`, of `by( )` and of aggregates.
//!
//! An operator-precedence parser with an explicit stack, so that nesting does not use the call
//! stack. It builds no tree: validation needs only types, which are known bottom-up.
//!
//! Source: `fieldExpression` of `pkg/traceql/expr.y`; validation: `pkg/traceql/ast_validate.go`.

use super::parser::{Parser, fault};
use super::refusal::{Fault, Problem};
use super::token::{Lexeme, Op, Token, Type};

/// A field expression that has been parsed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expression {
    pub(super) ty: Type,
    /// Whether it contains an attribute or intrinsic.
    pub(super) uses_span: bool,
    is_literal: bool,
    may_be_nil: bool,
    pub(super) at: Lexeme,
}

/// Operators and parentheses that wait for their right-hand side.
enum Pending {
    Parens(Lexeme),
    /// `-` or `!`.
    Unary(Op, Lexeme),
    Binary(Op, Expression),
    /// `nil =` or `nil !=`.
    NilLeft(Op, Lexeme),
}

const NOT_NIL: Problem = Problem::Invalid(
    "intrinsics and resource.service.name cannot be nil, so they cannot be compared with it",
);

impl Parser<'_> {
    /// Parses as long as the tokens fit. The caller decides whether what follows is valid.
    pub(super) fn field_expression(&mut self) -> Result<Expression, Fault> {
        let mut stack = Vec::new();
        loop {
            let Some(mut value) = self.field_operand(&mut stack)? else {
                continue;
            };
            loop {
                match self.next.token {
                    Token::Op(op) if is_field_operator(op) => {
                        value = reduce(&mut stack, value, Some(op))?;
                        self.take()?;
                        if matches!(op, Op::Equal | Op::NotEqual) && self.next.token == Token::Nil {
                            self.take()?;
                            value = compared_with_nil(op, value)?;
                            continue;
                        }
                        stack.push(Pending::Binary(op, value));
                        break;
                    }
                    Token::CloseParens => {
                        value = reduce(&mut stack, value, None)?;
                        match stack.pop() {
                            Some(Pending::Parens(open)) => {
                                self.take()?;
                                value.at = open;
                            }
                            _ => return Ok(value),
                        }
                    }
                    _ => {
                        value = reduce(&mut stack, value, None)?;
                        return match stack.pop() {
                            None => Ok(value),
                            Some(_) => Err(self.unexpected("an operator or )")),
                        };
                    }
                }
            }
        }
    }

    /// Takes the start of an operand; `None` if the operand is not complete yet.
    fn field_operand(&mut self, stack: &mut Vec<Pending>) -> Result<Option<Expression>, Fault> {
        let at = self.next;
        match at.token {
            Token::OpenParens => {
                self.take()?;
                stack.push(Pending::Parens(at));
                Ok(None)
            }
            Token::Op(op @ (Op::Sub | Op::Not)) => {
                self.take()?;
                stack.push(Pending::Unary(op, at));
                Ok(None)
            }
            Token::Nil => {
                self.take()?;
                let Token::Op(op @ (Op::Equal | Op::NotEqual)) = self.next.token else {
                    return Err(self.unexpected("= or !="));
                };
                self.take()?;
                if self.next.token == Token::Nil {
                    self.take()?;
                    return Ok(Some(literal(Type::Bool, at)));
                }
                stack.push(Pending::NilLeft(op, at));
                Ok(None)
            }
            Token::Literal(ty) => {
                self.take()?;
                Ok(Some(literal(ty, at)))
            }
            Token::Identifier if matches!(self.text_of(at), "minInt" | "maxInt") => {
                self.take()?;
                Ok(Some(literal(Type::Int, at)))
            }
            Token::Attribute(_) | Token::Colon(_) | Token::Word(_) => {
                let field = self.field()?;
                let (ty, may_be_nil) = (field.ty, field.may_be_nil);
                Ok(Some(Expression {
                    ty,
                    uses_span: true,
                    is_literal: false,
                    may_be_nil,
                    at,
                }))
            }
            Token::Identifier => Err(fault(
                at,
                Problem::Unexpected("an attribute (with its dot) or a value"),
            )),
            _ => Err(self.unexpected("a field expression")),
        }
    }
}

/// Applies the pending operators that bind tighter than `next`, or all up to the last open
/// parenthesis if there is no `next`.
fn reduce(
    stack: &mut Vec<Pending>,
    mut value: Expression,
    next: Option<Op>,
) -> Result<Expression, Fault> {
    let binds = |op: Op| next.is_none_or(|next| op.binds_before(next));
    while let Some(top) = stack.pop() {
        match top {
            Pending::Binary(op, left) if binds(op) => {
                value = binary(op, left, value)?;
            }
            Pending::Unary(op, at) if binds(op) => {
                value = unary(op, at, value)?;
            }
            Pending::NilLeft(op, at) if binds(op) => {
                value = Expression {
                    at,
                    ..compared_with_nil(op, value)?
                };
            }
            waits => {
                stack.push(waits);
                break;
            }
        }
    }
    Ok(value)
}

fn is_field_operator(op: Op) -> bool {
    !matches!(op, Op::Pipe | Op::Structural | Op::Not)
}

fn literal(ty: Type, at: Lexeme) -> Expression {
    Expression {
        ty,
        uses_span: false,
        is_literal: true,
        may_be_nil: true,
        at,
    }
}

fn compound(ty: Type, uses_span: bool, at: Lexeme) -> Expression {
    Expression {
        ty,
        uses_span,
        is_literal: false,
        may_be_nil: true,
        at,
    }
}

fn compared_with_nil(op: Op, value: Expression) -> Result<Expression, Fault> {
    if op == Op::Equal && !value.may_be_nil {
        return Err(fault(value.at, NOT_NIL));
    }
    Ok(compound(Type::Bool, value.uses_span, value.at))
}

fn unary(op: Op, at: Lexeme, value: Expression) -> Result<Expression, Fault> {
    let fits = match value.ty {
        Type::Attribute => true,
        Type::Bool => op == Op::Not,
        ty => op == Op::Sub && ty.is_numeric(),
    };
    if !fits {
        return Err(fault(
            at,
            Problem::Invalid("illegal operation for the given type"),
        ));
    }
    Ok(compound(value.ty, value.uses_span, at))
}

fn binary(op: Op, left: Expression, right: Expression) -> Result<Expression, Fault> {
    if !left.ty.matches(right.ty) {
        let problem = Problem::Invalid("binary operations must operate on the same type");
        return Err(fault(left.at, problem));
    }
    if !left.ty.allows(op) || !right.ty.allows(op) {
        return Err(fault(
            left.at,
            Problem::Invalid("illegal operation for the given types"),
        ));
    }
    let is_regex = matches!(op, Op::Regex | Op::NotRegex);
    if is_regex && !(right.is_literal && right.ty == Type::Text) {
        let problem = Problem::Invalid("a regular expression must be a string literal");
        return Err(fault(right.at, problem));
    }
    let is_boolean = is_regex || op.is_comparison() || matches!(op, Op::And | Op::Or);
    let ty = match left.ty {
        _ if is_boolean => Type::Bool,
        Type::Attribute => right.ty,
        ty => ty,
    };
    Ok(compound(ty, left.uses_span || right.uses_span, left.at))
}
