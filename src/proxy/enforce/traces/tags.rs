//! The requests that a call for tags takes: the first, and further ones whose answers are merged into
//! its answer.

use super::scope::ValuesRequest;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::{FurtherTags, TagsPlan, TagsSubject, UpstreamTarget};
use crate::proxy::error::ProxyError;
use crate::tempo::endpoints::Endpoint;
use crate::tempo::params::TagParams;
use crate::tempo::tags::TagsVersion;
use crate::tenancy::AttributeValues;
use crate::traceql::TagFilter;

/// The query of the first request for names, and what is done to its answer.
pub(in crate::proxy::enforce) fn names_plan(
    context: &RequestContext,
    target: &UpstreamTarget,
    version: TagsVersion,
    params: &TagParams<'_>,
    filters: Vec<TagFilter>,
) -> Result<(String, TagsPlan), ProxyError> {
    let mut filters = filters.into_iter();
    let first = filters.next().ok_or_else(ProxyError::defect)?;
    let subject = TagsSubject::Names(params.scope.into());
    let further = filters.map(|filter| (Endpoint::SearchTagsV2, filter.query, None));
    let plan = plan(context, target, version, params, subject, further);
    Ok((first.query, plan))
}

/// The first request for values, and what is done to its answer.
pub(in crate::proxy::enforce) fn values_plan(
    context: &RequestContext,
    target: &UpstreamTarget,
    version: TagsVersion,
    params: &TagParams<'_>,
    requests: Vec<ValuesRequest>,
) -> Result<(ValuesRequest, TagsPlan), ProxyError> {
    let mut requests = requests.into_iter();
    let mut first = requests.next().ok_or_else(ProxyError::defect)?;
    let subject = TagsSubject::Values(first.only.take());
    let further = requests.map(|request| {
        let endpoint = Endpoint::TagValuesV2(request.tag);
        (endpoint, request.query, request.only)
    });
    let plan = plan(context, target, version, params, subject, further);
    Ok((first, plan))
}

/// `further`: the endpoint, query and only values of each.
fn plan(
    context: &RequestContext,
    target: &UpstreamTarget,
    version: TagsVersion,
    params: &TagParams<'_>,
    subject: TagsSubject,
    further: impl Iterator<Item = (Endpoint, String, Option<AttributeValues>)>,
) -> TagsPlan {
    let mut requests = FurtherTags::none(target);
    for (endpoint, query, only) in further {
        context.queries.forwarded(&query);
        requests.add(&endpoint.upstream_path(), params.forwarded(query), only);
    }
    TagsPlan {
        version,
        subject,
        limit: params.limit,
        further: requests,
    }
}

pub(in crate::proxy::enforce) fn tags_version(is_v1: bool) -> TagsVersion {
    if is_v1 {
        TagsVersion::V1
    } else {
        TagsVersion::V2
    }
}
