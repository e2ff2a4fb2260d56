//! `/api/v1/targets`.

use super::super::json::{self, Envelope, Object, ObjectWriter, Unreadable};
use super::{admitted, write_answer};
use crate::tenancy::Matchers;

/// Keeps the active targets whose labels (those after relabelling, which their series get) satisfy
/// every matcher.
///
/// The labels before relabelling may be shared by tenants and disclose the operator's service
/// discovery: `discoveredLabels` becomes empty. Dropped targets have only those labels, so it is
/// unknown which are the tenant's: their list and the counts become empty.
pub fn targets(answer: &[u8], matchers: &Matchers) -> Result<Vec<u8>, Unreadable> {
    let envelope = Envelope::read(answer)?;
    let data: Object<'_> = envelope.data("its targets are not an object")?;
    write_answer(&envelope, answer.len(), |out| {
        let mut writer = ObjectWriter::new(out);
        for (key, value) in data.iter() {
            match key {
                // Thanos writes `null` for an empty list, Prometheus for no counts.
                "activeTargets" | "droppedTargets" | "droppedTargetCounts"
                    if value.get() == "null" =>
                {
                    writer.raw(key, value);
                }
                "activeTargets" => {
                    let list = json::read_raw(value, "its targets are not a list")?;
                    let kept = admitted(list, matchers)?;
                    json::write_array(writer.key(key), &kept, write_target);
                }
                "droppedTargets" => writer.key(key).extend_from_slice(b"[]"),
                "droppedTargetCounts" => writer.key(key).extend_from_slice(b"{}"),
                _ => {}
            }
        }
        writer.end();
        Ok(())
    })
}

fn write_target(out: &mut Vec<u8>, target: &Object<'_>) {
    let mut writer = ObjectWriter::new(out);
    for (key, value) in target.iter() {
        if key == "discoveredLabels" {
            writer.key(key).extend_from_slice(b"{}");
        } else {
            writer.raw(key, value);
        }
    }
    writer.end();
}

#[cfg(test)]
mod tests {
    use super::super::testing::{acme, text};
    use super::*;

    const RECORDED: &[u8] = include_bytes!("../../../tests/fixtures/prometheus/targets-2.42.json");

    #[test]
    fn only_own_targets_are_kept_without_discovered_labels() {
        let out = text(targets(RECORDED, &acme()).unwrap());
        assert!(
            !out.contains("globex") && !out.contains("__address__"),
            "{out}"
        );
        assert!(!out.contains("\"shared\""), "{out}");
        let out: serde_json::Value = serde_json::from_str(&out).unwrap();
        let active = out["data"]["activeTargets"].as_array().unwrap();
        assert_eq!(active.len(), 1);
        assert_eq!(active[0]["scrapeUrl"], "http://127.0.0.1:19191/metrics");
        assert_eq!(active[0]["discoveredLabels"], serde_json::json!({}));
        assert_eq!(out["data"]["droppedTargets"], serde_json::json!([]));
    }

    #[test]
    fn later_and_thanos_formats_are_supported() {
        let answer = br#"{"status":"success","data":{"activeTargets":null,"droppedTargets":[{"discoveredLabels":{"a":"globex"},"scrapePool":"globex"}],"droppedTargetCounts":{"globex":7},"notices":["globex"]}}"#;
        assert_eq!(
            text(targets(answer, &acme()).unwrap()),
            r#"{"status":"success","data":{"activeTargets":null,"droppedTargets":[],"droppedTargetCounts":{}}}"#
        );
        let none = r#"{"status":"success","data":{"activeTargets":[],"droppedTargets":null}}"#;
        assert_eq!(text(targets(none.as_bytes(), &acme()).unwrap()), none);
    }

    #[test]
    fn unknown_format_is_refused() {
        for answer in [
            r#"{"status":"success","data":[]}"#,
            r#"{"status":"success","data":{"activeTargets":[{"labels":{"tenant_id":"globex"},"labels":{"tenant_id":"acme"}}]}}"#,
            r#"{"status":"success","data":{"activeTargets":[],"activeTargets":[]}}"#,
            r#"{"status":"success","data":{"activeTargets":"x"}}"#,
        ] {
            assert!(targets(answer.as_bytes(), &acme()).is_err(), "{answer}");
        }
    }
}
