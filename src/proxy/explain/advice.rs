//! Which config key would permit what is refused.

use super::explanation::Refused;
use crate::proxy::error::ProxyError;
use crate::proxy::rules::Rules;
use crate::reason::Reason;

/// A refusal, with what would permit it.
pub(super) fn refused(rules: &Rules, error: &ProxyError) -> Refused {
    let reason = error.reason();
    let to_allow = match reason {
        Reason::KeysUnavailable => rules.authenticator().not_ready(),
        _ => reason.to_allow().map(str::to_owned),
    };
    Refused {
        status: error.status().as_u16(),
        reason: reason.label().to_owned(),
        text: error.text().to_owned(),
        to_allow,
    }
}
