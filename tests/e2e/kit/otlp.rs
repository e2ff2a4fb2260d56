//! OTLP's published messages, and the parts that tests build of them.

pub use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
pub use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
pub use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
pub use opentelemetry_proto::tonic::resource::v1::Resource;
pub use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
pub use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
pub use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};

pub fn text(value: &str) -> AnyValue {
    AnyValue {
        value: Some(Any::StringValue(value.to_owned())),
    }
}

pub fn list(values: &[&str]) -> AnyValue {
    let values = values.iter().map(|value| text(value)).collect();
    AnyValue {
        value: Some(Any::ArrayValue(ArrayValue { values })),
    }
}

pub fn attribute(key: &str, value: AnyValue) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(value),
        ..KeyValue::default()
    }
}

/// A trace of one span with this name, whose resource has this one attribute.
pub fn trace(attribute: KeyValue, span: &str) -> TracesData {
    let span = Span {
        name: span.to_owned(),
        ..Span::default()
    };
    let scope_spans = ScopeSpans {
        spans: vec![span],
        ..ScopeSpans::default()
    };
    TracesData {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![attribute],
                ..Resource::default()
            }),
            scope_spans: vec![scope_spans],
            ..ResourceSpans::default()
        }],
    }
}
