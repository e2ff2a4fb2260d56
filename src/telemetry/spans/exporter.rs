//! Sends spans to the collector.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as Export};
use tokio::runtime::Handle;

use crate::telemetry::metrics::SpanCounters;

/// How long the collector may take for one batch, attempts included.
const WITHIN: Duration = Duration::from_secs(10);

/// The most bytes of the collector's answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

/// The least time between two log lines about problems.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

/// The OTLP exporter, with counters. Failures are logged at most once a minute.
#[derive(Debug)]
pub(super) struct Counted {
    exporter: SpanExporter,
    counters: Counters,
    last_warning: Mutex<Option<Instant>>,
}

struct Counters(SpanCounters);

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counters")
    }
}

impl Counted {
    /// An exporter to this URL, whose requests run in the current runtime.
    pub(super) fn new(endpoint: &str, counters: SpanCounters) -> Result<Self, String> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(HyperClient::new()?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(WITHIN)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            exporter,
            counters: Counters(counters),
            last_warning: Mutex::default(),
        })
    }

    fn warn(&self, error: &dyn fmt::Display) {
        let mut last = self
            .last_warning
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            *last = Some(Instant::now());
            tracing::warn!("cannot export spans: {error}; see partywall_spans_total");
        }
    }
}

impl Export for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        let result = self.exporter.export(batch).await;
        match &result {
            Ok(()) => _ = self.counters.0.exported.inc_by(count),
            Err(error) => {
                self.counters.0.failed.inc_by(count);
                self.warn(error);
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// The SDK sends batches from its own thread; the requests run in the proxy's runtime.
struct HyperClient {
    client: Arc<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>,
    runtime: Handle,
}

impl fmt::Debug for HyperClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HyperClient")
    }
}

impl HyperClient {
    fn new() -> Result<Self, String> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        Ok(Self {
            client: Arc::new(client),
            runtime: Handle::try_current().map_err(|error| error.to_string())?,
        })
    }
}

impl HttpClient for HyperClient {
    fn send_bytes<'client, 'future>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'future>>
    where
        'client: 'future,
        Self: 'future,
    {
        let client = Arc::clone(&self.client);
        let exchange = async move {
            let answer = client.request(request.map(Full::new)).await?;
            let (parts, body) = answer.into_parts();
            #[expect(clippy::disallowed_methods, reason = "bounded, and the collector's")]
            let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(parts, body))
        };
        let sent = self
            .runtime
            .spawn(async move { tokio::time::timeout(WITHIN, exchange).await });
        Box::pin(async move { sent.await?? })
    }
}
