//! `tokens`.

use std::path::PathBuf;

use super::tree::{Tree, list, map};
use super::{HIDDEN, duration, path, url};
use crate::config::settings::{Algorithm, Issuer, KeySource, TokenSource, Tokens};

pub(super) fn tokens(tokens: &Tokens) -> Tree {
    let Tokens {
        sources,
        issuers,
        cache_entries,
        max_bytes,
    } = tokens;
    map([
        ("sources", list(sources, source)),
        ("issuers", list(issuers, issuer)),
        ("cache_entries", Tree::plain(cache_entries)),
        ("max_bytes", Tree::plain(max_bytes)),
    ])
}

fn source(TokenSource { header, scheme }: &TokenSource) -> Tree {
    map([
        ("header", Tree::text(header)),
        ("scheme", scheme.as_ref().map_or(Tree::Absent, Tree::text)),
    ])
}

fn issuer(issuer: &Issuer) -> Tree {
    let Issuer {
        issuer,
        audiences,
        algorithms,
        authorized_parties,
        leeway,
        max_lifetime,
        keys,
        refresh_interval,
        max_stale,
    } = issuer;
    let mut entries = vec![
        ("issuer", Tree::text(issuer)),
        ("audiences", list(audiences, Tree::text)),
        ("algorithms", list(algorithms, |name| algorithm(*name))),
    ];
    if !authorized_parties.is_empty() {
        entries.push(("authorized_parties", list(authorized_parties, Tree::text)));
    }
    entries.push(("leeway", duration(*leeway)));
    let max_lifetime = max_lifetime.map_or(Tree::Absent, duration);
    entries.push(("max_lifetime", max_lifetime));
    entries.extend(key_source(keys));
    entries.extend([
        ("refresh_interval", duration(*refresh_interval)),
        ("max_stale", duration(*max_stale)),
    ]);
    map(entries)
}

fn algorithm(algorithm: Algorithm) -> Tree {
    let mut names = Algorithm::ALL.iter();
    let name = names.find(|(_, known)| *known == algorithm);
    Tree::text(name.map_or("", |(name, _)| name))
}

fn key_source(keys: &KeySource) -> Vec<(&'static str, Tree)> {
    match keys {
        KeySource::Discovery {
            ca_file,
            bearer_token_file,
        } => remote(
            ("discovery", Tree::plain(true)),
            ca_file.as_ref(),
            bearer_token_file.as_ref(),
        ),
        KeySource::JwksUrl {
            url: jwks_url,
            ca_file,
            bearer_token_file,
        } => remote(
            ("jwks_url", url(jwks_url)),
            ca_file.as_ref(),
            bearer_token_file.as_ref(),
        ),
        // Settings hold what the files say, not where they are.
        KeySource::Jwks(_) => vec![("jwks_file", Tree::text(HIDDEN))],
        KeySource::Pem(_) => vec![("pem_file", Tree::text(HIDDEN))],
        KeySource::Hmac(secret) => vec![("hmac_secret", Tree::secret(secret))],
    }
}

fn remote(
    source: (&'static str, Tree),
    ca_file: Option<&PathBuf>,
    bearer_token_file: Option<&PathBuf>,
) -> Vec<(&'static str, Tree)> {
    let file = |file: Option<&PathBuf>| file.map_or(Tree::Absent, |file| path(file));
    vec![
        source,
        ("ca_file", file(ca_file)),
        ("bearer_token_file", file(bearer_token_file)),
    ]
}
