//! `cache`: responses to metric queries that are cached for a short time.

use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};
use serde::Serialize;

use super::limits::Limits;
use crate::config::files;
use crate::config::reader::{Field, Read, Reader};
use crate::config::secret::Secret;
use crate::config::serialize;
use crate::config::values::{GIB, MIB, count, positive_duration, secret, short_name, size};

/// `cache`: responses to metric queries that are cached for a short time. Without it none are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cache {
    /// `ttl`: the maximum age of a response, default 30 s.
    #[serde(serialize_with = "serialize::duration")]
    pub ttl: Duration,
    /// `max_answer_bytes`: larger responses are not cached, default 4 MiB.
    pub max_answer_bytes: usize,
    /// Where they are cached.
    #[serde(flatten)]
    pub store: CacheStore,
}

/// Where responses are cached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum CacheStore {
    /// `memory_bytes`: in this process, at most this many bytes, default 64 MiB. They count against
    /// `limits.buffered_bytes`.
    #[serde(rename = "memory_bytes")]
    Memory(usize),
    /// `redis`: in Redis, shared by several replicas.
    #[serde(rename = "redis")]
    Redis(Redis),
}

/// `cache.redis`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redis {
    /// `url` or `url_file`: `redis://user:password@host:port/database`, `rediss://` for TLS.
    pub url: Secret,
    /// `database`: its number, default the URL's or 0.
    pub database: Option<u32>,
    /// `cluster`: part of every key, to separate deployments that share a Redis; `[a-z0-9-]`, at
    /// most 63 characters, default `default`.
    pub cluster: Box<str>,
    /// `ca_file`: the trusted authorities for `rediss://`, as PEM; default the system's.
    #[serde(rename = "ca_file", serialize_with = "serialize::hidden_if_any")]
    pub authorities: Option<Box<str>>,
    /// `timeout`: for connecting and for each command, default 250 ms.
    #[serde(serialize_with = "serialize::duration")]
    pub timeout: Duration,
}

const MEMORY: usize = 64 * 1024 * 1024;
const ANSWER: usize = 4 * 1024 * 1024;

/// Longer would not be a cache of current data.
const LONGEST: Duration = Duration::from_hours(1);

/// `limits` are the file's own, unless they have an error.
pub(super) fn cache(r: &mut Reader<'_>, field: &Field<'_>, limits: Option<Limits>) -> Read<Cache> {
    let mut section = r.section(field)?;
    let ttl = section.or(r, "ttl", Duration::from_secs(30), |r, field| {
        let ttl = positive_duration(r, field)?;
        if ttl > LONGEST {
            return Err(r.error(field, "must be at most an hour (1h)"));
        }
        Ok(ttl)
    });
    let redis = section.optional(r, "redis", redis);
    // Cached responses are bodies in memory too, and the others need space.
    let most = limits.unwrap_or_default().buffered_bytes / 2;
    let memory = section.or(r, "memory_bytes", MEMORY.min(most), |r, field| {
        if redis != Ok(None) {
            return Err(r.error(
                field,
                "has no effect with `redis`, where responses are cached instead",
            ));
        }
        let bytes = size(r, field, MIB..=16 * GIB)?;
        if bytes > most {
            return Err(r.error(field, "must be at most half of limits.buffered_bytes"));
        }
        Ok(bytes)
    });
    // A response as large as the memory would displace all others.
    let largest = match (&redis, &memory) {
        (Ok(None), Ok(memory)) => *memory / 4,
        _ => usize::MAX,
    };
    let answer = section.or(r, "max_answer_bytes", ANSWER.min(largest), |r, field| {
        let bytes = size(r, field, 1..=GIB)?;
        if bytes > largest {
            return Err(r.error(field, "must be at most a quarter of memory_bytes"));
        }
        Ok(bytes)
    });
    section.finish(r)?;
    Ok(Cache {
        ttl: ttl?,
        max_answer_bytes: answer?,
        store: match redis? {
            Some(redis) => CacheStore::Redis(redis),
            None => CacheStore::Memory(memory?),
        },
    })
}

fn redis(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Redis> {
    let mut section = r.section(field)?;
    let url = section.exactly_one(
        r,
        &[
            ("url", |r, field| {
                let url = secret(r, field)?;
                let is_tls = checked(r, field, &url)?;
                Ok((url, is_tls))
            }),
            ("url_file", |r, field| {
                let url = files::secret(r, field)?;
                let is_tls = checked(r, field, &url)?;
                Ok((url, is_tls))
            }),
        ],
    );
    let database = section.optional(r, "database", |r, field| {
        let number = count(r, field, 0..=1_000_000)?;
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    });
    let cluster = section.or(r, "cluster", "default".into(), cluster);
    let authorities = section.optional(r, "ca_file", |r, field| {
        if matches!(url, Ok((_, false))) {
            return Err(r.error(field, "has no effect: the url is not rediss://"));
        }
        files::authorities(r, field)?;
        Ok(files::content(r, field)?.1.into())
    });
    let timeout = section.or(r, "timeout", Duration::from_millis(250), positive_duration);
    section.finish(r)?;
    Ok(Redis {
        url: url?.0,
        database: database?,
        cluster: cluster?,
        authorities: authorities?,
        timeout: timeout?,
    })
}

/// Whether it is reached over TLS. The URL may hold a password, so an error does not show it.
fn checked(r: &mut Reader<'_>, field: &Field<'_>, url: &Secret) -> Read<bool> {
    let message = "must be a Redis URL: redis://host:port or, with TLS, rediss://host:port; a \
                   user, a password and a database may be in it";
    // The redis crate skips the verification of certificates for `#insecure`, which the config
    // does not offer.
    if url.expose().contains('#') {
        return Err(r.error(field, message));
    }
    let info = url.expose().into_connection_info();
    match info.as_ref().map(ConnectionInfo::addr) {
        Ok(ConnectionAddr::Tcp(..)) => Ok(false),
        Ok(ConnectionAddr::TcpTls { .. }) => Ok(true),
        _ => Err(r.error(field, message)),
    }
}

fn cluster(r: &mut Reader<'_>, field: &Field<'_>) -> Read<Box<str>> {
    short_name(r, field).map(Into::into)
}
