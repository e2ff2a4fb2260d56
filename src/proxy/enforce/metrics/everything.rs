//! Selectors of everything in a `match[]` (`{}`, `{x=~".*"}`): Prometheus refuses them, and Thanos leaves
//! them to its stores. Ours make selective ones of them, so that the store would no longer refuse them;
//! so it is asked first, about a selector of the same kind.
//!
//! The store is asked each time: these requests are rare, and whatever is behind the upstream's address
//! may change.

use memchr::memmem;

use super::{Rebuild, names_since};
use crate::prometheus::endpoints::Endpoint;
use crate::prometheus::form::Form;
use crate::prometheus::params::Unselective;
use crate::proxy::enforce::{Condition, Enforced, Enforcement, ResponsePlan};
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::reason::Reason;

/// A label that no series has, so that its values cost nothing and the answer has nobody's data.
const NO_LABEL: &str = "partywall_asks_whether_selectors_of_everything_are_accepted";

/// In the errors and warnings of stores that do not accept it: Prometheus' own words, which Thanos
/// passes on from its sidecars.
const REFUSAL: &[u8] = b"must contain at least one non-empty matcher";

/// A request that may be sent if the store accepts selectors of everything.
pub(in crate::proxy) struct SelectorsOfEverything {
    example: Enforced,
    request: Unaccepted,
}

/// The request, before the store was asked.
pub(in crate::proxy) struct Unaccepted {
    request: Enforced,
    error: &'static str,
}

impl SelectorsOfEverything {
    /// The side request, and what its answer releases.
    pub(in crate::proxy) fn split(self) -> (Enforced, Unaccepted) {
        (self.example, self.request)
    }
}

impl Unaccepted {
    /// The request, if the answer to the side request shows that all of the store accepts it; `None` is
    /// a refusal.
    ///
    /// # Errors
    /// Prometheus' own, if it does not.
    pub(in crate::proxy) fn released(self, answer: Option<&[u8]>) -> Result<Enforced, ProxyError> {
        match answer {
            Some(answer) if memmem::find(answer, REFUSAL).is_none() => Ok(self.request),
            _ => {
                Err(ProxyError::new(ErrorKind::BadRequest, self.error).because(Reason::Parameters))
            }
        }
    }
}

impl Rebuild<'_> {
    /// The request, to be sent once the store was asked about such selectors.
    pub(super) fn once_accepted(
        &self,
        unselective: Unselective,
        request: Enforced,
    ) -> Result<Enforcement, ProxyError> {
        let mut form = Form::default();
        form.push("match[]", unselective.like);
        form.push("start", names_since());
        // A Thanos store that is down is none that refuses.
        form.push("partial_response", "true");
        let rebuild = Rebuild {
            endpoint: &Endpoint::LabelValues(NO_LABEL.into()),
            ..*self
        };
        let example = rebuild.form(&form, ResponsePlan::Stream)?;
        let error = unselective.error;
        let selectors = SelectorsOfEverything {
            example,
            request: Unaccepted { request, error },
        };
        let condition = Condition::AcceptedSelectors(selectors);
        Ok(Enforcement::Conditional(Box::new(condition)))
    }
}
