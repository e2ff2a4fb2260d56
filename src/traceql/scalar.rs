//! Constants in comparisons and metrics arithmetic, which Tempo folds while it parses.
//!
//! Source: `scalar` of `pkg/traceql/expr.y`, `foldConstArith` of `ast_metrics_math.go`.

use super::token::{Op, Type};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar {
    Int(i64),
    Float,
    Duration,
}

impl Scalar {
    /// A numeric literal of this type.
    pub(super) fn from_literal(ty: Type, text: &str) -> Self {
        match ty {
            Type::Duration => Self::Duration,
            Type::Int => text.parse().map_or(Self::Float, Self::Int),
            _ => Self::Float,
        }
    }

    pub(super) fn negated(self) -> Self {
        match self {
            Self::Int(value) => Self::Int(value.wrapping_neg()),
            other => other,
        }
    }

    /// `self op other`, for `+ - * /`; integers wrap as in Go.
    pub(super) fn joined(self, op: Op, other: Self) -> Result<Self, &'static str> {
        match (self, other) {
            (Self::Duration, _) | (_, Self::Duration) => {
                Err("duration cannot be used in scalar arithmetic")
            }
            (Self::Int(_), Self::Int(0)) if op == Op::Div => Err("division by zero"),
            (Self::Int(a), Self::Int(b)) => Ok(Self::Int(match op {
                Op::Add => a.wrapping_add(b),
                Op::Sub => a.wrapping_sub(b),
                Op::Mul => a.wrapping_mul(b),
                _ => a.wrapping_div(b),
            })),
            _ => Ok(Self::Float),
        }
    }
}
