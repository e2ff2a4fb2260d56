//! From a bound address to served connections: accept, shake hands, choose the protocol, keep the
//! deadlines, drain.

mod connection;
mod timeouts;
pub(crate) use timeouts::InFlight;
mod connection_limit;
pub mod drain;
mod h1_framing;
mod h2_stall;
mod half_close;
mod pace;
pub mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

pub use self::connection_limit::Slots;
use self::drain::DrainWatch;
use crate::proxy::Proxy;

/// The most that are taken over from the kernel when the drain begins: what its own default allows
/// to wait (`net.core.somaxconn`). More can only be a flood.
const MAX_BACKLOG: usize = 4096;

/// Binds an address.
///
/// # Errors
/// When the address is taken or not ours; the text names it.
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
    slots: Slots,
    drain: DrainWatch,
) {
    let mut closing = drain.clone();
    let admit = |stream| admit(stream, address, &proxy, &slots, &drain);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closing.begun() => break,
        };
        match accepted {
            Ok((stream, _peer)) => admit(stream),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of file descriptors, mostly: without a pause this loop would spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    for stream in backlog(listener) {
        admit(stream);
    }
}

/// Connections that the kernel has taken and we have not: to their clients they are open, and
/// closing the listener would reset them. Asks the kernel itself, since tokio may not have heard
/// of them yet.
fn backlog(listener: TcpListener) -> impl Iterator<Item = TcpStream> {
    let listener = listener.into_std().ok();
    let next = move || {
        let (stream, _peer) = listener.as_ref()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        TcpStream::from_std(stream).ok()
    };
    std::iter::from_fn(next).take(MAX_BACKLOG)
}

/// Serves a connection, if it is not one too many.
fn admit(
    stream: TcpStream,
    address: SocketAddr,
    proxy: &Arc<Proxy>,
    slots: &Slots,
    drain: &DrainWatch,
) {
    let limit = proxy.snapshot().settings().limits.connections;
    let Some(slot) = slots.take(limit) else {
        proxy.metrics().connections_refused.inc();
        return;
    };
    let (proxy, drain) = (Arc::clone(proxy), drain.clone());
    tokio::spawn(async move {
        connection::serve(stream, address, proxy, drain).await;
        drop(slot);
    });
}

#[cfg(test)]
mod tests;
