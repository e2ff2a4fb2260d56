//! Cached responses in this process's memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tokio::time::Instant;

use super::key::{CacheKey, KeyHash};
use super::response::{CacheHit, CachedResponse, FlushEpoch, StoreLookup};
use crate::config::settings::Cache as Settings;

/// Bounded by bytes. An expired entry stays until it is looked up or displaced.
pub(super) struct Memory {
    answers: Cache<KeyHash, Entry, ByBytes>,
    ttl: Duration,
    flushes: Mutex<Flushes>,
}

/// How many flushes there were of all upstreams, and of each single one.
#[derive(Default)]
struct Flushes {
    all: u64,
    of_upstream: HashMap<Box<str>, u64>,
}

#[derive(Clone)]
struct Entry {
    cached: Arc<CachedResponse>,
    upstream: Arc<str>,
    made: Instant,
}

impl Memory {
    pub(super) fn new(settings: &Settings, bytes: usize) -> Self {
        /// The size of a dashboard panel's response.
        const TYPICAL: usize = 16 * 1024;
        // Each shard has its share of the bytes, which must hold the largest response.
        let largest = settings.max_answer_bytes.max(1);
        let shards = 1 << (bytes / largest / 4).clamp(1, 16).ilog2();
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity((bytes / TYPICAL).max(1))
            .weight_capacity(bytes as u64)
            .build();
        let answers = match options {
            Ok(options) => Cache::with_options(
                options,
                ByBytes,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            ),
            // Fails only if a parameter is missing; all are given.
            Err(_) => Cache::with_weighter((bytes / TYPICAL).max(1), bytes as u64, ByBytes),
        };
        Self {
            answers,
            ttl: settings.ttl,
            flushes: Mutex::default(),
        }
    }

    pub(super) fn get(&self, cache_key: &CacheKey) -> StoreLookup {
        let epoch = Some(self.epoch(&cache_key.upstream));
        let is_old = |entry: &Entry| entry.made.elapsed() >= self.ttl;
        let found = self.answers.get(&cache_key.key).and_then(|entry| {
            if is_old(&entry) {
                self.answers.remove_if(&cache_key.key, is_old);
                return None;
            }
            let age = Some(entry.made.elapsed());
            Some(CacheHit {
                cached: entry.cached,
                age,
            })
        });
        StoreLookup { found, epoch }
    }

    pub(super) fn put(
        &self,
        cache_key: &CacheKey,
        epoch: FlushEpoch,
        cached: &Arc<CachedResponse>,
    ) {
        let entry = Entry {
            cached: Arc::clone(cached),
            upstream: Arc::clone(&cache_key.upstream),
            made: Instant::now(),
        };
        self.answers.insert(cache_key.key, entry);
        // Not before it is inserted: a flush after this removes it itself.
        if self.epoch(&cache_key.upstream) != epoch {
            self.answers.remove(&cache_key.key);
        }
    }

    pub(super) fn flush(&self, upstream: Option<&str>) {
        {
            let mut flushes = self.flushes();
            match upstream {
                None => flushes.all += 1,
                Some(upstream) => *flushes.of_upstream.entry(upstream.into()).or_default() += 1,
            }
        }
        self.answers
            .retain(|_, entry| upstream.is_some_and(|flushed| flushed != &*entry.upstream));
    }

    /// The bytes of all entries.
    pub(super) fn bytes(&self) -> u64 {
        self.answers.weight()
    }

    fn epoch(&self, upstream: &str) -> FlushEpoch {
        let flushes = self.flushes();
        let of_upstream = flushes.of_upstream.get(upstream).copied();
        let counts = [flushes.all, of_upstream.unwrap_or_default()];
        let mut epoch = FlushEpoch([0; 32]);
        for (to, count) in epoch.0.chunks_exact_mut(8).zip(counts) {
            to.copy_from_slice(&count.to_be_bytes());
        }
        epoch
    }

    fn flushes(&self) -> MutexGuard<'_, Flushes> {
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<KeyHash, Entry> for ByBytes {
    fn weight(&self, _key: &KeyHash, entry: &Entry) -> u64 {
        entry.cached.weight() as u64
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::HeaderMap;

    use super::*;
    use crate::config::settings::CacheStore;

    const MIB: usize = 1024 * 1024;

    fn memory(bytes: usize, max_answer_bytes: usize) -> Memory {
        let settings = Settings {
            ttl: Duration::from_secs(30),
            max_answer_bytes,
            store: CacheStore::Memory(bytes),
        };
        Memory::new(&settings, bytes)
    }

    fn cache_key(number: u8, upstream: &str) -> CacheKey {
        CacheKey {
            key: KeyHash([number; 32]),
            upstream: upstream.into(),
        }
    }

    fn cached(bytes: usize) -> Arc<CachedResponse> {
        Arc::new(CachedResponse {
            headers: HeaderMap::new(),
            body: Bytes::from(vec![b'x'; bytes]),
        })
    }

    fn put(memory: &Memory, cache_key: &CacheKey, bytes: usize) {
        let epoch = memory.get(cache_key).epoch.unwrap();
        memory.put(cache_key, epoch, &cached(bytes));
    }

    fn has(memory: &Memory, cache_key: &CacheKey) -> bool {
        memory.get(cache_key).found.is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn response_is_served_until_it_expires() {
        let memory = memory(MIB, 1000);
        let one = cache_key(1, "a");
        put(&memory, &one, 10);
        tokio::time::advance(Duration::from_millis(29_999)).await;
        let age = memory.get(&one).found.unwrap().age.unwrap();
        assert_eq!(age, Duration::from_millis(29_999));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!has(&memory, &one));
        assert_eq!(memory.bytes(), 0, "and then it is gone");
    }

    #[test]
    fn flush_removes_one_upstreams_responses_or_all() {
        let memory = memory(MIB, 1000);
        let (one, other) = (cache_key(1, "a"), cache_key(2, "b"));
        put(&memory, &one, 10);
        put(&memory, &other, 10);
        memory.flush(Some("a"));
        assert!(!has(&memory, &one) && has(&memory, &other));
        memory.flush(None);
        assert!(!has(&memory, &other));
        assert_eq!(memory.bytes(), 0);
    }

    #[test]
    fn response_requested_before_a_flush_is_not_cached() {
        let memory = memory(MIB, 1000);
        let one = cache_key(1, "a");
        let epoch = memory.get(&one).epoch.unwrap();
        memory.flush(Some("a"));
        memory.put(&one, epoch, &cached(10));
        assert!(!has(&memory, &one));
    }

    #[test]
    fn response_requested_before_the_flush_of_another_upstream_is_cached() {
        let memory = memory(MIB, 1000);
        let one = cache_key(1, "a");
        let epoch = memory.get(&one).epoch.unwrap();
        memory.flush(Some("b"));
        memory.put(&one, epoch, &cached(10));
        assert!(has(&memory, &one));
    }

    #[test]
    fn largest_response_fits_and_the_total_is_bounded() {
        for (bytes, largest) in [(MIB, MIB / 4), (16 * MIB, 4 * MIB), (64 * MIB, 100_000)] {
            let memory = memory(bytes, largest);
            for number in 0..200 {
                let cache_key = cache_key(number, "a");
                put(&memory, &cache_key, largest);
                assert!(has(&memory, &cache_key), "{number} of {largest} in {bytes}");
                assert!(memory.bytes() <= bytes as u64);
            }
        }
    }
}
