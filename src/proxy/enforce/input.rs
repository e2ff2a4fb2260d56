//! Parses what a client sent to a data API: once, and in one way.

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, Request};

use crate::body::ClientBody;
use crate::prometheus::endpoints::Endpoint;
use crate::prometheus::form::{Form, FormError};
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::reason::Reason;

/// The request's body: a form, or the snappy message of a remote read. A GET has none.
pub(super) fn read(
    request: Request<ClientBody>,
    endpoint: &Endpoint,
) -> Result<(Parts, Bytes), ProxyError> {
    let (head, body) = request.into_parts();
    check(&head.method, &head.headers, !body.is_empty(), endpoint)?;
    Ok((head, whole(body)?))
}

/// Checks by the headers whether there may be a body and whether its type is supported; returns
/// whether there is one.
pub(super) fn check(
    method: &Method,
    headers: &HeaderMap,
    has_body: bool,
    endpoint: &Endpoint,
) -> Result<(), ProxyError> {
    if *method == Method::GET {
        if has_body {
            return Err(bad(
                "a GET with a body; send the parameters in the URL or use POST",
            ));
        }
        return Ok(());
    }
    if *endpoint == Endpoint::RemoteRead {
        // Prometheus reads it so whatever these headers are (storage/remote/codec.go).
        expect_encoding(headers, "snappy")?;
    } else {
        expect_encoding(headers, "identity")?;
        // A POST without a body needs no `Content-Type`.
        if has_body {
            expect_form(headers)?;
        }
    }
    Ok(())
}

/// A body that was received before, as [`reads_body`](super::reads_body) requires.
pub(super) fn whole(body: ClientBody) -> Result<Bytes, ProxyError> {
    body.received()
        .ok_or_else(|| super::unreachable_route("this request's body was not received"))
}

/// The parameters of the URL and of the body, merged as Go does.
pub(super) fn parameters<'a>(head: &'a Parts, body: &'a [u8]) -> Result<Form<'a>, ProxyError> {
    let read = || -> Result<Form<'a>, FormError> {
        let url = Form::parse(head.uri.query().unwrap_or_default().as_bytes())?;
        url.merge(Form::parse(body)?)
    };
    read().map_err(|error| {
        ProxyError::new(ErrorKind::BadRequest, error.to_string()).because(Reason::Parameters)
    })
}

/// Requires one `Content-Type`, that of a form. Prometheus parses multipart forms too; no client
/// sends them, and two parsers may differ on them.
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
        Some(_) => Err(unsupported(
            "this endpoint does not support this Content-Encoding",
        )),
    }
}

/// The value of a header that must not be repeated.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ProxyError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(unsupported("a Content header of the request is repeated"));
    }
    let Some(value) = value else { return Ok(None) };
    value
        .to_str()
        .map(Some)
        .map_err(|_| unsupported("the request's Content headers are not text"))
}

fn bad(text: &'static str) -> ProxyError {
    ProxyError::new(ErrorKind::BadRequest, text).because(Reason::Body)
}

fn unsupported(text: &'static str) -> ProxyError {
    ProxyError::new(ErrorKind::UnsupportedMediaType, text)
}
