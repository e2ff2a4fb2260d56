//! The claims that a token with a valid signature must have to be trusted (RFC 7519 §4.1).

use serde_json::{Map, Value};

use super::error::AuthError;
use crate::config::settings::Issuer;

/// The year 10000. A greater value is not a date in seconds; a time in milliseconds would be.
const END_OF_TIME: f64 = 253_402_300_800.0;

/// When a token may be used, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    /// `exp` without leeway.
    pub(super) expires_at: u64,
    /// The first second, leeway included.
    from: u64,
    /// The second after the last, leeway included.
    until: u64,
    /// Before this second, the token's remaining lifetime exceeds its issuer's `max_lifetime`, leeway
    /// included.
    too_long_until: u64,
}

impl Validity {
    pub(super) fn check(&self, now: u64) -> Result<(), AuthError> {
        if now >= self.until {
            return Err(AuthError::Expired);
        }
        if now < self.from {
            return Err(AuthError::NotYetValid);
        }
        if now < self.too_long_until {
            return Err(AuthError::Lifetime);
        }
        Ok(())
    }
}

/// The issuer that the claims name. It is not to be trusted before the signature is verified.
pub(super) fn issuer(claims: &Map<String, Value>) -> Option<&str> {
    claims.get("iss")?.as_str()
}

/// `sub`, if it is there.
pub(super) fn subject(claims: &Map<String, Value>) -> Result<Option<&str>, AuthError> {
    match claims.get("sub") {
        None => Ok(None),
        Some(Value::String(subject)) => Ok(Some(subject)),
        Some(_) => Err(AuthError::Claims("sub is not a string")),
    }
}

/// Checks every claim but the time, and returns when the token is valid.
pub(super) fn check(claims: &Map<String, Value>, expected: &Issuer) -> Result<Validity, AuthError> {
    if issuer(claims) != Some(&*expected.issuer) {
        return Err(AuthError::Issuer);
    }
    check_audience(claims, &expected.audiences)?;
    check_authorized_party(claims, &expected.authorized_parties)?;
    validity(claims, expected)
}

fn check_audience(claims: &Map<String, Value>, ours: &[String]) -> Result<(), AuthError> {
    let is_ours = |audience: &str| ours.iter().any(|our| our == audience);
    let found = match claims.get("aud") {
        None => return Err(AuthError::Audience),
        Some(Value::String(audience)) => is_ours(audience),
        Some(Value::Array(audiences)) => {
            if !audiences.iter().all(Value::is_string) {
                return Err(AuthError::Claims(
                    "aud holds something that is not a string",
                ));
            }
            audiences.iter().filter_map(Value::as_str).any(is_ours)
        }
        Some(_) => return Err(AuthError::Claims("aud is neither a string nor a list")),
    };
    if found {
        Ok(())
    } else {
        Err(AuthError::Audience)
    }
}

/// `azp` (OpenID Connect Core §2), or `client_id` (RFC 9068 §2.2) where that is not there.
fn check_authorized_party(claims: &Map<String, Value>, ours: &[String]) -> Result<(), AuthError> {
    if ours.is_empty() {
        return Ok(());
    }
    let party = claims.get("azp").or_else(|| claims.get("client_id"));
    match party.and_then(Value::as_str) {
        Some(party) if ours.iter().any(|our| our == party) => Ok(()),
        _ => Err(AuthError::AuthorizedParty),
    }
}

fn validity(claims: &Map<String, Value>, expected: &Issuer) -> Result<Validity, AuthError> {
    let leeway = expected.leeway.as_secs();
    let expires = claims
        .get("exp")
        .ok_or(AuthError::Claims("exp is missing"))?;
    let expires_at = whole_seconds(expires, f64::floor)
        .ok_or(AuthError::Claims("exp is not a time in seconds since 1970"))?;
    let mut from = 0;
    for (name, problem) in [
        ("nbf", "nbf is not a time in seconds since 1970"),
        ("iat", "iat is not a time in seconds since 1970"),
    ] {
        if let Some(value) = claims.get(name) {
            let start = whole_seconds(value, f64::ceil).ok_or(AuthError::Claims(problem))?;
            from = from.max(start);
        }
    }
    let longest = expected.max_lifetime.map(|longest| longest.as_secs());
    let issued_at = claims
        .get("iat")
        .and_then(|iat| whole_seconds(iat, f64::ceil));
    let too_long_until = match (longest, issued_at) {
        (None, _) => 0,
        (Some(longest), Some(issued_at)) => {
            if expires_at.saturating_sub(issued_at) > longest {
                return Err(AuthError::Lifetime);
            }
            0
        }
        (Some(longest), None) => expires_at.saturating_sub(longest).saturating_sub(leeway),
    };
    Ok(Validity {
        expires_at,
        too_long_until,
        from: from.saturating_sub(leeway),
        until: expires_at.saturating_add(leeway),
    })
}

/// A `NumericDate`, which may have a fraction (RFC 7519 §2).
fn whole_seconds(value: &Value, round: fn(f64) -> f64) -> Option<u64> {
    let seconds = round(value.as_f64()?);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and in range"
    )]
    (0.0..END_OF_TIME)
        .contains(&seconds)
        .then_some(seconds as u64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::config::settings::{Algorithm, KeySource};

    const NOW: u64 = 1_800_000_000;

    fn expected() -> Issuer {
        Issuer {
            issuer: "https://idp".into(),
            audiences: vec!["grafana".to_owned(), "partywall".to_owned()],
            algorithms: vec![Algorithm::RS256],
            authorized_parties: Vec::new(),
            leeway: Duration::from_secs(30),
            max_lifetime: None,
            keys: KeySource::Jwks(String::new()),
            refresh_interval: Duration::from_mins(5),
            max_stale: Duration::from_hours(24),
        }
    }

    /// A valid token's claims with one of them set, or removed if the value is `null`.
    fn with(name: &str, value: Value) -> Map<String, Value> {
        let good = json!({"iss": "https://idp", "aud": "grafana", "exp": NOW + 60});
        let mut claims = good.as_object().unwrap().clone();
        match value {
            Value::Null => claims.remove(name),
            value => claims.insert(name.to_owned(), value),
        };
        claims
    }

    fn outcome(expected: &Issuer, claims: &Map<String, Value>) -> Result<(), &'static str> {
        check(claims, expected)
            .and_then(|validity| validity.check(NOW))
            .map_err(|error| error.reason().label())
    }

    #[test]
    fn issuer_must_be_exactly_the_configured_one() {
        for iss in [
            json!("https://idp/"),
            json!("HTTPS://idp"),
            json!(["https://idp"]),
            json!(null),
        ] {
            assert_eq!(outcome(&expected(), &with("iss", iss)), Err("issuer"));
        }
    }

    #[test]
    fn audience_must_contain_a_configured_one() {
        for ours in [json!("partywall"), json!(["x", "grafana"])] {
            assert_eq!(outcome(&expected(), &with("aud", ours)), Ok(()));
        }
        for foreign in [
            json!("x"),
            json!("grafana "),
            json!([]),
            json!(["x"]),
            json!(null),
        ] {
            assert_eq!(outcome(&expected(), &with("aud", foreign)), Err("audience"));
        }
        for odd in [
            json!(["grafana", 1]),
            json!({"grafana": 1}),
            json!(7),
            json!(true),
        ] {
            assert_eq!(outcome(&expected(), &with("aud", odd)), Err("claims"));
        }
    }

    #[test]
    fn time_must_be_a_number_of_seconds_and_leeway_is_bounded() {
        for (name, value, result) in [
            ("exp", json!(NOW - 29), Ok(())),
            ("exp", json!(NOW - 30), Err("expired")),
            ("exp", json!(1_800_000_000.5), Ok(())),
            ("exp", json!(0), Err("expired")),
            ("exp", json!(null), Err("claims")),
            ("exp", json!("1900000000"), Err("claims")),
            ("exp", json!(-1), Err("claims")),
            ("exp", json!(NOW * 1000), Err("claims")),
            ("exp", json!(1e300), Err("claims")),
            ("exp", json!(u64::MAX), Err("claims")),
            ("exp", json!([NOW + 60]), Err("claims")),
            ("nbf", json!(NOW + 30), Ok(())),
            ("nbf", json!(NOW + 31), Err("not_yet_valid")),
            ("nbf", json!("1"), Err("claims")),
            ("iat", json!(NOW + 30), Ok(())),
            ("iat", json!(NOW + 31), Err("not_yet_valid")),
            ("iat", json!(true), Err("claims")),
        ] {
            let text = value.to_string();
            assert_eq!(
                outcome(&expected(), &with(name, value)),
                result,
                "{name} {text}"
            );
        }
        let mut null = with("nbf", json!(null));
        null.insert("nbf".to_owned(), Value::Null);
        assert_eq!(outcome(&expected(), &null), Err("claims"));
    }

    #[test]
    fn token_valid_for_longer_than_its_issuer_allows_is_refused() {
        let hour = Issuer {
            max_lifetime: Some(Duration::from_hours(1)),
            ..expected()
        };
        let outcome = |issuer: &Issuer, iat: Value, exp: u64| {
            let mut claims = with("iat", iat);
            claims.insert("exp".to_owned(), json!(exp));
            outcome(issuer, &claims)
        };
        let century = NOW + 100 * 366 * 86_400;
        for (iat, exp, result) in [
            (json!(NOW), NOW + 3600, Ok(())),
            (json!(NOW), NOW + 3601, Err("lifetime")),
            (json!(NOW - 3000), NOW + 600, Ok(())),
            (json!(NOW - 3000), NOW + 601, Err("lifetime")),
            (json!(NOW), century, Err("lifetime")),
            // An `iat` in the future or after `exp` does not help.
            (json!(century - 3600), century, Err("not_yet_valid")),
            (json!(NOW + 20), NOW + 10, Ok(())),
            // Without `iat` the remaining lifetime counts, and clocks may disagree.
            (json!(null), NOW + 3630, Ok(())),
            (json!(null), NOW + 3631, Err("lifetime")),
            (json!(null), century, Err("lifetime")),
        ] {
            let text = format!("{iat} {exp}");
            assert_eq!(outcome(&hour, iat.clone(), exp), result, "{text}");
            let unbounded = outcome(&expected(), iat, exp);
            assert_ne!(unbounded, Err("lifetime"), "{text}");
        }
    }

    #[test]
    fn authorized_parties_are_checked_only_if_configured() {
        assert_eq!(outcome(&expected(), &with("azp", json!("x"))), Ok(()));
        let some = Issuer {
            authorized_parties: vec!["grafana-client".to_owned()],
            ..expected()
        };
        let check = |name, value| outcome(&some, &with(name, value));
        assert_eq!(check("azp", json!("grafana-client")), Ok(()));
        assert_eq!(check("client_id", json!("grafana-client")), Ok(()));
        assert_eq!(check("azp", json!("x")), Err("authorized_party"));
        assert_eq!(
            check("azp", json!(["grafana-client"])),
            Err("authorized_party")
        );
        assert_eq!(check("azp", json!(null)), Err("authorized_party"));
        let mut both = with("azp", json!("x"));
        both.insert("client_id".to_owned(), json!("grafana-client"));
        assert_eq!(outcome(&some, &both), Err("authorized_party"));
    }

    #[test]
    fn subject_must_be_a_string_if_present() {
        assert_eq!(subject(&with("sub", json!("alice"))), Ok(Some("alice")));
        assert_eq!(subject(&with("sub", json!(null))), Ok(None));
        assert!(subject(&with("sub", json!(7))).is_err());
    }
}
