//! The admin listener: health, readiness, metrics, config, reload, flush. It is not the data port,
//! answers no tenant, and belongs on an address that tenants cannot reach.
//!
//! It has a thread and a runtime of its own: however busy the data port's is, probes and scrapes
//! are answered.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::runtime::{self, Handle};
use tokio::sync::{Semaphore, oneshot};

use super::{explain, flush};
use crate::app::App;
use crate::config;

/// Open connections; one too many is closed at once. Probes and scrapers need a handful.
const MAX_CONNECTIONS: usize = 64;

/// Ends the listener when it is dropped.
pub struct Running {
    _stop: oneshot::Sender<Infallible>,
}

/// Answers on a thread of its own until what it returns is dropped. Reloads run in the runtime of
/// whoever calls this: what they begin goes on there.
///
/// # Errors
/// When there can be no thread or runtime.
pub fn spawn(listener: TcpListener, app: Arc<App>) -> io::Result<Running> {
    let main = Handle::current();
    let listener = listener.into_std()?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (stop, mut stopped) = oneshot::channel();
    std::thread::Builder::new()
        .name("admin".into())
        .spawn(move || {
            runtime.block_on(async {
                match TcpListener::from_std(listener) {
                    Ok(listener) => tokio::select! {
                        () = serve(listener, app, main) => {}
                        _dropped = &mut stopped => {}
                    },
                    Err(error) => tracing::error!(%error, "cannot serve the admin address"),
                }
            });
        })?;
    Ok(Running { _stop: stop })
}

async fn serve(listener: TcpListener, app: Arc<App>, main: Handle) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok((stream, _peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(slot) = Arc::clone(&connections).try_acquire_owned() else {
            continue;
        };
        let (app, main) = (Arc::clone(&app), main.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let (app, main) = (Arc::clone(&app), main.clone());
                async move { Ok::<_, Infallible>(answer(&app, &main, request).await) }
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
            drop(slot);
        });
    }
}

async fn answer(
    app: &Arc<App>,
    main: &Handle,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
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
            let snapshot = app.proxy.snapshot();
            let issuers = snapshot.authenticator().key_status();
            let answers = snapshot.answers().map_or(0, |answers| answers.bytes());
            app.proxy.metrics().answers.bytes.set(answers);
            let metrics = app.proxy.metrics().render(&issuers, snapshot.health());
            let mut response = text(StatusCode::OK, metrics);
            let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(open_metrics));
            response
        }
        "/-/reload" if matches!(*request.method(), Method::POST | Method::PUT) => {
            let reloading = Arc::clone(app);
            let reload = main.spawn(async move { reloading.reloader.reload().await });
            let result = reload.await.unwrap_or_else(|error| Err(error.to_string()));
            match result {
                Ok(()) => text(StatusCode::OK, "config reloaded\n"),
                Err(errors) => text(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    format!("the old config stays in force:\n{errors}\n"),
                ),
            }
        }
        "/-/cache/flush" if *request.method() == Method::POST => {
            let app = Arc::clone(app);
            let query = request.uri().query().unwrap_or_default().to_owned();
            let flush = main.spawn(async move { flush::answer(&app.proxy, &query).await });
            let (status, told) = flush
                .await
                .unwrap_or_else(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")));
            text(status, told)
        }
        "/-/config" if is_get => text(StatusCode::OK, effective_config(app)),
        "/-/explain" if *request.method() == Method::POST => {
            explain::answer(&app.proxy, request).await
        }
        "/-/explain" | "/-/cache/flush" => not_allowed("POST"),
        "/-/healthy" | "/-/ready" | "/metrics" | "/-/config" => not_allowed("GET, HEAD"),
        "/-/reload" => not_allowed("POST, PUT"),
        _ => text(
            StatusCode::NOT_FOUND,
            "the admin endpoint has /-/healthy, /-/ready, /-/config, /metrics, POST /-/explain, \
             POST /-/cache/flush and POST /-/reload\n",
        ),
    }
}

/// The config in force as YAML, below comments that tell how the last load went.
fn effective_config(app: &App) -> String {
    let last = app.reloader.last();
    let at = humantime::format_rfc3339_seconds(last.at);
    let path = app.reloader.path().display();
    let mut out = format!(
        "# Partywall {}. The config in force, for reading: secrets are ***, and keys that files\n\
         # hold are not shown.\n",
        env!("CARGO_PKG_VERSION"),
    );
    // Writing to a string does not fail.
    let _ = match &last.result {
        Ok(()) => writeln!(out, "# Loaded from {path} at {at}."),
        Err(errors) => {
            let first = "the last load failed; what follows was in force before and still is";
            let lines = errors.lines().map(|line| format!("#   {line}\n"));
            let lines: String = lines.collect();
            write!(out, "# At {at} {first}:\n{lines}")
        }
    };
    let settings = Arc::clone(app.proxy.snapshot().settings());
    if app.reloader.needs_restart(&settings) {
        out.push_str(
            "# What differs from the start in listeners, admin and log waits for a restart.\n",
        );
    }
    out + &config::show(&settings)
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
