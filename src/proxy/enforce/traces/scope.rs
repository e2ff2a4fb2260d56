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
use crate::tenancy::{Resources, TenantScope, Tenants, Unselectable, Values};
use crate::traceql::{
    self, AddedFields, Refusal, RefusalKind, TagBasedSearch, TenantPredicate, TraceIntrinsics,
    UnwritableTenant,
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

    /// What confines the names of tags.
    ///
    /// # Errors
    /// If the endpoints of tags do not respect the caller's condition.
    pub(in crate::proxy::enforce) fn tag_names(
        &self,
    ) -> Result<impl Fn(&str) -> String + Copy, ProxyError> {
        self.check_tags()?;
        Ok(|query: &str| traceql::tag_filter(query, &self.predicate))
    }

    fn check_tags(&self) -> Result<(), ProxyError> {
        if self.predicate.is_plain() {
            return Ok(());
        }
        let text = "tags cannot be listed for you: your traces are selected by alternatives or by \
                    typed values, which not every Tempo respects there. Write attributes and values \
                    yourself, or look at the attributes of the spans that a search finds";
        Err(ProxyError::new(ErrorKind::Forbidden, text).because(Reason::TagsOfUnion))
    }

    /// The tag whose values are asked for, and the query that confines them. Instead of the roots
    /// of whole traces, those among the caller's spans are looked for, whatever the client's query.
    ///
    /// # Errors
    /// When the tag's values describe whole traces, and no tag of spans has the same ones; and those
    /// of [`tag_names`](Self::tag_names).
    pub(in crate::proxy::enforce) fn tag_values(
        &self,
        tag: TagName,
    ) -> Result<OwnValues<'_>, ProxyError> {
        self.check_tags()?;
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
            traceql::tag_filter(query, &self.scope.predicate)
        }
    }

    /// The only values that the tag may have, if it may be a tenant attribute.
    pub(in crate::proxy::enforce) fn only(&self) -> Option<Values> {
        let mut all = self.scope.resources.alternatives().flatten();
        let attribute = all.find(|attribute| self.tag.may_be_resource(&attribute.name))?;
        attribute.values.texts().cloned()
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
