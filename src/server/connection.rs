//! One client connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONNECTION, EXPECT, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, Version, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::connection_table::Entry;
use super::drain::DrainWatch;
use super::h1_framing::Framed;
use super::h2_refusals::AnsweredH2;
use super::h2_stall::{Streams, WatchedBody};
use super::half_close::HalfClose;
use super::pace::ReadingLimits;
use super::refusals::Refusals;
use super::timed_io::TimedIo;
use super::timeouts::{ConnectionState, Expired};
use super::tls::{HandshakeError, Protocol, Tls};
use crate::body::{ReceivedBody, ResponseBody};
use crate::config::settings::Settings;
use crate::proxy::{Ends, Proxy};

/// A client needs at least this many connections to have as many streams as there are permits.
const CONNECTIONS_FOR_ALL_PERMITS: usize = 8;

/// How many streams one HTTP/2 connection may have open at once. A gateway that sends the requests
/// of all its clients on one connection needs some, however few permits there are.
const STREAMS_PER_CONNECTION: RangeInclusive<usize> = 16..=256;

/// How long HTTP/1.1 clients have, once a drain begins, to finish sending a request.
const H1_DRAIN_GRACE: Duration = Duration::from_secs(1);

/// Serves a connection to its end, with TLS if its listener is configured so.
pub(super) async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    entry: &Entry,
    proxy: Arc<Proxy>,
    drain: DrainWatch,
) {
    // Responses are written whole or streamed; waiting to fill a packet only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let metrics = Arc::clone(proxy.metrics());
    metrics.connections.open.inc();
    let snapshot = proxy.snapshot();
    let settings = Arc::clone(snapshot.settings());
    let tls = snapshot.tls().get(address);
    drop(snapshot);
    let (activity, client) = (Arc::clone(entry.activity()), stream.peer_addr().ok());
    let refusals = Refusals::new(Arc::clone(&proxy), Arc::clone(&activity), client);
    let connection = Connection {
        activity,
        ends: Ends {
            listener: address,
            client,
        },
        settings,
        proxy,
        refusals: Arc::new(refusals),
        drain,
    };
    match tls {
        None => connection.plain(stream).await,
        Some(tls) => connection.tls(stream, &tls).await,
    }
    metrics.connections.open.dec();
}

/// `SETTINGS_MAX_CONCURRENT_STREAMS` (RFC 9113 §6.5.2) for this many permits.
fn max_streams(permits: usize) -> u32 {
    let share = permits / CONNECTIONS_FOR_ALL_PERMITS;
    let streams = share.clamp(
        *STREAMS_PER_CONNECTION.start(),
        *STREAMS_PER_CONNECTION.end(),
    );
    u32::try_from(streams).unwrap_or(u32::MAX)
}

struct Connection {
    /// As they were when the connection was accepted.
    settings: Arc<Settings>,
    activity: Arc<ConnectionState>,
    ends: Ends,
    proxy: Arc<Proxy>,
    refusals: Arc<Refusals>,
    drain: DrainWatch,
}

impl Connection {
    /// HTTP/1.1, or HTTP/2 where the client sends its preface first (RFC 9113 §3.3).
    async fn plain(&self, stream: TcpStream) {
        let stream = TimedIo::new(stream, Arc::clone(&self.activity));
        let stream = Framed::new(stream, &self.activity, Some(&self.refusals));
        let stream = HalfClose::new(stream, Arc::clone(&self.activity));
        let leaving = pin!(self.leaving());
        self.http(stream, self.builder(), leaving).await;
    }

    /// The protocol that ALPN agreed on, and nothing else.
    async fn tls(&self, stream: TcpStream, tls: &Tls) {
        let mut leaving = pin!(self.leaving());
        let handshake = tokio::select! {
            handshake = tls.accept(stream, &self.activity) => handshake,
            () = tokio::time::sleep(self.settings.timeouts.first_request) => Err(HandshakeError::Timeout),
            () = leaving.as_mut() => Err(HandshakeError::Timeout),
            () = self.activity.evicted() => Err(HandshakeError::Evicted),
        };
        let result = handshake
            .as_ref()
            .map_or_else(HandshakeError::result, |_| "ok");
        self.proxy.metrics().tls.handshake(result);
        match handshake {
            Ok((stream, Protocol::Http1)) => {
                let stream = Framed::new(stream, &self.activity, Some(&self.refusals));
                self.http(stream, self.builder().http1_only(), leaving)
                    .await;
            }
            Ok((stream, Protocol::Http2)) => {
                self.http(stream, self.builder().http2_only(), leaving)
                    .await;
            }
            Err(error) => tracing::debug!(%error, "the TLS handshake failed"),
        }
    }

    /// Serves requests until one side closes the connection, a deadline passes, or the drain ends
    /// it.
    async fn http<S>(
        &self,
        stream: S,
        builder: Builder<Streams>,
        mut leaving: Pin<&mut impl Future<Output = ()>>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let timeouts = self.settings.timeouts;
        let reading = self.reading_limits();
        let service = service_fn(|request| self.answer(request));
        let stream = AnsweredH2::new(stream, Arc::clone(&self.refusals));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut draining = false;
        loop {
            let next_check = match self.activity.check(&timeouts, &reading) {
                Ok(next_check) => next_check,
                Err(expired) => {
                    tracing::debug!(?expired, "closing a connection");
                    if let Expired::TooSlow(why) = expired {
                        self.proxy.metrics().answer_was_cut(why.name());
                    }
                    // A graceful shutdown only where the peer may still read; the others are gone
                    // or hostile.
                    if expired == Expired::Idle {
                        connection.as_mut().graceful_shutdown();
                        tokio::select! {
                            _ = connection.as_mut() => {}
                            () = tokio::time::sleep(timeouts.header) => {}
                            () = self.activity.evicted() => {}
                        }
                    }
                    return;
                }
            };
            tokio::select! {
                // What has been received is served, even if the drain begins.
                biased;
                served = connection.as_mut() => {
                    if let Err(error) = served {
                        tracing::debug!(%error, "a connection ended early");
                        if let Some(error) = error.downcast_ref::<hyper::Error>() {
                            self.refusals.connection_ended(error);
                        }
                    }
                    return;
                }
                () = leaving.as_mut(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                // No graceful shutdown here: a new connection waits for this one's descriptor.
                () = self.activity.evicted() => return,
                () = tokio::time::sleep(next_check) => {}
            }
        }
    }

    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<WatchedBody<ResponseBody>>, Infallible>> + use<> {
        let version = request.version();
        let is_multiplexed = version == Version::HTTP_2;
        let in_flight = self.activity.request_begins(version);
        let (proxy, drain) = (Arc::clone(&self.proxy), self.drain.clone());
        let (ends, refusals) = (self.ends, Arc::clone(&self.refusals));
        let awaits_continue = request.headers().contains_key(EXPECT);
        let (parts, incoming) = request.into_parts();
        let (body, rest) = if is_multiplexed {
            (ReceivedBody::new(incoming), None)
        } else {
            ReceivedBody::with_rest(incoming)
        };
        let request = Request::from_parts(parts, body);
        async move {
            let mut response = proxy.handle(request, in_flight, ends).await;
            let is_reusable = match rest {
                Some(rest) => rest.discard(awaits_continue).await,
                None => true,
            };
            if !is_multiplexed && (!is_reusable || drain.has_begun()) {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            if !is_multiplexed {
                refusals.expect(&response);
            }
            Ok(response.map(|body| WatchedBody::new(body, is_multiplexed)))
        }
    }

    /// Returns when a draining connection is to accept no more requests. HTTP/2 can announce that
    /// without losing one (RFC 9113 §6.8). HTTP/1.1 can announce it only in a response: a client
    /// that is about to send a request has [`H1_DRAIN_GRACE`] to do so, and gets `Connection:
    /// close` with the response.
    async fn leaving(&self) {
        self.drain.clone().begun().await;
        if !self.activity.is_multiplexed() {
            tokio::time::sleep(H1_DRAIN_GRACE.min(self.settings.drain.max / 2)).await;
        }
    }

    fn reading_limits(&self) -> ReadingLimits {
        ReadingLimits {
            stall: self.settings.timeouts.body_idle,
            min_rate: self.settings.limits.answer_bytes_per_second,
        }
    }

    fn builder(&self) -> Builder<Streams> {
        let limits = &self.settings.limits;
        let mut builder = Builder::new(Streams {
            limits: self.reading_limits(),
            metrics: Arc::clone(self.proxy.metrics()),
        });
        builder
            .http1()
            .timer(TokioTimer::new())
            // hyper's own, of 30 s, would close idle connections too; `ConnectionState`
            // distinguishes the two.
            .header_read_timeout(None)
            .max_buf_size(limits.header_bytes);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(max_streams(limits.requests))
            // hyper's default of 16 KiB would refuse GETs that are accepted over HTTP/1.1.
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
        builder
    }
}
