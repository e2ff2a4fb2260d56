//! The tokens of TraceQL, as far as confining a query needs to distinguish them.
//!
//! Source: `pkg/traceql/lexer.go` (`tokenMap`) and the precedences of `pkg/traceql/expr.y` of
//! Grafana Tempo.

/// One token. Tokens that the grammar treats alike are one variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    End,
    OpenBrace,
    CloseBrace,
    OpenParens,
    CloseParens,
    Comma,
    Op(Op),
    Literal(Type),
    Nil,
    /// A scope with its dot, and the attribute's name: `.a`, `span.a`, `resource."a b".c`.
    Attribute(Scope),
    /// A scope with its colon: `trace:`. A [`Word`] must follow, possibly after white space.
    Colon(Scope),
    Word(Word),
    /// A name that is no keyword of Tempo's: that of a hint, or `minInt` or `maxInt`.
    Identifier,
}

/// A token and its byte offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lexeme {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    None,
    Span,
    Resource,
    Event,
    Link,
    Instrumentation,
    /// Only before a colon.
    Trace,
    /// Only before a dot. Tempo parses it and then refuses it.
    Parent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    // Intrinsics without a scope.
    Duration,
    Name,
    Status,
    StatusMessage,
    Kind,
    Parent,
    RootName,
    RootServiceName,
    TraceDuration,
    /// `nestedSetLeft`, `nestedSetRight`, `nestedSetParent`.
    NestedSet,
    // Intrinsics that need a scope.
    RootService,
    ChildCount,
    Id,
    TraceId,
    SpanId,
    ParentId,
    TimeSinceStart,
    Version,
    // Functions.
    Count,
    /// `avg`, `max`, `min`, `sum`.
    Aggregate,
    By,
    Coalesce,
    Select,
    /// `rate`, `count_over_time`: no argument.
    Rate,
    /// `min_over_time`, `max_over_time`, `sum_over_time`.
    OverTime,
    /// `avg_over_time`, `histogram_over_time`: as [`Word::OverTime`], with one label less in `by()`.
    BucketOverTime,
    QuantileOverTime,
    Compare,
    /// `topk`, `bottomk`.
    TopK,
    With,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Pipe,
    And,
    Or,
    Equal,
    NotEqual,
    /// Also "is a parent of" between span sets.
    Less,
    LessEqual,
    /// Also "is a child of" between span sets.
    Greater,
    GreaterEqual,
    Regex,
    /// Also "is not a sibling of" between span sets.
    NotRegex,
    /// The operators that only span sets have: `>>`, `~`, `!<`, `&>` and so on.
    Structural,
    Add,
    Sub,
    Not,
    Mul,
    Div,
    Mod,
    Pow,
}

impl Op {
    /// Its precedence. `&&` and `||` have the same, and so have all comparisons and all structural
    /// operators.
    pub(super) fn level(self) -> u8 {
        match self {
            Self::Pipe => 1,
            Self::And | Self::Or => 2,
            Self::Equal
            | Self::NotEqual
            | Self::Less
            | Self::LessEqual
            | Self::Greater
            | Self::GreaterEqual
            | Self::Regex
            | Self::NotRegex
            | Self::Structural => 3,
            Self::Add | Self::Sub => 4,
            Self::Not => 5,
            Self::Mul | Self::Div | Self::Mod => 6,
            Self::Pow => 7,
        }
    }

    /// Whether an operand between this operator and `next`, to its right, belongs to this one. All
    /// operators except `^` are left-associative.
    pub(super) fn binds_before(self, next: Self) -> bool {
        self.level() > next.level() || (self.level() == next.level() && self != Self::Pow)
    }

    /// `=`, `!=`, `<`, `<=`, `>`, `>=`.
    pub(super) fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Less
                | Self::LessEqual
                | Self::Greater
                | Self::GreaterEqual
        )
    }

    /// Whether it can join span sets.
    pub(super) fn is_spanset(self) -> bool {
        matches!(
            self,
            Self::And | Self::Or | Self::Less | Self::Greater | Self::NotRegex | Self::Structural
        )
    }
}

/// The type of a field expression; `pkg/traceql/enum_statics.go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Differs from span to span.
    Attribute,
    Int,
    Float,
    Duration,
    Text,
    Bool,
    Status,
    Kind,
}

impl Type {
    pub(super) fn is_numeric(self) -> bool {
        matches!(self, Self::Int | Self::Float | Self::Duration)
    }

    /// Whether one operator can have operands of both types; `isMatchingOperand`.
    pub(super) fn matches(self, other: Self) -> bool {
        self == other
            || self == Self::Attribute
            || other == Self::Attribute
            || (self.is_numeric() && other.is_numeric())
    }

    /// Whether the operator is defined for the type; `binaryTypeValid`.
    pub(super) fn allows(self, op: Op) -> bool {
        let ordered = op.is_comparison();
        match self {
            Self::Attribute => true,
            Self::Bool => matches!(op, Op::And | Op::Or | Op::Equal | Op::NotEqual),
            Self::Int | Self::Float | Self::Duration => {
                ordered
                    || matches!(
                        op,
                        Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Mod | Op::Pow
                    )
            }
            Self::Text => ordered || matches!(op, Op::Regex | Op::NotRegex),
            Self::Status | Self::Kind => matches!(op, Op::Equal | Op::NotEqual),
        }
    }
}
