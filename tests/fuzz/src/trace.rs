//! Made-up traces, and what of them is whose, for both forms.

use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use partywall::tempo::trace::{
    ForeignSpans, Outcome, Outline, Shown, TraceApi, TraceError, TraceFilter, TraceOwner,
};

use crate::scopes::{self, Scope};

/// More than any input has.
pub const LIMIT: usize = 1 << 20;

/// How a filter is called, from three bytes.
pub struct Setup {
    pub api: TraceApi,
    pub foreign: ForeignSpans,
    pub owner: TraceOwner,
    /// What a resource must have to be the owner's.
    pub scope: &'static Scope,
    /// Whether the input describes a trace, instead of being one.
    pub is_made_up: bool,
    /// In bytes; the pieces that the answer comes in.
    pub piece: usize,
}

impl Setup {
    pub fn new([choice, owner, piece]: [u8; 3]) -> Self {
        let api = if choice & 1 == 0 {
            TraceApi::V1
        } else {
            TraceApi::V2
        };
        let shown = [
            "span:name",
            "span.http.route",
            "resource.service.name",
            "event:name",
        ];
        let foreign = match (choice >> 1) & 3 {
            0 => ForeignSpans::Redact,
            1 => ForeignSpans::Deny,
            2 => ForeignSpans::Outline(Outline::new([]).into()),
            _ => ForeignSpans::Outline(
                Outline::new(shown.iter().filter_map(|it| Shown::parse(it))).into(),
            ),
        };
        let scope = scopes::of_traces(owner);
        Self {
            api,
            foreign,
            owner: TraceOwner::from(Arc::clone(&scope.resources)),
            scope,
            is_made_up: choice & 8 != 0,
            piece: usize::from(piece) + 1,
        }
    }

    /// Whether an outline shows names of spans, and the like.
    pub fn shows_names(&self) -> bool {
        matches!(&self.foreign, ForeignSpans::Outline(outline) if !outline.shown().is_empty())
    }
}

/// Filters an answer that comes in pieces.
fn filter(
    mut filter: TraceFilter,
    body: &[u8],
    piece: usize,
) -> Result<(Outcome, Vec<u8>), TraceError> {
    let mut out = Vec::new();
    for piece in body.chunks(piece.max(1)) {
        filter.push(&Bytes::copy_from_slice(piece), &mut out)?;
        assert!(filter.held_bytes() <= 4 * (LIMIT + body.len()));
    }
    let outcome = filter.finish(&mut out)?;
    let out = out.concat();
    assert!(
        outcome != Outcome::Nothing || out.is_empty(),
        "something of nothing"
    );
    Ok((outcome, out))
}

/// Filters a body as a whole and in pieces, which must come to the same; `None` if it is refused.
pub fn filter_both_ways(
    new: impl Fn() -> TraceFilter,
    body: &[u8],
    piece: usize,
) -> Option<(Outcome, Vec<u8>)> {
    match (filter(new(), body, body.len()), filter(new(), body, piece)) {
        (Ok(whole), Ok(pieces)) => {
            assert_eq!(whole, pieces, "other pieces, another answer");
            Some(whole)
        }
        (Err(_), Err(_)) => None,
        (whole, pieces) => panic!("other pieces, another verdict: {whole:?} {pieces:?}"),
    }
}

/// Whether a decoded `ResourceSpans` is of the owner's tenants.
pub fn is_ours(spans: &ResourceSpans, scope: &Scope) -> bool {
    scope.has(|name| {
        let attributes = spans
            .resource
            .iter()
            .flat_map(|resource| &resource.attributes);
        let named: Vec<_> = attributes.filter(|it| it.key == *name).collect();
        let [
            KeyValue {
                value: Some(value), ..
            },
        ] = named[..]
        else {
            return None;
        };
        Some(match value.value.as_ref()? {
            Any::StringValue(text) => scopes::Value::Text(text),
            Any::BoolValue(value) => scopes::Value::Bool(*value),
            Any::IntValue(value) => scopes::Value::Int(*value),
            Any::DoubleValue(value) => scopes::Value::Float(*value),
            _ => return None,
        })
    })
}

/// Whether a `ResourceSpans` has nothing but what an outline may show.
pub fn is_outline(spans: &ResourceSpans, shows_names: bool) -> bool {
    let is_shown = |name: &str| shows_names || name.is_empty();
    let are_shown = |attributes: &[KeyValue]| {
        let known = ["http.route", "service.name"];
        attributes.is_empty()
            || (shows_names && attributes.iter().all(|it| known.contains(&&*it.key)))
    };
    let resource = spans.resource.iter().all(|resource| {
        are_shown(&resource.attributes)
            && Resource {
                attributes: Vec::new(),
                ..resource.clone()
            } == Resource::default()
    });
    let scope = |scopes: &ScopeSpans| {
        scopes.scope.is_none()
            && scopes.schema_url.is_empty()
            && scopes.spans.iter().all(|span| {
                let bare = Span {
                    trace_id: span.trace_id.clone(),
                    span_id: span.span_id.clone(),
                    parent_span_id: span.parent_span_id.clone(),
                    kind: span.kind,
                    start_time_unix_nano: span.start_time_unix_nano,
                    end_time_unix_nano: span.end_time_unix_nano,
                    status: span.status.as_ref().map(|status| Status {
                        code: status.code,
                        ..Status::default()
                    }),
                    name: span.name.clone(),
                    attributes: span.attributes.clone(),
                    events: span.events.clone(),
                    ..Span::default()
                };
                bare == *span
                    && is_shown(&span.name)
                    && are_shown(&span.attributes)
                    && (shows_names || span.events.is_empty())
                    && span.events.iter().all(|event| {
                        event.attributes.is_empty() && event.dropped_attributes_count == 0
                    })
            })
    };
    resource && spans.schema_url.is_empty() && spans.scope_spans.iter().all(scope)
}

/// A trace of a few resources, each marked by its number wherever a text of it can be.
pub fn made_up(u: &mut Unstructured<'_>) -> Result<TracesData> {
    let count = u.int_in_range(0..=6)?;
    let resource_spans = (0..count)
        .map(|number| spans(u, number))
        .collect::<Result<_>>()?;
    Ok(TracesData { resource_spans })
}

/// What is in the texts of the resource with this number, and of no other.
pub fn mark(number: usize) -> String {
    format!("MARK{number}.")
}

fn spans(u: &mut Unstructured<'_>, number: usize) -> Result<ResourceSpans> {
    let resource = if u.ratio(7, 8)? {
        let count = u.int_in_range(0..=4)?;
        let mut attributes = (0..count)
            .map(|_| attribute(u))
            .collect::<Result<Vec<_>>>()?;
        if u.arbitrary()? {
            attributes.push(text("host.name", mark(number)));
        }
        Some(Resource {
            attributes,
            dropped_attributes_count: u.int_in_range(0..=2)?,
            ..Resource::default()
        })
    } else {
        None
    };
    let scopes = u.int_in_range(0..=2)?;
    let scope_spans = (0..scopes)
        .map(|_| scope(u, number))
        .collect::<Result<_>>()?;
    let schema_url = if u.arbitrary()? {
        mark(number)
    } else {
        String::new()
    };
    Ok(ResourceSpans {
        resource,
        scope_spans,
        schema_url,
    })
}

fn scope(u: &mut Unstructured<'_>, number: usize) -> Result<ScopeSpans> {
    let scope = u.arbitrary::<bool>()?.then(|| InstrumentationScope {
        name: mark(number),
        ..InstrumentationScope::default()
    });
    let count = u.int_in_range(0..=3)?;
    let spans = (0..count).map(|_| span(u, number)).collect::<Result<_>>()?;
    Ok(ScopeSpans {
        scope,
        spans,
        ..ScopeSpans::default()
    })
}

fn span(u: &mut Unstructured<'_>, number: usize) -> Result<Span> {
    let odd = u.choose(&[
        "",
        "\"}]},{\"resource\":{",
        "\u{1f600}\u{0}\n",
        "\\",
        "tenant_id",
    ])?;
    let events = if u.ratio(1, 4)? {
        vec![Event {
            time_unix_nano: 5,
            name: mark(number),
            attributes: vec![text("e", mark(number))],
            ..Event::default()
        }]
    } else {
        Vec::new()
    };
    let attributes = if u.arbitrary()? {
        vec![
            text("http.route", mark(number)),
            text("tenant_id", mark(number)),
            attribute(u)?,
        ]
    } else {
        Vec::new()
    };
    Ok(Span {
        trace_id: vec![7; u.int_in_range(0..=17)?],
        span_id: vec![u.arbitrary()?; u.int_in_range(0..=9)?],
        parent_span_id: vec![u.arbitrary()?; u.int_in_range(0..=9)?],
        trace_state: if u.ratio(1, 4)? {
            mark(number)
        } else {
            String::new()
        },
        name: mark(number) + odd,
        kind: u.int_in_range(-1..=7)?,
        // Outlines show these: they must be too short for a mark.
        start_time_unix_nano: u.arbitrary::<u32>()?.into(),
        end_time_unix_nano: u.arbitrary::<u32>()?.into(),
        events,
        attributes,
        status: u.ratio(1, 4)?.then(|| Status {
            message: mark(number),
            code: 2,
        }),
        ..Span::default()
    })
}

fn text(key: &str, value: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Any::StringValue(value)),
        }),
        ..KeyValue::default()
    }
}

fn attribute(u: &mut Unstructured<'_>) -> Result<KeyValue> {
    let key = *u.choose(&[
        "tenant_id",
        "tenant_id",
        "tenant_id",
        "env",
        "env",
        "team",
        "team",
        "shared",
        "shared",
        "level",
        "level",
        "service.name",
        "tenant_idx",
        "",
        "Tenant_id",
    ])?;
    let string = |value: &str| Some(Any::StringValue(value.to_owned()));
    let value = match u.int_in_range(0..=19)? {
        0..=4 => string("A"),
        5 | 6 => string("B"),
        7 | 8 => string("prod"),
        9 => string(""),
        10 => Some(Any::ArrayValue(ArrayValue {
            values: vec![AnyValue { value: string("A") }],
        })),
        11 => Some(Any::IntValue(u.arbitrary()?)),
        12 => Some(Any::BytesValue(b"A".to_vec())),
        13 | 14 => Some(Any::BoolValue(u.arbitrary()?)),
        15 => string(u.choose(&["true", "false", "5", "9007199254740992"])?),
        16 | 17 => Some(Any::IntValue(*u.choose(&[
            5,
            5,
            9_007_199_254_740_992,
            9_007_199_254_740_993,
            -5,
        ])?)),
        18 => Some(Any::DoubleValue(*u.choose(&[
            5.0,
            5.0,
            9_007_199_254_740_992.0,
            9_007_199_254_740_994.0,
            5.000_000_000_000_001,
        ])?)),
        _ => None,
    };
    let value = u.ratio(15, 16)?.then_some(AnyValue { value });
    Ok(KeyValue {
        key: key.to_owned(),
        value,
        ..KeyValue::default()
    })
}

/// A few changes to the bytes of a message: other bytes, missing or repeated ones.
pub fn damage(u: &mut Unstructured<'_>, body: &mut Vec<u8>) -> Result<bool> {
    let count = if u.is_empty() {
        0
    } else {
        u.int_in_range(0..=4)?
    };
    for _ in 0..count {
        if body.is_empty() {
            break;
        }
        let at = usize::from(u.arbitrary::<u16>()?) % body.len();
        let end = (at + u.int_in_range(0..=40)?).min(body.len());
        match u.int_in_range(0..=3)? {
            0 => body[at] = u.arbitrary()?,
            1 => drop(body.drain(at..end)),
            2 => {
                let repeated = body[at..end].to_vec();
                body.splice(end..end, repeated);
            }
            _ => {
                let added: [u8; 3] = u.arbitrary()?;
                body.splice(at..at, added);
            }
        }
    }
    Ok(count > 0)
}
