//! The demo's HTTP client.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::header::AUTHORIZATION;
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::Failure;

/// Whether a GET is answered 200.
pub(super) async fn is_ready(url: &str) -> bool {
    get(url, None)
        .await
        .is_ok_and(|(status, _)| status == StatusCode::OK)
}

pub(super) async fn get(url: &str, token: Option<&str>) -> Result<(StatusCode, String), Failure> {
    let failed = |cause: &dyn std::fmt::Display| format!("GET {url}: {cause}");
    let mut request = Request::get(url);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|cause| failed(&cause))?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client
        .request(request)
        .await
        .map_err(|cause| failed(&cause))?;
    let status = answer.status();
    #[expect(
        clippy::disallowed_methods,
        reason = "the demo's own answers are small"
    )]
    let body = answer
        .into_body()
        .collect()
        .await
        .map_err(|cause| failed(&cause))?;
    Ok((
        status,
        String::from_utf8_lossy(&body.to_bytes()).into_owned(),
    ))
}
