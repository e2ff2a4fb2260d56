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

mod admit;
mod authenticate;
pub(crate) mod body;
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
        let response = caught(journey, &self.metrics)
            .await
            .unwrap_or_else(|error| {
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

/// What the journey comes to, also where a defect of ours makes it panic.
async fn caught<T>(
    journey: impl Future<Output = Result<T, ProxyError>>,
    metrics: &Metrics,
) -> Result<T, ProxyError> {
    let result = AssertUnwindSafe(journey).catch_unwind().await;
    result.unwrap_or_else(|_panic| {
        metrics.panics.inc();
        Err(ProxyError::new(
            ErrorKind::Internal,
            "a defect of Partywall stopped this request; please report it",
        ))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// O3: of the journey no part is skipped by it, and the process lives.
    #[tokio::test]
    async fn o3_a_panic_is_a_500_and_is_counted() {
        let metrics = Metrics::new();
        let journey = async {
            tokio::task::yield_now().await;
            assert!(metrics.panics.get() > 0, "with a secret");
            Ok(())
        };
        let error = caught(journey, &metrics).await.unwrap_err();
        assert_eq!(error.status(), 500);
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        assert_eq!(metrics.panics.get(), 1);
        assert!(caught(async { Ok(()) }, &metrics).await.is_ok());
        assert_eq!(metrics.panics.get(), 1);
    }
}
