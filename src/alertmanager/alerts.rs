//! Alerts: which are shown, alone and in groups, and what is forwarded of those that are posted.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::posted::{self, PostError, Text, Texts};
use crate::prometheus::Unreadable;
use crate::prometheus::json::{self, Object, ObjectWriter, Raw};
use crate::tenancy::Matchers;

/// The two lists of alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// `/api/v2/alerts`
    Alerts,
    /// `/api/v2/alerts/groups`
    Groups,
}

/// What the tenants' alerts refer to, which may be others'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Whether an alert is silenced: by some silence.
    pub silences: bool,
    /// Whether an alert is inhibited: by some alert.
    pub alerts: bool,
}

/// The silences and alerts that may be referred to.
#[derive(Debug, Default)]
pub struct Own {
    /// Ids of silences.
    pub silences: HashSet<String>,
    /// Fingerprints of alerts.
    pub alerts: HashSet<String>,
}

/// The keys of an alert that are shown (`gettableAlert`); `status` besides.
const ALERT: [&str; 8] = [
    "annotations",
    "endsAt",
    "fingerprint",
    "receivers",
    "startsAt",
    "updatedAt",
    "labels",
    "generatorURL",
];

/// The keys of a group that are shown (`alertGroup`); `alerts` besides. Its labels are those by which
/// all of its alerts are grouped, the caller's among them.
const GROUP: [&str; 3] = ["labels", "receiver", "routeLabels"];

/// What the tenants' alerts of an answer refer to.
pub fn references(
    answer: &[u8],
    listing: Listing,
    tenants: &Matchers,
) -> Result<References, Unreadable> {
    let mut found = References::default();
    let mut add = |own: &[Object<'_>]| {
        for alert in own {
            let status = status(alert)?;
            found.silences |= !status.texts("silencedBy")?.is_empty();
            found.alerts |= !status.texts("inhibitedBy")?.is_empty();
        }
        Ok(())
    };
    match listing {
        Listing::Alerts => add(&own(read(answer)?, tenants)?)?,
        Listing::Groups => {
            for (_, alerts) in groups(answer, tenants)? {
                add(&alerts)?;
            }
        }
    }
    Ok(found)
}

/// The tenants' alerts of an answer, or the groups that have any. Whatever silences or inhibits them
/// is named only if it is in `known`; their state stays what it is.
pub fn list(
    answer: &[u8],
    listing: Listing,
    tenants: &Matchers,
    known: &Own,
) -> Result<Vec<u8>, Unreadable> {
    let mut out = Vec::with_capacity(answer.len());
    match listing {
        Listing::Alerts => write_alerts(&mut out, &own(read(answer)?, tenants)?, known)?,
        Listing::Groups => {
            let groups = groups(answer, tenants)?;
            let mut result = Ok(());
            json::write_array(&mut out, &groups, |out, (group, alerts)| {
                let mut writer = ObjectWriter::new(out);
                let written = write_alerts(writer.key("alerts"), alerts, known);
                if result.is_ok() {
                    result = written;
                }
                copy(&mut writer, group, &GROUP);
                writer.end();
            });
            result?;
        }
    }
    Ok(out)
}

/// The answer to `/api/v2/receivers`, of one to `/api/v2/alerts`: those that the tenants' alerts go
/// to. The upstream lists those of its whole configuration, whose names may be other tenants'.
pub fn receivers(answer: &[u8], tenants: &Matchers) -> Result<Vec<u8>, Unreadable> {
    const WHAT: &str = "an alert's receivers are not as they should be";
    let mut names = BTreeSet::new();
    for alert in own(read(answer)?, tenants)? {
        let receivers = alert.get("receivers").ok_or(Unreadable(WHAT))?;
        let receivers: Vec<Object<'_>> = json::read_raw(receivers, WHAT)?;
        for receiver in receivers {
            names.insert(receiver.text("name", WHAT)?.into_owned());
        }
    }
    let mut out = Vec::new();
    json::write_array(&mut out, &names, |out, name| {
        let mut writer = ObjectWriter::new(out);
        json::write_string(writer.key("name"), name);
        writer.end();
    });
    Ok(out)
}

/// The fingerprints of the tenants' alerts.
pub fn own_fingerprints(answer: &[u8], tenants: &Matchers) -> Result<HashSet<String>, Unreadable> {
    let fingerprint = |alert: &Object<'_>| {
        let what = "an alert has no fingerprint";
        Ok(alert.text("fingerprint", what)?.into_owned())
    };
    own(read(answer)?, tenants)?
        .iter()
        .map(fingerprint)
        .collect()
}

fn read(answer: &[u8]) -> Result<Vec<Object<'_>>, Unreadable> {
    json::read(answer, "alerts are not a list of objects")
}

fn own<'a>(alerts: Vec<Object<'a>>, tenants: &Matchers) -> Result<Vec<Object<'a>>, Unreadable> {
    let mut own = Vec::new();
    for alert in alerts {
        let labels = alert.labels("labels")?;
        if tenants.admit(|name| labels.get(name)) {
            own.push(alert);
        }
    }
    Ok(own)
}

/// The groups in which there are alerts of the tenants, with these.
fn groups<'a>(
    answer: &'a [u8],
    tenants: &Matchers,
) -> Result<Vec<(Object<'a>, Vec<Object<'a>>)>, Unreadable> {
    let all: Vec<Object<'_>> = json::read(answer, "groups are not a list of objects")?;
    let mut kept = Vec::new();
    for group in all {
        let what = "a group's alerts are not a list of objects";
        let alerts = group.get("alerts").ok_or(Unreadable(what))?;
        let own = own(json::read_raw(alerts, what)?, tenants)?;
        if !own.is_empty() {
            kept.push((group, own));
        }
    }
    Ok(kept)
}

fn status<'a>(alert: &Object<'a>) -> Result<Object<'a>, Unreadable> {
    const WHAT: &str = "an alert's status is not an object";
    json::read_raw(alert.get("status").ok_or(Unreadable(WHAT))?, WHAT)
}

fn write_alerts(out: &mut Vec<u8>, alerts: &[Object<'_>], known: &Own) -> Result<(), Unreadable> {
    let mut result = Ok(());
    json::write_array(out, alerts, |out, alert| {
        let written = write_alert(out, alert, known);
        if result.is_ok() {
            result = written;
        }
    });
    result
}

fn write_alert(out: &mut Vec<u8>, alert: &Object<'_>, known: &Own) -> Result<(), Unreadable> {
    let status = status(alert)?;
    let mut writer = ObjectWriter::new(out);
    copy(&mut writer, alert, &ALERT);
    let mut inner = ObjectWriter::new(writer.key("status"));
    for (key, value) in status.iter() {
        match key {
            "silencedBy" => write_known(&mut inner, key, value, &known.silences)?,
            "inhibitedBy" => write_known(&mut inner, key, value, &known.alerts)?,
            // The time intervals of the alert's own route, by their names.
            "state" | "mutedBy" => inner.raw(key, value),
            _ => {}
        }
    }
    inner.end();
    writer.end();
    Ok(())
}

fn write_known(
    writer: &mut ObjectWriter<'_>,
    key: &str,
    value: Raw<'_>,
    known: &HashSet<String>,
) -> Result<(), Unreadable> {
    let all: Option<Vec<json::Text<'_>>> = json::read_raw(value, "a list of texts is not one")?;
    let all = all.unwrap_or_default();
    let shown = all.iter().filter(|text| known.contains(&*text.0));
    json::write_array(writer.key(key), shown, |out, text| {
        json::write_string(out, &text.0);
    });
    Ok(())
}

fn copy(writer: &mut ObjectWriter<'_>, object: &Object<'_>, keys: &[&str]) {
    for (key, value) in object.iter() {
        if keys.contains(&key) {
            writer.raw(key, value);
        }
    }
}

/// `postableAlert`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Alert<'b> {
    #[serde(borrow)]
    labels: Texts<'b>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    annotations: Option<Texts<'b>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    starts_at: Option<Text<'b>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    ends_at: Option<Text<'b>>,
    #[serde(
        borrow,
        default,
        rename = "generatorURL",
        skip_serializing_if = "Option::is_none"
    )]
    generator_url: Option<Text<'b>>,
}

/// Confines posted alerts: each has to carry the caller's tenants. A private store takes an alert
/// without a tenant, so the label is added where it can be but one; an empty one counts as missing,
/// since Alertmanager removes it. An alert is known by its labels, so none of another tenant can be
/// overwritten. The alerts are read one after the other.
///
/// # Errors
/// When one of the alerts is another tenant's, or may be. Then none is forwarded. When the result has
/// more than `max_bytes`.
pub fn confine(body: &[u8], tenants: &Matchers, max_bytes: usize) -> Result<Vec<u8>, PostError> {
    let mut out = vec![b'['];
    let mut number = 0;
    posted::read_each(body, |mut alert: Alert<'_>| {
        number += 1;
        make_own(&mut alert, number, tenants)?;
        if number > 1 {
            out.push(b',');
        }
        posted::written(&mut out, &alert)?;
        if out.len() < max_bytes {
            return Ok(());
        }
        Err(PostError::TooLong { limit: max_bytes })
    })?;
    out.push(b']');
    Ok(out)
}

/// Makes a posted alert, of this number in its body, the tenants'.
fn make_own<'b>(
    alert: &mut Alert<'b>,
    number: usize,
    tenants: &'b Matchers,
) -> Result<(), PostError> {
    if alert.labels.values().all(str::is_empty) {
        return Err(PostError::Invalid("at least one label pair required"));
    }
    for tenant in tenants.iter() {
        let label = tenant.label();
        match alert.labels.get(label).filter(|value| !value.is_empty()) {
            Some(value) if tenant.values().contains(value) => {}
            Some(_) => {
                let label = label.into();
                return Err(PostError::ForeignAlert { number, label });
            }
            None => {
                let Some(only) = tenant.values().only() else {
                    let label = label.into();
                    return Err(PostError::NoTenant { number, label });
                };
                alert.labels.set(label, only.as_str());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::testing::{matcher, matchers};
    use super::*;
    use crate::tenancy::LabelMatcher;
    use crate::testing::selected;

    #[test]
    fn posted_alert_of_a_selector_must_name_one_of_its_values() {
        let tenants = LabelMatcher::new("ns".into(), selected("=~", "team-a-.*", &[]));
        let tenants = Matchers::new(tenants, []);
        let post = |labels: Value| {
            confine(
                json!([{"labels": labels}]).to_string().as_bytes(),
                &tenants,
                MAX,
            )
        };
        assert!(post(json!({"ns": "team-a-1", "a": "b"})).is_ok());
        let foreign = post(json!({"ns": "team-b-1", "a": "b"}));
        assert!(matches!(foreign, Err(PostError::ForeignAlert { .. })));
        let without = post(json!({"a": "b"}));
        assert!(matches!(without, Err(PostError::NoTenant { .. })));
    }

    const MAX: usize = 10_000;

    fn of(value: &[u8]) -> Value {
        serde_json::from_slice(value).unwrap()
    }

    fn alert(tenant: &str, silenced: &[&str], inhibited: &[&str]) -> Value {
        json!({"annotations": {"a": "b"}, "endsAt": "e", "fingerprint": format!("fp-{tenant}"),
            "receivers": [{"name": format!("to-{tenant}")}], "startsAt": "s",
            "status": {"inhibitedBy": inhibited, "silencedBy": silenced, "mutedBy": [], "state": "suppressed"},
            "updatedAt": "u", "labels": {"tenant_id": tenant, "alertname": "X"}, "generatorURL": "g"})
    }

    fn known() -> Own {
        Own {
            silences: HashSet::from(["mine".to_owned()]),
            alerts: HashSet::from(["fp-acme".to_owned()]),
        }
    }

    #[test]
    fn only_own_alerts_are_listed_and_foreign_references_are_left_out() {
        let mut own = alert("acme", &["mine", "theirs"], &["fp-globex", "fp-acme"]);
        own["new"] = json!("globex");
        own["status"]["new"] = json!("globex");
        let answer = json!([alert("globex", &[], &[]), own, {"labels": {}}, {}]).to_string();
        let acme = matchers(&["acme"]);
        let found = list(answer.as_bytes(), Listing::Alerts, &acme, &known()).unwrap();
        assert_eq!(of(&found), json!([alert("acme", &["mine"], &["fp-acme"])]));
        let nothing = list(answer.as_bytes(), Listing::Alerts, &acme, &Own::default()).unwrap();
        assert_eq!(of(&nothing), json!([alert("acme", &[], &[])]));
        assert_eq!(
            references(answer.as_bytes(), Listing::Alerts, &acme).unwrap(),
            References {
                silences: true,
                alerts: true
            }
        );
        assert_eq!(
            references(answer.as_bytes(), Listing::Alerts, &matchers(&["globex"])).unwrap(),
            References::default()
        );
        assert_eq!(
            own_fingerprints(answer.as_bytes(), &acme).unwrap(),
            HashSet::from(["fp-acme".to_owned()])
        );
        let names = receivers(answer.as_bytes(), &acme).unwrap();
        assert_eq!(of(&names), json!([{"name": "to-acme"}]));
    }

    #[test]
    fn groups_without_own_alerts_are_left_out() {
        let group = |alerts: Value, receiver: &str| json!({"alerts": alerts, "labels": {"alertname": "X"}, "receiver": {"name": receiver}});
        let own = alert("acme", &["theirs"], &[]);
        let mixed = group(json!([alert("globex", &[], &[]), own]), "shared");
        let foreign = group(json!([alert("globex", &[], &[])]), "globex-pager");
        let answer = json!([foreign, mixed]).to_string();
        let acme = matchers(&["acme"]);
        let found = list(answer.as_bytes(), Listing::Groups, &acme, &known()).unwrap();
        assert_eq!(
            of(&found),
            json!([group(json!([alert("acme", &[], &[])]), "shared")])
        );
        let refers = references(answer.as_bytes(), Listing::Groups, &acme).unwrap();
        assert_eq!(
            refers,
            References {
                silences: true,
                alerts: false
            }
        );
    }

    #[test]
    fn answer_of_another_shape_is_unreadable() {
        let acme = matchers(&["acme"]);
        for bad in [
            "{}",
            "null",
            "[1]",
            r#"[{"labels":{"tenant_id":"acme"}}]"#,
            r#"[{"labels":{"tenant_id":"globex","tenant_id":"acme"},"status":{}}]"#,
            r#"[{"labels":{"tenant_id":"acme"},"status":{"silencedBy":"x"}}]"#,
        ] {
            let result = list(bad.as_bytes(), Listing::Alerts, &acme, &known());
            assert!(result.is_err(), "{bad}");
            assert!(
                list(bad.as_bytes(), Listing::Groups, &acme, &known()).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn posted_alert_must_be_own_and_a_missing_tenant_is_added_if_there_is_one() {
        let post = |labels: Value, tenants: &Matchers| {
            let body = json!([{"labels": labels, "generatorURL": "http://x", "startsAt": "s"}]);
            let sent = confine(body.to_string().as_bytes(), tenants, MAX);
            sent.map(|sent| of(&sent)[0]["labels"].clone())
        };
        let (acme, both) = (matchers(&["acme"]), matchers(&["acme", "beta"]));
        let own = json!({"a": "b", "tenant_id": "acme"});
        assert_eq!(post(own.clone(), &acme).unwrap(), own);
        assert_eq!(post(own.clone(), &both).unwrap(), own);
        assert_eq!(post(json!({"a": "b"}), &acme).unwrap(), own);
        assert_eq!(
            post(json!({"a": "b", "tenant_id": ""}), &acme).unwrap(),
            own
        );
        let label = || "tenant_id".into();
        let no_tenant = PostError::NoTenant {
            number: 1,
            label: label(),
        };
        assert_eq!(post(json!({"a": "b"}), &both), Err(no_tenant));
        for foreign in ["globex", "acme ", "Acme", "acme|beta", ".*"] {
            let refused = Err(PostError::ForeignAlert {
                number: 1,
                label: label(),
            });
            assert_eq!(
                post(json!({"a": "b", "tenant_id": foreign}), &acme),
                refused
            );
        }
        let labels = Matchers::new(matcher("tenant_id", &["acme"]), [matcher("env", &["prod"])]);
        assert_eq!(
            post(json!({"a": "b"}), &labels).unwrap(),
            json!({"a": "b", "tenant_id": "acme", "env": "prod"})
        );
        let env = PostError::ForeignAlert {
            number: 1,
            label: "env".into(),
        };
        assert_eq!(
            post(json!({"tenant_id": "acme", "env": "test"}), &labels),
            Err(env)
        );
    }

    #[test]
    fn one_foreign_alert_refuses_all() {
        let acme = matchers(&["acme"]);
        let body = json!([{"labels": {"tenant_id": "acme"}}, {"labels": {"tenant_id": "globex"}}]);
        let refused = PostError::ForeignAlert {
            number: 2,
            label: "tenant_id".into(),
        };
        assert_eq!(
            confine(body.to_string().as_bytes(), &acme, MAX),
            Err(refused)
        );
    }

    #[test]
    fn alerts_that_become_too_long_with_their_tenants_are_refused() {
        let acme = matchers(&["acme"]);
        let body = br#"[{"labels":{"a":"b"}},{"labels":{"a":"b"}}]"#;
        let whole = confine(body, &acme, MAX).unwrap();
        assert_eq!(confine(body, &acme, whole.len()).unwrap(), whole);
        let limit = whole.len() - 1;
        assert_eq!(
            confine(body, &acme, limit),
            Err(PostError::TooLong { limit })
        );
    }

    #[test]
    fn body_that_can_be_read_in_two_ways_is_refused() {
        let acme = matchers(&["acme"]);
        for bad in [
            r#"[{"labels":{"a":"b"},"Labels":{"tenant_id":"globex"}}]"#,
            r#"[{"labels":{"tenant_id":"acme","tenant_id":"globex"}}]"#,
            r#"[{"labels":{"tenant_id":"acme","tenant\u005fid":"globex"}}]"#,
            r#"[{"labels":{"a":null}}]"#,
            r#"[{"labels":null}]"#,
            "[{}]",
            r#"[[{"a":"b"}]]"#,
            r#"{"labels":{"a":"b"}}"#,
            r#"[{"labels":{"a":"b"}}][]"#,
        ] {
            let refused = confine(bad.as_bytes(), &acme, MAX);
            assert!(matches!(refused, Err(PostError::Malformed(_))), "{bad}");
        }
        let empty = confine(br#"[{"labels":{"a":""}}]"#, &acme, MAX);
        assert!(matches!(empty, Err(PostError::Invalid(_))));
        assert_eq!(confine(b"[]", &acme, MAX).unwrap(), b"[]");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// A damaged answer is refused, or shows no more than an intact one.
        #[test]
        fn damaged_answer_leaks_nothing(
            at in any::<prop::sample::Index>(),
            byte in prop_oneof![Just(b'"'), Just(b'{'), Just(b'}'), Just(b','), Just(b'\\'), any::<u8>()],
            cut in any::<bool>(),
            is_group in any::<bool>(),
        ) {
            let alerts = json!([alert("globex", &[], &[]), alert("acme", &["theirs"], &["fp-globex"]), alert("globex", &[], &[])]);
            let group = json!([{"alerts": alerts, "labels": {}, "receiver": {"name": "x"}}]);
            let mut answer = if is_group { group } else { alerts }.to_string().into_bytes();
            let at = at.index(answer.len());
            answer[at] = byte;
            if cut {
                answer.truncate(at);
            }
            let listing = if is_group { Listing::Groups } else { Listing::Alerts };
            if let Ok(out) = list(&answer, listing, &matchers(&["acme"]), &known()) {
                prop_assert!(memchr::memmem::find(&out, b"globex").is_none());
                prop_assert!(memchr::memmem::find(&out, b"theirs").is_none());
            }
        }

        /// Whatever is posted: what is forwarded is the tenants'.
        #[test]
        fn forwarded_alerts_are_own(
            all in prop::collection::vec(
                prop::collection::btree_map(
                    prop::sample::select(&["tenant_id", "env", "a"][..]),
                    prop::sample::select(&["acme", "prod", "", "globex", "acme|x"][..]),
                    0..4,
                ),
                0..4,
            ),
        ) {
            let tenants = Matchers::new(matcher("tenant_id", &["acme", "x"]), [matcher("env", &["prod"])]);
            let body: Vec<Value> = all.iter().map(|labels| json!({"labels": labels})).collect();
            if let Ok(sent) = confine(json!(body).to_string().as_bytes(), &tenants, MAX) {
                for alert in of(&sent).as_array().unwrap() {
                    prop_assert!(tenants.admit(|name| alert["labels"][name].as_str()));
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(answer in prop::collection::vec(any::<u8>(), 0..64)) {
            let acme = matchers(&["acme"]);
            for listing in [Listing::Alerts, Listing::Groups] {
                let _ = (list(&answer, listing, &acme, &known()), references(&answer, listing, &acme));
            }
            let _ = (receivers(&answer, &acme), confine(&answer, &acme, MAX));
        }
    }
}
