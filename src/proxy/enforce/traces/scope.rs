//! A caller's scope, in terms of the traces API.

use std::sync::Arc;

use hyper::header::HeaderValue;

use super::org_id;
use crate::auth::Caller;
use crate::config::settings::{ForeignSpans, SearchMetadata};
use crate::proxy::authorize::scope;
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
use crate::tenancy::{Attribute, TenantScope, Tenants, Values};
use crate::traceql::{
    self, Refusal, RefusalKind, TagBasedSearch, TenantPredicate, TraceIntrinsics,
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
    attributes: Box<[Attribute]>,
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
        let attributes = tenants.traces();
        let named = attributes
            .iter()
            .map(|attribute| (&*attribute.name, &attribute.values));
        let predicate = TenantPredicate::new(named).map_err(|error| {
            ProxyError::new(ErrorKind::Forbidden, error.to_string()).because(Reason::NoTenants)
        })?;
        Ok(Self {
            predicate,
            attributes: attributes.into(),
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

    pub(in crate::proxy::enforce) fn tag_filter(&self, query: &str) -> String {
        traceql::tag_filter(query, &self.predicate)
    }

    /// The tag whose values are asked for, and the query that confines them. Instead of the roots
    /// of whole traces, those among the caller's spans are looked for, whatever the client's query.
    ///
    /// # Errors
    /// When the tag's values describe whole traces, and no tag of spans has the same ones.
    pub(in crate::proxy::enforce) fn tag_values(
        &self,
        tag: TagName,
    ) -> Result<OwnValues<'_>, ProxyError> {
        if self.is_trusted() {
            return Ok(OwnValues {
                scope: self,
                tag,
                only_roots: false,
            });
        }
        let OfSpans { tag, only_roots } = tag.of_spans();
        if tag.describes_whole_trace() {
            let text = "the values of this tag count spans of other tenants too; search for \
                        `{ nestedSetParent < 0 } | select(duration)` to see durations of root \
                        spans, or ask for a tag of spans or resources";
            return Err(ProxyError::new(ErrorKind::Forbidden, text).because(Reason::TagIntrinsic));
        }
        Ok(OwnValues {
            scope: self,
            tag,
            only_roots,
        })
    }

    /// Attributes that are in a response only because the confined query names them.
    pub(in crate::proxy::enforce) fn hidden(&self, query: &str) -> Hidden {
        let names = self.attributes.iter().map(|attribute| &*attribute.name);
        Hidden::unless_named(names, query)
    }

    /// How to find out which traces of a search have spans of other tenants.
    pub(in crate::proxy::enforce) fn ownership(
        &self,
        target: &UpstreamTarget,
        range: Range,
    ) -> Result<TraceOwnership, ProxyError> {
        let shared = match self.metadata {
            SearchMetadata::Trust => return Ok(TraceOwnership::Trusted),
            SearchMetadata::Mask => return Ok(TraceOwnership::Unknown),
            SearchMetadata::Verify => SharedTraces::Masked,
            SearchMetadata::Exact => SharedTraces::described(self.owner()?),
        };
        Ok(TraceOwnership::Verified(Box::new(VerifyTraces {
            target: target.clone(),
            attributes: self.attributes.clone(),
            range,
            scope: self.predicate.expression().into(),
            shared,
        })))
    }

    /// How a trace by id is redacted.
    pub(in crate::proxy::enforce) fn redaction(
        &self,
        api: TraceApi,
        format: Format,
    ) -> Result<TracesAnswer, ProxyError> {
        Ok(TracesAnswer::Trace {
            owner: Arc::new(self.owner()?),
            api,
            foreign: self.foreign_spans.clone(),
            format,
        })
    }

    /// Decides which `ResourceSpans` are the caller's.
    pub(super) fn owner(&self) -> Result<TraceOwner, ProxyError> {
        let mut attributes = self
            .attributes
            .iter()
            .map(|attribute| (Arc::clone(&attribute.name), attribute.values.clone()));
        let first = attributes.next().ok_or_else(|| {
            ProxyError::new(ErrorKind::Internal, "no attribute tells tenants apart")
        })?;
        Ok(TraceOwner::new(first, attributes))
    }
}

/// A tag whose values are asked for.
pub(in crate::proxy::enforce) struct OwnValues<'s> {
    scope: &'s Confined,
    pub tag: TagName,
    only_roots: bool,
}

impl OwnValues<'_> {
    /// The query that confines them, from the client's.
    pub(in crate::proxy::enforce) fn filter(&self, query: &str) -> String {
        if self.only_roots {
            traceql::root_filter(&self.scope.predicate)
        } else {
            self.scope.tag_filter(query)
        }
    }

    /// The only values that the tag may have, if it may be a tenant attribute.
    pub(in crate::proxy::enforce) fn only(&self) -> Option<Values> {
        let attributes = &self.scope.attributes;
        let mut all = attributes.iter();
        let attribute = all.find(|attribute| self.tag.may_be_resource(&attribute.name));
        attribute.map(|attribute| attribute.values.clone())
    }
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
