//! One client connection.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper::{Request, Version, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;

use super::activity::{Activity, Expired, Watched};
use super::drain::DrainWatch;
use crate::config::settings::Limits;
use crate::proxy::Proxy;

/// Streams one client may have open at once on an HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// Serves a connection to its end: HTTP/1.1, or HTTP/2 where the client speaks it from its first
/// byte (RFC 9113 §3.3).
pub(super) async fn serve(stream: TcpStream, proxy: Arc<Proxy>, mut drain: DrainWatch) {
    let settings = Arc::clone(proxy.snapshot().settings());
    let timeouts = settings.timeouts;
    // Answers are written whole or streamed; waiting to fill a packet only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let metrics = Arc::clone(proxy.metrics());
    metrics.connections.inc();
    let activity = Activity::new();
    let service = service_fn(|request: Request<Incoming>| {
        let in_flight = activity.request_begins(request.version() == Version::HTTP_2);
        let proxy = Arc::clone(&proxy);
        async move { Ok::<_, Infallible>(proxy.handle(request, in_flight).await) }
    });
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
    let builder = builder(&settings.limits);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut draining = false;
    loop {
        let next_check = match activity.check(&timeouts) {
            Ok(next_check) => next_check,
            Err(expired) => {
                tracing::debug!(?expired, "closing a connection");
                // A polite end where the peer may still listen; the others are gone or hostile.
                if expired == Expired::Idle {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(timeouts.header, connection.as_mut()).await;
                }
                break;
            }
        };
        tokio::select! {
            served = connection.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection ended early");
                }
                break;
            }
            () = drain.begun(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep(next_check) => {}
        }
    }
    metrics.connections.dec();
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_buf_size(limits.header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        // hyper's default of 16 KiB would refuse GETs that HTTP/1.1 lets through.
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
    builder
}
