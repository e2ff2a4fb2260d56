//! The first look at a request's head: what has two readings goes no further.

use hyper::header::HOST;
use hyper::{Method, Request, Version};

use super::error::{ErrorKind, ProxyError};
use super::path::{self, PathReading};

/// Checks the length, the method, the host and the path, and gives the path as read.
pub(super) fn admit<B>(
    request: &Request<B>,
    uri_bytes: usize,
) -> Result<PathReading<'_>, ProxyError> {
    check_length(request, uri_bytes)?;
    if request.method() == Method::CONNECT {
        return Err(ProxyError::new(
            ErrorKind::MethodNotAllowed,
            "CONNECT is not served",
        ));
    }
    check_host(request)?;
    path::read(request.uri().path()).map_err(|refusal| {
        ProxyError::new(ErrorKind::BadRequest, refusal.to_string()).because("path")
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

/// One host, said once (RFC 9112 §3.2; for HTTP/2, RFC 9113 §8.3.1).
fn check_host<B>(request: &Request<B>) -> Result<(), ProxyError> {
    let refuse =
        |text: &'static str| Err(ProxyError::new(ErrorKind::BadRequest, text).because("host"));
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return refuse("the request has several Host headers");
    }
    let authority = request.uri().authority();
    match (request.version(), host, authority) {
        (Version::HTTP_11, None, _) => refuse("the request has no Host header"),
        (Version::HTTP_2, Some(host), Some(authority))
            if host.as_bytes() != authority.as_str().as_bytes() =>
        {
            refuse("the request's Host header differs from its :authority")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, uri: &str, hosts: &[&str]) -> Request<()> {
        let mut builder = Request::builder().version(version).uri(uri);
        for host in hosts {
            builder = builder.header(HOST, *host);
        }
        builder.body(()).unwrap()
    }

    #[test]
    fn a_request_names_one_host() {
        let admitted =
            |version, uri, hosts: &[&str]| admit(&request(version, uri, hosts), 100).is_ok();
        assert!(admitted(Version::HTTP_11, "/x", &["a"]));
        assert!(!admitted(Version::HTTP_11, "/x", &[]));
        assert!(!admitted(Version::HTTP_11, "/x", &["a", "a"]));
        assert!(admitted(Version::HTTP_10, "/x", &[]));
        assert!(admitted(Version::HTTP_2, "http://a/x", &[]));
        assert!(admitted(Version::HTTP_2, "http://a/x", &["a"]));
        assert!(!admitted(Version::HTTP_2, "http://a/x", &["b"]));
    }

    #[test]
    fn a_path_with_its_query_has_a_bound() {
        let longest = request(Version::HTTP_2, "http://a/x?yz", &[]);
        assert!(admit(&longest, 5).is_ok());
        let error = admit(&longest, 4).unwrap_err();
        assert_eq!(error.status(), 414);
        assert!(error.log_text().contains("5 bytes, more than 4"));
    }
}
