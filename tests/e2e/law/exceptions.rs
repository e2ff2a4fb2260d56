//! Where the proxy's answer may differ from the private store's: the list of docs/guarantees.md, made exact.
//!
//! Each entry says precisely what the other answer is, and each must still be needed: the suite
//! fails when no answer shows it any more.

use serde_json::Value;

use crate::kit::client::{Answer, Ask};
use crate::kit::compare::canonical;
use crate::kit::dataset::LABEL;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    Prometheus,
    Thanos,
}

pub struct Exception {
    pub name: &'static str,
    pub reason: &'static str,
    /// Words of docs/ that say so.
    pub in_docs: &'static str,
    /// Whose answers show it.
    pub shown_by: &'static [Store],
    pub allows: fn(&Ask, &Answer, &Answer) -> bool,
}

pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        name: "absent",
        reason: "absent() and absent_over_time() make labels of a selector's `=` matchers, and \
                 the one that confines it is one of them",
        in_docs: "`absent(x)`",
        shown_by: &[Store::Prometheus, Store::Thanos],
        allows: |ask, expected, got| {
            mentions(ask, "query", "absent") && without_tenant(expected) == without_tenant(got)
        },
    },
    Exception {
        name: "empty matchers",
        reason: "a selector that could match the empty series is an error in a store, or finds \
                 nothing; confined, it no longer could, and selects the tenant's series",
        in_docs: "no matcher that excludes the empty",
        shown_by: &[Store::Prometheus, Store::Thanos],
        allows: |ask, expected, got| {
            let refused = expected.status == 400
                && expected
                    .text()
                    .contains("must contain at least one non-empty matcher");
            (refused || selects_the_empty_series(ask)) && got.status == 200
        },
    },
    Exception {
        name: "errors of federate",
        reason: "a store's /federate answers errors as plain text; the proxy's errors are JSON",
        in_docs: "Errors are Prometheus JSON",
        shown_by: &[Store::Prometheus],
        allows: |ask, expected, got| {
            ask.path == "/federate"
                && expected.status.is_client_error()
                && expected.status == got.status
                && got.json()["status"] == "error"
        },
    },
    Exception {
        name: "withheld errors",
        reason: "an error text that is not known to speak of the caller's own data alone is \
                 replaced",
        in_docs: "could name a store are replaced",
        shown_by: &[Store::Prometheus, Store::Thanos],
        allows: |_, expected, got| {
            expected.status == got.status
                && expected.status.as_u16() >= 400
                && got.text().contains("its reason is withheld")
                && expected.json()["errorType"] == got.json()["errorType"]
        },
    },
    Exception {
        name: "withheld warnings",
        reason: "so is the text of such a warning",
        in_docs: "could name a store are replaced",
        shown_by: &[Store::Thanos],
        allows: |_, expected, got| {
            let withheld = "some stores gave no data or had something to report";
            got.text().contains(withheld) && without_warnings(expected) == without_warnings(got)
        },
    },
    Exception {
        name: "offset in a match[]",
        reason: "Thanos takes `up offset 5m` for a selector and ignores the offset, Prometheus \
                 refuses it, and so does the proxy",
        in_docs: "What is not fully understood is refused",
        shown_by: &[Store::Thanos],
        allows: |ask, _, got| mentions(ask, "match[]", " offset ") && got.status == 400,
    },
];

/// Whether one of the selectors has no matcher that excludes the empty value.
fn selects_the_empty_series(ask: &Ask) -> bool {
    let empty = ["{tenant_id=\"\"}", "{tenant_id=~\".*\"}"];
    ask.params
        .iter()
        .any(|(name, value)| name == "match[]" && empty.contains(&value.as_str()))
}

/// The answer with a word for each warning, but not which.
fn without_warnings(answer: &Answer) -> Value {
    let mut json = canonical(answer, false);
    if let Some(Value::Array(warnings)) = json.get_mut("warnings") {
        warnings.fill("a warning".into());
        // Several that are replaced become one.
        warnings.truncate(1);
    }
    json
}

fn mentions(ask: &Ask, parameter: &str, word: &str) -> bool {
    ask.params
        .iter()
        .any(|(name, value)| name == parameter && value.contains(word))
}

/// The answer with the tenant label taken out of every metric.
fn without_tenant(answer: &Answer) -> Value {
    let mut json = canonical(answer, true);
    if let Some(results) = json
        .pointer_mut("/data/result")
        .and_then(Value::as_array_mut)
    {
        for metric in results
            .iter_mut()
            .filter_map(|result| result.get_mut("metric"))
        {
            if let Some(labels) = metric.as_object_mut() {
                labels.shift_remove(LABEL);
            }
        }
        results.sort_by_cached_key(|result| result["metric"].to_string());
    }
    json
}
