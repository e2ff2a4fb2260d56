//! Finds the token in a request's headers.

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::HeaderName;
use memchr::{memchr, memchr2};

use super::error::{AuthError, InvalidTokens};
use crate::config::settings::TokenSource;

/// The headers that may have a token, in order.
pub(super) struct Sources {
    all: Vec<Source>,
    expected: Arc<str>,
}

struct Source {
    header: HeaderName,
    scheme: Option<String>,
}

/// A token as received, not parsed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) token: &'a str,
    pub(super) header: &'a HeaderName,
}

impl Sources {
    pub(super) fn new(sources: &[TokenSource]) -> Result<Self, InvalidTokens> {
        let all: Vec<Source> = sources
            .iter()
            .map(|source| {
                let header = HeaderName::try_from(source.header.as_str())
                    .map_err(|_| InvalidTokens::Header(source.header.clone()))?;
                Ok(Source {
                    header,
                    scheme: source.scheme.clone(),
                })
            })
            .collect::<Result<_, _>>()?;
        let expected: Vec<String> = all
            .iter()
            .map(|source| match &source.scheme {
                Some(scheme) => format!("`{}: {scheme} <token>`", source.header),
                None => format!("`{}: <token>`", source.header),
            })
            .collect();
        Ok(Self {
            all,
            expected: expected.join(" or ").into(),
        })
    }

    /// The token of the first header that is present, which decides alone: if it is malformed, or
    /// present twice with different values, the next header is not tried.
    ///
    /// A header with another authentication scheme is ignored: Grafana sends a data source's
    /// `Authorization: Basic` beside the user's `X-Id-Token`.
    pub(super) fn find<'a>(&'a self, headers: &'a HeaderMap) -> Result<Found<'a>, AuthError> {
        for source in &self.all {
            if let Some(token) = source.token(headers)? {
                return Ok(Found {
                    token,
                    header: &source.header,
                });
            }
        }
        Err(AuthError::Missing {
            expected: self.expected.clone(),
        })
    }
}

impl Source {
    fn token<'a>(&self, headers: &'a HeaderMap) -> Result<Option<&'a str>, AuthError> {
        let mut values = headers.get_all(&self.header).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.any(|other| other != value) {
            return Err(self.refuse("is present twice, with different values"));
        }
        let value = value
            .to_str()
            .map_err(|_| self.refuse("holds bytes that are not visible ASCII"))?;
        if memchr(b',', value.as_bytes()).is_some() {
            return Err(self.refuse("is a list: send one token"));
        }
        let token = match &self.scheme {
            None => value,
            Some(scheme) => {
                let (found, token) = value.split_once(' ').unwrap_or((value, ""));
                if !is_scheme(found) {
                    return Err(self.refuse("names no authentication scheme"));
                }
                if !found.eq_ignore_ascii_case(scheme) {
                    return Ok(None);
                }
                token
            }
        };
        if token.is_empty() {
            return Err(self.refuse("holds no token"));
        }
        if memchr2(b' ', b'\t', token.as_bytes()).is_some() {
            return Err(self.refuse("holds more than a token, or an extra space"));
        }
        Ok(Some(token))
    }

    fn refuse(&self, problem: &'static str) -> AuthError {
        AuthError::Header {
            header: self.header.clone(),
            problem,
        }
    }
}

/// `auth-scheme = token` (RFC 9110 §11.1, §5.6.2).
fn is_scheme(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn sources() -> Sources {
        Sources::new(&[
            TokenSource {
                header: "authorization".to_owned(),
                scheme: Some("Bearer".to_owned()),
            },
            TokenSource {
                header: "x-id-token".to_owned(),
                scheme: None,
            },
        ])
        .unwrap()
    }

    /// `header: token`, or the error's metric reason.
    fn find(headers: &[(&'static str, &[u8])]) -> String {
        let mut map = HeaderMap::new();
        for &(name, value) in headers {
            map.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        match sources().find(&map) {
            Ok(found) => format!("{}: {}", found.header, found.token),
            Err(error) => error.reason().label().to_owned(),
        }
    }

    #[test]
    fn first_header_that_is_present_decides() {
        let both: [(&'static str, &[u8]); 2] =
            [("x-id-token", b"i"), ("authorization", b"Bearer a")];
        assert_eq!(find(&both), "authorization: a");
        assert_eq!(find(&[("x-id-token", b"i")]), "x-id-token: i");
        assert_eq!(find(&[("authorization", b"bEaReR a")]), "authorization: a");
        assert_eq!(find(&[("x-forwarded-access-token", b"a")]), "missing");
        assert_eq!(find(&[]), "missing");
    }

    #[test]
    fn malformed_header_is_not_skipped() {
        for malformed in [
            &b"Bearer  a"[..],
            b"Bearer a b",
            b"Bearer\ta",
            b"Bearer",
            b"Bearer ",
            b"Bearer a, Bearer b",
            b"Basic dXNlcjpwYXNz, Bearer a",
            b"Bearer,a",
            b"",
            b" Bearer a",
            b"Bearer \xe4",
        ] {
            let headers = [("authorization", malformed), ("x-id-token", b"i")];
            assert_eq!(find(&headers), "header", "{malformed:?}");
        }
        assert_eq!(find(&[("x-id-token", b"")]), "header");
        assert_eq!(find(&[("x-id-token", b"Bearer i")]), "header");
    }

    #[test]
    fn other_authentication_schemes_are_ignored() {
        let basic = ("authorization", &b"Basic dXNlcjpwYXNz"[..]);
        assert_eq!(find(&[basic, ("x-id-token", b"i")]), "x-id-token: i");
        assert_eq!(find(&[basic]), "missing");
        assert_eq!(find(&[("authorization", b"Bearer2 a")]), "missing");
    }

    #[test]
    fn two_different_credentials_are_refused() {
        let twice = |a, b| find(&[("authorization", a), ("authorization", b)]);
        assert_eq!(twice(b"Bearer a", b"Bearer b"), "header");
        assert_eq!(twice(b"Basic a", b"Bearer b"), "header");
        assert_eq!(twice(b"Bearer a", b"Bearer a"), "authorization: a");
    }

    #[test]
    fn missing_token_error_names_the_headers() {
        let text = sources().find(&HeaderMap::new()).unwrap_err().to_string();
        assert!(
            text.ends_with("`authorization: Bearer <token>` or `x-id-token: <token>`"),
            "{text}"
        );
    }
}
