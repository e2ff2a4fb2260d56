//! Where the proxy's answer may differ from the private store's: the README's list, made exact.
//!
//! Each entry says precisely what the other answer is, and each must still be needed: the suite
//! fails when no answer shows it any more.

use serde_json::Value;

use super::common::client::{Answer, Ask};
use super::common::compare::canonical;
use super::common::dataset::LABEL;

pub struct Exception {
    /// As the README names it.
    pub name: &'static str,
    pub reason: &'static str,
    pub allows: fn(&Ask, &Answer, &Answer) -> bool,
}

pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        name: "absent",
        reason: "absent() and absent_over_time() make labels of a selector's `=` matchers, and \
                 the one that confines it is one of them",
        allows: |ask, expected, got| {
            is_about(ask, "absent") && without_tenant(expected) == without_tenant(got)
        },
    },
    Exception {
        name: "empty matchers",
        reason: "a selector that could match the empty series is an error in a store; confined, \
                 it no longer could, and selects the tenant's series",
        allows: |_, expected, got| {
            expected.status == 400
                && expected
                    .text()
                    .contains("must contain at least one non-empty matcher")
                && got.status == 200
        },
    },
];

fn is_about(ask: &Ask, word: &str) -> bool {
    ask.params
        .iter()
        .any(|(name, value)| name == "query" && value.contains(word))
}

/// The answer with the tenant label taken out of every metric.
fn without_tenant(answer: &Answer) -> Value {
    let mut json = canonical(answer, true);
    if let Some(results) = json
        .pointer_mut("/data/result")
        .and_then(Value::as_array_mut)
    {
        for result in results {
            if let Some(metric) = result.get_mut("metric").and_then(Value::as_object_mut) {
                metric.remove(LABEL);
            }
        }
    }
    json
}
