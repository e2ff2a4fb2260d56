//! `POST /-/explain`: what would happen to a request, by the rules in force. Nothing is sent, and
//! neither the request nor the response is logged: the request may contain a token.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode, body::Incoming};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::settings::{Api, Settings};
use crate::proxy::Proxy;
use crate::proxy::explain::{
    ExplainRequest, ExplainRequestError, Explanation, Identity, explain_request,
};

/// The longest body, in bytes.
const LONGEST: usize = 1024 * 1024;

/// How long a body may take to arrive.
const WITHIN: Duration = Duration::from_secs(10);

/// The JSON body; its fields are the arguments of `partywall explain`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainBody {
    query: Option<String>,
    request: Option<String>,
    api: Option<ApiName>,
    #[serde(default)]
    headers: Vec<String>,
    token: Option<String>,
    claims: Option<Map<String, Value>>,
    issuer: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ApiName {
    Prometheus,
    Tempo,
    Alertmanager,
}

/// Responds with an [`Explanation`] as JSON.
pub(super) async fn answer(proxy: &Proxy, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match explain(proxy, request).await {
        Ok(explanation) => json(StatusCode::OK, &explanation),
        Err((status, error)) => json(status, &Problem { error }),
    }
}

#[derive(serde::Serialize)]
struct Problem {
    error: String,
}

async fn explain(
    proxy: &Proxy,
    request: Request<Incoming>,
) -> Result<Explanation, (StatusCode, String)> {
    #[expect(clippy::disallowed_methods, reason = "the operator's own, and bounded")]
    let body = Limited::new(request.into_body(), LONGEST).collect();
    let body = match tokio::time::timeout(WITHIN, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Err(bad("the body is incomplete, or longer than 1 MiB")),
        Err(_) => return Err(bad("the body did not arrive within 10 s")),
    };
    // serde's text may quote the body; so only the position is reported.
    let body: ExplainBody = serde_json::from_slice(&body).map_err(|error| {
        bad(&format!(
            "line {}, column {}: the body must be a JSON object with `query`, `request`, \
             `api`, `headers`, and `token` or `claims` and `issuer`",
            error.line(),
            error.column()
        ))
    })?;
    let snapshot = proxy.snapshot();
    let request =
        request_to_explain(snapshot.settings(), body).map_err(|error| bad(&error.to_string()))?;
    Ok(explain_request(&snapshot, request).await)
}

fn request_to_explain(
    settings: &Settings,
    body: ExplainBody,
) -> Result<ExplainRequest, ExplainRequestError> {
    let api = body.api.map(|name| match name {
        ApiName::Prometheus => Api::Prometheus,
        ApiName::Tempo => Api::Tempo,
        ApiName::Alertmanager => Api::Alertmanager,
    });
    let (line, query) = (body.request.as_deref(), body.query.as_deref());
    let mut request = ExplainRequest::new(settings, line, query, api)?;
    for header in &body.headers {
        request = request.with_header(header)?;
    }
    if let Some(token) = &body.token {
        request = request.with_token(settings, token)?;
    }
    if let Some(claims) = body.claims {
        let identity = Identity::claimed(settings, body.issuer.as_deref(), claims)?;
        request = request.asked_by(identity);
    }
    Ok(request)
}

fn bad(text: &str) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, text.to_owned())
}

fn json(status: StatusCode, body: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
