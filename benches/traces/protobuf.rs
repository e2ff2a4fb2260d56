//! A protobuf trace in hand, redacted, against a copy of it.

use std::error::Error;
use std::hint::black_box;

use bytes::Bytes;
use partywall::trace::{ForeignSpans, Redacted, TraceApi, redact_protobuf};
use prost::encoding::{bytes as field, string};

use crate::harness::Table;
use crate::{ATTRIBUTE, Effort, OURS, PODS, Whose, fastest_in_turns, owner};

pub(crate) fn bench(effort: Effort) -> Result<(), Box<dyn Error>> {
    let mut table = Table::new(
        format!(
            "Protobuf: {} MB redacted, against a copy of it into memory already touched\n\
             (wanted for 50 and 5000 spans: below 1 of a copy)",
            effort.protobuf_bytes / 1_000_000
        ),
        &[
            &"trace",
            &"spans each",
            &"ResourceSpans",
            &"pieces sent",
            &"redacted, ms",
            &"copied, ms",
            &"of a copy",
        ],
    );
    let mut copy = Vec::new();
    for (api, name) in [(TraceApi::V1, "v1"), (TraceApi::V2, "v2")] {
        for whose in [Whose::Ours, Whose::EveryOther] {
            // One span each is the worst a trace can be.
            for spans in [1, 50, 5000] {
                let trace = Trace::make(api, whose, spans, effort.protobuf_bytes);
                measure(
                    &trace,
                    &format!("{name}, {}", whose.name()),
                    effort,
                    &mut copy,
                    &mut table,
                )?;
            }
        }
    }
    table.print();
    Ok(())
}

fn measure(
    trace: &Trace,
    name: &str,
    effort: Effort,
    copy: &mut Vec<u8>,
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    let owner = owner()?;
    copy.resize(trace.body.len(), 1);
    let mut pieces = 0;
    let [redacted, copied] = fastest_in_turns(
        effort.rounds,
        [
            &mut |_| {
                let body = black_box(&trace.body);
                let redacted = redact_protobuf(body, trace.api, &owner, ForeignSpans::Redact)?;
                let Redacted::Kept { body, .. } = redacted else {
                    return Err("nothing was kept".into());
                };
                pieces = body.len();
                let length: usize = body.iter().map(Bytes::len).sum();
                (length == trace.ours)
                    .then_some(())
                    .ok_or_else(|| format!("{length} bytes kept, not {}", trace.ours).into())
            },
            &mut |_| {
                copy.copy_from_slice(black_box(&trace.body));
                black_box(&copy);
                Ok(())
            },
        ],
    )?;
    table.row(&[
        &name,
        &trace.spans,
        &trace.resource_spans,
        &pieces,
        &format!("{:.3}", redacted.as_secs_f64() * 1e3),
        &format!("{:.3}", copied.as_secs_f64() * 1e3),
        &format!("{:.4}", redacted.as_secs_f64() / copied.as_secs_f64()),
    ]);
    Ok(())
}

/// A made-up answer of Tempo. Field numbers: `pkg/tempopb/tempo.proto` of Tempo.
struct Trace {
    body: Bytes,
    api: TraceApi,
    spans: usize,
    resource_spans: usize,
    /// The length of what is to be kept.
    ours: usize,
}

impl Trace {
    fn make(api: TraceApi, whose: Whose, spans: usize, bytes: usize) -> Self {
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
