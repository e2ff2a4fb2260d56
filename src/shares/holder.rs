//! The parties that a caller's use of the pools is counted for.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use aws_lc_rs::digest::{Context, SHA256};

use super::{ExceededShare, Group, Resource, WEIGHT};

/// A caller's use of the pools, and that of its tenants. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Holder(Arc<Parties>);

#[derive(Debug)]
struct Parties {
    group: Group,
    groups: Box<[Arc<Party>]>,
    /// `None` for callers that cannot be told apart.
    subject: Option<Arc<Party>>,
}

/// All parties that have a holder. A party without one uses nothing and is forgotten, so the memory
/// is bounded by the number of cached tokens and of requests in flight.
#[derive(Debug)]
pub struct Shares {
    table: Arc<Table>,
    all_tenants: Arc<Party>,
    no_tenants: Arc<Party>,
    anonymous: Holder,
}

/// A tenant, a subject, or a group of callers that counts as a tenant.
struct Party {
    used: [AtomicU64; Resource::COUNT],
    /// The table to remove it from when it is dropped.
    known: Option<(Arc<Table>, Key)>,
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Party").field(&self.used).finish()
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Tenant(Box<str>),
    /// The digest of its issuer, its name and its tenants. The tenants are included so that callers
    /// with different tenants share nothing, even if their provider gives them the same name.
    Subject([u8; 32]),
}

/// Locked only when a token is first seen, or forgotten.
#[derive(Default)]
struct Table(Mutex<HashMap<Key, Weak<Party>>>);

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Table")
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Weak<Party>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn party(self: &Arc<Self>, key: Key) -> Arc<Party> {
        let mut known = self.lock();
        if let Some(party) = known.get(&key).and_then(Weak::upgrade) {
            return party;
        }
        let party = Arc::new(Party {
            used: Default::default(),
            known: Some((Arc::clone(self), key.clone())),
        });
        known.insert(key, Arc::downgrade(&party));
        party
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        let Some((table, key)) = &self.known else {
            return;
        };
        let mut known = table.lock();
        // A new party with the same key may have been inserted in the meantime.
        if known
            .get(key)
            .is_some_and(|party| party.strong_count() == 0)
        {
            known.remove(key);
        }
    }
}

impl Party {
    /// A party that is in no table.
    fn alone() -> Arc<Self> {
        Arc::new(Self {
            used: Default::default(),
            known: None,
        })
    }

    #[allow(clippy::indexing_slicing, reason = "there is one for each resource")]
    fn used(&self, resource: Resource) -> &AtomicU64 {
        &self.used[resource as usize]
    }

    /// Adds to its use, and returns the sum.
    fn add(&self, resource: Resource, more: u64) -> u64 {
        self.used(resource).fetch_add(more, Ordering::Relaxed) + more
    }

    fn subtract(&self, resource: Resource, less: u64) {
        self.used(resource).fetch_sub(less, Ordering::Relaxed);
    }
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            table: Arc::default(),
            all_tenants: Party::alone(),
            no_tenants: Party::alone(),
            anonymous: Holder::of(Group::Anonymous, [Party::alone()], None),
        }
    }
}

impl Shares {
    /// A caller with these tenants, identified by its issuer and subject. Callers without a subject
    /// are told apart by their tenants alone.
    pub fn of_tenants<'t>(
        &self,
        issuer: &str,
        subject: Option<&str>,
        tenants: impl Iterator<Item = &'t str> + Clone,
    ) -> Holder {
        let key = subject_key("tenants", issuer, subject, tenants.clone());
        let groups = tenants.map(|tenant| self.table.party(Key::Tenant(tenant.into())));
        Holder::of(Group::Tenants, groups, Some(self.table.party(key)))
    }

    /// A caller with all tenants.
    pub fn of_all_tenants(&self, issuer: &str, subject: Option<&str>) -> Holder {
        let key = subject_key("all tenants", issuer, subject, std::iter::empty());
        self.named(Group::AllTenants, &self.all_tenants, key)
    }

    /// A caller with a token and no tenants.
    pub fn of_no_tenants(&self, issuer: &str, subject: Option<&str>) -> Holder {
        let key = subject_key("no tenants", issuer, subject, std::iter::empty());
        self.named(Group::NoTenants, &self.no_tenants, key)
    }

    pub fn anonymous(&self) -> &Holder {
        &self.anonymous
    }

    /// The current number of tenants and subjects in the table.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.table.lock().len()
    }

    fn named(&self, group: Group, party: &Arc<Party>, key: Key) -> Holder {
        Holder::of(group, [Arc::clone(party)], Some(self.table.party(key)))
    }
}

fn subject_key<'t>(
    group: &str,
    issuer: &str,
    subject: Option<&str>,
    tenants: impl Iterator<Item = &'t str>,
) -> Key {
    let mut digest = Context::new(&SHA256);
    let mut add = |text: &str| {
        digest.update(&(text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    };
    add(group);
    add(issuer);
    add(if subject.is_some() {
        "named"
    } else {
        "unnamed"
    });
    add(subject.unwrap_or_default());
    tenants.for_each(add);
    let mut key = [0; 32];
    key.copy_from_slice(digest.finish().as_ref());
    Key::Subject(key)
}

impl Holder {
    /// The same tenants without the subject, for what outlives a request.
    #[must_use]
    pub fn tenants_alone(&self) -> Self {
        Self::of(self.0.group, self.0.groups.iter().cloned(), None)
    }

    /// A caller that shares no party with any other.
    pub fn alone() -> Self {
        Self::of(Group::Tenants, [Party::alone()], None)
    }

    fn of(
        group: Group,
        groups: impl IntoIterator<Item = Arc<Party>>,
        subject: Option<Arc<Party>>,
    ) -> Self {
        Self(Arc::new(Parties {
            group,
            groups: groups.into_iter().collect(),
            subject,
        }))
    }

    /// Counts `more` for every party, or for none if one of them would exceed its share; `free` is
    /// what is left of the pool after that.
    pub(super) fn take(
        &self,
        resource: Resource,
        more: u64,
        free: u64,
    ) -> Result<(), ExceededShare> {
        let parties = &*self.0;
        let threshold = parties.group.weight().saturating_mul(free);
        let mut left = threshold;
        for (index, group) in parties.groups.iter().enumerate() {
            let used = group.add(resource, more);
            if used > threshold && used > 1 {
                let counted = parties.groups.iter().take(index + 1);
                counted.for_each(|group| group.subtract(resource, more));
                return Err(ExceededShare::Group(parties.group));
            }
            left = left.min(threshold.saturating_sub(used));
        }
        if let Some(subject) = &parties.subject {
            let used = subject.add(resource, more);
            if used > WEIGHT.saturating_mul(left) && used > 1 {
                self.give_back(resource, more);
                return Err(ExceededShare::Subject);
            }
        }
        Ok(())
    }

    pub(super) fn give_back(&self, resource: Resource, less: u64) {
        let parties = &*self.0;
        let all = parties.groups.iter().chain(&parties.subject);
        all.for_each(|party| party.subtract(resource, less));
    }
}
