//! One account of all the bodies that are held in memory: `limits.buffered_bytes`.
//!
//! Whoever buffers a body, or holds a part of one back, asks here for every byte first, and
//! the bytes go back by themselves when the memory does. They count for the caller whose request
//! it is, which has no more than its [fair share](crate::shares).

use bytes::Bytes;

use crate::shares::{Claim, Exceeded, Holder, Pool, Resource, UseGauge};

/// The account, and the caller that it is asked for.
#[derive(Clone)]
pub(crate) struct Budget {
    pool: Pool,
    holder: Holder,
}

impl Budget {
    /// The account that this gauge shows, with this limit, for this party.
    pub(crate) fn new(used: &UseGauge, limit: usize, holder: &Holder) -> Self {
        Self {
            pool: Pool::new(Resource::BufferedBytes, used, limit),
            holder: holder.clone(),
        }
    }

    /// A share of it, with nothing taken yet.
    pub(crate) fn share(&self) -> Share {
        Share(self.pool.claim(&self.holder))
    }

    /// Holds what was made here until its memory is free again.
    pub(crate) fn hold(&self, bytes: impl Into<Bytes>) -> Result<Bytes, Exceeded> {
        let bytes = bytes.into();
        let mut share = self.share();
        share.resize(bytes.len())?;
        Ok(share.bind(bytes))
    }
}

/// What one buffer has of a [`Budget`]; its drop gives it back.
pub(crate) struct Share(Claim);

impl Share {
    /// Takes or gives back, so that it is of this size.
    ///
    /// # Errors
    /// When there is not so much left; what was taken before stays taken.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.0.resize(bytes)
    }

    /// Ties it to the memory it was taken for: it goes back with the last reference to that.
    pub(crate) fn bind(self, bytes: Bytes) -> Bytes {
        if self.0.amount() == 0 {
            return bytes;
        }
        Bytes::from_owner(Held {
            bytes,
            _share: self,
        })
    }
}

struct Held {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// How much may be buffered: of one body, and of all together.
#[derive(Clone)]
pub(crate) struct Room {
    /// The most bytes of one body, and the key that says so.
    pub(crate) bytes: usize,
    pub(crate) budget: Budget,
}

impl Room {
    /// Of bodies of another length.
    pub(crate) fn of(&self, bytes: usize) -> Self {
        Self {
            bytes,
            budget: self.budget.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shares::{By, Group, UseGauge};

    fn budget(limit: usize) -> Budget {
        Budget {
            pool: Pool::new(Resource::BufferedBytes, &UseGauge::default(), limit),
            holder: Holder::alone(),
        }
    }

    fn held(budget: &Budget) -> u64 {
        budget.pool.used()
    }

    #[test]
    fn what_is_taken_is_given_back_with_the_last_reference_to_the_memory() {
        let budget = budget(12);
        let whole = budget.hold(vec![1; 8]).unwrap();
        let slice = whole.slice(2..4);
        assert!(budget.hold(vec![1; 3]).is_err());
        drop(whole);
        assert_eq!(held(&budget), 8, "the slice keeps all of it");
        drop(slice);
        assert_eq!(held(&budget), 0);
        assert!(budget.hold(vec![1; 9]).is_ok());
    }

    #[test]
    fn a_share_that_cannot_grow_keeps_what_it_has() {
        let budget = budget(12);
        let mut share = budget.share();
        share.resize(6).unwrap();
        let exceeded = |by| {
            Err(Exceeded {
                resource: Resource::BufferedBytes,
                limit: 12,
                by,
            })
        };
        assert_eq!(share.resize(10), exceeded(By::Group(Group::Tenants)));
        assert_eq!(share.resize(13), exceeded(By::All));
        assert_eq!(share.resize(usize::MAX), exceeded(By::All));
        assert_eq!(held(&budget), 6);
        share.resize(2).unwrap();
        assert_eq!(held(&budget), 2);
        drop(share);
        assert_eq!(held(&budget), 0);
    }
}
