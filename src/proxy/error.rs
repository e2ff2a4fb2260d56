//! Why a request is refused or failed, and how the client is told in the dialect of its API.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};

use crate::alertmanager::errors::error_json as alertmanager_error;
use crate::grpc::status::{Code, Status};
use crate::headers;
use crate::prometheus::errors::error_json;
use crate::reason::Reason;
use crate::shares::{Exceeded, ExceededShare};
use crate::telemetry::audit::Redaction;

/// The kind of error, which determines the status and the label in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ErrorKind {
    /// The request cannot be parsed.
    BadRequest,
    /// No token, or an invalid one.
    Unauthenticated,
    /// The caller may not have this. Grafana retries a 400 or 405 as another request, so every
    /// denial is a 403.
    Forbidden,
    /// The endpoint supports other methods.
    MethodNotAllowed,
    /// The client accepts no format that the endpoint has.
    NotAcceptable,
    /// Something with an id that there is not, or that is not the caller's.
    NotFound,
    /// A gRPC method that is not served.
    Unimplemented,
    /// The client stopped sending.
    RequestTimeout,
    /// A body, query or parameter over its limit.
    TooLarge,
    /// A path and query over their limit.
    UriTooLong,
    /// Headers over their limit.
    HeadersTooLarge,
    /// Valid, but it asks for more than the caller's tenant may. Grafana retries a 400.
    Unprocessable,
    /// The caller's tenant sends too many requests, too often or at once.
    TooManyRequests,
    /// The body is not a form.
    UnsupportedMediaType,
    /// One of our own limits is reached; a retry may succeed.
    Overloaded,
    /// Tokens cannot be verified at the moment.
    KeysUnavailable,
    /// The upstream cannot be reached, or closed the connection early.
    UpstreamUnreachable,
    /// The upstream refused our own credentials.
    UpstreamCredentials,
    /// The upstream's response violates its API.
    UpstreamAnswer,
    /// The upstream is too slow.
    UpstreamTimeout,
    /// A defect of ours.
    Internal,
}

impl ErrorKind {
    /// The HTTP status.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::NotFound | Self::Unimplemented => StatusCode::NOT_FOUND,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Overloaded | Self::KeysUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamUnreachable | Self::UpstreamCredentials | Self::UpstreamAnswer => {
                StatusCode::BAD_GATEWAY
            }
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Prometheus' `errorType` (web/api/v1/api.go), and some of our own for errors that it never
    /// has.
    pub(crate) fn prometheus_type(self) -> &'static str {
        match self {
            Self::BadRequest
            | Self::MethodNotAllowed
            | Self::TooLarge
            | Self::UriTooLong
            | Self::HeadersTooLarge
            | Self::UnsupportedMediaType => "bad_data",
            Self::Unprocessable => "execution",
            Self::TooManyRequests => "too_many_requests",
            Self::NotAcceptable => "not_acceptable",
            Self::NotFound | Self::Unimplemented => "not_found",
            Self::Unauthenticated => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::RequestTimeout | Self::UpstreamTimeout => "timeout",
            Self::Overloaded
            | Self::KeysUnavailable
            | Self::UpstreamUnreachable
            | Self::UpstreamCredentials
            | Self::UpstreamAnswer => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The gRPC status code.
    pub(crate) fn grpc_code(self) -> Code {
        match self {
            Self::BadRequest
            | Self::UriTooLong
            | Self::HeadersTooLarge
            | Self::Unprocessable
            | Self::UnsupportedMediaType
            | Self::NotAcceptable => Code::InvalidArgument,
            Self::NotFound => Code::NotFound,
            Self::TooLarge | Self::TooManyRequests | Self::Overloaded => Code::ResourceExhausted,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::Forbidden => Code::PermissionDenied,
            Self::MethodNotAllowed | Self::Unimplemented => Code::Unimplemented,
            Self::RequestTimeout | Self::UpstreamTimeout => Code::DeadlineExceeded,
            Self::KeysUnavailable | Self::UpstreamUnreachable | Self::UpstreamCredentials => {
                Code::Unavailable
            }
            Self::UpstreamAnswer | Self::Internal => Code::Internal,
        }
    }

    /// The reason, unless [`ProxyError::because`] gives a more specific one.
    fn reason(self) -> Reason {
        match self {
            Self::BadRequest => Reason::Parameters,
            Self::Unauthenticated => Reason::TokenMissing,
            Self::Forbidden => Reason::Closed,
            Self::MethodNotAllowed => Reason::MethodNotAllowed,
            Self::NotAcceptable => Reason::NotAcceptable,
            Self::NotFound => Reason::Silence,
            Self::Unimplemented => Reason::Unimplemented,
            Self::RequestTimeout => Reason::RequestTimeout,
            Self::TooLarge => Reason::BodyTooLarge,
            Self::UriTooLong => Reason::UriTooLong,
            Self::HeadersTooLarge => Reason::HeadersTooLarge,
            Self::Unprocessable => Reason::QueryTooLong,
            Self::TooManyRequests => Reason::TenantRequests,
            Self::UnsupportedMediaType => Reason::UnsupportedMediaType,
            Self::Overloaded => Reason::Overloaded,
            Self::KeysUnavailable => Reason::KeysUnavailable,
            Self::UpstreamUnreachable => Reason::UpstreamUnreachable,
            Self::UpstreamCredentials => Reason::UpstreamCredentials,
            Self::UpstreamAnswer => Reason::UpstreamAnswer,
            Self::UpstreamTimeout => Reason::UpstreamTimeout,
            Self::Internal => Reason::Internal,
        }
    }
}

/// An error for the client.
#[derive(Debug)]
pub(crate) struct ProxyError {
    kind: ErrorKind,
    reason: Reason,
    /// For the client: what is wrong, and what to do.
    text: Cow<'static, str>,
    /// For the log only.
    cause: Option<Box<str>>,
    quotes_query: bool,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl ProxyError {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            reason: kind.reason(),
            text: text.into(),
            cause: None,
            quotes_query: false,
            header: None,
        }
    }

    /// Sets a more specific reason than the kind's own.
    pub(crate) fn because(mut self, reason: Reason) -> Self {
        self.reason = reason;
        self
    }

    /// Adds a cause that only the log may show.
    pub(crate) fn caused_by(mut self, cause: &dyn Display) -> Self {
        self.cause = Some(cause.to_string().into());
        self
    }

    /// Marks the text as one that may quote the caller's query.
    pub(crate) fn quoting_the_query(mut self) -> Self {
        self.quotes_query = true;
        self
    }

    /// A 405 that lists the supported methods (RFC 9110 §15.5.6).
    pub(crate) fn method_not_allowed(methods: &[&str]) -> Self {
        let allow = methods.join(", ");
        let mut error = Self::new(
            ErrorKind::MethodNotAllowed,
            format!("this endpoint answers {allow} only"),
        );
        error.header = HeaderValue::from_str(&allow)
            .ok()
            .map(|allow| Box::new((ALLOW, allow)));
        error
    }

    /// A 401 with its challenge (RFC 6750 §3).
    pub(crate) fn unauthenticated(
        text: String,
        reason: Reason,
        challenge: Option<HeaderValue>,
    ) -> Self {
        let mut error = Self::new(ErrorKind::Unauthenticated, text).because(reason);
        error.header = challenge.map(|challenge| Box::new((WWW_AUTHENTICATE, challenge)));
        error
    }

    /// An upstream's response that cannot be passed on.
    pub(crate) fn unreadable(why: &dyn Display) -> Self {
        let text = "the upstream's answer cannot be checked for other tenants' data, so it is not \
                    passed on";
        Self::new(ErrorKind::UpstreamAnswer, text).caused_by(why)
    }

    /// A defect of ours stopped the request.
    pub(crate) fn defect() -> Self {
        let text = "a defect of Partywall stopped this request; please report it";
        Self::new(ErrorKind::Internal, text)
    }

    /// Sets `Retry-After`, in whole seconds, rounded up (RFC 9110 §10.2.3).
    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        self.header = Some(Box::new((RETRY_AFTER, HeaderValue::from(seconds.max(1)))));
        self
    }

    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    /// The status that the client gets.
    pub(crate) fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// Prometheus' `errorType`.
    pub(crate) fn prometheus_type(&self) -> &'static str {
        self.kind.prometheus_type()
    }

    /// The text that the client gets.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// For the log: the text, and the cause if there is one.
    pub(crate) fn log_text(&self) -> String {
        match &self.cause {
            Some(cause) => format!("{}: {cause}", self.text),
            None => self.text.to_string(),
        }
    }

    /// For the audit trail, which may have to hide queries.
    pub(crate) fn audit_text(&self, redaction: Redaction) -> String {
        if self.quotes_query && !redaction.is_full() {
            return "(not shown: it may quote the query; see audit.queries)".to_owned();
        }
        self.log_text()
    }

    /// The status of a gRPC call.
    pub(crate) fn grpc_status(&self) -> Status {
        Status::new(self.kind.grpc_code(), self.text.clone())
    }

    /// The response, in the dialect of the API.
    pub(crate) fn render(&self, dialect: Dialect) -> Response<Bytes> {
        let (content_type, body) = match dialect {
            Dialect::Grpc => return grpc_status(&self.grpc_status()),
            Dialect::Prometheus => (
                "application/json",
                error_json(self.kind.prometheus_type(), &self.text),
            ),
            Dialect::Alertmanager => ("application/json", alertmanager_error(&self.text)),
            Dialect::Plain => (
                "text/plain; charset=utf-8",
                format!("{}\n", self.text).into_bytes(),
            ),
        };
        let mut response = Response::new(body.into());
        *response.status_mut() = self.status();
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some((name, value)) = self.header.as_deref() {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }
}

/// If all of something is in use, we are overloaded. If only one caller's share of it is, we are
/// not, and must not look so: a load balancer that ejects backends for 503s would do so for all
/// tenants because of one.
impl From<Exceeded> for ProxyError {
    fn from(exceeded: Exceeded) -> Self {
        let kind = match exceeded.by {
            ExceededShare::Pool => ErrorKind::Overloaded,
            ExceededShare::Group(_) | ExceededShare::Subject => ErrorKind::TooManyRequests,
        };
        Self::new(kind, exceeded.to_string())
            .because(exceeded.reason())
            .retry_after(Duration::from_secs(1))
    }
}

/// The format of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dialect {
    /// `{"status":"error","errorType":…,"error":…}`.
    Prometheus,
    /// A line of text, as Tempo and everything outside the data APIs answer.
    Plain,
    /// A JSON string.
    Alertmanager,
    /// A gRPC status.
    Grpc,
}

impl Dialect {
    /// The dialect that the client of a request most likely expects.
    pub(crate) fn of_request<B>(request: &Request<B>) -> Self {
        if headers::is_grpc(request.headers()) {
            Self::Grpc
        } else {
            Self::of_path(request.uri().path())
        }
    }

    /// The same by the path alone.
    pub(crate) fn of_path(path: &str) -> Self {
        if path.starts_with("/api/") && !path.starts_with("/api/v1/") {
            Self::Plain
        } else {
            Self::Prometheus
        }
    }
}

/// A response that consists of a gRPC status only.
pub(crate) fn grpc_status(status: &Status) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    for (name, value) in status.trailers_only() {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
