//! Where the proxy's answer may differ from the private store's: the list of docs/guarantees.md, made exact.
//!
//! Each entry says precisely what the other answer is, and each must still be needed: the suite
//! fails when no answer shows it any more.

use serde_json::Value;

use crate::kit::client::{Answer, Ask};
use crate::kit::compare::{Order, canonical};

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
        name: "several errors",
        reason: "of a request with several errors, another may be reported than the store reports",
        in_docs: "another than the store reports",
        shown_by: &[Store::Prometheus],
        allows: |_, expected, got| {
            expected.status == 400
                && got.status == 400
                && !expected.text().contains(UNSELECTIVE)
                && got.text().contains(UNSELECTIVE)
        },
    },
    Exception {
        name: "unselective match[]",
        reason: "Prometheus refuses a match[] without a matcher that excludes the empty value, and so \
                 does the proxy; Thanos leaves it to its stores",
        in_docs: "Thanos leaves it to its stores",
        shown_by: &[Store::Thanos],
        allows: |_, expected, got| {
            expected.status != 400 && got.status == 400 && got.text().contains(UNSELECTIVE)
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

const UNSELECTIVE: &str = "match[] must contain at least one non-empty matcher";

/// The answer with a word for each warning, but not which.
fn without_warnings(answer: &Answer) -> Value {
    let mut json = canonical(answer, Order::Unordered);
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
