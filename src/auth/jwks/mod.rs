//! A published key set (RFC 7517 §5). Keys that are not usable are ignored, as §5 requires.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::RsaPublicKeyComponents;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use thiserror::Error;

use super::jws::algorithm_named;
use super::keys::{Family, Key, KeySet, Unusable};
use crate::config::settings::Algorithm;

/// The maximum number of keys in a set; more than any provider publishes.
const MAX_KEYS: usize = 100;

/// A key set, and the keys in it that are not used.
#[derive(Debug)]
pub(super) struct Jwks {
    pub(super) keys: KeySet,
    /// The key, by its id or its number in the set, and why it is not used.
    pub(super) unused: Vec<(String, Unusable)>,
}

/// Why a text is not a key set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum NoJwks {
    #[error("the key set is not JSON with a list of `keys` (RFC 7517)")]
    Malformed,
    #[error("the key set holds {0} keys and at most {MAX_KEYS} are accepted")]
    TooManyKeys(usize),
}

/// Parses a key set and returns the keys that a token of this issuer can be signed with.
pub(super) fn parse(text: &[u8], allowed: &[Algorithm]) -> Result<Jwks, NoJwks> {
    let set: Value = serde_json::from_slice(text).map_err(|_| NoJwks::Malformed)?;
    let entries = set
        .get("keys")
        .and_then(Value::as_array)
        .ok_or(NoJwks::Malformed)?;
    if entries.len() > MAX_KEYS {
        return Err(NoJwks::TooManyKeys(entries.len()));
    }
    let mut keys = Vec::new();
    let mut unused = Vec::new();
    for (number, entry) in (1..).zip(entries) {
        match key(entry, allowed) {
            Ok(key) => keys.push(key),
            Err(why) => unused.push((name(number, entry), why)),
        }
    }
    Ok(Jwks {
        keys: KeySet::new(keys),
        unused,
    })
}

fn name(number: usize, entry: &Value) -> String {
    match entry.get("kid").and_then(Value::as_str) {
        Some(kid) => format!("{kid:?}"),
        None => format!("number {number}"),
    }
}

fn key(entry: &Value, allowed: &[Algorithm]) -> Result<Key, Unusable> {
    let jwk = entry.as_object().ok_or(Unusable::Malformed)?;
    let (family, bytes) = public_key(jwk)?;
    if !is_for_signatures(jwk) {
        return Err(Unusable::NotForSignatures);
    }
    let declared = match jwk.get("alg") {
        None => None,
        Some(alg) => {
            let known = alg.as_str().and_then(algorithm_named);
            Some(known.ok_or(Unusable::Unsupported)?)
        }
    };
    let kid = match jwk.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.clone()),
        Some(_) => return Err(Unusable::Malformed),
    };
    Key::public(family, bytes, kid, declared, allowed)
}

/// Whether `use` and `key_ops` (RFC 7517 §4.2, §4.3), if present, permit verifying signatures.
fn is_for_signatures(jwk: &Map<String, Value>) -> bool {
    let by_use = jwk.get("use").is_none_or(|use_| use_ == "sig");
    let by_operations = jwk.get("key_ops").is_none_or(|operations| {
        let operations = operations.as_array();
        operations.is_some_and(|all| all.iter().any(|one| one == "verify"))
    });
    by_use && by_operations
}

/// RFC 7518 §6.2.1 and §6.3.1, RFC 8037 §2.
fn public_key(jwk: &Map<String, Value>) -> Result<(Family, Vec<u8>), Unusable> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| {
        let decoded = text(name).and_then(|value| URL_SAFE_NO_PAD.decode(value).ok());
        decoded.ok_or(Unusable::Malformed)
    };
    match (text("kty"), text("crv")) {
        (Some("RSA"), _) => Ok((Family::Rsa, rsa(&bytes("n")?, &bytes("e")?)?)),
        (Some("EC"), Some("P-256")) => Ok((Family::P256, point(&bytes("x")?, &bytes("y")?, 32)?)),
        (Some("EC"), Some("P-384")) => Ok((Family::P384, point(&bytes("x")?, &bytes("y")?, 48)?)),
        (Some("OKP"), Some("Ed25519")) => Ok((Family::Ed25519, bytes("x")?)),
        (Some("oct"), _) => Err(Unusable::Secret),
        _ => Err(Unusable::Unsupported),
    }
}

/// Some providers put a zero byte before the modulus, which §6.3.1.1 mentions and forbids.
fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Vec<u8>, Unusable> {
    let zeros = modulus.iter().take_while(|&&byte| byte == 0).count();
    let components = RsaPublicKeyComponents {
        n: modulus.get(zeros..).unwrap_or_default(),
        e: exponent,
    };
    match components.as_der() {
        Ok(der) => Ok(der.as_ref().to_vec()),
        Err(_) => Err(Unusable::Malformed),
    }
}

/// An uncompressed point (SEC 1 §2.3.3).
fn point(x: &[u8], y: &[u8], size: usize) -> Result<Vec<u8>, Unusable> {
    if x.len() != size || y.len() != size {
        return Err(Unusable::Malformed);
    }
    Ok([&[4], x, y].concat())
}

#[cfg(test)]
mod tests;
