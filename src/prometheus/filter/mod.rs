//! Answers that the upstream gives for all tenants at once: read whole, what is not the tenant's
//! taken out, what is kept left as it came.
//!
//! Each takes the upstream's JSON (identity-encoded, bounded by the caller) and returns JSON, or
//! [`Unreadable`](super::Unreadable), upon which nothing of the answer may be passed on.
//! Warnings are scrubbed as in [`super::warnings`]; no query is sent, so no place in one is named.

mod alerts;
mod metadata;
mod rules;
mod targets;

pub use alerts::alerts;
pub use metadata::{MAX_METRIC_NAMES, MetricNames, metadata};
pub use rules::{RulesOptions, rules};
pub use targets::targets;

use super::answer::write_warnings;
use super::json::{self, Envelope, Labels, Object, ObjectWriter, Unreadable};
use crate::tenancy::Matchers;

/// Writes an answer around its new `data`.
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

/// Those objects of a list whose `labels` satisfy every matcher.
fn admitted<'a>(list: Vec<Object<'a>>, matchers: &Matchers) -> Result<Vec<Object<'a>>, Unreadable> {
    let mut kept = Vec::new();
    for object in list {
        if admits(matchers, &object.labels("labels")?) {
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

    use super::testing::acme;
    use super::*;

    const RECORDED: [&[u8]; 3] = [
        include_bytes!("../../../tests/fixtures/prometheus/rules-2.42.json"),
        include_bytes!("../../../tests/fixtures/prometheus/alerts-2.42.json"),
        include_bytes!("../../../tests/fixtures/prometheus/targets-2.42.json"),
    ];

    fn filtered(which: usize, answer: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let mentions_foreign = |query: &str| query.contains("globex");
        let options = RulesOptions {
            exclude_alerts: false,
            mentions_foreign: &mentions_foreign,
        };
        match which {
            0 => rules(answer, &acme(), options),
            1 => alerts(answer, &acme()),
            _ => targets(answer, &acme()),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// A damaged answer is refused, or shows no more than a sound one.
        #[test]
        fn damage_shows_nothing_of_others(
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

        #[test]
        fn any_bytes_are_filtered_or_refused(answer in prop::collection::vec(any::<u8>(), 0..64)) {
            for which in 0..3 {
                let _ = filtered(which, &answer);
            }
        }
    }
}
