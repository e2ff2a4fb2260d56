//! Fair shares of what all requests have in common: permits, bodies being received, buffered bytes.
//!
//! Each such resource is a [`Pool`] with a limit. Whoever takes from it does so as a [`Holder`]:
//! as one subject, and for each of its tenants. The rule is that of dynamic thresholds (A. K.
//! Choudhury and E. L. Hahne, "Dynamic queue length thresholds for shared-memory packet switches",
//! IEEE/ACM Transactions on Networking 6(2), 1998): a party may take more only while its own use
//! stays within a multiple of what is free then. So one tenant alone gets most of a pool, never
//! all of it; a part is free for whoever comes next, however long the first one holds on to its
//! own; and of several busy tenants none has to be known in advance for all to get the same.
//!
//! - A tenant's use may be [`WEIGHT`] times what is free: alone, three quarters of the pool.
//! - A subject's use may be [`WEIGHT`] times what its tenant has left of that: alone in the only
//!   busy tenant, 9/13 of the pool. It holds for a subject that is alone too, or the next one of
//!   its tenant would find nothing left.
//! - A caller with several tenants counts for each of them, in full, and needs room in all: what it
//!   takes is taken at the expense of each. So no choice of tokens gives a tenant more.
//! - Callers with all tenants are one party, as are those with none. Callers without a token are
//!   one party too, which gets no more than half of a pool.
//! - The first unit is within every share: with limits so small that a share is less than one,
//!   everyone can still have one while there is one.
//!
//! Taking and giving back are a few atomic additions for each tenant of the caller, without a lock.
//! They are not one transaction: takers that race may see each other's attempts and be refused a
//! little early. A pool's limit itself is exact.

mod holder;

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::gauge::Gauge;
use thiserror::Error;

pub use self::holder::{Holder, Shares};
use crate::reason::Reason;

/// How much of a resource is in use: a gauge that is also the account it shows.
pub type UseGauge = Gauge<u64, AtomicU64>;

/// How many times what is free a tenant's use may be, and how many times what its tenant has left
/// a subject's.
pub const WEIGHT: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Permits of requests: `limits.requests`.
    Requests,
    /// Bodies of which not all has been received: `limits.incomplete_bodies`.
    IncompleteBodies,
    /// Bytes of bodies and answers in memory: `limits.buffered_bytes`.
    BufferedBytes,
}

impl Resource {
    const COUNT: usize = 3;

    /// What there is of it, with the key of its limit.
    fn described(self, limit: u64) -> String {
        match self {
            Self::Requests => format!("{limit} permits for requests (limits.requests)"),
            Self::IncompleteBodies => format!(
                "{limit} request bodies that may be incomplete at once (limits.incomplete_bodies)"
            ),
            Self::BufferedBytes => {
                format!("{limit} bytes that bodies may take in memory (limits.buffered_bytes)")
            }
        }
    }
}

/// A resource, how much of it is in use, and the most that may be.
#[derive(Clone, Debug)]
pub struct Pool {
    resource: Resource,
    /// What `/metrics` shows is the account itself. It outlives a reload, which may change the
    /// limit.
    used: UseGauge,
    limit: u64,
}

/// Why nothing more may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub struct Exceeded {
    pub resource: Resource,
    /// The limit of all together.
    pub limit: u64,
    /// Whose use is too much.
    pub by: By,
}

/// Whose use of a resource is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// That of all together.
    All,
    /// That of one of the caller's tenants, or of what counts as one.
    Group(Group),
    /// The caller's own, of what its tenants may use.
    Subject,
}

/// What a caller's use is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Each of its tenants.
    Tenants,
    /// Callers with all tenants.
    AllTenants,
    /// Callers with a token and no tenants.
    NoTenants,
    /// Callers without a token.
    Anonymous,
}

impl Group {
    /// How many times what is free its use may be.
    fn weight(self) -> u64 {
        match self {
            Self::Tenants | Self::AllTenants | Self::NoTenants => WEIGHT,
            Self::Anonymous => 1,
        }
    }
}

impl Exceeded {
    pub fn reason(&self) -> Reason {
        match (self.resource, self.by) {
            (Resource::Requests, By::All) => Reason::Overloaded,
            (Resource::Requests, By::Group(_) | By::Subject) => Reason::RequestsShare,
            (Resource::IncompleteBodies, By::All) => Reason::IncompleteBodies,
            (Resource::IncompleteBodies, By::Group(_) | By::Subject) => {
                Reason::IncompleteBodiesShare
            }
            (Resource::BufferedBytes, By::All) => Reason::BufferedBytes,
            (Resource::BufferedBytes, By::Group(_) | By::Subject) => Reason::BufferedBytesShare,
        }
    }
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = self.resource.described(self.limit);
        let who = match self.by {
            By::All => return write!(f, "all of the {all} are in use; try again in a moment"),
            By::Group(Group::Tenants) => "one of your tenants already has its share",
            By::Group(Group::AllTenants) => "callers with all tenants already have their share",
            By::Group(Group::NoTenants) => "callers without tenants already have their share",
            By::Group(Group::Anonymous) => "callers without a token already have their share",
            By::Subject => "you already have your share, as one of your tenant's callers,",
        };
        write!(f, "{who} of the {all}; try again in a moment")
    }
}

impl Pool {
    /// Of this resource, of which `used` counts what is in use.
    pub fn new(resource: Resource, used: &UseGauge, limit: usize) -> Self {
        Self {
            resource,
            used: used.clone(),
            limit: limit as u64,
        }
    }

    /// How much of it is in use.
    pub fn used(&self) -> u64 {
        self.used.get()
    }

    /// A claim of this holder's, to nothing yet.
    pub fn claim(&self, holder: &Holder) -> Claim {
        Claim {
            pool: self.clone(),
            holder: holder.clone(),
            amount: 0,
        }
    }

    /// One unit for this holder.
    ///
    /// # Errors
    /// When the pool, or the holder's share of it, is in use.
    pub fn take_one(&self, holder: &Holder) -> Result<Claim, Exceeded> {
        let mut claim = self.claim(holder);
        claim.resize(1)?;
        Ok(claim)
    }

    fn take(&self, holder: &Holder, more: u64) -> Result<(), Exceeded> {
        let taken = self
            .used
            .inner()
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(more).filter(|used| *used <= self.limit)
            });
        let exceeded = |by| Exceeded {
            resource: self.resource,
            limit: self.limit,
            by,
        };
        let before = taken.map_err(|_used| exceeded(By::All))?;
        let free = self.limit.saturating_sub(before.saturating_add(more));
        holder.take(self.resource, more, free).map_err(|by| {
            self.used.inner().fetch_sub(more, Ordering::Relaxed);
            exceeded(by)
        })
    }

    fn give_back(&self, holder: &Holder, less: u64) {
        holder.give_back(self.resource, less);
        self.used.inner().fetch_sub(less, Ordering::Relaxed);
    }
}

/// What a holder has of a pool. Its drop gives it back.
#[derive(Debug)]
pub struct Claim {
    pool: Pool,
    holder: Holder,
    amount: u64,
}

impl Claim {
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// Takes or gives back, so that it is this much.
    ///
    /// # Errors
    /// When there is not so much left, or the holder's share is in use; what was taken before
    /// stays taken.
    pub fn resize(&mut self, amount: usize) -> Result<(), Exceeded> {
        let amount = amount as u64;
        if amount > self.amount {
            self.pool.take(&self.holder, amount - self.amount)?;
        } else if amount < self.amount {
            self.pool.give_back(&self.holder, self.amount - amount);
        }
        self.amount = amount;
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.pool.give_back(&self.holder, self.amount);
        }
    }
}

#[cfg(test)]
mod tests;
