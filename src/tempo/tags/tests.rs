use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;

use super::*;
use crate::tempo::testing::{self, Strings, TagsV2, ValuesV2, fixture};
use crate::tenancy::{Tenant, TenantSet};

fn merge_names<'a>(
    answers: impl IntoIterator<Item = TagsAnswer<'a>>,
    format: Format,
    version: TagsVersion,
    scope: Option<&str>,
    limit: Option<NonZeroU32>,
) -> Result<Vec<u8>, Unreadable> {
    Names::merge(answers)?.write(format, version, scope, limit)
}

/// A single answer of names.
fn filter_names(
    text: &[u8],
    format: Format,
    version: TagsVersion,
    scope: Option<&str>,
) -> Result<Vec<u8>, Unreadable> {
    merge_names([TagsAnswer { text, format }], format, version, scope, None)
}

/// A single answer of values.
fn filter_values(
    text: &[u8],
    format: Format,
    version: TagsVersion,
    only: Option<&AttributeValues>,
) -> Result<Vec<u8>, Unreadable> {
    let answer = TagsAnswer { text, format };
    merge_values([ValuesAnswer { answer, only }], format, version, None)
}

fn texts(values: &[&str]) -> AttributeValues {
    let all = values.iter().map(|value| Tenant::new(value).unwrap());
    AttributeValues::Text(TenantSet::new(all).unwrap().into())
}

/// The recordings of both versions are from the same, unfiltered data.
#[test]
fn first_version_names_match_those_of_a_recorded_tempo() {
    let made = filter_names(
        &fixture("tags-v2-raw.json"),
        Format::Json,
        TagsVersion::V1,
        None,
    )
    .unwrap();
    let mut expected = testing::json(&fixture("tags-v1-raw.json"));
    expected["metrics"] = json!({});
    assert_eq!(testing::json(&made), expected);

    let recorded = fixture("tags-v2-raw-proto.pb");
    let made = filter_names(&recorded, Format::Protobuf, TagsVersion::V1, None).unwrap();
    let expected = Strings::decode(&fixture("tags-v1-raw-proto.pb")[..]).unwrap();
    assert_eq!(
        Strings::decode(&made[..]).unwrap().strings,
        expected.strings
    );
}

#[test]
fn first_version_values_match_those_of_a_recorded_tempo() {
    let recorded = fixture("tagvalues-v2-raw.json");
    let made = filter_values(&recorded, Format::Json, TagsVersion::V1, None).unwrap();
    let mut expected = testing::json(&fixture("tagvalues-v1-raw.json"));
    expected["metrics"] = json!({});
    assert_eq!(testing::json(&made), expected);

    let recorded = fixture("tagvalues-v2-raw-proto.pb");
    let made = filter_values(&recorded, Format::Protobuf, TagsVersion::V1, None).unwrap();
    let expected = Strings::decode(&fixture("tagvalues-v1-raw-proto.pb")[..]).unwrap();
    assert_eq!(
        Strings::decode(&made[..]).unwrap().strings,
        expected.strings
    );
}

#[test]
fn first_version_lists_intrinsics_only_on_demand() {
    let answer = br#"{"scopes":[{"name":"intrinsic","tags":["name","kind"]},{"name":"span","tags":["b","kind"]},{"name":"resource","tags":["a"]}]}"#;
    let names = |scope| {
        let made = filter_names(answer, Format::Json, TagsVersion::V1, scope).unwrap();
        testing::json(&made)
    };
    assert_eq!(names(None), json!({"tagNames": ["a", "b", "kind"]}));
    assert_eq!(names(Some("none")), json!({"tagNames": ["a", "b", "kind"]}));
    assert_eq!(
        names(Some("intrinsic")),
        json!({"tagNames": ["a", "b", "kind", "name"]})
    );
}

#[test]
fn second_version_loses_only_its_measures() {
    let recorded = fixture("tags-v2-raw.json");
    let made = filter_names(&recorded, Format::Json, TagsVersion::V2, None).unwrap();
    let mut expected = testing::json(&recorded);
    assert_ne!(expected["metrics"], json!({}));
    expected["metrics"] = json!({});
    assert_eq!(testing::json(&made), expected);

    let recorded = fixture("tagvalues-v2-raw.json");
    let made = filter_values(&recorded, Format::Json, TagsVersion::V2, None).unwrap();
    let mut expected = testing::json(&recorded);
    expected["metrics"] = json!({});
    assert_eq!(testing::json(&made), expected);

    for message in testing::stream("grpc-http-port-SearchTagsV2-tenantA.bin") {
        let made = filter_names(&message, Format::Protobuf, TagsVersion::V2, None).unwrap();
        let mut expected = TagsV2::decode(&message[..]).unwrap();
        expected.metrics.as_mut().unwrap().inspected_bytes = 0;
        assert_eq!(TagsV2::decode(&made[..]).unwrap(), expected);
    }
    for message in testing::stream("grpc-http-port-SearchTagValuesV2-tenantA.bin") {
        let made = filter_values(&message, Format::Protobuf, TagsVersion::V2, None).unwrap();
        let mut expected = ValuesV2::decode(&message[..]).unwrap();
        expected.metrics.as_mut().unwrap().inspected_bytes = 0;
        assert_eq!(ValuesV2::decode(&made[..]).unwrap(), expected);
    }
}

#[test]
fn job_counts_stay() {
    let answer = br#"{"tagValues":[],"metrics":{"inspectedBytes":"9","totalJobs":3,"completedJobs":2,"totalBlocks":7}}"#;
    let made = filter_values(answer, Format::Json, TagsVersion::V2, None).unwrap();
    assert_eq!(
        testing::json(&made),
        json!({"tagValues": [], "metrics": {"totalJobs": 3, "completedJobs": 2}})
    );
    let answer = Strings {
        strings: vec![],
        metrics: Some(testing::MetadataMetrics {
            inspected_bytes: 9,
            total_jobs: 3,
            completed_jobs: 2,
        }),
    };
    let made = filter_values(
        &answer.encode_to_vec(),
        Format::Protobuf,
        TagsVersion::V2,
        None,
    )
    .unwrap();
    let metrics = Strings::decode(&made[..]).unwrap().metrics.unwrap();
    assert_eq!((metrics.total_jobs, metrics.completed_jobs), (3, 2));
    assert_eq!(metrics.inspected_bytes, 0);
}

#[test]
fn values_not_admitted_are_dropped_in_every_format() {
    let json_answer =
        br#"{"tagValues":[{"type":"string","value":"A"},{"type":"string","value":"B"}]}"#;
    let protobuf_answer = ValuesV2 {
        values: ["A", "B"]
            .map(|value| testing::TagValue {
                kind: "string".to_owned(),
                value: value.to_owned(),
            })
            .into(),
        metrics: None,
    }
    .encode_to_vec();
    for version in [TagsVersion::V1, TagsVersion::V2] {
        for (answer, format) in [
            (&json_answer[..], Format::Json),
            (&protobuf_answer[..], Format::Protobuf),
        ] {
            let made = filter_values(answer, format, version, Some(&texts(&["A"]))).unwrap();
            assert!(made.contains(&b'A') && !made.contains(&b'B'), "{made:?}");
        }
    }
}

/// Tempo 3.1, asked for `nestedSetParent` with a filter, answers an item that is nothing.
#[test]
fn item_without_type_and_value_is_dropped_and_an_empty_string_is_kept() {
    let json_answer = br#"{"tagValues":[{},{"type":"string"},{"type":"int","value":"1"}]}"#;
    let made = filter_values(json_answer, Format::Json, TagsVersion::V2, None).unwrap();
    let expected = json!({"tagValues": [{"type": "string"}, {"type": "int", "value": "1"}]});
    assert_eq!(testing::json(&made), expected);
    let made = filter_values(json_answer, Format::Json, TagsVersion::V1, None).unwrap();
    assert_eq!(testing::json(&made), json!({"tagValues": ["", "1"]}));
    let item = |kind: &str, value: &str| testing::TagValue {
        kind: kind.to_owned(),
        value: value.to_owned(),
    };
    let protobuf_answer = ValuesV2 {
        values: vec![item("", ""), item("string", "")],
        metrics: None,
    }
    .encode_to_vec();
    let made = filter_values(&protobuf_answer, Format::Protobuf, TagsVersion::V2, None).unwrap();
    let made = ValuesV2::decode(&made[..]).unwrap();
    assert_eq!(made.values, vec![item("string", "")]);
}

#[test]
fn invalid_answers_are_refused() {
    for answer in [
        &b"[]"[..],
        b"{\"scopes\":1}",
        b"{\"scopes\":[],\"scopes\":[]}",
        b"",
    ] {
        assert!(filter_names(answer, Format::Json, TagsVersion::V2, None).is_err());
    }
    for answer in [&b"\x0a\xff"[..], b"\x08\x01", b"\x0a\x03\x12\x01\xff"] {
        assert!(filter_names(answer, Format::Protobuf, TagsVersion::V2, None).is_err());
    }
}

fn json_names(text: &str) -> TagsAnswer<'_> {
    TagsAnswer {
        text: text.as_bytes(),
        format: Format::Json,
    }
}

/// A names answer in protobuf, as side requests have it.
fn protobuf_names(text: &str) -> Vec<u8> {
    let answer = json_names(text);
    merge_names([answer], Format::Protobuf, TagsVersion::V2, None, None).unwrap()
}

#[test]
fn names_of_several_answers_are_a_sorted_set_of_each_scope() {
    let first = r#"{"scopes":[{"name":"span","tags":["c","a"]},{"name":"intrinsic","tags":["name"]}],"metrics":{"totalJobs":2,"completedJobs":1}}"#;
    let second = protobuf_names(
        r#"{"scopes":[{"name":"resource","tags":["r"]},{"name":"span","tags":["b","a"]}],"metrics":{"totalJobs":3,"completedJobs":3}}"#,
    );
    let merged = |version, limit| {
        let second = TagsAnswer {
            text: &second,
            format: Format::Protobuf,
        };
        let all = [json_names(first), second];
        let limit = NonZeroU32::new(limit);
        testing::json(&merge_names(all, Format::Json, version, None, limit).unwrap())
    };
    assert_eq!(
        merged(TagsVersion::V2, 0),
        json!({
            "scopes": [
                {"name": "span", "tags": ["a", "b", "c"]},
                {"name": "intrinsic", "tags": ["name"]},
                {"name": "resource", "tags": ["r"]},
            ],
            "metrics": {"totalJobs": 5, "completedJobs": 4},
        })
    );
    let limited = merged(TagsVersion::V2, 2);
    assert_eq!(limited["scopes"][0]["tags"], json!(["a", "b"]));
    let first = merged(TagsVersion::V1, 0);
    assert_eq!(first["tagNames"], json!(["a", "b", "c", "r"]));
    let first = merged(TagsVersion::V1, 3);
    assert_eq!(first["tagNames"], json!(["a", "b", "c"]));
    // An answer that cannot be read is not left out.
    let all = [json_names(r#"{"scopes":[]}"#), json_names("nonsense")];
    assert!(merge_names(all, Format::Json, TagsVersion::V2, None, None).is_err());
}

#[test]
fn limit_of_first_version_names_is_one_over_all_scopes_of_a_single_answer() {
    let answer =
        r#"{"scopes":[{"name":"resource","tags":["d","b"]},{"name":"span","tags":["c","b","a"]}]}"#;
    for format in [Format::Json, Format::Protobuf] {
        let limit = NonZeroU32::new(3);
        let made = merge_names([json_names(answer)], format, TagsVersion::V1, None, limit);
        let names = match format {
            Format::Json => testing::json(&made.unwrap())["tagNames"].clone(),
            Format::Protobuf => json!(Strings::decode(&made.unwrap()[..]).unwrap().strings),
        };
        assert_eq!(names, json!(["a", "b", "c"]));
    }
}

#[test]
fn names_taken_out_make_room_below_the_limit_and_no_empty_scope_stays() {
    let answer = r#"{"scopes":[{"name":"resource","tags":["x"]},{"name":"span","tags":["x","b","a"]},{"name":"intrinsic","tags":["x"]}]}"#;
    let mut names = Names::merge([json_names(answer)]).unwrap();
    let attributes: Vec<_> = names.attributes().collect();
    assert_eq!(
        attributes,
        [
            ("resource", "x"),
            ("span", "x"),
            ("span", "b"),
            ("span", "a")
        ]
    );
    names.retain(|scope, name| scope == "intrinsic" || name != "x");
    let limit = NonZeroU32::new(1);
    let made = names.write(Format::Json, TagsVersion::V2, None, limit);
    assert_eq!(
        testing::json(&made.unwrap())["scopes"],
        json!([{"name": "span", "tags": ["b"]}, {"name": "intrinsic", "tags": ["x"]}])
    );
}

/// The names of each scope, in order.
fn by_scope(answer: &[u8]) -> std::collections::BTreeMap<String, Vec<String>> {
    let mut all = std::collections::BTreeMap::<_, Vec<String>>::new();
    for scope in TagsV2::decode(answer).unwrap().scopes {
        all.entry(scope.name).or_default().extend(scope.tags);
    }
    all
}

proptest! {
    /// To a client of protobuf, messages one after the other are one.
    #[test]
    fn segments_of_an_answer_are_small_and_together_the_answer(
        scopes in prop::collection::vec(prop::collection::vec("[a-z]{1,20}", 0..40), 1..4),
        max_bytes in 48..400_usize,
    ) {
        let names: Vec<_> = scopes.iter().enumerate().map(|(n, tags)| json!({"name": format!("s{n}"), "tags": tags})).collect();
        let answer = protobuf_names(&json!({"scopes": names, "metrics": {"totalJobs": 3}}).to_string());
        let messages = segments(answer.clone(), true, max_bytes).unwrap();
        prop_assert!(messages.iter().all(|message| message.len() <= max_bytes));
        prop_assert!(messages.len() <= 5 + 3 * answer.len() / (max_bytes - 38), "{}", messages.len());
        let joined = messages.concat();
        prop_assert_eq!(by_scope(&joined), by_scope(&answer));
        prop_assert_eq!(TagsV2::decode(&joined[..]).unwrap().metrics, TagsV2::decode(&answer[..]).unwrap().metrics);
        if answer.len() <= max_bytes {
            prop_assert_eq!(messages, [answer]);
        }

        let strings: Vec<&str> = scopes.iter().flatten().map(String::as_str).collect();
        let answer = write_strings(&strings, None);
        let messages = segments(answer.clone(), false, max_bytes).unwrap();
        prop_assert!(messages.iter().all(|message| message.len() <= max_bytes));
        prop_assert_eq!(messages.concat(), answer);
    }
}

#[test]
fn values_of_several_answers_are_a_set_and_each_has_its_own_filter() {
    let first = br#"{"tagValues":[{"type":"string","value":"b"},{"type":"int","value":"5"},{"type":"string","value":"x"}],"metrics":{"totalJobs":1}}"#;
    let second = br#"{"tagValues":[{"type":"string","value":"x"},{"type":"int","value":"5"},{"type":"string","value":"5"},{"type":"float","value":"5"},{"type":"bool","value":"true"},{"type":"string","value":"y"}],"metrics":{"totalJobs":1}}"#;
    let (b, five) = (texts(&["b"]), AttributeValues::Number(5));
    let merged = |only: [Option<&AttributeValues>; 2], limit| {
        let [first_only, second_only] = only;
        let answer = |text: &'static [u8]| TagsAnswer {
            text,
            format: Format::Json,
        };
        let all = [
            ValuesAnswer {
                answer: answer(first),
                only: first_only,
            },
            ValuesAnswer {
                answer: answer(second),
                only: second_only,
            },
        ];
        let limit = NonZeroU32::new(limit);
        let made = merge_values(all, Format::Json, TagsVersion::V2, limit).unwrap();
        testing::json(&made)
    };
    let value = |kind: &str, value: &str| json!({"type": kind, "value": value});
    assert_eq!(
        merged([Some(&b), Some(&five)], 0),
        json!({
            "tagValues": [value("float", "5"), value("int", "5"), value("string", "b")],
            "metrics": {"totalJobs": 2},
        })
    );
    assert_eq!(
        merged([None, Some(&AttributeValues::Bool(true))], 2)["tagValues"],
        json!([value("bool", "true"), value("int", "5")])
    );
    let all = merged([None, None], 0);
    assert_eq!(all["tagValues"].as_array().unwrap().len(), 7);
}

proptest! {
    #[test]
    fn mutated_answers_do_not_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        v1 in any::<bool>(),
    ) {
        let version = if v1 { TagsVersion::V1 } else { TagsVersion::V2 };
        for (name, format) in [
            ("tags-v2-raw.json", Format::Json),
            ("tags-v2-raw-proto.pb", Format::Protobuf),
            ("tagvalues-v2-raw.json", Format::Json),
            ("tagvalues-v2-raw-proto.pb", Format::Protobuf),
        ] {
            let mut answer = fixture(name);
            for (index, byte) in &changes {
                let at = index.index(answer.len());
                answer[at] = *byte;
            }
            let _ = filter_names(&answer, format, version, None);
            let _ = filter_values(&answer, format, version, None);
        }
    }
}
