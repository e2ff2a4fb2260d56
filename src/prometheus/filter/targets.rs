//! `/api/v1/targets`, and `/api/v1/scrape_pools`, which is made from it.

use std::collections::BTreeSet;

use super::super::json::{self, Envelope, Object, ObjectWriter, Unreadable};
use super::{admitted, write_answer};
use crate::tenancy::Matchers;

/// Keeps the active targets whose labels (those after relabelling, which their series get) satisfy
/// every matcher.
///
/// The labels before relabelling may be shared by tenants and disclose the operator's service
/// discovery: `discoveredLabels` becomes empty. Dropped targets have only those labels, so it is
/// unknown which are the tenant's: the tenant has none, so their list is empty, and the counts (of
/// all pools, in Prometheus) are zero for its own pools.
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
                    let kept = admitted(list, "labels", matchers)?;
                    json::write_array(writer.key(key), &kept, write_target);
                }
                "droppedTargets" => writer.key(key).extend_from_slice(b"[]"),
                "droppedTargetCounts" => {
                    let counts: Object<'_> = json::read_raw(value, "its counts are no object")?;
                    let own = own_pools(&data, matchers)?;
                    let mut kept = ObjectWriter::new(writer.key(key));
                    for (pool, _) in counts.iter().filter(|(pool, _)| own.contains(*pool)) {
                        kept.key(pool).push(b'0');
                    }
                    kept.end();
                }
                _ => {}
            }
        }
        writer.end();
        Ok(())
    })
}

/// Makes the answer to `/api/v1/scrape_pools` from one to `/api/v1/targets`: the pools in which there
/// is an active target that [`targets`] keeps. The upstream lists the pools of its whole
/// configuration, whoever they scrape for.
pub fn scrape_pools(answer: &[u8], matchers: &Matchers) -> Result<Vec<u8>, Unreadable> {
    let envelope = Envelope::read(answer)?;
    let data: Object<'_> = envelope.data("its targets are not an object")?;
    let pools: Vec<String> = own_pools(&data, matchers)?.into_iter().collect();
    write_answer(&envelope, answer.len(), |out| {
        let mut writer = ObjectWriter::new(out);
        json::write_array(writer.key("scrapePools"), &pools, |out, pool| {
            json::write_string(out, pool);
        });
        writer.end();
        Ok(())
    })
}

/// The pools of the active targets that [`targets`] keeps.
fn own_pools(data: &Object<'_>, matchers: &Matchers) -> Result<BTreeSet<String>, Unreadable> {
    let mut pools = BTreeSet::new();
    let active = data.get("activeTargets");
    if let Some(value) = active.filter(|value| value.get() != "null") {
        let list = json::read_raw(value, "its targets are not a list")?;
        for target in admitted(list, "labels", matchers)? {
            let pool = target.text("scrapePool", "a target's scrape pool")?;
            pools.insert(pool.into_owned());
        }
    }
    Ok(pools)
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
    fn scrape_pools_are_those_of_own_targets() {
        let target = |tenant: &str, pool: &str| {
            format!(
                r#"{{"discoveredLabels":{{"x":"globex"}},"labels":{{"tenant_id":"{tenant}"}},"scrapePool":"{pool}"}}"#
            )
        };
        let active = [
            target("acme", "b"),
            target("globex", "of-globex"),
            target("acme", "a"),
            target("acme", "b"),
        ];
        let answer = format!(
            r#"{{"status":"success","data":{{"activeTargets":[{}],"droppedTargets":[{{"discoveredLabels":{{}},"scrapePool":"dropped"}}]}}}}"#,
            active.join(",")
        );
        assert_eq!(
            text(scrape_pools(answer.as_bytes(), &acme()).unwrap()),
            r#"{"status":"success","data":{"scrapePools":["a","b"]}}"#
        );
        let recorded = text(scrape_pools(RECORDED, &acme()).unwrap());
        assert!(!recorded.contains("globex"), "{recorded}");
        for none in [
            r#"{"status":"success","data":{"activeTargets":null}}"#,
            r#"{"status":"success","data":{}}"#,
        ] {
            assert_eq!(
                text(scrape_pools(none.as_bytes(), &acme()).unwrap()),
                r#"{"status":"success","data":{"scrapePools":[]}}"#
            );
        }
    }

    #[test]
    fn later_and_thanos_formats_are_supported() {
        let answer = br#"{"status":"success","data":{"activeTargets":null,"droppedTargets":[{"discoveredLabels":{"a":"globex"},"scrapePool":"globex"}],"droppedTargetCounts":{"globex":7},"notices":["globex"]}}"#;
        assert_eq!(
            text(targets(answer, &acme()).unwrap()),
            r#"{"status":"success","data":{"activeTargets":null,"droppedTargets":[],"droppedTargetCounts":{}}}"#
        );
        // A private store counts none in each of its pools.
        let answer = br#"{"status":"success","data":{"droppedTargetCounts":{"a":7,"globex":8,"unused":0},"activeTargets":[{"labels":{"tenant_id":"acme"},"scrapePool":"a"},{"labels":{"tenant_id":"globex"},"scrapePool":"globex"}]}}"#;
        let counted = text(targets(answer, &acme()).unwrap());
        assert!(
            counted.contains(r#""droppedTargetCounts":{"a":0},"#) && !counted.contains("globex"),
            "{counted}"
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
