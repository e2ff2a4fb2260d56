//! From a bound address to served connections: accepts, handshakes, picks the protocol, enforces
//! deadlines, drains.

pub(crate) mod accept;
mod connection;
mod connection_table;
pub mod drain;
mod h1_framing;
mod h2_refusals;
mod h2_stall;
mod half_close;
mod pace;
mod refusals;
mod timed_io;
mod timeouts;
pub mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};

use self::accept::Acceptor;
pub use self::connection_table::ConnectionTable;
pub(crate) use self::connection_table::{Bounds, Entered, Entry};
use self::drain::DrainWatch;
#[cfg(fuzzing)]
pub use self::h1_framing::fuzzing;
pub(crate) use self::timeouts::InFlight;
use crate::proxy::Proxy;
use crate::telemetry::log::Throttle;

/// The most connections taken over from the kernel's backlog when the drain begins: the kernel's
/// own default maximum (`net.core.somaxconn`). More can only be a flood.
const MAX_BACKLOG: usize = 4096;

/// Binds an address.
///
/// # Errors
/// When the address is in use or not local; the text names it.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// Accepts connections until the drain begins. `address` is the listener's in the config.
pub async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    proxy: Arc<Proxy>,
    table: Arc<ConnectionTable>,
    drain: DrainWatch,
) {
    let mut closing = drain.clone();
    let acceptor = Acceptor::new(listener, address, Arc::clone(proxy.metrics()));
    let gate = Gate {
        address,
        proxy,
        table,
        drain,
        throttle: Throttle::default(),
    };
    loop {
        let (stream, peer) = tokio::select! {
            accepted = acceptor.accept(None) => accepted,
            () = closing.begun() => break,
        };
        gate.admit(stream, peer).await;
    }
    for (stream, peer) in backlog(acceptor.into_listener()) {
        gate.admit(stream, peer).await;
    }
}

/// Connections in the kernel's backlog: to their clients they are open, and closing the listener
/// would reset them. Calls accept(2) directly, since tokio may not have been notified of them yet.
fn backlog(listener: TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    let listener = listener.into_std().ok();
    let next = move || {
        let (stream, peer) = listener.as_ref()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, peer))
    };
    std::iter::from_fn(next).take(MAX_BACKLOG)
}

/// What the connections of one listener share.
struct Gate {
    address: SocketAddr,
    proxy: Arc<Proxy>,
    table: Arc<ConnectionTable>,
    drain: DrainWatch,
    throttle: Throttle,
}

impl Gate {
    /// Serves a connection, if there is room for it.
    async fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let limits = self.proxy.snapshot().settings().limits;
        let bounds = Bounds {
            total: limits.connections,
            unauthenticated_per_address: limits.unauthenticated_connections_per_address,
        };
        let metrics = &self.proxy.metrics().connections;
        let Entered { entry, evicted } = self.table.enter(peer.ip(), bounds).await;
        for reason in evicted {
            metrics.evicted(reason.as_str());
            self.warn(peer, reason.text());
        }
        let Some(entry) = entry else {
            metrics.refused.inc();
            self.warn(
                peer,
                "refused a connection: limits.connections is reached, and all have requests in progress",
            );
            return;
        };
        let (proxy, drain, address) = (Arc::clone(&self.proxy), self.drain.clone(), self.address);
        tokio::spawn(async move {
            connection::serve(stream, address, &entry, proxy, drain).await;
            drop(entry);
        });
    }

    /// Logs at a limited rate: clients that open connections must not fill the log.
    fn warn(&self, peer: SocketAddr, what: &str) {
        if let Some(suppressed) = self.throttle.now() {
            tracing::warn!(listener = %self.address, client = %peer, suppressed, "{what}");
        }
    }
}

#[cfg(test)]
mod tests;
