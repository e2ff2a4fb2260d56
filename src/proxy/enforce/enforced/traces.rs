//! What must be done to a response of the traces API.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Enforced, TagsPlan, TagsSubject, UpstreamTarget};
use crate::prometheus::form::Form;
use crate::proxy::error::ProxyError;
use crate::tempo::answer::Format;
use crate::tempo::endpoints::{Endpoint, Version, check_trace_id};
use crate::tempo::params::Range;
use crate::tempo::search::{Listed, OwnSpansQueries, SideQuery};
use crate::tempo::trace::{ForeignSpans, TraceApi, TraceOwner};
use crate::tenancy::Resources;
use crate::traceql::AddedFields;

/// How a response of the traces API is filtered.
pub(in crate::proxy) enum TracesAnswer {
    /// It has no tenant data.
    Public,
    /// Buffered, and filtered in this format.
    Whole(Box<WholeAnswer>, Format),
    /// A trace by id: redacted while it is streamed.
    Trace {
        /// Which spans are kept.
        owner: Arc<TraceOwner>,
        api: TraceApi,
        /// What happens to other tenants' spans.
        foreign: ForeignSpans,
        format: Format,
    },
}

/// How a buffered response is filtered; the same for a message of a gRPC stream.
pub(in crate::proxy) enum WholeAnswer {
    /// A page of search results.
    Search(Page),
    /// Names or values of tags.
    Tags(TagsPlan),
    /// Time series.
    Metrics {
        /// Whether the operator asserts that no trace is shared by tenants.
        trust: bool,
        /// Attributes that only the confined query selects.
        hidden: Hidden,
    },
}

impl WholeAnswer {
    /// Whether the answers of further requests are merged into it.
    pub(in crate::proxy) fn is_merged(&self) -> bool {
        matches!(self, Self::Tags(plan) if !plan.further.is_empty())
    }

    /// Whether it has names of tags, all of which are checked at once.
    pub(in crate::proxy) fn has_names(&self) -> bool {
        matches!(self, Self::Tags(plan) if matches!(plan.subject, TagsSubject::Names(_)))
    }
}

/// How a page of search results is filtered.
pub(in crate::proxy) struct Page {
    /// How to find out which traces have nothing but the caller's spans.
    pub ownership: TraceOwnership,
    /// Attributes that only the confined query selects.
    pub hidden: Hidden,
    /// Whether it is a search by `tags`, without TraceQL.
    pub is_tag_search: bool,
}

impl TracesAnswer {
    pub(in crate::proxy::enforce) fn search(page: Page, format: Format) -> Self {
        Self::Whole(Box::new(WholeAnswer::Search(page)), format)
    }

    pub(in crate::proxy::enforce) fn tags(plan: TagsPlan, format: Format) -> Self {
        Self::Whole(Box::new(WholeAnswer::Tags(plan)), format)
    }

    pub(in crate::proxy::enforce) fn metrics(trust: bool, hidden: Hidden, format: Format) -> Self {
        Self::Whole(Box::new(WholeAnswer::Metrics { trust, hidden }), format)
    }
}

/// What is in a response only because the confined query names it.
pub(in crate::proxy) struct Hidden {
    /// Attributes of resources, without their scope.
    attributes: Box<[Box<str>]>,
    added: AddedFields,
}

/// The key of the parent's number in a span, and in an exemplar.
const PARENT: &str = "nestedSetParent";

impl Hidden {
    /// Tenant attributes that the client's own query does not name, and what was added to it.
    pub(in crate::proxy::enforce) fn unless_named<'a>(
        names: impl Iterator<Item = &'a str>,
        query: &str,
        added: AddedFields,
    ) -> Self {
        let service = added.services.then_some("service.name");
        Self {
            attributes: names
                .filter(|name| !query.contains(name))
                .chain(service)
                .map(Into::into)
                .collect(),
            added,
        }
    }

    /// The keys of attributes of spans in search results.
    pub(in crate::proxy) fn names(&self) -> Vec<&str> {
        let parent = self.added.parents.then_some(PARENT);
        let attributes = self.attributes.iter().map(|name| &**name);
        attributes.chain(parent).collect()
    }

    /// Whether search results show names of spans that the client did not ask for.
    pub(in crate::proxy) fn span_names(&self) -> bool {
        self.added.names
    }

    /// The labels of exemplars.
    pub(in crate::proxy) fn labels(&self) -> Vec<String> {
        let scoped = self
            .attributes
            .iter()
            .map(|name| format!("resource.{name}"));
        let parent = self.added.parents.then_some(PARENT);
        let name = self.added.names.then_some("name");
        let plain = parent.into_iter().chain(name).map(str::to_owned);
        scoped.chain(plain).collect()
    }
}

/// How to find out which traces of a page have nothing but the caller's spans.
pub(in crate::proxy) enum TraceOwnership {
    /// All do: the operator asserts it.
    Trusted,
    /// Not at all: no trace is assumed to.
    Unknown,
    /// Tempo is queried.
    Verified(Box<VerifyTraces>),
}

/// What is needed to query Tempo for traces that have nothing but the caller's spans.
pub(in crate::proxy) struct VerifyTraces {
    pub(in crate::proxy::enforce) target: UpstreamTarget,
    pub(in crate::proxy::enforce) resources: Arc<Resources>,
    pub(in crate::proxy::enforce) range: Range,
    /// The caller's scope, as the condition that confines its queries.
    pub(in crate::proxy::enforce) scope: Box<str>,
    /// For the other traces.
    pub shared: SharedTraces,
}

/// What is shown of a trace that has spans of other tenants too.
pub(in crate::proxy) enum SharedTraces {
    /// Nothing that describes it as a whole.
    Masked,
    /// What a Tempo with the caller's spans alone would say. It is searched for, and a trace for
    /// which that is not enough is fetched.
    Described {
        /// Which spans count.
        owner: Arc<TraceOwner>,
        /// How many traces may still be fetched for this response.
        remaining: AtomicUsize,
    },
}

impl SharedTraces {
    /// The most traces that are fetched for one response, all messages of a stream together.
    const MAX_FETCHED: usize = 100;

    pub(in crate::proxy::enforce) fn described(owner: TraceOwner) -> Self {
        Self::Described {
            owner: Arc::new(owner),
            remaining: AtomicUsize::new(Self::MAX_FETCHED),
        }
    }
}

impl VerifyTraces {
    /// Which resources are the caller's.
    pub(in crate::proxy) fn resources(&self) -> &Resources {
        &self.resources
    }

    /// What tells this caller's verdicts from those of others; `None` if the upstream may answer
    /// callers of the same scope differently.
    pub(in crate::proxy) fn cache_scope(&self) -> Option<(&str, &str)> {
        let upstream = self.target.upstream();
        (!upstream.forwards_token()).then(|| (&**upstream.name(), &*self.scope))
    }

    /// The searches that describe traces by the caller's spans alone; `None` if there is nothing to
    /// search for.
    pub(in crate::proxy) fn own_spans<'a>(
        &self,
        traces: impl Iterator<Item = &'a Listed<'a>>,
    ) -> Option<OwnSpansQueries> {
        match &self.shared {
            SharedTraces::Masked => None,
            SharedTraces::Described { .. } => OwnSpansQueries::for_page(traces, &self.scope),
        }
    }

    /// A side request for traces of a page.
    pub(in crate::proxy) fn request(&self, query: &SideQuery) -> Result<Enforced, ProxyError> {
        let mut form = Form::default();
        for (name, value) in query
            .parameters()
            .into_iter()
            .chain(self.range.parameters())
        {
            form.push(name, value);
        }
        self.target.side_request("/api/search", &form)
    }

    /// The owner of the spans that count, if one more shared trace may be fetched.
    pub(in crate::proxy) fn permit_fetch(&self) -> Option<Arc<TraceOwner>> {
        let SharedTraces::Described { owner, remaining } = &self.shared else {
            return None;
        };
        let less = |remaining: usize| remaining.checked_sub(1);
        let permitted = remaining.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        permitted.is_ok().then(|| Arc::clone(owner))
    }

    /// The side request for a trace of a page, in the blocks that the search has read. Every Tempo
    /// has this version of the endpoint, and it has no answer for a part of a trace.
    pub(in crate::proxy) fn trace(&self, listed: &Listed<'_>) -> Result<Enforced, ProxyError> {
        check_trace_id(listed.id).map_err(|error| ProxyError::unreadable(&error))?;
        let endpoint = Endpoint::TraceById {
            version: Version::V1,
            id: listed.id.into(),
        };
        let range = self.range.or_of_trace(listed.start, listed.duration_ms);
        let mut form = Form::default();
        for (name, value) in range.parameters() {
            form.push(name, value);
        }
        self.target.side_request(&endpoint.upstream_path(), &form)
    }
}
