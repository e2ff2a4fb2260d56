//! `cache`.

use std::time::Duration;

use super::Secret;

/// `cache`: answers to metric queries that are kept for a while. Without it none is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// `ttl`: how old an answer may be, default 30 s.
    pub ttl: Duration,
    /// `max_answer_bytes`: larger answers are not kept, default 4 MiB.
    pub max_answer_bytes: usize,
    /// Where they are kept.
    pub store: CacheStore,
}

/// Where answers are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheStore {
    /// `memory_bytes`: here, at most so many bytes, default 64 MiB. They count as
    /// `limits.buffered_bytes` too.
    Memory(usize),
    /// `redis`: there, for several replicas.
    Redis(Redis),
}

/// `cache.redis`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// `url` or `url_file`: `redis://user:password@host:port/database`, `rediss://` for TLS.
    pub url: Secret,
    /// `database`: its number, default that of the url or 0.
    pub database: Option<u32>,
    /// `cluster`: a part of every key, for those who share a Redis but not their answers;
    /// `[a-z0-9-]`, at most 63 characters, default `default`.
    pub cluster: Box<str>,
    /// `ca_file`: whose certificates are believed behind `rediss://`, as PEM; default the
    /// system's authorities.
    pub authorities: Option<Box<str>>,
    /// `timeout`: of a connection and of each command, default 250 ms.
    pub timeout: Duration,
}
