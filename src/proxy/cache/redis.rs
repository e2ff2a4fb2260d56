//! Cached responses in Redis, for several replicas. While it cannot be reached, nothing is cached:
//! that is logged once, counted, and never an error to a client.
//!
//! | key | value |
//! |---|---|
//! | `partywall:CLUSTER:answer:HASH` | a response, see `response` |
//! | `partywall:CLUSTER:flushed` | random bytes, set by each flush of everything; absent before the first |
//! | `partywall:CLUSTER:flushed:UPSTREAM` | the same, for one upstream |

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _, Pipeline, RedisError,
    TlsCertificates,
};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::key::{CacheKey, KeyHash};
use super::response::{self, CacheHit, CachedResponse, FlushEpoch, MAX_HEADER_BYTES, StoreLookup};
use crate::body::budget::Budget;
use crate::config::settings::{Cache, Redis as Settings};
use crate::telemetry::metrics::Metrics;

/// How long a Redis that failed is not used, so that requests do not wait for it.
const PAUSE: Duration = Duration::from_secs(1);

/// How many responses may be fetched at once: until they are here, they are not in the budget.
const MAX_CONCURRENT: usize = 32;

/// Why settings make no client. The config's checks catch most of it earlier.
#[derive(Debug, Error)]
#[error("redis: its url or ca_file cannot be used: {0}")]
pub struct InvalidRedis(#[from] RedisError);

/// A Redis, connected on first use.
pub(super) struct Redis {
    connection: ConnectionManager,
    prefix: String,
    ttl: Duration,
    timeout: Duration,
    max_value_bytes: usize,
    permits: Semaphore,
    state: Mutex<State>,
}

/// The result of the last call.
enum State {
    Up,
    /// One request tries again at this time.
    Down(Instant),
}

impl Redis {
    pub(super) fn new(cache: &Cache, settings: &Settings) -> Result<Self, InvalidRedis> {
        let mut info = settings.url.expose().into_connection_info()?;
        if let Some(database) = settings.database {
            let redis = info.redis_settings().clone().set_db(i64::from(database));
            info = info.set_redis_settings(redis);
        }
        let client = match info.addr() {
            ConnectionAddr::TcpTls { .. } => {
                let root_cert = settings.authorities.as_ref();
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: root_cert.map(|pem| pem.as_bytes().to_vec()),
                };
                Client::build_with_tls(info, certificates)?
            }
            _ => Client::open(info)?,
        };
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(settings.timeout))
            .set_response_timeout(Some(settings.timeout));
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client, config)?,
            prefix: format!("partywall:{}:", settings.cluster),
            ttl: cache.ttl,
            timeout: settings.timeout,
            max_value_bytes: cache.max_answer_bytes + MAX_HEADER_BYTES,
            permits: Semaphore::new(MAX_CONCURRENT),
            state: Mutex::new(State::Up),
        })
    }

    pub(super) async fn get(
        &self,
        cache_key: &CacheKey,
        budget: &Budget,
        metrics: &Metrics,
    ) -> StoreLookup {
        const NOTHING: StoreLookup = StoreLookup {
            found: None,
            epoch: None,
        };
        let Ok(_permit) = self.permits.acquire().await else {
            return NOTHING;
        };
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("MGET")
            .arg(self.flushed(None))
            .arg(self.flushed(Some(&cache_key.upstream)))
            // A longer value was not written by us, and is not fetched whole.
            .cmd("GETRANGE")
            .arg(self.answer(&cache_key.key))
            .arg(0)
            .arg(self.max_value_bytes);
        let got: Option<((Mark, Mark), Vec<u8>)> = self.call(&pipeline, metrics).await;
        let Some(((all, upstream), value)) = got else {
            return NOTHING;
        };
        let epoch = epoch(&[all, upstream]);
        let held = budget.hold(Bytes::from(value)).ok();
        let found = held.and_then(|value| {
            let (cached, age) = response::decode(value, &cache_key.key, &epoch, SystemTime::now())?;
            (age < self.ttl).then(|| CacheHit {
                cached: Arc::new(cached),
                age: Some(age),
            })
        });
        StoreLookup {
            found,
            epoch: Some(epoch),
        }
    }

    pub(super) async fn put(
        &self,
        cache_key: &CacheKey,
        epoch: FlushEpoch,
        cached: &CachedResponse,
        budget: &Budget,
        metrics: &Metrics,
    ) {
        let mut copied = budget.share();
        if copied.resize(cached.weight()).is_err() {
            return;
        }
        let Some(value) = response::encode(cached, &cache_key.key, &epoch, SystemTime::now())
        else {
            return;
        };
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("SET")
            .arg(self.answer(&cache_key.key))
            .arg(value)
            .arg("PX")
            .arg(milliseconds(self.ttl))
            .ignore();
        self.call::<()>(&pipeline, metrics).await;
    }

    /// Responses that were requested before have another epoch from now on, on every replica. The
    /// mark expires after the longest-lived of them.
    pub(super) async fn flush(
        &self,
        upstream: Option<&str>,
        metrics: &Metrics,
    ) -> Result<(), String> {
        let mut mark = [0; 16];
        aws_lc_rs::rand::fill(&mut mark).map_err(|_| "no random bytes are available".to_owned())?;
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("SET")
            .arg(self.flushed(upstream))
            .arg(&mark[..])
            .arg("PX")
            .arg(milliseconds(LONGEST_LIFE))
            .ignore();
        let done = self.call::<()>(&pipeline, metrics).await;
        done.ok_or_else(|| "Redis cannot be reached; the log says why".to_owned())
    }

    /// Runs commands; `None` if that failed, or did lately.
    async fn call<T: FromRedisValue>(&self, pipeline: &Pipeline, metrics: &Metrics) -> Option<T> {
        if !self.may_try() {
            return None;
        }
        let mut connection = self.connection.clone();
        let asking = pipeline.query_async(&mut connection);
        let failure = match tokio::time::timeout(self.timeout, asking).await {
            Ok(Ok(answer)) => {
                self.succeeded();
                return Some(answer);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => format!("no answer within {:?} (cache.redis.timeout)", self.timeout),
        };
        metrics.answers.redis_errors.inc();
        self.failed(&failure);
        None
    }

    fn may_try(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Up => true,
            State::Down(until) if Instant::now() < until => false,
            State::Down(_) => {
                // The others wait for the result of this one.
                *state = State::Down(Instant::now() + PAUSE);
                true
            }
        }
    }

    fn succeeded(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Down(_)) {
            *state = State::Up;
            tracing::info!("Redis answers again: answers are cached");
        }
    }

    fn failed(&self, failure: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Up) {
            tracing::warn!(
                error = failure,
                "Redis cannot be used: no answers are cached until it can"
            );
        }
        *state = State::Down(Instant::now() + PAUSE);
    }

    fn answer(&self, key: &KeyHash) -> String {
        use std::fmt::Write as _;
        let mut name = format!("{}answer:", self.prefix);
        for byte in key.0 {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }

    fn flushed(&self, upstream: Option<&str>) -> String {
        match upstream {
            None => format!("{}flushed", self.prefix),
            Some(upstream) => format!("{}flushed:{upstream}", self.prefix),
        }
    }
}

/// Set by the last flush, if there was one.
type Mark = Option<Vec<u8>>;

/// Longer than any response is cached: `cache.ttl` is at most an hour.
const LONGEST_LIFE: Duration = Duration::from_hours(2);

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The marks of the last flushes side by side; zeros for one that never happened.
fn epoch(marks: &[Mark; 2]) -> FlushEpoch {
    let mut epoch = FlushEpoch([0; 32]);
    for (place, mark) in epoch.0.chunks_mut(16).zip(marks) {
        let mark = mark.as_deref().unwrap_or_default();
        place
            .iter_mut()
            .zip(mark)
            .for_each(|(to, from)| *to = *from);
    }
    epoch
}
