//! One request's journey, in walking order.
//!
//! | step | what it makes |
//! |---|---|
//! | [`admit`] | a request whose head has one reading |
//! | [`route`] | a [`route::Route`] from a closed table |
//! | [`authenticate`] | a caller whose token is believed |
//! | [`enforce`] | an [`enforce::Enforced`] request, confined to the caller's scope |
//! | [`forward`] | the upstream's answer: takes nothing but an `Enforced` |
//! | [`respond`] | the client's answer: streamed, scrubbed or filtered as enforcement planned |
//!
//! [`dry_run`] walks the same way up to `forward`, and shows what would have been sent.

mod admit;
mod authenticate;
pub(crate) mod body;
pub mod dry_run;
mod enforce;
mod error;
mod exchange;
mod forward;
mod headers;
mod location;
mod path;
mod respond;
mod rewrites;
mod route;
pub mod snapshot;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use hyper::{Request, Response, body::Incoming};

use self::body::ResponseBody;
use self::error::{Dialect, ErrorKind, ProxyError};
use self::exchange::Exchange;
use self::snapshot::Snapshot;
use crate::listen::InFlight;
use crate::telemetry::metrics::Metrics;

/// Serves requests by the snapshot of the moment each begins.
pub struct Proxy {
    snapshot: ArcSwap<Snapshot>,
    metrics: Arc<Metrics>,
}

impl Proxy {
    /// A proxy that begins with this snapshot.
    pub fn new(snapshot: Snapshot, metrics: Arc<Metrics>) -> Self {
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            metrics,
        }
    }

    /// The rules in force now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts other rules in force, for requests that begin from now on.
    pub fn replace(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }

    /// The process's metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Answers one request. Whatever happens is an answer: a panic is a 500 and a counted defect.
    pub(crate) async fn handle(
        &self,
        request: Request<Incoming>,
        in_flight: InFlight,
    ) -> Response<ResponseBody> {
        let snapshot = self.snapshot();
        let Ok(permit) = Arc::clone(snapshot.requests()).try_acquire_owned() else {
            return self.overloaded();
        };
        let dialect = Dialect::of_path(request.uri().path());
        let mut exchange = Exchange::begin(Arc::clone(&self.metrics), permit, in_flight, dialect);
        let journey = journey(&snapshot, request, &mut exchange, &self.metrics);
        let result = AssertUnwindSafe(journey)
            .catch_unwind()
            .await
            .unwrap_or_else(|_panic| {
                self.metrics.panics.inc();
                Err(ProxyError::new(
                    ErrorKind::Internal,
                    "a defect of Partywall stopped this request; please report it",
                ))
            });
        let response = result.unwrap_or_else(|error| {
            self.metrics.refused(exchange.route(), error.reason());
            exchange.log_refusal(&error);
            exchange.release_permit();
            error.render(exchange.dialect())
        });
        exchange.set_code(response.status().as_u16());
        response.map(|body| body.with_exchange(exchange))
    }

    fn overloaded(&self) -> Response<ResponseBody> {
        let error = ProxyError::new(
            ErrorKind::Overloaded,
            "limits.requests are in flight; try again in a moment",
        )
        .retry_after(Duration::from_secs(1));
        self.metrics.refused("none", error.reason());
        self.metrics
            .request_done("none", error.status().as_u16(), Duration::ZERO);
        error.render(Dialect::Prometheus)
    }
}

/// The whole journey on one screen.
async fn journey(
    snapshot: &Snapshot,
    request: Request<Incoming>,
    exchange: &mut Exchange,
    metrics: &Arc<Metrics>,
) -> Result<Response<ResponseBody>, ProxyError> {
    let path = admit::admit(&request)?;
    let route = route::route(snapshot, &request, &path)?;
    exchange.set_route(route.name(), route.dialect());
    let caller = authenticate::authenticate(snapshot, &route, request.headers(), metrics).await?;
    exchange.set_caller(caller.clone());
    let enforced = enforce::enforce(snapshot, &route, caller, request, metrics).await?;
    let answered = forward::forward(enforced, metrics).await?;
    respond::respond(answered, snapshot, metrics).await
}
