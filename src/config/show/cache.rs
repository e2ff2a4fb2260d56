//! `cache`.

use super::tree::{Tree, map};
use super::{HIDDEN, duration};
use crate::config::settings::{Cache, CacheStore, Redis};

pub(super) fn cache(cache: &Cache) -> Tree {
    let Cache {
        ttl,
        max_answer_bytes,
        store,
    } = cache;
    let (memory, redis) = match store {
        CacheStore::Memory(bytes) => (Tree::plain(bytes), Tree::Absent),
        CacheStore::Redis(redis) => (Tree::Absent, redis_tree(redis)),
    };
    map([
        ("ttl", duration(*ttl)),
        ("max_answer_bytes", Tree::plain(max_answer_bytes)),
        ("memory_bytes", memory),
        ("redis", redis),
    ])
}

fn redis_tree(redis: &Redis) -> Tree {
    let Redis {
        url,
        database,
        cluster,
        authorities,
        timeout,
    } = redis;
    let authorities = authorities.as_ref().map(|_| Tree::text(HIDDEN));
    map([
        ("url", Tree::secret(url)),
        ("database", database.map_or(Tree::Absent, Tree::plain)),
        ("cluster", Tree::text(cluster)),
        ("ca_file", authorities.unwrap_or(Tree::Absent)),
        ("timeout", duration(*timeout)),
    ])
}
