//! What must be done to a response, decided before there is one.

use std::sync::Arc;

use super::Enforced;
use super::traces::{TracesAnswer, WholeAnswer};
use crate::auth::Caller;
use crate::body::RemapPosition;
use crate::prometheus::filter::RulesOptions;
use crate::prometheus::params::MetadataLimits;
use crate::promql::Confined;

pub(in crate::proxy) enum ResponsePlan {
    /// Outside the data APIs: unmodified.
    PassThrough,
    /// A data API's response to a caller with all tenants, errors included: unmodified.
    AllTenants,
    /// A data API's response that contains nothing but the caller's data, or that is not parsed
    /// (text, snappy): streamed.
    Stream,
    /// A confined query's JSON response: streamed, with its warnings scrubbed. The confined query,
    /// if there is one, maps positions back to the caller's own text.
    Scrub(Option<Origin>),
    /// A response that no query could confine: buffered and filtered.
    Filter(Filter),
    /// A response of the traces API.
    Traces(TracesAnswer),
    /// A gRPC response of the traces API.
    Grpc(GrpcAnswer),
}

impl ResponsePlan {
    /// Maps positions in the upstream's texts, if the caller sent a query.
    pub(in crate::proxy) fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Scrub(origin) => origin.as_ref(),
            Self::PassThrough
            | Self::AllTenants
            | Self::Stream
            | Self::Filter(_)
            | Self::Traces(_)
            | Self::Grpc(_) => None,
        }
    }
}

/// A confined query, to map positions in it back to the caller's own text.
#[derive(Clone)]
pub(in crate::proxy) struct Origin(pub(in crate::proxy::enforce) Arc<Confined>);

impl Origin {
    /// The mapping.
    pub(in crate::proxy) fn remap(&self) -> RemapPosition {
        let confined = Arc::clone(&self.0);
        Box::new(move |position| {
            let written = confined.original();
            position.remap(confined.text(), &written, |sent| {
                confined.original_offset(sent)
            })
        })
    }
}

/// How a response is filtered.
pub(in crate::proxy) enum Filter {
    /// Rules of the caller's tenants.
    Rules {
        caller: Arc<Caller>,
        options: RulesOptions,
    },
    /// Alerts of the caller's tenants, taken from the rules that the upstream is asked for.
    Alerts(Arc<Caller>),
    /// Targets of the caller's tenants.
    Targets(Arc<Caller>),
    /// Metadata of the targets of the caller's tenants.
    TargetsMetadata(Arc<Caller>),
    /// Scrape pools of the caller's tenants, made of the targets that the upstream was asked for.
    ScrapePools(Arc<Caller>),
    /// The upstream's flags that shape queries.
    Flags,
    /// Search results, with the metadata of the caller's own targets if that is asked for.
    Search(Option<Box<OwnTargets>>),
    /// Metadata of the metrics that the caller's tenants have.
    Metadata(Box<MetadataPlan>),
}

/// What `/metadata` is filtered with.
pub(in crate::proxy) struct MetadataPlan {
    /// The side request for the names of the tenants' metrics.
    pub(in crate::proxy) names: Enforced,
    pub(in crate::proxy) own: OwnTargets,
    pub(in crate::proxy) limits: MetadataLimits,
}

/// What the tenants' own targets say of their metrics.
pub(in crate::proxy) struct OwnTargets {
    pub(in crate::proxy) caller: Arc<Caller>,
    /// The side request for it; Thanos does not have the endpoint.
    pub(in crate::proxy) request: Enforced,
    /// The only metric that is asked for.
    pub(in crate::proxy) metric: Option<String>,
}

/// How the response's messages are filtered.
pub(in crate::proxy) enum GrpcAnswer {
    /// Not at all: they contain nothing but the caller's data.
    Unmodified,
    Filtered(Arc<WholeAnswer>),
}
