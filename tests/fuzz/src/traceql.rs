//! TraceQL: every leaf pipeline of what comes out begins with the tenants' stage, and it is otherwise
//! what went in.

use std::sync::Arc;

use partywall::config::settings::Limits;
use partywall::tenancy::{Attribute, AttributeValues, Resources, Values};
use partywall::traceql::{
    Refusal, TagBasedSearch, TagScope, TenantPredicate, TraceIntrinsics, confine_metrics,
    confine_search, go_duration, is_metrics, leaf_pipelines, measure, measure_tag, measure_tags,
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
    // The third bit is the policy.
    let resources = match (choice & 3, choice >> 3) {
        (0, _) => Resources::all_of(text_of("tenant_id", &one), []).into(),
        (1, _) => Resources::all_of(text_of("tenant id", &several), []).into(),
        (2, _) => Resources::all_of(text_of("tenant_id", &one), [text_of("env", &several)]).into(),
        (_, scope) => Arc::clone(&crate::scopes::of_traces(scope).resources),
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
    assert_tags_are_narrowed(text, &resources);
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
    let mut without = confined.to_owned();
    for &leaf in leaves.iter().rev() {
        assert!(confined[leaf..].starts_with(&stage), "{confined}");
        without.replace_range(leaf..leaf + stage.len(), "");
    }
    if without == text {
        assert_eq!(leaves.len(), leaf_pipelines(text).len(), "{confined}");
    } else {
        // Conditions on roots are written again.
        assert!(
            policy == TraceIntrinsics::Refuse && text.contains("root"),
            "{text} became {without}"
        );
        assert_rewritten(text, &without);
    }
    // None of what describes whole traces is left in conditions, or this would be refused or be longer.
    for policy in [policy, TraceIntrinsics::Trust] {
        let again = confine_search(confined, predicate, policy, 2 * MAX_BYTES);
        let again = again.expect("what is confined can be confined again");
        assert_eq!(again.len(), confined.len() + leaves.len() * stage.len());
    }
}

/// A query whose conditions on roots were written again: each pipeline is one of the client's, in
/// which parts that name a root became `true` or `false`, perhaps behind a stage that selects traces by
/// their root. Each of the client's pipelines is there, in order.
fn assert_rewritten(text: &str, written: &str) {
    // Brackets are not matched in comments here.
    if text.len() > 400 || text.contains("//") || text.contains("/*") {
        return;
    }
    let of = |text| {
        leaf_pipelines(text)
            .into_iter()
            .map(move |at| pipeline(text, at))
    };
    let originals: Vec<&str> = of(text).collect();
    // Which of the client's pipelines the last one can be; the first is before all.
    let mut can_be = vec![false; originals.len() + 1];
    can_be[0] = true;
    for leaf in of(written) {
        let rests = [Some(leaf), behind_root_stage(leaf)];
        let next = (0..can_be.len()).map(|place| {
            let Some(before) = place.checked_sub(1) else {
                return false;
            };
            let mut rests = rests.iter().flatten();
            (can_be[place] || can_be[before])
                && rests.any(|rest| is_substituted(originals[before], rest))
        });
        can_be = next.collect();
    }
    assert_eq!(can_be.last(), Some(&true), "{text} became {written}");
}

/// A pipeline, from its start to the bracket that closes what is around it.
fn pipeline(text: &str, start: usize) -> &str {
    let text = &text[start..];
    let (mut depth, mut quote, mut is_escaped) = (0, None, false);
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some('"') if c == '\\' => is_escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None if c == '(' || c == '{' => depth += 1,
            None if (c == ')' || c == '}') && depth == 0 => return &text[..at],
            None if c == ')' || c == '}' => depth -= 1,
            None => {}
        }
    }
    text
}

fn behind_root_stage(leaf: &str) -> Option<&str> {
    if let Some(rest) = leaf.strip_prefix("min(nestedSetParent) >= 0 | ") {
        return Some(rest);
    }
    let inside = leaf.strip_prefix("{ ")?;
    let conditions = pipeline(inside, 0);
    conditions.strip_prefix("nestedSetParent < 0 && ")?;
    inside[conditions.len()..].strip_prefix("} && {} | ")
}

/// Whether `rest` is `original` with `true` or `false` in place of parts that name a root. Spaces and
/// hints behind the original may be missing.
fn is_substituted(original: &str, rest: &str) -> bool {
    let (original, rest) = (original.as_bytes(), rest.as_bytes());
    // Whether the first bytes of the original can have become the first bytes of the rest.
    let mut reached = vec![vec![false; rest.len() + 1]; original.len() + 1];
    reached[0][0] = true;
    for from in 0..=original.len() {
        for to in 0..=rest.len() {
            if !reached[from][to] {
                continue;
            }
            if from < original.len() && original.get(from) == rest.get(to) {
                reached[from + 1][to + 1] = true;
            }
            for value in ["true", "false"] {
                if !rest[to..].starts_with(value.as_bytes()) {
                    continue;
                }
                for end in from + 1..=original.len() {
                    reached[end][to + value.len()] |= names_only_roots(&original[from..end]);
                }
            }
        }
    }
    (0..=original.len()).any(|from| {
        let left = original[from..].trim_ascii_start();
        reached[from][rest.len()] && (left.is_empty() || left.starts_with(b"with"))
    })
}

/// Whether a part of a query compares roots with strings, and has nothing else.
fn names_only_roots(part: &[u8]) -> bool {
    let Ok(mut rest) = std::str::from_utf8(part) else {
        return false;
    };
    let mut has_root = false;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '"' | '`' => {
                let mut is_escaped = false;
                let is_end = |&(_, found): &(usize, char)| {
                    let is_end = found == c && !is_escaped;
                    is_escaped = found == '\\' && c == '"' && !is_escaped;
                    is_end
                };
                match rest.char_indices().skip(1).find(is_end) {
                    Some((end, _)) => end + 1,
                    None => return false,
                }
            }
            'a'..='z' | 'A'..='Z' => {
                let is_end = |c: char| !c.is_ascii_alphabetic();
                let word = &rest[..rest.find(is_end).unwrap_or(rest.len())];
                if !["trace", "rootName", "rootServiceName", "rootService"].contains(&word) {
                    return false;
                }
                has_root |= word.starts_with("root");
                word.len()
            }
            ' ' | '\t' | '\r' | '\n' | '(' | ')' | ':' | '=' | '!' | '~' | '<' | '>' | '&'
            | '|' => 1,
            _ => return false,
        };
        rest = &rest[length..];
    }
    has_root
}

/// Each query for tag values has one filter, which begins with the conditions of one of the caller's
/// alternatives, without `||`. No alternative is forgotten.
fn assert_tags_are_narrowed(text: &str, resources: &Resources) {
    let scope = TagScope::of(resources).expect("can be written");
    let mut begins: Vec<(String, bool)> = conjunctions(resources)
        .into_iter()
        .map(|conditions| (format!("{{ {conditions}"), false))
        .collect();
    for filter in scope.filters(text, 1).expect("a few requests") {
        let narrowed = &filter.query;
        let mut is_own = false;
        for (begin, is_asked) in &mut begins {
            let Some(rest) = narrowed.strip_prefix(&**begin) else {
                continue;
            };
            if !rest.starts_with(" }") && !rest.starts_with(" && ") {
                continue;
            }
            (is_own, *is_asked) = (true, true);
            // Before Tempo 3.0 it would answer for all tenants.
            assert_eq!(rest.matches('}').count(), 1, "{narrowed}");
            assert!(!rest.contains('|') && !rest.contains('{'), "{narrowed}");
        }
        assert!(is_own, "{narrowed}");
        assert_eq!(leaf_pipelines(narrowed), [0], "{narrowed}");
    }
    assert!(begins.iter().all(|(_, is_asked)| *is_asked), "{text}");
}

/// The conditions of each alternative, joined by `&&`. A number is in two: an integer, and a float.
fn conjunctions(resources: &Resources) -> Vec<String> {
    let conditions = |attribute: &Attribute| {
        let name = &attribute.name;
        match &attribute.values {
            AttributeValues::Text(_) => {
                let only = Resources::all_of(attribute.clone(), []);
                let only = TenantPredicate::of(&only).expect("can be written");
                vec![only.expression().to_owned()]
            }
            AttributeValues::Bool(value) => vec![format!("resource.{name} = {value}")],
            AttributeValues::Number(value) => vec![
                format!("resource.{name} = {value}"),
                format!("resource.{name} = {value}.0"),
            ],
        }
    };
    let mut all = Vec::new();
    for attributes in resources.alternatives() {
        let mut joined = vec![String::new()];
        for attribute in attributes {
            let conditions = conditions(attribute);
            let each = joined.iter().flat_map(|before| {
                conditions.iter().map(move |condition| match &**before {
                    "" => condition.clone(),
                    before => format!("{before} && {condition}"),
                })
            });
            joined = each.collect();
        }
        all.extend(joined);
    }
    all
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
