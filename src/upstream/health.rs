//! Health checks of an upstream: at intervals, with the upstream's own client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::header::{HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::{Upstream, UpstreamError, with_causes};
use crate::body::RequestBody;

/// Marks health checks in an upstream's log.
const AGENT: HeaderValue = HeaderValue::from_static("partywall-health-check");

/// The most bytes of an answer that are read, so that its connection can be reused.
const ANSWER_BYTES: usize = 64 * 1024;

/// Checks one upstream until this is dropped.
pub struct Health {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    upstream: Arc<Upstream>,
    state: watch::Sender<State>,
    checks: Arc<HealthChecks>,
}

/// Counts the health checks of one upstream; a reload does not reset them.
#[derive(Debug, Default)]
pub struct HealthChecks {
    good: AtomicU64,
    bad: AtomicU64,
}

impl HealthChecks {
    /// Successful checks.
    pub fn good(&self) -> u64 {
        self.good.load(Ordering::Relaxed)
    }

    /// Failed checks.
    pub fn bad(&self) -> u64 {
        self.bad.load(Ordering::Relaxed)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Healthy,
    Unhealthy,
}

/// Why a check failed, for the log.
#[derive(Debug, Error)]
enum Failure {
    #[error("no answer within {0:?} (health.timeout)")]
    Timeout(Duration),
    #[error("GET {0}: answered {1}")]
    Status(Box<str>, StatusCode),
    #[error("{}", with_causes(.0))]
    Unreachable(UpstreamError),
    #[error("health.path: {0}")]
    Path(hyper::http::Error),
}

impl Health {
    /// Starts checking, at once. Until there is an answer, the state of `previous`, an upstream of the
    /// same name, is kept.
    pub fn watch(upstream: Arc<Upstream>, previous: Option<&Self>) -> Self {
        let (known, checks) = match previous {
            Some(Self { shared, .. }) => (*shared.state.borrow(), Arc::clone(&shared.checks)),
            None => (State::Unknown, Arc::default()),
        };
        let shared = Arc::new(Shared {
            upstream,
            state: watch::Sender::new(known),
            checks,
        });
        let task = tokio::spawn(Arc::clone(&shared).run()).abort_handle();
        Self { shared, task }
    }

    /// The upstream that is checked.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.shared.upstream
    }

    /// Whether it is healthy; `None` until that is known.
    pub fn is_healthy(&self) -> Option<bool> {
        match *self.shared.state.borrow() {
            State::Unknown => None,
            State::Healthy => Some(true),
            State::Unhealthy => Some(false),
        }
    }

    /// The results so far.
    pub fn checks(&self) -> &HealthChecks {
        &self.shared.checks
    }

    /// Why Partywall is not ready because of this upstream; `None` if it does not prevent readiness.
    pub fn not_ready(&self) -> Option<String> {
        let settings = self.shared.upstream.settings();
        if !settings.health.gates_readiness {
            return None;
        }
        let name = &settings.name;
        match *self.shared.state.borrow() {
            State::Unknown => Some(format!("upstream `{name}` has not been checked yet")),
            State::Healthy => None,
            State::Unhealthy => Some(format!("upstream `{name}` is unhealthy")),
        }
    }

    /// Waits for the first result, if readiness depends on it.
    pub async fn settled(&self) {
        if self.shared.upstream.settings().health.gates_readiness {
            let mut state = self.shared.state.subscribe();
            // The sender lives as long as `self`.
            let _ = state.wait_for(|state| *state != State::Unknown).await;
        }
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        loop {
            self.note(self.check().await);
            tokio::time::sleep(self.upstream.settings().health.interval).await;
        }
    }

    async fn check(&self) -> Result<(), Failure> {
        let within = self.upstream.settings().health.timeout;
        tokio::time::timeout(within, self.ask())
            .await
            .unwrap_or(Err(Failure::Timeout(within)))
    }

    async fn ask(&self) -> Result<(), Failure> {
        let path = &self.upstream.settings().health.path;
        let mut request = Request::new(RequestBody::Empty);
        *request.uri_mut() = self.upstream.uri(path).map_err(Failure::Path)?;
        request.headers_mut().insert(USER_AGENT, AGENT);
        self.upstream.sign(request.headers_mut());
        let answer = self.upstream.send(request).await;
        let (parts, body) = answer.map_err(Failure::Unreachable)?.into_parts();
        // The body is read only so that the connection can be reused.
        #[expect(clippy::disallowed_methods, reason = "a few bytes, at most")]
        let _ = Limited::new(body, ANSWER_BYTES).collect().await;
        if parts.status.is_success() {
            Ok(())
        } else {
            Err(Failure::Status(path.clone(), parts.status))
        }
    }

    fn note(&self, outcome: Result<(), Failure>) {
        let (new, count) = match outcome {
            Ok(()) => (State::Healthy, &self.checks.good),
            Err(_) => (State::Unhealthy, &self.checks.bad),
        };
        count.fetch_add(1, Ordering::Relaxed);
        if self.state.send_replace(new) == new {
            return;
        }
        let upstream = &**self.upstream.name();
        match outcome {
            Ok(()) => tracing::info!(upstream, "the upstream is healthy"),
            Err(why) => tracing::warn!(upstream, "the upstream is unhealthy: {why}"),
        }
    }
}
