//! What must happen to a response, as far as enforcement knows before there is one.

use std::sync::Arc;

use super::Enforced;
use super::traces::{TracesAnswer, WholeAnswer};
use crate::auth::Caller;
use crate::body::RemapPosition;
use crate::prometheus::filter::RulesOptions;
use crate::promql::Confined;

/// What must happen to the answer.
pub(in crate::proxy) enum ResponsePlan {
    /// Outside the data APIs: as it comes.
    PassThrough,
    /// A data API's answer to a caller with all tenants, errors among them: as it comes.
    AllTenants,
    /// A data API's answer that is the caller's in every byte, or not ours to read (text,
    /// snappy): streamed.
    Stream,
    /// A confined query's JSON answer: streamed, its warnings scrubbed. The confined query, where
    /// there is one, tells where its positions stood in the caller's own text.
    Scrub(Option<Origin>),
    /// An answer that no query could confine: read whole and filtered.
    Filter(Filter),
    /// An answer of the traces API.
    Traces(TracesAnswer),
    /// An answer of the traces API by gRPC.
    Grpc(GrpcAnswer),
}

impl ResponsePlan {
    /// Where positions in the upstream's texts come from, if the caller wrote a query.
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

/// A confined query, to carry positions in it back to the caller's own text.
#[derive(Clone)]
pub(in crate::proxy) struct Origin(pub(in crate::proxy::enforce) Arc<Confined>);

impl Origin {
    /// The way back.
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

/// What of an answer is the caller's, and how that is found out.
pub(in crate::proxy) enum Filter {
    /// Rules of the caller's tenants.
    Rules {
        /// Whose.
        caller: Arc<Caller>,
        /// How.
        options: RulesOptions,
    },
    /// Alerts of the caller's tenants, made of the rules that the upstream was asked for.
    Alerts(Arc<Caller>),
    /// Targets of the caller's tenants.
    Targets(Arc<Caller>),
    /// Scrape pools of the caller's tenants, made of the targets that the upstream was asked for.
    ScrapePools(Arc<Caller>),
    /// The upstream's flags that shape queries.
    Flags,
    /// Metadata of the metrics that the caller's tenants have.
    Metadata {
        /// Asks for the names of these metrics.
        names: Box<Enforced>,
        /// The most metrics.
        limit: Option<usize>,
    },
}

/// What happens to the answer's messages.
pub(in crate::proxy) enum GrpcAnswer {
    /// They are the caller's in every byte.
    AsTheyCome,
    /// Each is filtered.
    Filtered(Arc<WholeAnswer>),
}
