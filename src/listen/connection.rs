//! One client connection.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Version, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;

use super::activity::{Activity, Expired, Watched};
use super::drain::DrainWatch;
use super::framing::Framed;
use super::unread::{Read, Streams};
use crate::config::settings::{Limits, Timeouts};
use crate::proxy::Proxy;

/// Streams one client may have open at once on an HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// How long a drain lets HTTP/1.1 clients finish saying what they had begun to say.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection to its end: HTTP/1.1, or HTTP/2 where the client speaks it from its first
/// byte (RFC 9113 §3.3).
pub(super) async fn serve(stream: TcpStream, proxy: Arc<Proxy>, drain: DrainWatch) {
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
        let is_multiplexed = request.version() == Version::HTTP_2;
        let in_flight = activity.request_begins(is_multiplexed);
        let (proxy, drain) = (Arc::clone(&proxy), drain.clone());
        async move {
            let mut response = proxy.handle(request, in_flight).await;
            if drain.has_begun() && !is_multiplexed {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(response.map(Read::new))
        }
    });
    let watched = Watched::new(stream, Arc::clone(&activity));
    let io = TokioIo::new(Framed::new(watched));
    let builder = builder(&settings.limits, &timeouts);
    let mut connection = pin!(builder.serve_connection(io, service));
    let farewell = FAREWELL.min(settings.drain.max / 2);
    let mut leaving = pin!(leaving(drain.clone(), &activity, farewell));
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
            // What has been received is served, even if the drain begins.
            biased;
            served = connection.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection ended early");
                }
                break;
            }
            () = leaving.as_mut(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep(next_check) => {}
        }
    }
    metrics.connections.dec();
}

/// Returns when a draining connection is to take no more requests. HTTP/2 can say so without
/// losing one (RFC 9113 §6.8). HTTP/1.1 can say so only with an answer; a client that is about to
/// ask gets the time to, and its answer says `close`.
async fn leaving(mut drain: DrainWatch, activity: &Activity, farewell: Duration) {
    drain.begun().await;
    if !activity.is_multiplexed() {
        tokio::time::sleep(farewell).await;
    }
}

fn builder(limits: &Limits, timeouts: &Timeouts) -> Builder<Streams> {
    let mut builder = Builder::new(Streams {
        unread_at_most: timeouts.body_idle,
    });
    builder
        .http1()
        .timer(TokioTimer::new())
        // hyper's own, of 30 s, would end idle connections too. `Activity` knows the difference.
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        // hyper's default of 16 KiB would refuse GETs that HTTP/1.1 lets through.
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
    builder
}
