//! The admin listener: health, readiness, metrics, config, reload, flush, the API reference. It is
//! not the data port, serves no tenants, and belongs on an address that tenants cannot reach.
//!
//! It has a thread and a runtime of its own: probes and scrapes are answered however busy the data
//! port is.

pub mod api_docs;
pub mod endpoints;
mod explain;
mod flush;
mod gate;
mod metrics;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

use self::endpoints::Endpoint;
use crate::app::{App, descriptors};
use crate::config;
use crate::server::accept::{Acceptor, Spare};
use crate::server::{Bounds, ConnectionTable, Entered, Entry};

/// How long a connection may be idle, and how long a request's headers may take. Health checks and
/// scrapes come at intervals; a minute covers the usual ones.
const IDLE: Duration = Duration::from_mins(1);

/// Stops the listener when it is dropped.
pub struct Running {
    _stop: oneshot::Sender<Infallible>,
}

/// Serves `address` (as in the config) on a thread of its own until the returned value is dropped.
/// Reloads run in the caller's runtime, where the tasks that they start continue.
///
/// # Errors
/// When the thread or the runtime cannot be created.
pub fn spawn(listener: TcpListener, address: SocketAddr, app: Arc<App>) -> io::Result<Running> {
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
                        () = serve(listener, address, app, main) => {}
                        _dropped = &mut stopped => {}
                    },
                    Err(error) => tracing::error!(%error, "cannot serve the admin address"),
                }
            });
        })?;
    Ok(Running { _stop: stop })
}

async fn serve(listener: TcpListener, address: SocketAddr, app: Arc<App>, main: Handle) {
    let table = Arc::new(ConnectionTable::default());
    let spare = Arc::new(Spare::new(descriptors::ADMIN_SPARE));
    let acceptor = Acceptor::new(listener, address, Arc::clone(app.proxy.metrics()));
    // There are no tokens here, so all connections are alike.
    let bounds = Bounds {
        total: descriptors::ADMIN_CONNECTIONS,
        unauthenticated_per_address: None,
    };
    loop {
        let (stream, peer) = acceptor.accept(Some(&spare)).await;
        let Entered { entry, .. } = table.enter(peer.ip(), bounds).await;
        let Some(entry) = entry else {
            continue;
        };
        let (app, main, spare) = (Arc::clone(&app), main.clone(), Arc::clone(&spare));
        tokio::spawn(async move {
            connection(stream, &entry, &app, &main).await;
            // If a descriptor was given up for this connection, it is free again.
            spare.refill();
            drop(entry);
        });
    }
}

async fn connection(stream: TcpStream, entry: &Entry, app: &Arc<App>, main: &Handle) {
    let service = service_fn(|request| {
        let (app, main, busy) = (Arc::clone(app), main.clone(), entry.begin_request());
        async move {
            let response = answer(&app, &main, request).await;
            drop(busy);
            Ok::<_, Infallible>(response)
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::debug!(%error, "an admin connection ended early");
        },
        () = entry.evicted() => tracing::debug!("an admin connection made room for another"),
    }
}

async fn answer(
    app: &Arc<App>,
    main: &Handle,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let checked = gate::check(&request, &app.proxy.snapshot().settings().admin.hosts);
    let mut response = match checked {
        Ok(()) => dispatch(app, main, request).await,
        Err(refused) => {
            if let Some(suppressed) = app.admin_refusals.now() {
                let header = |name| request.headers().get(name).map(HeaderValue::as_bytes);
                let header = |name| header(name).unwrap_or_default().escape_ascii().to_string();
                let (host, origin) = (header(HOST), header(ORIGIN));
                tracing::warn!(
                    host,
                    origin,
                    suppressed,
                    "refused by the admin address: {}",
                    refused.text().trim_end()
                );
            }
            text(refused.status(), refused.text())
        }
    };
    // No response is a script or a style for a page that embeds it.
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn dispatch(
    app: &Arc<App>,
    main: &Handle,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let Some(endpoint) = Endpoint::of_path(request.uri().path()) else {
        return text(StatusCode::NOT_FOUND, Endpoint::listed());
    };
    if !endpoint.methods().contains(&request.method().as_str()) {
        return not_allowed(endpoint.methods());
    }
    if !endpoint.methods().contains(&"GET")
        && let Err(refused) = gate::check_json(request.headers())
    {
        return text(refused.status(), refused.text());
    }
    match endpoint {
        Endpoint::Healthy => text(StatusCode::OK, "healthy\n"),
        Endpoint::Ready => match app.not_ready() {
            None => {
                let ready = ["ready".to_owned()].into_iter().chain(app.ready_notes());
                let said: Vec<String> = ready.collect();
                text(StatusCode::OK, said.join("; ") + "\n")
            }
            Some(why) => text(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("not ready: {why}\n"),
            ),
        },
        Endpoint::Metrics => {
            let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            typed(
                open_metrics,
                metrics::exposition(&app.proxy, app.connections.unauthenticated()),
            )
        }
        Endpoint::Reload => {
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
        Endpoint::Config => text(StatusCode::OK, effective_config(app)),
        Endpoint::Explain => explain::answer(&app.proxy, request).await,
        Endpoint::Flush => {
            let app = Arc::clone(app);
            let query = request.uri().query().unwrap_or_default().to_owned();
            let flush = main.spawn(async move { flush::answer(&app.proxy, &query).await });
            let (status, told) = flush
                .await
                .unwrap_or_else(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")));
            text(status, told)
        }
        Endpoint::Reference => reference_page(),
        Endpoint::OpenApi => typed("application/json", api_docs::openapi().to_string()),
    }
}

/// The API reference as HTML, with a policy that forbids loading and running anything.
fn reference_page() -> Response<Full<Bytes>> {
    let page = api_docs::page();
    let policy = HeaderValue::from_str(&page.security_policy);
    let mut response = typed("text/html; charset=utf-8", page.html);
    let headers = response.headers_mut();
    let strictest = HeaderValue::from_static("default-src 'none'");
    headers.insert(CONTENT_SECURITY_POLICY, policy.unwrap_or(strictest));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// The config in force as YAML, after comments on how the last load went.
fn effective_config(app: &App) -> String {
    let last = app.reloader.last();
    let at = humantime::format_rfc3339_seconds(last.at);
    let path = app.reloader.path().display();
    let mut out = format!(
        "# Partywall {}. The config in force, for reading: secrets are ***, and keys that files\n\
         # hold are not shown.\n",
        env!("CARGO_PKG_VERSION"),
    );
    // Writing to a string cannot fail.
    let _ = match &last.result {
        Ok(()) => writeln!(out, "# Loaded from {path} at {at}."),
        Err(errors) => {
            let first = "the last load failed; what follows was in force before and still is";
            let lines = errors.lines().map(|line| format!("#   {line}\n"));
            let lines: String = lines.collect();
            write!(out, "# At {at} {first}:\n{lines}")
        }
    };
    let snapshot = app.proxy.snapshot();
    for warning in snapshot.warnings() {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# {warning}");
    }
    let settings = Arc::clone(snapshot.settings());
    if app.reloader.needs_restart(&settings) {
        out.push_str(
            "# What differs from the start in listeners, admin and log waits for a restart.\n",
        );
    }
    out + &config::show(&settings)
}

fn not_allowed(methods: &[&str]) -> Response<Full<Bytes>> {
    let allow = methods.join(", ");
    let answer = format!("this endpoint answers {allow} only\n");
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, answer);
    if let Ok(allow) = HeaderValue::from_str(&allow) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = typed("text/plain; charset=utf-8", body);
    *response.status_mut() = status;
    response
}

fn typed(content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
