//! The protobuf form of a trace: what comes out is what a reference keeps that decodes all of it.

use arbitrary::Unstructured;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use partywall::tempo::trace::{ForeignSpans, Outcome, ProtobufFilter, TraceApi, TraceFilter};
use prost::Message;

use crate::trace::{LIMIT, Setup, damage, filter_both_ways, is_ours, is_outline, made_up, mark};

/// Tempo's message around a trace.
#[derive(Clone, PartialEq, Message)]
pub struct TraceByIdResponse {
    #[prost(message, optional, tag = "1")]
    pub trace: Option<TracesData>,
    #[prost(message, optional, tag = "2")]
    pub metrics: Option<Metrics>,
    #[prost(int32, tag = "3")]
    pub status: i32,
    #[prost(string, tag = "4")]
    pub message: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Metrics {
    #[prost(uint64, tag = "1")]
    pub inspected_bytes: u64,
}

/// The first three bytes choose how the filter is called.
pub fn check(data: &[u8]) {
    let Some((choices, rest)) = crate::split::<3>(data) else {
        return;
    };
    let setup = Setup::new(*choices);
    if setup.is_made_up {
        let mut u = Unstructured::new(rest);
        let Ok(trace) = made_up(&mut u) else { return };
        let mut body = match setup.api {
            TraceApi::V1 => trace.encode_to_vec(),
            TraceApi::V2 => in_answer(&mut u, trace.clone()).encode_to_vec(),
        };
        let Ok(is_damaged) = damage(&mut u, &mut body) else {
            return;
        };
        let out = check_body(&setup, &body);
        if !is_damaged {
            assert_marks(&setup, &trace, &out.expect("a trace of Tempo's").1);
        }
    } else {
        check_body(&setup, rest);
    }
}

fn in_answer(u: &mut Unstructured<'_>, trace: TracesData) -> TraceByIdResponse {
    TraceByIdResponse {
        trace: Some(trace),
        metrics: Some(Metrics {
            inspected_bytes: 77_777,
        }),
        status: i32::from(u.arbitrary().unwrap_or(false)),
        message: "MARK of the whole".to_owned(),
    }
}

/// Each text is there if its resource is ours, and not if it isn't.
fn assert_marks(setup: &Setup, trace: &TracesData, out: &[u8]) {
    let has = |text: &str| {
        out.windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(!has("MARK of the whole"));
    for (number, spans) in trace.resource_spans.iter().enumerate() {
        let mark = mark(number);
        if !is_ours(spans, setup.scope) && !setup.shows_names() {
            assert!(!has(&mark), "{mark} of another tenant");
        }
    }
}

type Filtered = Option<(Outcome, Vec<u8>)>;

fn check_body(setup: &Setup, body: &[u8]) -> Filtered {
    let new = || {
        TraceFilter::Protobuf(ProtobufFilter::new(
            setup.api,
            setup.owner.clone().into(),
            &setup.foreign,
            LIMIT,
        ))
    };
    let reference = decode(setup.api, body);
    let Some((outcome, out)) = filter_both_ways(new, body, setup.piece) else {
        let is_plain = reference.is_some_and(|trace| trace.is_canonical);
        assert!(!is_plain, "refused what Tempo sends");
        return None;
    };
    let Some(reference) = reference else {
        return Some((outcome, out));
    };
    let ours: Vec<_> = reference
        .spans
        .iter()
        .filter(|it| is_ours(it, setup.scope))
        .collect();
    let has_foreign = ours.len() < reference.spans.len();
    if outcome == Outcome::Nothing {
        let is_denied = setup.foreign == ForeignSpans::Deny && has_foreign;
        assert!(
            !reference.is_canonical || ours.is_empty() || is_denied,
            "our spans are missing"
        );
        return Some((outcome, out));
    }
    let kept = decode(setup.api, &out).expect("what is kept of what can be decoded can be");
    let is_outlined = matches!(setup.foreign, ForeignSpans::Outline(_));
    let mut originals = reference.spans.iter();
    let mut kept_of_ours = 0;
    for spans in &kept.spans {
        if is_ours(spans, setup.scope) {
            kept_of_ours += 1;
            assert!(
                originals.any(|original| original == spans),
                "changed, or in another order"
            );
        } else {
            assert!(
                is_outlined && is_outline(spans, setup.shows_names()),
                "of another tenant: {spans:?}"
            );
        }
    }
    assert!(kept_of_ours > 0);
    if reference.is_canonical {
        assert_eq!(kept_of_ours, ours.len(), "our spans are missing");
        assert_eq!(outcome, Outcome::Kept { all: !has_foreign });
    }
    Some((outcome, out))
}

struct Decoded {
    spans: Vec<ResourceSpans>,
    /// Whether it is encoded as Tempo does: no field twice, out of order or unknown.
    is_canonical: bool,
}

/// Tempo has no table of strings that a key could be in. The filter does not know what such a key is,
/// so the resource is nobody's.
fn has_key_by_index(spans: &ResourceSpans) -> bool {
    let mut attributes = spans.resource.iter().flat_map(|it| &it.attributes);
    attributes.any(|attribute| attribute.key_strindex != 0)
}

fn decode(api: TraceApi, body: &[u8]) -> Option<Decoded> {
    let (spans, encoded) = match api {
        TraceApi::V1 => {
            let trace = TracesData::decode(body).ok()?;
            let encoded = trace.encode_to_vec();
            (trace.resource_spans, encoded)
        }
        TraceApi::V2 => {
            let answer = TraceByIdResponse::decode(body).ok()?;
            let encoded = answer.encode_to_vec();
            (answer.trace.unwrap_or_default().resource_spans, encoded)
        }
    };
    Some(Decoded {
        is_canonical: encoded == body && !spans.iter().any(has_key_by_index),
        spans,
    })
}
