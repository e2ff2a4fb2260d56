//! Those who ask the same at the same time: one leads, the others wait for its answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::key::{CacheKey, KeyHash};
use super::response::CacheHit;

/// All questions that are being asked.
#[derive(Default)]
pub(super) struct SingleFlight(Mutex<HashMap<KeyHash, Arc<Flight>>>);

struct Flight {
    upstream: Arc<str>,
    /// `None` until it has outcome.
    outcome: watch::Sender<Option<Outcome>>,
}

/// What came of asking.
#[derive(Clone)]
pub(super) enum Outcome {
    /// An answer for all who wait.
    Answer(CacheHit),
    /// None that others may have: each asks for itself.
    Nothing,
    /// The one who led left before anything was asked.
    Left,
}

/// Whether one asks, or waits for who does.
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

    /// Requests from now on do not wait for one that is under way to this upstream, or to any.
    pub(super) fn forget(&self, upstream: Option<&str>) {
        self.all()
            .retain(|_, flight| upstream.is_some_and(|flushed| flushed != &*flight.upstream));
    }

    fn all(&self) -> MutexGuard<'_, HashMap<KeyHash, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one who asks. Dropped without a outcome, it has left.
pub(super) struct Leader {
    in_flight: Arc<SingleFlight>,
    key: KeyHash,
    flight: Arc<Flight>,
}

impl Leader {
    /// Tells those who wait, and those who still come while this is there.
    pub(super) fn settle(&self, outcome: Outcome) {
        self.flight.outcome.send_replace(Some(outcome));
    }

    /// Waits until nobody waits any more, and sees to it that nobody begins to.
    pub(super) async fn is_alone(&self) {
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
        // After `forget`, another may fly in its place.
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
            outcome.get_or_insert(Outcome::Left);
            is_first
        });
    }
}

/// One who waits.
pub(super) struct Follower(watch::Receiver<Option<Outcome>>);

impl Follower {
    pub(super) async fn outcome(mut self) -> Outcome {
        let outcome = self.0.wait_for(Option::is_some).await;
        let outcome = outcome.ok().and_then(|outcome| outcome.clone());
        outcome.unwrap_or(Outcome::Left)
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
            Join::Follower(_) => panic!("another leads"),
        }
    }

    fn follower(in_flight: &Arc<SingleFlight>) -> Follower {
        match in_flight.join(&key()) {
            Join::Follower(follower) => follower,
            Join::Leader(_) => panic!("nobody leads"),
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
    async fn those_who_wait_and_those_who_come_before_it_is_kept_get_the_answer() {
        let in_flight = Arc::new(SingleFlight::default());
        let leader = leader(&in_flight);
        let early = follower(&in_flight);
        leader.settle(answer());
        let late = follower(&in_flight);
        drop(leader);
        for follower in [early, late] {
            assert!(matches!(follower.outcome().await, Outcome::Answer(_)));
        }
        assert!(in_flight.all().is_empty());
    }

    #[tokio::test]
    async fn a_leader_that_leaves_is_followed_by_another() {
        let in_flight = Arc::new(SingleFlight::default());
        let first = leader(&in_flight);
        let waiting = follower(&in_flight);
        drop(first);
        assert!(matches!(waiting.outcome().await, Outcome::Left));
        drop(leader(&in_flight));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_is_alone_when_the_last_has_gone() {
        let in_flight = Arc::new(SingleFlight::default());
        let leader = leader(&in_flight);
        let (one, other) = (follower(&in_flight), follower(&in_flight));
        drop(one);
        assert!(timeout(SOON, leader.is_alone()).await.is_err());
        drop(other);
        assert!(timeout(SOON, leader.is_alone()).await.is_ok());
        assert!(in_flight.all().is_empty(), "and nobody comes after");
    }

    #[tokio::test]
    async fn nobody_waits_for_a_flight_that_is_forgotten() {
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
