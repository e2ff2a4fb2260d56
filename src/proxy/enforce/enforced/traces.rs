//! What must be done to a response of the traces API.

use std::sync::Arc;

use super::{Enforced, UpstreamTarget};
use crate::prometheus::form::Form;
use crate::proxy::error::ProxyError;
use crate::tempo::answer::Format;
use crate::tempo::params::Range;
use crate::tempo::search::OwnershipQuery;
use crate::tempo::tags::TagsVersion;
use crate::tempo::trace::{ForeignSpans, TraceApi, TraceOwner};
use crate::tenancy::{Attribute, Values};

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
    /// Tag names, and the scope that was asked for.
    TagNames(TagsVersion, Box<str>),
    /// Values of a tag; only these if it may be a tenant attribute.
    TagValues(TagsVersion, Option<Values>),
    /// Time series.
    Metrics {
        /// Whether the operator asserts that no trace is shared by tenants.
        trust: bool,
        /// Attributes that only the confined query selects.
        hidden: Hidden,
    },
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

    pub(in crate::proxy::enforce) fn tag_names(
        asked: TagsVersion,
        scope: &str,
        format: Format,
    ) -> Self {
        Self::Whole(Box::new(WholeAnswer::TagNames(asked, scope.into())), format)
    }

    pub(in crate::proxy::enforce) fn tag_values(
        asked: TagsVersion,
        only: Option<Values>,
        format: Format,
    ) -> Self {
        Self::Whole(Box::new(WholeAnswer::TagValues(asked, only)), format)
    }

    pub(in crate::proxy::enforce) fn metrics(trust: bool, hidden: Hidden, format: Format) -> Self {
        Self::Whole(Box::new(WholeAnswer::Metrics { trust, hidden }), format)
    }
}

/// Tenant attributes that the client's own query does not name.
pub(in crate::proxy) struct Hidden(Box<[Box<str>]>);

impl Hidden {
    pub(in crate::proxy::enforce) fn unless_named<'a>(
        names: impl Iterator<Item = &'a str>,
        query: &str,
    ) -> Self {
        Self(
            names
                .filter(|name| !query.contains(name))
                .map(Into::into)
                .collect(),
        )
    }

    pub(in crate::proxy) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|name| &**name).collect()
    }

    /// The names as TraceQL writes them.
    pub(in crate::proxy) fn scoped_names(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|name| format!("resource.{name}"))
            .collect()
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
    target: UpstreamTarget,
    attributes: Box<[Attribute]>,
    range: Range,
}

impl VerifyTraces {
    pub(in crate::proxy::enforce) fn new(
        target: UpstreamTarget,
        attributes: Box<[Attribute]>,
        range: Range,
    ) -> Self {
        Self {
            target,
            attributes,
            range,
        }
    }

    /// The attributes that name tenants, with the caller's.
    pub(in crate::proxy) fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The side request for the owners of traces.
    pub(in crate::proxy) fn request(&self, query: &OwnershipQuery) -> Result<Enforced, ProxyError> {
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
}
