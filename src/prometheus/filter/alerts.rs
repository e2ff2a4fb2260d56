//! `/api/v1/alerts`.

use super::super::json::{self, Envelope, Object, ObjectWriter, Unreadable};
use super::{admitted, write_answer};
use crate::tenancy::Matchers;

/// Keeps the alerts whose labels satisfy every matcher.
pub fn alerts(answer: &[u8], matchers: &Matchers) -> Result<Vec<u8>, Unreadable> {
    let envelope = Envelope::read(answer)?;
    let data: Object<'_> = envelope.data("its alerts are not an object")?;
    let list = data.get("alerts").ok_or(Unreadable("it has no alerts"))?;
    // Thanos writes `null` where there are none.
    let list: Option<Vec<Object<'_>>> = json::read_raw(list, "its alerts are not a list")?;
    let kept = match list {
        Some(list) => Some(admitted(list, matchers)?),
        None => None,
    };
    write_answer(&envelope, answer.len(), |out| {
        let mut data = ObjectWriter::new(out);
        let out = data.key("alerts");
        match &kept {
            Some(kept) => json::write_array(out, kept, json::write_object),
            None => out.extend_from_slice(b"null"),
        }
        data.end();
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{acme, matcher, text};
    use super::*;

    const RECORDED: &[u8] = include_bytes!("../../../tests/fixtures/prometheus/alerts-2.42.json");

    #[test]
    fn only_own_alerts_are_kept_and_as_they_came() {
        let out = text(alerts(RECORDED, &acme()).unwrap());
        assert!(
            !out.contains("globex") && !out.contains("\"job\":\"shared\""),
            "{out}"
        );
        let recorded = std::str::from_utf8(RECORDED).unwrap();
        let own = recorded
            .split(r#"{"labels""#)
            .filter(|alert| alert.contains(r#""acme""#));
        let mut count = 0;
        for alert in own {
            assert!(
                out.contains(alert.trim_end_matches([',', ']', '}'])),
                "{alert}"
            );
            count += 1;
        }
        assert_eq!(count, out.matches(r#"{"labels""#).count());
        assert!(count > 0);
    }

    #[test]
    fn every_matcher_counts() {
        let answer = br#"{"status":"success","data":{"alerts":[
            {"labels":{"tenant_id":"acme","env":"prod"}},{"labels":{"tenant_id":"acme"}},
            {"labels":{"tenant_id":"acme","env":"test"}},{"labels":{"env":"prod"}}]}}"#;
        let both = Matchers::new(matcher("tenant_id", &["acme"]), [matcher("env", &["prod"])]);
        assert_eq!(
            text(alerts(answer, &both).unwrap()),
            r#"{"status":"success","data":{"alerts":[{"labels":{"tenant_id":"acme","env":"prod"}}]}}"#
        );
    }

    #[test]
    fn thanos_shapes_are_known() {
        assert_eq!(
            text(alerts(br#"{"status":"success","data":{"alerts":null},"warnings":["receive from 10.0.0.1"]}"#, &acme()).unwrap()),
            format!(r#"{{"status":"success","data":{{"alerts":null}},"warnings":["{}"]}}"#, crate::prometheus::warnings::REPLACED)
        );
    }

    #[test]
    fn what_is_not_understood_is_not_passed_on() {
        for answer in [
            "",
            "<html>",
            "[]",
            r#"{"status":"success"}"#,
            r#"{"status":"success","data":null}"#,
            r#"{"status":"success","data":{}}"#,
            r#"{"status":"error","data":{"alerts":[]}}"#,
            r#"{"status":"success","data":{"alerts":{}}}"#,
            r#"{"status":"success","data":{"alerts":[1]}}"#,
            r#"{"status":"success","data":{"alerts":[{"labels":[]}]}}"#,
            r#"{"status":"success","data":{"alerts":[{"labels":{"tenant_id":1}}]}}"#,
            r#"{"status":"success","data":{"alerts":[{"labels":{"tenant_id":"globex"},"labels":{"tenant_id":"acme"}}]}}"#,
            r#"{"status":"success","data":{"alerts":[{"labels":{"tenant_id":"globex","tenant_id":"acme"}}]}}"#,
            r#"{"status":"success","data":{"alerts":[]},"data":{"alerts":[]}}"#,
            r#"{"status":"success","data":{"alerts":[]}"#,
            r#"{"status":"success","data":{"alerts":[]}}{}"#,
        ] {
            assert!(alerts(answer.as_bytes(), &acme()).is_err(), "{answer}");
        }
    }
}
