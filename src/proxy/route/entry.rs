//! The first checks of a request's headers: an ambiguous request is refused here.

use hyper::{Method, Request, Uri};

use super::host::{self, Host};
use super::path::{self, PathReading};
use crate::headers;
use crate::prometheus::endpoints;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::reason::Reason;
use crate::tempo::endpoints as tempo;

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

/// Takes a path near a data API for the one that the stores' routers would redirect to: a base
/// address that ends in a slash makes it `//api/v1/query`.
pub(in crate::proxy) fn clean<B>(request: &mut Request<B>) -> Result<(), ProxyError> {
    let path = request.uri().path();
    let may_be_odd = |pair: &[u8]| matches!(pair, b"//" | b"/.");
    let is_odd = path.as_bytes().windows(2).any(may_be_odd);
    if !is_odd || headers::is_grpc(request.headers()) {
        return Ok(());
    }
    match path::cleaned(path) {
        Some(clean) => set_path(request, &clean),
        None => Ok(()),
    }
}

/// The same of a slash behind the path of a call, once that is without the prefix of its cluster.
pub(in crate::proxy) fn without_last_slash<B>(request: &mut Request<B>) -> Result<(), ProxyError> {
    let path = request.uri().path();
    let Some(shorter) = path.strip_suffix('/').filter(|path| path.len() > 1) else {
        return Ok(());
    };
    let Ok(PathReading::Canonical(canonical)) = path::read(shorter) else {
        return Ok(());
    };
    let path = canonical.as_str();
    let is_near = path.starts_with("/api/") || path == "/federate";
    let is_known = matches!(endpoints::classify(path), endpoints::Class::Known(_))
        || matches!(tempo::classify(path), tempo::Class::Known(_));
    if is_near && is_known {
        let shorter = shorter.to_owned();
        return set_path(request, &shorter);
    }
    Ok(())
}

/// Changes the path alone.
fn set_path<B>(request: &mut Request<B>, path: &str) -> Result<(), ProxyError> {
    let mut parts = request.uri().clone().into_parts();
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let read = || -> Result<Uri, hyper::http::Error> {
        parts.path_and_query = Some(target.parse()?);
        Ok(Uri::from_parts(parts)?)
    };
    *request.uri_mut() = read().map_err(|error| {
        ProxyError::new(ErrorKind::BadRequest, "the request target cannot be read")
            .because(Reason::Path)
            .caused_by(&error)
    })?;
    Ok(())
}

/// The path as read.
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
