//! Those who ask the same at the same time: one leads, the others wait for its answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::key::Key;
use super::response::Found;

/// All questions that are being asked.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Arc<Flight>>>);

struct Flight {
    /// `None` until it has landed.
    landing: watch::Sender<Option<Landing>>,
}

/// What came of a question.
#[derive(Clone)]
pub(super) enum Landing {
    /// An answer for all who wait.
    Answer(Found),
    /// None that others may have: each asks for itself.
    Nothing,
    /// The one who led left before anything was asked.
    Left,
}

/// Who one is to a question.
pub(super) enum Seat {
    Leader(Leader),
    Follower(Follower),
}

impl Flights {
    pub(super) fn join(self: &Arc<Self>, key: Key) -> Seat {
        match self.all().entry(key) {
            Entry::Occupied(flight) => Seat::Follower(Follower(flight.get().landing.subscribe())),
            Entry::Vacant(vacant) => {
                let flight = Arc::new(Flight {
                    landing: watch::Sender::new(None),
                });
                vacant.insert(Arc::clone(&flight));
                Seat::Leader(Leader {
                    flights: Arc::clone(self),
                    key,
                    flight,
                })
            }
        }
    }

    /// Whoever asks from now on waits for none of them.
    pub(super) fn forget(&self) {
        self.all().clear();
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Key, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one who asks. Dropped without a landing, it has left.
pub(super) struct Leader {
    flights: Arc<Flights>,
    key: Key,
    flight: Arc<Flight>,
}

impl Leader {
    /// Tells those who wait, and those who still come while this is there.
    pub(super) fn land(&self, landing: Landing) {
        self.flight.landing.send_replace(Some(landing));
    }

    /// Waits until nobody waits any more, and sees to it that nobody begins to.
    pub(super) async fn is_alone(&self) {
        loop {
            self.flight.landing.closed().await;
            let mut all = self.flights.all();
            if self.flight.landing.is_closed() {
                self.leave(&mut all);
                return;
            }
        }
    }

    fn leave(&self, all: &mut HashMap<Key, Arc<Flight>>) {
        // After `forget`, another may fly in its place.
        let is_this = |flight: &Arc<Flight>| Arc::ptr_eq(flight, &self.flight);
        if all.get(&self.key).is_some_and(is_this) {
            all.remove(&self.key);
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.leave(&mut self.flights.all());
        let landing = &self.flight.landing;
        landing.send_if_modified(|landed| {
            let is_first = landed.is_none();
            landed.get_or_insert(Landing::Left);
            is_first
        });
    }
}

/// One who waits.
pub(super) struct Follower(watch::Receiver<Option<Landing>>);

impl Follower {
    pub(super) async fn landed(mut self) -> Landing {
        let landed = self.0.wait_for(Option::is_some).await;
        let landing = landed.ok().and_then(|landed| landed.clone());
        landing.unwrap_or(Landing::Left)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use hyper::HeaderMap;
    use tokio::time::timeout;

    use super::super::response::Kept;
    use super::*;

    const KEY: Key = Key([1; 32]);
    const SOON: Duration = Duration::from_millis(10);

    fn leader(flights: &Arc<Flights>) -> Leader {
        match flights.join(KEY) {
            Seat::Leader(leader) => leader,
            Seat::Follower(_) => panic!("another leads"),
        }
    }

    fn follower(flights: &Arc<Flights>) -> Follower {
        match flights.join(KEY) {
            Seat::Follower(follower) => follower,
            Seat::Leader(_) => panic!("nobody leads"),
        }
    }

    fn answer() -> Landing {
        Landing::Answer(Found {
            kept: Arc::new(Kept {
                headers: HeaderMap::new(),
                body: Bytes::from_static(b"{}"),
            }),
            age: None,
        })
    }

    #[tokio::test]
    async fn those_who_wait_and_those_who_come_before_it_is_kept_get_the_answer() {
        let flights = Arc::new(Flights::default());
        let leader = leader(&flights);
        let early = follower(&flights);
        leader.land(answer());
        let late = follower(&flights);
        drop(leader);
        for follower in [early, late] {
            assert!(matches!(follower.landed().await, Landing::Answer(_)));
        }
        assert!(flights.all().is_empty());
    }

    #[tokio::test]
    async fn a_leader_that_leaves_is_followed_by_another() {
        let flights = Arc::new(Flights::default());
        let first = leader(&flights);
        let waiting = follower(&flights);
        drop(first);
        assert!(matches!(waiting.landed().await, Landing::Left));
        drop(leader(&flights));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_is_alone_when_the_last_has_gone() {
        let flights = Arc::new(Flights::default());
        let leader = leader(&flights);
        let (one, other) = (follower(&flights), follower(&flights));
        drop(one);
        assert!(timeout(SOON, leader.is_alone()).await.is_err());
        drop(other);
        assert!(timeout(SOON, leader.is_alone()).await.is_ok());
        assert!(flights.all().is_empty(), "and nobody comes after");
    }

    #[tokio::test]
    async fn nobody_waits_for_a_flight_that_is_forgotten() {
        let flights = Arc::new(Flights::default());
        let old = leader(&flights);
        flights.forget();
        let new = leader(&flights);
        drop(old);
        drop(follower(&flights));
        drop(new);
    }
}
