//! The steps that a request would have taken, up to the point where it would have been sent.
//! Whatever they come to, the request goes up as it came.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::http::request::Parts;

use super::Seen;
use crate::auth::Caller;
use crate::body::{Ahead, ClientBody, Pace, RequestBody};
use crate::proxy::enforce::{self, Enforced, Outgoing};
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::proxy::query_log::Journal;
use crate::proxy::receive;
use crate::proxy::route::{Route, Target};
use crate::proxy::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;
use crate::tempo::endpoints::Endpoint as TracesEndpoint;
use crate::tenancy::TenantScope;

/// No request waits longer for an issuer that does not answer.
const WHO_WITHIN: Duration = Duration::from_secs(2);

/// The caller, or why there is none.
type Known = Result<Option<Arc<Caller>>, ProxyError>;

/// Waits a little for who is calling.
pub(super) async fn who(authenticated: impl Future<Output = Known>) -> Known {
    let within = tokio::time::timeout(WHO_WITHIN, authenticated).await;
    within.unwrap_or_else(|_elapsed| {
        Err(ProxyError::new(
            ErrorKind::KeysUnavailable,
            "the keys of the token's issuer did not come in time",
        ))
    })
}

/// A request's body before it is looked at.
pub(super) enum Received {
    /// It is empty or not to be looked at.
    Nothing(Incoming),
    /// As far as there was room for it.
    Ahead(Ahead),
}

/// A look at one request.
pub(super) struct Look<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) route: &'a Route,
    /// Or why it would have gone no further.
    pub(super) caller: Known,
    pub(super) head: &'a Parts,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) journal: &'a Journal,
}

impl Look<'_> {
    /// Receives the body, where it is to be looked at.
    ///
    /// # Errors
    /// When the client breaks its body off or is too slow, or has too many that are incomplete.
    pub(super) async fn receive(&self, body: Incoming) -> Result<Received, ProxyError> {
        let caller = match &self.caller {
            Ok(caller) if !body.is_end_stream() => caller.as_deref(),
            _ => return Ok(Received::Nothing(body)),
        };
        if self.route.target == Target::PassThrough || asks_while_enforcing(self.route, caller) {
            return Ok(Received::Nothing(body));
        }
        let holder = self.snapshot.authenticator().holder_of(caller);
        let ahead = receive::ahead(self.snapshot, holder, body, self.metrics);
        ahead.await.map(Received::Ahead)
    }

    /// What would have become of it, and the body to send.
    pub(super) async fn at(self, received: Received) -> (Seen<Option<Enforced>>, RequestBody) {
        let pace = Pace::of_client(self.snapshot.settings());
        let (body, cut) = match received {
            Received::Nothing(body) => (ClientBody::Streaming(body), None),
            Received::Ahead(Ahead::Whole(bytes)) => (ClientBody::Buffered(bytes), None),
            Received::Ahead(Ahead::Cut(cut)) => {
                let cut = cut.into_request();
                (ClientBody::Buffered(Bytes::new()), Some(cut))
            }
        };
        let seen = match (&self.caller, &cut) {
            (Err(error), _) => self.refused(error),
            (Ok(_), _) if self.route.target == Target::PassThrough => Seen::unchanged(),
            (Ok(caller), _) if asks_while_enforcing(self.route, caller.as_deref()) => {
                Seen::undecided()
            }
            (Ok(_), Some((why, _rest))) => self.refused(&receive::unreceived(why, self.snapshot)),
            (Ok(caller), None) => {
                let seen = match &body {
                    ClientBody::Buffered(bytes) => bytes.clone(),
                    // It is empty.
                    ClientBody::Streaming(_) => Bytes::new(),
                };
                self.enforced(caller.clone(), ClientBody::Buffered(seen))
                    .await
            }
        };
        let body = cut.map_or_else(|| body.into_request(pace), |(_why, rest)| rest);
        (seen, body)
    }

    async fn enforced(
        &self,
        caller: Option<Arc<Caller>>,
        body: ClientBody,
    ) -> Seen<Option<Enforced>> {
        let request = Request::from_parts(self.head.clone(), body);
        let (snapshot, route) = (self.snapshot, self.route);
        let enforced =
            enforce::enforce(snapshot, route, caller, request, self.metrics, self.journal);
        match crate::proxy::caught(pin!(enforced), self.metrics).await {
            Ok((Outgoing::One(enforced), decision)) => Seen::sent(enforced, decision),
            // Other clusters are not the upstream's to answer for.
            Ok((Outgoing::Several(_) | Outgoing::Here(_), _)) => Seen::undecided(),
            Err(error) => self.refused(&error),
        }
    }

    fn refused(&self, error: &ProxyError) -> Seen<Option<Enforced>> {
        Seen::refused(error, self.journal.redaction())
    }
}

/// The difference of two traces is the one request whose enforcement asks the upstream.
pub(in crate::proxy) fn asks_while_enforcing(route: &Route, caller: Option<&Caller>) -> bool {
    let is_confined =
        caller.is_some_and(|caller| matches!(caller.scope(), Ok(TenantScope::Tenants(_))));
    route.target == Target::Traces(TracesEndpoint::TraceDiff) && is_confined
}
