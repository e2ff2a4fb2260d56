//! Whole queries: pipelines, metrics, arithmetic on metrics, hints.
//!
//! An operator-precedence parser again, in which `|` is an operator and every operand has a
//! [`Kind`]; parentheses mean different things around different kinds. It follows what Tempo's
//! LALR parser makes of its grammar: `({a}) && ({b} | count() > 1)` does not parse, since the
//! first parenthesis was already taken for one around a span set, but the operands may be
//! swapped.
//!
//! Source: `pkg/traceql/expr.y`; validation: `pkg/traceql/ast_validate.go`, `ast_metrics.go`,
//! `engine_metrics_compare.go`.

use super::reader::{Outline, Reader, fault};
use super::refusal::{Fault, Problem};
use super::scalar::Scalar;
use super::token::{Lexeme, Op, Token, Type, Word};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Filters and operators between them.
    Spanset {
        in_parens: bool,
    },
    /// `by()`, `select()`, an aggregate compared: a stage that may begin a pipeline.
    Stage,
    /// `coalesce()`: a stage that may not.
    Coalesce,
    /// Stages joined by `|`.
    Pipeline,
    /// Pipelines in parentheses, and operators between them.
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
    /// Those in parentheses, and arithmetic between them.
    MetricsMath,
    /// The same, filtered or ranked; no longer an operand of arithmetic.
    MetricsMathRanked,
}

#[derive(Clone, Copy, Debug)]
struct Operand {
    kind: Kind,
    at: Lexeme,
}

/// What waits for its right-hand side.
enum Pending {
    Parens {
        open: Lexeme,
        /// Where the inside starts.
        inside: usize,
        /// How many leaves there were before.
        leaves: usize,
    },
    Minus(Lexeme),
    Binary(Op, Operand),
}

/// Tempo's `maxGroupBys`.
const MAX_GROUP_BYS: usize = 5;
/// Tempo's `maxCompareTopN`.
const MAX_COMPARE_TOP: i64 = 1000;

impl Reader<'_> {
    /// Reads the query to its end.
    pub(super) fn query(mut self) -> Result<Outline, Fault> {
        let start = self.next.start;
        let mut leaves = Vec::new();
        let whole = self.pipeline_expression(&mut leaves)?;
        let is_metrics = match whole.kind {
            Kind::Spanset { .. } | Kind::Stage | Kind::Pipeline => {
                leaves = vec![start];
                false
            }
            Kind::Metrics => {
                leaves = vec![start];
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
        Ok(Outline {
            leaves,
            is_metrics,
            compares: self.compare.is_some(),
        })
    }

    fn pipeline_expression(&mut self, leaves: &mut Vec<usize>) -> Result<Operand, Fault> {
        let mut stack = Vec::new();
        loop {
            let Some(mut operand) = self.pipeline_operand(&mut stack, leaves.len())? else {
                continue;
            };
            loop {
                operand = self.complete(&mut stack, operand)?;
                match self.next.token {
                    Token::Op(op) => {
                        operand = self.reduce_pipelines(&mut stack, operand, Some(op))?;
                        self.take()?;
                        stack.push(Pending::Binary(op, operand));
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
                            leaves.push(inside);
                        }
                        operand = Operand { kind, at: open };
                        self.take()?;
                        self.ascend();
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

    /// Takes what an operand begins with. `None`: it goes on.
    fn pipeline_operand(
        &mut self,
        stack: &mut Vec<Pending>,
        leaves: usize,
    ) -> Result<Option<Operand>, Fault> {
        let at = self.next;
        let kind = match at.token {
            Token::OpenParens => {
                self.take()?;
                self.descend(at)?;
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
                self.descend(at)?;
                stack.push(Pending::Minus(at));
                return Ok(None);
            }
            Token::OpenBrace => {
                self.filter()?;
                Kind::Spanset { in_parens: false }
            }
            Token::Literal(ty) if ty.is_numeric() => {
                self.take()?;
                Kind::Scalar(Scalar::of(ty, self.text_of(at)))
            }
            Token::Word(word) => self.stage(word)?,
            _ => return Err(self.unexpected("{, ( or a stage")),
        };
        Ok(Some(Operand { kind, at }))
    }

    /// What an operand becomes by what stands directly before it.
    fn complete(&mut self, stack: &mut Vec<Pending>, operand: Operand) -> Result<Operand, Fault> {
        let mut operand = operand;
        while let Some(Pending::Minus(at)) = stack.last() {
            let Kind::Scalar(scalar) = operand.kind else {
                return Err(fault(operand.at, Problem::Unexpected("a number after -")));
            };
            operand = Operand {
                kind: Kind::Scalar(scalar.negated()),
                at: *at,
            };
            stack.pop();
            self.ascend();
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

    fn reduce_pipelines(
        &mut self,
        stack: &mut Vec<Pending>,
        mut right: Operand,
        next: Option<Op>,
    ) -> Result<Operand, Fault> {
        while let Some(Pending::Binary(op, left)) = stack.last() {
            if !next.is_none_or(|next| op.binds_before(next)) {
                break;
            }
            let kind = self.join(*op, *left, right)?;
            right = Operand { kind, at: left.at };
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

    /// `{ … }`.
    fn filter(&mut self) -> Result<(), Fault> {
        let open = self.expect(Token::OpenBrace, "{")?;
        if self.next.token != Token::CloseBrace {
            let value = self.field_expression()?;
            if self.next.token == Token::CloseBrace
                && !matches!(value.ty, Type::Attribute | Type::Bool)
            {
                let problem =
                    Problem::Invalid("span filter field expressions must resolve to a boolean");
                return Err(fault(open, problem));
            }
        }
        self.expect(Token::CloseBrace, "an operator or }")?;
        Ok(())
    }

    /// A stage that begins with a word.
    fn stage(&mut self, word: Word) -> Result<Kind, Fault> {
        if !is_stage(word) {
            return Err(self.unexpected("{, ( or a stage"));
        }
        let at = self.take()?;
        self.expect(Token::OpenParens, "(")?;
        match word {
            Word::Count | Word::Coalesce | Word::Rate => {}
            Word::Aggregate => self.aggregated(at)?,
            Word::By => {
                let value = self.field_expression()?;
                if !value.uses_span {
                    let problem =
                        Problem::Invalid("grouping field expressions must reference the span");
                    return Err(fault(at, problem));
                }
            }
            Word::Select => {
                self.fields()?;
            }
            Word::QuantileOverTime => {
                self.field()?;
                self.quantiles()?;
            }
            Word::Compare => self.compared(at)?,
            Word::TopK => {
                let limit = self.integer()?;
                if limit <= 0 {
                    return Err(fault(at, Problem::Invalid("limit must be greater than 0")));
                }
            }
            _ => {
                self.field()?;
            }
        }
        self.expect(Token::CloseParens, ")")?;
        Ok(match word {
            Word::Count | Word::Aggregate => Kind::Aggregate,
            Word::By | Word::Select => Kind::Stage,
            Word::Coalesce => Kind::Coalesce,
            Word::TopK => Kind::SecondStage,
            Word::Compare => Kind::MetricsStage,
            _ => {
                self.metrics_by(word)?;
                Kind::MetricsStage
            }
        })
    }

    fn aggregated(&mut self, at: Lexeme) -> Result<(), Fault> {
        let value = self.field_expression()?;
        if value.ty != Type::Attribute && !value.ty.is_numeric() {
            let problem =
                Problem::Invalid("aggregate field expressions must resolve to a number type");
            return Err(fault(at, problem));
        }
        if !value.uses_span {
            let problem = Problem::Invalid("aggregate field expressions must reference the span");
            return Err(fault(at, problem));
        }
        Ok(())
    }

    /// `compare({ … } [, top [, start, end]])`, after the parenthesis.
    fn compared(&mut self, at: Lexeme) -> Result<(), Fault> {
        self.compare = self.compare.or(Some(at));
        self.filter()?;
        if self.next.token != Token::Comma {
            return Ok(());
        }
        self.take()?;
        let top = self.integer()?;
        if !(1..=MAX_COMPARE_TOP).contains(&top) {
            let problem = Problem::Invalid(
                "compare() top number of values must be an integer between 1 and 1000",
            );
            return Err(fault(at, problem));
        }
        if self.next.token != Token::Comma {
            return Ok(());
        }
        self.take()?;
        let start = self.integer()?;
        self.expect(Token::Comma, ",")?;
        let end = self.integer()?;
        if (start, end) != (0, 0) && !(start > 0 && end > start) {
            let problem = Problem::Invalid(
                "compare() timestamps must be positive integer unix nanoseconds, start before end",
            );
            return Err(fault(at, problem));
        }
        Ok(())
    }

    /// A list of attributes and intrinsics; how many.
    fn fields(&mut self) -> Result<usize, Fault> {
        let mut count = 1;
        self.field()?;
        while self.next.token == Token::Comma {
            self.take()?;
            self.field()?;
            count += 1;
        }
        Ok(count)
    }

    fn quantiles(&mut self) -> Result<(), Fault> {
        self.expect(Token::Comma, ",")?;
        loop {
            let at = self.next;
            let Token::Literal(Type::Int | Type::Float) = at.token else {
                return Err(self.unexpected("a number"));
            };
            self.take()?;
            if !self
                .text_of(at)
                .parse::<f64>()
                .is_ok_and(|q| (0.0..=1.0).contains(&q))
            {
                return Err(fault(
                    at,
                    Problem::Invalid("quantile must be between 0 and 1"),
                ));
            }
            if self.next.token != Token::Comma {
                return Ok(());
            }
            self.take()?;
        }
    }

    fn metrics_by(&mut self, word: Word) -> Result<(), Fault> {
        let at = self.next;
        if at.token != Token::Word(Word::By) {
            return Ok(());
        }
        self.take()?;
        self.expect(Token::OpenParens, "(")?;
        let count = self.fields()?;
        self.expect(Token::CloseParens, ")")?;
        let has_bucket = matches!(word, Word::QuantileOverTime | Word::BucketOverTime);
        if count + usize::from(has_bucket) > MAX_GROUP_BYS {
            let problem = Problem::Invalid("metrics group by so many values not yet supported");
            return Err(fault(at, problem));
        }
        Ok(())
    }

    fn integer(&mut self) -> Result<i64, Fault> {
        let at = self.expect(Token::Literal(Type::Int), "an integer")?;
        let out_of_range = fault(at, Problem::Syntax("number out of range"));
        self.text_of(at).parse().map_err(|_| out_of_range)
    }

    /// `with(name=value, …)`. All but the known harmless hints need Tempo's
    /// `unsafe_query_hints`, and some of them change what is searched.
    fn hints(&mut self) -> Result<(), Fault> {
        self.take()?;
        self.expect(Token::OpenParens, "(")?;
        loop {
            let name = self.expect(Token::Identifier, "the name of a hint")?;
            self.expect(Token::Op(Op::Equal), "=")?;
            let Token::Literal(ty) = self.next.token else {
                return Err(self.unexpected("a value"));
            };
            self.take()?;
            let is_allowed = match self.text_of(name) {
                "most_recent" => ty == Type::Bool,
                "sample" | "span_sample" | "trace_sample" | "exemplars" => {
                    matches!(ty, Type::Bool | Type::Int | Type::Float)
                }
                _ => false,
            };
            if !is_allowed {
                return Err(fault(name, Problem::Hint));
            }
            if self.next.token != Token::Comma {
                break;
            }
            self.take()?;
        }
        self.expect(Token::CloseParens, ") or ,")?;
        Ok(())
    }
}

fn is_stage(word: Word) -> bool {
    matches!(
        word,
        Word::Count
            | Word::Aggregate
            | Word::By
            | Word::Coalesce
            | Word::Select
            | Word::Rate
            | Word::OverTime
            | Word::BucketOverTime
            | Word::QuantileOverTime
            | Word::Compare
            | Word::TopK
    )
}

/// What a parenthesis makes of its inside, and whether that inside is a leaf pipeline: of a span
/// set this is so only if the parenthesis turns out to be one around a pipeline.
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
