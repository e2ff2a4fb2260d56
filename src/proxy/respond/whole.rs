//! Responses of the traces API that are buffered and filtered; the same for messages of gRPC
//! streams.

use super::{side_request, unreadable};
use crate::body::budget::Room;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::{Page, TraceOwnership, VerifyTraces, WholeAnswer};
use crate::proxy::error::ProxyError;
use crate::tempo::answer::{Format, Unreadable};
use crate::tempo::metrics_answer;
use crate::tempo::search::{
    JsonPage, OwnershipQuery, ProtobufPage, Reveal, Rules, TraceIds, own_traces,
};
use crate::tempo::tag_name::TagName;
use crate::tempo::tags;

/// The response, or the message, without other tenants' data.
pub(super) async fn filter(
    answer: &WholeAnswer,
    text: &[u8],
    format: Format,
    room: &Room,
    context: &RequestContext,
) -> Result<Vec<u8>, Unreadable> {
    match answer {
        WholeAnswer::Search(page) => search(page, text, format, room, context).await,
        WholeAnswer::TagNames(asked, scope) => {
            let scope = (!scope.is_empty()).then_some(&**scope);
            tags::filter_names(text, format, *asked, scope)
        }
        WholeAnswer::TagValues(asked, only) => tags::filter_values(text, format, *asked, |value| {
            only.as_ref().is_none_or(|values| values.contains(value))
        }),
        WholeAnswer::Metrics { trust, hidden } => {
            let names = hidden.scoped_names();
            let hide: Vec<&str> = names.iter().map(String::as_str).collect();
            let rules = metrics_answer::Rules {
                trust: *trust,
                hide: &hide,
            };
            metrics_answer::filter(text, format, &rules)
        }
    }
}

async fn search(
    page: &Page,
    text: &[u8],
    format: Format,
    room: &Room,
    context: &RequestContext,
) -> Result<Vec<u8>, Unreadable> {
    let Page {
        ownership,
        hidden,
        is_tag_search,
    } = page;
    let own = match ownership {
        TraceOwnership::Trusted | TraceOwnership::Unknown => TraceIds::default(),
        TraceOwnership::Verified(verify) => {
            let ids = match format {
                Format::Json => owned(JsonPage::parse(text)?.trace_ids()),
                Format::Protobuf => owned(ProtobufPage::parse(text)?.trace_ids()),
            };
            verified_traces(verify, &ids, room, context).await
        }
    };
    let hide = hidden.names();
    let rules = Rules {
        reveal: match ownership {
            TraceOwnership::Trusted => Reveal::All,
            TraceOwnership::Unknown => Reveal::Nothing,
            TraceOwnership::Verified(_) => Reveal::Only(&own),
        },
        hide: &hide,
        traces_only: *is_tag_search,
    };
    match format {
        Format::Json => JsonPage::parse(text)?.filter(&rules),
        Format::Protobuf => ProtobufPage::parse(text)?.filter(&rules),
    }
}

fn owned<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<String> {
    ids.map(str::to_owned).collect()
}

/// The traces that are known to have nothing but the caller's spans. If that cannot be found out,
/// they are not.
async fn verified_traces(
    verify: &VerifyTraces,
    ids: &[String],
    room: &Room,
    context: &RequestContext,
) -> TraceIds {
    match query_owners(verify, ids, room, context).await {
        Ok(own) => own,
        Err(error) => {
            tracing::warn!(
                error = error.log_text(),
                "an ownership query failed; its page shows no trace metadata"
            );
            TraceIds::default()
        }
    }
}

async fn query_owners(
    verify: &VerifyTraces,
    ids: &[String],
    room: &Room,
    context: &RequestContext,
) -> Result<TraceIds, ProxyError> {
    let attributes = verify.attributes();
    let tags = attributes
        .iter()
        .map(|attribute| TagName::resource(&attribute.name))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(&error))?;
    let mut own = TraceIds::default();
    for query in OwnershipQuery::for_page(ids.iter().map(String::as_str), &tags) {
        let media_type = Format::Protobuf.media_type();
        let answer = side_request(verify.request(&query)?, media_type, room, context).await?;
        let admits = |place: usize, value: &str| {
            let attribute = attributes.get(place);
            attribute.is_some_and(|attribute| attribute.values.contains(value))
        };
        let found = own_traces(&answer, &tags, admits).map_err(|error| unreadable(&error))?;
        own.extend(found);
    }
    Ok(own)
}
