//! The first checks of a request's headers: an ambiguous request is refused here.

use hyper::{Method, Request};

use super::host::{self, Host};
use super::path::{self, PathReading};
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::reason::Reason;

/// Checks length and method, and returns the host.
pub(in crate::proxy) fn check<B>(
    request: &Request<B>,
    uri_bytes: usize,
) -> Result<Host, ProxyError> {
    check_length(request, uri_bytes)?;
    if request.method() == Method::CONNECT {
        return Err(ProxyError::new(
            ErrorKind::MethodNotAllowed,
            "CONNECT is not served",
        ));
    }
    host::read(request).map_err(|refusal| {
        ProxyError::new(ErrorKind::BadRequest, refusal.to_string()).because(Reason::Host)
    })
}

/// The parsed path.
pub(in crate::proxy) fn path<B>(request: &Request<B>) -> Result<PathReading<'_>, ProxyError> {
    path::read(request.uri().path()).map_err(|refusal| {
        ProxyError::new(ErrorKind::BadRequest, refusal.to_string()).because(Reason::Path)
    })
}

fn check_length<B>(request: &Request<B>, limit: usize) -> Result<(), ProxyError> {
    let target = request.uri().path_and_query();
    let length = target.map_or(0, |target| target.as_str().len());
    if length <= limit {
        return Ok(());
    }
    Err(ProxyError::new(
        ErrorKind::UriTooLong,
        format!(
            "the request's path and query have {length} bytes, more than {limit} \
             (limits.uri_bytes); send long parameters as a POST form"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use hyper::Version;

    use super::*;

    #[test]
    fn path_with_query_over_its_limit_is_refused() {
        let longest = Request::builder()
            .version(Version::HTTP_2)
            .uri("http://a/x?yz")
            .body(())
            .unwrap();
        assert!(check(&longest, 5).is_ok());
        let error = check(&longest, 4).unwrap_err();
        assert_eq!(error.status(), 414);
        assert!(error.log_text().contains("5 bytes, more than 4"));
    }
}
