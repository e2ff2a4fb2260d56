//! Fair shares of the resources that all requests share: permits, bodies being received, buffered
//! bytes.
//!
//! Each resource is a [`Pool`] with a limit. A caller takes from it as a [`Holder`]: its use counts
//! for one subject and for each of its tenants (the *parties*). The rule is that of dynamic
//! thresholds (A. K. Choudhury and E. L. Hahne, "Dynamic queue length thresholds for shared-memory
//! packet switches", IEEE/ACM Transactions on Networking 6(2), 1998): a party may take more only
//! while its own use stays within a multiple of what is then free. So one busy tenant gets most of
//! a pool but never all of it; a part stays free for the next tenant, however long the first one
//! keeps its own; and several busy tenants get equal shares without being known in advance.
//!
//! - A tenant's use may be [`WEIGHT`] times what is free: three quarters of the pool if it is the
//!   only busy tenant.
//! - A subject's use may be [`WEIGHT`] times what its tenant has left of that: 9/13 of the pool if
//!   it is the only busy subject of the only busy tenant. The limit applies even then, so that the
//!   tenant's next subject finds something left.
//! - The use of a caller with several tenants counts in full for each of them, and must be within
//!   the share of each. So no choice of tokens gives a tenant more.
//! - Callers with all tenants are one party, as are those with none. Callers without a token are
//!   one party too, which gets at most half of a pool.
//! - The first unit is always within a share: even with limits so small that a share is less than
//!   one, any party can have one unit while one is free.
//!
//! Taking and giving back are a few atomic additions for each tenant of the caller, without a lock.
//! They are not one transaction: concurrent takers may see each other's attempts and be refused a
//! little early. A pool's own limit is exact.

mod holder;

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::gauge::Gauge;
use thiserror::Error;

pub use self::holder::{Holder, Shares};
use crate::reason::Reason;

/// How much of a resource is in use. The metric's gauge is also the counter that limits are
/// checked against.
pub type UseGauge = Gauge<u64, AtomicU64>;

/// A tenant's use may be this many times what is free, and a subject's this many times what its
/// tenant has left.
pub const WEIGHT: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Permits of requests: `limits.requests`.
    Requests,
    /// Bodies that are not received completely: `limits.incomplete_bodies`.
    IncompleteBodies,
    /// Bytes of bodies and answers in memory: `limits.buffered_bytes`.
    BufferedBytes,
}

impl Resource {
    const COUNT: usize = 3;

    /// The resource and its limit in words, with the config key.
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

/// A resource, how much of it is in use, and its limit.
#[derive(Clone, Debug)]
pub struct Pool {
    resource: Resource,
    /// The gauge that `/metrics` shows. It outlives a reload, which may change the limit.
    used: UseGauge,
    limit: u64,
}

/// Why nothing more can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub struct Exceeded {
    pub resource: Resource,
    /// The limit of the pool.
    pub limit: u64,
    pub by: ExceededShare,
}

/// Whose share of a resource is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExceededShare {
    /// The whole pool is in use.
    Pool,
    /// The share of one of the caller's tenants, or of a group that counts as one.
    Group(Group),
    /// The caller's own part of its tenants' shares.
    Subject,
}

/// What kind of party a caller's use counts for.
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
    /// Its use may be this many times what is free.
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
            (Resource::Requests, ExceededShare::Pool) => Reason::Overloaded,
            (Resource::Requests, ExceededShare::Group(_) | ExceededShare::Subject) => {
                Reason::RequestsShare
            }
            (Resource::IncompleteBodies, ExceededShare::Pool) => Reason::IncompleteBodies,
            (Resource::IncompleteBodies, ExceededShare::Group(_) | ExceededShare::Subject) => {
                Reason::IncompleteBodiesShare
            }
            (Resource::BufferedBytes, ExceededShare::Pool) => Reason::BufferedBytes,
            (Resource::BufferedBytes, ExceededShare::Group(_) | ExceededShare::Subject) => {
                Reason::BufferedBytesShare
            }
        }
    }
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = self.resource.described(self.limit);
        let who = match self.by {
            ExceededShare::Pool => {
                return write!(f, "all of the {all} are in use; try again in a moment");
            }
            ExceededShare::Group(Group::Tenants) => "one of your tenants already has its share",
            ExceededShare::Group(Group::AllTenants) => {
                "callers with all tenants already have their share"
            }
            ExceededShare::Group(Group::NoTenants) => {
                "callers without tenants already have their share"
            }
            ExceededShare::Group(Group::Anonymous) => {
                "callers without a token already have their share"
            }
            ExceededShare::Subject => {
                "you already have your share, as one of your tenant's callers,"
            }
        };
        write!(f, "{who} of the {all}; try again in a moment")
    }
}

impl Pool {
    /// A pool of this resource; `used` counts what is in use.
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

    /// An empty claim of this holder.
    pub fn claim(&self, holder: &Holder) -> Claim {
        Claim {
            pool: self.clone(),
            holder: holder.clone(),
            amount: 0,
        }
    }

    /// Takes one unit for this holder.
    ///
    /// # Errors
    /// If all of the pool, or of the holder's share of it, is in use.
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
        let before = taken.map_err(|_used| exceeded(ExceededShare::Pool))?;
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

/// What a holder has taken from a pool. Given back when dropped.
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

    /// Takes more or gives back, so that the claim has this amount.
    ///
    /// # Errors
    /// If not enough is left of the pool or of the holder's share. Then the claim is unchanged.
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
