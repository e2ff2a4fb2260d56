//! Simultaneous equal requests: one is sent, the others wait for its response.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::key::{CacheKey, KeyHash};
use super::response::CacheHit;

/// All requests that are in flight, by key.
#[derive(Default)]
pub(super) struct SingleFlight(Mutex<HashMap<KeyHash, Arc<Flight>>>);

struct Flight {
    upstream: Arc<str>,
    /// `None` until the leader has a result.
    outcome: watch::Sender<Option<Outcome>>,
}

/// The leader's result.
#[derive(Clone)]
pub(super) enum Outcome {
    /// A response for all followers.
    Answer(CacheHit),
    /// No response that may be shared: each follower sends its own request.
    NotShared,
    /// The leader was dropped without a result.
    Abandoned,
}

/// Whether to send the request, or to wait for the one that was sent.
pub(super) enum Join {
    Leader(Leader),
    Follower(Follower),
}

impl SingleFlight {
    pub(super) fn join(self: &Arc<Self>, cache_key: &CacheKey) -> Join {
        let key = cache_key.key;
        match self.all().entry(key) {
            Entry::Occupied(flight) => Join::Follower(Follower(flight.get().outcome.subscribe())),
            Entry::Vacant(vacant) => {
                let flight = Arc::new(Flight {
                    upstream: Arc::clone(&cache_key.upstream),
                    outcome: watch::Sender::new(None),
                });
                vacant.insert(Arc::clone(&flight));
                Join::Leader(Leader {
                    in_flight: Arc::clone(self),
                    key,
                    flight,
                })
            }
        }
    }

    /// Later requests do not follow those in flight to this upstream, or to any.
    pub(super) fn forget(&self, upstream: Option<&str>) {
        self.all()
            .retain(|_, flight| upstream.is_some_and(|flushed| flushed != &*flight.upstream));
    }

    fn all(&self) -> MutexGuard<'_, HashMap<KeyHash, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the request. Dropped without a result, it makes its followers try again.
pub(super) struct Leader {
    in_flight: Arc<SingleFlight>,
    key: KeyHash,
    flight: Arc<Flight>,
}

impl Leader {
    /// Gives the result to all followers, also to those that join while this exists.
    pub(super) fn publish(&self, outcome: Outcome) {
        self.flight.outcome.send_replace(Some(outcome));
    }

    /// Waits until there are no followers, and lets no more join.
    pub(super) async fn has_no_followers(&self) {
        loop {
            self.flight.outcome.closed().await;
            let mut all = self.in_flight.all();
            if self.flight.outcome.is_closed() {
                self.leave(&mut all);
                return;
            }
        }
    }

    fn leave(&self, all: &mut HashMap<KeyHash, Arc<Flight>>) {
        // After `forget`, another flight may have this key.
        let is_this = |flight: &Arc<Flight>| Arc::ptr_eq(flight, &self.flight);
        if all.get(&self.key).is_some_and(is_this) {
            all.remove(&self.key);
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.leave(&mut self.in_flight.all());
        let outcome = &self.flight.outcome;
        outcome.send_if_modified(|outcome| {
            let is_first = outcome.is_none();
            outcome.get_or_insert(Outcome::Abandoned);
            is_first
        });
    }
}

/// Waits for the leader's result.
pub(super) struct Follower(watch::Receiver<Option<Outcome>>);

impl Follower {
    pub(super) async fn outcome(mut self) -> Outcome {
        let outcome = self.0.wait_for(Option::is_some).await;
        let outcome = outcome.ok().and_then(|outcome| outcome.clone());
        outcome.unwrap_or(Outcome::Abandoned)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use hyper::HeaderMap;
    use tokio::time::timeout;

    use super::super::response::CachedResponse;
    use super::*;

    fn key() -> CacheKey {
        CacheKey {
            key: KeyHash([1; 32]),
            upstream: "a".into(),
        }
    }
    const SOON: Duration = Duration::from_millis(10);

    fn leader(in_flight: &Arc<SingleFlight>) -> Leader {
        match in_flight.join(&key()) {
            Join::Leader(leader) => leader,
            Join::Follower(_) => panic!("there is another leader"),
        }
    }

    fn follower(in_flight: &Arc<SingleFlight>) -> Follower {
        match in_flight.join(&key()) {
            Join::Follower(follower) => follower,
            Join::Leader(_) => panic!("there is no leader"),
        }
    }

    fn answer() -> Outcome {
        Outcome::Answer(CacheHit {
            cached: Arc::new(CachedResponse {
                headers: HeaderMap::new(),
                body: Bytes::from_static(b"{}"),
            }),
            age: None,
        })
    }

    #[tokio::test]
    async fn followers_before_and_after_the_result_get_the_response() {
        let in_flight = Arc::new(SingleFlight::default());
        let leader = leader(&in_flight);
        let early = follower(&in_flight);
        leader.publish(answer());
        let late = follower(&in_flight);
        drop(leader);
        for follower in [early, late] {
            assert!(matches!(follower.outcome().await, Outcome::Answer(_)));
        }
        assert!(in_flight.all().is_empty());
    }

    #[tokio::test]
    async fn follower_leads_after_the_leader_is_dropped() {
        let in_flight = Arc::new(SingleFlight::default());
        let first = leader(&in_flight);
        let waiting = follower(&in_flight);
        drop(first);
        assert!(matches!(waiting.outcome().await, Outcome::Abandoned));
        drop(leader(&in_flight));
    }

    #[tokio::test(start_paused = true)]
    async fn flight_without_followers_is_closed() {
        let in_flight = Arc::new(SingleFlight::default());
        let leader = leader(&in_flight);
        let (one, other) = (follower(&in_flight), follower(&in_flight));
        drop(one);
        assert!(timeout(SOON, leader.has_no_followers()).await.is_err());
        drop(other);
        assert!(timeout(SOON, leader.has_no_followers()).await.is_ok());
        assert!(in_flight.all().is_empty(), "and none can join");
    }

    #[tokio::test]
    async fn forgotten_flight_gets_no_followers() {
        let in_flight = Arc::new(SingleFlight::default());
        let old = leader(&in_flight);
        in_flight.forget(Some("b"));
        drop(follower(&in_flight));
        in_flight.forget(Some("a"));
        let new = leader(&in_flight);
        drop(old);
        drop(follower(&in_flight));
        drop(new);
    }
}
