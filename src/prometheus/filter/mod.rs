//! Filters responses that contain the data of all tenants: they are buffered, other tenants' data
//! is removed, and the rest is unmodified.
//!
//! Each filter takes the upstream's JSON (identity-encoded, bounded by the caller) and returns
//! JSON, or [`Unreadable`](super::Unreadable); then nothing of the response may be passed on.
//! Warnings are scrubbed as in [`super::warnings`]; there is no query, so positions are removed.

mod flags;
mod metadata;
mod rules;
mod search;
mod targets;
mod targets_metadata;

pub use flags::flags;
pub use metadata::{MAX_METRIC_NAMES, MetricNames, metadata};
pub use rules::{RulesError, RulesOptions, alerts, rules};
pub use search::search;
pub use targets::{scrape_pools, targets};
pub use targets_metadata::{OwnMetadata, targets_metadata};

use super::answer::write_warnings;
use super::json::{self, Envelope, Labels, Object, ObjectWriter, Unreadable};
use crate::tenancy::Matchers;

/// Writes a response around its new `data`.
fn write_answer(
    envelope: &Envelope<'_>,
    capacity: usize,
    write_data: impl FnOnce(&mut Vec<u8>) -> Result<(), Unreadable>,
) -> Result<Vec<u8>, Unreadable> {
    let mut out = Vec::with_capacity(capacity);
    let mut object = ObjectWriter::new(&mut out);
    json::write_string(object.key("status"), "success");
    write_data(object.key("data"))?;
    write_warnings(&mut object, envelope, &|_| None);
    object.end();
    Ok(out)
}

/// Whether these labels satisfy every matcher.
fn admits(matchers: &Matchers, labels: &Labels<'_>) -> bool {
    matchers.admit(|name| labels.get(name))
}

/// The objects of a list whose label set under `key` satisfies every matcher.
fn admitted<'a>(
    list: Vec<Object<'a>>,
    key: &str,
    matchers: &Matchers,
) -> Result<Vec<Object<'a>>, Unreadable> {
    let mut kept = Vec::new();
    for object in list {
        if admits(matchers, &object.labels(key)?) {
            kept.push(object);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod testing {
    use crate::tenancy::{LabelMatcher, Matchers, Tenant, TenantSet};

    pub(super) fn matcher(label: &str, tenants: &[&str]) -> LabelMatcher {
        let tenants = TenantSet::new(tenants.iter().map(|t| Tenant::new(t).unwrap())).unwrap();
        LabelMatcher::new(label.into(), tenants)
    }

    pub(super) fn acme() -> Matchers {
        Matchers::new(matcher("tenant_id", &["acme"]), [])
    }

    pub(super) fn text(answer: Vec<u8>) -> String {
        String::from_utf8(answer).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::testing::acme;
    use super::*;

    fn read(answer: &[u8]) -> Value {
        serde_json::from_slice(answer).unwrap()
    }

    /// A label set: the tenant's, similar to it, another tenant's, or without a tenant.
    fn owner() -> impl Strategy<Value = Value> {
        const VALUES: [&str; 8] = [
            "acme",
            "acme ",
            "Acme",
            "",
            "globex",
            "acme|globex",
            ".*",
            "\u{430}cme",
        ];
        prop_oneof![
            prop::sample::select(&VALUES[..])
                .prop_map(|value| json!({"tenant_id": value, "a": "b"})),
            Just(json!({"a": "acme"})),
            Just(json!({})),
            prop::sample::select(&VALUES[..]).prop_map(|value| json!({"tenant": value})),
        ]
    }

    /// JSON in positions that the filter does not read.
    fn odd_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\PC\"\\\\{}]{0,10}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 10, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"{]{0,3}", inner, 0..3)
                    .prop_map(|all| Value::Object(all.into_iter().collect())),
            ]
        })
    }

    const RECORDED: [&[u8]; 3] = [
        include_bytes!("../../../tests/fixtures/prometheus/rules-2.42.json"),
        include_bytes!("../../../tests/fixtures/prometheus/rules-2.42.json"),
        include_bytes!("../../../tests/fixtures/prometheus/targets-2.42.json"),
    ];

    fn filtered(which: usize, answer: &[u8]) -> Result<Vec<u8>, Unreadable> {
        match which {
            0 => match rules(answer, &acme(), RulesOptions::default()) {
                Err(RulesError::UnknownToken) => panic!("there is no page"),
                Err(RulesError::Unreadable(error)) => Err(error),
                Ok(answer) => Ok(answer),
            },
            1 => alerts(answer, &acme()),
            _ => targets(answer, &acme()),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// A damaged response is refused, or shows no more than an intact one.
        #[test]
        fn damaged_response_leaks_nothing(
            which in 0_usize..3,
            at in any::<prop::sample::Index>(),
            byte in prop_oneof![Just(b'"'), Just(b'{'), Just(b'}'), Just(b','), Just(b'\\'), any::<u8>()],
            cut in any::<bool>(),
        ) {
            let mut answer = RECORDED[which].to_vec();
            let at = at.index(answer.len());
            answer[at] = byte;
            if cut {
                answer.truncate(at);
            }
            if let Ok(out) = filtered(which, &answer) {
                prop_assert!(memchr::memmem::find(&out, b"globex").is_none());
            }
        }

        /// A model that filters parsed JSON: the entries whose labels name the tenant, unmodified.
        #[test]
        fn filter_agrees_with_a_model(owners in prop::collection::vec((owner(), odd_json()), 0..6)) {
            let one = |(owner, odd): &(Value, Value)| {
                json!({"labels": owner, "value": odd, "annotations": {"a": "b"}, "state": "firing"})
            };
            let all: Vec<Value> = owners.iter().map(one).collect();
            let own = |one: &&Value| one["labels"]["tenant_id"] == "acme";
            let kept: Vec<&Value> = all.iter().filter(own).collect();
            let rule = json!({"type": "alerting", "name": "x", "query": "up == 0", "health": "ok",
                "labels": {}, "annotations": {"a": "b"}, "alerts": all});
            let answer = json!({"status": "success", "data": {"groups": [{"rules": [rule]}]}});
            let out = filtered(1, answer.to_string().as_bytes()).unwrap();
            let expected = json!({"status": "success", "data": {"alerts": kept}});
            prop_assert_eq!(read(&out), expected);

            let without = |mut one: Value| {
                if let Some(labels) = one.as_object_mut().unwrap().get_mut("discoveredLabels") {
                    *labels = json!({});
                }
                one
            };
            let target = |(owner, odd): &(Value, Value)| {
                json!({"discoveredLabels": {"__address__": "x"}, "labels": owner, "lastError": odd})
            };
            let all: Vec<Value> = owners.iter().map(target).collect();
            let kept: Vec<Value> = all.iter().filter(own).cloned().map(without).collect();
            let targets_of = |list: Value| json!({"status": "success", "data": {"activeTargets": list}});
            let out = filtered(2, targets_of(json!(all)).to_string().as_bytes()).unwrap();
            prop_assert_eq!(read(&out), targets_of(json!(kept)));

            let recording = |(owner, odd): &(Value, Value)| {
                json!({"type": "recording", "name": "a:b", "query": "up", "labels": owner, "evaluationTime": odd})
            };
            let all: Vec<Value> = owners.iter().map(recording).collect();
            let kept: Vec<&Value> = all.iter().filter(own).collect();
            let groups = |rules: Value| {
                let groups = json!([{"name": "g", "file": "f", "rules": rules}]);
                json!({"status": "success", "data": {"groups": groups}})
            };
            let out = filtered(0, groups(json!(all)).to_string().as_bytes()).unwrap();
            let expected = if kept.is_empty() {
                json!({"status": "success", "data": {"groups": []}})
            } else {
                groups(json!(kept))
            };
            prop_assert_eq!(read(&out), expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(answer in prop::collection::vec(any::<u8>(), 0..64)) {
            for which in 0..3 {
                let _ = filtered(which, &answer);
            }
        }
    }
}
