//! One request to an upstream, bounded in time and size, with the proxy's own client.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, TE,
};
use hyper::{Method, Request, StatusCode, Version};
use serde_json::Value;

use crate::body::RequestBody;
use crate::grpc::frame;
use crate::prometheus::form::Form;
use crate::upstream::{Repeat, Upstream, UpstreamError};

/// The longest answer that is read.
const LONGEST_ANSWER: usize = 32 * 1024 * 1024;

/// Sends requests to one upstream.
pub(super) struct Probe<'a> {
    upstream: &'a Upstream,
    token: Option<HeaderValue>,
    within: Duration,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// How far the upstream's clock is ahead of ours, in seconds.
    pub(super) ahead: Option<i64>,
    /// The header by which a cache in between shows itself.
    pub(super) cache: Option<String>,
    body: Bytes,
    trailers: HeaderMap,
}

impl<'a> Probe<'a> {
    /// `token` is sent if the upstream has `forward_token`.
    pub(super) fn new(upstream: &'a Upstream, token: Option<&str>, within: Duration) -> Self {
        let token = token.filter(|_| upstream.forwards_token());
        let token = token.and_then(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self {
            upstream,
            token,
            within,
        }
    }

    /// Whether the upstream is shown the caller's own token.
    pub(super) fn forwards_token(&self) -> bool {
        self.upstream.forwards_token()
    }

    pub(super) async fn get(&self, path: &str, params: &[(&str, &str)]) -> Result<Answer, String> {
        self.get_with(path, params, HeaderMap::new()).await
    }

    pub(super) async fn get_with(
        &self,
        path: &str,
        params: &[(&str, &str)],
        headers: HeaderMap,
    ) -> Result<Answer, String> {
        let mut form = Form::default();
        for (name, value) in params {
            form.push(*name, *value);
        }
        let target = if form.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", form.encode())
        };
        let uri = self.upstream.uri(&target).map_err(|e| e.to_string())?;
        let mut request = Request::new(RequestBody::Empty);
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, json);
        self.send(request).await
    }

    /// A gRPC call with an empty message.
    pub(super) async fn call(
        &self,
        path: &'static str,
        headers: HeaderMap,
    ) -> Result<Answer, String> {
        let uri = self.upstream.grpc_uri(path).map_err(|e| e.to_string())?;
        let message = frame::encode(&[]).unwrap_or_default();
        let mut request = Request::new(RequestBody::Whole(Some(message)));
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let grpc = HeaderValue::from_static("application/grpc");
        request.headers_mut().insert(CONTENT_TYPE, grpc);
        let trailers = HeaderValue::from_static("trailers");
        request.headers_mut().insert(TE, trailers);
        self.send(request).await
    }

    async fn send(&self, request: Request<RequestBody>) -> Result<Answer, String> {
        match tokio::time::timeout(self.within, Box::pin(self.exchange(request))).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {:?}", self.within)),
        }
    }

    async fn exchange(&self, mut request: Request<RequestBody>) -> Result<Answer, String> {
        self.upstream.sign(request.headers_mut());
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        if request.version() == Version::HTTP_2 {
            // HTTP/2 has `:authority` instead.
            request.headers_mut().remove(hyper::header::HOST);
        }
        let started = SystemTime::now();
        let answer = self.upstream.send(request, Repeat::Once).await;
        let answer = answer.map_err(|error| match error {
            UpstreamError::Unreachable(cause) => with_causes(&cause),
            timeout @ UpstreamError::Timeout(_) => timeout.to_string(),
        })?;
        let (parts, body) = answer.into_parts();
        let ahead = ahead(&parts.headers, started);
        let cache = cache(&parts.headers);
        #[expect(
            clippy::disallowed_methods,
            reason = "bounded, and outside the proxy's byte budget"
        )]
        let buffered = Limited::new(body, LONGEST_ANSWER).collect();
        let body = buffered.await.map_err(|error| with_causes(&*error))?;
        // A gRPC answer without a body has its trailers among the headers.
        let trailers = body.trailers().cloned().unwrap_or(parts.headers);
        Ok(Answer {
            status: parts.status,
            ahead,
            cache,
            trailers,
            body: body.to_bytes(),
        })
    }
}

impl Answer {
    /// The body, if the status is 200 and the body is JSON.
    pub(super) fn json(&self) -> Result<Value, String> {
        let json = serde_json::from_slice::<Value>(&self.body);
        if self.status != StatusCode::OK {
            return Err(match json {
                Ok(json) if at(&json, "/error").is_string() => {
                    format!("answered {}: {}", self.status, excerpt(at(&json, "/error")))
                }
                _ => format!("answered {}", self.status),
            });
        }
        json.map_err(|_| "the answer is not JSON".to_owned())
    }

    /// The gRPC status code, if this is a gRPC answer.
    pub(super) fn grpc_status(&self) -> Option<u8> {
        const NAME: HeaderName = HeaderName::from_static("grpc-status");
        self.trailers.get(&NAME)?.to_str().ok()?.parse().ok()
    }

    /// Whether the upstream refused our credentials.
    pub(super) fn is_denied(&self) -> bool {
        matches!(
            self.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        )
    }

    /// Whether the body contains a text.
    pub(super) fn contains(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(text)
    }
}

/// The value at a JSON pointer (RFC 6901); null if there is none.
pub(super) fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn excerpt(text: &Value) -> String {
    let text = text.as_str().unwrap_or_default();
    text.chars().take(200).collect()
}

/// `Age` (RFC 9111 §5.1), or what older caches say.
fn cache(headers: &HeaderMap) -> Option<String> {
    ["age", "x-cache"].iter().find_map(|name| {
        let value = headers.get(*name)?.to_str().ok()?;
        let value: String = value.chars().take(40).collect();
        Some(format!("{name}: {value}"))
    })
}

/// How far the clock of the `Date` header (RFC 9110 §6.6.1, whole seconds) is ahead of ours.
fn ahead(headers: &HeaderMap, started: SystemTime) -> Option<i64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let there = httpdate::parse_http_date(date).ok()?;
    let seconds = |earlier: SystemTime, later: SystemTime| {
        let between = later.duration_since(earlier).ok()?;
        i64::try_from(between.as_secs()).ok()
    };
    let ended = SystemTime::now();
    match (seconds(ended, there), seconds(there, started)) {
        (Some(ahead), _) => Some(ahead),
        (None, Some(behind)) => Some(-behind),
        // Between the request and its answer.
        (None, None) => Some(0),
    }
}

/// The text of an error with all its causes: hyper's own text alone says little.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
