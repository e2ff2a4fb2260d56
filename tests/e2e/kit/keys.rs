//! Signing keys with names, and the files and documents that publish them.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::kit::token::{AUDIENCE, now};

/// An ES256 key pair.
pub struct Key {
    signing: EncodingKey,
    id: String,
    public: Value,
    pub public_pem: String,
}

impl Key {
    pub fn new(id: &str) -> Self {
        let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(scheme, &SystemRandom::new()).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref()).expect("a key pair");
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("SPKI");
        let key = EncodingKey::from_ec_der(pkcs8.as_ref());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a public key");
        jwk.common.key_id = Some(id.to_owned());
        Self {
            signing: key,
            id: id.to_owned(),
            public: serde_json::to_value(jwk).expect("JSON"),
            public_pem: pem("PUBLIC KEY", public.as_ref()),
        }
    }

    /// For the tenant `acme`.
    pub fn token(&self, issuer: &str) -> String {
        self.token_of("acme", issuer)
    }

    pub fn token_of(&self, tenant: &str, issuer: &str) -> String {
        let claims = json!({
            "iss": issuer, "aud": AUDIENCE, "sub": "tester", "tenant_id": tenant,
            "iat": now(), "exp": now() + 3600,
        });
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, &claims, &self.signing).expect("a token")
    }
}

/// A JSON Web Key Set.
pub fn key_set(keys: &[&Key]) -> String {
    let keys: Vec<&Value> = keys.iter().map(|key| &key.public).collect();
    json!({ "keys": keys }).to_string()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("ASCII"))
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
