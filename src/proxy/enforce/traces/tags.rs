//! The requests that a call for tags takes: the first, and further ones whose answers are merged into
//! its answer.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use super::scope::{Confined, ValuesRequest};
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::{FurtherTags, NamesPlan, TagsPlan, TagsSubject, UpstreamTarget};
use crate::proxy::error::ProxyError;
use crate::tempo::endpoints::Endpoint;
use crate::tempo::params::{Params, TagParams};
use crate::tempo::tags::TagsVersion;
use crate::tenancy::AttributeValues;
use crate::traceql::TagFilter;

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
    let filters = scope.tag_names(params.query)?;
    let by_scope = by_scope(params, &filters, &own);
    let mut filters = filters.into_iter();
    let first = filters.next().ok_or_else(ProxyError::defect)?;
    let names = NamesPlan::new(target, params, NOTHING.clone(), own);
    let subject = TagsSubject::Names(names);
    let further = filters.map(|filter| (Endpoint::SearchTagsV2, filter.query, None));
    let mut plan = plan(context, target, version, params, subject, further);
    let path = Endpoint::SearchTagsV2.upstream_path();
    for parameters in by_scope {
        plan.further.add_unless_refused(&path, parameters);
    }
    Ok((first.query, plan))
}

/// The scopes of attributes, as Tempo calls them.
const SCOPES: [&str; 5] = ["resource", "span", "event", "link", "instrumentation"];

/// The most requests that are only sent to complete an answer.
const MAX_BY_SCOPE: usize = 64;

/// The parameters of requests for names of one scope each.
///
/// With a filter, and without a scope, Tempo lists names of spans that have an event only if they have
/// a link too, and the other way round (`createDistinctLinkIterator` in
/// `tempodb/encoding/vparquet4/block_autocomplete.go` joins what it needs of events). For a single scope it
/// lists them. A private store filters only if the client's query has conditions, and then lacks them as well.
fn by_scope<'p>(
    params: &TagParams<'p>,
    filters: &[TagFilter],
    own: &[TagFilter],
) -> Vec<Params<'p>> {
    fn queries(filters: &[TagFilter]) -> impl Iterator<Item = &str> {
        filters.iter().map(|filter| &*filter.query)
    }
    let is_of_all = matches!(params.scope, "" | "none") && queries(filters).eq(queries(own));
    if !is_of_all || own.len() * SCOPES.len() > MAX_BY_SCOPE {
        return Vec::new();
    }
    queries(own)
        .flat_map(|query| SCOPES.map(|scope| params.forwarded_in(scope, query.to_owned())))
        .collect()
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
