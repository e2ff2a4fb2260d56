//! The answer of a search of our own, read as protobuf.
//!
//! Tempo before 2.10 answers a search in JSON whatever it is asked for (`initHTTPCombiner` in
//! `modules/frontend/combiner/search.go`). Such an answer is written as the message that it stands
//! for, with what is read of it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::tempo::answer::{JobFields, Jobs, Unreadable, read_json};
use crate::wire;

/// The `tempopb.SearchResponse` that this JSON stands for: ids of traces, groups, and the name, start
/// and duration of spans.
///
/// # Errors
/// If it is not JSON as Tempo writes it (`jsonpb`).
pub fn side_answer_of_json(answer: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let answer: Answer<'_> = read_json(answer)?;
    let mut out = Vec::new();
    for trace in answer.traces.iter().flatten() {
        let mut message = Vec::new();
        wire::put_bytes(&mut message, 1, trace.id.as_bytes());
        for set in trace.span_sets.iter().flatten() {
            wire::put_bytes(&mut message, 7, &set.message()?);
        }
        wire::put_bytes(&mut out, 1, &message);
    }
    if let Some(jobs) = answer.metrics {
        jobs.put(&mut out, 2, JobFields::SEARCH);
    }
    Ok(out)
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    traces: Option<Vec<Trace<'a>>>,
    metrics: Option<Jobs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trace<'a> {
    #[serde(rename = "traceID", borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    span_sets: Option<Vec<SpanSet<'a>>>,
}

#[derive(Deserialize)]
struct SpanSet<'a> {
    #[serde(borrow)]
    spans: Option<Vec<Span<'a>>>,
    #[serde(default)]
    matched: u32,
    #[serde(borrow)]
    attributes: Option<Vec<Attribute<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    start_time_unix_nano: Cow<'a, str>,
    #[serde(borrow, default)]
    duration_nanos: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Attribute<'a> {
    #[serde(borrow, default)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: Option<AnyValue<'a>>,
}

/// One of them; `None` of all is a list or an object.
#[derive(Deserialize)]
struct AnyValue<'a> {
    #[serde(rename = "stringValue", borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(rename = "boolValue")]
    flag: Option<bool>,
    #[serde(rename = "intValue", borrow)]
    int: Option<Cow<'a, str>>,
    /// A number, or a string for those that JSON has not.
    #[serde(rename = "doubleValue", borrow)]
    float: Option<&'a RawValue>,
}

impl SpanSet<'_> {
    fn message(&self) -> Result<Vec<u8>, Unreadable> {
        let mut message = Vec::new();
        for span in self.spans.iter().flatten() {
            let mut fields = Vec::new();
            wire::put_bytes(&mut fields, 2, span.name.as_bytes());
            wire::put_uint(&mut fields, 3, uint(&span.start_time_unix_nano)?);
            wire::put_uint(&mut fields, 4, uint(&span.duration_nanos)?);
            wire::put_bytes(&mut message, 1, &fields);
        }
        wire::put_uint(&mut message, 2, self.matched.into());
        for attribute in self.attributes.iter().flatten() {
            let mut fields = Vec::new();
            wire::put_bytes(&mut fields, 1, attribute.key.as_bytes());
            if let Some(value) = &attribute.value {
                wire::put_bytes(&mut fields, 2, &value.message()?);
            }
            wire::put_bytes(&mut message, 3, &fields);
        }
        Ok(message)
    }
}

impl AnyValue<'_> {
    fn message(&self) -> Result<Vec<u8>, Unreadable> {
        const ARRAY_VALUE: u32 = 5;
        let mut message = Vec::new();
        match (&self.text, self.flag, &self.int, self.float) {
            (Some(text), ..) => wire::put_bytes(&mut message, 1, text.as_bytes()),
            (_, Some(flag), ..) => wire::put_uint_or_zero(&mut message, 2, u64::from(flag)),
            (.., Some(int), _) => {
                let int: i64 = int.parse().map_err(|_| NOT_A_NUMBER)?;
                wire::put_uint_or_zero(&mut message, 3, int.cast_unsigned());
            }
            (.., Some(float)) => {
                let float = float.get().trim_matches('"').parse::<f64>();
                let bits = float.map_err(|_| NOT_A_NUMBER)?.to_bits();
                wire::put_fixed64_or_zero(&mut message, 4, bits);
            }
            _ => wire::put_bytes(&mut message, ARRAY_VALUE, &[]),
        }
        Ok(message)
    }
}

const NOT_A_NUMBER: Unreadable = Unreadable("a number is not one");

/// A 64-bit integer as jsonpb writes it; one that is left out is zero.
fn uint(text: &str) -> Result<u64, Unreadable> {
    match text {
        "" => Ok(0),
        text => text.parse().map_err(|_| NOT_A_NUMBER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tempo::search::{Listed, OwnSpans, Owners, owners};
    use crate::tempo::tag_name::TagName;
    use crate::tenancy::AttributeValue;

    fn group(key: &str, value: &str) -> String {
        format!(r#"{{"key":"by({key})","value":{value}}}"#)
    }

    fn answer(id: &str, sets: &[String]) -> String {
        let sets = sets.join(",");
        format!(
            r#"{{"traces":[{{"traceID":"{id}","rootServiceName":"x","startTimeUnixNano":"5","durationMs":3,
                "spanSet":{{"matched":9}},"spanSets":[{sets}],"serviceStats":{{"x":{{"spanCount":2}}}}}}],
                "metrics":{{"inspectedTraces":3,"inspectedBytes":"90","completedJobs":2,"totalJobs":2}}}}"#
        )
    }

    #[test]
    fn ownership_is_read_of_json() {
        let attributes = [TagName::resource("tenant_id").unwrap()];
        for (value, expected) in [
            (
                r#"{"stringValue":"a"}"#,
                Some(AttributeValue::Text("a".into())),
            ),
            (r#"{"stringValue":"nil"}"#, None),
            (r#"{"boolValue":false}"#, Some(AttributeValue::Bool(false))),
            (r#"{"intValue":"-5"}"#, Some(AttributeValue::Int(-5))),
            (r#"{"intValue":"0"}"#, Some(AttributeValue::Int(0))),
            (r#"{"doubleValue":0.5}"#, Some(AttributeValue::Float(0.5))),
            (r#"{"doubleValue":0}"#, Some(AttributeValue::Float(0.0))),
            (r#"{"arrayValue":{"values":[{"stringValue":"a"}]}}"#, None),
            ("{}", None),
        ] {
            let set = format!(
                r#"{{"spans":[{{"spanID":"1","startTimeUnixNano":"7"}}],"matched":1,"attributes":[{}]}}"#,
                group("resource.tenant_id", value)
            );
            let json = answer("0A", &[set]);
            let message = side_answer_of_json(json.as_bytes()).unwrap();
            let is_expected = |values: &[Option<AttributeValue<'_>>]| values == [expected.clone()];
            let found = owners(&message, &attributes, is_expected).unwrap();
            assert!(found.own.contains("a"), "{value}");
        }
        let cut_off = r#"{"traces":[],"metrics":{"completedJobs":1,"totalJobs":2}}"#;
        let message = side_answer_of_json(cut_off.as_bytes()).unwrap();
        let found = owners(&message, &attributes, |_| true).unwrap();
        assert_eq!(found, Owners::default());
    }

    #[test]
    fn own_spans_are_read_of_json() {
        let groups = [
            group("nestedSetParent < 0", r#"{"boolValue":true}"#),
            group("resource.service.name", r#"{"stringValue":"shop"}"#),
            group("status = error", r#"{"boolValue":false}"#),
            group(
                "link.opentracing.ref_type =~ \\\".*\\\"",
                r#"{"boolValue":false}"#,
            ),
        ];
        let counts = format!(
            r#"{{"spans":[{{"spanID":"1","name":"GET \"/\"","startTimeUnixNano":"7000000"}}],"matched":1,"attributes":[{}]}}"#,
            groups.join(",")
        );
        let times = r#"{"spans":[{"spanID":"1","startTimeUnixNano":"7000000","durationNanos":"18446744073709551615"}],"matched":1}"#;
        let read = |set: &str| side_answer_of_json(answer("a", &[set.to_owned()]).as_bytes());
        let own = OwnSpans::read(&read(&counts).unwrap(), &read(times).unwrap()).unwrap();
        let listed = Listed {
            id: "0a",
            start: 0,
            duration_ms: 0,
            spans: None,
            metadata: Vec::new(),
        };
        let summary = own.of(&listed).unwrap();
        assert_eq!(&*summary.root_service, "shop");
        assert_eq!(&*summary.root_name, "GET \"/\"");
        assert_eq!(summary.start, 7_000_000);
    }

    #[test]
    fn what_tempo_does_not_write_is_an_error() {
        for text in [
            "",
            "[]",
            "{",
            r#"{"traces":[{}]}"#,
            r#"{"traces":[],"traces":[]}"#,
            r#"{"traces":[{"traceID":"a","spanSets":[{"spans":[{"durationNanos":"-1"}]}]}]}"#,
            r#"{"traces":[{"traceID":"a","spanSets":[{"attributes":[{"value":{"intValue":"x"}}]}]}]}"#,
            r#"{"traces":[{"traceID":"a","spanSets":[{"matched":-1}]}]}"#,
        ] {
            assert!(side_answer_of_json(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(side_answer_of_json(b"{}"), Ok(Vec::new()));
    }
}
