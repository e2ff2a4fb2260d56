//! A protobuf trace as a whole.

use bytes::Bytes;
use partywall::tempo::trace::TraceApi;
use prost::encoding::{bytes as field, string};

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
    let mut resource = Vec::new();
    for (key, value) in [
        ("service.name", "checkout".to_owned()),
        ("k8s.pod.name", format!("checkout-7d9f8b6c5-{pod:05}")),
        ("k8s.namespace.name", "shop".to_owned()),
        ("telemetry.sdk.language", "go".to_owned()),
        (ATTRIBUTE, tenant.to_owned()),
    ] {
        let (mut any, mut attribute) = (Vec::new(), Vec::new());
        string::encode(1, &value, &mut any);
        string::encode(1, &key.to_owned(), &mut attribute);
        field::encode(2, &any, &mut attribute);
        field::encode(1, &attribute, &mut resource);
    }
    let mut scope_spans = Vec::new();
    // Nothing looks into a span.
    let span = vec![b's'; 350];
    for _ in 0..spans {
        field::encode(2, &span, &mut scope_spans);
    }
    let mut all = Vec::new();
    field::encode(1, &resource, &mut all);
    field::encode(2, &scope_spans, &mut all);
    all
}
