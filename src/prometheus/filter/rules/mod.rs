//! `/api/v1/rules`, and `/api/v1/alerts`, which is derived from it: an alert's texts can be judged
//! only next to the rule that made them, and rules contain their alerts.

mod alerts;
mod page;
mod shape;
mod shared;
mod template;

use std::borrow::Cow;

pub use self::alerts::alerts;
pub use self::page::RulesError;
use self::shape::{Alert, Answer, Group, Rule, RuleMembers};
use self::shared::SharedRule;
use super::super::errors::scrub_rule_error;
use super::super::json::{self, Envelope, Labels, Object, ObjectWriter, Raw, Text, Unreadable};
use super::super::params::GroupPage;
use super::{admits, write_answer};
use crate::tenancy::Matchers;

/// How rules are filtered.
#[derive(Clone, Default)]
pub struct RulesOptions {
    /// The caller wants rules without their alerts (`exclude_alerts`); they become `null`.
    pub exclude_alerts: bool,
    /// The upstream selected rules by their labels (`match[]`). A shared rule with a label that is
    /// hidden is left out; otherwise a caller could guess the label through the selection.
    pub by_labels: bool,
    /// The upstream selected groups by their files (`file[]`). A group of shared rules whose file
    /// is in a folder, which is hidden, is left out for the same reason.
    pub by_files: bool,
    /// Which of the groups that are left are shown; all if `None`.
    pub page: Option<GroupPage>,
}

/// Keeps the tenant's own rules, and those shared rules that have alerts of the tenant.
///
/// * An **own** rule is one whose labels satisfy every matcher. Alerts with another tenant's value
///   of a tenant label are removed from it, and so is an error that quotes series, since rules are
///   evaluated over all tenants'; the rest is unmodified.
/// * A **shared** rule is any other alerting rule, including one with a template for its tenant
///   label. It is kept with the alerts that satisfy every matcher, if there are any and its
///   expression may be shown ([`SharedExpression`](crate::promql::SharedExpression)); its state is
///   that of these alerts, and its error is removed. Its labels and annotations, which are
///   templates, and what Prometheus made of them for the tenant's alerts, become empty unless it is
///   certain that they contain nothing of another tenant; so does the value of an alert.
/// * Any other recording rule is removed: its series are not the tenant's.
///
/// Groups without any rules left are removed. The upstream is asked for all groups; a page is cut from
/// what is left, and `groupNextToken` is that of its end.
/// The file of a group without own rules is shown without its folder. Times and health are the
/// rule's, measured over all tenants.
pub fn rules(
    answer: &[u8],
    matchers: &Matchers,
    options: RulesOptions,
) -> Result<Vec<u8>, RulesError> {
    let object: Answer<'_> = json::read(answer, "it is not the JSON that rules are in")?;
    let envelope = Envelope::of(&object)?;
    let filter = Filter { matchers, options };
    let mut kept = Vec::new();
    for group in groups(&object)? {
        let rules = filter.rules_of(group)?;
        if !rules.is_empty() {
            kept.push((group, rules));
        }
    }
    let next = match &filter.options.page {
        Some(page) => page::cut(&mut kept, page)?,
        None => None,
    };
    let written = write_answer(&envelope, answer.len(), |out| {
        let mut data = ObjectWriter::new(out);
        let mut result = Ok(());
        json::write_array(data.key("groups"), kept, |out, (group, rules)| {
            if let Err(error) = write_group(out, group, &rules) {
                result = Err(error);
            }
        });
        if let Some(next) = &next {
            json::write_string(data.key("groupNextToken"), next);
        }
        data.end();
        result
    });
    Ok(written?)
}

fn groups<'r, 'a>(answer: &'r Answer<'a>) -> Result<&'r [Group<'a>], Unreadable> {
    let data = answer.nested().ok_or(Unreadable("it has no `data`"))?;
    let groups = data.nested().ok_or(Unreadable("it has no groups"))?;
    Ok(groups)
}

fn rules_in<'r, 'a>(group: &'r Group<'a>) -> Result<&'r [Rule<'a>], Unreadable> {
    let rules = group.rules.as_deref();
    rules.ok_or(Unreadable("a group has no rules"))
}

/// The alerts of the caller's.
fn admitted_alerts<'r, 'a>(rule: &'r Rule<'a>, matchers: &Matchers) -> Vec<&'r Alert<'a>> {
    let all = rule.alerts.iter();
    all.filter(|alert| admits(matchers, &alert.labels))
        .collect()
}

/// A rule that is kept.
struct Kept<'a> {
    is_own: bool,
    written: Cow<'a, [u8]>,
}

fn as_it_came(value: Raw<'_>) -> Cow<'_, [u8]> {
    Cow::Borrowed(value.get().as_bytes())
}

/// Writes the members of a group that both products show, in Prometheus' order.
fn write_group(out: &mut Vec<u8>, group: &Group<'_>, rules: &[Kept<'_>]) -> Result<(), Unreadable> {
    let mut writer = ObjectWriter::new(out);
    writer.same("name", group.name);
    if has_own(rules) || group.file.is_none() {
        writer.same("file", group.file);
    } else {
        json::write_string(writer.key("file"), name_of_file(&file_of(group)?));
    }
    json::write_array(writer.key("rules"), rules, |out, rule| {
        out.extend_from_slice(&rule.written);
    });
    writer.same("interval", group.interval);
    writer.same("limit", group.limit);
    writer.same("evaluationTime", group.evaluation_time);
    writer.same("lastEvaluation", group.last_evaluation);
    writer.same("partialResponseStrategy", group.partial_response_strategy);
    writer.end();
    Ok(())
}

/// Whether the group has a rule of the caller's own: then its file is shown in full.
fn has_own(rules: &[Kept<'_>]) -> bool {
    rules.iter().any(|rule| rule.is_own)
}

fn file_of<'a>(group: &Group<'a>) -> Result<Cow<'a, str>, Unreadable> {
    json::text(group.file, "a group has no file")
}

fn name_of_file(file: &str) -> &str {
    file.rsplit(['/', '\\']).next().unwrap_or_default()
}

struct Filter<'a> {
    matchers: &'a Matchers,
    options: RulesOptions,
}

impl Filter<'_> {
    /// The rules of a group that are kept, serialized.
    fn rules_of<'a>(&self, group: &Group<'a>) -> Result<Vec<Kept<'a>>, Unreadable> {
        let mut kept = Vec::new();
        for rule in rules_in(group)? {
            kept.extend(self.keep(rule)?);
        }
        if self.options.by_files && !kept.iter().any(|rule| rule.is_own) && !kept.is_empty() {
            let file = file_of(group)?;
            if name_of_file(&file) != file {
                kept.clear();
            }
        }
        Ok(kept)
    }

    fn keep<'a>(&self, rule: &Rule<'a>) -> Result<Option<Kept<'a>>, Unreadable> {
        let is_own = admits(self.matchers, &rule.labels);
        let written = match &*json::text(rule.members.kind, "a rule has no type")? {
            "recording" if is_own => Some(self.write_own(rule, None)?),
            "recording" => None,
            "alerting" if is_own => Some(self.write_own(rule, self.own_alerts(rule).as_deref())?),
            "alerting" => self.write_shared(rule)?.map(Cow::Owned),
            _ => return Err(Unreadable("a rule's type is not known")),
        };
        Ok(written.map(|written| Kept { is_own, written }))
    }

    /// An own rule's alerts without other tenants'; `None` if that is all of them.
    fn own_alerts<'r, 'a>(&self, rule: &'r Rule<'a>) -> Option<Vec<&'r Alert<'a>>> {
        let all = &rule.alerts;
        if !all.iter().any(|alert| self.is_foreign(&alert.labels)) {
            return None;
        }
        let own = all.iter().filter(|alert| !self.is_foreign(&alert.labels));
        Some(own.collect())
    }

    /// Whether a tenant label has a value that is not the caller's.
    fn is_foreign(&self, labels: &Labels<'_>) -> bool {
        let mut all = self.matchers.iter();
        all.any(|matcher| {
            let value = labels.get(matcher.label());
            value.is_some() && !matcher.admits(value)
        })
    }

    /// Writes an own rule, with these alerts unless they are all that it has. A rule of which
    /// nothing is left out is copied unmodified.
    fn write_own<'a>(
        &self,
        rule: &Rule<'a>,
        alerts: Option<&[&Alert<'_>]>,
    ) -> Result<Cow<'a, [u8]>, Unreadable> {
        if alerts.is_none() && !self.options.exclude_alerts && rule.members.last_error.is_none() {
            return Ok(as_it_came(rule.whole));
        }
        let state = match alerts {
            Some(alerts) => Some(state_of(alerts)?),
            None => None,
        };
        let mut out = Vec::new();
        let mut writer = ObjectWriter::new(&mut out);
        let all: Object<'_> = json::read_raw(rule.whole, "a rule is not an object")?;
        for (key, value) in all.iter() {
            match (key, alerts, state) {
                ("alerts", _, _) if self.options.exclude_alerts => {
                    writer.key(key).extend_from_slice(b"null");
                }
                ("alerts", Some(own), _) => {
                    json::write_array(writer.key(key), own, |out, alert| {
                        out.extend_from_slice(alert.whole.get().as_bytes());
                    });
                }
                ("state", _, Some(state)) => json::write_string(writer.key(key), state),
                ("lastError", _, _) => {
                    let text: Text<'_> = json::read_raw(value, "a rule's error is not a text")?;
                    json::write_string(writer.key(key), scrub_rule_error(&text.0));
                }
                _ => writer.raw(key, value),
            }
        }
        writer.end();
        Ok(Cow::Owned(out))
    }

    /// Writes a shared rule with the caller's alerts, if it may be shown: the members that both
    /// products show, in Prometheus' order.
    fn write_shared(&self, rule: &Rule<'_>) -> Result<Option<Vec<u8>>, Unreadable> {
        let alerts = admitted_alerts(rule, self.matchers);
        if alerts.is_empty() {
            return Ok(None);
        }
        let annotations = json::labels(rule.members.annotations)?;
        let shared = SharedRule::read(rule, &annotations, self.matchers)?;
        if !shared.shows_expression
            || (self.options.by_labels && !shared.shows_all_labels(&rule.labels))
        {
            return Ok(None);
        }
        let RuleMembers {
            state,
            name,
            query,
            duration,
            keep_firing_for,
            annotations: raw_annotations,
            health,
            last_error: _,
            evaluation_time,
            last_evaluation,
            kind,
        } = rule.members;
        let mut out = Vec::with_capacity(rule.whole.get().len());
        let mut writer = ObjectWriter::new(&mut out);
        if state.is_some() {
            json::write_string(writer.key("state"), state_of(&alerts)?);
        }
        writer.same("name", name);
        writer.same("query", query);
        writer.same("duration", duration);
        writer.same("keepFiringFor", keep_firing_for);
        shared.write_labels(writer.key("labels"), &rule.labels);
        if raw_annotations.is_some() {
            shared.write_annotations(writer.key("annotations"), &annotations);
        }
        if self.options.exclude_alerts {
            writer.key("alerts").extend_from_slice(b"null");
        } else {
            let mut result = Ok(());
            json::write_array(writer.key("alerts"), &alerts, |out, alert| {
                if let Err(error) = shared.write_alert(out, alert) {
                    result = Err(error);
                }
            });
            result?;
        }
        writer.same("health", health);
        writer.same("evaluationTime", evaluation_time);
        writer.same("lastEvaluation", last_evaluation);
        writer.same("type", kind);
        writer.end();
        Ok(Some(out))
    }
}

/// The state of a rule with only these alerts: the most severe one.
fn state_of(alerts: &[&Alert<'_>]) -> Result<&'static str, Unreadable> {
    const BY_RANK: [&str; 4] = ["unknown", "inactive", "pending", "firing"];
    let mut highest = "inactive";
    let rank = |state: &str| BY_RANK.iter().position(|known| *known == state);
    for alert in alerts {
        let state = json::text(alert.members.state, "an alert has no state")?;
        let known = BY_RANK.into_iter().find(|known| *known == state);
        let known = known.ok_or(Unreadable("an alert's state is not known"))?;
        if rank(known) > rank(highest) {
            highest = known;
        }
    }
    Ok(highest)
}

#[cfg(test)]
mod tests;
