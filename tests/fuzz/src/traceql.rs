//! TraceQL: every leaf pipeline of what comes out begins with the tenants' stage, and it is otherwise
//! what went in.

use partywall::config::settings::Limits;
use partywall::tenancy::{Attribute, Resources, Values};
use partywall::traceql::{
    Refusal, TagBasedSearch, TenantPredicate, TraceIntrinsics, confine_metrics, confine_search,
    TagScope, go_duration, is_metrics, leaf_pipelines, measure, measure_tag, measure_tags,
};

const MAX_BYTES: usize = 64 * 1024;

/// The first byte chooses the scope and the policy.
pub fn check(data: &[u8]) {
    let Some(([choice], text)) = crate::split(data) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let one = crate::scopes::tenants(&["acme"]);
    let several = crate::scopes::tenants(&["acme", "b.c", "d\"\\e|{}"]);
    let text_of = |name: &str, values: &Values| Attribute::text(name.into(), values.clone());
    let resources = match choice % 3 {
        0 => Resources::all_of(text_of("tenant_id", &one), []),
        1 => Resources::all_of(text_of("tenant id", &several), []),
        _ => Resources::all_of(text_of("tenant_id", &one), [text_of("env", &several)]),
    };
    let predicate = TenantPredicate::of(&resources).expect("can be written");
    let policy = match choice & 4 {
        0 => TraceIntrinsics::Refuse,
        _ => TraceIntrinsics::Trust,
    };
    let size = measure(text);
    let _ = (
        measure_tag(text, text),
        measure_tags(text),
        go_duration(text),
    );
    assert_eq!(size.bytes, text.len());
    let limits = Limits::default();
    if size.depth > limits.query_depth || size.nodes > limits.query_nodes {
        return;
    }

    let search = confine_search(text, &predicate, policy, MAX_BYTES);
    let metrics = confine_metrics(text, &predicate, policy, MAX_BYTES);
    if let Ok(confined) = &search {
        assert_confined(text, confined, &predicate, policy);
        assert_eq!(is_metrics(text), metrics.is_ok(), "{text}");
    }
    match (&search, &metrics) {
        (Ok(search), Ok(metrics)) => assert_eq!(search, &metrics.query),
        (Err(refusal), Err(other)) => {
            assert_ne!(*refusal, Refusal::Unverified, "{text}");
            let _ = (refusal.to_string(), other.to_string());
        }
        (Ok(_), Err(other)) => assert!(matches!(other, Refusal::NotMetrics) || is_blank(text)),
        (Err(refusal), Ok(_)) => panic!("only the search was refused: {refusal}: {text}"),
    }
    assert_tags_are_narrowed(text, &resources, &predicate);
    assert_tag_search_is_confined(text, &predicate, policy);
}

fn is_blank(text: &str) -> bool {
    text.trim_ascii().is_empty()
}

fn assert_confined(
    text: &str,
    confined: &str,
    predicate: &TenantPredicate,
    policy: TraceIntrinsics,
) {
    assert!(confined.len() <= MAX_BYTES);
    let stage = predicate.stage();
    if is_blank(text) {
        assert_eq!(confined, stage);
        return;
    }
    let stage = format!("{stage} | ");
    let leaves = leaf_pipelines(confined);
    assert!(!leaves.is_empty(), "{confined}");
    // Conditions on roots are written again.
    let is_rewritten = policy == TraceIntrinsics::Refuse && text.contains("root");
    if !is_rewritten {
        assert_eq!(leaves.len(), leaf_pipelines(text).len(), "{confined}");
    }
    let mut without = confined.to_owned();
    for &leaf in leaves.iter().rev() {
        assert!(confined[leaf..].starts_with(&stage), "{confined}");
        without.replace_range(leaf..leaf + stage.len(), "");
    }
    if !is_rewritten {
        assert_eq!(without, text);
    }
    let again = confine_search(confined, predicate, TraceIntrinsics::Trust, 2 * MAX_BYTES);
    let again = again.expect("what is confined can be confined again");
    assert_eq!(again.len(), confined.len() + leaves.len() * stage.len());
}

/// Each query for tag values has one filter, which begins with the tenants' conditions, without `||`.
fn assert_tags_are_narrowed(text: &str, resources: &Resources, predicate: &TenantPredicate) {
    let scope = TagScope::of(resources).expect("can be written");
    let begin = format!("{{ {}", predicate.expression());
    for filter in scope.filters(text, 1).expect("a few requests") {
        let narrowed = &filter.query;
        assert!(narrowed.starts_with(&begin), "{narrowed}");
        let rest = &narrowed[begin.len()..];
        assert!(
            rest.starts_with(" }") || rest.starts_with(" && "),
            "{narrowed}"
        );
        assert_eq!(leaf_pipelines(narrowed), [0], "{narrowed}");
        // Before Tempo 3.0 it would answer for all tenants.
        assert_eq!(rest.matches('}').count(), 1, "{narrowed}");
        assert!(!rest.contains('|') && !rest.contains('{'), "{narrowed}");
    }
}

/// The older search parameters.
fn assert_tag_search_is_confined(text: &str, predicate: &TenantPredicate, policy: TraceIntrinsics) {
    let (tags, durations) = text.split_once('\n').unwrap_or((text, ""));
    let (least, most) = durations.split_once('\n').unwrap_or((durations, ""));
    let Ok(search) = TagBasedSearch::from_parameters(tags, least, most) else {
        return;
    };
    match search.confine(predicate, policy, MAX_BYTES) {
        Ok(confined) => {
            assert!(confined.starts_with(predicate.stage()), "{confined}");
            assert_eq!(leaf_pipelines(&confined), [0], "{confined}");
        }
        Err(refusal) => assert_ne!(refusal, Refusal::Unverified, "{text}"),
    }
}
