//! What every proxy of hyper costs: hyper's server, hyper-util's pooled client, two workers, and
//! nothing in between.

use std::env;
use std::net::SocketAddr;
use std::process::Command;

use hyper::body::Incoming;
use hyper::http::uri::{Authority, Scheme};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use crate::Outcome;

const FLAG: &str = "--bare-proxy";

type Pool = Client<HttpConnector, Incoming>;

/// Where it listens, and where it sends.
pub(crate) struct Addresses {
    pub(crate) http1: SocketAddr,
    /// With prior knowledge.
    pub(crate) http2: SocketAddr,
    pub(crate) upstream: SocketAddr,
}

impl Addresses {
    /// Runs this bench again, as the proxy alone.
    pub(crate) fn command(&self) -> Outcome<Command> {
        let mut command = Command::new(env::current_exe()?);
        command.arg(FLAG);
        for address in [self.http1, self.http2, self.upstream] {
            command.arg(address.to_string());
        }
        Ok(command)
    }

    /// In such a process.
    pub(crate) fn asked_for() -> Outcome<Option<Self>> {
        let mut arguments = env::args().skip_while(|argument| argument != FLAG);
        if arguments.next().is_none() {
            return Ok(None);
        }
        let mut next = || arguments.next().ok_or("an address is missing");
        Ok(Some(Self {
            http1: next()?.parse()?,
            http2: next()?.parse()?,
            upstream: next()?.parse()?,
        }))
    }
}

/// Runs until it is killed.
pub(crate) fn run(addresses: &Addresses) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let upstream: Authority = addresses.upstream.to_string().parse()?;
        tokio::try_join!(
            accept(addresses.http1, upstream.clone(), false),
            accept(addresses.http2, upstream, true),
        )?;
        Ok(())
    })
}

async fn accept(address: SocketAddr, upstream: Authority, http2: bool) -> Outcome<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let pool: Pool = Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .set_host(false)
        .build(connector);
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (pool, upstream) = (pool.clone(), upstream.clone());
        tokio::spawn(async move {
            // A load whose connection breaks says so itself.
            let _ = serve(stream, http2, &pool, &upstream).await;
        });
    }
}

async fn serve(
    stream: TcpStream,
    http2: bool,
    pool: &Pool,
    upstream: &Authority,
) -> Result<(), hyper::Error> {
    let stream = TokioIo::new(stream);
    if http2 {
        let (pool, upstream) = (pool.clone(), upstream.clone());
        let service = service_fn(move |request| {
            let (pool, upstream) = (pool.clone(), upstream.clone());
            async move { forward(request, &pool, &upstream).await }
        });
        return hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(stream, service)
            .await;
    }
    let service = service_fn(|request| forward(request, pool, upstream));
    hyper::server::conn::http1::Builder::new()
        .serve_connection(stream, service)
        .await
}

async fn forward(
    mut request: Request<Incoming>,
    pool: &Pool,
    upstream: &Authority,
) -> Result<Response<Incoming>, legacy::Error> {
    let mut uri = std::mem::take(request.uri_mut()).into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(upstream.clone());
    // Without an address, the client refuses it.
    *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
    pool.request(request).await
}
