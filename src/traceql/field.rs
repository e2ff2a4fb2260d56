//! Field expressions: the contents of `{ }`, of `by( )` and of aggregates.
//!
//! An operator-precedence parser with an explicit stack, so that nesting does not use the call
//! stack. It builds no tree: validation needs only types, which are known bottom-up.
//!
//! Source: `fieldExpression` of `pkg/traceql/expr.y`; validation: `pkg/traceql/ast_validate.go`.

use super::parser::{Parser, fault};
use super::refusal::{Fault, Problem};
use super::root::{self, RootCondition};
use super::token::{Lexeme, Op, Token, Type};

/// A field expression that has been parsed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expression {
    pub(super) ty: Type,
    /// Whether it contains an attribute or intrinsic.
    pub(super) uses_span: bool,
    is_literal: bool,
    may_be_nil: bool,
    /// Its value, if it is the same for every span.
    pub(super) constant: Option<bool>,
    pub(super) root: OfRoot,
    pub(super) at: Lexeme,
    /// Where it ends, in bytes.
    end: usize,
}

/// What an expression says of the root of a trace.
#[derive(Clone, Copy, Debug)]
pub(super) enum OfRoot {
    Nothing,
    /// It is a bare intrinsic of the root.
    Value(Lexeme),
    /// It says nothing else.
    Condition(RootCondition),
    /// It has conditions, which have been noted, and others.
    Part(Lexeme),
}

impl OfRoot {
    fn intrinsic(self) -> Option<Lexeme> {
        match self {
            Self::Nothing => None,
            Self::Value(at) | Self::Part(at) => Some(at),
            Self::Condition(condition) => Some(condition.intrinsic),
        }
    }
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
                        value = self.reduce(&mut stack, value, Some(op))?;
                        self.take()?;
                        if matches!(op, Op::Equal | Op::NotEqual) && self.next.token == Token::Nil {
                            let nil = self.take()?;
                            value = Expression {
                                end: nil.end,
                                ..compared_with_nil(op, value)?
                            };
                            continue;
                        }
                        stack.push(Pending::Binary(op, value));
                        break;
                    }
                    Token::CloseParens => {
                        value = self.reduce(&mut stack, value, None)?;
                        match stack.pop() {
                            Some(Pending::Parens(open)) => {
                                value.at = open;
                                value.end = self.take()?.end;
                            }
                            _ => return Ok(value),
                        }
                    }
                    _ => {
                        value = self.reduce(&mut stack, value, None)?;
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
                let mut value = literal(ty, at);
                if ty == Type::Bool {
                    value.constant = Some(self.text_of(at) == "true");
                }
                Ok(Some(value))
            }
            Token::Identifier if matches!(self.text_of(at), "minInt" | "maxInt") => {
                self.take()?;
                Ok(Some(literal(Type::Int, at)))
            }
            Token::Attribute(_) | Token::Colon(_) | Token::Word(_) => {
                let field = self.field()?;
                let (ty, may_be_nil) = (field.ty, field.may_be_nil);
                let end = self.taken_to;
                Ok(Some(Expression {
                    may_be_nil,
                    root: if field.of_root {
                        OfRoot::Value(Lexeme { end, ..at })
                    } else {
                        OfRoot::Nothing
                    },
                    end,
                    ..compound(ty, true, at, at)
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

impl Parser<'_> {
    /// Applies the pending operators that bind tighter than `next`, or all up to the last open
    /// parenthesis if there is no `next`.
    fn reduce(
        &mut self,
        stack: &mut Vec<Pending>,
        mut value: Expression,
        next: Option<Op>,
    ) -> Result<Expression, Fault> {
        let binds = |op: Op| next.is_none_or(|next| op.binds_before(next));
        while let Some(top) = stack.pop() {
            match top {
                Pending::Binary(op, left) if binds(op) => {
                    let joined = binary(op, left, value)?;
                    let root = self.root_of(op, left, value)?;
                    value = Expression { root, ..joined };
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

    /// What `left op right` says of the root of a trace. Only a comparison of an intrinsic with a
    /// string can be answered, and only behind `&&` and `||`.
    fn root_of(&mut self, op: Op, left: Expression, right: Expression) -> Result<OfRoot, Fault> {
        let (start, end) = (left.at.start, right.end);
        let is_string = |value: Expression| value.is_literal && value.ty == Type::Text;
        let compared = match (left.root, right.root) {
            (OfRoot::Value(intrinsic), OfRoot::Nothing) if is_string(right) => {
                Some((intrinsic, right.at, false))
            }
            (OfRoot::Nothing, OfRoot::Value(intrinsic)) if is_string(left) => {
                Some((intrinsic, left.at, true))
            }
            _ => None,
        };
        if let Some((intrinsic, literal, is_reversed)) = compared {
            let holds = root::holds_for_empty(op, self.text_of(literal), is_reversed);
            return Ok(OfRoot::Condition(RootCondition {
                start,
                end,
                holds_without_root: holds.ok_or_else(|| fault(literal, Problem::RootPattern))?,
                intrinsic,
            }));
        }
        match (left.root, right.root) {
            (OfRoot::Nothing, OfRoot::Nothing) => Ok(OfRoot::Nothing),
            (OfRoot::Condition(a), OfRoot::Condition(b)) if matches!(op, Op::And | Op::Or) => {
                let (a_holds, b_holds) = (a.holds_without_root, b.holds_without_root);
                let holds_without_root = match op {
                    Op::And => a_holds && b_holds,
                    _ => a_holds || b_holds,
                };
                Ok(OfRoot::Condition(RootCondition {
                    start,
                    end,
                    holds_without_root,
                    ..a
                }))
            }
            (a, b) => {
                let first = a.intrinsic().or(b.intrinsic()).unwrap_or(left.at);
                let is_value = |of: OfRoot| matches!(of, OfRoot::Value(_));
                if !matches!(op, Op::And | Op::Or) || is_value(a) || is_value(b) {
                    return Err(fault(first, Problem::RootOperator));
                }
                for of in [a, b] {
                    self.note_root_condition(of);
                }
                Ok(OfRoot::Part(first))
            }
        }
    }

    /// Notes that the filter has this condition, and maybe others.
    pub(super) fn note_root_condition(&mut self, of: OfRoot) {
        if let OfRoot::Condition(condition) = of {
            self.roots.conditions.push(condition);
        }
    }
}

fn is_field_operator(op: Op) -> bool {
    !matches!(op, Op::Pipe | Op::Structural | Op::Not)
}

fn literal(ty: Type, at: Lexeme) -> Expression {
    Expression {
        is_literal: true,
        ..compound(ty, false, at, at)
    }
}

/// An expression from the start of `from` to the end of `to`.
fn compound(ty: Type, uses_span: bool, from: Lexeme, to: Lexeme) -> Expression {
    Expression {
        ty,
        uses_span,
        is_literal: false,
        may_be_nil: true,
        constant: None,
        root: OfRoot::Nothing,
        at: from,
        end: to.end,
    }
}

fn compared_with_nil(op: Op, value: Expression) -> Result<Expression, Fault> {
    if op == Op::Equal && !value.may_be_nil {
        return Err(fault(value.at, NOT_NIL));
    }
    if let Some(at) = value.root.intrinsic() {
        return Err(fault(at, Problem::RootOperator));
    }
    Ok(Expression {
        end: value.end,
        ..compound(Type::Bool, value.uses_span, value.at, value.at)
    })
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
    if let Some(at) = value.root.intrinsic() {
        return Err(fault(at, Problem::RootOperator));
    }
    Ok(Expression {
        end: value.end,
        ..compound(value.ty, value.uses_span, at, at)
    })
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
    let uses_span = left.uses_span || right.uses_span;
    Ok(Expression {
        constant: match (op, left.constant, right.constant) {
            (Op::And, Some(false), _) | (Op::And, _, Some(false)) => Some(false),
            (Op::Or, Some(true), _) | (Op::Or, _, Some(true)) => Some(true),
            (Op::And, Some(true), other) | (Op::Or, Some(false), other) => other,
            _ => None,
        },
        end: right.end,
        ..compound(ty, uses_span, left.at, left.at)
    })
}
