//! Splices the tenant stage into a query, and proves the result.

use super::TraceIntrinsics;
use super::predicate::TenantPredicate;
use super::reader::{Outline, read};
use super::refusal::Refusal;

/// A metrics query that only sees the tenants' spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfinedMetrics {
    pub query: String,
    /// It uses `compare()`, whose answer has series about whole traces that must go.
    pub compares: bool,
}

/// Confines a query for `/api/search` or its streaming twin. An empty or blank one means all
/// the tenants' spans. A metrics query is fine here; Tempo answers it with nothing.
///
/// The confined query may be `max_bytes` long. How large the client's own may be is checked
/// before, by [`query_size`](crate::query_size).
pub fn confine_search(
    query: &str,
    predicate: &TenantPredicate,
    policy: TraceIntrinsics,
    max_bytes: usize,
) -> Result<String, Refusal> {
    if query.trim_ascii().is_empty() {
        return Ok(predicate.stage().to_owned());
    }
    let outline = read(query, policy)?;
    confine(query, &outline, predicate, max_bytes)
}

/// Confines a query for `/api/metrics/query_range`, `/api/metrics/query` or their streaming
/// twins.
pub fn confine_metrics(
    query: &str,
    predicate: &TenantPredicate,
    policy: TraceIntrinsics,
    max_bytes: usize,
) -> Result<ConfinedMetrics, Refusal> {
    let outline = read(query, policy)?;
    if !outline.is_metrics {
        return Err(Refusal::NotMetrics);
    }
    let compares = outline.compares;
    let query = confine(query, &outline, predicate, max_bytes)?;
    Ok(ConfinedMetrics { query, compares })
}

/// The leaf pipelines of a query, where confining it writes the tenants' stage: byte offsets, in
/// order. Empty where the query cannot be read.
pub fn leaf_pipelines(query: &str) -> Vec<usize> {
    read(query, TraceIntrinsics::Trust).map_or_else(|_| Vec::new(), |read| read.leaves)
}

/// Whether a query makes series, not a list of traces; false where it cannot be read.
pub fn is_metrics(query: &str) -> bool {
    read(query, TraceIntrinsics::Trust).is_ok_and(|outline| outline.is_metrics)
}

fn confine(
    query: &str,
    outline: &Outline,
    predicate: &TenantPredicate,
    max_bytes: usize,
) -> Result<String, Refusal> {
    let insertion = predicate.insertion();
    let length = outline
        .leaves
        .len()
        .saturating_mul(insertion.len())
        .saturating_add(query.len());
    if length > max_bytes {
        return Err(Refusal::ConfinedTooLong {
            bytes: length,
            limit: max_bytes,
        });
    }
    let confined = splice(query, &outline.leaves, insertion, length).ok_or(Refusal::Unproven)?;
    prove(query, outline, &confined, insertion)?;
    Ok(confined)
}

fn splice(query: &str, places: &[usize], insertion: &str, length: usize) -> Option<String> {
    let mut spliced = String::with_capacity(length);
    let mut copied = 0;
    for &place in places {
        spliced.push_str(query.get(copied..place)?);
        spliced.push_str(insertion);
        copied = place;
    }
    spliced.push_str(query.get(copied..)?);
    Some(spliced)
}

/// Reads the confined query as Tempo will: each of its leaf pipelines must begin with the
/// insertion, and without the insertions it must be the original.
fn prove(query: &str, outline: &Outline, confined: &str, insertion: &str) -> Result<(), Refusal> {
    let again = read(confined, TraceIntrinsics::Trust).map_err(|_| Refusal::Unproven)?;
    let mut original = query;
    let mut copied = 0;
    for &leaf in &again.leaves {
        let before = confined.get(copied..leaf).ok_or(Refusal::Unproven)?;
        original = original.strip_prefix(before).ok_or(Refusal::Unproven)?;
        if !confined
            .get(leaf..)
            .is_some_and(|rest| rest.starts_with(insertion))
        {
            return Err(Refusal::Unproven);
        }
        copied = leaf + insertion.len();
    }
    let is_same = confined.get(copied..) == Some(original)
        && again.leaves.len() == outline.leaves.len()
        && again.is_metrics == outline.is_metrics
        && again.compares == outline.compares;
    if is_same {
        Ok(())
    } else {
        Err(Refusal::Unproven)
    }
}

#[cfg(test)]
mod tests;
