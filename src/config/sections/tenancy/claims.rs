//! Which claims can identify a caller's tenant. Registered claims (IANA, JSON Web Token Claims)
//! have another meaning at every provider.

use super::grants::ClaimPath;
use crate::config::reader::{Field, Read, Reader};
use crate::config::warning::WarningCode;

/// Times: numbers, while a tenant is a string (RFC 7519 §4.1.4 to §4.1.6, OpenID Connect Core §2).
const TIMES: [&str; 5] = ["exp", "nbf", "iat", "auth_time", "updated_at"];

/// Different in each token or session (RFC 7519 §4.1.7, OpenID Connect Core §2 and §3.1.3.6, OpenID
/// Connect Front-Channel Logout §3).
const OF_ONE_TOKEN: [&str; 6] = ["jti", "nonce", "at_hash", "c_hash", "s_hash", "sid"];

/// Users can change these themselves at many providers; OpenID Connect Core §5.7 forbids using them
/// to identify a user.
const BY_USERS: [&str; 11] = [
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "email",
    "phone_number",
];

/// The claim that is unique only within an issuer (RFC 7519 §4.1.2). One tenant per user is a valid
/// setup, so it may name tenants.
pub(super) const SUBJECT: &str = "sub";

/// A claim whose values are tenants, further labels or clusters.
pub(super) fn grants(r: &mut Reader<'_>, field: &Field<'_>, claim: &ClaimPath) -> Read<()> {
    let Some(name) = top_level(claim) else {
        return Ok(());
    };
    no_value(r, field, name)?;
    let why = match name {
        "iss" => {
            "it is the same for every caller of an issuer; write a rule with `when: {issuer}` and \
             `tenants` instead"
        }
        "aud" => {
            "it says for which services a token is, not whose it is; with many providers clients \
             choose it"
        }
        "scope" | "scp" => "clients choose what they request at many providers",
        "acr" | "amr" | "typ" => "it says how the caller logged in, not which tenant it has",
        _ if BY_USERS.contains(&name) => {
            "at many providers users change it themselves (OpenID Connect Core §5.7)"
        }
        _ => return Ok(()),
    };
    let message = format!("`{name}` does not identify a tenant: {why}");
    r.warn(field, WarningCode::ClaimNotOfTenant, message);
    Ok(())
}

/// A claim in a rule's condition.
pub(super) fn decides(r: &mut Reader<'_>, field: &Field<'_>, claim: &ClaimPath) -> Read<()> {
    match top_level(claim) {
        Some("iss") => Err(r.error(field, "`iss` is checked by `issuer`")),
        Some("aud") => {
            let message = "`aud` tells no callers apart: every valid token has one of the issuer's \
                           `audiences`, and with many providers clients choose others";
            r.warn(field, WarningCode::ClaimNotOfTenant, message);
            Ok(())
        }
        Some("scope" | "scp") => {
            let message = "clients choose their scopes at many providers: any caller may ask for \
                           this one";
            r.warn(field, WarningCode::ClaimNotOfTenant, message);
            Ok(())
        }
        Some(name) => no_value(r, field, name),
        None => Ok(()),
    }
}

fn top_level(claim: &ClaimPath) -> Option<&str> {
    match claim.0.as_slice() {
        [name] => Some(name),
        _ => None,
    }
}

/// Refuses claims whose values a config cannot know.
fn no_value(r: &mut Reader<'_>, field: &Field<'_>, name: &str) -> Read<()> {
    let message = if TIMES.contains(&name) {
        format!("`{name}` is a time: name the claim that holds the tenants")
    } else if OF_ONE_TOKEN.contains(&name) {
        format!("`{name}` differs from token to token: name the claim that holds the tenants")
    } else {
        return Ok(());
    };
    Err(r.error(field, message))
}
