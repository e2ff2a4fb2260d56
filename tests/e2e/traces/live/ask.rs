//! A question, put to a Tempo or to the proxy in each of the forms the API has.

use std::collections::BTreeMap;

use prost::Message;
use serde_json::{Value, json};

use crate::kit::client::{Ask, Client};
use crate::kit::grpc::{Call, call};
use crate::kit::tempo_data::Window;
use crate::kit::tempo_messages::{
    QueryInstantRequest, QueryInstantResponse, QueryRangeRequest, QueryRangeResponse, Scopes,
    SearchRequest, SearchResponse, Strings, TagValues, TagValuesRequest, TagsRequest, Trace,
    TraceByIdResponse, Twin, decode,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Search,
    Tags(Version),
    Values(Version, String),
    Range,
    Instant,
    Trace(Version, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    Protobuf,
    Grpc,
}

#[derive(Clone, Debug)]
pub struct Question {
    pub subject: Subject,
    /// Without the range.
    pub params: Vec<(&'static str, String)>,
    pub window: Window,
    /// First and last second; none if the question has no range.
    pub range: Option<(i64, i64)>,
}

impl Question {
    pub fn param(&self, name: &str) -> &str {
        let mut found = self.params.iter().filter(|(key, _)| *key == name);
        found.next().map_or("", |(_, value)| value)
    }

    /// The forms that the subject has.
    pub fn forms(&self) -> &'static [Form] {
        match self.subject {
            Subject::Search | Subject::Tags(_) | Subject::Values(..) => {
                &[Form::Json, Form::Protobuf, Form::Grpc]
            }
            Subject::Range | Subject::Instant => &[Form::Json, Form::Grpc],
            Subject::Trace(..) => &[Form::Json, Form::Protobuf],
        }
    }

    /// The same with the tenant's stage in front, or as the filter.
    pub fn confined(&self, stage: &str) -> Self {
        let mut confined = self.clone();
        let query = self.param("q").to_owned();
        let text = match self.subject {
            Subject::Tags(_) | Subject::Values(..) => {
                let inner = stage.trim_matches(['{', '}', ' ']);
                match query.trim_start_matches('{').trim() {
                    "" | "}" => stage.to_owned(),
                    rest => format!("{{ {inner} && {rest}"),
                }
            }
            _ if query.is_empty() => stage.to_owned(),
            _ => format!("{stage} | {query}"),
        };
        confined.params.retain(|(name, _)| *name != "q");
        confined.params.insert(0, ("q", text));
        if let Subject::Values(Version::V1, tag) = &self.subject {
            // The first version takes no filter.
            let tag = match tag.as_str() {
                "status.code" => "status".to_owned(),
                tag => format!(".{tag}"),
            };
            confined.subject = Subject::Values(Version::V2, tag);
        }
        confined
    }

    fn path(&self) -> String {
        match &self.subject {
            Subject::Search => "/api/search".to_owned(),
            Subject::Tags(Version::V1) => "/api/search/tags".to_owned(),
            Subject::Tags(Version::V2) => "/api/v2/search/tags".to_owned(),
            Subject::Values(Version::V1, tag) => format!("/api/search/tag/{tag}/values"),
            Subject::Values(Version::V2, tag) => format!("/api/v2/search/tag/{tag}/values"),
            Subject::Range => "/api/metrics/query_range".to_owned(),
            Subject::Instant => "/api/metrics/query".to_owned(),
            Subject::Trace(Version::V1, id) => format!("/api/traces/{id}"),
            Subject::Trace(Version::V2, id) => format!("/api/v2/traces/{id}"),
        }
    }

    fn ask(&self) -> Ask {
        let mut params: Vec<(&str, &str)> = self
            .params
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let range = self
            .range
            .map(|(start, end)| (start.to_string(), end.to_string()));
        if let Some((start, end)) = &range {
            params.extend([("start", start.as_str()), ("end", end.as_str())]);
        }
        Ask::get(&self.path(), &params)
    }

    fn number(&self, name: &str) -> u32 {
        self.param(name).parse().unwrap_or(0)
    }

    fn call(&self) -> Call {
        let (start, end) = self.range.unwrap_or((0, 0));
        let seconds = |time: i64| u32::try_from(time).expect("this century");
        let nanos = |time: i64| u64::try_from(time).expect("after 1970") * 1_000_000_000;
        let method = |name: &str| format!("/tempopb.StreamingQuerier/{name}");
        match &self.subject {
            Subject::Search => {
                let pairs = self
                    .param("tags")
                    .split(' ')
                    .filter_map(|tag| tag.split_once('='));
                let milliseconds =
                    |name: &str| self.param(name).trim_end_matches("ms").parse().unwrap_or(0);
                let message = SearchRequest {
                    tags: pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
                    min_duration_ms: milliseconds("minDuration"),
                    max_duration_ms: milliseconds("maxDuration"),
                    limit: self.number("limit"),
                    start: seconds(start),
                    end: seconds(end),
                    query: self.param("q").to_owned(),
                    spans_per_span_set: self.number("spss"),
                };
                Call::new(&method("Search"), &message)
            }
            Subject::Tags(version) => {
                let message = TagsRequest {
                    scope: self.param("scope").to_owned(),
                    query: self.param("q").to_owned(),
                    start: seconds(start),
                    end: seconds(end),
                };
                let name = match version {
                    Version::V1 => "SearchTags",
                    Version::V2 => "SearchTagsV2",
                };
                Call::new(&method(name), &message)
            }
            Subject::Values(version, tag) => {
                let tag = percent_encoding::percent_decode_str(tag).decode_utf8_lossy();
                let message = TagValuesRequest {
                    tag: tag.into_owned(),
                    query: self.param("q").to_owned(),
                    start: seconds(start),
                    end: seconds(end),
                };
                let name = match version {
                    Version::V1 => "SearchTagValues",
                    Version::V2 => "SearchTagValuesV2",
                };
                Call::new(&method(name), &message)
            }
            Subject::Range => {
                let step: u64 = self
                    .param("step")
                    .trim_end_matches('s')
                    .parse()
                    .expect("seconds");
                let message = QueryRangeRequest {
                    query: self.param("q").to_owned(),
                    start: nanos(start),
                    end: nanos(end),
                    step: step * 1_000_000_000,
                    exemplars: self.number("exemplars"),
                };
                Call::new(&method("MetricsQueryRange"), &message)
            }
            Subject::Instant => {
                let message = QueryInstantRequest {
                    query: self.param("q").to_owned(),
                    start: nanos(start),
                    end: nanos(end),
                };
                Call::new(&method("MetricsQueryInstant"), &message)
            }
            Subject::Trace(..) => panic!("there is no such call"),
        }
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.window, self.subject)?;
        self.params
            .iter()
            .try_for_each(|(name, value)| write!(f, " {name}={value:?}"))
    }
}

/// Who asks, in the way that the one who is asked knows callers by.
#[derive(Clone, Copy, Debug)]
pub enum As<'a> {
    Nobody,
    Bearer(&'a str),
    /// A tenant of a Tempo with multitenancy.
    Tenant(&'a str),
}

impl<'a> As<'a> {
    fn token(self) -> Option<&'a str> {
        match self {
            Self::Bearer(token) => Some(token),
            Self::Nobody | Self::Tenant(_) => None,
        }
    }

    fn tenant(self) -> Option<&'a str> {
        match self {
            Self::Tenant(tenant) => Some(tenant),
            Self::Nobody | Self::Bearer(_) => None,
        }
    }
}

const TENANT_HEADER: &str = "x-scope-orgid";

/// An answer in one shape, whatever form it came in.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// HTTP's; of gRPC the one that means the same.
    pub status: u16,
    /// Nothing unless the status is 200. The messages of a stream are one answer.
    pub json: Value,
    /// For the report, and to look for what must not be in it.
    pub text: String,
    /// Every metrics block there was.
    pub metrics: Vec<Value>,
    /// What an answer is to have in common with its counterpart to the letter.
    pub content_type: String,
    pub bytes: usize,
}

pub async fn ask(
    client: &Client,
    base: &str,
    question: &Question,
    form: Form,
    who: As<'_>,
) -> Outcome {
    match form {
        Form::Json => http(client, base, question, "application/json", who).await,
        Form::Protobuf => http(client, base, question, "application/protobuf", who).await,
        Form::Grpc => grpc(base, question, who).await,
    }
}

async fn http(
    client: &Client,
    base: &str,
    question: &Question,
    accept: &str,
    who: As<'_>,
) -> Outcome {
    let mut asked = question.ask().with_header("accept", accept);
    if let Some(tenant) = who.tenant() {
        asked = asked.with_header(TENANT_HEADER, tenant);
    }
    let answer = client.ask(base, &asked, who.token()).await;
    let is_protobuf = answer.header("content-type") == "application/protobuf";
    let mut json = match answer.status.as_u16() {
        200 if is_protobuf => message_json(&question.subject, &answer.body),
        200 => answer.json(),
        _ => Value::Null,
    };
    let metrics = json
        .as_object_mut()
        .and_then(|json| json.shift_remove("metrics"));
    Outcome {
        status: answer.status.as_u16(),
        text: if is_protobuf {
            json.to_string()
        } else {
            answer.text()
        },
        json,
        metrics: metrics.into_iter().collect(),
        content_type: answer.header("content-type").to_owned(),
        bytes: answer.body.len(),
    }
}

async fn grpc(base: &str, question: &Question, who: As<'_>) -> Outcome {
    let mut asked = question.call();
    if let Some(tenant) = who.tenant() {
        asked = asked.with(TENANT_HEADER, tenant);
    }
    let answer = call(base, &asked, who.token()).await;
    let status = match answer.code() {
        0 => 200,
        3 => 400,
        7 => 403,
        12 => 404,
        16 => 401,
        13 => 500,
        code => 600 + u16::from(code),
    };
    let mut messages: Vec<Value> = answer
        .messages
        .iter()
        .map(|message| message_json(&question.subject, message))
        .collect();
    let metrics = messages
        .iter_mut()
        .filter_map(|json| json.as_object_mut()?.shift_remove("metrics"))
        .collect();
    let json = if status == 200 {
        merged(&question.subject, &messages)
    } else {
        Value::Null
    };
    Outcome {
        status,
        text: format!("{json} {}", answer.message()),
        json,
        metrics,
        content_type: String::new(),
        bytes: answer.messages.iter().map(bytes::Bytes::len).sum(),
    }
}

/// A protobuf answer as its JSON equivalent, with the metrics block in the JSON's words.
fn message_json(subject: &Subject, bytes: &[u8]) -> Value {
    fn twin<M: Twin>(bytes: &[u8], metrics: impl Fn(&M) -> Value) -> Value {
        let message: M = decode(bytes);
        let mut json = message.json();
        json["metrics"] = metrics(&message);
        json
    }
    macro_rules! block {
        ($message:expr, $($field:ident),+) => {
            $message.metrics.as_ref().map_or(Value::Null, |block| {
                let all = [$((stringify!($field), u64::from(block.$field))),+];
                let set = all.into_iter().filter(|(_, count)| *count != 0);
                set.map(|(name, count)| (name.to_owned(), json!(count))).collect::<serde_json::Map<_, _>>().into()
            })
        };
    }
    macro_rules! search_block {
        ($message:expr) => {
            block!(
                $message,
                inspected_traces,
                inspected_bytes,
                total_blocks,
                completed_jobs,
                total_jobs,
                total_block_bytes,
                inspected_spans
            )
        };
    }
    macro_rules! tags_block {
        ($message:expr) => {
            block!(
                $message,
                inspected_bytes,
                total_jobs,
                completed_jobs,
                total_blocks,
                total_block_bytes
            )
        };
    }
    match subject {
        Subject::Search => twin::<SearchResponse>(bytes, |m| search_block!(m)),
        Subject::Tags(Version::V2) => twin::<Scopes>(bytes, |m| tags_block!(m)),
        Subject::Values(Version::V2, _) => twin::<TagValues>(bytes, |m| tags_block!(m)),
        Subject::Range => twin::<QueryRangeResponse>(bytes, |m| search_block!(m)),
        Subject::Instant => twin::<QueryInstantResponse>(bytes, |m| search_block!(m)),
        Subject::Tags(Version::V1) | Subject::Values(Version::V1, _) => {
            let message: Strings = decode(bytes);
            let key = match subject {
                Subject::Tags(_) => "tagNames",
                _ => "tagValues",
            };
            json!({ key: message.strings, "metrics": tags_block!(message) })
        }
        Subject::Trace(version, _) => trace_json(*version, bytes),
    }
}

/// Each resource by its bytes.
fn trace_json(version: Version, bytes: &[u8]) -> Value {
    let trace = match version {
        Version::V1 => decode::<Trace>(bytes),
        Version::V2 => {
            let answer: TraceByIdResponse = decode(bytes);
            assert_eq!((answer.status, answer.message.as_str()), (0, ""));
            answer.trace.unwrap_or_default()
        }
    };
    assert!(
        version == Version::V2 || trace.encode_to_vec() == bytes,
        "a trace has no other fields"
    );
    let hex = |bytes: &Vec<u8>| {
        let digits: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
        digits.concat()
    };
    json!({ "batches": trace.resource_spans.iter().map(hex).collect::<Vec<_>>() })
}

/// The messages of a stream as one: each tells what is new since the last, by key.
fn merged(subject: &Subject, messages: &[Value]) -> Value {
    let list = |key: &str| -> Vec<&Value> {
        let lists = messages
            .iter()
            .filter_map(|message| message[key].as_array());
        lists.flatten().collect()
    };
    let keyed = |key: &str, by: &dyn Fn(&Value) -> String| -> Vec<Value> {
        let mut all: BTreeMap<String, Value> = BTreeMap::new();
        for item in list(key) {
            all.insert(by(item), item.clone());
        }
        all.into_values().collect()
    };
    match subject {
        Subject::Search => json!({ "traces": keyed("traces", &|t| t["traceID"].to_string()) }),
        Subject::Tags(Version::V1) => json!({ "tagNames": keyed("tagNames", &Value::to_string) }),
        Subject::Values(..) => json!({ "tagValues": keyed("tagValues", &Value::to_string) }),
        Subject::Tags(Version::V2) => {
            let mut scopes: BTreeMap<String, Vec<Value>> = BTreeMap::new();
            for scope in list("scopes") {
                let tags = scopes.entry(scope["name"].to_string()).or_default();
                tags.extend(scope["tags"].as_array().cloned().unwrap_or_default());
            }
            let scope = |(name, tags): (String, Vec<Value>)| json!({ "name": name.trim_matches('"'), "tags": tags });
            json!({ "scopes": scopes.into_iter().map(scope).collect::<Vec<_>>() })
        }
        Subject::Range => {
            let mut all: BTreeMap<String, Value> = BTreeMap::new();
            for series in list("series") {
                let known = all.entry(labels(series)).or_insert_with(
                    || json!({ "labels": series["labels"], "samples": [], "exemplars": [] }),
                );
                for key in ["samples", "exemplars"] {
                    let more = series[key].as_array().cloned().unwrap_or_default();
                    let known = known[key].as_array_mut().expect("a list");
                    known.retain(|one| {
                        let time = |sample: &Value| sample["timestampMs"].clone();
                        key == "exemplars" || more.iter().all(|new| time(new) != time(one))
                    });
                    known.extend(more);
                }
            }
            json!({ "series": all.into_values().collect::<Vec<_>>() })
        }
        Subject::Instant => json!({ "series": keyed("series", &labels) }),
        Subject::Trace(..) => Value::Null,
    }
}

/// A series' labels, in one order.
pub fn labels(series: &Value) -> String {
    let labels = series["labels"].as_array().into_iter().flatten();
    let mut labels: Vec<String> = labels.map(Value::to_string).collect();
    labels.sort();
    labels.join(",")
}
