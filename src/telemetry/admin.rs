//! The admin listener: health, readiness, metrics, reload. It is not the data port, answers no
//! tenant, and belongs on an address that tenants cannot reach.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::explain;
use crate::app::App;

/// Answers until the task is aborted.
pub async fn serve(listener: TcpListener, app: Arc<App>) {
    loop {
        let Ok((stream, _peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let app = Arc::clone(&app);
                async move { Ok::<_, Infallible>(answer(&app, request).await) }
            });
            // Health checks and scrapes come with pauses; a minute covers the usual ones.
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_mins(1))
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "an admin connection ended early");
            }
        });
    }
}

async fn answer(app: &App, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    match request.uri().path() {
        "/-/healthy" if is_get => text(StatusCode::OK, "healthy\n"),
        "/-/ready" if is_get => match app.not_ready() {
            None => text(StatusCode::OK, "ready\n"),
            Some(why) => text(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("not ready: {why}\n"),
            ),
        },
        "/metrics" if is_get => {
            let issuers = app.proxy.snapshot().authenticator().key_status();
            let mut response = text(StatusCode::OK, app.proxy.metrics().render(&issuers));
            let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(open_metrics));
            response
        }
        "/-/reload" if matches!(*request.method(), Method::POST | Method::PUT) => {
            match app.reloader.reload().await {
                Ok(()) => text(StatusCode::OK, "config reloaded\n"),
                Err(errors) => text(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    format!("the old config stays in force:\n{errors}\n"),
                ),
            }
        }
        "/-/explain" if *request.method() == Method::POST => {
            explain::answer(&app.proxy, request).await
        }
        "/-/explain" => not_allowed("POST"),
        "/-/healthy" | "/-/ready" | "/metrics" => not_allowed("GET, HEAD"),
        "/-/reload" => not_allowed("POST, PUT"),
        _ => text(
            StatusCode::NOT_FOUND,
            "the admin endpoint has /-/healthy, /-/ready, /metrics, POST /-/explain and POST \
             /-/reload\n",
        ),
    }
}

fn not_allowed(allow: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("this endpoint answers {allow} only\n"),
    );
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
