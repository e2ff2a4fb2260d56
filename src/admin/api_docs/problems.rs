//! The meaning of errors, for clients.

use crate::proxy::error::ErrorKind;

/// What every call of a data API may be answered.
pub(super) const ANY: [ErrorKind; 15] = [
    ErrorKind::BadRequest,
    ErrorKind::Unauthenticated,
    ErrorKind::Forbidden,
    ErrorKind::MethodNotAllowed,
    ErrorKind::TooLarge,
    ErrorKind::UriTooLong,
    ErrorKind::HeadersTooLarge,
    ErrorKind::TooManyRequests,
    ErrorKind::Internal,
    ErrorKind::UpstreamUnreachable,
    ErrorKind::UpstreamCredentials,
    ErrorKind::UpstreamAnswer,
    ErrorKind::Overloaded,
    ErrorKind::KeysUnavailable,
    ErrorKind::UpstreamTimeout,
];

/// Further errors of calls with a body.
pub(super) const OF_BODY: [ErrorKind; 2] =
    [ErrorKind::RequestTimeout, ErrorKind::UnsupportedMediaType];

pub(super) fn meaning(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::BadRequest => {
            "The request is ambiguous, or a query or parameter is not well \
             formed."
        }
        ErrorKind::Unauthenticated => "There is no token, or it is not valid.",
        ErrorKind::Forbidden => {
            "The token has no tenants, or what the query names, a parameter or the endpoint is \
             not the caller's to use."
        }
        ErrorKind::MethodNotAllowed => {
            "The endpoint does not support this method; `Allow` lists those it does."
        }
        ErrorKind::NotAcceptable => "The endpoint has no response in an accepted format.",
        ErrorKind::NotFound => "There is no such silence, or none that is the caller's alone.",
        ErrorKind::Unimplemented => "The gRPC method is not served.",
        ErrorKind::RequestTimeout => "The body stalled for longer than `timeouts.body_idle`.",
        ErrorKind::TooLarge => "A body or message is over its limit.",
        ErrorKind::UriTooLong => "Path and query are longer than `limits.uri_bytes`.",
        ErrorKind::HeadersTooLarge => {
            "The headers are longer than `limits.header_bytes`, or too many."
        }
        ErrorKind::Unprocessable => {
            "The query cannot be confined as it is written (`info()`, hints), is over a limit of \
             every query, or asks for a longer range, more points or smaller steps than \
             `tenant_limits` allow."
        }
        ErrorKind::TooManyRequests => {
            "A tenant of the caller sends too many requests, too often or at once; `Retry-After` says when \
             to come back."
        }
        ErrorKind::UnsupportedMediaType => "The body has an unsupported type or encoding.",
        ErrorKind::Overloaded => {
            "Partywall is at one of its own `limits`; `Retry-After` says when to retry."
        }
        ErrorKind::KeysUnavailable => {
            "The issuer's keys could not be fetched, so no token can be verified."
        }
        ErrorKind::UpstreamUnreachable => {
            "The upstream cannot be reached, or closed the connection early."
        }
        ErrorKind::UpstreamCredentials => "The upstream does not accept Partywall's credentials.",
        ErrorKind::UpstreamAnswer => {
            "The upstream's answer is not what the API promises or is too large, so it is not \
             passed on."
        }
        ErrorKind::UpstreamTimeout => "The upstream took longer than its `timeouts`.",
        ErrorKind::Internal => "A defect of Partywall; please report it.",
    }
}
