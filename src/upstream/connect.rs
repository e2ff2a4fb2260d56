//! Connections to an upstream: opened within `timeouts.connect`, TLS included, and counted.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::Uri;
use hyper_rustls::{
    FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream,
};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service;

use super::reuse::{ConnectionUse, Protocol};
use crate::config::settings::Upstream as Settings;

/// Counts the connections of one upstream, over all its clients.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicI64,
    opened: AtomicU64,
    repeats: AtomicU64,
}

impl Connections {
    /// Connections open now.
    pub fn open(&self) -> i64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections opened since the start.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Requests that were sent a second time, since the start.
    pub fn repeats(&self) -> u64 {
        self.repeats.load(Ordering::Relaxed)
    }

    /// Counts a request that is sent a second time.
    pub(super) fn repeat(&self) {
        self.repeats.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Clone)]
pub(super) struct Connector {
    https: HttpsConnector<HttpConnector>,
    within: Duration,
    protocol: Protocol,
    connections: Arc<Connections>,
}

impl Connector {
    pub(super) fn new(
        settings: &Settings,
        tls: &ClientConfig,
        protocol: Protocol,
        connections: &Arc<Connections>,
    ) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        // The time is shared among the addresses of a name, so that a dead one leaves time for the
        // next.
        http.set_connect_timeout(Some(settings.timeouts.connect));
        // hyper gives up a request only once the upstream has taken all that was written. An upstream
        // that hangs while a body is sent would hold the connection, and the client's, for ever. This
        // is longer than `send` waits after the last piece, since that has the better error.
        let given_up = settings.timeouts.response_head.saturating_mul(3);
        http.set_tcp_user_timeout(Some(given_up));
        let builder = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http();
        let builder = match &settings.tls.server_name {
            Some(name) => {
                builder.with_server_name_resolver(FixedServerNameResolver::new(name.clone()))
            }
            None => builder,
        };
        Self {
            https: match protocol {
                Protocol::Http1 => builder.enable_http1().wrap_connector(http),
                Protocol::Http2 => builder.enable_http2().wrap_connector(http),
            },
            within: settings.timeouts.connect,
            protocol,
            connections: Arc::clone(connections),
        }
    }
}

type Stream = TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = TokioIo<Counted>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Counted>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (within, connecting) = (self.within, self.https.call(uri));
        let (protocol, connections) = (self.protocol, Arc::clone(&self.connections));
        Box::pin(async move {
            let stream = tokio::time::timeout(within, connecting)
                .await
                .map_err(|_elapsed| {
                    let text = format!("no connection within {within:?} (timeouts.connect)");
                    io::Error::new(io::ErrorKind::TimedOut, text)
                })??;
            Ok(TokioIo::new(Counted::new(stream, protocol, connections)))
        })
    }
}

/// A connection that counts as open until it is dropped, and notes what it is used for.
pub(super) struct Counted {
    stream: Stream,
    connections: Arc<Connections>,
    usage: Arc<ConnectionUse>,
}

impl Counted {
    fn new(
        stream: MaybeHttpsStream<TokioIo<TcpStream>>,
        protocol: Protocol,
        connections: Arc<Connections>,
    ) -> Self {
        connections.open.fetch_add(1, Ordering::Relaxed);
        connections.opened.fetch_add(1, Ordering::Relaxed);
        Self {
            stream: TokioIo::new(stream),
            connections,
            usage: Arc::new(ConnectionUse::new(protocol)),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection for Counted {
    fn connected(&self) -> Connected {
        let connected = self.stream.inner().connected();
        connected.extra(Arc::clone(&self.usage))
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.usage.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.usage.sends();
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.usage.sends();
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
