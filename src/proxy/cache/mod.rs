//! Caches responses to metric queries for a short time. They are looked up after enforcement: a
//! denied request never comes here, and the key is the request that would be forwarded, with the
//! caller's scope.
//!
//! | file | one idea |
//! |---|---|
//! | `key` | the request that would be forwarded, its upstream and its scope, as one key |
//! | `response` | a cached response |
//! | `store` | where responses are cached: `memory` or `redis` |
//! | `single_flight` | of simultaneous equal requests one is sent, and the others wait for it |
//! | `fill` | that one: sends the request, and caches the response if it is complete |

mod fill;
mod key;
mod memory;
mod redis;
mod response;
mod single_flight;
mod store;

use std::sync::Arc;

use hyper::Response;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

pub(super) use self::fill::CacheFill;
use self::key::{CacheKey, requires_fresh};
pub(super) use self::key::{KeyHash, KeyHasher};
pub use self::redis::InvalidRedis;
use self::response::CacheHit;
use self::single_flight::{Join, Outcome, SingleFlight};
use self::store::Store;
use super::context::RequestContext;
use super::enforce::Enforced;
use super::route::Route;
use crate::auth::Caller;
use crate::body::ResponseBody;
use crate::body::budget::Budget;
use crate::config::settings::Cache as Settings;
use crate::telemetry::metrics::{Lookup, Metrics};

/// Tells the client whether its response was cached.
const MARK: HeaderName = HeaderName::from_static("x-partywall-cache");

/// Cached responses, and those that are in flight.
pub struct AnswerCache {
    settings: Settings,
    store: Store,
    in_flight: Arc<SingleFlight>,
}

/// The result of looking up a response.
pub(super) enum CacheOutcome {
    /// The cached response.
    Cached(Box<Response<ResponseBody>>),
    /// There is none: this request fills the cache, and equal requests from now on wait for it.
    Fill(CacheFill),
    /// Forward this request, without sharing its response. `None` where such responses are never
    /// cached.
    Forward(Option<Lookup>),
}

impl AnswerCache {
    /// An empty cache in memory, or one in Redis.
    ///
    /// # Errors
    /// When the settings of Redis are invalid. Whether it can be reached is not checked.
    pub fn new(settings: &Settings) -> Result<Self, InvalidRedis> {
        Ok(Self {
            store: Store::new(settings)?,
            in_flight: Arc::default(),
            settings: settings.clone(),
        })
    }

    /// The settings it was made from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Removes the cached responses of an upstream, or all. Responses that are in flight are not
    /// cached.
    ///
    /// # Errors
    /// When the store cannot be reached: its entries may be served until they expire.
    pub async fn flush(&self, upstream: Option<&str>, metrics: &Metrics) -> Result<(), String> {
        self.in_flight.forget(upstream);
        self.store.flush(upstream, metrics).await
    }

    /// The bytes cached in this process's memory.
    pub fn bytes(&self) -> u64 {
        self.store.bytes()
    }

    /// Waits for an equal request that is in flight, or looks up a cached response.
    async fn find(
        self: &Arc<Self>,
        cache_key: CacheKey,
        budget: &Budget,
        metrics: &Metrics,
    ) -> CacheOutcome {
        loop {
            let leader = match self.in_flight.join(&cache_key) {
                Join::Leader(leader) => leader,
                Join::Follower(follower) => match follower.outcome().await {
                    Outcome::Answer(CacheHit { cached, age }) => {
                        let lookup = age.map_or(Lookup::Collapsed, |_| Lookup::Hit);
                        return answered(lookup, &CacheHit { cached, age }, metrics);
                    }
                    Outcome::NotShared => return CacheOutcome::Forward(Some(Lookup::Miss)),
                    // This one may lead now.
                    Outcome::Abandoned => continue,
                },
            };
            let lookup = self.store.get(&cache_key, budget, metrics).await;
            return match lookup.found {
                Some(found) => {
                    leader.publish(Outcome::Answer(found.clone()));
                    answered(Lookup::Hit, &found, metrics)
                }
                None => CacheOutcome::Fill(CacheFill {
                    cache: Arc::clone(self),
                    leader,
                    cache_key,
                    epoch: lookup.epoch,
                }),
            };
        }
    }
}

/// Whether responses are cached, but this client requires a fresh one.
pub(super) fn wants_fresh(answers: Option<&Arc<AnswerCache>>, headers: &HeaderMap) -> bool {
    answers.is_some() && requires_fresh(headers)
}

/// Looks up a response to the request that would be forwarded. A follower waits no longer than it
/// would for the upstream.
pub(super) async fn look_up(
    answers: Option<&Arc<AnswerCache>>,
    context: &RequestContext,
    route: &Route,
    caller: Option<&Caller>,
    enforced: &Enforced,
    wants_fresh: bool,
) -> CacheOutcome {
    let metrics = &context.metrics;
    let (Some(cache), Some(caller)) = (answers, caller) else {
        return CacheOutcome::Forward(None);
    };
    let Some(cache_key) = CacheKey::of(route, caller, enforced) else {
        return CacheOutcome::Forward(None);
    };
    // An upstream that gets the caller's own token may respond to it differently.
    let outcome = if wants_fresh || enforced.upstream().forwards_token() {
        CacheOutcome::Forward(Some(Lookup::Bypass))
    } else {
        let timeout = enforced.upstream().settings().timeouts.response_head;
        let budget = context.budget(enforced.holder());
        let finding = Box::pin(cache.find(cache_key, &budget, metrics));
        let found = tokio::time::timeout(timeout, finding).await;
        found.unwrap_or(CacheOutcome::Forward(Some(Lookup::Miss)))
    };
    match &outcome {
        CacheOutcome::Cached(_) | CacheOutcome::Forward(None) => {}
        CacheOutcome::Forward(Some(lookup)) => metrics.answers.looked_up(*lookup),
        CacheOutcome::Fill(_) => metrics.answers.looked_up(Lookup::Miss),
    }
    outcome
}

fn answered(lookup: Lookup, found: &CacheHit, metrics: &Metrics) -> CacheOutcome {
    metrics.answers.looked_up(lookup);
    let mut response = found.response();
    mark(&mut response, Some(lookup));
    CacheOutcome::Cached(Box::new(response))
}

/// Sets the header that tells the client whether its response was cached.
pub(super) fn mark(response: &mut Response<ResponseBody>, lookup: Option<Lookup>) {
    if let Some(lookup) = lookup {
        let value = HeaderValue::from_static(lookup.name());
        response.headers_mut().insert(MARK, value);
    }
}
