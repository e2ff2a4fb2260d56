//! A change of a silence that exists: only of one that is wholly the caller's.
//!
//! Between the check and the change nothing can make the silence another's: Alertmanager never changes
//! the matchers of an id. What is posted with other matchers becomes a silence with a new, random id
//! (`canUpdate` and `Set` in silence/silence.go), also on other members of a cluster, which exchange
//! silences by their ids. A member that does not know the id yet answers 404, and so does Partywall.

use std::sync::Arc;

use crate::alertmanager::silences;
use crate::auth::Caller;
use crate::proxy::authorize::matchers_of;
use crate::proxy::enforce::Enforced;
use crate::proxy::error::{ErrorKind, ProxyError};

/// A request that may be sent once the silence that it changes was found to be the caller's.
pub(in crate::proxy) struct ChangeOfSilence {
    silence: Enforced,
    change: Unverified,
}

/// The request, without the proof.
pub(in crate::proxy) struct Unverified {
    caller: Arc<Caller>,
    request: Enforced,
}

impl ChangeOfSilence {
    pub(super) fn new(silence: Enforced, caller: Arc<Caller>, request: Enforced) -> Self {
        let change = Unverified { caller, request };
        Self { silence, change }
    }

    /// The side request for the silence, and what its answer releases.
    pub(in crate::proxy) fn split(self) -> (Enforced, Unverified) {
        (self.silence, self.change)
    }
}

impl Unverified {
    /// The request, if the silence is the caller's; `None` is one that does not exist.
    ///
    /// # Errors
    /// When it is not the caller's, or does not exist: the same error.
    pub(in crate::proxy) fn released(self, silence: Option<&[u8]>) -> Result<Enforced, ProxyError> {
        let own = match silence {
            Some(silence) => silences::one(silence, matchers_of(&self.caller)?)
                .map_err(|error| ProxyError::unreadable(&error))?,
            None => None,
        };
        own.map(|_| self.request).ok_or_else(not_found)
    }
}

/// The error for a silence that does not exist, or is not the caller's.
pub(super) fn not_found() -> ProxyError {
    ProxyError::new(ErrorKind::NotFound, silences::NOT_FOUND)
}
