//! The first look at a request's head: what has two readings goes no further.

use hyper::{Method, Request};

use super::error::{ErrorKind, ProxyError};
use super::host::{self, Host};
use super::path::{self, PathReading};

/// Checks the method, and gives the host.
pub(super) fn admit<B>(request: &Request<B>) -> Result<Host, ProxyError> {
    if request.method() == Method::CONNECT {
        return Err(ProxyError::new(
            ErrorKind::MethodNotAllowed,
            "CONNECT is not served",
        ));
    }
    host::read(request).map_err(|refusal| {
        ProxyError::new(ErrorKind::BadRequest, refusal.to_string()).because("host")
    })
}

/// The path as read.
pub(super) fn path<B>(request: &Request<B>) -> Result<PathReading<'_>, ProxyError> {
    path::read(request.uri().path()).map_err(|refusal| {
        ProxyError::new(ErrorKind::BadRequest, refusal.to_string()).because("path")
    })
}
