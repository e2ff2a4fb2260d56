//! Shared by the tests of both forms: recorded answers, generated traces, and oracles that decode.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};

use super::{ForeignSpans, Outcome, ProtobufFilter, TraceApi, TraceError, TraceOwner};
use crate::tempo::testing::{Any, AnyValue, ArrayValue, KeyValue, attribute, fixture};
use crate::tenancy::{Attribute, AttributeValues, Tenant, TenantSet, Values};
use crate::testing::{evidence, resources};

pub(super) fn tenants(names: &[&str]) -> Values {
    let all = names.iter().map(|name| Tenant::new(name).unwrap());
    TenantSet::new(all).unwrap().into()
}

/// The owner by `tenant_id`.
pub(super) fn owner(names: &[&str]) -> TraceOwner {
    TraceOwner::new(("tenant_id".into(), tenants(names)), [])
}

/// A trace as its reader may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Redacted {
    /// None of it.
    Nothing,
    /// What is ours, and whether that is all.
    Kept { body: Vec<u8>, all: bool },
}

/// Redacts a protobuf trace that comes in pieces of this many bytes.
pub(super) fn redact_in_pieces(
    body: &Bytes,
    size: usize,
    api: TraceApi,
    owner: &TraceOwner,
    foreign: &ForeignSpans,
) -> Result<Redacted, TraceError> {
    let mut filter = ProtobufFilter::new(api, owner.clone().into(), foreign, 1 << 20);
    let mut out = Vec::new();
    for piece in body.chunks(size) {
        filter.push(&body.slice_ref(piece), &mut out)?;
    }
    Ok(match filter.finish(&mut out)? {
        Outcome::Nothing => {
            assert!(out.is_empty(), "something of nothing");
            Redacted::Nothing
        }
        Outcome::Kept { all } => Redacted::Kept {
            body: out.concat(),
            all,
        },
    })
}

/// The same, in one piece.
pub(super) fn redact_protobuf(
    body: &Bytes,
    api: TraceApi,
    owner: &TraceOwner,
    foreign: &ForeignSpans,
) -> Result<Redacted, TraceError> {
    redact_in_pieces(body, body.len().max(1), api, owner, foreign)
}

/// An answer that was recorded from a real Tempo.
pub(super) fn recorded(name: &str) -> Bytes {
    fixture(name).into()
}

/// Every recorded trace of this form: those in the project, and those of the corpora.
pub(super) fn all_recorded(api: TraceApi, extension: &str) -> Vec<(PathBuf, Bytes)> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tempo");
    let folders: Vec<_> = [Some(project), evidence::corpus("tempo")]
        .into_iter()
        .flatten()
        .collect();
    let prefix = match api {
        TraceApi::V1 => "trace-v1-",
        TraceApi::V2 => "trace-v2-",
    };
    let mut found = Vec::new();
    for entry in folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
    {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        // HEAD has no body, and v2's LLM format is not supported.
        let other = name.contains("HEAD") || name == "trace-v2-mixed-llm.json";
        if name.starts_with(prefix) && name.ends_with(extension) && !other {
            let body = fs::read(&path).unwrap().into();
            found.push((path, body));
        }
    }
    assert!(found.len() > 5);
    found
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TraceByIdResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) trace: Option<TracesData>,
    #[prost(message, optional, tag = "2")]
    pub(super) metrics: Option<Metrics>,
    #[prost(int32, tag = "3")]
    pub(super) status: i32,
    #[prost(string, tag = "4")]
    pub(super) message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Metrics {
    #[prost(uint64, tag = "1")]
    pub(super) inspected_bytes: u64,
}

/// Whether a decoded `ResourceSpans` is ours, computed independently of the code under test.
pub(super) fn is_ours(spans: &ResourceSpans, owner: &TraceOwner) -> bool {
    let fulfils = |condition: &Attribute| {
        let attributes = spans
            .resource
            .iter()
            .flat_map(|resource| &resource.attributes);
        let named: Vec<_> = attributes
            .filter(|attribute| attribute.key == *condition.name)
            .collect();
        let [
            KeyValue {
                value: Some(value), ..
            },
        ] = named[..]
        else {
            return false;
        };
        match (&value.value, &condition.values) {
            (Some(Any::StringValue(value)), AttributeValues::Text(own)) => {
                own.contains(value) && !value.contains('\u{fffd}')
            }
            (Some(Any::BoolValue(value)), AttributeValues::Bool(own)) => value == own,
            (Some(Any::IntValue(value)), AttributeValues::Number(own)) => value == own,
            (Some(Any::DoubleValue(value)), AttributeValues::Number(own)) => {
                value.to_string() == own.to_string()
            }
            _ => false,
        }
    };
    let mut alternatives = owner.resources().alternatives();
    alternatives.any(|all| all.iter().all(fulfils))
}

/// The same for a parsed JSON one.
pub(super) fn is_ours_json(spans: &Value, owner: &TraceOwner) -> bool {
    let fulfils = |condition: &Attribute| {
        let attributes = spans["resource"]["attributes"].as_array();
        let attributes = attributes.into_iter().flatten();
        let named: Vec<_> = attributes
            .filter(|attribute| attribute["key"] == *condition.name)
            .collect();
        let [attribute] = named[..] else {
            return false;
        };
        let value = &attribute["value"];
        value.as_object().is_some_and(|value| value.len() == 1)
            && match &condition.values {
                AttributeValues::Text(own) => value["stringValue"]
                    .as_str()
                    .is_some_and(|it| own.contains(it) && !it.contains('\u{fffd}')),
                AttributeValues::Bool(own) => value["boolValue"] == *own,
                AttributeValues::Number(own) => {
                    value["intValue"].as_str() == Some(&*own.to_string())
                        || value["intValue"] == *own
                        || value["doubleValue"]
                            .as_f64()
                            .is_some_and(|it| it.to_string() == own.to_string())
                }
            }
    };
    let mut alternatives = owner.resources().alternatives();
    alternatives.any(|all| all.iter().all(fulfils))
}

/// The tenant attribute's value in generated traces.
#[derive(Clone, Debug)]
pub(super) enum Tag {
    String(&'static str),
    Int(i64),
    Bool,
    Double(f64),
    Bytes,
    Array(&'static str),
    Nothing,
}

impl Tag {
    fn any(&self) -> AnyValue {
        let value = match self {
            Self::String(value) => Some(Any::StringValue((*value).to_owned())),
            Self::Int(value) => Some(Any::IntValue(*value)),
            Self::Bool => Some(Any::BoolValue(true)),
            Self::Double(value) => Some(Any::DoubleValue(*value)),
            Self::Bytes => Some(Any::BytesValue(b"A".to_vec())),
            Self::Array(value) => Some(Any::ArrayValue(ArrayValue {
                values: vec![Self::String(value).any()],
            })),
            Self::Nothing => None,
        };
        AnyValue { value }
    }

    fn json(&self) -> Value {
        match self {
            Self::String(value) => json!({ "stringValue": value }),
            Self::Int(value) => json!({ "intValue": value.to_string() }),
            Self::Bool => json!({ "boolValue": true }),
            Self::Double(value) => json!({ "doubleValue": value }),
            Self::Bytes => json!({ "bytesValue": "QQ==" }),
            Self::Array(value) => {
                json!({ "arrayValue": { "values": [{ "stringValue": value }] } })
            }
            Self::Nothing => json!({}),
        }
    }
}

/// A generated `ResourceSpans`: its resource's attributes, if it has one, and the text of its spans.
#[derive(Clone, Debug)]
pub(super) struct Generated {
    attributes: Option<Vec<(&'static str, Tag)>>,
    spans: Vec<String>,
}

impl Generated {
    pub(super) fn message(&self) -> ResourceSpans {
        let span = |text: &String| Span {
            name: text.clone(),
            ..Span::default()
        };
        let attributes = self.attributes.as_ref().map(|attributes| {
            let attributes = attributes.iter();
            attributes
                .map(|(key, tag)| attribute(key, tag.any()))
                .collect()
        });
        ResourceSpans {
            resource: attributes.map(|attributes| Resource {
                attributes,
                dropped_attributes_count: 3,
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: self.spans.iter().map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }
    }

    pub(super) fn json(&self) -> Value {
        let spans: Vec<_> = self
            .spans
            .iter()
            .map(|text| json!({ "name": text }))
            .collect();
        let mut made = json!({});
        if let Some(attributes) = &self.attributes {
            let attributes: Vec<_> = attributes
                .iter()
                .map(|(key, tag)| json!({ "key": key, "value": tag.json() }))
                .collect();
            made["resource"] = json!({ "attributes": attributes, "droppedAttributesCount": 3 });
        }
        made["scopeSpans"] = json!([{ "spans": spans }]);
        made
    }
}

pub(super) fn generated() -> impl Strategy<Value = Generated> {
    let tag = prop_oneof![
        4 => Just(Tag::String("A")),
        3 => Just(Tag::String("B")),
        1 => Just(Tag::String("")),
        1 => Just(Tag::String("a")),
        1 => Just(Tag::Array("A")),
        1 => Just(Tag::Int(5)),
        1 => Just(Tag::Bool),
        1 => Just(Tag::Double(1.5)),
        1 => Just(Tag::Double(5.0)),
        1 => Just(Tag::Bytes),
        1 => Just(Tag::Nothing),
    ];
    let key = prop_oneof![
        4 => Just("tenant_id"),
        1 => Just("env"),
        1 => Just("service.name"),
        1 => Just("tenant_idx"),
    ];
    let attributes = prop_oneof![
        6 => prop::collection::vec((key, tag), 0..4).prop_map(Some),
        3 => Just(Some(vec![("service.name", Tag::Bool), ("tenant_id", Tag::String("A"))])),
        1 => Just(None),
    ];
    let text = prop_oneof![
        "[ -~]{0,20}",
        Just("\\\"}]},{\"resource\":{".to_owned()),
        Just("\u{1f600}\u{0}\n".to_owned()),
    ];
    let spans = prop::collection::vec(text, 0..4);
    (attributes, spans).prop_map(|(attributes, spans)| Generated { attributes, spans })
}

/// Owners by one attribute and by several, by alternatives and by typed values.
pub(super) fn owners() -> impl Strategy<Value = TraceOwner> {
    prop_oneof![
        Just(owner(&["A"])),
        Just(owner(&["A", "B"])),
        Just(owner(&["C"])),
        Just(TraceOwner::new(
            ("tenant_id".into(), tenants(&["A"])),
            [("env".into(), tenants(&["A", "B"]))],
        )),
        Just(union(
            "traces: {any: [[{attribute: resource.tenant_id, match: '=', value: A}, \
             {attribute: resource.env, match: '!~', value: 'B.*'}], \
             [{attribute: resource.env, match: '=', value: B}]]}",
        )),
        Just(union(
            "traces: {any: [[{attribute: resource.tenant_id, match: '=', value: true}], \
             [{attribute: resource.tenant_id, match: '=', value: 5}, \
             {attribute: resource.env, match: '=~', value: '[AB]'}], \
             [{attribute: resource.env, match: '=', value: 5}]]}",
        )),
    ]
}

/// The owner by the selector of a tenant, as the config has it.
fn union(selector: &str) -> TraceOwner {
    resources(selector, &["t"]).into()
}
