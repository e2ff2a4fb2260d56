//! What must be done to an answer with names or values of tags.

use std::num::NonZeroU32;
use std::time::Duration;

use hyper::StatusCode;

use super::{Enforced, UpstreamTarget};
use crate::prometheus::form::Form;
use crate::proxy::error::ProxyError;
use crate::tempo::endpoints::Endpoint;
use crate::tempo::params::{Params, TagParams};
use crate::tempo::tag_name::TagName;
use crate::tempo::tags::TagsVersion;
use crate::tenancy::AttributeValues;
use crate::traceql::TagFilter;

/// How an answer with names or values of tags is filtered, and the further requests whose answers are
/// merged into it.
pub(in crate::proxy) struct TagsPlan {
    /// The version of the client's call.
    pub version: TagsVersion,
    pub subject: TagsSubject,
    /// How many names of each scope, or values, the client wants.
    pub limit: Option<NonZeroU32>,
    pub further: FurtherTags,
}

/// What a call for tags asks for.
pub(in crate::proxy) enum TagsSubject {
    Names(NamesPlan),
    /// Values; only these if it may be a tenant attribute.
    Values(Option<AttributeValues>),
}

/// How names are found that Tempo lists whatever the filter, and which of them the caller has.
///
/// They are those of attributes with a column of their own, which are listed as soon as any span of a
/// block has a value (`tagNamesForSpecialColumns` in
/// `tempodb/encoding/vparquet4/block_autocomplete.go`). Their values are filtered.
pub(in crate::proxy) struct NamesPlan {
    /// The one that the client asked for; empty for all.
    pub scope: Box<str>,
    target: UpstreamTarget,
    /// The request for names with a filter that nothing fulfils.
    unfiltered: Params<'static>,
    /// For each alternative of the caller's data the filter, and the parameters of a request for
    /// values.
    own: Vec<(TagFilter, Params<'static>)>,
}

/// Requests whose answers are merged into that of the first one: a query for tags can only say one
/// alternative of conditions.
pub(in crate::proxy) struct FurtherTags {
    target: UpstreamTarget,
    requests: Vec<FurtherRequest>,
}

/// Sent over HTTP, whatever the client's call is.
struct FurtherRequest {
    path: Box<str>,
    parameters: Params<'static>,
    only: Option<AttributeValues>,
    /// How the upstream may answer instead if it does not know what is asked for.
    absent: &'static [StatusCode],
}

/// A further request that is sent now.
pub(in crate::proxy) struct SentTags<'p> {
    pub request: Result<Enforced, ProxyError>,
    /// The only values of the answer, if it has values of what may be a tenant attribute.
    pub only: Option<&'p AttributeValues>,
    /// How the upstream may answer instead if it does not know what is asked for.
    pub absent: &'static [StatusCode],
}

impl FurtherTags {
    pub(in crate::proxy::enforce) fn none(target: &UpstreamTarget) -> Self {
        Self {
            target: target.clone(),
            requests: Vec::new(),
        }
    }

    pub(in crate::proxy::enforce) fn add(
        &mut self,
        path: &str,
        parameters: Params<'_>,
        only: Option<AttributeValues>,
    ) {
        self.requests.push(FurtherRequest {
            path: path.into(),
            parameters: owned(parameters),
            only,
            absent: &[],
        });
    }

    /// Adds a request that a Tempo may refuse because it does not know the scope yet: `event` and
    /// `link` since 2.6, `instrumentation` since 2.7.
    pub(in crate::proxy::enforce) fn add_unless_refused(
        &mut self,
        path: &str,
        parameters: Params<'_>,
    ) {
        self.requests.push(FurtherRequest {
            path: path.into(),
            parameters: owned(parameters),
            only: None,
            absent: &[StatusCode::BAD_REQUEST],
        });
    }

    pub(in crate::proxy) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Within what time all of them have to be answered.
    pub(in crate::proxy) fn within(&self) -> Duration {
        self.target.whole_within()
    }

    pub(in crate::proxy) fn requests(&self) -> impl Iterator<Item = SentTags<'_>> {
        self.requests.iter().map(|request| {
            let form = form(&request.parameters);
            SentTags {
                request: self.target.side_request(&request.path, &form),
                only: request.only.as_ref(),
                absent: request.absent,
            }
        })
    }
}

impl NamesPlan {
    /// `nothing` is a query that nothing fulfils, `own` are the filters for all of the caller's data.
    pub(in crate::proxy::enforce) fn new(
        target: &UpstreamTarget,
        params: &TagParams<'_>,
        nothing: String,
        own: Vec<TagFilter>,
    ) -> Self {
        let mut unfiltered = owned(params.of_range(nothing));
        if !params.scope.is_empty() {
            unfiltered.push(("scope", params.scope.to_owned().into()));
        }
        let own = own.into_iter().map(|filter| {
            let mut values = owned(params.of_range(filter.query.clone()));
            values.push(("limit", "1".into()));
            (filter, values)
        });
        Self {
            scope: params.scope.into(),
            target: target.clone(),
            unfiltered,
            own: own.collect(),
        }
    }

    /// Within what time the names have to be checked.
    pub(in crate::proxy) fn within(&self) -> Duration {
        self.target.whole_within()
    }

    /// The request whose answer has the names that Tempo does not filter.
    pub(in crate::proxy) fn unfiltered(&self) -> Result<Enforced, ProxyError> {
        let path = Endpoint::SearchTagsV2.upstream_path();
        self.target.side_request(&path, &form(&self.unfiltered))
    }

    /// The requests for a value of the caller's, one for each of its alternatives.
    ///
    /// Tempo answers what a filter compares the tag with, even if no span has it. A span that fulfils
    /// such a filter has a value, so there any span is asked for.
    pub(in crate::proxy) fn own_values(
        &self,
        tag: &TagName,
    ) -> impl Iterator<Item = Result<Enforced, ProxyError>> {
        self.own.iter().map(|(filter, parameters)| {
            let decides = filter.values_of(|name| tag.may_be_resource(name)).is_some();
            let tag = if decides {
                TagName::span_name()
            } else {
                tag.clone()
            };
            let path = Endpoint::TagValuesV2(tag).upstream_path();
            self.target.side_request(&path, &form(parameters))
        })
    }
}

fn owned(parameters: Params<'_>) -> Params<'static> {
    let own = parameters.into_iter();
    own.map(|(name, value)| (name, value.into_owned().into()))
        .collect()
}

fn form<'p>(parameters: &'p Params<'_>) -> Form<'p> {
    let mut form = Form::default();
    for (name, value) in parameters {
        form.push(*name, &**value);
    }
    form
}
