//! What would happen to a request: runs the steps until it would be sent.
//!
//! | file | one idea |
//! |---|---|
//! | `request` | a request as an operator writes it |
//! | `explanation` | the result, for people and machines |
//! | `caller` | the caller, its tenants, and which rules grant them |
//! | `sent` | the request that would be forwarded, compared with the original |
//! | `advice` | which config key would permit what is refused |
//!
//! No request is parsed in a way of its own here: it is sent over an in-memory connection, parsed
//! by the same HTTP library, and runs through the same [steps](super::pipeline). Nothing is
//! forwarded.

mod advice;
mod caller;
mod explanation;
mod request;
mod sent;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{Empty, Full};
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;

pub use self::caller::dimensions;
pub use self::explanation::{
    CallerView, Dimension, Explanation, KeyView, Outcome, Parameter, Refused, RouteView, Sent,
};
pub use self::request::{ExplainRequest, ExplainRequestError, Identity};
use super::context::RequestContext;
use super::enforce::{Condition, Enforced, Enforcement, OwnAnswer};
use super::error::ProxyError;
use super::pipeline::{Authenticated, Received, Routed};
use super::query_log::QueryLog;
use super::shadow;
use super::snapshot::Snapshot;
use crate::auth::Caller;
use crate::body::ReceivedBody;
use crate::prometheus::clusters;
use crate::telemetry::audit::Redaction;
use crate::telemetry::metrics::Metrics;

/// The buffer of the in-memory connection, in bytes.
const IN_MEMORY: usize = 64 * 1024;

/// Explains what would happen to a request, without forwarding it.
pub async fn explain_request(snapshot: &Snapshot, question: ExplainRequest) -> Explanation {
    let ExplainRequest {
        identity,
        request,
        shown,
    } = question;
    let asked = request.body().clone();
    let walked: Mutex<Option<Explanation>> = Mutex::new(None);
    let service = service_fn(|request: Request<Incoming>| {
        let shown = shown.clone();
        let (identity, asked, walked) = (&identity, &asked, &walked);
        async move {
            let request = Request::map(request, ReceivedBody::new);
            let explanation = explain(snapshot, identity, shown, asked, request).await;
            let mut walked = walked.lock().unwrap_or_else(PoisonError::into_inner);
            *walked = Some(explanation);
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let (near, far) = tokio::io::duplex(IN_MEMORY);
    let server = hyper::server::conn::http1::Builder::new()
        .max_buf_size(snapshot.settings().limits.header_bytes)
        .serve_connection(TokioIo::new(far), service);
    let (answered, _) = tokio::join!(send(near, request), server);
    let walked = walked.into_inner().unwrap_or_else(PoisonError::into_inner);
    walked.unwrap_or_else(|| Explanation::invalid_headers(shown, answered.as_ref()))
}

/// The client's end. The status matters only if the headers themselves were refused.
async fn send(near: tokio::io::DuplexStream, request: Request<Bytes>) -> Result<u16, String> {
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near))
        .await
        .map_err(text)?;
    let answer = async move { sender.send_request(request.map(Full::new)).await };
    let (answer, _) = tokio::join!(answer, connection);
    Ok(answer.map_err(text)?.status().as_u16())
}

async fn explain(
    snapshot: &Snapshot,
    identity: &Identity,
    shown: String,
    body: &Bytes,
    request: Request<ReceivedBody>,
) -> Explanation {
    let mut explanation = Explanation::of(shown);
    let asked = sent::OriginalParameters::of(&request, body);
    // What is recorded and counted here is not shown anywhere.
    let queries = QueryLog::new(Redaction::nothing());
    let context = snapshot.context(Arc::new(Metrics::new()), Arc::new(queries));
    let walk = Progress {
        identity,
        context: &context,
        explanation: &mut explanation,
        caller: None,
    };
    let (caller, result) = walk.run(request).await;
    explanation.outcome = match result {
        Ok(enforcement) => outcome(&mut explanation, enforcement, |enforced| {
            sent::show(snapshot.rules(), caller.as_deref(), &asked, enforced)
        }),
        Err(error) => Outcome::Refused(advice::refused(snapshot.rules(), &error)),
    };
    explanation
}

/// Of several clusters, which all get the same request, the first is shown.
fn outcome(
    explanation: &mut Explanation,
    enforcement: Enforcement,
    show: impl FnOnce(Enforced) -> Sent,
) -> Outcome {
    let sent = match enforcement {
        Enforcement::One(enforced) => show(enforced),
        Enforcement::Several(all) => {
            if let Some(route) = &mut explanation.route {
                route.upstream = None;
                route.clusters = all.iter().map(|(name, _)| name.to_string()).collect();
            }
            let Some((_, first)) = all.into_iter().next() else {
                let why = "no cluster is named".to_owned();
                return Outcome::Undecided { why };
            };
            let mut sent = show(first);
            sent.dropped.retain(|name| name != clusters::PARAMETER);
            sent
        }
        Enforcement::Conditional(condition) => {
            let why = match *condition {
                Condition::OwnTraces(_) => {
                    "it depends on whether both traces have only the caller's spans, which Tempo has to be asked"
                }
                Condition::OwnSilence(_) => {
                    "it depends on whether the silence is wholly the caller's, which Alertmanager has to be asked"
                }
                Condition::AcceptedSelectors(_) => {
                    "a match[] selects everything, which Prometheus refuses and Thanos may accept: the store has to be asked"
                }
            };
            return Outcome::Undecided {
                why: why.to_owned(),
            };
        }
        Enforcement::Answered(answer) => {
            let answer = match answer {
                OwnAnswer::Json(json) => String::from_utf8_lossy(&json).into_owned(),
                OwnAnswer::NoContent => "204, without a body".to_owned(),
            };
            return Outcome::Answered { answer };
        }
    };
    Outcome::Sent(Box::new(sent))
}

/// What is known of a request so far.
struct Progress<'a> {
    identity: &'a Identity,
    context: &'a RequestContext,
    explanation: &'a mut Explanation,
    caller: Option<Arc<Caller>>,
}

impl Progress<'_> {
    async fn run(
        mut self,
        request: Request<ReceivedBody>,
    ) -> (Option<Arc<Caller>>, Result<Enforcement, ProxyError>) {
        let result = self.steps(request).await;
        (self.caller, result)
    }

    async fn steps(&mut self, request: Request<ReceivedBody>) -> Result<Enforcement, ProxyError> {
        let (context, settings) = (self.context, self.context.settings());
        let routed = Received::new(&context.rules, request)?.route()?;
        self.explanation.route = Some(route(&routed));
        let authenticated = self.authenticate(routed).await?;
        self.caller = authenticated.caller().cloned();
        if let Some(caller) = &self.caller {
            self.explanation.caller = Some(caller::view(settings, caller));
            let principal = caller.principal();
            self.explanation.dimensions =
                dimensions(settings, principal.issuer(), principal.claims());
        }
        let complete = authenticated.authorize()?.receive(context).await?;
        let decided = complete.for_evaluation().enforce(context)?;
        Ok(decided.enforcement)
    }

    async fn authenticate(
        &self,
        routed: Routed<ReceivedBody>,
    ) -> Result<Authenticated<ReceivedBody>, ProxyError> {
        match self.identity {
            Identity::Claims { issuer, claims } if routed.route().needs_token() => {
                let tenancy = &self.context.settings().tenancy;
                let caller = Caller::supposed(tenancy, Arc::clone(issuer), claims.clone());
                Ok(routed.assuming(Arc::new(caller)))
            }
            Identity::Token | Identity::Claims { .. } => routed.authenticate(self.context).await,
        }
    }
}

fn route(routed: &Routed<ReceivedBody>) -> RouteView {
    let route = routed.route();
    let in_force = shadow::in_force(route);
    let in_force = in_force.filter(|in_force| in_force.is_for(routed.method()));
    let upstream = route.upstream.as_ref();
    RouteView {
        name: route.name(),
        upstream: upstream.map(|upstream| upstream.name().to_string()),
        clusters: Vec::new(),
        shadow_until: in_force
            .map(|shadow| humantime::format_rfc3339_seconds(shadow.until()).to_string()),
    }
}
