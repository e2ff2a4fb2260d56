//! How stores name a dimension: `metrics.label` and `traces.attribute`.

use std::sync::Arc;

use super::rules::Dimension;
use crate::config::reader::{Field, Read, Reader, Section};
use crate::config::sections::upstreams::Api;
use crate::config::values::{flag, is_name, text};
use crate::config::warning::WarningCode;

/// How stores name a dimension, and the position of that in the config.
pub(super) struct Names<'n> {
    pub(super) metrics_label: Option<(Field<'n>, Arc<str>)>,
    pub(super) traces_attribute: Option<(Field<'n>, Arc<str>)>,
    pub(super) traces_org_id: bool,
}

impl Names<'_> {
    pub(super) fn into_values(self) -> (Option<Arc<str>>, Option<Arc<str>>) {
        (
            self.metrics_label.map(|(_, label)| label),
            self.traces_attribute.map(|(_, attribute)| attribute),
        )
    }
}

/// `metrics: { label }` and `traces: { attribute }`; for the tenants themselves also `traces: {
/// org_id: true }`.
pub(super) fn names<'n>(
    r: &mut Reader<'_>,
    section: &mut Section<'n>,
    dimension: Dimension,
) -> Read<Names<'n>> {
    let metrics = section.optional(r, "metrics", |r, field| {
        let mut metrics = r.section(field)?;
        let label = metrics.required(r, "label", label);
        metrics.finish(r)?;
        label
    });
    let traces = section.optional(r, "traces", |r, field| {
        let mut traces = r.section(field)?;
        let org_id = match dimension {
            Dimension::Tenants => traces.optional(r, "org_id", flag),
            Dimension::Further | Dimension::Clusters => Ok(None),
        };
        let attribute = match &org_id {
            Ok(Some(())) => traces.optional(r, "attribute", attribute),
            _ => traces.required(r, "attribute", attribute).map(Some),
        };
        traces.finish(r)?;
        match (org_id?.is_some(), attribute?) {
            (true, Some(_)) => Err(r.error(field, "give one of `attribute` and `org_id`")),
            (org_id, attribute) => Ok((attribute, org_id)),
        }
    });
    let (traces_attribute, traces_org_id) = traces?.unwrap_or((None, false));
    Ok(Names {
        metrics_label: metrics?,
        traces_attribute,
        traces_org_id,
    })
}

pub(super) fn label<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<(Field<'n>, Arc<str>)> {
    let label = text(r, field)?;
    if !is_name(&label) {
        return Err(r.error(
            field,
            "must be a label name: letters, digits and _, no digit first",
        ));
    }
    let why = match &*label {
        "__name__" => "__name__ is the metric's name and tells no tenants apart",
        _ if label.starts_with("__") => {
            "labels that begin with __ are Prometheus' own: series have none when they are stored"
        }
        "le" | "quantile" => {
            "tells the parts of a histogram or summary apart, and functions of PromQL drop and set \
             it: choose another label"
        }
        "alertname" | "alertstate" => {
            "is set by alerting rules, to the alert's name and state: choose another label"
        }
        "job" | "instance" => {
            let message = "Prometheus sets this label by its scrape config, or, with honor_labels, \
                           each target does: a tenant whose targets name another one writes into \
                           that one's series. Let ingestion set a label of its own";
            r.warn(field, WarningCode::ScrapeLabel, message);
            return Ok((field.clone(), label.into()));
        }
        _ => return Ok((field.clone(), label.into())),
    };
    Err(r.error(field, why))
}

/// `resource.tenant_id`: tenants are identified by the resource, never by a single span.
pub(super) fn attribute<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<(Field<'n>, Arc<str>)> {
    let attribute = text(r, field)?;
    let Some(name) = attribute.strip_prefix("resource.") else {
        return Err(r.error(
            field,
            "must be an attribute of the resource: resource.tenant_id",
        ));
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        || !name.chars().all(allowed)
    {
        let message = "the attribute's name must be letters, digits, `_`, `.` and `-`, with a \
                       letter or `_` first";
        return Err(r.error(field, message));
    }
    Ok((field.clone(), name.into()))
}

/// Requires a label or attribute for the API of every upstream.
pub(super) fn complete(
    r: &mut Reader<'_>,
    section: &Section<'_>,
    names: &Read<Names<'_>>,
    apis: &[Api],
) -> Read<()> {
    let Ok(names) = names else { return Ok(()) };
    let mut result = Ok(());
    let needs_label = |api: &Api| matches!(api, Api::Prometheus | Api::Alertmanager);
    if names.metrics_label.is_none() && apis.iter().any(needs_label) {
        result = Err(section.missing(r, "metrics.label"));
    }
    let tells_traces_apart = names.traces_attribute.is_some() || names.traces_org_id;
    if !tells_traces_apart && apis.contains(&Api::Tempo) {
        result = Err(section.missing(r, "traces.attribute"));
    }
    result
}

/// Two dimensions on one label would contradict each other.
pub(super) fn distinct<'i, 'n: 'i>(
    r: &mut Reader<'_>,
    all: impl Iterator<Item = &'i Names<'n>> + Clone,
) -> Read<()> {
    let labels = r.distinct(
        "each dimension needs its own label",
        all.clone().filter_map(|names| names.metrics_label.clone()),
    );
    let attributes = r.distinct(
        "each dimension needs its own attribute",
        all.filter_map(|names| names.traces_attribute.clone()),
    );
    labels.and(attributes)
}
