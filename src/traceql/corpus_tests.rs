//! Tempo's own 463 test queries, with the verdicts of its parser and its validation.

use std::collections::BTreeMap;

use super::{
    MAX_BYTES, Refusal, TenantPredicate, TraceIntrinsics, confine_metrics, confine_search,
};
use crate::tenancy::{Tenant, TenantSet};
use crate::testing::evidence;

struct Example {
    query: String,
    class: String,
    is_metrics: bool,
}

fn corpus() -> Option<Vec<Example>> {
    let file = evidence::corpus("tempo/traceql-corpus.jsonl")?;
    let text = std::fs::read_to_string(file).unwrap();
    let example = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        Example {
            query: value["query"].as_str().unwrap().to_owned(),
            class: value["class"].as_str().unwrap().to_owned(),
            is_metrics: value["metrics"].as_bool().unwrap_or(false),
        }
    };
    Some(text.lines().map(example).collect())
}

fn predicate() -> TenantPredicate {
    let acme = TenantSet::new([Tenant::new("acme").unwrap()])
        .unwrap()
        .into();
    TenantPredicate::new([("tenant_id", &acme)]).unwrap()
}

fn confine(example: &Example, policy: TraceIntrinsics) -> Result<String, Refusal> {
    if example.is_metrics {
        confine_metrics(&example.query, &predicate(), policy, MAX_BYTES)
            .map(|confined| confined.query)
    } else {
        confine_search(&example.query, &predicate(), policy, MAX_BYTES)
    }
}

#[test]
fn every_valid_query_is_confined_or_uses_a_trace_intrinsic() {
    let Some(corpus) = corpus() else { return };
    let mut confined = 0;
    let mut refused = BTreeMap::new();
    for example in corpus.iter().filter(|example| example.class == "valid") {
        match confine(example, TraceIntrinsics::Refuse) {
            Ok(_) => confined += 1,
            Err(Refusal::TraceIntrinsic { name, .. }) => {
                *refused.entry(name).or_insert(0) += 1;
                confine(example, TraceIntrinsics::Trust).unwrap();
            }
            Err(refusal) => panic!("{}: {refusal}", example.query),
        }
    }
    eprintln!("{confined} of 284 valid queries confined; refused: {refused:?}");
    assert_eq!(confined + refused.values().sum::<usize>(), 284);
    assert_eq!(refused.values().sum::<usize>(), 3);
}

#[test]
fn query_that_tempo_does_not_parse_is_refused_with_its_position() {
    let Some(corpus) = corpus() else { return };
    let mut count = 0;
    for example in corpus
        .iter()
        .filter(|example| example.class == "parse_fails")
    {
        let refusal = confine(example, TraceIntrinsics::Trust).unwrap_err();
        assert!(
            refusal.to_string().contains("line 1, col "),
            "{}: {refusal}",
            example.query
        );
        count += 1;
    }
    assert_eq!(count, 87);
}

#[test]
fn query_that_tempo_does_not_validate_is_refused_except_for_regexes() {
    let Some(corpus) = corpus() else { return };
    let is_invalid = |class: &str| matches!(class, "validate_fails" | "unsupported");
    let passed: Vec<&str> = corpus
        .iter()
        .filter(|example| is_invalid(&example.class))
        .filter(|example| confine(example, TraceIntrinsics::Trust).is_ok())
        .map(|example| example.query.as_str())
        .collect();
    assert_eq!(passed, [r#"{ span.foo =~ "[" }"#, r#"{ span.foo !~ "[" }"#]);
}

/// A quarter of the default limits is enough for each query.
#[test]
fn valid_queries_are_far_within_the_default_limits() {
    let Some(corpus) = corpus() else { return };
    let limits = crate::config::settings::Limits::default();
    for Example { query, class, .. } in &corpus {
        let size = super::measure(query);
        if class == "valid" {
            assert!(4 * size.depth <= limits.query_depth, "{size:?} {query}");
            assert!(4 * size.nodes <= limits.query_nodes, "{size:?} {query}");
        }
    }
}
