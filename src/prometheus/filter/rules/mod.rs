//! `/api/v1/rules`.

use std::borrow::Cow;

use super::super::errors::scrub_rule_error;
use super::super::json::{
    self, Envelope, Labels, Nested, Nesting, Object, ObjectWriter, Text, Unreadable,
};
use super::{admits, write_answer};
use crate::tenancy::Matchers;

/// How rules are filtered.
#[derive(Clone, Copy)]
pub struct RulesOptions<'a> {
    /// The caller wants rules without their alerts (`exclude_alerts`), which then are `null`.
    pub exclude_alerts: bool,
    /// Whether a rule's expression names a tenant that is not the caller's.
    pub mentions_foreign: &'a dyn Fn(&str) -> bool,
}

/// Keeps the tenant's own rules, and of the rules that are shared those with alerts of the tenant.
///
/// * **Own** is a rule whose labels satisfy every matcher. It stays as it came, but for alerts
///   that carry a foreign value of a tenant label, and for an error that quotes series: rules are
///   evaluated over all tenants'.
/// * **Shared** is any other alerting rule, one with a template for its tenant label among them.
///   It stays with the alerts that satisfy every matcher, if there are any and its expression
///   names no foreign tenant; its state is that of these alerts, and its error goes. Its
///   annotations are the templates that are filled in for every owner of an alert, so they stay,
///   but for those that use a tenant label together with a literal (`{{ if eq $labels.tenant_id
///   "b" }}`, `{{ query "up{tenant_id='b'}" }}`): these become empty.
/// * Any other recording rule goes: its series are not the tenant's.
///
/// Groups with nothing left go, and so does `groupNextToken`: the answer is whole. Times and
/// health are the rule's, measured over all tenants.
pub fn rules(
    answer: &[u8],
    matchers: &Matchers,
    options: RulesOptions<'_>,
) -> Result<Vec<u8>, Unreadable> {
    let object: Answer<'_> = json::read(answer, "it is not the JSON that rules are in")?;
    let envelope = Envelope::of(&object)?;
    let data = object.nested().ok_or(Unreadable("it has no `data`"))?;
    let groups = data.nested().ok_or(Unreadable("it has no groups"))?;
    let filter = Filter { matchers, options };
    let mut kept = Vec::new();
    for group in groups {
        let rules = filter.rules_of(group)?;
        if !rules.is_empty() {
            kept.push((group, rules));
        }
    }
    write_answer(&envelope, answer.len(), |out| {
        let mut data = ObjectWriter::new(out);
        json::write_array(data.key("groups"), kept, |out, (group, rules)| {
            write_group(out, group, &rules);
        });
        data.end();
        Ok(())
    })
}

type Answer<'a> = Object<'a, Nested<'a, Data>>;
type Group<'a> = Object<'a, Nested<'a, Rules>>;
type Rule<'a> = Object<'a, Nested<'a, Alerts>>;

enum Data {}
enum Groups {}
enum Rules {}
enum Alerts {}

impl<'a> Nesting<'a> for Data {
    const KEY: &'static str = "data";
    type Value = Object<'a, Nested<'a, Groups>>;
}

impl<'a> Nesting<'a> for Groups {
    const KEY: &'static str = "groups";
    type Value = Vec<Group<'a>>;
}

impl<'a> Nesting<'a> for Rules {
    const KEY: &'static str = "rules";
    type Value = Vec<Rule<'a>>;
}

impl<'a> Nesting<'a> for Alerts {
    const KEY: &'static str = "alerts";
    type Value = Option<Vec<Object<'a>>>;
}

/// What a group may show of itself, in both products; `rules` are written anew.
const GROUP_KEYS: [&str; 8] = [
    "name",
    "file",
    "rules",
    "interval",
    "limit",
    "evaluationTime",
    "lastEvaluation",
    "partialResponseStrategy",
];

/// What a shared rule may show of itself, in both products.
const SHARED_RULE_KEYS: [&str; 12] = [
    "state",
    "name",
    "query",
    "duration",
    "keepFiringFor",
    "labels",
    "annotations",
    "alerts",
    "health",
    "evaluationTime",
    "lastEvaluation",
    "type",
];

fn write_group(out: &mut Vec<u8>, group: &Group<'_>, rules: &[Vec<u8>]) {
    let mut writer = ObjectWriter::new(out);
    for (key, value) in group.members().filter(|(key, _)| GROUP_KEYS.contains(key)) {
        match value {
            Nested::Read(_) => json::write_array(writer.key(key), rules, |out, rule| {
                out.extend_from_slice(rule);
            }),
            Nested::Raw(value) => writer.raw(key, value),
        }
    }
    writer.end();
}

struct Filter<'a> {
    matchers: &'a Matchers,
    options: RulesOptions<'a>,
}

/// What of a kept rule is not as it came.
#[derive(Default)]
struct Changes<'r, 'a> {
    shared: bool,
    state: Option<&'static str>,
    alerts: Option<Vec<&'r Object<'a>>>,
}

impl Filter<'_> {
    /// The rules of a group that are kept, written.
    fn rules_of(&self, group: &Group<'_>) -> Result<Vec<Vec<u8>>, Unreadable> {
        let rules = group.nested().ok_or(Unreadable("a group has no rules"))?;
        let mut kept = Vec::new();
        for rule in rules {
            if let Some(changes) = self.keep(rule)? {
                kept.push(self.write(rule, &changes)?);
            }
        }
        Ok(kept)
    }

    fn keep<'r, 'a>(&self, rule: &'r Rule<'a>) -> Result<Option<Changes<'r, 'a>>, Unreadable> {
        let own = admits(self.matchers, &rule.labels("labels")?);
        match &*rule.text("type", "a rule has no type")? {
            "recording" => Ok(own.then(Changes::default)),
            "alerting" => self.keep_alerting(rule, own),
            _ => Err(Unreadable("a rule's type is not known")),
        }
    }

    fn keep_alerting<'r, 'a>(
        &self,
        rule: &'r Rule<'a>,
        own: bool,
    ) -> Result<Option<Changes<'r, 'a>>, Unreadable> {
        let all = rule.nested().and_then(Option::as_deref).unwrap_or_default();
        let mut kept = Vec::new();
        for alert in all {
            let labels = alert.labels("labels")?;
            if admits(self.matchers, &labels) || (own && !self.is_foreign(&labels)) {
                kept.push(alert);
            }
        }
        if !own {
            let query = rule.text("query", "a rule has no query")?;
            if kept.is_empty() || (self.options.mentions_foreign)(&query) {
                return Ok(None);
            }
        }
        let as_it_came = own && kept.len() == all.len();
        Ok(Some(Changes {
            shared: !own,
            state: if as_it_came {
                None
            } else {
                Some(state_of(&kept)?)
            },
            alerts: if as_it_came { None } else { Some(kept) },
        }))
    }

    /// Whether a tenant label is there with a value that is not the caller's.
    fn is_foreign(&self, labels: &Labels<'_>) -> bool {
        let mut all = self.matchers.iter();
        all.any(|matcher| {
            let value = labels.get(matcher.label());
            value.is_some() && !matcher.admits(value)
        })
    }

    fn write(&self, rule: &Rule<'_>, changes: &Changes<'_, '_>) -> Result<Vec<u8>, Unreadable> {
        let mut out = Vec::new();
        let mut writer = ObjectWriter::new(&mut out);
        for (key, value) in rule.members() {
            if changes.shared && !SHARED_RULE_KEYS.contains(&key) {
                continue;
            }
            let value = match value {
                Nested::Read(all) => {
                    self.write_alerts(writer.key(key), all.as_deref(), changes);
                    continue;
                }
                Nested::Raw(value) => value,
            };
            match key {
                "state" if let Some(state) = changes.state => {
                    json::write_string(writer.key(key), state);
                }
                "lastError" => {
                    let text: Text<'_> = json::read_raw(value, "a rule's error is not a text")?;
                    json::write_string(writer.key(key), scrub_rule_error(&text.0));
                }
                "annotations" if changes.shared => {
                    let annotations = json::read_raw(value, "annotations are not an object")?;
                    self.write_annotations(writer.key(key), &annotations)?;
                }
                _ => writer.raw(key, value),
            }
        }
        writer.end();
        Ok(out)
    }

    fn write_alerts(
        &self,
        out: &mut Vec<u8>,
        all: Option<&[Object<'_>]>,
        changes: &Changes<'_, '_>,
    ) {
        match (&changes.alerts, all) {
            _ if self.options.exclude_alerts => out.extend_from_slice(b"null"),
            (Some(kept), _) => {
                json::write_array(out, kept, |out, alert| json::write_object(out, alert));
            }
            (None, Some(all)) => json::write_array(out, all, json::write_object),
            (None, None) => out.extend_from_slice(b"null"),
        }
    }

    fn write_annotations(
        &self,
        out: &mut Vec<u8>,
        annotations: &Object<'_>,
    ) -> Result<(), Unreadable> {
        let mut writer = ObjectWriter::new(out);
        for (key, value) in annotations.iter() {
            let text: Text<'_> = json::read_raw(value, "an annotation is not a text")?;
            if self.uses_tenant_with_literal(&text.0) {
                json::write_string(writer.key(key), "");
            } else {
                writer.raw(key, value);
            }
        }
        writer.end();
        Ok(())
    }

    /// Whether an action of a template holds a tenant label and a quote.
    fn uses_tenant_with_literal(&self, template: &str) -> bool {
        template.split("{{").skip(1).any(|action| {
            action.contains(['"', '\'', '`'])
                && self
                    .matchers
                    .iter()
                    .any(|matcher| action.contains(matcher.label()))
        })
    }
}

/// The state of a rule with just these alerts: that of the one that is furthest.
fn state_of(alerts: &[&Object<'_>]) -> Result<&'static str, Unreadable> {
    const BY_RANK: [&str; 4] = ["unknown", "inactive", "pending", "firing"];
    let mut highest = "inactive";
    let rank = |state: &str| BY_RANK.iter().position(|known| *known == state);
    for alert in alerts {
        let state: Cow<'_, str> = alert.text("state", "an alert has no state")?;
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
