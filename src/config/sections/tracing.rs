//! `tracing`: the proxy's own spans.

use std::sync::Arc;

use serde::Serialize;

use crate::config::reader::{Field, Read, Reader};
use crate::config::serialize;
use crate::config::url;
use crate::config::values::{share, text};

/// `tracing`: the proxy's own spans. Requires a build with the feature `otlp`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tracing {
    /// `otlp_endpoint`: an absolute `http` or `https` URL that accepts OTLP over HTTP as protobuf:
    /// `http://otel:4318/v1/traces`.
    #[serde(serialize_with = "serialize::url")]
    pub otlp_endpoint: String,
    /// `sample_ratio`: the share of requests without a trace of their own that start one, from 0
    /// to 1, default 0.01. A request that is part of a trace is sampled like that trace.
    pub sample_ratio: f64,
    /// `service_name`: `service.name` of the spans' resource, default `partywall`.
    pub service_name: Arc<str>,
}

pub(super) fn tracing(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Tracing> {
    let mut section = r.section(field)?;
    let otlp_endpoint = section.required(r, "otlp_endpoint", url::absolute);
    let sample_ratio = section.or(r, "sample_ratio", 0.01, share);
    let service_name = section.or(r, "service_name", "partywall".into(), |r, field| {
        text(r, field).map(Into::into)
    });
    section.finish(r)?;
    let tracing = Tracing {
        otlp_endpoint: otlp_endpoint?,
        sample_ratio: sample_ratio?,
        service_name: service_name?,
    };
    if cfg!(feature = "otlp") {
        Ok(tracing)
    } else {
        let message = "this build of Partywall cannot export spans: build it with \
                       `cargo build --release --locked --features otlp`, or leave out `tracing`";
        Err(r.error(field, message))
    }
}
