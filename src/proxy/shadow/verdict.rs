//! What enforcement would have done to a request.

use hyper::header::HeaderValue;

use crate::proxy::error::ProxyError;
use crate::reason::Reason;
use crate::telemetry::audit::{Redaction, Shadowed};
use crate::telemetry::metrics::{Decision, Verdict};

/// A verdict, with the reason of a refusal.
pub(in crate::proxy) struct ShadowVerdict {
    pub(in crate::proxy) verdict: Verdict,
    /// Only for a refusal.
    pub(in crate::proxy) reason: Option<Reason>,
    refusal: Option<Refusal>,
}

/// The error that the client would have got.
struct Refusal {
    status: u16,
    text: String,
}

impl ShadowVerdict {
    /// It would have been sent.
    pub(super) fn sent(decision: Decision) -> Self {
        Self::of(match decision {
            Decision::Confined => Verdict::Rewritten,
            Decision::Filtered => Verdict::Filtered,
            Decision::Unrestricted | Decision::Passed => Verdict::Unchanged,
            Decision::Refused | Decision::Shadow => Verdict::Unknown,
        })
    }

    /// Only the upstream's response could have decided.
    pub(super) fn undecided() -> Self {
        Self::of(Verdict::Unknown)
    }

    fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            reason: None,
            refusal: None,
        }
    }

    /// It would have got this error. Errors of our own, or of load, say nothing about the caller.
    pub(super) fn refused(error: &ProxyError, redaction: Redaction) -> Self {
        let status = error.status();
        Self {
            verdict: if status.is_server_error() {
                Verdict::Unknown
            } else {
                Verdict::Denied
            },
            reason: Some(error.reason()),
            refusal: Some(Refusal {
                status: status.as_u16(),
                text: error.audit_text(redaction),
            }),
        }
    }

    /// For the response: `denied; reason=missing`.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let verdict = self.verdict.name();
        let Some(reason) = self.reason else {
            return Some(HeaderValue::from_static(verdict));
        };
        HeaderValue::from_str(&format!("{verdict}; reason={}", reason.label())).ok()
    }

    /// For the audit trail.
    pub(in crate::proxy) fn noted(&self) -> Shadowed {
        Shadowed {
            verdict: self.verdict,
            would_answer: self.refusal.as_ref().map(|refusal| refusal.status),
            compared: None,
        }
    }

    /// The error text that the client would have got.
    pub(in crate::proxy) fn text(&self) -> Option<&str> {
        self.refusal.as_ref().map(|refusal| refusal.text.as_str())
    }
}
