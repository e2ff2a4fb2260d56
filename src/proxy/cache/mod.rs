//! Answers to metric queries, cached for a while. They are asked for after enforcement: who is
//! denied never comes here, and what is looked for is what would be sent, for the caller's scope.
//!
//! | file | one idea |
//! |---|---|
//! | `key` | what would be sent, where to and for whom, as one key |
//! | `response` | an answer as it is cached |
//! | `store` | where answers are cached: `memory` or `redis` |
//! | `single_flight` | those who ask the same at the same time wait for one of them |
//! | `fill` | that one: it asks the upstream, and its answer is cached if it is whole |

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
use self::key::{CacheKey, asks_for_fresh};
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

/// Tells the client where its answer comes from.
const MARK: HeaderName = HeaderName::from_static("x-partywall-cache");

/// Answers that are cached, and those that are on their way.
pub struct AnswerCache {
    settings: Settings,
    store: Store,
    in_flight: Arc<SingleFlight>,
}

/// What came of a look for a cached answer.
pub(super) enum CacheOutcome {
    /// This is it.
    Cached(Box<Response<ResponseBody>>),
    /// There is none; who asks the same from now on waits for what this finds.
    Fill(CacheFill),
    /// The upstream is to be asked, for this request alone. `None` where such answers are never
    /// cached.
    Forward(Option<Lookup>),
}

impl AnswerCache {
    /// An empty one, or what Redis has.
    ///
    /// # Errors
    /// When Redis' settings are of no use; whether it is there is not asked.
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

    /// Forgets the answers of an upstream, or all; those that are under way are not cached.
    ///
    /// # Errors
    /// When the store cannot be reached: its answers may be given until they are too old.
    pub async fn flush(&self, upstream: Option<&str>, metrics: &Metrics) -> Result<(), String> {
        self.in_flight.forget(upstream);
        self.store.flush(upstream, metrics).await
    }

    /// What is cached in this process's memory.
    pub fn bytes(&self) -> u64 {
        self.store.bytes()
    }

    /// Waits for whoever asks the same already, or looks for a cached answer.
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
                    Outcome::Nothing => return CacheOutcome::Forward(Some(Lookup::Miss)),
                    // Then it may be this one's turn.
                    Outcome::Left => continue,
                },
            };
            let looked = self.store.get(&cache_key, budget, metrics).await;
            return match looked.found {
                Some(found) => {
                    leader.settle(Outcome::Answer(found.clone()));
                    answered(Lookup::Hit, &found, metrics)
                }
                None => CacheOutcome::Fill(CacheFill {
                    cache: Arc::clone(self),
                    leader,
                    cache_key,
                    epoch: looked.epoch,
                }),
            };
        }
    }
}

/// Whether answers are cached, but this client wants another.
pub(super) fn wants_fresh(answers: Option<&Arc<AnswerCache>>, headers: &HeaderMap) -> bool {
    answers.is_some() && asks_for_fresh(headers)
}

/// Looks for an answer to what would be sent. Whoever waits for another's waits no longer than it
/// would for the upstream.
pub(super) async fn ask(
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
    // What the upstream answers by the caller's own token is between the two.
    let asked = if wants_fresh || enforced.upstream().forwards_token() {
        CacheOutcome::Forward(Some(Lookup::Bypass))
    } else {
        let patience = enforced.upstream().settings().timeouts.response_head;
        let budget = context.budget(enforced.holder());
        let finding = Box::pin(cache.find(cache_key, &budget, metrics));
        let found = tokio::time::timeout(patience, finding).await;
        found.unwrap_or(CacheOutcome::Forward(Some(Lookup::Miss)))
    };
    match &asked {
        CacheOutcome::Cached(_) | CacheOutcome::Forward(None) => {}
        CacheOutcome::Forward(Some(lookup)) => metrics.answers.looked_up(*lookup),
        CacheOutcome::Fill(_) => metrics.answers.looked_up(Lookup::Miss),
    }
    asked
}

fn answered(lookup: Lookup, found: &CacheHit, metrics: &Metrics) -> CacheOutcome {
    metrics.answers.looked_up(lookup);
    let mut response = found.response();
    mark(&mut response, Some(lookup));
    CacheOutcome::Cached(Box::new(response))
}

/// Tells the client.
pub(super) fn mark(response: &mut Response<ResponseBody>, lookup: Option<Lookup>) {
    if let Some(lookup) = lookup {
        let value = HeaderValue::from_static(lookup.name());
        response.headers_mut().insert(MARK, value);
    }
}
