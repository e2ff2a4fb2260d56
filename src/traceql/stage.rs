//! The stages of pipelines, and hints.
//!
//! Source: `pkg/traceql/expr.y`; validation: `ast_validate.go`, `ast_metrics.go`,
//! `engine_metrics_compare.go` and `enum_hints.go` beside it.

use super::parser::{Parser, Within, fault};
use super::pipeline::Kind;
use super::refusal::{Fault, Problem};
use super::token::{Lexeme, Op, Token, Type, Word};

/// Tempo's `maxGroupBys`.
const MAX_GROUP_BYS: usize = 5;
/// Tempo's `maxCompareTopN`.
const MAX_COMPARE_TOP: i64 = 1000;

impl Parser<'_> {
    /// `{ … }`. Returns whether it lets no span through.
    pub(super) fn filter(&mut self) -> Result<bool, Fault> {
        let open = self.expect(Token::OpenBrace, "{")?;
        let mut is_empty = false;
        if self.next.token != Token::CloseBrace {
            let value = self.field_expression()?;
            is_empty = value.constant == Some(false);
            self.note_root_condition(value.root);
            if self.next.token == Token::CloseBrace
                && !matches!(value.ty, Type::Attribute | Type::Bool)
            {
                let problem =
                    Problem::Invalid("span filter field expressions must resolve to a boolean");
                return Err(fault(open, problem));
            }
        }
        self.expect(Token::CloseBrace, "an operator or }")?;
        Ok(is_empty)
    }

    /// `{ … }` as a stage.
    pub(super) fn filter_stage(&mut self) -> Result<bool, Fault> {
        self.within = Within::Filter;
        let is_empty = self.filter();
        self.within = Within::Other;
        is_empty
    }

    /// A stage that starts with a word.
    pub(super) fn stage(&mut self, word: Word) -> Result<Kind, Fault> {
        if !is_stage(word) {
            return Err(self.unexpected("{, ( or a stage"));
        }
        let at = self.take()?;
        self.expect(Token::OpenParens, "(")?;
        self.roots.is_grouped |= matches!(word, Word::Count | Word::Aggregate | Word::By);
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
                self.within = Within::Select;
                self.fields()?;
                self.within = Within::Other;
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

    /// A list of attributes and intrinsics. Returns how many.
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

    /// `with(name=value, …)`. Only hints known to be harmless are allowed. The others need Tempo's
    /// `unsafe_query_hints`, and some of them change what is searched. `extrapolate` (of Tempo after
    /// 3.0, which ignores it) weighs each span by the sampling rate in its own trace state.
    pub(super) fn hints(&mut self) -> Result<(), Fault> {
        self.take()?;
        self.expect(Token::OpenParens, "(")?;
        loop {
            let name = self.expect(Token::Identifier, "the name of a hint")?;
            self.expect(Token::Op(Op::Equal), "=")?;
            let Token::Literal(ty) = self.next.token else {
                return Err(self.unexpected("a value"));
            };
            self.take()?;
            let (is_allowed, expected) = match self.text_of(name) {
                "most_recent" | "extrapolate" => (ty == Type::Bool, "true or false"),
                "sample" | "span_sample" | "trace_sample" | "exemplars" => {
                    let is_allowed = matches!(ty, Type::Bool | Type::Int | Type::Float);
                    (is_allowed, "a number, true or false")
                }
                _ => return Err(fault(name, Problem::UnknownHint)),
            };
            if !is_allowed {
                return Err(fault(name, Problem::HintValue(expected)));
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
