//! The open connections, and which of them is closed when a new one finds the table full.
//!
//! A connection costs its client nothing, and anyone who reaches the port can open thousands. So a
//! full table does not refuse the new connection: it closes the one that has been quiet for longest
//! among those that never sent a valid token, and only if all of them have, the one that has been
//! idle for longest. A new client keeps its connection until as many more have connected as the
//! table holds; once it has sent a valid token, no connection without one can displace it.
//!
//! *Quiet* counts from the last time that a request began or ended, or from the accept if there was
//! none. Neither a handshake in progress, nor bytes of incomplete headers, nor a response that the
//! client does not read make a connection less quiet.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hyper::Version;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::timeouts::{ConnectionState, InFlight, Table};

/// How long a new connection waits for the one that is closed for it. That one ends as soon as its
/// task runs.
const EVICTED_WITHIN: Duration = Duration::from_secs(1);

/// What is counted as one client: an IPv4 address, or the 64-bit prefix of an IPv6 address, since a
/// single host has 2^64 of those to choose from (RFC 4291 §2.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Source(IpAddr);

impl Source {
    fn from_address(address: IpAddr) -> Self {
        // A socket on `[::]` reports IPv4 clients as IPv6 ones.
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let prefix = address.to_bits() & !u128::from(u64::MAX);
                Self(IpAddr::V6(Ipv6Addr::from_bits(prefix)))
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// In total.
    pub(crate) total: usize,
    /// From one source, without a valid token so far; unbounded if `None`.
    pub(crate) unauthenticated_per_address: Option<usize>,
}

/// Why a connection was closed to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evicted {
    /// The table was full.
    Limit,
    /// Its address had too many connections without a valid token.
    Address,
}

impl Evicted {
    /// The value of the metrics' label; from a closed set.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Address => "address",
        }
    }

    /// For the log.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Limit => {
                "limits.connections is reached: closed the connection that was quiet for longest, \
                 one without a valid token if there was one"
            }
            Self::Address => {
                "limits.unauthenticated_connections_per_address is reached: closed that address's \
                 connection that was quiet for longest"
            }
        }
    }
}

/// The result of entering a new connection.
pub(crate) struct Entered {
    /// To be held for as long as the connection is open. `None` if there is no room: every
    /// connection has sent a valid token and has a request in progress.
    pub(crate) entry: Option<Entry>,
    /// The connections that were closed to make room for it.
    pub(crate) evicted: Vec<Evicted>,
}

/// The open connections, of all listeners that share a limit.
#[derive(Debug, Default)]
pub struct ConnectionTable {
    state: Mutex<State>,
    /// Notified when an entry was removed.
    freed: Notify,
}

/// When a connection was last known to be active, and its id.
type Quiet = (Instant, u64);

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    open: HashMap<u64, Open>,
    /// Ordered by [`Open::quiet_since`]; connections that are being closed are in none of the
    /// three.
    unauthenticated: BTreeSet<Quiet>,
    by_source: HashMap<Source, BTreeSet<Quiet>>,
    authenticated: BTreeSet<Quiet>,
}

#[derive(Debug)]
struct Open {
    activity: Arc<ConnectionState>,
    source: Source,
    /// As in the sets. The value of `activity` may be later: the sets are corrected only when a
    /// connection has to be closed, so that requests take no lock.
    quiet_since: Instant,
    is_authenticated: bool,
}

/// One open connection; dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Entry {
    table: Arc<ConnectionTable>,
    id: u64,
    activity: Arc<ConnectionState>,
}

impl Entry {
    /// What the connection is doing.
    pub(super) fn activity(&self) -> &Arc<ConnectionState> {
        &self.activity
    }

    /// Marks a request as in progress until the returned value is dropped.
    pub(crate) fn begin_request(&self) -> InFlight {
        self.activity.request_begins(Version::HTTP_11)
    }

    /// Returns once the connection has to make room for another: its owner must close it.
    pub(crate) async fn evicted(&self) {
        self.activity.evicted().await;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.table.state().remove(self.id);
        self.table.freed.notify_waiters();
    }
}

impl ConnectionTable {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection that was just accepted, and closes others if there is no room for it.
    pub(crate) async fn enter(self: &Arc<Self>, peer: IpAddr, bounds: Bounds) -> Entered {
        let source = Source::from_address(peer);
        let deadline = Instant::now() + EVICTED_WITHIN;
        let mut evicted = self.bound_source(source, bounds.unauthenticated_per_address);
        let entry = loop {
            let mut freed = pin!(self.freed.notified());
            // No removal is missed from here on.
            freed.as_mut().enable();
            {
                let mut state = self.state();
                if state.open.len() < bounds.total {
                    break Some(self.insert(&mut state, source));
                }
                // Each connection that is being closed makes room for one, but another new
                // connection may take that first.
                if !state.will_have_room(bounds.total) {
                    if state.evict_longest_quiet().is_none() {
                        break None;
                    }
                    evicted.push(Evicted::Limit);
                }
            }
            if timeout_at(deadline, freed).await.is_err() {
                break None;
            }
        };
        Entered { entry, evicted }
    }

    fn bound_source(&self, source: Source, bound: Option<usize>) -> Vec<Evicted> {
        let mut evicted = Vec::new();
        let Some(bound) = bound else { return evicted };
        let mut state = self.state();
        while state.by_source.get(&source).map_or(0, BTreeSet::len) >= bound {
            if state.evict_longest_quiet_of(source).is_none() {
                break;
            }
            evicted.push(Evicted::Address);
        }
        evicted
    }

    fn insert(self: &Arc<Self>, state: &mut State, source: Source) -> Entry {
        state.last_id += 1;
        let id = state.last_id;
        let table: Weak<Self> = Arc::downgrade(self);
        let activity = ConnectionState::of_entry(table, id);
        let open = Open {
            quiet_since: activity.quiet_since(),
            activity: Arc::clone(&activity),
            source,
            is_authenticated: false,
        };
        state.link(id, &open);
        state.open.insert(id, open);
        Entry {
            table: Arc::clone(self),
            id,
            activity,
        }
    }

    /// The number of connections that never sent a valid token.
    pub(crate) fn unauthenticated(&self) -> usize {
        self.state().unauthenticated.len()
    }
}

impl Table for ConnectionTable {
    fn authenticated(&self, id: u64) {
        let mut state = self.state();
        let Some(mut open) = state.open.remove(&id) else {
            return;
        };
        // A connection that is being closed is in no set, and stays so.
        if state.unlink(id, &open) {
            open.is_authenticated = true;
            state.link(id, &open);
        }
        state.open.insert(id, open);
    }
}

impl State {
    fn link(&mut self, id: u64, open: &Open) {
        let quiet = (open.quiet_since, id);
        if open.is_authenticated {
            self.authenticated.insert(quiet);
        } else {
            self.unauthenticated.insert(quiet);
            self.by_source.entry(open.source).or_default().insert(quiet);
        }
    }

    /// Returns whether it was in its set.
    fn unlink(&mut self, id: u64, open: &Open) -> bool {
        let quiet = (open.quiet_since, id);
        if open.is_authenticated {
            return self.authenticated.remove(&quiet);
        }
        if let Some(all) = self.by_source.get_mut(&open.source) {
            all.remove(&quiet);
            if all.is_empty() {
                self.by_source.remove(&open.source);
            }
        }
        self.unauthenticated.remove(&quiet)
    }

    fn remove(&mut self, id: u64) {
        if let Some(open) = self.open.remove(&id) {
            self.unlink(id, &open);
        }
    }

    /// Whether there is room for one more once all that are being closed are gone.
    fn will_have_room(&self, total: usize) -> bool {
        self.unauthenticated.len() + self.authenticated.len() < total
    }

    /// Updates the entry of a connection in the sets; returns whether it was up to date.
    fn is_current(&mut self, id: u64, quiet_since: Instant) -> bool {
        let Some(mut open) = self.open.remove(&id) else {
            return true;
        };
        let is_current = open.quiet_since >= quiet_since;
        if !is_current {
            self.unlink(id, &open);
            open.quiet_since = quiet_since;
            self.link(id, &open);
        }
        self.open.insert(id, open);
        is_current
    }

    fn activity(&self, id: u64) -> Option<Arc<ConnectionState>> {
        self.open.get(&id).map(|open| Arc::clone(&open.activity))
    }

    /// Each correction has a request that caused it, so the loop costs no more than those requests
    /// did.
    fn evict_longest_quiet_of(&mut self, source: Source) -> Option<()> {
        loop {
            let (_, id) = *self.by_source.get(&source)?.first()?;
            let activity = self.activity(id)?;
            if self.is_current(id, activity.quiet_since()) {
                return self.evict(id, &activity);
            }
        }
    }

    fn evict_longest_quiet(&mut self) -> Option<()> {
        while let Some((_, id)) = self.unauthenticated.first().copied() {
            let activity = self.activity(id)?;
            if self.is_current(id, activity.quiet_since()) {
                return self.evict(id, &activity);
            }
        }
        // A request in progress whose caller has a valid token is never aborted for a new
        // connection.
        let now = Instant::now();
        loop {
            let (quiet_since, id) = *self.authenticated.first()?;
            if quiet_since >= now {
                return None;
            }
            let activity = self.activity(id)?;
            let quiet_since = if activity.is_serving() {
                now
            } else {
                activity.quiet_since()
            };
            if self.is_current(id, quiet_since) {
                return self.evict(id, &activity);
            }
        }
    }

    fn evict(&mut self, id: u64, activity: &ConnectionState) -> Option<()> {
        let open = self.open.remove(&id)?;
        self.unlink(id, &open);
        self.open.insert(id, open);
        activity.evict();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Bounds = Bounds {
        total: 3,
        unauthenticated_per_address: None,
    };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    async fn enter(table: &Arc<ConnectionTable>, bounds: Bounds) -> Entry {
        tokio::time::advance(Duration::from_millis(10)).await;
        let entered = table.enter(address(1), bounds).await;
        entered.entry.expect("there is room")
    }

    fn is_evicted(entry: &Entry) -> bool {
        entry.activity().is_evicted()
    }

    /// Ends the connection as its task would, once it is evicted.
    fn closing(entry: Entry) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move { entry.activity().evicted().await })
    }

    #[tokio::test(start_paused = true)]
    async fn full_table_closes_the_longest_quiet_unauthenticated_connection() {
        let table = Arc::new(ConnectionTable::default());
        let first = enter(&table, FEW).await;
        let second = enter(&table, FEW).await;
        let third = enter(&table, FEW).await;
        // A request, even one that is refused, makes it less quiet than the second.
        drop(first.activity().request_begins(Version::HTTP_11));
        let second = closing(second);
        tokio::task::yield_now().await;
        let entered = table.enter(address(2), FEW).await;
        assert_eq!(entered.evicted, [Evicted::Limit]);
        let new = entered.entry.expect("room");
        assert!(second.is_finished());
        assert!(!is_evicted(&first) && !is_evicted(&third) && !is_evicted(&new));
    }

    #[tokio::test(start_paused = true)]
    async fn unauthenticated_connection_with_a_request_in_progress_is_closed_too() {
        let table = Arc::new(ConnectionTable::default());
        let first = enter(&table, FEW).await;
        let _unread = first.activity().request_begins(Version::HTTP_2);
        let (_second, _third) = (enter(&table, FEW).await, enter(&table, FEW).await);
        let first = closing(first);
        tokio::task::yield_now().await;
        assert!(table.enter(address(1), FEW).await.entry.is_some());
        assert!(first.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn authenticated_connection_outlives_unauthenticated_ones() {
        let table = Arc::new(ConnectionTable::default());
        let authenticated = enter(&table, FEW).await;
        authenticated
            .activity()
            .request_begins(Version::HTTP_11)
            .authenticated();
        assert_eq!(table.unauthenticated(), 0);
        let mut unauthenticated = Vec::new();
        for _ in 0..20 {
            unauthenticated.push(closing(enter(&table, FEW).await));
            tokio::task::yield_now().await;
        }
        assert!(!is_evicted(&authenticated));
        let open = unauthenticated
            .iter()
            .filter(|task| !task.is_finished())
            .count();
        assert_eq!(open, 2);
        assert_eq!(table.unauthenticated(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_authenticated_connection_is_closed_if_all_are_authenticated() {
        let table = Arc::new(ConnectionTable::default());
        let mut authenticated = Vec::new();
        let mut requests = Vec::new();
        for _ in 0..3 {
            let entry = enter(&table, FEW).await;
            let request = entry.activity().request_begins(Version::HTTP_11);
            request.authenticated();
            requests.push(request);
            authenticated.push(entry);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        let entered = table.enter(address(2), FEW).await;
        assert!(entered.entry.is_none(), "all are busy");
        assert!(!authenticated.iter().any(is_evicted));
        drop(requests.remove(1));
        let idle = closing(authenticated.remove(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(table.enter(address(2), FEW).await.entry.is_some());
        assert!(idle.is_finished() && !authenticated.iter().any(is_evicted));
    }

    #[tokio::test(start_paused = true)]
    async fn address_over_its_limit_loses_its_longest_quiet_connection() {
        let table = Arc::new(ConnectionTable::default());
        let bounds = Bounds {
            total: 100,
            unauthenticated_per_address: Some(2),
        };
        let authenticated = enter(&table, bounds).await;
        authenticated
            .activity()
            .request_begins(Version::HTTP_11)
            .authenticated();
        let others = table.enter(address(9), bounds).await.entry;
        let first = enter(&table, bounds).await;
        let second = enter(&table, bounds).await;
        let entered = table.enter(address(1), bounds).await;
        assert!(entered.entry.is_some());
        assert_eq!(entered.evicted, [Evicted::Address]);
        assert!(is_evicted(&first));
        assert!(
            !is_evicted(&second)
                && !is_evicted(&authenticated)
                && !others.is_none_or(|entry| is_evicted(&entry))
        );
    }

    /// As from two listeners.
    #[tokio::test(start_paused = true)]
    async fn simultaneous_connections_are_all_entered() {
        let table = Arc::new(ConnectionTable::default());
        for _ in 0..3 {
            drop(closing(enter(&table, FEW).await));
        }
        tokio::time::advance(Duration::from_millis(10)).await;
        let new = (0..3).map(|_| table.enter(address(2), FEW));
        let entered = futures_util::future::join_all(new).await;
        assert!(entered.iter().all(|entered| entered.entry.is_some()));
        assert_eq!(table.unauthenticated(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn wait_for_an_eviction_is_bounded() {
        let table = Arc::new(ConnectionTable::default());
        let bounds = Bounds { total: 1, ..FEW };
        let stuck = enter(&table, bounds).await;
        assert!(table.enter(address(1), bounds).await.entry.is_none());
        drop(stuck);
        assert!(table.enter(address(1), bounds).await.entry.is_some());
        assert_eq!(table.unauthenticated(), 0);
    }

    #[test]
    fn addresses_of_one_ipv6_prefix_are_one_source() {
        let source = |text: &str| Source::from_address(text.parse().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1:2:3"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }
}
