use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Value, json};

use super::generated::{SHOWN, generated};
use super::reference::{self, to_json};
use super::*;
use crate::tempo::testing::{attribute, text};
use crate::tempo::trace::testing::{TraceByIdResponse, all_recorded, owner, owners};
use crate::tempo::trace::{
    ForeignSpans, JsonFilter, Outcome, ProtobufFilter, TraceApi, TraceError, TraceFilter,
};

const LIMIT: usize = 1 << 20;

fn showing(shown: &[&str]) -> Outline {
    Outline::new(shown.iter().map(|text| Shown::parse(text).unwrap()))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Json,
    Protobuf,
}

fn filter(
    form: Form,
    api: TraceApi,
    owner: &TraceOwner,
    outline: Outline,
    limit: usize,
) -> TraceFilter {
    let (owner, foreign) = (
        Arc::new(owner.clone()),
        ForeignSpans::Outline(Arc::new(outline)),
    );
    match form {
        Form::Json => TraceFilter::Json(JsonFilter::new(api, owner, &foreign, limit)),
        Form::Protobuf => TraceFilter::Protobuf(ProtobufFilter::new(api, owner, &foreign, limit)),
    }
}

/// The answer, if anything is ours; in chunks of this many bytes.
fn answer(
    mut filter: TraceFilter,
    body: &[u8],
    chunk: usize,
) -> Result<Option<Vec<u8>>, TraceError> {
    let mut out = Vec::new();
    for chunk in body.chunks(chunk) {
        filter.push(&Bytes::copy_from_slice(chunk), &mut out)?;
    }
    Ok(match filter.finish(&mut out)? {
        Outcome::Nothing => {
            assert!(out.is_empty(), "something of nothing");
            None
        }
        Outcome::Kept { .. } => Some(out.concat()),
    })
}

/// The same, which must not depend on the chunks.
fn outlined(
    form: Form,
    api: TraceApi,
    owner: &TraceOwner,
    shown: &[&str],
    body: &[u8],
) -> Option<Vec<u8>> {
    let new = || filter(form, api, owner, showing(shown), LIMIT);
    let whole = answer(new(), body, body.len().max(1)).unwrap();
    for chunk in [1, 7, 64] {
        assert_eq!(answer(new(), body, chunk).unwrap(), whole);
    }
    whole
}

fn encoded(parts: &[ResourceSpans], api: TraceApi) -> Vec<u8> {
    let trace = TracesData {
        resource_spans: parts.to_vec(),
    };
    match api {
        TraceApi::V1 => trace.encode_to_vec(),
        TraceApi::V2 => TraceByIdResponse {
            trace: Some(trace),
            ..TraceByIdResponse::default()
        }
        .encode_to_vec(),
    }
}

fn decoded(body: &[u8], api: TraceApi) -> Vec<ResourceSpans> {
    match api {
        TraceApi::V1 => TracesData::decode(body).unwrap(),
        TraceApi::V2 => TraceByIdResponse::decode(body).unwrap().trace.unwrap(),
    }
    .resource_spans
}

fn in_json(list: &Value, api: TraceApi) -> Value {
    match api {
        TraceApi::V1 => json!({ "batches": list }),
        TraceApi::V2 => json!({"trace": {"resourceSpans": list}, "metrics": {}}),
    }
}

proptest! {
    #[test]
    fn outline_is_that_of_a_decoder(
        parts in prop::collection::vec(generated(), 0..5),
        owner in owners(),
        shown in prop::sample::subsequence(SHOWN.to_vec(), 0..=SHOWN.len()),
        v2 in any::<bool>(),
        spaced in any::<bool>(),
    ) {
        let api = if v2 { TraceApi::V2 } else { TraceApi::V1 };
        let expected = reference::seen(&parts, &owner, &shown);

        let body = encoded(&parts, api);
        let got = outlined(Form::Protobuf, api, &owner, &shown, &body);
        prop_assert_eq!(got.map(|body| decoded(&body, api)), expected.clone());

        let list: Value = parts.iter().map(to_json).collect();
        let body = in_json(&list, api);
        let body = if spaced { format!("{body:#}") } else { body.to_string() };
        let got = outlined(Form::Json, api, &owner, &shown, body.as_bytes());
        let got = got.map(|text| serde_json::from_slice::<Value>(&text).unwrap());
        let expected = expected.map(|parts| in_json(&parts.iter().map(to_json).collect(), api));
        prop_assert_eq!(got, expected);
    }
}

#[test]
fn recorded_traces_have_the_same_outline_in_both_forms() {
    let mut mixed = 0;
    for (path, body) in all_recorded(TraceApi::V1, "-proto.pb") {
        let json = path.to_str().unwrap().replace("-proto.pb", ".json");
        let json = std::fs::read(json).unwrap();
        for shown in [
            &[][..],
            &[
                "span:name",
                "resource.service.name",
                "span.b.attr",
                "event.b.ev",
            ],
        ] {
            for owner in [owner(&["A"]), owner(&["B"])] {
                let parts = decoded(&body, TraceApi::V1);
                let expected = reference::seen(&parts, &owner, shown);
                let got = outlined(Form::Protobuf, TraceApi::V1, &owner, shown, &body);
                let got = got.map(|body| decoded(&body, TraceApi::V1));
                assert_eq!(got, expected, "{}", path.display());
                let json = outlined(Form::Json, TraceApi::V1, &owner, shown, &json);
                assert_eq!(json.is_some(), expected.is_some());
                let (Some(json), Some(expected)) = (json, expected) else {
                    continue;
                };
                let json: Value = serde_json::from_slice(&json).unwrap();
                for (json, part) in json["batches"].as_array().unwrap().iter().zip(&expected) {
                    if !parts.contains(part) {
                        mixed += 1;
                        assert_eq!(*json, to_json(part), "{}", path.display());
                    }
                }
            }
        }
    }
    assert!(mixed > 3);
}

/// A part of `A`, and one of `B` whose texts are all secret.
fn own() -> ResourceSpans {
    serde_part("A", "ours")
}

fn foreign() -> ResourceSpans {
    serde_part("B", "SECRET")
}

fn serde_part(tenant: &str, word: &str) -> ResourceSpans {
    use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
    use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span, Status};
    let secrets = || {
        let more = ["service.name", word].map(|key| attribute(key, text(word)));
        more.to_vec()
    };
    let mut resource = secrets();
    resource.push(attribute("tenant_id", text(tenant)));
    ResourceSpans {
        resource: Some(Resource {
            attributes: resource,
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: word.to_owned(),
                version: word.to_owned(),
                attributes: secrets(),
                ..InstrumentationScope::default()
            }),
            spans: vec![Span {
                trace_id: vec![1; 16],
                span_id: vec![2; 8],
                parent_span_id: vec![3; 8],
                trace_state: word.to_owned(),
                flags: 0x5345_4352,
                name: word.to_owned(),
                kind: 2,
                start_time_unix_nano: 5,
                end_time_unix_nano: 6,
                attributes: secrets(),
                events: vec![Event {
                    name: word.to_owned(),
                    attributes: secrets(),
                    ..Event::default()
                }],
                links: vec![Link {
                    trace_state: word.to_owned(),
                    attributes: secrets(),
                    ..Link::default()
                }],
                status: Some(Status {
                    message: word.to_owned(),
                    code: 2,
                }),
                ..Span::default()
            }],
            schema_url: word.to_owned(),
        }],
        schema_url: word.to_owned(),
    }
}

fn holds(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|part| part == word.as_bytes())
}

#[test]
fn outline_without_attributes_is_the_node_alone() {
    for api in [TraceApi::V1, TraceApi::V2] {
        let parts = [foreign(), own(), foreign()];
        let body = encoded(&parts, api);
        let got = outlined(Form::Protobuf, api, &owner(&["A"]), &[], &body).unwrap();
        assert!(!holds(&got, "SECRET") && !holds(&got, "B"));
        let json = in_json(&parts.iter().map(to_json).collect(), api).to_string();
        let got = outlined(Form::Json, api, &owner(&["A"]), &[], json.as_bytes()).unwrap();
        assert!(!holds(&got, "SECRET"));
        let got: Value = serde_json::from_slice(&got).unwrap();
        let list = got.pointer(match api {
            TraceApi::V1 => "/batches",
            TraceApi::V2 => "/trace/resourceSpans",
        });
        let node = json!({"resource": {}, "scopeSpans": [{"spans": [{
            "traceId": "AQEBAQEBAQEBAQEBAQEBAQ==", "spanId": "AgICAgICAgI=",
            "parentSpanId": "AwMDAwMDAwM=", "kind": "SPAN_KIND_SERVER",
            "startTimeUnixNano": "5", "endTimeUnixNano": "6",
            "status": {"code": "STATUS_CODE_ERROR"},
        }]}]});
        assert_eq!(list, Some(&json!([node, to_json(&own()), node])));
    }
}

#[test]
fn kind_is_shown_if_it_is_a_known_one() {
    const KINDS: [&str; 6] = [
        "SPAN_KIND_UNSPECIFIED",
        "SPAN_KIND_INTERNAL",
        "SPAN_KIND_SERVER",
        "SPAN_KIND_CLIENT",
        "SPAN_KIND_PRODUCER",
        "SPAN_KIND_CONSUMER",
    ];
    const PLACE: &str = "/batches/1/scopeSpans/0/spans/0/kind";
    let (api, owner) = (TraceApi::V1, owner(&["A"]));
    for kind in -1..=7 {
        let mut part = foreign();
        part.scope_spans[0].spans[0].kind = kind;
        let body = encoded(&[own(), part], api);
        let got = outlined(Form::Protobuf, api, &owner, &[], &body).unwrap();
        let got = TracesData::decode(&*got).unwrap();
        let shown = if (1..=5).contains(&kind) { kind } else { 0 };
        assert_eq!(got.resource_spans[1].scope_spans[0].spans[0].kind, shown);

        let name = usize::try_from(kind).ok().and_then(|at| KINDS.get(at));
        let mut forms = vec![json!(kind)];
        forms.extend(name.map(|name| json!(name)));
        for form in forms {
            let mut body = in_json(&[own(), foreign()].iter().map(to_json).collect(), api);
            *body.pointer_mut(PLACE).unwrap() = form;
            let body = body.to_string();
            let got = outlined(Form::Json, api, &owner, &[], body.as_bytes()).unwrap();
            let got: Value = serde_json::from_slice(&got).unwrap();
            let shown = name.filter(|_| kind > 0).map(|name| json!(name));
            assert_eq!(got.pointer(PLACE), shown.as_ref(), "{kind}");
        }
    }
}

#[test]
fn trace_without_own_spans_has_no_outline() {
    for api in [TraceApi::V1, TraceApi::V2] {
        let parts = [foreign(), foreign()];
        let body = encoded(&parts, api);
        assert_eq!(
            outlined(Form::Protobuf, api, &owner(&["A"]), &["span:name"], &body),
            None
        );
        let json = in_json(&parts.iter().map(to_json).collect(), api).to_string();
        assert_eq!(
            outlined(
                Form::Json,
                api,
                &owner(&["A"]),
                &["span:name"],
                json.as_bytes()
            ),
            None
        );
    }
}

/// A field of bytes with this number.
fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut made = Vec::new();
    crate::wire::put_bytes(&mut made, number, bytes);
    made
}

#[test]
fn nothing_unknown_is_copied_from_protobuf() {
    let everything = ["span:name", "resource.k", "scope.k", "span.k", "event.k"];
    let id = field(2, &[7; 8]);
    let (word, key) = (b"SECRET", field(1, b"k"));
    let value = field(2, &field(1, b"shown"));
    let node = |more: &[u8]| field(2, &[&id, more].concat());
    let pair = |more: &[u8]| [&key[..], &value, more].concat();
    let over = |number| field(number, word);
    // A scope's spans, and whether the span is shown.
    for (spans, shown) in [
        (node(b""), true),
        (node(&over(100)), true),
        (node(&over(3)), true),
        (node(&field(15, &over(2))), true),
        (node(&field(15, &over(9))), true),
        (node(&field(15, &over(3))), false),
        (node(&field(9, &pair(&over(3)))), true),
        (node(&field(9, &pair(&field(2, &over(1))))), true),
        (node(&field(9, &pair(&over(1)))), true),
        (
            node(&field(9, &[&key[..], &field(2, &over(6))].concat())),
            true,
        ),
        (
            node(&field(9, &[&key[..], &field(2, &over(7))].concat())),
            true,
        ),
        (
            node(&field(9, &[&key[..], &field(2, &over(9))].concat())),
            true,
        ),
        (
            node(&field(
                9,
                &[&key[..], &field(2, &[field(1, b"x"), over(8)].concat())].concat(),
            )),
            true,
        ),
        (
            node(&field(
                9,
                &[&key[..], &field(2, &field(5, &over(2)))].concat(),
            )),
            true,
        ),
        (
            node(&field(
                9,
                &[&key[..], &field(2, &field(5, &field(1, &over(7))))].concat(),
            )),
            true,
        ),
        (node(&field(9, word)), true),
        (
            node(&field(11, &[over(2), field(3, &pair(b""))].concat())),
            true,
        ),
        (
            node(&field(11, &[over(7), field(3, &pair(b""))].concat())),
            true,
        ),
        (node(&field(13, &over(3))), true),
        // Of another type than they should be.
        (node(&over(6)), false),
        (node(&over(7)), false),
        (node(b"\x12\x01\x02"), true),
        (node(b"\x10\x05"), false),
        (node(b"\x31SECRETAB"), false),
        (node(b"\x45SECR"), false),
        (node(b"\x0b\x0c"), false),
        (node(b"\x7d\x53\x45\x43\x52"), false),
        // Ids that are none.
        (node(&field(4, b"SECRETSECRET")), false),
        (node(&field(2, b"SECRETSECRET")), false),
        (node(&field(1, b"SECRETSECRETSECRET")), false),
        (field(2, &over(4)), false),
        // A name that is no text.
        (node(&field(5, b"SECRET\xff")), false),
        // Enums that are none.
        (node(b"\x30\x06"), true),
        (node(b"\x30\xd3\x8a\x8d\xa2\x05"), true),
    ] {
        let others = [field(1, &over(9)), over(3), over(100)].concat();
        let scope_spans = field(2, &[&spans[..], &node(b""), &over(3), &over(9)].concat());
        let foreign = field(1, &[&others[..], &scope_spans].concat());
        let mut body = foreign.clone();
        body.extend(encoded(&[own()], TraceApi::V1));
        body.extend(&foreign);
        let got = outlined(
            Form::Protobuf,
            TraceApi::V1,
            &owner(&["A"]),
            &everything,
            &body,
        );
        let got = got.unwrap();
        assert!(!holds(&got, "SECR"), "{spans:x?}");
        let got = decoded(&got, TraceApi::V1);
        let count =
            |part: &ResourceSpans| part.scope_spans.iter().map(|scope| scope.spans.len()).sum();
        let counts: Vec<usize> = got.iter().map(count).collect();
        let nodes = 1 + usize::from(shown);
        assert_eq!(counts, [nodes, 1, nodes], "{spans:x?}");
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one line a case")]
fn nothing_unknown_is_copied_from_json() {
    let everything = ["span:name", "resource.k", "scope.k", "span.k", "event.k"];
    let id = r#""spanId":"BwcHBwcHBwc=""#;
    let with = |attribute: &str| format!(r#"{{{id},"attributes":[{attribute}]}}"#);
    let value = |value: &str| with(&format!(r#"{{"key":"k","value":{value}}}"#));
    for (span, shown) in [
        (format!("{{{id}}}"), true),
        (r#"{"span\u0049d":"BwcHBwcHBwc\u003d"}"#.to_owned(), true),
        (
            format!(r#"{{{id},"SECRET":{{"SECRET":["SECRET"]}}}}"#),
            true,
        ),
        (
            format!(r#"{{{id},"Name":"SECRET","traceState":"SECRET","flags":1}}"#),
            true,
        ),
        (
            format!(r#"{{{id},"status":{{"message":"SECRET","x":"SECRET"}}}}"#),
            true,
        ),
        (format!(r#"{{{id},"status":{{"code":"SECRET"}}}}"#), true),
        (format!(r#"{{{id},"status":{{"code":1,"code":2}}}}"#), false),
        (format!(r#"{{{id},"status":"SECRET"}}"#), false),
        (format!(r#"{{{id},"kind":"SECRET"}}"#), true),
        (format!(r#"{{{id},"kind":["SECRET"]}}"#), true),
        (format!(r#"{{{id},"kind":3}}"#), true),
        (format!(r#"{{{id},"kind":77}}"#), true),
        (format!(r#"{{{id},"startTimeUnixNano":"SECRET"}}"#), false),
        (format!(r#"{{{id},"endTimeUnixNano":["SECRET"]}}"#), false),
        (format!(r#"{{{id},"endTimeUnixNano":1.5}}"#), false),
        (format!(r#"{{{id},"endTimeUnixNano":-5}}"#), false),
        (format!(r#"{{{id},"endTimeUnixNano":null}}"#), true),
        (format!(r#"{{{id},"parentSpanId":"SECRET SECRET"}}"#), false),
        (format!(r#"{{{id},"parentSpanId":"SECRET\u0022,"}}"#), false),
        (format!(r#"{{{id},"parentSpanId":{{"SECRET":1}}}}"#), false),
        (
            format!(r#"{{{id},"traceId":"{}"}}"#, "SECRET".repeat(6)),
            false,
        ),
        (format!(r"{{{id},{id}}}"), false),
        (format!(r#"{{{id},"name":"a","name":"SECRET"}}"#), false),
        (format!(r#"{{{id},"name":["SECRET"]}}"#), true),
        (format!(r#"{{{id},"name":"SECRET\ud800"}}"#), true),
        (r#"{"spanId":"","name":"SECRET"}"#.to_owned(), false),
        (r#"{"spanId":null,"name":"SECRET"}"#.to_owned(), false),
        (r#"{"name":"SECRET"}"#.to_owned(), false),
        (r#"["SECRET"]"#.to_owned(), false),
        (r#""SECRET""#.to_owned(), false),
        ("null".to_owned(), false),
        (
            with(r#"{"key":"SECRET","value":{"stringValue":"SECRET"}}"#),
            true,
        ),
        (
            with(r#"{"key":"SECRET","key":"k","value":{"stringValue":"SECRET"}}"#),
            true,
        ),
        (
            with(r#"{"key":"k\ud800","value":{"stringValue":"SECRET"}}"#),
            true,
        ),
        (
            with(r#"{"key":"k","SECRET":1,"value":{"stringValue":"shown"}}"#),
            true,
        ),
        (
            with(r#"{"key":"k"},"SECRET",["SECRET"],{"value":"SECRET"}"#),
            true,
        ),
        (value(r#""SECRET""#), true),
        (value(r#"{"stringValue":["SECRET"]}"#), true),
        (value(r#"{"stringValue":"x","bytesValue":"SECRET"}"#), true),
        (value(r#"{"stringValue":"SECRET","intValue":"1"}"#), true),
        (value(r#"{"boolValue":"SECRET"}"#), true),
        (value(r#"{"intValue":"SECRET"}"#), true),
        (value(r#"{"doubleValue":"SECRET"}"#), true),
        (value(r#"{"doubleValue":["SECRET"]}"#), true),
        (
            value(r#"{"kvlistValue":{"values":[{"key":"SECRET"}]}}"#),
            true,
        ),
        (
            value(r#"{"arrayValue":{"values":[{"stringValue":"x"},{"arrayValue":"SECRET"}]}}"#),
            true,
        ),
        (
            value(r#"{"arrayValue":{"SECRET":1,"values":["SECRET"]}}"#),
            true,
        ),
        (
            value(r#"{"arrayValue":{"values":[]},"stringValue":"SECRET"}"#),
            true,
        ),
        (
            format!(
                r#"{{{id},"events":[{{"name":"SECRET","x":"SECRET","timeUnixNano":"7","attributes":
                [{{"key":"k","value":{{"intValue":"1"}}}}]}},{{"attributes":[],"name":"SECRET"}}]}}"#
            ),
            true,
        ),
        (
            format!(r#"{{{id},"events":"SECRET","links":[{{"traceState":"SECRET"}}]}}"#),
            true,
        ),
    ] {
        let foreign = format!(
            r#"{{"schemaUrl":"SECRET","resource":{{"x":"SECRET","attributes":[{{"key":"SECRET"}}]}},
            "scopeSpans":[{{"scope":{{"name":"SECRET"}},"spans":[{span},{{{id}}}],"x":"SECRET"}}]}}"#
        );
        let mine = to_json(&own());
        let body = format!(r#"{{"batches":[{foreign},{mine},{foreign}]}}"#);
        let got = outlined(
            Form::Json,
            TraceApi::V1,
            &owner(&["A"]),
            &everything,
            body.as_bytes(),
        );
        let got = got.unwrap();
        assert!(!holds(&got, "SECRET"), "{span}");
        let got: Value = serde_json::from_slice(&got).unwrap();
        let spans = |part: &Value| {
            part.pointer("/scopeSpans/0/spans")
                .unwrap()
                .as_array()
                .unwrap()
                .len()
        };
        let counts: Vec<_> = got["batches"]
            .as_array()
            .unwrap()
            .iter()
            .map(spans)
            .collect();
        let nodes = 1 + usize::from(shown);
        assert_eq!(counts, [nodes, 1, nodes], "{span}");
    }
}

#[test]
fn part_of_a_doubtful_shape_is_left_out_of_json() {
    let spans = r#""scopeSpans":[{"spans":[{"spanId":"BwcHBwcHBwc="}]}]"#;
    let mine = to_json(&own());
    for (part, shown) in [
        (format!("{{{spans}}}"), true),
        (format!(r#"{{{spans},"resource":{{}}}}"#), true),
        (format!(r#"{{"resource":null,{spans}}}"#), true),
        (format!(r#"{{"resource":"SECRET",{spans}}}"#), false),
        (
            format!(r#"{{"resource":{{}},{spans},"resource":{{}}}}"#),
            false,
        ),
        (format!(r#"{{"resource":{{}},{spans},{spans}}}"#), false),
        (r#"{"resource":{},"scopeSpans":"SECRET"}"#.to_owned(), false),
        (
            r#"{"resource":{},"scopeSpans":[{"spans":{"SECRET":1}},"SECRET"]}"#.to_owned(),
            false,
        ),
        (r#"{"resource":{}}"#.to_owned(), false),
        (r#""SECRET""#.to_owned(), false),
        ("null".to_owned(), false),
    ] {
        let body = format!(r#"{{"batches":[{part},{mine},{part}]}}"#);
        let got = outlined(
            Form::Json,
            TraceApi::V1,
            &owner(&["A"]),
            &[],
            body.as_bytes(),
        )
        .unwrap();
        let got: Value = serde_json::from_slice(&got).unwrap();
        let parts = got["batches"].as_array().unwrap().len();
        assert_eq!(parts, if shown { 3 } else { 1 }, "{part}");
        assert!(!got.to_string().contains("SECRET"));
    }
}

#[test]
fn outlines_wait_for_the_first_own_part() {
    for form in [Form::Protobuf, Form::Json] {
        let body = |parts: &[ResourceSpans]| match form {
            Form::Protobuf => encoded(parts, TraceApi::V1),
            Form::Json => in_json(&parts.iter().map(to_json).collect(), TraceApi::V1)
                .to_string()
                .into_bytes(),
        };
        let before = match form {
            Form::Protobuf => body(&[foreign()]),
            Form::Json => {
                let text = body(&[foreign()]);
                [&text[..text.len() - 2], b","].concat()
            }
        };
        let whole = body(&[foreign(), own(), foreign()]);
        assert!(whole.starts_with(&before));
        let mut filter = filter(
            form,
            TraceApi::V1,
            &owner(&["A"]),
            Outline::default(),
            LIMIT,
        );
        let mut out = Vec::new();
        filter.push(&before.clone().into(), &mut out).unwrap();
        assert!(out.is_empty(), "{form:?}");
        assert!(filter.held_bytes() > 50);
        let rest = whole[before.len()..].to_vec();
        filter.push(&rest.into(), &mut out).unwrap();
        assert!(!out.is_empty());
        assert!(filter.held_bytes() < 50, "{form:?}");
    }
}

#[test]
fn outlines_that_fit_are_held_until_the_first_own_part() {
    let parts = [foreign(), foreign(), own()];
    for form in [Form::Protobuf, Form::Json] {
        let body = match form {
            Form::Protobuf => encoded(&parts, TraceApi::V1),
            Form::Json => in_json(&parts.iter().map(to_json).collect(), TraceApi::V1)
                .to_string()
                .into_bytes(),
        };
        let new = |limit| {
            filter(
                form,
                TraceApi::V1,
                &owner(&["A"]),
                Outline::default(),
                limit,
            )
        };
        let roomy = answer(new(LIMIT), &body, 7).unwrap();
        assert_eq!(answer(new(body.len()), &body, 7).unwrap(), roomy);
        let roomy = roomy.unwrap();
        let count = match form {
            Form::Protobuf => decoded(&roomy, TraceApi::V1).len(),
            Form::Json => {
                let json: Value = serde_json::from_slice(&roomy).unwrap();
                json["batches"].as_array().unwrap().len()
            }
        };
        assert_eq!(count, 3, "{form:?}");
    }
}

#[test]
fn outlines_that_do_not_fit_are_left_out() {
    let many: Vec<_> = std::iter::repeat_with(foreign).take(40).collect();
    for form in [Form::Protobuf, Form::Json] {
        for api in [TraceApi::V1, TraceApi::V2] {
            let body = |parts: &[ResourceSpans]| match form {
                Form::Protobuf => encoded(parts, api),
                Form::Json => in_json(&parts.iter().map(to_json).collect(), api)
                    .to_string()
                    .into_bytes(),
            };
            let limit = body(&[own(), own()]).len();
            let seen = |parts: &[ResourceSpans]| {
                let new = || filter(form, api, &owner(&["A"]), Outline::default(), limit);
                let body = body(parts);
                let whole = answer(new(), &body, body.len()).unwrap();
                assert_eq!(whole, answer(new(), &body, 7).unwrap());
                whole
            };
            assert_eq!(seen(&many), None, "{form:?} {api:?}");
            let parts = [&many[..], &[own()], &many[..1]].concat();
            let got = seen(&parts);
            let mut expected = body(&[own()]);
            if (form, api) == (Form::Protobuf, TraceApi::V2) {
                // Empty metrics.
                expected.extend(b"\x12\x00");
            }
            assert_eq!(got, Some(expected), "{form:?} {api:?}");
        }
    }
}

#[test]
fn foreign_part_that_does_not_fit_is_left_out_of_json() {
    let mut large = foreign();
    large.scope_spans[0].spans[0].name = "x".repeat(LIMIT);
    let json = in_json(
        &json!([to_json(&large), to_json(&own()), to_json(&foreign())]),
        TraceApi::V1,
    );
    let got = outlined(
        Form::Json,
        TraceApi::V1,
        &owner(&["A"]),
        &[],
        json.to_string().as_bytes(),
    );
    let got: Value = serde_json::from_slice(&got.unwrap()).unwrap();
    assert_eq!(got["batches"].as_array().unwrap().len(), 2);
    assert_eq!(got["batches"][0], to_json(&own()));
}

#[test]
fn what_is_shown_is_written_as_it_is_read() {
    for text in [
        "span:name",
        "resource.service.name",
        "scope.a",
        "span.http.route",
        "event.name",
        "event:name",
        "scope:version",
        "span.span:name",
    ] {
        assert_eq!(Shown::parse(text).unwrap().to_string(), text);
    }
    for text in [
        "",
        "span",
        "span.",
        ".a",
        "service.name",
        "Span.a",
        "name",
        "span:kind",
        "instrumentation.a",
    ] {
        assert_eq!(Shown::parse(text), None, "{text}");
    }
}

#[test]
fn attribute_that_names_the_tenant_is_shown_nowhere() {
    let outline = showing(&[
        "span:name",
        "resource.tenant_id",
        "span.tenant_id",
        "span.tenant_id2",
    ]);
    let outline = outline.without_tenants(&owner(&["A"]));
    assert!(outline.has(Intrinsic::SpanName) && outline.shows(Place::Span, "tenant_id2"));
    assert!(!outline.shows(Place::Span, "tenant_id"));
    assert!(!outline.shows_any(Place::Resource));
}
