//! The steps that a request would have taken, up to the point where it would have been sent.
//! Whatever they come to, the request goes up as it came.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::http::request::Parts;

use super::Seen;
use crate::auth::Caller;
use crate::body::budget::Room;
use crate::body::{Ahead, ClientBody, CollectError, ReceivedBody, RequestBody, Streamed};
use crate::proxy::enforce::{self, Enforced, Outgoing};
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::proxy::query_log::Journal;
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
    /// What would have become of it, and the body to send.
    ///
    /// # Errors
    /// When the client breaks its body off.
    pub(super) async fn at(
        self,
        body: ReceivedBody,
    ) -> Result<(Seen<Option<Enforced>>, RequestBody), ProxyError> {
        let idle = self.snapshot.settings().timeouts.body_idle;
        let unread = |body| ClientBody::Coming(body).into_request(idle);
        let caller = match &self.caller {
            Ok(caller) => caller.clone(),
            Err(error) => return Ok((self.refused(error), unread(body))),
        };
        if self.route.target == Target::PassThrough {
            return Ok((Seen::unchanged(), unread(body)));
        }
        if asks_while_enforcing(self.route, caller.as_deref()) {
            return Ok((Seen::undecided(), unread(body)));
        }
        let room = Room::for_request(self.snapshot, self.metrics);
        let ahead = Streamed::new(body, idle).ahead(&room).await;
        let read = match ahead {
            Ok(Ahead::Whole(read)) => read,
            Ok(Ahead::Cut(cut)) => {
                let (why, body) = cut.into_request();
                let error = enforce::unread(why, room.bytes);
                return Ok((self.refused(&error), body));
            }
            Err(broken) => return Err(enforce::unread(CollectError::Broken(broken), room.bytes)),
        };
        let seen = self.enforced(caller, ClientBody::Read(read.clone())).await;
        Ok((seen, ClientBody::Read(read).into_request(idle)))
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
