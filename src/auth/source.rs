//! Finds the token in a request's headers.

use std::sync::Arc;

use hyper::header::HeaderName;
use hyper::{HeaderMap, StatusCode};
use memchr::{memchr, memchr2};

use super::error::{AuthError, InvalidTokens};
use super::opaque::is_opaque;
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

    /// The token of the first header that has one, which decides alone: if it is malformed, or is
    /// present twice with different values, the next header is not tried.
    ///
    /// A header with another authentication scheme is ignored: Grafana sends a data source's
    /// `Authorization: Basic` beside the user's `X-Id-Token`. So is an opaque token, which proves
    /// nothing here; see [`is_opaque`] for why that is safe.
    pub(super) fn find<'a>(&'a self, headers: &'a HeaderMap) -> Result<Found<'a>, AuthError> {
        let mut opaque = None;
        for source in &self.all {
            match source.token(headers)? {
                Some(token) if is_opaque(token) => {
                    opaque = opaque.or(Some(&source.header));
                }
                Some(token) => {
                    return Ok(Found {
                        token,
                        header: &source.header,
                    });
                }
                None => {}
            }
        }
        let expected = self.expected.clone();
        Err(match opaque {
            Some(header) => AuthError::Opaque {
                header: header.clone(),
                expected,
            },
            None => AuthError::Missing { expected },
        })
    }

    /// The refusal of the token that was found. If a later header has a token as well, the text says
    /// why that one was not tried, and what to do.
    pub(super) fn refusal(
        &self,
        error: AuthError,
        found: &Found<'_>,
        headers: &HeaderMap,
    ) -> AuthError {
        let sources = self.all.iter();
        let mut later = sources
            .skip_while(|source| source.header != found.header)
            .skip(1);
        let other = later.find(|source| {
            let token = source.token(headers).ok().flatten();
            token.is_some_and(|token| !is_opaque(token))
        });
        match other {
            Some(other) if error.status() == StatusCode::UNAUTHORIZED => AuthError::First {
                error: Box::new(error),
                used: found.header.clone(),
                unused: other.header.clone(),
            },
            _ => error,
        }
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
        // A header's value holds no control characters but tabs.
        let value = Some(value.as_bytes())
            .filter(|bytes| bytes.is_ascii())
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .ok_or_else(|| self.refuse("holds bytes that are not visible ASCII"))?;
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
    fn first_header_that_has_a_jwt_decides() {
        let both: [(&'static str, &[u8]); 2] =
            [("x-id-token", b"eyJi"), ("authorization", b"Bearer eyJa")];
        assert_eq!(find(&both), "authorization: eyJa");
        assert_eq!(find(&[("x-id-token", b"eyJi")]), "x-id-token: eyJi");
        let lower = ("authorization", &b"bEaReR eyJa"[..]);
        assert_eq!(find(&[lower]), "authorization: eyJa");
        assert_eq!(find(&[("x-forwarded-access-token", b"eyJa")]), "missing");
        assert_eq!(find(&[]), "missing");
    }

    #[test]
    fn opaque_token_is_passed_over() {
        let google = ("authorization", &b"Bearer ya29.a0AfH6SMBx"[..]);
        assert_eq!(find(&[google, ("x-id-token", b"eyJi")]), "x-id-token: eyJi");
        assert_eq!(find(&[google]), "malformed");
        assert_eq!(find(&[google, ("x-id-token", b"secret")]), "malformed");
        // It is not skipped if the header is ambiguous.
        let twice = ("authorization", &b"Bearer ya29.other"[..]);
        let id_token = ("x-id-token", &b"eyJi"[..]);
        assert_eq!(find(&[google, twice, id_token]), "header");
        assert_eq!(find(&[google, ("x-id-token", b"eyJi, eyJj")]), "header");
    }

    #[test]
    fn only_a_refused_token_is_explained_by_the_one_that_was_not_tried() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer eyJa"));
        let sources = sources();
        let refused = |error, headers: &HeaderMap| {
            let found = sources.find(headers).unwrap();
            sources.refusal(error, &found, headers)
        };
        let is_first = |error: AuthError| matches!(error, AuthError::First { .. });
        assert!(!is_first(refused(AuthError::Expired, &headers)));
        headers.insert("x-id-token", HeaderValue::from_static("eyJi"));
        assert!(is_first(refused(AuthError::Expired, &headers)));
        // It is no fault of the token.
        let unavailable = refused(AuthError::KeysUnavailable, &headers);
        assert!(matches!(unavailable, AuthError::KeysUnavailable));
    }

    #[test]
    fn text_that_may_be_a_jwt_is_not_passed_over() {
        for first in [
            // A JWS without a signature, a JWE, and a header alone.
            &b"Bearer eyJhbGciOiJub25lIn0.e30."[..],
            b"Bearer eyJhbGciOiJkaXIifQ..a.b.c",
            b"Bearer eyJhbGciOiJSUzI1NiJ9",
        ] {
            let token = std::str::from_utf8(first).unwrap().split_at(7).1;
            let headers = [("authorization", first), ("x-id-token", b"eyJi")];
            assert_eq!(find(&headers), format!("authorization: {token}"));
        }
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
            let headers = [("authorization", malformed), ("x-id-token", b"eyJi")];
            assert_eq!(find(&headers), "header", "{malformed:?}");
        }
        assert_eq!(find(&[("x-id-token", b"")]), "header");
        assert_eq!(find(&[("x-id-token", b"Bearer i")]), "header");
    }

    #[test]
    fn other_authentication_schemes_are_ignored() {
        let basic = ("authorization", &b"Basic dXNlcjpwYXNz"[..]);
        assert_eq!(find(&[basic, ("x-id-token", b"eyJi")]), "x-id-token: eyJi");
        assert_eq!(find(&[basic]), "missing");
        assert_eq!(find(&[("authorization", b"Bearer2 eyJa")]), "missing");
    }

    #[test]
    fn two_different_credentials_are_refused() {
        let twice = |a, b| find(&[("authorization", a), ("authorization", b)]);
        assert_eq!(twice(b"Bearer eyJa", b"Bearer eyJb"), "header");
        assert_eq!(twice(b"Basic a", b"Bearer eyJb"), "header");
        let same = twice(b"Bearer eyJa", b"Bearer eyJa");
        assert_eq!(same, "authorization: eyJa");
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
