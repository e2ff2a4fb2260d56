use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tempo::trace::NOT_FOUND_V2_JSON;
use crate::tempo::trace::testing::{
    Generated, all_recorded, generated, is_ours_json, owner, owners, recorded, tenants,
};

const LIMIT: usize = 1 << 20;

/// Filters a text in these chunks; returns the outcome and the output.
fn filter(
    mut filter: JsonFilter,
    chunks: impl IntoIterator<Item = Bytes>,
) -> Result<(Outcome, Vec<u8>), TraceError> {
    let mut out = Vec::new();
    for chunk in chunks {
        filter.push(&chunk, &mut out)?;
    }
    let outcome = filter.finish(&mut out)?;
    let text = out.concat();
    assert_eq!(outcome == Outcome::Nothing, text.is_empty());
    Ok((outcome, text))
}

fn cut(text: &[u8], chunk: usize) -> Vec<Bytes> {
    text.chunks(chunk).map(Bytes::copy_from_slice).collect()
}

fn redact_as(
    text: &[u8],
    api: TraceApi,
    owner: &TraceOwner,
) -> Result<(Outcome, Vec<u8>), TraceError> {
    let new = || JsonFilter::new(api, Arc::new(owner.clone()), &ForeignSpans::Redact, LIMIT);
    let whole = filter(new(), cut(text, usize::MAX));
    for chunk in [1, 7, 64] {
        let parts = filter(new(), cut(text, chunk));
        assert_eq!(whole, parts, "{}", String::from_utf8_lossy(text));
    }
    whole
}

fn redact(text: &[u8], api: TraceApi, names: &[&str]) -> Result<(Outcome, Vec<u8>), TraceError> {
    redact_as(text, api, &owner(names))
}

fn deny(text: &[u8], api: TraceApi, limit: usize) -> Result<(Outcome, Vec<u8>), TraceError> {
    let new = || JsonFilter::new(api, Arc::new(owner(&["A"])), &ForeignSpans::Deny, limit);
    let whole = filter(new(), cut(text, usize::MAX));
    for chunk in [1, 7, 64] {
        assert_eq!(whole, filter(new(), cut(text, chunk)));
    }
    whole
}

/// The expected answer: the part of a parsed answer that is ours, without fields about the whole.
fn expected(answer: &Value, api: TraceApi, owner: &TraceOwner) -> Option<(Value, bool)> {
    let mut answer = answer.clone();
    let trace = match api {
        TraceApi::V1 => &mut answer,
        TraceApi::V2 => &mut answer["trace"],
    };
    let (_, list) = trace.as_object_mut()?.iter_mut().next()?;
    let list = list.as_array_mut()?;
    let before = list.len();
    list.retain(|spans| is_ours_json(spans, owner));
    let all = list.len() == before;
    if list.is_empty() {
        return None;
    }
    if api == TraceApi::V2 {
        answer["metrics"] = json!({});
        if answer.get("message").is_some() {
            answer["message"] = json!(PARTIAL_MESSAGE);
        }
    }
    Some((answer, all))
}

fn check(text: &[u8], api: TraceApi, owner: &TraceOwner) {
    let answer: Value = serde_json::from_slice(text).unwrap();
    let (outcome, text) = redact_as(text, api, owner).unwrap();
    match expected(&answer, api, owner) {
        None => assert_eq!(outcome, Outcome::Nothing),
        Some((expected, all)) => {
            assert_eq!(outcome, Outcome::Kept { all });
            let found: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(found, expected);
            // The members are in the same order too.
            let text = |value| serde_json::to_string(value).unwrap();
            assert_eq!(text(&found), text(&expected));
        }
    }
}

/// A v1 answer of one element.
fn one(element: &str) -> String {
    format!(r#"{{"batches":[{element}]}}"#)
}

fn with_attributes(attributes: &str) -> String {
    one(&format!(
        r#"{{"resource":{{"attributes":[{attributes}]}},"scopeSpans":[]}}"#
    ))
}

const MINE: &str = r#"{"key":"tenant_id","value":{"stringValue":"A"}}"#;

#[test]
fn recorded_own_trace_loses_only_its_metrics() {
    let v1 = recorded("trace-v1-A-only.json");
    let kept = Outcome::Kept { all: true };
    assert_eq!(redact(&v1, TraceApi::V1, &["A"]), Ok((kept, v1.to_vec())));

    let v2 = recorded("trace-v2-A-only.json");
    let (outcome, text) = redact(&v2, TraceApi::V2, &["A"]).unwrap();
    assert_eq!(outcome, kept);
    let metrics = memchr::memmem::find(&v2, br#","metrics":{"inspected"#).unwrap();
    assert_eq!(text, [&v2[..metrics], br#","metrics":{}}"#].concat());
}

#[test]
fn recorded_mixed_trace_loses_the_other_tenant() {
    for (name, api) in [
        ("trace-v1-mixed-B-root.json", TraceApi::V1),
        ("trace-v2-mixed-B-root.json", TraceApi::V2),
    ] {
        let body = recorded(name);
        let (outcome, text) = redact(&body, api, &["A"]).unwrap();
        assert_eq!(outcome, Outcome::Kept { all: false });
        assert_eq!(memchr::memmem::find(&text, b"SECRET"), None);
        assert!(memchr::memmem::find(&text, b"A-greatgrandchild").is_some());
        assert_eq!(deny(&body, api, LIMIT), Ok((Outcome::Nothing, vec![])));
    }
}

#[test]
fn foreign_trace_is_answered_as_missing() {
    for (name, api) in [
        ("trace-v1-B-only.json", TraceApi::V1),
        ("trace-v2-B-only.json", TraceApi::V2),
        ("trace-v1-dup-keys.json", TraceApi::V1),
        ("trace-v2-dup-keys.json", TraceApi::V2),
        ("trace-v1-untagged.json", TraceApi::V1),
        ("trace-v2-untagged.json", TraceApi::V2),
        ("trace-v2-notfound.json", TraceApi::V2),
        ("trace-v2-B-q-tenantA-empty.json", TraceApi::V2),
    ] {
        let nothing = Ok((Outcome::Nothing, vec![]));
        assert_eq!(redact(&recorded(name), api, &["A"]), nothing, "{name}");
        assert_eq!(deny(&recorded(name), api, LIMIT), nothing, "{name}");
    }
    assert_eq!(recorded("trace-v2-notfound.json"), NOT_FOUND_V2_JSON);
}

#[test]
fn every_recorded_trace_is_redacted_as_a_decoder_would() {
    for api in [TraceApi::V1, TraceApi::V2] {
        for (path, body) in all_recorded(api, ".json") {
            println!("{}", path.display());
            for names in [&["A"][..], &["B"], &["A", "B"], &["C"]] {
                check(&body, api, &owner(names));
            }
        }
    }
}

#[test]
fn json_and_protobuf_of_a_recorded_trace_are_redacted_alike() {
    use crate::tempo::trace::testing::{Redacted, redact_protobuf};
    for (path, body) in all_recorded(TraceApi::V1, "-proto.pb") {
        let json = path.to_str().unwrap().replace("-proto.pb", ".json");
        let json = std::fs::read(json).unwrap();
        for names in [&["A"][..], &["B"], &["A", "B"]] {
            let protobuf =
                match redact_protobuf(&body, TraceApi::V1, &owner(names), &ForeignSpans::Redact) {
                    Ok(Redacted::Nothing) => Outcome::Nothing,
                    Ok(Redacted::Kept { all, .. }) => Outcome::Kept { all },
                    Err(error) => panic!("{error}"),
                };
            assert_eq!(redact(&json, TraceApi::V1, names).unwrap().0, protobuf);
        }
    }
}

#[test]
fn incomplete_trace_stays_incomplete_with_our_message() {
    let answer = |more: &str| {
        let spans = with_attributes(MINE).replace("batches", "resourceSpans");
        format!(r#"{{"trace":{spans},"metrics":{{"inspectedBytes":"9"}}{more}}}"#)
    };
    let tail = |text: &str| {
        let (_, text) = redact(text.as_bytes(), TraceApi::V2, &["A"]).unwrap();
        let mut answer: Value = serde_json::from_slice(&text).unwrap();
        answer.as_object_mut().unwrap().remove("trace").unwrap();
        answer
    };
    for partial in [r#""PARTIAL""#, "1", "2", r#""NEW""#, r#"{"a":1}"#] {
        let more = format!(r#","status":{partial},"message":"exceeds 123456 bytes","new":[1]"#);
        let expected = json!({"metrics": {}, "status": "PARTIAL", "message": PARTIAL_MESSAGE});
        assert_eq!(tail(&answer(&more)), expected);
    }
    for complete in [r#""COMPLETE""#, "0", "null"] {
        let more = format!(r#","status":{complete},"message":"about the whole""#);
        assert_eq!(tail(&answer(&more)), json!({"metrics": {}}));
    }
    let first = answer("").replacen('{', r#"{"status":"PARTIAL","#, 1);
    assert_eq!(tail(&first)["status"], "PARTIAL");
}

#[test]
fn only_one_exact_string_makes_a_resource_ours() {
    let other = r#"{"key":"service.name","value":{"stringValue":"shop"}}"#;
    let value = |value: &str| format!(r#"{{"key":"tenant_id","value":{value}}}"#);
    let theirs = value(r#"{"stringValue":"B"}"#);
    for (attributes, ours) in [
        (MINE.to_owned(), true),
        (format!("{other},{MINE},{other}"), true),
        (format!(" {other} , {MINE}\n"), true),
        (
            r#"{ "value" : { "stringValue" : "A" } , "key" : "tenant_id" }"#.to_owned(),
            true,
        ),
        (
            r#"{"key":"tenant\u005fid","value":{"stringValue":"\u0041"}}"#.to_owned(),
            true,
        ),
        (
            r#"{"\u006bey":"tenant_id","value":{"string\u0056alue":"A"}}"#.to_owned(),
            true,
        ),
        (String::new(), false),
        (other.to_owned(), false),
        (format!("{MINE},{MINE}"), false),
        (format!("{MINE},{theirs}"), false),
        (format!("{theirs},{MINE}"), false),
        (
            format!(r#"{MINE},{{"key":"tenant\u005fid","value":{{"stringValue":"B"}}}}"#),
            false,
        ),
        (format!(r#"{MINE},{{"key":"tenant_id"}}"#), false),
        (
            format!(r#"{MINE},{{"key":"x","keyStrindex":5,"value":{{"stringValue":"B"}}}}"#),
            false,
        ),
        (format!(r#"{MINE},{{"key":"x","key":"tenant_id"}}"#), false),
        (format!(r#"{MINE},{{"key":"\ud800","value":{{}}}}"#), false),
        (format!("{MINE},5"), false),
        (format!("{MINE},null"), false),
        (format!("{MINE},[{other}]"), false),
        (value(r#"{"stringValue":""}"#), false),
        (value(r#"{"stringValue":"a"}"#), false),
        (value(r#"{"stringValue":"AA"}"#), false),
        (value(r#"{"stringValue":"A\ufffd"}"#), false),
        (value(r#"{"string_value":"A"}"#), false),
        (value(r#"{"stringValue":"A","intValue":"1"}"#), false),
        (value(r#"{"stringValue":"B","stringValue":"A"}"#), false),
        (value(r#"{"stringValue":["A"]}"#), false),
        (value(r#"{"stringValue":null}"#), false),
        (value(r#"{"intValue":"5"}"#), false),
        (value(r#"{"bytesValue":"QQ=="}"#), false),
        (
            value(r#"{"arrayValue":{"values":[{"stringValue":"A"}]}}"#),
            false,
        ),
        (value("{}"), false),
        (value("null"), false),
        (value(r#""A""#), false),
        (value(r#"["A"]"#), false),
        (value(r#"[{"stringValue":"A"}]"#), false),
        (r#"["tenant_id",{"stringValue":"A"}]"#.to_owned(), false),
        (r#"{"key":5,"value":{"stringValue":"A"}}"#.to_owned(), false),
        (r#"{"value":{"stringValue":"A"}}"#.to_owned(), false),
        (
            r#"{"value":{"stringValue":"A"},"key":"tenant_id","value":{"stringValue":"B"}}"#
                .to_owned(),
            false,
        ),
    ] {
        let answer = with_attributes(&attributes);
        let (outcome, _) = redact(answer.as_bytes(), TraceApi::V1, &["A"]).unwrap();
        assert_eq!(outcome != Outcome::Nothing, ours, "{attributes}");
    }
}

#[test]
fn resource_with_unknown_members_is_foreign() {
    let list = format!("[{MINE}]");
    for (element, ours) in [
        (format!(r#"{{"resource":{{"attributes":{list}}}}}"#), true),
        (
            format!(r#"{{"reso\u0075rce":{{"attri\u0062utes":{list}}}}}"#),
            true,
        ),
        (
            format!(
                r#"{{"schemaUrl":"x","scopeSpans":[{{}}],"resource":{{"entityRefs":[{{"a":[]}}],
                "droppedAttributesCount":1,"attributes":{list}}}}}"#
            ),
            true,
        ),
        (
            format!(r#"{{"resource":{{"attributes":{list},"attributes":{list}}}}}"#),
            false,
        ),
        (
            format!(r#"{{"resource":{{"attributes":{list},"attributes2":{list}}}}}"#),
            false,
        ),
        (format!(r#"{{"resource":{list}}}"#), false),
        (
            format!(r#"{{"resource":[{{"attributes":{list}}}]}}"#),
            false,
        ),
        (
            format!(r#"{{"resource":{{"attributes":{{"a":{list}}}}}}}"#),
            false,
        ),
        (r#"{"resource":{"attributes":null}}"#.to_owned(), false),
        (r#"{"resource":{}}"#.to_owned(), false),
        (r#"{"resource":null}"#.to_owned(), false),
        (r#"{"resource":5}"#.to_owned(), false),
        (r#"{"resource":"attributes"}"#.to_owned(), false),
        (format!(r#"{{"Resource":{{"attributes":{list}}}}}"#), false),
        (
            format!(r#"{{"scopeSpans":[{{"resource":{{"attributes":{list}}}}}]}}"#),
            false,
        ),
        (
            format!(r#"{{"a":{{"resource":{{"attributes":{list}}}}}}}"#),
            false,
        ),
        (
            format!(r#"[{{"resource":{{"attributes":{list}}}}}]"#),
            false,
        ),
        ("{}".to_owned(), false),
        ("null".to_owned(), false),
        ("5".to_owned(), false),
        (r#""resource""#.to_owned(), false),
    ] {
        let (outcome, text) = redact(one(&element).as_bytes(), TraceApi::V1, &["A"]).unwrap();
        assert_eq!(outcome != Outcome::Nothing, ours, "{element}");
        if ours {
            assert_eq!(String::from_utf8(text).unwrap(), one(&element));
        }
    }
}

#[test]
fn second_resource_is_an_error() {
    let resource = format!(r#""resource":{{"attributes":[{MINE}]}}"#);
    let twice = one(&format!("{{{resource},{resource}}}"));
    assert!(redact(twice.as_bytes(), TraceApi::V1, &["A"]).is_err());
    assert!(deny(twice.as_bytes(), TraceApi::V1, LIMIT).is_err());
    let (outcome, _) = redact(twice.as_bytes(), TraceApi::V1, &["B"]).unwrap();
    assert_eq!(outcome, Outcome::Nothing);
}

#[test]
fn other_members_of_a_trace_are_dropped() {
    let list = format!(r#""batches":[{{"resource":{{"attributes":[{MINE}]}}}}]"#);
    let kept = format!("{{{list}}}");
    for more in [
        format!(r#"{{"x":[{{"resource":1}}],{list}}}"#),
        format!(r#"{{{list},"batch\u0065z":{{"batches":[]}}}}"#),
    ] {
        let (outcome, text) = redact(more.as_bytes(), TraceApi::V1, &["A"]).unwrap();
        assert_eq!(outcome, Outcome::Kept { all: false });
        assert_eq!(String::from_utf8(text).unwrap(), kept);
        assert_eq!(
            deny(more.as_bytes(), TraceApi::V1, LIMIT).unwrap().0,
            Outcome::Nothing
        );
    }
}

#[test]
fn answers_of_another_shape_are_errors() {
    let list = format!(r#""batches":[{{"resource":{{"attributes":[{MINE}]}}}}]"#);
    for (api, text) in [
        (TraceApi::V1, String::new()),
        (TraceApi::V1, "[]".to_owned()),
        (TraceApi::V1, "null".to_owned()),
        (TraceApi::V1, "not found".to_owned()),
        (TraceApi::V1, format!("{{{list}")),
        (TraceApi::V1, format!("{{{list}}}}}")),
        (TraceApi::V1, format!("{{{list},{list}}}")),
        (TraceApi::V1, format!(r#"{{{list},"resourceSpans":[]}}"#)),
        (TraceApi::V1, r#"{"batches":{}}"#.to_owned()),
        (TraceApi::V1, r#"{"batches":"x"}"#.to_owned()),
        (
            TraceApi::V2,
            format!(r#"{{"trace":{{{list}}},"trace":{{}}}}"#),
        ),
        (TraceApi::V2, format!(r#"{{"trace":{{{list},{list}}}}}"#)),
        (TraceApi::V2, format!(r#"{{"trace":[{{{list}}}]}}"#)),
        (TraceApi::V2, r#"{"trace":"x"}"#.to_owned()),
    ] {
        let answer = redact(text.as_bytes(), api, &["A"]);
        assert!(matches!(answer, Err(TraceError::Json { .. })), "{text}");
    }
    for (api, text) in [
        (TraceApi::V1, "{}"),
        (TraceApi::V1, r#"{"batches":null}"#),
        (TraceApi::V2, "{}"),
        (TraceApi::V2, r#"{"trace":null}"#),
    ] {
        assert_eq!(
            redact(text.as_bytes(), api, &["A"]).unwrap().0,
            Outcome::Nothing
        );
    }
    // A list outside of the trace does not count.
    let elsewhere = format!(r#"{{"metrics":{{{list}}},{list},"trace":{{}}}}"#);
    assert_eq!(
        redact(elsewhere.as_bytes(), TraceApi::V2, &["A"])
            .unwrap()
            .0,
        Outcome::Nothing
    );
}

#[test]
fn resource_beyond_the_limit_is_foreign_in_any_chunking() {
    let element = |padding: usize| {
        let padding = "x".repeat(padding);
        format!(r#"{{"schemaUrl":"{padding}","resource":{{"attributes":[{MINE}]}}}}"#)
    };
    let fits = LIMIT + 1 - element(0).len();
    for (padding, kept) in [(fits, true), (fits + 1, false), (5 * LIMIT, false)] {
        let mine = format!(r#"{{"resource":{{"attributes":[{MINE}]}}}}"#);
        let answer = one(&format!("{},{mine}", element(padding)));
        for chunk in [1000, LIMIT, usize::MAX] {
            let owner = Arc::new(owner(&["A"]));
            let new = || {
                JsonFilter::new(
                    TraceApi::V1,
                    Arc::clone(&owner),
                    &ForeignSpans::Redact,
                    LIMIT,
                )
            };
            let (mut held, mut out) = (new(), Vec::new());
            for chunk in cut(answer.as_bytes(), chunk.min(LIMIT)) {
                held.push(&chunk, &mut out).unwrap();
                assert!(held.held_bytes() <= 2 * LIMIT, "{padding} {chunk:?}");
            }
            let new = new();
            let (outcome, text) = filter(new, cut(answer.as_bytes(), chunk)).unwrap();
            assert_eq!(outcome, Outcome::Kept { all: kept });
            assert_eq!(
                text,
                if kept { answer.clone() } else { one(&mine) }.into_bytes()
            );
        }
    }
}

#[test]
fn deny_outputs_all_or_nothing_within_its_limit() {
    let mine = format!(r#"{{"resource":{{"attributes":[{MINE}]}}}}"#);
    let answer = one(&format!("{mine},{mine}"));
    let kept = Ok((Outcome::Kept { all: true }, answer.clone().into_bytes()));
    assert_eq!(deny(answer.as_bytes(), TraceApi::V1, answer.len()), kept);
    let limit = answer.len() - 1;
    let too_large = Err(TraceError::TooLarge { limit });
    assert_eq!(deny(answer.as_bytes(), TraceApi::V1, limit), too_large);
    // Denied before it gets too large, and too large before it is denied.
    let theirs = mine.replace(r#""A""#, r#""B""#);
    let first = one(&format!("{theirs},{mine},{mine},{mine}"));
    assert_eq!(
        deny(first.as_bytes(), TraceApi::V1, limit),
        Ok((Outcome::Nothing, vec![]))
    );
    let last = one(&format!("{mine},{mine},{mine},{theirs}"));
    assert_eq!(deny(last.as_bytes(), TraceApi::V1, limit), too_large);
}

#[test]
fn nothing_is_output_before_the_first_own_element_and_little_is_held_after() {
    let mine = format!(r#"{{"resource":{{"attributes":[{MINE}]}},"scopeSpans":["#);
    let theirs = mine.replace(r#""A""#, r#""B""#);
    let span = r#"{"name":"x"},"#.repeat(1000);
    let mut filter = JsonFilter::new(
        TraceApi::V1,
        Arc::new(owner(&["A"])),
        &ForeignSpans::Redact,
        LIMIT,
    );
    let mut out = Vec::new();
    let mut push = |text: &str| {
        filter.push(&text.to_owned().into(), &mut out).unwrap();
        (std::mem::take(&mut out).concat().len(), filter.held_bytes())
    };
    assert_eq!(push(r#"{"batches":["#).0, 0);
    assert_eq!(push(&theirs).0, 0);
    let (sent, held) = push(&span);
    assert_eq!(sent, 0);
    assert!(held < 1000, "{held} bytes of a foreign part are held");
    assert_eq!(push("{}]},").0, 0);
    let (most, rest) = mine.split_at(mine.len() - 20);
    assert_eq!(push(most).0, 0);
    assert_eq!(push(rest).0, r#"{"batches":["#.len() + mine.len());
    assert_eq!(push(&span).0, span.len());
}

#[test]
fn every_attribute_of_a_conjunction_must_match() {
    let both = TraceOwner::new(
        ("tenant_id".into(), tenants(&["A"])),
        [("env".into(), tenants(&["prod", "test"]))],
    );
    let env = |value: &str| format!(r#"{{"key":"env","value":{{"stringValue":"{value}"}}}}"#);
    for (attributes, ours) in [
        (format!("{MINE},{}", env("test")), true),
        (format!("{},{MINE}", env("dev")), false),
        (MINE.to_owned(), false),
        (env("test"), false),
    ] {
        let answer = with_attributes(&attributes);
        let (outcome, _) = redact_as(answer.as_bytes(), TraceApi::V1, &both).unwrap();
        assert_eq!(outcome != Outcome::Nothing, ours, "{attributes}");
    }
}

/// A generated answer, compact like Tempo's or with spaces everywhere.
fn answer(made: &[Generated], api: TraceApi, spaced: bool) -> String {
    let list: Vec<_> = made.iter().map(Generated::json).collect();
    let answer = match api {
        TraceApi::V1 => json!({ "batches": list }),
        TraceApi::V2 => json!({
            "trace": { "resourceSpans": list },
            "metrics": { "inspectedBytes": "7" },
            "status": "PARTIAL",
            "message": "whatever",
        }),
    };
    if spaced {
        return serde_json::to_string_pretty(&answer).unwrap();
    }
    answer.to_string()
}

fn apis() -> impl Strategy<Value = TraceApi> {
    prop_oneof![Just(TraceApi::V1), Just(TraceApi::V2)]
}

proptest! {
    #[test]
    fn output_is_what_a_decoder_finds_ours(
        made in prop::collection::vec(generated(), 0..6),
        owner in owners(),
        api in apis(),
        spaced in any::<bool>(),
    ) {
        check(answer(&made, api, spaced).as_bytes(), api, &owner);
    }

    #[test]
    fn a_mutated_answer_never_shows_more(
        made in prop::collection::vec(generated(), 1..5),
        owner in owners(),
        mutations in prop::collection::vec(
            (any::<prop::sample::Index>(), prop_oneof![
                4 => prop::sample::select(b"{}[]\",:\\ Atn".to_vec()),
                1 => any::<u8>(),
            ]),
            1..4,
        ),
        chunk in 1usize..100,
    ) {
        let mut text = answer(&made, TraceApi::V1, false).into_bytes();
        for (place, byte) in mutations {
            let place = place.index(text.len());
            text[place] = byte;
        }
        let new = || {
            let owner = Arc::new(owner.clone());
            JsonFilter::new(TraceApi::V1, owner, &ForeignSpans::Redact, LIMIT)
        };
        let redacted = filter(new(), cut(&text, usize::MAX));
        prop_assert_eq!(&redacted, &filter(new(), cut(&text, chunk)));
        if let Ok((Outcome::Kept { .. }, kept)) = redacted
            && let Ok(kept) = serde_json::from_slice::<Value>(&kept)
        {
            let (_, list) = kept.as_object().unwrap().iter().next().unwrap();
            for spans in list.as_array().unwrap() {
                prop_assert!(is_ours_json(spans, &owner));
            }
        }
    }

    #[test]
    fn arbitrary_text_does_not_panic(text in "[{}\\[\\]\",:a\\\\]{0,60}") {
        for api in [TraceApi::V1, TraceApi::V2] {
            let _ = redact(text.as_bytes(), api, &["A"]);
            let _ = deny(text.as_bytes(), api, 10);
        }
    }
}
