//! The traces of the demo: those of the Tempo at `TEMPO_URL`, or else one answer that was recorded
//! from a real Tempo and is replayed.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use super::Failure;
use super::data::TENANTS;
use super::http::get;
use super::stage::Proxy;

/// A trace with spans of two tenants, as Tempo 3 answers for it.
const RECORDED: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/tempo/trace-v2-mixed-B-root.json"
));
const RECORDED_TENANTS: [&str; 2] = ["A", "B"];
const PATH: &str = "/api/v2/traces/3";

/// Where the traces come from.
pub(super) enum Traces {
    /// The Tempo that `TEMPO_URL` names.
    Live(String),
    /// The recorded answer, at this address.
    Replayed(String),
}

impl Traces {
    /// Uses the Tempo at `TEMPO_URL`, or starts to replay.
    pub(super) async fn open() -> Result<Self, Failure> {
        if let Ok(url) = std::env::var("TEMPO_URL") {
            return Ok(Self::Live(url));
        }
        let failed = |cause| format!("cannot replay the recorded trace: {cause}");
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tokio::spawn(replay(listener));
        Ok(Self::Replayed(format!("http://{address}")))
    }

    /// The address of the store.
    pub(super) fn url(&self) -> &str {
        match self {
            Self::Live(url) | Self::Replayed(url) => url,
        }
    }

    /// Prints what each tenant sees. Fails if an answer is wrong.
    #[allow(clippy::print_stdout)] // Printing is the demo's purpose.
    pub(super) async fn show(&self, proxy: &Proxy) -> Result<(), Failure> {
        match self {
            Self::Live(url) => {
                println!("\nTraces of the Tempo at {url} (TEMPO_URL):");
                for tenant in TENANTS {
                    show_answer(proxy, tenant, "/api/search?q=%7B%7D&limit=3").await?;
                }
            }
            Self::Replayed(url) => {
                println!(
                    "\nA trace of tenants {}. It is an answer recorded from a real Tempo and \
                     replayed at {url}. (Set TEMPO_URL to use a running Tempo instead.)",
                    RECORDED_TENANTS.join(" and ")
                );
                for tenant in RECORDED_TENANTS {
                    let answer = show_answer(proxy, tenant, PATH).await?;
                    check(tenant, &answer)?;
                }
            }
        }
        Ok(())
    }
}

#[allow(clippy::print_stdout)] // Printing is the demo's purpose.
async fn show_answer(proxy: &Proxy, tenant: &str, path: &str) -> Result<String, Failure> {
    let token = proxy.token(tenant)?;
    let url = format!("{}{path}", proxy.url);
    println!("\n{tenant} sees:\n\n  curl -s '{url}' -H 'Authorization: Bearer {token}'\n");
    let (status, answer) = get(&url, Some(&token)).await?;
    println!("  {answer}");
    if status != StatusCode::OK {
        return Err(format!("expected 200, got {status}"));
    }
    Ok(answer)
}

/// The answer must have spans, and all must belong to the tenant.
fn check(tenant: &str, answer: &str) -> Result<(), Failure> {
    let json: Value =
        serde_json::from_str(answer).map_err(|cause| format!("the answer is not JSON: {cause}"))?;
    let groups = json
        .pointer("/trace/resourceSpans")
        .and_then(Value::as_array);
    let is_own = |group: &Value| {
        let attributes = group
            .pointer("/resource/attributes")
            .and_then(Value::as_array);
        attributes.into_iter().flatten().any(|attribute| {
            attribute.get("key").and_then(Value::as_str) == Some("tenant_id")
                && attribute
                    .pointer("/value/stringValue")
                    .and_then(Value::as_str)
                    == Some(tenant)
        })
    };
    match groups {
        Some(groups) if !groups.is_empty() && groups.iter().all(is_own) => Ok(()),
        _ => Err(format!("expected spans of {tenant} and of no other tenant")),
    }
}

/// Answers every request for a trace with the recorded one.
async fn replay(listener: TcpListener) {
    while let Ok((stream, _peer)) = listener.accept().await {
        let service = service_fn(async |request: Request<Incoming>| {
            let mut response = Response::new(Full::new(Bytes::from_static(RECORDED.as_bytes())));
            response.headers_mut().insert(
                CONTENT_TYPE,
                hyper::header::HeaderValue::from_static("application/json"),
            );
            if request.uri().path() != PATH {
                *response.status_mut() = StatusCode::NOT_FOUND;
            }
            Ok::<_, Infallible>(response)
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_with_foreign_or_no_spans_fails_the_check() {
        assert!(check("A", RECORDED).is_err());
        assert!(check("B", RECORDED).is_err());
        assert!(check("A", r#"{"trace":{}}"#).is_err());
    }
}
