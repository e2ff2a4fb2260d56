//! What a client sent to a data API: read once, as Go reads it.
//!
//! Go takes parameters from a body only where its type says so, and ignores any other, as it does
//! the body of a GET. Nothing of a body that is ignored is forwarded, so its content is nobody's.

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, Request, Uri};

use crate::body::ClientBody;
use crate::prometheus::body_type::BodyType;
use crate::prometheus::endpoints::Endpoint;
use crate::prometheus::form::{Form, FormError, Weight};
use crate::prometheus::multipart::{self, MultipartError};
use crate::prometheus::params::table;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::reason::Reason;

/// What is read from a request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
enum BodyUse {
    /// Nothing.
    Ignored,
    /// Parameters.
    Form,
    /// Parameters in parts with this boundary.
    Multipart(String),
    /// Remote read's message.
    Message,
}

/// Whether a call reads its body, if there is one.
///
/// # Errors
/// When the parameters that the call cannot do without can only be in a body that is not read.
pub(super) fn reads_body(request: &Request<()>, endpoint: &Endpoint) -> Result<bool, ProxyError> {
    let (method, headers) = (request.method(), request.headers());
    if body_use(method, headers, endpoint)? != BodyUse::Ignored {
        return Ok(true);
    }
    if *method == Method::POST
        && let Some(required) = endpoint.required()
    {
        let query = request.uri().query().unwrap_or_default();
        let form = Form::read(query.as_bytes()).map_err(|error| unreadable(&error))?;
        let has_it = form
            .iter()
            .any(|(name, value)| name == required && !value.is_empty());
        if !has_it {
            return Err(unsupported(
                "parameters are not read from a body of this Content-Type; send them as \
                 application/x-www-form-urlencoded, or in the URL",
            ));
        }
    }
    Ok(false)
}

fn body_use(
    method: &Method,
    headers: &HeaderMap,
    endpoint: &Endpoint,
) -> Result<BodyUse, ProxyError> {
    if *endpoint == Endpoint::RemoteRead {
        // Prometheus reads it so whatever its headers say (storage/remote/codec.go).
        return Ok(BodyUse::Message);
    }
    let body_use = match BodyType::of(first(headers, &CONTENT_TYPE)) {
        BodyType::Form if *method == Method::POST => BodyUse::Form,
        // Go reads this one whatever the method is.
        BodyType::Multipart(boundary) if !endpoint.checks_its_form() => {
            BodyUse::Multipart(boundary)
        }
        _ => BodyUse::Ignored,
    };
    if body_use != BodyUse::Ignored {
        check_encoding(headers)?;
    }
    Ok(body_use)
}

/// A metrics call's headers and parameters.
pub(super) struct MetricsCall {
    /// Its headers.
    pub(super) head: Parts,
    body: Bytes,
    body_use: BodyUse,
}

impl MetricsCall {
    /// Takes a call apart.
    pub(super) fn new(
        request: Request<ClientBody>,
        endpoint: &Endpoint,
    ) -> Result<Self, ProxyError> {
        let (head, body) = request.into_parts();
        let body_use = body_use(&head.method, &head.headers, endpoint)?;
        let body = match body_use {
            BodyUse::Ignored => Bytes::new(),
            _ => whole(body)?,
        };
        Ok(Self {
            head,
            body,
            body_use,
        })
    }

    /// What remote read's message is in.
    pub(super) fn message(&self) -> &Bytes {
        &self.body
    }

    /// The parameters of body and URL, as Go merges them.
    pub(super) fn parameters(&self, endpoint: &Endpoint) -> Result<Form<'_>, ProxyError> {
        let form = merged(&self.head.uri, &self.body, &self.body_use)?;
        let weight = |name: &str| {
            if endpoint.checks_its_form() {
                return Weight::Decisive;
            }
            table::weight(endpoint, name)
        };
        form.without_unreadable(weight)
            .map_err(|error| unreadable(&error))
    }
}

/// Those of a form come before the URL's, and these before the parts' (`FormValue` in
/// net/http/request.go).
fn merged<'a>(uri: &'a Uri, body: &'a [u8], body_use: &BodyUse) -> Result<Form<'a>, ProxyError> {
    let url = uri.query().unwrap_or_default().as_bytes();
    let read = || -> Result<Form<'a>, MultipartError> {
        let url = Form::read(url)?;
        Ok(match body_use {
            BodyUse::Ignored | BodyUse::Message => url,
            BodyUse::Form => Form::read(body)?.merge(url)?,
            BodyUse::Multipart(boundary) => url.merge(multipart::fields(body, boundary)?)?,
        })
    };
    read().map_err(|error| unreadable(&error))
}

/// The parameters as they came, as far as they can be read, to be shown.
pub(in crate::proxy) fn shown<B>(request: &Request<B>, body: &[u8]) -> Vec<(String, String)> {
    let body_use = body_use(request.method(), request.headers(), &Endpoint::Query);
    let form = body_use.and_then(|body_use| merged(request.uri(), body, &body_use));
    let form = form.unwrap_or_default();
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    form.iter().map(own).collect()
}

/// A body that was received before, as [`reads_body`](super::reads_body) requires.
pub(super) fn whole(body: ClientBody) -> Result<Bytes, ProxyError> {
    body.received()
        .ok_or_else(|| super::unreachable_route("this request's body was not received"))
}

/// The parameters of the URL alone, which is where Tempo looks for them: of each name the first
/// (`URL.Query().Get`). What it cannot read it drops.
pub(super) fn url_parameters(
    head: &Parts,
    weight: impl Fn(&str) -> Weight,
) -> Result<Form<'_>, ProxyError> {
    let query = head.uri.query().unwrap_or_default();
    Form::read(query.as_bytes())
        .and_then(|form| form.without_unreadable(weight))
        .map_err(|error| unreadable(&error))
}

/// The parameters of URL and body where nothing is known of the endpoint: all have to be readable.
pub(super) fn parameters<'a>(head: &'a Parts, body: &'a [u8]) -> Result<Form<'a>, ProxyError> {
    let read = || -> Result<Form<'a>, FormError> {
        let url = Form::parse(head.uri.query().unwrap_or_default().as_bytes())?;
        Form::parse(body)?.merge(url)
    };
    read().map_err(|error| unreadable(&error))
}

/// The `Content-Type` of a form.
pub(super) fn expect_form(headers: &HeaderMap) -> Result<(), ProxyError> {
    let mut all = headers.get_all(CONTENT_TYPE).iter();
    let are_forms = all.all(|value| BodyType::of(value.to_str().ok()) == BodyType::Form);
    if are_forms {
        return Ok(());
    }
    Err(unsupported(
        "send parameters as application/x-www-form-urlencoded in UTF-8",
    ))
}

/// Nothing is undone: a form of any other coding would be read as Go does not read it.
fn check_encoding(headers: &HeaderMap) -> Result<(), ProxyError> {
    let is_identity = |coding: &str| {
        let coding = coding.trim();
        coding.is_empty() || coding.eq_ignore_ascii_case("identity")
    };
    let all_identity = headers.get_all(CONTENT_ENCODING).iter().all(|value| {
        let value = value.to_str().unwrap_or("unreadable");
        value.split(',').all(is_identity)
    });
    if all_identity {
        return Ok(());
    }
    Err(unsupported(
        "forms are not decompressed; send the form as it is, without Content-Encoding",
    ))
}

/// The value of a header as Go gets it: of several the first.
fn first<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn unreadable(error: &dyn std::fmt::Display) -> ProxyError {
    ProxyError::new(ErrorKind::BadRequest, error.to_string()).because(Reason::Parameters)
}

fn unsupported(text: &'static str) -> ProxyError {
    ProxyError::new(ErrorKind::UnsupportedMediaType, text)
}
