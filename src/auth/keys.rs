//! The keys that an issuer may sign with.

use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaParameters, VerificationAlgorithm,
};
use jsonwebtoken::DecodingKey;
use thiserror::Error;

use super::jws::Jws;
use crate::config::settings::Algorithm;

/// How many keys are tried for a token that names none. Each try costs some ten microseconds for a
/// client that is not authenticated yet.
const MAX_TRIED: usize = 8;

#[derive(Debug, Default, PartialEq)]
pub(super) struct KeySet(Vec<Key>);

/// A key with the algorithms that it may be used with, all of which fit its type: a public key is
/// never used as a secret.
pub(super) struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    verifier: DecodingKey,
    /// The key's public bytes, which identify it; empty for a secret.
    public: Vec<u8>,
}

/// The type of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// The result of verifying a signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    /// The key that the token names did not sign it.
    Bad,
    /// None of these keys signed it; the issuer may have a new one.
    NoKey,
    /// The token names no key, and there are more than [`MAX_TRIED`].
    TooMany,
}

/// Why a key of an issuer is not used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Unusable {
    #[error("an RSA key of {0} bits: 2048 to 8192 are accepted")]
    RsaSize(u32),
    #[error("its values are not those of a public key of its type")]
    Malformed,
    #[error("it is not for signatures")]
    NotForSignatures,
    #[error("it is a shared secret, which does not belong into a published key set")]
    Secret,
    #[error("its type, curve or algorithm is not supported")]
    Unsupported,
    #[error("none of the issuer's `algorithms` fits it")]
    NotAllowed,
}

impl KeySet {
    pub(super) fn new(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies a token's signature. A key with another id than the token's is never tried; a key
    /// without an id is.
    pub(super) fn verify(&self, jws: &Jws<'_>) -> Verdict {
        let kid = jws.kid.as_deref();
        let named = kid.is_some() && self.0.iter().any(|key| key.kid.as_deref() == kid);
        let candidates = || {
            self.0.iter().filter(|key| {
                key.algorithms.contains(&jws.algorithm)
                    && (key.kid.is_none() || kid.is_none() || key.kid.as_deref() == kid)
            })
        };
        if candidates().nth(MAX_TRIED).is_some() {
            return Verdict::TooMany;
        }
        if candidates().any(|key| key.made(jws)) {
            Verdict::Good
        } else if named {
            Verdict::Bad
        } else {
            Verdict::NoKey
        }
    }
}

impl Key {
    pub(super) fn secret(secret: &[u8], allowed: &[Algorithm]) -> Result<Self, Unusable> {
        let algorithms = allowed.iter().copied().filter(|a| a.is_hmac()).collect();
        Self::usable(
            None,
            algorithms,
            DecodingKey::from_secret(secret),
            Vec::new(),
        )
    }

    /// A public key, as a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7) or in its raw form.
    /// `declared` is the one algorithm that it is published for.
    pub(super) fn public(
        family: Family,
        bytes: Vec<u8>,
        kid: Option<String>,
        declared: Option<Algorithm>,
        allowed: &[Algorithm],
    ) -> Result<Self, Unusable> {
        let verifier = match family {
            Family::Rsa => {
                check_rsa_size(&bytes)?;
                DecodingKey::from_rsa_der(&bytes)
            }
            Family::P256 | Family::P384 => DecodingKey::from_ec_der(&bytes),
            Family::Ed25519 => DecodingKey::from_ed_der(&bytes),
        };
        if !family.reads(&bytes) {
            return Err(Unusable::Malformed);
        }
        let algorithms = allowed
            .iter()
            .copied()
            .filter(|a| family.algorithms().contains(a) && declared.is_none_or(|only| only == *a))
            .collect();
        Self::usable(kid, algorithms, verifier, bytes)
    }

    fn usable(
        kid: Option<String>,
        algorithms: Vec<Algorithm>,
        verifier: DecodingKey,
        public: Vec<u8>,
    ) -> Result<Self, Unusable> {
        if algorithms.is_empty() {
            return Err(Unusable::NotAllowed);
        }
        Ok(Self {
            kid,
            algorithms,
            verifier,
            public,
        })
    }

    fn made(&self, jws: &Jws<'_>) -> bool {
        let signed = jws.signed.as_bytes();
        let algorithm = crypto_algorithm(jws.algorithm);
        jsonwebtoken::crypto::verify(jws.signature, signed, &self.verifier, algorithm)
            .unwrap_or(false)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (&self.kid, &self.algorithms, &self.public)
            == (&other.kid, &other.algorithms, &other.public)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:?}, {:?})", self.kid, self.algorithms)
    }
}

impl Family {
    /// The family of a `SubjectPublicKeyInfo`.
    pub(super) fn of_spki(spki: &[u8]) -> Option<Self> {
        let mut all = [Self::Rsa, Self::P256, Self::P384, Self::Ed25519].into_iter();
        all.find(|family| family.reads(spki))
    }

    /// Whether the verifier will understand the key.
    fn reads(self, bytes: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match self {
            Self::Rsa => &RSA_PKCS1_2048_8192_SHA256,
            Self::P256 => &ECDSA_P256_SHA256_FIXED,
            Self::P384 => &ECDSA_P384_SHA384_FIXED,
            Self::Ed25519 => &ED25519,
        };
        ParsedPublicKey::new(algorithm, bytes).is_ok()
    }

    fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::Rsa => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            Self::P256 => &[Algorithm::ES256],
            Self::P384 => &[Algorithm::ES384],
            Self::Ed25519 => &[Algorithm::EdDSA],
        }
    }
}

fn check_rsa_size(bytes: &[u8]) -> Result<(), Unusable> {
    let key = rsa::PublicKey::from_der(bytes).map_err(|_| Unusable::Malformed)?;
    let bits = RsaParameters::public_modulus_len(key.as_ref()).map_err(|_| Unusable::Malformed)?;
    if (2048..=8192).contains(&bits) {
        Ok(())
    } else {
        Err(Unusable::RsaSize(bits))
    }
}

fn crypto_algorithm(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::HS256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::HS384 => jsonwebtoken::Algorithm::HS384,
        Algorithm::HS512 => jsonwebtoken::Algorithm::HS512,
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::RS384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::RS512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::PS256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::PS384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::PS512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::ES384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    }
}
