//! What happens to an answer of the traces API.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{ACCEPT, HeaderMap, HeaderValue};

use super::send;
use crate::body::budget::Room;
use crate::prometheus::form::Form;
use crate::proxy::enforce::{Outward, ResponsePlan};
use crate::proxy::error::ProxyError;
use crate::proxy::respond;
use crate::telemetry::metrics::Metrics;
use crate::tempo::answer::{Format, Unreadable};
use crate::tempo::metrics_answer;
use crate::tempo::params::Range;
use crate::tempo::search::{
    Companion, JsonPage, ProtobufPage, Reveal, Rules, TraceIds, own_traces,
};
use crate::tempo::tag_name::TagName;
use crate::tempo::tags::{self, Asked};
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
    TagNames(Asked, Box<str>),
    /// Values of a tag; only these where it may be a tenant attribute.
    TagValues(Asked, Option<TenantSet>),
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
    /// How it is found out which traces are wholly the caller's.
    pub companions: Companions,
    /// What the confined query brought in.
    pub hidden: Hidden,
    /// Whether the search is in its older form, without TraceQL.
    pub is_old: bool,
}

impl TracesAnswer {
    pub(super) fn search(page: Page, format: Format) -> Self {
        Self::Whole(Box::new(WholeAnswer::Search(page)), format)
    }

    pub(super) fn tag_names(asked: Asked, scope: &str, format: Format) -> Self {
        Self::Whole(Box::new(WholeAnswer::TagNames(asked, scope.into())), format)
    }

    pub(super) fn tag_values(asked: Asked, only: Option<TenantSet>, format: Format) -> Self {
        Self::Whole(Box::new(WholeAnswer::TagValues(asked, only)), format)
    }

    pub(super) fn metrics(trust: bool, hidden: Hidden, format: Format) -> Self {
        Self::Whole(Box::new(WholeAnswer::Metrics { trust, hidden }), format)
    }
}

impl WholeAnswer {
    /// The answer, or the message, without what is not the caller's.
    pub(in crate::proxy) async fn filter(
        &self,
        answer: &[u8],
        format: Format,
        room: &Room,
        metrics: &Metrics,
    ) -> Result<Vec<u8>, Unreadable> {
        match self {
            Self::Search(Page {
                companions,
                hidden,
                is_old,
            }) => {
                let own = match format {
                    Format::Json => {
                        let page = JsonPage::read(answer)?;
                        companions.own_traces(page.trace_ids(), room, metrics).await
                    }
                    Format::Protobuf => {
                        let page = ProtobufPage::read(answer)?;
                        companions.own_traces(page.trace_ids(), room, metrics).await
                    }
                };
                let hide = hidden.names();
                let rules = Rules {
                    reveal: companions.reveal(&own),
                    hide: &hide,
                    traces_alone: *is_old,
                };
                match format {
                    Format::Json => JsonPage::read(answer)?.filter(&rules),
                    Format::Protobuf => ProtobufPage::read(answer)?.filter(&rules),
                }
            }
            Self::TagNames(asked, scope) => {
                let scope = (!scope.is_empty()).then_some(&**scope);
                tags::filter_names(answer, format, *asked, scope)
            }
            Self::TagValues(asked, only) => tags::filter_values(answer, format, *asked, |value| {
                only.as_ref().is_none_or(|tenants| tenants.contains(value))
            }),
            Self::Metrics { trust, hidden } => {
                let names = hidden.scoped_names();
                let hide: Vec<&str> = names.iter().map(String::as_str).collect();
                let rules = metrics_answer::Rules {
                    trust: *trust,
                    hide: &hide,
                };
                metrics_answer::filter(answer, format, &rules)
            }
        }
    }
}

/// Tenant attributes that the client's own query does not name.
pub(in crate::proxy) struct Hidden(Box<[Box<str>]>);

impl Hidden {
    pub(super) fn unless_named<'a>(names: impl Iterator<Item = &'a str>, query: &str) -> Self {
        Self(
            names
                .filter(|name| !query.contains(name))
                .map(Into::into)
                .collect(),
        )
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|name| &**name).collect()
    }

    fn scoped_names(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|name| format!("resource.{name}"))
            .collect()
    }
}

/// How it is found out which traces of a page are wholly the caller's.
pub(in crate::proxy) enum Companions {
    /// All are, by the operator's word.
    NotNeeded,
    /// None is taken to be.
    Never,
    /// Tempo is asked.
    Verify(Box<Verify>),
}

/// What a companion search needs.
pub(in crate::proxy) struct Verify {
    outward: Outward,
    attributes: Box<[Attribute]>,
    range: Range,
}

impl Companions {
    pub(super) fn verify(outward: Outward, attributes: Box<[Attribute]>, range: Range) -> Self {
        Self::Verify(Box::new(Verify {
            outward,
            attributes,
            range,
        }))
    }

    /// Those of the traces that are known to be wholly the caller's. What cannot be found out is
    /// not.
    async fn own_traces(
        &self,
        ids: impl Iterator<Item = &str>,
        room: &Room,
        metrics: &Metrics,
    ) -> TraceIds {
        let Self::Verify(verify) = self else {
            return TraceIds::default();
        };
        match verify
            .ask(ids.map(str::to_owned).collect(), room, metrics)
            .await
        {
            Ok(own) => own,
            Err(error) => {
                tracing::warn!(
                    error = error.log_text(),
                    "a companion search failed; its page shows no trace metadata"
                );
                TraceIds::default()
            }
        }
    }

    fn reveal<'a>(&self, own: &'a TraceIds) -> Reveal<'a> {
        match self {
            Self::NotNeeded => Reveal::All,
            Self::Never => Reveal::Nothing,
            Self::Verify(_) => Reveal::Only(own),
        }
    }
}

impl Verify {
    async fn ask(
        &self,
        ids: Vec<String>,
        room: &Room,
        metrics: &Metrics,
    ) -> Result<TraceIds, ProxyError> {
        let tags = self
            .attributes
            .iter()
            .map(|attribute| TagName::resource(&attribute.name))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| respond::unreadable(&error))?;
        let mut own = TraceIds::default();
        for companion in Companion::of_page(ids.iter().map(String::as_str), &tags) {
            let answer = self.search(&companion, room, metrics).await?;
            let admits = |place: usize, value: &str| {
                let attribute = self.attributes.get(place);
                attribute.is_some_and(|attribute| attribute.tenants.contains(value))
            };
            let found =
                own_traces(&answer, &tags, admits).map_err(|error| respond::unreadable(&error))?;
            own.extend(found);
        }
        Ok(own)
    }

    async fn search(
        &self,
        companion: &Companion,
        room: &Room,
        metrics: &Metrics,
    ) -> Result<Bytes, ProxyError> {
        let mut form = Form::default();
        for (name, value) in companion
            .parameters()
            .into_iter()
            .chain(self.range.parameters())
        {
            form.push(name, value);
        }
        let protobuf = HeaderValue::from_static(Format::Protobuf.media_type());
        let headers = HeaderMap::from_iter([(ACCEPT, protobuf)]);
        let plan = ResponsePlan::Traces(TracesAnswer::Public);
        let question = send(&self.outward, "/api/search", &form, headers, plan)?;
        respond::companion(question, Format::Protobuf.media_type(), room, metrics).await
    }
}
