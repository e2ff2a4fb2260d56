//! `tokens`: whose tokens are trusted.

mod issuers;

use std::sync::Arc;

use serde::Serialize;

pub use self::issuers::{Algorithm, Issuer, KeySource};
use crate::config::reader::{Field, Read, Reader};
use crate::config::values::{KIB, MIB, count, size, text};

/// `tokens`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tokens {
    /// `sources`: headers that may contain the token, in order; the first that is present decides.
    /// Default: `Authorization` (scheme Bearer), then `X-Id-Token`.
    pub sources: Vec<TokenSource>,
    /// `issuers`: at least one; issuer names are unique.
    pub issuers: Vec<Issuer>,
    /// `cache_entries`: cached verified tokens, default 10 000.
    pub cache_entries: usize,
    /// `max_bytes`: the longest token, default 16 KiB.
    pub max_bytes: usize,
}

/// One entry of `tokens.sources`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenSource {
    /// `header`: lower case.
    pub header: String,
    /// `scheme`: the authentication scheme before the token, compared without case (RFC 9110
    /// §11.1); `None` if the header is the bare token. Default: `Bearer` for `Authorization`, none
    /// for others.
    pub scheme: Option<String>,
}

/// Headers about how and over which hop a message is sent (RFC 9110 §7, RFC 9112), and cookies,
/// several of which share one header (RFC 6265 §4.2.1).
const MEANT_OTHERWISE: [&str; 17] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// The tokens, and the issuers' names even if something else has an error.
pub(super) struct TokensAndIssuers {
    pub(super) all: Read<Tokens>,
    pub(super) issuers: Read<Vec<Arc<str>>>,
}

pub(super) fn tokens(r: &mut Reader<'_>, field: &Field<'_>) -> Read<TokensAndIssuers> {
    let mut section = r.section(field)?;
    let sources = section.optional(r, "sources", sources);
    let issuers = section.required(r, "issuers", issuers::issuers);
    let cache_entries = section.or(r, "cache_entries", 10_000, |r, field| {
        count(r, field, 1..=10_000_000)
    });
    let max_bytes = section.or(r, "max_bytes", 16 * 1024, |r, field| {
        size(r, field, KIB..=MIB)
    });
    let finished = section.finish(r);
    let (issuers, names) = match issuers {
        Ok(issuers) => (issuers.all, issuers.names),
        Err(reported) => (Err(reported), Err(reported)),
    };
    let all = || {
        finished?;
        Ok(Tokens {
            sources: sources?.unwrap_or_else(default_sources),
            issuers: issuers?,
            cache_entries: cache_entries?,
            max_bytes: max_bytes?,
        })
    };
    Ok(TokensAndIssuers {
        all: all(),
        issuers: names,
    })
}

/// `Authorization`, and the header in which Grafana sends an ID token.
fn default_sources() -> Vec<TokenSource> {
    ["authorization", "x-id-token"]
        .into_iter()
        .map(|header| TokenSource {
            header: header.into(),
            scheme: default_scheme(header),
        })
        .collect()
}

fn default_scheme(header: &str) -> Option<String> {
    (header == "authorization").then(|| "Bearer".into())
}

fn sources(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Vec<TokenSource>> {
    let sources = r.some_of(field, source)?;
    r.distinct(
        "each header can be looked at once",
        sources
            .iter()
            .map(|(field, source)| (field.clone(), &source.header)),
    )?;
    Ok(sources.into_iter().map(|(_, source)| source).collect())
}

fn source<'n>(r: &mut Reader<'_>, field: &Field<'n>) -> Read<(Field<'n>, TokenSource)> {
    let mut section = r.section(field)?;
    let header = section.required(r, "header", |r, field| {
        let header = http_token(r, field)?.to_ascii_lowercase();
        if MEANT_OTHERWISE.contains(&&*header) {
            let message = "HTTP itself gives this header a meaning, so it never holds a bare \
                           token: choose `authorization` or a header of your own";
            return Err(r.error(field, message));
        }
        Ok((field.clone(), header))
    });
    let scheme = section.optional(r, "scheme", http_token);
    section.finish(r)?;
    let (field, header) = header?;
    let scheme = scheme?.or_else(|| default_scheme(&header));
    Ok((field, TokenSource { header, scheme }))
}

/// The name of a header or of an authentication scheme: a token by RFC 9110 §5.6.2.
fn http_token(r: &mut Reader<'_>, field: &Field<'_>) -> Read<String> {
    let token = text(r, field)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if token.len() > 128 || !token.bytes().all(allowed) {
        let message = "must be letters, digits and hyphens, at most 128";
        return Err(r.error(field, message));
    }
    Ok(token)
}
