use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::tempo::trace::NOT_FOUND_V2_PROTOBUF;
use crate::tempo::trace::testing::{
    Generated, Redacted, TraceByIdResponse, all_recorded, generated, is_ours, owner, owners,
    recorded, redact_in_pieces, redact_protobuf, tenants,
};

fn redact(body: &Bytes, api: TraceApi, names: &[&str]) -> Redacted {
    redact_protobuf(body, api, &owner(names), &ForeignSpans::Redact).unwrap()
}

/// The new body in one piece; empty if nothing is ours.
fn whole(redacted: &Redacted) -> Bytes {
    match redacted {
        Redacted::Nothing => Bytes::new(),
        Redacted::Kept { body, .. } => body.clone().into(),
    }
}

fn spans_of(body: &[u8], api: TraceApi) -> Vec<ResourceSpans> {
    match api {
        TraceApi::V1 => TracesData::decode(body).unwrap().resource_spans,
        TraceApi::V2 => TraceByIdResponse::decode(body)
            .unwrap()
            .trace
            .map(|trace| trace.resource_spans)
            .unwrap_or_default(),
    }
}

/// One field whose value is bytes.
fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    put_bytes(&mut field, number, bytes);
    field
}

fn string_attribute(key: &str, value: &str) -> Vec<u8> {
    [
        field(1, key.as_bytes()),
        field(2, &field(1, value.as_bytes())),
    ]
    .concat()
}

#[test]
fn recorded_own_trace_loses_only_its_metrics() {
    let v1 = recorded("trace-v1-A-only-proto.pb");
    let Redacted::Kept { body, all: true } = redact(&v1, TraceApi::V1, &["A"]) else {
        panic!("not kept whole");
    };
    assert_eq!(body, v1);

    let v2 = recorded("trace-v2-A-only-proto.pb");
    let redacted = redact(&v2, TraceApi::V2, &["A"]);
    assert!(matches!(redacted, Redacted::Kept { all: true, .. }));
    let answer = TraceByIdResponse::decode(whole(&redacted)).unwrap();
    let before = TraceByIdResponse::decode(v2).unwrap();
    assert_ne!(before.metrics.unwrap().inspected_bytes, 0);
    assert_eq!(answer.metrics.unwrap().inspected_bytes, 0);
    assert_eq!(answer.trace, before.trace);
}

#[test]
fn recorded_mixed_trace_loses_the_other_tenant() {
    for api in [TraceApi::V1, TraceApi::V2] {
        let name = match api {
            TraceApi::V1 => "trace-v1-mixed-B-root-proto.pb",
            TraceApi::V2 => "trace-v2-mixed-B-root-proto.pb",
        };
        let body = recorded(name);
        let redacted = redact(&body, api, &["A"]);
        assert!(matches!(redacted, Redacted::Kept { all: false, .. }));
        let text = whole(&redacted);
        assert_eq!(memchr::memmem::find(&text, b"SECRET"), None);
        assert!(memchr::memmem::find(&text, b"A-greatgrandchild").is_some());
        assert!(!trace_is_wholly_ours(&body, api, &owner(&["A"])).unwrap());
        assert!(trace_is_wholly_ours(&body, api, &owner(&["A", "B"])).unwrap());
        let denied = redact_protobuf(&body, api, &owner(&["A"]), &ForeignSpans::Deny);
        assert_eq!(denied, Ok(Redacted::Nothing));
    }
}

#[test]
fn foreign_trace_is_answered_as_missing() {
    for (name, api) in [
        ("trace-v1-B-only-proto.pb", TraceApi::V1),
        ("trace-v2-B-only-proto.pb", TraceApi::V2),
        ("trace-v1-dup-keys-proto.pb", TraceApi::V1),
        ("trace-v2-dup-keys-proto.pb", TraceApi::V2),
        ("trace-v1-untagged-proto.pb", TraceApi::V1),
        ("trace-v2-untagged-proto.pb", TraceApi::V2),
        ("trace-v2-notfound-proto.pb", TraceApi::V2),
    ] {
        let body = recorded(name);
        assert_eq!(redact(&body, api, &["A"]), Redacted::Nothing, "{name}");
        assert!(!trace_is_wholly_ours(&body, api, &owner(&["A"])).unwrap());
    }
    assert_eq!(
        recorded("trace-v2-notfound-proto.pb"),
        NOT_FOUND_V2_PROTOBUF
    );
}

#[test]
fn every_recorded_trace_is_redacted_as_a_decoder_would() {
    for api in [TraceApi::V1, TraceApi::V2] {
        for (path, body) in all_recorded(api, ".pb") {
            for names in [&["A"][..], &["B"], &["A", "B"], &["C"]] {
                let owner = owner(names);
                let mut ours = spans_of(&body, api);
                ours.retain(|spans| is_ours(spans, &owner));
                let redacted = redact(&body, api, names);
                assert_eq!(redacted == Redacted::Nothing, ours.is_empty());
                assert_eq!(spans_of(&whole(&redacted), api), ours, "{}", path.display());
            }
        }
    }
}

#[test]
fn incomplete_trace_stays_incomplete_with_our_message() {
    let spans = field(1, &field(1, &field(1, &string_attribute("tenant_id", "A"))));
    let answer = |status: &[u8]| -> Bytes {
        let message = field(4, b"Trace exceeds maximum size of 123456 bytes");
        let later = field(9, b"what a later Tempo may say");
        let parts = [
            &field(1, &spans),
            status,
            &field(2, b"\x08\x7b"),
            &message,
            &later,
        ];
        parts.concat().into()
    };
    for status in [b"\x18\x01", b"\x18\x02"] {
        let redacted = redact(&answer(status), TraceApi::V2, &["A"]);
        let read = TraceByIdResponse::decode(whole(&redacted)).unwrap();
        assert_eq!((read.status, &*read.message), (1, PARTIAL_MESSAGE));
    }
    let complete = [field(1, &spans), vec![0x12, 0]].concat();
    for status in [&b""[..], b"\x18\x00"] {
        let redacted = redact(&answer(status), TraceApi::V2, &["A"]);
        assert_eq!(whole(&redacted), complete);
    }
}

fn resource(attributes: &[&[u8]]) -> Vec<u8> {
    let fields = attributes.iter().map(|attribute| field(1, attribute));
    fields.collect::<Vec<_>>().concat()
}

/// Whether a `ResourceSpans` of this resource is A's.
fn is_mine(resource: &[u8]) -> bool {
    let body: Bytes = field(1, &field(1, resource)).into();
    redact(&body, TraceApi::V1, &["A"]) != Redacted::Nothing
}

#[test]
fn exactly_one_attribute_makes_a_resource_ours() {
    let mine = string_attribute("tenant_id", "A");
    let theirs = string_attribute("tenant_id", "B");
    let other = string_attribute("service.name", "shop");
    let with = |more: &[u8]| [&resource(&[&mine]), more].concat();
    let named = |more: &[u8]| resource(&[&mine, more]);
    for (what, resource, ours) in [
        ("just it", resource(&[&mine]), true),
        ("among others", resource(&[&other, &mine, &other]), true),
        (
            "with a count and entities",
            with(b"\x10\x07\x1a\x01x"),
            true,
        ),
        ("no attributes", vec![], false),
        ("no such attribute", resource(&[&other]), false),
        ("twice the same", resource(&[&mine, &mine]), false),
        ("also another's", resource(&[&mine, &theirs]), false),
        ("first another's", resource(&[&theirs, &mine]), false),
        ("also without value", named(&field(1, b"tenant_id")), false),
        (
            "name twice",
            named(&[&other[..], &field(1, b"tenant_id")].concat()),
            false,
        ),
        ("name by index", named(b"\x18\x05\x12\x03\x0a\x01B"), false),
        ("name as varint", named(b"\x08\x05"), false),
        (
            "longer name",
            resource(&[&string_attribute("tenant_id2", "A")]),
            false,
        ),
        ("attribute as varint", with(b"\x08\x01"), false),
        ("unknown field", with(&field(4, &mine)), false),
        ("count as bytes", with(b"\x12\x01x"), false),
    ] {
        assert_eq!(is_mine(&resource), ours, "{what}");
    }
}

#[test]
fn only_an_exact_string_makes_an_attribute_ours() {
    let array = field(5, &field(1, &field(1, b"A")));
    for (what, value, ours) in [
        ("it", &b"\x0a\x01A"[..], true),
        ("nothing", b"", false),
        ("empty", b"\x0a\x00", false),
        ("other case", b"\x0a\x01a", false),
        ("longer", b"\x0a\x02AA", false),
        ("bool", b"\x10\x01", false),
        ("int", b"\x18\x41", false),
        ("double", b"\x21AAAAAAAA", false),
        ("array", &array, false),
        ("bytes", b"\x3a\x01A", false),
        ("string table index", b"\x40\x01", false),
        ("string as varint", b"\x08\x41", false),
        ("two strings", b"\x0a\x01B\x0a\x01A", false),
        ("int, then string", b"\x18\x41\x0a\x01A", false),
        ("string, then unknown", b"\x0a\x01A\xf8\x01\x01", false),
        ("not UTF-8", b"\x0a\x02A\xff", false),
    ] {
        let attribute = [field(1, b"tenant_id"), field(2, value)].concat();
        assert_eq!(is_mine(&resource(&[&attribute])), ours, "{what}");
    }
    let value_twice = [string_attribute("tenant_id", "A"), field(2, b"\x0a\x01A")].concat();
    assert!(!is_mine(&resource(&[&value_twice])));
}

#[test]
fn resource_spans_with_two_resources_are_foreign() {
    let mine = field(1, &field(1, &string_attribute("tenant_id", "A")));
    let spans = field(2, b"");
    for resources in [
        [&mine[..], &mine, &spans].concat(),
        [&mine[..], &spans, b"\x0a\x00"].concat(),
        [&spans[..], &mine, b"\x08\x01"].concat(),
        spans.clone(),
        vec![],
    ] {
        let body: Bytes = field(1, &resources).into();
        assert_eq!(redact(&body, TraceApi::V1, &["A"]), Redacted::Nothing);
    }
    let late: Bytes = field(1, &[&spans[..], &mine].concat()).into();
    assert_eq!(whole(&redact(&late, TraceApi::V1, &["A"])), late);
}

#[test]
fn every_attribute_of_a_conjunction_must_match() {
    let both = TraceOwner::new(
        ("tenant_id".into(), tenants(&["A"])),
        [("env".into(), tenants(&["prod", "test"]))],
    );
    let body = |attributes: &[(&str, &str)]| -> Bytes {
        let attributes = attributes.iter();
        let resource = attributes.flat_map(|(key, value)| field(1, &string_attribute(key, value)));
        field(1, &field(1, &resource.collect::<Vec<u8>>())).into()
    };
    for (attributes, ours) in [
        (&[("env", "test"), ("tenant_id", "A")][..], true),
        (&[("env", "dev"), ("tenant_id", "A")], false),
        (&[("env", "test"), ("tenant_id", "B")], false),
        (&[("tenant_id", "A")], false),
        (&[("env", "test")], false),
    ] {
        let wholly = trace_is_wholly_ours(&body(attributes), TraceApi::V1, &both).unwrap();
        assert_eq!(wholly, ours, "{attributes:?}");
    }
}

#[test]
fn other_fields_of_a_trace_are_dropped() {
    let mine = field(1, &field(1, &field(1, &string_attribute("tenant_id", "A"))));
    let body: Bytes = [&mine[..], &field(2, b"?"), &mine].concat().into();
    let redacted = redact(&body, TraceApi::V1, &["A"]);
    assert!(matches!(redacted, Redacted::Kept { all: false, .. }));
    assert_eq!(whole(&redacted), [&mine[..], &mine].concat());
    assert!(!trace_is_wholly_ours(&body, TraceApi::V1, &owner(&["A"])).unwrap());
}

#[test]
fn malformed_answers_are_errors() {
    let mine = field(1, &field(1, &field(1, &string_attribute("tenant_id", "A"))));
    let cut = &mine[..mine.len() - 1];
    for (what, api, body) in [
        ("cut", TraceApi::V1, cut.to_vec()),
        ("cut in v2", TraceApi::V2, field(1, cut)),
        ("varint for spans", TraceApi::V1, b"\x08\x01".to_vec()),
        ("group", TraceApi::V1, b"\x0b\x0c".to_vec()),
        ("two traces", TraceApi::V2, field(1, &mine).repeat(2)),
        ("varint for trace", TraceApi::V2, b"\x08\x01".to_vec()),
        ("text", TraceApi::V1, b"{\"batches\":[]}".to_vec()),
        (
            "cut in the resource",
            TraceApi::V1,
            field(1, &field(1, b"\x0a\x05")),
        ),
    ] {
        let answer = redact_protobuf(&body.into(), api, &owner(&["A"]), &ForeignSpans::Redact);
        assert!(matches!(answer, Err(TraceError::Protobuf { .. })), "{what}");
    }
}

/// A v1 answer goes on as it comes; what is ours of it, side by side, as slices of the chunk.
#[test]
fn bare_trace_is_forwarded_at_once_and_uncopied() {
    let spans = |tenant| {
        field(
            1,
            &field(1, &field(1, &string_attribute("tenant_id", tenant))),
        )
    };
    let (mine, theirs) = (spans("A"), spans("B"));
    let body: Bytes = [&mine[..], &mine, &theirs, &mine].concat().into();
    let owner = Arc::new(owner(&["A"]));
    let filter = || ProtobufFilter::new(TraceApi::V1, owner.clone(), &ForeignSpans::Redact, 1000);
    let mut out = Vec::new();
    let mut whole = filter();
    whole.push(&body, &mut out).unwrap();
    assert_eq!(out, [[&mine[..], &mine].concat(), mine.clone()]);
    assert_eq!(out[0].as_ptr(), body.as_ptr());
    assert_eq!(whole.held_bytes(), 0);

    let mut cut = filter();
    let (one, two) = (body.slice(..5), body.slice(5..=mine.len()));
    out.clear();
    cut.push(&one, &mut out).unwrap();
    assert!(out.is_empty() && cut.held_bytes() >= 5);
    cut.push(&two, &mut out).unwrap();
    assert_eq!(out, [mine]);
}

#[test]
fn what_is_held_back_is_bounded() {
    let mine = field(1, &field(1, &field(1, &string_attribute("tenant_id", "A"))));
    let limit = mine.len();
    let held = |api, foreign, body: Vec<u8>| {
        let mut filter = ProtobufFilter::new(api, owner(&["A"]).into(), foreign, limit);
        filter.push(&body.into(), &mut Vec::new())
    };
    let too_large = Err(TraceError::TooLarge { limit });
    let (redact, deny) = (&ForeignSpans::Redact, &ForeignSpans::Deny);
    assert_eq!(held(TraceApi::V1, redact, mine.repeat(3)), Ok(()));
    assert_eq!(held(TraceApi::V1, deny, mine.repeat(2)), too_large);
    assert_eq!(held(TraceApi::V2, redact, field(1, &mine)), Ok(()));
    assert_eq!(
        held(TraceApi::V2, redact, field(1, &mine.repeat(2))),
        too_large
    );
    let long = field(1, &vec![0x10; limit]);
    assert_eq!(held(TraceApi::V1, redact, long), too_large);
    // What will not be shown is not held.
    let theirs = field(1, &field(1, &field(1, &string_attribute("tenant_id", "B"))));
    let body = [&mine[..], &theirs, &mine, &mine].concat();
    let mut denied = ProtobufFilter::new(TraceApi::V1, owner(&["A"]).into(), deny, limit);
    denied.push(&body.into(), &mut Vec::new()).unwrap();
    assert_eq!(denied.held_bytes(), 0);
}

proptest! {
    #[test]
    fn chunking_does_not_change_the_output(
        made in prop::collection::vec(generated(), 0..4),
        owner in owners(),
        size in 1_usize..200,
        mutation in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        partial in any::<bool>(),
    ) {
        let trace = TracesData { resource_spans: made.iter().map(Generated::message).collect() };
        let answer = TraceByIdResponse {
            trace: Some(trace.clone()),
            status: partial.into(),
            ..Default::default()
        };
        let bodies = [
            (TraceApi::V1, trace.encode_to_vec()),
            (TraceApi::V2, answer.encode_to_vec()),
        ];
        for (api, mut body) in bodies {
            if let Some((place, byte)) = mutation && !body.is_empty() {
                let place = place.index(body.len());
                body[place] = byte;
            }
            let body = Bytes::from(body);
            for foreign in [&ForeignSpans::Redact, &ForeignSpans::Deny] {
                let whole = redact_protobuf(&body, api, &owner, foreign);
                let cut = redact_in_pieces(&body, size, api, &owner, foreign);
                match (whole, cut) {
                    (Ok(whole), Ok(cut)) => prop_assert_eq!(whole, cut),
                    (whole, cut) => prop_assert!(whole.is_err() && cut.is_err()),
                }
            }
        }
    }

    #[test]
    fn output_is_what_a_decoder_finds_ours(
        made in prop::collection::vec(generated(), 0..6),
        owner in owners(),
        v2 in any::<bool>(),
    ) {
        let resource_spans: Vec<_> = made.iter().map(Generated::message).collect();
        let mut ours = resource_spans.clone();
        ours.retain(|spans| is_ours(spans, &owner));
        let whole_trace = ours.len() == resource_spans.len();
        let trace = TracesData { resource_spans };
        let (api, body) = if v2 {
            let answer = TraceByIdResponse { trace: Some(trace), ..Default::default() };
            (TraceApi::V2, answer.encode_to_vec())
        } else {
            (TraceApi::V1, trace.encode_to_vec())
        };
        let body = Bytes::from(body);
        let redacted = redact_protobuf(&body, api, &owner, &ForeignSpans::Redact).unwrap();
        prop_assert_eq!(spans_of(&whole(&redacted), api), ours.clone());
        match &redacted {
            Redacted::Nothing => prop_assert!(ours.is_empty()),
            Redacted::Kept { all, .. } => prop_assert_eq!(*all, whole_trace),
        }
        let denied = redact_protobuf(&body, api, &owner, &ForeignSpans::Deny).unwrap();
        prop_assert_eq!(denied, if whole_trace { redacted } else { Redacted::Nothing });
    }

    #[test]
    fn a_mutated_answer_never_shows_more(
        made in prop::collection::vec(generated(), 1..5),
        owner in owners(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let resource_spans = made.iter().map(Generated::message).collect();
        let mut body = TracesData { resource_spans }.encode_to_vec();
        for (place, byte) in mutations {
            let place = place.index(body.len());
            body[place] = byte;
        }
        for api in [TraceApi::V1, TraceApi::V2] {
            let answer = redact_protobuf(&body.clone().into(), api, &owner, &ForeignSpans::Redact);
            if let Ok(redacted) = answer
                && let Ok(trace) = TracesData::decode(whole(&redacted))
                && api == TraceApi::V1
            {
                for spans in trace.resource_spans {
                    prop_assert!(is_ours(&spans, &owner));
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let body = Bytes::from(body);
        for api in [TraceApi::V1, TraceApi::V2] {
            let _ = redact_protobuf(&body, api, &owner(&["A"]), &ForeignSpans::Redact);
        }
    }
}
