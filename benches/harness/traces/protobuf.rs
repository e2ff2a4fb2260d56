//! A protobuf trace as a whole.

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use partywall::tempo::trace::TraceApi;
use prost::Message as _;
use prost::encoding::bytes as field;

use super::{ATTRIBUTE, OURS, PODS, Whose};

/// A made-up answer of Tempo in protobuf. Field numbers: `pkg/tempopb/tempo.proto` of Tempo.
pub(crate) struct ProtobufTrace {
    pub(crate) body: Bytes,
    pub(crate) api: TraceApi,
    pub(crate) spans: usize,
    pub(crate) resource_spans: usize,
    /// The length of what is to be kept.
    pub(crate) ours: usize,
}

impl ProtobufTrace {
    /// Of about this many bytes, with so many spans in each `ResourceSpans`.
    pub(crate) fn make(api: TraceApi, whose: Whose, spans: usize, bytes: usize) -> Self {
        // PODS is even, so each of them is always the same tenant's.
        let elements: Vec<Vec<u8>> = (0..PODS)
            .map(|pod| {
                let mut element = Vec::new();
                let spans = resource_spans(whose.tenant(pod), pod, spans);
                field::encode(1, &spans, &mut element);
                element
            })
            .collect();
        let mut trace = Vec::with_capacity(bytes + bytes / 16);
        let mut ours = 0;
        let mut resource_spans = 0;
        for (pod, element) in elements.iter().enumerate().cycle() {
            if trace.len() >= bytes {
                break;
            }
            trace.extend_from_slice(element);
            resource_spans += 1;
            if whose.tenant(pod) == OURS {
                ours += element.len();
            }
        }
        let mut body = trace;
        if api == TraceApi::V2 {
            body = wrapped(&body);
            ours = wrapped_length(ours);
        }
        Self {
            body: body.into(),
            api,
            spans,
            resource_spans,
            ours,
        }
    }
}

/// A `TraceByIDResponse` with metrics, which are to be emptied.
fn wrapped(trace: &[u8]) -> Vec<u8> {
    let mut response = Vec::with_capacity(trace.len() + 16);
    field::encode(1, &trace.to_vec(), &mut response);
    field::encode(2, &b"\x08\x96\x01".to_vec(), &mut response);
    response
}

/// How long a response with this much of a trace and empty metrics is.
fn wrapped_length(trace: usize) -> usize {
    1 + prost::length_delimiter_len(trace) + trace + 2
}

fn resource_spans(tenant: &str, pod: usize, spans: usize) -> Vec<u8> {
    let attribute = |(key, value): (&str, String)| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }),
        ..KeyValue::default()
    };
    let attributes = [
        ("service.name", "checkout".to_owned()),
        ("k8s.pod.name", format!("checkout-7d9f8b6c5-{pod:05}")),
        ("k8s.namespace.name", "shop".to_owned()),
        ("telemetry.sdk.language", "go".to_owned()),
        (ATTRIBUTE, tenant.to_owned()),
    ];
    // Nothing looks into a span.
    let span = Span {
        name: "s".repeat(347),
        ..Span::default()
    };
    let all = ResourceSpans {
        resource: Some(Resource {
            attributes: attributes.map(attribute).to_vec(),
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            spans: vec![span; spans],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    all.encode_to_vec()
}
