//! `/api/v1/alerts`, derived from the rules that contain the alerts.

use std::borrow::Cow;

use super::super::super::json::{self, Envelope, ObjectWriter, Unreadable};
use super::super::{admits, write_answer};
use super::shape::{Answer, Rule};
use super::shared::SharedRule;
use super::{admitted_alerts, as_it_came, groups, rules_in};
use crate::tenancy::Matchers;

/// The response to `/api/v1/alerts`, derived from that to `/api/v1/rules`: the alerts whose labels
/// satisfy every matcher, with what may be shown of them. This includes alerts of a shared rule
/// whose expression is hidden: they have the tenant's label.
pub fn alerts(rules: &[u8], matchers: &Matchers) -> Result<Vec<u8>, Unreadable> {
    let object: Answer<'_> = json::read(rules, "it is not the JSON that rules are in")?;
    let envelope = Envelope::of(&object)?;
    let mut kept = Vec::new();
    for group in groups(&object)? {
        for rule in rules_in(group)? {
            write_alerts_of(rule, matchers, &mut kept)?;
        }
    }
    write_answer(&envelope, rules.len(), |out| {
        let mut data = ObjectWriter::new(out);
        json::write_array(data.key("alerts"), &kept, |out, alert| {
            out.extend_from_slice(alert);
        });
        data.end();
        Ok(())
    })
}

fn write_alerts_of<'a>(
    rule: &Rule<'a>,
    matchers: &Matchers,
    kept: &mut Vec<Cow<'a, [u8]>>,
) -> Result<(), Unreadable> {
    let own_alerts = admitted_alerts(rule, matchers);
    if own_alerts.is_empty() {
        return Ok(());
    }
    let annotations = json::labels(rule.members.annotations)?;
    let shared = if admits(matchers, &rule.labels) {
        None
    } else {
        Some(SharedRule::read(rule, &annotations, matchers)?)
    };
    for alert in own_alerts {
        kept.push(match &shared {
            Some(shared) => {
                let mut out = Vec::new();
                shared.write_alert(&mut out, alert)?;
                Cow::Owned(out)
            }
            None => as_it_came(alert.whole),
        });
    }
    Ok(())
}
