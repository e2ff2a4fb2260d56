use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;

use super::*;
use crate::tempo::testing::{self, Strings, TagsV2, ValuesV2, fixture};

fn all(_: &str) -> bool {
    true
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
    let made = filter_values(&recorded, Format::Json, TagsVersion::V1, all).unwrap();
    let mut expected = testing::json(&fixture("tagvalues-v1-raw.json"));
    expected["metrics"] = json!({});
    assert_eq!(testing::json(&made), expected);

    let recorded = fixture("tagvalues-v2-raw-proto.pb");
    let made = filter_values(&recorded, Format::Protobuf, TagsVersion::V1, all).unwrap();
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
    let made = filter_values(&recorded, Format::Json, TagsVersion::V2, all).unwrap();
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
        let made = filter_values(&message, Format::Protobuf, TagsVersion::V2, all).unwrap();
        let mut expected = ValuesV2::decode(&message[..]).unwrap();
        expected.metrics.as_mut().unwrap().inspected_bytes = 0;
        assert_eq!(ValuesV2::decode(&made[..]).unwrap(), expected);
    }
}

#[test]
fn job_counts_stay() {
    let answer = br#"{"tagValues":[],"metrics":{"inspectedBytes":"9","totalJobs":3,"completedJobs":2,"totalBlocks":7}}"#;
    let made = filter_values(answer, Format::Json, TagsVersion::V2, all).unwrap();
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
        all,
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
            let made = filter_values(answer, format, version, |value| value == "A").unwrap();
            assert!(made.contains(&b'A') && !made.contains(&b'B'), "{made:?}");
        }
    }
}

/// Tempo 3.1, asked for `nestedSetParent` with a filter, answers an item that is nothing.
#[test]
fn item_without_type_and_value_is_dropped_and_an_empty_string_is_kept() {
    let json_answer = br#"{"tagValues":[{},{"type":"string"},{"type":"int","value":"1"}]}"#;
    let made = filter_values(json_answer, Format::Json, TagsVersion::V2, all).unwrap();
    let expected = json!({"tagValues": [{"type": "string"}, {"type": "int", "value": "1"}]});
    assert_eq!(testing::json(&made), expected);
    let made = filter_values(json_answer, Format::Json, TagsVersion::V1, all).unwrap();
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
    let made = filter_values(&protobuf_answer, Format::Protobuf, TagsVersion::V2, all).unwrap();
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
            let _ = filter_values(&answer, format, version, all);
        }
    }
}
