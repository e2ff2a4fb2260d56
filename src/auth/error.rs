//! Why a token is not trusted.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use thiserror::Error;

use crate::reason::Reason;

/// Why a request has no verified caller. The texts are for the client and never contain any part
/// of a token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuthError {
    /// No header has a token.
    #[error("no token: send one as {expected}")]
    Missing {
        /// The headers that may have a token, as text.
        expected: Arc<str>,
    },
    /// A header is present but has no valid token.
    #[error("header {header} {problem}")]
    Header {
        header: HeaderName,
        problem: &'static str,
    },
    /// The only token is opaque: only its issuer can read it.
    #[error(
        "header {header} holds an opaque token and not a JSON Web Token (JWT), and no other header \
         of tokens.sources has one: send a JWT as {expected}. Let the client send the ID token \
         (Grafana does so in X-Id-Token with Forward OAuth Identity), or let the identity provider \
         issue access tokens that are JWTs"
    )]
    Opaque {
        header: HeaderName,
        /// The headers that may have a token, as text.
        expected: Arc<str>,
    },
    /// The first token is refused, and a later header has another, which is not tried.
    #[error(
        "{error}. This is the token of header {used}; the one in {unused} is not tried, as the \
         first header of tokens.sources that has a JWT decides: to use it, list {unused} first in \
         tokens.sources, or alone"
    )]
    First {
        error: Box<Self>,
        used: HeaderName,
        unused: HeaderName,
    },
    #[error("the token is longer than {max} bytes")]
    TooLong { max: usize },
    /// Not a JSON Web Token, or one with an unsupported part.
    #[error("malformed token: {0}")]
    Malformed(&'static str),
    /// `iss` is missing or unknown.
    #[error("the token's issuer (iss) is not trusted here")]
    Issuer,
    /// `alg` is not on the issuer's list.
    #[error("the token's signature algorithm (alg) is not permitted for its issuer")]
    Algorithm,
    /// The issuer has no key that could have signed it.
    #[error("the token is signed with a key (kid) that its issuer does not have")]
    UnknownKey,
    /// No `kid`, and too many keys.
    #[error("the token names no key (kid), and its issuer has too many keys to try them all")]
    Ambiguous,
    /// The signature was not made with this key.
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the token has expired: get a new one")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet (nbf, iat): compare the clocks")]
    NotYetValid,
    /// From `iat` (or now) to `exp` it is longer than the issuer's `max_lifetime`.
    #[error(
        "the token is valid for longer (iat to exp) than tokens of its issuer may be here \
         (max_lifetime): get one that is valid for a shorter time"
    )]
    Lifetime,
    /// `aud` has none of the issuer's `audiences`.
    #[error("the token is meant for another audience (aud)")]
    Audience,
    /// `azp` or `client_id` is missing or not among the issuer's `authorized_parties`.
    #[error("the token was issued to a client (azp, client_id) that is not authorized here")]
    AuthorizedParty,
    /// A claim has the wrong type or an impossible value.
    #[error("the token's claims are not usable: {0}")]
    Claims(&'static str),
    /// The issuer's keys were never fetched, or too long ago.
    #[error("the keys of the token's issuer are not available at the moment: try again later")]
    KeysUnavailable,
}

impl AuthError {
    /// 401, or 503 if the client is not at fault.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::KeysUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::First { error, .. } => error.status(),
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// The value of `WWW-Authenticate` for a 401 (RFC 6750 §3): without an error code if there was no
    /// token (§3.1).
    pub fn www_authenticate(&self) -> Option<HeaderValue> {
        match self {
            Self::KeysUnavailable => None,
            Self::Missing { .. } => Some(HeaderValue::from_static("Bearer")),
            _ => HeaderValue::try_from(format!(
                "Bearer error=\"invalid_token\", error_description=\"{self}\""
            ))
            .ok(),
        }
    }

    pub fn reason(&self) -> Reason {
        match self {
            Self::Missing { .. } => Reason::TokenMissing,
            Self::Header { .. } => Reason::TokenHeader,
            Self::TooLong { .. } => Reason::TokenTooLong,
            Self::Opaque { .. } | Self::Malformed(_) => Reason::TokenMalformed,
            Self::First { error, .. } => error.reason(),
            Self::Issuer => Reason::TokenIssuer,
            Self::Algorithm => Reason::TokenAlgorithm,
            Self::UnknownKey | Self::Ambiguous => Reason::TokenKey,
            Self::Signature => Reason::TokenSignature,
            Self::Expired => Reason::TokenExpired,
            Self::NotYetValid => Reason::TokenNotYetValid,
            Self::Lifetime => Reason::TokenLifetime,
            Self::Audience => Reason::TokenAudience,
            Self::AuthorizedParty => Reason::TokenAuthorizedParty,
            Self::Claims(_) => Reason::TokenClaims,
            Self::KeysUnavailable => Reason::KeysUnavailable,
        }
    }
}

/// Why `tokens` of the config cannot be used; for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidTokens {
    /// An issuer's `jwks_file`, `pem_file` or `hmac_secret`.
    #[error("issuer {issuer}: {why}")]
    Keys {
        issuer: Arc<str>,
        /// The problem, for the operator.
        why: String,
    },
    /// An entry of `tokens.sources`.
    #[error("tokens.sources: `{0}` is not a valid header name")]
    Header(String),
    /// Keys are refreshed by tasks, so there must be a tokio runtime.
    #[error("keys cannot be fetched outside of an asynchronous runtime")]
    NoRuntime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenge_names_the_error_only_if_there_was_a_token() {
        let missing = AuthError::Missing {
            expected: "`authorization: Bearer <token>`".into(),
        };
        assert_eq!(missing.www_authenticate().unwrap(), "Bearer");
        assert_eq!(
            AuthError::Expired.www_authenticate().unwrap(),
            "Bearer error=\"invalid_token\", \
             error_description=\"the token has expired: get a new one\""
        );
        let first = AuthError::First {
            error: Box::new(AuthError::Audience),
            used: HeaderName::from_static("authorization"),
            unused: HeaderName::from_static("x-id-token"),
        };
        assert_eq!(
            (first.status(), first.reason()),
            (StatusCode::UNAUTHORIZED, Reason::TokenAudience)
        );
        assert!(
            first
                .to_string()
                .contains("list x-id-token first in tokens.sources")
        );
        assert_eq!(AuthError::KeysUnavailable.www_authenticate(), None);
        assert_eq!(AuthError::KeysUnavailable.status(), 503);
        assert_eq!(AuthError::Signature.status(), 401);
    }
}
