//! A gRPC client as small as the protocol allows.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::percent_decode_str;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(20);

/// One call, before it is known where it goes.
#[derive(Clone, Debug)]
pub struct Call {
    /// `/package.Service/Method`.
    pub path: String,
    /// With frame heads, as sent.
    pub body: Bytes,
    pub metadata: Vec<(&'static str, String)>,
}

impl Call {
    pub fn new(path: &str, message: &impl Message) -> Self {
        Self::framed(path, frame(0, &message.encode_to_vec()))
    }

    /// With a body that has its frame heads already, or none.
    pub fn framed(path: &str, body: Bytes) -> Self {
        Self {
            path: path.to_owned(),
            body,
            metadata: Vec::new(),
        }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.metadata.push((name, value.to_owned()));
        self
    }
}

#[derive(Clone, Debug)]
pub struct CallAnswer {
    pub http_status: u16,
    pub headers: HeaderMap,
    pub messages: Vec<Bytes>,
    /// The headers themselves where there was nothing else.
    pub trailers: HeaderMap,
}

impl CallAnswer {
    /// The status code; fails when there is none.
    pub fn code(&self) -> u8 {
        let code = self.trailers.get("grpc-status");
        code.and_then(|code| code.to_str().ok()?.parse().ok())
            .unwrap_or_else(|| panic!("no grpc-status: {self:?}"))
    }

    pub fn message(&self) -> String {
        let text = self.trailers.get("grpc-message");
        let text = text.and_then(|text| text.to_str().ok()).unwrap_or_default();
        percent_decode_str(text).decode_utf8_lossy().into_owned()
    }
}

/// Calls `url` (`http://host:port`) over h2 with prior knowledge, as Grafana does.
pub async fn call(url: &str, call: &Call, token: Option<&str>) -> CallAnswer {
    tokio::time::timeout(PATIENCE, try_call(url, call, token))
        .await
        .unwrap_or_else(|_| panic!("no end of {} within {PATIENCE:?}", call.path))
        .unwrap_or_else(|cause| panic!("{}: {cause}", call.path))
}

async fn try_call(url: &str, call: &Call, token: Option<&str>) -> Result<CallAnswer, BoxError> {
    let authority = url.trim_start_matches("http://");
    try_call_by(TcpStream::connect(authority).await?, url, call, token).await
}

/// As [`call`], on a connection that is there already.
pub async fn call_by<S>(stream: S, url: &str, call: &Call, token: Option<&str>) -> CallAnswer
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::time::timeout(PATIENCE, try_call_by(stream, url, call, token))
        .await
        .unwrap_or_else(|_| panic!("no end of {} within {PATIENCE:?}", call.path))
        .unwrap_or_else(|cause| panic!("{}: {cause}", call.path))
}

async fn try_call_by<S>(
    stream: S,
    url: &str,
    call: &Call,
    token: Option<&str>,
) -> Result<CallAnswer, BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(stream);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
    let connection = tokio::spawn(connection);
    let answer = ask(&mut sender, url, call, token).await;
    connection.abort();
    answer
}

/// As [`call`], so many times on one connection, as clients keep theirs.
pub async fn call_repeatedly(
    url: &str,
    call: &Call,
    token: Option<&str>,
    times: usize,
) -> Vec<CallAnswer> {
    let calls = async {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).await?;
        let stream = TokioIo::new(stream);
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        let connection = tokio::spawn(connection);
        let mut answers = Vec::new();
        for _ in 0..times {
            answers.push(ask(&mut sender, url, call, token).await?);
        }
        connection.abort();
        Ok::<_, BoxError>(answers)
    };
    tokio::time::timeout(PATIENCE, calls)
        .await
        .unwrap_or_else(|_| panic!("no end of {} within {PATIENCE:?}", call.path))
        .unwrap_or_else(|cause| panic!("{}: {cause:?}", call.path))
}

async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    url: &str,
    call: &Call,
    token: Option<&str>,
) -> Result<CallAnswer, BoxError> {
    let mut request = Request::post(format!("{url}{}", call.path))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "grpc-go/1.80.0");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    for (name, value) in &call.metadata {
        request = request.header(*name, value);
    }
    let request = request.body(Full::<Bytes>::new(call.body.clone()))?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    Ok(CallAnswer {
        http_status: head.status.as_u16(),
        trailers: trailers.unwrap_or_else(|| head.headers.clone()),
        headers: head.headers,
        messages: unframe(body.to_bytes()),
    })
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub fn frame(flags: u8, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(flags);
    frame.put_u32(u32::try_from(message.len()).expect("a small message"));
    frame.put_slice(message);
    frame.freeze()
}

/// The messages of a body; fails when it holds anything but whole frames of plain messages.
pub fn unframe(mut body: Bytes) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while !body.is_empty() {
        assert!(body.len() >= 5, "a frame has a head: {body:?}");
        let head = body.split_to(5);
        assert_eq!(head[0], 0, "compression was not requested");
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        messages.push(body.split_to(usize::try_from(length).expect("64 bits")));
    }
    messages
}
