//! A caller's scope, in terms of the traces API.

use std::sync::Arc;

use hyper::header::HeaderValue;

use super::org_id;
use crate::auth::Caller;
use crate::config::settings::{ForeignSpans, SearchMetadata};
use crate::proxy::authorize::{scope, unselectable};
use crate::proxy::context::RequestContext;
use crate::proxy::enforce::enforced::Hidden;
use crate::proxy::enforce::{
    SharedTraces, TraceOwnership, TracesAnswer, UpstreamTarget, VerifyTraces,
};
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::reason::Reason;
use crate::tempo::answer::Format;
use crate::tempo::params::Range;
use crate::tempo::tag_name::{OfSpans, TagName};
use crate::tempo::trace::{TraceApi, TraceOwner};
use crate::tenancy::{AttributeValues, Resources, TenantScope, Tenants, Unselectable};
use crate::traceql::{
    self, AddedFields, Refusal, RefusalKind, TagBasedSearch, TagFilter, TagScope, TagScopeError,
    TenantPredicate, TraceIntrinsics, UnwritableTenant,
};

/// How a caller is confined.
pub(in crate::proxy::enforce) enum TracesScope {
    /// Not at all: it has all tenants.
    All,
    /// By Tempo itself, through this header.
    OrgId(HeaderValue),
    /// By us.
    Confined(Box<Confined>),
}

/// What confines a caller's queries and responses.
pub(in crate::proxy::enforce) struct Confined {
    predicate: TenantPredicate,
    resources: Arc<Resources>,
    metadata: SearchMetadata,
    foreign_spans: ForeignSpans,
    /// The longest confined query.
    max_bytes: usize,
}

impl TracesScope {
    pub(in crate::proxy::enforce) fn of(
        context: &RequestContext,
        caller: &Caller,
    ) -> Result<Self, ProxyError> {
        let settings = context.settings();
        let by_org_id = settings.tenancy.traces_org_id;
        match scope(caller)? {
            TenantScope::AllTenants if by_org_id => Err(org_id::all_tenants_unsupported()),
            TenantScope::AllTenants => Ok(Self::All),
            TenantScope::Tenants(tenants) if by_org_id => org_id::of(tenants).map(Self::OrgId),
            TenantScope::Tenants(tenants) => {
                Confined::new(context, tenants).map(|scope| Self::Confined(Box::new(scope)))
            }
        }
    }
}

impl Confined {
    fn new(context: &RequestContext, tenants: &Tenants) -> Result<Self, ProxyError> {
        let settings = context.settings();
        let denied = |error: UnwritableTenant| {
            ProxyError::new(ErrorKind::Forbidden, error.to_string()).because(Reason::NoTenants)
        };
        let resources = tenants.traces().map_err(|missing| match missing {
            Unselectable::NotConfigured => denied(UnwritableTenant::NoAttribute),
            Unselectable::Refused(refusal) => unselectable(&refusal),
        })?;
        let predicate = TenantPredicate::of(resources).map_err(denied)?;
        Ok(Self {
            predicate,
            resources: Arc::clone(resources),
            metadata: settings.traces.search_metadata,
            foreign_spans: settings.traces.foreign_spans.clone(),
            max_bytes: settings.limits.query_bytes.saturating_mul(2),
        })
    }

    /// Whether the operator asserts that no trace is shared by tenants.
    pub(in crate::proxy::enforce) fn is_trusted(&self) -> bool {
        self.metadata == SearchMetadata::Trust
    }

    fn intrinsics(&self) -> TraceIntrinsics {
        if self.is_trusted() {
            TraceIntrinsics::Trust
        } else {
            TraceIntrinsics::Refuse
        }
    }

    pub(in crate::proxy::enforce) fn search(&self, query: &str) -> Result<String, Refusal> {
        traceql::confine_search(query, &self.predicate, self.intrinsics(), self.max_bytes)
    }

    pub(in crate::proxy::enforce) fn tag_search(
        &self,
        search: &TagBasedSearch,
    ) -> Result<String, Refusal> {
        search.confine(&self.predicate, self.intrinsics(), self.max_bytes)
    }

    pub(in crate::proxy::enforce) fn metrics(&self, query: &str) -> Result<String, Refusal> {
        traceql::confine_metrics(query, &self.predicate, self.intrinsics(), self.max_bytes)
            .map(|confined| confined.query)
    }

    /// How tags are listed.
    ///
    /// # Errors
    /// If it takes too many requests.
    fn tags(&self) -> Result<TagScope, ProxyError> {
        TagScope::of(&self.resources).map_err(unlistable)
    }

    /// The queries of the requests for names of tags, from the client's. At least one.
    ///
    /// # Errors
    /// If there are too many.
    pub(in crate::proxy::enforce) fn tag_names(
        &self,
        query: &str,
    ) -> Result<Vec<TagFilter>, ProxyError> {
        let filters = self.tags()?.filters(query, 1);
        filters.map_err(unlistable)
    }

    /// The requests for values of a tag: instead of the roots of whole traces, those among the
    /// caller's spans are looked for, whatever the client's query. At least one.
    ///
    /// An attribute without a scope is one of spans and one of resources: before Tempo 3.0 its values
    /// are those of all tenants (`mingledConditions` in
    /// `tempodb/encoding/vparquet4/block_autocomplete.go`).
    ///
    /// # Errors
    /// When the tag's values describe whole traces, and no tag of spans has the same ones; if there
    /// are too many requests.
    pub(in crate::proxy::enforce) fn tag_values(
        &self,
        tag: TagName,
        query: &str,
    ) -> Result<Vec<ValuesRequest>, ProxyError> {
        let OfSpans { tag, only_roots } = if self.is_trusted() {
            let only_roots = false;
            OfSpans { tag, only_roots }
        } else {
            tag.of_spans()
        };
        if tag.describes_whole_trace() && !self.is_trusted() {
            let text = "the values of this tag count spans of other tenants too; search for \
                        `{ nestedSetParent < 0 } | select(duration)` to see durations of root \
                        spans, or ask for a tag of spans or resources";
            return Err(ProxyError::new(ErrorKind::Forbidden, text).because(Reason::TagIntrinsic));
        }
        let (scope, tags) = (self.tags()?, tag.with_scopes());
        let filters = if only_roots {
            scope.root_filters()
        } else {
            scope.filters(query, tags.len())
        };
        let filters = filters.map_err(unlistable)?;
        let request = |filter: &TagFilter, tag: &TagName| ValuesRequest {
            tag: tag.clone(),
            query: filter.query.clone(),
            only: filter.values_of(|name| tag.may_be_resource(name)).cloned(),
        };
        let each = tags.iter();
        let requests = each.flat_map(|tag| filters.iter().map(move |filter| request(filter, tag)));
        Ok(requests.collect())
    }

    /// Attributes that are in a response only because the confined query names them.
    pub(in crate::proxy::enforce) fn hidden(&self, query: &str) -> Hidden {
        let added = if self.is_trusted() {
            AddedFields::default()
        } else {
            traceql::added_fields(query)
        };
        Hidden::unless_named(self.resources.names().into_iter(), query, added)
    }

    /// How to find out which traces of a search have spans of other tenants.
    pub(in crate::proxy::enforce) fn ownership(
        &self,
        target: &UpstreamTarget,
        range: Range,
    ) -> TraceOwnership {
        let shared = match self.metadata {
            SearchMetadata::Trust => return TraceOwnership::Trusted,
            SearchMetadata::Mask => return TraceOwnership::Unknown,
            SearchMetadata::Verify => SharedTraces::Masked,
            SearchMetadata::Exact => SharedTraces::described(self.owner()),
        };
        TraceOwnership::Verified(Box::new(VerifyTraces {
            target: target.clone(),
            resources: Arc::clone(&self.resources),
            range,
            scope: self.predicate.expression().into(),
            shared,
        }))
    }

    /// How a trace by id is redacted.
    pub(in crate::proxy::enforce) fn redaction(
        &self,
        api: TraceApi,
        format: Format,
    ) -> TracesAnswer {
        TracesAnswer::Trace {
            owner: Arc::new(self.owner()),
            api,
            foreign: self.foreign_spans.clone(),
            format,
        }
    }

    /// Decides which `ResourceSpans` are the caller's.
    pub(super) fn owner(&self) -> TraceOwner {
        Arc::clone(&self.resources).into()
    }
}

/// A request for values of a tag.
pub(in crate::proxy::enforce) struct ValuesRequest {
    pub tag: TagName,
    pub query: String,
    /// The only values of the answer, if it is a tenant attribute.
    pub only: Option<AttributeValues>,
}

/// The error for tags that cannot be listed.
fn unlistable(error: TagScopeError) -> ProxyError {
    let reason = match error {
        TagScopeError::Unwritable(_) => Reason::NoTenants,
        TagScopeError::TooManyRequests => Reason::TagsOfUnion,
    };
    ProxyError::new(ErrorKind::Forbidden, error.to_string()).because(reason)
}

/// The client's error for a refused query.
pub(in crate::proxy::enforce) fn refusal(error: &Refusal) -> ProxyError {
    let kind = match error.kind() {
        RefusalKind::Malformed => ErrorKind::BadRequest,
        RefusalKind::Unprocessable => ErrorKind::Unprocessable,
        RefusalKind::Denied => ErrorKind::Forbidden,
    };
    ProxyError::new(kind, error.to_string())
        .because(error.reason())
        .quoting_the_query()
}
