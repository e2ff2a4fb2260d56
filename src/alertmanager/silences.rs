//! Silences: which are shown, and what is forwarded of one that is posted.
//!
//! A silence is the tenant's if it can match the tenant's alerts alone; all others do not exist. The
//! matcher by which it is the tenant's is shown like the others: whoever edits a silence sends it
//! back with all matchers.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::endpoints::SilenceId;
use super::ownership::{SilenceMatcher, is_own};
use super::posted::{self, AnObject, PostError, Text, Texts};
use crate::empty_pattern;
use crate::prometheus::Unreadable;
use crate::prometheus::json::{self, Object, ObjectWriter, Raw};
use crate::tenancy::{LabelMatcher, MatchOp, Matchers};

/// The keys of a silence (`gettableSilence`). One with any other may match in a way that is not
/// known here, so it is nobody's.
const KEYS: [&str; 9] = [
    "id",
    "status",
    "updatedAt",
    "comment",
    "createdBy",
    "endsAt",
    "matchers",
    "startsAt",
    "annotations",
];

/// The keys of a matcher.
const MATCHER_KEYS: [&str; 4] = ["name", "value", "isRegex", "isEqual"];

/// The tenants' silences of an answer to `/api/v2/silences`.
pub fn list(answer: &[u8], matchers: &Matchers) -> Result<Vec<u8>, Unreadable> {
    let own = own(answer, matchers)?;
    let mut out = Vec::with_capacity(answer.len());
    json::write_array(&mut out, &own, write);
    Ok(out)
}

/// The silence of an answer to `/api/v2/silence/{id}`, if it is the tenants'.
pub fn one(answer: &[u8], matchers: &Matchers) -> Result<Option<Vec<u8>>, Unreadable> {
    let silence: Object<'_> = json::read(answer, "a silence is not an object")?;
    if !is_tenants(&silence, matchers)? {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(answer.len());
    write(&mut out, &silence);
    Ok(Some(out))
}

/// The ids of the tenants' silences.
pub fn own_ids(answer: &[u8], matchers: &Matchers) -> Result<HashSet<String>, Unreadable> {
    let own = own(answer, matchers)?;
    let id = |silence: &Object<'_>| Ok(silence.text("id", "a silence has no id")?.into_owned());
    own.iter().map(id).collect()
}

fn own<'a>(answer: &'a [u8], matchers: &Matchers) -> Result<Vec<Object<'a>>, Unreadable> {
    let all: Vec<Object<'_>> = json::read(answer, "silences are not a list of objects")?;
    let mut own = Vec::new();
    for silence in all {
        if is_tenants(&silence, matchers)? {
            own.push(silence);
        }
    }
    Ok(own)
}

fn is_tenants(silence: &Object<'_>, tenants: &Matchers) -> Result<bool, Unreadable> {
    const WHAT: &str = "a silence's matchers are not as they should be";
    if silence.iter().any(|(key, _)| !KEYS.contains(&key)) {
        return Ok(false);
    }
    let all: Vec<Object<'_>> = match silence.get("matchers") {
        Some(all) => json::read_raw(all, WHAT)?,
        None => return Ok(false),
    };
    let mut read = Vec::with_capacity(all.len());
    for matcher in &all {
        if matcher.iter().any(|(key, _)| !MATCHER_KEYS.contains(&key)) {
            return Ok(false);
        }
        let name = matcher.text("name", WHAT)?;
        let value = matcher.text("value", WHAT)?;
        let is_regex = truth(matcher.get("isRegex"), false)?;
        // As Alertmanager has it since 0.22; before there were no others.
        let is_equal = truth(matcher.get("isEqual"), true)?;
        read.push((name, value, is_regex, is_equal));
    }
    let read: Vec<SilenceMatcher<'_>> = read
        .iter()
        .map(|(name, value, is_regex, is_equal)| SilenceMatcher {
            name,
            value,
            is_regex: *is_regex,
            is_equal: *is_equal,
        })
        .collect();
    Ok(is_own(&read, tenants))
}

fn truth(value: Option<Raw<'_>>, missing: bool) -> Result<bool, Unreadable> {
    match value.map(Raw::get) {
        None => Ok(missing),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(Unreadable("a silence's matcher is not as it should be")),
    }
}

fn write(out: &mut Vec<u8>, silence: &Object<'_>) {
    let mut writer = ObjectWriter::new(out);
    for (key, value) in silence.iter() {
        writer.raw(key, value);
    }
    writer.end();
}

/// A silence that may be forwarded.
#[derive(Debug)]
pub struct PostedSilence {
    /// The silence that it changes. That one has to be the tenants' too.
    pub changes: Option<SilenceId>,
    /// The body to forward.
    pub body: Vec<u8>,
}

/// `postableSilence`, and the keys of a `gettableSilence` that clients send back and Alertmanager
/// ignores.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Silence<'b> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    id: Option<Text<'b>>,
    #[serde(borrow, default)]
    matchers: Vec<AnObject<Matcher<'b>>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    starts_at: Option<Text<'b>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    ends_at: Option<Text<'b>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    created_by: Option<Text<'b>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    comment: Option<Text<'b>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    annotations: Option<Texts<'b>>,
    #[serde(default, skip_serializing)]
    #[allow(dead_code, reason = "clients send it back")]
    status: IgnoredAny,
    #[serde(default, skip_serializing)]
    #[allow(dead_code, reason = "clients send it back")]
    updated_at: IgnoredAny,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Matcher<'b> {
    #[serde(borrow)]
    name: Cow<'b, str>,
    #[serde(borrow)]
    value: Cow<'b, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is_regex: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is_equal: Option<bool>,
}

impl<'b> Matcher<'b> {
    fn of(tenants: &'b LabelMatcher) -> Self {
        Self {
            name: tenants.label().into(),
            value: tenants.value().into(),
            is_regex: Some(tenants.op() != MatchOp::Equal),
            is_equal: Some(tenants.op() != MatchOp::NotRegex),
        }
    }

    /// As Alertmanager reads it (`PostableSilenceToProto`).
    fn read(&self) -> SilenceMatcher<'_> {
        SilenceMatcher {
            name: &self.name,
            value: &self.value,
            is_regex: self.is_regex.unwrap_or(false),
            is_equal: self.is_equal.unwrap_or(true),
        }
    }

    /// Whether Alertmanager counts it as one that the empty string satisfies (`matchesEmpty` in
    /// silence/silence.go): a negated one never does.
    fn matches_empty(&self) -> bool {
        let matcher = self.read();
        let satisfies = if matcher.is_regex {
            // Alertmanager itself refuses what it cannot read.
            empty_pattern::matches_empty(matcher.value).unwrap_or(false)
        } else {
            matcher.value.is_empty()
        };
        satisfies && matcher.is_equal
    }
}

/// Confines a silence to the tenants: for each tenant label that no matcher of its own confines, one
/// is added.
///
/// # Errors
/// When a matcher of a tenant label names other tenants, or is an expression that may.
pub fn confine(body: &[u8], tenants: &Matchers) -> Result<PostedSilence, PostError> {
    let AnObject(mut silence): AnObject<Silence<'_>> = posted::read(body)?;
    if silence.matchers.is_empty() {
        let text = "matchers in body should have at least 1 items";
        return Err(PostError::Unprocessable(text));
    }
    let foreign = silence.matchers.iter().find(|AnObject(matcher)| {
        let tenants = tenants.of_label(&matcher.name);
        tenants.is_some_and(|tenants| !matcher.read().names_only(tenants))
    });
    if let Some(AnObject(foreign)) = foreign {
        return Err(PostError::ForeignSilence {
            label: foreign.name.as_ref().into(),
        });
    }
    // With the tenants' matcher Alertmanager would no longer notice.
    if silence.matchers.iter().all(|own| own.0.matches_empty()) {
        return Err(PostError::Invalid(
            "invalid silence: at least one matcher must not match the empty string",
        ));
    }
    let added: Vec<_> = tenants
        .iter()
        .filter(|tenants| {
            !silence
                .matchers
                .iter()
                .any(|own| own.0.read().confines(tenants))
        })
        .map(|tenants| AnObject(Matcher::of(tenants)))
        .collect();
    silence.matchers.extend(added);
    let changes = match silence.id.as_ref().map(|id| &*id.0) {
        None | Some("") => None,
        Some(id) => Some(SilenceId::parse(id).ok_or(PostError::NoSuchSilence)?),
    };
    let mut body = Vec::new();
    posted::written(&mut body, &silence)?;
    Ok(PostedSilence { changes, body })
}

/// Why a silence may not be changed: there is none that is the caller's. The text is Alertmanager's.
pub const NOT_FOUND: Cow<'static, str> = Cow::Borrowed("silence not found");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::testing::{matcher, matchers};
    use super::*;
    use crate::testing::selected;

    const ID: &str = "ab2a652a-fe1c-4608-b336-d1a404c3e5de";

    fn of(value: &[u8]) -> Value {
        serde_json::from_slice(value).unwrap()
    }

    fn silence(id: &str, matchers: &Value) -> Value {
        json!({"id": id, "status": {"state": "active"}, "updatedAt": "2026-01-01T00:00:00.000Z",
            "comment": "c", "createdBy": "me", "endsAt": "2026-01-02T00:00:00.000Z",
            "matchers": matchers, "startsAt": "2026-01-01T00:00:00.000Z"})
    }

    fn equal(name: &str, value: &str) -> Value {
        json!({"isEqual": true, "isRegex": false, "name": name, "value": value})
    }

    #[test]
    fn only_own_silences_are_listed() {
        let own = silence("1", &json!([equal("a", "b"), equal("tenant_id", "acme")]));
        let foreign = silence("2", &json!([equal("tenant_id", "globex")]));
        let everybodys = silence("3", &json!([equal("alertname", "X")]));
        let mut odd = silence("4", &json!([equal("tenant_id", "acme")]));
        odd["matcherSets"] = json!([[equal("tenant_id", "globex")]]);
        let mut odd_matcher = silence("5", &json!([equal("tenant_id", "acme")]));
        odd_matcher["matchers"][0]["type"] = json!("NOT_EQUAL");
        let all = json!([own, foreign, everybodys, odd, odd_matcher]).to_string();
        let acme = matchers(&["acme"]);
        assert_eq!(of(&list(all.as_bytes(), &acme).unwrap()), json!([own]));
        let ids = own_ids(all.as_bytes(), &acme).unwrap();
        assert_eq!(ids, HashSet::from(["1".to_owned()]));
        let only = |one: &Value| super::one(one.to_string().as_bytes(), &acme).unwrap();
        assert_eq!(only(&own).map(|one| of(&one)), Some(own.clone()));
        assert_eq!(only(&foreign), None);
        assert_eq!(only(&everybodys), None);
        assert_eq!(only(&odd), None);
    }

    #[test]
    fn posted_silence_gets_the_selector_and_may_be_posted_again() {
        for (op, value, added) in [
            (
                "=~",
                "a-.*",
                json!({"name": "ns", "value": "(?s:a-.*)", "isRegex": true, "isEqual": true}),
            ),
            (
                "!=",
                "a.b",
                json!({"name": "ns", "value": "a\\.b|", "isRegex": true, "isEqual": false}),
            ),
        ] {
            let tenants = LabelMatcher::new("ns".into(), selected(op, value, &[]));
            let tenants = Matchers::new(tenants, []);
            let post = |matchers: Value| {
                let body = posted(&matchers).to_string();
                confine(body.as_bytes(), &tenants)
                    .map(|posted| of(&posted.body)["matchers"].clone())
            };
            let sent = post(json!([equal("x", "y")])).unwrap();
            assert_eq!(sent[1], added, "{op}");
            assert_eq!(post(sent.clone()).unwrap(), sent, "{op}");
            let foreign = json!([{"name": "ns", "value": ".*", "isRegex": true}]);
            assert!(post(foreign).is_err(), "{op}");
        }
    }

    #[test]
    fn answer_of_another_shape_is_unreadable() {
        let acme = matchers(&["acme"]);
        for bad in [
            "{}",
            "null",
            "[1]",
            r#"[{"matchers":{}}]"#,
            r#"[{"matchers":[{"name":"tenant_id"}]}]"#,
            r#"[{"matchers":[{"name":"tenant_id","value":"acme","isRegex":null}]}]"#,
            r#"[{"matchers":[{"name":"tenant_id","value":"acme","isEqual":"true"}]}]"#,
            r#"[{"matchers":[{"name":"x","name":"tenant_id","value":"acme"}]}]"#,
            r#"[{"matchers":[],"matchers":[]}]"#,
        ] {
            assert!(list(bad.as_bytes(), &acme).is_err(), "{bad}");
        }
    }

    fn posted(matchers: &Value) -> Value {
        json!({"matchers": matchers, "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "2026-01-02T00:00:00Z", "createdBy": "me", "comment": "c"})
    }

    fn confined(matchers: &Value, tenants: &Matchers) -> Result<Value, PostError> {
        let body = posted(matchers).to_string();
        confine(body.as_bytes(), tenants).map(|posted| of(&posted.body)["matchers"].clone())
    }

    #[test]
    fn tenants_matcher_is_added_where_none_confines() {
        let acme = matchers(&["acme"]);
        let x = equal("alertname", "X");
        let own = equal("tenant_id", "acme");
        assert_eq!(confined(&json!([x]), &acme).unwrap(), json!([x, own]));
        assert_eq!(confined(&json!([own, x]), &acme).unwrap(), json!([own, x]));
        let several = Matchers::new(
            matcher("tenant_id", &["acme", "a.b"]),
            [matcher("env", &["prod"])],
        );
        let both =
            json!({"name": "tenant_id", "value": "a\\.b|acme", "isRegex": true, "isEqual": true});
        assert_eq!(
            confined(&json!([x]), &several).unwrap(),
            json!([x, both, equal("env", "prod")])
        );
        // Narrower than the caller's tenants, by what it names and by what it leaves out.
        assert_eq!(
            confined(&json!([x, own]), &several).unwrap(),
            json!([x, own, equal("env", "prod")])
        );
        let without =
            json!({"name": "tenant_id", "value": "acme", "isRegex": false, "isEqual": false});
        assert_eq!(
            confined(&json!([x, without]), &several).unwrap(),
            json!([x, without, both, equal("env", "prod")])
        );
    }

    #[test]
    fn silence_that_may_match_others_is_refused() {
        let acme = matchers(&["acme"]);
        let x = equal("alertname", "X");
        for (value, is_regex, is_equal) in [
            ("globex", false, true),
            ("", false, true),
            ("globex", false, false),
            (".*", true, true),
            (".+", true, true),
            ("acme|globex", true, true),
            ("acme|", true, true),
            ("acme", true, true),
            ("a.me", true, true),
            ("globex", true, false),
        ] {
            let named = json!({"name": "tenant_id", "value": value, "isRegex": is_regex, "isEqual": is_equal});
            let result = confined(&json!([x, named]), &acme);
            let is_own = value == "acme";
            assert_eq!(result.is_ok(), is_own, "{value}: {result:?}");
            if let Err(error) = result {
                assert!(matches!(error, PostError::ForeignSilence { .. }), "{error}");
            }
        }
    }

    #[test]
    fn silence_that_alertmanager_would_refuse_is_refused() {
        let acme = matchers(&["acme"]);
        let none = confined(&json!([]), &acme).unwrap_err();
        assert!(matches!(none, PostError::Unprocessable(_)), "{none}");
        for matchers in [
            json!([equal("a", "")]),
            json!([{"name": "a", "value": ".*", "isRegex": true}]),
            json!([{"name": "a", "value": "(x|)", "isRegex": true}, equal("b", "")]),
        ] {
            let error = confined(&matchers, &acme).unwrap_err();
            assert!(
                matches!(error, PostError::Invalid(_)),
                "{matchers}: {error}"
            );
        }
        // It does not count negated ones, nor one among others.
        for matchers in [
            json!([{"name": "a", "value": "x", "isRegex": false, "isEqual": false}]),
            json!([{"name": "a", "value": "x.*", "isRegex": true, "isEqual": false}]),
            json!([{"name": "a", "value": "", "isRegex": false, "isEqual": false}]),
            json!([equal("a", ""), {"name": "b", "value": ".+", "isRegex": true}]),
        ] {
            let sent = confined(&matchers, &acme);
            assert!(sent.is_ok(), "{matchers}: {sent:?}");
        }
    }

    #[test]
    fn body_that_can_be_read_in_two_ways_is_refused() {
        let acme = matchers(&["acme"]);
        let good = r#"{"matchers":[{"name":"a","value":"b"}]}"#;
        assert!(confine(good.as_bytes(), &acme).is_ok());
        for bad in [
            r#"{"matchers":[{"name":"a","value":"b"}],"matchers":[]}"#,
            r#"{"matchers":[{"name":"a","value":"b"}],"m\u0061tchers":[]}"#,
            r#"{"matchers":[{"name":"a","name":"b","value":"b"}]}"#,
            // Go reads keys without regard to case.
            r#"{"matchers":[{"name":"a","value":"b"}],"Matchers":[]}"#,
            r#"{"matchers":[{"name":"a","value":"b","NAME":"c"}]}"#,
            r#"{"matchers":[{"name":"a","value":"b"}],"ID":"x"}"#,
            r#"{"matchers":[{"name":"a","value":"b"}],"matcherSets":[]}"#,
            r#"{"matchers":[{"name":"a","value":"b"}]} {}"#,
            r#"{"matchers":[{"name":"a","value":"\ud800"}]}"#,
            r#"{"matchers":[{"name":"a","value":7}]}"#,
            "[]",
            r#"{"matchers":[["a","b"]]}"#,
            "",
        ] {
            let error = confine(bad.as_bytes(), &acme).unwrap_err();
            assert!(matches!(error, PostError::Malformed(_)), "{bad}: {error}");
        }
    }

    #[test]
    fn id_names_the_silence_that_has_to_be_checked() {
        let acme = matchers(&["acme"]);
        let with = |id: Value| {
            let mut silence = posted(&json!([equal("a", "b")]));
            silence["id"] = id;
            silence["status"] = json!({"state": "active"});
            silence["updatedAt"] = json!("x");
            confine(silence.to_string().as_bytes(), &acme)
        };
        let changed = with(json!(ID)).unwrap();
        assert_eq!(changed.changes.as_ref().map(SilenceId::as_str), Some(ID));
        assert_eq!(of(&changed.body)["id"], ID);
        assert_eq!(of(&changed.body).get("status"), None);
        assert!(with(json!("")).unwrap().changes.is_none());
        assert!(with(json!(null)).unwrap().changes.is_none());
        assert!(matches!(with(json!("../x")), Err(PostError::NoSuchSilence)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever is posted: what is forwarded is wholly the tenants'.
        #[test]
        fn forwarded_silence_is_own(
            all in prop::collection::vec(
                (
                    prop::sample::select(&["tenant_id", "env", "a", "Tenant_id"][..]),
                    prop_oneof![
                        Just("acme".to_owned()), Just("prod".to_owned()), Just(".*".to_owned()),
                        "[acme|.*pro\\\\]{0,6}",
                    ],
                    any::<Option<bool>>(),
                    any::<Option<bool>>(),
                ),
                0..5,
            ),
        ) {
            let tenants = Matchers::new(matcher("tenant_id", &["acme", "x"]), [matcher("env", &["prod"])]);
            let all: Vec<Value> = all
                .iter()
                .map(|(name, value, is_regex, is_equal)| {
                    json!({"name": name, "value": value, "isRegex": is_regex, "isEqual": is_equal})
                })
                .collect();
            if let Ok(matchers) = confined(&json!(all), &tenants) {
                let mut shown = silence("1", &matchers);
                for matcher in shown["matchers"].as_array_mut().unwrap() {
                    let matcher = matcher.as_object_mut().unwrap();
                    matcher.entry("isRegex").or_insert(json!(false));
                    matcher.entry("isEqual").or_insert(json!(true));
                }
                let shown = one(shown.to_string().as_bytes(), &tenants).unwrap();
                prop_assert!(shown.is_some());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(answer in prop::collection::vec(any::<u8>(), 0..64)) {
            let acme = matchers(&["acme"]);
            let _ = (list(&answer, &acme), one(&answer, &acme), confine(&answer, &acme).is_ok());
        }
    }
}
