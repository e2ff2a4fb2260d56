//! Whole queries: pipelines, metrics, arithmetic on metrics, hints.
//!
//! Again an operator-precedence parser, with `|` as an operator. Every operand has a [`Kind`], on
//! which the meaning of parentheses around it depends. It accepts what Tempo's LALR parser does:
//! `({a}) && ({b} | count() > 1)` is an error, because the first parenthesis was already taken for
//! one around a span set, but it parses with its operands swapped.
//!
//! Source: `pkg/traceql/expr.y`; validation: `pkg/traceql/ast_validate.go`, `ast_metrics.go`,
//! `engine_metrics_compare.go`.

use super::parser::{Outline, Parser, fault};
use super::refusal::{Fault, Problem};
use super::scalar::Scalar;
use super::token::{Lexeme, Op, Token, Word};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Filters, joined by operators.
    Spanset {
        in_parens: bool,
    },
    /// `by()`, `select()`, `count() > 1`: a stage that may start a pipeline.
    Stage,
    /// `coalesce()`: a stage that may not start a pipeline.
    Coalesce,
    /// Stages joined by `|`.
    Pipeline,
    /// Pipelines in parentheses, joined by operators.
    Pipelines,
    Aggregate,
    Scalar(Scalar),
    /// A pipeline that ends in a bare aggregate.
    ScalarPipeline,
    /// `rate() > 1`, right of its `|`.
    MetricsStage,
    /// `topk(1) > 1`, right of its `|`.
    SecondStage,
    /// A pipeline that ends in metrics.
    Metrics,
    /// Such pipelines in parentheses, joined by arithmetic.
    MetricsMath,
    /// The same, filtered or ranked; no longer allowed as an operand of arithmetic.
    MetricsMathRanked,
}

#[derive(Clone, Copy, Debug)]
struct Operand {
    kind: Kind,
    at: Lexeme,
    /// Whether it selects no span of any trace.
    is_empty: bool,
}

/// The start and end of a leaf pipeline, in bytes.
type Leaf = (usize, usize);

/// Operators and parentheses that wait for their right-hand side.
enum Pending {
    Parens {
        open: Lexeme,
        inside: usize,
        /// The number of leaves before the parenthesis.
        leaves: usize,
    },
    Minus(Lexeme),
    Binary(Operator, Operand),
}

#[derive(Clone, Copy)]
struct Operator {
    op: Op,
    /// `!>>` and so on, which need nothing on their left.
    is_negated: bool,
}

impl Parser<'_> {
    /// Parses the query to its end.
    pub(super) fn query(mut self) -> Result<Outline, Fault> {
        let start = self.next.start;
        let mut leaves = Vec::new();
        let whole = self.pipeline_expression(&mut leaves)?;
        let is_metrics = match whole.kind {
            Kind::Spanset { .. } | Kind::Stage | Kind::Pipeline => {
                leaves = vec![(start, self.taken_to)];
                false
            }
            Kind::Metrics => {
                leaves = vec![(start, self.taken_to)];
                true
            }
            Kind::Pipelines => false,
            Kind::MetricsMath | Kind::MetricsMathRanked => true,
            Kind::Coalesce => return Err(fault(whole.at, Problem::Unexpected("a query"))),
            Kind::MetricsStage | Kind::SecondStage => {
                return Err(fault(
                    whole.at,
                    Problem::Unexpected("a pipeline before metrics"),
                ));
            }
            Kind::Aggregate | Kind::Scalar(_) | Kind::ScalarPipeline => {
                return Err(self.unexpected("a comparison"));
            }
        };
        while self.next.token == Token::Word(Word::With) {
            self.hints()?;
        }
        if self.next.token != Token::End {
            return Err(self.unexpected("an operator, a stage or the end of the query"));
        }
        if let Some(compare) = self.compare.filter(|_| self.has_second_stage) {
            let problem =
                Problem::Invalid("`compare()` cannot be used with second stage functions");
            return Err(fault(compare, problem));
        }
        if let Some(selected) = self.selected.filter(|_| is_metrics) {
            // Exemplars show it.
            self.counts_whole_trace(selected)?;
        }
        self.roots
            .conditions
            .sort_by_key(|condition| condition.start);
        self.roots.is_empty = whole.is_empty;
        let (leaves, leaf_ends) = leaves.into_iter().unzip();
        Ok(Outline {
            leaves,
            leaf_ends,
            is_metrics,
            compares: self.compare.is_some(),
            roots: self.roots,
        })
    }

    fn pipeline_expression(&mut self, leaves: &mut Vec<Leaf>) -> Result<Operand, Fault> {
        let mut stack = Vec::new();
        loop {
            let Some(mut operand) = self.pipeline_operand(&mut stack, leaves.len())? else {
                continue;
            };
            loop {
                operand = complete(&mut stack, operand)?;
                match self.next.token {
                    Token::Op(op) => {
                        operand = self.reduce_pipelines(&mut stack, operand, Some(op))?;
                        let is_negated = self.text_of(self.next).starts_with('!');
                        self.take()?;
                        stack.push(Pending::Binary(Operator { op, is_negated }, operand));
                        break;
                    }
                    Token::CloseParens => {
                        operand = self.reduce_pipelines(&mut stack, operand, None)?;
                        let Some(Pending::Parens {
                            open,
                            inside,
                            leaves: before,
                        }) = stack.pop()
                        else {
                            return Err(self.unexpected("the end of the query"));
                        };
                        let (kind, is_leaf) = close(operand)?;
                        if is_leaf {
                            leaves.truncate(before);
                            leaves.push((inside, self.taken_to));
                        }
                        operand = Operand {
                            kind,
                            at: open,
                            ..operand
                        };
                        self.take()?;
                    }
                    _ => {
                        operand = self.reduce_pipelines(&mut stack, operand, None)?;
                        return match stack.pop() {
                            None => Ok(operand),
                            Some(_) => Err(self.unexpected("an operator or )")),
                        };
                    }
                }
            }
        }
    }

    /// Takes the start of an operand; `None` if the operand is not complete yet.
    fn pipeline_operand(
        &mut self,
        stack: &mut Vec<Pending>,
        leaves: usize,
    ) -> Result<Option<Operand>, Fault> {
        let at = self.next;
        let mut is_empty = false;
        let kind = match at.token {
            Token::OpenParens => {
                self.take()?;
                let inside = self.next.start;
                stack.push(Pending::Parens {
                    open: at,
                    inside,
                    leaves,
                });
                return Ok(None);
            }
            Token::Op(Op::Sub) => {
                self.take()?;
                stack.push(Pending::Minus(at));
                return Ok(None);
            }
            Token::OpenBrace => {
                is_empty = self.filter_stage()?;
                Kind::Spanset { in_parens: false }
            }
            Token::Literal(ty) if ty.is_numeric() => {
                self.take()?;
                Kind::Scalar(Scalar::from_literal(ty, self.text_of(at)))
            }
            Token::Word(word) => self.stage(word)?,
            _ => return Err(self.unexpected("{, ( or a stage")),
        };
        Ok(Some(Operand { kind, at, is_empty }))
    }

    fn reduce_pipelines(
        &mut self,
        stack: &mut Vec<Pending>,
        mut right: Operand,
        next: Option<Op>,
    ) -> Result<Operand, Fault> {
        while let Some(Pending::Binary(op, left)) = stack.last() {
            if !next.is_none_or(|next| op.op.binds_before(next)) {
                break;
            }
            let kind = self.join(op.op, *left, right)?;
            right = Operand {
                kind,
                at: left.at,
                is_empty: match op.op {
                    Op::Or => left.is_empty && right.is_empty,
                    _ if op.is_negated => right.is_empty,
                    _ => left.is_empty || right.is_empty,
                },
            };
            stack.pop();
        }
        Ok(right)
    }

    fn join(&mut self, op: Op, left: Operand, right: Operand) -> Result<Kind, Fault> {
        use Kind::{
            Aggregate, Coalesce, Metrics, MetricsMath, MetricsMathRanked, MetricsStage, Pipeline,
            Pipelines, ScalarPipeline, SecondStage, Spanset, Stage,
        };
        const ARITHMETIC: [Op; 4] = [Op::Add, Op::Sub, Op::Mul, Op::Div];
        let is_arithmetic = ARITHMETIC.contains(&op);
        let is_scalar_operator = is_arithmetic || matches!(op, Op::Mod | Op::Pow);
        let misfit = || Err(fault(right.at, Problem::Unexpected("another operand here")));

        match (left.kind, right.kind) {
            (Spanset { .. } | Stage | Pipeline, kind) if op == Op::Pipe => match kind {
                Spanset { .. } | Stage | Coalesce => Ok(Pipeline),
                Aggregate => Ok(ScalarPipeline),
                MetricsStage => Ok(Metrics),
                _ => misfit(),
            },
            (Metrics, SecondStage) if op == Op::Pipe => {
                self.has_second_stage = true;
                Ok(Metrics)
            }
            (MetricsMath | MetricsMathRanked, SecondStage) if op == Op::Pipe => {
                self.has_second_stage = true;
                Ok(MetricsMathRanked)
            }
            (Spanset { .. }, Spanset { .. }) if op.is_spanset() => Ok(Spanset { in_parens: false }),
            (Pipelines, Pipelines) if op.is_spanset() => Ok(Pipelines),
            (Aggregate, Kind::Scalar(_)) if op.is_comparison() => Ok(Stage),
            (Aggregate, Aggregate | Kind::Scalar(_)) | (Kind::Scalar(_), Aggregate)
                if op.is_comparison() || is_scalar_operator =>
            {
                let problem = Problem::Invalid(
                    "only `aggregate operator number` is supported, and no arithmetic on \
                     aggregates",
                );
                Err(fault(left.at, problem))
            }
            (MetricsStage, Kind::Scalar(_)) if op.is_comparison() => {
                self.has_second_stage = true;
                Ok(MetricsStage)
            }
            (SecondStage, Kind::Scalar(_)) if op.is_comparison() => Ok(SecondStage),
            (MetricsMath | MetricsMathRanked, Kind::Scalar(_)) if op.is_comparison() => {
                self.has_second_stage = true;
                Ok(MetricsMathRanked)
            }
            (MetricsMath, MetricsMath) if is_arithmetic => {
                self.has_second_stage = true;
                Ok(MetricsMath)
            }
            (MetricsMath, Kind::Scalar(scalar)) | (Kind::Scalar(scalar), MetricsMath)
                if is_arithmetic =>
            {
                self.has_second_stage = true;
                if scalar == Scalar::Duration {
                    let problem = Problem::Syntax(
                        "duration cannot be used as a scalar operand in metric arithmetic",
                    );
                    return Err(fault(left.at, problem));
                }
                Ok(MetricsMath)
            }
            (Kind::Scalar(a), Kind::Scalar(b)) if is_arithmetic => match a.joined(op, b) {
                Ok(scalar) => Ok(Kind::Scalar(scalar)),
                Err(message) => Err(fault(right.at, Problem::Syntax(message))),
            },
            _ => misfit(),
        }
    }
}

/// Applies what stands directly before an operand: minus signs, or a pipeline that makes it one too.
fn complete(stack: &mut Vec<Pending>, operand: Operand) -> Result<Operand, Fault> {
    let mut operand = operand;
    while let Some(Pending::Minus(at)) = stack.last() {
        let Kind::Scalar(scalar) = operand.kind else {
            return Err(fault(operand.at, Problem::Unexpected("a number after -")));
        };
        operand = Operand {
            kind: Kind::Scalar(scalar.negated()),
            at: *at,
            ..operand
        };
        stack.pop();
    }
    if let Some(Pending::Binary(
        _,
        Operand {
            kind: Kind::Pipelines,
            ..
        },
    )) = stack.last()
        && operand.kind == (Kind::Spanset { in_parens: true })
    {
        operand.kind = Kind::Pipelines;
    }
    Ok(operand)
}

/// The kind of a parenthesized operand, and whether its contents are a leaf pipeline. A span set
/// counts as one too, in case the parenthesis turns out to be one around a pipeline.
fn close(inside: Operand) -> Result<(Kind, bool), Fault> {
    Ok(match inside.kind {
        Kind::Spanset { .. } => (Kind::Spanset { in_parens: true }, true),
        Kind::Stage | Kind::Pipeline => (Kind::Pipelines, true),
        Kind::Metrics => (Kind::MetricsMath, true),
        kind @ (Kind::Pipelines | Kind::MetricsMath | Kind::Aggregate | Kind::Scalar(_)) => {
            (kind, false)
        }
        Kind::ScalarPipeline => {
            let problem = Problem::Invalid("comparing aggregates of pipelines not yet supported");
            return Err(fault(inside.at, problem));
        }
        Kind::Coalesce | Kind::MetricsStage | Kind::SecondStage | Kind::MetricsMathRanked => {
            return Err(fault(
                inside.at,
                Problem::Unexpected("a pipeline in parentheses"),
            ));
        }
    })
}
