//! gRPC calls over HTTP/2, as Grafana streams searches.

use std::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::HeaderValue;
use hyper::{Request, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::Outcome;

/// Clients on one connection.
const CLIENTS: usize = 8;

/// A call with one request message.
pub(crate) struct Call {
    /// Without a scheme and authority.
    pub(crate) path: &'static str,
    /// With its frame head.
    pub(crate) message: Bytes,
    pub(crate) token: HeaderValue,
}

/// One client's part of a connection.
pub(crate) struct Connection {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// As many as there are clients.
    pub(crate) async fn open(address: SocketAddr, clients: usize) -> Outcome<Vec<Self>> {
        let mut all = Vec::with_capacity(clients);
        for _ in 0..clients.div_ceil(CLIENTS) {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let free = clients - all.len();
            all.extend((0..CLIENTS.min(free)).map(|_| Self {
                address,
                sender: sender.clone(),
            }));
        }
        Ok(all)
    }

    /// Calls, and gives the length of the answer's messages.
    pub(crate) async fn ask(&mut self, call: &Call) -> Outcome<u64> {
        let uri = Uri::builder()
            .scheme("http")
            .authority(self.address.to_string())
            .path_and_query(call.path)
            .build()?;
        let request = Request::post(uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("user-agent", "grpc-go/1.80.0")
            .header("authorization", call.token.clone())
            .body(Full::new(call.message.clone()))?;
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().unwrap_or(&head.headers);
        let status = trailers.get("grpc-status").map(HeaderValue::as_bytes);
        if status != Some(b"0") {
            return Err(format!("answered {} {trailers:?}", head.status).into());
        }
        Ok(body.to_bytes().len() as u64)
    }
}

/// A message with its frame head.
pub(crate) fn frame(message: &[u8]) -> Outcome<Bytes> {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len().try_into()?);
    frame.put_slice(message);
    Ok(frame.freeze())
}
