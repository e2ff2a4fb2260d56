//! Caches verified tokens, so that a token's signature is not verified with every request.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use hyper::header::HeaderName;
use quick_cache::sync::Cache;

use super::claims::Validity;
use super::principal::Caller;

/// Callers by their token. Failures are not cached, so that guessed tokens cannot fill the cache.
pub(super) struct TokenCache(Cache<Key, Arc<Entry>>);

/// A token's digest, so that the cache holds no usable token, and the header that it was in, which is
/// part of the caller.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    digest: [u8; 32],
    header: HeaderName,
}

pub(super) struct Entry {
    pub(super) caller: Arc<Caller>,
    pub(super) validity: Validity,
    /// The issuer's index among the configured issuers.
    pub(super) issuer: usize,
    /// The generation of the issuer's keys by which the signature was verified.
    pub(super) generation: u64,
}

impl Key {
    pub(super) fn for_token(token: &str, header: &HeaderName) -> Self {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self {
            digest: sha256,
            header: header.clone(),
        }
    }
}

impl TokenCache {
    pub(super) fn new(entries: usize) -> Self {
        Self(Cache::new(entries))
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.0.get(key)
    }

    pub(super) fn insert(&self, key: Key, entry: Entry) {
        self.0.insert(key, Arc::new(entry));
    }

    pub(super) fn remove(&self, key: &Key) {
        self.0.remove(key);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
