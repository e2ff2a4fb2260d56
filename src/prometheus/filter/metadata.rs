//! `/api/v1/metadata`: types and help texts by metric, without any label that names a tenant. A
//! tenant gets those of the metrics that it has series of.

use std::borrow::Cow;
use std::collections::HashSet;

use super::super::json::{self, Envelope, Object, ObjectWriter, Raw, Text, Unreadable};
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

/// Keeps the metrics that the tenant has series of, at most `limit`.
///
/// Entries whose type does not fit the tenant's series are removed. If several remain, some are
/// other tenants', and it is unknown which: they are merged into one, with what they agree on. A
/// single entry of a name that another tenant uses too may be that tenant's.
pub fn metadata(
    answer: &[u8],
    names: &MetricNames<'_>,
    limit: Option<usize>,
) -> Result<Vec<u8>, Unreadable> {
    let envelope = Envelope::read(answer)?;
    let data: Option<Object<'_>> = envelope.data("its metadata is not an object")?;
    write_answer(&envelope, answer.len(), |out| {
        let Some(data) = &data else {
            out.extend_from_slice(b"null");
            return Ok(());
        };
        let mut writer = ObjectWriter::new(out);
        let mut left = limit.unwrap_or(usize::MAX);
        for (family, entries) in data.iter() {
            if left == 0 {
                break;
            }
            if let Some(entry) = own_entry(family, entries, names)? {
                left -= 1;
                json::write_array(writer.key(family), [entry], |out, entry| entry.write(out));
            }
        }
        writer.end();
        Ok(())
    })
}

fn own_entry<'a>(
    family: &str,
    entries: Raw<'a>,
    names: &MetricNames<'_>,
) -> Result<Option<Entry<'a>>, Unreadable> {
    let entries: Vec<Object<'a>> = json::read_raw(entries, "metadata are not a list")?;
    let mut merged: Option<Entry<'a>> = None;
    for entry in &entries {
        let entry = Entry::read(entry)?;
        if names.has_family(family, &entry.kind) {
            merged = Some(match merged {
                None => entry,
                Some(merged) => merged.merge(&entry),
            });
        }
    }
    Ok(merged)
}

/// `metadata.Metadata` in Prometheus, `metadatapb.Meta` in Thanos. A missing key is empty:
/// Prometheus before 2.15 had no unit.
struct Entry<'a> {
    kind: Cow<'a, str>,
    help: Cow<'a, str>,
    unit: Cow<'a, str>,
}

impl<'a> Entry<'a> {
    fn read(entry: &Object<'a>) -> Result<Self, Unreadable> {
        let text = |key| match entry.get(key) {
            Some(_) => entry.text(key, "metadata is not a text"),
            None => Ok(Cow::Borrowed("")),
        };
        Ok(Self {
            kind: text("type")?,
            help: text("help")?,
            unit: text("unit")?,
        })
    }

    /// What both agree on.
    fn merge(self, other: &Self) -> Self {
        let agreed = |mine: Cow<'a, str>, other: &str, else_: &'static str| {
            if mine == other {
                mine
            } else {
                Cow::Borrowed(else_)
            }
        };
        Self {
            kind: agreed(self.kind, &other.kind, "unknown"),
            help: agreed(self.help, &other.help, ""),
            unit: agreed(self.unit, &other.unit, ""),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut writer = ObjectWriter::new(out);
        json::write_string(writer.key("type"), &self.kind);
        json::write_string(writer.key("help"), &self.help);
        json::write_string(writer.key("unit"), &self.unit);
        writer.end();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::text;
    use super::*;

    const RECORDED: &[u8] = include_bytes!("../../../tests/fixtures/prometheus/metadata-2.42.json");

    fn values(names: &[&str]) -> Vec<u8> {
        serde_json::json!({"status": "success", "data": names})
            .to_string()
            .into_bytes()
    }

    fn filtered(answer: &[u8], names: &[&str], limit: Option<usize>) -> Result<String, Unreadable> {
        let values = values(names);
        let names = MetricNames::from_label_values(&values).unwrap();
        metadata(answer, &names, limit).map(text)
    }

    fn families(answer: &str) -> Vec<String> {
        let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
        answer["data"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    }

    #[test]
    fn recorded_response_keeps_families_of_own_series() {
        let own = [
            "go_gc_duration_seconds_sum",
            "prometheus_http_request_duration_seconds_bucket",
        ];
        assert_eq!(
            families(&filtered(RECORDED, &own, None).unwrap()),
            [
                "go_gc_duration_seconds",
                "prometheus_http_request_duration_seconds"
            ]
        );
        // A gauge has no such series, and a name does not match a longer one.
        assert!(
            families(&filtered(RECORDED, &["go_goroutines_total", "go_gc"], None).unwrap())
                .is_empty()
        );
        let all = [
            "go_goroutines",
            "go_gc_duration_seconds",
            "prometheus_build_info",
            "prometheus_http_request_duration_seconds",
            "promhttp_metric_handler_requests_total",
        ];
        assert_eq!(filtered(RECORDED, &all, None).unwrap().as_bytes(), RECORDED);
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
            let answer = format!(
                r#"{{"status":"success","data":{{"a":[{{"type":"{kind}","help":"h","unit":""}}]}}}}"#
            );
            let out = filtered(answer.as_bytes(), &[&format!("a{suffix}")], None).unwrap();
            assert_eq!(out.contains("\"a\":"), own, "{kind} {suffix}");
        }
    }

    #[test]
    fn conflicting_entries_are_merged() {
        let of = |entries: &str| {
            let answer = format!(r#"{{"status":"success","data":{{"a":[{entries}]}}}}"#);
            let out = filtered(answer.as_bytes(), &["a"], None).unwrap();
            out.strip_prefix(r#"{"status":"success","data":{"a":["#)
                .and_then(|out| out.strip_suffix("]}}"))
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            of(
                r#"{"type":"gauge","help":"mine","unit":"s"},{"type":"gauge","help":"globex","unit":"s"}"#
            ),
            r#"{"type":"gauge","help":"","unit":"s"}"#
        );
        assert_eq!(
            of(
                r#"{"type":"gauge","help":"h","unit":"s"},{"type":"counter","help":"h","unit":""},{"type":"gauge","help":"h","unit":"s"}"#
            ),
            r#"{"type":"unknown","help":"h","unit":""}"#
        );
        assert_eq!(
            of(r#"{"type":"gauge","help":"h","secret":"globex"}"#),
            r#"{"type":"gauge","help":"h","unit":""}"#
        );
        // What does not fit the tenant's own series is another tenant's.
        let answer = br#"{"status":"success","data":{"a":[{"type":"gauge","help":"globex"},{"type":"counter","help":"mine"}]}}"#;
        assert_eq!(
            filtered(answer, &["a_total"], None).unwrap(),
            r#"{"status":"success","data":{"a":[{"type":"counter","help":"mine","unit":""}]}}"#
        );
    }

    #[test]
    fn limit_counts_kept_metrics() {
        let all = ["go_goroutines", "prometheus_build_info"];
        assert_eq!(
            families(&filtered(RECORDED, &all, Some(1)).unwrap()),
            ["go_goroutines"]
        );
        assert_eq!(
            families(&filtered(RECORDED, &all, Some(9)).unwrap()).len(),
            2
        );
        assert_eq!(
            filtered(RECORDED, &all, Some(0)).unwrap(),
            r#"{"status":"success","data":{}}"#
        );
    }

    #[test]
    fn unknown_format_is_refused() {
        for answer in [
            r#"{"status":"success"}"#,
            r#"{"status":"success","data":[]}"#,
            r#"{"status":"success","data":{"a":{}}}"#,
            r#"{"status":"success","data":{"a":[{"type":1}]}}"#,
            r#"{"status":"success","data":{"a":[],"a":[]}}"#,
            r#"{"status":"success","data":{"a":[{"type":"gauge","type":"counter"}]}}"#,
        ] {
            assert!(
                filtered(answer.as_bytes(), &["a"], None).is_err(),
                "{answer}"
            );
        }
        let null = r#"{"status":"success","data":null}"#;
        assert_eq!(filtered(null.as_bytes(), &["a"], None).unwrap(), null);
        for values in [
            r#"{"status":"success","data":[1]}"#,
            r#"{"status":"error","data":[]}"#,
            "",
        ] {
            assert!(MetricNames::from_label_values(values.as_bytes()).is_err());
        }
    }
}
