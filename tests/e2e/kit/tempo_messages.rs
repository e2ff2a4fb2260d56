//! Tempo's messages, as far as the tests need them, and their answers as the JSON that the HTTP
//! API gives. Field numbers: `pkg/tempopb/tempo.proto` of Tempo, `common.proto` of OTLP.

use std::collections::HashMap;

use prost::Message;
use serde_json::{Map, Value, json};

#[derive(Clone, PartialEq, Message)]
pub struct SearchRequest {
    #[prost(map = "string, string", tag = "1")]
    pub tags: HashMap<String, String>,
    #[prost(uint32, tag = "2")]
    pub min_duration_ms: u32,
    #[prost(uint32, tag = "3")]
    pub max_duration_ms: u32,
    #[prost(uint32, tag = "4")]
    pub limit: u32,
    #[prost(uint32, tag = "5")]
    pub start: u32,
    #[prost(uint32, tag = "6")]
    pub end: u32,
    #[prost(string, tag = "8")]
    pub query: String,
    #[prost(uint32, tag = "9")]
    pub spans_per_span_set: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct TagsRequest {
    #[prost(string, tag = "1")]
    pub scope: String,
    #[prost(string, tag = "2")]
    pub query: String,
    #[prost(uint32, tag = "3")]
    pub start: u32,
    #[prost(uint32, tag = "4")]
    pub end: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct TagValuesRequest {
    #[prost(string, tag = "1")]
    pub tag: String,
    #[prost(string, tag = "2")]
    pub query: String,
    #[prost(uint32, tag = "4")]
    pub start: u32,
    #[prost(uint32, tag = "5")]
    pub end: u32,
}

/// Times in nanoseconds.
#[derive(Clone, PartialEq, Message)]
pub struct QueryRangeRequest {
    #[prost(string, tag = "1")]
    pub query: String,
    #[prost(uint64, tag = "2")]
    pub start: u64,
    #[prost(uint64, tag = "3")]
    pub end: u64,
    #[prost(uint64, tag = "4")]
    pub step: u64,
    #[prost(uint32, tag = "16")]
    pub exemplars: u32,
}

/// Times in nanoseconds.
#[derive(Clone, PartialEq, Message)]
pub struct QueryInstantRequest {
    #[prost(string, tag = "1")]
    pub query: String,
    #[prost(uint64, tag = "2")]
    pub start: u64,
    #[prost(uint64, tag = "3")]
    pub end: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5")]
    pub value: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Flag(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Float(f64),
    #[prost(message, tag = "5")]
    List(List),
}

#[derive(Clone, PartialEq, Message)]
pub struct List {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SearchResponse {
    #[prost(message, repeated, tag = "1")]
    pub traces: Vec<FoundTrace>,
    #[prost(message, optional, tag = "2")]
    pub metrics: Option<SearchMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub struct FoundTrace {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub root_service_name: String,
    #[prost(string, tag = "3")]
    pub root_trace_name: String,
    #[prost(uint64, tag = "4")]
    pub start: u64,
    #[prost(uint32, tag = "5")]
    pub duration_ms: u32,
    #[prost(message, optional, tag = "6")]
    pub span_set: Option<SpanSet>,
    #[prost(message, repeated, tag = "7")]
    pub span_sets: Vec<SpanSet>,
    #[prost(map = "string, message", tag = "8")]
    pub service_stats: HashMap<String, ServiceStats>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ServiceStats {
    #[prost(uint32, tag = "1")]
    pub span_count: u32,
    #[prost(uint32, tag = "2")]
    pub error_count: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct SpanSet {
    #[prost(message, repeated, tag = "1")]
    pub spans: Vec<FoundSpan>,
    #[prost(uint32, tag = "2")]
    pub matched: u32,
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct FoundSpan {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(uint64, tag = "3")]
    pub start: u64,
    #[prost(uint64, tag = "4")]
    pub duration: u64,
    #[prost(message, repeated, tag = "5")]
    pub attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SearchMetrics {
    #[prost(uint32, tag = "1")]
    pub inspected_traces: u32,
    #[prost(uint64, tag = "2")]
    pub inspected_bytes: u64,
    #[prost(uint32, tag = "3")]
    pub total_blocks: u32,
    #[prost(uint32, tag = "4")]
    pub completed_jobs: u32,
    #[prost(uint32, tag = "5")]
    pub total_jobs: u32,
    #[prost(uint64, tag = "6")]
    pub total_block_bytes: u64,
    #[prost(uint64, tag = "7")]
    pub inspected_spans: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct MetadataMetrics {
    #[prost(uint64, tag = "1")]
    pub inspected_bytes: u64,
    #[prost(uint32, tag = "2")]
    pub total_jobs: u32,
    #[prost(uint32, tag = "3")]
    pub completed_jobs: u32,
    #[prost(uint32, tag = "4")]
    pub total_blocks: u32,
    #[prost(uint64, tag = "5")]
    pub total_block_bytes: u64,
}

/// Names or values of the first version.
#[derive(Clone, PartialEq, Message)]
pub struct Strings {
    #[prost(string, repeated, tag = "1")]
    pub strings: Vec<String>,
    #[prost(message, optional, tag = "2")]
    pub metrics: Option<MetadataMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Scopes {
    #[prost(message, repeated, tag = "1")]
    pub scopes: Vec<Scope>,
    #[prost(message, optional, tag = "2")]
    pub metrics: Option<MetadataMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Scope {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, repeated, tag = "2")]
    pub tags: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TagValues {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<TagValue>,
    #[prost(message, optional, tag = "2")]
    pub metrics: Option<MetadataMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TagValue {
    #[prost(string, tag = "1")]
    pub kind: String,
    /// A string, in which Tempo writes ids as they are.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct QueryRangeResponse {
    #[prost(message, repeated, tag = "1")]
    pub series: Vec<TimeSeries>,
    #[prost(message, optional, tag = "2")]
    pub metrics: Option<SearchMetrics>,
    #[prost(int32, tag = "3")]
    pub status: i32,
    #[prost(string, tag = "4")]
    pub message: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<KeyValue>,
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    pub exemplars: Vec<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Sample {
    #[prost(double, tag = "1")]
    pub value: f64,
    #[prost(int64, tag = "2")]
    pub timestamp_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<KeyValue>,
    #[prost(double, tag = "2")]
    pub value: f64,
    #[prost(int64, tag = "3")]
    pub timestamp_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct QueryInstantResponse {
    #[prost(message, repeated, tag = "1")]
    pub series: Vec<InstantSeries>,
    #[prost(message, optional, tag = "2")]
    pub metrics: Option<SearchMetrics>,
    #[prost(int32, tag = "3")]
    pub status: i32,
    #[prost(string, tag = "4")]
    pub message: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct InstantSeries {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<KeyValue>,
    #[prost(double, tag = "2")]
    pub value: f64,
}

/// `tempopb.Trace`; each of its resources is compared by its bytes.
#[derive(Clone, PartialEq, Message)]
pub struct Trace {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub resource_spans: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TraceByIdResponse {
    #[prost(message, optional, tag = "1")]
    pub trace: Option<Trace>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub metrics: Option<Vec<u8>>,
    #[prost(int32, tag = "3")]
    pub status: i32,
    #[prost(string, tag = "4")]
    pub message: String,
}

/// An answer that has a JSON equivalent.
pub trait Twin: Message + Default {
    /// Without what a proxy has to take out: the metrics block is compared by itself.
    fn json(&self) -> Value;
}

pub fn decode<M: Message + Default>(bytes: &[u8]) -> M {
    M::decode(bytes).unwrap_or_else(|cause| panic!("not the message it should be: {cause}"))
}

impl Twin for SearchResponse {
    fn json(&self) -> Value {
        json!({ "traces": self.traces.iter().map(FoundTrace::json).collect::<Vec<_>>() })
    }
}

impl FoundTrace {
    fn json(&self) -> Value {
        let mut trace = Map::new();
        put(&mut trace, "traceID", &self.id);
        put(&mut trace, "rootServiceName", &self.root_service_name);
        put(&mut trace, "rootTraceName", &self.root_trace_name);
        put(&mut trace, "startTimeUnixNano", &unless_zero(self.start));
        if self.duration_ms != 0 {
            trace.insert("durationMs".to_owned(), json!(self.duration_ms));
        }
        if let Some(span_set) = &self.span_set {
            trace.insert("spanSet".to_owned(), span_set.json());
        }
        let span_sets: Vec<Value> = self.span_sets.iter().map(SpanSet::json).collect();
        trace.insert("spanSets".to_owned(), json!(span_sets));
        if !self.service_stats.is_empty() {
            let stats = self.service_stats.iter().map(|(service, stats)| {
                let mut counts = Map::new();
                for (key, count) in [
                    ("spanCount", stats.span_count),
                    ("errorCount", stats.error_count),
                ] {
                    if count != 0 {
                        counts.insert(key.to_owned(), json!(count));
                    }
                }
                (service.clone(), Value::Object(counts))
            });
            trace.insert(
                "serviceStats".to_owned(),
                stats.collect::<Map<_, _>>().into(),
            );
        }
        Value::Object(trace)
    }
}

impl SpanSet {
    fn json(&self) -> Value {
        let spans: Vec<Value> = self.spans.iter().map(FoundSpan::json).collect();
        let mut set = json!({ "spans": spans, "matched": self.matched });
        if !self.attributes.is_empty() {
            set["attributes"] = attributes(&self.attributes);
        }
        set
    }
}

impl FoundSpan {
    fn json(&self) -> Value {
        let mut span = Map::new();
        put(&mut span, "spanID", &self.id);
        put(&mut span, "name", &self.name);
        put(&mut span, "startTimeUnixNano", &unless_zero(self.start));
        put(&mut span, "durationNanos", &unless_zero(self.duration));
        if !self.attributes.is_empty() {
            span.insert("attributes".to_owned(), attributes(&self.attributes));
        }
        Value::Object(span)
    }
}

impl Twin for Scopes {
    fn json(&self) -> Value {
        let scope = |scope: &Scope| json!({ "name": scope.name, "tags": scope.tags });
        json!({ "scopes": self.scopes.iter().map(scope).collect::<Vec<_>>() })
    }
}

impl Twin for TagValues {
    fn json(&self) -> Value {
        let value = |value: &TagValue| {
            let mut json = Map::new();
            put(&mut json, "type", &value.kind);
            put(&mut json, "value", &String::from_utf8_lossy(&value.value));
            Value::Object(json)
        };
        json!({ "tagValues": self.values.iter().map(value).collect::<Vec<_>>() })
    }
}

impl Twin for QueryRangeResponse {
    fn json(&self) -> Value {
        let sample = |sample: &Sample| json!({ "timestampMs": sample.timestamp_ms.to_string(), "value": number(sample.value) });
        let exemplar = |one: &Exemplar| {
            json!({
                "labels": attributes(&one.labels),
                "value": number(one.value),
                "timestampMs": one.timestamp_ms.to_string(),
            })
        };
        let series = |series: &TimeSeries| {
            json!({
                "labels": attributes(&series.labels),
                "samples": series.samples.iter().map(sample).collect::<Vec<_>>(),
                "exemplars": series.exemplars.iter().map(exemplar).collect::<Vec<_>>(),
            })
        };
        json!({ "series": self.series.iter().map(series).collect::<Vec<_>>() })
    }
}

impl Twin for QueryInstantResponse {
    fn json(&self) -> Value {
        let series = |series: &InstantSeries| json!({ "labels": attributes(&series.labels), "value": number(series.value) });
        json!({ "series": self.series.iter().map(series).collect::<Vec<_>>() })
    }
}

fn attributes(all: &[KeyValue]) -> Value {
    let pair = |pair: &KeyValue| json!({ "key": pair.key, "value": any(pair.value.as_ref()) });
    all.iter().map(pair).collect()
}

fn any(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        None => Value::Null,
        Some(Any::Text(text)) => json!({ "stringValue": text }),
        Some(Any::Flag(flag)) => json!({ "boolValue": flag }),
        Some(Any::Int(int)) => json!({ "intValue": int.to_string() }),
        Some(Any::Float(float)) => json!({ "doubleValue": number(*float) }),
        Some(Any::List(list)) => {
            let values: Vec<Value> = list.values.iter().map(|one| any(Some(one))).collect();
            json!({ "arrayValue": { "values": values } })
        }
    }
}

/// As jsonpb writes it: what is no number is a text.
fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| json!(value.to_string()), Value::Number)
}

fn unless_zero(number: u64) -> String {
    if number == 0 {
        String::new()
    } else {
        number.to_string()
    }
}

/// Empty texts are left out.
fn put(json: &mut Map<String, Value>, key: &str, value: &str) {
    if !value.is_empty() {
        json.insert(key.to_owned(), json!(value));
    }
}
