//! `/api/v1/targets/metadata` (`targetMetadata` in `web/api/v1/api.go`): what each target says of its
//! metrics.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::super::json::{self, Envelope, Object, ObjectWriter, Unreadable};
use super::{admitted, write_answer};
use crate::tenancy::Matchers;

/// Keeps the metadata of targets whose labels satisfy every matcher. Such targets alone were asked
/// for; this does not rely on it.
pub fn targets_metadata(answer: &[u8], matchers: &Matchers) -> Result<Vec<u8>, Unreadable> {
    let envelope = Envelope::read(answer)?;
    let own = own_items(&envelope, matchers)?;
    write_answer(&envelope, answer.len(), |out| {
        json::write_array(out, &own, |out, item| {
            out.extend_from_slice(item.whole().get().as_bytes());
        });
        Ok(())
    })
}

fn own_items<'a>(
    envelope: &Envelope<'a>,
    matchers: &Matchers,
) -> Result<Vec<Object<'a>>, Unreadable> {
    let items: Option<Vec<Object<'a>>> =
        envelope.data("its targets' metadata are not a list of objects")?;
    admitted(items.unwrap_or_default(), "target", matchers)
}

/// The metadata of a tenant's own targets, by metric.
#[derive(Debug, Default)]
pub struct OwnMetadata<'a>(BTreeMap<Cow<'a, str>, BTreeSet<Entry<'a>>>);

impl<'a> OwnMetadata<'a> {
    /// Parses the upstream's response to `/api/v1/targets/metadata`. If that was asked for one
    /// `metric`, the response does not repeat its name.
    pub fn from_targets(
        answer: &'a [u8],
        matchers: &Matchers,
        metric: Option<&'a str>,
    ) -> Result<Self, Unreadable> {
        let envelope = Envelope::read(answer)?;
        let mut families: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for item in own_items(&envelope, matchers)? {
            let family = match metric {
                Some(metric) => Cow::Borrowed(metric),
                None => item.text("metric", "a target's metadata is of no metric")?,
            };
            let entry = Entry::read(&item)?;
            families.entry(family).or_default().insert(entry);
        }
        Ok(Self(families))
    }

    /// What is said first of a metric.
    pub(super) fn first(&self, metric: &str) -> Option<&Entry<'a>> {
        self.0.get(metric)?.first()
    }

    pub(super) fn into_families(self) -> BTreeMap<Cow<'a, str>, BTreeSet<Entry<'a>>> {
        self.0
    }
}

/// `metadata.Metadata` in Prometheus, `metadatapb.Meta` in Thanos. A missing key is empty:
/// Prometheus before 2.15 had no unit.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry<'a> {
    pub(super) kind: Cow<'a, str>,
    pub(super) help: Cow<'a, str>,
    pub(super) unit: Cow<'a, str>,
}

impl<'a> Entry<'a> {
    pub(super) fn read(entry: &Object<'a>) -> Result<Self, Unreadable> {
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

    /// Of which the type alone is known.
    pub(super) fn of_kind(kind: &'static str) -> Self {
        Self {
            kind: kind.into(),
            help: "".into(),
            unit: "".into(),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut writer = ObjectWriter::new(out);
        json::write_string(writer.key("type"), &self.kind);
        json::write_string(writer.key("help"), &self.help);
        json::write_string(writer.key("unit"), &self.unit);
        writer.end();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{acme, text};
    use super::*;

    #[test]
    fn metadata_of_other_targets_is_left_out() {
        let own = r#"{"target":{"job":"a","tenant_id":"acme"},"metric":"up","type":"gauge","help":"h","unit":""}"#;
        let answer = format!(
            r#"{{"status":"success","data":[{{"target":{{"tenant_id":"globex"}},"help":"globex"}},{own},{{"target":{{}},"help":"globex"}},{{"help":"globex"}},{{"target":{{"tenant_id":""}},"help":"globex"}}]}}"#
        );
        assert_eq!(
            text(targets_metadata(answer.as_bytes(), &acme()).unwrap()),
            format!(r#"{{"status":"success","data":[{own}]}}"#)
        );
    }

    #[test]
    fn metric_that_was_asked_for_has_no_name_in_the_answer() {
        let answer = br#"{"status":"success","data":[{"target":{"tenant_id":"acme"},"type":"gauge","help":"h","unit":""}]}"#;
        let own = OwnMetadata::from_targets(answer, &acme(), Some("up")).unwrap();
        let families: Vec<_> = own.into_families().into_keys().collect();
        assert_eq!(families, ["up"]);
        assert!(OwnMetadata::from_targets(answer, &acme(), None).is_err());
    }

    #[test]
    fn unknown_format_is_refused() {
        for answer in [
            r#"{"status":"success"}"#,
            r#"{"status":"success","data":{}}"#,
            r#"{"status":"success","data":[1]}"#,
            r#"{"status":"success","data":[{"target":[]}]}"#,
            r#"{"status":"success","data":[{"target":{"tenant_id":"globex","tenant_id":"acme"}}]}"#,
            r#"{"status":"error","data":[]}"#,
            "<html>",
        ] {
            let refused = targets_metadata(answer.as_bytes(), &acme());
            assert!(refused.is_err(), "{answer}");
        }
    }
}
