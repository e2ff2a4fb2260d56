//! Health checks of an upstream: at intervals, with the upstream's own client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Limited};
use hyper::header::{HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::{Repeat, Upstream, UpstreamError, with_causes};
use crate::body::RequestBody;

/// Marks health checks in an upstream's log.
const AGENT: HeaderValue = HeaderValue::from_static("partywall-health-check");

const IGNORED: &str = "tenancy.traces.org_id is set, but this Tempo ignores X-Scope-OrgID and \
                       shows every tenant all spans: set multitenancy_enabled: true in Tempo, or \
                       tenancy.traces.attribute here";

/// Whether a 401 is Tempo's answer to a request without `X-Scope-OrgID` (grafana/dskit, user/id.go).
fn says_no_org_id(text: &[u8]) -> bool {
    text.trim_ascii() == b"no org id"
}

/// The most bytes of an answer that are read, so that its connection can be reused.
const ANSWER_BYTES: usize = 64 * 1024;

/// A request that Tempo answers with 200 only if it does not require an organisation. It lists names
/// in a time range without blocks, so it is cheap. All handlers of Tempo's API share the middleware
/// that answers 401 `no org id` (grafana/tempo, cmd/tempo/app/modules.go; grafana/dskit,
/// `middleware/http_auth.go`).
const ORG_ID_PROBE: &str = "/api/v2/search/tags?start=1&end=2";

/// Checks one upstream until this is dropped.
pub struct Health {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    upstream: Arc<Upstream>,
    state: watch::Sender<State>,
    /// `None` where no organisation is needed.
    org_id: Option<watch::Sender<OrgId>>,
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

/// Whether a Tempo separates tenants by `X-Scope-OrgID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OrgId {
    /// Not checked yet.
    Unknown,
    /// Checked, but no answer has shown it yet.
    Untold,
    /// A request without the header is refused.
    Required,
    /// A request without the header is answered, so every tenant gets all spans.
    Ignored,
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
    ///
    /// With `needs_org_id`, it is also found out whether the upstream, a Tempo, requires
    /// `X-Scope-OrgID`.
    pub fn watch(upstream: Arc<Upstream>, needs_org_id: bool, previous: Option<&Self>) -> Self {
        let (known, checks) = match previous {
            Some(Self { shared, .. }) => (*shared.state.borrow(), Arc::clone(&shared.checks)),
            None => (State::Unknown, Arc::default()),
        };
        let shared = Arc::new(Shared {
            upstream,
            state: watch::Sender::new(known),
            org_id: needs_org_id.then(|| watch::Sender::new(OrgId::Unknown)),
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

    /// Whether the upstream ignores `X-Scope-OrgID`; `None` if nothing depends on it.
    pub fn ignores_org_id(&self) -> Option<bool> {
        self.shared.org_id.as_ref()?;
        Some(self.shared.upstream.ignores_org_id())
    }

    /// The results so far.
    pub fn checks(&self) -> &HealthChecks {
        &self.shared.checks
    }

    /// Why Partywall is not ready because of this upstream; `None` if it does not prevent readiness.
    pub fn not_ready(&self) -> Option<String> {
        let settings = self.shared.upstream.settings();
        let name = &settings.name;
        match self.shared.org_id.as_ref().map(|org_id| *org_id.borrow()) {
            Some(OrgId::Unknown) => {
                return Some(format!("upstream `{name}` has not been checked yet"));
            }
            Some(OrgId::Ignored) => return Some(format!("upstream `{name}`: {IGNORED}")),
            // A Tempo that is down does not keep requests from other upstreams.
            Some(OrgId::Untold | OrgId::Required) | None => {}
        }
        if !settings.health.gates_readiness {
            return None;
        }
        match *self.shared.state.borrow() {
            State::Unknown => Some(format!("upstream `{name}` has not been checked yet")),
            State::Healthy => None,
            State::Unhealthy => Some(format!("upstream `{name}` is unhealthy")),
        }
    }

    /// Waits for the first result, if readiness depends on it.
    pub async fn settled(&self) {
        if let Some(org_id) = &self.shared.org_id {
            let mut org_id = org_id.subscribe();
            let _ = org_id.wait_for(|org_id| *org_id != OrgId::Unknown).await;
        }
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
            let (checked, ()) = futures_util::future::join(self.check(), self.check_org_id()).await;
            self.record(checked);
            tokio::time::sleep(self.upstream.settings().health.interval).await;
        }
    }

    async fn check(&self) -> Result<(), Failure> {
        let within = self.upstream.settings().health.timeout;
        tokio::time::timeout(within, self.check_once())
            .await
            .unwrap_or(Err(Failure::Timeout(within)))
    }

    async fn check_once(&self) -> Result<(), Failure> {
        let path = &self.upstream.settings().health.path;
        let (status, _) = self.get(path).await?;
        if status.is_success() {
            Ok(())
        } else {
            Err(Failure::Status(path.clone(), status))
        }
    }

    async fn check_org_id(&self) {
        let Some(known) = &self.org_id else { return };
        let within = self.upstream.settings().health.timeout;
        let answer = tokio::time::timeout(within, self.get(ORG_ID_PROBE)).await;
        let new = match answer {
            Ok(Ok((status, _))) if status.is_success() => OrgId::Ignored,
            Ok(Ok((StatusCode::UNAUTHORIZED, text))) if says_no_org_id(&text) => OrgId::Required,
            _ if *known.borrow() == OrgId::Unknown => OrgId::Untold,
            // What was known is as good as before.
            _ => return,
        };
        let ignored = new == OrgId::Ignored;
        self.upstream
            .ignores_org_id
            .store(ignored, Ordering::Relaxed);
        if known.send_replace(new) == new {
            return;
        }
        let upstream = &**self.upstream.name();
        match new {
            OrgId::Ignored => tracing::error!(upstream, "{IGNORED}"),
            OrgId::Required => tracing::info!(upstream, "the upstream requires X-Scope-OrgID"),
            OrgId::Unknown | OrgId::Untold => {}
        }
    }

    /// The status and the begin of the text.
    async fn get(&self, path: &str) -> Result<(StatusCode, Bytes), Failure> {
        let mut request = Request::new(RequestBody::Empty);
        *request.uri_mut() = self.upstream.uri(path).map_err(Failure::Path)?;
        request.headers_mut().insert(USER_AGENT, AGENT);
        self.upstream.sign(request.headers_mut());
        let answer = self.upstream.send(request, Repeat::Once).await;
        let (parts, body) = answer.map_err(Failure::Unreachable)?.into_parts();
        #[expect(clippy::disallowed_methods, reason = "a few bytes, at most")]
        let text = Limited::new(body, ANSWER_BYTES).collect().await;
        // A body that is too long or breaks off counts as empty.
        let text = text.map(Collected::to_bytes).unwrap_or_default();
        Ok((parts.status, text))
    }

    fn record(&self, outcome: Result<(), Failure>) {
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
