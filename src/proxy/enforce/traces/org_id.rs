//! A Tempo with multitenancy separates tenants by `X-Scope-OrgID`, so that header is all it needs.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use crate::proxy::error::{ErrorKind, ProxyError};
use crate::reason::Reason;
use crate::tenancy::Tenants;

const NAME: HeaderName = HeaderName::from_static("x-scope-orgid");

/// The longest tenant that Tempo accepts (dskit, `tenant/tenant.go`).
const MAX_BYTES: usize = 150;

/// The tenants joined by `|`, the separator that Tempo expects.
pub(super) fn of(tenants: &Tenants) -> Result<HeaderValue, ProxyError> {
    let ids: Vec<&str> = tenants
        .tenants()
        .iter()
        .map(crate::tenancy::Tenant::as_str)
        .collect();
    if !ids.iter().all(|id| is_valid(id)) {
        let text = "a tenant has characters that Tempo does not take in X-Scope-OrgID";
        return Err(ProxyError::new(ErrorKind::Forbidden, text).because(Reason::NoTenants));
    }
    HeaderValue::from_str(&ids.join("|")).map_err(|error| {
        ProxyError::new(ErrorKind::Forbidden, "the tenants cannot stand in a header")
            .because(Reason::NoTenants)
            .caused_by(&error)
    })
}

/// The header alone.
pub(in crate::proxy::enforce) fn header(value: HeaderValue) -> HeaderMap {
    HeaderMap::from_iter([(NAME, value)])
}

/// Tempo has no value for "all tenants".
pub(super) fn all_tenants_unsupported() -> ProxyError {
    let text = "this Tempo keeps tenants apart by X-Scope-OrgID, which cannot say `all tenants`; \
                use a token that names tenants";
    ProxyError::new(ErrorKind::Forbidden, text).because(Reason::NoTenants)
}

/// What dskit accepts: letters, digits and ``!-_.*'()``, but not `.` or `..`.
fn is_valid(id: &str) -> bool {
    id.len() <= MAX_BYTES
        && !matches!(id, "." | "..")
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!-_.*'()".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn org_id_is_limited_to_what_tempo_accepts() {
        for good in ["acme", "a-b_c.d", "*'()!"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["a|b", "a b", "a/b", "é", "..", &"x".repeat(151)] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
