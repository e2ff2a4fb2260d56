//! The store of cached responses.

use std::sync::Arc;

use super::key::CacheKey;
use super::memory::Memory;
use super::redis::{InvalidRedis, Redis};
use super::response::{CachedResponse, FlushEpoch, StoreLookup};
use crate::body::budget::Budget;
use crate::config::settings::{Cache, CacheStore};
use crate::telemetry::metrics::Metrics;

pub(super) enum Store {
    Memory(Memory),
    Redis(Box<Redis>),
}

impl Store {
    pub(super) fn new(settings: &Cache) -> Result<Self, InvalidRedis> {
        Ok(match &settings.store {
            CacheStore::Memory(bytes) => Self::Memory(Memory::new(settings, *bytes)),
            CacheStore::Redis(redis) => Self::Redis(Box::new(Redis::new(settings, redis)?)),
        })
    }

    pub(super) async fn get(
        &self,
        cache_key: &CacheKey,
        budget: &Budget,
        metrics: &Metrics,
    ) -> StoreLookup {
        match self {
            Self::Memory(memory) => memory.get(cache_key),
            Self::Redis(redis) => redis.get(cache_key, budget, metrics).await,
        }
    }

    /// Stores a response that was looked up in this epoch.
    pub(super) async fn put(
        &self,
        cache_key: &CacheKey,
        epoch: FlushEpoch,
        cached: &Arc<CachedResponse>,
        budget: &Budget,
        metrics: &Metrics,
    ) {
        match self {
            Self::Memory(memory) => memory.put(cache_key, epoch, cached),
            Self::Redis(redis) => redis.put(cache_key, epoch, cached, budget, metrics).await,
        }
    }

    /// The bytes cached in this process's memory.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Memory(memory) => memory.bytes(),
            Self::Redis(_) => 0,
        }
    }

    pub(super) async fn flush(
        &self,
        upstream: Option<&str>,
        metrics: &Metrics,
    ) -> Result<(), String> {
        match self {
            Self::Memory(memory) => {
                memory.flush(upstream);
                Ok(())
            }
            Self::Redis(redis) => redis.flush(upstream, metrics).await,
        }
    }
}
