//! What the upstream answers.

use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};
use partywall::tempo::trace::TraceApi;
use serde_json::Value;

use crate::Outcome;
use crate::grpc;
use crate::made_up::{JsonTrace, ProtobufTrace, Shape, Whose};
use crate::upstream::{Http1Reply, Reply};

const RULES: &[u8] = include_bytes!("../../tests/fixtures/prometheus/rules-2.42.json");
const SEARCH: &[u8] =
    include_bytes!("../../tests/fixtures/tempo/grpc-http-port-Search-tenantA.bin");
const OWNERSHIP: &[u8] = include_bytes!("../../tests/fixtures/tempo/search-ownership-proto.pb");

/// An answer, and how many bytes of it are ours, where that is known.
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) ours: Option<u64>,
}

impl Answer {
    fn of(content_type: &str, body: impl Into<Bytes>, ours: Option<usize>) -> Self {
        Self {
            reply: Reply::Http1(Http1Reply::new(content_type, body)),
            ours: ours.map(|ours| ours as u64),
        }
    }
}

/// A web page's script.
pub(crate) fn page(bytes: usize) -> Answer {
    Answer::of("text/javascript", "a".repeat(bytes), Some(bytes))
}

/// A graph's series, about so many bytes.
pub(crate) fn matrix(bytes: usize) -> Answer {
    /// A point each fifteen seconds of an hour.
    const POINTS: usize = 240;
    let mut body = String::from(r#"{"status":"success","data":{"resultType":"matrix","result":["#);
    let mut series = 0;
    while series == 0 || body.len() < bytes {
        if series > 0 {
            body.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(
            body,
            r#"{{"metric":{{"job":"checkout","namespace":"shop","pod":"checkout-7d9f8b6c5-{series:05}"}},"values":["#
        );
        for point in 0..POINTS {
            if point > 0 && body.len() >= bytes {
                break;
            }
            let comma = if point > 0 { "," } else { "" };
            let (at, value) = (1_795_229_745 + 15 * point, series * 31 + point * 7);
            let _ = write!(body, r#"{comma}[{at},"{value}.625"]"#);
        }
        body.push_str("]}");
        series += 1;
    }
    body.push_str("]}}");
    let length = body.len();
    Answer::of("application/json", body, Some(length))
}

/// The recorded rules of two tenants, so many times over as makes about so many bytes.
pub(crate) fn rules(bytes: usize) -> Outcome<Answer> {
    let mut answer: Value = serde_json::from_slice(RULES)?;
    let groups = answer
        .pointer_mut("/data/groups")
        .and_then(Value::as_array_mut)
        .ok_or("no groups")?;
    *groups = vec![std::mem::take(groups); (bytes / RULES.len()).max(1)].concat();
    let body = serde_json::to_vec(&answer)?;
    Ok(Answer::of("application/json", body, None))
}

/// A trace of which every other `ResourceSpans` is another tenant's.
pub(crate) fn protobuf_trace(bytes: usize) -> Answer {
    let trace = ProtobufTrace::make(TraceApi::V2, Whose::EveryOther, 50, bytes);
    Answer::of("application/protobuf", trace.body, Some(trace.ours))
}

/// The same as JSON.
pub(crate) fn json_trace(bytes: usize) -> Answer {
    let trace = JsonTrace::make(Shape::usual(TraceApi::V2, Whose::EveryOther), bytes);
    let mut body = BytesMut::new();
    for chunk in trace.chunks() {
        body.extend_from_slice(chunk);
    }
    Answer::of("application/json", body.freeze(), Some(trace.ours))
}

/// The recorded stream of a search, and what a proxy that asks whose its traces are is told.
pub(crate) fn search() -> Outcome<Answer> {
    let mut rest = SEARCH;
    let mut messages = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length))?;
        let (message, after) = after.split_at_checked(length).ok_or("cut off")?;
        messages.push(grpc::frame(message)?);
        rest = after;
    }
    let ownership = Http1Reply::new("application/protobuf", OWNERSHIP);
    Ok(Answer {
        reply: Reply::Grpc(messages.into(), ownership),
        ours: None,
    })
}
