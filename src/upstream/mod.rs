//! The client of an upstream: connection pool, credentials, base path, health checks.

mod connect;
mod health;
mod reuse;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Request, Response, Uri, Version, body::Incoming};
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use thiserror::Error;

pub use self::connect::Connections;
use self::connect::Connector;
pub use self::health::{Health, HealthChecks};
pub use self::reuse::Repeat;
use self::reuse::{Protocol, announced_keep_alive, copy_of, retire_in_time, was_stale};
use crate::body::RequestBody;
use crate::config::settings::{Api, Credentials, Trust, Upstream as Settings};

/// Bytes that are read from an HTTP/1.1 upstream at once, and so the longest head of an answer. One
/// poll of a connection may read as often as 128 times (tokio's coop budget) before timers are
/// looked at: with hyper's own 400 KB, a flood of interim answers delays a deadline by seconds.
const READ_AT_ONCE: usize = 128 * 1024;

/// One upstream, connected lazily. Cheap to share. A reload that does not change its settings keeps
/// its open connections.
pub struct Upstream {
    settings: Settings,
    /// What [`Health`] found out: see [`Self::ignores_org_id`].
    ignores_org_id: AtomicBool,
    client: Clients,
    /// Speaks HTTP/2 from the first byte, as gRPC needs it.
    grpc_client: Clients,
    /// Whether it has said how long it keeps unused connections.
    announces_keep_alive: AtomicBool,
    connections: Arc<Connections>,
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    /// The header that `credentials` adds to each request; `None` also with `forward_token`.
    authorization: Option<HeaderValue>,
}

/// The clients of one protocol.
struct Clients {
    pooled: Client<Connector, RequestBody>,
    /// Opens a connection for each request, and uses it for no other.
    fresh: Client<Connector, RequestBody>,
}

/// A request that is being sent.
struct Exchange {
    answer: ResponseFuture,
    /// Counts what is sent of a body that is streamed.
    pieces: Option<Arc<AtomicUsize>>,
    /// The connection, where it is known to be kept for a time only.
    connection: Option<CaptureConnection>,
}

/// Why no client can be made from an upstream's settings. The config checks most of it earlier.
#[derive(Debug, Error)]
pub enum InvalidUpstream {
    /// The host and port of `url` are not valid.
    #[error("the url's host is not valid: {0}")]
    Authority(String),
    /// The credentials are not valid in a header.
    #[error("the credentials hold characters that are not valid in a header")]
    Credentials,
    /// The crypto provider refuses the settings of `tls`.
    #[error("tls: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why an upstream gave no answer.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// No connection, or it broke before the answer's headers.
    #[error(transparent)]
    Unreachable(hyper_util::client::legacy::Error),
    /// No headers of an answer within `timeouts.response_head`.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

impl Upstream {
    /// Makes a client; nothing is connected yet. Counting of connections continues that of
    /// `previous`, an upstream of the same name.
    pub fn new(settings: &Settings, previous: Option<&Self>) -> Result<Self, InvalidUpstream> {
        let url = &settings.url;
        let authority: Authority = url
            .authority
            .parse()
            .map_err(|_| InvalidUpstream::Authority(url.authority.clone()))?;
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| InvalidUpstream::Authority(url.authority.clone()))?;
        let connections =
            previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.connections));
        let tls = tls::client_config(&settings.tls)?;
        let connector = |protocol| Connector::new(settings, &tls, protocol, &connections);
        let mut client = Client::builder(TokioExecutor::new());
        client
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.timeouts.keep_alive)
            .http1_max_buf_size(READ_AT_ONCE)
            .set_host(false);
        let clients = |protocol| {
            let mut client = client.clone();
            client.http2_only(matches!(protocol, Protocol::Http2));
            let mut of = |idle| {
                client
                    .pool_max_idle_per_host(idle)
                    .build(connector(protocol))
            };
            Clients {
                pooled: of(settings.max_idle_connections),
                fresh: of(0),
            }
        };
        Ok(Self {
            grpc_client: clients(Protocol::Http2),
            client: clients(Protocol::Http1),
            announces_keep_alive: AtomicBool::new(false),
            scheme: if url.https {
                Scheme::HTTPS
            } else {
                Scheme::HTTP
            },
            authority,
            host,
            authorization: authorization(&settings.credentials)?,
            settings: settings.clone(),
            ignores_org_id: AtomicBool::new(false),
            connections,
        })
    }

    /// Counts of its connections, those of earlier settings included.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Whether its certificate is not verified.
    pub fn is_insecure(&self) -> bool {
        self.settings.tls.trust == Trust::Anyone
    }

    /// Whether it is a Tempo that is to keep tenants apart by `X-Scope-OrgID` and does not: it
    /// would answer each tenant with all spans.
    pub fn ignores_org_id(&self) -> bool {
        self.ignores_org_id.load(Ordering::Relaxed)
    }

    /// The settings it was made from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its name in the config.
    pub fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    pub fn api(&self) -> Api {
        self.settings.api
    }

    /// The address of a path (and query) of its API, below its base path.
    pub fn uri(&self, path_and_query: &str) -> Result<Uri, hyper::http::Error> {
        let whole: PathAndQuery = if self.settings.url.path.is_empty() {
            path_and_query.parse()?
        } else {
            format!("{}{path_and_query}", self.settings.url.path).parse()?
        };
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(whole)
            .build()
    }

    /// The address of a gRPC method, which has no base path.
    pub fn grpc_uri(&self, path: &'static str) -> Result<Uri, hyper::http::Error> {
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
    }

    /// Whether the caller's own token is sent to it.
    pub fn forwards_token(&self) -> bool {
        self.settings.credentials == Credentials::ForwardToken
    }

    /// Adds the headers of every request to it: `Host`, and our credentials if there are any.
    pub fn sign(&self, headers: &mut HeaderMap) {
        headers.insert(HOST, self.host.clone());
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
    }

    /// Sends a request, over HTTP/2 if its version says so, and waits for the answer's headers. The
    /// time starts when the client's body has been sent, since there can be no answer before.
    pub async fn send(
        &self,
        request: Request<RequestBody>,
        repeat: Repeat,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let clients = if request.version() == Version::HTTP_2 {
            &self.grpc_client
        } else {
            &self.client
        };
        // On the heap, as the future of every request is as large as this one's.
        let copy = match repeat {
            Repeat::Never => None,
            Repeat::Once => copy_of(&request).map(Box::new),
        };
        let within = self.settings.timeouts.response_head;
        let begun = Instant::now();
        let exchange = self.begin(&clients.pooled, request);
        match (self.headers_of(exchange, within).await, copy) {
            (Err(UpstreamError::Unreachable(error)), Some(copy)) if was_stale(&error, begun) => {
                tracing::debug!(
                    upstream = &**self.name(),
                    error = with_causes(&error),
                    "a reused connection ended; the request is repeated on a fresh one"
                );
                self.connections.repeat();
                let left = within.saturating_sub(begun.elapsed());
                let exchange = self.begin(&clients.fresh, *copy);
                Box::pin(self.headers_of(exchange, left)).await
            }
            (sent, _) => sent,
        }
    }

    fn begin(
        &self,
        client: &Client<Connector, RequestBody>,
        mut request: Request<RequestBody>,
    ) -> Exchange {
        let pieces = request.body_mut().count_pieces();
        let announces = self.announces_keep_alive.load(Ordering::Relaxed);
        let connection = announces.then(|| capture_connection(&mut request));
        Exchange {
            answer: client.request(request),
            pieces,
            connection,
        }
    }

    async fn headers_of(
        &self,
        exchange: Exchange,
        within: Duration,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let Exchange {
            mut answer,
            pieces,
            connection,
        } = exchange;
        let pieces = || pieces.as_ref().map(|pieces| pieces.load(Ordering::Relaxed));
        let response = loop {
            let before = pieces();
            match tokio::time::timeout(within, &mut answer).await {
                Ok(answered) => break answered.map_err(UpstreamError::Unreachable)?,
                Err(_elapsed) if pieces() != before => {}
                Err(_elapsed) => {
                    let within = self.settings.timeouts.response_head;
                    return Err(UpstreamError::Timeout(within));
                }
            }
        };
        if let Some(keep_alive) = announced_keep_alive(response.headers()) {
            self.announces_keep_alive.store(true, Ordering::Relaxed);
            if let Some(connection) = connection {
                retire_in_time(response.extensions(), connection, keep_alive);
            }
        }
        Ok(response)
    }
}

/// The text of an error with all its causes: hyper's own text alone says little.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn authorization(credentials: &Credentials) -> Result<Option<HeaderValue>, InvalidUpstream> {
    let value = match credentials {
        Credentials::None | Credentials::ForwardToken => return Ok(None),
        Credentials::Bearer(token) => format!("Bearer {}", token.expose()),
        Credentials::Basic { username, password } => {
            let pair = format!("{username}:{}", password.expose());
            format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode(pair)
            )
        }
    };
    sensitive(&value).map(Some)
}

/// A header value that is never logged or indexed (RFC 7541 §7.1.3).
fn sensitive(value: &str) -> Result<HeaderValue, InvalidUpstream> {
    let mut value = HeaderValue::from_str(value).map_err(|_| InvalidUpstream::Credentials)?;
    value.set_sensitive(true);
    Ok(value)
}
