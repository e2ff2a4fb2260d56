//! Confinement by the snapshot's rules, remembered.

use std::sync::Arc;

use crate::prometheus::params::{Confine, ParamError};
use crate::promql::{self, Confined, Refusal, RefusalKind};
use crate::proxy::context::RequestContext;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::proxy::rewrites::Text;
use crate::reason::Reason;
use crate::tenancy::Matchers;

/// Confines the texts of one request.
pub(super) struct ConfineOnce<'a> {
    context: &'a RequestContext,
    matchers: &'a Matchers,
    /// The request's one query, for positions in the upstream's texts.
    query: Option<Arc<Confined>>,
}

impl<'a> ConfineOnce<'a> {
    pub(super) fn new(context: &'a RequestContext, matchers: &'a Matchers) -> Self {
        Self {
            context,
            matchers,
            query: None,
        }
    }

    /// Its text, confined.
    pub(super) fn text(&self) -> Option<&str> {
        self.query.as_deref().map(Confined::text)
    }

    /// The query that was confined, if there was one.
    pub(super) fn into_origin(self) -> Option<Arc<Confined>> {
        self.query
    }

    fn confine(&self, text: Text, original: &str) -> Result<Arc<Confined>, Refusal> {
        let max_selectors = self.context.settings().limits.query_selectors;
        let foreign = self.context.settings().promql.foreign_matchers;
        let by_rules = || match text {
            Text::Query => promql::confine(original, self.matchers, foreign, max_selectors),
            Text::Selector => {
                promql::confine_selector(original, self.matchers, foreign, max_selectors)
            }
        };
        let rewrites = &self.context.rewrites;
        let (confined, hit) = rewrites.get_or_confine(text, original, self.matchers, by_rules)?;
        self.context.metrics.rewrite(hit);
        Ok(confined)
    }
}

impl Confine for ConfineOnce<'_> {
    type Refusal = Refusal;

    fn query(&mut self, query: &str) -> Result<String, Refusal> {
        let confined = self.confine(Text::Query, query)?;
        let text = confined.text().to_owned();
        self.query = Some(confined);
        Ok(text)
    }

    fn selector(&mut self, selector: &str) -> Result<String, Refusal> {
        Ok(self.confine(Text::Selector, selector)?.text().to_owned())
    }

    fn check_selector(&mut self, selector: &str) -> Result<(), Refusal> {
        promql::check_selector(selector)
    }
}

/// Parameters that were refused, for the client.
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
            ProxyError::new(ErrorKind::TooLarge, text).because(Reason::Parameters)
        }
        ParamError::Refused(refusal) => {
            let kind = match refusal.kind() {
                RefusalKind::Malformed => ErrorKind::BadRequest,
                RefusalKind::TooLarge => ErrorKind::Unprocessable,
                RefusalKind::Denied => ErrorKind::Forbidden,
            };
            ProxyError::new(kind, text).because(refusal.reason())
        }
    }
}
