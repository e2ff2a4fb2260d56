//! The store behind the proxies: it answers at once, with what it was told.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::Outcome;
use crate::message::Messages;

/// What it answers.
#[derive(Clone)]
pub(crate) enum Reply {
    /// To every HTTP/1.1 request.
    Http1(Http1Reply),
    /// To every gRPC call, messages with their frame heads; and to the HTTP/1.1 requests that a
    /// proxy makes of its own.
    Grpc(Arc<[Bytes]>, Http1Reply),
}

/// A whole HTTP/1.1 answer.
#[derive(Clone)]
pub(crate) struct Http1Reply {
    head: Bytes,
    body: Bytes,
}

impl Http1Reply {
    pub(crate) fn new(content_type: &str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\
             Date: Sat, 21 Nov 2026 08:15:45 GMT\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let is_small = body.len() <= 64 * 1024;
        let (head, body) = if is_small {
            ([head.as_bytes(), &body].concat().into(), Bytes::new())
        } else {
            (head.into(), body)
        };
        Self { head, body }
    }

    async fn write(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(&self.head).await?;
        stream.write_all(&self.body).await
    }
}

/// Runs on a thread of its own until the process ends.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    reply: Arc<ArcSwap<Reply>>,
}

impl Upstream {
    pub(crate) fn start() -> Outcome<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let nothing = Reply::Http1(Http1Reply::new("text/plain", ""));
        let reply = Arc::new(ArcSwap::from_pointee(nothing));
        let replies = Arc::clone(&reply);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::spawn(move || runtime.block_on(accept(listener, replies)));
        Ok(Self { address, reply })
    }

    /// From now on.
    pub(crate) fn answer(&self, reply: Reply) {
        self.reply.store(Arc::new(reply));
    }
}

async fn accept(listener: std::net::TcpListener, reply: Arc<ArcSwap<Reply>>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let reply = Arc::clone(&reply);
        tokio::spawn(async move {
            // A proxy that hangs up is its own affair; a load that gets no answer says so.
            let _ = serve(stream, reply).await;
        });
    }
}

/// In tasks.
type Served<T> = Result<T, Box<dyn Error + Send + Sync>>;

async fn serve(mut stream: TcpStream, reply: Arc<ArcSwap<Reply>>) -> Served<()> {
    stream.set_nodelay(true)?;
    let mut first = [0; 3];
    stream.peek(&mut first).await?;
    if first == *b"PRI" {
        let service = service_fn(move |request| call(request, Arc::clone(&reply)));
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(1000)
            .serve_connection(TokioIo::new(stream), service)
            .await?;
        return Ok(());
    }
    let mut requests = Messages::new(64 * 1024);
    while requests.next(&mut stream).await?.is_some() {
        match &**reply.load() {
            Reply::Http1(reply) | Reply::Grpc(_, reply) => reply.write(&mut stream).await?,
        }
    }
    Ok(())
}

async fn call(
    request: Request<Incoming>,
    reply: Arc<ArcSwap<Reply>>,
) -> Served<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>> {
    request.into_body().collect().await?;
    let messages = match &**reply.load() {
        Reply::Grpc(messages, _) => Arc::clone(messages),
        Reply::Http1(_) => return Err("nothing to answer a gRPC call with".into()),
    };
    let trailers = HeaderMap::from_iter([("grpc-status".parse()?, "0".parse()?)]);
    let count = messages.len();
    let frames = (0..count)
        .filter_map(move |place| messages.get(place).cloned().map(Frame::data))
        .chain([Frame::trailers(trailers)])
        .map(Ok);
    let mut response = Response::new(StreamBody::new(stream::iter(frames)));
    let content_type = "application/grpc".parse()?;
    response.headers_mut().insert("content-type", content_type);
    Ok(response)
}
