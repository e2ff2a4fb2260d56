//! The requests that a call for tags takes: the first, and further ones whose answers are merged into
//! its answer.

use super::scope::ValuesRequest;
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::{FurtherTags, TagsPlan, TagsSubject, UpstreamTarget};
use crate::proxy::error::ProxyError;
use crate::tempo::endpoints::Endpoint;
use crate::tempo::params::TagParams;
use crate::tempo::tags::TagsVersion;
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
    let mut further = FurtherTags::none(target);
    for filter in filters {
        context.queries.forwarded(&filter.query);
        let path = Endpoint::SearchTagsV2.upstream_path();
        further.add(&path, params.forwarded(filter.query), None);
    }
    let plan = TagsPlan {
        version,
        subject: TagsSubject::Names(params.scope.into()),
        limit: params.limit,
        further,
    };
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
    let mut further = FurtherTags::none(target);
    for ValuesRequest { tag, query, only } in requests {
        context.queries.forwarded(&query);
        let path = Endpoint::TagValuesV2(tag).upstream_path();
        further.add(&path, params.forwarded(query), only);
    }
    let plan = TagsPlan {
        version,
        subject: TagsSubject::Values(first.only.take()),
        limit: params.limit,
        further,
    };
    Ok((first, plan))
}

pub(in crate::proxy::enforce) fn tags_version(is_v1: bool) -> TagsVersion {
    if is_v1 {
        TagsVersion::V1
    } else {
        TagsVersion::V2
    }
}
