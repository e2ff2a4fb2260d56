//! The requests that a call for tags takes: the first, and further ones whose answers are merged into
//! its answer.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use super::scope::{Confined, ValuesRequest};
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::{FurtherTags, NamesPlan, TagsPlan, TagsSubject, UpstreamTarget};
use crate::proxy::error::ProxyError;
use crate::tempo::endpoints::Endpoint;
use crate::tempo::params::TagParams;
use crate::tempo::tags::TagsVersion;
use crate::tenancy::AttributeValues;

/// A query that nothing fulfils, since no tenant knows the name in it. It stays the same so that Tempo
/// can cache its answers, and has the form that all versions of Tempo filter by.
static NOTHING: LazyLock<String> = LazyLock::new(|| {
    let random = || RandomState::new().hash_one(());
    let (first, second) = (random(), random());
    format!("{{ resource.service.name = \"nothing-{first:016x}{second:016x}\" }}")
});

/// The query of the first request for names, and what is done to its answer.
pub(in crate::proxy::enforce) fn names_plan(
    context: &RequestContext,
    target: &UpstreamTarget,
    version: TagsVersion,
    params: &TagParams<'_>,
    scope: &Confined,
) -> Result<(String, TagsPlan), ProxyError> {
    let own = scope.tag_names("")?;
    let mut filters = scope.tag_names(params.query)?.into_iter();
    let first = filters.next().ok_or_else(ProxyError::defect)?;
    let names = NamesPlan::new(target, params, NOTHING.clone(), own);
    let subject = TagsSubject::Names(names);
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
