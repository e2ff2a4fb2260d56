//! Prometheus' own test queries, with the selectors that its own parser finds in them.

use std::path::PathBuf;

use serde_json::Value;

use super::*;

fn corpus() -> Option<String> {
    let near = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus"));
    let given = std::env::var_os("PARTYWALL_CORPUS").map(PathBuf::from);
    let candidates = [given, Some(near), Some("/work/shared/corpus".into())];
    candidates
        .into_iter()
        .flatten()
        .find_map(|directory| std::fs::read_to_string(directory.join("promql.jsonl")).ok())
}

#[test]
fn every_selector_that_prometheus_finds_is_confined() {
    let Some(corpus) = corpus() else {
        println!("SKIPPED: no promql.jsonl; set PARTYWALL_CORPUS to the directory it is in");
        return;
    };
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
        assert_eq!(
            confined.text().matches(matchers.promql()).count()
                - query.matches(matchers.promql()).count(),
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
    let Some(corpus) = corpus() else {
        println!("SKIPPED: no promql.jsonl; set PARTYWALL_CORPUS to the directory it is in");
        return;
    };
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
