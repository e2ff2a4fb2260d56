//! What would have become of a request.

use hyper::header::HeaderValue;

use crate::proxy::enforce::Enforced;
use crate::proxy::error::ProxyError;
use crate::telemetry::audit::{Redaction, Shadowed};
use crate::telemetry::metrics::{Decision, Verdict};

/// A verdict, and why.
pub(in crate::proxy) struct Seen<E = ()> {
    /// What would have become of it.
    pub(in crate::proxy) verdict: Verdict,
    /// Of a denial, in the words of `partywall_refusals_total`; else empty.
    pub(in crate::proxy) reason: &'static str,
    refusal: Option<Refusal>,
    enforced: E,
}

/// The error that is kept back.
struct Refusal {
    status: u16,
    text: String,
}

impl Seen<Option<Enforced>> {
    /// It would have been sent.
    pub(super) fn sent(enforced: Enforced, decision: Decision) -> Self {
        let verdict = match decision {
            Decision::Confined => Verdict::Rewritten,
            Decision::Filtered => Verdict::Filtered,
            Decision::Unrestricted | Decision::Passed => Verdict::Unchanged,
            Decision::Refused | Decision::Shadow => Verdict::Unknown,
        };
        Self {
            verdict,
            reason: "",
            refusal: None,
            enforced: Some(enforced),
        }
    }

    /// It would have gone up as it came.
    pub(super) fn unchanged() -> Self {
        Self {
            verdict: Verdict::Unchanged,
            reason: "",
            refusal: None,
            enforced: None,
        }
    }

    /// Only the upstream's answer could tell.
    pub(super) fn undecided() -> Self {
        Self {
            verdict: Verdict::Unknown,
            ..Self::unchanged()
        }
    }

    /// It would have got this error. One of ours, or of load, says nothing of the caller.
    pub(super) fn refused(error: &ProxyError, redaction: Redaction) -> Self {
        let status = error.status();
        Self {
            verdict: if status.is_server_error() {
                Verdict::Unknown
            } else {
                Verdict::Denied
            },
            reason: error.reason(),
            refusal: Some(Refusal {
                status: status.as_u16(),
                text: error.audit_text(redaction),
            }),
            enforced: None,
        }
    }

    /// For the answer: `denied; reason=missing`.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let verdict = self.verdict.name();
        if self.reason.is_empty() {
            return Some(HeaderValue::from_static(verdict));
        }
        HeaderValue::from_str(&format!("{verdict}; reason={}", self.reason)).ok()
    }

    /// The confined request taken out of it.
    pub(super) fn without_enforced(self) -> (Seen, Option<Enforced>) {
        let seen = Seen {
            verdict: self.verdict,
            reason: self.reason,
            refusal: self.refusal,
            enforced: (),
        };
        (seen, self.enforced)
    }
}

impl<E> Seen<E> {
    /// For the audit trail.
    pub(in crate::proxy) fn noted(&self) -> Shadowed {
        Shadowed {
            verdict: self.verdict,
            would_answer: self.refusal.as_ref().map(|refusal| refusal.status),
            compared: None,
        }
    }

    /// What the client would have been told.
    pub(in crate::proxy) fn text(&self) -> Option<&str> {
        self.refusal.as_ref().map(|refusal| refusal.text.as_str())
    }
}
