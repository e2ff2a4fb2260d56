//! A JSON trace in chunks.

use std::fmt::Write as _;

use bytes::Bytes;
use partywall::tempo::trace::TraceApi;

use super::{ATTRIBUTE, OURS, PODS, Whose};

/// As a connection hands them on.
pub(crate) const CHUNK: usize = 64 * 1024;

/// About as long as a made-up span is.
pub(crate) const SPAN_BYTES: usize = 700;

/// What a made-up answer of Tempo is like.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) api: TraceApi,
    pub(crate) whose: Whose,
    /// Of each `ResourceSpans`.
    pub(crate) spans: usize,
    pub(crate) stack_traces: bool,
    pub(crate) resource_behind: bool,
}

impl Shape {
    pub(crate) fn usual(api: TraceApi, whose: Whose) -> Self {
        Self {
            api,
            whose,
            spans: 50,
            stack_traces: false,
            resource_behind: false,
        }
    }
}

/// An answer in chunks: a head, the same stretch of `ResourceSpans` some times over, and a tail.
/// The stretch is too long for a processor's caches, and a fraction of the whole.
pub(crate) struct JsonTrace {
    pub(crate) api: TraceApi,
    head: Bytes,
    stretch: Vec<Bytes>,
    times: usize,
    tail: Bytes,
    /// The length of what is to be kept.
    pub(crate) ours: usize,
}

impl JsonTrace {
    /// Of about this many bytes.
    pub(crate) fn make(shape: Shape, bytes: usize) -> Self {
        const TIMES: usize = 4;
        let mut stretch = String::new();
        let mut elements = 0;
        let mut ours = 0;
        while stretch.len() < bytes / TIMES {
            let before = stretch.len();
            write_resource_spans(shape, elements, &mut stretch);
            stretch.push(',');
            if shape.whose.tenant(elements) == OURS {
                ours += stretch.len() - before;
            }
            elements += 1;
        }
        let mut last = String::new();
        write_resource_spans(shape, 0, &mut last);
        let (head, tail, new_tail) = match shape.api {
            TraceApi::V1 => (r#"{"batches":["#, "]}", "]}"),
            TraceApi::V2 => (
                r#"{"trace":{"resourceSpans":["#,
                r#"]},"metrics":{"inspectedBytes":"170000000"}}"#,
                r#"]},"metrics":{}}"#,
            ),
        };
        let ours = head.len() + ours * TIMES + last.len() + new_tail.len();
        let stretch = Bytes::from(stretch);
        Self {
            api: shape.api,
            head: head.into(),
            stretch: stretch
                .chunks(CHUNK)
                .map(|chunk| stretch.slice_ref(chunk))
                .collect(),
            times: TIMES,
            tail: (last + tail).into(),
            ours,
        }
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        let body = (0..self.times).flat_map(|_| &self.stretch);
        std::iter::once(&self.head).chain(body).chain([&self.tail])
    }
}

/// Writes one as gogo's jsonpb does.
fn write_resource_spans(shape: Shape, index: usize, out: &mut String) {
    let pod = index % PODS;
    let resource = format!(
        r#""resource":{{"attributes":[{},{},{},{}]}}"#,
        attribute("service.name", "checkout"),
        attribute("k8s.pod.name", &format!("checkout-7d9f8b6c5-{pod:05}")),
        attribute("telemetry.sdk.language", "go"),
        attribute(ATTRIBUTE, shape.whose.tenant(index)),
    );
    out.push('{');
    if !shape.resource_behind {
        out.push_str(&resource);
        out.push(',');
    }
    out.push_str(r#""scopeSpans":[{"scope":{"name":"net/http","version":"0.61.0"},"spans":["#);
    for span in 0..shape.spans {
        if span > 0 {
            out.push(',');
        }
        write_span(index * shape.spans + span, shape.stack_traces, out);
    }
    out.push_str("]}]");
    if shape.resource_behind {
        out.push(',');
        out.push_str(&resource);
    }
    out.push('}');
}

fn write_span(id: usize, stack_trace: bool, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        r#"{{"traceId":"CrwAAAAAAAAAAAAAAAAABA==","spanId":"{id:011x}=","parentSpanId":"{:011x}=","name":"POST /api/v1/orders","kind":"SPAN_KIND_SERVER","startTimeUnixNano":"{}","endTimeUnixNano":"{}","attributes":[{},{},{},{{"key":"http.response.status_code","value":{{"intValue":"200"}}}},{{"key":"retry","value":{{"boolValue":false}}}}"#,
        id / 2,
        1_795_229_745_605_554_688 + id,
        1_795_229_745_665_554_688 + id,
        attribute("http.request.method", "POST"),
        attribute("url.path", "/api/v1/orders"),
        attribute("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"),
    );
    if stack_trace {
        out.push(',');
        let frames = r"\tat com.example.Shop.\u003cinit\u003e(Shop.java:42)\n".repeat(6);
        out.push_str(&attribute("exception.stacktrace", &frames));
    }
    out.push_str(r#"],"status":{}}"#);
}

/// An attribute with a string, which is written as it is.
fn attribute(key: &str, value: &str) -> String {
    format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
}
