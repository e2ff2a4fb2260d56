//! Confines queries by the snapshot's rules, and caches the result.

use std::sync::Arc;

use crate::prometheus::form::Encoded;
use crate::prometheus::params::{Confine, ConfinedSelector, ParamError};
use crate::promql::{self, Confined, Refusal, RefusalKind};
use crate::proxy::context::RequestContext;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::proxy::rewrites::{Rewrite, TextKind};
use crate::reason::Reason;
use crate::tenancy::Matchers;

/// Confines the queries of one request.
pub(super) struct Confiner<'a> {
    context: &'a RequestContext,
    matchers: &'a Matchers,
    /// The request's query, for positions in the upstream's texts.
    query: Option<Arc<Confined>>,
}

impl<'a> Confiner<'a> {
    pub(super) fn new(context: &'a RequestContext, matchers: &'a Matchers) -> Self {
        Self {
            context,
            matchers,
            query: None,
        }
    }

    /// The text of the confined query.
    pub(super) fn text(&self) -> Option<&str> {
        self.query.as_deref().map(Confined::text)
    }

    /// The query that was confined, if there was one.
    pub(super) fn into_origin(self) -> Option<Arc<Confined>> {
        self.query
    }

    fn confine(&self, text: TextKind, original: &str) -> Result<Rewrite, Refusal> {
        let max_selectors = self.context.settings().limits.query_selectors;
        let foreign = self.context.settings().promql.foreign_matchers;
        let rewrites = &self.context.rewrites;
        let confine = match text {
            TextKind::Query => promql::confine,
            TextKind::Selector => promql::confine_selector,
        };
        let agreements = rewrites.agreements();
        let by_rules = || confine(original, self.matchers, foreign, max_selectors, agreements);
        let (rewrite, hit) = rewrites.get_or_confine(text, original, self.matchers, by_rules)?;
        self.context.metrics.rewrite(hit);
        Ok(rewrite)
    }
}

impl Confine for Confiner<'_> {
    type Refusal = Refusal;

    fn query(&mut self, query: &str) -> Result<Encoded, Refusal> {
        let rewrite = self.confine(TextKind::Query, query)?;
        self.query = Some(rewrite.confined);
        Ok(rewrite.sent)
    }

    fn selector(&mut self, selector: &str) -> Result<ConfinedSelector, Refusal> {
        let rewrite = self.confine(TextKind::Selector, selector)?;
        Ok(ConfinedSelector {
            text: rewrite.sent,
            was_unselective: rewrite.confined.was_unselective(),
        })
    }

    fn check_selector(&mut self, selector: &str) -> Result<(), Refusal> {
        promql::check_selector(selector)
    }
}

/// The client's error for refused parameters.
pub(super) fn refusal(error: ParamError<Refusal>) -> ProxyError {
    let text = error.to_string();
    match error {
        ParamError::Forbidden { .. } => {
            ProxyError::new(ErrorKind::Forbidden, text).because(Reason::Parameter)
        }
        ParamError::Ambiguous(_) | ParamError::Invalid(_) => {
            ProxyError::new(ErrorKind::BadRequest, text).because(Reason::Parameters)
        }
        ParamError::TooLong(_) | ParamError::TooMuch => {
            ProxyError::new(ErrorKind::Unprocessable, text).because(Reason::Parameters)
        }
        ParamError::Refused(refusal) => {
            let kind = match refusal.kind() {
                RefusalKind::Malformed => ErrorKind::BadRequest,
                RefusalKind::Unprocessable => ErrorKind::Unprocessable,
                RefusalKind::Denied => ErrorKind::Forbidden,
            };
            ProxyError::new(kind, text).because(refusal.reason())
        }
    }
}
