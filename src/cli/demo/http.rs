//! The demo's HTTP client.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Failure;

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) text: String,
    #[cfg(test)]
    pub(super) body: Bytes,
}

/// What is sent, and by which method.
pub(super) enum Body {
    /// By GET, asking for this media type.
    Nothing(&'static str),
    /// By POST.
    Json(String),
}

/// The URL with parameters.
pub(super) fn with_query(url: &str, params: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| {
        format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
    };
    let pairs: Vec<String> = params.iter().map(pair).collect();
    if pairs.is_empty() {
        url.to_owned()
    } else {
        format!("{url}?{}", pairs.join("&"))
    }
}

pub(super) async fn get(url: &str, token: Option<&str>) -> Result<Answer, Failure> {
    send(url, token, Body::Nothing("application/json")).await
}

pub(super) async fn send(url: &str, token: Option<&str>, body: Body) -> Result<Answer, Failure> {
    let failed = |cause: &dyn std::fmt::Display| format!("{url}: {cause}");
    let mut request = match &body {
        Body::Nothing(accept) => Request::get(url).header(ACCEPT, *accept),
        Body::Json(_) => Request::post(url).header(CONTENT_TYPE, "application/json"),
    };
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = match body {
        Body::Nothing(_) => Bytes::new(),
        Body::Json(text) => text.into(),
    };
    let request = request
        .body(Full::new(body))
        .map_err(|cause| failed(&cause))?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client
        .request(request)
        .await
        .map_err(|cause| failed(&cause))?;
    let status = answer.status();
    let body = answer
        .into_body()
        .collect()
        .await
        .map_err(|cause| failed(&cause))?
        .to_bytes();
    Ok(Answer {
        status,
        text: String::from_utf8_lossy(&body).into_owned(),
        #[cfg(test)]
        body,
    })
}
