//! `tokens`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Secret;

/// `tokens`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokens {
    /// `sources`: headers a token is looked for in, in order; the first that is present decides.
    /// Default: `Authorization` (scheme Bearer), then `X-Id-Token`.
    pub sources: Vec<TokenSource>,
    /// `issuers`: at least one; issuer names are unique.
    pub issuers: Vec<Issuer>,
    /// `cache_entries`: verified tokens kept, default 10 000.
    pub cache_entries: usize,
    /// `max_bytes`: the longest token, default 16 KiB.
    pub max_bytes: usize,
}

/// One entry of `tokens.sources`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSource {
    /// `header`: lower case.
    pub header: String,
    /// `scheme`: the authentication scheme before the token, matched without case
    /// (RFC 9110 §11.1); `None` where the header is the bare token. Default: `Bearer` for
    /// `Authorization`, none for others.
    pub scheme: Option<String>,
}

/// One entry of `tokens.issuers`.
#[derive(Clone, Debug, PartialEq)]
pub struct Issuer {
    /// `issuer`: the exact `iss`.
    pub issuer: Arc<str>,
    /// `audiences`: one of these must be in `aud`; not empty.
    pub audiences: Vec<String>,
    /// `algorithms`: what a token may be signed with; not empty. All of one family (HMAC secrets
    /// never with public keys).
    pub algorithms: Vec<Algorithm>,
    /// `authorized_parties`: if not empty, `azp` (or `client_id`) must be one of these.
    pub authorized_parties: Vec<String>,
    /// `leeway`: how far clocks may disagree, default 30 s, at most 5 min.
    pub leeway: Duration,
    /// `max_lifetime`: the longest time from `iat` to `exp`; where a token has no `iat`, from now.
    /// `None` for no bound.
    pub max_lifetime: Option<Duration>,
    /// Where the keys are.
    pub keys: KeySource,
    /// `refresh_interval`: how often remote keys are fetched, default 5 min.
    pub refresh_interval: Duration,
    /// `max_stale`: how long keys outlive the last good fetch, default 24 h.
    pub max_stale: Duration,
}

/// Signature algorithms by their names in RFC 7518 §3.1 and RFC 8037 (`EdDSA`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    /// Every algorithm with its registered name.
    pub const ALL: [(&'static str, Self); 12] = [
        ("HS256", Self::HS256),
        ("HS384", Self::HS384),
        ("HS512", Self::HS512),
        ("RS256", Self::RS256),
        ("RS384", Self::RS384),
        ("RS512", Self::RS512),
        ("PS256", Self::PS256),
        ("PS384", Self::PS384),
        ("PS512", Self::PS512),
        ("ES256", Self::ES256),
        ("ES384", Self::ES384),
        ("EdDSA", Self::EdDSA),
    ];

    /// Whether it is one of the symmetric HMAC algorithms.
    pub fn is_hmac(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

/// Where an issuer's keys are; exactly one of these keys is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `discovery: true`: `{issuer}/.well-known/openid-configuration` (OpenID Connect Discovery
    /// 1.0 §4).
    Discovery {
        /// `ca_file`
        ca_file: Option<PathBuf>,
        /// `bearer_token_file`: shown to the provider (Kubernetes' API server asks for it).
        bearer_token_file: Option<PathBuf>,
    },
    /// `jwks_url`
    JwksUrl {
        /// An absolute `http` or `https` URL.
        url: String,
        /// `ca_file`
        ca_file: Option<PathBuf>,
        /// `bearer_token_file`
        bearer_token_file: Option<PathBuf>,
    },
    /// `jwks_file`: the text of the file, read with the config.
    Jwks(String),
    /// `pem_file`: the text of the file: public keys or certificates.
    Pem(String),
    /// `hmac_secret` or `hmac_secret_file`: at least as long as the longest hash among the
    /// algorithms, so 32 to 64 bytes (RFC 7518 §3.2).
    Hmac(Secret),
}
