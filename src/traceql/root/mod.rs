//! Conditions on the root of a trace: `{ rootName = "GET /" && … }`.
//!
//! Tempo stores the name and the service of a trace's root with each span of the trace, whoever owns
//! the root. In a store of the caller's spans alone they are those of the caller's own root span, or
//! empty. So the query is written again: a stage in front lets only those traces through that have
//! such a root span, and the condition is `true` or `false`:
//!
//! ```text
//! { rootName = "GET /" && .n > 1 }
//! { nestedSetParent < 0 && (name = "GET /") } && {} | { true && .n > 1 }
//! ```
//!
//! A condition has one value for all spans of a trace. So a pipeline is the union of one pipeline for
//! each combination of these values, behind the stage for the combination, and one for traces without
//! a root. `root = ""` and `a || root = "x"` need several. Pipelines can be united in a search only,
//! and lose groups and aggregates; without these there has to be one. Usually there is: all
//! combinations but one leave `false` in a filter.
//!
//! The stages come before the tenants' stages are inserted, so they see the caller's spans alone.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write as _;

use regex::RegexBuilder;

use super::TraceIntrinsics;
use super::parser::{Outline, parse};
use super::refusal::{Fault, Problem, Refusal};
use super::token::{Lexeme, Op};

/// The most different conditions of a pipeline: their combinations are tried.
const MAX_CONDITIONS: usize = 3;
/// The most memory of a compiled regular expression, in bytes.
const MAX_PATTERN_MEMORY: usize = 1024 * 1024;

/// A part of a filter that depends on nothing but the root of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RootCondition {
    /// In bytes.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether it is true of a trace that has no root: its name and service are empty.
    pub(super) holds_without_root: bool,
    /// The first intrinsic in it.
    pub(super) intrinsic: Lexeme,
}

/// `rootName` or `rootServiceName` in a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RootField {
    /// In bytes.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) is_name: bool,
}

/// What a query has to do with the roots of traces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Roots {
    /// In order.
    pub(super) conditions: Vec<RootCondition>,
    /// In order.
    pub(super) fields: Vec<RootField>,
    /// Whether the query selects no span of any trace, with any data.
    pub(super) is_empty: bool,
    /// Whether results have more attributes than those of spans: by `by()` or an aggregate.
    pub(super) is_grouped: bool,
    /// Whether it reads the names of spans.
    pub(super) reads_names: bool,
}

impl RootField {
    /// The same of the root span itself.
    fn of_span(self) -> &'static str {
        if self.is_name {
            "name"
        } else {
            "resource.service.name"
        }
    }
}

/// What Tempo adds to the spans of a response only because a query was written again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddedFields {
    /// The spans' names.
    pub names: bool,
    /// `nestedSetParent`.
    pub parents: bool,
    /// `resource.service.name`.
    pub services: bool,
}

/// What is added to the spans of the query's response.
pub fn added_fields(query: &str) -> AddedFields {
    let Ok(outline) = parse(query, TraceIntrinsics::Refuse) else {
        return AddedFields::default();
    };
    let asks_for = |is_name| {
        outline
            .roots
            .fields
            .iter()
            .any(|field| field.is_name == is_name)
    };
    AddedFields {
        names: asks_for(true) && !outline.roots.reads_names,
        parents: !outline.roots.fields.is_empty() && !query.contains("nestedSetParent"),
        services: asks_for(false) && !query.contains("service.name"),
    }
}

/// Whether `root op literal` is true of the empty root; `literal op root` if reversed. `None` if it
/// is not known: the literal is a regular expression that the crate `regex` cannot read as Go does.
pub(super) fn holds_for_empty(op: Op, literal: &str, is_reversed: bool) -> Option<bool> {
    if matches!(op, Op::Regex | Op::NotRegex) {
        let pattern = pattern(literal).filter(|_| !is_reversed)?;
        let anchored = RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
            .size_limit(MAX_PATTERN_MEMORY)
            .build()
            .ok()?;
        return Some(anchored.is_match("") == (op == Op::Regex));
    }
    // Go drops carriage returns from raw strings.
    let inside = literal.get(1..literal.len().checked_sub(1)?)?;
    let is_empty = inside
        .bytes()
        .all(|byte| byte == b'\r' && literal.starts_with('`'));
    let order = match (is_empty, is_reversed) {
        (true, _) => Ordering::Equal,
        (false, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    };
    Some(match op {
        Op::Equal => order.is_eq(),
        Op::NotEqual => order.is_ne(),
        Op::Less => order.is_lt(),
        Op::LessEqual => order.is_le(),
        Op::Greater => order.is_gt(),
        Op::GreaterEqual => order.is_ge(),
        _ => return None,
    })
}

/// The value of a string literal; `None` if it has escapes that regular expressions rarely need, or
/// `{,`, which is plain text to Go.
fn pattern(literal: &str) -> Option<Cow<'_, str>> {
    let raw = |quote| literal.strip_prefix(quote)?.strip_suffix(quote);
    let value = match (raw('`'), raw('"')) {
        (Some(inside), _) => Cow::Owned(inside.replace('\r', "")),
        (None, Some(inside)) if inside.contains('\\') => {
            let mut value = String::with_capacity(inside.len());
            let mut chars = inside.chars();
            while let Some(c) = chars.next() {
                value.push(match c {
                    '\\' => chars.next().filter(|c| matches!(c, '\\' | '"'))?,
                    c => c,
                });
            }
            Cow::Owned(value)
        }
        (None, inside) => Cow::Borrowed(inside?),
    };
    (!value.contains("{,")).then_some(value)
}

/// The query with its conditions on roots written as conditions on the caller's root spans.
pub(super) fn of_own_roots(query: &str, outline: &Outline) -> Result<String, Refusal> {
    let service = outline.roots.fields.iter().find(|field| !field.is_name);
    if let Some(&RootField { start, end, .. }) = service.filter(|_| outline.compares) {
        let problem = Problem::RootCompare;
        return Err(Fault {
            start,
            end,
            problem,
        }
        .refusal(query));
    }
    let mut written = String::with_capacity(query.len() * 2);
    let mut copied = 0;
    for (&start, &end) in outline.leaves.iter().zip(&outline.leaf_ends) {
        let within = |condition: &&RootCondition| condition.start >= start && condition.end <= end;
        let conditions: Vec<&RootCondition> =
            outline.roots.conditions.iter().filter(within).collect();
        if conditions.is_empty() {
            continue;
        }
        written.push_str(query.get(copied..start).ok_or(Refusal::Unverified)?);
        let leaf = Leaf::new(query, outline, (start, end), conditions)?;
        written.push_str(&leaf.of_own_roots()?);
        copied = end;
    }
    written.push_str(query.get(copied..).ok_or(Refusal::Unverified)?);
    Ok(written)
}

/// A leaf pipeline with conditions on roots.
struct Leaf<'q> {
    query: &'q str,
    start: usize,
    end: usize,
    /// Each with the place of its text in `texts`.
    conditions: Vec<(&'q RootCondition, usize)>,
    /// The different conditions, of the root span itself.
    texts: Vec<String>,
}

/// Which of the different conditions are true.
type Combination = [bool; MAX_CONDITIONS];

impl<'q> Leaf<'q> {
    fn new(
        query: &'q str,
        outline: &Outline,
        (start, end): (usize, usize),
        all: Vec<&'q RootCondition>,
    ) -> Result<Self, Refusal> {
        let (mut conditions, mut texts) = (Vec::new(), Vec::<String>::new());
        for condition in all {
            let text = of_span(query, outline, condition).ok_or(Refusal::Unverified)?;
            let known = texts.iter().position(|known| *known == text);
            conditions.push((condition, known.unwrap_or(texts.len())));
            if known.is_none() {
                texts.push(text);
            }
            if texts.len() > MAX_CONDITIONS {
                return Err(refused(query, condition, Problem::RootConditions));
            }
        }
        Ok(Self {
            query,
            start,
            end,
            conditions,
            texts,
        })
    }

    /// The pipeline, or several in parentheses that are joined by `||`.
    fn of_own_roots(&self) -> Result<String, Refusal> {
        let mut without_root = Combination::default();
        for (condition, place) in &self.conditions {
            if let Some(holds) = without_root.get_mut(*place) {
                *holds = condition.holds_without_root;
            }
        }
        let mut pipelines = Vec::new();
        let mut cannot_be_united = false;
        for number in 0..1usize << self.texts.len() {
            let combination = std::array::from_fn(|place| number >> place & 1 == 1);
            let rest = self.with(combination).ok_or(Refusal::Unverified)?;
            let outline = parse(&rest, TraceIntrinsics::Refuse).map_err(|_| Refusal::Unverified)?;
            cannot_be_united |= outline.is_metrics || outline.roots.is_grouped;
            if outline.roots.is_empty {
                continue;
            }
            pipelines.push(format!("{} | {rest}", self.stage(combination)));
            if combination == without_root {
                // All spans have it: -1 for roots.
                pipelines.push(format!("min(nestedSetParent) >= 0 | {rest}"));
            }
        }
        match &mut pipelines[..] {
            [] => self.with(Combination::default()).ok_or(Refusal::Unverified),
            [one] => Ok(std::mem::take(one)),
            _ if cannot_be_united => {
                let (first, _) = self.conditions.first().ok_or(Refusal::Unverified)?;
                Err(refused(self.query, first, Problem::RootUnion))
            }
            several => Ok(format!("({})", several.join(") || ("))),
        }
    }

    /// The pipeline with each condition replaced by its value.
    fn with(&self, combination: Combination) -> Option<String> {
        let mut text = String::new();
        let mut copied = self.start;
        for (condition, place) in &self.conditions {
            text.push_str(self.query.get(copied..condition.start)?);
            text.push_str(if *combination.get(*place)? {
                "true"
            } else {
                "false"
            });
            copied = condition.end;
        }
        text.push_str(self.query.get(copied..self.end)?);
        Some(text)
    }

    /// Lets the traces through that have a root span of which just these conditions are true.
    fn stage(&self, combination: Combination) -> String {
        let mut stage = String::from("{ nestedSetParent < 0");
        for (text, holds) in self.texts.iter().zip(combination) {
            // Writing to a String cannot fail.
            let _ = write!(stage, " && {}({text})", if holds { "" } else { "!" });
        }
        stage.push_str(" } && {}");
        stage
    }
}

/// The condition, of the root span itself.
fn of_span(query: &str, outline: &Outline, condition: &RootCondition) -> Option<String> {
    let mut text = String::new();
    let mut copied = condition.start;
    for field in &outline.roots.fields {
        if field.start < copied || field.end > condition.end {
            continue;
        }
        text.push_str(query.get(copied..field.start)?);
        text.push_str(field.of_span());
        copied = field.end;
    }
    text.push_str(query.get(copied..condition.end)?);
    Some(text)
}

fn refused(query: &str, condition: &RootCondition, problem: Problem) -> Refusal {
    let Lexeme { start, end, .. } = condition.intrinsic;
    let fault = Fault {
        start,
        end,
        problem,
    };
    fault.refusal(query)
}

#[cfg(test)]
mod tests;
