//! What must happen to an answer of the traces API.

use std::sync::Arc;

use super::{Enforced, UpstreamTarget};
use crate::prometheus::form::Form;
use crate::proxy::error::ProxyError;
use crate::tempo::answer::Format;
use crate::tempo::params::Range;
use crate::tempo::search::OwnershipQuery;
use crate::tempo::tags::TagsVersion;
use crate::tempo::trace::{ForeignSpans, TraceApi, TraceOwner};
use crate::tenancy::{Attribute, TenantSet};

/// An answer of the traces API, by how it is filtered.
pub(in crate::proxy) enum TracesAnswer {
    /// It knows no tenant.
    Public,
    /// Read whole, and filtered in this format.
    Whole(Box<WholeAnswer>, Format),
    /// A trace by id: redacted as it comes.
    Trace {
        /// Whose spans stay.
        owner: Arc<TraceOwner>,
        /// Which of the two endpoints.
        api: TraceApi,
        /// What becomes of the others'.
        foreign: ForeignSpans,
        /// How it is written.
        format: Format,
    },
}

/// What is filtered of an answer that is read whole; the same for a message of a gRPC stream.
pub(in crate::proxy) enum WholeAnswer {
    /// A page of traces.
    Search(Page),
    /// Names of tags, and the scope that was asked for.
    TagNames(TagsVersion, Box<str>),
    /// Values of a tag; only these where it may be a tenant attribute.
    TagValues(TagsVersion, Option<TenantSet>),
    /// Series.
    Metrics {
        /// Whether the operator asserts that no trace is shared.
        trust: bool,
        /// What the confined query brought in.
        hidden: Hidden,
    },
}

/// How a page of traces is filtered.
pub(in crate::proxy) struct Page {
    /// How it is known which traces are wholly the caller's.
    pub ownership: TraceOwnership,
    /// What the confined query brought in.
    pub hidden: Hidden,
    /// Whether the search is in its older form, without TraceQL.
    pub is_old: bool,
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
        only: Option<TenantSet>,
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

    /// Their names.
    pub(in crate::proxy) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|name| &**name).collect()
    }

    /// Their names as TraceQL writes them.
    pub(in crate::proxy) fn scoped_names(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|name| format!("resource.{name}"))
            .collect()
    }
}

/// How it is known which traces of a page are wholly the caller's.
pub(in crate::proxy) enum TraceOwnership {
    /// All are: the operator asserts it.
    Trusted,
    /// It is not: no trace is taken to be.
    Unknown,
    /// Tempo is asked.
    Verified(Box<VerifyTraces>),
}

/// What is needed to ask Tempo which traces are wholly the caller's.
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

    /// The side request of a query for the owners of traces.
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
