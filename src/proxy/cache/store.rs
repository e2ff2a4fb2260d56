//! Where answers are kept.

use std::sync::Arc;

use super::key::Question;
use super::memory::Memory;
use super::redis::{InvalidRedis, Redis};
use super::response::{Kept, Looked, Ticket};
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
        question: &Question,
        budget: &Budget,
        metrics: &Metrics,
    ) -> Looked {
        match self {
            Self::Memory(memory) => memory.get(question),
            Self::Redis(redis) => redis.get(question, budget, metrics).await,
        }
    }

    /// Keeps an answer to a question that was asked with this ticket.
    pub(super) async fn put(
        &self,
        question: &Question,
        ticket: Ticket,
        kept: &Arc<Kept>,
        budget: &Budget,
        metrics: &Metrics,
    ) {
        match self {
            Self::Memory(memory) => memory.put(question, ticket, kept),
            Self::Redis(redis) => redis.put(question, ticket, kept, budget, metrics).await,
        }
    }

    /// What is kept in this process's memory.
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
