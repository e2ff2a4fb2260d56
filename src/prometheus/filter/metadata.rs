//! `/api/v1/metadata`: types and help texts by metric, without any label that names a tenant.
//!
//! The answer of a private store is made of what the tenant's own targets say, which Prometheus
//! gives elsewhere. Metrics of no such target (Thanos does not know the targets' metadata; a shared
//! exporter has series of several tenants) are listed if the tenant has series of them, without the
//! texts that another tenant's target may have written.

use std::borrow::Cow;
use std::collections::HashSet;

use super::super::json::{self, Envelope, Object, ObjectWriter, Raw, Text, Unreadable};
use super::super::params::MetadataLimits;
use super::targets_metadata::{Entry, OwnMetadata};
use super::write_answer;

/// The most metric names of one tenant; they are in memory while metadata is filtered.
pub const MAX_METRIC_NAMES: usize = 1_000_000;

/// The names of a tenant's series.
#[derive(Debug)]
pub struct MetricNames<'a>(HashSet<Cow<'a, str>>);

impl<'a> MetricNames<'a> {
    /// Parses the upstream's response to `/api/v1/label/__name__/values`, requested with the
    /// tenant's matchers.
    pub fn from_label_values(answer: &'a [u8]) -> Result<Self, Unreadable> {
        let envelope = Envelope::read(answer)?;
        let names: Vec<Text<'a>> = envelope.data("its label values are not a list of texts")?;
        if names.len() > MAX_METRIC_NAMES {
            return Err(Unreadable("it has too many metric names"));
        }
        Ok(Self(names.into_iter().map(|name| name.0).collect()))
    }

    fn has(&self, family: &str, suffix: &str) -> bool {
        if suffix.is_empty() {
            self.0.contains(family)
        } else {
            self.0.contains(&*format!("{family}{suffix}"))
        }
    }

    /// Whether one of the series belongs to this family, if the family has this type.
    fn has_family(&self, family: &str, kind: &str) -> bool {
        series_suffixes(kind)
            .iter()
            .any(|suffix| self.has(family, suffix))
    }
}

/// The suffixes of a family's series: `OpenMetrics` 1.0 §5, and the text format, where counters and
/// infos are families of their full name and a native histogram is one series.
fn series_suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" => &["", "_total", "_created"],
        "histogram" => &["", "_bucket", "_count", "_sum", "_created"],
        "gaugehistogram" => &["", "_bucket", "_gcount", "_gsum", "_count", "_sum"],
        "summary" => &["", "_count", "_sum", "_created"],
        "info" => &["", "_info"],
        _ => &[""],
    }
}

/// Writes the metadata of the tenant's own targets, and the types of the other metrics that it has
/// series of. The upstream sorts metrics by name, and so does this.
pub fn metadata<'a>(
    answer: &'a [u8],
    names: &MetricNames<'_>,
    own: OwnMetadata<'a>,
    limits: MetadataLimits,
) -> Result<Vec<u8>, Unreadable> {
    let envelope = Envelope::read(answer)?;
    let data: Option<Object<'a>> = envelope.data("its metadata is not an object")?;
    let mut families = own.into_families();
    for (family, entries) in data.iter().flat_map(Object::iter) {
        let kind = kind_of_series(family, entries, names)?;
        if let Some(kind) = kind.filter(|_| !families.contains_key(family)) {
            let entry = Entry::of_kind(kind);
            families.insert(Cow::Owned(family.to_owned()), [entry].into());
        }
    }
    write_answer(&envelope, answer.len(), |out| {
        let mut writer = ObjectWriter::new(out);
        let most = limits.per_metric.map_or(usize::MAX, Into::into);
        for (family, entries) in families.iter().take(limits.metrics.unwrap_or(usize::MAX)) {
            let entries = entries.iter().take(most);
            json::write_array(writer.key(family), entries, |out, entry| entry.write(out));
        }
        writer.end();
        Ok(())
    })
}

/// The type of a family, if the tenant has series that fit it. Where several types fit, some are
/// other tenants', and it is unknown which.
fn kind_of_series(
    family: &str,
    entries: Raw<'_>,
    names: &MetricNames<'_>,
) -> Result<Option<&'static str>, Unreadable> {
    let entries: Vec<Object<'_>> = json::read_raw(entries, "metadata are not a list")?;
    let mut found = None;
    for entry in &entries {
        let kind = known_kind(&Entry::read(entry)?.kind);
        if names.has_family(family, kind) {
            found = Some(match found {
                None => kind,
                Some(earlier) if earlier == kind => kind,
                Some(_) => UNKNOWN,
            });
        }
    }
    Ok(found)
}

const UNKNOWN: &str = "unknown";

/// The types of `model.MetricType`; others could be texts of other tenants.
fn known_kind(kind: &str) -> &'static str {
    const KINDS: [&str; 7] = [
        "counter",
        "gauge",
        "histogram",
        "gaugehistogram",
        "summary",
        "info",
        "stateset",
    ];
    let known = KINDS.into_iter().find(|known| *known == kind);
    known.unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{acme, text};
    use super::*;

    const RECORDED: &[u8] = include_bytes!("../../../tests/fixtures/prometheus/metadata-2.42.json");
    const NO_LIMITS: MetadataLimits = MetadataLimits {
        metrics: None,
        per_metric: None,
    };

    fn values(names: &[&str]) -> Vec<u8> {
        serde_json::json!({"status": "success", "data": names})
            .to_string()
            .into_bytes()
    }

    /// With targets' metadata as in `/api/v1/targets/metadata`: tenant, metric, type, help.
    fn filtered(
        answer: &str,
        names: &[&str],
        targets: &[(&str, &str, &str, &str)],
        limits: MetadataLimits,
    ) -> Result<String, Unreadable> {
        let data: Vec<_> = targets
            .iter()
            .map(|(tenant, metric, kind, help)| {
                serde_json::json!({"target": {"tenant_id": tenant}, "metric": metric, "type": kind,
                                   "help": help, "unit": ""})
            })
            .collect();
        let targets = serde_json::json!({"status": "success", "data": data}).to_string();
        let own = OwnMetadata::from_targets(targets.as_bytes(), &acme(), None)?;
        let values = values(names);
        let names = MetricNames::from_label_values(&values).unwrap();
        metadata(answer.as_bytes(), &names, own, limits).map(text)
    }

    fn of_series(names: &[&str]) -> String {
        let recorded = std::str::from_utf8(RECORDED).unwrap();
        filtered(recorded, names, &[], NO_LIMITS).unwrap()
    }

    fn answer(data: &str) -> String {
        format!(r#"{{"status":"success","data":{data}}}"#)
    }

    fn families(answer: &str) -> Vec<String> {
        let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
        let data = answer["data"].as_object().unwrap();
        data.keys().cloned().collect()
    }

    #[test]
    fn recorded_response_keeps_types_of_families_of_own_series() {
        let own = [
            "go_gc_duration_seconds_sum",
            "prometheus_http_request_duration_seconds_bucket",
        ];
        assert_eq!(
            of_series(&own),
            answer(
                r#"{"go_gc_duration_seconds":[{"type":"summary","help":"","unit":""}],"prometheus_http_request_duration_seconds":[{"type":"histogram","help":"","unit":""}]}"#
            )
        );
        // A gauge has no such series, and a name does not match a longer one.
        assert!(families(&of_series(&["go_goroutines_total", "go_gc"])).is_empty());
    }

    #[test]
    fn each_type_has_its_series_suffixes() {
        for (kind, suffix, own) in [
            ("counter", "_total", true),
            ("counter", "_bucket", false),
            ("gauge", "", true),
            ("gauge", "_total", false),
            ("histogram", "", true),
            ("histogram", "_count", true),
            ("gaugehistogram", "_gsum", true),
            ("summary", "_sum", true),
            ("summary", "_bucket", false),
            ("info", "_info", true),
            ("stateset", "", true),
            ("unknown", "_info", false),
            ("untyped", "", true),
        ] {
            let given = answer(&format!(
                r#"{{"a":[{{"type":"{kind}","help":"h","unit":""}}]}}"#
            ));
            let name = format!("a{suffix}");
            let out = filtered(&given, &[&name], &[], NO_LIMITS).unwrap();
            assert_eq!(out.contains("\"a\":"), own, "{kind} {suffix}");
        }
    }

    #[test]
    fn texts_come_from_own_targets_alone() {
        let merged = answer(
            r#"{"a":[{"type":"gauge","help":"of globex","unit":"s"},{"type":"gauge","help":"of acme","unit":""}],"b":[{"type":"counter","help":"of globex","unit":"s"}],"c":[{"type":"gauge","help":"of globex","unit":""}]}"#,
        );
        let targets = [
            ("globex", "a", "gauge", "of globex"),
            ("acme", "a", "gauge", "of acme"),
            ("acme", "a", "gauge", "of acme"),
            ("acme", "a", "counter", "of acme, too"),
            ("globex", "b", "counter", "of globex"),
            // Its series were dropped: a private store lists it as well.
            ("acme", "z", "gauge", "of acme"),
        ];
        assert_eq!(
            filtered(&merged, &["a", "b"], &targets, NO_LIMITS).unwrap(),
            answer(
                r#"{"a":[{"type":"counter","help":"of acme, too","unit":""},{"type":"gauge","help":"of acme","unit":""}],"b":[{"type":"counter","help":"","unit":""}],"z":[{"type":"gauge","help":"of acme","unit":""}]}"#
            )
        );
    }

    #[test]
    fn types_without_own_target_are_those_that_fit_own_series() {
        let kind = |entries: &str, name: &str| {
            let given = answer(&format!(r#"{{"a":[{entries}]}}"#));
            filtered(&given, &[name], &[], NO_LIMITS).unwrap()
        };
        let of = |kind: &str| {
            answer(&format!(
                r#"{{"a":[{{"type":"{kind}","help":"","unit":""}}]}}"#
            ))
        };
        assert_eq!(
            kind(
                r#"{"type":"gauge","help":"g"},{"type":"counter","help":"c"}"#,
                "a"
            ),
            of("unknown")
        );
        assert_eq!(
            kind(
                r#"{"type":"gauge","help":"g"},{"type":"counter","help":"c"}"#,
                "a_total"
            ),
            of("counter")
        );
        assert_eq!(kind(r#"{"type":"of globex"}"#, "a"), of("unknown"));
    }

    #[test]
    fn limits_count_what_the_tenant_sees() {
        let merged =
            answer(r#"{"a":[{"type":"gauge"}],"b":[{"type":"gauge"}],"c":[{"type":"gauge"}]}"#);
        let targets = [
            ("acme", "c", "gauge", "1"),
            ("acme", "c", "gauge", "2"),
            ("acme", "c", "gauge", "3"),
        ];
        let limited = |metrics: Option<usize>, per_metric: usize| {
            let limits = MetadataLimits {
                metrics,
                per_metric: per_metric.try_into().ok(),
            };
            let out = filtered(&merged, &["b"], &targets, limits).unwrap();
            let value: serde_json::Value = serde_json::from_str(&out).unwrap();
            let entries = value["data"]["c"].as_array().map_or(0, Vec::len);
            (families(&out), entries)
        };
        let named = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(limited(None, 0), (named(&["b", "c"]), 3));
        assert_eq!(limited(Some(9), 2), (named(&["b", "c"]), 2));
        assert_eq!(limited(Some(1), 2), (named(&["b"]), 0));
        assert_eq!(limited(Some(0), 2), (named(&[]), 0));
    }

    #[test]
    fn unknown_format_is_refused() {
        for given in [
            r#"{"status":"success"}"#,
            r#"{"status":"success","data":[]}"#,
            r#"{"status":"success","data":{"a":{}}}"#,
            r#"{"status":"success","data":{"a":[{"type":1}]}}"#,
            r#"{"status":"success","data":{"a":[],"a":[]}}"#,
            r#"{"status":"success","data":{"a":[{"type":"gauge","type":"counter"}]}}"#,
        ] {
            let refused = filtered(given, &["a"], &[], NO_LIMITS);
            assert!(refused.is_err(), "{given}");
        }
        let null = answer("null");
        assert_eq!(
            filtered(&null, &["a"], &[], NO_LIMITS).unwrap(),
            answer("{}")
        );
        for values in [
            r#"{"status":"success","data":[1]}"#,
            r#"{"status":"error","data":[]}"#,
            "",
        ] {
            assert!(MetricNames::from_label_values(values.as_bytes()).is_err());
        }
    }
}
