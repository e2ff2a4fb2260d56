//! What a tenant may see of a rule that is evaluated over all tenants' series.

use super::shape::AlertMembers;
use super::template::Template;
use super::{Alert, Rule};
use crate::prometheus::json::{self, Labels, ObjectWriter, Unreadable};
use crate::promql::{self, ResultLabels, SharedExpression};
use crate::tenancy::Matchers;

/// The labels or annotations of a rule.
type Texts<'t> = Vec<Entry<'t>>;

/// One of them. The template is `None` if it is not understood.
struct Entry<'t> {
    name: &'t str,
    template: Option<Template<'t>>,
}

/// A shared rule; `'t` is the lifetime of its texts.
pub(super) struct SharedRule<'t> {
    matchers: &'t Matchers,
    labels: Texts<'t>,
    annotations: Texts<'t>,
    /// Whether the expression may be shown.
    pub(super) shows_expression: bool,
    shows_numbers: bool,
    labels_of_series: ResultLabels,
}

/// The label that every alert gets from its rule's name (`labels.AlertName`).
const ALERT_NAME: &str = "alertname";

impl<'t> SharedRule<'t> {
    /// Parses a rule's expression and templates.
    ///
    /// Numbers belong to one tenant only if the expression guarantees it, no template replaces the
    /// tenant labels, and the rule has been evaluated since it was loaded: before that, and when
    /// its evaluation fails, Prometheus shows the alerts of the rule that it replaced
    /// (`Group.CopyState`), and values of an earlier expression.
    pub(super) fn read(
        rule: &'t Rule<'_>,
        annotations: &'t Labels<'_>,
        matchers: &'t Matchers,
    ) -> Result<Self, Unreadable> {
        let query = json::text(rule.members.query, "a rule has no query")?;
        let SharedExpression {
            shows_text,
            shows_values,
            labels: labels_of_series,
        } = promql::analyze_shared(&query, matchers);
        let health = rule.members.health;
        let is_evaluated = match health {
            Some(_) => json::text(health, "a rule's health is not a text")? == "ok",
            None => false,
        };
        let labels = texts(&rule.labels);
        let keeps_tenant = labels.iter().all(|Entry { name, template }| {
            let is_same = |template: &Template<'_>| template.is_label(name);
            matchers.of_label(name).is_none() || template.as_ref().is_some_and(is_same)
        });
        Ok(Self {
            matchers,
            labels,
            annotations: texts(annotations),
            shows_expression: shows_text,
            shows_numbers: shows_values && keeps_tenant && is_evaluated,
            labels_of_series,
        })
    }

    /// Whether every template of its labels is shown.
    pub(super) fn shows_all_labels(&self, labels: &Labels<'_>) -> bool {
        let mut labels = labels.iter();
        labels.all(|(name, text)| self.shows_label(name, text))
    }

    /// Writes the rule's own labels. A fixed value of a tenant label is shown if it is the
    /// caller's.
    pub(super) fn write_labels(&self, out: &mut Vec<u8>, labels: &Labels<'_>) {
        write_texts(out, labels, |name, text| self.shows_label(name, text));
    }

    /// Writes the rule's own annotations, which are templates.
    pub(super) fn write_annotations(&self, out: &mut Vec<u8>, annotations: &Labels<'_>) {
        write_texts(out, annotations, |name, _| {
            has(&self.annotations, name, |_| true)
        });
    }

    fn shows_label(&self, name: &str, text: &str) -> bool {
        let is_understood = has(&self.labels, name, |_| true);
        let is_own = self
            .matchers
            .of_label(name)
            .is_none_or(|own| text.contains("{{") || own.admits(Some(text)));
        is_understood && is_own
    }

    /// Writes an alert of the caller's, with those of its texts that contain nothing but the
    /// template's words, labels of the caller's series, and numbers derived from these: the members
    /// that both products show, in Prometheus' order.
    pub(super) fn write_alert(
        &self,
        out: &mut Vec<u8>,
        alert: &Alert<'_>,
    ) -> Result<(), Unreadable> {
        let labels = &alert.labels;
        let of_series = |name: &str| labels.get(name).filter(|_| self.is_of_series(name));
        let makes = |template: &Template<'_>, text: &str| {
            template.makes(text, of_series, self.shows_numbers)
        };
        let AlertMembers {
            annotations,
            state,
            active_at,
            keep_firing_since,
            value,
            partial_response_strategy,
        } = alert.members;
        let mut writer = ObjectWriter::new(out);
        write_texts(writer.key("labels"), labels, |name, text| {
            if name == ALERT_NAME || self.matchers.of_label(name).is_some() {
                return true;
            }
            match find(&self.labels, name) {
                Some(_) => has(&self.labels, name, |template| makes(template, text)),
                None => self.is_of_series(name),
            }
        });
        if annotations.is_some() {
            let annotations = json::labels(annotations)?;
            write_texts(writer.key("annotations"), &annotations, |name, text| {
                has(&self.annotations, name, |template| makes(template, text))
            });
        }
        writer.same("state", state);
        writer.same("activeAt", active_at);
        writer.same("keepFiringSince", keep_firing_since);
        if self.shows_numbers {
            writer.same("value", value);
        } else if value.is_some() {
            json::write_string(writer.key("value"), "");
        }
        writer.same("partialResponseStrategy", partial_response_strategy);
        writer.end();
        Ok(())
    }

    /// Whether an alert has this label from the caller's own series. A label that an understood
    /// template of the rule writes counts too: its value is checked.
    fn is_of_series(&self, name: &str) -> bool {
        let is_written = match &self.labels_of_series {
            ResultLabels::OwnSeries => false,
            ResultLabels::OwnSeriesExcept(written) => written.iter().any(|label| label == name),
            ResultLabels::NotKnown => self.matchers.of_label(name).is_none(),
        };
        !is_written && find(&self.labels, name).is_none_or(|entry| entry.template.is_some())
    }
}

fn texts<'t>(labels: &'t Labels<'_>) -> Texts<'t> {
    let read = |(name, text)| Entry {
        name,
        template: Template::read(text),
    };
    labels.iter().map(read).collect()
}

fn find<'a, 't>(texts: &'a Texts<'t>, name: &str) -> Option<&'a Entry<'t>> {
    texts.iter().find(|entry| entry.name == name)
}

/// Whether the rule has an understood template of this name that satisfies `test`.
fn has(texts: &Texts<'_>, name: &str, test: impl Fn(&Template<'_>) -> bool) -> bool {
    find(texts, name)
        .and_then(|entry| entry.template.as_ref())
        .is_some_and(test)
}

/// Writes labels or annotations; a text that is hidden becomes empty.
fn write_texts(out: &mut Vec<u8>, all: &Labels<'_>, shows: impl Fn(&str, &str) -> bool) {
    let mut writer = ObjectWriter::new(out);
    for (name, text) in all.iter() {
        let kept = if shows(name, text) { text } else { "" };
        json::write_string(writer.key(name), kept);
    }
    writer.end();
}
