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

use std::fmt::Write as _;

use super::TraceIntrinsics;
use super::parser::{Outline, parse};
use super::refusal::{Fault, Problem, Refusal};
use super::root::{RootCondition, RootField};
use super::token::Lexeme;

/// The most different conditions of a pipeline: their combinations are tried.
const MAX_CONDITIONS: usize = 3;

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
    // All intrinsics of roots are called so. Most queries have none, and need not be parsed again.
    if !query.contains("root") {
        return AddedFields::default();
    }
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
