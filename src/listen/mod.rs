//! From a bound address to served connections: accept, choose the protocol, keep the deadlines,
//! drain.

mod activity;
mod connection;
pub(crate) use activity::InFlight;
pub mod drain;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use self::drain::DrainWatch;
use crate::proxy::Proxy;

/// Binds an address.
///
/// # Errors
/// When the address is taken or not ours; the text names it.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// Accepts connections until the drain begins.
pub async fn serve(
    listener: TcpListener,
    proxy: Arc<Proxy>,
    slots: Arc<Semaphore>,
    drain: DrainWatch,
) {
    let mut closing = drain.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closing.begun() => return,
        };
        let stream = match accepted {
            Ok((stream, _peer)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of file descriptors, mostly: without a pause this loop would spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            proxy.metrics().connections_refused.inc();
            continue;
        };
        let (proxy, drain) = (Arc::clone(&proxy), drain.clone());
        tokio::spawn(async move {
            connection::serve(stream, proxy, drain).await;
            drop(slot);
        });
    }
}
