//! Requests that web pages of other sites make in a user's browser (the CORS protocol of the Fetch
//! standard), where `listeners[].cors` permits them.
//!
//! A preflight asks whether a page may send a request. It never has a token, so it is answered here
//! and reaches no upstream. It grants nothing but that the browser lets the page try: the request
//! itself needs a token as ever. The headers are those of Prometheus (`util/httputil/cors.go`), and
//! the headers in which a token may come.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use hyper::{Method, Request, Response, StatusCode};

use super::error::{ErrorKind, ProxyError};
use super::rules::Rules;
use crate::body::ResponseBody;
use crate::config::settings::Origins;
use crate::reason::Reason;

const ALLOW_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
const EXPOSE_HEADERS: HeaderValue = HeaderValue::from_static("Date");
const ALLOW_HEADERS: &str = "Accept, Authorization, Content-Type, Origin";

/// By which an upstream could permit pages that are not permitted here.
const PERMITTING: [HeaderName; 3] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
];

/// What one request's listener says about the page that sent it.
pub(super) struct Cors {
    /// `None` if no page sent it, or one that is not permitted.
    allow_origin: Option<HeaderValue>,
    /// Whether answers differ by origin.
    varies: bool,
    credentials: bool,
    max_age: Duration,
}

impl Cors {
    /// `None` where the request's listener has no `cors`.
    pub(super) fn of(rules: &Rules, listener: SocketAddr, headers: &HeaderMap) -> Option<Self> {
        let mut listeners = rules.settings().listeners.iter();
        let settings = listeners
            .find(|known| known.address == listener)?
            .cors
            .as_ref()?;
        let origin = headers.get(ORIGIN);
        let allow_origin = match &settings.origins {
            Origins::Any => origin.map(|_| HeaderValue::from_static("*")),
            Origins::These(these) => {
                let is_listed = |origin: &&HeaderValue| {
                    origin.to_str().is_ok_and(|origin| these.contains(origin))
                };
                origin.filter(is_listed).cloned()
            }
        };
        Some(Self {
            allow_origin,
            varies: settings.origins != Origins::Any,
            credentials: settings.credentials,
            max_age: settings.max_age,
        })
    }

    /// The answer, if the request is a preflight.
    pub(super) fn preflight<B>(
        &self,
        rules: &Rules,
        request: &Request<B>,
    ) -> Option<Result<Response<ResponseBody>, ProxyError>> {
        let asks = |name| request.headers().contains_key(name);
        let is_preflight = *request.method() == Method::OPTIONS
            && asks(ORIGIN)
            && asks(ACCESS_CONTROL_REQUEST_METHOD);
        is_preflight.then(|| self.answer(rules))
    }

    fn answer(&self, rules: &Rules) -> Result<Response<ResponseBody>, ProxyError> {
        if self.allow_origin.is_none() {
            let text = "web pages of this origin may not send requests here: ask the operator to \
                        add it to cors.origins of the listener";
            return Err(ProxyError::new(ErrorKind::Forbidden, text).because(Reason::Origin));
        }
        let mut allow_headers = ALLOW_HEADERS.to_owned();
        for name in rules.token_headers() {
            if *name != AUTHORIZATION {
                allow_headers.push_str(", ");
                allow_headers.push_str(name.as_str());
            }
        }
        let mut response = Response::new(ResponseBody::whole(Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, ALLOW_METHODS);
        let allow_headers =
            HeaderValue::try_from(allow_headers).map_err(|_| ProxyError::defect())?;
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allow_headers);
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.as_secs().into());
        Ok(response)
    }

    /// Says in an answer's headers which page may read it.
    pub(super) fn apply(self, headers: &mut HeaderMap) {
        for name in &PERMITTING {
            headers.remove(name);
        }
        if self.varies {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = self.allow_origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSE_HEADERS);
            if self.credentials {
                let yes = HeaderValue::from_static("true");
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
        }
    }
}
