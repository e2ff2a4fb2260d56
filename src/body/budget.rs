//! One budget for all bodies that are buffered: `limits.buffered_bytes`.
//!
//! Everything that buffers a body, or a part of one, reserves every byte here first; the bytes are
//! returned when the memory is freed. They are charged to the caller of the request, which has no
//! more than its [fair share](crate::shares).

use bytes::Bytes;

use crate::shares::{Claim, Exceeded, Holder, Pool, Resource, UseGauge};

/// The budget, and the holder that is charged.
#[derive(Clone)]
pub(crate) struct Budget {
    pool: Pool,
    holder: Holder,
}

impl Budget {
    /// The budget with this gauge and limit, charged to this holder.
    pub(crate) fn new(used: &UseGauge, limit: usize, holder: &Holder) -> Self {
        Self {
            pool: Pool::new(Resource::BufferedBytes, used, limit),
            holder: holder.clone(),
        }
    }

    /// A share for one buffer, with nothing reserved yet.
    pub(crate) fn share(&self) -> Share {
        Share(self.pool.claim(&self.holder))
    }

    /// Reserves memory that exists already, until it is freed.
    pub(crate) fn hold(&self, bytes: impl Into<Bytes>) -> Result<Bytes, Exceeded> {
        let bytes = bytes.into();
        let mut share = self.share();
        share.resize(bytes.len())?;
        Ok(share.bind(bytes))
    }
}

/// What one buffer has reserved of a [`Budget`]; dropping it returns that.
pub(crate) struct Share(Claim);

impl Share {
    /// Grows or shrinks the reservation to this size.
    ///
    /// # Errors
    /// When too little is left; what was reserved before stays reserved.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.0.resize(bytes)
    }

    /// Ties the reservation to the memory: it is returned with the last reference to that.
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

/// How much may be buffered: of one body, and in total.
#[derive(Clone)]
pub(crate) struct Room {
    /// The most bytes of one body, and the config key that sets the limit.
    pub(crate) bytes: usize,
    pub(crate) budget: Budget,
}

impl Room {
    /// The same for bodies with another limit.
    pub(crate) fn with_limit(&self, bytes: usize) -> Self {
        Self {
            bytes,
            budget: self.budget.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shares::{ExceededShare, Group, UseGauge};

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
    fn reservation_is_returned_with_the_last_reference() {
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
    fn share_that_cannot_grow_keeps_its_reservation() {
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
        assert_eq!(
            share.resize(10),
            exceeded(ExceededShare::Group(Group::Tenants))
        );
        assert_eq!(share.resize(13), exceeded(ExceededShare::Pool));
        assert_eq!(share.resize(usize::MAX), exceeded(ExceededShare::Pool));
        assert_eq!(held(&budget), 6);
        share.resize(2).unwrap();
        assert_eq!(held(&budget), 2);
        drop(share);
        assert_eq!(held(&budget), 0);
    }
}
