//! Tempo's messages for an independent decoder, and answers recorded from a real Tempo. What OTLP
//! has too is of its published messages.

pub(super) use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
pub(super) use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use prost::Message;

pub(super) fn attribute(key: &str, value: AnyValue) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(value),
        ..KeyValue::default()
    }
}

pub(super) fn text(value: &str) -> AnyValue {
    AnyValue {
        value: Some(Any::StringValue(value.to_owned())),
    }
}

pub(super) fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/tempo/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

/// The messages of a recorded stream: each with four bytes of length before it.
pub(super) fn stream(name: &str) -> Vec<Vec<u8>> {
    let recorded = fixture(name);
    let mut rest = &recorded[..];
    let mut messages = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (message, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        messages.push(message.to_vec());
        rest = after;
    }
    messages
}

pub(super) fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).unwrap()
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SearchResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) traces: Vec<Trace>,
    #[prost(message, optional, tag = "2")]
    pub(super) metrics: Option<SearchMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Trace {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) root_service_name: String,
    #[prost(string, tag = "3")]
    pub(super) root_trace_name: String,
    #[prost(uint64, tag = "4")]
    pub(super) start: u64,
    #[prost(uint32, tag = "5")]
    pub(super) duration_ms: u32,
    #[prost(message, optional, tag = "6")]
    pub(super) span_set: Option<SpanSet>,
    #[prost(message, repeated, tag = "7")]
    pub(super) span_sets: Vec<SpanSet>,
    #[prost(map = "string, message", tag = "8")]
    pub(super) service_stats: std::collections::HashMap<String, ServiceStats>,
    /// Not a field of Tempo's.
    #[prost(string, tag = "90")]
    pub(super) unknown: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ServiceStats {
    #[prost(uint32, tag = "1")]
    pub(super) span_count: u32,
    #[prost(uint32, tag = "2")]
    pub(super) error_count: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SpanSet {
    #[prost(message, repeated, tag = "1")]
    pub(super) spans: Vec<Span>,
    #[prost(uint32, tag = "2")]
    pub(super) matched: u32,
    #[prost(message, repeated, tag = "3")]
    pub(super) attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Span {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(uint64, tag = "3")]
    pub(super) start: u64,
    #[prost(uint64, tag = "4")]
    pub(super) duration: u64,
    #[prost(message, repeated, tag = "5")]
    pub(super) attributes: Vec<KeyValue>,
    /// Not a field of Tempo's.
    #[prost(string, tag = "90")]
    pub(super) unknown: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SearchMetrics {
    #[prost(uint32, tag = "1")]
    pub(super) inspected_traces: u32,
    #[prost(uint64, tag = "2")]
    pub(super) inspected_bytes: u64,
    #[prost(uint32, tag = "4")]
    pub(super) completed_jobs: u32,
    #[prost(uint32, tag = "5")]
    pub(super) total_jobs: u32,
    #[prost(uint64, tag = "7")]
    pub(super) inspected_spans: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetadataMetrics {
    #[prost(uint64, tag = "1")]
    pub(super) inspected_bytes: u64,
    #[prost(uint32, tag = "2")]
    pub(super) total_jobs: u32,
    #[prost(uint32, tag = "3")]
    pub(super) completed_jobs: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Strings {
    #[prost(string, repeated, tag = "1")]
    pub(super) strings: Vec<String>,
    #[prost(message, optional, tag = "2")]
    pub(super) metrics: Option<MetadataMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TagsV2 {
    #[prost(message, repeated, tag = "1")]
    pub(super) scopes: Vec<Scope>,
    #[prost(message, optional, tag = "2")]
    pub(super) metrics: Option<MetadataMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Scope {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) tags: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ValuesV2 {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<TagValue>,
    #[prost(message, optional, tag = "2")]
    pub(super) metrics: Option<MetadataMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TagValue {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

/// The answer of `query_range`; that of `query` has a value instead of samples.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RangeResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) series: Vec<Series>,
    #[prost(message, optional, tag = "2")]
    pub(super) metrics: Option<SearchMetrics>,
    #[prost(int32, tag = "3")]
    pub(super) status: i32,
    #[prost(string, tag = "4")]
    pub(super) message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Series {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<KeyValue>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    pub(super) exemplars: Vec<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sample {
    #[prost(double, tag = "1")]
    pub(super) value: f64,
    #[prost(int64, tag = "2")]
    pub(super) timestamp_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<KeyValue>,
    #[prost(double, tag = "2")]
    pub(super) value: f64,
    #[prost(int64, tag = "3")]
    pub(super) timestamp_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InstantResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) series: Vec<InstantSeries>,
    #[prost(message, optional, tag = "2")]
    pub(super) metrics: Option<SearchMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InstantSeries {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<KeyValue>,
    #[prost(double, tag = "2")]
    pub(super) value: f64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SearchRequest {
    #[prost(map = "string, string", tag = "1")]
    pub(super) tags: std::collections::HashMap<String, String>,
    #[prost(uint32, tag = "2")]
    pub(super) min_duration_ms: u32,
    #[prost(uint32, tag = "3")]
    pub(super) max_duration_ms: u32,
    #[prost(uint32, tag = "4")]
    pub(super) limit: u32,
    #[prost(uint32, tag = "5")]
    pub(super) start: u32,
    #[prost(uint32, tag = "6")]
    pub(super) end: u32,
    #[prost(string, tag = "8")]
    pub(super) query: String,
    #[prost(uint32, tag = "9")]
    pub(super) spans_per_span_set: u32,
    /// A `Timestamp`; Go clients of some versions always send one.
    #[prost(bytes = "vec", optional, tag = "10")]
    pub(super) rf1_after: Option<Vec<u8>>,
    #[prost(string, repeated, tag = "11")]
    pub(super) skip_ast_transformations: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TagsRequest {
    #[prost(string, tag = "1")]
    pub(super) scope: String,
    #[prost(string, tag = "2")]
    pub(super) query: String,
    #[prost(uint32, tag = "3")]
    pub(super) start: u32,
    #[prost(uint32, tag = "4")]
    pub(super) end: u32,
    #[prost(uint32, tag = "5")]
    pub(super) max_tags_per_scope: u32,
    #[prost(uint32, tag = "6")]
    pub(super) stale_values_threshold: u32,
    #[prost(bytes = "vec", optional, tag = "7")]
    pub(super) rf1_after: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TagValuesRequest {
    #[prost(string, tag = "1")]
    pub(super) tag_name: String,
    #[prost(string, tag = "2")]
    pub(super) query: String,
    #[prost(uint32, tag = "4")]
    pub(super) start: u32,
    #[prost(uint32, tag = "5")]
    pub(super) end: u32,
    #[prost(uint32, tag = "6")]
    pub(super) max_tag_values: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RangeRequest {
    #[prost(string, tag = "1")]
    pub(super) query: String,
    #[prost(uint64, tag = "2")]
    pub(super) start: u64,
    #[prost(uint64, tag = "3")]
    pub(super) end: u64,
    #[prost(uint64, tag = "4")]
    pub(super) step: u64,
    #[prost(string, tag = "8")]
    pub(super) block_id: String,
    #[prost(uint32, tag = "16")]
    pub(super) exemplars: u32,
    #[prost(uint32, tag = "17")]
    pub(super) max_series: u32,
    #[prost(bool, optional, tag = "18")]
    pub(super) instant: Option<bool>,
    #[prost(string, repeated, tag = "19")]
    pub(super) skip_ast_transformations: Vec<String>,
}
