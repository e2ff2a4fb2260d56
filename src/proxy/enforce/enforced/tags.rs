//! What must be done to an answer with names or values of tags.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Enforced, UpstreamTarget};
use crate::prometheus::form::Form;
use crate::proxy::error::ProxyError;
use crate::tempo::params::Params;
use crate::tempo::tags::TagsVersion;
use crate::tenancy::AttributeValues;

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
    /// Names; of this scope unless it is empty.
    Names(Box<str>),
    /// Values; only these if it may be a tenant attribute.
    Values(Option<AttributeValues>),
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
        let own = parameters.into_iter();
        let own = own.map(|(name, value)| (name, value.into_owned().into()));
        self.requests.push(FurtherRequest {
            path: path.into(),
            parameters: own.collect(),
            only,
        });
    }

    pub(in crate::proxy) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Within what time all of them have to be answered.
    pub(in crate::proxy) fn within(&self) -> Duration {
        self.target.whole_within()
    }

    /// The requests, and the only values of each answer, if it has values of what may be a tenant
    /// attribute.
    pub(in crate::proxy) fn requests(
        &self,
    ) -> impl Iterator<Item = (Result<Enforced, ProxyError>, Option<&AttributeValues>)> {
        self.requests.iter().map(|request| {
            let mut form = Form::default();
            for (name, value) in &request.parameters {
                form.push(*name, &**value);
            }
            let enforced = self.target.side_request(&request.path, &form);
            (enforced, request.only.as_ref())
        })
    }
}
