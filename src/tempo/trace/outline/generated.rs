//! Generated parts of traces.

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;

use crate::tempo::testing::{Any, AnyValue, ArrayValue, KeyValue, attribute};

/// What generated outlines show is some of these.
pub(super) const SHOWN: [&str; 12] = [
    "span:name",
    "span:statusMessage",
    "event:name",
    "scope:name",
    "scope:version",
    "resource.service.name",
    "resource.tenant_id",
    "resource.env",
    "scope.k",
    "span.k",
    "span.tenant_id",
    "event.k",
];

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        Just("\\\"}]},{\"resource\":{".to_owned()),
        Just("\u{1f600}\u{0}\n\u{fffd}".to_owned()),
    ]
}

fn scalar() -> impl Strategy<Value = AnyValue> {
    prop_oneof![
        words().prop_map(|value| Some(Any::StringValue(value))),
        any::<bool>().prop_map(|value| Some(Any::BoolValue(value))),
        any::<i64>().prop_map(|value| Some(Any::IntValue(value))),
        // A value that serde_json reads without an error of rounding.
        any::<i32>().prop_map(|value| Some(Any::DoubleValue(f64::from(value) / 4.0))),
        Just(Some(Any::IntValue(0))),
        Just(Some(Any::BytesValue(b"bytes".to_vec()))),
        Just(None),
    ]
    .prop_map(|value| AnyValue { value })
}

fn value() -> impl Strategy<Value = AnyValue> {
    let some = |value| AnyValue { value: Some(value) };
    prop_oneof![
        4 => Just(some(Any::StringValue("A".to_owned()))),
        2 => Just(some(Any::StringValue("B".to_owned()))),
        3 => scalar(),
        1 => prop::collection::vec(scalar(), 0..3)
            .prop_map(move |values| some(Any::ArrayValue(ArrayValue { values }))),
        1 => Just(some(Any::ArrayValue(ArrayValue {
            values: vec![some(Any::ArrayValue(ArrayValue::default()))],
        }))),
        1 => scalar().prop_map(move |value| some(Any::KvlistValue(KeyValueList {
            values: vec![attribute("k", value)],
        }))),
    ]
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let key = prop::sample::select(vec![
        "tenant_id",
        "tenant_id",
        "k",
        "env",
        "service.name",
        "x",
    ]);
    let pair = (key, value()).prop_map(|(key, value)| attribute(key, value));
    prop::collection::vec(pair, 0..4)
}

fn id(bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        7 => prop::collection::vec(any::<u8>(), bytes),
        1 => Just(Vec::new()),
    ]
}

fn generated_span() -> impl Strategy<Value = Span> {
    let ids = (id(16), id(8), id(8));
    let texts = (words(), words(), words());
    let numbers = (
        -1..7i32,
        any::<u64>(),
        0..3u64,
        any::<u32>(),
        prop::option::of(-1..4i32),
    );
    (ids, texts, numbers, attributes(), attributes()).prop_map(
        |(ids, (name, state, message), (kind, start, end, flags, code), own, inner)| Span {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2,
            trace_state: state,
            flags,
            name: name.clone(),
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes: own.clone(),
            dropped_attributes_count: 1,
            events: vec![Event {
                time_unix_nano: end,
                name,
                attributes: inner.clone(),
                dropped_attributes_count: 2,
            }],
            dropped_events_count: 3,
            links: vec![Link {
                span_id: b"linked".to_vec(),
                attributes: inner,
                ..Link::default()
            }],
            dropped_links_count: 4,
            status: code.map(|code| Status { message, code }),
        },
    )
}

/// A part of a trace, of any tenant or none.
pub(super) fn generated() -> impl Strategy<Value = ResourceSpans> {
    let spans = prop::collection::vec(generated_span(), 0..3);
    let scope_spans =
        (prop::option::of(attributes()), spans, words()).prop_map(|(scope, spans, schema_url)| {
            ScopeSpans {
                scope: scope.map(|attributes| InstrumentationScope {
                    name: "lib".to_owned(),
                    version: "1".to_owned(),
                    attributes,
                    dropped_attributes_count: 5,
                }),
                spans,
                schema_url,
            }
        });
    let scopes = prop::collection::vec(scope_spans, 0..3);
    let resource = prop_oneof![
        4 => attributes().prop_map(Some),
        3 => Just(Some(vec![attribute(
            "tenant_id",
            AnyValue { value: Some(Any::StringValue("A".to_owned())) },
        )])),
        1 => Just(None),
    ];
    (resource, scopes, words()).prop_map(|(resource, scope_spans, schema_url)| ResourceSpans {
        resource: resource.map(|attributes| Resource {
            attributes,
            dropped_attributes_count: 3,
            ..Resource::default()
        }),
        scope_spans,
        schema_url,
    })
}
