//! `POST /-/explain`: what would become of a request, by the rules in force. Nothing is sent, and
//! neither the question nor the answer is logged: there may be a token in the one.

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

/// The longest question, in bytes.
const LONGEST: usize = 1024 * 1024;

/// How long a question may take to arrive.
const WITHIN: Duration = Duration::from_secs(10);

/// The JSON of a question; the fields are the arguments of `partywall explain`.
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
}

/// Answers a question with an [`Explanation`], both as JSON.
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
        Ok(Err(_)) => return Err(bad("the question broke off, or is longer than 1 MiB")),
        Err(_) => return Err(bad("the question did not arrive within 10 s")),
    };
    // serde's text may quote what it does not expect; only where it is, is told.
    let asked: ExplainBody = serde_json::from_slice(&body).map_err(|error| {
        bad(&format!(
            "line {}, column {}: this is no question: it is a JSON object with `query`, `request`, \
             `api`, `headers`, and `token` or `claims` and `issuer`",
            error.line(),
            error.column()
        ))
    })?;
    let snapshot = proxy.snapshot();
    let question = question(snapshot.settings(), asked).map_err(|error| bad(&error.to_string()))?;
    Ok(explain_request(&snapshot, question).await)
}

fn question(
    settings: &Settings,
    asked: ExplainBody,
) -> Result<ExplainRequest, ExplainRequestError> {
    let api = asked.api.map(|name| match name {
        ApiName::Prometheus => Api::Prometheus,
        ApiName::Tempo => Api::Tempo,
    });
    let (request, query) = (asked.request.as_deref(), asked.query.as_deref());
    let mut question = ExplainRequest::new(settings, request, query, api)?;
    for header in &asked.headers {
        question = question.with_header(header)?;
    }
    if let Some(token) = &asked.token {
        question = question.with_token(settings, token)?;
    }
    if let Some(claims) = asked.claims {
        let identity = Identity::claimed(settings, asked.issuer.as_deref(), claims)?;
        question = question.asked_by(identity);
    }
    Ok(question)
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
