//! What a client sent to a data API: read once, in one way.

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, Request};

use crate::body::budget::Room;
use crate::body::{BodyError, ClientBody, CollectError};
use crate::prometheus::endpoints::Endpoint;
use crate::prometheus::form::{Form, FormError};
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::proxy::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;

/// Reads the request's body whole: a form, or remote read's snappy message. A GET has none.
pub(super) async fn read(
    request: Request<ClientBody>,
    endpoint: &Endpoint,
    snapshot: &Snapshot,
    metrics: &Metrics,
) -> Result<(Parts, Bytes), ProxyError> {
    let (head, body) = request.into_parts();
    if head.method == Method::GET {
        if !body.is_empty() {
            return Err(bad(
                "a GET with a body; send the parameters in the URL or use POST",
            ));
        }
        return Ok((head, Bytes::new()));
    }
    if *endpoint == Endpoint::RemoteRead {
        // Prometheus reads it so whatever these headers say (storage/remote/codec.go).
        expect_encoding(&head.headers, "snappy")?;
    } else {
        expect_encoding(&head.headers, "identity")?;
        // A POST without a body may leave its type out.
        if !body.is_empty() {
            expect_form(&head.headers)?;
        }
    }
    Ok((head, whole(body, snapshot, metrics).await?))
}

/// Reads a body whole, within its limits.
pub(super) async fn whole(
    body: ClientBody,
    snapshot: &Snapshot,
    metrics: &Metrics,
) -> Result<Bytes, ProxyError> {
    let room = Room::for_request(snapshot, metrics);
    body.whole(snapshot.settings().timeouts.body_idle, &room)
        .await
        .map_err(|error| unread(error, room.bytes))
}

/// The parameters of the URL and of the body, as Go merges them.
pub(super) fn parameters<'a>(head: &'a Parts, body: &'a [u8]) -> Result<Form<'a>, ProxyError> {
    let read = || -> Result<Form<'a>, FormError> {
        let url = Form::parse(head.uri.query().unwrap_or_default().as_bytes())?;
        url.merge(Form::parse(body)?)
    };
    read().map_err(|error| {
        ProxyError::new(ErrorKind::BadRequest, error.to_string()).because("parameters")
    })
}

/// One `Content-Type`, and that of a form. Prometheus reads multipart forms too; nothing sends
/// them, and two readers may differ on them.
pub(super) fn expect_form(headers: &HeaderMap) -> Result<(), ProxyError> {
    let is_form = single(headers, &CONTENT_TYPE)?.is_some_and(|value| {
        let (media_type, parameters) = value.split_once(';').unwrap_or((value, ""));
        let parameters = parameters.trim();
        media_type
            .trim()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
            && (parameters.is_empty() || parameters.eq_ignore_ascii_case("charset=utf-8"))
    });
    if is_form {
        return Ok(());
    }
    Err(unsupported(
        "send parameters as application/x-www-form-urlencoded in UTF-8",
    ))
}

fn expect_encoding(headers: &HeaderMap, expected: &str) -> Result<(), ProxyError> {
    match single(headers, &CONTENT_ENCODING)? {
        None => Ok(()),
        Some(encoding) if encoding.eq_ignore_ascii_case(expected) => Ok(()),
        Some(_) => Err(unsupported("this endpoint reads no such Content-Encoding")),
    }
}

/// The value of a header that must not come twice.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ProxyError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(unsupported("the request says twice what its body is"));
    }
    let Some(value) = value else { return Ok(None) };
    value
        .to_str()
        .map(Some)
        .map_err(|_| unsupported("the request's Content headers are not text"))
}

/// Why a body could not be read, for the client.
pub(in crate::proxy) fn unread(error: CollectError, limit: usize) -> ProxyError {
    match error {
        CollectError::TooLarge => ProxyError::new(
            ErrorKind::TooLarge,
            format!("the request's body has more than {limit} bytes (limits.body_bytes)"),
        ),
        CollectError::Exhausted(exhausted) => exhausted.into(),
        CollectError::Broken(BodyError::Idle(idle)) => ProxyError::new(
            ErrorKind::RequestTimeout,
            format!("the request's body stalled for {idle:?} (timeouts.body_idle)"),
        ),
        CollectError::Broken(error) => bad("the request's body broke off").caused_by(&error),
    }
}

fn bad(text: &'static str) -> ProxyError {
    ProxyError::new(ErrorKind::BadRequest, text).because("body")
}

fn unsupported(text: &'static str) -> ProxyError {
    ProxyError::new(ErrorKind::UnsupportedMediaType, text)
}
