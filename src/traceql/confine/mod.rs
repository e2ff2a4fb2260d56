//! Inserts the tenant stage into a query, and verifies the result.

use super::TraceIntrinsics;
use super::own_roots::of_own_roots;
use super::parser::{Outline, parse};
use super::predicate::TenantPredicate;
use super::refusal::Refusal;

/// A metrics query that reads only the tenants' spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfinedMetrics {
    pub query: String,
    /// It uses `compare()`, whose answer has series about whole traces, which must be removed.
    pub compares: bool,
}

/// Confines a query for `/api/search` or the streaming call for it. An empty or blank query means
/// all the tenants' spans. A metrics query is allowed; Tempo gives it an empty answer.
///
/// `max_bytes` limits the confined query. The size of the client's own query is checked before, by
/// [`query_size`](crate::query_size).
pub fn confine_search(
    query: &str,
    predicate: &TenantPredicate,
    policy: TraceIntrinsics,
    max_bytes: usize,
) -> Result<String, Refusal> {
    if query.trim_ascii().is_empty() {
        return Ok(predicate.stage().to_owned());
    }
    let outline = parse(query, policy)?;
    confine(query, &outline, predicate, max_bytes)
}

/// Confines a query for `/api/metrics/query_range`, `/api/metrics/query` or the streaming calls for
/// them.
pub fn confine_metrics(
    query: &str,
    predicate: &TenantPredicate,
    policy: TraceIntrinsics,
    max_bytes: usize,
) -> Result<ConfinedMetrics, Refusal> {
    let outline = parse(query, policy)?;
    if !outline.is_metrics {
        return Err(Refusal::NotMetrics);
    }
    let compares = outline.compares;
    let query = confine(query, &outline, predicate, max_bytes)?;
    Ok(ConfinedMetrics { query, compares })
}

/// The byte offsets of a query's leaf pipelines, where confining inserts the tenants' stage, in
/// order. Empty if the query cannot be parsed.
pub fn leaf_pipelines(query: &str) -> Vec<usize> {
    parse(query, TraceIntrinsics::Trust).map_or_else(|_| Vec::new(), |outline| outline.leaves)
}

/// Whether a query returns series, not a list of traces; false if it cannot be parsed.
pub fn is_metrics(query: &str) -> bool {
    parse(query, TraceIntrinsics::Trust).is_ok_and(|outline| outline.is_metrics)
}

/// Writes conditions on the roots of traces anew, of the caller's own roots, and inserts the stage.
fn confine(
    query: &str,
    outline: &Outline,
    predicate: &TenantPredicate,
    max_bytes: usize,
) -> Result<String, Refusal> {
    if outline.roots.conditions.is_empty() {
        return insert(query, outline, predicate, max_bytes);
    }
    let of_own = of_own_roots(query, outline)?;
    let again = parse(&of_own, TraceIntrinsics::Refuse).map_err(|_| Refusal::Unverified)?;
    let is_same = again.roots.conditions.is_empty()
        && again.is_metrics == outline.is_metrics
        && again.compares == outline.compares;
    if !is_same {
        return Err(Refusal::Unverified);
    }
    insert(&of_own, &again, predicate, max_bytes)
}

fn insert(
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
    let confined = splice(query, &outline.leaves, insertion, length).ok_or(Refusal::Unverified)?;
    verify(query, outline, &confined, insertion)?;
    Ok(confined)
}

fn splice(query: &str, offsets: &[usize], insertion: &str, length: usize) -> Option<String> {
    let mut spliced = String::with_capacity(length);
    let mut copied = 0;
    for &position in offsets {
        spliced.push_str(query.get(copied..position)?);
        spliced.push_str(insertion);
        copied = position;
    }
    spliced.push_str(query.get(copied..)?);
    Some(spliced)
}

/// Parses the confined query as Tempo will: each of its leaf pipelines must start with the
/// insertion, and without the insertions it must be the original.
fn verify(query: &str, outline: &Outline, confined: &str, insertion: &str) -> Result<(), Refusal> {
    let again = parse(confined, TraceIntrinsics::Trust).map_err(|_| Refusal::Unverified)?;
    let mut original = query;
    let mut copied = 0;
    for &leaf in &again.leaves {
        let before = confined.get(copied..leaf).ok_or(Refusal::Unverified)?;
        original = original.strip_prefix(before).ok_or(Refusal::Unverified)?;
        if !confined
            .get(leaf..)
            .is_some_and(|rest| rest.starts_with(insertion))
        {
            return Err(Refusal::Unverified);
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
        Err(Refusal::Unverified)
    }
}

#[cfg(test)]
mod tests;
