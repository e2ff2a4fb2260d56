//! An issuer of RS256 tokens.

use std::error::Error;
use std::time::SystemTime;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};

pub(crate) const ISSUER: &str = "https://sso.test/realms/observability";
pub(crate) const AUDIENCE: &str = "grafana";

/// A key made for this run.
pub(crate) struct Issuer {
    key: EncodingKey,
    /// The key's public half, as a JSON Web Key Set.
    pub(crate) jwks: String,
}

impl Issuer {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let pair = KeyPair::generate(KeySize::Rsa2048)?;
        let der: Pkcs8V1Der<'_> = pair.as_der()?;
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let key = EncodingKey::from_rsa_pem(pem.as_bytes())?;
        let public = Jwk::from_encoding_key(&key, Algorithm::RS256)?;
        let jwks = serde_json::to_string(&JwkSet { keys: vec![public] })?;
        Ok(Self { key, jwks })
    }

    /// A token for an hour, with these claims beside the usual ones.
    pub(crate) fn token(
        &self,
        subject: &str,
        mut claims: Map<String, Value>,
    ) -> Result<String, Box<dyn Error>> {
        let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
        claims.extend([
            ("iss".to_owned(), json!(ISSUER)),
            ("aud".to_owned(), json!(AUDIENCE)),
            ("sub".to_owned(), json!(subject)),
            ("iat".to_owned(), json!(now)),
            ("exp".to_owned(), json!(now + 3600)),
        ]);
        let header = Header::new(Algorithm::RS256);
        let claims = Value::Object(claims);
        Ok(jsonwebtoken::encode(&header, &claims, &self.key)?)
    }
}
