//! Prometheus' own test queries, with the selectors that its own parser finds in them.

use serde_json::Value;

use super::*;
use crate::testing::evidence;

fn corpus() -> Option<String> {
    evidence::corpus("promql.jsonl").map(|file| std::fs::read_to_string(file).unwrap())
}

#[test]
fn every_selector_that_prometheus_finds_is_confined() {
    let Some(corpus) = corpus() else { return };
    let matchers = acme();
    let (mut confined_queries, mut refused) = (0, Vec::new());
    for line in corpus.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let query = case["query"].as_str().unwrap();
        let confined = match confined(query) {
            _ if case["valid"] == false => continue,
            Ok(confined) => confined,
            Err(refusal) => {
                refused.push((query.to_owned(), refusal));
                continue;
            }
        };
        confined_queries += 1;
        let spans = case["spans"].as_array().unwrap();
        assert_eq!(confined.selectors(), spans.len(), "{query}");
        for span in spans {
            let bound = |index: usize| usize::try_from(span[index].as_u64().unwrap()).unwrap();
            let of_span = bound(0)..=bound(1);
            assert!(
                confined
                    .insertions()
                    .iter()
                    .any(|i| of_span.contains(&i.at)),
                "{query}: {span} is not confined"
            );
        }
        let ours = [matchers.promql(), matchers.promql_without_equality()];
        let count = |text: &str| {
            ours.map(|ours| text.matches(ours).count())
                .iter()
                .sum::<usize>()
        };
        assert_eq!(
            count(confined.text()) - count(query),
            spans.len(),
            "{query}"
        );
    }
    println!("{confined_queries} confined, {} refused", refused.len());
    assert!(confined_queries > 2000);
    for (query, refusal) in refused {
        assert_eq!(
            refusal.reason().label(),
            "unconfined_info",
            "{query}: {refusal}"
        );
    }
}

/// A quarter of the default limits is enough for each query.
#[test]
fn valid_queries_are_far_within_the_default_limits() {
    let Some(corpus) = corpus() else { return };
    let limits = crate::config::settings::Limits::default();
    for line in corpus.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let query = case["query"].as_str().unwrap();
        if case["valid"] == false {
            continue;
        }
        let size = measure(query);
        assert!(4 * size.bytes <= limits.query_bytes, "{size:?} {query}");
        assert!(4 * size.depth <= limits.query_depth, "{size:?} {query}");
        assert!(4 * size.nodes <= limits.query_nodes, "{size:?} {query}");
        assert!(
            4 * size.to_print() <= limits.format_bytes,
            "{size:?} {query}"
        );
    }
}
